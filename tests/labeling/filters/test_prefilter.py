"""Prefilters: order and reasons, overrides, and what a keyword rule loses per language."""

import time
from typing import ClassVar

import pytest
from stillroom.errors import DataError
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.prefilter import BasePreFilter
from stillroom.labeling.filters.prefilter_report import screen_articles

LONG = "word " * 100


class Made(BasePreFilter):
    VERSION = "1.0"
    EXCLUSION_PATTERNS: ClassVar = {"rumour": [r"\bmay\b", "could one day"], "sport": ["football"]}
    CATEGORY_OVERRIDES: ClassVar = {"rumour": ["confirmed"]}
    OVERRIDE_KEYWORDS = ("solar farm",)
    POSITIVE_PATTERNS = ("wind", "sun", "water")
    POSITIVE_THRESHOLD = 2
    DOMAIN_EXCLUSIONS: ClassVar = {"satire": ["onion.example"]}

    def _pre_exclusion_check(self, title, text, article):
        return (True, "trusted_source") if article.get("source") == "trusted" else None

    def _filter_specific_final_check(self, title, text, article):
        return (False, "too_shouting") if title.isupper() else None

    def _compound_override_applies(self, category, title, text, article):
        return category == "sport" and "stadium roof" in text


ARTICLES = {
    "passed": {"title": "Title", "content": LONG},
    "passed ": {"title": "Title", "text": LONG, "content": None},
    "missing_title": {"content": LONG},
    "empty_title": {"title": " ", "content": LONG},
    "missing_content": {"title": "Title", "content": None},
    "empty_content": {"title": "Title", "content": "\n"},
    "invalid_type_list": ["T", LONG],
    "invalid_type_int": {"title": 5, "content": LONG},
    "content_too_short_5chars": {"title": "Title", "content": "words"},
    "excluded_rumour": {"title": "It MAY come", "content": LONG},
    "passed  ": {"title": "It may come", "content": "confirmed " + LONG},
    "excluded_sport": {"title": "football confirmed", "content": LONG},
    "passed   ": {"title": "football", "content": "a stadium roof " + LONG},
    "passed    ": {"title": "may", "content": "the solar farm " + LONG},
    "passed     ": {"title": "may", "content": "wind and sun " + LONG},
    "excluded_rumour ": {"title": "may", "content": "wind alone " + LONG},
    "passed      ": {"title": "Title", "content": "x" * 2000 + " football"},
    "excluded_domain_satire": {
        "title": "Title",
        "content": LONG,
        "url": "https://a.onion.example/b",
    },
    "passed       ": {"title": "Title", "content": LONG, "url": "https://notonion.example/"},
    "trusted_source": {"title": "may", "content": LONG, "source": "trusted"},
    "too_shouting": {"title": "LOUD", "content": LONG},
}


@pytest.mark.parametrize("expected", ARTICLES)
def test_reasons_come_in_their_order(expected):
    passed, reason = Made().apply_filter(ARTICLES[expected])
    assert reason == expected.strip()
    assert passed == (reason in ("passed", "trusted_source"))


def test_keywords_of_a_config_are_words_and_not_patterns(tmp_path):
    from made_filter import changed, write_filter

    config = changed("prefilter.block_keywords", ["C++", "ad"])
    prefilter = load_filter(write_filter(tmp_path, config=config)).prefilter
    for title, passed in (("C++ news", False), ("an AD", False), ("bad adverts", True)):
        assert prefilter.apply_filter({"title": title, "content": LONG})[0] is passed


def test_the_packaged_prefilter_keeps_what_runs_and_other_languages():
    prefilter = load_filter("sustainability_tech_deployment/v1").prefilter
    cases = [
        ("A 300 MW solar farm is operational", None, "passed"),
        ("Researchers develop a solar cell in the lab", None, "excluded_lab_only"),
        ("Researchers develop a solar cell, now installed", None, "passed"),
        ("A concept study of a wind turbine", "en", "excluded_vaporware"),
        ("Football results", "en", "excluded_off_topic"),
        ("Ein Windpark liefert Strom", "de", "passed"),
        ("Ein Windpark liefert Strom", None, "excluded_off_topic"),
        ("Ein Windpark liefert Strom", "en-GB", "excluded_off_topic"),
    ]
    for title, language, reason in cases:
        article = {"title": title, "content": LONG, "language": language}
        assert prefilter.apply_filter(article)[1] == reason, title


