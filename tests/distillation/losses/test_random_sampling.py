"""A cache of random draws: unbiased gradients of forward KL, the same bytes however it is built."""

import kd_models
import numpy as np
import pytest
import teacher_caches
import torch
from scipy.stats import chi2
from stillroom.distillation.batches.batching import Collator, supervised_rows
from stillroom.distillation.batches.forward import model_inputs
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.losses.dense import dense_distillation
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.losses.fused import fused_distillation
from stillroom.distillation.losses.mixture import Mixture
from stillroom.distillation.losses.rows import HeadRows, SparseTeacherRows
from stillroom.distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from stillroom.distillation.teacher.cache_parts import open_part
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.cached import CachedTeacher
from stillroom.distillation.teacher.sparse_logits import draw_ids
from stillroom.errors import ConfigError
from stillroom.inference.checkpoints.load_student import save_checkpoint
from torch.nn import functional

V, K, T = 23, 6, 2.0
SAMPLED = {"selection": "random_sampling", "temperatures": (T,), "k": 16}
ITEMS = kd_models.random_items()


def drawn(logits, seeds):
    """What a cache gives for some rows: shares of the draws, and no tail."""
    ids, count = draw_ids(logits.float(), K, T, seeds)
    log_share = (count / K).log().clamp(min=-60.0)
    return SparseTeacherRows(ids.long(), log_share, torch.full((len(ids),), -60.0)), count


def rows_of(N, seed=0):
    """One student row N times, and a teacher's logits for it."""
    source = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(1, 8, generator=source), torch.randn(V, 8, generator=source)
    theirs = 2.0 * torch.randn(1, V, generator=source)
    return hidden.repeat(N, 1).double().requires_grad_(), weight.double(), theirs.repeat(N, 1)


def gradient(form, hidden, weight, labels, signal, mixture):
    if form == "fused":
        total, _ = fused_distillation(HeadRows(hidden, weight), labels, signal, mixture)
    else:
        total, _ = dense_distillation(hidden @ weight.T, labels, signal, mixture)
    (found,) = torch.autograd.grad(total, hidden)
    return found  # (N, H), of each row by itself


@pytest.mark.parametrize("form", ["fused", "dense"])
def test_the_mean_over_draws_is_the_gradient_of_the_full_divergence(form):
    """By Hotelling's test at 1 in 10,000; the largest classes alone, renormalised, fail it."""
    N = 4000
    hidden, weight, theirs = rows_of(N)
    labels = torch.zeros(N, dtype=torch.int64)
    signal, _ = drawn(theirs, range(N))
    found = gradient(form, hidden, weight, labels, signal, Mixture(T, 1.0))
    (full,) = gradient(form, hidden[:1], weight, labels[:1], theirs[:1].double(), Mixture(T, 1.0))

    def distance(sample, target):
        off = (sample.mean(0) - target).numpy()
        return float(off @ np.linalg.solve(np.cov(sample.numpy().T) / N, off))

    bar = chi2.isf(1e-4, df=8)
    assert distance(found, full) < bar
    top = (theirs[:1] / T).log_softmax(-1).topk(K)
    renormalised = SparseTeacherRows(
        top.indices, top.values.log_softmax(-1), torch.full((1,), -60.0)
    )
    (biased,) = gradient(form, hidden[:1], weight, labels[:1], renormalised, Mixture(T, 1.0))
    assert distance(found, biased) > 10 * bar


@pytest.mark.parametrize("form", ["fused", "dense"])
@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_gradient_is_that_of_soft_cross_entropy(form, alpha):
    """T (q - w) per logit, with the labels' q - 1 beside it; w are shares of the draws."""
    N = 5
    hidden, weight, theirs = rows_of(N)
    labels = torch.arange(N)
    signal, count = drawn(theirs, range(N))
    found = gradient(form, hidden, weight, labels, signal, Mixture(T, alpha))
    z = (hidden @ weight.T).detach()
    w = torch.zeros(N, V, dtype=torch.float64).scatter_(1, signal.ids, count.double() / K)
    by_logit = alpha * T * ((z / T).softmax(-1) - w)
    by_logit += (1 - alpha) * (z.softmax(-1) - functional.one_hot(labels, V))
    assert torch.allclose(found, by_logit @ weight, atol=1e-6)


