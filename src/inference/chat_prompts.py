"""Chat messages as the token ids that a checkpoint answers, and the form its answer is held to."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from ..prompts import join_of
from .answer_form import AnswerForm
from .checkpoints import Checkpoint
from .choices import encode_prompt
from .decoding import end_token_ids
from .engine import LogitsConstraint
from .messages import chat_turns, plain_prompt
from .tool_calls import CLOSE_TAG, OPEN_TAG, Tags


def uses_template(checkpoint: Checkpoint) -> bool:
    """Say whether prompts are made by the chat template that came with a model.

    What stillroom trained was trained on plain prompts, whatever template its tokenizer has.
    """
    return checkpoint.run is None and bool(checkpoint.tokenizer.chat_template)


def call_tags(checkpoint: Checkpoint) -> Tags:
    """Say what a model's chat template writes around tool calls.

    Tags that are special tokens would not be seen in the text of an answer; models that have such
    are asked for calls without tags.
    """
    tokenizer = checkpoint.tokenizer
    if not uses_template(checkpoint) or OPEN_TAG not in str(tokenizer.chat_template):
        return "none"
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    tags = [added.get(tag) for tag in (OPEN_TAG, CLOSE_TAG)]
    if all(tag is None for tag in tags):
        return "text"
    return "tokens" if all(tag is not None and not tag.special for tag in tags) else "none"


def chat_prompt_ids(
    checkpoint: Checkpoint, messages: Sequence[BaseMessage], form: AnswerForm
) -> list[int]:
    """Turn messages into the ids of a prompt; tools are described in it.

    Raises:
        GenerationError: There are no messages, or one holds something else than text.
    """
    tokenizer = checkpoint.tokenizer
    if not uses_template(checkpoint):
        return encode_prompt(checkpoint, plain_prompt(messages, form.prompt_text))
    turns = chat_turns(messages)
    knows_tools = "tools" in str(tokenizer.chat_template)
    if form.prompt_text and not knows_tools:
        turns.insert(0, {"role": "system", "content": form.prompt_text.strip()})
    ids: list[int] = tokenizer.apply_chat_template(
        turns,
        tools=form.callable_tools if knows_tools else None,
        add_generation_prompt=True,
        sanitize_control_tokens=True,  # names of special tokens in a message stay plain text
        return_dict=True,
    )["input_ids"]
    return ids


def form_constraint(
    checkpoint: Checkpoint, messages: Sequence[BaseMessage], form: AnswerForm
) -> LogitsConstraint | None:
    """Make what an engine holds the answer to; None for free text.

    Raises:
        ConfigError: The form cannot be enforced.
    """
    lead = "" if uses_template(checkpoint) else join_of(plain_prompt(messages))
    ends = end_token_ids(checkpoint.model, checkpoint.tokenizer)
    return form.constraint(checkpoint.tokenizer, ends, lead)
