"""Two processes train what one process trains; batches are dealt, nobody waits, one writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kd_models
import kd_processes
import pytest
import torch
from project_paths import ROOT
from safetensors.torch import load_file
from stillroom.distillation.batches.batching import BatchOrder, Collator
from stillroom.distillation.batches.process_batches import CollateOrIdle, DealtOrder
from stillroom.distillation.setting_names import IGNORED
from stillroom.distillation.torch_processes import (
    is_main_process,
    local_device,
    mean_over_processes,
)


def launch(script, *arguments, processes=2):
    """Start a script as a user does, on the CPU, where the processes talk by gloo."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(ROOT / "configs/accelerate/ddp.yaml")]
    command += ["--num_processes", str(processes), "--main_process_port", "0"]
    return subprocess.run(
        [*command, str(Path(__file__).parents[1] / script), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    done = launch("kd_processes.py", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("name", kd_processes.SCENARIOS)
def test_two_processes_are_one(launched, tmp_path, name):
    """The same weights and losses as of one process, to float tolerance."""
    expected, losses = kd_processes.SCENARIOS[name](tmp_path, 1)
    weights = load_file(launched / f"{name}.safetensors")
    for key, value in expected.items():
        torch.testing.assert_close(weights[key], value, rtol=1e-4, atol=2e-6, msg=key)
    found = json.loads((launched / f"{name}.json").read_text())
    assert [step for step, _ in found] == [step for step, _ in losses]
    assert [loss for _, loss in found] == pytest.approx([v for _, v in losses], rel=1e-4, abs=1e-6)


def test_only_the_main_process_writes(launched):
    folder = launched / "distiller"
    names = {path.name for path in (folder / "work-0").iterdir()}
    assert {"run.json", "losses.jsonl", "checkpoint-2"} <= names
    assert (folder / "student-0" / "run.json").is_file()
    assert not (folder / "student-1").exists()
    written = [path for path in (folder / "work-1").rglob("*") if path.is_file()]
    # Trainer keeps the random state of each process in its own file
    assert {path.name for path in written} <= {"rng_state_1.pth"}


# ------------------------------------------------------------------------- dealing


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 7, 12, 13])
def test_every_example_goes_to_one_process(count, processes):
    """Each optimizer step holds the examples that it holds in one process."""
    lengths = list(range(count))
    accumulation, size = 2, 2
    steps = accumulation * processes
    whole = list(BatchOrder(lengths, batch_size=size, accumulation=steps))
    dealt = [
        list(DealtOrder(BatchOrder(lengths, batch_size=size, accumulation=steps), processes, index))
        for index in range(processes)
    ]
    assert len({len(batches) for batches in dealt}) == 1  # nobody waits for a last batch
    assert sorted(i for batches in dealt for b in batches for i in b) == lengths
    for step in range(0, len(whole), steps):
        own = slice(step // processes, step // processes + accumulation)
        together = sorted(i for batches in dealt for b in batches[own] for i in b)
        assert together == sorted(i for b in whole[step : step + steps] for i in b)
    assert len(dealt[0]) == len(DealtOrder(BatchOrder(lengths, batch_size=size), processes, 0))


def test_epochs_reach_the_order():
    order = BatchOrder(list(range(20)), batch_size=2, accumulation=2)
    dealt = DealtOrder(order, 2, 0)
    first = list(dealt)
    dealt.set_epoch(1)
    assert list(dealt) != first
    assert dealt.batch_size == 2


def test_a_process_without_work_runs_a_batch_without_a_label():
    items = kd_models.random_items(3)
    collate = CollateOrIdle(Collator(0), items[0])
    expected = Collator(0)(items)
    assert all(torch.equal(collate(items)[name], expected[name]) for name in expected)
    idle = collate([])
    assert idle["input_ids"].tolist() == [list(items[0].input_ids)]
    assert (idle["labels"] == IGNORED).all()


def test_one_process_is_the_main_one(monkeypatch):
    assert is_main_process()
    assert mean_over_processes(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device(torch.device("cuda")) == torch.device("cuda:3")
    assert local_device(torch.device("cuda:1")) == torch.device("cuda:1")
    assert local_device(torch.device("cpu")) == torch.device("cpu")
