"""Tiny random models, a tokenizer and data for the tests of this folder."""

from __future__ import annotations

import torch
from stillroom.distillation.batches.batching import Collator, TokenizedExample
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.training.optimizers import make_optimizer
from stillroom.distillation.training.trainer import KDTrainer, training_arguments
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

CPU = torch.device("cpu")
V = 61


def llama(seed=0, *, width=16, layers=2, vocabulary=V, tied=False):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            tie_word_embeddings=tied,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
        )
    )
    return sharpen(model)


def gpt2(seed=0, *, width=16, layers=2, vocabulary=V, dropout=0.0):
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_embd=width,
            n_layer=layers,
            n_head=2,
            n_positions=64,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            resid_pdrop=dropout,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    return sharpen(model)


def sharpen(model):
    """Make random logits differ by whole units, so that a wrong temperature or mask is seen."""
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20.0)
    return model


def random_items(count=16, *, seed=0, vocabulary=V):
    """Unequal lengths; every fourth is a plain text, which has no prompt."""
    source = torch.Generator().manual_seed(seed)
    items = []
    for number in range(count):
        length = int(torch.randint(4, 20, (), generator=source))
        ids = torch.randint(1, vocabulary, (length,), generator=source).tolist()
        items.append(
            TokenizedExample(str(number), tuple(ids), 0 if number % 4 == 0 else length // 2)
        )
    return items


def kd_trainer(
    folder,
    model,
    *,
    teacher=None,
    items=None,
    loss_fn=None,
    batch_size=4,
    accumulation=1,
    steps=4,
    optimizer="adamw",
    learning_rate=1e-3,
    **settings,
):
    arguments = {"device": CPU, "batch_size": batch_size, "max_steps": steps, "max_grad_norm": 1.0}
    for key in ("dtype", "seed", "max_grad_norm", "lr_scheduler", "warmup_ratio"):
        if key in settings:
            arguments[key] = settings.pop(key)
    return KDTrainer(
        model,
        training_arguments(folder, gradient_accumulation_steps=accumulation, **arguments),
        train_dataset=random_items() if items is None else items,
        data_collator=settings.pop("data_collator", Collator(0)),
        loss_fn=loss_fn or DistillationLoss(),
        teacher=teacher,
        progress=False,
        optimizers=(make_optimizer(model, kind=optimizer, learning_rate=learning_rate), None),
        **settings,
    )


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def tokenizer(texts=("Question: What is the symbol of gold?\n\nAnswer: Au",), size=300):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=["<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", pad_token="<|end|>")
