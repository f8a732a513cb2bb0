from __future__ import annotations

import json
import math

import pytest
from stillroom.data.identity.hash_split import hash_split
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.reports.export_forms import FORM_NAMES, ExportFields
from stillroom.pipeline.records import WriteDataset, WriteMlxDataset
from stillroom.pipeline.records.report_steps.dataset_files import file_names, write_dataset
from stillroom.pipeline.records.step import RunContext
from stillroom.records import data_hash

RECORDS = [
    {"sample_id": f"id-{i}", "schema": "users(id)", "instruction": f"Frage {i}: wie groß?",
     "generation": f"SELECT {i};", "chosen": "a", "rejected": "b"}
    for i in range(1000)
]  # fmt: skip


def read(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_mlx_has_the_peers_lines_and_the_contracts_split(tmp_path):
    step = WriteMlxDataset(output_dir=str(tmp_path), train_ratio=0.8)
    assert list(step.process(RECORDS)) == [RECORDS]
    train, valid = read(tmp_path / "train.jsonl"), read(tmp_path / "valid.jsonl")
    assert (len(train), len(valid)) == (794, 206)  # contracts.md 3
    assert train[0] == {
        "messages": [
            {"role": "system", "content": "Return SQL only."},
            {"role": "user",
             "content": "Schema: users(id)\nQuestion: Frage 0: wie groß?\nSQL:"},
            {"role": "assistant", "content": "SELECT 0;"},
        ],
        "metadata": {"sample_id": "id-0"},
    }  # fmt: skip
    split = json.loads((tmp_path / "split.json").read_text())
    assert split["counts"] == {"train.jsonl": 794, "valid.jsonl": 206}
    assert split["data_hash"] == {"train.jsonl": data_hash(train), "valid.jsonl": data_hash(valid)}
    assert (split["rule"], split["key"], split["moved"]) == ("hash", "sample_id", {})
    assert split["ratios"] == {"train": 0.8, "val": pytest.approx(0.2), "test": 0}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "split.json", "train.jsonl", "valid.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORM_NAMES)
def test_each_form_is_written_in_parts_that_the_ids_decide(form, tmp_path):
    write_dataset(RECORDS, tmp_path, form, ExportFields(), train=0.8, val=0.1)
    parts = hash_split([record["sample_id"] for record in RECORDS], 0.8, 0.1).parts
    for part, name in file_names(form).items():
        assert len(read(tmp_path / name)) == parts.count(part)
    first = (tmp_path / file_names(form)["train"]).read_bytes()
    write_dataset(RECORDS[::-1], tmp_path / "other", form, ExportFields(), train=0.8, val=0.1)
    split, other = (json.loads((tmp_path / folder / "split.json").read_text())
                    for folder in ("", "other"))  # fmt: skip
    assert split["data_hash"] == other["data_hash"], "whatever the order"
    assert "groß".encode() in first
    assert b"NaN" not in first


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("form", ["alpaca", "messages"])
def test_small_data_leaves_no_part_empty(count, form, tmp_path, caplog):
    records = RECORDS[:count]
    write_dataset(records, tmp_path, form, ExportFields(), train=0.999)
    sizes = [len(read(tmp_path / file_names(form)[part])) for part in ("train", "val")]
    assert sizes == ([count, 0] if count < 2 else [count - 1, 1])
    split = json.loads((tmp_path / "split.json").read_text())
    assert split["moved"] == ({} if count < 2 else {"from train to val": 1})
    assert ("1 record(s) moved from train to val" in caplog.text) == (count >= 2)


def test_records_with_the_same_id_stay_together(tmp_path):
    twice = [{**record, "generation": str(i)} for i in range(2) for record in RECORDS[:40]]
    write_dataset(twice, tmp_path, "mlx", ExportFields(metadata_fields=("sample_id",)))
    ids = [{one["metadata"]["sample_id"] for one in read(tmp_path / name)}
           for name in ("train.jsonl", "valid.jsonl")]  # fmt: skip
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 40


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": None}, "record 'id-7': a template variable is null"),
        ({"generation": ""}, "record 'id-7': generation is blank"),
        ({"note": math.nan}, "record 'id-7': field 'metadata' holds NaN"),
        ({"note": "\ud800"}, "record 'id-7': a text holds half a surrogate pair"),
    ],
)
def test_a_record_that_cannot_be_trained_ends_the_export_and_is_named(change, told, tmp_path):
    records = [*RECORDS[:7], {**RECORDS[7], **change}]
    step = WriteMlxDataset(output_dir=str(tmp_path), metadata_fields=["note"])
    with pytest.raises(DataError, match=told):
        list(step.process(records))
    assert list(tmp_path.iterdir()) == [], "nothing half written is left"
    undefined = [{k: v for k, v in RECORDS[7].items() if k != "schema"}]
    with pytest.raises(DataError, match="'id-7': undefined template variable: 'schema'"):
        list(step.process(undefined))


def test_in_a_pipeline_the_files_lie_in_the_folder_of_the_run(tmp_path):
    context = RunContext(run_id="r1", folder=tmp_path / "r1", stage="select_0", partial=True)
    for step, folder in ((WriteMlxDataset(), "mlx"), (WriteDataset(form="dpo"), "dpo")):
        step.start(context)
        step.observe(RECORDS[:20])
        paths = step.finish()
        assert paths[-1] == tmp_path / "r1" / "exports" / folder / "split.json"
        split = json.loads(paths[-1].read_text())
        assert (split["run_id"], split["partial"]) == ("r1", True)


def test_the_data_of_another_run_is_not_replaced(tmp_path):
    def export(run_id):
        step = WriteDataset(output_dir=str(tmp_path), form="alpaca")
        step.start(RunContext(run_id=run_id, folder=tmp_path / run_id, stage="s"))
        step.observe(RECORDS[:2])
        return step.finish()

    export("r1")
    with pytest.raises(ConfigError, match="belongs to run 'r1'"):
        export("r2")
    export("r1")


def test_mapped_columns_fill_the_template(tmp_path):
    step = WriteDataset(
        output_dir=str(tmp_path), train_ratio=1, input_mappings={"instruction": "question"}
    )
    list(step.process([{"sample_id": "a", "question": "Why?", "generation": "So."}]))
    (line,) = read(tmp_path / "messages" / "train.jsonl")
    assert line["messages"][0]["content"] == "Why?"


@pytest.mark.parametrize(
    "settings",
    [{"form": "csv"}, {"prompt_template": "{{ a"}, {"output_dir": ""}],
)  # fmt: skip
def test_wrong_settings_are_refused_before_anything_runs(settings):
    with pytest.raises(ConfigError):
        WriteDataset(**settings)


@pytest.mark.parametrize(
    "settings", [{"train_ratio": math.nan}, {"train_ratio": 0.9, "val_ratio": 0.2}]
)
def test_shares_out_of_range_are_refused(settings, tmp_path):
    with pytest.raises(ConfigError):
        list(WriteDataset(output_dir=str(tmp_path), **settings).process([]))
