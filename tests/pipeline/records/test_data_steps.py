"""The steps that load, identify and split records."""

import datetime
import json
import sys

import pytest
from stillroom.pipeline.records import (
    AddSampleId,
    CanonicalizeFields,
    ComputeHash,
    KeepColumns,
    LoadDataFromDicts,
    LoadDataFromFileSystem,
    LoadDataFromHub,
    SplitByHash,
)

PROFILE = {"temperature": 0.2, "max_tokens": 128, "n": 1}
R1 = {
    "task_id": "text2sql-001", "schema": "users(id, name)",
    "instruction": "List all user names ordered by id.", "decode_profile": PROFILE,
}  # fmt: skip
R2 = {**R1, "task_id": "text2sql-002", "instruction": "Count total users."}
IDS = {
    "v1": ["3b6ba6dacdd13acbcc46e075195c6679805127c65b3beeb1a0cdca35888557e1",
           "35d5630b705bc20298468d714f183792f1bba7d1085e675b79b2134e3dd4cdc7"],
    "v2": ["34b927ffb1f99675663e21a1d4997e56b0406c1301d39d35a4bab341a899828f",
           "a9f7f56aaf542ca226092bb4069b569e3533aeca558762d07b4d62794bd61da2"],
}  # fmt: skip
"""contracts.md 2.2."""


def chained(records, *steps):
    for step in steps:
        (records,) = step.process(records)
    return records


def batches(step, offset=0):
    return list(step.process(offset))


# --- identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_ids_of_the_contract_by_one_step_and_by_three(version):
    hashed = {"v1": ["task_id", "schema_hash", "canonical_input", "decode_profile"],
              "v2": ["task_id", "canonical_input"]}[version]  # fmt: skip
    fields = ["schema", "instruction"]
    by_one = chained([R1, R2], AddSampleId(fields=fields, sample_id_version=version))
    by_three = chained(
        [R1, R2],
        CanonicalizeFields(fields=fields),
        ComputeHash(fields=["schema"], output_field="schema_hash"),
        ComputeHash(fields=hashed, output_field="sample_id"),
    )
    assert [r["sample_id"] for r in by_one] == IDS[version]
    assert by_one == by_three
    assert [r["schema_hash"][:8] for r in by_one] == ["b0f90c4a"] * 2


def test_a_record_without_schema_and_profile_has_an_id():
    record = {"task_id": "text2sql-002", "instruction": "Count total users."}
    (found,) = chained([record], AddSampleId(fields=["instruction"]))
    assert found["sample_id"].startswith("b9bb98226e1035e8")


def test_two_pipelines_give_the_same_ids_per_version():
    steps = [AddSampleId(fields=order) for order in (["schema", "instruction"],
                                                     ["instruction", "schema"])]  # fmt: skip
    first, second = (chained([R1, {**R2, "extra": 1}], step) for step in steps)
    assert [r["sample_id"] for r in first] == [r["sample_id"] for r in second]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            CanonicalizeFields(fields=["a", "b"]),
            "Missing required field 'b' in CanonicalizeFields.",
        ),
        (ComputeHash(fields=["a", "b"]), "Missing required field 'b' in ComputeHash."),
        (KeepColumns(columns=["a", "b"]), "KeepColumns requires field 'b'."),
    ],
)
def test_a_missing_field_is_an_error_of_its_row_alone(step, message):
    rows = [{"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": None}]
    with pytest.raises(ValueError, match=f"^{message}$"):
        next(step.process(rows))
    output = step.run_rows(rows)
    assert [(loss.place, loss.reason) for loss in output.dead] == [(1, message)]
    assert output.parents == [(0,), (2,)]


@pytest.mark.parametrize("step", [CanonicalizeFields, ComputeHash, AddSampleId, KeepColumns])
def test_a_step_without_fields_is_refused(step):
    name = "columns" if step is KeepColumns else "fields"
    with pytest.raises(ValueError, match=f"{name} is empty"):
        step(**{name: []})


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match="sample_id_version is 'v3'; allowed are 'v1' and 'v2'"):
        AddSampleId(fields=["a"], sample_id_version="v3")


def test_null_fields_are_dropped_or_kept():
    record = {"a": None, "b": 0}
    (dropped,) = chained([record], CanonicalizeFields(fields=["a", "b"]))
    (kept,) = chained([record], CanonicalizeFields(fields=["b", "a"], drop_null_fields=False))
    assert (dropped["canonical_input"], kept["canonical_input"]) == ('{"b":0}', '{"a":null,"b":0}')


def test_records_that_lack_different_fields_do_not_collide():
    step = ComputeHash(fields=["a", "b"], strict=False)
    one, other = chained([{"a": 1}, {"b": 1}], step)
    assert one["hash"] != other["hash"]


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 2), b"\x00", {1, 2}, {1: 2, "a": 3}])
@pytest.mark.parametrize("step", [ComputeHash(fields=["a"]), CanonicalizeFields(fields=["a"])])
def test_what_json_does_not_have_is_not_hashed(step, value):
    with pytest.raises(TypeError, match="field 'a' holds no JSON value"):
        next(step.process([{"a": value}]))
    output = step.run_rows([{"a": 1}, {"a": value}, {"a": float("nan")}])
    assert [loss.place for loss in output.dead] == [1, 2]


def test_columns_by_mappings():
    step = CanonicalizeFields(
        fields=["question"],
        input_mappings={"question": "instruction"},
        output_mappings={"canonical_input": "key"},
    )
    assert step.run_rows([{"instruction": "How many?"}]).records == [
        {"instruction": "How many?", "key": '{"question":"How many?"}'}
    ]


