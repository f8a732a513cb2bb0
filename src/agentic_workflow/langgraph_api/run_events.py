"""Turn what LangGraph streams into events that are stored.

Stored are the events of both faces: those of a run's stream (`values`, `updates`, `messages` as
pairs, ...) and those of a thread's stream, whose messages are told in blocks (`BLOCKS`) and whose
beginning, end and questions to a person are events (`LIFECYCLE`, `INPUT`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from .run_store import NewEvent
from .wire import thread_id_of, to_json

GRAPH_MODES: tuple[
    Literal["values", "updates", "messages", "custom", "tasks", "checkpoints"], ...
] = ("values", "updates", "messages", "custom", "tasks", "checkpoints")
"""The modes in which the graph of every run is streamed."""
METADATA, ERROR, END = "metadata", "error", "end"
"""Events of a run's stream only."""
LIFECYCLE, INPUT, BLOCKS = "lifecycle", "input.requested", "blocks"
"""Events of a thread's stream only."""
INTERRUPT = "__interrupt__"
_ROLES = {"human": "human", "system": "system"}


def event(method: str, data: Any, namespace: tuple[str, ...] = ()) -> NewEvent:  # noqa: ANN401
    """Make an event to be stored."""
    return NewEvent(method, to_json(namespace), to_json(data), time.time())


class RunEvents:
    """The events of one attempt at a run."""

    def __init__(self, key: str, *, task_inputs: bool = False) -> None:
        """Start an attempt.

        Args:
            key: Name of the thread in the store; shown is its owner's name for it.
            task_inputs: Store the input of every task, which is the whole state once more.
        """
        self._task_inputs = task_inputs
        self._thread_id = thread_id_of(key)
        self._open: dict[tuple[str, ...], _Message] = {}
        self.state: Any = None
        """The newest state of the whole graph."""
        self.interrupts: list[Any] = []
        """Questions to a person at which the run stopped."""

    def read(self, namespace: tuple[str, ...], mode: str, item: Any) -> Iterator[NewEvent]:  # noqa: ANN401
        """Read one item of `graph.astream(..., stream_mode=GRAPH_MODES, subgraphs=True)`."""
        if mode == "messages":
            yield from self._message(namespace, *item)
        elif mode == "updates" and INTERRUPT in item:
            yield event(mode, item, namespace)
            yield from self._questions(namespace, item[INTERRUPT])
        elif mode == "updates":
            for node, update in item.items():
                yield event(mode, {node: update}, namespace)
        elif mode == "checkpoints":
            yield event(mode, self._checkpoint(item), namespace)
        elif mode == "tasks":
            left_out = () if self._task_inputs else ("input",)
            told = {name: value for name, value in item.items() if name not in left_out}
            if told.get("error"):
                told["error"] = "the node failed"  # what went wrong inside is for the log
            yield event(mode, told, namespace)
        else:
            if mode == "values" and not namespace:
                self.state = {name: value for name, value in item.items() if name != INTERRUPT}
            yield event(mode, item, namespace)

    def close(self) -> Iterator[NewEvent]:
        """End the messages that were not ended."""
        for message in self._open.values():
            yield from message.finish()
        self._open.clear()

    def _questions(self, namespace: tuple[str, ...], asked: Any) -> Iterator[NewEvent]:  # noqa: ANN401
        if namespace:
            return  # the graph around the subgraph says the same
        for one in asked:
            self.interrupts.append(one)
            # `payload` is the protocol's name; the Python SDK reads `value`.
            data = {"interrupt_id": one.id, "payload": one.value, "value": one.value}
            yield event(INPUT, data)

    def _message(
        self, namespace: tuple[str, ...], message: BaseMessage, metadata: Mapping[str, Any]
    ) -> Iterator[NewEvent]:
        about = {**metadata, "thread_id": self._thread_id}
        yield event("messages", [message, about], namespace)
        node = str(metadata.get("langgraph_node") or "")
        place = (*namespace, node)
        current = self._open.get(place)
        if current is None or current.id != message.id:
            if current is not None:
                yield from current.finish()
            current = self._open[place] = _Message(namespace, node, message)
            yield from current.start()
        yield from current.add(message)
        if not isinstance(message, AIMessageChunk) or message.chunk_position == "last":
            yield from self._open.pop(place).finish()

    def _checkpoint(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Describe a checkpoint by its place; its values are those of the `values` event."""
        metadata = item.get("metadata") or {}
        parent = (item.get("parent_config") or {}).get("configurable") or {}
        return {
            "id": item["config"]["configurable"]["checkpoint_id"],
            "parent_id": parent.get("checkpoint_id"),
            "step": metadata.get("step"),
            "source": metadata.get("source"),
        }


class _Message:
    """One message as events of blocks: text as it comes, tool calls when they are complete."""

    def __init__(self, namespace: tuple[str, ...], node: str, first: BaseMessage) -> None:
        self.id = first.id
        self._namespace = namespace
        self._node = node
        self._role = _ROLES.get(first.type, "ai")
        self._text: str | None = None
        self._whole: BaseMessage | None = None

    def start(self) -> Iterator[NewEvent]:
        about = {"langgraph_node": self._node}
        yield self._event("message-start", role=self._role, metadata=about)

    def add(self, message: BaseMessage) -> Iterator[NewEvent]:
        is_chunk = isinstance(message, AIMessageChunk)
        whole = self._whole
        if is_chunk and isinstance(whole, AIMessageChunk):
            self._whole = whole + message
        else:
            self._whole = message
        text = str(message.text)
        if not text:
            return
        if self._text is None:
            self._text = ""
            block = {"type": "text", "text": ""}
            yield self._event("content-block-start", index=0, content=block)
        self._text += text
        delta = {"type": "text-delta", "text": text}
        yield self._event("content-block-delta", index=0, delta=delta)

    def finish(self) -> Iterator[NewEvent]:
        index = 0
        if self._text is not None:
            block = {"type": "text", "text": self._text}
            yield self._event("content-block-finish", index=0, content=block)
            index = 1
        message = self._whole
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                called: dict[str, Any] = {
                    "type": "tool_call", "id": call["id"], "name": call["name"],
                    "args": call["args"],
                }  # fmt: skip
                yield self._event("content-block-start", index=index, content=called)
                yield self._event("content-block-finish", index=index, content=called)
                index += 1
        usage = message.usage_metadata if isinstance(message, AIMessage) else None
        yield self._event("message-finish", **({"usage": usage} if usage else {}))

    def _event(self, name: str, **fields: Any) -> NewEvent:  # noqa: ANN401
        data = {"event": name, "id": self.id, "message_id": self.id, **fields}
        return event(BLOCKS, {"node": self._node, "data": data}, self._namespace)
