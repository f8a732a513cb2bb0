"""Measures of hidden states and attention maps, against torch's own functions and by gradcheck."""

import pytest
import torch
from stillroom.distillation.losses.layer_losses import (
    ATTENTION_MEASURES,
    HIDDEN_MEASURES,
    compared_positions,
    uniform_pairs,
)
from stillroom.distillation.settings_checks import layer_faults
from torch.nn import functional

B, T, H, A = 2, 5, 6, 3
COMPARED = torch.tensor([[True, True, True, True, True], [True, True, True, False, False]])
MEASURES = [*HIDDEN_MEASURES.items(), *((f"{n} maps", m) for n, m in ATTENTION_MEASURES.items())]


def hidden(seed, width=H):
    return torch.randn(B, T, width, dtype=torch.float64, generator=torch.manual_seed(seed))


def maps(seed, heads=A, width=T):
    """Causal attention over unpadded keys: the second example has three."""
    logits = torch.randn(B, heads, T, width, dtype=torch.float64, generator=torch.manual_seed(seed))
    hide = torch.ones(T, width, dtype=torch.bool).triu(1).expand(B, heads, T, width).clone()
    hide[1, :, :, 3:] = True
    return logits.masked_fill(hide, float("-inf")).softmax(-1)


def inputs(name):
    return (maps(0), maps(1)) if "maps" in name else (hidden(0), hidden(1))


@pytest.mark.parametrize(("name", "measure"), MEASURES)
def test_gradients_are_those_of_the_values(name, measure):
    student, teacher = inputs(name)
    assert torch.autograd.gradcheck(
        lambda x: measure(x.softmax(-1) if "maps" in name else x, teacher, COMPARED)[0],
        (torch.randn_like(student).requires_grad_(),),
    )


@pytest.mark.parametrize(("name", "measure"), MEASURES)
def test_identical_layers_are_zero_and_unlike_ones_are_not(name, measure):
    student, teacher = inputs(name)
    assert float(measure(teacher, teacher, COMPARED)[0]) == pytest.approx(0.0, abs=1e-12)
    assert float(measure(student, teacher, COMPARED)[0]) > 0.01


def test_values_are_those_of_torch():
    student, teacher = hidden(0), hidden(1)
    ours, theirs = student[COMPARED], teacher[COMPARED]
    expected = torch.stack(
        [functional.mse_loss(s, t) / t.square().mean() for s, t in zip(ours, theirs, strict=True)]
    ).mean()
    total, count = HIDDEN_MEASURES["mse"](student, teacher, COMPARED)
    assert count == 8
    assert float(total / count) == pytest.approx(float(expected))
    target = torch.ones(8)
    expected = functional.cosine_embedding_loss(student[COMPARED], teacher[COMPARED], target)
    total, count = HIDDEN_MEASURES["cosine"](student, teacher, COMPARED)
    assert float(total / count) == pytest.approx(float(expected))


def test_the_size_of_hidden_states_does_not_matter():
    """One position of a real model is a thousand times as large as the others."""
    student, teacher = hidden(0), hidden(1)
    expected = HIDDEN_MEASURES["mse"](student, teacher, COMPARED)[0]
    student[:, 0] *= 1000.0
    teacher[:, 0] *= 1000.0
    assert float(HIDDEN_MEASURES["mse"](student, teacher, COMPARED)[0]) == pytest.approx(
        float(expected)
    )
    nothing = HIDDEN_MEASURES["mse"](torch.zeros_like(teacher), teacher, COMPARED)
    assert float(nothing[0] / nothing[1]) == pytest.approx(1.0)


def test_attention_divergence_is_that_of_torch():
    student, teacher = maps(0), maps(1)
    expected = sum(
        functional.kl_div(student[b, a, t, :k].log(), teacher[b, a, t, :k], reduction="sum")
        for b in range(B)
        for a in range(A)
        for t in range((5, 3)[b])
        for k in (t + 1,)
    )
    total, count = ATTENTION_MEASURES["kl"](student, teacher, COMPARED)
    assert count == 8
    assert float(total) == pytest.approx(float(expected) / A)


