"""Bugs that other distillation libraries have shipped, each as a test: the loss of given rows.

The number in a test's name is that of the bug:

- 5: the gradient is not that of the value (Axolotl 0.19 at temperatures above 1).
- 6: the temperature is not used as stated (huggingface/trl#5731).
- 7: a cache is read at a temperature it does not hold (DistillKit).
- 8: padding of the vocabulary counts as classes (Liger).
- 9: probability moved out of the kept classes costs nothing (volcengine/verl#5041).
- 10: "forward KL" is a cross-entropy, so it is not 0 for equal distributions (torchtune).
- 11: NaN for -inf logits, masked rows, empty batches (huggingface/trl#5594, microsoft/LMOps#38).
- 12: half precision gives a negative divergence; chunking changes the result.
- 21: copies of a loss drift apart (torchtune).

`test_peer_bugs_training.py` has those of the training step, `test_peer_bugs_heads.py` that of the
head, `test_teacher_cache.py` those of the cache.
"""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import teacher_caches
import torch
from kd_models import random_items
from loss_cases import PATHS, SIGNALS, Rows, kept_rows, random_rows, relative, value_and_gradients
from scipy.special import softmax
from stillroom.distillation.losses.distillation_loss import DIVERGENCES, DistillationLoss
from stillroom.distillation.losses.divergences import ROW_DIVERGENCES
from stillroom.distillation.losses.mixture import Mixture
from stillroom.distillation.losses.rows import HeadRows
from stillroom.distillation.setting_names import Objective
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.cached import CachedTeacher
from stillroom.errors import ConfigError
from torch.nn import functional

OBJECTIVES = sorted(ROW_DIVERGENCES)
each_path = pytest.mark.parametrize("path", sorted(PATHS))
each_signal = pytest.mark.parametrize("kind", SIGNALS)
each_objective = pytest.mark.parametrize("objective", OBJECTIVES)


def loss_of(path, rows, signal, mixture):
    with torch.no_grad():
        return float(PATHS[path](rows, signal, mixture))


def agreeing_rows(**options):
    """A teacher that says what the student says."""
    rows = random_rows(**options)
    shared = slice(rows.vocabulary)
    bias = None if rows.bias is None else rows.bias[shared]
    return replace(rows, theirs=HeadRows(rows.hidden, rows.weight[shared], bias))


# ------------------------------------------------------------------------- 5: value = gradient


@each_path
@each_signal
@each_objective
def test_5_the_gradient_is_that_of_the_value(path, kind, objective):
    """Axolotl scaled the value by T^2 and not the gradient: 4 at T = 2, 16 at T = 4."""
    rows = random_rows()
    for temperature in (1.0, 2.0, 4.0):
        signal = rows.signal(kind, temperature)
        for alpha in (0.5, 1.0):
            mixture = Mixture(temperature, alpha, objective)
            _, (gradient, *_) = value_and_gradients(path, rows, signal, mixture)
            step = 1e-6 * gradient / gradient.norm()
            ahead, behind = (
                loss_of(path, replace(rows, hidden=rows.hidden + sign * step), signal, mixture)
                for sign in (1.0, -1.0)
            )
            central = (ahead - behind) / 2e-6
            assert central / float(gradient.norm()) == pytest.approx(1.0, abs=1e-5)


# ------------------------------------------------------------------------- 6: the temperature