class English(BasePreFilter):
    MIN_CONTENT_LENGTH = 0
    REQUIRED_PATTERNS: ClassVar = {"off_topic": ["solar"]}


def corpus():
    for n in range(1000):
        language = ("en", "de", None)[n % 3]
        good = n % 10 == 0
        word = {"en": "solar", "de": "Sonne", None: "solar"}[language] if good else "nothing"
        yield {"id": f"a{n}", "title": "Title", "content": word, "language": language}


def test_good_articles_that_a_word_list_loses_are_seen_per_language():
    report = screen_articles(English(), corpus(), sample=1000)
    good = {one: int(one[1:]) % 10 == 0 for one in report.sample_ids}
    passed_good = {name: own.passed for name, own in report.languages.items()}
    found = report.judge_blocked(good, passed_good=passed_good)
    assert found["en"]["lost"] == found["unknown"]["lost"] == 0
    assert found["de"]["false_omission_rate"] == pytest.approx(33 / 333)
    assert found["de"]["false_negative_rate"] == 1.0
    low, high = found["de"]["false_omission_rate_ci95"]
    assert low < 0.1 < high
    assert found["all"]["lost"] == pytest.approx(33)
    assert found["all"]["false_negative_rate"] == pytest.approx(33 / 100)
    told = report.to_dict()["languages"]
    assert told["all"]["pass_rate"] == pytest.approx(0.067)
    assert told["de"]["reasons"] == {"excluded_off_topic": 333}


def test_the_sample_depends_on_seed_and_ids_alone():
    articles = list(corpus())
    one = screen_articles(English(), articles, sample=20)
    other = screen_articles(English(), reversed(articles), sample=20)
    assert one.sample_ids == other.sample_ids or set(one.sample_ids) == set(other.sample_ids)
    assert len(one.sample_ids) == 60
    assert set(one.sample_ids) != set(
        screen_articles(English(), articles, sample=20, seed=1).sample_ids
    )


def test_a_sampled_rate_is_near_the_true_one_and_unlabelled_articles_count_in_no_rate():
    report = screen_articles(English(), corpus(), sample=100)
    ids = report.languages["de"].sample_ids
    found = report.judge_blocked({one: int(one[1:]) % 10 == 0 for one in ids[:80]})
    low, high = found["de"]["false_omission_rate_ci95"]
    assert low <= 33 / 333 <= high
    assert found["de"]["unlabelled"] == 20
    assert found["en"]["lost"] is found["all"]["lost"] is None
    with pytest.raises(DataError, match="outside the sample"):
        report.judge_blocked({"a0": True})
    with pytest.raises(DataError, match="row 1: a blocked article has no id"):
        screen_articles(English(), [{"title": "Title", "content": "x"}])


class Hostile(BasePreFilter):
    """Patterns that take exponential and cubic time."""

    EXCLUSION_PATTERNS = {"a": [r"(a|aa)+$"], "b": [r"(.*)*,(.*)*;(.*)*!"]}  # noqa: RUF012
    REQUIRED_PATTERNS = {"c": ["never there"]}  # noqa: RUF012


@pytest.mark.parametrize("text", ["a" * 60 + "b" * 300, "," * 400 + "x" * 200, "a" * 1_000_000])
def test_patterns_that_take_too_long_block_nothing(text):
    started = time.thread_time()
    verdict = Hostile().apply_filter({"title": text, "content": text})
    assert time.thread_time() - started < 0.05
    assert verdict in {(True, "passed_pattern_time"), (False, "excluded_a")}
    assert Hostile().apply_filter({"title": "t", "content": "b " * 200}) == (False, "excluded_c")
