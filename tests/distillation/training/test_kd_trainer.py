"""The training step: divisor, masks, rows, teacher, and equality with a loop written by hand."""

import inspect
import sys

import kd_models
import pytest
import torch
from kd_models import gpt2, kd_trainer, llama, random_items
from stillroom.distillation.batches.batching import Collator, TokenizedExample, batch_order
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.teacher.online import OnlineTeacher
from stillroom.distillation.training.trainer import KDTrainer, choose_attention, training_arguments
from stillroom.errors import ConfigError, EmptyDataError, StillroomError
from torch.nn import functional
from transformers import TrainerCallback


class Gradients(TrainerCallback):
    """Keep the gradient of the first optimizer step."""

    def __init__(self):
        self.first = None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if self.first is None:
            self.first = torch.cat([p.grad.flatten().clone() for p in model.parameters()])


def first_gradient(folder, model, **settings):
    kept = Gradients()
    trainer = kd_trainer(folder, model, callbacks=[kept], max_grad_norm=0.0, steps=1, **settings)
    trainer.train()
    return kept.first, trainer.history.losses[0][1]


def relative(one, other):
    return float((one - other).norm() / other.norm())


class MeanLoss(DistillationLoss):
    """A user's loss: computes the same from full logits, so it takes the dense path."""


@pytest.mark.parametrize("objective", ["forward_kl", "tvd"])
def test_gradient_of_a_users_loss_does_not_depend_on_how_the_batch_is_split(tmp_path, objective):
    """1 x 8, 2 x 4 and 8 x 1 (examples x accumulation), unequal lengths."""
    loss_fn = MeanLoss(2.0, 0.5, objective=objective)
    gradients = [
        first_gradient(
            tmp_path / str(n),
            llama(),
            teacher=llama(1),
            loss_fn=loss_fn,
            batch_size=n,
            accumulation=8 // n,
        )
        for n in (8, 4, 2, 1)
    ]
    for gradient, loss in gradients[1:]:
        assert relative(gradient, gradients[0][0]) <= 1e-6
        assert loss == pytest.approx(gradients[0][1], rel=1e-6)


