"""Layer losses inside a run: by hand, with learned projections, over accumulation and a resume."""

import kd_families
import kd_models
import kd_resume
import pytest
import torch
from kd_families import PAIR_COLLATOR, TEXT_COLLATOR, pairs, texts
from kd_models import gpt2, kd_trainer, llama, random_items
from safetensors.torch import load_file
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.losses.layer_losses import attention_kl, hidden_mse
from stillroom.distillation.losses.layer_matching import PROJECTIONS_FILE, LayerSettings
from stillroom.distillation.training.resuming import last_whole_checkpoint
from stillroom.errors import ConfigError

BOTH = LayerSettings(hidden_weight=2.0, attention_weight=0.5)


def trainer_of(folder, student, teacher, layers=BOTH, **settings):
    return kd_trainer(folder, student, teacher=teacher, layers=layers, **settings)


def one_loss(trainer, batch):
    """The loss of one batch and the gradients of student and projections."""
    with trainer.layers.watching():
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
    trained = [*trainer.model.parameters(), *trainer.layers.projections.parameters()]
    gradients = [p.grad.flatten() for p in trained if p.grad is not None]
    for parameter in trained:
        parameter.grad = None
    return loss.item(), torch.cat(gradients)


@pytest.mark.parametrize("make", [llama, gpt2, kd_families.gemma2])
def test_the_loss_is_that_of_a_sum_by_hand(tmp_path, make):
    """On logits plus on layers; a mean over layer pairs, each a mean over all real tokens."""
    batch = Collator(0)(random_items(4))
    student, teacher = make(0, layers=2), make(1, layers=4)
    trainer = trainer_of(tmp_path, student, teacher)
    plain = kd_trainer(tmp_path, student, teacher=teacher)
    expected = plain.compute_loss(student, batch).item()
    for model in (student, teacher):
        model.set_attn_implementation("eager")
    asked = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
    with torch.no_grad():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        ours, theirs = student(**inputs, **asked), teacher(**inputs, **asked)
        real = batch["attention_mask"].bool()
        for layer, match in ((1, 2), (2, 4)):
            total, count = hidden_mse(ours.hidden_states[layer], theirs.hidden_states[match], real)
            expected += 2.0 * total.item() / count / 2
            total, _ = attention_kl(ours.attentions[layer - 1], theirs.attentions[match - 1], real)
            expected += 0.5 * total.item() / count / 2
    assert one_loss(trainer, batch)[0] == pytest.approx(expected, rel=1e-5)


def test_identical_models_have_no_layer_loss(tmp_path):
    trainer = trainer_of(tmp_path, llama(0), llama(0), loss_fn=DistillationLoss(2.0, 1.0))
    loss, gradient = one_loss(trainer, Collator(0)(random_items(4)))
    assert loss == pytest.approx(0.0, abs=1e-6)
    assert gradient.abs().max() < 1e-5


@pytest.mark.parametrize("layers", [2, 3])
def test_unlike_widths_learn_a_projection(tmp_path, layers):
    """The projection moves, is optimised once, and brings the distance of hidden states down."""
    settings = LayerSettings(hidden_weight=1.0)
    student = llama(0, width=8, layers=2)
    trainer = trainer_of(
        tmp_path,
        student,
        llama(1, width=16, layers=layers),
        settings,
        loss_fn=DistillationLoss(1.0, 0.0),
        steps=30,
        learning_rate=1e-2,
        batch_size=16,
    )
    weights = [p for g in trainer.optimizer.param_groups for p in g["params"]]
    projections = list(trainer.layers.projections.parameters())
    assert [p.shape for p in projections] == [(16, 8)] * 2
    assert sum(p is projections[0] for p in weights) == 1
    before = [p.detach().clone() for p in projections]
    batch = Collator(0)(random_items(16))
    plain = kd_trainer(tmp_path / "p", student, loss_fn=DistillationLoss(1.0, 0.0))

    def distance():
        return one_loss(trainer, batch)[0] - plain.compute_loss(student, batch).item()

    first = distance()
    trainer.train()
    assert distance() < 0.8 * first
    assert all(not torch.equal(a, b) for a, b in zip(before, projections, strict=True))


def test_the_projection_is_no_part_of_the_student(tmp_path):
    student = llama(0, width=8)
    names = set(student.state_dict())
    trainer = trainer_of(tmp_path, student, llama(1), steps=4, save_steps=2)
    trainer.train()
    checkpoint = tmp_path / "checkpoint-2"
    assert set(student.state_dict()) == names
    assert set(load_file(checkpoint / "model.safetensors")) == names
    assert set(load_file(checkpoint / PROJECTIONS_FILE)) == {"0.weight", "1.weight"}
    assert PROJECTIONS_FILE in (checkpoint / "whole.json").read_text()


