"""Remove the default system message from a chat template.

The template of SmolLM2 starts every conversation without a system turn with "You are a helpful AI
assistant named SmolLM, trained by Hugging Face": 17 tokens before a question of ten. A model that
is trained on a table learns nothing from them, but computes them in every step and for every
answer. The message is removed from the template itself, which is stored with the model, so that
training, labelling, evaluation and serving, in this program or another one, write the same prompts.
System turns that are given are kept.
"""

from __future__ import annotations

from typing import Any, Final

from ...errors import GenerationError
from .template_turns import template_text

_EMPTY_FIRST: Final = (
    "{%- if messages and messages[0]['role'] != 'system' %}"
    "{%- set messages = [{'role': 'system', 'content': ''}] + messages %}"
    "{%- endif -%}"
)
"""Prefix of a template that adds an empty system turn to conversations without one."""
_MARK: Final = "zq0text"


def drop_default_system(tokenizer: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Remove the default system message from a tokenizer's chat template, in place.

    Args:
        tokenizer: The transformers tokenizer of a model that is to be trained.

    Returns:
        Whether the template was changed. It is not if it refuses an empty system turn, or if that
        does not make prompts shorter.
    """
    template = tokenizer.chat_template
    if not isinstance(template, str):
        return False
    asked = [{"role": "user", "content": _MARK}]
    try:
        plain = template_text(tokenizer, asked)
        tokenizer.chat_template = _EMPTY_FIRST + template
        quiet = template_text(tokenizer, asked)
    except GenerationError:
        quiet = plain = ""
    if _MARK in quiet and len(quiet) < len(plain):
        return True
    tokenizer.chat_template = template
    return False
