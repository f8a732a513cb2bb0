"""Many records to labels: order, retries, cache, budget, and when a run ends."""

import asyncio
import random

import pytest
from scripted_teacher import Scripted
from stillroom.errors import ConfigError, DataError, DeadlineError, RemoteError
from stillroom.files import read_json_lines
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.teachers.protocol import DecodeProfile, TeacherAnswer

FAST = {"backoff_s": 0.001}


def tasks(count, **fields):
    return [LabelTask(str(n), f"prompt {n}", {"n": n}, **fields) for n in range(count)]


def label(teacher, folder, asked, *, profile=None, check=None, progress=None, **settings):
    chosen = LabelSettings(**{**FAST, **settings})
    labeler = BatchLabeler(teacher, folder, profile=profile, settings=chosen, check=check)
    return labeler.run(asked, progress=progress)


def texts(run):
    return [None if one.answer is None else one.answer.text for one in run.results]


def echo(prompt, number):
    return f"to {prompt}"


def test_results_are_in_the_order_of_the_tasks(tmp_path):
    chance = random.Random(0)

    class Late(Scripted):
        async def ask(self, prompt, profile, *, call_id=""):
            await asyncio.sleep(chance.uniform(0, 0.02))
            return await super().ask(prompt, profile, call_id=call_id)

    teacher = Late(echo)
    run = label(teacher, tmp_path, tasks(40), concurrency=7)
    assert texts(run) == [f"to prompt {n}" for n in range(40)]
    assert teacher.asked != sorted(teacher.asked, key=lambda text: int(text.split()[1]))
    assert teacher.most <= 7
    assert teacher.closed == 1
    numbers = run.numbers
    assert (numbers.records, numbers.labelled, numbers.calls) == (40, 40, 40)
    assert (numbers.prompt_tokens, numbers.completion_tokens) == (400, 200)
    assert run.stopped is None


def test_what_was_answered_is_not_asked_again(tmp_path):
    first, second = Scripted(echo), Scripted(echo)
    label(first, tmp_path, tasks(10))
    run = label(second, tmp_path, tasks(12))
    assert second.asked == ["prompt 10", "prompt 11"]
    assert [one.cached for one in run.results] == [True] * 10 + [False] * 2
    assert run.numbers.cached == 10
    for other in (DecodeProfile(temperature=0.5), DecodeProfile(max_tokens=7)):
        third = Scripted(echo)
        label(third, tmp_path, tasks(2), profile=other)
        assert len(third.asked) == 2
    named = Scripted(echo)
    named.name = "another"
    label(named, tmp_path, tasks(1))
    assert len(named.asked) == 1


def test_equal_prompts_are_asked_once_and_samples_each(tmp_path):
    teacher = Scripted(lambda prompt, number: f"answer {number}")
    same = [LabelTask(str(n), "same") for n in range(5)]
    run = label(teacher, tmp_path, same)
    assert len(teacher.asked) == 1
    assert texts(run) == ["answer 1"] * 5
    samples = [LabelTask(f"s{n}", "same", sample=n) for n in range(5)]
    run = label(teacher, tmp_path, samples, concurrency=1)
    assert texts(run) == [f"answer {n}" for n in (1, 2, 3, 4, 5)]
    assert [profile.seed for profile in teacher.profiles] == [0, 1, 2, 3, 4]
    greedy = {one.key for one in run.results}
    assert len(greedy) == 5


FAULTS = [
    (RemoteError("429", status=429), "rate_limit", 3),
    (RemoteError("500", status=500), "llm_api_error", 3),
    (RemoteError("502", status=502), "llm_api_error", 3),
    (RemoteError("reset"), "connection", 3),
    (RemoteError("no JSON", status=200), "json_parse_error", 3),
    (DeadlineError("late"), "timeout", 3),
    (ValueError("broken"), "unknown", 3),
    (RemoteError("400", status=400), "bad_request", 1),
    (RemoteError("403", status=403), "auth_error", 1),
    (TeacherAnswer("  "), "empty_response", 2),
    (TeacherAnswer("cut", "length", 1, 7), "truncated", 2),
    (TeacherAnswer("bad"), "rejected", 2),
]


