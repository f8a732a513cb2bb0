"""The supervised positions of a batch, in the form from which their loss is cheapest.

Prompts are most of a training text and need no head: skipping their rows is most of the speed of a
step at a large vocabulary (`benchmarks/kd_peer`). Whether hidden states times the head really are
the model's logits is tried once on a batch. Where they are, the fused loss gets hidden states and
head; where they are not, or where the head is sharded, the model's own logits of those positions
are made, and the log says why.

Sizes: B examples, T positions, H hidden size, V vocabulary, N supervised positions.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..batches.batching import supervised_positions, supervised_rows
from ..batches.forward import Batch, model_inputs
from ..batches.model_kinds import model_kind, shifts_labels
from .fused import HeadRows
from .last_block import PROBE_POSITIONS, can_skip, feed_forward_on, read_positions

logger = logging.getLogger(__name__)


class ModelRows:
    """Give a model's side of supervised positions; how is decided at the first batch.

    Args:
        vocabulary: Ids that count, V; the rows of the head beyond are padding and get no gradient.
            None takes all.
        dense_because: Reason to take the model's own logits without trying.
        whole: Hidden states of all positions are read by somebody else.
    """

    def __init__(
        self,
        vocabulary: int | None = None,
        *,
        dense_because: str | None = None,
        whole: bool = False,
    ) -> None:
        """Keep the settings; the model comes with the first batch."""
        self.vocabulary = vocabulary
        self.dense_because = dense_because
        self.whole = whole
        self._decided = False
        self._skips = False

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
        if self.dense_because is None:
            self.dense_because = why_dense(model, batch)
        if self.dense_because is not None:
            logger.warning("logits are computed by the model itself: %s", self.dense_because)
        else:
            self._skips = can_skip(model, batch)

    def __call__(
        self, model: nn.Module, batch: Batch, head_of: nn.Module
    ) -> tuple[HeadRows | Tensor, Tensor]:
        """Run the model.

        Args:
            model: What is called; may be wrapped for several processes.
            batch: Token ids, mask and labels.
            head_of: The model itself, whose output embedding is read anew at each call.

        Returns:
            N rows and their labels (N,): hidden states with the whole head, or logits (N, V).
        """
        labels = batch["labels"]
        if self.dense_because is None:
            # No logits from the model itself: one position would read the head once per example.
            none = labels.new_empty(0)
            skips = self._skips and not self.whole
            with feed_forward_on(head_of, read_positions(labels)) if skips else nullcontext():
                out = model(**model_inputs(batch), output_hidden_states=True, logits_to_keep=none)
            hidden, targets = supervised_rows(out.hidden_states[-1], labels)  # (N, H), (N,)
            head = _head(head_of)
            return HeadRows(hidden, head.weight, head.bias, self.vocabulary), targets
        shift = shifts_labels(head_of)
        if not (shift and takes_positions(head_of)):
            return supervised_rows(self.dense(model, batch), labels, shift=shift)
        positions, labels = supervised_positions(labels)  # (P,), (B, P)
        out = model(**model_inputs(batch), logits_to_keep=positions)
        return supervised_rows(out.logits[..., : self.vocabulary], labels, shift=False)

    def dense(self, model: nn.Module, batch: Batch) -> Tensor:
        """Give the model's own logits at all positions, (B, T, V); of a classifier (B, C)."""
        logits: Tensor = model(**model_inputs(batch)).logits[..., : self.vocabulary]
        if logits.dim() == 2:
            return logits
        return logits[:, -batch["labels"].shape[1] :]  # prompt tuning puts tokens before the text


def why_dense(model: nn.Module, batch: Batch) -> str | None:
    """Say why the head must not be applied to selected rows; None when it may.

    Softcapped, scaled or adapted heads are found by comparing bit for bit: both sides multiply the
    same shapes, so they round alike.
    """
    if model_kind(model) == "classifier":
        return f"{type(model).__name__} gives one distribution for a whole text"
    head = _head(model)
    if type(head) is not nn.Linear:  # an adapter or a parametrisation computes more than x W
        kind = f"{type(head).__module__}.{type(head).__qualname__}"
        return f"the head is a {kind}, not a plain Linear of torch"
    if not takes_positions(model):
        return f"{type(model).__name__} cannot be asked for the logits of some positions only"
    piece = {name: value[:1, :PROBE_POSITIONS] for name, value in batch.items()}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            out = model(**model_inputs(piece), output_hidden_states=True)
            ours = functional.linear(out.hidden_states[-1], head.weight, head.bias)
    finally:
        model.train(was_training)
    if ours.shape == out.logits.shape and torch.equal(ours.float(), out.logits.float()):
        return None
    return f"{type(model).__name__} does more to its logits than multiply hidden states by the head"


def takes_positions(model: nn.Module) -> bool:
    """Tell whether a model can be asked for the logits of some positions only.

    Under an adapter of peft that is up to the model inside; prompt tuning puts tokens before the
    text and moves all positions.
    """
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None:
        if adapter.is_prompt_learning:
            return False
        model = model.get_base_model()  # type: ignore[operator]
    return "logits_to_keep" in inspect.signature(model.forward).parameters


def _head(model: nn.Module) -> Any:  # noqa: ANN401 - transformers is untyped
    return getattr(model, "get_output_embeddings", lambda: None)()
