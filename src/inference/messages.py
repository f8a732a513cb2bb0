"""Chat messages to one prompt, for models that were trained on plain prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ..errors import GenerationError
from .tool_calls import arguments_text, call_text

_SPEAKERS = {"human": "User: ", "ai": "Assistant: ", "tool": "Tool: "}


def message_text(message: BaseMessage) -> str:
    """Give the text of a message.

    Raises:
        GenerationError: It holds something else than text, such as an image.
    """
    if isinstance(message.content, list):
        for block in message.content:
            kind = "text" if isinstance(block, str) else block.get("type")
            if kind not in ("text", "tool_use", "tool_call", "reasoning"):
                raise GenerationError(
                    f"a message holds a block of type {kind!r}; only text is read"
                )
    return str(message.text)


def plain_prompt(messages: Sequence[BaseMessage], tools: str = "") -> str:
    """Write messages as one prompt: the last human message as it is.

    Where there are others, they stand before it, one line each: system messages bare, the rest with
    `User: `, `Assistant: ` or `Tool: `. A student that was trained on single questions answers best
    when there are none.

    Args:
        messages: At least one.
        tools: Description of tools (`tool_calls.tools_text`), put before all else.

    Raises:
        GenerationError: There are no messages, or one holds something else than text.

    >>> from langchain_core.messages import HumanMessage, SystemMessage
    >>> plain_prompt([SystemMessage("Be brief."), HumanMessage("Question: Q\\n\\nAnswer:")])
    'Be brief.\\nQuestion: Q\\n\\nAnswer:'
    """
    if not messages:
        raise GenerationError("there are no messages to answer; give at least one human message")
    human = [place for place, message in enumerate(messages) if message.type == "human"]
    asked = human[-1] if human else len(messages) - 1
    lines = [
        f"{_SPEAKERS.get(message.type, '')}{_said(message)}\n"
        for place, message in enumerate(messages)
        if place != asked
    ]
    return tools + "".join(lines) + message_text(messages[asked])


def chat_turns(
    messages: Sequence[BaseMessage], *, arguments_as_text: bool = False
) -> list[dict[str, Any]]:
    """Write messages as the turns that chat templates and servers take.

    Args:
        messages: At least one.
        arguments_as_text: Write the arguments of tool calls as JSON text, as OpenAI's HTTP wants
            them; templates want objects.

    Raises:
        GenerationError: There are no messages, or one holds something else than text.
    """
    if not messages:
        raise GenerationError("there are no messages to answer; give at least one human message")
    roles = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
    turns: list[dict[str, Any]] = []
    for message in messages:
        turn: dict[str, Any] = {
            "role": roles.get(message.type, "user"),
            "content": message_text(message),
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


def _said(message: BaseMessage) -> str:
    """Give text and tool calls of a message of an earlier turn."""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    parts = [message_text(message), *(call_text(call) for call in calls)]
    return "\n".join(part for part in parts if part)
