"""On Ctrl-C or SIGTERM, finish the current step and save a checkpoint before training stops.

The same call then continues from that step. A second signal stops at once.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from transformers import TrainerCallback

from .resuming import SaveWhole, is_whole

logger = logging.getLogger(__name__)

USUAL_HANDLERS: Final = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""The handled signals and their default handlers; a program's own handlers are kept."""


class StopWhenAsked(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Save a checkpoint and stop after the step in which a signal came."""

    def __init__(self) -> None:
        """Start without a signal."""
        self.received: int | None = None
        self.saved: Path | None = None

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Record the first signal, and stop at the second; a handler for `signal.signal`.

        Raises:
            KeyboardInterrupt: It is the second SIGINT.
            SystemExit: It is the second signal, and SIGTERM.
        """
        if self.received is not None:
            _stop(number)
        self.received = number

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ANN401
        """After a signal, request a checkpoint and the end, unless this was the last step."""
        if self.received is not None and state.global_step < state.max_steps:
            logger.warning(
                "step %d of %d: interrupted; a checkpoint is being saved (interrupt again to stop "
                "at once)",
                state.global_step,
                state.max_steps,
            )
            control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Record the checkpoint's folder, which `SaveWhole` has marked by now."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.received is not None and is_whole(folder):
            self.saved = folder


@contextmanager
def saved_when_interrupted(trainer: Any) -> Iterator[None]:  # noqa: ANN401 - a transformers Trainer
    """Let signals stop the trainer with a checkpoint, then raise the exception of the signal.

    No-op outside the main thread, with several processes (which would stop at different steps and
    wait for each other), and where checkpoints cannot be saved.

    Args:
        trainer: Has a `SaveWhole`; its `train` is called in the block.

    Raises:
        KeyboardInterrupt: SIGINT came; the last checkpoint includes the step in which it came.
        SystemExit: SIGTERM came; the exit code is 143.
    """
    saves = any(isinstance(c, SaveWhole) for c in trainer.callback_handler.callbacks)
    alone = trainer.args.world_size == 1
    if not saves or not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = StopWhenAsked()
    trainer.add_callback(stop)  # after SaveWhole, which marks the checkpoint
    handlers = {number: signal.getsignal(number) for number in USUAL_HANDLERS}
    replaced = {n: usual for n, usual in handlers.items() if usual == USUAL_HANDLERS[n]}
    for number in replaced:
        signal.signal(number, stop.ask)
    try:
        yield
    finally:
        for number, usual in replaced.items():
            signal.signal(number, usual)
    if stop.received is not None:
        if stop.saved is not None:
            logger.warning("%s: saved; the same call continues from there", stop.saved)
        _stop(stop.received)


def _stop(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
