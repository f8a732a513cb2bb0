"""The content of an answer: a text, or a list of blocks of several kinds.

OpenAI, Anthropic, Gemini, Mistral and Bedrock each send blocks of their own beside the text. Only
text blocks are the answer; a search that the server made, code that it ran, or media are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT_BLOCKS = ("text", "output_text", "input_text")
_THOUGHTS = ("thinking", "reasoning", "reasoning_content", "reasoning_text", "thought")
_TEXT_KEYS = ("thinking", "reasoning", "summary", "reasoning_content", "reasoningText", "thought",
              "text", "content", "value")  # fmt: skip
"""Keys under which blocks of thoughts keep their text."""


@dataclass(frozen=True)
class Content:
    """The parts of an answer's content."""

    text: str
    thoughts: str = ""
    refusal: str = ""


def read_content(content: object) -> Content:
    """Split the content of an answer into text, thoughts and refusal.

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
                thoughts.append(_nested_text(block))
            elif kind == "refusal":
                refusals.append(str(block.get("refusal") or "no reason given"))
            elif kind in TEXT_BLOCKS or (kind is None and "text" in block):
                texts.append(_nested_text(block.get("text")))
    return Content(
        "".join(texts), "\n\n".join(filter(None, thoughts)), " ".join(filter(None, refusals))
    )


def _nested_text(value: object) -> str:
    """Join the texts inside a block, at any depth."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(_nested_text, value)))
    if isinstance(value, Mapping):
        return next(filter(None, (_nested_text(value.get(name)) for name in _TEXT_KEYS)), "")
    return ""
