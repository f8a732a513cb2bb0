"""Training from a cache: exactness beside the model itself, keys, grid, random sampling."""

import kd_models
import kd_resume
import pytest
import teacher_caches
import torch
from kd_models import kd_trainer, llama
from stillroom.distillation.batches.batching import Collator, TokenizedExample, batch_order
from stillroom.distillation.batches.packing import PackingCollator
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.losses.divergences import ROW_DIVERGENCES
from stillroom.distillation.teacher.cache_format import sequence_key
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.cached import CachedTeacher
from stillroom.errors import ConfigError, DataError
from transformers import LlamaForCausalLM, TrainerCallback

ITEMS = kd_models.random_items(14)
OBJECTIVES = sorted(ROW_DIVERGENCES)


class RoundedLlama(LlamaForCausalLM):
    """Logits in steps of 1/16, which float16 holds exactly up to 128."""

    def forward(self, *args, **kwargs):
        out = super().forward(*args, **kwargs)
        out.logits = (16 * out.logits).round() / 16
        return out


def rounded(seed=1):
    model = llama(seed)
    model.__class__ = RoundedLlama
    return model


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Give a function that builds each cache once."""
    made = {}

    def cache(name="plain", **given):
        if name not in made:
            folder = tmp_path_factory.mktemp(name) / "cache"
            teacher_caches.build(folder, ITEMS, **given)
            made[name] = TeacherCache(folder)
        return made[name]

    return cache


class Gradient(TrainerCallback):
    """Keep the gradient of the first optimizer step."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.value = torch.cat([p.grad.flatten().clone() for p in model.parameters()])


def first_step(folder, teacher, loss_fn, **settings):
    kept = Gradient()
    trainer = kd_trainer(
        folder,
        llama(),
        items=ITEMS,
        teacher=teacher,
        loss_fn=loss_fn,
        callbacks=[kept],
        max_grad_norm=0.0,
        steps=1,
        **settings,
    )
    trainer.train()
    return kept.value, trainer.history.losses[0][1]


def relative(one, other):
    return float((one - other).norm() / other.norm())


# ------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_all_classes_but_one_equal_the_teacher_itself(caches, tmp_path, objective, temperature):
    """K = V - 1: the tail is one token, so nothing is lost."""
    cache = caches("rounded", teacher=rounded(), k=kd_models.V - 1)
    loss_fn = DistillationLoss(temperature, 0.5, objective=objective)
    online, loss = first_step(tmp_path / "a", rounded(), loss_fn)
    cached, cached_loss = first_step(tmp_path / "b", cache, loss_fn)
    assert relative(cached, online) <= 1e-5
    assert cached_loss == pytest.approx(loss, rel=1e-5)


def test_what_float16_costs(caches, tmp_path):
    """The same with a teacher's own logits."""
    cache = caches("full", k=kd_models.V - 1)
    online, loss = first_step(tmp_path / "a", llama(1), DistillationLoss(2.0, 1.0))
    cached, cached_loss = first_step(tmp_path / "b", cache, DistillationLoss(2.0, 1.0))
    assert 0.0 < relative(cached, online) <= 1e-3
    assert cached_loss == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_kept_classes_and_tail_never_exceed_the_full_divergence(caches, tmp_path, objective):
    """Data processing: joining classes only takes away."""
    loss_fn = DistillationLoss(1.0, 1.0, objective=objective)
    _, loss = first_step(tmp_path / "a", llama(1), loss_fn)
    _, few = first_step(tmp_path / "b", caches(), loss_fn)
    _, many = first_step(tmp_path / "c", caches("many", k=40), loss_fn)
    assert 0.0 < few <= many * 1.0001 <= loss * 1.001


# ------------------------------------------------------------------------- keys, not places


def true_rows(item, temperature):
    """What the teacher says about one sequence, run by itself: position -> log p (V,)."""
    with torch.no_grad():
        logits = llama(1)(torch.tensor([item.input_ids])).logits[0].double()
    log_p = (logits / temperature).log_softmax(-1)
    return {t: log_p[t - 1] for t in range(max(item.prompt_length, 1), len(item.input_ids))}


