"""The input of a workflow: a text, messages, or a dict of both; and the graph's first state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages

from .state import AgentState

WorkflowInput = str | BaseMessage | Sequence[Any] | Mapping[str, Any]
"""A query; messages, the last one the user's; or a dict with `query` or `messages`, and optionally
`context` and `chat_history`."""
_KEYS = ("query", "messages", "context", "chat_history")


class Request(NamedTuple):
    """The parts of one request."""

    query: str
    context: str
    history: list[BaseMessage]
    """Earlier messages; copies, so that the caller's stay as they are."""


def read_input(
    given: WorkflowInput, context: str | None = None, chat_history: Sequence[Any] | None = None
) -> Request:
    """Read a request in any of its forms.

    Args:
        given: See `WorkflowInput`.
        context: Text the answer is to be found in; overrides the one in a dict.
        chat_history: Earlier messages; likewise.

    Raises:
        ValueError: There is no query in it, or a key of a dict is unknown.

    >>> read_input({"query": "Which?", "context": "gold"})
    Request(query='Which?', context='gold', history=[])
    """
    fields = _fields(given)
    history = chat_history if chat_history is not None else fields.get("chat_history")
    before = [m.model_copy() for m in convert_to_messages(list(history or []))]
    query = fields.get("query")
    if fields.get("messages"):
        *earlier, last = convert_to_messages(list(fields["messages"]))
        before += [message.model_copy() for message in earlier]
        query = str(last.text) if isinstance(last, HumanMessage) else None
    if not isinstance(query, str) or not query.strip():
        raise ValueError(
            f"the query must be a text with at least one word, not {query!r}; of messages the last "
            "one must be the user's"
        )
    text = context if context is not None else fields.get("context")
    return Request(whole_characters(query), whole_characters(text or ""), before)


def whole_characters(text: str) -> str:
    """Replace lone surrogates (broken JSON has them) by question marks: tokenizers and databases
    refuse them.

    >>> whole_characters("gold \\ud800")
    'gold ?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def first_state(request: Request) -> AgentState:
    """Give the state that a turn begins with."""
    return AgentState(
        messages=[*request.history, HumanMessage(request.query)],
        context=request.context,
        current_task=None,
        results=[],
    )


def _fields(given: WorkflowInput) -> Mapping[str, Any]:
    if isinstance(given, BaseMessage):
        return {"messages": [given]}
    if isinstance(given, Mapping):
        unknown = sorted(str(key) for key in given if key not in _KEYS)
        if unknown:
            raise ValueError(f"the input has the keys {unknown}; known are {list(_KEYS)}")
        return given
    if isinstance(given, str) or not isinstance(given, Sequence):
        return {"query": given}
    return {"messages": given}


def joined(parts: Sequence[Any]) -> Any:  # noqa: ANN401 - of any type
    """Join the pieces of a streamed input as LangChain does: add them, else keep the last one."""
    whole: Any = None
    for part in parts:
        try:
            whole = part if whole is None else whole + part
        except TypeError:
            whole = part
    return whole
