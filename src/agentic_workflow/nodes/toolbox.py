"""What every node is given: model, table, policy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from langchain_core.language_models import BaseChatModel

from ...inference.scoring.confidence import ConfidenceMap
from ..grounding.grounded_answer import Grounding, chosen_grounding
from ..model_calls.ask import is_student
from ..policy import AnswerPolicy, TeacherBudget
from ..record_search.lookup import RecordLookup
from ..routing import AgentRoute


@dataclass(frozen=True)
class Tools:
    """What the agents work with."""

    model: BaseChatModel
    """The student."""
    lookup: RecordLookup | None = None
    """Index of the student's table; None without one."""
    policy: AnswerPolicy = field(default_factory=AnswerPolicy)
    """How often is tried, and what follows."""
    routes: tuple[AgentRoute, ...] = ()
    """Agents beside the three that are always there."""
    confidence: ConfidenceMap | None = None
    """From the student's margins to the probability that it is right; None where it is not
    calibrated."""
    budget: TeacherBudget = field(default_factory=TeacherBudget)
    """Calls of the teacher by all runs together."""
    grounding: Grounding | None = None
    """Decides what the table can answer, and what answers rest on; None gives answers without
    citations."""

    @property
    def samples(self) -> bool:
        """The student takes a temperature with every call."""
        return is_student(self.model)


def grounded(tools: Tools, wanted: Grounding | bool) -> Tools:
    """Give tools whose answers rest on the table, or do not: `grounding.chosen_grounding`."""
    chosen = chosen_grounding(tools.lookup, wanted)
    return replace(tools, grounding=chosen, lookup=chosen.lookup if chosen else tools.lookup)
