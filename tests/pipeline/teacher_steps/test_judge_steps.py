"""Judges in a pipeline: whom they are asked about, what they add, and how far to trust them."""

import json
import re

import pytest
from stillroom.errors import ConfigError, LabelingStoppedError
from stillroom.pipeline.records.teacher_steps.judge_reports import WriteJudgeReport
from stillroom.pipeline.records.teacher_steps.judge_steps import JudgePairs, JudgeScore
from stillroom.pipeline.records.teacher_steps.llms import OpenAILLM, ScriptedLLM

QUESTION = "Does the answer say what the instruction asks for?"


def shown(prompt):
    """Read what a judge is shown."""
    return json.loads(re.search(r"<data>(.*)</data>", prompt, re.DOTALL)[1])


class Judge:
    """Scores the length of an answer, and counts its calls."""

    def __init__(self, answer=lambda data: f"So. <score>{len(data['answer'])}</score>"):
        self.answer, self.asked = answer, []

    def __call__(self, prompt):
        self.asked.append(shown(prompt))
        return self.answer(self.asked[-1])


def score(tmp_path, judge, **fields):
    llm = fields.pop("llm", None) or ScriptedLLM(replies=judge)
    return JudgeScore(name="judge", llm=llm, rubric=QUESTION, cache_dir=str(tmp_path), **fields)


def run(step, rows):
    output = step.run_rows(rows)
    step.unload()
    assert not output.missing(len(rows))
    return output


def row(answer, **more):
    return {"instruction": "Name a metal.", "generation": answer, **more}


def test_only_rows_that_passed_the_gates_before_are_judged(tmp_path):
    judge = Judge()
    rows = [
        row("Gold 1", keep=True, exec_pass=True), row("Gold 2", keep=False), row("Gold 3"),
        row("Gold 4", exec_pass=False), row("Gold 5", exec_pass=None), row("", keep=True),
        row(None),
    ]  # fmt: skip
    output = run(score(tmp_path, judge), rows)
    assert sorted(one["answer"] for one in judge.asked) == ["Gold 1", "Gold 3"]
    told = [(one["judge_score"], one["judge_reason"]) for one in output.records]
    none = (None, "not_judged")
    assert told == [
        (6 / 9, "ok"), none, (6 / 9, "ok"), none, none, (None, "empty_output"),
        (None, "missing generation"),
    ]  # fmt: skip
    statistics = output.records[0]["metadata"]["statistics_judge"]
    assert len(statistics["input_tokens"]) == len(statistics["output_tokens"]) == 1
    assert output.records[0]["metadata"]["raw_output_judge"] == ["So. <score>6</score>"]
    assert "metadata" not in output.records[1]


def test_a_reply_without_a_score_is_no_score(tmp_path):
    judge = Judge(lambda data: "Good!" if data["answer"] == "Au" else "<score>9</score>")
    output = run(score(tmp_path, judge), [row("Au"), row("Ag")])
    told = [(one["judge_score"], one["judge_reason"]) for one in output.records]
    assert told == [(None, "no_score"), (1.0, "ok")]


def test_a_row_that_cannot_be_sent_costs_one_row(tmp_path):
    output = run(score(tmp_path, Judge()), [row("half \ud83d"), row("Gold"), row("Au", metadata=3)])
    assert [one["generation"] for one in output.records] == ["Gold"]
    assert [loss.reason for loss in output.dead] == [
        "a text holds half a surrogate pair",
        "column 'metadata' holds a int; an object is needed",
    ]


def test_a_changed_threshold_or_another_run_asks_nothing(tmp_path):
    judge = Judge()
    rows = [row(f"Gold {n}") for n in range(5)]
    first = run(score(tmp_path, judge), rows)
    second = run(score(tmp_path, judge, score_field="judge_score"), rows)
    assert (len(judge.asked), first.records) == (5, second.records)


def test_the_judge_has_a_cap_of_its_own(tmp_path, serve):
    server = serve(latency_s=0.02, answer=lambda prompt: "<score>7</score>")
    llm = OpenAILLM(model="tiny", base_url=server.base_url, gateway={"max_concurrency": 2})
    output = run(score(tmp_path, None, llm=llm), [row(f"Gold {n}") for n in range(12)])
    assert {one["judge_score"] for one in output.records} == {7 / 9}
    assert server.most_open == 2


