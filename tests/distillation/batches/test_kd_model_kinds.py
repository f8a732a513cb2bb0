"""Labels of classifiers and encoder-decoders are not shifted; their loss is that of a formula."""

import kd_families
import kd_models
import pytest
import torch
from kd_families import PAIR_COLLATOR, TEXT_COLLATOR, bert, distilbert, pairs, t5, texts
from kd_models import kd_trainer
from stillroom.distillation.batches.batching import TokenizedExample, supervised_rows
from stillroom.distillation.batches.model_kinds import model_kind, shifts_labels
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.setting_names import IGNORED
from stillroom.errors import ConfigError
from torch.nn import functional

KINDS = {
    "classifier": (bert, distilbert, texts(8), TEXT_COLLATOR),
    "encoder_decoder": (t5, t5, pairs(8), PAIR_COLLATOR),
}


class MeanLoss(DistillationLoss):
    """A user's loss: gets full logits."""


def one_loss(folder, kind, batch=None, *, loss_fn=None, **settings):
    """The loss and gradient of one batch, with the student that the kind names."""
    make_teacher, make, items, collator = KINDS[kind]
    student = make(0)
    trainer = kd_trainer(
        folder,
        student,
        teacher=make_teacher(1),
        items=items,
        data_collator=collator,
        loss_fn=loss_fn or DistillationLoss(2.0, 0.3),
        **settings,
    )
    loss = trainer.compute_loss(trainer.model, collator(items) if batch is None else batch)
    trainer.optimizer.zero_grad()
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])
    return loss.item(), gradient


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (kd_models.llama, "causal"),
        (kd_models.gpt2, "causal"),
        (kd_families.gemma2, "causal"),
        (bert, "classifier"),
        (distilbert, "classifier"),
        (kd_families.gpt2_classifier, "classifier"),
        (t5, "encoder_decoder"),
    ],
)
def test_the_class_decides(make, kind):
    assert model_kind(make()) == kind
    assert shifts_labels(make()) == (kind == "causal")


@pytest.mark.parametrize(("problem", "classes"), [("regression", 3), (None, 1)])
def test_scores_are_no_classes(problem, classes):
    model = bert(classes=classes)
    model.config.problem_type = problem
    with pytest.raises(ConfigError, match=r"one choice between two or more classes"):
        model_kind(model)


def test_rows_with_and_without_a_shift():
    values = torch.arange(8.0).reshape(2, 4, 1)
    labels = torch.tensor([[7, IGNORED, 9, IGNORED], [IGNORED, 3, IGNORED, 5]])
    rows, kept = supervised_rows(values, labels)
    assert (rows.flatten().tolist(), kept.tolist()) == ([1.0, 4.0, 6.0], [9, 3, 5])
    rows, kept = supervised_rows(values, labels, shift=False)
    assert (rows.flatten().tolist(), kept.tolist()) == ([0.0, 2.0, 5.0, 7.0], [7, 9, 3, 5])
    rows, kept = supervised_rows(values[:, 0], torch.tensor([IGNORED, 2]), shift=False)
    assert (rows.flatten().tolist(), kept.tolist()) == ([4.0], [2])


def by_formula(z, teacher, labels, temperature=2.0, alpha=0.3):
    """[alpha T^2 KL + (1 - alpha) CE] / N of rows (N, C), by torch's functions."""
    kl = functional.kl_div(
        (z / temperature).log_softmax(-1), (teacher / temperature).softmax(-1), reduction="sum"
    )
    ce = functional.cross_entropy(z, labels, reduction="sum")
    return float((alpha * temperature**2 * kl + (1 - alpha) * ce).detach() / len(z))


@torch.no_grad()
def test_a_classifier_is_taught_by_the_formula(tmp_path):
    batch = TEXT_COLLATOR(texts(8))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = by_formula(
        distilbert(0)(**inputs).logits, bert(1).eval()(**inputs).logits, batch["labels"]
    )
    with torch.enable_grad():
        assert one_loss(tmp_path, "classifier")[0] == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_an_encoder_decoder_is_taught_by_the_formula(tmp_path):
    """One example at a time, with the decoder's input made by the model itself from the labels."""
    rows, teacher_rows, labels = [], [], []
    student, teacher = t5(0), t5(1)
    for item in pairs(8):
        ids = torch.tensor([item.input_ids[: item.prompt_length]])
        target = torch.tensor([item.input_ids[item.prompt_length :]])
        rows.append(student(input_ids=ids, labels=target).logits[0])
        teacher_rows.append(teacher(input_ids=ids, labels=target).logits[0])
        labels.append(target[0])
    expected = by_formula(torch.cat(rows), torch.cat(teacher_rows), torch.cat(labels))
    with torch.enable_grad():
        assert one_loss(tmp_path, "encoder_decoder")[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_zero_is_the_models_own_loss(tmp_path, kind):
    _, make, items, collator = KINDS[kind]
    batch = collator(items)
    loss, _ = one_loss(tmp_path, kind, loss_fn=DistillationLoss(2.0, 0.0))
    with torch.no_grad():
        expected = make(0)(**batch).loss  # a mean over classes, or over tokens of the target
    assert loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_users_loss_gets_rows_that_are_not_shifted(tmp_path, kind):
    plain, gradient = one_loss(tmp_path / "a", kind)
    dense, other = one_loss(tmp_path / "b", kind, loss_fn=MeanLoss(2.0, 0.3))
    assert dense == pytest.approx(plain, rel=1e-5)
    torch.testing.assert_close(other, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_counts_for_nothing(tmp_path, kind):
    collator = KINDS[kind][3]
    batch = collator(KINDS[kind][2])
    wider = {
        name: functional.pad(
            value,
            (0, 3) if value.dim() == 2 else (0, 0),
            value={"labels": IGNORED}.get(name, 0),
        )
        for name, value in batch.items()
    }
    hidden = wider["attention_mask"] == 0
    wider["input_ids"] = torch.where(hidden, 33, wider["input_ids"])
    expected, gradient = one_loss(tmp_path / "a", kind, batch)
    loss, other = one_loss(tmp_path / "b", kind, wider)
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(other, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_divisor_is_that_of_the_whole_step(tmp_path, kind):
    """1 x 8, 2 x 4 and 8 x 1 (accumulation x examples) train the same."""
    make_teacher, make, items, collator = KINDS[kind]

    def trained(batch_size):
        model = make(0)
        trainer = kd_trainer(
            tmp_path / str(batch_size),
            model,
            teacher=make_teacher(1),
            items=items,
            data_collator=collator,
            batch_size=batch_size,
            accumulation=8 // batch_size,
            steps=2,
            optimizer="adamw",
        )
        trainer.train()
        return [loss for _, loss in trainer.history.losses]

    expected = trained(8)
    for batch_size in (4, 1):
        assert trained(batch_size) == pytest.approx(expected, rel=1e-5)


def test_the_pair_collator_feeds_the_decoder_one_behind():
    items = [TokenizedExample("a", (5, 6, 7, 8, 1), 2), TokenizedExample("b", (9, 4, 3, 1), 3)]
    batch = PAIR_COLLATOR(items)
    assert batch["input_ids"].tolist() == [[5, 6, 0], [9, 4, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[7, 8, 1], [1, IGNORED, IGNORED]]
    assert batch["decoder_input_ids"].tolist() == [[0, 7, 8], [0, 0, 0]]
    assert batch["decoder_attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
