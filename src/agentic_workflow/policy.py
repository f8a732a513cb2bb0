"""How a workflow decides: how often it tries, when it asks a teacher, when it says nothing.

    MultiAgentWorkflow(folder, policy=AnswerPolicy(risk_target=0.05, teacher=ChatOpenAI(...)))

Nothing here is on unless it is asked for: a plain workflow makes three attempts and says so where
the last one disagrees with the record.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Literal, get_args

from langchain_core.language_models import BaseChatModel

from ..errors import ConfigError
from .answer_checks import Check
from .state import MAX_ATTEMPTS, AgentState

Correction = Literal["prior", "length", "none"]
"""As in `inference.label_scoring`, which loads torch."""


@dataclass(frozen=True)
class AnswerPolicy:
    """The settings of a workflow.

    Raises:
        ConfigError: A setting is out of range; all faults at once.
    """

    attempts: int = MAX_ATTEMPTS
    """Answers that are judged in a turn: the first one and the retries. Each changes something."""
    validator_timeout_s: float | None = 120.0
    """Seconds that judging one answer may take; None waits."""
    deadline_s: float | None = None
    """Seconds that a run of a workflow may take, unless its `RunContext` says otherwise; None: no
    limit. A graph is given it with each run: `context={"deadline_s": ...}`."""
    risk_target: float | None = None
    """Share of given answers that may be wrong. Answers less sure than that needs are not given;
    `evaluation.calibrate_student` chooses the thresholds, each with nine in ten certainty. None
    gives every answer."""
    route_confidence: float | None = None
    """Least probability of a route that is taken, 0 to 1; below it the user is asked what is meant.
    None takes the likeliest."""
    router: BaseChatModel | None = None
    """A student that scores the routes, such as one trained for it with `routing_examples`; None
    takes the workflow's own."""
    route_correction: Correction = "prior"
    """What is done about labels that are likelier than others whatever is asked: see
    `inference.label_scoring`. `none` for a router that was trained on these routes."""
    checks: tuple[Check, ...] = ()
    """What every answer must pass before anything else is asked of it: see `answer_checks`."""
    self_check: float | None = None
    """Where no record decides, the student is asked whether its answer is right: an answer to which
    it gives a lower probability than this, 0 to 1, is rejected. None does not ask."""
    teacher: BaseChatModel | None = None
    """Any chat model; answers what the student could not. None: nothing is escalated."""
    teacher_judges: bool = False
    """Ask the teacher whether an answer is right that neither record nor student decides."""
    teacher_calls: int = 2
    """Most calls of the teacher in a run."""
    teacher_budget: int | None = None
    """Most calls of the teacher by the workflow; None: no limit."""
    context_tokens: int | None = None
    """Tokens that the student attends to, for one that is served elsewhere; a student that is
    here says so itself."""
    most_parts: int = 64
    """Parts of a text that is too long to be summarised at once."""

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
    """Counts what a workflow asked its teacher; threads may share it."""

    def __init__(self, most: int | None = None) -> None:
        """Start at nothing.

        Args:
            most: Calls that may be made; None: any number.
        """
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
