"""Made tables are asked in words, and each question's plan has an answer."""

import random

import pytest
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.practice.domains import all_domains, read_domains
from stillroom.understanding.practice.made_questions import QuestionMaker
from stillroom.understanding.practice.made_tables import make_table
from stillroom.understanding.table.typed_table import typed_table


def made(seed, count=20, unanswerable=0.0):
    rng = random.Random(seed)
    table = make_table(rng)
    typed = typed_table(table.records, key=table.key)
    return typed, list(QuestionMaker(table, typed, rng).ask(count, unanswerable))


@pytest.mark.parametrize("seed", range(20))
def test_questions_differ_and_nothing_is_left_to_fill(seed):
    _, asked = made(seed)
    texts = [one.text for one in asked]
    assert len(set(texts)) == len(texts) >= 10
    assert not [text for text in texts if "{" in text or "}" in text or "  " in text]


@pytest.mark.parametrize("seed", range(20))
def test_most_plans_have_an_answer(seed):
    typed, asked = made(seed)
    assert all(one.plan is not None for one in asked)
    runner = PlanRunner(typed)
    answers = [runner.run(one.plan) for one in asked]
    assert sum(answer is not None for answer in answers) >= 0.7 * len(answers)


def test_a_seed_always_asks_the_same():
    assert [one.text for one in made(3)[1]] == [one.text for one in made(3)[1]]


def test_all_kinds_of_plans_are_asked():
    kinds = {type(one.plan).__name__ for seed in range(60) for one in made(seed)[1]}
    assert kinds >= {"Cells", "Count", "Distinct", "Total", "Often", "Group", "Difference",
                     "Exists", "Compared"}  # fmt: skip


def test_questions_that_the_table_cannot_answer_have_no_plan():
    found = [one for seed in range(10) for one in made(seed, 10, 1.0)[1]]
    assert len(found) > 50
    assert all(one.plan is None for one in found)


def test_every_domain_makes_a_table_that_is_asked():
    for number, domain in enumerate(all_domains()):
        rng = random.Random(number)
        table = make_table(rng, [domain], pool=0.0)
        typed = typed_table(table.records, key=table.key)
        assert len(list(QuestionMaker(table, typed, rng).ask(6))) == 6, domain.one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# cat | cats", "singular, plural"),
        ("# cat | cats | person\n- age\nvalues: numbers 1 2", "values are not understood"),
        ("# cat | cats | person\n- age\nask: how old", "no `values` or unknown fields"),
        ("nothing", "line 1"),
    ],
)
def test_a_domain_that_is_not_understood_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        read_domains(text, "en")
