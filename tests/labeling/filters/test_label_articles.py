"""Labelling for a filter: bounded calls, a target, and a run that goes on where it ended."""

import json

import pytest
from made_filter import PROMPT, write_filter
from scripted_teacher import Scripted
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.input_view import require_same_view
from stillroom.labeling.filters.label_articles import label_articles

RULES = "version: '1'\nmin_content_length: 1\nexclusions: {rumour: [may]}\n"
SETTINGS = LabelSettings(concurrency=4, max_rejections=2, backoff_s=0, max_error_rate=None)


@pytest.fixture
def package(tmp_path):
    return load_filter(write_filter(tmp_path / "package", prefilter__yaml=RULES))


def oracle():
    def answer(prompt, number):
        value = int(prompt.split("article ")[1].split(".")[0]) % 10
        return "no idea" if value == 7 else json.dumps({"a": value, "b": value, "c": 0})

    return Scripted(answer)


def articles(count):
    return [{"id": f"r{n}", "title": "T", "content": f"This is article {n}."} for n in range(count)]


def label(package, given, teacher, tmp_path, **options):
    return label_articles(package, given, teacher, tmp_path / "out", settings=SETTINGS, **options)


def stored(run):
    lines = [
        json.loads(line)
        for path in sorted(run.folder.glob("labeled_batch_*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {one["id"]: one["made_analysis"] for one in lines}, len(lines)


def test_articles_become_labels_and_dead_letters_with_bounded_calls(package, tmp_path):
    teacher = oracle()
    given = [*articles(20), {"id": "x", "title": "It may be", "content": "article 5."}]
    run = label(package, given, teacher, tmp_path)
    assert (run.labelled, run.failed, run.total, run.stopped) == (18, 2, 18, None)
    assert run.blocked == {"excluded_rumour": 1}
    assert len(teacher.asked) == 18 + 2 * SETTINGS.max_rejections
    found, lines = stored(run)
    assert lines == len(found) == 18
    assert found["r9"]["dimensions"] == {"a": 9.0, "b": 9.0, "c": 0.0}
    assert found["r0"]["overall_score"] == 0
    for analysis in found.values():
        require_same_view(analysis, package.view, where="label")
    metrics = [json.loads(one) for one in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert sum(one["success"] for one in metrics) == 18
    letters = (run.folder / "dead_letter.jsonl").read_text().splitlines()
    assert [json.loads(one)["id"] for one in letters] == ["r7", "r17"]

    again = oracle()
    second = label(package, given, again, tmp_path)
    assert (second.labelled, second.failed, second.total, again.asked) == (0, 0, 18, [])


def test_a_target_is_reached_in_spite_of_dead_letters_and_not_exceeded(package, tmp_path):
    teacher = oracle()
    run = label(package, articles(100), teacher, tmp_path, target_count=15)
    assert run.total == 15
    assert len(teacher.asked) == 15 + SETTINGS.max_rejections
    assert label(package, articles(100), teacher, tmp_path, target_count=15).labelled == 0
    assert label(package, articles(100), teacher, tmp_path, target_count=20).labelled == 5


def test_labels_that_a_kill_kept_from_the_folder_are_not_paid_for_again(package, tmp_path):
    run = label(package, articles(10), oracle(), tmp_path)
    before, _ = stored(run)
    path = run.folder / "labeled_batch_001.jsonl"
    path.write_bytes(path.read_bytes()[:900])
    teacher = oracle()
    again = label(package, articles(10), teacher, tmp_path)
    after, lines = stored(again)
    assert lines == len(after) == 9
    assert {k: v["dimensions"] for k, v in after.items()} == {
        k: v["dimensions"] for k, v in before.items()
    }
    assert teacher.asked == []


def test_a_changed_prompt_stops_before_the_first_call(package, tmp_path):
    label(package, articles(2), oracle(), tmp_path)
    prompt = PROMPT.replace("Rate", "Judge")
    other = load_filter(write_filter(tmp_path / "other", prompt=prompt, prefilter__yaml=RULES))
    teacher = oracle()
    with pytest.raises(ConfigError, match="made with the prompt"):
        label(other, articles(3), teacher, tmp_path)
    assert teacher.asked == []


def test_the_schema_is_sent_where_it_is_wanted(package, tmp_path):
    teacher = oracle()
    label(package, articles(1), teacher, tmp_path, structured=True)
    sent = teacher.profiles[0].extra["response_format"]["json_schema"]["schema"]
    assert sent["properties"]["dimensions"]["required"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "words"),
    [([{"title": "T", "content": "x"}], "row 1.*no id"), (articles(1) * 2, "row 2.*that of row 1")],
)
def test_ids_are_needed_and_unique(given, words, package, tmp_path):
    with pytest.raises(DataError, match=words):
        label(package, given, oracle(), tmp_path)


def test_a_target_below_one_is_refused(package, tmp_path):
    with pytest.raises(ConfigError, match="target_count is 0"):
        label(package, articles(1), oracle(), tmp_path, target_count=0)
