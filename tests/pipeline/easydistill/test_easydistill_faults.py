"""Broken EasyDistill configurations: each ends with one clear message and a real exit code."""

import copy
from pathlib import Path

import pytest
from easydistill_runs import BLACK, run, student_job
from project_paths import ROOT
from small_records import write_json
from stillroom.cli import main
from stillroom.console import Console
from stillroom.pipeline.easydistill.config import read_job
from stillroom.pipeline.easydistill.jobs import JOBS

GOOD = {
    "dataset": {"input_path": "data/labelled.json", "output_path": "data/new.json"},
    "inference": {"base_url": "http://127.0.0.1:9/v1", "model": "m", "prompt": "P"},
    "job_type": "instruction_refinement_api",
}
REFUSED = (
    "job_type 'rl_ppo' is recognised but not supported by stillroom: needs an online RL stack and "
    "a reward model. Closest supported job: rank_dpo_local. See: stillroom easydistill --list-jobs"
)
BROKEN = {
    "missing key": (("inference", "prompt", None), "inference.prompt is missing"),
    "wrong path": (("dataset", "input_path", "x y.json"), "Input path does not exist: x y.json"),
    "unknown job": ((None, "job_type", "kd_grey_box"), "Unknown job type: kd_grey_box"),
    "no job": ((None, "job_type", 5), "Unknown job type: 5"),
    "refused job": ((None, "job_type", "rl_ppo"), REFUSED),
    "misspelt key": (("inference", "tempreature", 1), "the nearest known one is 'temperature'"),
    "misspelt section": ((None, "inferense", {}), "the nearest known one is 'inference'"),
    "unset key": (("inference", "api_key", "${NOT_SET}"), "environment variable 'NOT_SET'"),
    "bad number": (("inference", "max_new_tokens", 0), "max_tokens is 0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_configuration_is_one_sentence(job_folder, name, capsys):
    (section, key, value), message = BROKEN[name]
    config = copy.deepcopy(GOOD)
    place = config if section is None else config[section]
    if value is None:
        del place[key]
    else:
        place[key] = value
    assert run(job_folder, config) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) == 1
    assert not Path("data/new.json").exists()


STUDENT_FAULTS = {
    "missing key": (("dataset", "labeled_path", None), 2, "dataset.labeled_path is missing"),
    "wrong path": (("dataset", "labeled_path", "no.json"), 2, "Input path does not exist: no.json"),
    "no model": (("models", "student", "./nowhere"), 1, "'./nowhere' is no folder here"),
    "bad number": (("training", "learning_rate", -1), 2, "training.learning_rate is -1"),
    "misspelt": (("training", "learning_rat", 1), 2, "the nearest known one is 'learning_rate'"),
    "unknown form": (("dataset", "prompt_format", "s3"), 2, "dataset.prompt_format is 's3'"),
}


@pytest.mark.parametrize("name", STUDENT_FAULTS)
def test_a_broken_training_is_one_sentence(job_folder, starter, name, capsys):
    (section, key, value), code, message = STUDENT_FAULTS[name]
    dataset = {"labeled_path": "data/labelled.json"}
    config = student_job("kd_sft", starter, dataset)
    if value is None:
        del config[section][key]
    else:
        config[section][key] = value
    assert run(job_folder, config) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not Path("result").exists()


def test_all_faults_come_at_once(job_folder, capsys):
    config = {**GOOD, "dataset": {"inputpath": "x"}, "inference": {}}
    assert run(job_folder, config) == 2
    told = capsys.readouterr().err
    for part in ("'dataset.inputpath'", "dataset.output_path is missing", "inference.base_url is"):
        assert part in told


SECOND = {
    "backend": {"base_url": "http://127.0.0.1:9/$NOT_SET", "timeout": 0},
    "dataset": {"input_path": "none.json"},
    "generation": {"prompt_template": "Ask {instruction}", "tempreature": 1},
}


def test_all_faults_of_the_second_generation_have_its_own_names(job_folder, capsys):
    assert run(job_folder, {"job_type": "instruction_refinement", **SECOND}) == 2
    told = capsys.readouterr().err
    assert sorted(line.split(" ")[0] for line in told.splitlines()) == [
        "Config", "Input", "backend.timeout", "dataset.output_path", "generation.prompt_template",
        "unknown",
    ]  # fmt: skip


def test_keys_without_effect_are_told(job_folder, capsys):
    config = student_job("kd_black_box_local", "teacher", BLACK)
    config["dataset"]["train_ratio"] = 0.5
    Console(verbose=True)
    try:
        read_job(write_json(job_folder / "job.json", config))
    finally:
        Console(verbose=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if "no effect here" in line]
    sections = ("dataset", "inference", "training")
    told = {name: line for line in lines for name in sections if f"{name}: " in line}
    assert set(told) == set(sections)
    for section, idle, used in (
        ("dataset", "train_ratio", "labeled_path"),
        ("inference", "gpu_memory_utilization", "max_new_tokens"),
        ("training", "fp16", "learning_rate"),
    ):
        assert idle in told[section]
        assert used not in told[section]


def test_null_counts_as_not_given(job_folder, capsys):
    config = copy.deepcopy(GOOD)
    config["inference"] |= {"temperature": None, "max_workers": None, "base_url": None}
    config["dataset"]["seed"] = None
    assert run(job_folder, config) == 2
    assert capsys.readouterr().err.splitlines() == [
        "inference.base_url is missing; instruction_refinement_api needs it"
    ]


def test_a_configuration_without_a_job(job_folder, capsys):
    assert run(job_folder, {"models": {}, "dataset": {}}) == 2
    assert "job_type is missing" in capsys.readouterr().err
    assert run(job_folder, {"dataset": {}}) == 2, "instruct_distill, as in 2.0"
    assert "dataset.input_path is missing; instruct_distill needs it" in capsys.readouterr().err
    assert main(["easydistill"]) == 2
    assert "--config is required" in capsys.readouterr().err
    assert main(["easydistill", "--config", "nothing.json"]) == 2
    assert "there is no configuration at 'nothing.json'" in capsys.readouterr().err


def test_all_jobs_are_listed_and_run_or_refused(capsys):
    assert main(["easydistill", "--list-jobs"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in JOBS)
    assert sum(job.generation == "2.0" for job in JOBS.values()) == 44
    for job in JOBS.values():
        assert (job.stage is None) == bool(job.reason)
        assert job.closest == "none" or JOBS[job.closest].stage, job.name


@pytest.mark.parametrize(
    ("name", "reason"), [("mmkd_new", "image"), ("speckd_x", "EAGLE"), ("rl_dapo", "online RL")]
)
def test_new_names_of_known_families_are_refused(job_folder, name, reason, capsys):
    assert run(job_folder, {**GOOD, "job_type": name}) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert "is recognised but not supported" in told


def test_the_old_command_line_runs_here(monkeypatch, capsys):
    import runpy
    import sys

    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", ["easydistill", "--list-jobs"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("easydistill.cli", run_name="__main__")
    assert end.value.code == 0
    assert "kd_black_box_local" in capsys.readouterr().out
