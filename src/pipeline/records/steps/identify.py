"""Canonical inputs, hashes and ids of records; see `stillroom.data.identity`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ....data.identity.field_hashes import canonical_input, hash_fields
from ....data.identity.sample_ids import SampleIdVersion, identified
from ....errors import ConfigError
from ..step import Record, RowStep
from .fields import names_of


class _FieldsStep(RowStep):
    """A step over some named fields of a record."""

    fields: Sequence[str]
    """Names of fields."""
    strict: bool = True
    """Refuse a record that lacks a field; otherwise the field is left out."""

    def __post_init__(self) -> None:
        """Refuse a step without fields."""
        super().__post_init__()
        if not names_of(self.fields):
            raise ConfigError(["fields is empty; name at least one field"])

    @property
    def inputs(self) -> list[str]:
        """The fields, where `strict`."""
        return names_of(self.fields) if self.strict else []


class CanonicalizeFields(_FieldsStep):
    """Writes some fields as one JSON text with sorted keys.

    >>> step = CanonicalizeFields(fields=["schema", "instruction"])
    >>> [found] = next(step.process([{"instruction": "List names.", "schema": None}]))
    >>> found["canonical_input"]
    '{"instruction":"List names."}'
    """

    fields: Sequence[str]
    """Names of fields; their order does not matter."""
    output_field: str = "canonical_input"
    drop_null_fields: bool = True
    """Leave out fields that are null."""

    @property
    def outputs(self) -> list[str]:
        """The output field."""
        return [self.output_field]

    def apply(self, record: Record) -> Record:
        """Add the canonical input.

        Raises:
            IdentityError: A field is missing, or holds no JSON value.
        """
        text = canonical_input(
            record,
            names_of(self.fields),
            drop_null_fields=self.drop_null_fields,
            strict=self.strict,
        )
        return {**record, self.output_field: text}


class ComputeHash(_FieldsStep):
    """Hashes some fields: sha256 of their JSON texts, joined.

    >>> list(ComputeHash(fields=["a"]).process([{"a": None}]))[0][0]["hash"][:8]
    '74234e98'
    """

    fields: Sequence[str]
    """Names of fields; their order matters."""
    output_field: str = "hash"
    separator: str = "|"
    strict: bool = True
    """Refuse a record that lacks a field. Otherwise the field is left out, and names are included,
    since `{a: 1}` and `{b: 1}` would have the same hash without them."""
    include_field_names: bool = False
    """Hash each part as `name=value`."""

    @property
    def outputs(self) -> list[str]:
        """The output field."""
        return [self.output_field]

    def apply(self, record: Record) -> Record:
        """Add the hash.

        Raises:
            IdentityError: A field is missing, or holds no JSON value.
        """
        digest = hash_fields(
            record,
            names_of(self.fields),
            separator=self.separator,
            strict=self.strict,
            include_field_names=self.include_field_names,
        )
        return {**record, self.output_field: digest}


class AddSampleId(_FieldsStep):
    """Adds `canonical_input`, `schema_hash` and `sample_id` at once.

    | `sample_id_version` | sha256 over | equal for |
    |---|---|---|
    | `v1` | `task_id`, `schema_hash`, `canonical_input`, `decode_profile` | the same request |
    | `v2` | `task_id`, `canonical_input` | the same question, whatever the sampling |

    >>> records = [{"task_id": "t-1", "instruction": "Count users.", "decode_profile": {"n": 1}}]
    >>> [found] = next(AddSampleId(fields=["instruction"], sample_id_version="v2").process(records))
    >>> found["canonical_input"]
    '{"instruction":"Count users."}'
    """

    fields: Sequence[str]
    """The fields of the canonical input."""
    sample_id_version: SampleIdVersion = "v1"
    drop_null_fields: bool = True
    """Leave out fields that are null."""

    def __post_init__(self) -> None:
        """Refuse a step without fields, and an unknown version."""
        super().__post_init__()
        if self.sample_id_version not in get_args(SampleIdVersion):
            raise ConfigError([
                f"sample_id_version is {self.sample_id_version!r}; allowed are 'v1' and 'v2'"
            ])  # fmt: skip

    @property
    def inputs(self) -> list[str]:
        """`task_id` and, where `strict`, the fields."""
        return ["task_id", *super().inputs]

    @property
    def outputs(self) -> list[str]:
        """The three columns."""
        return ["canonical_input", "schema_hash", "sample_id"]

    def apply(self, record: Record) -> Record:
        """Add the three columns; those that are there are computed anew.

        Raises:
            IdentityError: A field is missing, or holds no JSON value.
        """
        return identified(
            record,
            names_of(self.fields),
            self.sample_id_version,
            drop_null_fields=self.drop_null_fields,
            strict=self.strict,
        )
