"""Events of a run for the user, made from LangGraph's stream.

{"type": "step", "node", "what", "detail", "sources"}   an agent did something
{"type": "token", "text", "node", "attempt"}            the next piece of the answer
{"type": "restart", "reason"}                           the answer so far was rejected
{"type": "approval", "id", "action", "details", "editable"}   a person must decide; see
                                                        `human_approval`
{"type": "final", "response", "verdict", ...}           always the last one; `choices` are the
                                                        readings that were asked back about,
                                                        `approvals` what waits for a person
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from langchain_core.messages import AIMessage

from .nodes.human_approval import proposals_in
from .state import response_of

Event = dict[str, Any]

STREAM_MODES: tuple[Literal["messages", "updates", "values"], ...] = (
    "messages",
    "updates",
    "values",
)
"""The LangGraph stream modes that `EventReader` needs."""


class EventReader:
    """Turn LangGraph's stream items into events."""

    def __init__(self, answer_nodes: frozenset[str]) -> None:
        """Start a run.

        Args:
            answer_nodes: Nodes whose tokens are the answer; tokens of others are not shown.
        """
        self._answer_nodes = answer_nodes
        self._values: dict[str, Any] = {}
        self._steps = 0
        self._approvals: list[Event] = []

    def feed(self, mode: str, item: Any) -> Iterator[Event]:  # noqa: ANN401 - LangGraph's own
        """Read one `(mode, item)` of `graph.stream(..., stream_mode=STREAM_MODES)`."""
        if mode == "values":
            self._values = item
        elif mode == "messages":
            yield from self._tokens(*item)
        elif mode == "updates" and "__interrupt__" in item:
            for proposal in proposals_in(item):
                self._approvals.append(asdict(proposal))
                yield {"type": "approval", **asdict(proposal)}
        elif mode == "updates":
            for node, update in item.items():
                yield from self._updates(node, update if isinstance(update, dict) else {})

    def final(self, exit_name: str | None = None) -> Event:
        """Give the last event of the run.

        Args:
            exit_name: `step_limit` where the run was cut off; by default `waiting` where a person
                must decide, else the state's `exit`, else it follows the verdict.
        """
        values = self._values
        verdict = values.get("verdict")
        exits = {"abstained": "abstained", "disagrees": "disagrees"}
        return {
            "type": "final",
            "query": values.get("query", ""),
            "response": "" if exit_name else response_of(values),  # type: ignore[arg-type]
            "task_type": values.get("task_type") or values.get("current_task") or "qa",
            "route_probability": values.get("route_probability"),
            "verdict": verdict,
            "reason": values.get("reason", ""),
            "sources": values.get("sources") or [],
            "citations": values.get("citations") or [],
            "attempts": values.get("attempts", 0),
            "plan": values.get("plan") or "",
            "choices": values.get("choices") or [],
            "approvals": self._approvals,
            "confidence": values.get("confidence"),
            "answered_by": values.get("answered_by") or "student",
            "teacher_calls": values.get("teacher_calls", 0),
            "steps": values.get("steps") or [],
            "exit": exit_name
            or ("waiting" if self._approvals else "")
            or values.get("exit")
            or exits.get(verdict or "", "answered"),
        }

    def _tokens(self, message: Any, metadata: dict[str, Any]) -> Iterator[Event]:  # noqa: ANN401
        node = metadata.get("langgraph_node", "")
        if node in self._answer_nodes and isinstance(message, AIMessage) and str(message.text):
            attempt = int(self._values.get("attempts") or 0) + 1
            yield {"type": "token", "text": str(message.text), "node": node, "attempt": attempt}

    def _updates(self, node: str, update: dict[str, Any]) -> Iterator[Event]:
        steps = update.get("steps")
        sources = update.get("sources") or []
        if steps is None:  # a user's node that keeps no steps
            new = [{"node": node, "what": "done", "detail": ""}]
        else:
            new = steps if len(steps) < self._steps else steps[self._steps :]
            self._steps = len(steps)
        for step in new:
            yield {"type": "step", **step, "sources": sources}
        if update.get("verdict") == "retry":
            yield {"type": "restart", "reason": update.get("reason", "")}


class AnswerGate:
    """Pass on the pieces of the final answer; joined, they are the response.

    Pieces of an answer that the validator may still reject are held back until its verdict.
    """

    def __init__(self, live: bool) -> None:
        """Start a run.

        Args:
            live: No later node changes the student's answer, so that pieces need not wait.
        """
        self._live = live
        self._held: list[str] = []
        self._blank = ""
        self._let_through = ""

    def feed(self, event: Event) -> Iterator[str]:
        """Read one event, and give the pieces that may be shown now."""
        if event["type"] == "step" and event.get("sources"):
            self._live = False
        elif event["type"] == "restart":
            self._held.clear()
        elif event["type"] == "token":
            if self._live:
                yield from self._trimmed(event["text"])
            else:
                self._held.append(event["text"])
        elif event["type"] == "final":
            yield from self._rest(event["response"])

    def _rest(self, response: str) -> Iterator[str]:
        if "".join(self._held).strip() == response and not self._let_through:
            for piece in self._held:
                yield from self._trimmed(piece)
        elif response.startswith(self._let_through):
            left = response[len(self._let_through) :]
            if left:
                yield left
        else:  # a user's node changed the answer after it was shown
            yield f"\n{response}"

    def _trimmed(self, text: str) -> Iterator[str]:
        """Drop blanks before and after the answer: blanks are held back until text follows them."""
        whole = self._blank + text
        if not self._let_through:
            whole = whole.lstrip()
        shown = whole.rstrip()
        self._blank = whole[len(shown) :]
        if shown:
            self._let_through += shown
            yield shown
