"""The usual shapes of a user's records: which keys hold the question and which the answer.

| keys | question | answer |
|---|---|---|
| `messages` | an optional system turn, user and assistant in turn | the last assistant's turn |
| `conversations` | the same in ShareGPT's form: `from`, `value` | the last turn of `gpt` |
| `question`, `context`? | a question | `answer` |
| `instruction`, `input`? | an instruction (Alpaca) | `output` |
| `prompt` | a text as it is, or turns (TRL) | `completion`: a text, or a list of one turn |

Labelling and training both read records here, so a student is trained on exactly what its teacher
was asked, and a record that cannot be trained is refused before a teacher is paid for it. The mark
of a labelled record (`label`) says which shape was asked, in which prompt format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

from .errors import DataError
from .prompts import FORMATS, FormatName, Prompt, context_of, render

Record = Mapping[str, Any]
Shape = Literal["messages", "conversations", "question", "instruction", "prompt"]

ANSWER_KEYS: Final[dict[Shape, str]] = {
    "messages": "messages",
    "conversations": "conversations",
    "question": "answer",
    "instruction": "output",
    "prompt": "completion",
}
"""Key of the question -> key of the answer. The first key that has a value counts."""
MARK_KEYS: Final = ("label", "stillroom_label")
"""Keys of the mark: the second is used where the table has a column `label` of its own."""

_CONTEXTS: Final = {"question": "context", "instruction": "input"}
_ROLES: Final = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "ai", "bot"), "assistant"),
}
_PARTS: Final = ("text", "input_text", "output_text")
"""Types of text parts in a turn's content."""


@dataclass(frozen=True)
class Asked:
    """The question of a record."""

    shape: Shape
    text: str
    """The question, the instruction, the user's turn or the prompt."""
    context: str | None = None
    """Text that the question is about, or the system's words and the conversation before."""
    turns: list[dict[str, str]] | None = None
    """The turns up to the answer, for a conversation."""

    def prompt(self, form: FormatName) -> Prompt:
        """Give the prompt: turns as they are, a ready prompt too, a question in a format."""
        if self.turns is not None:
            return self.turns
        if self.shape == "prompt":
            return self.text
        return render(form, self.text, context=self.context)


def asked_shape(record: Record) -> Shape | None:
    """Find the shape of a record's question; None where it has none of the keys."""
    there = [shape for shape in ANSWER_KEYS if shape in record]
    return next(
        (shape for shape in there if not is_nothing(record[shape])), next(iter(there), None)
    )


def answered_shape(record: Record) -> tuple[Shape, FormatName] | None:
    """Find the shape to train on and its format; None where no shape is complete.

    The mark of a label decides. Without a mark it is the first shape that has both question and
    answer, in `s2-qa`.
    """
    there: list[Shape] = [s for s, key in ANSWER_KEYS.items() if s in record and key in record]
    mark = label_mark(record) or {}
    if mark.get("asked") in there:
        form = mark.get("format")
        return mark["asked"], form if form in FORMATS else "s2-qa"
    for shape in there:
        if not is_nothing(record[shape]) and not is_nothing(record[ANSWER_KEYS[shape]]):
            return shape, "s2-qa"
    return (there[0], "s2-qa") if there else None


def label_mark(record: Record) -> Mapping[str, Any] | None:
    """Give the mark that labelling wrote into a record; None where there is none."""
    for key in MARK_KEYS:
        mark = record.get(key)
        if isinstance(mark, Mapping) and {"teacher", "prompt_hash"} <= mark.keys():
            return mark
    return None


def read_asked(record: Record, shape: Shape, number: int) -> Asked:
    """Read the question of a record.

    Args:
        record: Record with a value under the key of the shape.
        shape: Shape to read.
        number: Record number counted from 1, for errors.

    Raises:
        DataError: The value is not text, or a conversation that cannot be trained.
    """
    value = record[shape]
    if shape in ("messages", "conversations") or (shape == "prompt" and _is_list(value)):
        turns, _ = _exchange(value, shape, number)
        return Asked(shape, turns[-1]["content"], context_of(turns) or None, turns)
    text = require_text(value, shape, number)
    key = _CONTEXTS.get(shape)
    context = None if key is None else _context(record.get(key), key, number)
    return Asked(shape, text, context)


def read_answer(record: Record, shape: Shape, number: int) -> str:
    """Read the answer of a record.

    Raises:
        DataError: There is no answer, or it is not text.
    """
    key = ANSWER_KEYS[shape]
    value = record[key]
    if shape in ("messages", "conversations"):
        _, answer = _exchange(value, shape, number)
        if answer is None:
            raise _no_conversation(_roles(_turns(value, shape, number)), key, number)
        return answer
    if shape == "prompt" and _is_list(value):
        turns = _turns(value, key, number)
        if _roles(turns) != ["assistant"]:
            raise DataError(
                f"has the roles {_roles(turns)}; one assistant turn is needed",
                row=number,
                column=key,
            )
        return turns[0]["content"]
    return require_text(value, key, number)


