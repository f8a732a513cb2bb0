"""Jobs that turn records into other texts: what the teacher is asked, which answers are good, and
what becomes of them. One record at a time, so that a missing field never shifts its neighbours.

| job | asked | good where | gives |
|---|---|---|---|
| expansion | prompt, some records | `<answer>` | `instruction` |
| refinement | prompt, instruction | `<answer>` | the record with the new `instruction` |
| extraction | prompt, text | `<instruction>` and `<response>` | `instruction`, `output` |
| thought | prompt, question | any | the record with the reasoning as `output` |
| shorter, longer | prompt, problem, answer | any | the record with the new `output` |
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import ConfigError, DataError
from ..batch.label_run import Check, LabelTask
from ..teachers.protocol import Prompt, TeacherAnswer

Record = Mapping[str, Any]
Rewriting = Literal["shorter", "longer"]

_REWRITE = {
    "shorter": (" Simplify the reasoning process", "Simplified Reasoning Process:"),
    "longer": (" Extend the reasoning process", "Extended Reasoning Process:"),
}


@dataclass(frozen=True)
class TextJob:
    """What is done with each record."""

    write: Callable[[Record], str]
    """Writes the user turn."""
    finish: Callable[[Record, str], dict[str, Any]]
    """Makes the new record of the old one and the answer."""
    check: Check | None = None
    """Says why an answer is no good."""
    samples: bool = False
    """Whether equal prompts are asked again, for other answers."""


def ask_turns(user: str, system: str | None = None) -> Prompt:
    """Write what a teacher is asked as chat turns."""
    turns = [{"role": "system", "content": system}] if system else []
    return [*turns, {"role": "user", "content": user}]


def text_tasks(
    job: TextJob, records: Sequence[Record], system: str | None = None
) -> Iterator[LabelTask]:
    """Write the tasks of a job, one per record."""
    for number, record in enumerate(records, start=1):
        # Equal prompts share one answer, unless each is to give another.
        sample = number if job.samples else 0
        yield LabelTask(str(number), ask_turns(job.write(record), system), record, sample)


def tagged(text: str, tag: str) -> str | None:
    """Give the text between the first pair of tags, lines kept; None where there is none.

    >>> tagged("So: <answer>one\\ntwo</answer> <answer>3</answer>", "answer")
    'one\\ntwo'
    """
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    inside = found[1].strip() if found else ""
    return inside or None


def needs_tags(*tags: str) -> Check:
    """Make a check that refuses answers without some tags."""

    def check(task: LabelTask, answer: TeacherAnswer) -> str | None:
        missing = [tag for tag in tags if tagged(answer.text, tag) is None]
        return f"no_{missing[0]}_tag" if missing else None

    return check


def refinement(prompt: str, key: str = "instruction") -> TextJob:
    """Put an instruction better."""
    return TextJob(
        write=lambda record: f"{prompt}\n{field_of(record, key)}",
        finish=lambda record, text: {**record, key: tagged(text, "answer")},
        check=needs_tags("answer"),
    )


def extraction(prompt: str, keys: Sequence[str] = ("data", "instruction")) -> TextJob:
    """Find an instruction and its response in a text."""
    return TextJob(
        write=lambda record: f"{prompt}\n{field_of(record, *keys)}",
        finish=lambda _, text: {
            "instruction": tagged(text, "instruction"),
            "output": tagged(text, "response"),
        },
        check=needs_tags("instruction", "response"),
    )


def thought(prompt: str, key: str = "instruction") -> TextJob:
    """Write a chain of thought to a question; the question stays what it is."""
    return TextJob(
        write=lambda record: f"{prompt}\n{field_of(record, key)}",
        finish=lambda record, text: {**record, "instruction": field_of(record, key),
                                     "output": text},
    )  # fmt: skip


def answer(key: str = "instruction", output: str = "response") -> TextJob:
    """Answer an instruction."""
    return TextJob(
        write=lambda record: field_of(record, key),
        finish=lambda record, text: {**record, output: text},
    )


def rewriting(
    prompt: str, which: Rewriting, problem: str = "instruction", solution: str = "output"
) -> TextJob:
    """Make the reasoning of a record shorter or longer."""
    asked, closing = _REWRITE[which]

    def write(record: Record) -> str:
        blocks = (
            f"{prompt}{asked} for the problem below.",
            f"Problem:\n{field_of(record, problem)}",
            f"Answer:\n{field_of(record, solution)}",
            f"{closing}\n",
        )
        return "\n\n".join(blocks)

    return TextJob(write, lambda record, text: {**record, solution: text})


def expansion_records(
    records: Sequence[Record], *, in_context: int, wanted: int, seed: int, key: str = "instruction"
) -> list[dict[str, Any]]:
    """Draw the examples that each new instruction is written after.

    Args:
        records: At least `in_context`.
        in_context: Examples per new instruction, 1 or more.
        wanted: New instructions, 1 or more.
        seed: Of the drawing.
        key: Where an instruction stands.

    Returns:
        One record per new instruction, with its examples as a list under `examples`.

    Raises:
        ConfigError: There are fewer records than `in_context`, or a number is out of range.
    """
    if not 1 <= in_context <= len(records) or wanted < 1:
        raise ConfigError([
            f"num_in_context_samples is {in_context} and num_output_samples {wanted}; allowed are "
            f"1 to {len(records)}, the number of records, and 1 or more"
        ])  # fmt: skip
    source = random.Random(seed)
    texts = [field_of(record, key) for record in records]
    return [{"number": n, "examples": source.sample(texts, in_context)} for n in range(wanted)]


def expansion(prompt: str) -> TextJob:
    """Write a new instruction after the examples that `expansion_records` drew."""
    return TextJob(
        write=lambda record: f"{prompt}\n" + "".join(f"{text}\n" for text in record["examples"]),
        finish=lambda _, text: {"instruction": tagged(text, "answer")},
        check=needs_tags("answer"),
        samples=True,
    )


def field_of(record: Record, *keys: str) -> str:
    """Give the text under the first of some keys that is there.

    Raises:
        DataError: None is there, or it is no text.
    """
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value
    raise DataError(
        f"has the keys {', '.join(map(repr, record))}; a text under {' or '.join(map(repr, keys))} "
        "is needed"
    )
