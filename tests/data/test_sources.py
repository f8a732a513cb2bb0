"""Folders, patterns, suffixes."""

from __future__ import annotations

import pytest
from stillroom.data.read_report import ReadReport
from stillroom.data.readers import iter_records, iter_sourced_records, read_table
from stillroom.errors import DataError, DataNotFoundError, EmptyDataError, UnknownColumnError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.csv").write_text("a\n2\n")
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "c.jsonl").write_text('{"a": 3}\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.csv").write_text("a\n4\n")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".hidden.csv").write_text("a\n9\n")
    return tmp_path


def test_folder_in_order_of_names(folder):
    assert [r["a"] for r in read_table(folder)] == ["1", "2", 3, "4"]


def test_pattern(folder):
    assert [r["a"] for r in read_table(f"{folder}/*.csv")] == ["1", "2"]
    assert [r["a"] for r in read_table(f"{folder}/**/*.csv")] == ["1", "2", "4"]


def test_rows_are_counted_in_each_file(folder):
    found = [(r.path.rsplit("/", 1)[1], r.row) for r in iter_sourced_records(folder)]
    assert found == [("a.csv", 1), ("b.csv", 1), ("c.jsonl", 1), ("d.csv", 1)]


def test_other_files_of_a_folder_are_noted(folder, caplog):
    (folder / "README.md").write_text("hello")
    report = ReadReport()
    assert len(list(iter_records(folder, report=report))) == 4
    assert "README.md" in caplog.text
    assert report.files == 4


def test_file_with_pattern_characters_in_its_name(tmp_path):
    (tmp_path / "a[1].csv").write_text("a\n1\n")
    assert read_table(tmp_path / "a[1].csv") == [{"a": "1"}]


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("nothing.csv", DataNotFoundError, "no such file or folder"),
        ("*.parquet", DataNotFoundError, "no file matches"),
        ("sub/empty", EmptyDataError, "no data files"),
    ],
)
def test_nothing_there(folder, name, error, text):
    (folder / "sub" / "empty").mkdir()
    with pytest.raises(error, match=text):
        read_table(folder / name)


@pytest.mark.parametrize("url", ["https://example.org/a.csv", "s3://bucket/a.csv"])
def test_no_downloads(url):
    with pytest.raises(DataError, match="download the file"):
        read_table(url)


def test_folder_names_give_columns(tmp_path):
    for year in ("2023", "2024", "__HIVE_DEFAULT_PARTITION__"):
        part = tmp_path / f"year={year}" / "kind=a%20b"
        part.mkdir(parents=True)
        (part / "p.csv").write_text("x\n1\n")
    records = read_table(tmp_path)
    assert [r["year"] for r in records] == ["2023", "2024", None]
    assert records[0] == {"x": "1", "year": "2023", "kind": "a b"}
    assert read_table(tmp_path, columns=["year"])[1] == {"year": "2024"}


def test_folder_name_that_contradicts_a_record_is_refused(tmp_path):
    (tmp_path / "year=2024").mkdir()
    (tmp_path / "year=2024" / "p.csv").write_text("year\n2023\n")
    with pytest.raises(DataError, match="the folder name says '2024'") as caught:
        read_table(tmp_path)
    assert (caught.value.row, caught.value.column) == (1, "year")


def test_unknown_column_of_json_is_found_at_the_end(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    assert read_table(tmp_path / "t.jsonl", columns=["b"]) == [{"b": None}, {"b": 2}]
    with pytest.raises(UnknownColumnError):
        read_table(tmp_path / "t.jsonl", columns=["c"])


@pytest.mark.parametrize(
    ("name", "data", "want"),
    [
        ("t", "a,b\n1,2\n", {"a": "1", "b": "2"}),
        ("t.txt", "a\tb\n1\t2\n", {"a": "1", "b": "2"}),
        ("t.dat", '[{"a": 1}]', {"a": 1}),
        ("t.txt", ' \n{"a": 1}', {"a": 1}),
        ("t.tsv", "a\tb\n1\t2\n", {"a": "1", "b": "2"}),
    ],
)
def test_unknown_suffixes_are_told_by_content(tmp_path, name, data, want):
    (tmp_path / name).write_text(data)
    assert read_table(tmp_path / name) == [want]


def test_format_wins(tmp_path):
    (tmp_path / "t.json").write_text("a\n1\n")
    assert read_table(tmp_path / "t.json", format="csv") == [{"a": "1"}]
