"""What to label next: where a verdict may be wrong, where students disagree, and a random share."""

import numpy as np
import pytest
from stillroom.errors import ConfigError, DataError, EmptyDataError
from stillroom.labeling.filters.curation.next_labels import choose_next


def pool(count=1000, students=1, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 10, count)
    return [f"a{n}" for n in range(count)], true, true + rng.normal(0, 1, (students, count))


def test_verdicts_that_may_be_wrong_come_first():
    ids, true, scores = pool()
    chosen = choose_next(ids, scores, 100, pass_threshold=4, random_share=0.2)
    reasons = [one.reason for one in chosen]
    assert (reasons.count("random"), reasons.count("uncertain")) == (20, 80)
    place = {one: n for n, one in enumerate(ids)}

    def wrong(reason):
        picked = [place[one.id] for one in chosen if one.reason == reason]
        return np.mean([(scores[0][n] >= 4) != (true[n] >= 4) for n in picked])

    assert wrong("uncertain") > 2 * np.mean((scores[0] >= 4) != (true >= 4))
    assert len({one.id for one in chosen}) == 100


def test_the_chance_of_a_wrong_verdict_is_that_of_the_simulation():
    ids, true, scores = pool(50_000)
    chosen = choose_next(ids, scores, 50_000, pass_threshold=4, noise=1.0)
    chance = {one.id: one.chance_wrong for one in chosen}
    near = [n for n in range(50_000) if 0.2 < chance[ids[n]] < 0.3]
    rate = np.mean([(scores[0][n] >= 4) != (true[n] >= 4) for n in near])
    assert rate == pytest.approx(0.25, abs=0.03)


def test_the_random_share_alone_estimates_without_bias():
    ids, true, scores = pool(4000)
    place = {one: n for n, one in enumerate(ids)}
    random_means, all_means = [], []
    for seed in range(40):
        chosen = choose_next(ids, scores, 200, pass_threshold=4, random_share=0.5, seed=seed)
        random_means.append(np.mean([true[place[one.id]] for one in chosen
                                     if one.reason == "random"]))  # fmt: skip
        all_means.append(np.mean([true[place[one.id]] for one in chosen]))
    assert np.mean(random_means) == pytest.approx(true.mean(), abs=0.15)
    assert abs(np.mean(all_means) - true.mean()) > 0.3


def test_students_that_disagree_ask_for_labels():
    ids, _, scores = pool(500, students=3)
    scores[:, 7] = [8.0, 9.9, 6.0]  # far from the threshold, and not agreed upon
    scores[:, 8:] = scores[:1, 8:]
    found = {one.id: one for one in choose_next(ids, scores, 20, pass_threshold=4, random_share=0)}
    assert found["a7"].reason == "disagreement"
    assert found["a7"].disagreement == pytest.approx(np.std([8, 9.9, 6], ddof=1))


def test_the_choice_does_not_depend_on_the_order():
    ids, _, scores = pool(300)
    order = np.random.default_rng(9).permutation(300)
    one = choose_next(ids, scores, 50, pass_threshold=4)
    other = choose_next([ids[n] for n in order], scores[:, order], 50, pass_threshold=4)
    assert [x.id for x in one] == [x.id for x in other]
    assert one[0].random_probability == pytest.approx(10 / 300)


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(ConfigError, match=r"count is 0(?s:.)*noise is 0(?s:.)*random_share is 2"):
        choose_next(["a"], [[1]], 0, pass_threshold=4, noise=0, random_share=2)
    with pytest.raises(EmptyDataError):
        choose_next([], [[]], 1, pass_threshold=4)
    with pytest.raises(DataError, match="twice"):
        choose_next(["a", "a"], [[1, 2]], 1, pass_threshold=4)
    with pytest.raises(DataError, match="not_finite"):
        choose_next(["a"], [[np.nan]], 1, pass_threshold=4)
    assert len(choose_next(["a"], [[1]], 9, pass_threshold=4)) == 1
