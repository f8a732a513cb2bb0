"""Ask an oracle twice about the same articles, before it labels thousands.

found = measure_consistency(labeler, tasks, config, ConsistencyLimits())
found.compared, found.spread, found.fault
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from ....errors import require_settings
from ...batch.label_run import LabelTask
from ...batch.labeler import BatchLabeler
from ..filter_config import HIGHEST, FilterConfig
from ..oracle_reply import read_reply
from ..scored_record import Analysis
from ..scoring.score_order import judge_scores

CONSISTENCY_FILE: Final = "consistency.json"
"""In the folder of the labels; one entry per oracle, prompt and view."""
_LEAST_COMPARED: Final = 0.5


@dataclass(frozen=True)
class ConsistencyLimits:
    """What is asked twice, and how far the two replies may differ."""

    articles: int = 50
    """Articles that are asked about twice, 2 or more. The first replies count as labels."""
    most_spread: float = 1.0
    """Largest mean difference of the two scores of a dimension, in points, 0 to 10."""
    most_changed: float = 0.1
    """Largest share of articles whose class differs, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse limits out of range, all at once."""
        require_settings(self, (
            ("articles", self.articles >= 2, "2 or more"),
            ("most_spread", 0 <= self.most_spread <= HIGHEST, "0 to 10"),
            ("most_changed", 0 <= self.most_changed <= 1, "0 to 1"),
        ))  # fmt: skip


@dataclass(frozen=True)
class ConsistencyReport:
    """How far an oracle agrees with itself."""

    oracle: str
    asked: int
    """Articles that were asked about twice."""
    compared: int
    """Articles with two valid replies."""
    spread: dict[str, float] = field(default_factory=dict)
    """Dimension -> mean absolute difference of the two scores, in points."""
    weighted_average: float | None = None
    """Mean absolute difference of the two weighted averages."""
    changed: float | None = None
    """Share of articles whose tier, or class, differs."""
    fault: str | None = None
    """Why labelling should not start."""
    stopped: str | None = None
    """Why the run ended before all replies were there, as in `LabelRun.stopped`."""
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return asdict(self)


def measure_consistency(
    labeler: BatchLabeler,
    tasks: Sequence[LabelTask],
    config: FilterConfig,
    limits: ConsistencyLimits,
) -> ConsistencyReport:
    """Ask twice about each task and compare.

    The first reply is that of the later run, which takes it from the labeler's folder; the second
    is another sample of the same prompt.
    """
    again = [replace(one, id=f"{one.id} again", sample=one.sample + 1) for one in tasks]
    run = labeler.run([*tasks, *again])
    read = [
        None if one.answer is None else read_reply(one.answer.text, config) for one in run.results
    ]
    pairs = [
        (one, other)
        for one, other in zip(read[: len(tasks)], read[len(tasks) :], strict=True)
        if one is not None and other is not None
    ]
    oracle = labeler.teacher.name
    if run.stopped is not None:
        return ConsistencyReport(
            oracle, len(tasks), len(pairs), stopped=run.stopped, message=run.message
        )
    if len(pairs) < _LEAST_COMPARED * len(tasks):
        reasons = ", ".join(f"{count} times {what}" for what, count in run.reasons.most_common(3))
        return ConsistencyReport(oracle, len(tasks), len(pairs), fault=(
            f"only {len(pairs)} of {len(tasks)} articles got two valid replies of {oracle} "
            f"({reasons})"
        ))  # fmt: skip
    return _compared(oracle, len(tasks), pairs, config, limits)


def _compared(
    oracle: str,
    asked: int,
    pairs: Sequence[tuple[Analysis, Analysis]],
    config: FilterConfig,
    limits: ConsistencyLimits,
) -> ConsistencyReport:
    if config.is_classifier:
        changed = _mean([float(one.label != other.label) for one, other in pairs])
        fault = None
        if changed > limits.most_changed:
            fault = (f"{oracle} contradicts itself: asked twice about {len(pairs)} articles, it "
                     f"gives {changed:.0%} another class; {limits.most_changed:.0%} are "
                     "allowed")  # fmt: skip
        return ConsistencyReport(oracle, asked, len(pairs), changed=changed, fault=fault)
    spread = {
        name: _mean([abs(one.scores[name] - other.scores[name]) for one, other in pairs])
        for name in config.dimension_names
    }
    verdicts = [
        tuple(judge_scores(a.scores, config, content_type=a.content_type) for a in pair)
        for pair in pairs
    ]
    worst = max(spread, key=lambda name: spread[name])
    fault = None
    if spread[worst] > limits.most_spread:
        fault = (f"{oracle} contradicts itself: asked twice about {len(pairs)} articles, its "
                 f"scores of {worst} differ by {spread[worst]:.2f} points on average; "
                 f"{limits.most_spread:g} are allowed")  # fmt: skip
    return ConsistencyReport(
        oracle,
        asked,
        len(pairs),
        spread,
        _mean([abs(a.weighted_average - b.weighted_average) for a, b in verdicts]),
        _mean([float(a.tier != b.tier) for a, b in verdicts]),
        fault,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
