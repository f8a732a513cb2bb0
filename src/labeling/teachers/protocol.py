"""The `Teacher` protocol with its prompts, decode profile and answers.

A teacher answers one prompt per call and never retries: `labeler.BatchLabeler` decides about
retries, limits and money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from ...errors import ConfigError
from ...inference.engine.protocol import FinishReason
from ...prompts import Prompt as Prompt

_MOST_TOKENS = 10**9
"""Of one call."""


@dataclass(frozen=True)
class DecodeProfile:
    """How an answer is decoded; part of the cache key."""

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
    """Further fields of a server's request body, such as `response_format`; JSON values. Other
    teachers refuse them."""

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
        """Return the profile as plain JSON values."""
        return {**asdict(self), "stop": list(self.stop), "extra": dict(self.extra)}


@dataclass(frozen=True)
class TeacherAnswer:
    """Answer of a teacher to one prompt."""

    text: str
    """The answer alone, without white space at its ends."""
    finish_reason: FinishReason = "stop"
    """`length` where `max_tokens` or the model's context cut it off."""
    prompt_tokens: int = 0
    """Tokens of the prompt as the teacher counts, else an estimate."""
    completion_tokens: int = 0
    """Tokens of the answer, hidden reasoning included, as the teacher counts, else an estimate."""
    model: str = ""
    """The model that answered, as the server names it; may be more exact than the name asked."""
    thoughts: str = ""
    """The model's reasoning before the answer, where the teacher separates the two."""


@runtime_checkable
class Teacher(Protocol):
    """Answers prompts. Many calls of `ask` run at once, in one event loop at a time."""

    @property
    def name(self) -> str:
        """Name of the model; part of the cache key and of every label; holds no API key."""
        ...

    @property
    def revision(self) -> str | None:
        """Distinguishes states of one model, such as its precision; None if unknown."""
        ...

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Answer a prompt, without retrying.

        Args:
            prompt: Text, or at least one turn.
            profile: How to decode.
            call_id: Unchanged on a retry whose predecessor may have been answered unseen. Servers
                get it as `Idempotency-Key`, and may repeat the answer instead of making, and
                charging for, another.

        Raises:
            RemoteError: A server refused, failed or was not reached; has `status` if it answered.
            DeadlineError: No answer came in time.
            GenerationError: The model could not answer.
            ConfigError: The teacher cannot do what the profile says, or has no key.
        """
        ...

    async def close(self) -> None:
        """Close connections and threads; the next `ask` opens them again."""
        ...


def prompt_turns(prompt: Prompt) -> list[dict[str, str]]:
    """Return a prompt as chat turns; a text is one user turn.

    >>> prompt_turns("Which?")
    [{'role': 'user', 'content': 'Which?'}]
    """
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": turn["role"], "content": turn["content"]} for turn in prompt]


def prompt_text(prompt: Prompt) -> str:
    """Return a prompt as one text."""
    return prompt if isinstance(prompt, str) else "\n\n".join(turn["content"] for turn in prompt)


def prompt_bytes(prompt: Prompt) -> int:
    """Count the bytes of a prompt, the maximum of its tokens under a byte-level tokenizer."""
    return sum(len(turn["content"].encode()) for turn in prompt_turns(prompt))


def count_tokens(told: object, most: int) -> int:
    """Return a teacher's count of tokens where it is one, else the maximum."""
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST_TOKENS:
        return told
    return most
