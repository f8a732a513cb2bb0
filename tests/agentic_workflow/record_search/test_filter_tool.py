"""A filter as a tool: the answer says what the scorer said, and nothing else."""

import pytest
from stillroom.agentic_workflow.record_search.filter_tool import described, filter_tool
from stillroom.errors import DataError

RESULT = {
    "passed_prefilter": True, "prefilter_reason": None, "passed": True, "weighted_average": 6.14,
    "scores": {"a": 5.0, "b": 9.0, "c": 6.0, "d": 1.0}, "tier": "high", "gatekeeper_applied": False,
    "cap_applied": None, "raw_weighted_average": 6.14,
}  # fmt: skip


class Scorer:
    def __init__(self, result):
        self.result, self.seen = result, []

    def score_article(self, article, *, skip_prefilter=False):
        self.seen.append(article)
        return self.result

    def scoring_metadata(self):
        return {"filter_name": "up-lifting", "filter_version": "1.0"}


@pytest.mark.parametrize(
    ("changes", "weights", "text"),
    [
        ({}, None, "passes with 6.1 of 10, tier high; most by b 9.0, c 6.0, a 5.0."),
        ({}, {"a": 0.9, "b": 0.1}, "passes with 6.1 of 10, tier high; most by a 5.0, b 9.0"),
        (
            {"passed": False, "weighted_average": 3.5, "tier": "low", "gatekeeper_applied": True},
            None,
            "does not pass with 3.5 of 10, tier low; most by b 9.0, c 6.0, a 5.0; capped by a "
            "gatekeeper, from 6.1.",
        ),
        ({"stage_used": "stage1_low"}, None, "; the first stage alone has read it."),
        ({"scores": None, "prefilter_reason": "not_finite"}, None, "not scored: not_finite."),
        (
            {"passed_prefilter": False, "prefilter_reason": "content_too_short_4chars"},
            None,
            "blocked before scoring: content_too_short_4chars.",
        ),
    ],
)
def test_a_result_becomes_a_sentence_with_its_reason(changes, weights, text):
    told = described({**RESULT, **changes}, weights)
    assert text in told


def test_a_text_without_a_title_gets_its_first_words():
    scorer = Scorer(RESULT)
    tool = filter_tool(scorer, what="joy")
    assert (tool.name, tool.description) == ("score_up_lifting", "Score a text from 0 to 10: joy.")
    assert tool.invoke({"text": "One two three."}).startswith("passes with 6.1")
    assert scorer.seen == [{"title": "One two three.", "content": "One two three."}]


def test_a_row_is_found_by_its_name_and_no_other_is_scored():
    scorer = Scorer(RESULT)
    tool = filter_tool(scorer, rows={"Village A": {"title": "A", "content": "text"}})
    assert tool.invoke({"record": "village a"}).startswith("village a: passes with")
    assert scorer.seen == [{"title": "A", "content": "text"}]
    with pytest.raises(DataError, match="there is no record 'Village B'"):
        tool.invoke({"record": "Village B"})
    with pytest.raises(DataError, match="there are no rows"):
        filter_tool(scorer, rows={})
