"""What a CSV file shows by itself: escapes, separator, header; and names without odd characters."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.data.questions.qa_pairs import iter_qa_pairs
from stillroom.data.readers.cells import cell_text
from stillroom.data.readers.csv import reader as csv_reader
from stillroom.data.readers.csv.header import judge_first_row
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records, read_table
from stillroom.errors import DataError


def read(tmp_path, data: str | bytes, **options):
    path = tmp_path / "t.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    report = ReadReport(quiet=True)
    return [list(r.values()) for r in iter_records(path, report=report, **options)], report


ESCAPES = [
    ("escaped quotes", r'a,b{}"x \"y\" z",2{}3,4{}', [['x "y" z', "2"], ["3", "4"]]),
    ("at the end of a cell", r'a,b{}"5\"",2{}"6\"",4{}', [['5"', "2"], ['6"', "4"]]),
    ("only a quote", r'a,b{}"\"",2{}', [['"', "2"]]),
    ("in the header", r'"a \"x\"",b{}1,2{}', [["1", "2"]]),
    ("separator without quotes", r"a,b{}x\, y,2{}3,4{}", [["x, y", "2"], ["3", "4"]]),
    ("escaped backslash beside a quote", r'a,b{}"x\\",2{}"\"y",3{}', [["x\\", "2"], ['"y', "3"]]),
    ("mixed with doubled quotes", r'a,b{}"x \"y\"",2{}"u ""v""",3{}', [['x "y"', "2"], ['u "v"', "3"]]),
    ("semicolons", r'a;b{}"x \"y;z\"";2{}', [['x "y;z"', "2"]]),
    ("other backslashes are text", r'a,b{}"\"q\"",C:\new{}', [['"q"', "C:\\new"]]),
    ("MySQL's null", r'a,b{}"say \"hi\"",\N{}', [['say "hi"', None]]),
    # read whole with doubled quotes, so nothing is an escape
    ("path at the end of a cell", r'a,b{}"C:\dir\",2{}', [["C:\\dir\\", "2"]]),
    ("doubled backslash", r"a,b{}\\server\share,2{}", [["\\\\server\\share", "2"]]),
    ("quote inside a plain cell", r'a,b{}5\" nail,2{}', [['5\\" nail', "2"]]),
    ("doubled quotes beside backslashes", r'a,b{}"\""x""\",2{}', [['\\"x"\\', "2"]]),
    ("plain escapes", r"a,b{}^\d+\s$,2{}", [["^\\d+\\s$", "2"]]),
]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("text", "want"), [e[1:] for e in ESCAPES], ids=[e[0] for e in ESCAPES])
def test_the_file_shows_whether_backslashes_escape(tmp_path, text, want, end):
    assert read(tmp_path, text.replace("{}", end))[0] == want


def test_escapes_are_told_and_can_be_denied(tmp_path):
    text = 'a,b\n"x \\"y\\"",2\n'
    _, report = read(tmp_path, text)
    assert [n for n in report.notes if "pass --escape none (escape='')" in n]
    with pytest.raises(DataError, match="text follows a closing quote"):
        read(tmp_path, text, escape="")
    assert not read(tmp_path, "a,b\n\\\\x,2\n")[1].notes


def test_a_file_that_reads_in_neither_way_names_the_row_of_doubled_quotes(tmp_path):
    with pytest.raises(DataError, match="text follows a closing quote") as caught:
        read(tmp_path, 'a,b\n1,2\n"x \\"y\\"",2\n"u"v,3\n')
    assert (caught.value.row, caught.value.line) == (2, 3)


@pytest.mark.parametrize("columns", [None, ["b"]])
@pytest.mark.parametrize("quick", [True, False])
def test_escapes_far_down_a_file_are_found_without_a_record_lost(tmp_path, quick, columns):
    """The first escape lies many blocks after rows that were handed out already."""
    good = "".join(f'"x, {i}",{i}\n\n' for i in range(60_000))
    text = f'a,b\n{good}"say \\"hi\\"",-1\n{good}"u\\"",NULL\n'
    with pytest.MonkeyPatch.context() as patch:
        if not quick:
            patch.setattr(csv_reader, "QUICK_MIN_CHARS", 1 << 60)
        records, report = read(tmp_path, text, columns=columns)
    assert len(records) == 120_002
    assert [r[-1] for r in records[:60_000]] == [str(i) for i in range(60_000)]
    assert records[60_000] == ['say "hi"', "-1"][-len(records[0]) :]
    assert records[-1] == ['u"', None][-len(records[0]) :]
    assert (report.records, report.blank_lines) == (120_002, 120_000)
    assert report.null_marks == {"NULL": 1}


