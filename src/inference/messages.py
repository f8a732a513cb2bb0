"""Chat messages to one prompt, for models that were trained on plain prompts."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from ..errors import GenerationError

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


def plain_prompt(messages: Sequence[BaseMessage]) -> str:
    """Write messages as one prompt: the last human message as it is.

    Where there are others, they stand before it, one line each: system messages bare, the rest with
    `User: `, `Assistant: ` or `Tool: `. A student that was trained on single questions answers best
    when there are none.

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
        f"{_SPEAKERS.get(message.type, '')}{message_text(message)}\n"
        for place, message in enumerate(messages)
        if place != asked
    ]
    return "".join(lines) + message_text(messages[asked])


def chat_turns(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Write messages as the turns that chat templates take.

    Raises:
        GenerationError: There are no messages, or one holds something else than text.
    """
    if not messages:
        raise GenerationError("there are no messages to answer; give at least one human message")
    roles = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
    return [
        {"role": roles.get(message.type, "user"), "content": message_text(message)}
        for message in messages
    ]
