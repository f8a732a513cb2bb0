"""Stages: each from the weights before it, broken off and gone on with, faults all at once."""

import json
import logging

import kd_models
import pytest
import torch
from stillroom.distillation.stage_plan import read_plan
from stillroom.distillation.stages import distill_stages
from stillroom.distillation.training.trainer import KDTrainer
from stillroom.errors import ConfigError, DataError, DataNotFoundError
from stillroom.files import file_sha256, read_json, write_json, write_json_lines
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)

PAIRS = [
    {"question": f"Symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
]
TOKENIZER = kd_models.tokenizer([f"{pair['question']} {pair['answer']}" for pair in PAIRS])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    model = kd_models.llama(7, vocabulary=len(TOKENIZER), layers=4, tied=True)
    return str(save_checkpoint(tmp_path_factory.mktemp("m") / "teacher", model, TOKENIZER, {}))


def config(teacher, folder, stages, **given):
    base = {
        "teacher_model_name": teacher,
        "student_model_name": "every_second_layer",
        "output_dir": str(folder),
        "batch_size": 2,
        "max_steps": 4,
        "learning_rate": 1e-2,
        "save_steps": 2,
        "max_length": 64,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    return {**base, **given, "stages": stages}


def weights(folder):
    return kd_models.weights(load_checkpoint(folder, device="cpu").model)


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


UPPER = r"layers\.1\."
ROW = [
    {"name": "labels", "alpha": 0.0},
    {"name": "upper", "alpha": 1.0, "trainable": UPPER, "temperature": 4.0},
    {"name": "all", "objective": "reverse_kl", "learning_rate": 1e-3, "max_steps": 2},
]


def test_each_stage_goes_on_from_the_one_before(teacher, tmp_path, monkeypatch):
    placed = []
    make = KDTrainer.create_optimizer

    def watched(self, *args, **kwargs):
        optimizer = make(self, *args, **kwargs)
        placed.append([id(p) for group in optimizer.param_groups for p in group["params"]])
        return optimizer

    monkeypatch.setattr(KDTrainer, "create_optimizer", watched)
    done = distill_stages(config(teacher, tmp_path, ROW), PAIRS)
    assert [stage.name for stage in done] == ["labels", "upper", "all"]
    assert [stage.folder.name for stage in done] == [
        "stage-01-labels",
        "stage-02-upper",
        "stage-03-all",
    ]
    assert [stage.summary.steps for stage in done] == [4, 4, 2]
    first, second, third = (weights(stage.folder) for stage in done)
    names = {name for name in first if name != "lm_head.weight"}
    upper = {name for name in names if "layers.1." in name}
    assert changed(first, second) == upper  # frozen ones are bit-identical, the others learned
    assert changed(second, third) - {"lm_head.weight"} == names
    assert len(placed[1]) == len(set(placed[1])) == len(upper)  # each in a group exactly once
    assert len(placed[2]) == len(set(placed[2])) == len(names)
    assert not (tmp_path / "work" / "stage-03-all").exists()
    run = verify_checkpoint(done[1].folder)
    assert run["config"]["trainable"] == UPPER
    assert run["config"]["student_model_name"] == str(done[0].folder)


def test_a_teacher_assistant_stands_between(teacher, tmp_path):
    row = [
        {"name": "assistant"},
        {"name": "student", "teacher": "previous", "student": "every_second_layer"},
        {"name": "polished", "teacher": "stage:assistant", "alpha": 0.9},
    ]
    done = distill_stages(config(teacher, tmp_path, row), PAIRS)
    layers = [
        load_checkpoint(stage.folder, device="cpu").model.config.num_hidden_layers for stage in done
    ]
    assert layers == [2, 1, 1]
    teachers = [read_json(stage.folder / "run.json")["teacher"]["id"] for stage in done]
    assert teachers == [teacher, str(done[0].folder), str(done[0].folder)]


class CrashError(Exception):
    pass


def crash_after(monkeypatch, calls):
    """Break off in the middle of a training step."""
    step, count = KDTrainer.training_step, [0]

    def crashing(self, *args, **kwargs):
        count[0] += 1
        if count[0] > calls:
            raise CrashError
        return step(self, *args, **kwargs)

    monkeypatch.setattr(KDTrainer, "training_step", crashing)
    return count


def test_a_broken_row_goes_on_and_repeats_nothing(teacher, tmp_path, monkeypatch):
    whole = distill_stages(config(teacher, tmp_path / "whole", ROW), PAIRS)
    broken = config(teacher, tmp_path / "broken", ROW)
    with monkeypatch.context() as patch:
        crash_after(patch, 7)  # in the second stage, after its checkpoint of step 2
        with pytest.raises(CrashError):
            distill_stages(broken, PAIRS)
    first = tmp_path / "broken" / "stage-01-labels" / "model.safetensors"
    before = first.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        count = crash_after(patch, 10**9)
        done = distill_stages(broken, PAIRS)
    assert count[0] == 2 + 2  # what was left of the second stage, and the third
    assert [stage.summary is None for stage in done] == [True, False, False]
    assert done[1].summary.resumed_from.name == "checkpoint-2"
    assert first.stat().st_mtime_ns == before
    for one, other in zip(whole, done, strict=True):
        sums = {file_sha256(stage.folder / "model.safetensors") for stage in (one, other)}
        assert len(sums) == 1, one.name


def test_only_what_changed_is_repeated(teacher, tmp_path, caplog):
    def run(row, data=PAIRS):
        done = distill_stages(config(teacher, tmp_path, row), data)
        return [stage.summary is not None for stage in done]

    row = [dict(stage) for stage in ROW]
    assert run(row) == [True, True, True]
    assert run(row) == [False, False, False]
    row[1]["alpha"] = 0.5
    with caplog.at_level(logging.WARNING):
        assert run(row) == [False, True, True]  # the third begins with the second's weights
    assert "other settings, data or models made it" in caplog.text
    assert run(row, PAIRS[:3]) == [True, True, True]
    (tmp_path / "stage-03-all" / "model.safetensors").unlink()
    assert run(row, PAIRS[:3]) == [False, False, True]


def test_a_file_with_its_data_beside_it(teacher, tmp_path, monkeypatch):
    folder = tmp_path / "some where"
    write_json_lines(folder / "data" / "labelled.jsonl", PAIRS)
    write_json(folder / "data" / "more.json", PAIRS[:2])
    row = [{"data": "data/labelled.jsonl"}, {"data": "data/more.json", "alpha": 0.0}]
    write_json(folder / "row.json", config(teacher, tmp_path / "out", row, max_steps=1))
    monkeypatch.chdir(tmp_path)
    done = distill_stages("some where/row.json")
    assert [stage.summary.examples for stage in done] == [4, 2]
    assert [stage.folder.name for stage in done] == ["stage-01-1", "stage-02-2"]


def test_data_that_is_missing_or_damaged(teacher, tmp_path):
    with pytest.raises(DataError, match="stage 'labels' has no data"):
        distill_stages(config(teacher, tmp_path, ROW))
    write_json(tmp_path / "row.json", config(teacher, tmp_path, [{"data": "none.jsonl"}]))
    with pytest.raises(DataNotFoundError, match=r"at none\.jsonl or "):
        distill_stages(tmp_path / "row.json")
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(DataError, match="neither a JSON list nor JSON Lines"):
        distill_stages(config(teacher, tmp_path, [{"data": str(tmp_path / "bad.jsonl")}]))
    assert not list(tmp_path.glob("stage-*"))


def test_all_faults_of_all_stages_at_once(tmp_path):
    row = [
        {"nmae": "a", "alpha": 2.0},
        {"name": "b c", "teacher": "stage:later"},
        {"name": "1", "trainable": "(", "output_dir": "x", "teacher": "previous"},
        "nonsense",
        {"data": 3, "max_steps": 0},
    ]
    with pytest.raises(ConfigError) as caught:
        read_plan({**config("t", tmp_path, row), "studnet_layers": 3, "data": ""})
    text = "\n".join(caught.value.faults)
    for words in (
        "unknown key 'studnet_layers'; the nearest known key is 'student_layers'",
        "data is ''",
        "stage 1: unknown key 'nmae'; the nearest known key is 'name'",
        "stage 1: alpha is 2.0",
        "stage 2: name is 'b c'",
        "stage 2: teacher is 'stage:later'; earlier stages are ['stage:1']",
        "stage 3: unknown key 'output_dir'",
        "stage 3: the name '1' is taken",
        "stage 3: teacher and student are both 'stage:b c'",
        "stage 3: '(' is no regular expression",
        "stage 4 is 'nonsense'",
        "stage 5: data is 3",
        "stage 5: max_steps is 0",
    ):
        assert words in text, words
    with pytest.raises(ConfigError, match="there is no stage before it"):
        read_plan(config("t", tmp_path, [{"teacher": "previous", "student": "s"}]))
    with pytest.raises(ConfigError, match="stages is None"):
        read_plan({})


def test_a_pattern_that_matches_nothing_stops_the_stage(teacher, tmp_path):
    row = [{"trainable": r"layers\.9\."}]
    with pytest.raises(ConfigError, match="found in no name of a trainable parameter"):
        distill_stages(config(teacher, tmp_path, row), PAIRS)


def test_settings_survive_json(teacher, tmp_path):
    """A plan read from a file is the plan that was written."""
    given = config(teacher, tmp_path, ROW)
    assert read_plan(json.loads(json.dumps(given))) == read_plan(given)
