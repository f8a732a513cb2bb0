"""The fused loss: against finite differences, autograd on the dense path, SciPy; what it costs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from loss_cases import SIGNALS, Rows, Shapes, fused, random_rows, relative, value_and_gradients
from scipy.special import rel_entr
from stillroom.distillation.losses import fused as fused_loss
from stillroom.distillation.losses.divergences import ROW_DIVERGENCES
from stillroom.distillation.losses.fused import fused_distillation, pieces, product_type
from stillroom.distillation.losses.mixture import Mixture
from stillroom.distillation.losses.rows import HeadRows, SparseTeacherRows
from stillroom.errors import ConfigError

OBJECTIVES = sorted(ROW_DIVERGENCES)
TEMPERATURES = (1.0, 2.0, 4.0)


def same(one, other, *, bar):
    """Value and gradients agree, relative to their size."""
    assert float(one[0]) == pytest.approx(float(other[0]), rel=bar)
    for ours, theirs in zip(one[1], other[1], strict=True):
        assert ours.shape == theirs.shape
        assert relative(ours, theirs) <= bar


# ------------------------------------------------------------------------- right


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradcheck(objective, temperature):
    """Pure and mixed with cross-entropy, kept classes and full teachers; CE alone once."""
    rows = random_rows(N=3, H=2, V=5, scale=1.0, weighted=True)

    def loss(signal, mixture):
        def of(hidden, weight, bias):
            given = replace(rows, hidden=hidden, weight=weight, bias=bias)
            return fused(given, signal, mixture, chunk=2)

        return of

    parameters = rows.with_gradients().parameters
    for alpha in (1.0, 0.4):
        for kind in ("sparse", "head"):
            signal = rows.signal(kind, temperature, k=2)
            mixture = Mixture(temperature, alpha, objective)
            assert torch.autograd.gradcheck(loss(signal, mixture), parameters)
    if objective == "forward_kl":
        assert torch.autograd.gradcheck(loss(None, Mixture(temperature, 0.0)), parameters)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("N", [7, 0])
def test_what_memory_held_before_does_not_matter(N, dtype):
    """The first chunk writes over the head's gradient; what is not written must be zero."""
    rows = random_rows(N=N, padding=3, dtype=dtype)
    clean = value_and_gradients("fused", rows, rows.theirs, Mixture(), chunk=3)
    torch.use_deterministic_algorithms(True)  # new memory then holds NaN
    try:
        dirty = value_and_gradients("fused", rows, rows.theirs, Mixture(), chunk=3)
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip([clean[0], *clean[1]], [dirty[0], *dirty[1]], strict=True):
        assert torch.isfinite(one).all()
        assert torch.equal(one, other)
    assert not dirty[1][1][rows.vocabulary :].any()


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_is_the_dense_path(objective, kind):
    rows = random_rows(padding=3, weighted=True)
    for temperature in (0.5, *TEMPERATURES):
        signal = rows.signal(kind, temperature)
        for alpha in (0.0, 0.3, 1.0):
            mixture = Mixture(temperature, alpha, objective)
            ours = value_and_gradients("fused", rows, signal, mixture)
            same(ours, value_and_gradients("dense", rows, signal, mixture), bar=1e-12)


