"""What `stillroom` without a command says: what to type first in this folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from ..option_file import YAML_SUFFIXES

_TABLES: Final = (".csv", ".tsv", ".xlsx", ".json", ".jsonl", ".parquet", ".feather", ".sqlite",
                  ".db")  # fmt: skip
WRITTEN_BY_INIT: Final = "# Options of: stillroom run"
"""Start of the files that `stillroom init` writes."""


def first_steps(folder: Path) -> list[str]:
    """List the lines, by what the folder holds.

    Args:
        folder: The current folder.
    """
    try:
        files = sorted(one for one in folder.iterdir() if one.is_file())
    except OSError:
        files = []
    table = next((one.name for one in files if one.suffix.lower() in _TABLES), None)
    options = next((one.name for one in files if _is_options(one)), None)
    students = sorted(folder.glob("outputs/*/student/config.json"), key=_changed)
    named = "FILE" if table is None else shlex.quote(table)
    steps = [("stillroom doctor", "what this machine can do")]
    if table is None:
        steps.append(("stillroom run", "try it on a bundled table: teacher, student, scores"))
    steps += [
        (f'stillroom ask {named} "QUESTION"', "ask a table at once; nothing is trained"),
        (f"stillroom init {named}", "look at a table, and write a file of options"),
    ]
    if options is not None:
        steps.append((f"stillroom run {shlex.quote(options)}", "teacher, student and their scores"))
    if students:
        student = students[-1].parent.relative_to(folder)
        steps.append((f"stillroom chat {shlex.quote(str(student))}", "talk to your newest student"))
    found = "no table" if table is None else f"the table {table}"
    width = max(len(command) for command, _ in steps) + 3
    return [
        "stillroom: a small, local specialist from your own table, proven against its teacher.",
        "",
        f"In this folder there is {found}. What to type first:",
        "",
        *(f"  {command:<{width}}{told}" for command, told in steps),
        "",
        "A table is CSV, TSV, Excel, JSON, Parquet, SQLite or the address of a database.",
        "stillroom --help lists all commands, stillroom COMMAND --help the options of one.",
    ]


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def _is_options(path: Path) -> bool:
    if path.suffix.lower() not in YAML_SUFFIXES:
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline().startswith(WRITTEN_BY_INIT)
    except OSError:
        return False
