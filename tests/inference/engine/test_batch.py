"""Batches whose sequences come and go, against `transformers.generate` on each sequence alone."""

from __future__ import annotations

import random

import pytest
import torch
from stillroom.errors import GenerationError
from stillroom.inference.checkpoints.config_allowlist import MODEL_TYPES
from stillroom.inference.engine.batch import JoinedBatch, SoloBatch, open_batch
from stillroom.inference.llama.forward import LlamaBatch
from tiny_model import make_architecture, make_model, make_tokenizer, peer_generate
from transformers import AutoConfig, AutoModelForCausalLM

NEW = 14


def prompts(count, longest=30, vocabulary=400, seed=0):
    chance = random.Random(seed)
    return [
        [chance.randrange(1, vocabulary) for _ in range(chance.randint(1, longest))]
        for _ in range(count)
    ]


def endless(model):
    """Let `generate` run to its limit."""
    model.generation_config.eos_token_id = None
    return model


@torch.inference_mode()
def answers_in_traffic(batch, asked, seed=0):
    """Greedy answers of NEW tokens, while sequences join and leave at random."""
    chance = random.Random(seed)
    waiting, running, done = list(range(len(asked))), [], {}
    while waiting or running:
        if running:
            newest = torch.tensor([done[name][-1] for name in running])
            for name, token in zip(running, batch.step(newest).argmax(-1).tolist(), strict=True):
                done[name].append(token)
        starting = [waiting.pop() for _ in range(min(len(waiting), chance.randint(0, 3)))]
        if starting:
            logits = batch.add([asked[name] for name in starting])
            for name, token in zip(starting, logits.argmax(-1).tolist(), strict=True):
                done[name] = [token]
            running += starting
        for place in reversed(range(len(running))):
            if len(done[running[place]]) == NEW:
                batch.drop(place)
                running[place] = running[-1]
                running.pop()
        assert batch.rows == len(running)
    return [done[name] for name in range(len(asked))]


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_every_architecture_gives_the_tokens_of_generate(kind):
    model, asked = endless(make_architecture(kind)), prompts(12)
    batch = open_batch(model)
    assert type(batch) is (LlamaBatch if kind == "llama" else JoinedBatch)
    wanted = [peer_generate(model, ids, NEW, pad_token_id=0) for ids in asked]
    assert answers_in_traffic(batch, asked) == wanted
    assert len({token for row in wanted for token in row}) > 12, "repeated tokens prove little"


@pytest.mark.parametrize("seed", range(4))
def test_a_llama_gives_the_tokens_of_generate_in_any_traffic(seed):
    model = endless(make_model(make_tokenizer(), initializer_range=0.3))
    asked = prompts(40, longest=90, seed=seed)
    wanted = [peer_generate(model, ids, NEW) for ids in asked]
    assert answers_in_traffic(LlamaBatch(model), asked, seed) == wanted
    assert answers_in_traffic(JoinedBatch(model), asked, seed) == wanted
    assert answers_in_traffic(SoloBatch(model), asked[:8], seed) == wanted[:8]


def test_prompts_read_in_several_goes_are_read_alike(monkeypatch):
    model = make_model(make_tokenizer(), initializer_range=0.3)
    asked = prompts(9)
    with torch.inference_mode():
        whole = LlamaBatch(model).add(asked)
        monkeypatch.setattr("stillroom.inference.llama.forward._MOST_TOKENS", 20)
        torch.testing.assert_close(LlamaBatch(model).add(asked), whole, rtol=1e-4, atol=1e-4)


def test_models_with_a_state_are_computed_one_by_one():
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "lfm2", vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, layer_types=["conv", "full_attention"],
        initializer_range=0.3, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = endless(AutoModelForCausalLM.from_config(config).eval())
    batch, asked = open_batch(model), prompts(6)
    assert type(batch) is SoloBatch
    wanted = [peer_generate(model, ids, NEW, pad_token_id=0) for ids in asked]
    assert answers_in_traffic(batch, asked) == wanted


def test_models_that_would_forget_are_refused():
    config = AutoConfig.for_model("mamba", vocab_size=400, hidden_size=32, num_hidden_layers=1)
    with pytest.raises(GenerationError, match="'mamba'"):
        open_batch(AutoModelForCausalLM.from_config(config))


def test_a_batch_says_when_its_weights_are_old():
    model = make_model(make_tokenizer(), initializer_range=0.3)
    with torch.inference_mode():
        batch = open_batch(model)
    assert batch.is_current()
    hook = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert not batch.is_current(), "an observer would be passed by"
    assert type(open_batch(model)) is JoinedBatch
    hook.remove()
    assert batch.is_current()
    with torch.no_grad():
        model.model.norm.weight.mul_(-1)
    assert not batch.is_current()
