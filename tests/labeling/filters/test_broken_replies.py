"""Broken replies through a whole labelling run: repaired where certain, asked again, or dead.

Each article has a kind of broken reply; the scores of a label are known, so that a zero or a half
read reply would be seen.
"""

import json

import pytest
from made_filter import write_filter
from scripted_teacher import Scripted
from stillroom.errors import RemoteError
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.label_articles import label_articles
from stillroom.labeling.teachers.openai_http import RemoteTeacher
from stillroom.labeling.teachers.protocol import TeacherAnswer

SCORES = {"a": 7, "b": 4.5, "c": 9}
GOOD = json.dumps({"dimensions": SCORES, "reasoning": 'Because {it} says "so".'})
REPAIRED = {
    "prose around": f"Of course! Here it is:\n\n{GOOD}\n\nLet me know.",
    "fenced": f"```json\n{GOOD}\n```",
    "prose in another language": f"以下是评分：\n{GOOD}\n谢谢。",
    "trailing comma": GOOD[:-1] + ",}",
    "the same twice": f"{GOOD}\n{GOOD}",
    "another object first": f'{{"plan": "read, then rate"}}\n{GOOD}',
    "spelling": GOOD.replace('"a"', '"A"'),
}
REFUSED = {
    "missing dimension": GOOD.replace('"c": 9', '"d": 9'),
    "11 of 10": GOOD.replace("7", "11"),
    "negative": GOOD.replace("7", "-1"),
    "a text": GOOD.replace("7", '"7"'),
    "a fraction": GOOD.replace("7", '"7/10"'),
    "truth value": GOOD.replace("7", "true"),
    "NaN": GOOD.replace("7", "NaN"),
    "infinite": GOOD.replace("7", "1e999"),
    "null": GOOD.replace("7", "null"),
    "empty object": "{}",
    "two objects": GOOD + GOOD.replace("7", "3"),
    "one key twice": GOOD.replace('"a": 7', '"a": 7, "a": 1'),
    "cut off": GOOD[:30],
    "cut off in a text": GOOD[:-8],
    "another language": '{"dimensionen": {"Reife": 7, "Wirkung": 4.5, "Kosten": 9}}',
    "refusal in another language": "Lo siento, no puedo evaluar este artículo.",
    "nothing": " ",
    "list": "[7, 4.5, 9]",
    "broken JSON": GOOD.replace(":", "="),
}
CUT = {"ended by max_tokens": TeacherAnswer(GOOD, "length", 10, 5, "scripted-1")}
FAILING = {"server error": RemoteError("the server failed", status=500)}
SETTINGS = LabelSettings(concurrency=3, max_attempts=4, max_rejections=3, backoff_s=0,
                         max_error_rate=None)  # fmt: skip
ALWAYS = {**REFUSED, **CUT, **FAILING}


@pytest.fixture
def package(tmp_path):
    rules = "version: '1'\nmin_content_length: 1\n"
    return load_filter(write_filter(tmp_path / "package", prefilter__yaml=rules))


def kind_of(prompt):
    return prompt.split("kind <")[1].split(">")[0]


def articles(kinds):
    return [{"id": kind.replace(" ", "_"), "title": "T", "content": f"kind <{kind}>"}
            for kind in kinds]  # fmt: skip


def label(package, given, teacher, tmp_path, **options):
    return label_articles(package, given, teacher, tmp_path / "out", settings=SETTINGS, **options)


def labels(run):
    found = [json.loads(line) for path in sorted(run.folder.glob("labeled_batch_*.jsonl"))
             for line in path.read_text(encoding="utf-8").splitlines()]  # fmt: skip
    return {one["id"]: one["made_analysis"]["dimensions"] for one in found}


def test_what_is_certain_is_a_label_at_the_first_call(package, tmp_path):
    teacher = Scripted(lambda prompt, number: REPAIRED[kind_of(prompt)])
    run = label(package, articles(REPAIRED), teacher, tmp_path)
    assert (run.labelled, run.failed, len(teacher.asked)) == (len(REPAIRED), 0, len(REPAIRED))
    assert all(one == SCORES for one in labels(run).values())
    metrics = [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert all(one["json_repaired"] or one["article_id"] == "the_same_twice" for one in metrics)


def test_what_is_not_certain_is_asked_again_and_then_a_label(package, tmp_path):
    seen = set()

    def answer(prompt, number):
        kind = kind_of(prompt)
        if kind in seen:
            return GOOD
        seen.add(kind)
        return ALWAYS[kind]

    teacher = Scripted(answer)
    run = label(package, articles(ALWAYS), teacher, tmp_path)
    assert (run.labelled, run.failed) == (len(ALWAYS), 0)
    assert len(teacher.asked) == 2 * len(ALWAYS)
    metrics = [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {one["attempts_made"] for one in metrics} == {2}
    summary = json.loads((run.folder / "session_summary.json").read_text())
    assert summary["total_retries"] == len(ALWAYS)
    assert all(one == SCORES for one in labels(run).values())


def test_what_always_fails_is_a_dead_letter_after_a_bounded_number_of_calls(package, tmp_path):
    teacher = Scripted(lambda prompt, number: ALWAYS[kind_of(prompt)])
    run = label(package, articles(ALWAYS), teacher, tmp_path)
    assert (run.labelled, run.failed, run.stopped) == (0, len(ALWAYS), None)
    assert labels(run) == {}, "never a silent zero"
    calls = dict.fromkeys(ALWAYS, 0)
    for prompt in teacher.asked:
        calls[kind_of(prompt)] += 1
    for kind, count in calls.items():
        most = SETTINGS.max_attempts if kind in FAILING else SETTINGS.max_rejections
        assert count == most, kind
    letters = [json.loads(x) for x in (run.folder / "dead_letter.jsonl").read_text().splitlines()]
    assert {one["id"] for one in letters} == {one["id"] for one in articles(ALWAYS)}
    assert all(one["error_message"] and one["attempts"] for one in letters)
    log = (run.folder / "distillation.log").read_text()
    assert f"0 labels and {len(ALWAYS)} dead letters" in log

    asked = len(teacher.asked)
    label(package, articles(ALWAYS), teacher, tmp_path)
    assert len(teacher.asked) == asked, "a dead letter is not asked for again by itself"
    good = Scripted(lambda prompt, number: GOOD)
    again = LabelSettings(concurrency=3, backoff_s=0, retry_failed=True)
    run = label_articles(package, articles(ALWAYS), good, tmp_path / "out", settings=again)
    assert run.labelled == len(ALWAYS)
    assert all(one == SCORES for one in labels(run).values())


def test_a_server_that_fails_in_the_middle_gives_whole_scores_or_none(package, tmp_path, serve):
    """It refuses, resets, breaks off and answers with no JSON, in four calls of ten."""
    server = serve(fault_share=0.4, hang_s=0.5, answer=lambda prompt: GOOD)
    teacher = RemoteTeacher("tiny", base_url=server.base_url, timeout_s=0.25)
    settings = LabelSettings(concurrency=8, max_attempts=9, max_rejections=9, backoff_s=0.001,
                             max_error_rate=None)  # fmt: skip
    given = articles([f"number {n}" for n in range(60)])
    run = label_articles(package, given, teacher, tmp_path / "out", settings=settings)
    assert run.labelled + run.failed == 60
    assert run.labelled >= 55
    assert all(one == SCORES for one in labels(run).values())
    assert server.asked.total() <= 60 * settings.max_attempts
    assert server.asked.total() > 60, "else nothing went wrong"
