"""Analyses of an oracle in records: read in all forms that exist, written in one.

`{"dimensions": {name: 7}, "overall_score": 7.1}`, or name -> `{"score": 7, "reasoning": "..."}`,
under `dimensions` or beside the other keys. Scores are the oracle's own; caps and tiers are
computed again where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from .filter_config import HIGHEST, LOWEST, FilterConfig
from .scoring.score_order import is_score, judge_scores

CLASS_KEY: Final = "class"
"""Key of the class in the analysis of a filter that classifies."""
_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Analysis:
    """What an oracle said about one article."""

    scores: dict[str, float] = field(default_factory=dict)
    """Dimension -> score, 0 to 10, in the order of the config."""
    label: str | None = None
    """The class, for filters that classify."""
    reasoning: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Dimension -> reasoning, where the oracle gave one each."""
    content_type: str | None = None
    repairs: tuple[str, ...] = ()
    """What was repaired in the reply."""
    oracles: Mapping[str, Mapping[str, float] | str] = field(default_factory=dict)
    """Oracle -> its own scores or class, where several were asked."""

    @property
    def disagreement(self) -> dict[str, float]:
        """Dimension -> highest minus lowest score of the oracles, in points."""
        rows = [one for one in self.oracles.values() if isinstance(one, Mapping)]
        return {
            name: max(one[name] for one in rows) - min(one[name] for one in rows)
            for name in (self.scores if rows else ())
        }


class AnalysisFault(Exception):  # noqa: N818 - a reason, caught beside its cause
    """An object is no valid analysis; the message is the reason, with the key."""


def read_analysis(given: Mapping[str, Any], config: FilterConfig) -> Analysis:
    """Read an analysis and check all of its scores.

    Raises:
        AnalysisFault: A dimension is missing, or a score is not a number from 0 to 10.
    """
    if config.is_classifier:
        return _read_class(given, config)
    dimensions = given.get("dimensions")
    values = dimensions if isinstance(dimensions, Mapping) else given
    found: dict[str, float] = {}
    reasons: dict[str, str] = {}
    faults, repairs = [], []
    for name in config.dimension_names:
        key = _key_of(name, values, config)
        if key is None:
            faults.append(f"missing_dimension {name}")
            continue
        if key != name:
            repairs.append(f"name {key!r}")
        value = values[key]
        if isinstance(value, Mapping):
            reason = value.get("reasoning", value.get("evidence"))
            if isinstance(reason, str):
                reasons[name] = reason
            value = value.get("score")
        if not is_score(value):
            faults.append(
                f"{'missing_score' if value is None else 'not_a_number'} {name}: {value!r}"
            )
        elif not LOWEST <= value <= HIGHEST:
            faults.append(f"out_of_range {name}: {value!r} (0 to 10)")
        else:
            found[name] = float(value)
    if faults:
        raise AnalysisFault("; ".join(faults))
    return Analysis(found, None, _text(given, "reasoning"), reasons=reasons, repairs=tuple(repairs),
                    content_type=_text(given, "content_type") or None)  # fmt: skip


def analysis_of(record: Mapping[str, Any], config: FilterConfig) -> Analysis | None:
    """Read a filter's analysis out of a record; None where the record has none.

    Raises:
        AnalysisFault: It has one that is not valid.
    """
    given = record.get(config.analysis_field)
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise AnalysisFault(f"{config.analysis_field} is {given!r}; an object is needed")
    return read_analysis(given, config)


def scored_record(
    article: Mapping[str, Any],
    analysis: Analysis,
    config: FilterConfig,
    *,
    prompt_hash: str,
    oracle: str,
    view_hash: str | None = None,
    analyzed_at: datetime | None = None,
) -> dict[str, Any]:
    """Write a record with its analysis, under `<filter>_analysis`.

    Args:
        article: Its keys are kept.
        analysis: What the oracle said.
        config: Of the filter; gives `overall_score` and `tier`.
        prompt_hash: Of the prompt as used.
        oracle: Provider or model, for `analyzed_by`.
        view_hash: Of the view of articles.
        analyzed_at: Time with zone; None is now.
    """
    told: dict[str, Any] = {}
    if config.is_classifier:
        told[CLASS_KEY] = analysis.label
    else:
        verdict = judge_scores(analysis.scores, config, content_type=analysis.content_type)
        told["dimensions"] = dict(analysis.scores)
        told["overall_score"] = verdict.weighted_average
        told["tier"] = verdict.tier
    told["reasoning"] = analysis.reasoning
    if analysis.reasons:
        told["dimension_reasoning"] = dict(analysis.reasons)
    if analysis.oracles:
        told["oracles"] = dict(analysis.oracles)
        if analysis.disagreement:
            told["disagreement"] = analysis.disagreement
    if analysis.content_type is not None:
        told["content_type"] = analysis.content_type
    moment = (analyzed_at or datetime.now(UTC)).astimezone(UTC)
    told |= {
        "analyzed_at": moment.replace(tzinfo=None).isoformat() + "Z",
        "analyzed_by": f"{oracle}-api-batch",
        "filter_name": config.name,
        "filter_version": config.version,
        "prompt_hash": prompt_hash,
        "schema_version": _SCHEMA_VERSION,
    }
    if view_hash is not None:
        told["view_hash"] = view_hash
    return {**article, config.analysis_field: told}


def _read_class(given: Mapping[str, Any], config: FilterConfig) -> Analysis:
    value = given.get(CLASS_KEY, given.get("label"))
    if not isinstance(value, str):
        kind = "missing_class" if value is None else f"not_a_class {value!r}"
        raise AnalysisFault(kind)
    repairs: tuple[str, ...] = ()
    if value not in config.classes:
        near = [name for name in config.classes if _plain(name) == _plain(value)]
        if len(near) != 1:
            raise AnalysisFault(f"unknown_class {value!r}")
        value, repairs = near[0], (f"class {value!r}",)
    return Analysis({}, value, _text(given, "reasoning"), repairs=repairs)


def _key_of(name: str, values: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Find the key of a dimension: its name, or one that differs in case, blanks or hyphens."""
    if name in values:
        return name
    near = [
        key
        for key in values
        if key not in config.dimension_names and _plain(str(key)) == _plain(name)
    ]
    return near[0] if len(near) == 1 else None


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""
