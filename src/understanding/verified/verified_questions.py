"""Read and write `verified.yaml`, which holds questions with the plans that a person approved.

    - question: Which dish is the cheapest?
      plan:
        cells:
          rows: {top: {rows: all, column: price, highest: false}}
          column: dish

A question that has the same words as one of the file, apart from case and accents, is answered by
its plan. For a database, each entry also has `table`, the name of the table that its plan is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...errors import DataError, did_you_mean
from ...files import write_text
from ...run_folder import PROGRESS_FILE
from ...tables import TABLE_FILE
from ..plans.as_data import plan_from_data, plan_to_data
from ..plans.language import Plan
from ..table.typed_table import TypedTable
from ..table.values import words

VERIFIED_FILE: Final = "verified.yaml"
_PARTS: Final = ("question", "plan", "table")


@dataclass(frozen=True)
class VerifiedQuestions:
    """The verified questions of a table, or of the tables of a database.

    Attributes:
        plans: Key of the question -> the name of the table and the plan.
        broken: Key of the question -> why its plan does not fit the present table.
        texts: Key of the question -> the question as it is written in the file.
    """

    plans: Mapping[str, tuple[str, Plan]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """List the questions that can no longer be answered, each with the reason."""
        return [f"{self.texts[key]!r}: {fault}" for key, fault in self.broken.items()]


def question_key(text: str) -> str:
    """Return the key of a question: its folded words, which are the same for other punctuation.

    >>> question_key("Which dish is the CHEAPEST?") == question_key("which dish is the cheapest")
    True
    """
    return " ".join(words(text))


def verified_place(source: str | Path) -> Path:
    """Return the path of the verified questions of a table, a database or a student.

    For a file `menu.csv` it is `menu.verified.yaml` beside it, and for a folder `verified.yaml` in
    it. For the student of a run it is in the folder of the run, so that the next training does not
    replace the file.
    """
    path = Path(source)
    if not path.is_dir():
        return path.with_name(f"{path.stem}.{VERIFIED_FILE}")
    in_run = (path / TABLE_FILE).is_file() and (path.parent / PROGRESS_FILE).is_file()
    return (path.parent if in_run else path) / VERIFIED_FILE


def read_verified(path: str | Path, tables: Mapping[str, TypedTable]) -> VerifiedQuestions:
    """Read verified questions and check their plans against the tables.

    Args:
        path: The file; if it does not exist, there are no verified questions.
        tables: Name -> table; if there is only one, entries need no `table`.

    Returns:
        The questions; plans that do not fit their table are in `broken`.

    Raises:
        DataError: The file is not a list of questions with plans; the message lists all faults.
    """
    if not Path(path).is_file():
        return VerifiedQuestions()
    return _hold_against(_parse(Path(path).read_bytes(), path), tables)


def add_verified(
    path: str | Path, question: str, plan: Plan, table: TypedTable, *, named: bool = False
) -> bool:
    """Append a question with its plan to a file.

    The text of the file is kept, unless its list is not in block style; then it is written anew.

    Args:
        path: The file; it is created if it does not exist.
        question: The complete question, not a follow-up.
        plan: Its plan.
        table: The table.
        named: Whether to write the name of the table, as a database needs.

    Returns:
        Whether it was added; False if the file already has it with this plan.

    Raises:
        DataError: The file cannot be parsed, it has the question with another plan, or the
            question has no words.
    """
    import yaml  # type: ignore[import-untyped]

    key = question_key(question)
    if not key:
        raise DataError(f"{question!r} has no words, so it cannot be verified", path=path)
    old = Path(path).read_bytes() if Path(path).is_file() else b""
    entry: dict[str, Any] = {"question": question.strip()}
    if named:
        entry["table"] = table.name
    entry["plan"] = plan_to_data(plan, table)
    entries = _parse(old, path)
    for there in entries:
        if question_key(there["question"]) == key:
            held = _hold_against([there], {table.name: table}).plans.get(key)
            if held == (table.name, plan):
                return False
            raise DataError(
                f"{there['question']!r} is in it with another plan; remove that entry first",
                path=path,
            )
    text = yaml.safe_dump([entry], allow_unicode=True, sort_keys=False, width=100)
    written = old.decode("utf-8")
    written += "" if not written or written.endswith("\n") else "\n"
    try:
        whole = _entries(written + text)
    except ValueError:
        whole = []
    if whole != [*entries, *_entries(text)]:
        # The list is not in YAML block style, so text cannot be appended to it.
        written = yaml.safe_dump(entries, allow_unicode=True, sort_keys=False, width=100)
    write_text(path, written + text)
    return True


def _hold_against(
    entries: list[dict[str, Any]], tables: Mapping[str, TypedTable]
) -> VerifiedQuestions:
    plans: dict[str, tuple[str, Plan]] = {}
    broken: dict[str, str] = {}
    texts: dict[str, str] = {}
    for entry in entries:
        key = question_key(entry["question"])
        texts[key] = entry["question"]
        name = entry.get("table", next(iter(tables)) if len(tables) == 1 else None)
        if name is None or name not in tables:
            near = did_you_mean(name or "", list(tables), what="table")
            broken[key] = (
                f"names no table; add table to it ({near})" if name is None
                else f"names the table {name!r}, which does not exist; {near}"
            )  # fmt: skip
            continue
        try:
            plans[key] = name, plan_from_data(entry["plan"], tables[name])
        except DataError as fault:
            broken[key] = str(fault)
    return VerifiedQuestions(plans, broken, texts)


def _parse(content: bytes, path: str | Path) -> list[dict[str, Any]]:
    """Parse the entries and check all but their plans."""
    try:
        entries = _entries(content.decode("utf-8"))
    except ValueError as fault:
        raise DataError(str(fault), path=path) from fault
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        place = f"entry {number}"
        if not isinstance(entry, dict):
            faults.append(f"{place} is not a mapping; write question and plan below it")
            continue
        faults += [f"{place} has the part {name!r}; {did_you_mean(name, _PARTS, what='part')}"
                   for name in entry if name not in _PARTS]  # fmt: skip
        faults += [f"{place} lacks {name}" for name in ("question", "plan") if name not in entry]
        question = entry.get("question")
        key = question_key(question) if isinstance(question, str) else ""
        if "question" in entry and not key:
            faults.append(f"{place} has the question {question!r}; write a text with words")
        elif key in seen:
            faults.append(f"{place} repeats the question of entry {seen[key]}; remove one of them")
        seen.setdefault(key, number)
    if faults:
        raise DataError("; ".join(faults), path=path)
    return entries


def _entries(text: str) -> list[Any]:
    """Parse a YAML list with all scalars as texts, so that a column named `no` stays a text."""
    import yaml

    try:
        entries = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as fault:
        raise ValueError(f"is not YAML ({' '.join(str(fault).split())})") from fault
    except RecursionError as fault:
        raise ValueError("is nested too deeply") from fault
    if entries in (None, ""):
        return []
    if not isinstance(entries, list):
        raise ValueError("is not a list; begin each entry with `- question:`")
    return entries
