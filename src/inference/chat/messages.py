"""Rendering chat messages: as one plain prompt, or as the turns of templates and servers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ...errors import GenerationError
from ...prompts import FormatName, ask_in, context_of
from ..remote.content_blocks import TEXT_BLOCKS
from ..tool_calls.parse import arguments_text, call_text

_SPEAKERS = {"human": "User: ", "ai": "Assistant: ", "tool": "Tool: "}
_CALLS = ("tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call")
"""Blocks whose content a message also has in `tool_calls`."""
_log = logging.getLogger(__name__)
_told: set[str] = set()
"""Kinds of blocks that the log has named."""


def message_text(message: BaseMessage) -> str:
    """Return the text of a message.

    Other blocks (thinking, refusals, server tools, media) are left out; the log says so once for
    each kind.
    """
    if isinstance(message.content, str):
        return message.content
    texts, others = [], []
    for block in message.content:
        kind = "text" if isinstance(block, str) else str(block.get("type") or "text")
        said = block if isinstance(block, str) else block.get("text")
        if kind in TEXT_BLOCKS and isinstance(said, str):
            texts.append(said)
        elif kind not in _CALLS:
            others.append(kind)
    for kind in others:
        if kind not in _told:
            _told.add(kind)
            _log.warning("blocks of type %r in messages are left out; only text is read", kind)
    return "".join(texts)


def message_refusal(message: BaseMessage) -> str:
    """Return the refusal in a message; empty without one."""
    blocks = message.content if isinstance(message.content, list) else []
    words = [
        str(block.get("refusal") or "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") == "refusal"
    ]
    return "".join(words) or str(message.additional_kwargs.get("refusal") or "")


def plain_prompt(messages: Sequence[BaseMessage], tools: str = "") -> str:
    """Write messages as one prompt: the last human message as it is.

    Other messages come before it, one line each: system messages bare, the rest with `User: `,
    `Assistant: ` or `Tool: `. A student that was trained on single questions answers best without
    them.

    Args:
        messages: At least one.
        tools: Description of tools (`tool_calls.parse.tools_text`), put first.

    Raises:
        GenerationError: There are no messages, or the last human one has no text.

    >>> from langchain_core.messages import HumanMessage, SystemMessage
    >>> plain_prompt([SystemMessage("Be brief."), HumanMessage("Question: Q\\n\\nAnswer:")])
    'Be brief.\\nQuestion: Q\\n\\nAnswer:'
    """
    asked = _find_question(messages)
    lines = [
        f"{_SPEAKERS.get(message.type, '')}{_with_calls(message)}\n"
        for place, message in enumerate(messages)
        if place != asked
    ]
    return tools + "".join(lines) + message_text(messages[asked])


def asked_in(form: FormatName, messages: Sequence[BaseMessage]) -> str:
    """Write messages as one prompt: the last human message as the question of a format.

    The other messages are its context, as in training (`prompts.as_text`). A message that is a
    prompt already is kept; see `prompts.ask_in`.

    Args:
        form: The format of the student's training.
        messages: At least one.

    Raises:
        GenerationError: There are no messages, or the last human one has no text.
    """
    asked = _find_question(messages)
    roles = {"human": "user", "ai": "assistant"}
    others = [
        {"role": roles.get(message.type, message.type), "content": _with_calls(message)}
        for place, message in enumerate(messages)
        if place != asked
    ]
    text = message_text(messages[asked])
    question = ask_in(form, text, context_of([*others, {}]))
    return plain_prompt(messages) if question == text else question


def chat_turns(
    messages: Sequence[BaseMessage], *, arguments_as_text: bool = False
) -> list[dict[str, Any]]:
    """Write messages as the turns that chat templates and servers take.

    Args:
        messages: At least one.
        arguments_as_text: Write the arguments of tool calls as JSON text, as OpenAI's HTTP wants
            them; templates want objects.

    Raises:
        GenerationError: There are no messages, or the last human one has no text.
    """
    _find_question(messages)
    roles = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
    turns: list[dict[str, Any]] = []
    for message in messages:
        turn: dict[str, Any] = {
            "role": roles.get(message.type, "user"),
            "content": _text_or_refusal(message),
        }
        if message.type == "tool":
            turn["tool_call_id"] = getattr(message, "tool_call_id", "")
        if isinstance(message, AIMessage) and message.tool_calls:
            turn["tool_calls"] = [
                {
                    "type": "function",
                    "id": call["id"] or "",
                    "function": {
                        "name": call["name"],
                        "arguments": arguments_text(call) if arguments_as_text else call["args"],
                    },
                }
                for call in message.tool_calls
            ]
        turns.append(turn)
    return turns


def _find_question(messages: Sequence[BaseMessage]) -> int:
    """Find the message to be answered: the last human one, else the last.

    Raises:
        GenerationError: There is none, or it has no text beside images and the like.
    """
    if not messages:
        raise GenerationError("there are no messages to answer; give at least one human message")
    human = [place for place, message in enumerate(messages) if message.type == "human"]
    asked = human[-1] if human else len(messages) - 1
    content = messages[asked].content
    if human and isinstance(content, list) and content and not message_text(messages[asked]):
        kind = content[0].get("type") if isinstance(content[0], dict) else "text"
        raise GenerationError(
            f"the last message holds a block of type {kind!r} and no text; only text is read, so "
            "ask in words as well"
        )
    return asked


def _text_or_refusal(message: BaseMessage) -> str:
    """Return the text of a message, or the words of its refusal."""
    return message_text(message) or message_refusal(message)


def _with_calls(message: BaseMessage) -> str:
    """Return text and tool calls of an earlier message."""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    parts = [_text_or_refusal(message), *(call_text(call) for call in calls)]
    return "\n".join(part for part in parts if part)
