"""Records in the forms that trainers read: Alpaca, chat messages, ShareGPT, DPO, MLX.

| form | an object of the file |
|---|---|
| `alpaca` | `instruction`, `input` (may be empty), `output`; `system` where there is one |
| `messages` | `messages`: `role` and `content` of system (where there is one), user, assistant |
| `mlx` | the same and `metadata` |
| `sharegpt` | `conversations`: `from` (`system`, `human`, `gpt`) and `value` |
| `dpo` | `prompt`, `chosen`, `rejected`; `chosen_score`, `rejected_score` where there are any |

Nothing missing becomes an empty text: a record without what its form needs is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from ...errors import ConfigError, DataError
from ...record_template import RecordTemplate
from ..gates.record_values import read_number, read_text

Record = Mapping[str, Any]
FormName = Literal["alpaca", "messages", "mlx", "sharegpt", "dpo"]
FORM_NAMES: Final[tuple[FormName, ...]] = get_args(FormName)


@dataclass(frozen=True)
class ExportFields:
    """Where the parts of an exported object come from."""

    prompt_template: str = "{{ instruction }}"
    """Jinja text of the prompt, with the columns as variables."""
    assistant_field: str = "generation"
    """Column of the answer."""
    system_prompt: str | None = None
    system_prompt_field: str | None = None
    """Column of a record's own system prompt, which goes before `system_prompt`."""
    input_field: str | None = "input"
    """Column of Alpaca's `input`; a record without it has an empty one."""
    chosen_field: str = "chosen"
    rejected_field: str = "rejected"
    metadata_fields: tuple[str, ...] = ()
    """Columns that are kept in `metadata`, where a record has them."""


class Exporter:
    """Writes records in one form.

    >>> alpaca = Exporter("alpaca", ExportFields())
    >>> alpaca.export({"instruction": "Add 2 and 2.", "generation": "4"})
    {'instruction': 'Add 2 and 2.', 'input': '', 'output': '4'}
    """

    def __init__(self, form: FormName, fields: ExportFields) -> None:
        """Parse the template.

        Raises:
            ConfigError: The form is unknown, or the template has a mistake.
        """
        if form not in FORM_NAMES:
            raise ConfigError([f"form is {form!r}; allowed are {', '.join(FORM_NAMES)}"])
        self._fields = fields
        self._prompt = RecordTemplate(fields.prompt_template)
        self._write: Callable[[Record], dict[str, Any]] = getattr(self, f"_{form}")

    def export(self, record: Record) -> dict[str, Any]:
        """Give the object of a record.

        Raises:
            DataError: The record lacks what the form needs; names the record by its `sample_id`.
        """
        try:
            return self._write(record)
        except DataError as fault:
            name = next((record[f] for f in ("sample_id", "task_id", "id") if record.get(f)), None)
            raise DataError(f"record {name!r}: {fault}" if name else str(fault)) from fault

    def _alpaca(self, record: Record) -> dict[str, Any]:
        field = self._fields.input_field
        given = None if field is None else record.get(field)
        system = self._system(record)
        return {
            "instruction": self._prompt_text(record),
            "input": "" if field is None or given in (None, "") else _text(record, field),
            "output": _text(record, self._fields.assistant_field),
            **({"system": system} if system else {}),
        }

    def _messages(self, record: Record) -> dict[str, Any]:
        return {
            "messages": [{"role": role, "content": text} for role, text in self._turns(record)],
            **({"metadata": self._metadata(record)} if self._fields.metadata_fields else {}),
        }

    def _mlx(self, record: Record) -> dict[str, Any]:
        return {**self._messages(record), "metadata": self._metadata(record)}

    def _sharegpt(self, record: Record) -> dict[str, Any]:
        names = {"system": "system", "user": "human", "assistant": "gpt"}
        turns = [{"from": names[role], "value": text} for role, text in self._turns(record)]
        return {"conversations": turns}

    def _dpo(self, record: Record) -> dict[str, Any]:
        scores = {
            name: score
            for name in ("chosen_score", "rejected_score")
            for score in [read_number(record, name)[0]]
            if score is not None
        }
        return {
            "prompt": self._prompt_text(record),
            "chosen": _answer(record, self._fields.chosen_field),
            "rejected": _answer(record, self._fields.rejected_field),
            **scores,
        }

    def _turns(self, record: Record) -> list[tuple[str, str]]:
        system = self._system(record)
        return [
            *([("system", system)] if system else []),
            ("user", self._prompt_text(record)),
            ("assistant", _text(record, self._fields.assistant_field)),
        ]

    def _prompt_text(self, record: Record) -> str:
        text = self._prompt.render(record)
        if not text.strip():
            raise DataError("the prompt is blank")
        return text

    def _system(self, record: Record) -> str | None:
        field = self._fields.system_prompt_field
        if field is not None and record.get(field) is not None:
            return _text(record, field)
        return self._fields.system_prompt

    def _metadata(self, record: Record) -> dict[str, Any]:
        return {field: record[field] for field in self._fields.metadata_fields if field in record}


def _text(record: Record, field: str) -> str:
    """Read a text that is not blank; a number is read as its text."""
    text, reason = read_text(record, field)
    if text is None or not text.strip():
        told = reason if reason.startswith("missing") else f"{field} {reason or 'is blank'}"
        raise DataError(f"{told}; reject such records before they are exported")
    return text


def _answer(record: Record, field: str) -> str | Sequence[Any]:
    """Read a text, or turns, which DPO trainers take as well."""
    value = record.get(field)
    if isinstance(value, list) and value and all(_is_turn(turn) for turn in value):
        return value
    return _text(record, field)


def _is_turn(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("content", value.get("value")), str)
