"""JSON and JSON Lines: what is read, what is refused and where."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.data.readers.json.stream import MAX_DEPTH, parse_json
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records
from stillroom.errors import ConfigError, DataError, UnreadableFileError


def read(tmp_path: Path, data: str | bytes, name: str = "t.json", **options):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(iter_records(path, **options))


QAS = {"data": [{"title": "T", "paragraphs": [{"context": "C", "qas": [{"q": 1}, {"q": 2}]}]}]}
READ = [
    ("list", '[{"a": 1}, {"a": 2}]', {}, [{"a": 1}, {"a": 2}]),
    ("empty list", " [ ] ", {}, []),
    ("object", '{"a": 1}', {}, [{"a": 1}]),
    ("object over lines", '{\n "a":\n 1}\n', {}, [{"a": 1}]),
    ("lines", '{"a": 1}\n{"a": 2}\n', {}, [{"a": 1}, {"a": 2}]),
    ("lines, blank between", '{"a": 1}\n\n\r\n{"a": 2}', {}, [{"a": 1}, {"a": 2}]),
    ("objects over lines", '{\n"a": 1}\n{\n"a": 2}', {}, [{"a": 1}, {"a": 2}]),
    ("mark", b'\xef\xbb\xbf[{"a": 1}]', {}, [{"a": 1}]),
    ("utf-16 mark", '\ufeff[{"a": 1}]'.encode("utf-16-le"), {}, [{"a": 1}]),
    ("integers exact", '[{"a": 123456789012345678901234567890}]', {}, [{"a": 123456789012345678901234567890}]),
    ("integer and float differ", '[{"a": 1, "b": 1.0}]', {}, [{"a": 1, "b": 1.0}]),
    ("surrogate pair", r'[{"a": "\ud83d\ude00"}]', {}, [{"a": "😀"}]),
    ("equal duplicates", '[{"a": 1, "a": 1}]', {}, [{"a": 1}]),
    ("nested", '[{"a": {"b": [1, {"c": null}]}}]', {}, [{"a": {"b": [1, {"c": None}]}}]),
    ("flatten", '[{"a": {"b": 1, "c": {"d": 2}}, "e": [1]}]', {"flatten": True}, [{"a.b": 1, "a.c.d": 2, "e": [1]}]),
    ("one list inside", '{"n": 1, "elements": [{"a": 1}]}', {}, [{"a": 1}]),
    ("messages are one record", '{"messages": [{"role": "user"}]}', {}, [{"messages": [{"role": "user"}]}]),
    ("the document is the record", '{"x": [{"a": 1}]}', {"records_path": "$"}, [{"x": [{"a": 1}]}]),
    ("path", '{"x": {"y": [{"a": 1}]}, "z": [{"b": 1}]}', {"records_path": "x.y"}, [{"a": 1}]),
    ("path of keys with dots", '{"x.y": [{"a": 1}]}', {"records_path": ("x.y",)}, [{"a": 1}]),
    ("path through lists", json.dumps(QAS), {"records_path": "data.paragraphs.qas"}, [{"q": 1}, {"q": 2}]),
    ("parents", json.dumps(QAS), {"records_path": "data.paragraphs.qas", "parent_fields": ["context", "title"]}, [{"context": "C", "title": "T", "q": 1}, {"context": "C", "title": "T", "q": 2}]),
    ("path to an empty list", '{"x": []}', {"records_path": "x"}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "options", "want"), [r[1:] for r in READ], ids=[r[0] for r in READ]
)
def test_reads(tmp_path, data, options, want):
    got = read(tmp_path, data, **options)
    assert got == want
    assert json.dumps(got) == json.dumps(want)  # 1 is not 1.0, and keys keep their order


def test_one_line_of_json_lines_is_one_record(tmp_path):
    assert read(tmp_path, '{"x": [{"a": 1}]}', "t.jsonl") == [{"x": [{"a": 1}]}]


def test_json_lines_by_any_name(tmp_path):
    for name in ("t.json", "t.jsonl", "t.ndjson", "t.txt", "t"):
        assert read(tmp_path, '{"a": 1}\n{"a": 2}\n', name) == [{"a": 1}, {"a": 2}]


def test_found_list_is_noted(tmp_path, caplog):
    read(tmp_path, '{"elements": [{"a": 1}]}')
    assert "took the 1 objects under 'elements'" in caplog.text


REFUSED = [
    ("blank", " \n", None, None, "nothing but blanks"),
    ("mark only", b"\xef\xbb\xbf", None, None, "nothing but blanks"),
    ("scalar", "1", None, None, "the document is a number"),
    ("text", '"a"', None, None, "the document is a text"),
    ("list of numbers", "[1, 2]", 1, None, "the record is a number"),
    ("list of lists", '[{"a": 1}, [2]]', 2, None, "the record is a list"),
    ("line is a number", '{"a": 1}\n2\n', 2, None, "the record is a number"),
    ("cut off list", '[{"a": 1},\n{"a"', 2, 2, "cut off"),
    ("cut off after a comma", '[{"a": 1},\n', 2, 2, "cut off"),
    ("cut off before the end", '[{"a": 1}\n', 1, 2, "cut off after record 1"),
    ("cut off text", '{"a": "x', 1, 1, "cut off"),
    ("cut off line", '{"a": 1}\n{"a": 2}\n{"a":', 3, 3, "cut off"),
    ("malformed line", '{"a": 1}\n{"a" 2}\n{"a": 3}\n', 2, 2, "not JSON: Expecting ':'"),
    ("two objects on a line", '{"a": 1}{"a": 2}', 1, 1, "more text on the line"),
    ("text after the list", '[{"a": 1}]\n\nx', None, 3, "after the end of the list"),
    ("trailing comma", '[{"a": 1},]', 2, 1, "not JSON"),
    ("no comma", '[{"a": 1} {"a": 2}]', 1, 1, "where ',' or ']' belongs"),
    ("comment", '[{"a": 1}] // x', None, 1, "after the end"),
    ("NaN", '[{"a": 1},\n{"a": NaN}]', 2, 2, "not_finite"),
    ("Infinity", '{"a": -Infinity}', 1, 1, "not_finite"),
    ("overflow", '{"a": 1e400}', 1, 1, "not_finite"),
    ("too many digits", '{"a": ' + "9" * 5000 + "}", 1, 1, "too many digits"),
    ("half a pair", r'[{"a": "\ud800"}]', 1, 1, "half a surrogate pair"),
    ("other duplicates", '[{"a": 1}, {"a": 1, "a": 2}]', 2, 1, "twice with different values"),
    ("duplicates of other type", '[{"a": 1, "a": true}]', 1, 1, "twice with different values"),
    ("tab in a text", '[{"a": "\t"}]', 1, 1, "not JSON"),
    ("bad bytes", b'[{"a": 1},\n{"a": "\xff"}]', 2, 2, "byte offset 18"),
    ("NUL", b'[{"a": "\0"}]', 1, 1, "NUL"),
    ("deep", '[{"a": ' + "[" * 100_000, 1, None, "nested deeper than 256"),
    ("deep and whole", '[{"a": ' + "[" * 300 + "]" * 300 + "}]", 1, 1, "nested deeper than 256"),
    ("deep objects", '{"a":' * 100_000, 1, 1, "nested deeper than 256"),
    ("several lists", '{"x": [{"a": 1}], "y": [{"b": 1}]}', None, None, "'x' (1 objects), 'y' (1 objects)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "row", "line", "text"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refuses_with_file_row_and_line(tmp_path, data, row, line, text):
    with pytest.raises(DataError) as caught:
        read(tmp_path, data)
    assert text in str(caught.value)
    assert "t.json" in str(caught.value)
    assert (caught.value.row, caught.value.line if line else None) == (row, line)


def test_duplicate_key_is_the_column(tmp_path):
    with pytest.raises(UnreadableFileError) as caught:
        read(tmp_path, '[{"a": 1, "a": 2}]')
    assert caught.value.column == "a"


def test_path_that_leads_nowhere_names_the_keys(tmp_path):
    with pytest.raises(DataError, match="the document has 'x', 'z'"):
        read(tmp_path, '{"x": {"y": []}, "z": 1}', records_path="x.q")


def test_flatten_refuses_two_values_for_one_name(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, '[{"a.b": 1, "a": {"b": 2}}]', flatten=True)
    assert (caught.value.row, caught.value.column) == (1, "a.b")


def test_query_is_for_databases(tmp_path):
    with pytest.raises(ConfigError, match="query= and table= are for databases"):
        read(tmp_path, "[]", query="SELECT 1")


def test_records_before_a_fault_are_handed_out(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\nx\n')
    records = iter_records(path)
    assert [next(records), next(records)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(UnreadableFileError):
        next(records)


def test_values_across_blocks(tmp_path):
    """Long values, and blocks that end inside numbers and texts."""
    want = [
        {"n": int("7" * (i % 30 + 1)), "t": 'xé\\"' * (i % 50), "f": i / 7} for i in range(30_000)
    ]
    text = json.dumps(want, ensure_ascii=False)
    assert read(tmp_path, text) == want
    lines = "\n".join(json.dumps(w, ensure_ascii=False) for w in want)
    assert read(tmp_path, lines, "t.jsonl") == want
    assert read(tmp_path, gzip.compress(lines.encode()), "t.jsonl.gz") == want
    assert read(tmp_path, json.dumps([{"t": "y" * 3_000_000}])) == [{"t": "y" * 3_000_000}]


def test_blank_lines_are_counted(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n\n\n{"a": 2}\n')
    report = ReadReport()
    assert len(list(iter_records(tmp_path / "t.jsonl", report=report))) == 2
    assert report.blank_lines == 2


@pytest.mark.parametrize(
    ("data", "want"),
    [(b"1", 1), (b'"x"', "x"), (b"[]", []), (b'{"a":1,"a":2}', {"a": 2}), (b" null ", None)],
)
def test_parse_json_takes_any_value(data, want):
    assert parse_json(data, "x.json") == want


@pytest.mark.parametrize(
    "data", [b"", b"[1,]", b"NaN", b"\xff", b"[" * 100_000, b"{} x", b"\xef\xbb\xbf", b"[1]\0"]
)
def test_parse_json_refuses(data):
    with pytest.raises(UnreadableFileError, match=r"x\.json"):
        parse_json(data, "x.json")


def test_depth_limit_is_exact():
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "x")
    with pytest.raises(UnreadableFileError):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "x")
    flat = b"[" + b",".join([b'{"[[": "]"}'] * 1000) + b"]"
    assert len(parse_json(flat, "x")) == 1000


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    records=st.lists(st.dictionaries(text, values, max_size=4), min_size=1, max_size=5),
    ascii_only=st.booleans(),
)
def test_json_lines_round_trip(tmp_path_factory, records, ascii_only):
    path = tmp_path_factory.mktemp("lines") / "t.jsonl"
    lines = [json.dumps(r, ensure_ascii=ascii_only) for r in records]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert list(iter_records(path)) == records


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=30)
    | st.text(alphabet='{}[]",:1e.-aN\\u \n', max_size=30).map(str.encode)
)
def test_never_anything_but_a_data_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "t.json"
    path.write_bytes(data)
    with suppress(DataError):
        assert all(isinstance(record, dict) for record in iter_records(path))
