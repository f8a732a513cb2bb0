"""How a run is computed does not change what it learns: recomputing, packing, compiling."""

import shutil

import kd_forms
import kd_models
import pytest
import torch
from kd_forms import PAIRS, distiller
from project_paths import ROOT
from stillroom.distillation.batches.batching import Collator, fill_rows
from stillroom.distillation.batches.packing import PackingCollator
from stillroom.distillation.distiller import DistillationConfig
from stillroom.distillation.losses.layer_losses import compared_positions
from stillroom.distillation.runtime_patches import compiled_layers, recomputed_layers
from stillroom.distillation.settings import config_hash, read_config
from stillroom.distillation.stage_plan import read_plan
from stillroom.errors import ConfigError
from stillroom.files import read_json
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

CONFIGS = sorted((ROOT / "configs" / "distillation").glob("*.json"))
CLASSES = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}


def result(**settings):
    """Losses and weights of a short run, and the weights before it."""
    student = settings.pop("student", kd_forms.llama)()
    before = kd_models.weights(student)
    run = distiller(student, kd_forms.llama(1, layers=3), **settings)
    summary = run.distill(PAIRS)
    return [loss for _, loss in summary.losses], kd_models.weights(run.student_model), before


def assert_same(one, other, most=1e-2):
    """Compare losses, and how far the weights lie apart in the way they went.

    Not weight by weight: Adam makes whole steps of gradients that are all rounding.
    """
    losses, weights, before = one
    assert losses == pytest.approx(other[0], rel=1e-4)
    apart = sum((weights[n] - other[1][n]).square().sum() for n in before) ** 0.5
    went = sum((weights[n] - before[n]).square().sum() for n in before) ** 0.5
    assert apart <= most * went
    assert went > 0.1


# ------------------------------------------------------------------------- recomputing


@pytest.mark.parametrize("adapter", [{}, {"lora_r": 4}])
def test_recomputed_layers_learn_the_same(adapter, monkeypatch):
    calls = []
    forward = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        "transformers.modeling_utils.checkpoint",
        lambda *a, **k: calls.append(k) or forward(*a, **k),
    )
    expected = result(**adapter)
    assert not calls
    # Not to the last digit: what is computed anew is computed on all positions (`last_block`).
    assert_same(result(gradient_checkpointing=True, **adapter), expected, most=1e-5)
    assert calls
    assert all(call["use_reentrant"] is False for call in calls)


@pytest.mark.parametrize("make", [kd_forms.llama, kd_forms.gpt2])
def test_recomputed_gradients_are_the_same_and_the_model_is_put_back(make):
    model, batch = make().train(), Collator(0)(kd_models.random_items(4))

    def gradients():
        loss = model(input_ids=batch["input_ids"], labels=batch["labels"], use_cache=False).loss
        return torch.autograd.grad(loss, list(model.parameters()))

    expected = gradients()
    with recomputed_layers(model, True):
        assert model.is_activation_checkpointing
        found = gradients()
    assert all(map(torch.equal, found, expected))
    assert not model.is_activation_checkpointing


def test_layer_losses_of_recomputed_layers_are_the_same():
    layers = {"hidden_weight": 0.5, "attention_weight": 0.5}
    assert_same(result(gradient_checkpointing=True, **layers), result(**layers), most=1e-4)


def test_a_model_that_cannot_recompute_is_named():
    with (
        pytest.raises(ConfigError, match="Linear has no gradient_checkpointing"),
        recomputed_layers(nn.Linear(1, 1), True),
    ):
        pass


# ------------------------------------------------------------------------- packing


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"student": kd_forms.gpt2},
        {"lora_r": 4},
        {"hidden_weight": 0.5, "attention_weight": 0.5},
        {"objective": "universal_logit"},
    ],
    ids=["full", "gpt2", "adapter", "layer losses", "universal"],
)
def test_packed_runs_learn_the_same(settings, monkeypatch):
    rows = []
    collate = PackingCollator.__call__

    def watched(self, items):
        batch = collate(self, items)
        rows.append((len(batch["input_ids"]), len(items)))
        return batch

    monkeypatch.setattr(PackingCollator, "__call__", watched)
    expected = result(batch_size=6, **settings)
    assert not rows
    assert_same(result(batch_size=6, packing=True, **settings), expected)
    assert all(made < items for made, items in rows)


def test_packed_padding_and_unlabelled_examples_have_no_layer_loss():
    items = kd_models.random_items(7)
    padded, packed = Collator(0)(items), fill_rows([[0, 1, 2], [3, 4, 5, 6]], items, 0)
    assert packed["documents"].min() == -1
    packed["labels"][packed["documents"] == 2] = -100
    expected = sum(len(item.input_ids) for number, item in enumerate(items) if number != 2)
    assert int(compared_positions(packed).sum()) == expected
    assert int(compared_positions(padded).sum()) == expected + len(items[2].input_ids)


def test_a_model_that_mixes_packed_examples_is_refused(monkeypatch):
    path = "stillroom.distillation.training.build_trainer.packing_fault"
    monkeypatch.setattr(path, lambda *_: "they mix")
    with pytest.raises(ConfigError, match="packing: they mix; leave packing out"):
        result(packing=True)


