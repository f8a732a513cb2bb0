"""Human approval: an agent writes only after a person has approved its proposal.

    workflow.add_node("correct_record", with_approval(write_correction, propose_correction))
    workflow.run("What is the symbol of gold?", thread_id="desk")     # stops at the proposal
    pending_approvals(workflow.graph, "desk")                         # lists what is waiting
    decide(workflow.graph, "desk", approve=True)                      # now it is written

The run stops inside the node and its thread stores the place, so a `checkpointer` is needed and the
decision may come days later. If the process ends after writing and before the turn is stored, the
person is asked again: `write` must be safe to run twice. A new question in the thread drops the
proposal, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from langgraph.types import Command, interrupt

from ..state import AgentState, with_step
from ..state_updates import Update
from ..threads.locking_graph import LeasedGraph


class Proposal(TypedDict):
    """The action that an agent proposes."""

    action: str
    """In a few words, for a person to read."""
    details: dict[str, Any]
    """Everything that would be written, as plain JSON."""


@dataclass(frozen=True)
class PendingApproval:
    """A proposal that waits for a person."""

    id: str
    """For `decide`."""
    action: str
    details: dict[str, Any]


def with_approval(
    write: Callable[[AgentState, Proposal], Update | None],
    propose: Callable[[AgentState], Proposal | None],
    name: str = "approval",
) -> Callable[[AgentState], Update]:
    """Make a node that writes only what a person has approved.

    Args:
        write: Carries out the approved proposal.
        propose: Makes the proposal, or None where there is nothing to write. It runs again before
            `write`, so it must change nothing; if it then proposes something else, nothing is
            written, since no person has seen that.
        name: Shown among the steps of the turn.

    Returns:
        A node for `add_node`. It adds a step `approved`, `rejected` (with the person's note) or
        `outdated`.
    """

    def approve_then_write(state: AgentState) -> Update:
        made = propose(state)
        if made is None:
            return {}
        # Through JSON, to compare it with the proposal that comes back from the thread.
        proposal: Proposal = json.loads(json.dumps(made))
        answer = interrupt(dict(proposal))
        approved, note = _read_decision(answer)
        what = "approved" if approved else "rejected"
        if approved and answer["proposal"] != proposal:
            what, note = "outdated", "what was approved is not what would be written now"
        detail = f"{proposal['action']}; {note}" if note else proposal["action"]
        written = write(state, proposal) if what == "approved" else None
        return {"steps": with_step(state, name, what, detail), **(written or {})}

    return approve_then_write


def pending_approvals(graph: LeasedGraph, thread_id: str) -> list[PendingApproval]:
    """List what waits for a person in a thread.

    Raises:
        ValueError: The graph has no checkpointer.
    """
    return proposals_in({"__interrupt__": graph.get_state(_config(thread_id)).interrupts})


def proposals_in(output: Mapping[str, Any]) -> list[PendingApproval]:
    """List the proposals at which a run stopped.

    Args:
        output: What `graph.invoke` returned.
    """
    return [
        PendingApproval(one.id, str(one.value["action"]), dict(one.value["details"]))
        for one in output.get("__interrupt__") or ()
        if isinstance(one.value, dict) and one.value.keys() == Proposal.__required_keys__
    ]


def decide(
    graph: LeasedGraph, thread_id: str, *, approve: bool, note: str = "", id: str | None = None
) -> dict[str, Any]:
    """Approve or reject a proposal, and let its turn go on to the end.

    Args:
        graph: The graph, with its checkpointer.
        thread_id: The thread.
        approve: The decision.
        note: Why, in the person's words.
        id: The proposal's id; not needed where only one waits.

    Returns:
        The state after the turn.

    Raises:
        ValueError: No such proposal waits, or several do and `id` does not say which.
        ThreadBusyError: Another turn of the thread is running.
    """
    waiting = pending_approvals(graph, thread_id)
    meant = [one for one in waiting if id in (None, one.id)]
    if len(meant) != 1:
        named = ", ".join(f"{one.id!r} ({one.action})" for one in waiting) or "nothing"
        raise ValueError(
            f"thread {thread_id!r}: {'id ' + repr(id) if id else 'no id'} was given, and waiting "
            f"for a decision is {named}; name one of these"
        )
    (one,) = meant
    answer = {
        "approved": bool(approve),
        "note": str(note),
        "proposal": {"action": one.action, "details": one.details},
    }
    return dict(graph.invoke(Command(resume={one.id: answer}), _config(thread_id)))


def _config(thread_id: str) -> Any:  # noqa: ANN401 - a RunnableConfig
    return {"configurable": {"thread_id": thread_id}}


def _read_decision(answer: Any) -> tuple[bool, str]:  # noqa: ANN401 - from outside
    """Read the decision that a run was resumed with; anything malformed rejects."""
    if not isinstance(answer, dict):
        return False, ""
    approved = answer.get("approved") is True and "proposal" in answer
    return approved, str(answer.get("note") or "")
