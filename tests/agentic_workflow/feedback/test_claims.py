"""Which answers of people may train a student: the table, gold answers and people decide."""

import random

import pytest
from stillroom.agentic_workflow.feedback.claims import (
    AskedTurn,
    Reference,
    Rules,
    collect_claims,
    judge_claims,
)
from stillroom.agentic_workflow.feedback.feedback_store import Decision, Feedback
from stillroom.agentic_workflow.feedback.spreadsheet_text import as_text, without_formula

QUESTION = "What is the symbol of gold?"


def table(question):
    known = {"gold": "Au", "iron": "Fe"}
    found = [sign for name, sign in known.items() if name in question.casefold()]
    return Reference((found[0],), "the table", ((79, "symbol"),)) if found else None


def wrong(owner, correction, question=QUESTION, answer="Ag", run=None, **more):
    return Feedback(run or f"{owner}-{question}", owner, question, answer, "wrong",
                    correction=correction, **more)  # fmt: skip


def good(owner, answer, question=QUESTION, **more):
    return Feedback(f"{owner}-{question}", owner, question, answer, "good", **more)


def verdicts(said, turns=(), **more):
    return {one.answer: (one.status, one.reason)
            for one in judge_claims(said, turns, table, **more)}  # fmt: skip


UNKNOWN = "Who found it first?"


@pytest.mark.parametrize(
    ("said", "answer", "status", "reason"),
    [
        ([wrong("anna", "au")], "Au", "accepted", "as the table says"),
        ([wrong("anna", "Pb")], "Pb", "waits", "contradicts the table, which says 'Au'"),
        ([wrong(name, "Pb") for name in "abcdefgh"], "Pb", "waits", "contradicts the table"),
        ([good("anna", "Au")], "Au", "accepted", "as the table says"),
        ([wrong("anna", "Kim", UNKNOWN)], "Kim", "waits", "1 of 3 people"),
        ([wrong(n, "Kim", UNKNOWN) for n in "abc"], "Kim", "accepted", "3 people"),
        ([wrong("a", "Kim", UNKNOWN, run=f"r{n}") for n in range(9)], "Kim", "waits", "1 of 3"),
        ([*(wrong(n, "Kim", UNKNOWN) for n in "abc"), *(wrong(n, "Lee", UNKNOWN) for n in "de")],
         "Kim", "waits", "3 say so, 2 say otherwise"),
        ([*(wrong(n, "Kim", UNKNOWN) for n in "abc"), good("d", "Ag", UNKNOWN)], "Kim", "accepted",
         "3 people"),
        ([good("anna", "Kim", UNKNOWN)], "Kim", "unused", "liked by 1"),
        ([wrong("anna", "=1+1", UNKNOWN)], "=1+1", "waits", "formula"),
        ([wrong(n, "=1+1", UNKNOWN) for n in "abc"], "=1+1", "waits", "formula"),
        ([wrong(n, "Kim\u202e", UNKNOWN) for n in "abc"], "Kim\u202e", "waits", "not shown"),
        ([wrong(n, "7", UNKNOWN, about=f"t.csv row {n}") for n in "abc"], "7", "waits",
         "several records"),
    ],
)  # fmt: skip
def test_an_answer_is_judged_by_table_and_people(said, answer, status, reason):
    found = verdicts(said)
    assert found[answer][0] == status
    assert reason in found[answer][1]


def test_a_gold_answer_counts_where_the_table_does_not_know():
    def gold(question):
        return Reference(("Kim",), "the gold answer") if question == UNKNOWN else None

    said = [wrong(name, "Lee", UNKNOWN) for name in "abcd"] + [wrong("e", "kim", UNKNOWN)]
    found = {one.answer: one.status for one in judge_claims(said, (), gold)}
    assert found == {"Lee": "waits", "Kim": "accepted"}


def test_the_teacher_counts_as_one_person():
    turn = AskedTurn("t1", "anna", UNKNOWN, "Kim", "answered", "teacher")
    assert verdicts([], [turn])["Kim"][0] == "waits"
    said = [wrong("a", "kim", UNKNOWN), wrong("b", "Kim", UNKNOWN)]
    assert [one[0] for one in verdicts(said, [turn]).values()] == ["accepted"]


def test_a_persons_latest_answer_counts():
    said = [wrong("anna", "Pb", run="r1", given_at="2026-01-01"),
            wrong("anna", "Au", run="r2", given_at="2026-01-02")]  # fmt: skip
    assert [(one.answer, one.people) for one in collect_claims(said, ())] == [("Au", ("anna",))]


def test_a_reviewer_decides_and_may_write_the_answer():
    said = [wrong("anna", "Pb")]
    (claim,) = collect_claims(said, ())
    for decision, expected in (
        (Decision("rejected"), ("rejected", "Pb")),
        (Decision("accepted"), ("accepted", "Pb")),
        (Decision("accepted", "Au"), ("accepted", "Au")),
    ):
        (one,) = judge_claims(said, (), table, {claim.id: decision})
        assert (one.status, one.answer) == expected


def test_caps_of_a_person_and_of_a_record():
    said = [wrong("anna", "Au", f"{QUESTION} {n}", given_at=f"{n:04}") for n in range(30)]
    rules = Rules(per_person=20, per_record=8)
    found = judge_claims(said, (), table, rules=rules)
    accepted = [one for one in found if one.status == "accepted"]
    assert len(accepted) == 8
    assert "accepted already" in found[8].reason
    assert "as much as counts of one person" in found[25].reason


@pytest.mark.parametrize("knows", [True, False])
def test_no_wrong_answer_of_a_hostile_fifth_gets_through(knows):
    """5,000 questions, a tenth corrected, a fifth of the corrections wrong: some by mistake, some
    by two accounts that agree."""
    rng = random.Random(7)
    truth = {f"What is the code of item {n}?": str(1000 + n) for n in range(400)}
    people = [f"person {n}" for n in range(60)]
    said = []
    for number in range(5000):
        if rng.random() >= 0.1:
            continue
        question = rng.choice(list(truth))
        hostile = rng.random() < 0.2
        correction = truth[question]
        owner = rng.choice(people)
        if hostile:
            owner = rng.choice(["eve", "mallory"]) if rng.random() < 0.5 else owner
            correction = "666" if owner in ("eve", "mallory") else str(rng.randrange(9000))
        said.append(wrong(owner, correction, question, "0", run=f"r{number}",
                          given_at=f"{number:05}"))  # fmt: skip

    def find(question):
        return Reference((truth[question],), "the table") if knows else None

    accepted = [one for one in judge_claims(said, (), find) if one.status == "accepted"]
    assert all(one.answer == truth[one.claim.question] for one in accepted)
    assert accepted
    assert len(said) > 400


def test_a_text_survives_the_way_through_a_spreadsheet():
    for text in ("=1+1", "@SUM(A1)", "-5", "gold", "'tis", "+49 123"):
        assert as_text(without_formula(text)) == text
