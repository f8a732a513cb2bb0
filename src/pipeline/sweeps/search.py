"""The trials of a sweep: what is tried next, and what was found, kept in an Optuna study.

A trial is stored when it is finished, in one transaction of SQLite (`sweep.db`), so a sweep that is
killed at any point goes on with the trial that was under way. What is tried next depends on the
finished trials and the seed alone: a sweep that was killed tries the same as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError, MissingDependencyError
from ...records import record_hash
from .plan import Params, Range, SweepPlan, job_faults

STORAGE: Final = "sweep.db"
STUDY: Final = "sweep"
_REDRAWS: Final = 20
"""Draws of TPE for one trial, before it is drawn evenly."""
_RANDOM_DRAWS: Final = 2000


@dataclass(frozen=True)
class Found:
    """What a trial found."""

    right: float
    """Share of right answers, 0 to 1."""
    count: int
    """Questions asked."""
    bytes: int
    """Size of the student on disk."""
    parameters: int = 0
    tokens_per_second: float | None = None
    """One prompt at a time; None until all students are timed side by side."""
    folder: str = ""
    """Folder of the trial, relative to the sweep; it holds `student/` and `predictions/`."""


@dataclass(frozen=True)
class Trial:
    """One finished trial."""

    number: int
    """From 1."""
    params: Params
    found: Found


Objective = Callable[[Params], Found]
"""Runs one trial."""


class TrialStore:
    """The finished trials of a sweep.

    Args:
        folder: Of the sweep.
        plan: The sweep.

    Raises:
        MissingDependencyError: Optuna is not installed.
        ConfigError: The folder holds another sweep.
    """

    def __init__(self, folder: Path, plan: SweepPlan) -> None:
        """Open or create the study."""
        self._optuna = load_optuna()
        folder.mkdir(parents=True, exist_ok=True)
        self.plan = plan
        self._study = self._optuna.create_study(
            storage=f"sqlite:///{folder / STORAGE}", study_name=STUDY,
            directions=["maximize", "minimize"], load_if_exists=True,
        )  # fmt: skip
        known = self._study.user_attrs.get("plan")
        if known is None:
            self._study.set_user_attr("plan", plan.identity())
        elif known != plan.identity():
            raise ConfigError([
                f"{folder} holds a sweep of another file; name another folder with --output-dir"
            ])  # fmt: skip

    def trials(self) -> list[Trial]:
        """List the finished trials, in the order in which they were tried."""
        return [
            Trial(number, json.loads(one.user_attrs["params"]), Found(**one.user_attrs["found"]))
            for number, one in enumerate(self._study.get_trials(deepcopy=False), start=1)
        ]

    def add(self, params: Params, found: Found) -> None:
        """Store a finished trial."""
        self._study.add_trial(self._frozen(params, found))

    def next(self) -> Params | None:
        """Choose what is tried next; None where all is tried."""
        done = self.trials()
        tried = {record_hash(one.params) for one in done}
        if self.plan.method == "grid":
            return next((p for p in self.plan.grid() if record_hash(p) not in tried), None)
        return None if len(done) >= self.plan.trials else self._drawn(done, tried)

    def _drawn(self, done: list[Trial], tried: set[str]) -> Params | None:
        """Draw with TPE, in a study in memory, so that nothing is stored of what is under way."""
        seed = self.plan.seed * 100_003 + len(done) * _REDRAWS
        for redraw in range(_REDRAWS):
            sampler = self._optuna.samplers.TPESampler(seed=(seed + redraw) % 2**32)
            study = self._optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
            study.add_trials([self._frozen(one.params, one.found) for one in done])
            drawn = study.ask(self._distributions()).params
            params = {name: _plain(self.plan.vary[name], drawn[name]) for name in self.plan.vary}
            if record_hash(params) not in tried and not job_faults(self.plan, params):
                return params
        return self._at_random(random.Random(seed), tried)

    def _at_random(self, draw: random.Random, tried: set[str]) -> Params | None:
        """Draw evenly, where TPE proposes nothing but what was tried or has no meaning."""
        for _ in range(_RANDOM_DRAWS):
            params = {
                name: _plain(one, _between(draw, one)) if isinstance(one, Range)
                else draw.choice(one)
                for name, one in self.plan.vary.items()
            }  # fmt: skip
            if record_hash(params) not in tried and not job_faults(self.plan, params):
                return params
        if any(isinstance(one, Range) for one in self.plan.vary.values()):
            raise ConfigError([f"no further combination has a meaning after {len(tried)} trials; "
                               "widen a range, or ask for fewer trials"])  # fmt: skip
        return next((one for one in self.plan.grid() if record_hash(one) not in tried), None)

    def _distributions(self) -> dict[str, Any]:
        of = self._optuna.distributions
        return {
            name: of.FloatDistribution(one.low, one.high, log=one.log)
            if isinstance(one, Range)
            else of.CategoricalDistribution([_choice(value) for value in one])
            for name, one in self.plan.vary.items()
        }

    def _frozen(self, params: Params, found: Found) -> Any:  # noqa: ANN401 - optuna loads late
        return self._optuna.trial.create_trial(
            params={name: value if isinstance(self.plan.vary[name], Range) else _choice(value)
                    for name, value in params.items()},
            distributions=self._distributions(),
            values=[found.right, float(found.bytes)],
            user_attrs={"params": json.dumps(params), "found": asdict(found)},
        )  # fmt: skip


def run_trials(
    store: TrialStore, objective: Objective, watch: Callable[[Trial, int], None]
) -> list[Trial]:
    """Run what is left to try.

    Args:
        store: The finished trials.
        objective: Runs one.
        watch: Called after each with the trial and the number of all.

    Returns:
        All trials.
    """
    while (params := store.next()) is not None:
        found = objective(params)
        store.add(params, found)
        watch(store.trials()[-1], store.plan.trials)
    return store.trials()


def load_optuna() -> Any:  # noqa: ANN401 - optuna loads late
    """Import Optuna, without its log lines.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import optuna
    except ImportError as missing:
        raise MissingDependencyError("optuna", "sweep") from missing
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _choice(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Give a choice that Optuna stores: texts, numbers, true, false and None."""
    return value if isinstance(value, (str, int, float, bool, type(None))) else json.dumps(value)


def _plain(values: tuple[Any, ...] | Range, drawn: Any) -> Any:  # noqa: ANN401
    """Give the value of a choice; numbers of a range have four digits, which are read easily."""
    if isinstance(values, Range):
        return min(max(float(f"{drawn:.4g}"), values.low), values.high)
    return next(
        one for one in values if _choice(one) == drawn and type(_choice(one)) is type(drawn)
    )


def _between(draw: random.Random, values: Range) -> float:
    if values.log:
        return math.exp(draw.uniform(math.log(values.low), math.log(values.high)))
    return draw.uniform(values.low, values.high)


def name_of(params: Mapping[str, Any]) -> str:
    """Name a combination in one line; what is left to its default is not named.

    >>> name_of({"temperature": 2, "layers": None, "alpha": 0.5})
    'temperature 2, alpha 0.5'
    """
    named = [f"{name} {value}" for name, value in params.items() if value is not None]
    return ", ".join(named) or "defaults"
