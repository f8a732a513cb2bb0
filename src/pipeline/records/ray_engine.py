"""Work on shards by Ray: on this machine or on a cluster whose machines share the run's folder.

    pipeline.run(engine="ray", engine_options={"address": "ray://head:10001"})

Each shard is one task that runs the same function as everywhere. Rows go through files, so Ray's
own memory holds nothing but the records of shards. A task whose worker or machine is lost runs
again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...errors import ConfigError, MissingDependencyError, did_you_mean
from .engines import MOST_BREAKS, POLL_S, WORKER, ask_to_stop, replicas_of
from .plan import Stage
from .run_shard import Stop
from .step import RunContext

OPTIONS: Final = ("address", "workers")


class RayEngine:
    """Works on shards in tasks of Ray.

    Args:
        address: Address of a cluster; None starts Ray on this machine, unless it runs already.
        workers: Shards that are worked on at the same time, 1 or more; None is one per CPU. A
            costly stage has as many as its steps have `replicas`, since it is a server or a
            budget that limits it.

    Raises:
        MissingDependencyError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """Connect to Ray."""
        try:
            import ray
        except ImportError:
            raise MissingDependencyError("ray", "ray") from None
        if workers is not None and workers < 1:
            raise ConfigError([f"workers is {workers}; allowed is 1 or more"])
        self._ray: Any = ray
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use by default
        if not ray.is_initialized():
            local = {} if address else {"num_cpus": workers, "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, configure_logging=False, **local)
        self.workers = workers or int(ray.cluster_resources().get("CPU", 1))

    def run_shards(
        self, stage: Stage, context: RunContext, shards: Sequence[int], stop: Stop
    ) -> Iterator[dict[str, Any]]:
        """See `engines.Engine`."""
        assert context.folder is not None
        ray, waiting = self._ray, list(shards)
        work = ray.remote(**_resources(stage))(_work)
        most = replicas_of(stage) if stage.is_costly else max(self.workers, replicas_of(stage))
        kept = ray.put((stage, context))
        running: list[Any] = []
        while waiting or running:
            if stop():
                ask_to_stop(context.folder, ended=True)
                waiting.clear()
            while waiting and len(running) < most:
                running.append(work.remote(kept, waiting.pop(0)))
            if not running:
                return
            done, running = ray.wait(running, timeout=POLL_S)
            for one in done:
                try:
                    yield ray.get(one)
                except ray.exceptions.RayTaskError as fault:
                    raise fault.cause from fault


def open_ray(options: Mapping[str, Any] | None) -> RayEngine:
    """Connect to Ray with the `engine_options` of a run.

    Raises:
        ConfigError: An option is unknown.
    """
    faults = [
        f"engine_options has {key!r}; {did_you_mean(key, OPTIONS)}"
        for key in options or {}
        if key not in OPTIONS
    ]
    if faults:
        raise ConfigError(faults)
    return RayEngine(**(options or {}))


def _work(task: tuple[Stage, RunContext], shard: int) -> dict[str, Any]:
    return WORKER.work(*task, shard)


def _resources(stage: Stage) -> dict[str, Any]:
    """Give what a task of a stage needs, in Ray's words: the most that any of its steps asks."""
    asked = [step.resources for step in stage.steps]
    told: dict[str, Any] = {"max_retries": MOST_BREAKS}
    for name, values in (
        ("num_cpus", [one.cpus for one in asked]),
        ("num_gpus", [one.gpus for one in asked]),
        ("memory", [one.memory for one in asked]),
    ):
        known = [value for value in values if value is not None]
        if known:
            told[name] = max(known)
    own: dict[str, float] = {}
    for one in asked:
        for name, value in (one.resources or {}).items():
            own[name] = max(value, own.get(name, 0))
    return {**told, "resources": own} if own else told
