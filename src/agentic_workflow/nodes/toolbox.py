"""What every node works with: models, table, policy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from langchain_core.language_models import BaseChatModel

from ...inference.scoring.confidence import ConfidenceMap
from ..grounding.grounded_answer import Grounding, chosen_grounding
from ..model_calls.ask import is_student
from ..policy import AnswerPolicy, TeacherBudget
from ..reading.table_reader import TableReader
from ..routing import AgentRoute


@dataclass(frozen=True)
class Tools:
    """Models, table and policy of a workflow."""

    model: BaseChatModel
    """The student."""
    reader: TableReader | None = None
    """Reads the student's table; None without one."""
    policy: AnswerPolicy = field(default_factory=AnswerPolicy)
    """Attempts, risk, teacher and so on."""
    routes: tuple[AgentRoute, ...] = ()
    """Added agents."""
    confidence: ConfidenceMap | None = None
    """The student's calibration, from margins to probabilities; None where it is not calibrated."""
    budget: TeacherBudget = field(default_factory=TeacherBudget)
    """Calls of the teacher by all runs of the workflow."""
    grounding: Grounding | None = None
    """Decides what the table can answer and which cells support an answer; None: no citations."""

    @property
    def samples(self) -> bool:
        """Whether the model takes a temperature with every call."""
        return is_student(self.model)


def grounded(tools: Tools, wanted: Grounding | bool) -> Tools:
    """Set the grounding; see `chosen_grounding`."""
    chosen = chosen_grounding(tools.reader, wanted)
    return replace(tools, grounding=chosen, reader=chosen.reader if chosen else tools.reader)
