"""Converting rows of instruction data sets to records `{instruction, input, output}`.

| row | instruction | input | output |
|---|---|---|---|
| DistilQwen, Alpaca | `instruction`, or else `input` | `input` | `output` |
| questions | `question` | `context` | `answer` |
| self-instruct seeds | `instruction` | `instances[0].input` | `instances[0].output` |
| of `stillroom label` | the question asked | its context | the label, as its mark says |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import DataError
from ...record_shapes import answered_shape, label_mark, read_answer, read_asked

InstructionRecord = dict[str, str]
"""`instruction`, `input` (may be empty) and `output` (empty while unlabelled)."""


def instruction_records(rows: Iterable[Mapping[str, Any]]) -> list[InstructionRecord]:
    """Convert rows to instruction records, in order.

    Raises:
        DataError: A row has no instruction, or a value that is not text; names the row.
    """
    return [_record(row, number) for number, row in enumerate(rows, start=1)]


def _record(row: Mapping[str, Any], number: int) -> InstructionRecord:
    labelled = answered_shape(row) if label_mark(row) is not None else None
    if labelled is not None:
        asked = read_asked(row, labelled[0], number)
        label = read_answer(row, labelled[0], number)
        return {"instruction": asked.text, "input": asked.context or "", "output": label}
    instances = row.get("instances")
    if isinstance(instances, list) and instances and isinstance(instances[0], Mapping):
        row = {**instances[0], "instruction": row.get("instruction")}
    instruction = text_of(row, number, "instruction", "question")
    given = text_of(row, number, "input", "context")
    if not instruction:
        instruction, given = given, ""
    if not instruction:
        raise DataError(
            f"has the keys {', '.join(map(repr, row))}, and neither 'instruction', 'question' nor "
            "'input' holds a text",
            row=number,
        )
    output = text_of(row, number, "output", "answer", "response")
    return {"instruction": instruction, "input": given, "output": output}


def text_of(row: Mapping[str, Any], number: int, *keys: str) -> str:
    """Give the first text under these keys that is not blank; empty where there is none.

    Raises:
        DataError: A value is not text.
    """
    for key in keys:
        value = row.get(key)
        if value is not None and not isinstance(value, str):
            raise DataError(f"is {value!r}; a text is needed", row=number, column=key)
        if value and value.strip():
            return value
    return ""
