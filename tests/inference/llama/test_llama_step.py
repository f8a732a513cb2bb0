from __future__ import annotations

import pytest
import torch
from engine_tools import ask, ids_of, serving
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.llama.forward import LlamaBatch
from stillroom.inference.llama.weights import fits
from tiny_model import make_model, make_tokenizer, peer_generate
from transformers import Qwen2Config, Qwen2ForCausalLM

ROPES = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "linear": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0},
    "llama3": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
}  # fmt: skip


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@torch.inference_mode()
def test_logits_are_those_of_transformers(rope, heads):
    model = make_model(
        make_tokenizer(),
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        rope_parameters=ROPES[rope],
        tie_word_embeddings=heads[1] == 2,
        initializer_range=0.3,
    )
    assert fits(model)
    ids = torch.randint(0, 400, (3, 90), generator=torch.Generator().manual_seed(1))
    wanted = model(input_ids=ids).logits
    batch = LlamaBatch(model)
    logits = batch.add(ids[:, :70].tolist())
    for place in range(70, 90):
        torch.testing.assert_close(logits, wanted[:, place - 1], rtol=1e-3, atol=1e-3)
        logits = batch.step(ids[:, place])


def test_changed_weights_are_seen():
    """Training goes on between two evaluations; nothing old may be remembered."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, initializer_range=0.3)

    with serving(Checkpoint(model, tokenizer, None, "changing", {})) as engine:
        first = ids_of(engine.submit(ask()).collect())
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight.mul_(-1)
        second = ids_of(engine.submit(ask()).collect())
    assert first != second
    assert second == peer_generate(model, [5, 6, 7], 20)[: len(second)]


def test_other_arithmetic_goes_through_transformers():
    tokenizer = make_tokenizer()
    assert fits(make_model(tokenizer))
    assert not fits(make_model(tokenizer).to(torch.bfloat16))
    assert not fits(make_model(tokenizer, attention_bias=True))
    assert not fits(make_model(tokenizer, mlp_bias=True))
    assert not fits(make_model(tokenizer, hidden_act="gelu"))
    dynamic = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    assert not fits(make_model(tokenizer, rope_parameters=dynamic))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    assert not fits(Qwen2ForCausalLM(Qwen2Config(vocab_size=400, **sizes, **heads)))


def test_observed_models_go_through_transformers():
    model = make_model(make_tokenizer())
    hook = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert not fits(model)
    hook.remove()
    assert fits(model)