def by_hand(model, teacher, items, *, steps, temperature, alpha, learning_rate):
    """The same training without any of our modules but the order of batches."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    losses = []
    for step in range(steps):
        lengths = [len(item.input_ids) for item in items]
        (batch,) = [
            b
            for epoch in range(steps)
            for n, b in enumerate(batch_order(lengths, batch_size=4, epoch=epoch))
            if epoch * -(-len(items) // 4) + n == step
        ]
        total, tokens = torch.zeros(()), 0
        for item in (items[i] for i in batch):
            ids = torch.tensor([item.input_ids])
            z, zt = model(ids).logits[0], teacher(ids).logits[0].detach()
            for place in range(max(item.prompt_length, 1), ids.shape[1]):
                kl = functional.kl_div(
                    (z[place - 1] / temperature).log_softmax(-1),
                    (zt[place - 1] / temperature).softmax(-1),
                    reduction="sum",
                )
                ce = functional.cross_entropy(z[place - 1], ids[0, place])
                total = total + alpha * temperature**2 * kl + (1 - alpha) * ce
                tokens += 1
        loss = total / tokens
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("make", [llama, gpt2])
def test_losses_are_those_of_a_loop_written_by_hand(tmp_path, make):
    items = random_items(10)
    settings = {"steps": 5, "learning_rate": 1e-2}
    expected = by_hand(make(), make(1), items, temperature=2.0, alpha=0.3, **settings)
    trainer = kd_trainer(
        tmp_path,
        make(),
        teacher=make(1),
        items=items,
        loss_fn=DistillationLoss(2.0, 0.3),
        **settings,
    )
    trainer.train()
    assert [step for step, _ in trainer.history.losses] == [1, 2, 3, 4, 5]
    assert [loss for _, loss in trainer.history.losses] == pytest.approx(expected, rel=1e-4)
    assert expected[0] > expected[-1]


def one_loss(model, batch, **settings):
    """The loss and the gradient of one batch, without a training loop."""
    trainer = kd_trainer(settings.pop("folder"), model, **settings)
    trainer.optimizer.zero_grad()
    loss = trainer.compute_loss(trainer.model.eval(), batch)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


def test_padding_and_ignored_labels_change_nothing(tmp_path):
    items = [TokenizedExample("a", (5, 6, 7, 8, 0), 3), TokenizedExample("b", (9, 4, 0), 1)]
    batch = Collator(0)(items)
    other = {name: tensor.clone() for name, tensor in batch.items()}
    other["input_ids"][1, 3:] = 33  # other ids in the padding
    wider = {
        "input_ids": functional.pad(batch["input_ids"], (0, 3), value=17),
        "attention_mask": functional.pad(batch["attention_mask"], (0, 3)),
        "labels": functional.pad(batch["labels"], (0, 3), value=-100),
    }
    expected_loss, expected = one_loss(llama(), batch, teacher=llama(1), folder=tmp_path)
    for changed in (other, wider):
        loss, gradient = one_loss(llama(), changed, teacher=llama(1), folder=tmp_path)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        assert relative(gradient, expected) <= 1e-5


def test_padding_tokens_get_no_gradient(tmp_path):
    """The embedding row of a token that only stands in padding stays untouched."""
    batch = Collator(33)([TokenizedExample("a", (5, 6, 7, 8), 2), TokenizedExample("b", (9, 4), 1)])
    model = llama()
    one_loss(model, batch, teacher=llama(1), folder=tmp_path)
    touched = model.model.embed_tokens.weight.grad.abs().sum(-1) > 0
    # token 8 and 4 come last: nothing supervised looks at them
    assert sorted(touched.nonzero().flatten().tolist()) == [5, 6, 7, 9]


def test_logits_of_prompt_and_padding_get_no_gradient():
    batch = Collator(0)(
        [TokenizedExample("a", (5, 6, 7, 8, 9, 3), 3), TokenizedExample("b", (9, 4), 1)]
    )
    logits = torch.randn(2, 6, 11, requires_grad=True)
    DistillationLoss()(logits, torch.randn(2, 6, 11), batch["labels"]).backward()
    touched = logits.grad.abs().sum(-1) > 0
    assert touched.tolist() == [[False, False, True, True, True, False], [True] + [False] * 5]


def test_a_batch_without_supervised_tokens_is_a_finite_zero(tmp_path):
    batch = Collator(0)([TokenizedExample("a", (5, 6), 1)])
    batch["labels"][:] = -100
    loss, gradient = one_loss(llama(), batch, teacher=llama(1), folder=tmp_path)
    assert loss == 0.0
    assert torch.equal(gradient, torch.zeros_like(gradient))


# ------------------------------------------------------------------------- the vocabulary


@pytest.mark.parametrize("loss_class", [DistillationLoss, MeanLoss])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_padded_vocabulary_rows_count_for_nothing(tmp_path, make, loss_class):
    batch = Collator(0)(random_items(4))
    student, teacher = make(0, vocabulary=64), make(0, vocabulary=70)
    with torch.no_grad():  # equal below V, arbitrary above
        teacher.get_output_embeddings().weight[: kd_models.V] = (
            student.get_output_embeddings().weight[: kd_models.V]
        )
        for one, other in zip(
            student.base_model.parameters(), teacher.base_model.parameters(), strict=True
        ):
            other[: len(one)] = one
        teacher.get_output_embeddings().weight[kd_models.V :] += 3.0
    trainer = kd_trainer(
        tmp_path,
        student,
        teacher=teacher,
        vocabulary=kd_models.V,
        loss_fn=loss_class(2.0, 1.0),
    )
    loss = trainer.compute_loss(student.eval(), batch)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    gradient = student.get_output_embeddings().weight.grad[kd_models.V :]
    assert torch.equal(gradient, torch.zeros_like(gradient))


# ------------------------------------------------------------------------- the teacher


def test_the_teacher_stays_as_it_is_and_out_of_the_way(tmp_path):
    student, teacher = gpt2(dropout=0.1), gpt2(1, dropout=0.5)
    before = kd_models.weights(teacher)
    trainer = kd_trainer(tmp_path, student, teacher=teacher.train(), save_steps=2)
    trainer.train()
    assert kd_models.same(kd_models.weights(teacher), before)
    assert not teacher.training
    assert student.training
    assert not any(p.requires_grad for p in teacher.parameters())
    placed = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert placed == {id(p) for p in student.parameters()}
    saved = sum(f.stat().st_size for f in (tmp_path / "checkpoint-2").glob("model*.safetensors"))
    assert saved < 1.2 * 4 * sum(p.numel() for p in student.parameters()) + 10_000


def test_a_teacher_put_into_train_mode_by_others_still_answers_without_dropout():
    teacher = OnlineTeacher(gpt2(1, dropout=0.5))
    batch = Collator(0)(random_items(4))
    expected = teacher.logits(batch)
    teacher.model.train()
    assert torch.equal(teacher.logits(batch), expected)


class NeverAsked(torch.nn.Module):
    def forward(self, *args, **kwargs):
        raise AssertionError("the teacher was run")


@pytest.mark.parametrize("teacher", [None, NeverAsked()])
def test_alpha_zero_runs_no_teacher(tmp_path, teacher):
    loss_fn = DistillationLoss(2.0, 0.0)
    kd_trainer(tmp_path, llama(), teacher=teacher, loss_fn=loss_fn, steps=1).train()


def test_alpha_one_looks_at_no_label(tmp_path):
    batch = Collator(0)(random_items(4))
    other = {**batch, "labels": torch.where(batch["labels"] == -100, -100, 1)}
    loss_fn = DistillationLoss(2.0, 1.0)
    settings = {"teacher": llama(1), "loss_fn": loss_fn, "folder": tmp_path}
    assert one_loss(llama(), batch, **settings)[0] == one_loss(llama(), other, **settings)[0]


class Undecided:
    """Another source of teacher distributions: the Protocol alone is enough."""

    def rows(self, batch):
        return torch.zeros(int((batch["labels"][:, 1:] != -100).sum()), kd_models.V)


def test_any_teacher_signal_will_do(tmp_path):
    trainer = kd_trainer(tmp_path, llama(), teacher=Undecided(), steps=2)
    trainer.train()
    assert trainer.history.losses[0][1] > 0.0


# ------------------------------------------------------------------------- settings


def test_settings_that_train_something_else_are_refused_at_once(tmp_path):
    args = training_arguments(tmp_path, device=kd_models.CPU)
    args.label_smoothing_factor = 0.1
    args.remove_unused_columns = True
    args.save_total_limit = 1
    args._n_gpu = 2
    model = llama()
    with pytest.raises(ConfigError) as caught:
        KDTrainer(model, args, train_dataset=random_items(2), data_collator=Collator(0))
    words = ["no teacher", "label_smoothing", "remove_unused", "save_total_limit", "2 GPUs"]
    assert all(any(word in fault for fault in caught.value.faults) for word in words)


def test_a_teacher_that_is_the_student_is_refused(tmp_path):
    model = llama()
    with pytest.raises(ConfigError, match="share 21 tensors"):
        kd_trainer(tmp_path, model, teacher=model)


def test_a_users_loss_needs_full_logits(tmp_path):
    with pytest.raises(ConfigError, match="MeanLoss needs a teacher model"):
        kd_trainer(tmp_path, llama(), loss_fn=MeanLoss(), teacher=Undecided())


def test_no_examples(tmp_path):
    with pytest.raises(EmptyDataError):
        kd_trainer(tmp_path, llama(), items=[], teacher=llama(1))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(StillroomError, match="loss of step 1 is nan"):
        kd_trainer(tmp_path, model, loss_fn=DistillationLoss(1.0, 0.0), steps=20).train()


def test_the_model_is_left_as_it_was_set_up(tmp_path):
    model = llama()
    model.config.use_cache = True
    model.set_attn_implementation("sdpa")
    kd_trainer(tmp_path, model, teacher=llama(1), dtype=torch.bfloat16, steps=1).train()
    assert model.config.use_cache
    assert model.config._attn_implementation == "sdpa"
    copy = llama(5)
    copy.load_state_dict(model.state_dict())
    ids = torch.tensor([[3, 5, 7, 9]])
    assert torch.equal(model.eval()(ids).logits, copy.eval()(ids).logits)  # no autocast is left
    assert choose_attention(kd_models.CPU, torch.bfloat16) == "eager"


@pytest.mark.parametrize("make", [llama, gpt2])
def test_bfloat16_computes_nearly_the_same_and_on_rows(tmp_path, make):
    exact, _ = first_gradient(tmp_path / "a", make(), teacher=make(1))
    kept = Gradients()
    trainer = kd_trainer(
        tmp_path / "b",
        make(),
        teacher=make(1),
        callbacks=[kept],
        max_grad_norm=0.0,
        steps=1,
        dtype=torch.bfloat16,
    )
    trainer.train()
    assert trainer.rows.dense_because is None
    assert relative(kept.first, exact) < 0.1
    assert kept.first.dtype == torch.float32  # the weights and their gradients stay wide


def test_losses_and_curve_are_written(tmp_path):
    trainer = kd_trainer(tmp_path, llama(), teacher=llama(1), steps=25)
    trainer.train()
    lines = (tmp_path / "losses.jsonl").read_text().splitlines()
    assert len(lines) == len(trainer.history.losses) == 25
    assert (tmp_path / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_bar_can_be_shown_and_hidden(tmp_path, capsys, monkeypatch):
    """On a terminal; in a file it is never drawn."""
    monkeypatch.setattr("stillroom.distillation.loss_curve.BAR_DELAY_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for progress in (False, True):
        trainer = KDTrainer(
            llama(),
            training_arguments(tmp_path, device=kd_models.CPU, max_steps=1),
            train_dataset=random_items(2),
            data_collator=Collator(0),
            loss_fn=DistillationLoss(1.0, 0.0),
            description="words before it",
            progress=progress,
        )
        trainer.train()
        captured = capsys.readouterr()
        assert ("words before it" in captured.err) is progress
        assert captured.out == ""


def test_compute_loss_fits_a_screen():
    source = inspect.getsource(KDTrainer.compute_loss).splitlines()
    assert len(source) <= 48  # signature and docstring included; the block itself is below 40
