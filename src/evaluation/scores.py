"""The scores of a model as values that can be stored as JSON, and as a table of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import EmptyDataError

ROWS: dict[str, tuple[str, str]] = {
    "teacher": ("teacher", "The model that labels. Agreement is with its answers."),
    "frozen_encoder": (
        "frozen encoder",
        "The encoder as it is, with logistic regression on the gold labels: what a tuned student "
        "has to beat.",
    ),
    "student_untrained": (
        "student, untrained",
        "The student before training. Layers copied from the teacher already know a lot; this row "
        "shows how much.",
    ),
    "student_without_teacher": (
        "student, no teacher",
        "The same student, trained for the same number of steps on gold answers only.",
    ),
    "student_teacher_text": (
        "student, teacher text",
        "The same student trained on the text of the teacher's answers, without soft targets.",
    ),
    "student": (
        "student",
        "The distilled student. The difference from the row above is the effect of soft targets.",
    ),
    "student_all_gold": (
        "student, all gold",
        "The same student with gold answers for all questions: the effect of labelling more by "
        "hand.",
    ),
    "student_from_scratch": (
        "small, from scratch",
        "An untrained small model, trained on the text of the teacher's answers for as many steps: "
        "the effect of the weights that a named teacher comes with.",
    ),
}
"""Known models in the order of the table: name in the table, and description."""

_TASKS = ("qa", "asked", "summarize", "validate", "text")
_HEADS = {"summarize": "summary"}
_MAX_WIDTH = 110
_MISSING = "-"


@dataclass(frozen=True)
class TaskScores:
    """Quality of a model on the held-out examples of one task."""

    exact_match: float
    """Fraction of answers that equal the target, 0 to 1."""
    token_f1: float
    """Mean word-level F1 with the target, 0 to 1."""
    agreement: float | None
    """Fraction of answers that equal the teacher's, right or wrong, 0 to 1; None without one."""
    perplexity: float
    """exp of the mean loss on the targets' tokens."""
    count: int
    """Number of examples."""


@dataclass(frozen=True)
class ModelScores(TaskScores):
    """Quality of one model over all examples, so that large tasks weigh more, and its cost."""

    by_task: dict[str, TaskScores] = field(default_factory=dict)
    """The same per task."""
    parameters: int = 0
    """Weights of the model; tied ones count once."""
    weights_bytes: int = 0
    """Memory of the weights in the precision of the evaluation."""
    bytes_on_disk: int | None = None
    """Weights, configuration and tokenizer on disk; None if the model has no folder."""
    peak_memory_bytes: int | None = None
    """Peak memory of a fresh process that answers one prompt, Python and libraries included."""
    tokens_per_second: float | None = None
    """One prompt at a time, greedy, reading the prompt included; median of rounds."""
    batch_tokens_per_second: float | None = None
    """32 prompts at a time; None if it was not measured."""
    latency_p50_ms: float | None = None
    """Time within which half of the answers to single questions came; None if it was not
    measured."""
    latency_p95_ms: float | None = None
    """The same for 95 of 100 answers."""
    latency_mean_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values; an infinite number becomes null."""
        finite: dict[str, Any] = _finite(asdict(self))
        return finite

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModelScores:
        """Restore scores from the result of `to_dict`."""
        tasks = {task: TaskScores(**_infinite(part)) for task, part in value["by_task"].items()}
        return cls(**{**_infinite(value), "by_task": tasks})


Cell = Callable[[ModelScores], str]


def format_table(scores: Mapping[str, ModelScores]) -> str:
    """Format scores as a fixed-width table, at most 110 characters wide.

    The columns up to `agree` are percentages of the held-out examples: exact match over all and per
    task, word-level F1, agreement with the teacher.

    Args:
        scores: By name, as `evaluate_models` returns them.

    Returns:
        A header and one line per model, without a final newline.

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
    gap = "  " if label + sum(widths) + 2 * len(widths) <= _MAX_WIDTH else " "
    lines = [" " * label + _line([head for head, _ in columns], widths, gap)]
    for (name, _), line in zip(named, body, strict=True):
        lines.append(display_name(name).ljust(label) + _line(line, widths, gap))
    return "\n".join(line.rstrip() for line in lines)


def display_name(name: str) -> str:
    """Return the name of a model for tables and plots, at most 21 characters."""
    return ROWS[name][0] if name in ROWS else name.replace("_", " ")[:21]


def ordered(scores: Mapping[str, ModelScores]) -> list[tuple[str, ModelScores]]:
    """Sort scores for the report: the models of `ROWS` first, others in the given order.

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
    """Return the columns of the table: the head of each, and a function that formats a cell."""
    columns: list[tuple[str, Cell]] = [("exact", lambda m: percent(100 * m.exact_match))]
    for task in tasks_of(scores)[:4]:
        columns.append((_HEADS.get(task, task[:8]), _task_cell(task)))
    columns += [
        ("F1", lambda m: percent(100 * m.token_f1)),
        ("agree", _agreement),
        ("ppl", lambda m: _short(m.perplexity)),
        ("params", lambda m: _count(m.parameters)),
        ("disk MB", lambda m: _short(_millions(m.bytes_on_disk))),
        ("RAM MB", lambda m: _rounded(_millions(m.peak_memory_bytes))),
        ("tok/s", lambda m: _rounded(m.tokens_per_second)),
    ]
    if any(m.batch_tokens_per_second is not None for m in scores.values()):
        columns.append(("x32", lambda m: _rounded(m.batch_tokens_per_second)))
    return columns


def percent(value: float) -> str:
    """Format a percentage with one decimal; only exactly 100 is shown as 100.0."""
    shown = math.floor(value * 10) / 10 if value < 100 else 100.0
    return f"{shown:.1f}" if value > 99.9 else f"{value:.1f}"


def _agreement(model: ModelScores) -> str:
    return _MISSING if model.agreement is None else percent(100 * model.agreement)


def _task_cell(task: str) -> Cell:
    def cell(model: ModelScores) -> str:
        part = model.by_task.get(task)
        return _MISSING if part is None else percent(100 * part.exact_match)

    return cell


def _line(cells: Sequence[str], widths: Sequence[int], gap: str) -> str:
    return "".join(gap + cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _count(parameters: int) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= size:
            return f"{parameters / size:.{2 if parameters < 10 * size else 0}f}{unit}"
    return str(parameters)


def _millions(value: int | None) -> float | None:
    return None if value is None else value / 1e6


def _short(value: float | None) -> str:
    if value is None:
        return _MISSING
    if not math.isfinite(value) or value >= 1e6:
        return ">1e6"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _rounded(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.0f}"


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _infinite(value: Mapping[str, Any]) -> dict[str, Any]:
    perplexity = value["perplexity"]
    return {**value, "perplexity": math.inf if perplexity is None else perplexity}
