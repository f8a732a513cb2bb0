"""What the content of an answer holds: a text, or blocks of several kinds beside it.

OpenAI, Anthropic, Gemini, Mistral and Bedrock each have blocks of their own beside the text. The
text is the answer; a search that the server made, or code that it ran, is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_TEXTS = ("text", "output_text", "input_text")
_THOUGHTS = ("thinking", "reasoning", "reasoning_content", "reasoning_text", "thought")
_WORDS = ("thinking", "reasoning", "summary", "reasoning_content", "reasoningText", "thought",
          "text", "content", "value")  # fmt: skip
"""Where blocks of thoughts keep their text."""


@dataclass(frozen=True)
class Content:
    """The parts of an answer."""

    text: str
    thoughts: str = ""
    refusal: str = ""


def read_content(content: object) -> Content:
    """Read the content of an answer.

    >>> read_content([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Gold"}])
    Content(text='Gold', thoughts='Hm.', refusal='')
    """
    if isinstance(content, str):
        return Content(content)
    blocks = content if isinstance(content, list | tuple) else [content]
    texts, thoughts, refusals = [], [], []
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, Mapping):
            kind = block.get("type")
            if kind in _THOUGHTS or block.get("thought") is True:
                thoughts.append(_words(block))
            elif kind == "refusal":
                refusals.append(str(block.get("refusal") or "no reason given"))
            elif kind in _TEXTS or (kind is None and "text" in block):
                texts.append(_words(block.get("text")))
    return Content(
        "".join(texts), "\n\n".join(filter(None, thoughts)), " ".join(filter(None, refusals))
    )


def _words(thing: object) -> str:
    """Join the texts of a block, however deep they lie in it."""
    if isinstance(thing, str):
        return thing
    if isinstance(thing, list | tuple):
        return "\n".join(filter(None, map(_words, thing)))
    if isinstance(thing, Mapping):
        return next(filter(None, (_words(thing.get(name)) for name in _WORDS)), "")
    return ""
