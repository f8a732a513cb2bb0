"""Choose the layers of a teacher that a student keeps, by their influence on the user's records.

A layer that hardly changes the direction of the hidden states can be removed at little cost. Its
influence is 1 - cos of the angle between its input and its output, averaged over the tokens of the
records. Layers are removed one at a time, and the others are measured again after each removal:
two neighbours that do the same work may both have little influence, and one of them is needed.

Layers must not be chosen by their number alone. A pretrained model of 30 layers without every
second one answers nothing (`benchmarks/size_curve.py`).

Sources: block influence: ShortGPT, Men et al. 2024, sec. 3.2 (arXiv 2403.03853); measured again
after each removal: Minitron, Muralidharan et al. 2024, sec. 2.2 (arXiv 2407.14679).

Sizes: B examples, T positions, H hidden size, N compared positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConfigError
from ..batches.batching import supervised_rows
from ..batches.forward import Batch, model_inputs, trial_of
from ..batches.model_kinds import shifts_labels
from ..students.open_students import layer_modules

SHORTLIST: Final = 6
"""Number of least influential layers that are tried before one of them is removed."""

Model = Any
"""A model of transformers, whose classes are skipped by the type checker."""


@dataclass(frozen=True)
class ChosenLayers:
    """The layers that a student keeps."""

    keep: tuple[int, ...]
    """Numbers of the layers, ascending from 0; in an encoder-decoder those of the encoder."""
    keep_decoder: tuple[int, ...] | None
    """Layers of the decoder of an encoder-decoder, else None."""
    influence: dict[int, float]
    """Layer -> its influence, 0 to 2, when it was removed, or at the end if it was kept."""


def choose_layers(
    model: Model, batches: Sequence[Batch], count: int, *, shortlist: int = SHORTLIST
) -> ChosenLayers:
    """Choose the layers to keep, by removing the least important ones one at a time.

    In each round the `shortlist` least influential layers are tried, and the one is removed whose
    absence changes the model's output distributions least.

    Args:
        model: The teacher: a decoder, an encoder, or an encoder-decoder.
        batches: Some of the user's records, on the model's device.
        count: Layers to keep in each stack, 1 to all of them.
        shortlist: Number of layers that are tried per round. It has no effect on an
            encoder-decoder, which loses its least influential layers.

    Raises:
        ConfigError: `count` is out of range, or the layers have unknown names.
    """
    stacks = layer_modules(model)
    for name, layers in stacks.items():
        if not 1 <= count <= len(layers):
            raise ConfigError(
                [f"{count} layers are to be kept; the {name} stack has {len(layers)}"]
            )
    kept = {name: list(range(len(layers))) for name, layers in stacks.items()}
    left_out: dict[int, float] = {}
    # The blocks of T5 return more than hidden states, so they cannot be skipped.
    skips = not model.config.is_encoder_decoder
    answers = [_answers(model, batch) for batch in batches] if skips else []
    measured = block_influence(model, batches)
    while any(len(numbers) > count for numbers in kept.values()):
        for name, numbers in kept.items():
            if len(numbers) <= count:
                continue
            idle = sorted(numbers, key=lambda number: measured[name][number])
            least = idle[0]
            if skips:
                gone = [stacks[name][number] for number in left_out]
                least = min(
                    idle[:shortlist],
                    key=lambda n: _moved(model, batches, answers, [*gone, stacks[name][n]]),
                )
            numbers.remove(least)
            left_out[least] = measured[name][least]
        if skips:
            with without_layers([stacks["main"][number] for number in left_out]):
                measured = block_influence(model, batches)
    main = {number: measured["main"][number] for number in kept["main"]}
    return ChosenLayers(
        keep=tuple(kept["main"]),
        keep_decoder=tuple(kept["decoder"]) if "decoder" in kept else None,
        influence={**left_out, **main},
    )


def _answers(model: Model, batch: Batch) -> Tensor:
    """Return log-probabilities at the supervised positions, (N, V); of a classifier (B, C)."""
    with trial_of(model):
        logits: Tensor = model(**model_inputs(batch)).logits
    if logits.dim() == 3:
        logits, _ = supervised_rows(logits, batch["labels"], shift=shifts_labels(model))
    return logits.float().log_softmax(-1)


def _moved(
    model: Model, batches: Sequence[Batch], answers: Sequence[Tensor], skipped: Sequence[nn.Module]
) -> float:
    """Sum KL(all layers | without some layers) of the output distributions, in nats."""
    total = 0.0
    with without_layers(skipped):
        for batch, log_p in zip(batches, answers, strict=True):
            log_q = _answers(model, batch)
            total += float((log_p.exp() * (log_p - log_q)).sum())
    return total


def block_influence(model: Model, batches: Sequence[Batch]) -> dict[str, list[float]]:
    """Measure the influence of each layer on the hidden states of some records, 0 (none) to 2.

    Returns:
        Stack of layers -> influence of each layer.
    """
    stacks = layer_modules(model)
    sums = {name: torch.zeros(len(layers), dtype=torch.float64) for name, layers in stacks.items()}
    present: dict[str, Any] = {}  # tensors (B, T)

    def measuring(name: str, number: int) -> Callable[..., None]:
        def measure(_: nn.Module, args: Any, options: Any, out: Any) -> None:  # noqa: ANN401
            before = args[0] if args else options["hidden_states"]  # (B, T, H)
            after = out[0] if isinstance(out, tuple) else out
            rows = present[name]
            cosine = functional.cosine_similarity(before[rows].float(), after[rows].float(), dim=-1)
            sums[name][number] += float((1.0 - cosine).sum())

        return measure

    total = dict.fromkeys(stacks, 0)
    with ExitStack() as stack:
        stack.enter_context(trial_of(model))
        for name, layers in stacks.items():
            for number, layer in enumerate(layers):
                hook = layer.register_forward_hook(measuring(name, number), with_kwargs=True)
                stack.callback(hook.remove)
        for batch in batches:
            present["main"] = batch["attention_mask"].bool()
            present["decoder"] = batch["labels"] >= 0 if batch["labels"].dim() == 2 else None
            for name in stacks:
                total[name] += int(present[name].sum())
            model(**model_inputs(batch))
    return {name: (values / max(total[name], 1)).tolist() for name, values in sums.items()}


@contextmanager
def without_layers(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Skip some layers of a decoder or encoder until the end of the block."""
    for layer in layers:
        layer.forward = lambda hidden_states, *_, **__: hidden_states
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
