"""What the steps of this package share: fields that must be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....errors import DataError, IdentityError
from ....labeling.gates.record_values import read_flag


def require_field(step: str, record: Mapping[str, Any], field: str) -> None:
    """Refuse a record without a field.

    Raises:
        IdentityError: Names the step and the field.

    >>> require_field("KeepByScore", {"score": 0}, "score")
    """
    if field not in record:
        raise IdentityError(
            f"{step} requires field '{field}'.", field=field, reason="missing_field"
        )


def names_of(given: str | Sequence[str] | None) -> list[str]:
    """Give the names that a setting holds, of which a file may give one as a text.

    >>> names_of("a"), names_of(("a", "b")), names_of(None)
    (['a'], ['a', 'b'], [])
    """
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def read_mark(record: Mapping[str, Any], field: str) -> bool | None:
    """Read a truth value, which CSV files hold as text; None where it is missing or null.

    Raises:
        DataError: It is something else.

    >>> read_mark({"keep": "False"}, "keep"), read_mark({}, "keep")
    (False, None)
    """
    flag, reason = read_flag(record, field)
    if reason == "not_a_flag":
        raise DataError(
            f"is {record[field]!r:.200}; allowed are true, false, 1, 0 and null", column=field
        )
    return flag
