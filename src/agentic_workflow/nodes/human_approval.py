"""Human approval: an agent writes only after a person has approved its proposal.

    workflow.add_node("correct_record", with_approval(write_correction, propose_correction))
    workflow.run("What is the symbol of gold?", thread_id="desk")     # stops at the proposal
    pending_approvals(workflow.graph, "desk")                         # lists what is waiting
    decide(workflow.graph, "desk", approve=True)                      # now it is written

The run stops inside the node and its thread stores the place, so a `checkpointer` is needed and the
decision may come days later. If the process ends after writing and before the turn is stored, the
person is asked again: `write` must be safe to run twice. A new question in the thread drops the
proposal, and nothing is written.

The person may also answer in the app that `create-agent-chat-app` makes, which shows the proposal
with its own buttons, since the interrupt has the keys that it looks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

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
    editable: tuple[str, ...] = ()
    """Names of the details that the person may change."""


def with_approval(
    write: Callable[[AgentState, Proposal], Update | None],
    propose: Callable[[AgentState], Proposal | None],
    name: str = "approval",
    *,
    editable: Collection[str] = (),
) -> Callable[[AgentState], Update]:
    """Make a node that writes only what a person has approved.

    Args:
        write: Carries out the approved proposal; its details are those of the person, where the
            person changed one.
        propose: Makes the proposal, or None where there is nothing to write. It runs again before
            `write`, so it must change nothing; if it then proposes something else, nothing is
            written, since no person has seen that.
        name: Shown among the steps of the turn.
        editable: Names of the details that the person may change, each to a value of the same JSON
            type.

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
        answer = interrupt(_asked(proposal, editable))
        what, note, approved = _decided(_read_decision(answer), proposal, editable)
        detail = f"{proposal['action']}; {note}" if note else proposal["action"]
        written = write(state, approved) if what == "approved" else None
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
        PendingApproval(
            one.id,
            str(one.value["action"]),
            dict(one.value["details"]),
            tuple(one.value.get("editable") or ()),
        )
        for one in output.get("__interrupt__") or ()
        if isinstance(one.value, dict)
        and one.value.keys() >= Proposal.__required_keys__
        and isinstance(one.value["details"], dict)
    ]


def decide(
    graph: LeasedGraph,
    thread_id: str,
    *,
    approve: bool,
    note: str = "",
    id: str | None = None,
    edited: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Approve or reject a proposal, and let its turn go on to the end.

    Args:
        graph: The graph, with its checkpointer.
        thread_id: The thread.
        approve: The decision.
        note: Why, in the person's words.
        id: The proposal's id; not needed where only one waits.
        edited: Name of a detail -> its value as the person wants it; `with_approval` says which may
            be changed.

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
    answer = answer_to(one, approve=approve, note=note, edited=edited)
    return dict(graph.invoke(Command(resume={one.id: answer}), _config(thread_id)))


def answer_to(
    proposal: PendingApproval,
    *,
    approve: bool,
    note: str = "",
    edited: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a person's decision as the node reads it; arguments as in `decide`.

    The proposal as the person saw it is a part of it, so that nothing else is written.
    """
    seen = {"action": proposal.action, "details": proposal.details}
    changed = {"details": {**proposal.details, **edited}} if edited else {}
    return {"approved": bool(approve), "note": str(note), "proposal": seen, **changed}


def _config(thread_id: str) -> Any:  # noqa: ANN401 - a RunnableConfig
    return {"configurable": {"thread_id": thread_id}}


def _asked(proposal: Proposal, editable: Collection[str]) -> dict[str, Any]:
    """Write what a person is asked: the proposal, and the same in the keys of agent-chat-ui."""
    return {
        **proposal,
        "editable": [name for name in editable if name in proposal["details"]],
        "action_request": {"action": proposal["action"], "args": proposal["details"]},
        "config": {
            "allow_accept": True,
            "allow_edit": bool(editable),
            "allow_ignore": True,
            "allow_respond": False,
        },
    }


class _Decision(NamedTuple):
    """What a person decided."""

    approved: bool
    note: str = ""
    action: Any = None
    """The action that the person saw."""
    seen: Any = None
    """The details that the person saw; None where only the changed ones are known."""
    changed: Any = None
    """All details as the person wants them; None: as they were."""


def _read_decision(answer: Any) -> _Decision:  # noqa: ANN401 - from outside
    """Read the decision that a run was resumed with; anything malformed rejects."""
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], dict):
        return _read_inbox(answer[0])
    if not isinstance(answer, dict):
        return _Decision(False)
    proposal, note = answer.get("proposal"), str(answer.get("note") or "")
    if answer.get("approved") is not True or not isinstance(proposal, dict):
        return _Decision(False, note)
    seen = proposal.get("details")
    return _Decision(True, note, proposal.get("action"), seen, answer.get("details"))


def _read_inbox(answer: Mapping[str, Any]) -> _Decision:
    """Read the decision that agent-chat-ui sends: `accept`, `edit`, or something that rejects."""
    kind, given = answer.get("type"), answer.get("args")
    if kind not in ("accept", "edit") or not isinstance(given, dict):
        return _Decision(False)
    details = given.get("args")
    if kind == "accept":
        return _Decision(True, "", given.get("action"), details)
    return _Decision(True, "", given.get("action"), None, details)


def _decided(
    decision: _Decision, proposal: Proposal, editable: Collection[str]
) -> tuple[Literal["approved", "rejected", "outdated"], str, Proposal]:
    """Tell what becomes of a proposal, why, and what is written where it is approved.

    An edit of agent-chat-ui tells only the changed details: the ones that may not be edited must
    then be those of the proposal.
    """
    note = decision.note
    if not decision.approved:
        return "rejected", note, proposal
    now, wanted = proposal["details"], decision.changed
    if wanted is not None and not isinstance(wanted, dict):
        return "rejected", "the changed details cannot be read", proposal
    seen = decision.seen
    if seen is None and wanted is not None:
        seen = {**now, **{k: v for k, v in wanted.items() if k not in editable}}
    if (decision.action, seen) != (proposal["action"], now):
        return "outdated", "what was approved is not what would be written now", proposal
    written = dict(now)
    for name, value in (wanted or {}).items():
        new = _of_kind(now.get(name), value)
        if new == now.get(name):
            continue
        if name not in editable or name not in now:
            return "rejected", f"{name} may not be edited", proposal
        if _kind(new) != _kind(now[name]):
            return "rejected", f"{name} was edited to {value!r}, which is of another type", proposal
        written[name] = new
    edited = [name for name in now if written[name] != now[name]]
    told = [f"edited: {', '.join(edited)}"] if edited else []
    return (
        "approved",
        "; ".join([*told, *([note] if note else [])]),
        Proposal(action=proposal["action"], details=written),
    )


def _of_kind(old: Any, new: Any) -> Any:  # noqa: ANN401 - any JSON
    """Read a value that a person typed into a field, where it was no text before."""
    if isinstance(new, str) and not isinstance(old, str):
        try:
            return json.loads(new)
        except ValueError:
            return new
    return new


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Name the JSON type of a value; whole numbers and others are alike."""
    if isinstance(value, bool) or value is None:
        return str(type(value))
    return "number" if isinstance(value, int | float) else str(type(value))
