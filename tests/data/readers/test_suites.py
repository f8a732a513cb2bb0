"""Public test suites in ../shared/data, where they are at hand."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stillroom.data.data_preparation import StructuredDataLoader
from stillroom.data.questions.qa_pairs import iter_qa_pairs
from stillroom.data.readers.read_table import iter_records, read_table

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data not found: ../shared/data/{name}")
    return path


@pytest.mark.parametrize(
    "suite",
    [
        "csv-spectrum",
        "commons-csv-files",
        "papaparse-files",
        "csvkit-examples",
        "csvjl-testfiles",
        "json-test-suite",
        "parquet-testing",
        "wikitablequestions",
    ],
)
def test_every_file_is_read_or_refused_as_expected(suite):
    shared(suite)
    command = [
        sys.executable,
        ROOT / "benchmarks" / "loader_verdicts.py",
        "--brief",
        "--suite",
        suite,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_naughty_strings_come_back_unchanged(tmp_path, suffix):
    strings = json.loads((shared("naughty-strings") / "blns.json").read_text(encoding="utf-8"))
    rows = [
        {"question": f"q{i}", "answer": text} for i, text in enumerate(strings) if "\0" not in text
    ]
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        import csv

        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["question", "answer"])
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    options = {"keep_null_marks": True}
    assert [r["answer"] or "" for r in iter_records(path, **options)] == [r["answer"] for r in rows]
    pairs = {p["question"]: p["answer"] for p in iter_qa_pairs(path, **options)}
    assert pairs == {r["question"]: r["answer"] for r in rows if r["answer"].strip()}


REAL = [
    ("gsm8k", "*.jsonl*", {}, 7473),
    ("periodic-table", "PeriodicTableJSON.json", {}, 119),
    ("periodic-table", "PeriodicTableJSON.json", {"records_path": "elements"}, 119),
    ("periodic-table", "PeriodicTableCSV.csv", {}, 119),
    ("countries", "countries.json.gz", {"flatten": True}, 250),
    ("countries", "countries.csv", {}, 250),
    ("xquad", "xquad.de.json.gz", {"records_path": "data.paragraphs.qas", "parent_fields": "context"}, 1190),
    ("self-instruct-seed", "seed_tasks.jsonl", {}, 175),
    ("svamp", "*.json*", {}, 1000),
    ("cose", "train.jsonl.gz", {}, 9741),
    ("covid-faq", "faq_covidbert.csv", {}, 213),
    ("chinook", "Chinook_Sqlite.sqlite", {"table": "Track"}, 3503),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "options", "records"), REAL)
def test_real_tables(name, file, options, records):
    assert len(read_table(shared(name) / file, **options)) == records


def test_questions_with_their_paragraphs():
    loader = StructuredDataLoader()
    path = shared("xquad") / "xquad.en.json.gz"
    loader.load_from_json(path, records_path="data.paragraphs.qas", parent_fields=("context",))
    pairs = loader.create_qa_pairs(answer_col="answers", context_col="context")
    assert len(pairs) == 1190
    assert all(pair["context"] for pair in pairs)