def test_backslashes_far_down_that_escape_nothing_change_nothing(tmp_path):
    good = "".join(f'"x, {i}",{i}\n' for i in range(60_000))
    records, report = read(tmp_path, f'a,b\n{good}"C:\\dir\\",1\n{good}')
    assert len(records) == 120_001
    assert records[60_000] == ["C:\\dir\\", "1"]
    assert not report.notes


cells = st.text(st.sampled_from('ab",;\\\n é'), max_size=6)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_what_is_written_with_escapes_is_read(tmp_path_factory, rows):
    """Python's own writer is the oracle; its files read in this way, unless they also read whole
    with doubled quotes, which then counts."""
    folder = tmp_path_factory.mktemp("escapes")
    text = io.StringIO()
    csv.writer(
        text, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\", lineterminator="\n"
    ).writerows([("a", "b"), *rows])
    want = [[a or None, b or None] for a, b in rows]
    assert read(folder, text.getvalue(), escape="\\", header=True)[0] == want
    try:
        doubled, _ = read(folder, text.getvalue(), escape="", header=True)
    except DataError:
        assert read(folder, text.getvalue(), header=True)[0] == want
    else:
        assert read(folder, text.getvalue(), header=True)[0] == doubled


SEPARATORS = [
    ("carets", "a^b\n1^2\n3^4\n", [["1", "2"], ["3", "4"]]),
    ("tildes", "a~b\nx, y~2\n", [["x, y", "2"]]),
    ("Hive's", "a\x01b\nx y\x012\n", [["x y", "2"]]),
    ("a caret in one row is text", "a\nx^2\ny\n", [["x^2"], ["y"]]),
    ("a caret in the header alone is text", "a^b\nx\n", [["x"]]),
    ("a comma beats a caret", "a,b^c\n1,2^3\n", [["1", "2^3"]]),
    ("semicolons with escapes", 'a;b\n"x\\";, y";2\n"\\"";3\n', [['x";, y', "2"], ['"', "3"]]),
]


@pytest.mark.parametrize(("text", "want"), [s[1:] for s in SEPARATORS], ids=[s[0] for s in SEPARATORS])  # fmt: skip
def test_separators(tmp_path, text, want):
    assert read(tmp_path, text)[0] == want


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize(("title", "skip"), [("Report 2024", 1), ("Report\n\nby us", 3)])
def test_a_title_above_the_table_is_refused_with_the_lines_to_skip(tmp_path, sep, title, skip):
    text = f"{title}\nname{sep}price\nApple{sep}1\nPear{sep}2\n"
    with pytest.raises(DataError, match=rf"pass --skip-lines {skip} \(skip_lines={skip}\)"):
        read(tmp_path, text)
    assert read(tmp_path, text, skip_lines=skip)[0] == [["Apple", "1"], ["Pear", "2"]]


FIRST_ROWS = [
    ("text and decimals", "Apple,1.20;Pear,2.50;Plum,3.10", "record"),
    ("text and numbers", "Apple,12;Pear,7;Plum,9", "record"),
    ("dates", "2024-01-02,Rome;2024-01-03,Oslo;2024-01-04,Bern", "record"),
    ("times and moments", "10:30,2024-01-02T10:30:00Z;11:00,2024-01-02T11:00:00Z;12:15,2024-01-03T09:00:00Z", "record"),
    ("mail", "ann@example.org,Ann;bob@example.org,Bob;eve@example.org,Eve", "record"),
    ("yes and no", "Fig,yes;Nut,no;Pea,yes", "record"),
    ("numbers only", "12,7,9;10,5,8;4,4,1", "record"),
    ("numbers and gaps", "12,7,Fig;,5,Nut;8,NA,Pea;9,4,Rye", "record"),
    ("one column", "5;3;8", "record"),
    ("year beside a number", "Corolla,1998,5200;Jazz,2003,4100;Polo,2001,3900", "record"),
    ("names", "fruit,weight_g;Apple,150;Pear,120", "names"),
    ("names of text", "fruit,colour;Apple,red;Pear,green", "names"),
    ("capital names", "Fruit,Colour;Apple,Red;Pear,Green;Plum,Red;Fig,Red", "names"),
    ("years above numbers", "where,2019,2020,2021;France,67,68,69;Italy,60,59,58", "unsure"),
    ("one year above numbers", "where,2020;France,67;Italy,60", "unsure"),
    ("years not in a row", "where,1990,2000,2020;France,67,68,69;Italy,60,59,58", "unsure"),
    ("years above years", "event,1996,2004;A,1990,2000;B,1991,2001", "unsure"),
    ("running numbers of pandas", "0,1,2;5,7,9;6,2,4", "unsure"),
    ("a series of pandas", "fruit,0;Apple,5;Pear,7", "unsure"),
    ("far from the others", "fruit,900;Apple,5;Pear,7", "unsure"),
    ("dates above numbers", "where,2024-01-01;France,67;Italy,60", "names"),
    ("a blank name", ",5;a,6;b,7", "names"),
    ("a common name", "id,7;a,6;b,8", "names"),
    ("whole above decimals", "x,3;a,1.5;b,2.5", "names"),
    ("two rows", "Apple,1.20;Pear,2.50", "names"),
    ("only the names again", "a,b;1,2;a,b;3,4", "names"),
    ("answers of a survey", "Fig,yes;Fig,yes;Nut,yes", "names"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "want"), [f[1:] for f in FIRST_ROWS], ids=[f[0] for f in FIRST_ROWS])  # fmt: skip