def test_padding_and_batches_without_labels_count_for_nothing(tmp_path):
    batch = Collator(0)(random_items(4))
    wider = {
        name: torch.nn.functional.pad(value, (0, 3), value={"labels": -100}.get(name, 0))
        for name, value in batch.items()
    }
    wider["input_ids"][wider["attention_mask"] == 0] = 44
    trainer = trainer_of(tmp_path, llama(0, width=8), llama(1))
    expected, gradient = one_loss(trainer, batch)
    loss, other = one_loss(trainer, wider)
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-6)
    loss, gradient = one_loss(trainer, {**batch, "labels": torch.full_like(batch["labels"], -100)})
    assert loss == 0.0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def trained(folder, batch_size, alpha=0.5):
    student = llama(0, width=8)
    trainer = trainer_of(
        folder,
        student,
        llama(1),
        items=random_items(16),
        loss_fn=DistillationLoss(2.0, alpha),
        batch_size=batch_size,
        accumulation=8 // batch_size,
        steps=3,
        max_grad_norm=0.0,
    )
    trainer.train()
    return trainer.history.losses, trainer.layers.projections.state_dict()["0.weight"]


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_accumulation_changes_nothing(tmp_path, alpha):
    """1 x 8, 2 x 4, 8 x 1; at alpha 0 nothing but the layer losses runs the teacher."""
    losses, projection = trained(tmp_path / "8", 8, alpha)
    for batch_size in (4, 1):
        others, other = trained(tmp_path / f"{batch_size}", batch_size, alpha)
        assert [v for _, v in others] == pytest.approx([v for _, v in losses], rel=1e-5)
        torch.testing.assert_close(other, projection, rtol=1e-4, atol=1e-5)


def resumable(folder, *, stop=None, resume=None):
    student = gpt2(0, width=8, dropout=0.1)
    trainer = trainer_of(
        folder,
        student,
        gpt2(1),
        items=random_items(14),
        steps=8,
        save_steps=3,
        callbacks=[] if stop is None else [kd_resume.StopAfter(stop)],
    )
    trainer.train(resume)
    return kd_models.weights(student) | trainer.layers.projections.state_dict(), trainer.history


def test_a_resumed_run_ends_bit_for_bit_the_same(tmp_path):
    expected, history = resumable(tmp_path / "a")
    resumable(tmp_path / "b", stop=5)
    checkpoint = last_whole_checkpoint(tmp_path / "b")
    assert checkpoint.name == "checkpoint-3"
    weights, resumed = resumable(tmp_path / "b", resume=checkpoint)
    assert kd_models.same(weights, expected)
    assert resumed.losses == history.losses


OTHERS = {
    "distilbert": (kd_families.bert, kd_families.distilbert, texts(8), TEXT_COLLATOR),
    "t5": (kd_families.t5, kd_families.t5, pairs(8), PAIR_COLLATOR),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("width", [16, 8])
def test_encoders_and_decoders_beside_them_match_layers(tmp_path, name, width):
    make_teacher, make, items, collator = OTHERS[name]
    losses = []
    for layers in (BOTH, None):
        trainer = trainer_of(
            tmp_path / str(layers),
            make(0, width=width),
            make_teacher(1, layers=4),
            layers,
            items=items,
            data_collator=collator,
            batch_size=8,
            steps=20,
            learning_rate=3e-3,
        )
        trainer.train()
        losses.append(trainer.history.losses)
    assert losses[0][0][1] > losses[1][0][1]
    assert losses[0][-1][1] < losses[0][0][1]


def test_attention_is_eager_only_while_it_is_watched(tmp_path):
    student, teacher = llama(0), llama(1)
    trainer = trainer_of(tmp_path, student, teacher, steps=2)
    trainer.train()
    assert {m.config._attn_implementation for m in (student, teacher)} == {"sdpa"}
    assert not student._forward_hooks
    assert not student._forward_pre_hooks


def test_layers_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"names \[\(3, 1\)\]; the student has 2 layers"):
        trainer_of(
            tmp_path, llama(0), llama(1), LayerSettings(hidden_weight=1.0, layer_pairs=((3, 1),))
        )


class TwiceTheStudent:
    def rows(self, batch):
        raise AssertionError


@pytest.mark.parametrize("teacher", [TwiceTheStudent(), None])
def test_only_a_teacher_that_runs_beside_has_layers(tmp_path, teacher):
    with pytest.raises(ConfigError, match="a cache holds logits only"):
        trainer_of(tmp_path, llama(0), teacher, loss_fn=DistillationLoss(2.0, 0.0))


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"hidden_weight is -1"):
        LayerSettings(hidden_weight=-1)
    assert not LayerSettings().active
