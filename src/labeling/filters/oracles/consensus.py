"""Join the replies of several oracles about one article, and keep how far they disagree.

agreed = join_replies({"gemini-flash": one, "claude": other}, config, "median")
agreed.scores, agreed.disagreement        # {"a": 6.5}, {"a": 3.0}
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from ..filter_config import FilterConfig
from ..scored_record import Analysis, AnalysisFault

Consensus = Literal["median", "mean"]
"""How the scores of several oracles become one."""


def join_replies(
    replies: Mapping[str, Analysis], config: FilterConfig, how: Consensus = "median"
) -> Analysis:
    """Join valid replies.

    Args:
        replies: Oracle -> its analysis; one or more.
        config: Of the filter.
        how: Median or mean of the scores of each dimension. Classes need a majority instead.

    Returns:
        The joint analysis, with the replies of each oracle. Reasoning and repairs are those of the
        oracle nearest to the joint scores, the content type is that of a majority.

    Raises:
        AnalysisFault: More than half of the oracles agree on no class.
    """
    if len(replies) == 1:
        return next(iter(replies.values()))
    content_type = _majority([one.content_type for one in replies.values()])
    if config.is_classifier:
        labels = {name: str(one.label) for name, one in replies.items()}
        label = _majority(list(labels.values()))
        if label is None:
            told = ", ".join(f"{name} says {one}" for name, one in labels.items())
            raise AnalysisFault(f"no_majority: {told}")
        nearest = next(one for one in replies.values() if one.label == label)
        return Analysis({}, label, nearest.reasoning, content_type=content_type,
                        repairs=nearest.repairs, oracles=labels)  # fmt: skip
    join = statistics.median if how == "median" else statistics.fmean
    scores = {
        name: float(join([one.scores[name] for one in replies.values()]))
        for name in config.dimension_names
    }
    nearest = min(
        replies.values(),
        key=lambda one: sum(abs(one.scores[name] - scores[name]) for name in scores),
    )
    return Analysis(
        scores,
        None,
        nearest.reasoning,
        reasons=nearest.reasons,
        content_type=content_type,
        repairs=nearest.repairs,
        oracles={name: dict(one.scores) for name, one in replies.items()},
    )


def _majority(values: list[str | None]) -> str | None:
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None