@pytest.mark.parametrize(("said", "kind", "calls"), FAULTS, ids=[kind for _, kind, _ in FAULTS])
def test_faults_are_asked_again_by_their_kind_and_then_given_up(tmp_path, said, kind, calls):
    teacher = Scripted(lambda prompt, number: said if prompt == "prompt 1" else echo(prompt, 0))
    check = lambda task, answer: "it is bad" if answer.text == "bad" else None  # noqa: E731
    run = label(teacher, tmp_path, tasks(3), check=check, max_attempts=3)
    assert teacher.asked.count("prompt 1") == calls
    assert texts(run) == ["to prompt 0", None, "to prompt 2"]
    assert run.results[1].fault.kind == kind
    assert run.results[1].fault.attempts == calls
    (letter,) = read_json_lines(tmp_path / "dead_letter.jsonl")
    assert letter["id"] == "1"
    assert letter["error_type"] == kind
    assert letter["attempts"] == calls
    assert letter["record"] == {"n": 1}
    assert letter["error_message"]
    again = Scripted(echo)
    run = label(again, tmp_path, tasks(3), check=check)
    assert again.asked == []  # neither labels nor dead letters
    assert run.results[1].fault.kind == kind
    run = label(again, tmp_path, tasks(3), check=check, retry_failed=True)
    assert again.asked == ["prompt 1"]
    assert texts(run) == [f"to prompt {n}" for n in range(3)]
    assert read_json_lines(tmp_path / "dead_letter.jsonl") == []


def test_a_fault_that_passes_leaves_a_label(tmp_path):
    teacher = Scripted(
        lambda prompt, number: RemoteError("x", status=503) if number <= 2 else echo(prompt, 0)
    )
    run = label(teacher, tmp_path, tasks(1))
    assert texts(run) == ["to prompt 0"]
    assert run.numbers.retries == 2
    assert run.numbers.faults == {"llm_api_error": 2}
    assert len(set(teacher.call_ids)) == 3


def test_a_call_whose_end_was_not_seen_is_repeated_under_its_id(tmp_path):
    said = [DeadlineError("late"), RemoteError("reset"), RemoteError("x", status=502), "good"]
    teacher = Scripted(lambda prompt, number: said[number - 1])
    run = label(teacher, tmp_path, tasks(1))
    assert texts(run) == ["good"]
    assert len(set(teacher.call_ids)) == 1


def test_only_labels_that_passed_the_check_are_kept(tmp_path):
    label(Scripted(echo), tmp_path, tasks(4))
    strict = lambda task, answer: "odd" if task.record["n"] % 2 else None  # noqa: E731
    teacher = Scripted(echo)
    run = label(teacher, tmp_path, tasks(4), check=strict)
    assert sorted(teacher.asked) == ["prompt 1"] * 2 + ["prompt 3"] * 2
    assert texts(run) == ["to prompt 0", None, "to prompt 2", None]
    lines = read_json_lines(tmp_path / "calls.jsonl")
    assert {line["kind"] for line in lines if line["t"] == "fault"} == {"rejected"}


def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path):
    """A call costs 10 + 5 * 2 = 20; before it is sent it may cost up to 270 + 64 * 2."""
    settings = {"prices": Prices(1e6, 2e6), "concurrency": 8}
    profile = DecodeProfile(max_tokens=64)
    teacher = Scripted(echo, pause_s=0.001)
    run = label(teacher, tmp_path, tasks(100), profile=profile, budget=1000.0, **settings)
    assert run.stopped == "budget"
    assert run.numbers.spent == run.numbers.cost == 20 * len(teacher.asked)
    assert 1000 - (8 + 256 + 128) - 20 <= run.numbers.spent <= 1000
    assert run.numbers.remaining == 100 - len(teacher.asked)
    assert sum(text is not None for text in texts(run)) == len(teacher.asked)
    again = Scripted(echo)
    run = label(again, tmp_path, tasks(100), profile=profile, budget=1000.0, **settings)
    assert (run.stopped, again.asked) == ("budget", [])
    run = label(again, tmp_path, tasks(100), profile=profile, budget=9000.0, **settings)
    assert run.stopped is None
    assert run.numbers.spent == 2000
    assert len(again.asked) + len(teacher.asked) == 100


def test_calls_whose_price_is_not_known_count_with_the_most(tmp_path):
    teacher = Scripted(lambda prompt, number: DeadlineError("late"))
    settings = {"prices": Prices(0, 1e6), "budget": 200.0, "max_error_rate": None}
    run = label(teacher, tmp_path, tasks(9), profile=DecodeProfile(max_tokens=64), **settings)
    assert run.stopped == "budget"
    assert len(teacher.asked) == 3
    assert run.numbers.cost == 0
    assert run.numbers.spent == 3 * 64


def test_too_many_failures_end_a_run(tmp_path):
    teacher = Scripted(lambda prompt, number: RemoteError("no", status=400))
    run = label(teacher, tmp_path, tasks(500), concurrency=2)
    assert run.stopped == "error_rate"
    assert "100% of the newest records failed" in run.message
    assert 20 <= len(teacher.asked) < 30
    run = label(teacher, tmp_path / "b", tasks(60), max_error_rate=None)
    assert run.stopped is None
    assert len(run.failed) == 60