def put_answer(record: Record, shape: Shape, text: str) -> dict[str, Any]:
    """Copy a record with a new answer; an earlier answer moves to another key.

    >>> put_answer({"question": "Q", "answer": "old"}, "question", "new")
    {'question': 'Q', 'answer': 'new', 'answer_before': 'old'}
    """
    key, told = ANSWER_KEYS[shape], dict(record)
    if shape in ("messages", "conversations"):
        turns = list(record[shape])
        ours = "from" not in turns[0]
        new = {"role": "assistant", "content": text} if ours else {"from": "gpt", "value": text}
        if _role(turns[-1])[1] == "assistant":
            _move_aside(told, key)
            turns.pop()
        return {**told, key: [*turns, new]}
    _move_aside(told, key)
    if shape == "prompt" and _is_list(record["prompt"]):
        return {**told, key: [{"role": "assistant", "content": text}]}
    return {**told, key: text}


def put_column(record: Record, key: str, value: object) -> dict[str, Any]:
    """Copy a record with a new value; an earlier value moves to another key."""
    told = dict(record)
    if told.get(key) != value:
        _move_aside(told, key)
    return {**told, key: value}


def require_text(value: object, key: str, number: int) -> str:
    """Check that a value is a text that is not blank, and give it.

    Raises:
        DataError: It is not one.
    """
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"is {value!r}; a text is needed. Remove or correct the record", row=number, column=key
        )
    return value


def is_nothing(value: object) -> bool:
    """Say whether a cell is None or NaN, as tables write null."""
    return value is None or (isinstance(value, float) and value != value)


def _move_aside(record: dict[str, Any], key: str) -> None:
    """Move the value of a key to a new last key, unless it is empty."""
    old = record.get(key)
    if is_nothing(old) or old == "" or old == []:
        return
    name, number = f"{key}_before", 2
    while name in record:
        name, number = f"{key}_before_{number}", number + 1
    record[name] = old


def _context(value: object, key: str, number: int) -> str | None:
    if is_nothing(value) or value == "" or value == []:
        return None
    if _is_list(value) and all(isinstance(one, str) for one in value):
        value = "\n\n".join(value)  # a list of passages, as in SQuAD
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return require_text(value, key, number)


def _exchange(value: object, key: str, number: int) -> tuple[list[dict[str, str]], str | None]:
    """Read a conversation: the turns up to the last user's turn, and the answer to it or None.

    Raises:
        DataError: User and assistant do not alternate.
    """
    turns = _turns(value, key, number)
    roles = _roles(turns)
    answer = turns.pop()["content"] if roles[-1:] == ["assistant"] else None
    spoken = _roles(turns)[1 if roles[0] == "system" else 0 :]
    if len(spoken) % 2 == 0 or spoken != (["user", "assistant"] * len(spoken))[: len(spoken)]:
        raise _no_conversation(roles, key, number)
    return turns, answer


def _no_conversation(roles: list[str], key: str, number: int) -> DataError:
    return DataError(
        f"has the roles {roles}; a record is a conversation: an optional system turn, then user "
        "and assistant in turn. The last assistant turn is its answer",
        row=number,
        column=key,
    )


def _roles(turns: Sequence[Mapping[str, str]]) -> list[str]:
    return [turn["role"] for turn in turns]


def _turns(value: object, key: str, number: int) -> list[dict[str, str]]:
    """Read turns with `role` and `content` or `from` and `value`; join adjacent system turns."""
    if not _is_list(value) or not value or not all(isinstance(turn, Mapping) for turn in value):
        raise DataError(
            'needs a list of {"role": ..., "content": ...} or {"from": ..., "value": ...}',
            row=number,
            column=key,
        )
    turns: list[dict[str, str]] = []
    for turn in value:
        named, role = _role(turn)
        if role is None:
            raise DataError(
                f"has a turn of {named!r}; roles that can be trained are {sorted(_ROLES)}",
                row=number,
                column=key,
            )
        said = _content(turn.get("content", turn.get("value")), key, number)
        if role == "system" and not said.strip():
            continue
        require_text(said, key, number)
        if role == "system" and turns and turns[-1]["role"] == "system":
            said = f"{turns.pop()['content']}\n\n{said}"
        turns.append({"role": role, "content": said})
    return turns


def _role(turn: Mapping[str, Any]) -> tuple[object, str | None]:
    """Give a turn's role as written, and its standard name; None where it cannot be trained."""
    named = turn["role"] if "role" in turn else turn.get("from")
    return named, _ROLES.get(named.strip().lower()) if isinstance(named, str) else None


def _content(value: object, key: str, number: int) -> str:
    """Read the text of a turn: a text, or a list of text parts."""
    if value is None:
        return ""
    parts = value if _is_list(value) else [value]
    texts = []
    for part in parts:
        if isinstance(part, Mapping) and part.get("type", "text") in _PARTS:
            part = part.get("text")
        if not isinstance(part, str):
            told = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise DataError(
                f"has a part of type {told!r}; only text can be trained", row=number, column=key
            )
        texts.append(part)
    return "".join(texts)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)
