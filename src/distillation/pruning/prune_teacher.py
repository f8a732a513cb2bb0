"""Make a student by pruning its teacher on the user's records: vocabulary, layers, feed-forward.

    pruned = prune_teacher(teacher, tokenizer, examples, StudentSize(share=0.5))
    pruned.model, pruned.tokenizer     # to be trained from the teacher's answers
    pruned.teacher                     # the same teacher over the student's vocabulary

The vocabulary is trimmed first, which changes nothing for the kept tokens; then the least important
layers are removed, then the least important feed-forward channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ..batches.forward import Batch
from ..students.open_students import layer_modules, layers_from_teacher
from .feed_forward import narrow_feed_forward, narrowed_by
from .layer_choice import ChosenLayers, choose_layers
from .vocabulary_trim import (
    can_trim,
    choose_tokens,
    sharing_copy,
    template_ids,
    trim_model,
    trim_tokenizer,
)

Model = Any
"""A model of transformers, whose classes are skipped by the type checker."""

MEASURED_EXAMPLES: Final = 16
"""Most records on which layers and channels are measured, spread evenly over those given."""
BATCH_TOKENS: Final = 2048
"""Most tokens of a measured batch, padding included."""
DEFAULT_SHARE: Final = 0.5
"""Share of the teacher's parameters if no size is given."""
EMBEDDINGS_SHARE: Final = 0.1
"""Share of the parameters of a student of a given `share` that its embeddings and head have, unless
its records need more tokens. A small vocabulary splits rare words and costs accuracy on unseen
wordings: a SmolLM2 of 49,152 tokens that was trained on a table answers 96 % of them right with
16,384 tokens, 93 % with 8,192, 91 % with 4,096 and 88 % with 2,048."""


class TrainingItem(Protocol):
    """A tokenised record."""

    @property
    def input_ids(self) -> tuple[int, ...]:
        """Its token ids."""
        ...


@dataclass(frozen=True)
class StudentSize:
    """What a student keeps of its teacher; a field of None keeps all, or follows from `share`."""

    share: float | None = None
    """Most parameters, as a share of the teacher's, above 0 and below 1. If no field is given,
    `DEFAULT_SHARE`."""
    layers: int | None = None
    """Number of layers in each stack."""
    keep_layers: Sequence[int] | None = None
    """Numbers of the layers to keep, counted from 0, instead of `layers`."""
    feed_forward: int | None = None
    """Channels of each feed-forward layer."""
    vocabulary: int | None = None
    """About how many tokens to keep; see `choose_tokens`."""

    @property
    def is_given(self) -> bool:
        """Whether any field is given."""
        return self != StudentSize()


@dataclass(frozen=True)
class PrunedStudent:
    """A student before its training."""

    model: Model
    """The student: float32, in train mode, sharing no weights with the teacher."""
    tokenizer: Any
    """The student's tokenizer."""
    teacher: Model
    """The teacher over the student's vocabulary; it shares all other weights with the given one."""
    report: dict[str, Any]
    """For `run.json`: kept layers, influences, channels, tokens, and parameters of both models."""


def prune_teacher(
    teacher: Model,
    tokenizer: Any,  # noqa: ANN401
    items: Sequence[TrainingItem],
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]],
    size: StudentSize,
) -> PrunedStudent:
    """Make a student from the parts of a teacher that some records need.

    Args:
        teacher: A decoder; an encoder or an encoder-decoder can lose layers only.
        tokenizer: Tokenizer of the teacher.
        items: The tokenised records that the student will be trained on.
        collate: Makes batches of them.
        size: What to keep.

    Raises:
        ConfigError: The teacher's architecture does not allow the size, or not even one layer fits
            into `share`.
    """
    whole = count_parameters(teacher)
    size = size if size.is_given else StudentSize(share=DEFAULT_SHARE)
    batches = measured_batches(items, collate, teacher.device)
    tokens = size.vocabulary
    if tokens is None and size.share is not None and can_trim(teacher, tokenizer):
        tokens = int(EMBEDDINGS_SHARE * size.share * whole / _parameters_per_token(teacher))
    if tokens is not None and tokens < len(tokenizer):
        used = chain.from_iterable(item.input_ids for item in items)
        keep = choose_tokens(tokenizer, chain(used, template_ids(tokenizer)), tokens)
        teacher, tokenizer = sharing_copy(teacher), trim_tokenizer(tokenizer, keep)
        trim_model(teacher, keep)
        batches = [renumbered(batch, keep) for batch in batches]
    size = fitting(teacher, size, whole)
    chosen = _chosen(teacher, batches, size)
    student = layers_from_teacher(teacher, chosen.keep, keep_decoder=chosen.keep_decoder)
    if size.feed_forward is not None:
        narrow_feed_forward(student, batches, size.feed_forward)
    kept = count_parameters(student)
    report = {
        "layers": list(chosen.keep),
        "layers_of_decoder": chosen.keep_decoder and list(chosen.keep_decoder),
        "influence": {str(k): round(v, 4) for k, v in sorted(chosen.influence.items())},
        "feed_forward": size.feed_forward,
        "vocabulary": len(tokenizer),
        "parameters": kept,
        "teacher_parameters": whole,
    }
    return PrunedStudent(student.train(), tokenizer, teacher, report)


