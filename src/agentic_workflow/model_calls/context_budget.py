"""How much text fits into a student's context, counted with its own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from langchain_core.language_models import BaseChatModel

LEAST_ANSWER = 16
"""Fewest tokens that are kept free for an answer."""
BYTES_PER_TOKEN = 3
"""Estimate for a model whose tokenizer is not here; low, so that prompts are cut too early rather
than too late."""
_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?])\s+|\n"), re.compile(r"\s+"))
"""Where a text may be cut, the best first: paragraphs, sentences, words."""


@dataclass(frozen=True)
class ContextBudget:
    """The part of a model's context that a prompt may fill."""

    prompt: int
    """Most tokens of a prompt; the rest of the context is for the answer."""
    count: Callable[[str], int]
    """Text to number of tokens."""

    def fits(self, prompt: str) -> bool:
        """Tell whether a prompt fits."""
        # A token has at least one byte of UTF-8, so short texts need no counting.
        return len(prompt.encode()) < self.prompt or self.count(prompt) <= self.prompt


def context_budget(model: BaseChatModel, context_tokens: int | None = None) -> ContextBudget | None:
    """Find a model's budget; None where its context length is unknown.

    Args:
        model: A chat model.
        context_tokens: Context length of a model that does not tell its own.
    """
    checkpoint = getattr(model, "checkpoint", None)
    if checkpoint is not None:
        from ...inference.scoring.model_limits import context_length

        whole = context_length(checkpoint.model)
        counted = cast("Callable[[str], list[int]]", model.get_token_ids)
        return ContextBudget(_for_prompts(whole, model), lambda text: len(counted(text)))
    if context_tokens is None:
        return None
    return ContextBudget(
        _for_prompts(context_tokens, model), lambda text: -(-len(text.encode()) // BYTES_PER_TOKEN)
    )


def cut_to_fit(text: str, fits: Callable[[str], bool]) -> str:
    """Cut words from the end of a text until it fits; letters where not even one word fits."""
    if not text or fits(text):
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle - 1)
    kept = text[:low]
    whole_words = kept if text[low].isspace() else re.sub(r"\S+\Z", "", kept)
    return whole_words.rstrip() or kept


def split_to_fit(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Split a text into parts of similar length that fit, at paragraphs where possible.

    Args:
        text: Not blank.
        fits: Whether a part is short enough; a single letter counts as short enough.

    Returns:
        Stripped parts in order; together all words of the text.
    """
    text = text.strip()
    if len(text) <= 1 or fits(text):
        return [text] if text else []
    first, second = _halves(text)
    return [*split_to_fit(first, fits), *split_to_fit(second, fits)]


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    for kind in _BREAKS:
        # In the middle half only, so that both parts are much shorter.
        places = list(kind.finditer(text, len(text) // 4, len(text) - len(text) // 4))
        if places:
            best = min(places, key=lambda m: abs((m.start() + m.end()) // 2 - middle))
            return text[: best.start()], text[best.end() :]
    return text[:middle], text[middle:]


def _for_prompts(whole: int, model: BaseChatModel) -> int:
    answer = getattr(model, "max_tokens", None) or LEAST_ANSWER
    # A cap on answers above half of the context is not meant to be used up.
    return max(1, whole - max(LEAST_ANSWER, min(int(answer), whole // 2)))