def by_formula(rows: Rows, mixture, kind):
    """alpha T^2 D + (1 - alpha) CE in NumPy, from probabilities."""
    p = softmax(rows.teacher_logits.numpy() / mixture.temperature, axis=-1)
    q = softmax(rows.logits.numpy() / mixture.temperature, axis=-1)
    if kind == "sparse":
        top = np.argsort(-p, axis=-1)
        p, q = (
            np.concatenate([a[:, :4], a[:, 4:].sum(-1, keepdims=True)], axis=-1)
            for a in (np.take_along_axis(x, top, -1) for x in (p, q))
        )
    m, forward, backward = (p + q) / 2, 0.1 * p + 0.9 * q, 0.9 * p + 0.1 * q
    distance = {
        "forward_kl": p * np.log(p / q),
        "reverse_kl": q * np.log(q / p),
        "jsd": (p * np.log(p / m) + q * np.log(q / m)) / 2,
        "skew_forward": p * np.log(p / forward),
        "skew_reverse": q * np.log(q / backward),
        "tvd": abs(p - q) / 2,
    }[mixture.objective].sum()
    at_one = softmax(rows.logits.numpy(), axis=-1)
    hard = -np.log(np.take_along_axis(at_one, rows.labels.numpy()[:, None], -1)).sum()
    return mixture.alpha * mixture.temperature**2 * distance + (1 - mixture.alpha) * hard


@each_path
@each_signal
@each_objective
def test_6_the_temperature_is_used_as_stated(path, kind, objective):
    """TRL's GKD leaves it out of the loss; another was 15 % off in mixing labels at T = 1."""
    rows = random_rows()
    for temperature in (1.0, 2.0, 4.0):
        mixture = Mixture(temperature, 0.3, objective)
        ours = loss_of(path, rows, rows.signal(kind, temperature), mixture)
        assert ours == pytest.approx(by_formula(rows, mixture, kind), rel=1e-10)


@each_path
@each_signal
@pytest.mark.parametrize("objective", [n for n in OBJECTIVES if n != "tvd"])
def test_6_the_gradient_keeps_its_size(path, kind, objective):
    """That is what T^2 is for. (The total variation is linear at its minimum, not quadratic.)"""
    rows = random_rows(scale=0.3)
    norms = []
    for temperature in (8.0, 16.0, 32.0):
        signal, mixture = rows.signal(kind, temperature), Mixture(temperature, 1.0, objective)
        norms.append(float(value_and_gradients(path, rows, signal, mixture)[1][0].norm()))
    assert max(norms) / min(norms) < 1.3


# ------------------------------------------------------------------------- 7: off the grid


def test_7_a_temperature_off_the_grid_is_refused(tmp_path):
    """DistillKit re-tempers what was kept at T = 1: 1.244 where 0.446 is right."""
    teacher_caches.build(tmp_path / "cache", random_items(3))
    cache = TeacherCache(tmp_path / "cache")
    CachedTeacher(cache, DistillationLoss(2.0))
    with pytest.raises(ConfigError, match="is exact at 1, 2, 4 only"):
        CachedTeacher(cache, DistillationLoss(3.0))


# ------------------------------------------------------------------------- 8: padded vocabulary


@each_path
@each_signal
@each_objective
def test_8_padding_of_the_vocabulary_is_no_class(path, kind, objective):
    """Liger gives padded rows a logit of 0: 0.032, 307 and 0.011 for equal distributions."""
    rows = agreeing_rows(padding=2, dtype=torch.float32)
    rows.weight[-2:] += 7.0
    signal = rows.signal(kind, 2.0)
    total, (_, by_weight, by_bias) = value_and_gradients(
        path, rows, signal, Mixture(2.0, 1.0, objective)
    )
    assert float(total) == pytest.approx(0.0, abs=2e-5)
    for gradient in (by_weight, by_bias):
        assert torch.equal(gradient[-2:], torch.zeros_like(gradient[-2:]))


# ------------------------------------------------------------------------- 9: the tail


@each_path
@each_objective
def test_9_a_student_is_punished_for_what_it_hides_in_the_tail(path, objective):
    """Renormalised over the kept ids, mass outside of them costs nothing and grows (verl#5041)."""
    rows = agreeing_rows()
    ids = rows.signal("sparse", 1.0).ids
    losses = []
    for lift in (0.0, 0.5, 1.0, 2.0, 4.0):
        raised = torch.full_like(rows.teacher_logits, lift).scatter(1, ids, 0.0)
        moved = replace(
            rows, hidden=torch.eye(7).double(), weight=(rows.logits + raised).T, bias=None
        )
        losses.append(
            loss_of(path, moved, rows.signal("sparse", 1.0), Mixture(1.0, 1.0, objective))
        )
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(0.0, abs=1e-12)
    assert losses[1] > 1e-3


