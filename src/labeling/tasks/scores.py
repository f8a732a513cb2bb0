"""Scores of a judge: one call per record and metric, with the score in `<score>...</score>`.

| job | metrics |
|---|---|
| thought | `reasoning_verbosity`, `cognitive_difficulty` (0-9), `logical_correctness` (yes, no) |
| answer | `informativeness`, `helpfulness`, `generalization` (0-9), `correctness` (yes, no) |

A missing score is None, with the reason in the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from ..batch.label_run import Labelled, LabelTask
from ..teachers.protocol import TeacherAnswer
from .free_text import ask_turns, field_of, tagged

Judged = Literal["thought", "answer"]
Mark = int | bool

_HIGHEST: Final = 9
METRICS: Final[dict[Judged, dict[str, str]]] = {
    "thought": {
        "reasoning_verbosity": "how wordy the reasoning is, from 0 (nothing but the answer) to 9 "
        "(every step at length)",
        "cognitive_difficulty": "how hard the reasoning is to follow, from 0 (a child can) to 9 "
        "(experts only)",
        "logical_correctness": "whether the reasoning and its answer are right, true or false",
    },
    "answer": {
        "informativeness": "how much the response tells, from 0 to 9",
        "helpfulness": "how well the response does what is asked, from 0 to 9",
        "generalization": "how useful the pair is for other tasks, from 0 to 9",
        "correctness": "whether the response is right, true or false",
    },
}
YES_OR_NO: Final = frozenset({"logical_correctness", "correctness"})
_WORDS: Final = {
    "true": True, "yes": True, "1": True, "correct": True,
    "false": False, "no": False, "0": False, "incorrect": False,
}  # fmt: skip


def score_tasks(
    judged: Judged,
    records: Sequence[Mapping[str, Any]],
    *,
    system: str | None = None,
    problem: str = "instruction",
    solution: str = "output",
) -> Iterator[LabelTask]:
    """Yield one task per record and metric, record by record."""
    for number, record in enumerate(records, start=1):
        given = f"\n{record['input']}" if record.get("input") else ""
        asked, said = field_of(record, problem), field_of(record, solution)
        for metric, meaning in METRICS[judged].items():
            user = (
                f"Judge {meaning}.\n\nInstruction:\n{asked}{given}\n\nResponse:\n{said}\n\n"
                "Write the mark alone, between <score> and </score>."
            )
            yield LabelTask(f"{number} {metric}", ask_turns(user, system), record)


def check_score(task: LabelTask, answer: TeacherAnswer) -> str | None:
    """Reject answers without a score or with a score out of range; a `Check`."""
    written = tagged(answer.text, "score")
    if written is None:
        return "no_score"
    metric = task.id.partition(" ")[2]
    return None if read_mark(metric, written) is not None else f"score {written!r} is out of range"


def read_mark(metric: str, written: str) -> Mark | None:
    """Read a score; None if it is not a score of this metric.

    >>> read_mark("helpfulness", "7"), read_mark("helpfulness", "10")
    (7, None)
    """
    if metric in YES_OR_NO:
        return _WORDS.get(written.strip().rstrip(".").casefold())
    text = written.strip()
    return int(text) if text.isdecimal() and int(text) <= _HIGHEST else None


def scored_records(
    judged: Judged, records: Sequence[Mapping[str, Any]], results: Sequence[Labelled]
) -> list[dict[str, Any]]:
    """Add the scores to the records.

    Args:
        judged: What was judged.
        records: The records of `score_tasks`.
        results: One result per task, in the order of the tasks.

    Returns:
        Each record with its scores. A missing score is None, and `error` says why:
        `api_call_failed`, `no_score` or `processing_failed`.
    """
    metrics = list(METRICS[judged])
    made = []
    for place, record in enumerate(records):
        own = results[place * len(metrics) : (place + 1) * len(metrics)]
        marks = {metric: _mark(metric, one) for metric, one in zip(metrics, own, strict=True)}
        scored: dict[str, Any] = {**record, **marks}
        failed = [one for one in own if one.answer is None]
        if failed:
            scored["error"] = _reason(failed[0])
        made.append(scored)
    return made


def _mark(metric: str, one: Labelled) -> Mark | None:
    written = tagged(one.answer.text, "score") if one.answer is not None else None
    return None if written is None else read_mark(metric, written)


def _reason(one: Labelled) -> str:
    if one.fault is None or one.fault.kind not in ("rejected", "empty_response", "truncated"):
        return "api_call_failed"
    return "no_score" if "no_score" in one.fault.message else "processing_failed"
