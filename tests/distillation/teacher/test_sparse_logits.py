"""What is kept of a teacher's logits: golden vectors, and exact probabilities in float64."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp, softmax
from stillroom.distillation.teacher.sparse_logits import (
    draw_ids,
    keep_largest,
    stored_log_probabilities,
)

GRID = (1.0, 2.0, 4.0)


def kept(logits, labels, k, temperatures=GRID):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    return keep_largest(logits.clone(), torch.as_tensor(labels), k, temperatures)


def random_logits(rows=200, vocabulary=300, scale=4.0, seed=0):
    source = torch.Generator().manual_seed(seed)
    labels = torch.randint(vocabulary, (rows,), generator=source)
    return scale * torch.randn(rows, vocabulary, generator=source), labels


@pytest.mark.parametrize(
    ("label", "ids", "delta", "tails", "probabilities"),
    [
        (
            0,
            [0, 1],
            [0, 1],
            [-2.0443084, -1.1668320, -0.8017739],
            {1: [0.636409, 0.234122], 2: [0.428656, 0.259993], 4: [0.310022, 0.241445]},
        ),
        (
            3,
            [0, 3],
            [0, 3],
            [-1.1029022, -0.7429710, -0.6096631],
            {1: [0.636409, 0.031685]},
        ),
    ],
)
def test_golden_vectors(label, ids, delta, tails, probabilities):
    found_ids, found_delta, log_tail = kept([[2.0, 1.0, 0.0, -1.0, -2.0]], [label], 2)
    assert found_ids.tolist() == [ids]
    assert found_delta.tolist() == [delta]
    assert log_tail[0].tolist() == pytest.approx(tails, abs=1e-6)
    for temperature, expected in probabilities.items():
        place = GRID.index(temperature)
        log_p = stored_log_probabilities(found_delta.float(), log_tail[:, place], temperature)
        assert log_p.exp()[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 17, 299])
@pytest.mark.parametrize("temperature", GRID)
def test_probabilities_are_those_of_the_full_softmax(k, temperature):
    """The tail to 1e-6, the kept ids as exactly as float16 holds a difference of logits."""
    logits, labels = random_logits()
    ids, delta, log_tail = kept(logits, labels, k)
    log_tail = log_tail[:, GRID.index(temperature)]
    log_p = stored_log_probabilities(delta.float(), log_tail, temperature).double().numpy()
    full = log_softmax(logits.double().numpy() / temperature, axis=1)
    left_out = full.copy()
    np.put_along_axis(left_out, ids.long().numpy(), -np.inf, axis=1)
    expected_tail = np.maximum(logsumexp(left_out, axis=1), -60)
    assert np.abs(np.expm1(log_tail.numpy() - expected_tail)).max() <= 2e-6
    expected = np.take_along_axis(full, ids.long().numpy(), axis=1)
    step = np.spacing(delta.numpy()).astype(float) / 2 / temperature  # of half a last digit
    assert np.all(np.abs(log_p - expected) <= step.max(1, keepdims=True) + step + 2e-5)
    assert np.abs(np.exp(log_p) - np.exp(expected)).sum(1).max() <= 2e-3
    assert np.exp(log_p).sum(1) + np.exp(log_tail.numpy()) == pytest.approx(1.0, abs=1e-5)


def test_the_label_is_always_kept():
    logits, labels = random_logits()
    ids, delta, _ = kept(logits, labels, 5)
    assert bool((ids == labels[:, None]).any(1).all())
    assert bool((delta[:, 1:] >= delta[:, :-1]).all())
    assert bool((delta[:, 0] == 0).all())
    top = logits.topk(5).indices
    same = (top == labels[:, None]).any(1)
    assert torch.equal(ids[same].long(), top[same])
    assert torch.equal(ids[~same, :4].long(), top[~same, :4])
    assert torch.equal(ids[~same, 4].long(), labels[~same])


def test_equal_logits_are_ordered_by_id():
    """Half precision has many of them; topk chooses freely among those at the border."""
    source = torch.Generator().manual_seed(3)
    logits = torch.randint(0, 6, (300, 90), generator=source).float()
    expected = (-logits).sort(dim=1, stable=True).indices[:, :12]
    ids, _, _ = kept(logits, expected[:, 0], 12)
    assert torch.equal(ids.long(), expected)


@pytest.mark.parametrize("k", [1, 3])
def test_a_sure_teacher_and_missing_tokens_stay_finite(k):
    """One token has all the mass, -inf logits, and a label that has none of it."""
    sure = [200.0, 0.0, 0.0, 0.0, 0.0]
    masked = [1.0, -math.inf, 0.5, -math.inf, -math.inf]
    ids, delta, log_tail = kept([sure, masked, sure], [0, 1, 4], k)
    assert bool(torch.isfinite(delta).all())
    assert bool((log_tail >= -60).all())
    assert bool((log_tail <= 0).all())
    for place, temperature in enumerate(GRID):
        log_p = stored_log_probabilities(delta.float(), log_tail[:, place], temperature)
        assert bool(torch.isfinite(log_p).all())
    assert log_tail[0, 0] == -60.0
    assert len({tuple(row) for row in ids.tolist()}) > 1


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(broken):
    with pytest.raises(ValueError, match="not finite"):
        kept([[0.0, broken, 1.0]], [0], 1)
    with pytest.raises(ValueError, match="not finite"):
        draw_ids(torch.tensor([[0.0, broken, 1.0]]), 2, 1.0, [0])


# ------------------------------------------------------------------------- random sampling


def test_draws_are_unbiased():
    """The mean over many rows of count / K is the teacher's distribution at the temperature."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5, -2.0])
    rows = 4000
    ids, count = draw_ids(logits.repeat(rows, 1), 4, 2.0, range(rows))
    mean = torch.zeros(6).index_add_(0, ids.flatten().long(), count.flatten().float()) / (4 * rows)
    expected = softmax(logits.numpy() / 2.0)
    deviation = np.sqrt(expected * (1 - expected) / (4 * rows))
    assert np.all(np.abs(mean.numpy() - expected) < 4.5 * deviation)


def test_draws_add_up_and_ids_are_distinct():
    logits, _ = random_logits(50, 40, scale=2.0)
    ids, count = draw_ids(logits, 12, 1.0, range(50))
    assert count.sum(1).tolist() == [12] * 50
    assert all(len(set(row)) == 12 for row in ids.tolist())
    assert bool((count[:, 1:] <= count[:, :-1]).all())
    assert (count == 0).any()


def test_a_rows_draws_do_not_depend_on_its_batch():
    logits, _ = random_logits(20, 40)
    together = draw_ids(logits, 8, 1.0, range(20))
    alone = draw_ids(logits[7:8], 8, 1.0, [7])
    assert torch.equal(together[0][7:8], alone[0])
    assert torch.equal(together[1][7:8], alone[1])
    assert not torch.equal(draw_ids(logits[7:8], 8, 1.0, [8])[1], alone[1])
