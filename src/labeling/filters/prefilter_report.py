"""Measure a prefilter: what it lets pass, and how many good articles it blocks, per language.

report = screen_articles(package.prefilter, articles, sample=200)
found = report.judge_blocked({"article-7": True, ...})      # labels of report.sample_ids

A list of English words may block most good articles in other languages; only labels of blocked
articles show that.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import ConfigError, DataError
from ...rate_interval import rate_with_interval
from .prefilter import BasePreFilter

UNKNOWN: Final = "unknown"
"""Language of articles that do not state theirs."""
ALL: Final = "all"


@dataclass
class LanguageCounts:
    """What a prefilter did to the articles of one language."""

    total: int = 0
    passed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason -> blocked articles; numbers in reasons are left out."""
    sample_ids: list[str] = field(default_factory=list)
    """Ids of a random sample of the blocked articles."""

    @property
    def blocked(self) -> int:
        """Articles that did not pass."""
        return self.total - self.passed


@dataclass(frozen=True)
class PrefilterReport:
    """Counts per language; `all` are those of all languages together."""

    languages: Mapping[str, LanguageCounts]
    expected_pass_rate: float | None = None

    @property
    def sample_ids(self) -> list[str]:
        """Ids of all sampled blocked articles, which are to be labelled."""
        return [
            one for name, own in self.languages.items() if name != ALL for one in own.sample_ids
        ]

    def to_dict(self) -> dict[str, Any]:
        """Give pass rates with 95 % intervals and reasons, per language, as JSON values."""
        return {
            "expected_pass_rate": self.expected_pass_rate,
            "languages": {
                name: {
                    "total": own.total,
                    "passed": own.passed,
                    **rate_with_interval("pass_rate", own.passed, own.total),
                    "reasons": dict(own.reasons.most_common()),
                    "sampled": len(own.sample_ids),
                }
                for name, own in self.languages.items()
            },
        }

    def judge_blocked(
        self, good: Mapping[str, bool], *, passed_good: Mapping[str, float] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Estimate how many good articles are blocked, from labels of the sample.

        Args:
            good: Id of a sampled article -> whether the oracle lets it pass. Sampled articles
                without a label are counted as `unlabelled` and in no rate.
            passed_good: Language -> good articles among those that passed, counted or estimated.

        Returns:
            Language (and `all`) -> `labelled`, `unlabelled`, `good`, `false_omission_rate` (good
            among the blocked) with its 95 % Wilson interval; `lost` (estimated good articles among
            all blocked); and with `passed_good` also `false_negative_rate` (lost among all good).
            `all` weights each language by its number of blocked articles, and has no interval.

        Raises:
            DataError: A label is of an article that was not sampled.
        """
        strangers = good.keys() - set(self.sample_ids)
        if strangers:
            raise DataError(f"{len(strangers)} labels, such as that of {min(strangers)!r}, are of "
                            "articles outside the sample, which would bias its rate")  # fmt: skip
        found, lost, hits = {}, 0.0, 0.0
        complete = True
        for name, own in self.languages.items():
            if name == ALL:
                continue
            labels = [good[one] for one in own.sample_ids if one in good]
            rates = rate_with_interval("false_omission_rate", sum(labels), len(labels))
            rate = rates["false_omission_rate"]
            own_lost = 0.0 if own.blocked == 0 else None if rate is None else rate * own.blocked
            complete &= own_lost is not None
            lost += own_lost or 0.0
            known = None if passed_good is None else passed_good.get(name, 0.0)
            hits += known or 0.0
            found[name] = {
                "labelled": len(labels),
                "unlabelled": len(own.sample_ids) - len(labels),
                "good": sum(labels),
                **rates,
                "lost": own_lost,
                "false_negative_rate": _share(own_lost, known),
            }
        blocked = sum(own.blocked for name, own in self.languages.items() if name != ALL)
        whole = lost if complete else None
        found[ALL] = {
            **{
                k: sum(own[k] for own in found.values()) for k in ("labelled", "unlabelled", "good")
            },
            "false_omission_rate": None if whole is None or not blocked else whole / blocked,
            "lost": whole,
            "false_negative_rate": _share(whole, None if passed_good is None else hits),
        }
        return found


def passed_good(
    report: PrefilterReport, labels: Iterable[tuple[str, bool]]
) -> dict[str, float] | None:
    """Estimate the good articles among those that passed, from labels of a part of them.

    Args:
        report: Of the corpus that the labelled articles are from.
        labels: Language of a labelled article that passed, and whether the oracle lets it pass.

    Returns:
        Language -> articles; None where a language with passed articles has no label.
    """
    good: dict[str, list[bool]] = {}
    for language, verdict in labels:
        good.setdefault(language, []).append(verdict)
    wanted = {name for name, own in report.languages.items() if name != ALL and own.passed}
    if wanted - good.keys():
        return None
    return {
        name: report.languages[name].passed * sum(good[name]) / len(good[name]) for name in wanted
    }


def screen_articles(
    prefilter: BasePreFilter,
    articles: Iterable[Mapping[str, Any]],
    *,
    sample: int = 200,
    seed: int = 42,
    expected_pass_rate: float | None = None,
    kept: Callable[[Mapping[str, Any]], object] | None = None,
) -> PrefilterReport:
    """Run a prefilter over a corpus, in memory that does not grow with it.

    Args:
        prefilter: The prefilter.
        articles: Records with `id`; `language` where it is known.
        sample: Most blocked articles to draw per language, 0 or more.
        seed: Of the draw; it does not depend on the order of the articles.
        expected_pass_rate: Of the config, for the report.
        kept: Called with each article that passes, such as the writer of a file.

    Raises:
        ConfigError: `sample` is negative.
        DataError: A blocked article has no id, so that it cannot be labelled later.
    """
    if sample < 0:
        raise ConfigError([f"sample is {sample}; allowed is 0 or more"])
    languages: dict[str, LanguageCounts] = {}
    drawn: dict[str, list[tuple[int, str]]] = {}
    for number, article in enumerate(articles, start=1):
        passed, reason = prefilter.apply_filter(article)
        name = language_of(article)
        own = languages.setdefault(name, LanguageCounts())
        own.total += 1
        own.passed += passed
        if passed:
            if kept is not None:
                kept(article)
            continue
        own.reasons[_kind(reason)] += 1
        if reason.startswith(("missing_", "empty_", "invalid_")) or not sample:
            continue  # nothing an oracle could read
        heap = drawn.setdefault(name, [])
        one = _draw(article, number, seed)
        if len(heap) < sample:
            heapq.heappush(heap, one)
        elif one > heap[0]:
            heapq.heapreplace(heap, one)
    for name, heap in drawn.items():
        languages[name].sample_ids = [identity for _, identity in sorted(heap, reverse=True)]
    ordered = dict(sorted(languages.items(), key=lambda pair: (-pair[1].total, pair[0])))
    return PrefilterReport({ALL: _sum(languages.values()), **ordered}, expected_pass_rate)


def _draw(article: Mapping[str, Any], number: int, seed: int) -> tuple[int, str]:
    """Give a random number that depends on seed and id alone; the smallest are drawn."""
    identity = article.get("id")
    if identity is None:
        raise DataError("a blocked article has no id, so it cannot be labelled later", row=number)
    digest = hashlib.sha256(f"{seed}:{identity}".encode()).digest()
    return -int.from_bytes(digest[:8], "big"), str(identity)


def language_of(article: Any) -> str:  # noqa: ANN401 - may be anything
    """Give the language that an article states, or `unknown`."""
    value = article.get("language") if isinstance(article, Mapping) else None
    return str(value) if value else UNKNOWN


def _kind(reason: str) -> str:
    return "content_too_short" if reason.startswith("content_too_short_") else reason


def _sum(counts: Iterable[LanguageCounts]) -> LanguageCounts:
    total = LanguageCounts()
    for one in counts:
        total.total += one.total
        total.passed += one.passed
        total.reasons += one.reasons
    return total


def _share(lost: float | None, found: float | None) -> float | None:
    if lost is None or found is None or math.isclose(lost + found, 0.0):
        return None
    return lost / (lost + found)
