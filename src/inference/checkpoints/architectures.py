"""The kind of model in a checkpoint, and the transformers class that loads it.

Most students are causal. Classifiers, encoders and encoder-decoders are loaded only if the caller
asks for them, because an engine that generates cannot use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from ...errors import CheckpointError
from .config_allowlist import ENCODER_TYPES, MODEL_TYPES, left_out, model_arguments

ModelKind = Literal["causal", "encoder_decoder", "classifier", "encoder"]
"""`encoder`: one vector per token, such as BERT without a classification head."""


ANSWERING: Final[tuple[ModelKind, ...]] = ("causal", "classifier")
"""Kinds that answer a prompt: with a text, or with one of their labels."""


def checkpoint_kind(config: Mapping[str, Any]) -> ModelKind:
    """Return the kind of a checkpoint from its checked config.json."""
    names = config.get("architectures") or []
    if any(str(name).endswith("ForSequenceClassification") for name in names):
        return "classifier"
    if config.get("model_type") in ENCODER_TYPES:
        return "encoder"
    return "encoder_decoder" if config.get("is_encoder_decoder") else "causal"


def require_kind(folder: Path, config: Mapping[str, Any], kinds: tuple[ModelKind, ...]) -> None:
    """Refuse a checkpoint of a kind that the caller cannot use.

    Raises:
        CheckpointError: It is of another kind, or an encoder without a head.
    """
    kind = checkpoint_kind(config)
    if kind == "encoder" and kind not in kinds:
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


def auto_class(kind: ModelKind, architectures: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """Return the Auto class of transformers that loads a kind.

    Args:
        kind: Kind of the model.
        architectures: Classes that config.json names; they tell an encoder's head, and whether a
            classifier is one of ours.
    """
    import transformers

    from .label_encoder import ARCHITECTURE, MeanPoolingForSequenceClassification

    if ARCHITECTURE in architectures:
        return MeanPoolingForSequenceClassification
    classes = {
        "causal": transformers.AutoModelForCausalLM,
        "encoder_decoder": transformers.AutoModelForSeq2SeqLM,
        "classifier": transformers.AutoModelForSequenceClassification,
        "ForMaskedLM": transformers.AutoModelForMaskedLM,
        "ForPreTraining": transformers.AutoModelForPreTraining,
    }
    heads = [end for end in classes if any(name.endswith(end) for name in architectures)]
    if kind == "encoder":
        return classes[heads[0]] if heads else transformers.AutoModel
    return classes[kind]


def make_config(config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - transformers is untyped
    """Make a transformers config from a checked config.json.

    Raises:
        CheckpointError: transformers refuses it, or a setting that is left out belongs to the
            architecture and differs from its default.
    """
    from transformers import AutoConfig

    try:
        made = AutoConfig.for_model(config["model_type"], **model_arguments(config))
    except Exception as fault:  # transformers raises many types
        raise CheckpointError(f"config.json: is not taken by transformers ({fault})") from fault
    pad = getattr(made, "pad_token_id", None)
    if pad is not None and made.model_type in MODEL_TYPES and not 0 <= pad < made.vocab_size:
        made.pad_token_id = None  # such as -1: no row of the embedding
    known = {field.name for field in fields(made)} | set(type(made).attribute_map)
    for name in left_out(config):
        if name in known and getattr(made, name, None) != config[name]:
            raise CheckpointError(
                f"config.json: {name} is {repr(config[name])[:80]}, and a {config['model_type']!r} "
                f"model computes by it; here only {getattr(made, name, None)!r} is supported"
            )
    return made


@torch.inference_mode()
def probe(model: Any, ids: Tensor) -> tuple[Tensor, int]:  # noqa: ANN401
    """Run a model of any kind once on ids (1, T); return its logits and their expected width."""
    kind = checkpoint_kind(model.config.to_dict() | {"architectures": [type(model).__name__]})
    if kind == "classifier":
        return model(input_ids=ids).logits, model.config.num_labels
    if kind == "encoder":
        vectors = model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        return vectors[:, 0], vectors.shape[-1]
    fed = {} if kind == "causal" else {"decoder_input_ids": ids}
    return model(input_ids=ids, **fed).logits, model.config.vocab_size
