"""Packing: rows that cost least, examples that do not see each other, the same training."""

import random

import kd_models
import pytest
import torch
from stillroom.distillation.batches.batching import (
    Collator,
    TokenizedExample,
    fill_rows,
    supervised_rows,
)
from stillroom.distillation.batches.forward import document_spans, model_inputs
from stillroom.distillation.batches.packing import (
    PackingCollator,
    choose_rows,
    first_fit_decreasing,
    longest_first,
    packing_fault,
)
from transformers import Qwen2Config, Qwen2ForCausalLM


def qwen2(seed=0):
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=kd_models.V,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            bos_token_id=None,
            eos_token_id=0,
        )
    )
    return kd_models.sharpen(model)


MAKERS = [kd_models.llama, qwen2, kd_models.gpt2]


def attentive(model):
    """Give attention a voice: as initialised, GPT-2 hardly looks at other tokens."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "attn" in name and parameter.dim() == 2:
                parameter.mul_(10.0)
    return model.eval()


def packed(items):
    """All of them in few rows, whatever it costs."""
    return PackingCollator(0, width=10**6)(items)


# ------------------------------------------------------------------------- isolation


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("make", MAKERS)
def test_packed_logits_are_those_of_separate_passes(make, attention):
    """Bug table row 18, through the forward function that student and teacher are trained with."""
    model, items = attentive(make()), kd_models.random_items(7)
    model.set_attn_implementation(attention)
    batch = packed(items)
    assert len(batch["input_ids"]) < len(items)
    with torch.no_grad():
        logits = model(**model_inputs(batch)).logits
        for span in document_spans(batch):
            alone = torch.tensor([items[span.example].input_ids])
            expected = model(input_ids=alone, use_cache=False).logits[0]
            found = logits[span.row, span.start : span.stop]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", MAKERS)
def test_the_self_check_passes_models_that_keep_examples_apart(make):
    model = attentive(make()).train()
    assert packing_fault(model, kd_models.random_items(5)) is None
    assert model.training


class Careless(torch.nn.Module):
    """Passes a batch on as most training loops do."""

    def __init__(self, model, **given):
        super().__init__()
        self.model = model
        self.given = given

    def forward(self, input_ids, position_ids=None, attention_mask=None, use_cache=None):
        inputs = {"position_ids": position_ids, "attention_mask": attention_mask} | self.given
        if inputs["attention_mask"] == "ones":
            inputs["attention_mask"] = torch.ones_like(input_ids)
        return self.model(input_ids=input_ids, **({"use_cache": use_cache} | inputs))


@pytest.mark.parametrize(
    "given", [{"use_cache": True}, {"attention_mask": "ones"}, {"position_ids": None}]
)
@pytest.mark.parametrize("make", MAKERS)
def test_the_self_check_finds_contamination(make, given):
    """The two ways known of transformers 5.23, and a model that looks at no positions."""
    fault = packing_fault(Careless(attentive(make()), **given), kd_models.random_items(5))
    assert "lets packed examples see each other" in fault


class Positionless(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask=None, use_cache=None):
        raise AssertionError


def test_a_model_that_takes_no_positions_cannot_be_packed():
    fault = packing_fault(Positionless(), kd_models.random_items(5))
    assert "cannot be given packed examples" in fault


# ------------------------------------------------------------------------- batches


@pytest.mark.parametrize("collator", [Collator(0), PackingCollator(0)])
def test_spans_give_the_examples_back(collator):
    items = kd_models.random_items(9)
    batch = collator(items)
    spans = document_spans(batch)
    assert sorted(span.example for span in spans) == list(range(9))
    for span in spans:
        found = batch["input_ids"][span.row, span.start : span.stop]
        assert tuple(found.tolist()) == items[span.example].input_ids
    assert spans == sorted(spans)  # reading order


def test_a_packed_batch_supervises_the_same_tokens():
    items = kd_models.random_items(9)
    items[1] = TokenizedExample("w", (5, 6, 7, 8), 2, (2.0, 3.0))
    both = [Collator(0)(items), packed(items)]
    assert len({batch["input_ids"].numel() for batch in both}) == 2
    seen = []
    for batch in both:
        pairs = torch.stack([batch["input_ids"].float(), batch["weights"]], dim=-1)  # (R, L, 2)
        before, labels = supervised_rows(pairs, batch["labels"])
        seen.append(sorted(zip(before[:, 0].tolist(), labels.tolist(), strict=True)))
        assert batch["weights"][batch["labels"] == 8].tolist().count(3.0) == 1
    assert seen[0] == seen[1]  # the same (token, next token): none from one example to the next


def test_positions_restart_at_each_example_and_at_the_padding():
    items = [TokenizedExample(str(n), tuple(range(1, n + 1)), 0) for n in (5, 3, 1)]
    batch = fill_rows([[0], [1, 2]], items, 33)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 0, 0]]
    assert batch["documents"].tolist() == [[0] * 5, [1, 1, 1, 2, -1]]
    assert batch["input_ids"][1].tolist() == [1, 2, 3, 1, 33]
    assert batch["labels"][1].tolist() == [-100, 2, 3, -100, -100]


# ------------------------------------------------------------------------- rows


def random_lengths(seed):
    source = random.Random(seed)
    return [source.randint(1, source.choice([10, 100])) for _ in range(source.randint(1, 60))]


@pytest.mark.parametrize("seed", range(20))
def test_rows_hold_each_example_once_and_never_cost_more_than_padding(seed):
    lengths = random_lengths(seed)
    for width in (1, 10**6):
        rows = choose_rows(lengths, width=width)
        assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
        tokens = len(rows) * max(sum(lengths[place] for place in row) for row in rows)
        assert tokens <= len(lengths) * max(lengths)


@pytest.mark.parametrize("seed", range(20))
def test_first_fit_keeps_the_capacity_and_its_bound(seed):
    lengths = random_lengths(seed)
    capacity = max(lengths) + 7
    rows = first_fit_decreasing(lengths, capacity)
    filled = [sum(lengths[place] for place in row) for row in rows]
    assert max(filled) <= capacity
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    assert sum(sorted(filled)[:2]) > capacity or len(rows) == 1  # two such rows would be one


@pytest.mark.parametrize("seed", range(20))
def test_longest_first_is_within_its_bound(seed):
    lengths = random_lengths(seed)
    count = max(1, len(lengths) // 3)
    filled = [sum(lengths[p] for p in row) for row in longest_first(lengths, count)]
    assert sum(filled) == sum(lengths)
    assert len(filled) == count
    assert max(filled) <= sum(lengths) / count + max(lengths)


def test_skewed_lengths_lose_most_of_their_padding():
    source = random.Random(0)
    lengths = [min(512, int(source.lognormvariate(4.2, 0.8)) + 4) for _ in range(64)]
    rows = choose_rows(lengths, width=896)
    tokens = len(rows) * max(sum(lengths[place] for place in row) for row in rows)
    assert tokens < 1.15 * sum(lengths) < 0.6 * len(lengths) * max(lengths)
