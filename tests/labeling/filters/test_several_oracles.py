"""Several oracles and one consensus; and an oracle that contradicts itself labels nothing."""

import json
import random
import statistics

import pytest
from made_filter import changed, write_filter
from scripted_teacher import Scripted
from stillroom.errors import ConfigError, LabelingStoppedError
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.label_articles import label_articles
from stillroom.labeling.filters.oracles.consensus import join_replies
from stillroom.labeling.filters.oracles.consistency import ConsistencyLimits
from stillroom.labeling.filters.scored_record import Analysis, AnalysisFault, analysis_of

RULES = "version: '1'\nmin_content_length: 1\n"
SETTINGS = LabelSettings(concurrency=4, max_rejections=2, backoff_s=0, max_error_rate=None)


@pytest.fixture
def package(tmp_path):
    return load_filter(write_filter(tmp_path / "package", prefilter__yaml=RULES))


def oracle(name, shift=0.0, *, fails_on=None, noise=0.0):
    draw = random.Random(name)

    def answer(prompt, number):
        value = int(prompt.split("article ")[1].split(".")[0]) % 5
        if value == fails_on:
            return "I cannot rate this."
        score = value + shift + draw.uniform(-noise, noise)
        return json.dumps({"a": max(0.0, score), "b": value, "c": 0})

    made = Scripted(answer)
    made.name = name
    return made


def articles(count):
    return [{"id": f"r{n}", "title": "T", "content": f"This is article {n}."} for n in range(count)]


def label(package, given, teachers, tmp_path, **options):
    return label_articles(package, given, teachers, tmp_path / "out", settings=SETTINGS, **options)


def stored(run):
    path = run.folder / "labeled_batch_001.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("how", ["median", "mean"])
def test_labels_are_the_consensus_and_keep_each_oracle(how, package, tmp_path):
    shifts = {"one": 0.0, "two": 1.0, "three": 5.0}
    teachers = [oracle(name, shift) for name, shift in shifts.items()]
    run = label(package, articles(4), teachers, tmp_path, consensus=how)
    assert (run.labelled, run.failed) == (4, 0)
    join = statistics.median if how == "median" else statistics.mean
    for n, record in enumerate(stored(run)):
        told = record["made_analysis"]
        assert told["dimensions"]["a"] == pytest.approx(join(n + x for x in shifts.values()))
        assert told["oracles"] == {
            name: {"a": n + shift, "b": n, "c": 0} for name, shift in shifts.items()
        }
        assert told["disagreement"] == {"a": 5.0, "b": 0.0, "c": 0.0}
        assert told["analyzed_by"] == f"{how}(one, two, three)-api-batch"
        assert analysis_of(record, package.config).scores["b"] == n
    with pytest.raises(ConfigError, match="are of the oracle"):
        label(package, articles(5), teachers[:1], tmp_path)


def test_an_article_that_one_oracle_fails_on_is_a_dead_letter_and_bounded(package, tmp_path):
    first, second = oracle("first", fails_on=3), oracle("second")
    run = label(package, articles(10), [first, second], tmp_path)
    assert (run.labelled, run.failed) == (8, 2)
    assert len(first.asked) == 8 + 2 * SETTINGS.max_rejections
    assert len(second.asked) == 8, "the next oracle is not asked about it"
    letters = [json.loads(x) for x in (run.folder / "dead_letter.jsonl").read_text().splitlines()]
    assert letters[0]["error_message"].startswith("first: json_extraction_failed")
    replies = sorted((run.folder / "error_logs").glob("r3_attempt*"))
    assert [one.name.split("_")[1] for one in replies] == ["attempt1", "attempt2"]
    assert replies[0].read_text() == "I cannot rate this."


def test_classes_need_a_majority():
    config = load_filter("support_request_kind/v1").config
    one, other = list(config.classes)[:2]
    kept = join_replies(
        {"x": Analysis({}, one), "y": Analysis({}, other), "z": Analysis({}, one)}, config
    )
    assert (kept.label, kept.oracles) == (one, {"x": one, "y": other, "z": one})
    with pytest.raises(AnalysisFault, match="no_majority"):
        join_replies({"x": Analysis({}, one), "y": Analysis({}, other)}, config)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"consensus": "best"}, "consensus is 'best'"), ({"most_batches": 0}, "most_batches is 0")],
)
def test_wrong_settings_are_refused_before_a_call(options, words, package, tmp_path):
    teacher = oracle("one")
    with pytest.raises(ConfigError, match=words):
        label(package, articles(1), [teacher], tmp_path, **options)
    with pytest.raises(ConfigError, match="different names"):
        label(package, articles(1), [teacher, oracle("one")], tmp_path)
    assert teacher.asked == []


def test_an_oracle_that_agrees_with_itself_is_asked_twice_once(package, tmp_path):
    limits, teacher = ConsistencyLimits(articles=6), oracle("steady")
    run = label(package, articles(20), teacher, tmp_path, consistency=limits)
    assert (run.labelled, len(teacher.asked)) == (20, 20 + 6), "the first replies are labels"
    assert run.consistency[0].spread == {"a": 0.0, "b": 0.0, "c": 0.0}
    again = label(package, articles(25), teacher, tmp_path, consistency=limits)
    assert (again.labelled, again.consistency, len(teacher.asked)) == (5, [], 20 + 6 + 5)


def test_an_oracle_that_contradicts_itself_is_stopped_with_a_sentence(package, tmp_path):
    limits, teacher = ConsistencyLimits(articles=10, most_spread=0.5), oracle("wild", noise=4.0)
    given = articles(100)
    with pytest.raises(LabelingStoppedError) as raised:
        label(package, given, teacher, tmp_path, consistency=limits)
    told = str(raised.value)
    assert "wild contradicts itself: asked twice about 10 articles, its scores of a differ" in told
    assert "--skip-consistency-check" in told
    assert len(teacher.asked) == 20
    assert not list((tmp_path / "out/made").glob("labeled_batch*"))
    with pytest.raises(LabelingStoppedError):
        label(package, given, teacher, tmp_path, consistency=limits)
    assert len(teacher.asked) == 20, "what was answered is not paid for again"
    assert label(package, given, teacher, tmp_path).labelled == 100


def test_a_target_bounds_the_check(package, tmp_path):
    teacher = oracle("steady")
    run = label(package, articles(90), teacher, tmp_path, target_count=3,
                consistency=ConsistencyLimits())  # fmt: skip
    assert (run.labelled, len(teacher.asked)) == (3, 6)


def test_a_change_of_the_view_is_refused_and_marked_where_it_is_allowed(package, tmp_path):
    label(package, articles(2), oracle("one"), tmp_path)
    shorter = changed("preprocessing.compression.max_words", 100)
    other = load_filter(write_filter(tmp_path / "other", shorter, prefilter__yaml=RULES))
    teacher = oracle("one")
    with pytest.raises(ConfigError, match="shortened in another way"):
        label(other, articles(4), teacher, tmp_path)
    assert teacher.asked == []
    run = label(other, articles(4), teacher, tmp_path, allow_change=True)
    views = [one["made_analysis"]["view_hash"] for one in stored(run)]
    assert views == [package.view.sha256] * 2 + [other.view.sha256] * 2
    event = json.loads((run.folder / "events.jsonl").read_text())
    assert event["labels_before"] == 2