@pytest.mark.parametrize("status", [401, 402])
def test_a_refused_key_ends_a_run_and_makes_no_dead_letters(tmp_path, status):
    teacher = Scripted(lambda prompt, number: RemoteError("no key", status=status))
    for _ in range(3):  # nor do repeated ones use up the attempts
        run = label(teacher, tmp_path, tasks(50), concurrency=4, max_attempts=2)
        assert (run.stopped, run.failed) == ("auth_error", [])
        assert "no key" in run.message
    assert len(teacher.asked) <= 3 * 8
    assert label(Scripted(echo), tmp_path, tasks(50)).stopped is None


def test_a_server_that_wants_hours_ends_a_run(tmp_path):
    fault = RemoteError("quota", status=429, retry_after="7200")
    run = label(Scripted(lambda *_: fault), tmp_path, tasks(9))
    assert run.stopped == "rate_limit"
    assert "7200" in run.message


def test_the_callers_mistakes_are_raised_and_cost_nothing(tmp_path):
    teacher = Scripted(lambda prompt, number: ConfigError(["no key in STILLROOM_KEY"]))
    prices = {"prices": Prices(1, 1), "budget": 1.0}
    with pytest.raises(ConfigError, match="no key in STILLROOM_KEY"):
        label(teacher, tmp_path, tasks(5), **prices)
    assert teacher.closed == 1
    run = label(Scripted(echo), tmp_path, tasks(5), **prices)
    assert run.numbers.spent == pytest.approx(run.numbers.cost)


def test_a_check_that_breaks_is_told_and_the_answer_is_kept(tmp_path):
    def check(task, answer):
        raise KeyError("my own mistake")

    with pytest.raises(KeyError, match="my own mistake"):
        label(Scripted(echo), tmp_path, tasks(1), check=check, prices=Prices(1e6, 0))
    teacher = Scripted(echo)
    run = label(teacher, tmp_path, tasks(1), check=lambda *_: None, prices=Prices(1e6, 0))
    assert (run.numbers.spent, teacher.asked) == (10, [])
    assert texts(run) == ["to prompt 0"]
    assert texts(label(teacher, tmp_path, tasks(1))) == ["to prompt 0"]


def test_progress_tells_rate_cost_and_what_is_left(tmp_path):
    told = []
    teacher = Scripted(echo, pause_s=0.06)
    run = label(
        teacher, tmp_path, tasks(40), concurrency=2, prices=Prices(1e6, 0), progress=told.append
    )
    assert run.numbers.labelled == 40
    middle, last = told[0], told[-1]
    assert 0 < middle.done < 40
    assert middle.cost == 10 * middle.done
    assert middle.cost_left == pytest.approx(10 * (40 - middle.done))
    assert middle.seconds_left == pytest.approx((40 - middle.done) / middle.records_per_second)
    assert "of 40" in str(middle)
    assert (last.done, last.seconds_left, last.cost_left) == (40, 0, 0)


def test_ids_and_prompts_are_looked_at_before_anything_is_sent(tmp_path):
    teacher = Scripted(echo)
    for wrong, words in (
        ([LabelTask("a", "x"), LabelTask("a", "y")], "id 'a' is that of record 1 too"),
        ([LabelTask("a", "  ")], "prompt of 'a' is empty"),
        ([LabelTask("a", "x"), LabelTask("b", "\ud83d")], "row 2.*half a surrogate"),
    ):
        with pytest.raises(DataError, match=words):
            label(teacher, tmp_path, wrong)
    assert teacher.asked == []
    assert label(teacher, tmp_path, []).results == []


def test_half_surrogates_of_a_teacher_are_replaced_and_told(tmp_path, caplog):
    run = label(Scripted(lambda *_: "smile \ud83d"), tmp_path, tasks(1))
    assert texts(run) == ["smile \ufffd"]
    assert run.numbers.repaired == run.numbers.calls == 1
    assert "half a surrogate pair" in caplog.text
    assert texts(label(Scripted(echo), tmp_path, tasks(1))) == ["smile \ufffd"]
    whole = label(Scripted(lambda *_: "\ud83d\ude00"), tmp_path / "whole", tasks(1))
    assert texts(whole) == ["\U0001f600"]


async def test_a_run_within_an_event_loop(tmp_path):
    labeler = BatchLabeler(Scripted(echo), tmp_path)
    assert texts(labeler.run(tasks(2))) == ["to prompt 0", "to prompt 1"]
    assert texts(await labeler.arun(tasks(3)))[2] == "to prompt 2"


def test_settings_out_of_range_are_told_all_at_once():
    with pytest.raises(ConfigError, match=r"concurrency.*max_error_rate.*a budget needs prices"):
        LabelSettings(concurrency=0, max_error_rate=2.0, budget=1.0)
    with pytest.raises(ConfigError, match=r"max_tokens.*temperature.*top_p"):
        DecodeProfile(max_tokens=0, temperature=-1, top_p=0)
