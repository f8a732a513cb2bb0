"""Agents over a distilled student, on LangGraph.

    from stillroom.agentic_workflow.agent import MultiAgentWorkflow

    workflow = MultiAgentWorkflow("outputs/elements/student")
    print(workflow.run("What is the symbol of gold?")["response"])

`AgenticWorkflow` is one agent that answers. `MultiAgentWorkflow` routes a request to an agent that
answers, one that summarises or one that validates, and checks every answer against the table.
"""

from __future__ import annotations

from .distilled_agent import DistilledModelAgent
from .multi_agent import MultiAgentWorkflow
from .single_agent import AgenticWorkflow
from .state import AgentState

__all__ = ["AgentState", "AgenticWorkflow", "DistilledModelAgent", "MultiAgentWorkflow"]
