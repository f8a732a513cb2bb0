"""`FilterBaseScorer`: articles into results, with a prefilter before a model.

class Scorer(FilterBaseScorer):
    def predict(self, texts):                  # one text -> raw score of each dimension
        return model.scores(texts)

Scorer(load_filter("filters/x/v1")).score_batch(articles)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal

from ....errors import ConfigError, DataError
from ..filter_package import FilterPackage
from ..input_view import ShownArticle
from ..patterns import PATTERN_TIME, PatternTimeError
from ..prefilter import PASSED, article_fault
from .calibration import CALIBRATION_FILE, Calibration, Floats, load_calibration
from .normalization import NORMALIZATION_FILE, Normalization, load_normalization
from .score_order import NOT_FINITE, NotFiniteError, Verdict, judge_scores

INVALID: Final = "Invalid article: "
Stage = Literal["stage1_low", "stage2"]


@dataclass(frozen=True)
class ScorerResult:
    """What a scorer says about one article; `to_dict` gives the public keys."""

    passed_prefilter: bool
    prefilter_reason: str | None = None
    verdict: Verdict | None = None
    """None where the prefilter blocked the article, or a score was not finite."""
    fault: str | None = None
    """`not_finite` where the model failed at this article, `pattern_time` where it cannot be
    shortened."""
    normalization_method: str | None = None
    stage_used: Stage | None = None
    stage1_estimate: float | None = None
    has_stages: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Give the result as JSON values."""
        verdict = self.verdict
        told: dict[str, Any] = {
            "passed_prefilter": self.passed_prefilter,
            "prefilter_reason": self.prefilter_reason or self.fault,
            "scores": None if verdict is None else dict(verdict.scores),
            "weighted_average": None if verdict is None else verdict.weighted_average,
            "passed": None if verdict is None else verdict.passed,
            "tier": None if verdict is None else verdict.tier,
            "tier_description": None if verdict is None else verdict.tier_description,
            "gatekeeper_applied": verdict is not None and verdict.gatekeeper_applied,
            "raw_weighted_average": None if verdict is None else verdict.raw_weighted_average,
            "normalized": None if verdict is None else verdict.normalized,
            "normalization_method": self.normalization_method,
            "cap_applied": None if verdict is None else verdict.cap_applied,
        }
        if self.has_stages:
            told["stage_used"] = self.stage_used
            told["stage1_estimate"] = self.stage1_estimate
        return told


