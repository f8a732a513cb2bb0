"""Where shards are worked on: in this process, or in several processes of this machine.

A step with `resources.replicas` above 1 has its stage run in so many processes.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from ...errors import LabelingStoppedError, PipelineError
from .plan import Stage
from .run_shard import Stop, opened, run_shard
from .step import RunContext, fault_reason

STOP_FILE: Final = ".stop"
"""Its presence in a run's folder tells workers that the run is to end."""
POLL_S: Final = 0.2
MOST_BREAKS: Final = 3
"""Times that a shard's worker may die before the run ends."""


class Engine(Protocol):
    """Where shards are worked on."""

    def run_shards(
        self, stage: Stage, context: RunContext, shards: Sequence[int], stop: Stop
    ) -> Iterator[dict[str, Any]]:
        """Run a stage over shards, in any order; yield the record of each as it is done."""


class LocalEngine:
    """Works on one shard after the other in this process, or on several in processes."""

    def run_shards(
        self, stage: Stage, context: RunContext, shards: Sequence[int], stop: Stop
    ) -> Iterator[dict[str, Any]]:
        """See `Engine`.

        Raises:
            PipelineError: Workers died again and again.
        """
        workers = min(replicas_of(stage), len(shards))
        if workers > 1:
            yield from _in_processes(stage, context, shards, stop, workers)
            return
        assert context.folder is not None
        with opened(stage, context):
            for shard in shards:
                if stop():
                    return
                yield run_shard(stage, context.folder, shard, stop=stop)


class Worker:
    """What a worker process keeps between shards: the stage whose steps are loaded."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._key: tuple[Any, ...] | None = None
        self._open = ExitStack()

    def work(self, stage: Stage, context: RunContext, shard: int) -> dict[str, Any]:
        """Run a stage over a shard; its steps are loaded once.

        Raises:
            PipelineError: It failed.
            LabelingStoppedError: See `run_shard`.
        """
        assert context.folder is not None
        key = (str(context.folder), stage.name, stage.fingerprint)
        stop_file = context.folder / STOP_FILE
        try:
            if self._key != key:
                self.close()
                self._open.enter_context(opened(stage, context))
                self._key = key
            return run_shard(stage, context.folder, shard, stop=stop_file.exists)
        except (PipelineError, LabelingStoppedError):
            raise
        except Exception as fault:
            # Not every fault survives the way between processes.
            raise PipelineError(f"stage {stage.name!r}: {fault_reason(fault)}") from fault

    def work_on(self, task: tuple[Stage, RunContext], shard: int) -> dict[str, Any]:
        """Do the same with stage and context in one."""
        return self.work(*task, shard)

    def close(self) -> None:
        """Unload the steps."""
        self._key = None
        self._open.close()


WORKER: Final = Worker()
"""That of this process."""


def replicas_of(stage: Stage) -> int:
    """Give the number of workers that the steps of a stage ask for."""
    return max(step.resources.replicas for step in stage.steps)


def ask_to_stop(folder: Path, *, ended: bool) -> None:
    """Tell the workers of a run that it is to end, or take that back."""
    if ended:
        (folder / STOP_FILE).touch()
    else:
        (folder / STOP_FILE).unlink(missing_ok=True)


def _in_processes(
    stage: Stage, context: RunContext, shards: Sequence[int], stop: Stop, workers: int
) -> Iterator[dict[str, Any]]:
    """Run a stage in processes; if one dies, its shards are run again in new ones."""
    assert context.folder is not None
    left = list(shards)
    for _ in range(MOST_BREAKS):
        pool = ProcessPoolExecutor(
            workers, _processes(), initializer=_begin, initargs=(stage, context)
        )
        try:
            for record in _finished(pool, context.folder, list(left), stop, workers):
                left.remove(record["shard"])
                yield record
            return
        except BrokenProcessPool:
            continue
        finally:
            pool.shutdown(cancel_futures=True)
    raise PipelineError(
        f"the workers of step {stage.name!r} died {MOST_BREAKS} times, perhaps for want of memory; "
        "what they have done is kept"
    )


def _finished(
    pool: ProcessPoolExecutor, folder: Path, waiting: list[int], stop: Stop, workers: int
) -> Iterator[dict[str, Any]]:
    running: set[Future[dict[str, Any]]] = set()
    while waiting or running:
        if stop():
            ask_to_stop(folder, ended=True)
            waiting.clear()
        while waiting and len(running) < workers:
            running.add(pool.submit(_work, waiting.pop(0)))
        done, running = wait(running, POLL_S, FIRST_COMPLETED)
        for future in sorted(done, key=lambda one: one.exception() is not None):
            yield future.result()


def _processes() -> Any:  # noqa: ANN401 - a context of multiprocessing
    """Choose how processes begin: as copies of this one on Linux, where nothing is pickled then."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


_TASK: list[tuple[Stage, RunContext]] = []


def _begin(stage: Stage, context: RunContext) -> None:
    """Begin a worker; Ctrl-C is for the process that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _TASK[:] = [(stage, context)]


def _work(shard: int) -> dict[str, Any]:
    stage, context = _TASK[0]
    return WORKER.work(stage, context, shard)
