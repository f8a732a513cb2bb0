"""Jobs that turn records into other texts: prompt, check of the answer, and new record.

Each record is processed on its own, so that a missing field never shifts other records.

| job | asked | accepted with | gives |
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
    """A job that is applied to each record."""

    write: Callable[[Record], str]
    """Writes the user turn."""
    finish: Callable[[Record, str], dict[str, Any]]
    """Makes the new record from the old one and the answer."""
    check: Check | None = None
    """Judges answers; None accepts all."""
    samples: bool = False
    """Whether equal prompts are asked again for different answers."""


def ask_turns(user: str, system: str | None = None) -> Prompt:
    """Return chat turns for a user's text and a system prompt."""
    turns = [{"role": "system", "content": system}] if system else []
    return [*turns, {"role": "user", "content": user}]


def text_tasks(
    job: TextJob, records: Sequence[Record], system: str | None = None
) -> Iterator[LabelTask]:
    """Write the tasks of a job, one per record."""
    for number, record in enumerate(records, start=1):
        sample = number if job.samples else 0
        yield LabelTask(str(number), ask_turns(job.write(record), system), record, sample)


def tagged(text: str, tag: str) -> str | None:
    """Return the text between the first pair of tags; None if there is none.

    >>> tagged("So: <answer>one\\ntwo</answer> <answer>3</answer>", "answer")
    'one\\ntwo'
    """
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    inside = found[1].strip() if found else ""
    return inside or None


def needs_tags(*tags: str) -> Check:
    """Make a check that rejects answers without these tags."""

    def check(task: LabelTask, answer: TeacherAnswer) -> str | None:
        missing = [tag for tag in tags if tagged(answer.text, tag) is None]
        return f"no_{missing[0]}_tag" if missing else None

    return check


def refinement(prompt: str, key: str = "instruction") -> TextJob:
    """Make the job that improves an instruction."""
    return TextJob(
        write=lambda record: f"{prompt}\n{field_of(record, key)}",
        finish=lambda record, text: {**record, key: tagged(text, "answer")},
        check=needs_tags("answer"),
    )


def extraction(prompt: str, keys: Sequence[str] = ("data", "instruction")) -> TextJob:
    """Make the job that finds an instruction and its response in a text."""
    return TextJob(
        write=lambda record: f"{prompt}\n{field_of(record, *keys)}",
        finish=lambda _, text: {
            "instruction": tagged(text, "instruction"),
            "output": tagged(text, "response"),
        },
        check=needs_tags("instruction", "response"),
    )


def thought(prompt: str, key: str = "instruction") -> TextJob:
    """Make the job that writes a chain of thought for a question."""
    return TextJob(
        write=lambda record: f"{prompt}\n{field_of(record, key)}",
        finish=lambda record, text: {**record, "instruction": field_of(record, key),
                                     "output": text},
    )  # fmt: skip


def answer(key: str = "instruction", output: str = "response") -> TextJob:
    """Make the job that answers an instruction."""
    return TextJob(
        write=lambda record: field_of(record, key),
        finish=lambda record, text: {**record, output: text},
    )


def rewriting(
    prompt: str, which: Rewriting, problem: str = "instruction", solution: str = "output"
) -> TextJob:
    """Make the job that shortens or extends the reasoning of a record."""
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
    """Draw the examples for each new instruction.

    Args:
        records: At least `in_context` records.
        in_context: Examples per new instruction, 1 or more.
        wanted: Number of new instructions, 1 or more.
        seed: Seed of the sampling.
        key: Column of the instructions.

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
    """Make the job that writes a new instruction after the examples of `expansion_records`."""
    return TextJob(
        write=lambda record: f"{prompt}\n" + "".join(f"{text}\n" for text in record["examples"]),
        finish=lambda _, text: {"instruction": tagged(text, "answer")},
        check=needs_tags("answer"),
        samples=True,
    )


def field_of(record: Record, *keys: str) -> str:
    """Return the first non-empty text under some keys.

    Raises:
        DataError: None of them holds a text.
    """
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value
    raise DataError(
        f"has the keys {', '.join(map(repr, record))}; a text under {' or '.join(map(repr, keys))} "
        "is needed"
    )
