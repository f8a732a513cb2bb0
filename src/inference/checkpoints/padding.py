"""One padding token for a tokenizer and the classifiers that read its batches.

A decoder that classifies uses the last token of a text. transformers finds it by `pad_token_id` of
the config, not by the attention mask: without one it refuses batches, and with one that differs
from the tokenizer's it uses the padding of shorter texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import ConfigError
from .config_allowlist import ENCODER_TYPES


def agree_on_padding(tokenizer: Any, *models: Any) -> int:  # noqa: ANN401 - transformers is untyped
    """Set one padding token, on the right, for a tokenizer and its classifiers.

    It is the tokenizer's own, else that of the first model's config, else the end token or another
    special one. A token that ends every text is the last choice, because the text would seem to end
    before it.

    Args:
        tokenizer: Makes the batches.
        models: Classifiers or encoders.

    Returns:
        The id.

    Raises:
        ConfigError: No special token is in the vocabulary of all models.
    """
    known = min([len(tokenizer), *(model.config.vocab_size for model in models)])
    last = tokenizer("a")["input_ids"][-1:]
    usable = [
        token
        for token in _candidates(tokenizer, *models)
        if token is not None and 0 <= token < known
    ]
    if not usable:
        raise ConfigError(
            [f"the tokenizer has no padding, end or unknown token below {known}, the ids that the "
             "models know, so texts of unlike length cannot share a batch; set "
             "tokenizer.pad_token to one of its tokens"]
        )  # fmt: skip
    chosen = next((token for token in usable if [token] != last), usable[0])
    if tokenizer.pad_token_id != chosen:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(chosen)
    tokenizer.padding_side = "right"
    for model in models:
        if _reads_last_token(model):
            model.config.pad_token_id = chosen
    return chosen


def _candidates(tokenizer: Any, *models: Any) -> Iterator[int | None]:  # noqa: ANN401
    yield tokenizer.pad_token_id
    for model in models:
        yield getattr(model.config, "pad_token_id", None)
    yield tokenizer.eos_token_id
    yield tokenizer.unk_token_id
    yield tokenizer.sep_token_id
    yield tokenizer.cls_token_id
    yield tokenizer.bos_token_id


def _reads_last_token(model: Any) -> bool:  # noqa: ANN401
    """Return whether it is a decoder; encoders use `pad_token_id` otherwise (RoBERTa for
    positions)."""
    config = model.config
    return config.model_type not in ENCODER_TYPES and not config.is_encoder_decoder
