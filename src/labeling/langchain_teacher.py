"""Any LangChain chat model as a teacher, the scripted one included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ..errors import ConfigError, DeadlineError, GenerationError, RemoteError, StillroomError
from ..inference.engine import FinishReason
from ..inference.finish_reasons import judge_metadata, refusal_end
from ..inference.messages import message_refusal, message_text
from .teachers import DecodeProfile, Prompt, TeacherAnswer, prompt_bytes, prompt_turns

_TURNS = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}
_NAMES = ("model_name", "model", "model_id")


class LangChainTeacher:
    """See `teachers.Teacher`.

    Set the model's own `max_retries` to 0: `BatchLabeler` asks again, and counts what that costs.
    """

    def __init__(
        self, model: BaseChatModel, *, options: Sequence[str] = ("max_tokens", "temperature")
    ) -> None:
        """Take a chat model.

        Args:
            model: Its settings hold where no option is named.
            options: Fields of the decode profile that are given to each call: of `max_tokens`,
                `temperature`, `top_p`, `seed`. Models differ in what they take; stop texts are
                always given where there are any.

        Raises:
            ConfigError: There is no such field.
        """
        known = ("max_tokens", "temperature", "top_p", "seed")
        wrong = sorted(set(options) - set(known))
        if wrong:
            raise ConfigError([f"options are {wrong}; allowed are {list(known)}"])
        self._model, self._options = model, tuple(options)

    @property
    def name(self) -> str:
        """The model's name, else the name of its class."""
        found = (getattr(self._model, name, None) for name in _NAMES)
        return next((str(name) for name in found if name), type(self._model).__name__)

    @property
    def revision(self) -> str | None:
        """Unknown."""
        return None

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Ask the model; see `Teacher.ask`."""
        if profile.extra:
            raise ConfigError([f"extra is for servers; bind it to the model: {profile.extra}"])
        options: dict[str, Any] = {name: getattr(profile, name) for name in self._options}
        if profile.stop:
            options["stop"] = list(profile.stop)
        turns = [_TURNS[turn["role"]](turn["content"]) for turn in prompt_turns(prompt)]
        try:
            message = await self._model.ainvoke(turns, **options)
        except (StillroomError, TimeoutError, TypeError):
            raise  # a TypeError is an option that the model does not take
        except Exception as fault:  # each provider's package has errors of its own
            raise _translate(fault) from fault
        return _read(message, prompt, self.name)

    async def close(self) -> None:
        """Do nothing: the model keeps its own connections."""


def _translate(fault: Exception) -> GenerationError:
    """Bring the errors of providers' packages to ours; most tell a status."""
    message = f"{type(fault).__name__}: {fault}"
    response = getattr(fault, "response", None)
    status = getattr(fault, "status_code", None) or getattr(response, "status_code", None)
    headers = getattr(response, "headers", None) or {}
    if "timeout" in type(fault).__name__.lower():
        return DeadlineError(message)
    if isinstance(status, int):
        return RemoteError(message, status=status, retry_after=headers.get("retry-after"))
    return RemoteError(message)


def _read(message: BaseMessage, prompt: Prompt, name: str) -> TeacherAnswer:
    told = message.response_metadata
    end = refusal_end(message_refusal(message)) or judge_metadata(told)
    end.raise_fault()
    if getattr(message, "tool_calls", None) or getattr(message, "invalid_tool_calls", None):
        raise GenerationError("the teacher called a tool in place of an answer; a label is a text")
    text = message_text(message).strip()
    finish: FinishReason = "length" if end.verdict == "cut" else "stop"
    usage = getattr(message, "usage_metadata", None) or {}
    return TeacherAnswer(
        text=text,
        finish_reason=finish,
        prompt_tokens=int(usage.get("input_tokens", prompt_bytes(prompt))),
        completion_tokens=int(usage.get("output_tokens", len(text.encode()))),
        model=str(told.get("model_name") or told.get("model") or name),
    )