def test_the_judge_has_a_budget_of_its_own(tmp_path, serve):
    server = serve(answer=lambda prompt: "<score>7</score>")
    gateway = {"prices": {"prompt": 1e6, "completion": 1e6}, "budget": 4000, "max_concurrency": 1}
    llm = OpenAILLM(model="tiny", base_url=server.base_url, gateway=gateway)
    poor = score(tmp_path, None, llm=llm)
    with pytest.raises(LabelingStoppedError, match="budget"):
        poor.run_rows([row(f"Gold {n}") for n in range(300)])
    poor.unload()
    assert 0 < server.asked.total() < 300
    assert (tmp_path / "judge").is_dir()


def longer(data):
    """Choose the longer answer."""
    first, second = len(data["answer 1"]), len(data["answer 2"])
    chosen = "tie" if first == second else "1" if first > second else "2"
    return f"<choice>{chosen}</choice>"


def pairs(tmp_path, judge, **fields):
    return JudgePairs(
        name="pairs", llm=ScriptedLLM(replies=judge), rubric=QUESTION, cache_dir=str(tmp_path),
        **fields,
    )  # fmt: skip


def test_pairs_are_judged_in_both_orders(tmp_path):
    judge = Judge(longer)
    rows = [
        row("Gold", student_generation="Au"), row("Au", student_generation="Gold"),
        row("Gold", student_generation="Zinc"), row("Gold"), row("A", keep=False),
    ]  # fmt: skip
    output = run(pairs(tmp_path, judge), rows)
    assert [one["judge_winner"] for one in output.records] == ["a", "b", "tie", None, None]
    assert [one["judge_reason"] for one in output.records[3:]] == [
        "missing student_generation", "not_judged",
    ]  # fmt: skip
    assert len(judge.asked) == 6
    orders = [(one["answer 1"], one["answer 2"]) for one in judge.asked]
    assert orders.count(("Gold", "Zinc")) == orders.count(("Zinc", "Gold")) == 1
    assert len(output.records[0]["metadata"]["statistics_pairs"]["input_tokens"]) == 2


def report(tmp_path, rows, **fields):
    step = WriteJudgeReport(output_dir=str(tmp_path / "reports"), **fields)
    list(step.process(rows))
    return json.loads((tmp_path / "reports/judge/judge_report.json").read_text())


def test_a_judge_that_chooses_the_first_position_is_found_out(tmp_path, capsys):
    biased = Judge(lambda data: "<choice>1</choice>")
    rows = [row(f"Gold {n}", student_generation=f"Zinc {n}") for n in range(10)]
    output = run(pairs(tmp_path, biased), rows)
    assert {one["judge_winner"] for one in output.records} == {"tie"}
    found = report(tmp_path, output.records)
    assert (found["pairs"]["first_chosen"], found["pairs"]["consistent"]) == (1.0, 0.0)
    assert found["reasons"] == {"contradiction": 10}
    told = capsys.readouterr().out
    assert "chose the first position in 1.000 of its choices" in told
    assert "same verdict in both orders for 0.000 of 10 pairs" in told


def test_agreement_with_execution_is_written_and_printed(tmp_path, capsys):
    verdicts = [True, True, False, False, None, True]
    answers = ["x" * 9, "x", "x", "x" * 9, "x", ""]
    rows = [row(a, gold_match=v) for a, v in zip(answers, verdicts, strict=True)]
    output = run(score(tmp_path, Judge()), rows)
    found = report(tmp_path, output.records)["agreement"]
    assert {key: found[key] for key in ("total", "matched", "agreement", "kappa")} == {
        "total": 6, "matched": 4, "agreement": 0.5, "kappa": 0.0,
    }  # fmt: skip
    assert (found["passed_wrong"], found["rejected_right"]) == (1, 1)
    assert "agrees with 'gold_match' on 0.500 of 4 rows" in capsys.readouterr().out


@pytest.mark.parametrize("rubric", [None, 3, " "])
def test_a_judge_without_a_question_is_refused(rubric):
    with pytest.raises(ConfigError, match="question"):
        JudgeScore(llm=ScriptedLLM(), rubric=rubric)
