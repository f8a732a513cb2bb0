"""Save checkpoints during a run, mark complete ones, and find the last one after a crash.

Trainer writes a checkpoint file by file into its final folder, so a killed run leaves an incomplete
one. Saving therefore ends with a marker that lists the size of every file; checkpoints without a
marker or with other sizes are removed before training continues.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback

from ...files import read_json, write_json
from ...inference.checkpoints.run_file import TEMPLATE_KEY
from ..loss_curve import CURVE_FILE, LOSSES_FILE
from ..torch_processes import is_main_process, main_process_first

logger = logging.getLogger(__name__)

MARKER_FILE: Final = "whole.json"
RUN_FILE: Final = "run.json"
IDENTITY: Final = ("config_hash", "data_hash", "prompt_sha256", TEMPLATE_KEY, "models_sha256")
"""Fields of `run.json` that must be equal for an interrupted run to continue."""
KEPT_CHECKPOINTS: Final = 2
"""The previous one stays until the new one has its marker."""
COST_FACTOR: Final = 50
"""Least seconds of training per second of saving, which is 2 % of the time."""
SHORTEST_INTERVAL_S: Final = 20.0

_CHECKPOINT: Final = re.compile(r"checkpoint-(\d+)")


class SaveWhole(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Decide when to save, and mark what was saved.

    Args:
        save_steps: Steps between checkpoints; None saves by elapsed time, so that saving takes at
            most 2 % of it.
    """

    def __init__(self, save_steps: int | None = None) -> None:
        """Keep the setting."""
        self.save_steps = save_steps
        self._last_end = self._begin = 0.0
        self._cost_s = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Start the clock."""
        self._last_end = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ANN401
        """Ask for a checkpoint when it is due; the caller saves the weights of the last step."""
        if state.global_step < state.max_steps and self._is_due(state.global_step):
            control.should_save = True
            self._begin = time.monotonic()
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Mark the checkpoint as whole."""
        if state.is_world_process_zero:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self._last_end = time.monotonic()
        self._cost_s = self._last_end - self._begin

    def _is_due(self, step: int) -> bool:
        if self.save_steps is not None:
            return step % self.save_steps == 0
        wait_s = max(SHORTEST_INTERVAL_S, COST_FACTOR * self._cost_s)
        return time.monotonic() - self._last_end >= wait_s


def mark_whole(folder: Path) -> None:
    """Flush a checkpoint's files to the disk and write its marker."""
    sizes = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != MARKER_FILE:
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
            sizes[path.name] = path.stat().st_size
    write_json(folder / MARKER_FILE, {"schema_version": 1, "bytes": sizes})


def is_whole(folder: Path) -> bool:
    """Tell whether a checkpoint has its marker, and every file the size listed there."""
    try:
        sizes: dict[str, int] = read_json(folder / MARKER_FILE)["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def last_whole_checkpoint(folder: str | Path) -> Path | None:
    """Find the newest complete `checkpoint-<step>`; None if there is none."""
    whole = [path for path in _checkpoints(Path(folder)) if is_whole(path)]
    return whole[-1] if whole else None


def open_work_folder(folder: str | Path, run: Mapping[str, Any]) -> Path | None:
    """Prepare a run's work folder, and find the checkpoint to resume from.

    Training resumes where config, data, prompts and models are the same; else the checkpoints are
    removed and the log says what differs. Incomplete checkpoints are removed. Of several processes
    the main one prepares the folder before the others read it.

    Args:
        folder: Created if missing; only `checkpoint-<step>` folders, the loss log and its curve are
            ever removed from it.
        run: The content of `run.json`, with `config_hash`, `data_hash`, `prompt_sha256` and, for
            models that a config does not name, `models_sha256`.

    Returns:
        The checkpoint to resume from; None starts from the beginning.
    """
    root = Path(folder)
    with main_process_first():
        if is_main_process():
            _tidy(root, run)
    return last_whole_checkpoint(root)


def _tidy(root: Path, run: Mapping[str, Any]) -> None:
    """Remove checkpoints that the run cannot resume from, and write `run.json`."""
    root.mkdir(parents=True, exist_ok=True)
    differing = _differing(root / RUN_FILE, run)
    for path in _checkpoints(root):
        if differing or not is_whole(path):
            shutil.rmtree(path)
            if not differing:
                logger.warning("%s: was not written completely; removed", path)
    if differing:
        for name in (LOSSES_FILE, CURVE_FILE):
            (root / name).unlink(missing_ok=True)
        if (root / RUN_FILE).exists():
            logger.warning("%s: training starts again, because %s", root, "; ".join(differing))
    found = last_whole_checkpoint(root)
    if found is not None:
        logger.warning("%s: training continues from here", found)
    write_json(root / RUN_FILE, {**run, "status": "running"})


def _differing(path: Path, run: Mapping[str, Any]) -> list[str]:
    """List in which fields an earlier run in the folder differs."""
    try:
        earlier = read_json(path)
    except FileNotFoundError:
        return ["there is no run.json"]
    except ValueError:
        return ["run.json is damaged"]
    return [
        f"{name} was {str(earlier.get(name))[:12]}, is {str(run.get(name))[:12]}"
        for name in IDENTITY
        if earlier.get(name) != run.get(name)
    ]


def _checkpoints(root: Path) -> list[Path]:
    """List checkpoint folders, sorted by step."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        match = _CHECKPOINT.fullmatch(path.name)
        if match and path.is_dir():
            found.append((int(match[1]), path))
    return [path for _, path in sorted(found)]


def trained_epochs(checkpoint: str | Path) -> float:
    """Return the epochs, with their fraction, that a checkpoint of Trainer was trained for."""
    return float(read_json(Path(checkpoint) / "trainer_state.json").get("epoch") or 0.0)
