"""A filter as a tool of agents: it scores a text, or a row of a table, and says why.

tool = filter_tool(open_scorer(load_filter("filters/uplifting/v1")))
tool.invoke({"text": "A village bought its wind farm ..."})

The answer is written from the scorer's result alone: pass or block, weighted average, tier, the
dimensions that decided, and what was capped or blocked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from ...errors import DataError
from ..text_matching import fold

_TOLD: Final = 3
"""Dimensions that an answer names."""


class ArticleScorer(Protocol):
    """What is needed of a scorer, such as `FilterBaseScorer`."""

    def score_article(
        self, article: Mapping[str, Any], *, skip_prefilter: bool = False
    ) -> dict[str, Any]:
        """Give the result of one article."""
        ...

    def scoring_metadata(self) -> dict[str, Any]:
        """Give `filter_name` and `filter_version`."""
        ...


class _TextQuestion(BaseModel):
    text: str = Field(description="the text to score")
    title: str = Field(default="", description="its title, if it has one")


class _RowQuestion(BaseModel):
    record: str = Field(description="name of the record to score")


def filter_tool(
    scorer: ArticleScorer,
    *,
    what: str = "",
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    weights: Mapping[str, float] | None = None,
    return_direct: bool = True,
) -> BaseTool:
    """Make the tool `score_<filter>`.

    Args:
        scorer: Of the filter.
        what: What the filter looks for, for the tool's description.
        rows: Name -> article with `title` and `content`. With rows the tool takes the name of a
            record; without, a text.
        weights: Dimension -> share in the weighted average, so that the dimensions which decide
            come first; None takes the highest scores.
        return_direct: Whether the tool's answer is that of the agent.

    Raises:
        DataError: `rows` is empty.
    """
    if rows is not None and not rows:
        raise DataError("there are no rows to score")
    told = scorer.scoring_metadata()
    name = re.sub(r"\W", "_", f"score_{told['filter_name']}")
    by_name = {fold(one.strip()): row for one, row in (rows or {}).items()}

    def score_text(text: str, title: str = "") -> str:
        article = {"title": title.strip() or _first_words(text), "content": text}
        return described(scorer.score_article(article), weights)

    def score_row(record: str) -> str:
        article = by_name.get(fold(record.strip()))
        if article is None:
            raise DataError(f"there is no record {record!r}; give the name as it stands there")
        return f"{record}: {described(scorer.score_article(article), weights)}"

    function: Callable[..., str] = score_text if rows is None else score_row
    kind = "a text" if rows is None else "a record"
    return StructuredTool.from_function(
        function,
        name=name,
        description=f"Score {kind} from 0 to 10{f': {what}' if what else ''}.",
        args_schema=_TextQuestion if rows is None else _RowQuestion,
        return_direct=return_direct,
    )


def described(result: Mapping[str, Any], weights: Mapping[str, float] | None = None) -> str:
    """Write a scorer's result as a sentence with its reason.

    >>> described({"passed_prefilter": False, "prefilter_reason": "excluded_vaporware"})
    'blocked before scoring: excluded_vaporware.'
    """
    if not result["passed_prefilter"]:
        return f"blocked before scoring: {result['prefilter_reason']}."
    if result["scores"] is None:
        return f"not scored: {result['prefilter_reason']}."
    verdict = "passes" if result["passed"] else "does not pass"
    average = f"{result['weighted_average']:.1f} of 10, tier {result['tier']}"
    scores = result["scores"]
    shares = weights or dict.fromkeys(scores, 1.0)
    order = sorted(scores, key=lambda one: -shares.get(one, 0.0) * scores[one])
    parts = ", ".join(f"{one} {scores[one]:.1f}" for one in order[:_TOLD])
    text = f"{verdict} with {average}; most by {parts}"
    if result["gatekeeper_applied"] or result["cap_applied"]:
        by = result["cap_applied"] or "a gatekeeper"
        text += f"; capped by {by}, from {result['raw_weighted_average']:.1f}"
    if result.get("stage_used") == "stage1_low":
        text += "; the first stage alone has read it"
    return f"{text}."


def _first_words(text: str) -> str:
    return " ".join(text.split()[:8]) or text
