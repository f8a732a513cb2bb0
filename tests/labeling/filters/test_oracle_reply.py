"""Broken replies of an oracle: repaired where certain, else a reason; never a silent zero."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_teacher import Scripted
from stillroom.errors import DataError
from stillroom.labeling.batch.label_run import LabelSettings, LabelTask
from stillroom.labeling.batch.labeler import BatchLabeler
from stillroom.labeling.filters.filter_package import load_filter, packaged_filters
from stillroom.labeling.filters.oracle_reply import (
    extract_json_from_response,
    oracle_check,
    read_reply,
    repair_json,
    response_format,
    response_schema,
)
from stillroom.labeling.filters.scored_record import (
    Analysis,
    AnalysisFault,
    analysis_of,
    scored_record,
)

GOOD = '{"dimensions": {"a": 7, "b": 0, "c": 4.5}, "overall_score": 3, "reasoning": "x"}'
SCORES = {"a": 7.0, "b": 0.0, "c": 4.5}
CERTAIN = {
    "plain": (GOOD, ()),
    "fence": (f"```json\n{GOOD}\n```", ("text around the object",)),
    "prose in another language": (f"Hier:\n{GOOD}\nViel Erfolg!", ("text around the object",)),
    "flat": ('{"a": 7, "b": 0, "c": 4.5}', ()),
    "nested": ('{"a": {"score": 7, "reasoning": "r"}, "b": {"score": 0}, "c": {"score": 4.5}}', ()),
    "wrapped": (f'{{"made_analysis": {GOOD}}}', ()),
    "trailing comma": ('{"dimensions": {"a": 7, "b": 0, "c": 4.5,},}', ("JSON",)),
    "comments": ('{"a": 7, // high\n "b": 0, /* none */ "c": 4.5}', ("JSON",)),
    "a link with a trailing comma": ('{"a": 7, "b": 0, "c": 4.5, "reasoning": "https://x.org/a",}',
                                     ("JSON",)),
    "braces in a text": ('{"a": 7, "b": 0, "c": 4.5, "reasoning": "a } and \\" {"}', ()),
    "line end in a text": ('{"a": 7, "b": 0, "c": 4.5, "reasoning": "a\nb"}', ("JSON",)),
    "case": ('{"A": 7, "b": 0, "c": 4.5}', ("name 'A'",)),
    "twice the same": (f"{GOOD}\n\nAgain: {GOOD}", ("text around the object",)),
    "an object without scores": (f'{{"thinking": "hm"}}\n{GOOD}', None),
    "python": ('{"a": 7, "b": 0, "c": 4.5, "sure": True, "note": None}', ("JSON",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CERTAIN)
def test_what_is_certain_is_read(case, config):
    text, repairs = CERTAIN[case]
    made = read_reply(text, config)
    assert made.scores == SCORES
    if repairs is not None:
        assert made.repairs == repairs


BROKEN = {
    "missing_dimension c": '{"a": 7, "b": 0}',
    "out_of_range a: 11": '{"a": 11, "b": 0, "c": 4}',
    "out_of_range a: -1": '{"a": -1, "b": 0, "c": 4}',
    "not_a_number a: '7'": '{"a": "7", "b": 0, "c": 4}',
    "not_a_number a: '9/10'": '{"a": "9/10", "b": 0, "c": 4}',
    "not_a_number a: True": '{"a": true, "b": 0, "c": 4}',
    "not_a_number a: nan": '{"a": NaN, "b": 0, "c": 4}',
    "not_a_number a: inf": '{"a": Infinity, "b": 0, "c": 4}',
    "missing_score a: None": '{"a": null, "b": 0, "c": 4}',
    "missing_score a": '{"a": {"reasoning": "r"}, "b": 0, "c": 4}',
    "several_objects": '{"a": 7, "b": 0, "c": 4} {"a": 8, "b": 0, "c": 4}',
    "duplicate_key 'a'": '{"a": 7, "a": 8, "b": 0, "c": 4}',
    "truncated": '{"dimensions": {"a": 7, "b": 0, "c"',
    "truncated: a text": '{"a": 7, "b": 0, "c": 4, "reasoning": "and th',
    "empty_response": " \n",
    "json_extraction_failed": "I cannot rate this article.",
    "json_parse_error": '{"a": 7 "b": 0, "c": 4}',
    "json_parse_error: Expecting property name": "{'a': 7, 'b': 0, 'c': 4}",
    "missing_dimension a; missing_dimension b": '{"Reife": 7, "Wirkung": 0, "Kosten": 4}',
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_is_not_certain_is_a_reason_to_ask_again(reason, config):
    with pytest.raises(AnalysisFault) as raised:
        read_reply(BROKEN[reason], config)
    assert str(raised.value).startswith(reason)
    answer = type("Answer", (), {"text": BROKEN[reason]})()
    assert oracle_check(config)(LabelTask("1", "p"), answer) == str(raised.value)


@given(st.integers(0, len(GOOD) - 1))
def test_a_reply_that_is_cut_anywhere_is_never_a_label(config, length):
    with pytest.raises(AnalysisFault):
        read_reply(GOOD[:length], config)


@given(st.text(max_size=200) | st.text(alphabet='{}[]",:\\/abc 0159\n', max_size=60))
def test_any_text_is_a_reason_or_whole_scores(config, text):
    try:
        made = read_reply(text, config)
    except AnalysisFault:
        return
    assert set(made.scores) == {"a", "b", "c"}


def test_the_public_helpers_know_texts():
    assert extract_json_from_response('a {"u": "https://x/{y}"} b') == '{"u": "https://x/{y}"}'
    assert extract_json_from_response("{} {}") is None
    assert json.loads(repair_json('{"u": "https://x, }", "y": [1, 2, ], }')) == {
        "u": "https://x, }", "y": [1, 2],
    }  # fmt: skip


def test_a_labeler_retries_and_dead_letters_with_a_bounded_number_of_calls(config, tmp_path):
    def answer(prompt, number):
        return "{}" if prompt == "never" else GOOD if number > 2 else '{"a": 11, "b": 1, "c": 1}'

    teacher = Scripted(answer)
    settings = LabelSettings(concurrency=1, max_rejections=3, backoff_s=0, max_error_rate=None)
    labeler = BatchLabeler(teacher, tmp_path, settings=settings, check=oracle_check(config))
    run = labeler.run([LabelTask("1", "sometimes"), LabelTask("2", "never")])
    assert [one.task.id for one in run.labelled] == ["1"]
    assert read_reply(run.labelled[0].answer.text, config).scores == SCORES
    assert list(run.reasons) == ["missing_dimension a; missing_dimension b; missing_dimension c"]
    assert len(teacher.asked) <= 2 * 3


@pytest.mark.parametrize("name", packaged_filters())
def test_schemas_accept_what_is_read_and_refuse_what_is_not(name):
    schema_of = pytest.importorskip("jsonschema")
    config = load_filter(name).config
    schema = response_schema(config)
    schema_of.Draft202012Validator.check_schema(schema)
    if config.is_classifier:
        good, bad = {"class": "other", "reasoning": ""}, {"class": "others", "reasoning": ""}
    else:
        own = dict.fromkeys(config.dimension_names, 10)
        good = {"dimensions": own, "reasoning": ""}
        bad = {"dimensions": {**own, config.dimension_names[0]: 11}, "reasoning": ""}
    schema_of.validate(good, schema)
    read_reply(json.dumps(good), config)
    with pytest.raises(schema_of.ValidationError):
        schema_of.validate(bad, schema)
    with pytest.raises(AnalysisFault):
        read_reply(json.dumps(bad), config)
    assert response_format(config)["response_format"]["json_schema"]["strict"] is True


def test_a_class_is_read_in_its_own_spelling_alone():
    config = load_filter("support_request_kind/v1").config
    assert read_reply('{"class": "Card Lost"}', config).label == "card_lost"
    for wrong in ('{"class": "stolen"}', '{"class": 3}', "{}"):
        with pytest.raises(AnalysisFault):
            read_reply(wrong, config)


def test_scored_records_are_written_and_read(config):
    article = {"id": "1", "title": "T", "content": "x", "extra": [1]}
    record = scored_record(article, Analysis({"a": 1.0, "b": 9.0, "c": 9.0}, None, "r"), config,
                           prompt_hash="8b5f4fe3a6a1", oracle="gemini-flash")  # fmt: skip
    told = record["made_analysis"]
    assert {key: record[key] for key in article} == article
    assert told["overall_score"] == 3.5, "gatekeepers apply to the overall score, not to the scores"
    assert (told["tier"], told["analyzed_by"]) == ("low", "gemini-flash-api-batch")
    assert told["analyzed_at"].endswith("Z")
    assert analysis_of(json.loads(json.dumps(record)), config).scores == {"a": 1, "b": 9, "c": 9}
    assert analysis_of(article, config) is None
    zero = scored_record(article, Analysis(dict.fromkeys("abc", 0.0)), config, prompt_hash="h",
                         oracle="o")  # fmt: skip
    assert (zero["made_analysis"]["overall_score"], zero["made_analysis"]["tier"]) == (0, "low")
    with pytest.raises(AnalysisFault, match="missing_dimension"):
        analysis_of({"made_analysis": {"dimensions": {"a": 3}}}, config)
    with pytest.raises(DataError):
        scored_record(article, Analysis({"a": 1.0}), config, prompt_hash="h", oracle="o")
