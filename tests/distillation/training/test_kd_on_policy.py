"""On policy: TRL's trainer behind our settings, and every setting that it would drop refused."""

import sys
from dataclasses import replace

import kd_models
import pytest
import torch
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.settings_checks import BETAS, on_policy_faults
from stillroom.distillation.training.on_policy import on_policy_trainer
from stillroom.distillation.training.trainer import training_arguments
from stillroom.errors import ConfigError, MissingDependencyError, VocabularyError
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.records import Example

TOKENIZER = kd_models.tokenizer()
V = len(TOKENIZER)
PAIRS = [{"question": f"Symbol of metal {n}?", "answer": "Au"} for n in range(6)]
CONFIG = DistillationConfig(
    "teacher",
    "student",
    alpha=1.0,
    temperature=1.0,
    objective="reverse_kl",
    on_policy=True,
    max_completion_length=6,
    batch_size=2,
    gradient_accumulation_steps=2,
    max_length=63,
    max_steps=2,
    learning_rate=1e-3,
    dtype="float32",
    device="cpu",
    progress=False,
)

# Raised inside TRL 1.16 by transformers 5.23, whose attribute it asks under the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def distiller(folder, **given):
    made = ModelDistiller(replace(CONFIG, output_dir=str(folder), **given))
    made.student_model = kd_models.llama(0, vocabulary=V)
    made.teacher_model = kd_models.llama(1, vocabulary=V)
    made.tokenizer = TOKENIZER
    return made


def test_two_steps_train_the_student_and_not_the_teacher(tmp_path):
    made = distiller(tmp_path / "student")
    before, teacher = (kd_models.weights(m) for m in (made.student_model, made.teacher_model))
    summary = made.distill(PAIRS, work_dir=tmp_path / "work")
    assert summary.steps == 2
    assert [step for step, _ in summary.losses] == [1, 2]
    assert all(loss > 0.0 for _, loss in summary.losses)  # a divergence between unlike models
    assert not kd_models.same(kd_models.weights(made.student_model), before)
    assert kd_models.same(kd_models.weights(made.teacher_model), teacher)
    folder = made.save_distilled_model()
    assert read_json(folder / "run.json")["config"]["on_policy"] is True
    assert read_json(folder / "run.json")["status"] == "complete"


@pytest.mark.parametrize("objective", BETAS)
def test_settings_arrive_at_trl(tmp_path, objective):
    config = replace(CONFIG, objective=objective, max_grad_norm=0.5, warmup_ratio=0.1, seed=3)
    made = distiller(tmp_path)
    optimizer = torch.optim.AdamW(made.student_model.parameters(), lr=1e-3)
    arguments = training_arguments(
        tmp_path, device=kd_models.CPU, batch_size=2, max_steps=7, max_grad_norm=0.5, seed=3
    )
    trainer = on_policy_trainer(
        made.student_model,
        made.teacher_model,
        TOKENIZER,
        [Example("a", "Question: symbol of gold?\n\nAnswer:")],
        arguments,
        config=config,
        optimizer=optimizer,
    )
    args = trainer.args
    assert args.beta == {"forward_kl": 0.0, "jsd": 0.5, "reverse_kl": 1.0}[objective]
    assert (args.temperature, args.max_completion_length) == (1.0, 6)
    assert (args.max_steps, args.max_grad_norm, args.seed) == (7, 0.5, 3)
    assert (args.per_device_train_batch_size, args.bf16, args.gradient_checkpointing) == (
        2,
        False,
        False,
    )
    assert trainer.optimizer is optimizer


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 0.5}, "no cross-entropy; set alpha=1"),
        ({"temperature": 2.0}, r"applies no T\^2"),
        ({"objective": "tvd"}, r"has the objectives \['forward_kl', 'jsd', 'reverse_kl'\]"),
        ({"temperature_end": 1.0}, "does not follow temperature_end"),
        ({"hidden_weight": 1.0}, "does not follow hidden_weight"),
        ({"unfreeze": ["head"]}, "does not follow unfreeze"),
        ({"teacher_cache": "cache"}, "does not follow teacher_cache"),
        ({"task": "classification"}, "does not follow task"),
        ({"too_long": "error"}, "does not follow too_long"),
    ],
)
def test_what_trl_would_not_follow_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **given)


def test_a_setting_that_is_new_is_refused_until_somebody_maps_it():
    defaults = DistillationConfig().to_dict()
    values = CONFIG.to_dict()
    assert on_policy_faults(values, defaults) == []
    faults = on_policy_faults(values | {"brand_new": 2}, defaults | {"brand_new": 1})
    assert faults == ["on_policy does not follow brand_new; leave it at 1"]


@pytest.mark.parametrize(
    ("records", "given", "message"),
    [
        ([{"text": "gold"}], {}, "is a plain text"),
        (PAIRS, {"max_length": 12}, "has a prompt of .* leaves 6"),
        (
            [{"question": "What is <|end|>?", "answer": "x"}],
            {},
            "would tokenise differently from serving",
        ),
    ],
)
def test_prompts_that_do_not_fit(tmp_path, records, given, message):
    with pytest.raises(ConfigError, match=message):
        distiller(tmp_path, **given).distill(records)


def test_heads_of_unlike_sizes(tmp_path):
    made = distiller(tmp_path)
    made.teacher_model = kd_models.llama(1, vocabulary=V + 3)
    with pytest.raises(VocabularyError, match="heads of one size"):
        made.distill(PAIRS)


def test_without_trl_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stillroom\[onpolicy\]'"):
        distiller(tmp_path).distill(PAIRS)


def test_half_of_the_teacher_learns_on_policy(tmp_path):
    """The settings alone: teacher from a folder, student from its layers."""
    teacher = save_checkpoint(tmp_path / "teacher", kd_models.llama(1, vocabulary=V), TOKENIZER, {})
    made = ModelDistiller(
        replace(CONFIG, teacher_model_name=str(teacher), student_model_name="every_second_layer")
    )
    assert made.distill(PAIRS).steps == 2