@pytest.mark.parametrize(("name", "measure"), MEASURES)
def test_padding_is_ignored(name, measure):
    """Other values at positions that do not count, and wider padding, change nothing."""
    student, teacher = inputs(name)
    expected = measure(student, teacher, COMPARED)
    if "maps" in name:
        student[1, :, 3:], teacher[1, :, 3:] = 0.7, 0.1
        pad = (0, 2, 0, 2)
    else:
        student[1, 3:], teacher[1, 3:] = 7.0, -3.0
        pad = (0, 0, 0, 2)
    wider = [functional.pad(x, pad, value=0.0) for x in (student, teacher)]
    changed = measure(*wider, functional.pad(COMPARED, (0, 2)))
    assert float(changed[0]) == pytest.approx(float(expected[0]))
    assert changed[1] == expected[1]


@pytest.mark.parametrize(("name", "measure"), MEASURES)
def test_no_position_is_a_connected_zero(name, measure):
    student, teacher = inputs(name)
    student.requires_grad_()
    total, count = measure(student, teacher, torch.zeros_like(COMPARED))
    total.backward()
    assert (total.item(), count) == (0.0, 0)
    assert torch.equal(student.grad, torch.zeros_like(student))


@pytest.mark.parametrize(("name", "measure"), MEASURES)
def test_the_teacher_gets_no_gradient(name, measure):
    student, teacher = inputs(name)
    student.requires_grad_()
    teacher.requires_grad_()
    measure(student, teacher, COMPARED)[0].backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize("measure", ATTENTION_MEASURES.values())
def test_unlike_numbers_of_heads_are_averaged(measure):
    student, teacher = maps(0, heads=2), maps(1, heads=4)
    expected = measure(student.mean(1, keepdim=True), teacher.mean(1, keepdim=True), COMPARED)
    assert float(measure(student, teacher, COMPARED)[0]) == pytest.approx(float(expected[0]))


def test_a_student_that_looks_elsewhere_stays_finite():
    student = torch.tensor([[[[1.0, 0.0]]]], requires_grad=True)
    total, _ = ATTENTION_MEASURES["kl"](
        student, torch.tensor([[[[0.0, 1.0]]]]), torch.ones(1, 1).bool()
    )
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("measure", HIDDEN_MEASURES.values())
def test_half_precision_is_widened(measure):
    student, teacher = hidden(0).bfloat16(), hidden(1).bfloat16()
    total, _ = measure(student, teacher, COMPARED)
    exact, _ = measure(student.double(), teacher.double(), COMPARED)
    assert total.dtype == torch.float32
    assert float(total) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (2, 6, ((1, 3), (2, 6))),
        (3, 3, ((1, 1), (2, 2), (3, 3))),
        (2, 5, ((1, 3), (2, 5))),
        (6, 12, ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12))),
        (4, 2, ((1, 1), (2, 1), (3, 2), (4, 2))),
        (5, 1, ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1))),
    ],
)
def test_layers_are_spread_evenly(student, teacher, pairs):
    assert uniform_pairs(student, teacher) == pairs


def test_which_positions_are_compared():
    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 0], [5, 6, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]),
        "labels": torch.tensor([[-100, -100, 7, -100], [-100, -100, -100, -100]]),
    }
    # the prompt counts too; an example without any label does not
    assert compared_positions(batch).tolist() == [[True, True, True, False], [False] * 4]
    assert compared_positions(batch, decoder_side=True).sum() == 1
    classifier = {**batch, "labels": torch.tensor([2, -100])}
    assert compared_positions(classifier).tolist() == [[True, True, True, False], [False] * 4]


def test_wrong_settings_are_told_at_once():
    faults = layer_faults(
        {
            "hidden_weight": -1.0,
            "hidden_measure": "l1",
            "attention_weight": float("nan"),
            "attention_measure": "cosine",
            "layer_pairs": [[1, 2], [3]],
        }
    )
    assert [fault.split()[0] for fault in faults] == [
        "hidden_weight",
        "attention_weight",
        "hidden_measure",
        "attention_measure",
        "layer_pairs",
    ]
