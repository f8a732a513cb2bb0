"""Convert prompts and answers to token ids, in the one place where prompts are rendered for models.

A tokenizer with a chat template gets chat turns (`prompts.as_turns`), any other the text of the
prompt. Training, caching, labelling, scoring and serving all call these functions, so that a model
is asked with the tokens that it was trained on. Names of special tokens in a user's text are
always plain text, so that no record can end its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...prompts import Prompt, as_text, as_turns, join_of, prompts_sha256
from ...records import sha256_text
from .template_turns import answer_frame, template_ids, template_text

Tokenizer = Any
"""A transformers tokenizer; its classes are skipped by the type checker."""


def prompt_ids(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Tokenise prompts up to the start of the answer.

    Args:
        tokenizer: A tokenizer; its chat template is used if it has one.
        prompts: Rendered prompts or turns. An empty prompt means plain text, for which no chat
            template is used.

    Raises:
        GenerationError: The chat template refuses the turns.
    """
    if not tokenizer.chat_template:
        return text_ids(tokenizer, [as_text(prompt) for prompt in prompts])
    return [
        template_ids(tokenizer, as_turns(prompt)) if prompt else text_ids(tokenizer, [""])[0]
        for prompt in prompts
    ]


def prompt_text(tokenizer: Tokenizer, prompt: Prompt) -> str:
    """Write a prompt as text, for trainers that tokenise it themselves.

    The caller must compare the ids: names of special tokens in the text may become tokens there.
    """
    if not tokenizer.chat_template or not prompt:
        return as_text(prompt)
    return template_text(tokenizer, as_turns(prompt))


def text_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Tokenise texts without a template; the start token is kept, the end token removed."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(list(texts), split_special_tokens=True)["input_ids"]
    end = tokenizer.eos_token_id
    # If one token is both start and end, the start token of an empty prompt must stay.
    return [row[:-1] if len(row) > 1 and row[-1] == end else row for row in ids]


def answer_lead(tokenizer: Tokenizer, prompt: Prompt) -> str:
    """Return the text between prompt and answer that the model has to generate."""
    if not prompt:
        return ""
    return answer_frame(tokenizer).lead if tokenizer.chat_template else join_of(as_text(prompt))


def answer_text(tokenizer: Tokenizer, prompt: Prompt, answer: str) -> str:
    """Return the text of an answer with the text that separates it from its prompt."""
    return answer_lead(tokenizer, prompt) + answer


def answer_ids(tokenizer: Tokenizer, prompt: Prompt, answer: str) -> list[int]:
    """Tokenise an answer as it follows its prompt, without the end token."""
    ids: list[int] = tokenizer(
        answer_text(tokenizer, prompt, answer), add_special_tokens=False, split_special_tokens=True
    )["input_ids"]
    return ids


def answer_end(tokenizer: Tokenizer) -> int | None:
    """Return the id of the token that ends an answer: of a turn in the template, else of a text."""
    if tokenizer.chat_template:
        return answer_frame(tokenizer).end_id
    return None if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)


def template_sha256(tokenizer: Tokenizer) -> str | None:
    """Hash a tokenizer's chat template; None if it has none and prompts are plain text."""
    return sha256_text(tokenizer.get_chat_template()) if tokenizer.chat_template else None


def prompts_hash(tokenizer: Tokenizer) -> str:
    """Hash the prompt formats and the chat template of a tokenizer, but not its vocabulary."""
    template = template_sha256(tokenizer)
    return prompts_sha256() if template is None else sha256_text(f"{prompts_sha256()} {template}")
