"""A chat template without the system words that it puts before conversations that have none.

The template of SmolLM2 begins every question with "You are a helpful AI assistant named SmolLM,
trained by Hugging Face": 17 tokens before a question of ten. A model that is trained on a table
learns nothing from them and pays for them in every step and every answer. They are taken out of the
template itself, which is stored with the model, so training, labelling, evaluation and serving, by
this program or by any other one, write the same prompts. A system turn that is given is kept.
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
"""Put before a template: a conversation without a system turn begins with an empty one."""
_MARK: Final = "zq0text"


def drop_default_system(tokenizer: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Take the default system words out of a tokenizer's chat template, in place.

    Args:
        tokenizer: A transformers tokenizer, of a model that is trained next.

    Returns:
        Whether there were any. A template is left as it is if an empty system turn does not make
        its prompts shorter, or is refused.
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