def describe(report: dict[str, Any]) -> str:
    """Describe in one line what a student kept.

    >>> describe({"layers": [0, 1, 2, 7], "vocabulary": 4096, "feed_forward": None,
    ...           "parameters": 10, "teacher_parameters": 50})
    'layers 0-2, 7 of the teacher, 4,096 tokens, 20 % of its parameters'
    """
    parts = [f"layers {_ranges(report['layers'])} of the teacher"]
    if report["feed_forward"] is not None:
        parts.append(f"{report['feed_forward']:,} feed-forward channels")
    parts.append(f"{report['vocabulary']:,} tokens")
    share = report["parameters"] / report["teacher_parameters"]
    return ", ".join([*parts, f"{share:.0%} of its parameters".replace("%", " %")])


def _parameters_per_token(model: Model) -> int:
    """Count the parameters that a causal model has for each token of its vocabulary."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    width = int(embeddings.weight.shape[1])
    return width if head.weight is embeddings.weight else width + int(head.weight.shape[1])


def _ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers, with runs as ranges."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)


def fitting(teacher: Model, size: StudentSize, whole: int) -> StudentSize:
    """Choose the number of layers so that the parameters are at most `share` of `whole`.

    Args:
        teacher: The teacher over the vocabulary of the student.
        size: The wanted size. It is returned unchanged if it has no `share`, or names layers.
        whole: Parameters of the teacher with its own vocabulary.

    Raises:
        ConfigError: Even one layer is too large.
    """
    if size.share is None or size.keep_layers is not None or size.layers is not None:
        return size
    stacks = layer_modules(teacher)
    depth = len(next(iter(stacks.values())))
    each = sum(count_parameters(stack[0]) for stack in stacks.values())
    if size.feed_forward is not None:
        each -= narrowed_by(stacks["main"][0], size.feed_forward)
    outside = count_parameters(teacher) - sum(map(count_parameters, chain(*stacks.values())))
    count = min(int((size.share * whole - outside) / each), depth)
    if count < 1:
        raise ConfigError(
            [f"student_size is {size.share}; embeddings and one layer alone are "
             f"{(outside + each) / whole:.2g} of the teacher"]
        )  # fmt: skip
    return replace(size, layers=count)


def measured_batches(
    items: Sequence[TrainingItem],
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]],
    device: torch.device,
) -> list[Batch]:
    """Make batches of up to `MEASURED_EXAMPLES` records, spread evenly over all."""
    chosen = list(items)[:: max(1, len(items) // MEASURED_EXAMPLES)][:MEASURED_EXAMPLES]
    chosen.sort(key=lambda item: len(item.input_ids))
    width = max(len(item.input_ids) for item in chosen)
    rows = max(1, BATCH_TOKENS // width)
    batches = [collate(chosen[at : at + rows]) for at in range(0, len(chosen), rows)]
    return [{name: value.to(device) for name, value in batch.items()} for batch in batches]


def renumbered(batch: Batch, keep: Sequence[int]) -> Batch:
    """Convert the ids of a batch to those of a trimmed vocabulary; see `vocabulary_trim`."""
    ids = torch.tensor(keep, device=batch["input_ids"].device)  # ascending
    return {**batch, "input_ids": torch.searchsorted(ids, batch["input_ids"])}


def _chosen(teacher: Model, batches: Sequence[Batch], size: StudentSize) -> ChosenLayers:
    """Return the layers that `size` names, all layers, or the most important ones."""
    depth = len(layer_modules(teacher)["main"])
    if size.keep_layers is not None:
        return ChosenLayers(tuple(size.keep_layers), None, {})
    if size.layers is None:
        return ChosenLayers(tuple(range(depth)), None, {})
    return choose_layers(teacher, batches, size.layers)


def count_parameters(module: nn.Module) -> int:
    """Count a module's parameters; tied parameters count once."""
    return sum(parameter.numel() for parameter in module.parameters())
