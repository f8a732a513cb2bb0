"""The one record that travels between the rooms, and the hashes that identify records.

A table row becomes one or more `Example`s; labelling, training, evaluation and serving all read
them. Hashes follow `stable_json`: sorted keys, ASCII, no spaces, no NaN, so that equal content has
equal hashes anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .files import read_json_lines, write_json_lines

Task = Literal["qa", "summarize", "validate", "text"]


@dataclass(frozen=True)
class Source:
    """Where an example came from."""

    file: str
    """Name of the file or table, without folders."""
    row: int
    """Record number counted from 1, the header not counted."""
    column: str | None = None
    """Column that holds the answer, where there is one."""


@dataclass(frozen=True)
class Example:
    """One prompt with, perhaps, its target: the unit of labelling, training and evaluation."""

    id: str
    """Unique in its data set and stable from run to run."""
    prompt: str
    """The rendered prompt, from `prompts.render`."""
    target: str | None = None
    """What the model is to say after the prompt; None while unlabelled."""
    task: Task = "qa"
    """Which task it belongs to; scores are reported per task."""
    fact: str | None = None
    """What is asked, whatever the wording: examples with one fact are paraphrases of each other."""
    source: Source | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """The original values, as read."""
    focus: tuple[int, float] | None = None
    """(start, weight): tokens of the target that begin at or after this character count so many
    times in the training loss. For the one word that a long target is about."""
    label: dict[str, Any] | None = None
    """Who gave the target: None for gold, else at least `{"teacher": ..., "prompt_hash": ...}`."""

    def to_dict(self) -> dict[str, Any]:
        """Give the example as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Example:
        """Build an example from what `to_dict` gave."""
        source = value.get("source")
        focus = value.get("focus")
        return cls(
            **{
                **value,
                "source": Source(**source) if source else None,
                "focus": tuple(focus) if focus else None,
            }
        )


def write_examples(path: str, examples: Iterable[Example]) -> None:
    """Write examples as JSON Lines, whole or not at all."""
    write_json_lines(path, [example.to_dict() for example in examples])


def read_examples(path: str) -> list[Example]:
    """Read examples that `write_examples` wrote."""
    return [Example.from_dict(value) for value in read_json_lines(path)]


def stable_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Serialise a JSON value so that equal values give equal text.

    >>> stable_json({"b": 1, "a": [1, 2]})
    '{"a":[1,2],"b":1}'

    Raises:
        TypeError: The value is no JSON value (a date, bytes, a set, keys of mixed types).
        ValueError: It holds NaN or an infinity.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False
    )


def sha256_text(text: str) -> str:
    """Hash the UTF-8 of a text; hex, 64 digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def record_hash(record: Any) -> str:  # noqa: ANN401 - any JSON value
    """Hash one record by its content."""
    return sha256_text(stable_json(record))


def data_hash(records: Iterable[Any]) -> str:
    """Hash a set of records, whatever their order.

    >>> data_hash([{"a": 1}, {"b": 2}])[:12]
    '01f93988d26f'
    """
    hashes = sorted(record_hash(record) for record in records)
    return sha256_text("".join(f"{h}\n" for h in hashes))


def split_position(key: str) -> float:
    """Place a key in [0, 1] by its hash: the same key always falls into the same part of a split.

    >>> split_position("b")
    0.2427353910735658
    """
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:4], "big") / (2**32 - 1)
