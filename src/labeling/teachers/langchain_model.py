"""Use any LangChain chat model as a teacher, including `ScriptedModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...errors import ConfigError, StillroomError
from ...inference.remote.finish_reasons import judge_metadata, refusal_end
from .answer_parts import make_answer
from .client_faults import translate_fault
from .protocol import DecodeProfile, Prompt, TeacherAnswer, prompt_turns

_NAMES = ("model_name", "model", "model_id")


class LangChainTeacher:
    """Implements `protocol.Teacher` with a chat model.

    Set the model's own `max_retries` to 0: `BatchLabeler` retries, and counts the cost.
    """

    def __init__(
        self, model: BaseChatModel, *, options: Sequence[str] = ("max_tokens", "temperature")
    ) -> None:
        """Take a chat model.

        Args:
            model: The model; its own settings apply to fields that `options` omits.
            options: Fields of the decode profile to pass with each call: some of `max_tokens`,
                `temperature`, `top_p` and `seed`, since models differ in what they accept. Stop
                texts are always passed.

        Raises:
            ConfigError: An option has another name.
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
        """Always None: LangChain models do not report a revision."""
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
        try:
            message = await self._model.ainvoke(prompt_turns(prompt), **options)
        except StillroomError:
            raise
        except Exception as fault:  # each provider's package has errors of its own
            told = translate_fault(fault)
            if told is None:
                raise  # an error in the package itself; the labeler reports its type and place
            raise told from fault
        return _read(message, prompt, self.name)

    async def close(self) -> None:
        """Do nothing: the model keeps its own connections."""


def _read(message: BaseMessage, prompt: Prompt, name: str) -> TeacherAnswer:
    told, more = message.response_metadata, message.additional_kwargs
    usage = getattr(message, "usage_metadata", None) or {}
    thoughts = more.get("reasoning_content") or more.get("reasoning")
    return make_answer(
        message.content,
        refusal_end(more.get("refusal")) or judge_metadata(told),
        prompt,
        tool_calls=getattr(message, "tool_calls", None)
        or getattr(message, "invalid_tool_calls", None),
        thoughts=thoughts if isinstance(thoughts, str) else "",
        prompt_tokens=usage.get("input_tokens") or None,
        completion_tokens=usage.get("output_tokens") or None,
        model=str(told.get("model_name") or told.get("model") or name),
    )
