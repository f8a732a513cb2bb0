"""Hashes, ids and positions of contracts.md sections 2 and 3, to the byte."""

import datetime
import doctest
import hashlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom import records
from stillroom.data.identity import field_hashes, hash_split, sample_ids
from stillroom.data.identity.field_hashes import canonical_input, field_hash, hash_fields
from stillroom.data.identity.sample_ids import identified, sample_id, schema_hash
from stillroom.errors import ConfigError, DataError, IdentityError
from stillroom.records import record_hash, split_position, stable_json

PROFILE = {"temperature": 0.2, "max_tokens": 128, "n": 1}
R1 = {
    "task_id": "text2sql-001",
    "schema": "users(id, name)",
    "instruction": "List all user names ordered by id.",
    "decode_profile": PROFILE,
}
R2 = {**R1, "task_id": "text2sql-002", "instruction": "Count total users."}
R0 = {
    "task_id": "text2sql-001",
    "schema": {"tables": ["users"], "columns": ["id", "name"]},
    "question": "List user names",
    "decode_profile": PROFILE,
}
FIELDS = ["schema", "instruction"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.parametrize("module", [records, field_hashes, sample_ids, hash_split])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("value", "text", "digest"),
    [
        ("caf\u00e9", '"caf\\u00e9"',
         "ee08d8beb64c89c25fe7f583c6b522f7f380aab939035ec58d3fcdba24c881e1"),
        ("cafe\u0301", '"cafe\\u0301"',
         "5268a173a85b092513588b5e0d346034fabbbff38a4e1a1e1e77ded8cdb2b625"),
        (1, "1", "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"),
        (1.0, "1.0", "d0ff5974b6aa52cf562bea5921840c032a860a91a3512f7fe8f768f6bbe005f6"),
        ("1", '"1"', "391552c099c101b131feaf24c5795a6a15bc8ec82015424e0d2b4274a369a0bf"),
        (True, "true", "b5bea41b6c623f7c09f1bf24dcae58ebab3c0cdd90ad966bc43a45b44867e12b"),
        (None, "null", "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"),
        ("", '""', "12ae32cb1ec02d01eda3581b127c1fee3b0dc53572ed6baf239721a03d82e126"),
        ({"b": 1, "a": [1, 2]}, '{"a":[1,2],"b":1}',
         "94a786c3662bc7beeb598efa7d8cb58d7bea25d6c275ea9785a0230ff1f8c2ba"),
        ('{"a":1}', '"{\\"a\\":1}"',
         "3dc4eef510cec9eda1ca361042e8152bd62c44288af2d9cc465cc217c381facd"),
    ],
)  # fmt: skip
def test_stable_json(value, text, digest):
    assert stable_json(value) == text == stable_json(value, legacy=True)
    assert record_hash(value) == digest
    assert hash_fields({"f": value}, ["f"]) == digest


def test_keys_of_one_type_become_texts():
    assert stable_json({1: 2}) == '{"1":2}'


@pytest.mark.parametrize(
    ("value", "text", "ours"),
    [
        ({1: 2, "a": 3}, "\"{1: 2, 'a': 3}\"", TypeError),
        (float("nan"), "NaN", ValueError),
        (datetime.date(2026, 1, 2), '"2026-01-02"', TypeError),
    ],
)
def test_what_is_no_json_is_refused_and_written_only_for_old_ids(value, text, ours):
    with pytest.raises(ours):
        stable_json(value)
    assert stable_json(value, legacy=True) == text


@pytest.mark.parametrize(
    ("record", "fields", "canonical", "schema"),
    [
        (R1, FIELDS,
         '{"instruction":"List all user names ordered by id.","schema":"users(id, name)"}',
         "b0f90c4abe2d64536161932cc7061ba615d8561124f1cf4ff7290c667a13bf06"),
        (R2, FIELDS, '{"instruction":"Count total users.","schema":"users(id, name)"}',
         "b0f90c4abe2d64536161932cc7061ba615d8561124f1cf4ff7290c667a13bf06"),
        (R0, ["schema", "question"],
         '{"question":"List user names","schema":{"columns":["id","name"],"tables":["users"]}}',
         "1d15f0e67e9ab962ece45eba8efb2d9cfcf5c65decdd7aa9892818b2902db6fb"),
    ],
)  # fmt: skip
def test_canonical_input_and_schema_hash(record, fields, canonical, schema):
    for order in itertools.permutations(fields):
        assert canonical_input(record, order) == canonical
    assert schema_hash(record) == schema == hash_fields(record, ["schema"])


@pytest.mark.parametrize(
    ("record", "fields", "version", "names", "digest"),
    [
        (R1, FIELDS, "v1", False,
         "3b6ba6dacdd13acbcc46e075195c6679805127c65b3beeb1a0cdca35888557e1"),
        (R1, FIELDS, "v1", True,
         "7f8c810af7e1db46be4ed9fb95a9dc82d096344eb55f3d95caf7042d7be85388"),
        (R1, FIELDS, "v2", False,
         "34b927ffb1f99675663e21a1d4997e56b0406c1301d39d35a4bab341a899828f"),
        (R1, FIELDS, "v2", True,
         "dc926298d7abfa13f05bac85b607a4d2430324e841f4b705648f4eda531938c0"),
        (R2, FIELDS, "v1", False,
         "35d5630b705bc20298468d714f183792f1bba7d1085e675b79b2134e3dd4cdc7"),
        (R2, FIELDS, "v2", False,
         "a9f7f56aaf542ca226092bb4069b569e3533aeca558762d07b4d62794bd61da2"),
        ({**R2, "decode_profile": None}, FIELDS, "v1", False,
         "d4682586261efcaa3fe7c137b56674fa48f8e5723b43cc9a5f0dbdadf76ae770"),
        ({"task_id": "text2sql-002", "instruction": "Count total users."}, ["instruction"], "v1",
         False, "b9bb98226e1035e883249b27d5ef0b5c53dc2967e9878a577efe624409b30784"),
        ({"task_id": "text2sql-002", "instruction": "Count total users.", "schema": None,
          "decode_profile": None}, FIELDS, "v1", False,
         "b9bb98226e1035e883249b27d5ef0b5c53dc2967e9878a577efe624409b30784"),
        (R0, ["schema", "question"], "v1", False,
         "7b006925bd827f04e286f3aa3be7567db68f506d352fef9031df15d32a0ba7c7"),
    ],
)  # fmt: skip
def test_sample_id(record, fields, version, names, digest):
    new = {**record, "canonical_input": canonical_input(record, fields)}
    before = dict(new)
    assert sample_id(new, version, include_field_names=names) == digest
    assert new == before
    if not names:
        assert identified(record, fields, version)["sample_id"] == digest


