"""Which kind of model a checkpoint holds, and which class of transformers loads it.

Most students write text and are causal. Classifiers and encoder-decoders are trained and loaded as
well, but only where a caller asks for them: an engine that generates has no use for a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import CheckpointError
from .model_settings import ENCODER_TYPES

ModelKind = Literal["causal", "encoder_decoder", "classifier"]


def checkpoint_kind(config: Mapping[str, Any]) -> ModelKind:
    """Tell the kind of a checkpoint by its config.json.

    Args:
        config: Checked already.
    """
    names = config.get("architectures") or []
    if any(str(name).endswith("ForSequenceClassification") for name in names):
        return "classifier"
    return "encoder_decoder" if config.get("is_encoder_decoder") else "causal"


def require_kind(folder: Path, config: Mapping[str, Any], kinds: tuple[ModelKind, ...]) -> None:
    """Refuse a checkpoint of another kind than the caller can use.

    Raises:
        CheckpointError: It is of another kind, or an encoder without a head.
    """
    kind = checkpoint_kind(config)
    if config.get("model_type") in ENCODER_TYPES and kind != "classifier":
        raise CheckpointError(
            f"{folder}: is an encoder without a classification head (config.json names "
            f"{config.get('architectures')}); load it with transformers' "
            "AutoModelForSequenceClassification and save that"
        )
    if kind not in kinds:
        raise CheckpointError(
            f"{folder}: holds a model of kind {kind!r}; here {' or '.join(map(repr, kinds))} is "
            "needed"
        )


def auto_class(kind: ModelKind) -> Any:  # noqa: ANN401 - transformers is untyped
    """Give the Auto class of transformers that loads a kind."""
    import transformers

    return {
        "causal": transformers.AutoModelForCausalLM,
        "encoder_decoder": transformers.AutoModelForSeq2SeqLM,
        "classifier": transformers.AutoModelForSequenceClassification,
    }[kind]


@torch.inference_mode()
def probe(model: Any, ids: Tensor) -> tuple[Tensor, int]:  # noqa: ANN401
    """Run a model once on some ids, for a look at what it gives.

    Args:
        model: Of any kind.
        ids: (1, T).

    Returns:
        Its logits, and how wide they ought to be.
    """
    kind = checkpoint_kind(model.config.to_dict() | {"architectures": [type(model).__name__]})
    if kind == "classifier":
        return model(input_ids=ids).logits, model.config.num_labels
    fed = {} if kind == "causal" else {"decoder_input_ids": ids}
    return model(input_ids=ids, **fed).logits, model.config.vocab_size
