"""The state of every graph, and the reducers that merge updates into it.

Users' nodes often `return state` whole. The reducers are therefore idempotent: a list that starts
with the current one replaces it, instead of being appended to it.
"""

from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.channels import UntrackedValue
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict  # the one that pydantic reads before Python 3.12

from .text_matching import nfc

TaskType = Literal["qa", "summarize", "validate"]

Verdict = Literal["agrees", "disagrees", "unverified", "abstained", "retry"]
"""What the validator says; `retry` only between two attempts."""

MAX_ATTEMPTS = 3
"""The first answer and at most two retries, unless a policy says otherwise."""


class Step(TypedDict):
    """One thing an agent did, in words for the user."""

    node: str
    """Which node did it."""
    what: str
    """The decision in a word or two, e.g. `qa` or `agrees`."""
    detail: str
    """The reason, in one sentence."""


class SourceRecord(TypedDict):
    """The record that an answer is compared with."""

    table: str
    """File or table name."""
    row: int
    """Record number counted from 1."""
    key: str
    """Value of the key column."""
    key_column: str
    """Name of the key column."""
    column: str | None
    """Column that holds the answer; None where the whole record is meant."""
    value: str | None
    """Text in that column."""
    values: dict[str, str]
    """The whole record."""


class Citation(TypedDict):
    """A cell that supports an answer."""

    table: str
    """File or table name."""
    row: int
    """Record number counted from 1."""
    key: str
    """Value of the key column."""
    column: str
    """Name of the cell's column; may be the key column."""
    value: str
    """Text of the cell, unchanged."""


def merge_results(current: list[str] | None, update: list[str] | str | None) -> list[str]:
    """Append results; a state returned whole changes nothing.

    >>> merge_results(["a"], ["b"]), merge_results(["a"], ["a", "b"]), merge_results(["a"], ["a"])
    (['a', 'b'], ['a', 'b'], ['a'])
    """
    old = list(current or [])
    new = [update] if isinstance(update, str) else list(update or [])
    return new if new[: len(old)] == old else old + new


class AgentState(TypedDict):
    """State of every graph here. A user's own node needs only the first four fields."""

    messages: Annotated[list[BaseMessage], add_messages]
    """The conversation; merged by message id."""
    context: str
    """Text the answer is to be found in; empty for none."""
    current_task: str | None
    """`qa`, `summarize`, `validate`, or the name of an added agent."""
    results: Annotated[list[str], merge_results]
    """Answers in the order they were made; the last one is the response."""
    query: NotRequired[str]
    """The user's words, as given."""
    asked: NotRequired[str]
    """Wording of this attempt's question, where it differs from `query`."""
    task_type: NotRequired[str]
    """The router's choice: as `current_task`, or `clarify`."""
    route_probability: NotRequired[float | None]
    """Probability of that choice, 0 to 1; None where words or a record decided, not the student."""
    plan: NotRequired[str]
    """How the question was read over the table, in words; empty where it was not."""
    choices: NotRequired[list[str]]
    """The readings, in words, that the user was asked back about; sent as the next question, one of
    them chooses it."""
    topic: NotRequired[str]
    """The last question of the thread that the table answered, as it was completed; "and its
    price?" leans on it."""
    answer: NotRequired[str]
    """The answer of this attempt."""
    verdict: NotRequired[Verdict | None]
    """The validator's finding; None before it ran."""
    reason: NotRequired[str]
    """The reason for the verdict, in one sentence."""
    sources: NotRequired[list[SourceRecord]]
    """Records the answer is compared with; empty where none matched."""
    citations: NotRequired[list[Citation]]
    """Cells that support the answer; empty where it was not grounded."""
    attempts: NotRequired[int]
    """Answers judged so far in this turn."""
    change: NotRequired[str]
    """What this attempt changes beside the wording: `temperature`, `reason` (the student reads why
    its answer was rejected), or nothing."""
    confidence: NotRequired[float | None]
    """Probability that the answer is right, 0 to 1; None where it is not known."""
    escalate: NotRequired[bool]
    """The student gave no accepted answer, and the teacher may be asked."""
    teacher_calls: NotRequired[int]
    """Calls of the teacher in this turn."""
    answered_by: NotRequired[str]
    """`teacher`; `table` for an answer that was computed; or empty for the student."""
    exit: NotRequired[str]
    """How the turn ended, where the verdict alone does not tell: `ask_back`, `clarify`, `deadline`,
    `tool_limit`, `too_long`, `low_confidence`, `rejected`, `validator_failed`."""
    steps: NotRequired[list[Step]]
    """What every node did in this turn."""
    requested: NotRequired[Annotated[Any, UntrackedValue(Any, guard=False)]]
    """The `RequestedRecord` that the router found. It exists during the run only: checkpoints and
    outputs of the graph do not contain it."""


def query_of(state: AgentState) -> str:
    """Give the newest human message as text in NFC, as the student was trained; else `query`."""
    for message in reversed(state.get("messages") or []):
        if isinstance(message, HumanMessage):
            return nfc(str(message.text))
    return nfc(state.get("query", ""))


def response_of(state: AgentState) -> str:
    """Give the current answer: the last result, else `answer`, else the last AI message."""
    if state.get("results"):
        return state["results"][-1]
    if state.get("answer"):
        return state["answer"]
    messages = state.get("messages") or []
    last = messages[-1] if messages else None
    return str(last.text) if isinstance(last, AIMessage) else ""


def with_step(state: AgentState, node: str, what: str, detail: str) -> list[Step]:
    """Give the state's steps and one more."""
    return [*(state.get("steps") or []), Step(node=node, what=what, detail=detail)]
