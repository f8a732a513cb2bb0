"""What goes into a labelling and what comes out: tasks, settings, results and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...errors import ConfigError
from ..teachers.protocol import Prompt, TeacherAnswer, prompt_text
from ..teachers.thoughts import ends_thought, split_thoughts

FaultKind = Literal[
    "timeout",  # no whole answer in time
    "connection",  # reset, refused, or broken off half way
    "rate_limit",  # 429
    "auth_error",  # 401, 403, or no key: ends the run
    "llm_api_error",  # 5xx, or an error in place of an answer
    "bad_request",  # other 4xx: the request will never do
    "json_parse_error",  # a body that is no answer
    "empty_response",
    "truncated",  # max_tokens ended the answer
    "rejected",  # the check said no
    "in_doubt",  # sent before the process died, and not to be asked again (see Settings.in_doubt)
    "unknown",  # an error of the client's own: its type and place are told
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
    """The original, JSON values; goes into the dead-letter file, and to the check."""
    sample: int = 0
    """Number of the sample where one prompt is asked several times; shifts the seed, and is part of
    the key. Tasks of equal prompt and sample are asked once and share the answer."""


Check = Callable[[LabelTask, TeacherAnswer], str | None]
"""Judges an answer: None where it is good, else the reason why not. Only good ones are cached."""


@dataclass(frozen=True)
class Prices:
    """What a teacher costs, in one currency per million tokens."""

    prompt: float = 0.0
    """Per million tokens of prompts, 0 or more."""
    completion: float = 0.0
    """Per million tokens of answers, 0 or more."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Give the price of a call."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class LabelSettings:
    """How records are labelled; all defaults suit a server with many slots."""

    concurrency: int = 16
    """Calls at once, 1 or more."""
    max_attempts: int = 6
    """Answered or failed calls per record, 1 or more, before it goes to the dead letters."""
    max_rejections: int = 2
    """Of these, complete answers that may be empty, cut off or rejected by the check: each is paid
    for, and a teacher that does not sample says the same again. 1 or more."""
    backoff_s: float = 1.0
    """Seconds before the second attempt, doubled each time to 30 at most, half of it random; a
    server's Retry-After goes first. 0 or more."""
    requests_per_minute: float | None = None
    """Most calls sent in any minute; None is no limit."""
    tokens_per_minute: float | None = None
    """Most tokens, prompts and answers, in any minute; None is no limit."""
    prices: Prices | None = None
    """Needed for a budget and for costs."""
    budget: float | None = None
    """Most that this folder may ever cost, in the currency of `prices`; runs that went before
    count. A call is not sent if it could exceed it."""
    max_error_rate: float | None = 0.5
    """Ends the run where more than this share of the newest 50 finished records failed for good (20
    at least); 0 to 1, None never."""
    in_doubt: InDoubt = "ask"
    """What becomes of a call that was under way when the process died. `ask`: it is sent again
    with its idempotency key, so that a server that honours it charges once; others may charge
    twice, for at most `concurrency` calls per death. `dead_letter`: it is not sent again and the
    record goes to the dead letters, so that no death makes any server charge twice."""
    retry_failed: bool = False
    """Ask again for records that an earlier run gave up."""
    keep_thoughts: bool = False
    """Labels hold what the model thought before it answered, between `<think>` and `</think>`; else
    that is left off. The folder keeps it either way, so that it can be had later without a call."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        rate, limits = self.max_error_rate, (self.requests_per_minute, self.tokens_per_minute)
        checks = (
            ("concurrency", self.concurrency >= 1, "1 or more"),
            ("max_attempts", self.max_attempts >= 1, "1 or more"),
            ("max_rejections", self.max_rejections >= 1, "1 or more"),
            ("backoff_s", self.backoff_s >= 0, "0 or more"),
            ("requests_per_minute", limits[0] is None or limits[0] > 0, "above 0, or None"),
            ("tokens_per_minute", limits[1] is None or limits[1] > 0, "above 0, or None"),
            ("budget", self.budget is None or self.budget >= 0, "0 or more, or None"),
            ("max_error_rate", rate is None or 0 <= rate <= 1, "0 to 1, or None"),
            ("in_doubt", self.in_doubt in ("ask", "dead_letter"), "'ask' or 'dead_letter'"),
        )
        faults = [
            f"{name} is {getattr(self, name)!r}; allowed is {allowed}"
            for name, fine, allowed in checks
            if not fine
        ]
        if self.budget is not None and self.prices is None:
            faults.append("a budget needs prices; give what a million tokens cost")
        if faults:
            raise ConfigError(faults)


def label_view(answer: TeacherAnswer, prompt: Prompt, *, keep_thoughts: bool) -> TeacherAnswer:
    """Give an answer as a label holds it, with or without the model's thoughts.

    Returns:
        The answer with its thoughts told apart. Its text is empty where there are thoughts alone;
        those that are kept are a text where they have an end.
    """
    text, inside = split_thoughts(answer.text, prompt_text(prompt))
    thoughts = "\n\n".join(part for part in (answer.thoughts, inside) if part)
    if keep_thoughts and (text or ends_thought(answer.text)):
        told = f"<think>\n{answer.thoughts}\n</think>\n\n" if answer.thoughts else ""
        text = f"{told}{answer.text.strip()}"
    return replace(answer, text=text, thoughts=thoughts)


@dataclass(frozen=True)
class LabelFault:
    """Why a record has no label."""

    kind: FaultKind
    message: str
    """What happened the last time; free of keys."""
    attempts: int
    """Calls that were answered or failed."""


@dataclass(frozen=True)
class Labelled:
    """What became of one task: an answer, a fault, or neither where the run stopped before it."""

    task: LabelTask
    answer: TeacherAnswer | None = None
    """The label; the check found it good."""
    fault: LabelFault | None = None
    """Why there is none."""
    cached: bool = False
    """The answer was there before this run, or another task of the run asked for it."""
    key: str = ""
    """Hash of prompt, model, revision and decode profile, 64 hex digits: the cache key."""


@dataclass(frozen=True)
class LabelNumbers:
    """Counts, tokens and money of a run; money also of the runs before it in the same folder."""

    records: int
    labelled: int
    cached: int
    """Of the labelled and failed, those that cost no call in this run."""
    failed: int
    remaining: int
    """Neither labelled nor failed, because the run was stopped."""
    calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int
    faults: Mapping[str, int]
    """Failed calls by kind, those that a later attempt made good included."""
    cost: float | None
    """Known cost of this run; None without prices."""
    spent: float | None
    """What the folder has cost so far at most: known costs, and for calls whose end is not known
    the most that they can have cost."""
    seconds: float
    repaired: int = 0
    """Answers of this run in which U+FFFD stands in the place of half a surrogate pair."""
    thoughts: int = 0
    """Labels whose model told thoughts before the answer."""

    @property
    def records_per_second(self) -> float:
        """Finished records per second of this run, cached ones left out."""
        return max(0, self.labelled + self.failed - self.cached) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class LabelRun:
    """What a labelling gave."""

    results: list[Labelled]
    """One per task, in the order of the tasks."""
    numbers: LabelNumbers
    stopped: Stopped | None = None
    """Why the run ended before all tasks were done; None where all are. The same call with a larger
    budget, a working key and so on goes on from there."""
    message: str = ""
    """What stopped it, in words."""

    @property
    def labelled(self) -> list[Labelled]:
        """Tasks that have a label."""
        return [one for one in self.results if one.answer is not None]

    @property
    def failed(self) -> list[Labelled]:
        """Tasks that are dead letters."""
        return [one for one in self.results if one.fault is not None]


@dataclass(frozen=True)
class LabelProgress:
    """Where a run stands."""

    done: int
    total: int
    failed: int
    records_per_second: float
    cost: float | None
    """Of this run so far; None without prices."""
    cost_left: float | None
    """Expected for the rest; None without prices or before the first answer."""
    seconds_left: float | None
    """Expected for the rest; None before the first answer."""

    def __str__(self) -> str:
        """Write a line."""
        words = [f"{self.done:,} of {self.total:,}", f"{self.records_per_second:.1f} a second"]
        if self.failed:
            words.insert(1, f"{self.failed:,} failed")
        if self.cost is not None:
            rest = "" if self.cost_left is None else f" + {self.cost_left:.4g} to come"
            words.append(f"cost {self.cost:.4g}{rest}")
        if self.seconds_left is not None:
            words.append(f"{self.seconds_left:.0f} s left")
        return ", ".join(words)