def test_the_first_row(table, want):
    first, *below = [row.split(",") for row in table.split(";")]
    assert judge_first_row(first, below) == want


def test_a_table_without_a_header_keeps_its_first_record_and_says_so(tmp_path):
    text = "Apple,1.20\nPear,2.50\nPlum,3.10\n"
    records, report = read(tmp_path, text)
    assert records == [["Apple", "1.20"], ["Pear", "2.50"], ["Plum", "3.10"]]
    assert [n for n in report.notes if "pass --header yes (header=True)" in n]
    assert len(read(tmp_path, text, header=True)[0]) == 2
    assert len(read(tmp_path, "fruit,kg\nPear,2\n", header=False)[0]) == 2


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_names_above_any_numbers_are_never_a_record(rng: random.Random):
    width = rng.randint(1, 5)
    first = [rng.choice(["mass", "Weight kg", "x1", "Größe", "p_value"]) + str(i) for i in range(width)]  # fmt: skip
    rows = [[str(rng.uniform(-99, 99)) for _ in range(width)] for _ in range(rng.randint(0, 9))]
    assert judge_first_row(first, rows) == "names"


NAMES = [
    ("two byte-order marks", "\ufeff\ufeffname,price\nA,1\n", ["name", "price"]),
    ("three", "\ufeff\ufeff\ufeffname,price\nA,1\n", ["name", "price"]),
    ("zero-width space", "na\u200bme,price\u200b\nA,1\n", ["name", "price"]),
    ("no-break space", "name\xa0,\xa0unit\xa0price\nA,1\n", ["name", "unit price"]),
    ("word joiner and soft hyphen", "\u2060name,pri\xadce\nA,1\n", ["name", "price"]),
    ("marks of direction", "\u200ename\u200f,price\nA,1\n", ["name", "price"]),
    ("inside a word a joiner is a letter", "می\u200cخواهم,price\nA,1\n", ["می\u200cخواهم", "price"]),
    ("only invisible", "\u200b,price\nA,1\n", ["column_1", "price"]),
    ("two that are one", "name,name\u200b\nA,1\n", ["name", "name.2"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), [n[1:] for n in NAMES], ids=[n[0] for n in NAMES])
def test_names_have_no_invisible_characters(tmp_path, text, names):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    (record,) = iter_records(path)
    assert list(record) == names
    assert list(record.values()) == ["A", "1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_of_joined_files_are_taken_off(tmp_path, encoding):
    part = "\ufeffa,b\r\nx\ufeffy,2\r\n"
    records, _ = read(tmp_path, (part + part[:1] + "u,3\r\n" + part[:1] + "v,4").encode(encoding))
    assert records == [["x\ufeffy", "2"], ["u", "3"], ["v", "4"]]


def test_marks_of_nothing_are_told_once_with_their_counts(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "x,NULL\n" * 3000 + "y,\\N\nNULL,-\n")
    report = ReadReport()
    records = list(iter_records(path, report=report, null_values="-"))
    assert records[-1] == {"a": None, "b": None}
    told = [r.getMessage() for r in caplog.records if "keep_null_marks" in r.getMessage()]
    assert len(told) == 1
    assert "3001 cells 'NULL'" in told[0]
    assert "1 cell '\\\\N'" in told[0]
    assert "pass --keep-null-marks (keep_null_marks=True)" in told[0]


def test_marks_of_nothing_make_no_pair(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("question,answer\nq1,N/A\nq2,yes\nq3,?\n")
    assert [p["question"] for p in iter_qa_pairs(path, null_values="?")] == ["q2"]
    kept = iter_qa_pairs(path, keep_null_marks=True)
    assert [p["answer"] for p in kept] == ["N/A", "yes", "?"]


def test_keys_and_answers_have_no_invisible_characters(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("fruit,taste\nFig\u200b,sweet\ufeff\n\u2060Sloe,so\u200bur\n", encoding="utf-8")
    records = read_table(path)
    assert [cell_text(v) for r in records for v in r.values()] == ["Fig", "sweet", "Sloe", "sour"]