# --- loading -------------------------------------------------------------------------------------


def test_records_in_memory_come_in_batches():
    data = [{"n": n} for n in range(5)]
    step = LoadDataFromDicts(data=data, batch_size=2)
    assert [(len(b), last) for b, last in batches(step)] == [(2, False), (2, False), (1, True)]
    assert [[r["n"] for r in b] for b, _ in batches(step, 3)] == [[3, 4]]
    assert batches(step, 5) == [([], True)]
    assert batches(LoadDataFromDicts(data=[])) == [([], True)]
    assert LoadDataFromDicts(data=data).batch_size == 50
    assert step.outputs == ["n"]
    batches(step)[0][0][0]["n"] = 9
    assert data[0] == {"n": 0}


def test_what_is_no_record_is_refused_with_its_place():
    with pytest.raises(ValueError, match=r"row 2: data holds 'b'.*allowed are dicts"):
        LoadDataFromDicts(data=[{"a": 1}, "b"])
    with pytest.raises(ValueError, match="batch_size is 0"):
        LoadDataFromDicts(data=[], batch_size=0)


def test_files_are_read_one_after_the_other(tmp_path):
    (tmp_path / "a.csv").write_text("q,n\nx,1\ny,2\n")
    (tmp_path / "b.jsonl").write_text("\ufeff" + json.dumps({"q": "z", "n": 3}) + "\n", "utf-8")
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")]
    step = LoadDataFromFileSystem(data_files=files, batch_size=2)
    assert [r["q"] for b, _ in batches(step) for r in b] == ["x", "y", "z"]
    assert [r["q"] for b, _ in batches(step, 1) for r in b] == ["y", "z"]
    two = LoadDataFromFileSystem(data_files=files[0], num_examples=1)
    assert batches(two) == [([{"q": "x", "n": "1"}], True)]
    assert batches(LoadDataFromFileSystem(data_files=files[0], num_examples=0)) == [([], True)]
    semicolon = tmp_path / "c.txt"
    semicolon.write_text("a;b\n1,2;3\n")
    step = LoadDataFromFileSystem(
        data_files=str(semicolon), filetype="csv", read_options={"sep": ";"}
    )
    assert batches(step)[0][0] == [{"a": "1,2", "b": "3"}]


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl.*row 2, line 3"):
        batches(LoadDataFromFileSystem(data_files=str(path)))
    with pytest.raises(FileNotFoundError):
        batches(LoadDataFromFileSystem(data_files=str(tmp_path / "none.csv")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"data_files": []}, "data_files is empty"),
     ({"data_files": "a", "num_examples": -1}, "num_examples is -1")],
)  # fmt: skip
def test_settings_of_files_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        LoadDataFromFileSystem(**settings)


def test_the_hub_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    step = LoadDataFromHub(repo_id="squad")
    with pytest.raises(ImportError, match=r"pip install 'stillroom\[hub\]'"):
        batches(step)


def test_the_hub_reads_what_datasets_reads(tmp_path):
    pytest.importorskip("datasets")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(5)))
    step = LoadDataFromHub(repo_id=str(folder), batch_size=2, num_examples=4, streaming=True)
    assert [[r["n"] for r in b] for b, _ in batches(step, 1)] == [[1, 2], [3]]


def test_a_data_set_that_is_not_there_is_named(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match=r"none.*cannot be loaded"):
        batches(LoadDataFromHub(repo_id=str(tmp_path / "none")))


# --- columns and splits --------------------------------------------------------------------------


def test_columns_are_kept_in_the_order_given():
    assert list(next(KeepColumns(columns=["b", "a"]).process([{"a": 1, "b": 2, "c": 3}]))[0]) == [
        "b", "a",
    ]  # fmt: skip
    assert next(KeepColumns(columns="a").process([{"a": None, "b": 1}])) == [{"a": None}]


def test_kept_columns_can_be_renamed():
    step = KeepColumns(columns=["a", "q"], input_mappings={"q": "b"}, output_mappings={"a": "c"})
    rows = [{"a": 1, "b": 2, "c": 3, "q": 4}]
    assert step.run_rows(rows).records == next(step.process(rows)) == [{"q": 2, "c": 1}]


def test_the_split_follows_from_the_id():
    rows = [{"sample_id": f"id-{n}"} for n in range(1000)]
    parts = [r["split"] for r in next(SplitByHash(train_ratio=0.8).process(rows))]
    assert parts.count("train") == 794
    three = [r["split"] for r in next(SplitByHash(train_ratio=0.8, val_ratio=0.1).process(rows))]
    assert (three.count("train"), three.count("train") + three.count("val")) == (794, 899)
    assert next(SplitByHash().process(rows[5:6]))[0] == next(SplitByHash().process(rows))[5]


def test_a_record_without_id_goes_by_its_content():
    record = {"q": "caf\u00e9", "a": 1}
    step = SplitByHash(train_ratio=0.4576)
    (found,) = next(step.process([record]))
    assert found["split"] == "val", "its position is 0.45768"
    assert next(SplitByHash(train_ratio=0.4577).process([record]))[0]["split"] == "train"
    assert next(step.process([found])) == [found], "a part that is there changes nothing"


def test_shares_are_checked():
    with pytest.raises(ValueError, match="shares are at least 0"):
        SplitByHash(train_ratio=0.9, val_ratio=0.2)
