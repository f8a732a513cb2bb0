"""Hashes of the fields of a record, equal to the byte on any machine and in any run.

The parts are `stable_json` of the values as they are: texts are not normalised, and null, zero,
`1` and `1.0` are four different values. NaN, infinities and values that JSON does not have are
refused; `readers.cells.plain_value` converts dates and bytes beforehand.

    hash_fields({"task_id": "t-1", "n": 1}, ["task_id", "n"])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import IdentityError
from ...records import sha256_text, stable_json


def canonical_input(
    record: Mapping[str, Any],
    fields: Sequence[str],
    *,
    drop_null_fields: bool = True,
    strict: bool = True,
    legacy: bool = False,
) -> str:
    """Write the chosen fields of a record as one JSON text with sorted keys.

    Args:
        record: A record.
        fields: Names of fields; their order does not matter.
        drop_null_fields: Leave out fields that are null.
        strict: Refuse a record that lacks a field; otherwise the field is left out.
        legacy: Write values that are not JSON as FastDistill does; see `stable_json`.

    Raises:
        IdentityError: A field is missing and `strict`, or holds no JSON value.

    >>> canonical_input({"b": "x", "a": 0, "c": None}, ["a", "b", "c"])
    '{"a":0,"b":"x"}'
    """
    chosen = {
        field: record[field]
        for field in _present(record, fields, strict=strict, step="CanonicalizeFields")
        if record[field] is not None or not drop_null_fields
    }
    try:
        return stable_json(chosen, legacy=legacy)
    except (TypeError, ValueError):
        for field in chosen:
            field_json(record, field, legacy=legacy)  # names the field that is no JSON value
        raise


def hash_fields(
    record: Mapping[str, Any],
    fields: Sequence[str],
    *,
    separator: str = "|",
    strict: bool = True,
    include_field_names: bool = False,
    legacy: bool = False,
) -> str:
    """Hash fields of a record: sha256 of their `stable_json` texts, joined.

    Args:
        record: A record.
        fields: Names of fields; their order matters.
        separator: Text between the parts.
        strict: Refuse a record that lacks a field. Otherwise the field is left out and names are
            included, since `{a: 1}` and `{b: 1}` would have the same hash without them.
        include_field_names: Write each part as `name=value`.
        legacy: Hash as FastDistill does: names only where asked for, and any value; see
            `stable_json`.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        IdentityError: A field is missing and `strict`, or holds no JSON value.

    >>> hash_fields({"schema": None}, ["schema"])[:8]
    '74234e98'
    """
    names = include_field_names or not (strict or legacy)
    parts = [
        f"{field}={text}" if names else text
        for field in _present(record, fields, strict=strict, step="ComputeHash")
        for text in [field_json(record, field, legacy=legacy)]
    ]
    return sha256_text(separator.join(parts))


def field_hash(columns: Iterable[str]) -> str:
    """Hash the names of columns, not their values, for a manifest; the order does not matter.

    >>> field_hash(["b", "a", "sample_id"])[:8]
    '8830243d'
    """
    return sha256_text("|".join(sorted(columns)))


def field_json(record: Mapping[str, Any], field: str, *, legacy: bool = False) -> str:
    """Write the value of one field as `stable_json`.

    Args:
        record: A record that has the field.
        field: Its name.
        legacy: As in `stable_json`.

    Raises:
        IdentityError: The value is not JSON, or not finite.
    """
    try:
        return stable_json(record[field], legacy=legacy)
    except TypeError as fault:
        raise IdentityError(
            f"field {field!r} holds no JSON value ({fault}); convert dates to ISO 8601 text and "
            'bytes to {"$bytes": "<hex>"} before hashing',
            field=field,
            reason="not_json",
        ) from fault
    except ValueError as fault:
        raise IdentityError(
            f"field {field!r} holds NaN or an infinity; write null where there is no number",
            field=field,
            reason="not_finite",
        ) from fault


def _present(
    record: Mapping[str, Any], fields: Sequence[str], *, strict: bool, step: str
) -> list[str]:
    """List the fields that a record has; a missing one is an error where `strict`."""
    for field in fields:
        if strict and field not in record:
            raise IdentityError(
                f"Missing required field '{field}' in {step}.", field=field, reason="missing_field"
            )
    return [field for field in fields if field in record]
