"""Call a model from a node: one prompt in, one message out, stoppable at every token.

Calls whose output is not the answer (a judge's) are tagged `nostream`, so that LangGraph does not
stream their tokens to the user.
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
from .context_budget import ContextBudget
from .deadlines import is_abandoned, run_context, time_left

if TYPE_CHECKING:
    from ...inference.chat.chat_model import ChatStudent

STOP_KEY = "stillroom_stop"
"""Key in `config["configurable"]` of the event that ends a generation early."""
SPARE_S = 1.0
"""Seconds by which a request's timeout exceeds its run's deadline. The run ends by itself; the
timeout frees the engine's slot even if nobody reads the request any more."""


def is_student(model: BaseChatModel) -> bool:
    """Tell whether a chat model is a student, which takes temperature and seed with every call."""
    return "caller" in type(model).model_fields


def ask(
    model: BaseChatModel,
    prompt: str,
    *,
    quiet: bool = False,
    **options: Any,  # noqa: ANN401 - of a call of `ChatStudent`
) -> AIMessage:
    """Send a prompt to the model and collect its answer as it streams.

    Args:
        model: A chat model; its tokens reach the graph's stream at once.
        prompt: The rendered prompt, sent as one human message.
        quiet: Do not stream the tokens.
        options: For a student: `temperature`, `seed`, `top_logprobs` and so on.

    Returns:
        The stripped answer with the id of its tokens and the model's `response_metadata`; a part of
        the answer if the run was stopped.

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
        if is_abandoned() or (stop is not None and stop.is_set()):
            close = getattr(stream, "close", None)  # frees the engine's slot
            if close is not None:
                close()
            break
    return AIMessage("".join(parts).strip(), id=message_id, response_metadata=told)


def ask_yes_no(model: BaseChatModel, prompt: str) -> tuple[bool | None, str]:
    """Ask for yes or no; the answer is not streamed.

    Returns:
        The verdict and the model's words. Of a local student that says neither, the likelier of the
        two; of any other model None.
    """
    words = str(ask(model, prompt, quiet=True).text)
    verdict = read_verdict(words)
    if verdict is not None:
        return verdict, words
    if getattr(model, "checkpoint", None) is None:  # on another server, or no student
        return None, words
    yes, no = cast("ChatStudent", model).score_choices(prompt, ["yes", "no"])
    return yes > no, words


def with_history(
    context: str,
    messages: list[BaseMessage],
    turns: int = 10,
    *,
    budget: ContextBudget | None = None,
    question: str = "",
) -> str:
    """Put the conversation so far before the context, one line per message.

    Args:
        context: Text the answer is to be found in; may be empty.
        messages: All messages, the newest question last; that one is left out.
        turns: Most messages, counted from the end.
        budget: The student's context; the oldest messages that do not fit are left out. None keeps
            all.
        question: The question, which must fit as well.
    """
    names = {"human": "User", "ai": "Assistant"}
    said = [m for m in messages[:-1] if m.type in names and str(m.text).strip()][-turns:]
    lines = [f"{names[message.type]}: {str(message.text).strip()}" for message in said]

    def joined() -> str:
        return "\n\n".join(part for part in ("\n".join(lines), context) if part.strip())

    while lines and budget and not budget.fits(render("s2-qa", question, context=joined())):
        del lines[0]
    return joined()


def _run_options(model: BaseChatModel) -> dict[str, Any]:
    """Give the options that this run sets for every call of a student."""
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
    """Give the event that ends this run early; None if there is none."""
    try:
        config: Any = get_config()
    except RuntimeError:  # called outside a graph
        return None
    event = (config.get("configurable") or {}).get(STOP_KEY)
    return event if isinstance(event, Event) else None
