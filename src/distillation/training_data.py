"""Records as users have them, in any of the usual shapes, to `Example`s.

| keys | meaning |
|---|---|
| `text` | a plain text, supervised as a whole |
| `question`, `answer`, `context`? | a question; rendered as `s2-qa` |
| `instruction`, `output`, `input`? | Alpaca; rendered as `s2-qa` with `input` as context |
| `messages` | one exchange: an optional system text (context), one user and one assistant turn |
| `prompt`, `completion` or `target` | a prompt that is used as it is |

The first row that fits counts. Further keys are allowed and not trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..errors import DataError, EmptyDataError
from ..prompts import render
from ..records import Example, record_hash

Record = Example | Mapping[str, Any]
PromptAndTarget = tuple[str, str]

SHAPES: Final = "text | question, answer | instruction, output | messages | prompt, completion"


def training_examples(records: Iterable[Record]) -> list[Example]:
    """Bring records of any known shape to labelled examples, sorted by id.

    Sorted, so that equal data gives equal batches however it was read (contracts.md 2.5).

    Args:
        records: `Example`s or mappings; shapes may be mixed.

    Returns:
        One example per record. Mappings get an id from their content; equal ones are numbered.

    Raises:
        DataError: A record has no known shape, a value that is no text, or no target; the message
            names the record by its number, counted from 1.
        EmptyDataError: There are no records.
    """
    examples = []
    seen: Counter[str] = Counter()
    for number, record in enumerate(records, start=1):
        if isinstance(record, Example):
            _require(record.target, "target", number)
            examples.append(record)
            continue
        prompt, target = _prompt_and_target(record, number)
        content = record_hash({"prompt": prompt, "target": target})[:24]
        examples.append(Example(f"{content}-{seen[content]}", prompt, target, task="text"))
        seen[content] += 1
    if not examples:
        raise EmptyDataError("there are no training records; give at least one")
    _refuse_equal_ids(examples)
    return sorted(examples, key=lambda example: example.id)


def _refuse_equal_ids(examples: list[Example]) -> None:
    counts = Counter(example.id for example in examples)
    equal = sorted(name for name, count in counts.items() if count > 1)
    if equal:
        raise DataError(f"{len(equal)} ids stand for several examples each, first {equal[0]!r}")


def _prompt_and_target(record: object, number: int) -> PromptAndTarget:
    if not isinstance(record, Mapping):
        raise DataError(
            f"is a {type(record).__name__}; give mappings with the keys {SHAPES}", row=number
        )
    for keys, convert in _CONVERTERS:
        if all(key in record for key in keys):
            return convert(record, number)
    raise DataError(
        f"has the keys {', '.join(repr(key) for key in record)}; known are {SHAPES}", row=number
    )


def _require(value: object, key: str, number: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"is {value!r}; a text is needed. Drop or repair the record", row=number, column=key
        )
    return value


def _optional(record: Mapping[str, Any], key: str, number: int) -> str | None:
    value = record.get(key)
    return None if value is None or value == "" else _require(value, key, number)


def _text(record: Mapping[str, Any], number: int) -> PromptAndTarget:
    return "", _require(record["text"], "text", number)


def _question(record: Mapping[str, Any], number: int) -> PromptAndTarget:
    prompt = render(
        "s2-qa",
        _require(record["question"], "question", number),
        context=_optional(record, "context", number),
    )
    return prompt, _require(record["answer"], "answer", number)


def _alpaca(record: Mapping[str, Any], number: int) -> PromptAndTarget:
    prompt = render(
        "s2-qa",
        _require(record["instruction"], "instruction", number),
        context=_optional(record, "input", number),
    )
    return prompt, _require(record["output"], "output", number)


def _messages(record: Mapping[str, Any], number: int) -> PromptAndTarget:
    turns = record["messages"]
    try:
        roles = [turn["role"] for turn in turns]
        texts = [_require(turn["content"], "messages", number) for turn in turns]
    except (TypeError, KeyError) as fault:
        raise DataError(
            'needs a list of {"role": ..., "content": ...}', row=number, column="messages"
        ) from fault
    if roles not in (["user", "assistant"], ["system", "user", "assistant"]):
        raise DataError(
            f"has the roles {roles}; one exchange is trained: an optional system text, one user "
            "and one assistant turn. Cut longer talks into exchanges",
            row=number,
            column="messages",
        )
    context = texts[0] if len(texts) == 3 else None
    return render("s2-qa", texts[-2], context=context), texts[-1]


def _completion(key: str) -> Callable[[Mapping[str, Any], int], PromptAndTarget]:
    def convert(record: Mapping[str, Any], number: int) -> PromptAndTarget:
        prompt = _require(record["prompt"], "prompt", number)
        return prompt, _require(record[key], key, number)

    return convert


_CONVERTERS: Final = (
    (("messages",), _messages),
    (("question", "answer"), _question),
    (("instruction", "output"), _alpaca),
    (("prompt", "completion"), _completion("completion")),
    (("prompt", "target"), _completion("target")),
    (("text",), _text),
)