@each_path
@each_objective
def test_9_all_but_one_kept_is_the_full_divergence(path, objective):
    rows, mixture = random_rows(), Mixture(2.0, 1.0, objective)
    full = value_and_gradients(path, rows, rows.theirs, mixture)
    kept = value_and_gradients(path, rows, rows.signal("sparse", 2.0, k=10), mixture)
    assert float(kept[0]) == pytest.approx(float(full[0]), rel=1e-12)
    for ours, theirs in zip(kept[1], full[1], strict=True):
        assert relative(ours, theirs) < 1e-12


# ------------------------------------------------------------------------- 10: KL is a KL


@each_path
@each_signal
def test_10_the_divergence_of_equal_distributions_is_zero(path, kind):
    """torchtune's is a cross-entropy: the teacher's entropy stays in it."""
    rows = agreeing_rows()
    for objective in OBJECTIVES:
        ours = loss_of(path, rows, rows.signal(kind, 2.0), Mixture(2.0, 1.0, objective))
        assert ours == pytest.approx(0.0, abs=1e-12), objective


@each_path
@pytest.mark.parametrize("kind", ["head", "logits"])
def test_10_it_is_torchs(path, kind):
    rows = random_rows()
    log_q, log_p = rows.logits.log_softmax(-1), rows.teacher_logits.log_softmax(-1)
    for objective, inputs in (("forward_kl", (log_q, log_p)), ("reverse_kl", (log_p, log_q))):
        expected = functional.kl_div(*inputs, reduction="sum", log_target=True)
        ours = loss_of(path, rows, rows.signal(kind), Mixture(1.0, 1.0, objective))
        assert ours == pytest.approx(float(expected), rel=1e-12)


# ------------------------------------------------------------------------- 11: no NaN


def suppressed(rows, where):
    """Minus infinity in the bias of a class, as models that suppress a token have it."""
    rows.bias[where] = float("-inf")
    return rows


def sure(rows, signal):
    """A teacher that knows: all the mass on one class."""
    if isinstance(signal, torch.Tensor):
        return torch.full_like(signal, float("-inf")).index_fill(1, torch.tensor([3]), 0.0)
    only = torch.full_like(signal.log_kept, float("-inf")).index_fill(1, torch.tensor([0]), 0.0)
    return replace(signal, log_kept=only, log_tail=torch.full_like(signal.log_tail, float("-inf")))


def hard_cases():
    plain, small = random_rows(dtype=torch.float32), random_rows(dtype=torch.float32, scale=400.0)
    off = suppressed(random_rows(dtype=torch.float32), slice(5, 8))
    empty = random_rows(N=0, dtype=torch.float32)
    none = suppressed(random_rows(dtype=torch.float32), slice(None))
    for kind in ("sparse", "logits"):
        signal = plain.signal(kind, 2.0)
        yield f"one-hot {kind}", plain, sure(plain, signal)
        yield f"suppressed {kind}", off, signal
        yield f"far apart {kind}", small, small.signal(kind, 2.0)
        yield f"no row {kind}", empty, empty.signal(kind, 2.0)
        yield f"no logit at all {kind}", none, signal
        yield f"both suppressed {kind}", off, off_signal(off, kind)
    yield "K = 1", plain, plain.signal("sparse", 2.0, k=1)
    yield "K = V", plain, plain.signal("sparse", 2.0, k=11)


def off_signal(rows, kind):
    logits = rows.teacher_logits.index_fill(1, torch.tensor([5, 6, 7]), float("-inf"))
    return kept_rows(logits, 9, 2.0) if kind == "sparse" else logits


