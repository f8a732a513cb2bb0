"""What one request's answer must look like: free text, an object, tool calls; and how it is read.

The options are OpenAI's: `tools`, `tool_choice`, `parallel_tool_calls`, `response_format`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from ...errors import ConfigError, TruncatedAnswerError
from ..constrained.answer_validation import AnswerJudge
from ..constrained.grammar import Grammar, GrammarConstraint, constrain, json_grammar
from ..constrained.schema import read_schema
from ..engine.protocol import FinishReason, PromptForm
from ..tool_calls.parse import Tags, ToolUse, parameters_of, tool_grammar, tool_use, tools_text
from ..tool_calls.reassemble import SentCall
from ..tool_calls.server_text import begins_like_call, calls_in_text
from ..tool_calls.stream import CallReader
from .structured import answer_schema

FORM_OPTIONS = ("tools", "tool_choice", "parallel_tool_calls", "response_format")


@dataclass(frozen=True)
class AnswerForm:
    """The form of one answer."""

    use: ToolUse | None = None
    """Tools of the request."""
    grammar: Grammar | None = None
    """What the answer is held to; None for free text."""
    schema: Mapping[str, Any] | None = None
    """What a complete answer is judged by; None for free text and calls."""
    tags: Tags = "none"
    """What stands around calls."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The options as they came, for servers."""

    @property
    def whole(self) -> bool:
        """All of the answer has the form, so nothing may end it early."""
        return self.grammar is not None and (self.use is None or self.use.must_call)

    def prompt_text(self, most_values: int | None = None) -> str:
        """Describe the tools for prompts without a template.

        Args:
            most_values: Values told of each closed list; None for all.
        """
        return "" if self.use is None else tools_text(self.use, most_values)

    def constraint(
        self,
        tokenizer: Any,  # noqa: ANN401 - transformers is untyped
        end_ids: Collection[int],
        lead: str,
    ) -> GrammarConstraint | None:
        """Make what an engine holds the answer to; None for free text.

        Args:
            tokenizer: Of the engine's model.
            end_ids: Tokens that end an answer.
            lead: What the model was trained to write before an answer.

        Raises:
            ConfigError: The form cannot be enforced.
        """
        if self.grammar is None:
            return None
        return constrain(self.grammar, tokenizer, end_ids, lead=lead)

    @property
    def callable_tools(self) -> list[Mapping[str, Any]] | None:
        """Tools that may be called, for chat templates; None for none."""
        names = () if self.use is None else self.use.callable_names
        tools = () if self.use is None else self.use.tools
        return [tool for tool in tools if tool["function"]["name"] in names] or None

    def extra(self, takes: PromptForm) -> dict[str, Any]:
        """Give the fields of a server's request body that ask it for this form.

        Args:
            takes: What prompts the engine takes; one that takes ids is held to the form itself.
        """
        if takes == "ids":
            return {}
        extra = {key: self.given[key] for key in ("response_format",) if key in self.given}
        if takes == "messages" and self.use is not None:
            extra |= {key: self.given[key] for key in ("tools", "parallel_tool_calls")
                      if key in self.given}  # fmt: skip
            extra["tool_choice"] = self._server_choice()
        return extra

    def _server_choice(self) -> object:
        """Write the choice of tools as OpenAI's HTTP has it."""
        use = self.use
        if use is None or not use.callable_names:
            return "none"
        if not use.must_call:
            return "auto"
        if len(use.callable_names) == len(use.tools) > 1:
            return "required"
        return {"type": "function", "function": {"name": use.callable_names[0]}}


def answer_form(options: Mapping[str, Any], *, tags: Tags = "none") -> AnswerForm:
    """Read the form from a call's options.

    Args:
        options: Those of a call; only `FORM_OPTIONS` are looked at.
        tags: What the model writes around calls.

    Raises:
        ConfigError: An option is not what it may be, or two contradict each other.
    """
    given = {key: options[key] for key in FORM_OPTIONS if options.get(key) is not None}
    schema = answer_schema(given.get("response_format"))
    grammar = None if schema is None else json_grammar(schema)
    use = tool_use(
        given.get("tools", ()),
        given.get("tool_choice"),
        several=bool(given.get("parallel_tool_calls")),
    )
    if not use.tools:
        return AnswerForm(grammar=grammar, schema=schema, given=given)
    if grammar is not None and use.callable_names:
        raise ConfigError([
            "response_format and tools were both given; an answer is an object or a call, not both"
        ])  # fmt: skip
    return AnswerForm(use, grammar or tool_grammar(use, tags=tags), schema, tags, given)


