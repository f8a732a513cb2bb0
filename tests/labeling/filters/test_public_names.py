"""The classes and functions of LLM Distillery, with their signatures."""

import inspect
import json
import logging
import re

import pytest
import stillroom
from made_filter import write_filter
from scripted_teacher import Scripted
from stillroom.errors import ConfigError, DataError, RemoteError
from stillroom.labeling.batch.label_run import LabelFault, LabelSettings
from stillroom.labeling.filters.oracles.oracle_errors import error_type_of
from stillroom.labeling.teachers.stored_keys import key_variable, stored_key

SIGNATURES = {
    "GenericBatchScorer": "prompt_path, llm_provider='claude', api_key=None, output_dir='datasets',"
    " filter_name=None, filter_version=None, thinking_budget=0",
    "GenericBatchLabeler": "prompt_path, llm_provider='claude', api_key=None,"
    " output_dir='datasets', filter_name=None, filter_version=None, thinking_budget=0",
    "GenericBatchScorer.build_prompt": "self, article",
    "GenericBatchScorer.analyze_article": "self, article, timeout_seconds=60, max_retries=3",
    "GenericBatchScorer.process_batch": "self, articles, batch_num",
    "GenericBatchScorer.load_unscored_articles": "self, source_files, batch_size=50,"
    " pre_filter=None",
    "GenericBatchLabeler.load_unlabeled_articles": "self, source_files, batch_size=50,"
    " pre_filter=None",
    "GenericBatchScorer.load_all_articles": "self, source_files, pre_filter=None",
    "GenericBatchScorer.run": "self, source_files, max_batches=None, target_count=None,"
    " batch_size=50, pre_filter=None, random_sample=False, random_seed=42",
    "load_filter_package": "filter_path",
    "analysis_field_name": "name",
    "extract_json_from_response": "text",
    "repair_json": "text",
    "LLMError": "message, error_type, retryable=True",
    "LLMTimeoutError": "message, timeout_seconds",
    "LLMRateLimitError": "message, retry_after=None",
    "LLMAuthError": "message",
    "LLMResponseError": "message, error_type",
    "StratifiedSampler": "data_dir",
    "StratifiedSampler.stratified_sample": "self, num_samples, categories, max_articles=100000",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_as_promised(name):
    first, *rest = name.split(".")
    found = getattr(stillroom, first)
    for part in rest:
        found = getattr(found, part)
    own = [
        one.name if one.default is one.empty else f"{one.name}={one.default!r}"
        for one in inspect.signature(found).parameters.values()
        if one.kind is not one.KEYWORD_ONLY
    ]
    assert ", ".join(own) == SIGNATURES[name]


def test_error_types_and_errors():
    assert [one.value for one in stillroom.ErrorType] == [
        "timeout", "json_parse_error", "json_extraction_failed", "llm_api_error",
        "empty_response", "rate_limit", "auth_error", "unknown",
    ]  # fmt: skip
    assert stillroom.LLMAuthError("no").retryable is False
    assert stillroom.LLMTimeoutError("slow", 3).timeout_seconds == 3
    assert stillroom.LLMRateLimitError("wait", 7).retry_after == "7"
    assert issubclass(stillroom.LLMError, RemoteError)
    for kind, message, wanted in (
        ("rejected", "json_extraction_failed: no object", "json_extraction_failed"),
        ("rejected", "out_of_range a: 11", "json_parse_error"),
        ("connection", "reset", "llm_api_error"),
        ("timeout", "slow", "timeout"),
        ("in_doubt", "?", "unknown"),
    ):
        assert error_type_of(LabelFault(kind, message, 1)) == wanted


def test_prefilters_have_the_promised_attributes():
    base = stillroom.BasePreFilter
    assert (base.VERSION, base.MIN_CONTENT_LENGTH, base.MAX_PREFILTER_CONTENT) == ("0.0", 300, 2000)
    for name in ("EXCLUSION_PATTERNS", "OVERRIDE_KEYWORDS", "POSITIVE_PATTERNS",
                 "DOMAIN_EXCLUSIONS", "CATEGORY_OVERRIDES"):  # fmt: skip
        assert not getattr(base, name)
    assert base.POSITIVE_THRESHOLD == 0
    for name in ("_pre_exclusion_check", "_filter_specific_final_check",
                 "_compound_override_applies", "apply_filter"):  # fmt: skip
        assert callable(getattr(base, name))


@pytest.fixture
def prompt(tmp_path):
    rules = "version: '1'\nmin_content_length: 1\n"
    return write_filter(tmp_path / "package", prefilter__yaml=rules) / "prompt-compressed.md"


def oracle():
    def answer(text, number):
        value = int(re.search(r"article (\d+)", text)[1])
        return "no idea" if value == 7 else json.dumps({"a": value % 10, "b": 1, "c": 0})

    return Scripted(answer)


def sources(tmp_path, count=12):
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(
        json.dumps({"id": f"r{n}", "title": "T", "content": f"This is article {n}."}) + "\n"
        for n in range(count)
    ))  # fmt: skip
    return path


FAST = LabelSettings(backoff_s=0, max_error_rate=None)


