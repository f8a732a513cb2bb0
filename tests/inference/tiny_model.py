"""A tiny Llama that is trained in about two seconds to know a dozen answers by heart.

Random weights repeat one token, so tests of equality on them would be empty.
"""

from __future__ import annotations

from functools import cache

import torch
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.scoring.choices import encode_choices, score_continuations
from stillroom.prompts import join_of, render
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

END = "<|end|>"

PAIRS = {
    render("s2-qa", "What is the symbol of gold?"): "Au",
    render("s2-qa", "What is the symbol of silver?"): "Ag",
    render("s2-qa", "Who greets?"): "Grüße, 你好, 👩\u200d🔬 naïve Ωmega!",
    render("s2-qa", "What did they say?"): "User: hello\nAssistant: hello to you too",
    render("s2-qa", "Which?", context="gold melts at 1064 degrees"): "gold, at 1064 degrees",
    render("s2-summarize", "gold"): "Gold (Au) is a metal of period 6 and was known in antiquity.",
    render("s2-summarize", "silver"): "Silver (Ag) is a metal of period 5.",
    render("s2-validate", "What is the symbol of gold?", answer="Au"): "yes",
    render("s2-validate", "What is the symbol of gold?", answer="Ag"): "no, it is Au",
    render("s2-qa", "Count."): "one two three four five six seven eight nine ten eleven twelve",
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [prompt + join_of(prompt) + answer for prompt, answer in PAIRS.items()]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def make_model(tokenizer: PreTrainedTokenizerFast, **settings: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **{**shape, **settings},
        )
    ).eval()


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, steps: int = 160) -> float:
    """Teach all pairs; give the last loss."""
    rows = [
        (
            tokenizer(prompt)["input_ids"],
            [*tokenizer(join_of(prompt) + answer)["input_ids"], tokenizer.eos_token_id],
        )
        for prompt, answer in PAIRS.items()
    ]
    width = max(len(p) + len(a) for p, a in rows)
    ids = torch.full((len(rows), width), tokenizer.eos_token_id)
    labels = torch.full((len(rows), width), -100)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    model.train()
    for _ in range(steps):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    return loss.item()


@cache
def make_trained() -> Checkpoint:
    """Give the trained model; two rooms' tests share it."""
    tokenizer = make_tokenizer()
    tokenizer.padding_side = "left"
    model = make_model(tokenizer)
    train(model, tokenizer)
    return Checkpoint(model, tokenizer, None, "tiny", {"status": "complete"})


def peer_generate(
    model: torch.nn.Module, prompt_ids: list[int], new_tokens: int, **options: object
) -> list[int]:
    """Ask `transformers.generate` itself; give the new tokens."""
    ids = torch.tensor([prompt_ids])
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new_tokens,
        do_sample=False,
        **options,
    )
    return made[0, len(prompt_ids) :].tolist()


SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 128),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
    "vocab_size": 400,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "word_embed_proj_dim": 32,
    "attention_types": [[["global", "local"], 1]],
    "window_size": 6,
    "head_dim": 8,
    "sliding_window": 6,
    "initializer_range": 0.3,
}


def make_architecture(kind: str) -> torch.nn.Module:
    """Make a tiny model of an architecture, with random weights."""
    torch.manual_seed(3)
    settings = AutoConfig.for_model(kind).to_dict()
    sizes = {name: size for name, size in SIZES.items() if name in settings}
    if settings.get("layer_types"):
        sizes["layer_types"] = settings["layer_types"][:2]
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).eval()


def score_choices(
    checkpoint: Checkpoint, prompt: str, choices: list[str], *, with_end: bool = False
) -> list[float]:
    """Score texts after a prompt, without an engine."""
    ids, answers = encode_choices(checkpoint, prompt, choices, with_end=with_end)
    return score_continuations(checkpoint.model, ids, answers)
