"""Make a classifier of an encoder, with a head that is fitted before the encoder is fine-tuned.

A fitted head preserves the encoder's features, while a random one would distort them first (Kumar
et al. 2022, arXiv 2202.10054). Without fine-tuning the result is the baseline: a frozen encoder
with logistic regression.

Sizes: N texts, D width of the encoder, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from ...inference.checkpoints.label_encoder import (
    MeanPoolingForSequenceClassification,
    classifier_on,
)
from ...inference.checkpoints.padding import agree_on_padding
from ...inference.scoring.linear_head import fit_head
from ...inference.scoring.model_limits import context_length
from ...records import Example
from ..batches.classifier_data import TextCollator, TokenizedText, soft_targets, tokenize_texts

MOST_TEXTS: Final = 8192
"""Most texts that a head is fitted on; of more texts, evenly spaced ones are taken."""
AT_ONCE: Final = 64


def fitted_classifier(
    encoder: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401
    examples: Sequence[Example],
    classes: Sequence[str],
    *,
    max_length: int = 512,
) -> MeanPoolingForSequenceClassification:
    """Put a head on a copy of an encoder, fitted to labels or soft targets.

    Args:
        encoder: One vector per token; a language model counts without its head.
        tokenizer: Tokenizer of the encoder.
        examples: From `classified_examples`; those without label and probabilities are not used.
        classes: Names of all classes.
        max_length: Most tokens of a text; longer ones are cut.

    Returns:
        A model in eval mode; its head is untrained where no example has a label.

    Raises:
        ConfigError: There are fewer than two classes.
        DataError: A label is none of them.
    """
    model = classifier_on(encoder, classes)
    places = {name: number for number, name in enumerate(classes)}
    targets = {example.id: soft_targets(example, places) for example in examples}
    known = [example for example in examples if targets[example.id] is not None]
    if not known:
        return model
    chosen = known[:: -(-len(known) // MOST_TEXTS)]
    agree_on_padding(tokenizer, model)
    items = tokenize_texts(
        chosen,
        tokenizer,
        places,
        max_length=min(max_length, context_length(model)),
        too_long="truncate",
        labels_needed=False,
    )
    wanted = torch.tensor([targets[example.id] for example in chosen])  # (N, C)
    head = fit_head(text_vectors(model, items, int(tokenizer.pad_token_id)), wanted)
    model.set_head(head.weight, head.bias)
    return model


def text_vectors(
    model: MeanPoolingForSequenceClassification, items: Sequence[TokenizedText], pad_id: int
) -> Tensor:
    """Compute the inputs of the head, (N, D) on the CPU; batches have texts of similar length."""
    order = sorted(range(len(items)), key=lambda place: len(items[place].input_ids))
    found = torch.zeros(len(items), model.config.hidden_size)
    collate = TextCollator(pad_id)
    for start in range(0, len(order), AT_ONCE):
        places = order[start : start + AT_ONCE]
        batch = collate([items[place] for place in places])
        rows = model.pooled(
            batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
        )
        found[places] = rows.float().cpu()
    return found
