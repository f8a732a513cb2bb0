"""LoRA: what learns, what is saved, and that a run that was broken off ends as if it had not."""

import sys
import warnings

import kd_forms
import kd_models
import pytest
import torch
from kd_forms import PAIRS, TOKENIZER, distiller
from kd_resume import StopAfter
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.distiller import DistillationConfig
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.stages import distill_stages
from stillroom.distillation.students.adapters import has_adapter, judge_merge
from stillroom.distillation.students.prepared_models import prepared_student
from stillroom.distillation.teacher.online import OnlineTeacher
from stillroom.distillation.training import build_trainer as run_trainer
from stillroom.errors import CheckpointError, ConfigError, MissingDependencyError
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)

peft = pytest.importorskip("peft")
LORA = {"lora_r": 4, "lora_alpha": 8}


@pytest.fixture
def trainers(monkeypatch):
    """The trainers that were made."""
    made = []
    make = run_trainer.KDTrainer.__init__

    def watched(self, *args, **kwargs):
        make(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(run_trainer.KDTrainer, "__init__", watched)
    return made


@pytest.mark.parametrize("make", [kd_forms.llama, kd_forms.gpt2])
def test_the_adapter_learns_and_is_merged(tmp_path, make, trainers):
    student, before = make(), kd_models.weights(make())
    run = distiller(student, make(1), **LORA)
    summary = run.distill(PAIRS)
    assert summary.losses[-1][1] < summary.losses[0][1]
    assert run.student_model is student  # plain again, with other weights
    assert not has_adapter(student)
    assert all(p.requires_grad for p in student.parameters())
    changed = {n for n, w in student.state_dict().items() if not torch.equal(w, before[n])}
    linear = (
        "proj.weight"
        if make is kd_forms.llama
        else ("c_attn.weight", "c_fc.weight", "c_proj.weight")
    )
    assert changed == {name for name in before if name.endswith(linear)}
    assert trainers[0].rows.dense_because is None  # the frozen head goes the fused way
    folder = run.save_distilled_model(tmp_path / "student")
    report = verify_checkpoint(folder)["merge"]
    assert report["max_logit_difference"] < 1e-4 * report["largest_logit"]
    assert report["same_choice"] == 1.0
    loaded = load_checkpoint(folder, device="cpu").model
    assert torch.equal(kd_forms.logits(loaded), kd_forms.logits(student))


def test_the_defaults_of_an_adapter_are_those_of_peft():
    model = kd_forms.llama()
    config = DistillationConfig(**LORA)
    with prepared_student(model, config, device=kd_models.CPU, dtype=torch.float32) as wrapped:
        names = {
            n.split(".lora_A")[0].split(".")[-1]
            for n, _ in wrapped.named_parameters()
            if "lora_A" in n
        }
        assert names == {
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        }
        assert torch.equal(kd_forms.logits(wrapped), kd_forms.logits(kd_forms.llama()))


def test_an_adapter_begins_by_the_seed_alone():
    """A resumed run makes it anew, from any state of the global generator, which is left alone."""

    def first(seed):
        config = DistillationConfig(**LORA, seed=seed)
        model = kd_forms.llama()
        torch.manual_seed(torch.seed() % 2**32)
        state = torch.get_rng_state()
        with prepared_student(model, config, device=kd_models.CPU, dtype=torch.float32) as wrapped:
            assert torch.equal(torch.get_rng_state(), state)
            return next(p.clone() for n, p in wrapped.named_parameters() if "lora_A" in n)

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_gradients_fused_and_dense_are_equal():
    """Against the loss of the model's own logits, by autograd."""
    batch = Collator(0)(kd_models.random_items(6))
    found = []
    for reason in (None, "asked for"):
        model, config = kd_forms.llama(), DistillationConfig(**LORA)
        with prepared_student(model, config, device=kd_models.CPU, dtype=torch.float32) as wrapped:
            for name, weight in wrapped.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(
                        weight, std=0.3, generator=torch.Generator().manual_seed(1)
                    )
            trainer = kd_models.kd_trainer(
                "unused",
                wrapped,
                teacher=OnlineTeacher(kd_forms.llama(1)),
                loss_fn=DistillationLoss(2.0, 0.5),
            )
            if reason is not None:
                trainer.rows.dense_because, trainer.rows._decided = reason, True
            loss = trainer.compute_loss(wrapped.eval(), batch)
            assert trainer.rows.dense_because == reason
            learnt = {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
            found.append(
                dict(zip(learnt, torch.autograd.grad(loss, list(learnt.values())), strict=True))
            )
    assert len(found[0]) == 28
    for name, gradient in found[0].items():
        assert gradient.norm() > 0.0
        torch.testing.assert_close(gradient, found[1][name], atol=1e-6, rtol=1e-4)


def run_with_dropout(folder, *, stop=None, monkeypatch=None):
    run = distiller(
        kd_forms.llama(), kd_forms.llama(1), **LORA, lora_dropout=0.2, max_steps=8, save_steps=3,
        optimizer="muon", lr_scheduler="cosine",
    )  # fmt: skip
    if stop is not None:
        callbacks = run_trainer.run_callbacks
        monkeypatch.setattr(
            run_trainer,
            "run_callbacks",
            lambda *a, **k: [*callbacks(*a, **k), StopAfter(stop), Crash()],
        )
    summary = run.distill(PAIRS, work_dir=folder)
    return kd_models.weights(run.student_model), summary


class CrashError(Exception):
    pass


class Crash(StopAfter):
    """Break off instead of ending the training."""

    def __init__(self):
        super().__init__(None)

    def on_train_end(self, args, state, control, **kwargs):
        raise CrashError


def test_a_run_that_was_broken_off_ends_with_the_same_weights(tmp_path, monkeypatch):
    expected, straight = run_with_dropout(tmp_path / "straight")
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        run_with_dropout(tmp_path / "half", stop=4, monkeypatch=patch)
    names = {path.name for path in (tmp_path / "half" / "checkpoint-3").iterdir()}
    assert "adapter_model.safetensors" in names
    assert "model.safetensors" not in names
    weights, resumed = run_with_dropout(tmp_path / "half")
    assert resumed.resumed_from.name == "checkpoint-3"
    assert resumed.losses == straight.losses
    assert kd_models.same(weights, expected)


def test_a_training_that_fails_leaves_the_student_plain():
    student, before = kd_forms.llama(), kd_models.weights(kd_forms.llama())
    run = distiller(student, kd_forms.llama(1), **LORA, trainable="no such name")
    with pytest.raises(ConfigError, match="no such name"):
        run.distill(PAIRS)
    assert not has_adapter(run.student_model)
    assert kd_models.same(kd_models.weights(student), before)
    assert all(p.requires_grad for p in student.parameters())


@pytest.mark.parametrize(
    "adapted",
    [
        {"lora_target_modules": ["q_proj", "lm_head"]},
        {"lora_target_modules": ["embed_tokens"]},
        {"lora_target_modules": ["q_proj"], "lora_modules_to_save": ["lm_head"]},
    ],
    ids=["head", "embeddings", "head saved whole"],
)
def test_a_tied_head_under_an_adapter_is_untied(tmp_path, adapted, trainers):
    """Merging into a shared tensor would change the embeddings with the head."""
    run = distiller(kd_forms.llama(tied=True), kd_forms.llama(1), **LORA, **adapted)
    run.distill(PAIRS)
    head_is_adapted = adapted["lora_target_modules"] != ["embed_tokens"]
    assert (trainers[0].rows.dense_because is not None) == head_is_adapted
    folder = run.save_distilled_model(tmp_path / "student")
    assert read_json(folder / "config.json")["tie_word_embeddings"] is False
    loaded = load_checkpoint(folder, device="cpu").model
    assert torch.equal(kd_forms.logits(loaded), kd_forms.logits(run.student_model))
    weights, before = kd_models.weights(loaded), kd_models.weights(kd_forms.llama(tied=True))
    same = torch.equal(weights["model.embed_tokens.weight"], before["model.embed_tokens.weight"])
    assert same == head_is_adapted
    assert torch.equal(weights["lm_head.weight"], before["lm_head.weight"]) != head_is_adapted


def test_a_tied_head_outside_of_the_adapter_stays_tied(tmp_path):
    run = distiller(kd_forms.llama(tied=True), kd_forms.llama(1), **LORA)
    run.distill(PAIRS)
    folder = run.save_distilled_model(tmp_path / "student")
    assert read_json(folder / "config.json")["tie_word_embeddings"] is True


def test_an_adapter_of_the_user_is_trained_and_merged(tmp_path):
    wrapped = kd_forms.quiet_adapter(kd_forms.llama(), r=2, target_modules=["v_proj"])
    run = distiller(wrapped, kd_forms.llama(1))
    run.distill(PAIRS)
    assert not has_adapter(run.student_model)
    verify_checkpoint(run.save_distilled_model(tmp_path / "student"))


def test_an_adapter_that_cannot_be_merged_is_refused():
    config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(kd_forms.llama(), config)
    with pytest.raises(ConfigError, match="PROMPT_TUNING, which cannot be merged"):
        distiller(wrapped, kd_forms.llama(1)).distill(PAIRS)
    wrapped = kd_forms.quiet_adapter(kd_forms.llama(), r=2, target_modules=["v_proj"])
    with pytest.raises(ConfigError, match="has an adapter already"):
        distiller(wrapped, kd_forms.llama(1), **LORA).distill(PAIRS)


def test_modules_that_are_not_there_are_named():
    with pytest.raises(ConfigError, match="lora_target_modules=\\['quarry'\\]"):
        distiller(
            kd_forms.llama(), kd_forms.llama(1), **LORA, lora_target_modules=["quarry"]
        ).distill(PAIRS)


def test_what_rounding_cannot_explain_is_refused():
    report = {"max_logit_difference": 0.5, "largest_logit": 20.0, "same_choice": 0.98}
    with pytest.raises(CheckpointError, match=r"by up to 0\.5 .* 98% of the choices"):
        judge_merge(report, torch.float32)
    judge_merge(report, torch.bfloat16)
    judge_merge(report, None)  # 4-bit layers, in the arithmetic of the run
    lost = report | {"max_logit_difference": float("nan")}
    for dtype in (torch.bfloat16, None):
        with pytest.raises(CheckpointError):
            judge_merge(lost, dtype)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "student"
    return str(save_checkpoint(place, kd_forms.llama(), TOKENIZER, {}))


def test_a_kept_adapter_gives_the_student_again(tmp_path, folder):
    run = distiller(None, kd_forms.llama(1), student_model_name=folder, **LORA, keep_adapter=True)
    run.distill(PAIRS)
    saved = run.save_distilled_model(tmp_path / "out")
    verify_checkpoint(saved)
    base = load_checkpoint(
        read_json(saved / "adapter" / "adapter_config.json")["base_model_name_or_path"],
        device="cpu",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = peft.PeftModel.from_pretrained(base.model, saved / "adapter")
    torch.testing.assert_close(
        kd_forms.logits(again), kd_forms.logits(run.student_model), atol=1e-4, rtol=1e-4
    )


def test_a_stage_with_an_adapter_stands_between_others(tmp_path, folder):
    row = [
        {"name": "labels", "alpha": 0.0},
        {"name": "adapter", **LORA, "packing": True, "gradient_checkpointing": True},
        {"name": "all", "lora_r": None},
    ]
    base = {
        "teacher_model_name": folder,
        "student_model_name": "every_second_layer",
        "output_dir": str(tmp_path),
        "max_steps": 2,
        "max_length": 64,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    done = distill_stages({**base, "stages": row}, PAIRS)
    merges = [read_json(stage.folder / "run.json").get("merge") for stage in done]
    assert [merge is None for merge in merges] == [True, False, True]
    verify_checkpoint(done[-1].folder)


def test_without_peft_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match=r"stillroom\[peft\]"):
        distiller(kd_forms.llama(), kd_forms.llama(1), **LORA).distill(PAIRS)
