"""Store only the messages that a turn adds, by LangGraph's `DeltaChannel`.

If every turn stored the conversation in full, a thread would grow with the square of its length.
`DeltaChannel` is marked beta: threads written with it "are expected to remain readable". It can be
switched off, and a thread can change between both forms at any turn: set
STILLROOM_DELTA_CHANNELS=0 when a graph is compiled, or pass `delta=False` to `compile_graph`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import (
    BaseMessage,
    BaseMessageChunk,
    RemoveMessage,
    convert_to_messages,
    message_chunk_to_message,
)
from langgraph.channels import BinaryOperatorAggregate, DeltaChannel
from langgraph.channels.base import BaseChannel
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages

DELTA_VARIABLE = "STILLROOM_DELTA_CHANNELS"
"""Environment variable; 0 stores conversations in full."""
UPDATES_PER_SNAPSHOT = 1000
"""After so many updates a channel is stored in full, which bounds how far a thread is read back.

A turn makes two or three updates. With LangGraph's default of 100 the snapshots would be larger
than all turns between them.
"""

Channel = BaseChannel[Any, Any, Any]


def merge_messages(current: list[BaseMessage], updates: Sequence[Any]) -> list[BaseMessage]:
    """Merge message updates one after the other, as `add_messages` does for one.

    Reading a thread merges the same updates again, in larger batches, so the result depends only on
    the sequence of messages: a message without an id gets one from its text and position, and
    removing an unknown message has no effect.

    Args:
        current: The conversation so far.
        updates: Updates in order; each is a message or a list of messages.

    Returns:
        The conversation: messages with a known id are replaced, others appended.

    >>> said = merge_messages([], [[("human", "a")], ("ai", "b")])
    >>> [message.text for message in said]
    ['a', 'b']
    >>> merge_messages(said, [RemoveMessage(said[0].id)]) == said[1:]
    True
    """
    merged: dict[str, BaseMessage] = {}
    for update in [list(current), *updates]:
        for message in _messages(update):
            if not isinstance(message, RemoveMessage):
                key = message.id or _derived_id(message, merged)
                merged[key] = message if message.id else message.model_copy(update={"id": key})
            elif message.id == REMOVE_ALL_MESSAGES:
                merged.clear()
            else:
                merged.pop(message.id or "", None)
    return list(merged.values())


def with_delta_channels(channels: Mapping[str, Channel]) -> dict[str, Channel]:
    """Replace the message channels of a state by delta channels; keep the others."""
    return {name: _as_delta(name, channel) for name, channel in channels.items()}


def delta_channels_wanted() -> bool:
    """Return whether `DELTA_VARIABLE` leaves delta channels switched on."""
    return os.environ.get(DELTA_VARIABLE, "1").strip() != "0"


def _as_delta(name: str, channel: Channel) -> Channel:
    if not isinstance(channel, BinaryOperatorAggregate) or channel.operator is not add_messages:
        return channel
    delta = DeltaChannel(merge_messages, list, snapshot_frequency=UPDATES_PER_SNAPSHOT)
    delta.key = name
    return delta


def _messages(update: Any) -> list[BaseMessage]:  # noqa: ANN401 - whatever a node returned
    listed = update if isinstance(update, list) else [update]
    if not all(isinstance(message, BaseMessage) for message in listed):
        listed = list(convert_to_messages(listed))
    return [message_chunk_to_message(m) if isinstance(m, BaseMessageChunk) else m for m in listed]


def _derived_id(message: BaseMessage, merged: Mapping[str, BaseMessage]) -> str:
    position = len(merged)
    while (
        derived := str(uuid5(NAMESPACE_OID, f"{position} {message.type} {message.text}"))
    ) in merged:
        position += 1
    return derived
