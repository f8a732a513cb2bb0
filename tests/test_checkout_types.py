"""The environment that `make` sets up serves type checkers: they see the types of the checkout."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stillroom

ROOT = Path(__file__).resolve().parents[1]
DROPPED = ("PYTHONPATH", "MYPYPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
CLEAN = {name: value for name, value in os.environ.items() if name not in DROPPED}


def run(*command, cwd):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=CLEAN, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A checkout of a small package, with an environment linked by this project's Makefile."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("def count(text: str) -> int:\n    return 1\n")
    shutil.copy(ROOT / "src" / "py.typed", tmp_path / "src")
    shutil.copy(ROOT / "Makefile", tmp_path)
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv", cwd=tmp_path)
    assert run("make", "link", cwd=tmp_path) == ""
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_mypy_sees_the_types_of_the_checkout_and_files_that_are_added(checkout):
    python, empty = checkout / ".venv" / "bin" / "python", checkout / "empty"

    def revealed(code):
        options = ("--python-executable", python, "--cache-dir", checkout / "cache")
        return run(sys.executable, "-m", "mypy", *options, "-c", code, cwd=empty)

    assert '"def (text: str) -> int"' in revealed("import stillroom; reveal_type(stillroom.count)")
    (checkout / "src" / "added.py").write_text("NAME: str = 'x'\n")
    assert '"str"' in revealed("from stillroom.added import NAME; reveal_type(NAME)")
    path = run(python, "-c", "import stillroom.added as a; print(a.NAME, a.__file__)", cwd=empty)
    assert path.split() == ["x", str(checkout / ".venv" / "checkout" / "stillroom" / "added.py")]


def test_setting_up_an_environment_links_it():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    set_up = recipe.split("$(READY): requirements.txt")[1].split("\n\n")[0]
    assert "$(MAKE) --no-print-directory link" in set_up


def test_type_checkers_are_told_every_public_name():
    tree = ast.parse((ROOT / "src" / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.asname: f"{node.module}"
        for block in tree.body
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in block.body
        for alias in node.names
    }
    assert told == stillroom._HOMES
