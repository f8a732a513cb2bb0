"""Workbooks: sheets, cells, headers, and what is no workbook."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import datetime
import gzip
import zipfile

import openpyxl
import pytest
from stillroom.data.data_preparation import StructuredDataLoader
from stillroom.data.readers.excel import iter_excel
from stillroom.data.readers.options import ReadOptions
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records, read_table
from stillroom.errors import DataError, EmptyDataError


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


FRUIT = [["fruit", "price"], ["Apple", 1.5], ["Pear", 2]]
WANT = [{"fruit": "Apple", "price": 1.5}, {"fruit": "Pear", "price": 2}]


def test_cells_keep_their_types(tmp_path):
    path = tmp_path / "t.xlsx"
    moment = datetime.datetime(2024, 3, 1, 10, 30)
    book = openpyxl.Workbook()
    rows = [
        ["text", "whole", "part", "yes", "day", "moment", "midnight", "time", "none"],
        [
            "007",
            7,
            2.55,
            True,
            datetime.date(2024, 3, 1),
            moment,
            datetime.datetime(2024, 3, 1),
            datetime.time(9, 5),
            None,
        ],
    ]
    for row in rows:
        book.active.append(row)
    book.save(path)
    (record,) = read_table(path)
    assert list(record.values()) == [
        "007", 7, 2.55, True, "2024-03-01", "2024-03-01T10:30:00", "2024-03-01T00:00:00", "09:05:00", None,
    ]  # fmt: skip


SHEETS = [
    ("plain", FRUIT, {}, WANT),
    ("blank rows and columns around it", [[], [None, *FRUIT[0]], [None, *FRUIT[1]], [], [None, *FRUIT[2]], [None, None]], {}, WANT),
    ("marks of nothing", [["a", "b"], ["NA", "#N/A"], ["x", 0]], {}, [{"a": None, "b": None}, {"a": "x", "b": 0}]),
    ("marks kept", [["a"], ["NA"], ["x"]], {"keep_null_marks": True}, [{"a": "NA"}, {"a": "x"}]),
    ("marks named", [["a"], ["-"], ["x"]], {"null_values": "-"}, [{"a": None}, {"a": "x"}]),
    ("names", [["fruit\xa0", "fruit"], ["Fig", 2]], {}, [{"fruit": "Fig", "fruit.2": 2}]),
    ("numbers as names", [["what", 2023, 2024], ["Fig", 5, 6], ["Nut", 7, 8]], {}, [{"what": "Fig", "2023": 5, "2024": 6}, {"what": "Nut", "2023": 7, "2024": 8}]),
    ("a column without a name", [["a", None], ["x", 1]], {}, [{"a": "x", "column_2": 1}]),
    ("short rows", [["a", "b"], ["x"], ["y", 1]], {}, [{"a": "x", "b": None}, {"a": "y", "b": 1}]),
    ("no header, seen", [["Fig", 2.5], ["Nut", 3.5], ["Pea", 1.5]], {}, [{"column_1": "Fig", "column_2": 2.5}, {"column_1": "Nut", "column_2": 3.5}, {"column_1": "Pea", "column_2": 1.5}]),
    ("no header, said", FRUIT[1:], {"header": False}, [{"column_1": "Apple", "column_2": 1.5}, {"column_1": "Pear", "column_2": 2}]),
    ("lines to skip", [["Report"], [], *FRUIT], {"skip_lines": 2}, WANT),
    ("columns", FRUIT, {"columns": "price"}, [{"price": 1.5}, {"price": 2}]),
    ("header only", [["a", "b"]], {}, []),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "options", "want"), [s[1:] for s in SHEETS], ids=[s[0] for s in SHEETS])  # fmt: skip
def test_sheets(tmp_path, rows, options, want):
    path = workbook(tmp_path / "t.xlsx", one=rows)
    assert list(iter_records(path, **options)) == want


def test_the_name_of_the_file_does_not_matter_and_it_may_be_packed(tmp_path):
    data = workbook(tmp_path / "t.xlsx", one=FRUIT).read_bytes()
    (tmp_path / "u.csv").write_bytes(data)
    (tmp_path / "v.xlsx.gz").write_bytes(gzip.compress(data))
    assert read_table(tmp_path / "u.csv") == WANT
    assert read_table(tmp_path / "v.xlsx.gz") == WANT
    assert StructuredDataLoader().load(tmp_path / "t.xlsx")["price"].tolist() == [1.5, 2]


def test_the_first_sheet_with_anything_on_it_is_read_and_the_others_are_told(tmp_path):
    path = workbook(tmp_path / "t.xlsx", cover=[], fruit=FRUIT, more=[["a"], [1]])
    report = ReadReport(quiet=True)
    assert list(iter_records(path, report=report)) == WANT
    assert [n for n in report.notes if "'cover', 'more'" in n and "pass --sheet (sheet=...)" in n]
    assert read_table(path, sheet="more") == [{"a": 1}]
    assert not _notes(workbook(tmp_path / "one.xlsx", one=FRUIT))


def _notes(path):
    report = ReadReport(quiet=True)
    list(iter_records(path, report=report))
    return report.notes


def test_a_hidden_sheet_is_read_only_by_name(tmp_path):
    path = workbook(tmp_path / "t.xlsx", hidden=[["a"], [1]], fruit=FRUIT)
    book = openpyxl.load_workbook(path)
    book["hidden"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    assert read_table(path) == WANT
    assert read_table(path, sheet="hidden") == [{"a": 1}]


REFUSED = [
    ("no such sheet", {"one": FRUIT, "two": FRUIT}, {"sheet": "three"}, "there are 'one', 'two'"),
    ("nothing on it", {"one": [], "two": []}, {}, "no sheet of the workbook has anything"),
    ("nothing on the one named", {"one": FRUIT, "two": []}, {"sheet": "two"}, "nothing on the sheet 'two'"),
    ("a title", {"one": [["Report"], [], *FRUIT, ["Fig", 3]]}, {}, r"pass --skip-lines 2 \(skip_lines=2\)"),
    ("surplus far down", {"one": [["a"], *[[1]] * 1500, [1, 2]]}, {}, r"pass --ragged keep \(ragged='keep'\)"),
]  # fmt: skip


@pytest.mark.parametrize(("sheets", "options", "text"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])  # fmt: skip
def test_refuses(tmp_path, sheets, options, text):
    path = workbook(tmp_path / "t.xlsx", **sheets)
    with pytest.raises(DataError, match=text):
        read_table(path, **options)


def test_surplus_cells_are_kept(tmp_path):
    path = workbook(tmp_path / "t.xlsx", one=[["a"], *[[1]] * 1500, [1, 2]])
    assert read_table(path, ragged="keep")[-1] == {"a": 1, "_extra": [2]}


def test_a_damaged_workbook_is_one_sentence(tmp_path):
    data = workbook(tmp_path / "t.xlsx", one=FRUIT * 2000).read_bytes()
    path = tmp_path / "t.xlsx"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="damaged or cut off"):
        read_table(path)
    broken = tmp_path / "u.xlsx"
    with zipfile.ZipFile(tmp_path / "whole.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<no")
    broken.write_bytes((tmp_path / "whole.xlsx").read_bytes())
    with pytest.raises(DataError, match="the workbook is damaged"):
        read_table(broken)


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = workbook(tmp_path / "t.xlsx", one=FRUIT)
    monkeypatch.setattr("stillroom.data.readers.excel.MAX_UNPACKED_BYTES", 100)
    with pytest.raises(DataError, match="unpacks to"):
        list(iter_excel(path, ReadOptions(), ReadReport()))


def test_an_empty_sheet_below_the_lines_to_skip(tmp_path):
    path = workbook(tmp_path / "t.xlsx", one=FRUIT)
    with pytest.raises(EmptyDataError, match="below the lines to skip"):
        read_table(path, skip_lines=9)