@pytest.mark.parametrize(
    ("kind", "file"),
    [(stillroom.GenericBatchLabeler, "labeled_batch_001.jsonl"),
     (stillroom.GenericBatchScorer, "scored_batch_001.jsonl")],
)  # fmt: skip
def test_a_run_labels_and_goes_on(kind, file, prompt, tmp_path):
    teacher, raw = oracle(), sources(tmp_path)
    labeler = kind(prompt, output_dir=tmp_path / "out", teacher=teacher, settings=FAST)
    assert labeler.build_prompt(labeler.load_all_articles(raw)[3]).count("article 3") == 1
    assert labeler.run(raw, target_count=5, batch_size=5)["labelled"] == 5
    assert len(labeler.load_unscored_articles(raw, batch_size=4)) == 4
    kept = labeler.load_unscored_articles(raw, pre_filter=lambda one: (one["id"] == "r9", "x"))
    assert [one["id"] for one in kept] == ["r9"]
    told = labeler.run(raw, max_batches=1, batch_size=3)
    assert (told["labelled"], told["failed"]) == (3, 1)
    assert labeler.process_batch(labeler.load_all_articles(raw), 2)["total"] == 11
    assert (labeler.folder / file).is_file()
    asked = len(teacher.asked)
    assert labeler.run(raw, random_sample=True)["labelled"] == 0
    assert len(teacher.asked) == asked, "nothing is paid for twice, the dead letter neither"


def test_one_article_is_analysed_or_given_up_after_a_bounded_number_of_calls(prompt, tmp_path):
    teacher, raw = oracle(), sources(tmp_path)
    labeler = stillroom.GenericBatchLabeler(prompt, output_dir=tmp_path / "out", teacher=teacher)
    articles = labeler.load_all_articles(raw)
    analysis = labeler.analyze_article(articles[3])
    assert analysis["dimensions"] == {"a": 3.0, "b": 1.0, "c": 0.0}
    assert labeler.analyze_article(articles[7], max_retries=2) is None
    assert labeler.last_error == "json_extraction_failed"
    assert len(teacher.asked) == 1 + 2


def test_what_does_not_fit_is_refused(prompt, tmp_path):
    with pytest.raises(FileNotFoundError):
        stillroom.GenericBatchLabeler(tmp_path / "nothing.md")
    with pytest.raises(ConfigError) as raised:
        stillroom.GenericBatchLabeler(prompt, filter_name="x", filter_version="2.0")
    assert len(raised.value.faults) == 2
    (tmp_path / "bad.jsonl").write_text('{"id": "1"}\n{"id": \n')
    labeler = stillroom.GenericBatchLabeler(prompt, output_dir=tmp_path, teacher=oracle())
    with pytest.raises(DataError, match="line 2"):
        labeler.load_all_articles(tmp_path / "bad.jsonl")


def test_samples_are_drawn_by_category_edge_and_chance(tmp_path):
    words = {"solar": 40, "vaccine": 40, "nothing": 40, "solar vaccine": 10, "solar solar": 20}
    records = [f"{word} item" for word, count in words.items() for _ in range(count)]
    (tmp_path / "a.jsonl").write_text("".join(
        json.dumps({"id": str(n), "title": "", "content": text}) + "\n"
        for n, text in enumerate(records)
    ))  # fmt: skip
    categories = {"energy": ["solar"], "health": ["vaccine"]}
    sampler = stillroom.StratifiedSampler(tmp_path)
    drawn = sampler.stratified_sample(40, categories)
    assert len(drawn) == len({one["id"] for one in drawn}) == 40
    assert sum("solar" in one["content"] or "vaccine" in one["content"] for one in drawn) >= 36
    assert drawn == sampler.stratified_sample(40, categories)
    assert len(sampler.stratified_sample(1000, categories)) == 150
    with pytest.raises(ConfigError):
        sampler.stratified_sample(0, {})


def test_keys_come_from_the_environment_then_from_the_file(tmp_path, monkeypatch, caplog):
    path = tmp_path / "secrets.ini"
    assert stored_key("GEMINI_API_KEY", path) is None
    path.write_text("[api_keys]\ngemini_api_key = 50%of-a-key\nopenai_api_key =\n")
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert key_variable("GEMINI_API_KEY") is None
    assert stored_key("GEMINI_API_KEY", path) == "50%of-a-key"
    assert stored_key("OPENAI_API_KEY", path) is None
    monkeypatch.setenv("GOOGLE_API_KEY", "x")
    assert key_variable("GEMINI_API_KEY") == "GOOGLE_API_KEY"
    path.write_text("sk-secret-line-without-section\n")
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError) as raised:
        stored_key("GEMINI_API_KEY", path)
    assert "sk-secret" not in str(raised.value) + caplog.text
    assert raised.value.__cause__ is None


def test_the_environment_wins_over_the_file_when_a_teacher_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "config/credentials"
    folder.mkdir(parents=True)
    (folder / "secrets.ini").write_text("[api_keys]\ngemini_api_key = filed\n")
    monkeypatch.setenv("GEMINI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    opened = stillroom.open_teacher("gemini", model="m")
    assert opened.server.key() == "filed"
    assert "filed" not in repr(opened.server)
    monkeypatch.setenv("GEMINI_API_KEY", "set")
    assert stillroom.open_teacher("gemini", model="m").server.key() == "set"
