"""The examples that labelling, training, evaluation and serving share, and hashes of records.

A table row becomes one or more `Example`s. Hashes are taken of `stable_json` (sorted keys, ASCII,
no spaces, no NaN), so that equal content has equal hashes on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from .files import read_json_lines, write_json_lines

Task = Literal["qa", "summarize", "validate", "text", "asked"]
# `json.dumps` would make an encoder for each call, which takes as long as its work.
_STABLE: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_LEGACY: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Source:
    """Where an example came from."""

    file: str
    """Name of the file or table, without folders."""
    row: int
    """Record number counted from 1, the header not counted."""
    column: str | None = None
    """Column of the answer; None where there is none."""


@dataclass(frozen=True)
class Example:
    """A prompt and, once labelled, its target: the unit of labelling, training and evaluation."""

    id: str
    """Unique in its data set, the same in every run."""
    prompt: str
    """The rendered prompt, from `prompts.render`; for a conversation, its turns as text."""
    target: str | None = None
    """The completion to learn; None while unlabelled."""
    task: Task = "qa"
    """Its task; scores are reported per task."""
    fact: str | None = None
    """Identifies the fact asked about; examples of the same fact are paraphrases."""
    source: Source | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """The original values, as read."""
    focus: tuple[int, float] | None = None
    """(start, weight): tokens of the target from this character on have this weight in the training
    loss. For the decisive word of a longer target."""
    label: dict[str, Any] | None = None
    """Origin of the target: None for gold, else at least `{"teacher": ..., "prompt_hash": ...}`."""
    turns: list[dict[str, str]] | None = None
    """The turns of a conversation up to the answer, for models with a chat template."""

    @property
    def asked(self) -> str | list[dict[str, str]]:
        """The prompt to give to a model, a `prompts.Prompt`."""
        return self.prompt if self.turns is None else self.turns

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
    """Write examples as JSON Lines, atomically."""
    write_json_lines(path, [example.to_dict() for example in examples])


def read_examples(path: str) -> list[Example]:
    """Read examples that `write_examples` wrote."""
    return [Example.from_dict(value) for value in read_json_lines(path)]


def stable_json(value: Any, *, legacy: bool = False) -> str:  # noqa: ANN401 - any JSON value
    """Serialise a JSON value so that equal values give equal texts.

    Texts are not normalised: one letter in two Unicode forms gives two texts. `1` and `1.0` differ.

    Args:
        value: A JSON value.
        legacy: Serialise as FastDistill does, for comparison with its ids: NaN is written `NaN`,
            and what is not JSON is written as the JSON of its `str()`.

    Raises:
        TypeError: The value is not JSON (a date, bytes, a set, keys of mixed types).
        ValueError: It holds NaN or an infinity.

    >>> stable_json({"b": 1, "a": [1, 2]})
    '{"a":[1,2],"b":1}'
    >>> print(stable_json({1: 2, "a": 3}, legacy=True))
    "{1: 2, 'a': 3}"
    """
    try:
        return (_LEGACY if legacy else _STABLE).encode(value)
    except TypeError:
        if legacy:
            return json.dumps(str(value))
        raise


def sha256_text(text: str) -> str:
    """Hash the UTF-8 of a text; hex, 64 digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def record_hash(record: Any) -> str:  # noqa: ANN401 - any JSON value
    """Hash one record by its content."""
    return sha256_text(stable_json(record))


def data_hash(records: Iterable[Any]) -> str:
    """Hash a set of records independently of their order.

    >>> data_hash([{"a": 1}, {"b": 2}])[:12]
    '01f93988d26f'
    """
    hashes = sorted(record_hash(record) for record in records)
    return sha256_text("".join(f"{h}\n" for h in hashes))


def split_position(key: str) -> float:
    """Map a key to [0, 1] by its hash, so that it always falls into the same part of a split.

    >>> split_position("b")
    0.2427353910735658
    """
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:4], "big") / (2**32 - 1)
