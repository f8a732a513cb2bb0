"""The house as architecture.md draws it: who imports whom, and what a bare import may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from project_paths import ROOT

ROOMS = ("data", "labeling", "distillation", "evaluation", "agentic_workflow")
LEAVES = (
    "errors", "config", "records", "prompts", "exchanges", "files", "tables", "run_folder",
    "console",
)  # fmt: skip
COMPOSERS = ("cli", "pipeline", "__init__", "__main__")
HEAVY = ("torch", "transformers", "gradio", "langgraph", "fastapi", "pandas", "datasets")
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def place(path):
    """Name the room of a file, or the file itself where it lies in no room."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return parts[0]


def own_imports(path):
    """List the places of ours that a file imports, wherever in the file it does so."""
    depth = len(path.relative_to(ROOT / "src").parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found += [name.split(".")[0] for name in names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            assert node.module.split(".")[0] not in ("stillroom", "src"), f"{path}: absolute import"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.split(".")[0] not in ("stillroom", "src"), f"{path}: absolute"
    return found


def allowed(importer):
    if importer in COMPOSERS:
        return set(ROOMS) | {"inference"} | set(LEAVES) | set(COMPOSERS)
    if importer in LEAVES:
        return set(LEAVES)
    if importer == "inference":
        return set(LEAVES) | {"inference"}
    return set(LEAVES) | {"inference", importer}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_a_file_imports_only_what_its_room_may(path):
    importer = place(path)
    assert importer in (*ROOMS, "inference", *LEAVES, *COMPOSERS), f"{path} is in no known room"
    wrong = [n for n in own_imports(path) if n not in allowed(importer) and n != "__version__"]
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize(
    "command", [["-c", "import stillroom"], ["-m", "stillroom", "--help"]], ids=["import", "help"]
)
def test_a_bare_import_loads_nothing_heavy(command, tmp_path):
    script = tmp_path / "probe.py"
    script.write_text(
        "import atexit, sys\n"
        f"atexit.register(lambda: print('LOADED', [m for m in {HEAVY!r} if m in sys.modules]))\n"
        + (
            command[1]
            if command[0] == "-c"
            else "import runpy; sys.argv = ['stillroom', '--help']; runpy.run_module('stillroom')"
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_every_public_name_is_there():
    import stillroom

    for name in stillroom.__all__:
        assert getattr(stillroom, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = stillroom.nonsense


def test_every_folder_of_code_is_a_package_that_the_wheel_finds():
    from setuptools import find_packages

    folders = {path.parent.relative_to(ROOT / "src") for path in SOURCES} - {Path()}
    assert {".".join(folder.parts) for folder in folders} == set(find_packages(str(ROOT / "src")))


def test_the_users_own_spelling_works(tmp_path):
    """`from src.data.data_preparation import ...`, as the users' document has it, in a checkout."""
    code = (
        "from src.data.data_preparation import StructuredDataLoader\n"
        "from src.distillation.distiller import DistillationConfig\n"
        "from src.agentic_workflow.agent import AgenticWorkflow\n"
        "print(DistillationConfig().temperature)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.strip() == "2.0", done.stderr
