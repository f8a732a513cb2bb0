"""Work on shards by Ray: on this machine or on a cluster whose machines share the run's folder.

    pipeline.run(engine="ray", engine_options={"address": "ray://head:10001"})

Workers are actors of Ray that run the same function as everywhere. Rows go through files, so Ray's
own memory holds nothing but the records of shards. If a worker or its machine is lost, another one
runs its shard again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...errors import ConfigError, MissingDependencyError, PipelineError, did_you_mean
from ...records import stable_json
from .engines import MOST_BREAKS, POLL_S, Worker, ask_to_stop, replicas_of
from .plan import Stage
from .run_shard import Stop
from .step import RunContext

OPTIONS: Final = ("address", "workers")


class RayEngine:
    """Works on shards in workers of Ray.

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
        self._actors: dict[str, list[Any]] = {}
        self.workers = workers or int(ray.cluster_resources().get("CPU", 1))

    def run_shards(
        self, stage: Stage, context: RunContext, shards: Sequence[int], stop: Stop
    ) -> Iterator[dict[str, Any]]:
        """See `engines.Engine`.

        Raises:
            PipelineError: Workers died again and again.
        """
        assert context.folder is not None
        ray, waiting = self._ray, list(shards)
        idle = self._workers_for(stage, len(shards))
        used = list(idle)
        kept = ray.put((stage, context))
        running: dict[Any, Any] = {}
        try:
            while waiting or running:
                if stop():
                    ask_to_stop(context.folder, ended=True)
                    waiting.clear()
                while waiting and idle:
                    worker = idle.pop()
                    running[worker.work_on.remote(kept, waiting.pop(0))] = worker
                done, _ = ray.wait(list(running), timeout=POLL_S) if running else ([], None)
                for one in done:
                    idle.append(running.pop(one))
                    yield self._record(stage, one)
        finally:
            ray.wait([worker.close.remote() for worker in used], num_returns=len(used), timeout=60)

    def _workers_for(self, stage: Stage, shards: int) -> list[Any]:
        """Give the workers of a stage; those with the same needs are used again.

        Raises:
            ConfigError: A step needs more than the whole cluster has.
        """
        needs = _needs(stage)
        most = replicas_of(stage) if stage.is_costly else max(self.workers, replicas_of(stage))
        count = min(most, shards, *self._room(stage, needs))
        key = stable_json(needs)
        for other in [name for name in self._actors if name != key]:
            for worker in self._actors.pop(other):
                self._ray.kill(worker)
        there = self._actors.setdefault(key, [])
        lives = {"max_restarts": MOST_BREAKS, "max_task_retries": MOST_BREAKS}
        make = self._ray.remote(**needs, **lives)(Worker).remote
        there += [make() for _ in range(count - len(there))]
        return there[:count]

    def _room(self, stage: Stage, needs: Mapping[str, Any]) -> list[int]:
        """Give how many workers the cluster has room for, by each thing that they need."""
        has = self._ray.cluster_resources()
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        wanted = {names[key]: needs[key] for key in names if needs.get(key)}
        wanted |= needs.get("resources", {})
        room = {name: int(has.get(name, 0) // amount) for name, amount in wanted.items()}
        faults = [
            f"step {stage.name!r} needs {wanted[name]:g} {name}; the cluster has "
            f"{has.get(name, 0):g}"
            for name in room
            if not room[name]
        ]
        if faults:
            raise ConfigError(faults)
        return list(room.values())

    def _record(self, stage: Stage, done: Any) -> dict[str, Any]:  # noqa: ANN401 - of Ray
        try:
            return dict(self._ray.get(done))
        except self._ray.exceptions.RayTaskError as fault:
            raise fault.cause from fault
        except self._ray.exceptions.RayActorError as fault:
            raise PipelineError(
                f"the workers of step {stage.name!r} died {MOST_BREAKS} times; what they have done "
                "is kept"
            ) from fault


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


def _needs(stage: Stage) -> dict[str, Any]:
    """Give what a worker of a stage needs, in Ray's words: the most that any of its steps asks.

    Unless it says so itself, a costly stage needs no CPU, since it waits for others.
    """
    asked = [step.resources for step in stage.steps]
    needs: dict[str, Any] = {"num_cpus": 0 if stage.is_costly else 1}
    for name, values in (
        ("num_cpus", [one.cpus for one in asked]),
        ("num_gpus", [one.gpus for one in asked]),
        ("memory", [one.memory for one in asked]),
    ):
        known = [value for value in values if value is not None]
        if known:
            needs[name] = max(known)
    own: dict[str, float] = {}
    for one in asked:
        for name, value in (one.resources or {}).items():
            own[name] = max(value, own.get(name, 0))
    return {**needs, "resources": own} if own else needs
