"""What goes into a file of rows comes out equal, or is refused by its place."""

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.pipeline.records.row_codec import (
    Row,
    decode_rows,
    encode_rows,
    json_text,
    parquet_bytes,
    plain_json,
    read_parquet,
)

TEXTS = st.text(st.characters(), max_size=8)  # surrogates among them
LEAVES = (
    st.none() | st.booleans() | st.integers() | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)
KEYS = st.sampled_from(["a", "b", "", "__row__", 'json:"a"', "a.b", "A"]) | TEXTS
RECORDS = st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=6)


def through_a_file(records, folder):
    rows = [Row(f"{place}", record) for place, record in enumerate(records)]
    table, faults = encode_rows(rows)
    assert faults == {}
    (folder / "rows.parquet").write_bytes(parquet_bytes(table))
    return decode_rows(read_parquet(folder / "rows.parquet"))


def exactly(value):
    """Tell apart what `==` does not: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: exactly(v) for key, v in value.items()}
    if isinstance(value, list):
        return [exactly(v) for v in value]
    return type(value).__name__, repr(value)


@given(records=RECORDS)
def test_any_records_come_back_equal(records, tmp_path_factory):
    rows = through_a_file(records, tmp_path_factory.mktemp("codec"))
    assert [exactly(row.record) for row in rows] == [exactly(record) for record in records]
    assert [row.row_id for row in rows] == [str(place) for place in range(len(records))]


@pytest.mark.parametrize(
    "values",
    [
        [1, 1.0], [1, True], ["", None], [None, None], [0.0, -0.0], [2**63, 1], [[], {}],
        ["1", 1], [{"a": None}, {}], [float(2**53), 2**53 + 1], ["\ud800", "é"],
    ],
)  # fmt: skip
def test_like_values_stay_different(values, tmp_path):
    records = [{"v": values[0]}, {"v": values[1]}, {}, {"w": 1}]
    rows = through_a_file(records, tmp_path)
    assert [exactly(row.record) for row in rows] == [exactly(record) for record in records]


def test_columns_of_one_type_are_read_by_any_program(tmp_path):
    through_a_file(
        [{"t": "é", "n": 1, "f": 0.5, "b": True, "gap": None}, {"t": "", "n": 2, "f": 1.0,
         "b": False, "gap": 3}], tmp_path
    )  # fmt: skip
    table = pq.read_table(tmp_path / "rows.parquet")
    assert [str(table.schema.field(name).type) for name in ("t", "n", "f", "b", "gap")] == [
        "string", "int64", "double", "bool", "int64"
    ]  # fmt: skip
    assert table.column("gap").to_pylist() == [None, 3]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"x": math.nan}, "not_finite: $.x is nan"),
        ({"x": [1, {"y": -math.inf}]}, "not_finite: $.x[1].y is -inf"),
        ({"x": np.float64("nan")}, "not_finite: $.x is nan"),
        ({"x": {1, 2}}, "not_json: $.x is of type set"),
        ({"x": {1: 1, "1": 2}}, "not_json: two keys of $.x are the same text"),
        ({(1, 2): 3}, "not_json: a key of $ is of type tuple"),
    ],
)
def test_what_is_no_json_is_refused_alone_and_by_its_field(bad, reason):
    table, faults = encode_rows([Row("0", {"x": 1.5}), Row("1", bad), Row("2", {"x": 2.5})])
    assert faults == {1: reason}
    assert decode_rows(table) == [Row("0", {"x": 1.5}), Row("2", {"x": 2.5})]


def test_dates_bytes_and_numpy_become_json(tmp_path):
    record = {
        "day": datetime.date(2026, 1, 2), "raw": b"\x00\xff", "n": np.int64(3),
        "v": np.arange(2.0), "path": Path("a/b"), "pair": (1, None), 5: "five",
    }  # fmt: skip
    (row,) = through_a_file([record], tmp_path)
    assert exactly(row.record) == exactly({
        "day": "2026-01-02", "raw": {"$bytes": "00ff"}, "n": 3, "v": [0.0, 1.0],
        "path": "a/b", "pair": [1, None], "5": "five",
    })  # fmt: skip


def test_keys_keep_their_order(tmp_path):
    (row, _) = through_a_file([{"z": 1, "a": 2}, {"b": 1}], tmp_path)
    assert list(row.record) == ["z", "a"]


def test_equal_rows_give_equal_bytes():
    tables = [encode_rows([Row(str(i), {"a": i, "b": [i]}) for i in range(100)])[0] for _ in "ab"]
    assert parquet_bytes(tables[0]) == parquet_bytes(tables[1])


def test_a_foreign_table_is_refused():
    with pytest.raises(ValueError, match="no records of a pipeline"):
        decode_rows(pa.table({"a": [1]}))


def test_a_lost_record_is_told_as_json():
    told = json.loads(json_text({"a": math.nan, "b": {1}, 3: b"\x01"}))
    assert told == {"a": {"$float": "nan"}, "b": {"$repr": "a set"}, "3": {"$bytes": "01"}}
    with pytest.raises(TypeError):
        plain_json({1})
