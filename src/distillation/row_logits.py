"""Logits of the supervised positions only, and the teacher's side of them.

Prompts are most of a training text and need no head: skipping their rows is most of the speed of a
step at a large vocabulary (measurements.md 6). Whether hidden states times the head really are the
model's logits is tried once on a batch; where they are not, the model's own logits are used.

Sizes: B examples, T positions, H hidden size, V vocabulary, N supervised positions.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batching import supervised_rows
from .losses import Divergence, SumAndCount

logger = logging.getLogger(__name__)

Batch = Mapping[str, Tensor]
"""`input_ids`, `attention_mask` and `labels`, each (B, T), as `Collator` makes them."""
PROBE_POSITIONS = 64
"""Positions of one example that the self-check runs through the whole head."""


class TeacherSignal(Protocol):
    """Where a teacher's distributions come from: a model now, a cache of its logits later."""

    def compare(self, student_rows: Tensor, batch: Batch, divergence: Divergence) -> SumAndCount:
        """Sum the divergence of student and teacher over the batch's supervised positions.

        Args:
            student_rows: Logits (N, V) in reading order, as `supervised_rows` gives them.
            batch: The tokens they belong to.
            divergence: Takes student and teacher logits, both (N, V).
        """
        ...


class RowLogits:
    """Give the logits of a causal model at supervised positions; how is decided at the first batch.

    Args:
        vocabulary: Ids that count, V; the rows of the head beyond are padding and get no gradient.
            None takes all.
        dense_because: Reason to take the model's own logits without trying.
    """

    def __init__(self, vocabulary: int | None = None, *, dense_because: str | None = None) -> None:
        """Keep the settings; the model comes with the first batch."""
        self.vocabulary = vocabulary
        self.dense_because = dense_because
        self._decided = dense_because is not None

    def decide(self, model: nn.Module, batch: Batch) -> None:
        """Try once, on a piece of a batch, whether hidden states times head are the logits.

        Run it under the autocast of the training step, but in a context of its own: autocast would
        cache the casts made here, which have no gradient.

        Args:
            model: The model itself, without a wrapper for several processes.
            batch: Any batch.
        """
        if self._decided:
            return
        self._decided = True
        self.dense_because = why_dense(model, batch)
        if self.dense_because is not None:
            logger.warning("logits of all positions are computed: %s", self.dense_because)

    def __call__(self, model: nn.Module, batch: Batch, head_of: nn.Module) -> tuple[Tensor, Tensor]:
        """Run the model.

        Args:
            model: What is called; may be wrapped for several processes.
            batch: Token ids, mask and labels.
            head_of: The model itself, whose output embedding is read anew at each call.

        Returns:
            Logits (N, V) and labels (N,).
        """
        if self.dense_because is not None:
            return supervised_rows(self.dense(model, batch), batch["labels"])
        out = model(**_inputs(batch), output_hidden_states=True, logits_to_keep=1)
        rows, labels = supervised_rows(out.hidden_states[-1], batch["labels"])  # (N, H), (N,)
        return _head_logits(rows, head_of, self.vocabulary), labels

    def dense(self, model: nn.Module, batch: Batch) -> Tensor:
        """Give the model's own logits at all positions, (B, T, V)."""
        logits: Tensor = model(**_inputs(batch)).logits[..., : self.vocabulary]
        return logits


class OnlineTeacher:
    """A teacher that runs beside the student: frozen, in eval mode, part of no other module.

    Args:
        model: A causal language model; its parameters stop requiring gradients.
        vocabulary: Ids that count, as for the student.
        autocast_dtype: Arithmetic of its forward pass; None for that of its weights.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        vocabulary: int | None = None,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        """Freeze the model."""
        self.model = model.requires_grad_(False).eval()
        self.rows = RowLogits(vocabulary)
        self.autocast_dtype = autocast_dtype

    def compare(self, student_rows: Tensor, batch: Batch, divergence: Divergence) -> SumAndCount:
        """Run the teacher on the batch and sum the divergence over supervised positions."""
        with torch.no_grad(), self._autocast(batch):
            self.rows.decide(self.model, batch)
            teacher_rows, _ = self.rows(self.model.eval(), batch, self.model)
        return divergence(student_rows, teacher_rows)

    def logits(self, batch: Batch) -> Tensor:
        """Give the teacher's logits at all positions, (B, T, V)."""
        with torch.no_grad(), self._autocast(batch):
            return self.rows.dense(self.model.eval(), batch)

    def _autocast(self, batch: Batch) -> torch.autocast:
        device = batch["input_ids"].device.type
        return torch.autocast(
            device, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None
        )


def why_dense(model: nn.Module, batch: Batch) -> str | None:
    """Say why the head must not be applied to selected rows; None when it may.

    Softcapped, scaled or adapted heads are found by comparing bit for bit: both sides multiply the
    same shapes, so they round alike.
    """
    head = _head(model)
    if type(head) is not nn.Linear:  # an adapter or a parametrisation computes more than x W
        return f"the head is a {type(head).__name__}, not a plain Linear"
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        return f"{type(model).__name__}.forward does not take logits_to_keep"
    piece = {name: value[:1, :PROBE_POSITIONS] for name, value in batch.items()}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            out = model(**_inputs(piece), output_hidden_states=True)
            ours = _head_logits(out.hidden_states[-1], model, None)
    finally:
        model.train(was_training)
    if ours.shape == out.logits.shape and torch.equal(ours.float(), out.logits.float()):
        return None
    return f"{type(model).__name__} does more to its logits than multiply hidden states by the head"


def _inputs(batch: Batch) -> dict[str, Any]:
    # use_cache=False: a cache costs memory and breaks the isolation of packed documents.
    return {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "use_cache": False,
    }


def _head(model: nn.Module) -> Any:  # noqa: ANN401 - transformers is untyped
    return getattr(model, "get_output_embeddings", lambda: None)()


def _head_logits(rows: Tensor, model: nn.Module, vocabulary: int | None) -> Tensor:
    head = _head(model)
    bias = None if head.bias is None else head.bias[:vocabulary]
    return functional.linear(rows, head.weight[:vocabulary], bias)
