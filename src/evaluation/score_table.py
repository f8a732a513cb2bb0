"""Scores as a table of text for the terminal, and the names and order of its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..errors import EmptyDataError
from .scores import ModelScores

ROWS: dict[str, tuple[str, str]] = {
    "teacher": ("teacher", "The model that labels. Agreement is with its answers."),
    "student_untrained": (
        "student, untrained",
        "The student as it starts. Weights taken over from the teacher already know a lot: what is "
        "here was inherited, not distilled.",
    ),
    "student_without_teacher": (
        "student, no teacher",
        "The same student and the same steps with gold answers alone.",
    ),
    "student_teacher_text": (
        "student, teacher text",
        "The same student trained on the text of the teacher's answers: what labels alone give.",
    ),
    "student": (
        "student",
        "The distilled student. What soft targets gave is its distance to the row above.",
    ),
    "student_all_gold": (
        "student, all gold",
        "The same student with gold answers for everything: what more labelling by hand would "
        "give.",
    ),
}
"""Known models in the order of the table: name in the table, and what it is."""

_TASKS = ("qa", "summarize", "validate", "text")
_HEADS = {"summarize": "summary"}
_MILLION = 1_000_000
_MOST_WIDTH = 110
_NONE = "-"

Cell = Callable[[ModelScores], str]


def format_table(scores: Mapping[str, ModelScores]) -> str:
    """Write scores as a table of fixed-width text, at most 110 characters wide.

    The columns up to `agree` are percentages of the held-out examples: exact match over all and per
    task, overlap of words, agreement with the teacher.

    Args:
        scores: By name, as `evaluate_models` gives them.

    Returns:
        A header and one line per model, without a line end.

    Raises:
        EmptyDataError: There are no scores.
    """
    columns = table_columns(scores)
    named = ordered(scores)
    body = [[cell(model) for _, cell in columns] for _, model in named]
    widths = [
        max(len(head), *(len(line[place]) for line in body))
        for place, (head, _) in enumerate(columns)
    ]
    label = max(len(display_name(name)) for name, _ in named)
    roomy = label + sum(widths) + 2 * len(widths) <= _MOST_WIDTH
    gap = "  " if roomy else " "
    lines = [" " * label + _line([head for head, _ in columns], widths, gap)]
    for (name, _), line in zip(named, body, strict=True):
        lines.append(display_name(name).ljust(label) + _line(line, widths, gap))
    return "\n".join(line.rstrip() for line in lines)


def display_name(name: str) -> str:
    """Give the human name of a model in the report, at most 21 characters."""
    return ROWS[name][0] if name in ROWS else name.replace("_", " ")[:21]


def ordered(scores: Mapping[str, ModelScores]) -> list[tuple[str, ModelScores]]:
    """Put scores into the order of the report: known rows first, others as they come.

    Raises:
        EmptyDataError: There are no scores.
    """
    if not scores:
        raise EmptyDataError("there are no scores to report; evaluate at least one model")
    known = [name for name in ROWS if name in scores]
    return [(name, scores[name]) for name in [*known, *(n for n in scores if n not in ROWS)]]


def tasks_of(scores: Mapping[str, ModelScores]) -> list[str]:
    """List the tasks that any model was scored on, in the order of the report."""
    found = {task for model in scores.values() for task in model.by_task}
    return [*(t for t in _TASKS if t in found), *sorted(found.difference(_TASKS))]


def table_columns(scores: Mapping[str, ModelScores]) -> list[tuple[str, Cell]]:
    """Choose the columns of a table: their heads, and how a cell is written."""
    columns: list[tuple[str, Cell]] = [("exact", lambda m: percent(100 * m.exact_match))]
    for task in tasks_of(scores)[:4]:
        columns.append((_HEADS.get(task, task[:8]), _task_cell(task)))
    columns += [
        ("F1", lambda m: percent(100 * m.token_f1)),
        ("agree", lambda m: percent(100 * m.agreement)),
        ("ppl", lambda m: _short(m.perplexity)),
        ("params", lambda m: _count(m.parameters)),
        ("disk MB", lambda m: _short(_scaled(m.bytes_on_disk))),
        ("RAM MB", lambda m: _whole(_scaled(m.peak_memory_bytes))),
        ("tok/s", lambda m: _whole(m.tokens_per_second)),
    ]
    if any(m.batch_tokens_per_second is not None for m in scores.values()):
        columns.append(("x32", lambda m: _whole(m.batch_tokens_per_second)))
    return columns


def percent(value: float) -> str:
    """Write a percentage with one digit; 100.0 only where nothing is missing."""
    shown = math.floor(value * 10) / 10 if value < 100 else 100.0
    return f"{shown:.1f}" if value > 99.9 else f"{value:.1f}"


def _task_cell(task: str) -> Cell:
    def cell(model: ModelScores) -> str:
        part = model.by_task.get(task)
        return _NONE if part is None else percent(100 * part.exact_match)

    return cell


def _line(cells: Sequence[str], widths: Sequence[int], gap: str) -> str:
    return "".join(gap + cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _count(parameters: int) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= size:
            return (
                f"{parameters / size:.2f}{unit}"
                if parameters < 10 * size
                else (f"{parameters / size:.0f}{unit}")
            )
    return str(parameters)


def _scaled(value: int | None) -> float | None:
    return None if value is None else value / _MILLION


def _short(value: float | None) -> str:
    if value is None:
        return _NONE
    if not math.isfinite(value) or value >= 1e6:
        return ">1e6"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _whole(value: float | None) -> str:
    return _NONE if value is None else f"{value:.0f}"
