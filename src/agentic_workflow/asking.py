"""Asking the student: one prompt in, one message out, and a way to stop in the middle.

Calls made for the graph's own use (a judge) are tagged `nostream`, so that LangGraph keeps their
tokens out of what the user sees.
"""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.constants import TAG_NOSTREAM

from ..prompts import read_verdict

if TYPE_CHECKING:
    from ..inference.chat_model import ChatStudent

STOP_KEY = "stillroom_stop"
"""Key in `config["configurable"]` that holds the event which ends a generation early."""


def ask(model: BaseChatModel, prompt: str, *, quiet: bool = False) -> AIMessage:
    """Put a prompt to the model and collect its answer as it streams.

    Args:
        model: A chat model; its tokens reach the graph's stream as they come.
        prompt: The rendered prompt, sent as one human message.
        quiet: Keep the tokens out of the stream.

    Returns:
        The answer without surrounding blanks, under the id its tokens had. What was there when the
        run was stopped, if it was.

    Raises:
        Exception: Whatever the model raises.
    """
    config = RunnableConfig(tags=[TAG_NOSTREAM]) if quiet else RunnableConfig()
    stop = stop_event()
    parts: list[str] = []
    message_id: str | None = None
    stream = model.stream([HumanMessage(prompt)], config)
    for chunk in stream:
        parts.append(str(chunk.text))
        message_id = chunk.id or message_id
        if stop is not None and stop.is_set():
            close = getattr(stream, "close", None)  # lets the engine free its slot
            if close is not None:
                close()
            break
    return AIMessage("".join(parts).strip(), id=message_id)


def ask_yes_no(model: BaseChatModel, prompt: str) -> tuple[bool | None, str]:
    """Ask for a yes or no, out of the user's sight.

    Args:
        model: A chat model.
        prompt: A rendered `s2-validate` prompt.

    Returns:
        The verdict, None where the model gave none, and the model's words. A student that says
        something else is asked which of the two it thinks likelier.
    """
    words = str(ask(model, prompt, quiet=True).text)
    verdict = read_verdict(words)
    if verdict is not None:
        return verdict, words
    if getattr(model, "checkpoint", None) is None:  # it is served elsewhere, or no student
        return None, words
    yes, no = cast("ChatStudent", model).score_choices(prompt, ["yes", "no"])
    return yes > no, words


def with_history(context: str, messages: list[BaseMessage], turns: int = 10) -> str:
    """Put the conversation so far before the context, one line per message.

    Args:
        context: Text the answer is to be found in; may be empty.
        messages: All messages, the newest question last; that one is left out.
        turns: How many messages are kept, counted from the end.

    Returns:
        A new text; nothing is changed in place.
    """
    names = {"human": "User", "ai": "Assistant"}
    said = [m for m in messages[:-1] if m.type in names and str(m.text).strip()][-turns:]
    lines = [f"{names[message.type]}: {str(message.text).strip()}" for message in said]
    return "\n\n".join(part for part in ("\n".join(lines), context) if part.strip())


def stop_event() -> Event | None:
    """Give the event that ends this run early; None outside a run or where none was set."""
    try:
        config: Any = get_config()
    except RuntimeError:  # called outside a graph
        return None
    event = (config.get("configurable") or {}).get(STOP_KEY)
    return event if isinstance(event, Event) else None
