"""How much of a text a student can read: counted with its own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from langchain_core.language_models import BaseChatModel

LEAST_ANSWER = 16
"""Tokens that stay free for an answer, however small the student."""
BYTES_PER_TOKEN = 3
"""Of a model whose tokenizer is not here; fewer than is usual, so that texts are cut too early
rather than too late."""
_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?])\s+|\n"), re.compile(r"\s+"))
"""Where a text may be cut, the best first: paragraphs, sentences, words."""


@dataclass(frozen=True)
class Room:
    """What a model can take in."""

    prompt: int
    """Most tokens of a prompt; what it attends to beyond that is for the answer."""
    count: Callable[[str], int]
    """Text to number of tokens."""

    def fits(self, prompt: str) -> bool:
        """Tell whether a prompt can be read whole."""
        # A token has at least one byte of UTF-8; most texts are too short to be worth counting.
        return len(prompt.encode()) < self.prompt or self.count(prompt) <= self.prompt


def room_of(model: BaseChatModel, context_tokens: int | None = None) -> Room | None:
    """Find out how much a model can take in.

    Args:
        model: A chat model.
        context_tokens: What it attends to, where it does not say so itself.

    Returns:
        None where that is not known.
    """
    checkpoint = getattr(model, "checkpoint", None)
    if checkpoint is not None:
        from ...inference.scoring.model_limits import context_length

        whole = context_length(checkpoint.model)
        counted = cast("Callable[[str], list[int]]", model.get_token_ids)
        return Room(_for_prompts(whole, model), lambda text: len(counted(text)))
    if context_tokens is None:
        return None
    return Room(
        _for_prompts(context_tokens, model), lambda text: -(-len(text.encode()) // BYTES_PER_TOKEN)
    )


def cut_to_fit(text: str, fits: Callable[[str], bool]) -> str:
    """Shorten a text until it fits: words are taken from its end, and letters from the last one."""
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
    """Cut a text into parts that fit, of similar length, at paragraphs where it can be.

    Args:
        text: Not blank.
        fits: Whether a part is short enough; a single letter always is.

    Returns:
        Parts without surrounding blanks, in order; together all words of the text.
    """
    text = text.strip()
    if len(text) <= 1 or fits(text):
        return [text] if text else []
    first, second = _halves(text)
    return [*split_to_fit(first, fits), *split_to_fit(second, fits)]


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    for kind in _BREAKS:
        # In the middle half only: a part that is nearly all of it would bring little.
        places = list(kind.finditer(text, len(text) // 4, len(text) - len(text) // 4))
        if places:
            best = min(places, key=lambda m: abs((m.start() + m.end()) // 2 - middle))
            return text[: best.start()], text[best.end() :]
    return text[:middle], text[middle:]


def _for_prompts(whole: int, model: BaseChatModel) -> int:
    answer = getattr(model, "max_tokens", None) or LEAST_ANSWER
    # A cap on answers above half of what the model attends to is no plan to use it all.
    return max(1, whole - max(LEAST_ANSWER, min(int(answer), whole // 2)))
