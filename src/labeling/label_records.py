"""Records to tasks, and answers back into records, in the shapes that `stillroom distill` reads.

| keys of a record | the prompt | the answer goes to |
|---|---|---|
| `messages` | the turns, as they are | a further turn of `messages` |
| `question`, `context`? | rendered in the format | `answer` |
| `instruction`, `input`? | rendered in the format | `output` |
| `prompt` | as it is | `completion` |
| any, with a template | the template, filled in | `completion`, beside `prompt` |

The first row that fits counts. What a student is trained on is what the teacher was asked: in the
default format `s2-qa`, by `stillroom distill`; in `system1` and `system2`, by `distill_system1` and
`distill_system2`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ConfigError, DataError
from ..prompts import FORMATS, FormatName, format_sha256, render
from ..records import record_hash, sha256_text
from .label_values import Labelled, LabelTask
from .teachers import DecodeProfile, Prompt

Record = Mapping[str, Any]
_TEXTS = {"question": ("context", "answer"), "instruction": ("input", "output")}
"""Key of what is asked: keys of what it is asked about, and of the answer."""
_ROLES = ("system", "user", "assistant")


def label_tasks(
    records: Sequence[Record],
    *,
    form: FormatName = "s2-qa",
    template: str | None = None,
    id_key: str = "id",
) -> list[LabelTask]:
    """Make tasks of records.

    Args:
        records: In one of the shapes above; shapes may be mixed. Their own answers are not looked
            at.
        form: How questions and instructions are rendered.
        template: Text with `{name}` for the value of a column; other braces stay as they are. None
            renders by shape.
        id_key: Column of ids; records without get one from their content.

    Raises:
        DataError: A record has no known shape, no text in it, or an id that another one has too.
        ConfigError: The template names no column, or one that no record has.
    """
    fill = None if template is None else _filler(template, records)
    tasks, seen = [], Counter[str]()
    for number, record in enumerate(records, 1):
        prompt = _prompt(record, form, number) if fill is None else fill(record, number)
        own = record.get(id_key)
        name = str(own) if own is not None else _content_id(record, seen)
        tasks.append(LabelTask(name, prompt, dict(record)))
    return tasks


def labelled_record(
    one: Labelled,
    teacher: str,
    profile: DecodeProfile,
    *,
    form: FormatName = "s2-qa",
    template: str | None = None,
) -> dict[str, Any]:
    """Put an answer into its record.

    Args:
        one: A task with its answer.
        teacher: Name of who answered.
        profile: How it was decoded.
        form: Format of the prompt.
        template: That the prompt came from; None for the formats of `prompts`.

    Raises:
        ValueError: The task has no answer.
    """
    if one.answer is None:
        raise ValueError(f"{one.task.id!r} has no answer")
    record, text, prompt = dict(one.task.record), one.answer.text, one.task.prompt
    hashed = format_sha256(form) if template is None else sha256_text(template.strip())
    record["label"] = {
        "teacher": teacher,
        "decode_profile": profile.to_dict(),
        "prompt_hash": hashed[:12],
        "key": one.key,
        "cached": one.cached,
    }
    shape = None if template is not None else _shape(record)
    if shape == "messages":
        record["messages"] = [*record["messages"], {"role": "assistant", "content": text}]
    elif shape in _TEXTS:
        record[_TEXTS[shape][1]] = text
    else:
        record |= {"prompt": prompt, "completion": text}
    return record


def _prompt(record: Record, form: FormatName, number: int) -> Prompt:
    shape = _shape(record)
    if shape == "messages":
        return _turns(record["messages"], number)
    if shape is None:
        keys = ", ".join(repr(key) for key in record)
        raise DataError(
            f"has the keys {keys}; known are messages, question, instruction and prompt. Give a "
            "template, or name the column that is asked",
            row=number,
        )
    text = record[shape]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"is {text!r}; a text is needed", row=number, column=shape)
    if shape == "prompt":
        return text
    if form not in FORMATS:
        raise ConfigError([f"the format is {form!r}; allowed are {sorted(FORMATS)}"])
    context = record.get(_TEXTS[shape][0])
    return render(form, text, context=None if context is None else str(context))


def _shape(record: Record) -> str | None:
    return next((key for key in ("messages", *_TEXTS, "prompt") if key in record), None)


def _turns(value: object, number: int) -> list[dict[str, str]]:
    turns = value if isinstance(value, list) else []
    fine = bool(turns) and all(
        isinstance(turn, Mapping)
        and turn.get("role") in _ROLES
        and isinstance(turn.get("content"), str)
        for turn in turns
    )
    if not fine or turns[-1]["role"] == "assistant":
        raise DataError(
            f'needs a list of {{"role": ..., "content": text}} with roles of {list(_ROLES)}, the '
            "last of them not the assistant",
            row=number,
            column="messages",
        )
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _filler(template: str, records: Sequence[Record]) -> Callable[[Record, int], str]:
    """Make what fills a template from a record; only names of columns are replaced."""
    columns = {key for record in records for key in record}
    found = sorted(set(re.findall(r"\{([^{}]+)\}", template)) & columns)
    if not found:
        raise ConfigError(
            [f"the template names no column; write one of {sorted(columns)} in braces"]
        )
    names = re.compile("|".join(re.escape(f"{{{name}}}") for name in found))

    def fill(record: Record, number: int) -> str:
        missing = next((name for name in found if record.get(name) is None), None)
        if missing is not None:
            raise DataError("is empty, and the template needs it", row=number, column=missing)
        return names.sub(lambda match: str(record[match[0][1:-1]]), template)

    return fill


def _content_id(record: Record, seen: Counter[str]) -> str:
    name = record_hash(dict(record))[:16]
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"
