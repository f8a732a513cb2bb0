"""Layer losses: distances between hidden states or attention maps of student and teacher.

Each measure is a pure function of a student's and a teacher's tensor that returns (sum over
positions, number of positions), without padding. `layer_matching.py` adds them to the loss on
logits. They need a teacher that runs beside the student, because a cache holds logits only.

Sizes: B examples, T positions, S keys attended to, A heads, H hidden size, N compared positions.

Sources: squared error of hidden states and attention maps, a learned projection between different
widths: TinyBERT, Jiao et al. 2020, sec. 3.1 (arXiv 1909.10351). Cosine of hidden states:
DistilBERT, Sanh et al. 2019, sec. 2 (arXiv 1910.01108). Divergence of attention maps: MiniLM, Wang
et al. 2020, eq. 2 (arXiv 2002.10957).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ..setting_names import IGNORED
from .mixture import SumAndCount

LayerMeasure = Callable[[Tensor, Tensor, Tensor], SumAndCount]
Pair = tuple[int, int]
"""(student layer, teacher layer), counted from 1; 0 are the embeddings."""


def hidden_mse(student: Tensor, teacher: Tensor, compared: Tensor) -> SumAndCount:
    """Sum the squared error of hidden states, divided by the teacher's squared length.

    A position gives 0 if the states are equal, and 1 if the student's is zero. Without the division
    the loss of real models starts at tens of thousands and dominates the loss on logits, because a
    few channels of the first token are a thousand times larger than the others (Sun et al. 2024,
    arXiv 2402.17762).

    Args:
        student: (B, T, H), projected to the teacher's width if the widths differ.
        teacher: (B, T, H); treated as constant.
        compared: (B, T) bool, the positions to compare.

    Returns:
        The sum over positions (a scalar) and their number, as for the other measures.
    """
    ours, theirs = _wide(student[compared]), _wide(teacher.detach()[compared])  # (N, H)
    length = theirs.square().sum(-1).clamp(min=torch.finfo(theirs.dtype).tiny)  # (N,)
    return ((ours - theirs).square().sum(-1) / length).sum(), len(ours)


def hidden_cosine(student: Tensor, teacher: Tensor, compared: Tensor) -> SumAndCount:
    """Sum 1 - cos of the angle between hidden states; arguments as in `hidden_mse`."""
    ours, theirs = _wide(student[compared]), _wide(teacher.detach()[compared])  # (N, H)
    return (1.0 - functional.cosine_similarity(ours, theirs, dim=-1)).sum(), len(ours)


def attention_kl(student: Tensor, teacher: Tensor, compared: Tensor) -> SumAndCount:
    """Sum KL(teacher | student) of the attention of each query, averaged over heads.

    If the numbers of heads differ, the maps of each model are averaged over heads first.

    Args:
        student: Probabilities (B, A, T, S).
        teacher: Probabilities (B, A', T, S); treated as constant.
        compared: (B, T) bool, the queries to compare.
    """
    ours, theirs = _rows_of_heads(student, teacher, compared)  # (N, A, S)
    # Masked keys are 0 on both sides, and 0 log 0 is 0. The clamp keeps the value finite if the
    # student gives no attention to a key that the teacher attends to.
    log_ours = ours.clamp(min=torch.finfo(ours.dtype).tiny).log()
    distance = torch.special.xlogy(theirs, theirs) - theirs * log_ours
    return distance.sum(-1).mean(-1).sum(), len(ours)


def attention_mse(student: Tensor, teacher: Tensor, compared: Tensor) -> SumAndCount:
    """Sum the squared error of attention over the keys of each query, averaged over heads.

    A mean over keys would depend on the amount of padding. Arguments as in `attention_kl`.
    """
    ours, theirs = _rows_of_heads(student, teacher, compared)  # (N, A, S)
    return (ours - theirs).square().sum(-1).mean(-1).sum(), len(ours)


HIDDEN_MEASURES: Final[dict[str, LayerMeasure]] = {"mse": hidden_mse, "cosine": hidden_cosine}
ATTENTION_MEASURES: Final[dict[str, LayerMeasure]] = {"kl": attention_kl, "mse": attention_mse}


def uniform_pairs(student_layers: int, teacher_layers: int) -> tuple[Pair, ...]:
    """Pair each student layer with evenly spaced teacher layers, the last with the last.

    >>> uniform_pairs(2, 6)
    ((1, 3), (2, 6))
    """
    share = teacher_layers / student_layers
    return tuple(
        (layer, max(1, int(layer * share + 0.5))) for layer in range(1, student_layers + 1)
    )


def compared_positions(batch: Mapping[str, Tensor], *, decoder_side: bool = False) -> Tensor:
    """Mark the positions of a batch that the layer losses compare.

    Args:
        batch: From a collator; labels (B, T), or (B,) for a classifier.
        decoder_side: Whether the layers are the decoder of an encoder-decoder. Only supervised
            positions are compared then; otherwise prompts are compared too.

    Returns:
        (B, T) bool, false on padding and on examples without any label.
    """
    supervised = batch["labels"] != IGNORED
    if decoder_side:
        return supervised
    if "documents" in batch:  # packed
        documents = batch["documents"]  # (R, L)
        return torch.isin(documents, documents[supervised])
    present = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()  # (B, T)
    labelled = supervised if supervised.dim() == 1 else supervised.any(-1)  # (B,)
    return present & labelled[:, None]


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _rows_of_heads(student: Tensor, teacher: Tensor, compared: Tensor) -> tuple[Tensor, Tensor]:
    """Select the compared queries of (B, A, T, S) maps: (N, A, S) with equal A."""
    ours = _wide(student.transpose(1, 2)[compared])
    theirs = _wide(teacher.detach().transpose(1, 2)[compared])
    if ours.shape[1] != theirs.shape[1]:
        ours, theirs = ours.mean(1, keepdim=True), theirs.mean(1, keepdim=True)
    return ours, theirs
