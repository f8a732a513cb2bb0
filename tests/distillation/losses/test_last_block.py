"""Running the last feed-forward layer on the positions that are read changes nothing that is."""

import kd_families
import pytest
import torch
from kd_models import gpt2, kd_trainer, llama, random_items, weights
from stillroom.distillation.batches.batching import Collator, supervised_rows
from stillroom.distillation.batches.forward import model_inputs
from stillroom.distillation.losses import model_rows as row_logits
from stillroom.distillation.losses.last_block import can_skip, feed_forward_on, read_positions
from stillroom.distillation.runtime_patches import recomputed_layers
from torch import nn

DECODERS = {
    "llama": llama,
    "gpt2": gpt2,
    "qwen3": kd_families.qwen3,
    "gemma2": kd_families.gemma2,
    "gemma3": kd_families.gemma3,
}


def hidden_rows(model, batch):
    out = model(**model_inputs(batch), output_hidden_states=True)
    return supervised_rows(out.hidden_states[-1], batch["labels"])[0]


@pytest.mark.parametrize("name", DECODERS)
def test_hidden_states_and_gradients_of_supervised_positions_are_the_same(name):
    model, batch = DECODERS[name]().double(), Collator(0)(random_items(5))
    assert can_skip(model, batch)
    model.eval()  # dropout would draw anew
    read, found = read_positions(batch["labels"]), {}
    for way in ("whole", "skipped"):
        model.zero_grad()
        places = read if way == "skipped" else torch.ones_like(read)
        with feed_forward_on(model, places):
            rows = hidden_rows(model, batch)
        (rows**3).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found[way] = [rows.detach(), *gradients]
    assert len(found["whole"]) == len(found["skipped"])
    for one, other in zip(found["whole"], found["skipped"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_the_layer_sees_only_what_is_read():
    model, batch, seen = llama(), Collator(0)(random_items(4)), []
    layer = model.model.layers[-1].mlp
    layer.down_proj.register_forward_hook(lambda _, given, out: seen.append(out.shape))
    rows = row_logits.ModelRows()
    rows.decide(model, batch)
    seen.clear()
    rows(model, batch, model)
    supervised = int(read_positions(batch["labels"]).sum())
    assert seen == [(1, supervised, model.config.hidden_size)]
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


def test_nothing_supervised_trains_nothing():
    model, batch = llama(), Collator(0)(random_items(2))
    batch["labels"] = torch.full_like(batch["labels"], -100)
    with feed_forward_on(model, read_positions(batch["labels"])):
        hidden_rows(model, batch).sum().backward()
    gradients = [p.grad for p in model.model.layers[-1].mlp.parameters()]
    assert all(g is not None and not g.any() for g in gradients)


class Mixing(nn.Module):
    """Looks at other positions, as no feed-forward layer may that is skipped."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden):
        return self.layer(hidden + hidden.mean(dim=1, keepdim=True))


def test_a_layer_that_mixes_positions_is_found_out():
    model, batch = llama(), Collator(0)(random_items(4))
    model.model.layers[-1].mlp = Mixing(model.model.layers[-1].mlp)
    assert not can_skip(model, batch)
    rows = row_logits.ModelRows()
    rows.decide(model, batch)
    got, _ = rows(model, batch, model)
    torch.testing.assert_close(got.hidden, hidden_rows(model, batch))


@pytest.mark.parametrize("recomputed", [False, True])
def test_training_ends_as_it_does_without(tmp_path, monkeypatch, recomputed):
    found = []
    for skips in (True, False):
        monkeypatch.setattr(row_logits, "can_skip", lambda *_, skips=skips: skips)
        student = llama()
        trainer = kd_trainer(tmp_path / str(skips), student, teacher=llama(1), steps=3)
        with recomputed_layers(student, recomputed):
            trainer.train()
        found.append(weights(student))
    for name, one in found[0].items():
        torch.testing.assert_close(one, found[1][name], rtol=1e-4, atol=1e-5)
