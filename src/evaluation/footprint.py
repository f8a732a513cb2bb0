"""Measure how much memory a model needs to answer, in a fresh process.

    python -m stillroom.evaluation.footprint outputs/elements/student

prints `{"peak_memory_bytes": ...}` of the whole process: Python, torch, transformers and weights.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import GenerationError

_PROMPT = "Question: What is this?\n\nAnswer:"


def measure_footprints(
    folders: Mapping[str, str | Path], *, timeout_s: float = 600
) -> dict[str, int]:
    """Measure the peak memory of fresh processes that load a checkpoint and answer one prompt.

    Folders with equal `config.json` and equally large weights are measured once, because the values
    of the weights do not matter. Two processes run at a time.

    Args:
        folders: Checkpoint folders or hub names, by name.
        timeout_s: Time limit per process, in seconds.

    Returns:
        Bytes by name.

    Raises:
        GenerationError: A process failed; the message ends with the last line of its stderr.
    """
    shapes = {name: _shape(Path(folder)) for name, folder in folders.items()}
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = {
            shape: pool.submit(_measure, str(folders[name]), timeout_s)
            for shape, name in {shape: name for name, shape in shapes.items()}.items()
        }
        return {name: futures[shape].result() for name, shape in shapes.items()}


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes except on macOS


def _shape(folder: Path) -> tuple[str, ...]:
    """Return what determines the memory; for a hub name, which has no files here, the name."""
    config = folder / "config.json"
    if not config.is_file():
        return (str(folder),)
    weights = sorted(folder.glob("*.safetensors"))
    return (config.read_text("utf-8"), *(f"{w.name}:{w.stat().st_size}" for w in weights))


def _measure(folder: str, timeout_s: float) -> int:
    # The child must find this package as this process did, installed or in a checkout.
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.footprint", folder],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            env={**os.environ, "PYTHONPATH": paths},
            check=True,
        )
        return int(json.loads(done.stdout.splitlines()[-1])["peak_memory_bytes"])
    except subprocess.CalledProcessError as fault:
        last = (fault.stderr.strip().splitlines() or ["no message"])[-1]
        raise GenerationError(f"measuring the memory of {folder} failed: {last}") from fault
    except subprocess.TimeoutExpired as fault:
        raise GenerationError(
            f"measuring the memory of {folder} took more than {timeout_s:.0f} s"
        ) from fault


def _main(folder: str) -> None:
    from ..inference.checkpoints.architectures import ANSWERING
    from ..inference.checkpoints.load_student import load_checkpoint
    from ..inference.generate import generate_texts

    generate_texts(load_checkpoint(folder, kinds=ANSWERING), [_PROMPT], max_new_tokens=16)
    print(json.dumps({"peak_memory_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    _main(sys.argv[1])
