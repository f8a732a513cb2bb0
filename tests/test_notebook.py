"""The notebook runs from its first cell to its last, and has the sections that it promises."""

import importlib.util
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from project_paths import ROOT
from stillroom.distillation.starter_student import StarterSize, untrained_starter
from stillroom.distillation.training_data import training_examples
from stillroom.inference.checkpoints.load_student import save_checkpoint

NOTEBOOK = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
SECTIONS = [
    "Setup", "System 1", "System 2", "Teacher vs Student comparison", "Single prompt",
]  # fmt: skip
NAMES = [
    "TEACHER_MODEL_SYS1", "STUDENT_MODEL_SYS1", "DATASET_SLICE_SYS1", "NUM_EPOCHS_SYS1",
    "RELABEL_WITH_TEACHER", "STUDENT_MODEL_SYS2", "DATASET_SLICE_SYS2", "RV_MIN", "CD_MIN",
    "NUM_EPOCHS_SYS2", "COMPARE_PROMPTS",
]  # fmt: skip


def cells(kind):
    return ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == kind]


def test_the_sections_and_the_names_of_the_notebook():
    heads = [line[3:] for text in cells("markdown") for line in text.splitlines()
             if line.startswith("## ")]  # fmt: skip
    assert heads == SECTIONS
    code = "\n".join(cells("code"))
    assert [name for name in NAMES if f"\n{name} = " not in code] == []
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"]), "no outputs are kept"


def run(script, folder, *parts):
    """Run code as a notebook would, in an empty folder."""
    script.write_text("\n\n".join(parts), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "STILLROOM_QUICK": "1"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    told = run(tmp_path / "notebook.py", tmp_path, *cells("code"))
    assert "[Prompt 2] Emma has 7 books" in told
    for column in ("Teacher (truncated): ", "System 1 student: ", "System 2 student: "):
        assert told.count(column) == 2
    for name in ("teacher of System 1", "student of System 2"):
        assert f"{name}: " in told
    assert "of 10 held-out" in told
    for part in ("student_1/model.safetensors", "student_2/run.json", "configs/system1.json"):
        assert (tmp_path / "outputs/notebook" / part).is_file()


@pytest.mark.parametrize(
    ("memory", "card", "teacher"), [(25e9, 16e9, "7B"), (12.7e9, 16e9, "1.5B"), (25e9, 8e9, "1.5B")]
)
def test_a_gpu_takes_a_teacher_that_fits(memory, card, teacher):
    code = next(text for text in cells("code") if "GPU = " in text)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": int(memory / 4096)}
    names = {
        "torch": SimpleNamespace(cuda=SimpleNamespace(
            is_available=lambda: True,
            get_device_properties=lambda _: SimpleNamespace(total_memory=card),
        )),
        "os": SimpleNamespace(sysconf=pages.__getitem__, environ={}),
    }  # fmt: skip
    exec(code[code.index("GPU = ") :], names)
    assert names["TEACHER_MODEL_SYS1"] == f"Qwen/Qwen2.5-{teacher}-Instruct"
    assert names["STUDENT_MODEL_SYS1"] == "Qwen/Qwen2.5-0.5B-Instruct"
    assert not names["STARTER"]


@pytest.mark.slow  # `.ci/run` goes it
def test_the_way_of_a_gpu_with_small_models(tmp_path):
    """The teacher labels, and the student starts from weights of its own."""
    letters = [{"question": "abcdefghijklmnopqrstuvwxyz 0123456789", "answer": "yes"}]
    size = StarterSize(positions=512)
    for name, seed in (("teacher", 1), ("student", 2)):
        tokenizer, model = untrained_starter(training_examples(letters), size=size, seed=seed)
        save_checkpoint(tmp_path / name, model, tokenizer, {})
    code = cells("code")
    place = next(n for n, text in enumerate(code) if "GPU = " in text) + 1
    names = (str(tmp_path / "teacher"), str(tmp_path / "student"))
    small = f"TEACHER_MODEL_SYS1, STUDENT_MODEL_SYS1 = {names!r}\nSTARTER = False"
    told = run(tmp_path / "notebook.py", tmp_path, *code[:place], small, *code[place:])
    assert "of 10 held-out" in told
    labels = json.loads((tmp_path / "outputs/notebook/data/train_labeled.json").read_text())
    assert labels
    for part in ("student_1/model.safetensors", "student_2/model.safetensors"):
        assert (tmp_path / "outputs/notebook" / part).is_file()


def test_the_first_cell_installs_what_is_not_there(monkeypatch):
    ran = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    exec(cells("code")[0], {})
    assert ran == [[sys.executable, "-m", "pip", "install", "--quiet", "stillroom[peft]"]]
    assert "colab-badge.svg" in cells("markdown")[0]
