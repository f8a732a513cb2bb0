"""kill -9 within a cache build or a training from a cache: the same command goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import kd_models
import kd_resume
import pytest
import teacher_caches
from stillroom.distillation.teacher.cache_format import read_manifest
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.training.resuming import is_whole
from stillroom.files import read_json

HERE = Path(__file__).parents[1]
ITEMS = kd_models.random_items(12)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folders that killed processes left; they run side by side."""
    root = tmp_path_factory.mktemp("killed")
    teacher_caches.build(root / "cache", kd_models.random_items(14), kd_models.gpt2(1))
    commands = {
        "part": ["cache_killed_build.py", root / "part", "part"],
        "manifest": ["cache_killed_build.py", root / "manifest", "manifest"],
        "training": ["kd_killed_run.py", root / "training", root / "cache"],
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for script, *arguments in commands.values()
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said.decode()
    return root


@pytest.mark.parametrize("moment", ["part", "manifest"])
def test_a_killed_build_goes_on_to_identical_files(killed, tmp_path, moment):
    whole = teacher_caches.build(tmp_path / "whole", ITEMS)
    folder = killed / moment
    left = teacher_caches.files(folder)
    finished = [name for name in left if name.endswith(".arrow")]
    assert not read_manifest(folder).complete
    assert len(finished) == (whole.parts if moment == "manifest" else 2)
    assert any(".tmp-" in name for name in left)
    result = teacher_caches.build(folder, ITEMS)
    assert result.built == whole.parts - len(finished)
    assert result.manifest.sha256() == whole.manifest.sha256()
    files = teacher_caches.files(folder)
    # A manifest that was never renamed may lie there for good: another process may be writing it.
    files = {name: content for name, content in files.items() if "manifest.json.tmp" not in name}
    assert files == teacher_caches.files(tmp_path / "whole")
    cache = TeacherCache(folder)
    cache.check(ITEMS)
    assert cache.manifest.sequences == len({item.input_ids for item in ITEMS})


def test_a_killed_training_from_a_cache_ends_with_the_same_weights(killed, tmp_path):
    """As `test_kd_resuming` has it for a teacher that is run."""
    cache = TeacherCache(killed / "cache")
    expected, losses, _ = kd_resume.run(tmp_path / "whole", steps=12, teacher=cache)
    assert not is_whole(killed / "training" / "checkpoint-10")
    assert read_json(killed / "training" / "run.json")["status"] == "running"
    weights, resumed, resume = kd_resume.run(killed / "training", steps=12, teacher=cache)
    assert resume.name == "checkpoint-5"
    assert kd_models.same(weights, expected)
    assert resumed == losses
