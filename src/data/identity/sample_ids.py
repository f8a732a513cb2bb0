"""The id of a record, `sample_id`, in its two public definitions.

| version | sha256 over | equal for |
|---|---|---|
| `v1` | `task_id`, `schema_hash`, `canonical_input`, `decode_profile` | the same request |
| `v2` | `task_id`, `canonical_input` | the same question, whatever the sampling |

The version in use is stored beside the ids, as `sample_id_version`; ids of different versions are
never compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from ...errors import ConfigError
from .field_hashes import canonical_input, hash_fields

SampleIdVersion = Literal["v1", "v2"]
FIELDS: Final[dict[SampleIdVersion, tuple[str, ...]]] = {
    "v1": ("task_id", "schema_hash", "canonical_input", "decode_profile"),
    "v2": ("task_id", "canonical_input"),
}
"""The hashed fields of each version, in order."""


def schema_hash(record: Mapping[str, Any], *, legacy: bool = False) -> str:
    """Hash the field `schema`; a record without one has the hash of null.

    Args:
        record: A record.
        legacy: As in `stable_json`.

    Raises:
        IdentityError: The schema is no JSON value.
    """
    return hash_fields({"schema": record.get("schema")}, ["schema"], legacy=legacy)


def sample_id(
    record: Mapping[str, Any],
    version: SampleIdVersion = "v1",
    *,
    include_field_names: bool = False,
    legacy: bool = False,
) -> str:
    """Compute the id of a record.

    Args:
        record: Has `task_id` and `canonical_input`. For `v1`, a missing `schema_hash` is computed
            from `schema`, and a missing `decode_profile` counts as null.
        version: "v1" or "v2".
        include_field_names: Hash each part as `name=value`.
        legacy: As in `stable_json`.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        ConfigError: There is no such version.
        IdentityError: `task_id` or `canonical_input` is missing, or a field holds no JSON value.
    """
    if version not in get_args(SampleIdVersion):
        raise ConfigError([f"sample_id_version is {version!r}; allowed are 'v1' and 'v2'"])
    hashed = dict(record)
    if version == "v1":
        if hashed.get("schema_hash") is None:
            hashed["schema_hash"] = schema_hash(record, legacy=legacy)
        hashed.setdefault("decode_profile", None)
    return hash_fields(
        hashed, FIELDS[version], include_field_names=include_field_names, legacy=legacy
    )


def identified(
    record: Mapping[str, Any],
    fields: Sequence[str],
    version: SampleIdVersion = "v1",
    *,
    drop_null_fields: bool = True,
    strict: bool = True,
) -> dict[str, Any]:
    """Add `canonical_input`, `schema_hash` and `sample_id` to a record.

    The three are computed anew, so that they fit the other fields.

    Args:
        record: Has `task_id` and, where `strict`, all of `fields`.
        fields: The fields of the canonical input.
        version: Definition of the id.
        drop_null_fields: Leave fields that are null out of the canonical input.
        strict: Refuse a record that lacks one of `fields`.

    Raises:
        ConfigError: There is no such version.
        IdentityError: A field is missing or holds no JSON value.
    """
    canonical = canonical_input(record, fields, drop_null_fields=drop_null_fields, strict=strict)
    new = {**record, "canonical_input": canonical, "schema_hash": schema_hash(record)}
    return {**new, "sample_id": sample_id(new, version)}
