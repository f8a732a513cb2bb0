"""Keys of exact duplicates: records with equal keys are the same record.

The key holds the values of some fields as they are or, with `normalize`, their texts in one Unicode
form (NFC), case folded and with single blanks. Null, zero, `""`, `1`, `1.0`, `"1"` and a missing
field give different keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...errors import IdentityError
from ...records import stable_json
from ..readers.cells import compared
from .field_hashes import field_json

_NUMBER: Final = re.compile(r"[-+\u2212]?\d+(?:[.,:/]\d+)*")


def normalized_text(text: str) -> str:
    """Write a text for comparison: NFC, case folded, with single blanks.

    >>> normalized_text("  Cafe\u0301\u00a0 NOIR ") == "caf\u00e9 noir"
    True
    """
    return " ".join(compared(text).split())


def duplicate_key(
    record: Mapping[str, Any], fields: Sequence[str], *, normalize: bool = False
) -> bytes:
    """Return the key of a record.

    Args:
        record: A record.
        fields: Names of fields. A missing one is left out and a null one counts as null, but at
            least one must have a value.
        normalize: Compare texts as `normalized_text` writes them, also inside lists and objects.

    Returns:
        32 bytes.

    Raises:
        IdentityError: No field has a value, or one holds no JSON value.
    """
    chosen = {field: record[field] for field in fields if field in record}
    if all(value is None for value in chosen.values()):
        named = "', '".join(fields)
        raise IdentityError(
            f"DeduplicateByField requires field '{named}' in each row.",
            field=named,
            reason="missing_field",
        )
    for field, value in chosen.items():
        if type(value) is not str:
            field_json(record, field)  # names the field that is no JSON value
    if normalize:
        chosen = {field: _normalized(value) for field, value in chosen.items()}
    return hashlib.sha256(stable_json(chosen).encode("ascii")).digest()


def content_hash(record: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    """Hash the values of some fields as they are; a missing one counts as missing.

    Returns:
        32 bytes.

    Raises:
        IdentityError: A field holds no JSON value.
    """
    content = "\n".join(
        f"{stable_json(field)}:{field_json(record, field)}" for field in fields if field in record
    )
    return hashlib.sha256(content.encode("ascii")).digest()


def compared_text(record: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Return the text of a record in which near-duplicates are looked for, normalised.

    Args:
        record: A record.
        fields: Names of fields; missing and null ones are left out. Values that are no texts are
            written as JSON.

    Raises:
        IdentityError: No field has a value, or one holds no JSON value.

    >>> compared_text({"a": "One", "b": None, "c": 0}, ["a", "b", "c"])
    'one 0'
    """
    there = [field for field in fields if record.get(field) is not None]
    if not there:
        named = "', '".join(fields)
        raise IdentityError(
            f"no text to compare: field '{named}' is missing or null",
            field=named,
            reason="missing_field",
        )
    texts = [
        record[field] if isinstance(record[field], str) else field_json(record, field)
        for field in there
    ]
    return normalized_text("\n".join(texts))


def numbers_key(text: str) -> bytes:
    """Return a key of the numbers in a text, in their order; 8 bytes.

    "Who won in 1998?" and "Who won in 2002?" are alike but not the same question.
    """
    numbers = "\n".join(_NUMBER.findall(text))
    return hashlib.sha256(numbers.encode("utf-8")).digest()[:8]


def _normalized(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return normalized_text(value)
    if isinstance(value, (list, tuple)):
        return [_normalized(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _normalized(item) for key, item in value.items()}
    return value