# ------------------------------------------------------------------------- compiling


@pytest.mark.parametrize(
    "settings",
    [{"lora_r": 4, "gradient_checkpointing": True}, {"hidden_weight": 0.5, "batch_size": 3}],
    ids=["adapter, recomputed", "layer losses, several lengths"],
)
def test_compiled_layers_learn_the_same(settings):
    settings = {"max_steps": 3, "batch_size": 6, **settings}  # all of them: one length
    compiled = result(torch_compile=True, torch_compile_backend="eager", **settings)
    assert_same(compiled, result(**settings))


def test_layers_are_compiled_in_training_only_and_put_back():
    model, graphs = kd_forms.llama(layers=3), []
    batch = Collator(0)(kd_models.random_items(2))

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    with compiled_layers(model, backend):
        graphs.clear()  # that of the trial
        model.eval()(batch["input_ids"])
        assert not graphs
        out = model.train()(
            batch["input_ids"], labels=batch["labels"], use_cache=False, output_hidden_states=True
        )
        assert len(graphs) == 1  # shared by the three layers, and whole
        out.loss.backward()
        aside = model.model.layers[0].self_attn._forward_hooks
        assert not aside
        assert len(out.hidden_states) == 4
    assert all("forward" not in vars(module) for module in model.modules())
    assert len(aside) == 1


def test_a_backend_that_does_not_work_is_named():
    with pytest.raises(ConfigError, match="torch_compile_backend 'nothing' does not work here"):
        result(torch_compile=True, torch_compile_backend="nothing")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_inductor_learns_the_same():
    if shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler")
    assert_same(result(torch_compile=True), result())


# ------------------------------------------------------------------------- settings


def test_all_forms_can_be_asked_for_by_json():
    asked = {
        "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "lora_target_modules": ["q_proj"],
        "lora_modules_to_save": ["lm_head"], "load_in_4bit": True, "keep_adapter": True,
        "teacher_bits": 8, "gradient_checkpointing": True, "packing": True, "torch_compile": True,
        "torch_compile_backend": "aot_eager",
    }  # fmt: skip
    assert read_config(asked).to_dict().items() >= asked.items()


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_the_files_of_settings_can_be_read(path):
    values = read_json(path)
    if "stages" in values:
        assert read_plan(values).stages
    else:
        values.pop("data")
        assert read_config(values).to_dict().items() >= values.items()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"load_in_4bit": True}, "load_in_4bit is True and there is no adapter; set lora_r"),
        ({"lora_alpha": 32}, "lora_alpha is 32 and there is no adapter"),
        ({"lora_r": 0}, "lora_r is 0; allowed is null or a whole number above 0"),
        ({"lora_r": True}, "lora_r is True"),
        ({"lora_r": 4, "lora_alpha": 0}, "lora_alpha is 0; allowed is a number above 0"),
        ({"lora_r": 4, "lora_dropout": 1.0}, "lora_dropout is 1.0; allowed is 0 up to 1"),
        ({"lora_r": 4, "lora_target_modules": []}, r"lora_target_modules is \[\]"),
        ({"lora_r": 4, "lora_modules_to_save": "head"}, "lora_modules_to_save is 'head'"),
        (
            {"lora_r": 4, "student_model_name": "from_teacher", "keep_adapter": True},
            "keep_adapter: an",
        ),
        ({"teacher_bits": 2}, "teacher_bits is 2; allowed are null, 8 and 4"),
        ({"teacher_bits": 8, "teacher_cache": "cache"}, "teacher_cache replaces it"),
        ({"packing": 1}, "packing is 1; allowed are true and false"),
        ({"packing": True, "task": "classification"}, "packing is for causal models"),
        ({"torch_compile": True, "attention_weight": 1.0}, "leaves no attention maps"),
        ({"torch_compile_backend": ""}, "torch_compile_backend is ''"),
        ({"on_policy": True, "alpha": 1.0, "temperature": 1.0, "lora_r": 4}, "not follow lora_r"),
    ],
)
def test_faults_of_settings(settings, fault):
    with pytest.raises(ConfigError, match=fault):
        DistillationConfig(**settings)


def test_what_is_learnt_has_another_hash():
    plain = config_hash(DistillationConfig(), dtype="float32")
    for same in ({"gradient_checkpointing": True}, {"torch_compile": True}):
        assert config_hash(DistillationConfig(**same), dtype="float32") == plain
    for other in ({"lora_r": 4}, {"teacher_bits": 8}, {"packing": True}):
        assert config_hash(DistillationConfig(**other), dtype="float32") != plain


def test_a_classifier_under_an_adapter_learns_its_head():
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    model = BertForSequenceClassification(BertConfig(vocab_size=kd_forms.IDS, **sizes, **CLASSES))
    before = kd_models.weights(model)
    run = distiller(model, alpha=0.0, task="classification", lora_r=4)
    run.distill([{"text": "gold", "label": "yes"}, {"text": "ink", "label": "no"}])
    changed = {
        n for n, w in run.student_model.state_dict().items() if not torch.equal(w, before[n])
    }
    assert "classifier.weight" in changed
    assert "bert.encoder.layer.0.attention.self.query.weight" in changed
    assert "bert.embeddings.word_embeddings.weight" not in changed
