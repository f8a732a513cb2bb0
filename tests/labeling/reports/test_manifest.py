from __future__ import annotations

import hashlib

import pytest
from stillroom.labeling.reports.manifest import Manifest, list_inputs, list_shards
from stillroom.records import data_hash


def manifest(records, **settings):
    found = Manifest(**settings)
    found.add(records)
    return found.report()


def test_a_manifest_counts_columns_ids_and_content():
    records = [{"sample_id": "b", "b": 1}, {"sample_id": "a", "a": None}, {"sample_id": "b"}]
    assert manifest(records) == {
        "count": 3,
        "field_hash": "8830243d885e0e29f243014d7725fb2cea537cb06d6e663390fc023d1d14f470",
        "min_sample_id": "a",
        "max_sample_id": "b",
        "columns": ["a", "b", "sample_id"],  # of all records, not only of the first
        "sample_id_version": None,
        "data_hash": data_hash(records),
        "null_ids": 0,
        "duplicate_ids": 1,
    }


def test_no_records_make_a_manifest_too():
    found = manifest([])
    empty = hashlib.sha256(b"").hexdigest()
    assert found["field_hash"] == empty == found["data_hash"]
    assert (found["count"], found["columns"]) == (0, [])
    assert found["min_sample_id"] is found["max_sample_id"] is None


def test_ids_of_mixed_type_are_compared_as_text():
    # contracts.md 10, row 11: the peer raises TypeError.
    found = manifest([{"sample_id": one} for one in (10, "9", 2.5, None, "x", 10, "10")] + [{}])
    assert (found["min_sample_id"], found["max_sample_id"]) == ("10", "x")
    assert (found["null_ids"], found["duplicate_ids"]) == (2, 2)


def test_the_version_of_the_ids_is_told_only_if_all_have_it():
    def version_of(record):
        return record["made"]

    assert manifest([{"made": "v2"}] * 2, version_of=version_of)["sample_id_version"] == "v2"
    mixed = [{"made": "v2"}, {"made": "v1"}]
    assert manifest(mixed, version_of=version_of)["sample_id_version"] is None


def test_shards_and_inputs_are_relative_to_the_manifest(tmp_path):
    before = tmp_path / "before" / "manifest.json"
    before.parent.mkdir()
    before.write_text("{}")
    shard = {"file": "raw/rows-00000.parquet", "count": 3, "sha256": "0" * 64}
    assert list_shards(tmp_path, [shard], tmp_path / "stage") == [
        {"file": "../raw/rows-00000.parquet", "count": 3, "sha256": "0" * 64}
    ]
    assert list_inputs([before], tmp_path / "stage") == [
        {"manifest": "../before/manifest.json", "sha256": hashlib.sha256(b"{}").hexdigest()}
    ]


@pytest.mark.parametrize("field", ["sample_id", "id"])
def test_the_column_of_ids_can_be_chosen(field):
    assert manifest([{field: "x"}], sample_id_field=field)["min_sample_id"] == "x"
