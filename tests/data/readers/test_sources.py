"""Folders, patterns, suffixes."""

from __future__ import annotations

import json
import shutil

import datasets
import pytest
from stillroom.data.readers.read_report import ReadReport
from stillroom.data.readers.read_table import iter_records, iter_sourced_records, read_table
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


TOOLS = [
    {"name": "saw", "price": 4.5},
    {"name": "file", "price": 7.0},
    {"name": "plane", "price": 9.5},
]


def save_dataset(folder, records=TOOLS, **options):
    datasets.Dataset.from_list(records).save_to_disk(str(folder), **options)
    return folder


def test_a_saved_dataset_is_read_without_its_metadata(tmp_path, caplog):
    saved = save_dataset(tmp_path / "saved", num_shards=2)
    assert read_table(saved) == TOOLS
    assert "passed over 2 files that are no data: dataset_info.json, state.json" in caplog.text
    assert read_table(f"{saved}/*.arrow") == read_table(f"{saved}/*") == TOOLS
    assert (
        "_data_files" in read_table(saved / "state.json", records_path="$")[0]
    )  # named: it is read


def test_the_splits_of_a_saved_dataset_dict_are_named(tmp_path, caplog):
    data = datasets.Dataset.from_list(TOOLS)
    datasets.DatasetDict({"train": data.select([0, 1]), "test": data.select([2])}).save_to_disk(
        str(tmp_path / "all")
    )
    assert [r["name"] for r in read_table(tmp_path / "all")] == ["plane", "saw", "file"]
    assert "read the splits 'test', 'train'" in caplog.text
    assert read_table(tmp_path / "all" / "train") == TOOLS[:2]


def test_caches_beside_a_saved_dataset_are_passed_over(tmp_path, caplog):
    saved = save_dataset(tmp_path / "saved")
    shutil.copy(saved / "data-00000-of-00001.arrow", saved / "cache-1f2e.arrow")
    assert read_table(saved) == TOOLS
    assert "cache-1f2e.arrow" in caplog.text


def test_a_saved_dataset_with_a_part_missing_is_refused(tmp_path):
    saved = save_dataset(tmp_path / "saved", num_shards=2)
    (saved / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(DataNotFoundError, match=r"data-00001-of-00002\.arrow: state\.json names"):
        read_table(saved)


def test_a_saved_dataset_that_an_index_chooses_from_is_refused(tmp_path):
    saved = save_dataset(tmp_path / "saved")
    state = json.loads((saved / "state.json").read_text())
    (saved / "state.json").write_text(
        json.dumps({**state, "_indices_data_files": [{"filename": "i.arrow"}]})
    )
    with pytest.raises(DataError, match="flatten_indices"):
        read_table(saved)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset_infos.json", '{"default": {"splits": {"train": {"num_examples": 3}}}}'),
        ("README.md", "# tools"),
        ("_SUCCESS", ""),
        (".tools.csv.crc", "x"),
        (".git/config.json", "{}"),
        ("SHA256SUMS.csv", "a,b\n"),
        ("md5sums.json", '{"tools.csv": "d41d"}'),
        ("tools.csv.md5", "d41d"),
        ("datapackage.json", '{"resources": [{"path": "tools.csv"}, {"path": "x.csv"}]}'),
        ("croissant.json", '{"recordSet": [{"field": 1}]}'),
        ("about.json", '{"license": "CC0", "size": {"rows": 3}}'),
        ("state.json", '{"_data_files": [{"filename": "tools.csv"}]}'),
    ],
)
def test_metadata_of_a_folder_is_passed_over_with_a_note(tmp_path, caplog, name, text):
    (tmp_path / "tools.csv").write_text("name,price\nsaw,4.5\nfile,7\n")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert [r["name"] for r in read_table(tmp_path)] == ["saw", "file"]
    assert name.split("/")[0] in caplog.text


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["1.json", "2.json"], 2),  # one record in each file
        (["state.json"], 1),  # of states, not of `datasets`
        (["a.csv", "more.json"], 3),  # a table in JSON beside one in CSV
    ],
)
def test_json_that_is_data_stays_data(tmp_path, names, count):
    for name in names:
        text = "name\nsaw\n" if name.endswith(".csv") else '{"name": "saw"}'
        text = '[{"name": "x"}, {"name": "y"}]' if name == "more.json" else text
        (tmp_path / name).write_text(text)
    assert len(read_table(tmp_path)) == count
