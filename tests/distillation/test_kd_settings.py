"""The settings of a distillation and the signatures of the facade."""

import inspect
import json
import subprocess
import sys

import pytest
import torch
from stillroom.distillation.distiller import (
    DistillationConfig,
    DistillationLoss,
    ModelDistiller,
    create_distiller_from_config,
)
from stillroom.distillation.settings import config_hash
from stillroom.distillation.settings_checks import ALLOWED
from stillroom.errors import ConfigError


def test_signatures():
    parameters = list(inspect.signature(DistillationConfig).parameters.values())
    assert [(p.name, p.default) for p in parameters[:9]] == [
        ("teacher_model_name", "gpt2"),
        ("student_model_name", "distilgpt2"),
        ("temperature", 2.0),
        ("alpha", 0.5),
        ("max_length", 512),
        ("batch_size", 8),
        ("num_epochs", 3),
        ("learning_rate", 5e-5),
        ("output_dir", "./distilled_model"),
    ]
    assert {p.kind for p in parameters[9:]} == {inspect.Parameter.KEYWORD_ONLY}

    def names(function):
        return [
            p.name if p.default is p.empty else (p.name, p.default)
            for p in inspect.signature(function).parameters.values()
            if p.kind is not p.KEYWORD_ONLY
        ]

    assert names(ModelDistiller) == ["config"]
    assert names(ModelDistiller.load_teacher_model) == ["self"]
    assert names(ModelDistiller.load_student_model) == ["self"]
    assert names(ModelDistiller.prepare_data) == ["self", "texts"]
    assert names(ModelDistiller.distill) == ["self", "training_data"]
    assert names(ModelDistiller.save_distilled_model) == ["self", ("output_dir", None)]
    assert names(ModelDistiller.load_distilled_model) == ["self", "model_path"]
    assert names(create_distiller_from_config) == ["config_dict"]


@pytest.mark.parametrize("module", ["settings", "stage_plan", "teacher.cache_format"])
def test_what_is_checked_before_a_run_loads_no_torch(module):
    code = (
        f"import sys, stillroom.distillation.{module}\n"
        "print([m for m in ('torch', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_setting_has_a_rule():
    """A new setting is checked, or listed here with the reason why any value will do."""
    unchecked = {"trainable", "device"}  # compiled as a pattern; refused by torch
    assert set(DistillationConfig().to_dict()) == set(ALLOWED) | unchecked


def test_attributes():
    distiller = ModelDistiller(DistillationConfig(temperature=3.0, alpha=0.25, device="cpu"))
    assert distiller.device == torch.device("cpu")
    assert (distiller.tokenizer, distiller.teacher_model, distiller.student_model) == (None,) * 3
    assert isinstance(distiller.loss_fn, DistillationLoss)
    assert (distiller.loss_fn.temperature, distiller.loss_fn.alpha) == (3.0, 0.25)


def test_a_saved_config_makes_the_same_distiller(tmp_path):
    config = DistillationConfig(alpha=0.25, device="cpu")
    text = config.save(tmp_path / "c.json").read_text()
    assert text.startswith('{\n  "teacher_model_name": "gpt2",\n')
    assert create_distiller_from_config(json.loads(text)).config == config


def test_all_faults_of_a_config_come_at_once():
    with pytest.raises(ConfigError) as caught:
        create_distiller_from_config(
            {
                "temprature": 2.0,
                "alpha": 2,
                "batch_size": 0,
                "learning_rate": "fast",
                "optimizer": "sgd",
                "student_model_name": "from_scratch",
                "max_steps": 1.5,
                "decay_ratio": 2,
            }
        )
    faults = caught.value.faults
    assert "unknown key 'temprature'; the nearest known key is 'temperature'" in faults
    for name in (
        "alpha",
        "batch_size",
        "learning_rate",
        "optimizer",
        "student_layers",
        "max_steps",
        "decay_ratio",
    ):
        assert any(name in fault for fault in faults), name
    assert len(faults) == 8


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({"seed": 1}, True),
        ({"temperature": 3.0}, True),
        ({"output_dir": "elsewhere"}, False),
        ({"progress": False}, False),
        ({"save_steps": 5}, False),
    ],
)
def test_config_hash_leaves_out_places_and_looks(given, changes):
    one = config_hash(DistillationConfig(), dtype="float32")
    other = config_hash(DistillationConfig(**given), dtype="float32")
    assert (one != other) is changes
    assert config_hash(DistillationConfig(), dtype="bfloat16") != one
