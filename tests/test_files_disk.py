"""A full disk is an `OSError` that names what was being written, whoever wrote it."""

import resource
import signal
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file
from stillroom.files import atomic_folder, naming_disk_faults, write_text


@contextmanager
def full_disk():
    """No file may grow beyond 4 KiB, as if the disk were full.

    The limit holds for the whole process, also for a log that the test run is written to; so it is
    set around the writing alone.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def write_weights(folder):
    save_file({"w": torch.zeros(9000)}, folder / "model.safetensors")


def write_state(folder):
    torch.save({"w": torch.zeros(9000)}, folder / "optimizer.pt")


@pytest.mark.parametrize("write", [write_weights, write_state])
def test_a_full_disk_names_the_folder(tmp_path, write):
    with (
        pytest.raises(OSError, match="student") as raised,
        full_disk(),
        atomic_folder(tmp_path / "student") as f,
    ):
        write(f)
    assert raised.value.errno is not None
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"report\.html"), full_disk():
        write_text(tmp_path / "report.html", "x" * 9000)


def test_other_faults_stay_as_they_are(tmp_path):
    for fault in (
        RuntimeError("shapes do not fit"),
        FileNotFoundError(2, "none", "a"),
        KeyError("x"),
    ):
        with pytest.raises(type(fault)) as raised, naming_disk_faults(tmp_path):
            raise fault
        assert raised.value is fault
