"""Parquet and Arrow: every type has an exact plain form; damaged files are refused."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import datetime
import decimal
import gzip
import math
import uuid

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stillroom.data.data_preparation import StructuredDataLoader
from stillroom.data.readers.arrow_values import date_text, plain_list, timestamp_text
from stillroom.data.readers.cells import pair_text, plain_value
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records, read_table
from stillroom.errors import DataError, EmptyDataError, UnknownColumnError, UnreadableFileError
from stillroom.pipeline.reasoning.rows import read_rows

D, T = datetime.date, datetime.datetime
BERLIN = pa.timestamp("us", "Europe/Berlin")
VALUES = [
    ("int", pa.array([1, None, 2**63 - 1]), [1, None, 2**63 - 1]),
    ("uint", pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    ("bool", pa.array([True, None]), [True, None]),
    ("float", pa.array([1.5, math.nan, None]), [1.5, None, None]),
    ("infinite", pa.array([math.inf]), [math.inf]),
    ("half", pa.array([1.5, 0.1, None, math.nan], pa.float16()), [1.5, 0.1, None, None]),
    ("single", pa.array([2.55, None, 1e-7, 3.4e38, -0.0, math.inf], pa.float32()), [2.55, None, 1e-07, 3.4e38, -0.0, math.inf]),
    ("singles in lists", pa.array([[2.55, None], None], pa.list_(pa.float32())), [[2.55, None], None]),
    ("singles in fixed lists", pa.array([[2.55, 0.7]], pa.list_(pa.float32(), 2)), [[2.55, 0.7]]),
    ("halves in lists of lists", pa.array([[[0.1]], []], pa.large_list(pa.list_(pa.float16()))), [[[0.1]], []]),
    ("single in a struct", pa.array([{"a": {"b": 132.04}}], pa.struct([("a", pa.struct([("b", pa.float32())]))])), [{"a": {"b": 132.04}}]),
    ("singles in a map", pa.array([[("k", 2.55)]], pa.map_(pa.string(), pa.float32())), [{"k": 2.55}]),
    ("single in a dictionary", pa.array([2.55, None, 2.55], pa.float32()).dictionary_encode(), [2.55, None, 2.55]),
    ("runs of singles", pa.RunEndEncodedArray.from_arrays([1, 3], pa.array([0.7, 2.55], pa.float32())), [0.7, 2.55, 2.55]),
    ("single in a union", pa.UnionArray.from_dense(pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 1], pa.int32()), [pa.array([2.55, 0.7], pa.float32()), pa.array(["a"])]), [2.55, "a", 0.7]),
    ("part of a union", pa.UnionArray.from_sparse(pa.array([0, 1, 0], pa.int8()), [pa.array([2.55, 0.1, None], pa.float32()), pa.array(["a", "b", "c"])]).slice(1), ["b", None]),
    ("text", pa.array(["x", "", None]), ["x", "", None]),
    ("large text", pa.array(["x"], pa.large_string()), ["x"]),
    ("text view", pa.array(["x", None], pa.string_view()), ["x", None]),
    ("bytes", pa.array([b"\x00\xff", None]), [{"$bytes": "00ff"}, None]),
    ("fixed bytes", pa.array([b"ab"], pa.binary(2)), [{"$bytes": "6162"}]),
    ("decimal", pa.array([decimal.Decimal("1.10"), decimal.Decimal("-0.00")]), ["1.10", "0.00"]),
    ("date", pa.array([D(1969, 12, 31), None]), ["1969-12-31", None]),
    ("late date", pa.array([2932897], pa.int32()).cast(pa.date32()), ["+10000-01-01"]),
    ("date64", pa.array([86_400_000], pa.int64()).view(pa.date64()), ["1970-01-02"]),
    ("timestamp", pa.array([T(2020, 1, 2, 3, 4, 5)], pa.timestamp("s")), ["2020-01-02T03:04:05"]),
    ("nanoseconds", pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
    ("with zone", pa.array([0], BERLIN), ["1970-01-01T00:00:00+00:00"]),
    ("time", pa.array([datetime.time(1, 2, 3, 4)]), ["01:02:03.000004"]),
    ("time32", pa.array([61], pa.time32("s")), ["00:01:01"]),
    ("duration", pa.array([datetime.timedelta(seconds=-1.5)]), ["-PT1.5S"]),
    ("interval", pa.array([(14, 3, 10**9)], pa.month_day_nano_interval()), ["P14M3DT1S"]),
    ("list", pa.array([[1, None], None, []]), [[1, None], None, []]),
    ("fixed list", pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [[1, 2], None]),
    ("list view", pa.array([[1], None], pa.list_view(pa.int8())), [[1], None]),
    ("dates in lists", pa.array([[D(1970, 1, 1)]]), [["1970-01-01"]]),
    ("struct", pa.array([{"a": 1, "b": D(1970, 1, 1)}, None]), [{"a": 1, "b": "1970-01-01"}, None]),
    ("map", pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8())), [{"k": 1}, None, {}]),
    ("map of numbers", pa.array([[(1, "v")]], pa.map_(pa.int8(), pa.string())), [[{"key": 1, "value": "v"}]]),
    ("dictionary", pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
    ("runs", pa.RunEndEncodedArray.from_arrays([2, 3], ["x", "y"]), ["x", "x", "y"]),
    ("null", pa.nulls(2), [None, None]),
    ("uuid", pa.array([uuid.UUID(int=1).bytes], pa.uuid()), ["00000000-0000-0000-0000-000000000001"]),
    ("union", pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]), [1, "b"]),
]  # fmt: skip


@pytest.mark.parametrize(("array", "want"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_plain_values(array, want):
    assert plain_list(array, ReadReport()) == want
    nested = pa.ListArray.from_arrays([0, len(array)], array)
    assert plain_list(nested, ReadReport()) == [want]
    assert plain_list(array.slice(1), ReadReport()) == want[1:]


@pytest.mark.parametrize(("array", "want"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_ipc_stream_keeps_every_type(tmp_path, array, want):
    table = pa.table({"a": array})
    with pa.ipc.new_stream(tmp_path / "t.arrows", table.schema) as writer:
        writer.write_table(table)
    assert [r["a"] for r in read_table(tmp_path / "t.arrows")] == want


@settings(deadline=None)
@given(st.dates(), st.datetimes())
def test_dates_are_those_of_datetime(date, moment):
    assert date_text((date - D(1970, 1, 1)).days) == date.isoformat()
    microseconds = (moment - T(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    assert timestamp_text(microseconds, 10**6) == moment.isoformat()
    assert timestamp_text(microseconds * 1000, 10**9) == moment.isoformat()


def test_nan_is_counted(tmp_path):
    pq.write_table(pa.table({"a": [1.0, math.nan]}), tmp_path / "t.parquet")
    report = ReadReport()
    assert list(iter_records(tmp_path / "t.parquet", report=report)) == [{"a": 1.0}, {"a": None}]
    assert report.null_floats == 1


TABLE = pa.table({"a": list(range(20_000)), "b": [f"text {i}" for i in range(20_000)]})
WANT = TABLE.to_pylist()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    pq.write_table(TABLE, folder / "t.parquet", row_group_size=3000)
    feather.write_feather(TABLE, folder / "t.feather")
    with pa.ipc.new_stream(folder / "t.arrows", TABLE.schema) as stream:
        stream.write_table(TABLE, max_chunksize=3000)
    with pa.ipc.new_file(folder / "t.arrow", TABLE.schema) as file:
        file.write_table(TABLE)
    for name in ("t.parquet", "t.arrow", "t.arrows", "t.feather"):
        data = (folder / name).read_bytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        (folder / f"{name}.zst").write_bytes(zstandard.compress(data))
        (folder / f"no_suffix_{name[2:]}").write_bytes(data)
    return folder


NAMES = ("t.parquet", "t.arrow", "t.arrows", "t.feather")
FORMS = [f"{n}{s}" for n in NAMES for s in ("", ".gz", ".zst")] + [
    f"no_suffix_{n[2:]}" for n in NAMES
]


@pytest.mark.parametrize("name", FORMS)
def test_all_forms_of_a_file(files, name):
    assert read_table(files / name) == WANT


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("keep", [0.01, 0.5, 0.98])
def test_cut_off_files_are_refused(files, tmp_path, name, keep):
    data = (files / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DataError, match=r"t\.|no_suffix"):
        read_table(tmp_path / name)


def test_stream_without_end_mark_is_noted(files, tmp_path, caplog):
    (tmp_path / "t.arrows").write_bytes((files / "t.arrows").read_bytes()[:-8])
    assert read_table(tmp_path / "t.arrows") == WANT
    assert "may have been cut off" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_columns(files, name):
    assert read_table(files / name, columns=["b"])[1] == {"b": "text 1"}
    with pytest.raises(UnknownColumnError, match="there are 'a', 'b'"):
        read_table(files / name, columns=["c"])


def test_damaged_page_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[5000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_table(path)


def test_int96_is_exact(tmp_path):
    times = [0, 1, None, -1, 1_704_141_296_123_456_789]
    table = pa.table({"a": pa.array(times, pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    assert [r["a"] for r in read_table(tmp_path / "t.parquet")] == [
        None if t is None else timestamp_text(t, 10**9) for t in times
    ]


def test_int96_inside_a_list_is_noted(tmp_path, caplog):
    table = pa.table({"a": pa.array([[0]], pa.list_(pa.timestamp("ns")))})
    pq.write_table(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    assert read_table(tmp_path / "t.parquet") == [{"a": ["1970-01-01T00:00:00"]}]
    assert "to the microsecond" in caplog.text


REFUSED = [
    ("text", b"a,b\n1,2\n", "t.parquet", "the name says parquet"),
    ("encrypted", b"PARE....PARE", "t.parquet", "encrypted"),
    ("cut at the head", b"PAR1", "t.parquet", "cannot be read"),
    ("feather 1", b"FEA1....FEA1", "t.feather", "Feather version 2"),
    ("orc", b"ORC\x08", "t.orc", "write it as Parquet"),
    ("not arrow", b"hello, world, this is text", "t.arrow", "cannot be read"),
]


@pytest.mark.parametrize(
    ("data", "name", "text"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refuses(tmp_path, data, name, text):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=text) as caught:
        read_table(tmp_path / name)
    assert name in str(caught.value)


def test_same_names_are_refused(tmp_path):
    schema = pa.schema([("a", pa.int8()), ("a", pa.int8())])
    with pa.ipc.new_stream(tmp_path / "t.arrows", schema) as writer:
        writer.write_batch(pa.record_batch([pa.array([1], pa.int8())] * 2, schema=schema))
    with pytest.raises(DataError, match="two columns have this name") as caught:
        read_table(tmp_path / "t.arrows")
    assert caught.value.column == "a"


def test_map_with_one_key_twice_is_refused(tmp_path):
    table = pa.table({"m": pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()))})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="same key twice") as caught:
        read_table(tmp_path / "t.parquet")
    assert (caught.value.row, caught.value.column) == (1, "m")


def test_no_records_and_no_columns(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.int8())}), tmp_path / "t.parquet")
    assert list(iter_records(tmp_path / "t.parquet")) == []
    with pytest.raises(EmptyDataError):
        read_table(tmp_path / "t.parquet")
    pq.write_table(pa.table({}), tmp_path / "u.parquet")
    with pytest.raises(EmptyDataError, match="no columns"):
        read_table(tmp_path / "u.parquet")


def digits(number):
    return repr(number).split("e")[0].replace(".", "").strip("-0")


@settings(max_examples=200, deadline=None)
@example((32, 999999986991104.0))
@given(
    st.sampled_from([16, 32]).flatmap(
        lambda width: st.tuples(st.just(width), st.floats(width=width, allow_nan=False))
    )
)
def test_narrow_floats_keep_their_shortest_digits(case):
    width, value = case
    narrow = np.dtype(f"float{width}").type(value)
    (found,) = plain_list(
        pa.array([narrow], pa.float16() if width == 16 else pa.float32()), ReadReport()
    )
    assert np.dtype(f"float{width}").type(found) == narrow  # nothing is lost
    # Significant digits: 1e15 is written out with one zero more than the 999999986991104 it is near.
    assert len(digits(found)) <= len(digits(float(narrow)))
    assert plain_value(narrow) == found  # numpy scalars of users alike


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(2.55), "2.55"),
        (np.float16(0.1), "0.1"),
        (np.longdouble("0.5"), "0.5"),
        (np.array([2.55, 0.7], np.float32), "2.55, 0.7"),
        (np.array(2.55, np.float32), "2.55"),
        ([np.float32(0.7)], "0.7"),
        ({"a": np.float32(0.7)}, '{"a": 0.7}'),
        (pd.Series([2.55, None], dtype="Float32"), "[2.55, null]"),
        (pd.Series([2.55], dtype="float32"), "2.55"),
        (np.float32("nan"), None),
        (np.datetime64("2024-01-02T03:04:05.123456789"), "2024-01-02T03:04:05.123456789"),
        (np.timedelta64(90, "s"), "PT90S"),
        (np.datetime64("NaT"), None),
    ],
)
def test_numpy_values_of_users_are_spelt_by_their_own_width(value, text):
    assert pair_text(value) == text


@pytest.mark.parametrize(
    "keywords", [{}, {"columns": ["q", "single", "half"]}, {"dtype_backend": "pyarrow"}]
)
def test_frames_and_pairs_hold_the_digits_of_narrow_floats(tmp_path, keywords):
    path = tmp_path / "t.parquet"
    single, half = pa.array([2.55, None], pa.float32()), pa.array([0.1, 0.2], pa.float16())
    pq.write_table(pa.table({"q": ["a", "b"], "single": single, "half": half}), path)
    loader = StructuredDataLoader()
    data = loader.load_from_parquet(path, **keywords)
    assert data["single"].dropna().tolist() == [2.55]
    assert data["half"].tolist() == [0.1, 0.2]
    assert loader.create_qa_pairs("q", "single") == [{"question": "a", "answer": "2.55"}]
    loader.data = data.astype({"single": "float32", "half": "float16"})  # a frame of the user's own
    assert [p["answer"] for p in loader.create_qa_pairs("q", "half")] == ["0.1", "0.2"]
    assert [p["answer"] for p in loader.create_qa_pairs("q", "single")] == ["2.55"]


def test_rows_of_a_dataset_hold_the_digits_of_narrow_floats():
    features = datasets.Features({"t": datasets.Value("string"), "n": datasets.Value("float32")})
    rows = datasets.Dataset.from_dict({"t": ["a", "b"], "n": [2.55, 0.7]}, features=features)
    assert read_rows(rows.select([1, 0])) == [{"t": "b", "n": 0.7}, {"t": "a", "n": 2.55}]
