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

from ...prompts import read_verdict, render
from .context_budget import Room
from .deadlines import is_left_behind, run_context, time_left

if TYPE_CHECKING:
    from ...inference.chat.chat_model import ChatStudent

if TYPE_CHECKING:
    from ...inference.chat.chat_model import ChatStudent

STOP_KEY = "stillroom_stop"
"""Key in `config["configurable"]` that holds the event which ends a generation early."""


SPARE_S = 1.0
"""How much longer than its run a request may live: the run ends by itself, and the request's slot
is freed even where nothing reads it any more."""


def is_student(model: BaseChatModel) -> bool:
    """Tell whether a chat model is ours, and takes temperature, seed and the like in every call."""
    return "caller" in type(model).model_fields


def ask(
    model: BaseChatModel,
    prompt: str,
    *,
    quiet: bool = False,
    **options: Any,  # noqa: ANN401 - of a call of `ChatStudent`
) -> AIMessage:
    """Put a prompt to the model and collect its answer as it streams.

    Args:
        model: A chat model; its tokens reach the graph's stream as they come.
        prompt: The rendered prompt, sent as one human message.
        quiet: Keep the tokens out of the stream.
        options: For a student: `temperature`, `seed`, `top_logprobs` and so on.

    Returns:
        The answer without surrounding blanks, under the id its tokens had, with what the model told
        about it. What was there when the run was stopped, if it was.

    Raises:
        Exception: Whatever the model raises.
    """
    config = RunnableConfig(tags=[TAG_NOSTREAM]) if quiet else RunnableConfig()
    stop = stop_event()
    parts: list[str] = []
    message_id: str | None = None
    told: dict[str, Any] = {}
    stream = model.stream([HumanMessage(prompt)], config, **_run_options(model), **options)
    for chunk in stream:
        parts.append(str(chunk.text))
        message_id = chunk.id or message_id
        told |= chunk.response_metadata
        if is_left_behind() or (stop is not None and stop.is_set()):
            close = getattr(stream, "close", None)  # lets the engine free its slot
            if close is not None:
                close()
            break
    return AIMessage("".join(parts).strip(), id=message_id, response_metadata=told)


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


def with_history(
    context: str,
    messages: list[BaseMessage],
    turns: int = 10,
    *,
    room: Room | None = None,
    question: str = "",
) -> str:
    """Put the conversation so far before the context, one line per message.

    Args:
        context: Text the answer is to be found in; may be empty.
        messages: All messages, the newest question last; that one is left out.
        turns: How many messages are kept, counted from the end.
        room: What the student can read; the oldest messages that do not fit are left out. None
            keeps all turns.
        question: What is asked with it, which takes room as well.

    Returns:
        A new text; nothing is changed in place.
    """
    names = {"human": "User", "ai": "Assistant"}
    said = [m for m in messages[:-1] if m.type in names and str(m.text).strip()][-turns:]
    lines = [f"{names[message.type]}: {str(message.text).strip()}" for message in said]

    def joined() -> str:
        return "\n\n".join(part for part in ("\n".join(lines), context) if part.strip())

    while room is not None and lines and not room.fits(render("s2-qa", question, context=joined())):
        del lines[0]
    return joined()


def _run_options(model: BaseChatModel) -> dict[str, Any]:
    """Give what this run says about every call of a student."""
    if not is_student(model):
        return {}
    options: dict[str, Any] = {}
    left = time_left()
    if left is not None:
        own = getattr(model, "timeout", None)
        options["timeout"] = min(left + SPARE_S, own or left + SPARE_S)
    caller = run_context().caller
    return {**options, "caller": caller} if caller else options


def stop_event() -> Event | None:
    """Give the event that ends this run early; None outside a run or where none was set."""
    try:
        config: Any = get_config()
    except RuntimeError:  # called outside a graph
        return None
    event = (config.get("configurable") or {}).get(STOP_KEY)
    return event if isinstance(event, Event) else None
