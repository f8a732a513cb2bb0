"""What waits for an engine's thread: requests for answers and for scores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from .engine import GenerationRequest
from .sampling import make_draws
from .token_stream import AnswerStream, wake


@dataclass(eq=False)
class Answering:
    """A request for an answer, on its way through an engine."""

    request: GenerationRequest
    stream: AnswerStream
    limit: int
    """Most tokens: what was asked for, or what the context leaves."""
    end_ids: frozenset[int]
    generated: list[int] = field(default_factory=list)
    draws: list[float] | None = None
    """Random numbers, one per token; None where the likeliest token is taken."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens to be read before the first one is made."""
        return len(self.request.prompt_ids)

    @property
    def caller(self) -> str:
        """Who asks."""
        return self.request.caller

    @property
    def deadline(self) -> float | None:
        """`time.monotonic()` at which it fails."""
        return self.request.deadline

    @property
    def is_plain(self) -> bool:
        """Say whether the likeliest token is all that is wanted."""
        asked = self.request
        return self.draws is None and asked.constraint is None and asked.top_logprobs == 0

    def prepare(self) -> None:
        """Draw the random numbers; in the engine's thread, because it takes a while."""
        asked = self.request
        if asked.temperature > 0:
            self.draws = make_draws(asked.seed, asked.prompt_ids, self.limit).tolist()

    def fail(self, fault: Exception) -> None:
        """End it with an error."""
        self.stream.fail(fault)
        wake([self.stream])


@dataclass(eq=False)
class Scoring:
    """A request for the scores of choices."""

    prompt_ids: Sequence[int]
    choices: Sequence[Sequence[int]]
    caller: str
    deadline: float | None
    future: Future[list[float]] = field(default_factory=Future)

    @property
    def prompt_tokens(self) -> int:
        """Tokens to be read."""
        return len(self.prompt_ids) + sum(len(choice) for choice in self.choices)

    def finish(self, scores: list[float]) -> None:
        """Give the scores to who waits."""
        with suppress(InvalidStateError):  # the engine was closed meanwhile
            self.future.set_result(scores)

    def fail(self, fault: Exception) -> None:
        """End it with an error."""
        with suppress(InvalidStateError):
            self.future.set_exception(fault)


Job = Answering | Scoring
