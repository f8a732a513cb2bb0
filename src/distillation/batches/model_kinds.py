"""The kind of a model, which decides what its labels mean.

| kind | logits | labels | shifted |
|---|---|---|---|
| `causal` | (B, T, V) | (B, T), the input tokens | by one |
| `encoder_decoder` | (B, T, V) of the decoder | (B, T), the tokens to be written | no |
| `classifier` | (B, C) | (B,) | no |

The model's class decides, as in Trainer's own count of labels.
"""

from __future__ import annotations

from typing import Any, Final

from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from ...errors import ConfigError
from ...inference.checkpoints.architectures import ModelKind
from ...inference.checkpoints.label_encoder import ARCHITECTURE
from ..setting_names import Task

TASK_KINDS: Final[dict[Task, tuple[ModelKind, ...]]] = {
    "generation": ("causal", "encoder_decoder"),
    "classification": ("classifier",),
}
"""Which kinds of models a task trains."""

STUDENT_KINDS: Final[dict[Task, tuple[ModelKind, ...]]] = TASK_KINDS | {
    "classification": ("classifier", "encoder", "causal")
}
"""Kinds that a task makes a student of: a classifier gets a head if it has none."""

_CLASSIFIERS: Final = frozenset(
    (*MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.values(), ARCHITECTURE)
)


def model_kind(model: Any) -> ModelKind:  # noqa: ANN401 - transformers is untyped
    """Tell the kind of a model by its class.

    Args:
        model: A model of transformers, without a wrapper for several processes; under an adapter of
            peft its base model counts.

    Raises:
        ConfigError: It is a classifier that does not choose between classes.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if any(parent.__name__ in _CLASSIFIERS for parent in type(base).__mro__):
        problem, classes = base.config.problem_type, base.config.num_labels
        if problem in ("regression", "multi_label_classification") or classes < 2:
            raise ConfigError(
                [f"{type(base).__name__} has problem_type {problem!r} and {classes} labels; soft "
                 "targets are for one choice between two or more classes"]
            )  # fmt: skip
        return "classifier"
    return "encoder_decoder" if base.config.is_encoder_decoder else "causal"


def shifts_labels(model: Any) -> bool:  # noqa: ANN401
    """Tell whether the logits at a position predict the label of the next one."""
    return model_kind(model) == "causal"
