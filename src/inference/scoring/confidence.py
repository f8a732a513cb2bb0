"""Confidence: the probability that an answer is right, from the log-probabilities of its tokens.

    model = ChatStudent(model=folder, top_logprobs=2)
    message = model.invoke("Question: What is the symbol of gold?\\n\\nAnswer:")
    ConfidenceMap.read(folder).probability(message)      # 0.98

A token's probability is not the probability that the answer is right. `evaluation.calibration` fits
a map between the two on held-out answers; it is stored beside the weights as `confidence.json`.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from langchain_core.messages import BaseMessage

from ...errors import ConfigError, UnreadableFileError
from ...files import write_json
from ..checkpoints.folder_checks import read_checked_json

CONFIDENCE_FILE: Final = "confidence.json"
SCHEMA_VERSION: Final = 1
TOP_LOGPROBS: Final = 2
"""Number of `top_logprobs` that the margins need."""

Signal = Literal["least_margin", "log_probability", "mean_log_probability"]
"""The statistic of an answer's tokens; larger is more confident."""


@dataclass(frozen=True)
class RiskLimit:
    """The least probability of given answers for which at most a stated share of them is wrong."""

    target: float
    """Share of wrong answers among those given, above 0 to 1."""
    threshold: float | None
    """Least probability of an answer that is given; None if no threshold keeps the target."""
    coverage: float
    """Share of answers that were given, on the data that the threshold was chosen on."""
    risk: float
    """Share of wrong answers among those."""

    def __post_init__(self) -> None:
        """Check the shares."""
        shares = (self.target, 0.0 if self.threshold is None else self.threshold, self.coverage)
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise ConfigError([f"a limit holds {shares}; allowed are shares from 0 to 1"])


@dataclass(frozen=True)
class ConfidenceMap:
    """A monotone curve through knots, from a signal to a probability.

    Raises:
        ConfigError: Knots do not rise, or the signal is unknown.
    """

    signal: Signal
    knots: tuple[tuple[float, float], ...]
    """(signal, probability); both rise. Beyond the ends the curve is flat."""
    limits: tuple[RiskLimit, ...] = ()
    fitted_on: int = 0
    """Number of answers."""
    calibration_error: float | None = None
    """Expected calibration error on held-out answers."""

    def __post_init__(self) -> None:
        """Check the curve."""
        faults = []
        if self.signal not in get_args(Signal):
            faults.append(f"signal is {self.signal!r}; allowed are {list(get_args(Signal))}")
        if not self.knots:
            faults.append("there are no knots; give at least one")
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in itertools.pairwise(self.knots)):
            faults.append("knots do not rise")
        if any(not (math.isfinite(x) and 0.0 <= p <= 1.0) for x, p in self.knots):
            faults.append("knots are not finite, or their probabilities not from 0 to 1")
        if faults:
            raise ConfigError(faults)

    def probability(self, answer: BaseMessage | float) -> float:
        """Return the probability that an answer is right.

        Args:
            answer: The message, with log-probabilities; or its signal.

        Returns:
            0 to 1.

        Raises:
            ConfigError: The message has no log-probabilities.
        """
        value = answer if isinstance(answer, (int, float)) else signal_of(answer, self.signal)
        place = bisect.bisect_left(self.knots, (value, -1.0))
        if place == 0:
            return self.knots[0][1]
        if place == len(self.knots):
            return self.knots[-1][1]
        (x0, p0), (x1, p1) = self.knots[place - 1], self.knots[place]
        return p0 + (p1 - p0) * (value - x0) / (x1 - x0)

    def limit(self, target: float) -> RiskLimit:
        """Return the limit of a risk target.

        Raises:
            ConfigError: No limit was chosen for it.
        """
        for limit in self.limits:
            if math.isclose(limit.target, target):
                return limit
        known = [limit.target for limit in self.limits]
        raise ConfigError(
            [
                f"risk target is {target!r}; limits were chosen for {known}; "
                f"calibrate the student with risk_targets=({target!r}, ...)"
            ]
        )

    def write(self, folder: str | Path) -> Path:
        """Write `confidence.json` into a checkpoint folder, whole or not at all."""
        return write_json(
            Path(folder) / CONFIDENCE_FILE, {"schema_version": SCHEMA_VERSION, **asdict(self)}
        )

    @classmethod
    def read(cls, folder: str | Path) -> ConfidenceMap | None:
        """Read the map beside a student; None without the file.

        Raises:
            UnreadableFileError: It is damaged, or of another version.
        """
        path = Path(folder) / CONFIDENCE_FILE
        if not path.is_file():
            return None
        try:
            value = read_checked_json(Path(folder), CONFIDENCE_FILE)
            if value.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError(f"schema_version is not {SCHEMA_VERSION}")
            value["knots"] = tuple((float(x), float(p)) for x, p in value["knots"])
            value["limits"] = tuple(RiskLimit(**limit) for limit in value["limits"])
            return cls(**value)
        except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as fault:
            raise UnreadableFileError(
                f"is no confidence map ({fault}); calibrate the student again", path=path
            ) from fault


def signal_of(message: BaseMessage, signal: Signal) -> float:
    """Compute a signal from a message.

    Args:
        message: Made with `top_logprobs` of 2 or more.
        signal: Which one.

    Returns:
        A finite number; -1e3, the least confidence, for an answer without tokens.

    Raises:
        ConfigError: The message has no log-probabilities.
    """
    found = message.response_metadata.get("logprobs")
    if found is None and message.response_metadata.get("finish_reason") != "stop":
        raise ConfigError(
            ["the message tells no log-probabilities; ask the model with top_logprobs=2"]
        )
    logprobs = [float(value) for value in found or ()]
    if not logprobs:
        return UNSURE
    value = _SIGNALS[signal](logprobs, message.response_metadata.get("top_logprobs") or ())
    return min(max(value, UNSURE), -UNSURE)


UNSURE: Final = -1e3
"""The least signal; the largest is its negative."""


def token_margins(
    logprobs: Sequence[float], alternatives: Sequence[dict[str, float]]
) -> list[float]:
    """Return the lead of each token over the best other one, in nats; negative if behind.

    Args:
        logprobs: Of the tokens that were taken, (T,).
        alternatives: The likeliest tokens at each place with their log-probabilities, (T,).

    Raises:
        ConfigError: A place names fewer than two tokens.
    """
    if len(alternatives) != len(logprobs) or any(len(a) < TOP_LOGPROBS for a in alternatives):
        raise ConfigError(
            ["the margin needs the two likeliest tokens of each place; ask with top_logprobs=2"]
        )
    margins = []
    for taken, others in zip(logprobs, alternatives, strict=True):
        best, second = sorted(others.values(), reverse=True)[:2]
        margins.append(taken - (second if taken >= best else best))
    return margins


_SIGNALS: Final[dict[Signal, Callable[[list[float], Any], float]]] = {
    "least_margin": lambda logprobs, others: min(token_margins(logprobs, others)),
    "log_probability": lambda logprobs, others: math.fsum(logprobs),
    "mean_log_probability": lambda logprobs, others: math.fsum(logprobs) / len(logprobs),
}
