"""Any LangChain chat model as a teacher, the scripted one included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ...errors import ConfigError, GenerationError, StillroomError
from ...inference.engine.protocol import FinishReason
from ...inference.remote.content_blocks import read_content
from ...inference.remote.finish_reasons import judge_metadata, refusal_end
from .client_faults import translate_fault
from .protocol import DecodeProfile, Prompt, TeacherAnswer, prompt_bytes, prompt_turns

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
        except StillroomError:
            raise
        except Exception as fault:  # each provider's package has errors of its own
            told = translate_fault(fault)
            if told is None:
                raise  # an accident in the package; who labels tells its type and place
            raise told from fault
        return _read(message, prompt, self.name)

    async def close(self) -> None:
        """Do nothing: the model keeps its own connections."""


def _read(message: BaseMessage, prompt: Prompt, name: str) -> TeacherAnswer:
    told, more = message.response_metadata, message.additional_kwargs
    end = refusal_end(more.get("refusal")) or judge_metadata(told)
    end.raise_fault()
    if getattr(message, "tool_calls", None) or getattr(message, "invalid_tool_calls", None):
        raise GenerationError("the teacher called a tool in place of an answer; a label is a text")
    content = read_content(message.content)
    text = content.text.strip()
    refused = None if text else refusal_end(content.refusal)
    if refused is not None:
        refused.raise_fault()
    finish: FinishReason = "length" if end.verdict == "cut" else "stop"
    usage = getattr(message, "usage_metadata", None) or {}
    said = more.get("reasoning_content") or more.get("reasoning")
    return TeacherAnswer(
        text=text,
        finish_reason=finish,
        prompt_tokens=usage.get("input_tokens") or prompt_bytes(prompt),
        completion_tokens=usage.get("output_tokens") or len(text.encode("utf-8", "replace")),
        model=str(told.get("model_name") or told.get("model") or name),
        thoughts=content.thoughts or (said if isinstance(said, str) else ""),
    )
