"""Weights in 8 and 4 bit: teachers near the full one, students that learn above frozen weights."""

import logging
import sys

import kd_forms
import kd_models
import pytest
import torch
from kd_forms import PAIRS, distiller
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.losses.rows import HeadRows
from stillroom.distillation.students import prepared_models as student_forms
from stillroom.distillation.students.prepared_models import prepare_teacher
from stillroom.distillation.teacher.online import OnlineTeacher
from stillroom.errors import ConfigError, MissingDependencyError
from stillroom.inference.checkpoints import quantization
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.inference.checkpoints.quantization import (
    is_quantized,
    quantize,
    quantized_copy,
    widen_into,
)
from transformers import T5Config, T5ForConditionalGeneration

pytest.importorskip("bitsandbytes")
QLORA = {"lora_r": 4, "lora_alpha": 8, "load_in_4bit": True}
FULL = {"device": kd_models.CPU, "dtype": torch.float32}


def wide(make):
    """Weights of trained models are not all alike; attention and MLP have a voice."""
    model = make()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if (
                weight.dim() == 2
                and "embed" not in name
                and "wte" not in name
                and "head" not in name
            ):
                weight.mul_(4.0)
    return model


@pytest.mark.parametrize("make", [kd_forms.llama, kd_forms.gpt2])
@pytest.mark.parametrize(("bits", "least", "most"), [(8, 1e-4, 0.03), (4, 0.02, 0.5)])
def test_a_quantised_teacher_is_near_the_full_one(make, bits, least, most):
    full, held = kd_forms.logits(wide(make)), prepare_teacher(wide(make), bits, **FULL)
    assert is_quantized(held)
    error = (kd_forms.logits(held) - full).norm() / full.norm()
    assert least < error < most  # not the full one, and not another one
    assert type(held.get_output_embeddings()) is torch.nn.Linear


@pytest.mark.parametrize("bits", [8, 4])
def test_the_hidden_states_of_a_quantised_teacher_go_the_fused_way(bits):
    teacher = OnlineTeacher(prepare_teacher(kd_forms.llama(), bits, **FULL))
    batch = Collator(0)(kd_models.random_items(4))
    rows = teacher.rows(batch)
    assert isinstance(rows, HeadRows)
    expected = teacher.logits(batch)[:, :-1][batch["labels"][:, 1:] != -100]
    torch.testing.assert_close(rows.hidden @ rows.weight.T, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_student_learns_from_a_quantised_teacher(tmp_path, bits):
    """Made of the teacher's layers as they were, not as they are held."""
    folder = save_checkpoint(tmp_path / "teacher", kd_forms.llama(1), kd_forms.TOKENIZER, {})
    run = distiller(
        teacher_model_name=str(folder), student_model_name="every_second_layer", teacher_bits=bits
    )
    summary = run.distill(PAIRS)
    assert is_quantized(run.teacher_model)
    assert not is_quantized(run.student_model)
    assert summary.losses[-1][1] < summary.losses[0][1]
    again = run.distill(PAIRS)  # a quantised teacher stays as it is
    assert again.losses[0][1] < summary.losses[0][1]


def test_a_teacher_that_cannot_be_quantised_runs_as_it_is(monkeypatch, caplog):
    monkeypatch.setattr(student_forms, "why_not_quantized", lambda *_: "no such kernel")
    with caplog.at_level(logging.WARNING):
        teacher = prepare_teacher(kd_forms.llama(), 8, **FULL)
    assert not is_quantized(teacher)
    assert "runs unquantised: no such kernel" in caplog.text
    with pytest.raises(ConfigError, match="load_in_4bit: no such kernel"):
        distiller(kd_forms.llama(), kd_forms.llama(1), **QLORA).distill(PAIRS)


def test_a_processor_without_kernels_is_found_by_trying(monkeypatch):
    def broken(*_, **__):
        raise NotImplementedError("no kernel for this processor")

    quantization._tried.cache_clear()
    monkeypatch.setattr(quantization, "_quantized", broken)
    assert "no kernel for this" in quantization.why_not_quantized(8, torch.device("cpu"))
    monkeypatch.setattr(quantization, "_quantized", lambda layer, *_, **__: lambda x: 2 * layer(x))
    quantization._tried.cache_clear()
    assert "off by 100%" in quantization.why_not_quantized(8, torch.device("cpu"))
    quantization._tried.cache_clear()


def test_without_bitsandbytes_the_extra_is_named(monkeypatch):
    quantization._bitsandbytes.cache_clear()
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingDependencyError, match=r"stillroom\[peft\]"):
        prepare_teacher(kd_forms.llama(), 8, **FULL)


def test_a_copy_leaves_the_model_alone():
    model, before = kd_forms.llama(), kd_models.weights(kd_forms.llama())
    copied = quantized_copy(model, 4, **FULL)
    assert is_quantized(copied)
    assert not is_quantized(model)
    assert kd_models.same(kd_models.weights(model), before)
    shared = {p.data_ptr() for p in model.parameters()} & {
        p.data_ptr() for p in copied.parameters()
    }
    assert not shared


def test_what_must_stay_wide_stays_wide():
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=61, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = quantize(T5ForConditionalGeneration(config), 8, **FULL)
    wide = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    assert {name.split(".")[-1] for name in wide} == {"wo", "lm_head"}
    assert is_quantized(model)
    with pytest.raises(ConfigError, match="Embedding has no linear layer"):
        quantize(
            type("Embedding", (T5ForConditionalGeneration,), {"modules": lambda s, **_: iter(())})(
                config
            ),
            8,
            **FULL,
        )


@pytest.mark.parametrize("make", [kd_forms.llama, kd_forms.gpt2])
def test_a_student_learns_above_four_bit_weights(tmp_path, make):
    student, rounded = make(), make()
    widen_into(rounded, quantized_copy(rounded, 4, **FULL))
    before = kd_models.weights(rounded)
    run = distiller(student, make(1), **QLORA, max_steps=8)
    summary = run.distill(PAIRS)
    assert summary.losses[-1][1] < 0.9 * summary.losses[0][1]
    assert not is_quantized(run.student_model)
    folder = run.save_distilled_model(tmp_path / "student")
    report = verify_checkpoint(folder)["merge"]
    assert report["max_logit_difference"] < 1e-4 * report["largest_logit"]
    assert report["same_choice"] == 1.0
    weights = kd_models.weights(load_checkpoint(folder, device="cpu").model)
    assert {w.dtype for w in weights.values()} == {torch.float32}
    frozen = {n for n in weights if "norm" in n or "embed" in n or "wte" in n or "ln_" in n}
    assert all(torch.equal(weights[n], before[n]) for n in frozen)
    # The adapter's product, of low rank, lies on the rounded weights that it was trained over.
    name = next(n for n in weights if n.endswith(("q_proj.weight", "c_attn.weight")))
    moved = torch.linalg.svdvals((weights[name] - before[name]).double())
    assert moved[3] > 1e-6 > moved[4]


def test_a_resumed_four_bit_run_is_the_straight_one(tmp_path):
    def run(folder):
        made = distiller(kd_forms.llama(), kd_forms.llama(1), **QLORA, save_steps=2)
        summary = made.distill(PAIRS, work_dir=folder)
        return kd_models.weights(made.student_model), summary.resumed_from

    expected, _ = run(tmp_path)
    weights, resumed_from = run(tmp_path)  # the last step is not saved, so it is made again
    assert resumed_from.name == "checkpoint-2"
    assert kd_models.same(weights, expected)
