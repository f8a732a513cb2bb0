"""The file of a sweep: the job, what is varied, and how it is searched.

    job:                            # settings of the job, as `stillroom run` has them
      data: prices.csv
      columns: [price, stock]
      effort: 0.2
    vary:
      temperature: [1, 2, 4]        # a list of values, or a range
      alpha: {low: 0.1, high: 0.9}
      objective: [forward_kl, reverse_kl]
      initialisation: [every_second_layer, from_teacher, from_scratch]
      layers: [1, 2]
      data_share: [0.5, 1.0]
    method: sampled                 # grid: every combination; sampled: as many as trials
    trials: 12
    seed: 0
    margin: 0.02                    # loss of right answers that a smaller student may have

Layers belong to the initialisations `from_teacher` and `from_scratch`: a combination that has no
meaning, such as layers with `every_second_layer`, is left out of a grid and counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from ...config import as_settings, read_written_yaml
from ...errors import ConfigError, did_you_mean
from ...records import record_hash
from ..main_job.settings import MainJob, Recipe, StudentForm, Tuning
from ..options import LARGEST_SEED, faults_of, is_number

Params = dict[str, Any]
Method = Literal["grid", "sampled"]
OF_STUDENT: Final[tuple[str, ...]] = (
    "temperature", "alpha", "objective", "initialisation", "layers", "data_share", "student",
    "training_seed",
)  # fmt: skip
"""What is varied without training the teacher again."""
OF_TEACHER: Final[tuple[str, ...]] = ("gold_share", "effort")
"""What is varied with a teacher and labels of its own for each value."""
VARIED: Final[tuple[str, ...]] = (*OF_STUDENT, *OF_TEACHER)
_OF_FORM: Final = ("objective", "initialisation", "layers", "data_share")
_FIXED: Final = (
    "data", "query", "table", "records_path", "question", "answer", "context", "key", "columns",
    "rows", "also_called", "teacher", "student", "gold_share", "teacher_least", "seed", "wordings",
    "asked", "device", "threads", "effort", "temperature", "alpha", *_OF_FORM,
)  # fmt: skip
_KEYS: Final = ("job", "vary", "method", "trials", "seed", "margin")
MOST_GRID: Final = 1000


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class SweepPlan:
    """A sweep, read and checked."""

    job: Mapping[str, Any]
    """Settings of the job that all trials share, `effort` among them."""
    vary: Mapping[str, tuple[Any, ...] | Range]
    method: Method = "grid"
    trials: int = 0
    """Number of trials; of a grid, all its combinations."""
    seed: int = 0
    margin: float = 0.02
    left_out: int = field(default=0, compare=False)
    """Combinations of the grid that have no meaning."""

    def identity(self) -> str:
        """Hash what decides the result; the number of sampled trials may grow."""
        space = {
            name: vars(one) if isinstance(one, Range) else list(one)
            for name, one in self.vary.items()
        }
        shared = {"job": dict(self.job), "vary": space, "method": self.method, "seed": self.seed}
        return record_hash(shared)

    def grid(self) -> Iterator[Params]:
        """Yield the combinations of a grid that have a meaning, in the order of the file."""
        names = list(self.vary)
        values = [() if isinstance(one, Range) else one for one in self.vary.values()]
        for combination in itertools.product(*values):
            params = dict(zip(names, combination, strict=True))
            if not job_faults(self, params):
                yield params


def read_plan(path: str | Path) -> SweepPlan:
    """Read the file of a sweep.

    Raises:
        ConfigError: It cannot be read, has unknown keys, or its values do not fit; all faults at
            once.
    """
    given = as_settings(read_written_yaml(path), path)
    faults = [f"unknown key {key!r}; {did_you_mean(key, list(_KEYS))}"
              for key in given if key not in _KEYS]  # fmt: skip
    job, vary = given.get("job", {}), given.get("vary")
    if not isinstance(job, Mapping):
        faults.append(f"job is {job!r}; it holds settings such as data: mine.csv")
        job = {}
    faults += [f"job: unknown key {key!r}; {did_you_mean(key, list(_FIXED))}"
               for key in job if key not in _FIXED]  # fmt: skip
    space: dict[str, tuple[Any, ...] | Range] = {}
    if not isinstance(vary, Mapping) or not vary:
        faults.append(f"vary is {vary!r}; it names what is varied, such as temperature: [1, 2]")
    else:
        for name, values in vary.items():
            if name not in VARIED:
                faults.append(f"vary: unknown key {name!r}; {did_you_mean(name, list(VARIED))}")
            else:
                faults += faults_of(lambda n=name, v=values: space.update({n: _values(n, v)}))  # type: ignore[misc]
    method = given.get("method", "grid")
    if method not in ("grid", "sampled"):
        faults.append(f"method is {method!r}; allowed are grid, sampled")
    trials, seed, margin = (given.get(name) for name in ("trials", "seed", "margin"))
    if method == "sampled" and (type(trials) is not int or trials < 1):
        faults.append(f"trials is {trials!r}; a sampled sweep needs a whole number from 1 on")
    if method == "grid" and trials is not None:
        faults.append("trials belongs to method: sampled; a grid has as many as combinations")
    if seed is not None and not (type(seed) is int and 0 <= seed <= LARGEST_SEED):
        faults.append(f"seed is {seed!r}; allowed is 0 to {LARGEST_SEED}")
    if margin is not None and not is_number(margin, 0, 1, above=True):
        faults.append(f"margin is {margin!r}; allowed is above 0 to 1")
    ranges = [name for name, one in space.items() if isinstance(one, Range)]
    if method == "grid" and ranges:
        faults.append(f"a grid needs lists; {', '.join(ranges)} is a range: method: sampled")
    if faults:
        raise ConfigError(faults)
    plan = SweepPlan(_placed(job, Path(path).parent), space, method, trials or 0, seed or 0,
                     0.02 if margin is None else float(margin))  # fmt: skip
    return _checked(plan)


def _values(name: str, given: Any) -> tuple[Any, ...] | Range:  # noqa: ANN401 - any YAML value
    """Read the values of one key.

    Raises:
        ConfigError: They are neither a list nor a range.
    """
    if isinstance(given, list) and given:
        if len({record_hash(one) for one in given}) < len(given):
            raise ConfigError([f"vary: {name} holds a value twice"])
        return tuple(given)
    if isinstance(given, Mapping) and {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        low, high = given["low"], given["high"]
        log = bool(given.get("log", False))
        if is_number(low) and is_number(high) and low < high and (low > 0 or not log):
            return Range(float(low), float(high), log)
    raise ConfigError([f"vary: {name} is {given!r}; write a list, [1, 2], or a range of numbers, "
                       "{low: 0.1, high: 0.9} with log: true if it is to be even in orders of "
                       "magnitude"])  # fmt: skip


def _placed(job: Mapping[str, Any], beside: Path) -> dict[str, Any]:
    """Find files that are named relative to the folder of the sweep's file."""
    placed = dict(job)
    for name in ("data", "asked"):
        value = job.get(name)
        if isinstance(value, str) and not Path(value).exists() and (beside / value).exists():
            placed[name] = str(beside / value)
    return placed


