"""Model folders made to do harm: each is refused with a reason, and nothing in it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_cases import CASES, IGNORED
from hostile_changes import pickled
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.load_student import load_checkpoint


@pytest.fixture(scope="module")
def audited(saved, tmp_path_factory):
    """What a process of its own did while it refused all of them."""
    script = Path(__file__).parents[1] / "hostile_audit.py"
    work = tmp_path_factory.mktemp("hostile")
    done = subprocess.run(
        [sys.executable, str(script), str(saved), str(work)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_audit_sees_what_a_bomb_does(audited):
    seen = " ".join(audited["cases"]["control"]["events"])
    for event in ("pickle.find_class", "open", "socket.__new__", "exec"):
        assert event in seen


@pytest.mark.parametrize("case", CASES)
def test_refused_with_a_reason_and_nothing_done(audited, case):
    seen = audited["cases"][case]
    assert seen["fault"] is not None, "it was loaded"
    assert re.search(CASES[case][1], seen["fault"]), seen["fault"]
    assert seen["folder"] in seen["fault"], "the message says which folder"
    assert seen["events"] == [], "code, a socket, a process or a write"
    assert not (Path(seen["folder"]).parent / "exploded").exists()


@pytest.mark.parametrize("case", IGNORED)
def test_what_is_not_looked_at_does_nothing(audited, case):
    seen = audited["cases"][case]
    assert (seen["fault"], seen["events"]) == (None, [])
    assert not (Path(seen["folder"]).parent / "exploded").exists()


def test_refusing_takes_little_memory(audited):
    assert audited["grown_kib"] < 200 << 10


def test_what_the_trainer_leaves_behind_is_no_reason_to_refuse(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        pickled(name, only=False)(folder)
    load_checkpoint(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_file_is_no_folder(saved):
    with pytest.raises(CheckpointError, match="is a file"):
        load_checkpoint(saved / "model.safetensors")


def as_snapshot(good, cache):
    """Lay a folder out as the hub's cache does: links into blobs."""
    repository = cache / "models--owner--name"
    snapshot = repository / "snapshots" / "0123abc"
    for place in (snapshot, repository / "blobs", repository / "refs"):
        place.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    for number, file in enumerate(sorted(good.iterdir())):
        shutil.copy(file, repository / "blobs" / str(number))
        os.symlink(Path("../../blobs") / str(number), snapshot / file.name)
    return snapshot


def test_a_snapshot_of_the_hubs_cache_is_loaded(saved, tmp_path, monkeypatch):
    snapshot = as_snapshot(saved, tmp_path)
    pickled("pytorch_model.bin", only=False)(snapshot)  # what other tools fetch is not opened
    assert load_checkpoint(snapshot).run["seed"] == 0
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    by_name = load_checkpoint("owner/name")
    assert (by_name.name, by_name.path) == ("owner/name", None)
    assert not list(tmp_path.rglob("exploded"))


def test_models_of_the_hub_are_checked_like_folders(saved, tmp_path, monkeypatch):
    snapshot = as_snapshot(saved, tmp_path)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").write_text('{"model_type": "llama", "auto_map": {}}')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="auto_map"):
        load_checkpoint("owner/name")


@pytest.mark.parametrize("way", ["past the blobs", "blobs elsewhere", "a folder by that name"])
def test_links_out_of_a_snapshot_are_refused(saved, tmp_path, way):
    snapshot = as_snapshot(saved, tmp_path / "cache")
    blobs = snapshot.parent.parent / "blobs"
    if way == "past the blobs":
        (tmp_path / "outside").write_text("{}")
        (snapshot / "config.json").unlink()
        os.symlink(tmp_path / "outside", snapshot / "config.json")
    elif way == "blobs elsewhere":
        blobs.rename(tmp_path / "elsewhere")
        blobs.symlink_to(tmp_path / "elsewhere")
    else:
        snapshot.parent.parent.rename(tmp_path / "cache" / "models")
        snapshot = tmp_path / "cache" / "models" / "snapshots" / "0123abc"
    with pytest.raises(CheckpointError, match="symbolic link out of the folder"):
        load_checkpoint(snapshot)
