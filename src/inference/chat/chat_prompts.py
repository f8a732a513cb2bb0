"""Prompt ids of chat messages for a checkpoint, and the constraint of its answer."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from ...errors import ConfigError
from ...prompts import FORMATS, FormatName, as_turns, ask_in
from ..checkpoints.load_student import Checkpoint
from ..constrained.grammar import constrain
from ..engine.protocol import LogitsConstraint
from ..prompt_tokens.prompt_ids import answer_lead
from ..prompt_tokens.template_turns import template_ids
from ..scoring.choices import encode_prompt
from ..scoring.model_limits import context_length, end_token_ids
from ..tool_calls.parse import CLOSE_TAG, OPEN_TAG, Tags, shorter_lists
from .messages import asked_in, chat_turns, plain_prompt
from .response_format import AnswerForm

PROMPT_SHARE = 0.75
"""Share of the context; closed lists are shortened in a prompt with tools that takes more."""
TOLD_VALUES = (64, 16, 4, 0)
"""Numbers of values of a closed list that a prompt shows, tried in turn."""


def uses_template(checkpoint: Checkpoint) -> bool:
    """Return whether the model's chat template renders its prompts; a classifier reads texts."""
    return bool(checkpoint.tokenizer.chat_template) and checkpoint.label_tokens is None


def call_tags(checkpoint: Checkpoint) -> Tags:
    """Return what a model's chat template writes around tool calls.

    Special tokens do not appear in the text of an answer, so models whose tags are special tokens
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
    """Render messages and descriptions of tools as prompt ids.

    If the prompt is too long for the model, closed lists in the tools' parameters are shortened to
    their first values; the grammar still allows all of them.

    Raises:
        GenerationError: There are no messages, or one has no text.
    """
    ids = _prompt_ids(checkpoint, messages, form, None)
    if form.callable_tools is None:
        return ids
    most = PROMPT_SHARE * context_length(checkpoint.model)
    for values in TOLD_VALUES:
        if len(ids) <= most:
            break
        ids = _prompt_ids(checkpoint, messages, form, values)
    return ids


def _prompt_ids(
    checkpoint: Checkpoint,
    messages: Sequence[BaseMessage],
    form: AnswerForm,
    most_values: int | None,
) -> list[int]:
    tokenizer, tools = checkpoint.tokenizer, form.prompt_text(most_values)
    if not uses_template(checkpoint):
        return encode_prompt(checkpoint, _plain_prompt(checkpoint, messages, tools))
    shorter = shorter_lists(form.callable_tools, most_values)
    turns = chat_turns(messages)
    if turns[-1]["role"] == "user" and not tools:
        asked = ask_in(_trained_form(checkpoint), turns[-1]["content"])
        turns[-1] = {**turns[-1], "content": asked}
    return template_ids(tokenizer, as_turns(turns), shorter, tools)


def _plain_prompt(checkpoint: Checkpoint, messages: Sequence[BaseMessage], tools: str) -> str:
    """Write messages as text: a bare question in the format that the student was trained on."""
    form = _trained_form(checkpoint)
    # No student is trained on prompts with tools.
    return plain_prompt(messages, tools) if tools or form is None else asked_in(form, messages)


def _trained_form(checkpoint: Checkpoint) -> FormatName | None:
    """Give the format of the questions that a student was trained on; None if there is none."""
    form = (checkpoint.run or {}).get("prompt_form")
    return form if form in FORMATS else None


def form_constraint(
    checkpoint: Checkpoint, messages: Sequence[BaseMessage], form: AnswerForm
) -> LogitsConstraint | None:
    """Compile the constraint of an answer; None for free text.

    Raises:
        ConfigError: The form cannot be enforced, or the model only chooses labels.
    """
    if form.grammar is None:
        return None
    if checkpoint.label_tokens is not None:
        raise ConfigError(
            [f"{checkpoint.name} answers with one of {len(checkpoint.label_tokens.labels)} labels; "
             "it writes no objects and calls no tools"]
        )  # fmt: skip
    prompt = _plain_prompt(checkpoint, messages, form.prompt_text())
    lead = answer_lead(checkpoint.tokenizer, prompt)
    ends = end_token_ids(checkpoint.model, checkpoint.tokenizer)
    return constrain(form.grammar, checkpoint.tokenizer, ends, lead=lead)