class AnswerReader:
    """Takes the text of one answer apart, while it comes."""

    def __init__(self, form: AnswerForm, takes: PromptForm = "ids") -> None:
        """Start an answer of a form.

        Args:
            form: Its form.
            takes: What prompts the engine takes. One that takes ids holds the answer to the form,
                so that a call can be read while it comes. One that takes text writes what it likes,
                so that a call is one only when all of it is there. One that takes messages sends
                calls beside the text, which is then text whatever it looks like.
        """
        self._form = form
        self._arguments: dict[int | None, tuple[str, list[str]]] = {}
        self._names = form.use.callable_names if form.use is not None else ()
        self._calls: CallReader | None = None
        if self._names and takes == "ids":
            self._calls = CallReader(tagged=form.tags != "none")
        self._held = bool(self._names) and takes == "text"
        self._seen: list[str] = []
        self._begun = 0
        """Calls that were sent beside the text, or found in held text."""

    @property
    def called(self) -> bool:
        """A tool was called."""
        return self._begun > 0 or (self._calls is not None and self._calls.calls > 0)

    def feed(
        self, text: str, finish_reason: FinishReason | None, sent: Sequence[SentCall] = ()
    ) -> tuple[str, list[ToolCallChunk]]:
        """Take text, and the reason if it is the last; give content and pieces of calls.

        Args:
            text: What is new.
            finish_reason: Why the answer ended; None where it goes on.
            sent: Calls that came beside the text, with its end.

        Raises:
            TruncatedAnswerError: The answer ended before its form was complete.
            AnswerMismatchError: It is complete and does not fit its schema.
        """
        self._seen.append(text)
        if self._held:
            return self._feed_held(text, finish_reason)
        parts: list[str | ToolCallChunk] = [text]
        if self._calls is not None:
            parts = self._calls.feed(text)
            if finish_reason is not None:
                parts += self._calls.finish()
        for part in parts:
            if not isinstance(part, str):
                _, pieces = self._arguments.setdefault(part["index"], (part["name"] or "", []))
                pieces.append(part["args"] or "")
        if finish_reason is not None:
            self._check_end(finish_reason)
            self._judge()
        content = "".join(part for part in parts if isinstance(part, str))
        return content, [
            *_joined(part for part in parts if not isinstance(part, str)),
            *self._chunks(sent),
        ]

    def _feed_held(
        self, text: str, finish_reason: FinishReason | None
    ) -> tuple[str, list[ToolCallChunk]]:
        """Give text as it comes where it does not begin like a call; else wait for its end."""
        whole = "".join(self._seen)
        if not begins_like_call(whole):
            self._held = False
            return whole, []
        if finish_reason is None:
            return "", []
        calls = calls_in_text(whole, self._names)
        if calls is None and finish_reason == "length":
            raise self._unfinished()
        return ("" if calls else whole), self._chunks(calls or ())

    def _chunks(self, sent: Sequence[SentCall]) -> list[ToolCallChunk]:
        chunks = [
            tool_call_chunk(
                name=call.name,
                args=_uncallable(call.arguments) if call.broken else call.arguments,
                id=call.id,
                index=self._begun + place,
            )
            for place, call in enumerate(sent)
        ]
        self._begun += len(chunks)
        return chunks

    def _judge(self) -> None:
        """Hold a complete answer to its schema, calls to those of their tools.

        Calls that a server sent are given as they are: what is wrong with one an agent tells the
        model, which calls again.
        """
        if self._form.schema is not None and not self.called:
            AnswerJudge(read_schema(self._form.schema)).check_text("".join(self._seen))
        for name, pieces in self._arguments.values():
            for function in () if self._form.use is None else self._form.use.functions:
                if function["name"] == name:
                    AnswerJudge(read_schema(parameters_of(function))).check_text("".join(pieces))

    def _check_end(self, finish_reason: FinishReason) -> None:
        in_call = self._calls is not None and self._calls.cut
        if in_call or (self._form.whole and finish_reason == "length"):
            raise self._unfinished()

    def _unfinished(self) -> TruncatedAnswerError:
        partial = "".join(self._seen)
        return TruncatedAnswerError(
            f"the answer ended before its form was complete, after {partial[-60:]!r}; allow "
            "more max_tokens, or a form with shorter texts (maxLength, maxItems)",
            partial=partial,
        )


def _uncallable(arguments: str) -> str:
    """Write arguments that are no JSON object so that LangChain sees that, too: it completes what
    looks like the beginning of an object, and would call the tool with a part of what was meant."""
    try:
        read = parse_partial_json(arguments)
    except ValueError:
        return arguments
    return json.dumps(arguments, ensure_ascii=False) if isinstance(read, dict) else arguments


def _joined(pieces: Iterable[ToolCallChunk]) -> list[ToolCallChunk]:
    """Put pieces of the same call together."""
    calls: list[ToolCallChunk] = []
    for piece in pieces:
        if calls and calls[-1]["index"] == piece["index"]:
            calls[-1]["args"] = (calls[-1]["args"] or "") + (piece["args"] or "")
        else:
            calls.append(piece)
    return calls
