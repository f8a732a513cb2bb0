"""Convert records to tasks, and answers to records in the shapes that `stillroom distill` reads.

| keys of a record | prompt | key of the answer |
|---|---|---|
| `messages`, `conversations` | the turns of system and user | a further turn |
| `question`, `context`? | rendered in the format | `answer` |
| `instruction`, `input`? | rendered in the format | `output` |
| `prompt` | as it is: a text, or turns | `completion` |
| any, with a template | the filled template | `completion`, beside `prompt` |

The first row that fits is used. Records are read by `record_shapes`, as in training, so a student
is trained on the prompt that the teacher was asked, and a record that cannot be trained on is
refused before any call. The provenance of a label names the row. An earlier answer is kept under
`..._before`; all other columns are unchanged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import ConfigError, DataError
from ...prompts import FORMATS, FormatName, format_sha256
from ...record_shapes import (
    ANSWER_KEYS,
    MARK_KEYS,
    Shape,
    asked_shape,
    is_nothing,
    label_mark,
    put_answer,
    put_column,
    read_asked,
)
from ...records import record_hash, sha256_text
from ..teachers.protocol import DecodeProfile, Prompt
from .label_run import Labelled, LabelTask

Record = Mapping[str, Any]


def label_tasks(
    records: Sequence[Record],
    *,
    form: FormatName = "s2-qa",
    template: str | None = None,
    id_key: str = "id",
) -> list[LabelTask]:
    """Make one task per record.

    Args:
        records: Records in the shapes above, which may be mixed. Their own answers are ignored.
        form: Format of questions and instructions.
        template: Text with `{name}` for the value of a column; other braces are kept. None renders
            each record by its shape.
        id_key: Column of ids; equal ids are numbered, and missing ones are derived from the
            content.

    Raises:
        DataError: A record has no known shape or no text there, holds a value that JSON does not
            know, or is a conversation that a student cannot be trained on.
        ConfigError: The format is unknown, or the template names no column.
    """
    if form not in FORMATS:
        raise ConfigError([f"the format is {form!r}; allowed are {sorted(FORMATS)}"])
    fill = None if template is None else _filler(template, records)
    taken = {str(record[id_key]) for record in records if not is_nothing(record.get(id_key))}
    tasks, seen = [], Counter[str]()
    for number, given in enumerate(records, 1):
        record = {key: None if is_nothing(value) else value for key, value in given.items()}
        prompt = _prompt(record, form, number) if fill is None else fill(record, number)
        content, own = _hash(record, number), record.get(id_key)
        name = content[:16] if own is None else str(own)
        tasks.append(LabelTask(_unique(name, seen, taken), prompt, record))
    return tasks


def labelled_record(
    one: Labelled,
    teacher: str,
    profile: DecodeProfile,
    *,
    form: FormatName = "s2-qa",
    template: str | None = None,
) -> dict[str, Any]:
    """Add an answer to its record, and its provenance under `label`.

    Args:
        one: A task with its answer.
        teacher: Name of the teacher.
        profile: How it was decoded.
        form: Format of the prompt.
        template: Template of the prompt; None for the formats of `prompts`.

    Raises:
        ValueError: The task has no answer.
    """
    if one.answer is None:
        raise ValueError(f"{one.task.id!r} has no answer")
    record, text = one.task.record, one.answer.text
    shape = asked_shape(record) if template is None else "prompt"
    if template is not None:
        record = put_column(record, "prompt", one.task.prompt)
    hashed = format_sha256(form) if template is None else sha256_text(template.strip())
    mark = {
        "teacher": teacher,
        "decode_profile": profile.to_dict(),
        "prompt_hash": hashed[:12],
        "key": one.key,
        "cached": one.cached,
        "asked": shape or "prompt",
        "format": form if template is None else None,
    }
    return {**put_answer(record, shape or "prompt", text), mark_key(record): mark}


def mark_key(record: Record) -> str:
    """Return the key of the provenance: the second of `MARK_KEYS` if the first is a data column.

    >>> mark_key({"question": "Q"}), mark_key({"question": "Q", "label": "metal"})
    ('label', 'stillroom_label')
    """
    first, second = MARK_KEYS
    own = first in record and label_mark({first: record[first]}) is None
    return second if own else first


def kept_columns(tasks: Sequence[LabelTask], *, template: str | None = None) -> dict[str, str]:
    """Return the columns that are renamed to make room for labels -> their new names.

    A column `label` is not renamed; the provenance gets the other name instead.
    """
    told: dict[str, str] = {}
    for task in tasks:
        record = task.record
        shape: Shape | None = "prompt" if template is not None else asked_shape(record)
        made = dict(record) if template is None else put_column(record, "prompt", task.prompt)
        made = put_answer(made, shape or "prompt", "")
        for name in made.keys() - record.keys() - {"prompt", ANSWER_KEYS[shape or "prompt"]}:
            told[re.sub(r"_before(_\d+)?$", "", name)] = name
        if mark_key(record) != MARK_KEYS[0]:
            told[MARK_KEYS[0]] = MARK_KEYS[1]
    return told


def unknown_names(template: str, tasks: Sequence[LabelTask]) -> list[str]:
    """List names in braces of a template that are no column, perhaps because of a typing error."""
    columns = {key for task in tasks for key in task.record}
    found = re.findall(r"(?<!\{)\{([^\W\d]\w*)\}(?!\})", template)
    return [name for name in dict.fromkeys(found) if name not in columns]


def _prompt(record: Record, form: FormatName, number: int) -> Prompt:
    shape = asked_shape(record)
    if shape is None:
        keys = ", ".join(repr(key) for key in record)
        raise DataError(
            f"has the keys {keys}; known are {', '.join(ANSWER_KEYS)}. Name the column that is "
            "asked (--question), or give a template with columns in braces (--template)",
            row=number,
        )
    return read_asked(record, shape, number).prompt(form)


def _filler(template: str, records: Sequence[Record]) -> Callable[[Record, int], str]:
    """Make a function that fills a template from a record; only column names are replaced."""
    columns = {key for record in records for key in record}
    found = sorted(set(re.findall(r"\{([^{}]+)\}", template)) & columns)
    if not found:
        raise ConfigError(
            [f"the template names no column; write one of {sorted(columns)} in braces"]
        )
    names = re.compile("|".join(re.escape(f"{{{name}}}") for name in found))

    def fill(record: Record, number: int) -> str:
        missing = next((name for name in found if is_nothing(record.get(name))), None)
        if missing is not None:
            raise DataError("is empty, and the template needs it", row=number, column=missing)
        return names.sub(lambda match: _cell_text(record[match[0][1:-1]]), template)

    return fill


def _hash(record: Record, number: int) -> str:
    """Hash a record; one that cannot be hashed could not be written with its label either."""
    try:
        return record_hash(dict(record))
    except (TypeError, ValueError) as fault:
        raise DataError(f"holds a value that JSON does not know: {fault}", row=number) from fault


def _cell_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _unique(name: str, seen: Counter[str], taken: set[str]) -> str:
    """Append a number to a name that was used before."""
    seen[name] += 1
    while seen[name] > 1 and f"{name}-{seen[name]}" in taken:
        seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"