class FilterBaseScorer:
    """Scores articles of one filter; a subclass gives `predict`.

    The constants of a filter stand in its `config.yaml`. A subclass may repeat them as class
    attributes, as those of LLM Distillery do; one that differs is refused.
    """

    FILTER_NAME: ClassVar[str | None] = None
    FILTER_VERSION: ClassVar[str | None] = None
    DIMENSION_NAMES: ClassVar[Sequence[str] | None] = None
    DIMENSION_WEIGHTS: ClassVar[Mapping[str, float] | None] = None
    TIER_THRESHOLDS: ClassVar[Sequence[tuple[str, float, str]] | None] = None
    """(name, least weighted average, description)."""
    MAX_TOKEN_LENGTH: ClassVar[int] = 512
    DEFAULT_BATCH_SIZE: ClassVar[int] = 16

    def __init__(
        self,
        package: FilterPackage,
        *,
        use_prefilter: bool = True,
        calibration: Calibration | None = None,
        normalization: Normalization | None = None,
    ) -> None:
        """Set the filter.

        Args:
            package: The filter.
            use_prefilter: Whether its prefilter runs first.
            calibration: None reads the package's `calibration.json`, where there is one.
            normalization: None reads its `normalization.json`, where there is one.

        Raises:
            ConfigError: A class attribute differs from `config.yaml`, or the filter classifies.
        """
        if package.config.is_classifier:
            raise ConfigError([f"{package.config.name} chooses a class and has no dimensions"])
        self._check_constants(package)
        self.package = package
        self.use_prefilter = use_prefilter
        self.calibration = calibration or load_calibration(
            package.folder / CALIBRATION_FILE, package.config
        )
        self.normalization = normalization or load_normalization(
            package.folder / NORMALIZATION_FILE, package.config
        )

    def predict(self, texts: Sequence[str]) -> Sequence[Sequence[float]] | Floats:
        """Give raw scores of texts, (N, D), in the order of the config."""
        raise NotImplementedError("a scorer needs predict(texts)")

    def score_article(
        self, article: Mapping[str, Any], *, skip_prefilter: bool = False
    ) -> dict[str, Any]:
        """Score one article.

        Raises:
            TypeError: It is no mapping, or title or content is no text.
            ValueError: Title or content is missing or empty.
        """
        fault = article_fault(article)
        if fault is not None:
            kind = TypeError if fault.startswith("invalid_type") else ValueError
            raise kind(f"{INVALID}{fault}")
        return self.score_batch([article], skip_prefilter=skip_prefilter)[0]

    def score_batch(
        self,
        articles: Sequence[Mapping[str, Any]],
        batch_size: int | None = None,
        *,
        skip_prefilter: bool = False,
    ) -> list[dict[str, Any]]:
        """Score articles; the results keep their order, and a fault is that of its article alone.

        Args:
            articles: Records.
            batch_size: Texts per call of `predict`; None takes `DEFAULT_BATCH_SIZE`.
            skip_prefilter: Score also what the prefilter blocks.
        """
        size = batch_size or self.DEFAULT_BATCH_SIZE
        screened = [self._screen(one, skip=skip_prefilter) for one in articles]
        places = [place for place, one in enumerate(screened) if one.passed_prefilter]
        results = list(screened)
        for start in range(0, len(places), size):
            part = places[start : start + size]
            texts: dict[int, str] = {}
            for place in part:
                try:
                    texts[place] = self.text_of(self.package.view.read(articles[place]))
                except PatternTimeError:
                    results[place] = replace(screened[place], fault=PATTERN_TIME)
            for place, made in zip(texts, self.score_texts(list(texts.values())), strict=True):
                results[place] = made
        return [one.to_dict() for one in results]

    def text_of(self, shown: ShownArticle) -> str:
        """Write what `predict` reads of an article."""
        return self.package.view.student_text(shown)

    def score_texts(self, texts: Sequence[str]) -> Iterator[ScorerResult]:
        """Score texts that have passed the prefilter."""
        raw = self.predict(texts) if texts else ()
        if len(raw) != len(texts):
            raise DataError(f"predict gave {len(raw)} rows for {len(texts)} texts")
        for row in raw:
            yield self._judged(row)

    def scoring_metadata(self) -> dict[str, Any]:
        """Give the provenance of scores."""
        return {
            "filter_name": self.package.config.name,
            "filter_version": self.package.config.version,
            "prompt_hash": self.package.prompt.prompt_hash,
            "view_hash": self.package.view.sha256,
            "calibrated": self.calibration is not None and bool(self.calibration.curves),
        }

    def _judged(self, row: Sequence[float]) -> ScorerResult:
        names = self.package.config.dimension_names
        try:
            verdict = judge_scores(
                dict(zip(names, row, strict=True)),
                self.package.config,
                calibration=self.calibration,
                normalization=self.normalization,
            )
        except NotFiniteError:
            return ScorerResult(True, fault=NOT_FINITE)
        method = None if self.normalization is None else "percentile"
        return ScorerResult(True, verdict=verdict, normalization_method=method)

    def _screen(self, article: Mapping[str, Any], *, skip: bool) -> ScorerResult:
        fault = article_fault(article)
        if fault is not None:
            return ScorerResult(False, f"{INVALID}{fault}")
        prefilter = self.package.prefilter
        if skip or not self.use_prefilter or prefilter is None:
            return ScorerResult(True)
        passed, reason = prefilter.apply_filter(article)
        return ScorerResult(passed, None if reason == PASSED else reason)

    def _check_constants(self, package: FilterPackage) -> None:
        config = package.config
        tiers = [(one.name, one.threshold, one.description) for one in config.tiers]
        own = self.TIER_THRESHOLDS
        pairs: tuple[tuple[str, object, object], ...] = (
            ("FILTER_NAME", self.FILTER_NAME, config.name),
            ("FILTER_VERSION", self.FILTER_VERSION, config.version),
            ("DIMENSION_NAMES", _listed(self.DIMENSION_NAMES), list(config.dimension_names)),
            ("DIMENSION_WEIGHTS", self.DIMENSION_WEIGHTS, config.weights),
            ("TIER_THRESHOLDS", own and sorted(own, key=lambda one: -one[1]), tiers),
        )
        faults = [
            f"{type(self).__name__}.{name} is {given!r}, and config.yaml has {theirs!r}; delete it "
            "from the class"
            for name, given, theirs in pairs
            if given is not None and given != theirs
        ]
        if faults:
            raise ConfigError(faults)


def _listed(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)
