"""The `Teacher` protocol with its prompts, decode profile and answers.

A teacher answers one prompt per call and never retries: `labeler.BatchLabeler` decides about
retries, limits and money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from ...errors import require_settings
from ...inference.engine.protocol import FinishReason
from ...prompts import Prompt as Prompt

_MOST_TOKENS = 10**9
"""Most tokens of a call; a larger count is not believed."""


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
    """Seed of the samples; servers may ignore it."""
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
        require_settings(self, checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain JSON values."""
        return {**asdict(self), "stop": list(self.stop), "extra": dict(self.extra)}


@dataclass(frozen=True)
class TeacherAnswer:
    """A teacher's answer to one prompt."""

    text: str
    """The answer, without white space at its ends."""
    finish_reason: FinishReason = "stop"
    """`length` if `max_tokens` or the model's context cut the answer off."""
    prompt_tokens: int = 0
    """Tokens of the prompt as counted by the teacher, else an estimate."""
    completion_tokens: int = 0
    """Tokens of the answer and of hidden reasoning, as counted by the teacher, else an estimate."""
    model: str = ""
    """Name of the model as the server reports it; may be more exact than the requested name."""
    thoughts: str = ""
    """The model's reasoning before the answer, if the teacher returns it separately."""


@runtime_checkable
class Teacher(Protocol):
    """Answers prompts. Many calls of `ask` may run at once, all of them in one event loop."""

    @property
    def name(self) -> str:
        """Name of the model; part of the cache key and of every label; holds no API key."""
        ...

    @property
    def revision(self) -> str | None:
        """Distinguishes versions of one model, such as its precision; None if unknown."""
        ...

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Answer a prompt, without retrying.

        Args:
            prompt: A text, or at least one turn.
            profile: How to decode.
            call_id: Id of the call. A retry has the same id if the earlier attempt may have been
                answered. Servers get it as `Idempotency-Key`, and may repeat the answer instead of
                generating, and charging for, another one.

        Raises:
            RemoteError: The server refused, failed or could not be reached; has `status` if it
                answered.
            DeadlineError: No answer came in time.
            GenerationError: The model could not answer.
            ConfigError: The teacher does not support the profile, or has no API key.
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
    """Count the bytes of a prompt: an upper bound of its tokens with a byte-level tokenizer."""
    return sum(len(turn["content"].encode()) for turn in prompt_turns(prompt))


def count_tokens(told: object, most: int) -> int:
    """Return a teacher's count of tokens if it is plausible, else the upper bound `most`."""
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST_TOKENS:
        return told
    return most
