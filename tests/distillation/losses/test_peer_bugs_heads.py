"""Bugs that other distillation libraries have shipped, each as a test: the head of the model.

Bug 20: a fused loss multiplies by the head's weights, and is silently wrong where the model does
more to its logits (huggingface/trl#6629). Here each model either takes the fused path with the loss
of its own logits, or is declared dense with a reason.
"""

import re
import warnings

import kd_models
import pytest
import torch
from kd_models import gpt2, kd_trainer, llama, random_items
from loss_cases import relative
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.batches.forward import model_inputs
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.losses.model_rows import ModelRows, why_dense
from stillroom.distillation.teacher.online import OnlineTeacher
from stillroom.distillation.training.trainer import KDTrainer, training_arguments
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Trainer,
)

SMALL = {
    "vocab_size": kd_models.V,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def capped():
    config = Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=3.0)
    return kd_models.sharpen(Gemma2ForCausalLM(config))


def scaled():
    return kd_models.sharpen(GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=8.0)))


def biased():
    model = PhiForCausalLM(PhiConfig(**SMALL))
    torch.nn.init.normal_(model.lm_head.bias)
    return kd_models.sharpen(model)


def tied():
    return llama(tied=True)


def normalised():
    """A parametrised head: its weight is computed anew at each use."""
    model = llama()
    torch.nn.utils.parametrizations.weight_norm(model.lm_head)
    return model


def under(config):
    peft = pytest.importorskip("peft")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft 0.21 reads what transformers 5.23 deprecates
        return peft.get_peft_model(llama(), config)


def adapted(**settings):
    """A model under LoRA whose adapters are not zero, as they are at first."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_dropout=0.0, task_type="CAUSAL_LM", **settings)
    model = under(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    return model


def lora_inside():
    return adapted(target_modules=["q_proj", "v_proj"])


def lora_on_the_head():
    return adapted(target_modules=["q_proj", "lm_head"])


def head_saved_apart():
    model = adapted(target_modules=["q_proj"], modules_to_save=["lm_head"])
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1.5)
    return model


def prompt_tuned():
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    return under(config)


FUSED = [llama, gpt2, biased, tied, lora_inside]
DENSE = [
    (capped, "Gemma2ForCausalLM does more to its logits"),
    (scaled, "GraniteForCausalLM does more to its logits"),
    (normalised, "ParametrizedLinear"),
    (lora_on_the_head, r"peft\..*Linear"),
    (head_saved_apart, "ModulesToSaveWrapper"),
    (prompt_tuned, "PeftModelForCausalLM cannot compute the logits of some positions"),
]


def gradients(loss, model):
    learnt = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, learnt, allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def compare(folder, make):
    """Loss and gradients of the trainer against those of the model's own logits."""
    torch.manual_seed(0)
    model, teacher, batch = make().eval(), OnlineTeacher(llama(1)), Collator(0)(random_items(6))
    trainer = kd_trainer(folder, model, teacher=teacher, loss_fn=DistillationLoss(2.0, 0.5))
    logits = model(**model_inputs(batch)).logits[:, -batch["labels"].shape[1] :]
    expected = DistillationLoss(2.0, 0.5)(logits, teacher.logits(batch), batch["labels"])
    loss = trainer.compute_loss(model.eval(), batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert relative(gradients(loss, model), gradients(expected, model)) <= 1e-5
    return trainer


@pytest.mark.parametrize("make", FUSED)
def test_20_plain_heads_are_fused(tmp_path, make):
    assert compare(tmp_path, make).rows.dense_because is None


@pytest.mark.parametrize(("make", "reason"), DENSE, ids=[make.__name__ for make, _ in DENSE])
def test_20_other_heads_are_declared_dense(tmp_path, make, reason, caplog):
    trainer = compare(tmp_path, make)
    assert caplog.text.count("logits are computed by the model itself") == 1
    assert re.search(reason, trainer.rows.dense_because)


def test_20_a_head_that_only_later_does_more_is_dense(tmp_path):
    class Adapted(torch.nn.Linear):
        """Multiplies as Linear does, until it is trained."""

    model = llama()
    model.lm_head.__class__ = Adapted
    assert "Adapted, not a plain Linear" in why_dense(model, Collator(0)(random_items(2)))


@pytest.mark.parametrize("plugin", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_20_a_sharded_head_is_dense(tmp_path, plugin, monkeypatch):
    """Outside of forward only a shard of it is there."""
    prepare = Trainer.create_accelerator_and_postprocess

    def sharding(self):
        prepare(self)
        setattr(self, plugin, True)

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", sharding)
    trainer = KDTrainer(
        llama(),
        training_arguments(tmp_path, device=kd_models.CPU),
        train_dataset=random_items(2),
        data_collator=Collator(0),
        teacher=llama(1),
    )
    assert "the head is sharded" in trainer.rows.dense_because


def test_20_the_self_check_leaves_the_mode_alone():
    model = llama().train()
    assert why_dense(model, Collator(0)(random_items(2))) is None
    assert model.training


@pytest.mark.parametrize("make", [capped, scaled, biased, tied])
def test_20_a_teacher_with_such_a_head_is_taken_as_it_is(tmp_path, make):
    """A softcapped teacher, too: its logits are its own."""
    torch.manual_seed(0)
    model, theirs, batch = llama().eval(), make(), Collator(0)(random_items(6))
    trainer = kd_trainer(tmp_path, model, teacher=theirs, loss_fn=DistillationLoss(2.0, 0.5))
    loss = trainer.compute_loss(model, batch)
    with torch.no_grad():
        logits = theirs.eval()(**model_inputs(batch)).logits
    expected = DistillationLoss(2.0, 0.5)(
        model(**model_inputs(batch)).logits, logits, batch["labels"]
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert relative(gradients(loss, model), gradients(expected, model)) <= 1e-5
    assert trainer.rows.dense_because is None


def test_beside_the_fused_loss_the_head_gives_no_logits():
    """Already one position per example would read the whole head, of a teacher for each again."""
    model, batch, positions = llama(), Collator(0)(random_items(4)), []
    rows = ModelRows()
    rows.decide(model, batch)
    model.lm_head.register_forward_hook(lambda m, i, out: positions.append(out.shape[:2].numel()))
    rows(model, batch, model)
    assert rows.dense_because is None
    assert positions == [0]
