"""Run a model and return its rows at the supervised positions of a batch.

Prompts are most of a training text and need no logits; with a large vocabulary, skipping them saves
most of a step's time (`benchmarks/kd_peer`). One of two ways is chosen, and logged, at the first
batch:

- fused: the model's hidden states times its head are its logits (compared on a piece of the batch),
  so the loss gets hidden states and head, and no logits are computed in the model;
- dense: the model computes its logits itself, because its head does more (softcaps, scales, has an
  adapter) or is sharded over processes.

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
from ..batches.forward import Batch, model_inputs, trial_of
from ..batches.model_kinds import model_kind, shifts_labels
from .last_block import PROBE_POSITIONS, can_skip, feed_forward_on, read_positions
from .rows import HeadRows, StudentRows

logger = logging.getLogger(__name__)


class ModelRows:
    """Computes a model's rows at supervised positions, fused or dense.

    Args:
        vocabulary: Ids that count, V; rows of the head beyond are padding and get no gradient. None
            takes all.
        dense_because: Why the model must compute its logits itself; None decides at the first
            batch.
        whole: Whether a layer loss reads the hidden states of all positions.
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
        """Decide once between fused and dense, and log the reason.

        Args:
            model: The model itself, without a wrapper for several processes.
            batch: Any batch; a piece of it is tried under the autocast of the training step.
        """
        if self._decided:
            return
        self._decided = True
        if self.dense_because is None:
            self.dense_because = why_dense(model, batch)
        if self.dense_because is None:
            logger.info("the loss is fused with the head of %s", type(model).__name__)
            self._skips = can_skip(model, batch)
        else:
            logger.warning("logits are computed by the model itself: %s", self.dense_because)
        torch.clear_autocast_cache()  # the weights cast in the trial have no gradient

    def __call__(
        self, model: nn.Module, batch: Batch, head_of: nn.Module
    ) -> tuple[StudentRows, Tensor]:
        """Run the model.

        Args:
            model: The model, which may be wrapped for several processes.
            batch: Token ids, mask and labels.
            head_of: The model without the wrapper; its head is read at each call.

        Returns:
            N rows and their labels (N,).
        """
        self.decide(head_of, batch)
        labels = batch["labels"]
        if self.dense_because is None:
            # Logits of even one position would read the whole head, so none are asked for.
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
        """Compute the model's logits at all positions, (B, T, V); of a classifier (B, C)."""
        logits: Tensor = model(**model_inputs(batch)).logits[..., : self.vocabulary]
        if logits.dim() == 2:
            return logits
        return logits[:, -batch["labels"].shape[1] :]  # prompt tuning adds tokens before the text


def why_dense(model: nn.Module, batch: Batch) -> str | None:
    """Return why the head must not be applied to selected rows; None if it may be.

    Logits are compared bit for bit: both sides multiply the same shapes, so they round alike.
    """
    if model_kind(model) == "classifier":
        return f"{type(model).__name__} gives one distribution for a whole text"
    head = _head(model)
    if type(head) is not nn.Linear:  # an adapter or a parametrisation computes more than x W
        kind = f"{type(head).__module__}.{type(head).__qualname__}"
        return f"the head is a {kind}, not a plain Linear of torch"
    if not takes_positions(model):
        return f"{type(model).__name__} cannot compute the logits of some positions only"
    piece = {name: value[:1, :PROBE_POSITIONS] for name, value in batch.items()}
    with trial_of(model):
        out = model(**model_inputs(piece), output_hidden_states=True)
        ours = functional.linear(out.hidden_states[-1], head.weight, head.bias)
    if ours.shape == out.logits.shape and torch.equal(ours.float(), out.logits.float()):
        return None
    return f"{type(model).__name__} does more to its logits than multiply hidden states by the head"


def takes_positions(model: nn.Module) -> bool:
    """Tell whether a model can compute the logits of some positions only.

    Under an adapter of peft the model inside decides; prompt tuning moves all positions.
    """
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None:
        if adapter.is_prompt_learning:
            return False
        model = model.get_base_model()  # type: ignore[operator]
    return "logits_to_keep" in inspect.signature(model.forward).parameters


def _head(model: nn.Module) -> Any:  # noqa: ANN401 - transformers is untyped
    return getattr(model, "get_output_embeddings", lambda: None)()
