"""Tables in JSON of other forms than a list of objects: read where that is certain, else refused."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import json
import re
import warnings

import pandas as pd
import pytest
from stillroom.data.readers.json.orientation import RECORD_LISTS
from stillroom.data.readers.read_table import iter_records, read_table
from stillroom.errors import DataError, EmptyDataError

TOOLS = [{"name": "saw", "price": 4.5, "steel": True}, {"name": "file", "price": 7, "steel": None}]
PLAIN = [{"name": "saw", "price": 4.5}, {"name": "file", "price": 7}]


def read(tmp_path, document, name="t.json", **options):
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return list(iter_records(path, **options))


FRAMES = {
    "row numbers": pd.DataFrame(PLAIN),
    "filtered": pd.DataFrame(PLAIN * 3, index=[0, 3, 4, 9, 12, 40]),
    "one row": pd.DataFrame(PLAIN[:1]),
    "one column": pd.DataFrame({"name": ["saw", "file"]}),
    "names": pd.DataFrame(PLAIN, index=["a1", "b2"]),
    "named": pd.DataFrame(PLAIN, index=pd.Index(["a1", "b2"], name="code")),
    "days": pd.DataFrame(PLAIN, index=pd.DatetimeIndex(["2024-01-02", "2024-01-03"])),
    "numbered columns": pd.DataFrame([["saw", 4.5], ["file", 7.0]]),
    "two levels": pd.DataFrame([["saw", 4.5]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])),
}  # fmt: skip


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
@pytest.mark.parametrize(
    "frame", [n for n in FRAMES if n not in ("numbered columns", "two levels")]
)
def test_every_orientation_of_pandas(tmp_path, frame, orient):
    data = FRAMES[frame]
    got = read(tmp_path, data.to_json(orient=orient, date_format="iso"))
    assert [{c: r[c] for c in data.columns} for r in got] == data.to_dict("records")
    labels = [v for r in got for k, v in r.items() if k not in data.columns]
    if frame in ("names", "named") and orient != "records":
        assert labels == ["a1", "b2"]  # they may name the records
    if frame in ("row numbers", "filtered") and orient != "table":
        assert labels == []


@pytest.mark.parametrize("frame", ["numbered columns", "two levels"])
def test_split_names_columns_by_number_or_by_all_their_levels(tmp_path, frame):
    data = FRAMES[frame]
    names = ["0", "1"] if frame == "numbered columns" else ["a.x", "a.y"]
    assert [list(r) for r in read(tmp_path, data.to_json(orient="split"))] == [names] * len(data)
    tight = {
        **data.to_dict("tight"),
        "columns": [list(c) if isinstance(c, tuple) else c for c in data.columns],
    }
    assert [list(r.values()) for r in read(tmp_path, tight)] == data.to_numpy().tolist()


BY_NAME = {r["name"]: {k: v for k, v in r.items() if k != "name"} for r in TOOLS}
KEYED = [{"key": "saw", "price": 4.5, "steel": True}, {"key": "file", "price": 7, "steel": None}]
LISTS = {"name": ["saw", "file"], "price": [4.5, 7]}
ROWS = [["saw", 4.5], ["file", 7]]
READ = [
    ("lists by column", LISTS, {}, PLAIN),
    ("one list by column", {"name": ["saw", "file"]}, {}, [{"name": "saw"}, {"name": "file"}]),
    ("a column of lists", {"name": ["saw"], "sizes": [[1, 2]]}, {}, [{"name": "saw", "sizes": [1, 2]}]),
    ("objects by name", BY_NAME, {}, KEYED),
    ("objects by name that know it", {r["name"]: r for r in TOOLS}, {}, TOOLS),
    ("objects by number", {"101": {"n": "a"}, "2": {"n": "b"}}, {}, [{"n": "a"}, {"n": "b"}]),
    ("objects with a key of their own", {"x": {"key": "p", "n": 1}, "y": {"key": "q", "n": 2}}, {}, [{"key_2": "x", "key": "p", "n": 1}, {"key_2": "y", "key": "q", "n": 2}]),
    ("objects with gaps", {"saw": {"price": 4.5}, "file": {"price": 7, "steel": True}}, {}, [{"key": "saw", "price": 4.5}, {"key": "file", "price": 7, "steel": True}]),
    ("columns by name", {"price": {"saw": 4.5, "file": 7}, "made": {"saw": "here", "file": "there"}}, {}, [{"index": "saw", "price": 4.5, "made": "here"}, {"index": "file", "price": 7, "made": "there"}]),
    ("values below names", [["name", "price"], *ROWS], {}, PLAIN),
    ("values, names given", ROWS, {"header": ("name", "price")}, PLAIN),
    ("values, without names", ROWS, {"header": False}, [{"column_1": "saw", "column_2": 4.5}, {"column_1": "file", "column_2": 7}]),
    ("numbers alone", [[1, 2], [3, 4]], {}, [{"column_1": 1, "column_2": 2}, {"column_1": 3, "column_2": 4}]),
    ("texts below names", [["name", "made"], ["saw", "here"]], {"header": True}, [{"name": "saw", "made": "here"}]),
    ("short rows", [["name", "price"], ["saw"], ["file", 7]], {"ragged": "pad"}, [{"name": "saw", "price": None}, {"name": "file", "price": 7}]),
    ("lists on lines", '["name", "price"]\n["saw", 4.5]\n\n["file", 7]\n', {}, PLAIN),
    ("lists on lines, no names", '["saw", 4.5]\n["file", 7]\n', {"header": ["name", "price"]}, PLAIN),
    ("query result", {"columns": ["name", "price"], "rows": ROWS, "truncated": False}, {}, PLAIN),
    ("fields as objects", {"fields": [{"id": "name", "type": "text"}, {"id": "price"}], "records": ROWS}, {}, PLAIN),
    ("wrapper", {"status": "ok", "count": 2, "results": PLAIN}, {}, PLAIN),
    ("two wrappers", {"data": {"items": PLAIN, "next": None}, "meta": {"page": 1}}, {}, PLAIN),
    ("three wrappers", {"response": {"body": {"items": PLAIN}}}, {}, PLAIN),
    ("any name around all", {"workshop": {"stock": PLAIN}}, {}, PLAIN),
    ("lists by column in a wrapper", {"ok": True, "data": LISTS}, {}, PLAIN),
    ("objects by name in a wrapper", {"ok": True, "data": BY_NAME}, {}, KEYED),
    ("objects by number in a wrapper", {"data": {"0": PLAIN[0], "1": PLAIN[1]}}, {}, PLAIN),
    ("split in a wrapper", {"result": {"columns": ["name", "price"], "data": ROWS}, "took": 3}, {}, PLAIN),
    ("values in a wrapper", {"range": "A1:B3", "values": [["name", "price"], *ROWS]}, {}, PLAIN),
    ("columns of pandas in a wrapper", {"data": {"name": {"0": "saw", "1": "file"}, "price": {"0": 4.5, "1": 7}}}, {}, PLAIN),
    ("a column called data", {"name": {"0": "a", "1": "b"}, "data": {"0": 1, "1": 2}}, {}, [{"name": "a", "data": 1}, {"name": "b", "data": 2}]),
    ("objects by name, by path", {"shop": {"tools": BY_NAME}, "z": {"y": 1}}, {"records_path": "shop.tools"}, KEYED),
    ("values of an object", {"a": {"n": 1, "m": 2}, "b": {"n": 3, "m": 4}}, {"records_path": "*"}, [{"key": "a", "n": 1, "m": 2}, {"key": "b", "n": 3, "m": 4}]),
    ("values of an inner object", {"shop": {"a": {"n": 1}, "b": {"n": 3}}}, {"records_path": "shop.*"}, [{"key": "a", "n": 1}, {"key": "b", "n": 3}]),
    ("parents of two wrappers", {"data": {"page": 4, "items": PLAIN}}, {"parent_fields": ["page"]}, [{"page": 4, **r} for r in PLAIN]),
    # what is one record stays one record
    ("a flat record", {"name": "saw", "price": 4.5, "tags": ["a", "b"]}, {}, [{"name": "saw", "price": 4.5, "tags": ["a", "b"]}]),
    ("a nested record", {"name": "saw", "size": {"cm": 30, "unit": "x"}}, {}, [{"name": "saw", "size": {"cm": 30, "unit": "x"}}]),
    ("settings", {"train": {"steps": 3}, "data": {"path": "x"}}, {}, [{"train": {"steps": 3}, "data": {"path": "x"}}]),
    ("the document is one record", LISTS, {"records_path": "$"}, [LISTS]),
    ("a wrapped record", {"status": "ok", "data": {"name": "saw", "price": 4.5}}, {}, [{"status": "ok", "data": {"name": "saw", "price": 4.5}}]),
    *((f"{key} are one record", {key: [{"a": 1}, {"a": 2}]}, {}, [{key: [{"a": 1}, {"a": 2}]}]) for key in sorted(RECORD_LISTS)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "options", "want"), [r[1:] for r in READ], ids=[r[0] for r in READ]
)
def test_reads_other_forms(tmp_path, document, options, want):
    assert read(tmp_path, document, **options) == want


def test_what_was_taken_for_the_table_is_said(tmp_path, caplog):
    read(tmp_path, {"data": {"items": PLAIN}})
    assert "took the 2 objects under 'data.items' for the records" in caplog.text
    assert "--records-path '$'" in caplog.text


REFUSED = [
    ("names or a record", [["name", "made"], ["saw", "here"]], ["--header yes", "--header no"]),
    ("names or a record, on lines", '["name", "made"]\n["saw", "here"]\n', ["--header yes"]),
    ("values without names", ROWS, ["--header no", "header=False"]),
    ("records or columns", {"a": {"n": 1, "m": 2}, "b": {"n": 3, "m": 4}}, ["--records-path '*'", "--records-path '$'"]),
    ("years as columns", {"here": {"2020": 1, "2021": 2}, "there": {"2020": 3, "2021": 4}}, ["--records-path '*'"]),
    ("cells of all kinds", {"a": {"n": 1, "m": "x"}, "b": {"n": "?", "m": 2}}, ["--records-path '*'"]),
    ("a list below another name", {"name": "x", "address": {"phones": [{"n": 1}, {"n": 2}]}}, ["--records-path address.phones", "--records-path '$'"]),
    ("two lists below other names", {"v": 1, "a": {"x": PLAIN}, "b": {"y": PLAIN}}, ["'a.x', 'b.y'", "--records-path a.x"]),
    ("two wrappers side by side", {"data": {"x": PLAIN}, "result": {"y": PLAIN}}, ["'data.x', 'result.y'"]),
    ("columns of two lengths", {"name": ["saw", "file"], "price": [1]}, ["'name' has 2, 'price' has 1"]),
    ("a column twice", {"columns": ["a", "a"], "data": [[1, 2]]}, ["two columns have this name"]),
    ("a row that does not fit", [["name", "price"], ["saw", 4.5], ["file"]], ["--ragged pad", "3"]),
    ("a row that is no list", '["name", "price"]\n["saw", 1]\n{"name": 2}\n', ["the record is a list"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "texts"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refuses_what_is_not_certain_and_says_what_to_pass(tmp_path, document, texts):
    with pytest.raises(DataError, match=r"t\.json") as caught:
        read(tmp_path, document)
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("document", [r[1] for r in REFUSED if isinstance(r[1], dict)])
def test_advice_about_paths_leads_to_records(tmp_path, document):
    with pytest.raises(DataError) as caught:
        read(tmp_path, document)
    for place in re.findall(r"records_path='([^']+)'", str(caught.value)):
        assert read(tmp_path, document, records_path=place)


@pytest.mark.parametrize("document", [{"name": [], "price": []}, {"columns": ["a"], "data": []}])
def test_columns_without_records_are_empty(tmp_path, document):
    with pytest.raises(EmptyDataError):
        read_table(tmp_path / "t.json") if read(tmp_path, document) == [] else None


def test_one_line_of_json_lines_is_one_record(tmp_path):
    assert read(tmp_path, LISTS, "t.jsonl") == [LISTS]


@pytest.mark.parametrize("form", ["iso", "epoch"])
@pytest.mark.parametrize("orient", ["columns", "index", "split"])
def test_moments_of_a_time_index_are_kept(tmp_path, form, orient):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas will change its default
        text = FRAMES["days"].to_json(orient=orient, date_format=form)
    labels = [next(str(v) for k, v in r.items() if k not in PLAIN[0]) for r in read(tmp_path, text)]
    assert [label[:10] if form == "iso" else int(label[:10]) for label in labels] == (
        ["2024-01-02", "2024-01-03"] if form == "iso" else [1704153600, 1704240000]
    )
