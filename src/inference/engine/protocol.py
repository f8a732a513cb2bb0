"""The `Engine` protocol, its requests and its events.

    stream = engine.submit(GenerationRequest(prompt_ids=(5, 6, 7), max_tokens=20))
    for event in stream:               # or: async for event in stream
        print(event.token_id, event.logprob)
    print(stream.finish_reason, stream.usage)

An engine serves many requests at once. Implementations: `transformers_engine` (any causal model in
this process), `onnx_export.engine` and `remote.engine` (OpenAI-compatible servers). This module
does not load torch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from ...errors import require_settings

if TYPE_CHECKING:
    from torch import Tensor

    from ..tool_calls.reassemble import SentCall

FinishReason = Literal["stop", "length"]
"""`stop`: an end token, a stop text or a finished constraint; `length`: max_tokens or context."""
PromptForm = Literal["ids", "text", "messages"]


class LogitsConstraint(Protocol):
    """Which tokens may come next, for answers that must follow a grammar (`constrained.grammar`).

    One object serves one request. The engine alternates `mask` and `accept`, from one thread at a
    time.
    """

    def mask(self, generated: Sequence[int]) -> Tensor:
        """Return which tokens may come next.

        Args:
            generated: Ids of the answer so far; all were passed to `accept`.

        Returns:
            (V,) bool on the CPU, true where allowed; at least one is. V may be shorter than the
            logits: what is beyond is not allowed. An end token is allowed where the answer may
            end. The engine reads it before the next call and never writes to it.
        """
        ...

    def accept(self, token_id: int) -> bool:
        """Take the chosen token; return whether the answer is complete and must end now."""
        ...


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt and how to continue it. `Engine.takes` tells which prompt field is read."""

    prompt_ids: Sequence[int] = ()
    """Token ids, for engines that take `ids`."""
    prompt: str = ""
    """Rendered prompt, for engines that take `text`."""
    messages: Sequence[Mapping[str, Any]] = ()
    """Turns with `role` and `content`, for engines that take `messages`."""
    max_tokens: int = 128
    """Most tokens of the answer, 1 or more; the model's context may end it earlier."""
    temperature: float = 0.0
    """0 takes the likeliest token; above 0, up to 100, samples."""
    top_p: float = 1.0
    """Sample only from the likeliest tokens that together have this probability, above 0 to 1."""
    top_k: int | None = None
    """Sample only from this many likeliest tokens; None is all."""
    seed: int = 0
    """Together with the prompt it determines the sample, whatever other requests run."""
    stop: Sequence[str] = ()
    """Texts that end the answer. Engines that return ids ignore them; `detokenize.TextStream` then
    finds them."""
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end the answer, besides the model's own end tokens."""
    ignore_end: bool = False
    """Go on after the model's end tokens; for measurements."""
    top_logprobs: int = 0
    """How many likeliest tokens each event names, 0 to 20."""
    deadline: float | None = None
    """Value of `time.monotonic()` after which the request fails with `DeadlineError`."""
    caller: str = ""
    """Name of the caller. Callers are served in turn, so that none is delayed by another's many."""
    constraint: LogitsConstraint | None = None
    """Grammar of the answer."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a remote engine's request body, such as `response_format` and `tools`."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        checks = (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature <= 100, "0 to 100"),
            ("top_p", 0 < self.top_p <= 1, "above 0 to 1"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more, or None"),
            ("top_logprobs", 0 <= self.top_logprobs <= 20, "0 to 20"),
        )
        require_settings(self, checks)


class Alternative(NamedTuple):
    """A token that might have been chosen."""

    token_id: int | None
    """None from engines that return text only."""
    logprob: float
    text: str | None = None


class TokenEvent(NamedTuple):
    """One token of an answer."""

    token_id: int | None
    """None from engines that return text only."""
    logprob: float | None
    """Natural logarithm of its probability under the model, before temperature, top_p and
    constraint; None if a server does not send it."""
    text: str | None = None
    """None from engines that return ids, which the tokenizer decodes."""
    alternatives: tuple[Alternative, ...] = ()
    """The likeliest tokens, best first, as many as `top_logprobs` asked for."""
    finish_reason: FinishReason | None = None
    """Set on the last token of the answer."""
    calls: tuple[SentCall, ...] = ()
    """Tool calls that a server sent in a separate field; on the last token."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int


class TokenStream(Protocol):
    """The tokens of one request as they come: iterate it once, with `for` or `async for`.

    Iterating raises the error that ended the request early: `DeadlineError`, `EngineFailedError`,
    `EngineClosedError`, or `GenerationError` if it was cancelled.
    """

    @property
    def request_id(self) -> str:
        """Name of the request."""
        ...

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended; None before."""
        ...

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        ...

    def __iter__(self) -> Iterator[TokenEvent]:
        """Iterate over tokens; blocks the calling thread while there is none."""
        ...

    def __aiter__(self) -> AsyncIterator[TokenEvent]:
        """Iterate over tokens without blocking the event loop."""
        ...

    def collect(self) -> list[TokenEvent]:
        """Wait for all tokens; cheaper than one by one."""
        ...

    async def acollect(self) -> list[TokenEvent]:
        """Await all tokens; cheaper than one by one."""
        ...

    def cancel(self) -> None:
        """End the request: `Engine.cancel` for this one."""
        ...


@dataclass(frozen=True)
class EngineStats:
    """Current load and totals of an engine."""

    waiting: int = 0
    """Requests without a slot."""
    running: int = 0
    """Requests with a slot."""
    slots: int = 0
    """Most requests that run at once."""
    cached_tokens: int = 0
    """Tokens in the key-value cache."""
    steps: int = 0
    """Forward passes so far."""
    tokens: int = 0
    """Tokens generated so far."""
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    restarts: int = 0
    """Failures after which the engine continued."""


@runtime_checkable
class Engine(Protocol):
    """Serves generation requests. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """Name of the model behind it."""
        ...

    @property
    def takes(self) -> PromptForm:
        """Which prompt field of a request it reads."""
        ...

    def submit(self, request: GenerationRequest) -> TokenStream:
        """Accept a request and return at once.

        Raises:
            EngineBusyError: The queue is full.
            EngineClosedError: The engine was closed.
            GenerationError: The prompt is empty or does not fit into the model's context.
            ConfigError: The engine cannot do what is asked for.
        """
        ...

    def cancel(self, request_id: str) -> None:
        """End a waiting or running request; unknown and finished ones are ignored.

        Its slot is free after at most two decode steps.
        """
        ...

    def score_choices(
        self,
        prompt_ids: Sequence[int],
        choices: Sequence[Sequence[int]],
        *,
        caller: str = "",
        deadline: float | None = None,
    ) -> Future[list[float]]:
        """Compute the log-likelihood of each choice as continuation of the prompt.

        Args:
            prompt_ids: Token ids, at least one.
            choices: Token ids of each continuation, at least one each.
            caller: As in `GenerationRequest`.
            deadline: As in `GenerationRequest`.

        Returns:
            A future of sums of natural log-probabilities, in the order of `choices`. It raises
            what `submit` and its stream raise.
        """
        ...

    def stats(self) -> EngineStats:
        """Return the current load and totals."""
        ...

    def ready(self) -> bool:
        """Return whether a request submitted now would be served."""
        ...

    def close(self) -> None:
        """Stop; unfinished requests fail with `EngineClosedError`. May be called twice."""
        ...
