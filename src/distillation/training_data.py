"""Convert records of the usual shapes to `Example`s.

| keys | meaning |
|---|---|
| `messages` | a conversation of user and assistant; the last assistant turn is learned |
| `conversations` | the same as ShareGPT writes it |
| `question`, `answer`, `context`? | a question; rendered as `s2-qa` |
| `instruction`, `output`, `input`? | Alpaca; rendered as `s2-qa` with `input` as context |
| `prompt`, `completion` or `target` | an unchanged prompt; lists of messages are a conversation |
| `text` | a plain text, supervised as a whole |

The first row that fits is used. Records written by `stillroom label` contain the shape of the label
and the format of its prompt. `source` is kept, because it selects the teacher in a mixture. Other
keys are ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..errors import DataError, EmptyDataError
from ..prompts import Prompt, as_text
from ..record_shapes import answered_shape, read_answer, read_asked, require_text
from ..records import Example, record_hash

Record = Example | Mapping[str, Any]

SOURCE: Final = "source"
"""Field that names the source of a record; each teacher of a mixture has the records of one."""
SHAPES: Final = (
    "text | question, answer | instruction, output | messages | conversations | prompt, completion"
)


def training_examples(records: Iterable[Record]) -> list[Example]:
    """Convert records of any known shape to labelled examples.

    They are sorted by id, so that equal data gives equal batches in whatever order it was read.

    Args:
        records: `Example`s or mappings; shapes may be mixed.

    Returns:
        One example per record. Mappings get an id from their content; equal ones are numbered.

    Raises:
        DataError: A record has an unknown shape, a value that is no text, or no target; the message
            gives its number, counted from 1.
        EmptyDataError: There are no records.
    """
    examples = examples_from(records, _prompt_and_target)
    for number, example in enumerate(examples, start=1):
        require_text(example.target, "target", number)
    counts = Counter(example.id for example in examples)
    equal = sorted(name for name, count in counts.items() if count > 1)
    if equal:
        raise DataError(
            f"{len(equal)} ids belong to several examples each, the first is {equal[0]!r}; make "
            "ids unique"
        )
    return sorted(examples, key=lambda example: example.id)


def examples_from(
    records: Iterable[Record], read: Callable[[object, int], tuple[Prompt, str | None]]
) -> list[Example]:
    """Make an example of each record, in the order given.

    Args:
        records: `Example`s, which are kept, or what `read` takes, with its number from 1 on.
        read: Gives prompt and target. Their hash is the id; equal ones are numbered.

    Raises:
        EmptyDataError: There are no records.
    """
    examples = []
    seen: Counter[str] = Counter()
    for number, record in enumerate(records, start=1):
        if isinstance(record, Example):
            examples.append(record)
            continue
        asked, target = read(record, number)
        prompt = as_text(asked)
        turns = None if isinstance(asked, str) else [dict(turn) for turn in asked]
        content = record_hash({"prompt": prompt, "target": target})[:24]
        examples.append(
            Example(
                f"{content}-{seen[content]}",
                prompt,
                target,
                task="text",
                fields=_source_of(record),
                turns=turns,
            )
        )
        seen[content] += 1
    if not examples:
        raise EmptyDataError("there are no training records; give at least one")
    return examples


def _source_of(record: object) -> dict[str, Any]:
    source = record.get(SOURCE) if isinstance(record, Mapping) else None
    return {SOURCE: source} if isinstance(source, str) else {}


def _prompt_and_target(record: object, number: int) -> tuple[Prompt, str]:
    if not isinstance(record, Mapping):
        raise DataError(
            f"is a {type(record).__name__}; give mappings with the keys {SHAPES}", row=number
        )
    found = answered_shape(record)
    if found is not None:
        shape, form = found
        return read_asked(record, shape, number).prompt(form), read_answer(record, shape, number)
    if "prompt" in record and "target" in record:
        target = require_text(record["target"], "target", number)
        return require_text(record["prompt"], "prompt", number), target
    if "text" in record:
        return "", require_text(record["text"], "text", number)
    raise DataError(
        f"has the keys {', '.join(repr(key) for key in record)}; known are {SHAPES}", row=number
    )
