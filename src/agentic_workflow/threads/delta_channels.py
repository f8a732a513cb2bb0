"""The field of the state that grows with every turn, and how it is kept in a thread.

Kept whole, a conversation of n turns is written n times, and a thread grows with the square of its
length. LangGraph's `DeltaChannel` writes only what a turn adds. It is marked beta: threads written
with it "are expected to remain readable", no more. So there is one switch, and a thread can be
taken from either form to the other at any turn (a test does both): STILLROOM_DELTA_CHANNELS=0 in
the environment when a graph is compiled, or `delta=False` where graphs are built by hand.
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
"""Environment variable; 0 keeps conversations whole."""
UPDATES_BETWEEN_WHOLES = 1000
"""Every so many updates a channel is stored whole, which bounds how far a thread is read back.

A turn makes two or three updates. At the default of LangGraph, 100, the whole conversations would
cost more than all turns between them.
"""

Channel = BaseChannel[Any, Any, Any]


def merge_messages(current: list[BaseMessage], updates: Sequence[Any]) -> list[BaseMessage]:
    """Merge message updates one after the other, as `add_messages` does for one.

    Reading a thread merges again what was merged when it ran, in larger batches. So the result
    depends on the sequence of messages alone: one that comes without an id gets it from its text
    and place, and one to be removed that is not there does not matter.

    Args:
        current: The conversation so far.
        updates: Updates in order; each a message, or a list of them.

    Returns:
        The conversation: messages of a known id replaced, others added, removed ones gone.

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
                key = message.id or _made_id(message, merged)
                merged[key] = message if message.id else message.model_copy(update={"id": key})
            elif message.id == REMOVE_ALL_MESSAGES:
                merged.clear()
            else:
                merged.pop(message.id or "", None)
    return list(merged.values())


def with_delta_channels(channels: Mapping[str, Channel]) -> dict[str, Channel]:
    """Let the conversations in a state keep only what is added; other fields stay as they are."""
    return {name: _as_delta(name, channel) for name, channel in channels.items()}


def delta_channels_wanted() -> bool:
    """Read the switch."""
    return os.environ.get(DELTA_VARIABLE, "1").strip() != "0"


def _as_delta(name: str, channel: Channel) -> Channel:
    if not isinstance(channel, BinaryOperatorAggregate) or channel.operator is not add_messages:
        return channel
    delta = DeltaChannel(merge_messages, list, snapshot_frequency=UPDATES_BETWEEN_WHOLES)
    delta.key = name
    return delta


def _messages(update: Any) -> list[BaseMessage]:  # noqa: ANN401 - whatever a node returned
    listed = update if isinstance(update, list) else [update]
    if not all(isinstance(message, BaseMessage) for message in listed):
        listed = list(convert_to_messages(listed))
    return [message_chunk_to_message(m) if isinstance(m, BaseMessageChunk) else m for m in listed]


def _made_id(message: BaseMessage, merged: Mapping[str, BaseMessage]) -> str:
    place = len(merged)
    while (made := str(uuid5(NAMESPACE_OID, f"{place} {message.type} {message.text}"))) in merged:
        place += 1
    return made
