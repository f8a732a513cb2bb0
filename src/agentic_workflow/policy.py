"""Settings of a workflow: number of attempts, risk target, teacher, deadlines.

    MultiAgentWorkflow(folder, policy=AnswerPolicy(risk_target=0.05, teacher=ChatOpenAI(...)))

By default a workflow makes three attempts, and shows the record where the last one disagrees.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Literal, get_args

from langchain_core.language_models import BaseChatModel

from ..errors import ConfigError
from .format_checks import Check
from .state import MAX_ATTEMPTS, AgentState

Correction = Literal["prior", "length", "none"]
"""As in `inference.scoring.label_scoring`, which loads torch."""


@dataclass(frozen=True)
class AnswerPolicy:
    """The settings of a workflow.

    Raises:
        ConfigError: A setting is out of range; all faults at once.
    """

    attempts: int = MAX_ATTEMPTS
    """Most answers that are judged in a turn: the first one and the retries."""
    validator_timeout_s: float | None = 120.0
    """Seconds that judging one answer may take; None waits."""
    deadline_s: float | None = None
    """Seconds that a run of a workflow may take, unless its `RunContext` says otherwise; None: no
    limit. A graph takes it with each run: `context={"deadline_s": ...}`."""
    risk_target: float | None = None
    """Share of given answers that may be wrong, above 0 to 1: less confident answers are withheld.
    `evaluation.calibrate_student` chooses the thresholds, at 90 % certainty. None gives all."""
    route_confidence: float | None = None
    """Least probability of a route, 0 to 1; below it the user is asked what is meant. None always
    takes the likeliest route."""
    router: BaseChatModel | None = None
    """A student that scores the routes, such as one trained with `routing_examples`; None uses the
    workflow's own."""
    route_correction: Correction = "prior"
    """How route scores are corrected for labels that are likely after any request: see
    `inference.scoring.label_scoring`. `none` for a router that was trained on these routes."""
    checks: tuple[Check, ...] = ()
    """Checks that every answer must pass first: see `format_checks`."""
    self_check: float | None = None
    """Where no record decides, the student scores its own answer, and one below this probability, 0
    to 1, is rejected. None does not ask."""
    teacher: BaseChatModel | None = None
    """Any chat model; it is asked where the student gave no accepted answer. None: no teacher."""
    teacher_judges: bool = False
    """Ask the teacher to judge answers that neither record nor student decides."""
    teacher_calls: int = 2
    """Most calls of the teacher in a run."""
    teacher_budget: int | None = None
    """Most calls of the teacher by the workflow; None: no limit."""
    context_tokens: int | None = None
    """Context length in tokens of a student on another server; a local one tells its own."""
    most_parts: int = 64
    """Most parts that a long text is split into to be summarised."""

    def __post_init__(self) -> None:
        """Check the settings."""
        faults = []
        for name in ("attempts", "most_parts"):
            if getattr(self, name) < 1:
                faults.append(f"{name} is {getattr(self, name)!r}; allowed is 1 or more")
        for name in ("teacher_calls", "teacher_budget", "context_tokens"):
            value = getattr(self, name)
            if value is not None and value < 0:
                faults.append(f"{name} is {value!r}; allowed is 0 or more")
        for name in ("validator_timeout_s", "deadline_s"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                faults.append(f"{name} is {value!r}; allowed is above 0 seconds, or None")
        for name in ("risk_target", "route_confidence", "self_check"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value <= 1.0:
                faults.append(f"{name} is {value!r}; allowed is above 0 to 1, or None")
        if self.route_correction not in get_args(Correction):
            allowed = list(get_args(Correction))
            faults.append(f"route_correction is {self.route_correction!r}; allowed: {allowed}")
        if self.teacher_judges and self.teacher is None:
            faults.append("teacher_judges is set, but there is no teacher; give teacher=...")
        if faults:
            raise ConfigError(faults)


class TeacherBudget:
    """Counts a workflow's calls of its teacher; thread-safe."""

    def __init__(self, most: int | None = None) -> None:
        """Start at 0 calls; `most` None allows any number."""
        self._most = most
        self._lock = threading.Lock()
        self._used = 0

    @property
    def used(self) -> int:
        """Calls so far."""
        return self._used

    def take(self) -> bool:
        """Take one call; False where none is left."""
        with self._lock:
            if self._most is not None and self._used >= self._most:
                return False
            self._used += 1
            return True


def may_ask_teacher(state: AgentState, policy: AnswerPolicy, in_run: int | None) -> bool:
    """Tell whether this run may call the teacher once more.

    Args:
        state: Counts the calls of this run.
        policy: The workflow's settings.
        in_run: The limit of this run, where it has one of its own.
    """
    most = policy.teacher_calls if in_run is None else in_run
    return policy.teacher is not None and state.get("teacher_calls", 0) < most