# ------------------------------------------------------------------------- on the disk


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches") / "whole"
    teacher_caches.build(folder, ITEMS, **SAMPLED)
    return folder


def test_draws_are_those_of_the_teacher_at_the_temperature(whole):
    """By the mean of log p over all draws, whose expectation and spread are known."""
    batch = Collator(0)(ITEMS)
    rows = CachedTeacher(TeacherCache(whole), DistillationLoss(T)).rows(batch)
    with torch.no_grad():
        logits, _ = supervised_rows(
            kd_models.llama(1)(**model_inputs(batch)).logits, batch["labels"]
        )
    log_p = (logits.double() / T).log_softmax(-1)
    mean = (log_p.exp() * log_p).sum(-1)
    spread = (log_p.exp() * (log_p - mean[:, None]).square()).sum(-1) / SAMPLED["k"]
    found = (rows.log_kept.exp() * log_p.gather(1, rows.ids)).sum(-1)
    assert abs(float((found - mean).sum() / spread.sum().sqrt())) < 4.0


def test_a_build_that_was_broken_off_gives_the_same_bytes(whole, tmp_path):
    teacher_caches.build(tmp_path / "c", ITEMS, **SAMPLED)
    for number in (0, 2):
        (tmp_path / "c" / f"part-{number:05}.arrow").unlink()
    result = teacher_caches.build(tmp_path / "c", ITEMS[::-1], **SAMPLED)
    assert result.built == 2
    assert teacher_caches.files(tmp_path / "c") == teacher_caches.files(whole)


def test_shares_of_several_processes_give_the_same_bytes(whole, tmp_path):
    for number in (2, 3, 1):
        teacher_caches.build(tmp_path / "c", ITEMS, share=(number, 3), **SAMPLED)
    assert teacher_caches.files(tmp_path / "c") == teacher_caches.files(whole)


def test_columns_hold_counts_and_nothing_of_a_tail(whole):
    cache = TeacherCache(whole)
    spec = cache.manifest.spec
    assert (spec.selection, spec.temperatures, spec.k) == ("random_sampling", (T,), 16)
    part = open_part(whole / "part-00000.arrow", spec, cache.manifest.build)
    assert set(part.values) == {"ids", "count"}
    assert part.values["count"].dtype == np.uint16
    assert set(part.values["count"].sum(1).tolist()) == {16}


def test_a_cache_of_draws_and_one_of_largest_classes_never_mix(whole, tmp_path):
    with pytest.raises(ConfigError, match="selection: the cache has 'random_sampling', this build"):
        teacher_caches.build(whole, ITEMS, k=16, temperatures=(T,))


def test_a_student_is_trained_by_settings_alone(tmp_path):
    """The command's function, then the facade; no teacher is loaded."""
    pairs = [{"question": f"Which {n}?", "answer": f"It is {n}"} for n in ("ring", "cup", "box")]
    tokenizer = kd_models.tokenizer([pair["question"] + pair["answer"] for pair in pairs])
    for name, seed in (("teacher", 1), ("student", 2)):
        model = kd_models.llama(seed, vocabulary=len(tokenizer))
        save_checkpoint(tmp_path / name, model, tokenizer, {})
    given = {"device": "cpu", "dtype": "float32", "progress": False}
    names = str(tmp_path / "teacher"), str(tmp_path / "cache")
    cache_teacher_logits(
        CacheSettings(*names, selection="random_sampling", temperatures=(T,), top_k=12, **given),
        pairs,
    )
    settings = {
        "teacher_cache": names[1],
        "temperature": T,
        "max_steps": 80,
        "learning_rate": 1e-2,
        **given,
    }
    distiller = ModelDistiller(
        DistillationConfig(names[0], str(tmp_path / "student"), alpha=1.0, **settings)
    )
    losses = [loss for _, loss in distiller.distill(pairs).losses]
    assert losses[-1] < 0.5 * losses[0]
    assert distiller.teacher_model is None
    for wrong, said in (
        ({"objective": "jsd"}, "unbiased for 'forward_kl' only"),
        ({"temperature_end": 1.0}, "that the cache does not hold"),
        ({"temperature": 1.0}, "is exact at 2 only"),
    ):
        other = ModelDistiller(
            DistillationConfig(names[0], str(tmp_path / "student"), **settings | wrong)
        )
        with pytest.raises(ConfigError, match=said):
            other.distill(pairs)