def _checked(plan: SweepPlan) -> SweepPlan:
    """Check the job, each value by itself, and count the combinations.

    Raises:
        ConfigError: There is no combination, or there are too many.
    """
    faults = faults_of(lambda: job_of(plan, {}))
    discrete = {n: one for n, one in plan.vary.items() if not isinstance(one, Range)}
    for name, values in discrete.items():
        # Layers mean something with some initialisations only, so they are tried with one.
        with_layers = {"initialisation": "from_scratch"} if name == "layers" else {}
        for value in values:
            faults += [f"vary: {fault}" for fault in
                       faults_of(lambda p={**with_layers, name: value}: job_of(plan, p))]  # type: ignore[misc]  # fmt: skip
    for name, one in plan.vary.items():
        if isinstance(one, Range):
            for end in (one.low, one.high):
                faults += [f"vary: {fault}" for fault in
                           faults_of(lambda p={name: end}: job_of(plan, p))]  # type: ignore[misc]  # fmt: skip
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    if len(discrete) < len(plan.vary):
        return plan
    every = 1
    for values in discrete.values():
        every *= len(values)
    if plan.method == "grid" and every > MOST_GRID:
        raise ConfigError([f"the grid has {every:,} combinations, at most {MOST_GRID:,} are "
                           "allowed; leave values out, or write method: sampled"])  # fmt: skip
    if every > MOST_GRID:
        return plan
    meant = sum(1 for _ in plan.grid())
    if meant == 0:
        raise ConfigError(["no combination has a meaning: " + "; ".join(
            job_faults(plan, {n: v[0] for n, v in discrete.items()}))])  # fmt: skip
    if plan.method == "sampled" and plan.trials > meant:
        raise ConfigError([f"trials is {plan.trials}; there are {meant} combinations, which "
                           "method: grid tries all"])  # fmt: skip
    trials = meant if plan.method == "grid" else plan.trials
    return replace(plan, trials=trials, left_out=every - meant)


def job_faults(plan: SweepPlan, params: Mapping[str, Any]) -> list[str]:
    """List why a combination has no meaning; empty where it has one."""
    return faults_of(lambda: job_of(plan, params))


def job_of(plan: SweepPlan, params: Mapping[str, Any]) -> MainJob:
    """Make the job of a trial: one student, without controls.

    Raises:
        ConfigError: Values do not fit.
    """
    values = {**plan.job, **params}
    effort = values.pop("effort", 1.0)
    if not is_number(effort, 0, above=True):
        raise ConfigError([f"effort is {effort!r}; allowed is a number above 0"])
    form = {name: values.pop(name) for name in _OF_FORM if name in values}
    recipe = {name: values.pop(name) for name in ("temperature", "alpha") if name in values}
    faults: list[str] = []
    made: dict[str, Any] = {}
    faults += faults_of(lambda: made.update(form=StudentForm(**form)))
    faults += faults_of(
        lambda: made.update(recipe=replace(Recipe().scaled(effort), **recipe),
                            tuning=Tuning().scaled(effort))
    )  # fmt: skip
    if faults:
        raise ConfigError(faults)
    if isinstance(values.get("columns"), list):
        values["columns"] = tuple(values["columns"])
    return MainJob(**values, **made, controls=False)