@pytest.mark.parametrize("b", [0.0, 0.1, 0.9, 1.0])
def test_jsd_of_any_b(b):
    rows = random_rows()
    for kind in ("sparse", "head"):
        signal, mixture = rows.signal(kind, 2.0), Mixture(2.0, 0.5, "jsd", b=b)
        ours = value_and_gradients("fused", rows, signal, mixture)
        same(ours, value_and_gradients("dense", rows, signal, mixture), bar=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_divergence_is_that_of_scipy(temperature):
    rows = random_rows()
    p = (rows.teacher_logits / temperature).softmax(-1).numpy()
    q = (rows.logits / temperature).softmax(-1).numpy()
    m = 0.5 * (p + q)
    expected = {
        "forward_kl": rel_entr(p, q).sum(),
        "reverse_kl": rel_entr(q, p).sum(),
        "jsd": 0.5 * (rel_entr(p, m) + rel_entr(q, m)).sum(),
        "tvd": 0.5 * np.abs(p - q).sum(),
    }
    for name, value in expected.items():
        total = fused(rows, rows.theirs, Mixture(temperature, 1.0, name))
        assert float(total) == pytest.approx(temperature**2 * value, rel=1e-12), name


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_kept_classes_against_the_full_vocabulary(objective, temperature):
    """All but one kept is the full divergence; with fewer it is never larger."""
    mixture = Mixture(temperature, 1.0, objective)
    for seed in range(3):
        rows = random_rows(seed)
        full = value_and_gradients("fused", rows, rows.theirs, mixture)
        for k in (rows.vocabulary - 1, rows.vocabulary):  # without any tail as well
            exact = value_and_gradients(
                "fused", rows, rows.signal("sparse", temperature, k), mixture
            )
            same(exact, full, bar=1e-12)
        values = [
            float(fused(rows, rows.signal("sparse", temperature, k), mixture))
            for k in range(1, rows.vocabulary)
        ]
        assert all(value <= float(full[0]) * (1 + 1e-12) for value in values)
        assert values[0] < float(full[0])


@pytest.mark.parametrize("objective", ["forward_kl", "reverse_kl"])
def test_chain_rule(objective):
    """Full KL = coarse KL + mass of the tail x KL inside the tail."""
    for temperature in TEMPERATURES:
        rows, mixture = random_rows(), Mixture(temperature, 1.0, objective)
        signal = rows.signal("sparse", temperature, k=4)
        p = (rows.teacher_logits / temperature).softmax(-1).scatter(1, signal.ids, 0.0)
        q = (rows.logits / temperature).softmax(-1).scatter(1, signal.ids, 0.0)
        first, second = (p, q) if objective == "forward_kl" else (q, p)
        mass = first.sum(-1, keepdim=True)
        inside = rel_entr((first / mass).numpy(), (second / second.sum(-1, keepdim=True)).numpy())
        tail = temperature**2 * float((mass * torch.from_numpy(inside)).sum())
        full, coarse = float(fused(rows, rows.theirs, mixture)), float(fused(rows, signal, mixture))
        assert abs(full - coarse - tail) < 1e-12 * max(full, 1.0)
        assert tail > 0.01  # else nothing was tested


def test_a_small_tail_keeps_its_gradient_in_float32():
    """Student and teacher disagree about a tail of 1e-6: its logarithm must not be lost."""
    rows = random_rows(N=4, H=8, V=600, scale=0.1)
    logits = torch.randn(4, 600, generator=torch.Generator().manual_seed(1)).double()
    logits[:, :8] += 20.0
    rows = replace(rows, weight=logits.T.contiguous(), hidden=torch.eye(4).double(), bias=None)
    ids = torch.arange(8).expand(4, 8)
    log_kept = torch.full((4, 8), 0.9 / 8).double().log()
    signal = SparseTeacherRows(ids, log_kept, torch.full((4,), 0.1).double().log())
    exact = value_and_gradients("fused", rows, signal, Mixture(1.0, 1.0, "jsd"))
    narrow = replace(rows, hidden=rows.hidden.float(), weight=rows.weight.float())
    ours = value_and_gradients("fused", narrow, signal, Mixture(1.0, 1.0, "jsd"))
    same(ours, exact, bar=2e-5)


# ------------------------------------------------------------------------- the same anyhow


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_and_blocks_change_nothing(kind, dtype, monkeypatch):
    rows = random_rows(N=23, V=40, dtype=dtype, weighted=True)
    signal, mixture = rows.signal(kind, 2.0), Mixture(2.0, 0.5)
    whole = value_and_gradients("fused", rows, signal, mixture)
    for chunk in (1, 4, 23, 100):
        ours = value_and_gradients("fused", rows, signal, mixture, chunk=chunk)
        # bfloat16 partial products are rounded once each, and added up in float32
        same(ours, whole, bar=1e-6 if dtype == torch.float32 else 4e-3)
    monkeypatch.setattr(fused_loss, "BLOCK_BYTES", 1)
    same(value_and_gradients("fused", rows, signal, mixture), whole, bar=1e-6)


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_bfloat16_against_float64(objective, kind):
    rows = random_rows(N=60, H=16, V=300, scale=0.5, dtype=torch.bfloat16)
    signal, mixture = rows.signal(kind, 2.0, k=30), Mixture(2.0, 0.5, objective)
    value, gradients = value_and_gradients("fused", rows, signal, mixture)
    wide = {n: getattr(rows, n).double() for n in ("hidden", "weight", "bias")}
    exact = value_and_gradients("fused", replace(rows, **wide), signal, mixture)
    assert value.dtype == torch.float32
    assert [g.dtype for g in gradients] == [torch.bfloat16] * 3
    assert float(value) == pytest.approx(float(exact[0]), rel=5e-3)
    for ours, theirs in zip(gradients, exact[1], strict=True):
        assert relative(ours.double(), theirs) < 2e-2


def test_autocast_chooses_the_products_and_leaves_the_rest_wide():
    rows = random_rows(N=8, V=50, dtype=torch.float32).with_gradients()
    with Shapes() as seen, torch.autocast("cpu", dtype=torch.bfloat16):
        total = fused(rows, rows.signal("head"), Mixture(2.0, 0.5))
    assert {dtype for _, dtype in seen.products} == {torch.bfloat16}
    gradients = torch.autograd.grad(total, rows.parameters)
    assert {t.dtype for t in (total, *gradients)} == {torch.float32}
    exact = value_and_gradients("fused", rows, rows.signal("head"), Mixture(2.0, 0.5))
    for ours, theirs in zip(gradients, exact[1], strict=True):
        assert 0.0 < relative(ours, theirs) < 2e-2


@pytest.mark.parametrize("path", ["fused", "dense"])
@pytest.mark.parametrize("kind", SIGNALS)
def test_weights_are_factors_of_their_rows(path, kind):
    rows = random_rows(weighted=True)
    signal, mixture = rows.signal(kind, 2.0), Mixture(2.0, 0.4)
    one_by_one = [
        value_and_gradients(path, replace(rows, weights=torch.eye(7).double()[n]), signal, mixture)
        for n in range(7)
    ]
    total, gradients = value_and_gradients(path, rows, signal, mixture)
    expected = sum(w * value for w, (value, _) in zip(rows.weights, one_by_one, strict=True))
    assert float(total) == pytest.approx(float(expected), rel=1e-12)
    for place, ours in enumerate(gradients):
        parts = zip(rows.weights, one_by_one, strict=True)
        torch.testing.assert_close(ours, sum(w * found[place] for w, (_, found) in parts))


def test_the_backward_pass_only_scales_and_may_be_repeated():
    rows = random_rows().with_gradients()
    total = fused(rows, rows.theirs, Mixture())
    first = torch.autograd.grad(total, rows.parameters, retain_graph=True)
    for factor in (1.0, 0.25):
        again = torch.autograd.grad(factor * total, rows.parameters, retain_graph=True)
        for one, other in zip(first, again, strict=True):
            torch.testing.assert_close(factor * one, other)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.grad(total**2, rows.parameters, create_graph=True)[0].sum().backward()


# ------------------------------------------------------------------------- what it costs


def test_a_frozen_head_costs_two_products():
    rows = random_rows(N=8, V=50).with_gradients()
    signal, mixture = rows.signal("sparse", 2.0), Mixture(2.0, 0.5)
    with Shapes() as seen:
        full = torch.autograd.grad(fused(rows, signal, mixture), rows.hidden)
    assert [shape for shape, _ in seen.products] == [(8, 50), (8, 5), (50, 5)]
    frozen = replace(rows, weight=rows.weight.detach(), bias=rows.bias.detach())
    with Shapes() as seen:
        ours = torch.autograd.grad(fused(frozen, signal, mixture), rows.hidden)
    assert [shape for shape, _ in seen.products] == [(8, 50), (8, 5)]
    assert torch.equal(ours[0], full[0])


def test_without_gradients_there_is_one_product():
    rows = random_rows(N=8, V=50).with_gradients()
    signal = rows.signal("sparse", 2.0)
    with torch.no_grad(), Shapes() as seen:
        value = fused(rows, signal, Mixture())
    assert [shape for shape, _ in seen.products] == [(8, 50)]
    assert torch.equal(value, fused(rows, signal, Mixture()).detach())


@pytest.mark.parametrize("kind", ["sparse", "head"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_all_rows_are_never_held(objective, kind, dtype):
    rows = random_rows(N=40, V=50, dtype=dtype, weighted=True)
    signal, rows = rows.signal(kind, 2.0), rows.with_gradients()
    with Shapes() as seen:
        fused(rows, signal, Mixture(2.0, 0.5, objective), chunk=8).backward()
    large = [shape for shape in seen.made if len(shape) > 1 and shape[0] > 8 and shape[1] >= 50]
    assert large == []
    assert (8, 50) in seen.made


def test_chunks_are_chosen_by_the_vocabulary_and_cut_evenly():
    assert [p.stop - p.start for p in pieces(260, 128)] == [86, 87, 87]
    assert list(pieces(0, 8)) == []
    rows = random_rows(N=300, H=2, V=1000, bias=False).with_gradients()
    with pytest.MonkeyPatch.context() as patch, Shapes() as seen:
        patch.setattr(fused_loss, "CHUNK_BYTES", 100 * 4 * 1000)
        fused(rows, None, Mixture(1.0, 0.0))
    assert [shape for shape, _ in seen.products].count((100, 1000)) == 3


# ------------------------------------------------------------------------- edges


@pytest.mark.parametrize("kind", SIGNALS)
def test_without_any_row_it_is_a_connected_zero(kind):
    rows = random_rows(N=0, padding=2)
    for alpha in (0.0, 0.5, 1.0):
        value, gradients = value_and_gradients(
            "fused", rows, rows.signal(kind, 2.0), Mixture(2.0, alpha)
        )
        assert float(value) == 0.0
        assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)


def test_padded_rows_of_the_head_count_for_nothing():
    rows = random_rows(padding=3)
    other = replace(rows, weight=rows.weight.clone(), bias=rows.bias.clone())
    other.weight[-3:], other.bias[-3:] = 100.0, float("nan")
    signal = rows.signal("sparse", 2.0)
    first = value_and_gradients("fused", rows, signal, Mixture())
    second = value_and_gradients("fused", other, signal, Mixture())
    same(second, first, bar=1e-15)
    for gradient in second[1][1:]:
        assert torch.equal(gradient[-3:], torch.zeros_like(gradient[-3:]))


def test_float16_is_refused():
    rows = random_rows(dtype=torch.float16)
    with pytest.raises(ConfigError, match="float16, whose range"):
        fused(rows, None, Mixture(1.0, 0.0))
    with torch.autocast("cpu", dtype=torch.float16), pytest.raises(ConfigError, match="float16"):
        product_type(torch.zeros(1))


def test_what_does_not_belong_together_is_told_at_once():
    rows: Rows = random_rows()
    head = HeadRows(rows.hidden, rows.weight, rows.bias, 12)
    with pytest.raises(
        ValueError, match=r"labels have shape \(3,\).*vocabulary is 12.*7 rows of 11"
    ):
        fused_distillation(head, rows.labels[:3], rows.teacher_logits, Mixture())
    with pytest.raises(ValueError, match=r"alpha is 0\.5 and there are no teacher rows"):
        fused(rows, None, Mixture())
    with pytest.raises(ValueError, match="the teacher has 6 rows"):
        fused(
            rows,
            SparseTeacherRows(*(t[:6] for t in vars(rows.signal("sparse")).values())),
            Mixture(),
        )