@each_path
@each_objective
@pytest.mark.parametrize(
    ("rows", "signal"), [case[1:] for case in hard_cases()], ids=[case[0] for case in hard_cases()]
)
def test_11_values_and_gradients_are_finite(path, objective, rows, signal):
    rows = replace(rows, labels=rows.labels % 5)  # a label that is suppressed has no finite loss
    for alpha in (0.5, 1.0):
        total, gradients = value_and_gradients(path, rows, signal, Mixture(2.0, alpha, objective))
        assert torch.isfinite(total)
        assert all(torch.isfinite(g).all() for g in gradients)


# ------------------------------------------------------------------------- 12: precision


@each_path
@each_signal
@each_objective
def test_12_bfloat16_never_falls_below_zero(path, kind, objective):
    """With bfloat16 statistics a KL is wrong by 2.5e-2, also downwards."""
    rows = agreeing_rows(N=60, V=300, H=16, scale=0.3, dtype=torch.bfloat16)
    wide = {name: getattr(rows, name).double() for name in ("hidden", "weight", "bias")}
    signal, mixture = rows.signal(kind, 1.0, k=20), Mixture(1.0, 1.0, objective)
    if kind == "sparse":  # its log probabilities are float32, of the same logits
        signal = kept_rows(rows.teacher_logits.float(), 20, 1.0)
    assert -1e-6 <= loss_of(path, rows, signal, mixture) / 60 <= 1e-6
    rows = random_rows(1, N=60, V=300, H=16, scale=0.3, dtype=torch.bfloat16)
    wide = {name: getattr(rows, name).double() for name in ("hidden", "weight", "bias")}
    signal = (
        kept_rows(rows.teacher_logits.float(), 20, 1.0) if kind == "sparse" else rows.signal(kind)
    )
    exact = loss_of(path, replace(rows, **wide), signal, mixture)
    assert loss_of(path, rows, signal, mixture) == pytest.approx(exact, rel=5e-3)


@each_signal
@each_objective
def test_12_the_size_of_a_chunk_is_not_in_the_result(kind, objective):
    """A narrow accumulator makes accuracy depend on it (Soup#743)."""
    rows = random_rows(N=60, V=300, H=16, scale=0.3, dtype=torch.float32)
    signal, mixture = rows.signal(kind, 2.0), Mixture(2.0, 0.5, objective)
    whole = value_and_gradients("fused", rows, signal, mixture)
    for chunk in (1, 7, 32):
        total, gradients = value_and_gradients("fused", rows, signal, mixture, chunk=chunk)
        assert float(total) == pytest.approx(float(whole[0]), rel=1e-6)
        for ours, theirs in zip(gradients, whole[1], strict=True):
            assert relative(ours, theirs) <= 1e-5


# ------------------------------------------------------------------------- 21: no drift


def test_21_every_objective_has_a_divergence():
    assert {*ROW_DIVERGENCES, "universal_logit"} == set(get_args(Objective))
    assert set(ROW_DIVERGENCES) == set(DIVERGENCES)


@each_objective
def test_21_the_paths_are_one_loss(objective):
    """torchtune's three chunked copies drifted apart; here one function chunks all of them."""
    rows = random_rows(padding=2, weighted=True, N=9)
    for kind in SIGNALS:
        for temperature, alpha in ((1.0, 1.0), (2.0, 0.5), (3.0, 0.9)):
            signal, mixture = rows.signal(kind, temperature), Mixture(temperature, alpha, objective)
            expected = value_and_gradients("dense", rows, signal, mixture)
            for chunk in (None, 2):
                ours = value_and_gradients("fused", rows, signal, mixture, chunk=chunk)
                assert float(ours[0]) == pytest.approx(float(expected[0]), rel=1e-12)
                for one, other in zip(ours[1], expected[1], strict=True):
                    assert relative(one, other) < 1e-12
