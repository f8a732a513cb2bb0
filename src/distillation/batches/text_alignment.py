"""Align the tokens of a student's and a teacher's tokenizer by the characters of the text.

A teacher's distribution is useful only at positions where student and teacher have read the same
text. The paper on universal logit distillation compares the k-th answer tokens of both (arXiv
2402.12030, sec. 3), which belong to different text after the first word that the tokenizers split
differently. Here positions are matched by the number of characters of the answer before them: the
start, every boundary of tokens in both tokenizers, and the end. With equal tokenizers these are all
positions. Other positions have a label but no teacher.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from ...errors import ConfigError
from ...records import Example
from ..setting_names import IGNORED, TooLong
from .batching import (
    Collator,
    TeacherTokens,
    TokenizedExample,
    Tokenizer,
    completion_text,
    padded,
    tokenize_examples,
)
from .forward import document_spans
from .packing import PackingCollator

logger = logging.getLogger(__name__)

START: Final = -(1 << 30)
"""Stands for the start of a completion, wherever its target begins."""
FEW_ALIGNED = 0.5
"""Share of supervised positions with a teacher, below which a warning is logged."""


def align_examples(
    examples: Sequence[Example],
    items: Sequence[TokenizedExample],
    student_tokenizer: Tokenizer,
    teacher_tokenizer: Tokenizer,
    *,
    max_length: int,
    too_long: TooLong = "error",
) -> list[TokenizedExample]:
    """Add the teacher's tokens to examples in the student's.

    Args:
        examples: Examples with targets.
        items: The same examples, as `tokenize_examples` gave them.
        student_tokenizer: Tokenizer of the items; a fast one, which gives character offsets.
        teacher_tokenizer: A fast tokenizer with an end token.
        max_length: Most tokens of the teacher for one example.
        too_long: Whether longer examples are an error or cut.

    Returns:
        The items with `teacher` set.

    Raises:
        ConfigError: A tokenizer is not fast, or the teacher's has no end token.
        DataError: An example does not fit.
    """
    both = student_tokenizer, teacher_tokenizer
    slow = [type(tokenizer).__name__ for tokenizer in both if not tokenizer.is_fast]
    if slow:
        raise ConfigError(
            [f"{' and '.join(slow)} cannot tell which characters a token covers; objective "
             "'universal_logit' needs fast tokenizers (tokenizer.json)"]
        )  # fmt: skip
    theirs = tokenize_examples(
        examples, teacher_tokenizer, max_length=max_length, too_long=too_long
    )
    ours, others = (completion_cuts(examples, tokenizer) for tokenizer in both)
    # Offsets do not distinguish several tokens of one character; equal vocabularies need none.
    same = student_tokenizer.get_vocab() == teacher_tokenizer.get_vocab()
    aligned = [
        replace(item, teacher=TeacherTokens(other.input_ids, _pairs(item, other, our, their, same)))
        for item, other, our, their in zip(items, theirs, ours, others, strict=True)
    ]
    supervised = sum(len(i.input_ids) - max(i.prompt_length, 1) for i in items)
    matched = sum(len(item.teacher.aligned) for item in aligned if item.teacher is not None)
    logger.log(
        logging.WARNING if matched < FEW_ALIGNED * supervised else logging.INFO,
        "teacher and student cut the text at the same place at %d of %d supervised positions; the "
        "others have labels only",
        matched,
        supervised,
    )
    return aligned


def completion_cuts(examples: Sequence[Example], tokenizer: Tokenizer) -> list[dict[int, int]]:
    """Find the token boundaries of completions, in characters of the target.

    Boundaries in the text before the target, which depends on the chat template, are negative; the
    start of the completion is `START`.
    """
    texts = [completion_text(example, tokenizer) for example in examples]
    found = []
    for example, text, cuts in zip(examples, texts, text_cuts(texts, tokenizer), strict=True):
        lead = len(text) - len(example.target or "")
        found.append({(at - lead if at else START): count for at, count in cuts.items()})
    return found


def text_cuts(texts: Sequence[str], tokenizer: Tokenizer) -> list[dict[int, int]]:
    """Find the token boundaries of texts with a fast tokenizer.

    A character that consists of several tokens ends with the last of them.

    Returns:
        For each text a mapping of characters read to tokens read, from 0 -> 0 to the whole text.
    """
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
    )
    found = []
    for text, offsets in zip(texts, encoded["offset_mapping"], strict=True):
        cuts, passed = {0: 0}, 0
        for count, (_, end) in enumerate(offsets, start=1):
            passed = max(passed, end)
            if count == len(offsets):
                cuts[len(text)] = count
            elif offsets[count][0] >= passed:
                cuts[passed] = count  # includes tokens without a character
        found.append(cuts)
    return found


def _pairs(
    ours: TokenizedExample,
    theirs: TokenizedExample,
    our_cuts: dict[int, int],
    cuts: dict[int, int],
    same_tokens: bool,
) -> tuple[tuple[int, int], ...]:
    """Match the next tokens at each common cut; the first token of all is not predicted."""
    passed = [(our_cuts[cut], cuts[cut]) for cut in sorted(our_cuts.keys() & cuts.keys())]
    completions = ours.input_ids[ours.prompt_length :], theirs.input_ids[theirs.prompt_length :]
    if same_tokens and all(one == other for one, other in zip(*completions, strict=False)):
        passed = [(count, count) for count in range(len(completions[0]))]
    pairs = [(ours.prompt_length + o, theirs.prompt_length + t) for o, t in passed]
    lengths = len(ours.input_ids), len(theirs.input_ids)  # max_length may have cut them
    return tuple((o, t) for o, t in pairs if 0 < o < lengths[0] and 0 < t < lengths[1])


@dataclass(frozen=True)
class AlignedCollator:
    """Collate both sides; the teacher's side is padded, the student's padded or packed."""

    student: Collator | PackingCollator
    teacher_pad_id: int
    """Id written into the teacher's padding."""

    def __call__(self, items: Sequence[TokenizedExample]) -> dict[str, Tensor]:
        """Build the student's batch and, in the same reading order, the teacher's.

        In addition to the student's fields: `aligned` (R, L) bool, true at labels whose prediction
        has a teacher; `teacher_input_ids`, `teacher_attention_mask` and `teacher_labels` (B, T),
        which are -100 except at the tokens that those predictions are compared with.
        """
        batch = self.student(items)
        spans = document_spans(batch)
        batch["aligned"] = torch.zeros_like(batch["labels"], dtype=torch.bool)
        views = []
        for span in spans:
            tokens = items[span.example].teacher or TeacherTokens((self.teacher_pad_id,), ())
            views.append(tokens)
            for ours, _ in tokens.aligned:
                batch["aligned"][span.row, span.start + ours] = True
        batch["teacher_input_ids"] = padded([t.input_ids for t in views], self.teacher_pad_id)
        batch["teacher_attention_mask"] = padded([(1,) * len(t.input_ids) for t in views], 0)
        batch["teacher_labels"] = torch.full_like(batch["teacher_input_ids"], IGNORED)
        for row, tokens in enumerate(views):
            for _, theirs in tokens.aligned:
                batch["teacher_labels"][row, theirs] = tokens.input_ids[theirs]
        return batch
