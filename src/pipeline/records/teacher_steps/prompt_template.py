"""From a record to the turns that a model is asked, by a `RecordTemplate`.

A variable that the record does not have, or that is null, is an error, since a prompt with a hole
would be answered and paid for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ....errors import ConfigError, DataError
from ....labeling.teachers.protocol import Prompt
from ....record_template import RecordTemplate

_IDS: Final = ("sample_id", "task_id", "id")
"""Columns by which a record is named in messages."""


class PromptTemplate:
    """A template, its columns and its system prompt."""

    def __init__(
        self, template: str, columns: Sequence[str], system_prompt: str | None = None
    ) -> None:
        """Parse the template.

        Args:
            template: Jinja text with the columns as variables. A column `instruction` may hold
                turns instead of a text, if the template is `{{ instruction }}`.
            columns: Columns that the template may use.
            system_prompt: System turn; a record's own column `system_prompt` goes before it.

        Raises:
            ConfigError: The template has a mistake, or uses a variable that is no column.
        """
        self._template = RecordTemplate(template)
        wrong = sorted(self._template.variables - set(columns))
        if wrong:
            raise ConfigError([
                f"the template uses {wrong}; columns are {list(columns)}: add them to columns"
            ])  # fmt: skip
        self._system = system_prompt
        alone = re.fullmatch(r"\s*{{ (\w+) }}\s*", template)
        self._turns_column = alone[1] if alone else None

    def turns(self, record: Mapping[str, Any]) -> list[dict[str, str]]:
        """Write the turns of a record.

        Raises:
            DataError: A variable is missing or null, or the prompt is empty.
        """
        system = record.get("system_prompt") or self._system
        before = [{"role": "system", "content": str(system)}] if system else []
        given = record.get(self._turns_column) if self._turns_column else None
        if isinstance(given, list):
            return before + _read_turns(given)
        text = self._template.render(record)
        if not text.strip():
            raise DataError("the prompt is empty")
        return [*before, {"role": "user", "content": text}]


def named_record(record: Mapping[str, Any]) -> str:
    """Name a record in a message, by its id where it has one.

    >>> named_record({"task_id": "text2sql-001"}), named_record({"q": 1})
    ("record 'text2sql-001'", "a record with the columns ['q']")
    """
    found = next((record[name] for name in _IDS if record.get(name) is not None), None)
    if found is None:
        return f"a record with the columns {sorted(map(str, record))}"
    return f"record {found!r}"


def prompt_fault(prompt: Prompt) -> str | None:
    """Say why a prompt cannot be sent; None if it can."""
    try:
        texts = [prompt] if isinstance(prompt, str) else [turn["content"] for turn in prompt]
        "".join(texts).encode()
    except UnicodeEncodeError:
        return "the prompt holds half a surrogate pair"
    return None if any(text.strip() for text in texts) else "the prompt is empty"


def _read_turns(given: list[Any]) -> list[dict[str, str]]:
    turns = [turn for turn in given if isinstance(turn, Mapping)]
    fine = [isinstance(t.get("role"), str) and isinstance(t.get("content"), str) for t in turns]
    if len(turns) < len(given) or not turns or not all(fine):
        raise DataError("the turns need a role and a content each, both texts")
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]
