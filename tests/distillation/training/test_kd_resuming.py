"""A run that is broken off and begun again ends with the same weights, bit for bit."""

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import kd_models
import kd_resume
import pytest
from stillroom.distillation.loss_curve import read_losses
from stillroom.distillation.training.resuming import (
    SaveWhole,
    is_whole,
    last_whole_checkpoint,
    open_work_folder,
)
from stillroom.files import read_json


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_five_and_five_steps_are_ten(tmp_path, accumulation, optimizer):
    settings = {"accumulation": accumulation, "optimizer": optimizer}
    expected, losses, _ = kd_resume.run(tmp_path / "ten", **settings)
    kd_resume.run(tmp_path / "half", stop=5, **settings)
    weights, resumed_losses, resume = kd_resume.run(tmp_path / "half", **settings)
    assert resume.name == "checkpoint-5"
    assert kd_models.same(weights, expected)
    assert resumed_losses == losses
    assert read_losses(tmp_path / "half" / "losses.jsonl") == losses


def test_more_epochs_than_the_break(tmp_path):
    """The break falls into the third epoch, whose order must be found again."""
    expected, losses, _ = kd_resume.run(tmp_path / "a", steps=14)
    kd_resume.run(tmp_path / "b", steps=14, stop=12)  # goes on from step 10
    weights, resumed_losses, resume = kd_resume.run(tmp_path / "b", steps=14)
    assert resume.name == "checkpoint-10"
    assert kd_models.same(weights, expected)
    assert resumed_losses == losses  # those of steps 11 and 12 stand there once


def test_killed_while_saving(tmp_path):
    """kill -9 between the files of a checkpoint; the same command then ends as if it had lived."""
    expected, losses, _ = kd_resume.run(tmp_path / "whole", steps=12)
    script = Path(__file__).parents[1] / "kd_killed_run.py"
    killed = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "killed")],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    half = tmp_path / "killed" / "checkpoint-10"
    assert (half / "model.safetensors").exists()
    assert not is_whole(half)
    assert read_json(tmp_path / "killed" / "run.json")["status"] == "running"
    weights, resumed_losses, resume = kd_resume.run(tmp_path / "killed", steps=12)
    assert resume.name == "checkpoint-5"
    assert kd_models.same(weights, expected)
    assert resumed_losses == losses


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_interruption_saves_the_step_it_came_in(
    tmp_path, accumulation, number, raised, caplog, capfd
):
    """Step 7 lies between the checkpoints of steps 5 and 10, and none of it is trained again."""
    expected, losses, _ = kd_resume.run(tmp_path / "whole", accumulation=accumulation)
    before = signal.getsignal(number)
    with caplog.at_level(logging.WARNING), pytest.raises(raised):
        kd_resume.run(
            tmp_path / "broken",
            accumulation=accumulation,
            callbacks=[kd_resume.SignalAt(7, number)],
        )
    assert signal.getsignal(number) == before
    assert "checkpoint-7: saved" in caplog.text
    weights, resumed_losses, resume = kd_resume.run(tmp_path / "broken", accumulation=accumulation)
    assert resume.name == "checkpoint-7"
    assert "missing keys" not in capfd.readouterr().err, "tied weights are stored once"
    assert kd_models.same(weights, expected)
    assert resumed_losses == losses


def test_a_second_interruption_stops_at_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        kd_resume.run(tmp_path, callbacks=[kd_resume.SignalAt(7, signal.SIGINT, times=2)])
    assert last_whole_checkpoint(tmp_path).name == "checkpoint-5"
    assert "saved" not in caplog.text
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_an_interruption_in_the_last_step_says_no_untruth(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        kd_resume.run(tmp_path, callbacks=[kd_resume.SignalAt(10, signal.SIGINT)])
    assert "saved" not in caplog.text
    assert last_whole_checkpoint(tmp_path).name == "checkpoint-5"


def test_handlers_of_the_program_are_left_alone(tmp_path):
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        kd_resume.run(tmp_path, callbacks=[kd_resume.SignalAt(7, signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]


@pytest.mark.parametrize("damage", ["no marker", "shorter file", "missing file", "broken marker"])
def test_a_damaged_checkpoint_is_not_used(tmp_path, damage, caplog):
    kd_resume.run(tmp_path, stop=5)
    checkpoint = tmp_path / "checkpoint-5"
    assert last_whole_checkpoint(tmp_path) == checkpoint
    if damage == "no marker":
        (checkpoint / "whole.json").unlink()
    elif damage == "shorter file":
        weights = checkpoint / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "missing file":
        (checkpoint / "optimizer.pt").unlink()
    else:
        (checkpoint / "whole.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert open_work_folder(tmp_path, kd_resume.IDENTITY) is None
    assert "was not written completely" in caplog.text
    assert not checkpoint.exists()


@pytest.mark.parametrize("name", sorted(kd_resume.IDENTITY))
def test_another_run_begins_anew_and_says_why(tmp_path, name, caplog):
    kd_resume.run(tmp_path, stop=5)
    (tmp_path / "notes.txt").write_text("mine")
    other = {**kd_resume.IDENTITY, name: "other"}
    with caplog.at_level(logging.WARNING):
        assert open_work_folder(tmp_path, other) is None
    assert f"starts again, because {name} was" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "run.json"]
    assert read_json(tmp_path / "run.json")[name] == "other"


def test_a_new_folder_is_silent(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert open_work_folder(tmp_path / "new", kd_resume.IDENTITY) is None
    assert caplog.text == ""
    assert read_json(tmp_path / "new" / "run.json")["status"] == "running"


def test_a_half_line_of_losses_is_dropped(tmp_path):
    path = tmp_path / "losses.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 2.5}) + '\n{"step": 2, "lo')
    assert read_losses(path) == [(1, 2.5)]


def test_old_checkpoints_go_but_two_stay(tmp_path):
    kd_models.kd_trainer(
        tmp_path, kd_models.llama(), teacher=kd_models.llama(1), steps=8, save_steps=2
    ).train()
    names = sorted(p.name for p in tmp_path.glob("checkpoint-*"))
    assert names == ["checkpoint-4", "checkpoint-6"]  # the end is saved by the caller


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


def test_saving_by_the_clock_costs_two_percent(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("stillroom.distillation.training.resuming.time", clock)

    class State:
        global_step, max_steps, is_world_process_zero = 0, 10**6, False

    class Control:
        should_save = False

    class Args:
        output_dir = "."

    saver, spent = SaveWhole(), 0.0
    saver.on_train_begin(Args, State, Control)
    for step in range(1, 3001):
        clock.now += 0.1
        State.global_step, Control.should_save = step, False
        saver.on_step_end(Args, State, Control)
        if Control.should_save:
            clock.now += 1.0
            spent += 1.0
            saver.on_save(Args, State, Control)
    assert spent >= 5.0
    assert spent / clock.now < 0.03
