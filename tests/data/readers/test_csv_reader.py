"""CSV: every policy of csv_reader, and that the quick way and the exact way give the same."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import bz2
import csv
import gzip
import io
import logging
import lzma
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.data.readers.csv import reader as csv_reader
from stillroom.data.readers.csv.blocks import read_block
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records, iter_sourced_records, read_table
from stillroom.errors import ConfigError, DataError, EmptyDataError, UnknownColumnError


def read(tmp_path: Path, data: bytes, name: str = "t.csv", **options):
    path = tmp_path / name
    path.write_bytes(data)
    report = ReadReport()
    return list(iter_records(path, report=report, **options)), report


A1 = [{"a": "1", "b": "2"}]
READ = [
    ("lf", b"a,b\n1,2\n", {}, A1),
    ("no last line end", b"a,b\n1,2", {}, A1),
    ("crlf", b"a,b\r\n1,2\r\n", {}, A1),
    ("cr", b"a,b\r1,2\r", {}, A1),
    ("mixed line ends", b"a,b\r1,2\n1,2\r\n1,2", {}, A1 * 3),
    ("header only", b"a,b\n", {}, []),
    ("utf-8 mark", b"\xef\xbb\xbfa,b\n1,2\n", {}, A1),
    ("utf-8 mark and encoding", b"\xef\xbb\xbfa,b\n1,2\n", {"encoding": "utf-8"}, A1),
    ("utf-8-sig", b"a,b\n1,2\n", {"encoding": "utf-8-sig"}, A1),
    ("utf-16 le mark", "\ufeffa,b\n1,2\n".encode("utf-16-le"), {}, A1),
    ("utf-16 be mark", "\ufeffa,b\n1,2\n".encode("utf-16-be"), {}, A1),
    ("utf-32 le mark", "\ufeffa,b\n1,2\n".encode("utf-32-le"), {}, A1),
    ("utf-32 be mark", "\ufeffa,b\n1,2\n".encode("utf-32-be"), {}, A1),
    ("named encoding", "a\ncafé\n".encode("cp1252"), {"encoding": "cp1252"}, [{"a": "café"}]),
    ("text as written", b"a,b\n007,1.0\n", {}, [{"a": "007", "b": "1.0"}]),
    ("spaces kept", b"a,b\n 1 ,2\n", {}, [{"a": " 1 ", "b": "2"}]),
    ("null is the empty cell", b'a,b\n,""\n', {}, [{"a": None, "b": None}]),
    ("marks of nothing", b"a,b\nNA,nan\n", {}, [{"a": None, "b": None}]),
    ("marks with blanks", b"a,b\n N/A,NULL \n", {}, [{"a": None, "b": None}]),
    ("marks kept", b"a,b\nNA,nan\n", {"keep_null_marks": True}, [{"a": "NA", "b": "nan"}]),
    ("marks kept but one", b"a,b\nNA,nan\n", {"keep_null_marks": True, "null_values": "NA"}, [{"a": None, "b": "nan"}]),
    ("marks inside words", b"a,b\nNAN,Nullarbor\n", {}, [{"a": "NAN", "b": "Nullarbor"}]),
    ("marks are names in the header", b"NA,b\n1,2\n", {}, [{"NA": "1", "b": "2"}]),
    ("marks in surplus cells", b"a,b\n1,2,NA\n", {"ragged": "keep"}, [{"a": "1", "b": "2", "_extra": ["NA"]}]),
    ("null_values", b"a,b\nNA,2\n", {"null_values": "NA"}, [{"a": None, "b": "2"}]),
    ("quoted separator", b'a,b\n"1,5",2\n', {}, [{"a": "1,5", "b": "2"}]),
    ("quoted crlf", b'a,b\n"1\r\n5",2\n', {}, [{"a": "1\r\n5", "b": "2"}]),
    ("doubled quote", b'a,b\n"x""y",2\n', {}, [{"a": 'x"y', "b": "2"}]),
    ("quote inside a plain cell", b'a,b\n5" nail,2\n', {}, [{"a": '5" nail', "b": "2"}]),
    ("escaped quote", b'a,b\n"x\\"y",2\n', {"escape": "\\"}, [{"a": 'x"y', "b": "2"}]),
    ("no quotes", b'a\tb\n"x\t2\n', {"quote": None}, [{"a": '"x', "b": "2"}]),
    ("space before quote", b'a,b\n1, "2"\n', {"skip_initial_space": True}, A1),
    ("semicolons", b"a;b\n1;2\n", {}, A1),
    ("tabs", b"a\tb\n1\t2\n", {}, A1),
    ("pipes", b"a|b\n1|2\n", {}, A1),
    ("separator fits the rows too", b"a;b,c\n1;2\n3;4\n", {}, [{"a": "1", "b,c": "2"}, {"a": "3", "b,c": "4"}]),
    ("sep given", b"a:b\n1:2\n", {"sep": ":"}, A1),
    ("Excel's hint", b"sep=;\r\na;b\r\n1;2\r\n", {}, A1),
    ("one column", b"a\nx\ny\n", {}, [{"a": "x"}, {"a": "y"}]),
    ("one column, null", b'a\n""\ny\n', {}, [{"a": None}, {"a": "y"}]),
    ("blank lines", b"\n\na,b\n\n1,2\n  \n\n", {}, A1),
    ("only separators", b"a,b\n,\n", {}, [{"a": None, "b": None}]),
    ("no header", b"1,2\n3,4\n", {"header": False}, [{"column_1": "1", "column_2": "2"}, {"column_1": "3", "column_2": "4"}]),
    ("names given", b"1,2\n", {"header": ["a", "b"]}, A1),
    ("skip_lines", b'note "\na,b\n1,2\n', {"skip_lines": 1}, A1),
    ("comments", b'#x"\na,b\n#y\n1,2\n#z', {"comment": "#"}, A1),
    ("comment inside quotes", b'a,b\n"1\n#2",3\n', {"comment": "#"}, [{"a": "1\n#2", "b": "3"}]),
    ("surplus empty cells", b"a,b\n1,2,,\n", {}, A1),
    ("row ends before unnamed columns", b"a,b,,\n1,2\n", {}, [{"a": "1", "b": "2", "column_3": None, "column_4": None}]),
    ("unnamed column", b",b\n1,2\n", {}, [{"column_1": "1", "b": "2"}]),
    ("second name", b"a,a,a.2\n1,2,3\n", {}, [{"a": "1", "a.3": "2", "a.2": "3"}]),
    ("pad", b"a,b\n1\n", {"ragged": "pad"}, [{"a": "1", "b": None}]),
    ("keep", b"a,b\n1,2,3,4\n5\n", {"ragged": "keep"}, [{"a": "1", "b": "2", "_extra": ["3", "4"]}, {"a": "5", "b": None, "_extra": None}]),
    ("keep, one more", b"a,b\n1,2,3\n", {"ragged": "keep"}, [{"a": "1", "b": "2", "_extra": ["3"]}]),
    ("columns", b"a,b\n1,2\n", {"columns": "b"}, [{"b": "2"}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "options", "want"), [r[1:] for r in READ], ids=[r[0] for r in READ]
)
def test_reads(tmp_path, data, options, want):
    assert read(tmp_path, data, **options)[0] == want


REFUSED = [
    ("empty file", b"", {}, None, None, "empty"),
    ("blank file", b"\n \n\n", {}, None, None, "no line with anything on it"),
    ("too few cells", b"a,b\n1,2\n3\n", {}, 2, 3, "1 cell, the header has 2"),
    ("too many cells", b"a,b\n1,2,3\n", {}, 1, 2, "3 cells, the header has 2"),
    ("too many is not padded", b"a,b\n1,2,3\n", {"ragged": "pad"}, 1, 2, "3 cells"),
    ("line after quoted lines", b'a,b\n"x\ny",2\n\n3\n', {}, 2, 5, "1 cell"),
    ("line after comments", b"#\na,b\n1,2\n#\n3\n", {"comment": "#"}, 2, 5, "1 cell"),
    ("open quote", b'a,b\n1,2\n3,"4\n5,6\n', {}, 2, 3, "a quote opens here and is never closed"),
    ("open quote after a closed one", b'a,b\n"1\n2","3\n', {}, 1, 3, "never closed"),
    ("open quote in the header", b'a,"b\n1,2\n', {}, None, 1, "never closed"),
    ("text after quote", b'a,b\n1,2\n"x"y,2\n', {}, 2, 3, "text follows a closing quote"),
    ("blank after quote", b'a,b\n"x" ,2\n', {}, 1, 2, "text follows a closing quote"),
    ("wrong encoding named", b"a\n\xff\n", {"encoding": "ascii"}, 1, 2, "'ascii' was named; to name another one, pass --encoding (encoding=...)"),
    ("damaged utf-8", "a,b\n1,é\n2,ü\n3,ß\n4,".encode() + b"\xe9\n", {}, 4, 5, "though the text before it is; the file is damaged"),
    ("NUL", b"a,b\n1,2\n\0,2\n", {}, 2, 3, "NUL character at byte offset 8"),
    ("html", b"<!DOCTYPE html><p>Log in", {}, None, None, "HTML page"),
    ("lfs", b"version https://git-lfs.github.com/spec/v1\noid", {}, None, None, "git lfs pull"),
    ("workbook", b"PK\x03\x04xl/", {}, None, None, "damaged or cut off"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "options", "row", "line", "text"),
    [r[1:] for r in REFUSED],
    ids=[r[0] for r in REFUSED],
)
def test_refuses_with_file_row_and_line(tmp_path, data, options, row, line, text):
    with pytest.raises(DataError) as caught:
        read(tmp_path, data, **options)
    assert (caught.value.row, caught.value.line) == (row, line)
    assert text in str(caught.value)
    assert "t.csv" in str(caught.value)


def test_short_row_names_the_column(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, b"a,b,c\n1,2\n")
    assert caught.value.column == "c"


def test_everything_passed_over_is_counted_and_logged(tmp_path, caplog):
    data = b"x\n#c\na,b,\n\n1,2,,\n3\n"
    _, report = read(tmp_path, data, skip_lines=1, comment="#", ragged="pad")
    counts = report.skipped_lines, report.comment_lines, report.blank_lines
    assert (*counts, report.trimmed_rows, report.padded_rows) == (1, 1, 1, 1, 1)
    assert report.records == 2
    assert "column 3 (without a name) is called 'column_3'" in caplog.text
    assert "1 blank lines passed over" in caplog.text


def test_header_of_numbers_is_noted(tmp_path, caplog):
    read(tmp_path, b"1,2\n3,4\n")
    assert "if it is a record, pass --header no (header=False)" in caplog.text


def test_clean_file_logs_no_warning(tmp_path, caplog):
    read(tmp_path, b"a,b\n1,2\n")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_records_know_their_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\nx\n\ny\n")
    assert [(r.path, r.row, r.record) for r in iter_sourced_records(path)] == [
        (str(path), 1, {"a": "x"}),
        (str(path), 2, {"a": "y"}),
    ]


def test_unknown_options_are_named_all_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"'seperator'.*did you mean 'sep'.*'xyz'"):
        iter_records(tmp_path / "t.csv", seperator=";", xyz=1)
    with pytest.raises(ConfigError, match=r"(?s)ragged='cut'.*sep=';;'"):
        iter_records(tmp_path / "t.csv", ragged="cut", sep=";;")


def test_unknown_column_lists_columns(tmp_path):
    with pytest.raises(UnknownColumnError, match="there are 'a', 'b'"):
        read(tmp_path, b"a,b\n1,2\n", columns=["c"])


def test_read_table_refuses_no_records(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(EmptyDataError, match=r"t\.csv"):
        read_table(tmp_path / "t.csv")


PACKERS = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_files(tmp_path, suffix):
    rows = "".join(f"{i},{i * i}\n" for i in range(20_000))
    packed = PACKERS[suffix](f"a,b\n{rows}".encode())
    records, _ = read(tmp_path, packed, f"t.csv.{suffix}")
    assert len(records) == 20_000
    assert records[-1] == {"a": "19999", "b": str(19999**2)}
    # The name does not count, and members may follow each other.
    assert len(read(tmp_path, packed + PACKERS[suffix](b"1,2\n"), "t.csv")[0]) == 20_001


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
def test_cut_off_packed_file_is_refused(tmp_path, suffix, keep):
    packed = PACKERS[suffix](b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(30_000)))
    with pytest.raises(DataError, match=r"cut off|damaged"):
        read(tmp_path, packed[: int(len(packed) * keep)], f"t.csv.{suffix}")


def test_damage_in_a_packed_file_names_the_row(tmp_path):
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(100_000)))
    with pytest.raises(DataError) as caught:
        read(tmp_path, packed[: len(packed) // 2], "t.csv.gz")
    assert 10_000 < caught.value.row < 90_000


def test_long_file_names_the_row_at_fault(tmp_path):
    """The fault lies many blocks after the beginning, in a file that goes the quick way."""
    good = b'"x, y",2\n' * 200_000
    for bad, text in (
        (b"1,2,3\n", "3 cells"),
        (b'"x"y,2\n', "closing quote"),
        (b"\xff,2\n", "utf-8"),
    ):
        with pytest.raises(DataError, match=text) as caught:
            read(tmp_path, b"a,b\n" + good + bad + good)
        assert (caught.value.row, caught.value.line) == (200_001, 200_002)


def test_long_file_with_one_stray_quote_is_read_exactly(tmp_path):
    good = b'"x\ny",2\n' * 50_000
    records, _ = read(tmp_path, b"a,b\n" + good + b'5" nail,3\n' + good)
    assert len(records) == 100_001
    assert records[50_000] == {"a": '5" nail', "b": "3"}
    assert records[-1] == {"a": "x\ny", "b": "2"}


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), max_size=8), end=st.sampled_from(["\n", "\r\n"])
)
def test_what_is_written_is_read(tmp_path_factory, rows, end):
    path = tmp_path_factory.mktemp("rows") / "t.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([("a", "b", "c"), *rows])
    got = [tuple(r.values()) for r in iter_records(path, keep_null_marks=True, header=True)]
    assert got == [tuple(cell or None for cell in row) for row in rows]


@settings(max_examples=600, deadline=None)
@given(text=st.text(alphabet='ab,"\n\r ', max_size=25))
def test_quick_way_reads_as_the_csv_module_or_not_at_all(text):
    columns = ["p", "q"]
    quick = read_block(text, columns, columns, ",") if text else None
    if quick is None:
        return
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert all(len(row) == 2 for row in rows)
    assert list(zip(*quick, strict=True)) == [tuple(row) for row in rows]


@settings(max_examples=300, deadline=None)
@given(body=st.text(alphabet='ab,"\n\r é', max_size=40))
def test_quick_and_exact_way_agree(tmp_path_factory, body):
    path = tmp_path_factory.mktemp("both") / "t.csv"
    path.write_text("p,q\n" + body, encoding="utf-8", newline="")

    def outcome():
        try:
            return list(iter_records(path))
        except DataError as fault:
            return (str(fault), fault.row, fault.line)

    exact = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "QUICK_MIN_CHARS", 0)
        assert outcome() == exact
