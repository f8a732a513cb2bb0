"""Inputs and outcome of a labelling run: tasks, settings, results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import require_settings
from ..teachers.protocol import Prompt, TeacherAnswer
from .progress import LabelNumbers

FaultKind = Literal[
    "timeout",  # no whole answer in time
    "connection",  # reset, refused, or broken off half way
    "rate_limit",  # 429
    "auth_error",  # 401, 403, or no key: ends the run
    "llm_api_error",  # 5xx, or an error in place of an answer
    "bad_request",  # other 4xx: the same request would fail again
    "json_parse_error",  # a body that is no answer
    "empty_response",
    "truncated",  # the answer reached max_tokens
    "rejected",  # the check refused the answer
    "in_doubt",  # sent before the process died, and not to be asked again (see LabelSettings)
    "unknown",  # an error in the client itself; the message names its type and place
]
Stopped = Literal["budget", "error_rate", "auth_error", "rate_limit", "same_fault"]
InDoubt = Literal["ask", "dead_letter"]


@dataclass(frozen=True)
class LabelTask:
    """One record to label."""

    id: str
    """Unique within a run."""
    prompt: Prompt
    """What the teacher is asked."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """The original record as JSON values; passed to the check and written to the dead letters."""
    sample: int = 0
    """Number of the sample if a prompt is asked several times; it is added to the seed and is part
    of the key. Tasks with equal prompt and sample are asked once and share the answer."""


Check = Callable[[LabelTask, TeacherAnswer], str | None]
"""Judges an answer: None accepts it, a text is the reason for rejecting it. Only accepted answers
become labels."""


@dataclass(frozen=True)
class Prices:
    """Prices of a teacher, both in the same currency."""

    prompt: float = 0.0
    """Price of a million tokens of prompts, 0 or more."""
    completion: float = 0.0
    """Price of a million tokens of answers, 0 or more."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of a call."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class LabelSettings:
    """Limits, retries and budget of a run; the defaults suit a server with many slots."""

    concurrency: int = 16
    """Number of simultaneous calls, 1 or more."""
    max_attempts: int = 6
    """Calls per record, answered or failed, before it becomes a dead letter; 1 or more."""
    max_rejections: int = 2
    """How many of these calls may give a complete answer that is empty, truncated or rejected by
    the check, 1 or more. Each is paid for, and a teacher that does not sample repeats itself."""
    backoff_s: float = 1.0
    """Seconds before the second attempt, doubled each time up to 30, half of it random; a
    server's Retry-After takes precedence. 0 or more."""
    requests_per_minute: float | None = None
    """Most calls sent in any minute; None sets no limit."""
    tokens_per_minute: float | None = None
    """Most tokens of prompts and answers in any minute; None sets no limit."""
    tokens_at_once: float | None = None
    """Most tokens of prompts and answers of all calls under way, which is what the memory of a
    server of one's own holds; further calls wait. None sets no limit."""
    requests_per_day: int | None = None
    """Most calls sent in any 24 hours by all runs in this folder; the run then waits, and says
    until when. None sets no limit."""
    prices: Prices | None = None
    """Prices of the teacher; required for a budget and for reporting costs."""
    budget: float | None = None
    """Most that all runs in this folder together may cost, in the currency of `prices`. A call is
    not sent if it could exceed the budget."""
    max_error_rate: float | None = 0.5
    """Stops the run when more than this share of the newest 50 finished records (at least 20)
    failed for good; 0 to 1, None never stops."""
    in_doubt: InDoubt = "ask"
    """What to do with a call that was in flight when the process died. `ask` sends it again with
    its idempotency key: a server that honours the key charges once, others may charge twice, for at
    most `concurrency` calls per crash. `dead_letter` does not send it again, so that no server
    charges twice; the record becomes a dead letter."""
    retry_failed: bool = False
    """Whether to ask again for the dead letters of earlier runs."""
    keep_thoughts: bool = False
    """Whether to keep the model's reasoning in the label, between `<think>` and `</think>`. The
    folder stores it in any case, so it can be added later without a call."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        rate = self.max_error_rate
        limits = (self.requests_per_minute, self.tokens_per_minute, self.tokens_at_once)
        checks = (
            ("concurrency", self.concurrency >= 1, "1 or more"),
            ("max_attempts", self.max_attempts >= 1, "1 or more"),
            ("max_rejections", self.max_rejections >= 1, "1 or more"),
            ("backoff_s", self.backoff_s >= 0, "0 or more"),
            ("requests_per_minute", limits[0] is None or limits[0] > 0, "above 0, or None"),
            ("tokens_per_minute", limits[1] is None or limits[1] > 0, "above 0, or None"),
            ("tokens_at_once", limits[2] is None or limits[2] > 0, "above 0, or None"),
            ("requests_per_day", self.requests_per_day is None or self.requests_per_day >= 1,
             "1 or more, or None"),
            ("budget", self.budget is None or self.budget >= 0, "0 or more, or None"),
            ("max_error_rate", rate is None or 0 <= rate <= 1, "0 to 1, or None"),
            ("in_doubt", self.in_doubt in ("ask", "dead_letter"), "'ask' or 'dead_letter'"),
        )  # fmt: skip
        unpriced = self.budget is not None and self.prices is None
        more = ["a budget needs prices; give what a million tokens cost"] if unpriced else []
        require_settings(self, checks, more)


@dataclass(frozen=True)
class LabelFault:
    """Why a record has no label."""

    kind: FaultKind
    message: str
    """Message of the last failure; contains no API key."""
    attempts: int
    """Number of calls that were answered or failed."""


@dataclass(frozen=True)
class Labelled:
    """Outcome of one task: an answer, a fault, or neither if the run stopped before it."""

    task: LabelTask
    answer: TeacherAnswer | None = None
    """The label; the check accepted it."""
    fault: LabelFault | None = None
    """Why there is no label."""
    cached: bool = False
    """Whether the answer cost no call: it is from an earlier run, or another task asked for it."""
    attempts: int = 0
    """Calls that gave the answer or the fault, all runs together; 0 where none was made."""
    key: str = ""
    """Cache key: hash of prompt, model, revision and decode profile, 64 hex digits."""


@dataclass(frozen=True)
class LabelRun:
    """Outcome of a labelling run."""

    results: list[Labelled]
    """One per task, in the order of the tasks."""
    numbers: LabelNumbers
    stopped: Stopped | None = None
    """Why the run ended before all tasks were done; None if all are done. The same call continues
    from there, for example with a larger budget or a valid API key."""
    message: str = ""
    """The reason in words."""

    @property
    def labelled(self) -> list[Labelled]:
        """Tasks that have a label."""
        return [one for one in self.results if one.answer is not None]

    @property
    def failed(self) -> list[Labelled]:
        """Tasks that are dead letters."""
        return [one for one in self.results if one.fault is not None]

    @property
    def reasons(self) -> Counter[str]:
        """Reasons of the dead letters, as kind of fault or message of the check -> count."""
        faults = [one.fault for one in self.failed if one.fault is not None]
        return Counter(f.message if f.kind == "rejected" else f.kind for f in faults)
