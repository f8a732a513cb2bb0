"""Each family as teacher and student: the loss falls, on rows or densely as expected; half of the
layers make a student."""

import kd_families
import kd_models
import pytest
import torch
from kd_families import PAIR_COLLATOR, TEXT_COLLATOR, pairs, texts
from kd_models import kd_trainer
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.students.open_students import half_of

DECODERS = {
    "gpt2": (kd_models.gpt2, "fused"),
    "llama": (kd_models.llama, "fused"),
    "qwen2": (kd_families.qwen2, "fused"),
    "qwen3": (kd_families.qwen3, "fused"),
    "gemma": (kd_families.gemma, "fused"),
    "gemma2": (kd_families.gemma2, "dense"),  # softcapped logits
    "gemma3": (kd_families.gemma3, "fused"),
}
OTHERS = {
    "bert": (
        kd_families.bert,
        kd_families.bert,
        {"items": texts(), "data_collator": TEXT_COLLATOR},
    ),
    "distilbert": (
        kd_families.bert,
        kd_families.distilbert,
        {"items": texts(), "data_collator": TEXT_COLLATOR},
    ),
    "t5": (kd_families.t5, kd_families.t5, {"items": pairs(), "data_collator": PAIR_COLLATOR}),
}


def train(folder, student, teacher, **settings):
    trainer = kd_trainer(
        folder,
        student,
        teacher=teacher,
        loss_fn=DistillationLoss(2.0, 0.7),
        learning_rate=3e-3,
        batch_size=12,
        steps=25,
        **settings,
    )
    trainer.train()
    losses = [loss for _, loss in trainer.history.losses]
    return trainer, losses


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_learns_from_its_like(tmp_path, name):
    make, path = DECODERS[name]
    items = kd_models.random_items(12)
    trainer, losses = train(tmp_path, make(0), make(1), items=items)
    assert losses[-1] < 0.9 * losses[0]
    assert (trainer.rows.dense_because is None) == (path == "fused")
    assert (trainer.teacher.row_logits.dense_because is None) == (path == "fused")


@pytest.mark.parametrize("name", OTHERS)
def test_encoders_and_encoder_decoders_learn(tmp_path, name, caplog):
    make_teacher, make, data = OTHERS[name]
    trainer, losses = train(tmp_path, make(0), make_teacher(1), **data)
    assert losses[-1] < 0.9 * losses[0]
    assert trainer.rows.dense_because in caplog.text


@pytest.mark.parametrize("name", DECODERS)
def test_half_of_a_decoder_makes_a_student(name):
    teacher = DECODERS[name][0](layers=4)
    student = half_of(teacher)
    assert student.config.num_hidden_layers == 2
    ids = torch.tensor([[3, 5, 7, 9, 11, 13]])
    assert torch.isfinite(student(ids).logits).all()
    assert student.generate(ids, max_new_tokens=2, do_sample=False).shape[1] > 6


def test_half_of_an_encoder_computes_without_the_rest():
    """The oracle is the teacher with its left-out layers turned into the identity."""
    teacher = kd_families.bert(layers=4).eval()
    student = half_of(teacher).eval()
    assert student.config.num_hidden_layers == 2
    for number in (0, 2):
        teacher.bert.encoder.layer[number].forward = lambda hidden, *_, **__: hidden
    batch = {"input_ids": torch.tensor([[3, 5, 7, 0]]), "attention_mask": torch.ones(1, 4).long()}
    torch.testing.assert_close(student(**batch).logits, teacher(**batch).logits)


@pytest.mark.parametrize("decoder_layers", [4, 2])
def test_half_of_an_encoder_decoder_has_both_halves(decoder_layers):
    """All blocks of T5 take their position bias from the first one, so the student needs it."""
    teacher = kd_families.t5(layers=4, decoder_layers=decoder_layers).eval()
    student = half_of(teacher).eval()
    assert student.config.num_layers == 2
    assert student.config.num_decoder_layers == decoder_layers // 2
    for ours, theirs in ((student.encoder, teacher.encoder), (student.decoder, teacher.decoder)):
        bias = ours.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        assert torch.equal(
            bias, theirs.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        )
        for number, block in enumerate(ours.block):
            weight = theirs.block[2 * number + 1].layer[0].SelfAttention.q.weight
            assert torch.equal(block.layer[0].SelfAttention.q.weight, weight)
    assert student.lm_head.weight is student.shared.weight
    ids = torch.tensor([[3, 5, 7, 1]])
    generated = student.generate(ids, max_new_tokens=3, do_sample=False)
    assert generated.shape[0] == 1