def assert_belongs(rows, items, temperature=2.0):
    expected = [row for item in items for row in true_rows(item, temperature).values()]
    assert len(rows.ids) == len(expected)
    for ids, log_kept, log_tail, log_p in zip(
        rows.ids, rows.log_kept.double(), rows.log_tail.double(), expected, strict=True
    ):
        assert torch.allclose(log_kept, log_p[ids], atol=2e-2)
        left = torch.ones(kd_models.V, dtype=torch.bool)
        left[ids] = False
        assert log_tail == pytest.approx(float(log_p[left].logsumexp(0)), abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_signal_belongs_to_the_sequence_in_any_order(caches, batch_size):
    signal = CachedTeacher(caches(), DistillationLoss())
    lengths = [len(item.input_ids) for item in ITEMS]
    for batch in batch_order(lengths, batch_size=batch_size, seed=5, epoch=2):
        items = [ITEMS[place] for place in batch]
        assert_belongs(signal.rows(Collator(0)(items)), items)


def test_the_signal_belongs_to_the_sequence_when_packed(caches):
    signal = CachedTeacher(caches(), DistillationLoss())
    batch = PackingCollator(0, width=16)(ITEMS)
    assert len(batch["input_ids"]) < len(ITEMS) / 2
    order = [d for row in batch["documents"].tolist() for d in dict.fromkeys(row) if d >= 0]
    assert order != sorted(order)
    assert_belongs(signal.rows(batch), [ITEMS[place] for place in order])


@pytest.mark.parametrize("split", [(4, 1), (2, 2), (1, 4)])
def test_gradients_do_not_depend_on_how_the_batch_is_split(caches, tmp_path, split):
    batch_size, accumulation = split
    loss_fn = DistillationLoss(2.0, 0.5)
    expected, _ = first_step(tmp_path / "a", caches(), loss_fn)
    gradient, _ = first_step(
        tmp_path / "b", caches(), loss_fn, batch_size=batch_size, accumulation=accumulation
    )
    assert relative(gradient, expected) <= 1e-6


def test_packed_training_is_the_same(caches, tmp_path):
    loss_fn = DistillationLoss(2.0, 0.5)
    expected, loss = first_step(tmp_path / "a", caches(), loss_fn)
    trainer = kd_trainer(
        tmp_path / "b", llama(), items=ITEMS, teacher=caches(), loss_fn=loss_fn, steps=1
    )
    trainer.data_collator = PackingCollator(0, width=16)
    trainer.train()
    assert trainer.history.losses[0][1] == pytest.approx(loss, rel=1e-5)
    assert expected.norm() > 0


def test_a_run_resumed_within_an_epoch_goes_on_with_the_same_signal(caches, tmp_path):
    cache = caches()
    expected, losses, _ = kd_resume.run(tmp_path / "whole", teacher=cache)
    kd_resume.run(tmp_path / "half", stop=7, teacher=cache)  # epochs of 4 steps; goes on from 5
    weights, resumed, resume = kd_resume.run(tmp_path / "half", teacher=cache)
    assert resume.name == "checkpoint-5"
    assert kd_models.same(weights, expected)
    assert resumed == losses


def test_equal_sequences_serve_every_prompt_length(tmp_path):
    ids = (5, 6, 7, 8, 9, 10)
    items = [TokenizedExample("a", ids, 4), TokenizedExample("b", ids, 2)]
    teacher_caches.build(tmp_path / "c", items)
    signal = CachedTeacher(TeacherCache(tmp_path / "c"), DistillationLoss())
    assert_belongs(signal.rows(Collator(0)(items)), items)
    assert_belongs(signal.rows(Collator(0)(items[:1])), items[:1])


def test_keys_that_begin_alike_are_told_apart(tmp_path, monkeypatch):
    """The search looks at the first 8 bytes; here they say nothing."""

    def key(ids):
        return bytes(8) + sequence_key(ids)[8:]

    for module in ("cache_build", "cache_reader", "cached"):
        monkeypatch.setattr(f"stillroom.distillation.teacher.{module}.sequence_key", key)
    teacher_caches.build(tmp_path / "c", ITEMS)
    cache = TeacherCache(tmp_path / "c")
    assert_belongs(CachedTeacher(cache, DistillationLoss()).rows(Collator(0)(ITEMS)), ITEMS)
    assert cache.find(bytes(32)) is None
    assert cache.find(b"\xff" * 32) is None


def test_a_batch_without_supervised_tokens_has_no_rows(caches):
    batch = Collator(0)(ITEMS[:2])
    batch["labels"][:] = -100
    rows = CachedTeacher(caches(), DistillationLoss()).rows(batch)
    assert rows.ids.shape == rows.log_kept.shape == (0, 8)
    assert rows.log_tail.shape == (0,)


def test_a_label_on_the_first_token_is_left_out_as_the_shift_does(caches):
    item = next(item for item in ITEMS if item.prompt_length == 0)
    batch = Collator(0)([item])
    batch["labels"][0, 0] = item.input_ids[0]
    assert_belongs(CachedTeacher(caches(), DistillationLoss()).rows(batch), [item])


# ------------------------------------------------------------------------- what is not there


def test_a_missing_record_stops_the_run_before_it_begins(caches, tmp_path):
    other = TokenizedExample("record 17", (5, 6, 7, 8, 3), 2)
    with pytest.raises(DataError, match=r"example 'record 17' .*is not in the teacher cache"):
        kd_trainer(tmp_path, llama(), items=[*ITEMS, other], teacher=caches())


def test_a_missing_position_is_a_missing_record(caches):
    item = next(item for item in ITEMS if item.prompt_length > 2)
    wider = TokenizedExample("wider", item.input_ids, item.prompt_length - 1)
    caches().check(ITEMS)
    with pytest.raises(DataError, match="'wider'"):
        caches().check([*ITEMS, wider])
    with pytest.raises(DataError, match="row 1 of a batch, or not for all that is supervised"):
        CachedTeacher(caches(), DistillationLoss()).rows(Collator(0)([ITEMS[0], wider]))


@pytest.mark.parametrize("temperature", [3.0, 1.5, 2.0000001])
def test_a_temperature_off_the_grid_raises_and_names_the_grid(caches, tmp_path, temperature):
    loss_fn = DistillationLoss(temperature, 0.5)
    with pytest.raises(ConfigError, match="is exact at 1, 2, 4 only"):
        kd_trainer(tmp_path, llama(), items=ITEMS, teacher=caches(), loss_fn=loss_fn)
    with pytest.raises(ConfigError, match="is exact at 1, 2, 4 only"):
        CachedTeacher(caches(), loss_fn)


def test_the_temperature_is_the_one_of_the_loss_at_each_step(caches):
    """A schedule changes it; what is off the grid raises then, too."""
    loss_fn = DistillationLoss(1.0)
    signal = CachedTeacher(caches(), loss_fn)
    batch = Collator(0)(ITEMS[:3])
    for temperature in (1.0, 4.0, 2.0):
        loss_fn.temperature = temperature
        assert_belongs(signal.rows(batch), ITEMS[:3], temperature)
    loss_fn.temperature = 2.5
    with pytest.raises(ConfigError, match=r"temperature is 2\.5"):
        signal.rows(batch)


def test_another_vocabulary_is_refused(caches, tmp_path):
    settings = {"items": ITEMS, "teacher": caches()}
    with pytest.raises(ConfigError, match="is over 61 ids; the run is over 50"):
        kd_trainer(tmp_path, llama(), vocabulary=50, **settings)
    with pytest.raises(ConfigError, match="the student's head has 55 rows"):
        kd_trainer(tmp_path, llama(vocabulary=55), **settings)


def test_padded_rows_of_the_students_head_get_no_gradient(caches, tmp_path):
    student = llama(vocabulary=70)
    trainer = kd_trainer(tmp_path, student, items=ITEMS, teacher=caches())
    trainer.compute_loss(student.eval(), Collator(0)(ITEMS[:4])).backward()
    gradient = student.lm_head.weight.grad
    assert bool((gradient[kd_models.V :] == 0).all())
    assert bool((gradient[: kd_models.V] != 0).any())


def test_a_users_loss_needs_the_model_itself(caches, tmp_path):
    class MeanLoss(DistillationLoss):
        pass

    with pytest.raises(ConfigError, match="MeanLoss needs a teacher model"):
        kd_trainer(tmp_path, llama(), items=ITEMS, teacher=caches(), loss_fn=MeanLoss())


# ------------------------------------------------------------------------- random sampling


def sampled(caches):
    return caches("sampled", selection="random_sampling", temperatures=(2.0,), k=16)


def test_random_samples_give_soft_cross_entropy(caches):
    """The gradient on the logits is q - count / K, as for soft targets (arXiv 2503.16870)."""
    from stillroom.distillation.losses.dense import teacher_divergence
    from stillroom.distillation.losses.divergences import Mixture

    batch = Collator(0)(ITEMS[:4])
    rows = CachedTeacher(sampled(caches), DistillationLoss(2.0)).rows(batch)
    logits = torch.randn(len(rows.ids), kd_models.V, requires_grad=True)
    teacher_divergence(logits, rows, Mixture(2.0)).sum().backward()
    share = torch.zeros(len(rows.ids), kd_models.V).scatter_(1, rows.ids, rows.log_kept.exp())
    assert share.sum(1).tolist() == pytest.approx([1.0] * len(share))
    assert torch.allclose(16 * share, (16 * share).round(), atol=1e-5)
    expected = ((logits.detach() / 2.0).softmax(-1) - share) / 2.0
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_draws_belong_to_the_sequence_and_not_to_its_batch(caches, tmp_path):
    """Other batches round otherwise, which may move a draw now and then."""
    settings = {"selection": "random_sampling", "temperatures": (2.0,), "k": 16}
    teacher_caches.build(tmp_path / "c", ITEMS, batch_tokens=1, **settings)
    batch, loss_fn = Collator(0)(ITEMS), DistillationLoss(2.0)
    alone = CachedTeacher(TeacherCache(tmp_path / "c"), loss_fn).rows(batch)
    together = CachedTeacher(sampled(caches), loss_fn).rows(batch)
    assert (alone.ids == together.ids).all(1).float().mean() > 0.95
    assert (alone.log_kept == together.log_kept).all(1).float().mean() > 0.95


def test_random_samples_train(caches, tmp_path):
    gradient, loss = first_step(tmp_path, sampled(caches), DistillationLoss(2.0, 0.5))
    assert loss > 0
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o != "forward_kl"])
def test_random_samples_serve_forward_kl_only(caches, tmp_path, objective):
    loss_fn = DistillationLoss(2.0, 0.5, objective=objective)
    with pytest.raises(ConfigError, match="unbiased for 'forward_kl' only"):
        kd_trainer(tmp_path, llama(), items=ITEMS, teacher=sampled(caches), loss_fn=loss_fn)
    with pytest.raises(ConfigError, match="is exact at 2 only"):
        CachedTeacher(sampled(caches), DistillationLoss(1.0))
