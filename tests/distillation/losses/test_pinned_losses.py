"""The losses of short runs under a fixed seed, as they were before the loss was fused.

A change that is meant to change nothing must leave them as they are. They were written down with
the logits of all supervised positions and autograd, in torch 2.13; AdamW makes much of the last
digits of a small gradient, so the bar is wider than float32.
"""

import pytest
from kd_models import gpt2, kd_trainer, llama
from stillroom.distillation.losses.distillation_loss import DistillationLoss

PINNED = [
    (llama, "forward_kl", 2.0, 0.3, [3.915021, 4.480550, 4.117415, 4.461561, 2.674055, 2.838506]),
    (gpt2, "jsd", 2.0, 0.5, [3.263534, 3.516188, 2.973572, 3.098674, 2.503384, 2.983848]),
    (llama, "reverse_kl", 1.0, 1.0, [1.811895, 1.973075, 2.072935, 1.766947, 1.601698, 1.476608]),
    (llama, "skew_reverse", 4.0, 0.5, [3.226638, 3.624676, 3.407285, 3.576681, 2.269573, 2.476274]),
    (gpt2, "tvd", 1.0, 0.5, [3.180411, 3.485033, 2.962136, 3.078434, 2.491365, 2.986431]),
    (llama, "skew_forward", 3.0, 0.7, [2.627349, 2.844646, 2.776550, 2.775820, 1.959789, 2.021661]),
    (llama, "forward_kl", 2.0, 0.0, [4.652223, 5.427349, 4.913683, 5.537957, 2.956728, 3.265163]),
]


@pytest.mark.parametrize(
    ("make", "objective", "temperature", "alpha", "expected"),
    PINNED,
    ids=[f"{make.__name__} {objective} {alpha}" for make, objective, _, alpha, _ in PINNED],
)
def test_pinned_losses(tmp_path, make, objective, temperature, alpha, expected):
    trainer = kd_trainer(
        tmp_path,
        make(),
        teacher=make(1),
        loss_fn=DistillationLoss(temperature, alpha, objective=objective),
        steps=6,
        learning_rate=1e-2,
        batch_size=2,
        accumulation=2,
    )
    trainer.train()
    losses = [loss for _, loss in trainer.history.losses]
    assert losses[0] == pytest.approx(expected[0], rel=1e-6)
    assert losses == pytest.approx(expected, rel=1e-4)
