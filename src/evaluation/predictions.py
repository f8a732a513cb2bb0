"""What models answered, record by record: the file that `stillroom compare` and the report read.

    write_predictions(run / PREDICTIONS / "student.jsonl", made)
    read_predictions(run / PREDICTIONS / "student.jsonl")[0].right

The main job writes one file per model, `predictions/<model>.jsonl` in the run folder, in UTF-8, one
JSON object a line, in the order of the held-out questions:

    {"sample_id": "12:price:qa:3",     unique in the file; the same question has the same id in
                                       every run over the same table with the same seed
     "source_id": "shop.csv:13",       record of the table that the question was made from
     "category": "qa",                 task: qa, asked, summarize, validate, text
     "column": "price",                column that is asked about; "" where there is none
     "question": "What does ...?",     as a person reads it
     "gold": "4.20",                   the right answer
     "answer": "4.20",                 of the model
     "right": true,                    equal to the gold answer; spaces aside
     "f1": 1.0,                        word-level F1 with the gold answer, 0 to 1
     "confidence": 0.97,               probability that the model gives its own answer, 0 to 1, not
                                       calibrated; null where it is not known
     "finished": true,                 whether the model ended the answer itself; null: not known
     "latency_ms": null}               time of this answer alone, in milliseconds; null where many
                                       questions were answered together
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from ..errors import DataError, DataNotFoundError, EmptyDataError
from ..files import read_json_lines, write_json_lines
from ..records import Example
from .held_out import ModelAnswers
from .metrics import exact_match, token_f1

PREDICTIONS: Final = "predictions"
"""Folder of a run that holds one file per model."""


@dataclass(frozen=True)
class Prediction:
    """One answer of a model, with the right one; see the table at the top of this file."""

    sample_id: str
    question: str
    gold: str
    answer: str
    right: bool
    source_id: str = ""
    category: str = ""
    column: str = ""
    f1: float | None = None
    confidence: float | None = None
    finished: bool | None = None
    latency_ms: float | None = None


def predictions_of(held_out: Sequence[Example], answers: ModelAnswers) -> list[Prediction]:
    """Join N examples and what a model answered to them.

    Args:
        held_out: Examples with targets.
        answers: The answers, in the same order.
    """
    return [
        Prediction(
            sample_id=example.id,
            question=_question_of(example),
            gold=example.target or "",
            answer=text,
            right=exact_match(text, example.target or ""),
            source_id=_source_of(example),
            category=example.task,
            column=str(example.fields.get("column") or ""),
            f1=token_f1(text, example.target or ""),
            confidence=confidence,
            finished=finished,
        )
        for example, text, finished, confidence in zip(
            held_out, answers.texts, answers.finished, answers.confidences, strict=True
        )
    ]


def _question_of(example: Example) -> str:
    """Write the question as a person reads it; of a check, with the answer that is checked."""
    text = str(example.fields.get("text") or example.prompt)
    if example.task == "validate" and "proposed" in example.fields:
        return f"{text} Is {str(example.fields['proposed'])!r} right?"
    return text


def _source_of(example: Example) -> str:
    """Name the record that an example was made from; the fact where no record is known."""
    if example.source is None:
        return example.fact or ""
    return f"{example.source.file}:{example.source.row}"


def write_predictions(path: str | Path, predictions: Iterable[Prediction]) -> Path:
    """Write predictions as JSON Lines, atomically."""
    return write_json_lines(path, [asdict(one) for one in predictions])


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read a file that `write_predictions` wrote.

    Raises:
        DataNotFoundError: There is no such file.
        EmptyDataError: It is empty.
        DataError: A line is no prediction; names the line.
    """
    if not Path(path).is_file():
        raise DataNotFoundError(f"there is no file {str(path)!r}; a run writes it when it measures")
    try:
        rows = read_json_lines(path)
    except ValueError as error:
        raise DataError(f"is not JSON Lines ({error})", path=path) from error
    if not rows:
        raise EmptyDataError(f"{path} holds no answers")
    known = {one.name for one in fields(Prediction)}
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(Prediction(**{key: row[key] for key in row if key in known}))
        except (TypeError, AttributeError) as error:
            raise DataError(f"is no prediction ({error})", path=path, row=number) from error
    return found
