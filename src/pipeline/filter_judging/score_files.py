"""Read the scores of articles: oracle labels, predictions of students, ratings of people.

A line of an oracle is a scored record, as `stillroom filter label` writes it; a line of a student
holds `<filter>_scores`, as `stillroom filter score` writes it. Both may be `{"id": ..., "scores":
{...}}` instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import DataError, EmptyDataError
from ...labeling.filters.curation.merge import read_json_objects
from ...labeling.filters.filter_config import FilterConfig
from ...labeling.filters.scored_record import AnalysisFault, analysis_of
from ...labeling.filters.scoring.calibration import Calibration
from ...labeling.filters.scoring.score_files import scores_field_name
from ...labeling.filters.scoring.score_order import NOT_FINITE, Verdict, is_score, judge_scores

Sources = str | Path | Iterable[str | Path]
_TITLE_CHARS: Final = 120


@dataclass(frozen=True)
class ScoredArticle:
    """One article with the scores of an oracle or a student."""

    id: str
    raw: Mapping[str, float]
    """Dimension -> score as it was given, before calibration."""
    verdict: Verdict
    category: str = ""
    title: str = ""


@dataclass(frozen=True)
class ScoredFile:
    """The articles of one or more files."""

    articles: dict[str, ScoredArticle]
    rejected: list[str]
    """Places and reasons of lines that hold no valid scores."""


def read_scores(
    sources: Sources,
    config: FilterConfig,
    *,
    of_student: bool,
    calibration: Calibration | None = None,
    category_field: str = "language",
) -> ScoredFile:
    """Read scores, and judge each article in the filter's order of operations.

    Args:
        sources: Files or patterns of JSON Lines.
        config: Of a filter with dimensions.
        of_student: Whether to read the scores of a student, or those of an oracle or of people.
        calibration: Applied to raw scores of a student; None for oracles, and for results of a
            scorer, which are calibrated.
        category_field: Field with the part of the data that is reported by itself.

    Raises:
        DataError: An id occurs twice, or no line holds scores; names the first reason.
    """
    rejected: list[str] = []
    found: dict[str, ScoredArticle] = {}
    for place, record in read_json_objects(sources, rejected):
        made = scores_of(record, config, of_student=of_student)
        if isinstance(made, str):
            rejected.append(f"{place}: {made}")
            continue
        scores, content_type = made
        verdict = judge_scores(scores, config, calibration=calibration, content_type=content_type)
        identity = str(record["id"])
        if identity in found:
            raise DataError(f"{place}: the id {identity!r} occurs twice; merge the files first")
        found[identity] = ScoredArticle(
            identity,
            scores,
            verdict,
            str(record.get(category_field) or ""),
            str(record.get("title") or "")[:_TITLE_CHARS],
        )
    if not found:
        reason = f"; the first line: {rejected[0]}" if rejected else ""
        raise EmptyDataError(f"no line of {sources} holds scores of {config.name}{reason}")
    return ScoredFile(found, rejected)


def articles_of(
    ids: Sequence[str],
    scores: Sequence[Sequence[float]],
    config: FilterConfig,
    calibration: Calibration | None = None,
) -> dict[str, ScoredArticle]:
    """Judge scores that a student gave, (N, D) in the order of the config.

    Raises:
        DataError: The sizes differ.
        NotFiniteError: A score is not finite.
    """
    if len(ids) != len(scores):
        raise DataError(f"there are {len(scores)} rows of scores for {len(ids)} articles")
    found = {}
    for identity, row in zip(ids, scores, strict=True):
        raw = dict(zip(config.dimension_names, map(float, row), strict=True))
        verdict = judge_scores(raw, config, calibration=calibration)
        found[identity] = ScoredArticle(identity, raw, verdict)
    return found


def read_ratings(
    sources: Sources, config: FilterConfig, rater_field: str = "rater"
) -> dict[str, list[dict[str, float]]]:
    """Read the ratings of several people: one line per article and rater.

    Returns:
        Article id -> scores of its raters.

    Raises:
        EmptyDataError: No line holds scores.
        DataError: A rater rated an article twice.
    """
    rejected: list[str] = []
    found: dict[str, dict[str, dict[str, float]]] = {}
    for place, record in read_json_objects(sources, rejected):
        made = scores_of(record, config, of_student=False)
        if isinstance(made, str):
            rejected.append(f"{place}: {made}")
            continue
        own = found.setdefault(str(record["id"]), {})
        rater = str(record.get(rater_field, len(own)))
        if rater in own:
            raise DataError(f"{place}: {rater!r} has rated the article before")
        own[rater] = made[0]
    if not found:
        reason = f"; the first line: {rejected[0]}" if rejected else ""
        raise EmptyDataError(f"no line of {sources} holds ratings of {config.name}{reason}")
    return {identity: list(own.values()) for identity, own in found.items()}


def scores_of(
    record: Mapping[str, Any], config: FilterConfig, *, of_student: bool
) -> tuple[dict[str, float], str | None] | str:
    """Read the scores of a line.

    Args:
        record: A record.
        config: Of the filter.
        of_student: Whether to read the scores of a student: those under `<filter>_scores`, or
            `scores`. A record may hold the oracle's analysis too, which is no prediction.

    Returns:
        Dimension -> score, and the content type where an oracle gave one; or why there are none.
    """
    if record.get("id") in (None, ""):
        return "missing_id"
    if not of_student:
        try:
            analysis = analysis_of(record, config)
        except AnalysisFault as fault:
            return str(fault)
        if analysis is not None:
            return dict(analysis.scores), analysis.content_type
    result = student_result(record, config) if of_student else record
    scores = result.get("scores")
    if not isinstance(scores, Mapping):
        return str(result.get("prefilter_reason") or "no_scores")
    return _finite_scores(scores, config)


def student_result(record: Mapping[str, Any], config: FilterConfig) -> Mapping[str, Any]:
    """Give what a scorer said of a record: what is under `<filter>_scores`, or the record."""
    given = record.get(scores_field_name(config.name))
    return given if isinstance(given, Mapping) else record


def _finite_scores(
    scores: Mapping[str, Any], config: FilterConfig
) -> tuple[dict[str, float], None] | str:
    """Read finite scores; they may lie outside 0 to 10, as calibration comes before clamping."""
    missing = [name for name in config.dimension_names if name not in scores]
    if missing:
        return f"missing_dimension {', '.join(missing)}"
    wrong = [name for name in config.dimension_names if not is_score(scores[name])]
    if wrong:
        return f"{NOT_FINITE} {', '.join(wrong)}"
    return {name: float(scores[name]) for name in config.dimension_names}, None