def test_the_default_is_the_first_definition():
    assert sample_id(identified(R1, FIELDS)) == identified(R1, FIELDS, "v1")["sample_id"]
    with pytest.raises(ConfigError, match=r"sample_id_version is 'v3'.*'v1' and 'v2'"):
        sample_id(identified(R1, FIELDS), "v3")


def test_two_pipelines_over_the_same_rows_have_equal_ids_per_version():
    other = dict(reversed(R1.items())) | {"note": "a field that is not hashed"}
    for version in ("v1", "v2"):
        ids = {identified(r, f, version)["sample_id"] for r in (R1, other)
               for f in (FIELDS, FIELDS[::-1])}  # fmt: skip
        assert len(ids) == 1
    hotter = {**R1, "decode_profile": {**PROFILE, "temperature": 0.9}}
    assert sample_id(identified(hotter, FIELDS), "v1") != sample_id(identified(R1, FIELDS), "v1")
    assert sample_id(identified(hotter, FIELDS), "v2") == sample_id(identified(R1, FIELDS), "v2")


def test_identified_does_not_trust_earlier_hashes():
    stale = {**identified(R1, FIELDS), "schema": "users(id)"}
    fresh = identified({**R1, "schema": "users(id)"}, FIELDS)
    assert identified(stale, FIELDS) == fresh != identified(R1, FIELDS)


def test_field_hash_is_of_names_only():
    digest = "8830243d885e0e29f243014d7725fb2cea537cb06d6e663390fc023d1d14f470"
    for order in itertools.permutations(["b", "a", "sample_id"]):
        assert field_hash(order) == digest
    assert field_hash([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_missing_null_zero_and_empty_are_different():
    values = [{}, {"a": None}, {"a": 0}, {"a": 0.0}, {"a": ""}, {"a": False}, {"a": "null"}]
    texts = {canonical_input(v, ["a"], drop_null_fields=False, strict=False) for v in values}
    hashes = {hash_fields(v, ["a"], strict=False) for v in values}
    assert len(texts) == len(hashes) == len(values)
    assert canonical_input({"a": None}, ["a"]) == "{}" == canonical_input({}, [])
    assert canonical_input({"a": 0, "b": ""}, ["a", "b"]) == '{"a":0,"b":""}'


def test_a_missing_field_is_an_error_where_strict():
    with pytest.raises(DataError) as fault:
        canonical_input({"a": 1}, ["a", "b"])
    assert str(fault.value) == "Missing required field 'b' in CanonicalizeFields."
    with pytest.raises(IdentityError) as fault:
        hash_fields({"a": 1}, ["a", "b"])
    assert str(fault.value) == "Missing required field 'b' in ComputeHash."
    assert (fault.value.field, fault.value.reason) == ("b", "missing_field")
    with pytest.raises(IdentityError, match="Missing required field 'task_id'"):
        sample_id({"canonical_input": "{}"})


def test_records_that_lack_different_fields_do_not_collide():
    both = [{"a": 1}, {"b": 1}]
    ours = [hash_fields(r, ["a", "b"], strict=False) for r in both]
    assert ours == [hashlib.sha256(t).hexdigest() for t in (b"a=1", b"b=1")]
    peer = {hash_fields(r, ["a", "b"], strict=False, legacy=True) for r in both}
    assert peer == {hashlib.sha256(b"1").hexdigest()}


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (float("nan"), ValueError, "not_finite"),
        ({"deep": [float("-inf")]}, ValueError, "not_finite"),
        (datetime.date(2026, 1, 2), TypeError, "not_json"),
        (b"x", TypeError, "not_json"),
        ({1: 2, "a": 3}, TypeError, "not_json"),
    ],
)
def test_a_field_that_is_no_json_is_named(value, kind, reason):
    for act in (canonical_input, hash_fields):
        with pytest.raises(kind, match="field 'when' holds") as fault:
            act({"id": 1, "when": value}, ["id", "when"])
        assert isinstance(fault.value, IdentityError)
        assert fault.value.reason == reason


@given(JSON, JSON)
def test_equal_hashes_mean_equal_json(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (hash_fields({"f": one}, ["f"]) == hash_fields({"f": other}, ["f"])) is same


@pytest.mark.parametrize(
    ("key", "integer", "position"),
    [
        ("a", 3398926610, 0.7913742705228213),
        ("b", 1042540566, 0.2427353910735658),
        ("0", 1609362278, 0.3747088551462416),
        ("article-123", 3837068084, 0.8933870319494481),
        (identified(R1, FIELDS, "v1")["sample_id"], 2051569430, 0.47766823099871825),
        (identified(R1, FIELDS, "v2")["sample_id"], 1600996928, 0.3727611453208982),
    ],
)
def test_positions(key, integer, position):
    assert int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) == integer
    assert split_position(key) == position
