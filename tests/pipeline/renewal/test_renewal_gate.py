"""The gate of renewals at the level of scores: nothing new is seldom promoted, poison never."""

import numpy as np
from stillroom.evaluation.predictions import Prediction
from stillroom.pipeline.renewal.judging import forgetting, judge

RECORDS, FACTS = 118, 6


def answers(right):
    """Write the answers of a student: right or wrong for each question of each record."""
    return [
        Prediction(f"{n}", "", "", "", bool(one), f"t.csv:{n // FACTS}",
                   "validate" if n % FACTS == 0 else "qa")
        for n, one in enumerate(right)
    ]  # fmt: skip


def students(rng, skill, runs):
    """Draw students of one recipe: questions differ in difficulty, seeds differ by two points."""
    difficulty = rng.normal(0, 1.2, RECORDS * FACTS) + np.repeat(rng.normal(0, 0.6, RECORDS), FACTS)

    def draw(extra):
        chance = 1 / (1 + np.exp(-(skill + extra + rng.normal(0, 0.12) - difficulty)))
        return answers(rng.random(RECORDS * FACTS) < chance)

    return lambda extra=0.0: [draw(extra) for _ in range(runs)], draw


def test_of_two_hundred_renewals_without_anything_new_at_most_one_in_twenty_is_promoted():
    rng = np.random.default_rng(11)
    promoted = 0
    for _ in range(200):
        draw_runs, draw = students(rng, 1.0, 3)
        promoted += judge(draw_runs(), draw(0.0)).promoted
    assert promoted <= 10


def test_a_much_better_renewal_is_promoted_and_a_poisoned_one_is_not():
    rng = np.random.default_rng(12)
    better = poisoned = 0
    for _ in range(20):
        draw_runs, draw = students(rng, 1.0, 3)
        running = draw(0.0)
        better += judge(draw_runs(1.2), running).promoted
        poisoned += judge(draw_runs(-0.5), running).promoted
    assert better >= 16
    assert poisoned == 0


def test_what_is_gained_in_one_category_does_not_pay_for_another():
    rng = np.random.default_rng(13)
    draw_runs, draw = students(rng, 0.0, 3)
    running = draw(0.0)
    spoiled = [
        [one if one.category == "qa" else Prediction(**{**vars(one), "right": False})
         for one in run]
        for run in draw_runs(2.0)
    ]  # fmt: skip
    found = judge(spoiled, running)
    assert found.overall.verdict == "better"
    assert not found.promoted
    forgot = forgetting(spoiled[0], running)["validate"]
    assert forgot.forgotten == forgot.known > 0
    assert forgot.learned == 0
