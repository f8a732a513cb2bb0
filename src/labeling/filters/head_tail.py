"""Cut a text to its first and last tokens, for students with a short context."""

from __future__ import annotations

from typing import Any, Final, Protocol

from ...errors import ConfigError
from .filter_config import HeadTail

_DEFAULT: Final = HeadTail()


class Tokenizer(Protocol):
    """What is needed of a tokenizer of transformers."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Give token ids."""
        ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> Any:  # noqa: ANN401
        """Give their text."""
        ...


def extract_head_tail(
    text: str,
    tokenizer: Tokenizer,
    head_tokens: int = _DEFAULT.head_tokens,
    tail_tokens: int = _DEFAULT.tail_tokens,
    separator: str = _DEFAULT.separator,
) -> str:
    """Keep the head and the tail of a text.

    Args:
        text: Any text.
        tokenizer: Counts tokens, without special ones.
        head_tokens: Tokens of the head, 0 or more.
        tail_tokens: Tokens of the tail, 0 or more.
        separator: Put between the two.

    Returns:
        The text itself up to `head_tokens + tail_tokens` tokens; else head, separator and tail.

    Raises:
        ConfigError: A number is negative, or both are 0.
    """
    if min(head_tokens, tail_tokens) < 0 or head_tokens + tail_tokens == 0:
        raise ConfigError([f"head_tokens is {head_tokens} and tail_tokens {tail_tokens}; allowed "
                           "are 0 or more, and one of them above"])  # fmt: skip
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) <= head_tokens + tail_tokens:
        return text
    head = tokenizer.decode(ids[:head_tokens], skip_special_tokens=True)
    tail = tokenizer.decode(ids[len(ids) - tail_tokens :], skip_special_tokens=True)
    return f"{head}{separator}{tail}"
