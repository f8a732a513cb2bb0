"""Who gives labels: the `Teacher` protocol, its values, and `open_teacher`, which finds one.

    teacher = open_teacher("http://127.0.0.1:8000/v1", model="Qwen/Qwen2.5-7B-Instruct")
    teacher = open_teacher("openrouter", model="qwen/qwen3-32b")       # OPENROUTER_API_KEY
    teacher = open_teacher("outputs/elements/teacher", bits=4)         # a folder, or a hub name
    teacher = open_teacher(ScriptedModel(["Au"]))                      # any LangChain chat model

A teacher answers one prompt at a time and does not ask again: `labeler.BatchLabeler` decides about
retries, limits and money. Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ...errors import ConfigError
from ...inference.engine.protocol import FinishReason

if TYPE_CHECKING:
    pass

_MOST_TOKENS = 10**9
"""Of one call."""
Turn = Mapping[str, str]
"""A chat turn: `role` (`system`, `user` or `assistant`) and `content`."""
Prompt = str | Sequence[Turn]
"""A rendered prompt or chat turns.

A local teacher continues a rendered prompt as it stands, and puts turns into its chat template. A
server's chat endpoint and a LangChain model get a rendered prompt as one user turn.
"""


@dataclass(frozen=True)
class DecodeProfile:
    """How an answer is decoded. It is part of the cache key: another profile is another label."""

    max_tokens: int = 512
    """Most tokens of the answer, 1 or more."""
    temperature: float = 0.0
    """0 takes the likeliest token; above 0, to 100, samples."""
    top_p: float = 1.0
    """Sample only from the likeliest tokens that together have this probability, above 0 to 1."""
    seed: int = 0
    """Of the samples; servers may ignore it."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a server's request body, such as `response_format`; JSON values. Teachers
    that are no servers refuse them."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        checks = (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature <= 100, "0 to 100"),
            ("top_p", 0 < self.top_p <= 1, "above 0 to 1"),
        )
        faults = [
            f"{name} is {getattr(self, name)!r}; allowed is {allowed}"
            for name, fine, allowed in checks
            if not fine
        ]
        if faults:
            raise ConfigError(faults)

    def to_dict(self) -> dict[str, Any]:
        """Give the profile as plain JSON values."""
        return {**asdict(self), "stop": list(self.stop), "extra": dict(self.extra)}


@dataclass(frozen=True)
class TeacherAnswer:
    """What a teacher said."""

    text: str
    """The answer alone, without white space at its ends."""
    finish_reason: FinishReason = "stop"
    """`length` where `max_tokens` or the model's context cut it off."""
    prompt_tokens: int = 0
    """Tokens of the prompt, as the teacher counts; an estimate where it does not tell."""
    completion_tokens: int = 0
    """Tokens of the answer, hidden reasoning included; an estimate where it does not tell."""
    model: str = ""
    """The model that answered, as it names itself; may be more exact than the name asked for."""
    thoughts: str = ""
    """What the model thought before it answered, where the teacher tells that apart."""


@runtime_checkable
class Teacher(Protocol):
    """Answers prompts. `ask` is called many times at once, from one event loop at a time."""

    @property
    def name(self) -> str:
        """Name of the model; part of the cache key and of every label, and free of keys."""
        ...

    @property
    def revision(self) -> str | None:
        """What tells two states of one model apart, such as its precision; None if unknown."""
        ...

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Answer a prompt, once.

        Args:
            prompt: Text, or at least one turn.
            profile: How to decode.
            call_id: The same for each attempt whose predecessor may have been answered without our
                seeing it. Servers get it as `Idempotency-Key`, and may then give the answer again
                instead of making, and charging for, another.

        Raises:
            RemoteError: A server refused, failed or was not reached; has `status` if it spoke.
            DeadlineError: No answer came in time.
            GenerationError: The model could not answer.
            ConfigError: The teacher cannot do what the profile says, or has no key.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and threads; the next `ask` opens them again."""
        ...


def prompt_turns(prompt: Prompt) -> list[dict[str, str]]:
    """Write a prompt as chat turns; a text is one user turn.

    >>> prompt_turns("Which?")
    [{'role': 'user', 'content': 'Which?'}]
    """
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": turn["role"], "content": turn["content"]} for turn in prompt]


def prompt_text(prompt: Prompt) -> str:
    """Give all that a prompt says as one text."""
    return prompt if isinstance(prompt, str) else "\n\n".join(turn["content"] for turn in prompt)


def prompt_bytes(prompt: Prompt) -> int:
    """Count the bytes of a prompt: no byte-level tokenizer makes more tokens of it."""
    texts = [prompt] if isinstance(prompt, str) else [turn["content"] for turn in prompt]
    return sum(len(text.encode()) for text in texts)


def count_tokens(told: object, most: int) -> int:
    """Give the tokens that a teacher counts; the most that they can be where that is no count."""
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST_TOKENS:
        return told
    return most
