"""Padding on the right needs no mask; any other padding keeps its own."""

import kd_families
import kd_models
import pytest
import torch
from stillroom.distillation.batches.forward import model_inputs

DECODERS = [
    kd_models.llama, kd_models.gpt2, kd_families.qwen2, kd_families.qwen3, kd_families.gemma,
    kd_families.gemma2, kd_families.gemma3,
]  # fmt: skip
IDS = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])
LABELS = torch.tensor([[-100, -100, 7, 8, 9], [-100, 6, 7, -100, -100]])
RIGHT = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def batch(mask):
    return {"input_ids": IDS, "attention_mask": mask, "labels": LABELS}


@pytest.mark.parametrize("make", DECODERS)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_and_gradients_are_those_under_the_mask(make, attention):
    model = make()
    if attention == "sdpa" and not model._supports_sdpa:
        pytest.skip(f"{type(model).__name__} has no sdpa")
    model.set_attn_implementation(attention)
    model.eval()
    inputs = model_inputs(batch(RIGHT))
    assert inputs["attention_mask"] is None
    counts = RIGHT.bool()
    found = {}
    for name, given in (("without", inputs), ("with", inputs | {"attention_mask": RIGHT})):
        model.zero_grad()
        logits = model(**given).logits[counts]
        logits.square().sum().backward()
        found[name] = [logits.detach(), *(p.grad.clone() for p in model.parameters())]
    for one, other in zip(found["without"], found["with"], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()) + 1e-7)


def test_padding_elsewhere_keeps_its_mask():
    for mask in ([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]], [[1, 1, 0, 1, 1], [1, 1, 1, 0, 0]]):
        mask = torch.tensor(mask)
        assert model_inputs(batch(mask))["attention_mask"] is mask


def test_encoders_look_both_ways_and_keep_theirs():
    classifier = {**batch(RIGHT), "labels": torch.tensor([0, 1])}
    assert model_inputs(classifier)["attention_mask"] is RIGHT
    pair = {**batch(RIGHT), "decoder_input_ids": IDS, "decoder_attention_mask": RIGHT}
    assert model_inputs(pair)["attention_mask"] is RIGHT
