"""The required form of an answer (free text, an object, tool calls), and reading an answer of it.

The options are OpenAI's: `tools`, `tool_choice`, `parallel_tool_calls`, `response_format`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from ...errors import ConfigError, TruncatedAnswerError
from ..constrained.answer_validation import AnswerJudge
from ..constrained.grammar import Grammar, json_grammar
from ..constrained.schema import read_schema
from ..engine.protocol import FinishReason, PromptForm
from ..tool_calls.parse import Tags, ToolUse, parameters_of, tool_grammar, tool_use, tools_text
from ..tool_calls.reassemble import SentCall
from ..tool_calls.stream import CallReader, begins_like_call, calls_in_text
from .structured import answer_schema

FORM_OPTIONS = ("tools", "tool_choice", "parallel_tool_calls", "response_format")


@dataclass(frozen=True)
class AnswerForm:
    """The form of one answer."""

    use: ToolUse | None = None
    """Tools of the request."""
    grammar: Grammar | None = None
    """The grammar that constrains the answer; None for free text."""
    schema: Mapping[str, Any] | None = None
    """The schema that a complete answer is validated against; None for free text and calls."""
    tags: Tags = "none"
    """What is written around calls."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The options as given, for servers."""

    @property
    def whole(self) -> bool:
        """The whole answer has the form, so nothing may end it early."""
        return self.grammar is not None and (self.use is None or self.use.must_call)

    def prompt_text(self, most_values: int | None = None) -> str:
        """Describe the tools for prompts without a template.

        Args:
            most_values: Most values shown of each closed list; None for all.
        """
        return "" if self.use is None else tools_text(self.use, most_values)

    @property
    def callable_tools(self) -> list[Mapping[str, Any]] | None:
        """Tools that may be called, for chat templates; None for none."""
        names = () if self.use is None else self.use.callable_names
        tools = () if self.use is None else self.use.tools
        return [tool for tool in tools if tool["function"]["name"] in names] or None

    def extra(self, takes: PromptForm) -> dict[str, Any]:
        """Return the fields of a server's request body that ask for this form.

        Args:
            takes: Prompt form of the engine; engines that take ids use the constraint instead.
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
        """Return `tool_choice` in OpenAI's form."""
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
        options: Options of a call; only `FORM_OPTIONS` are read.
        tags: What the model writes around calls.

    Raises:
        ConfigError: An option is malformed, or two contradict each other.
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
    """Splits the text of one answer into content and tool calls while it streams."""

    def __init__(self, form: AnswerForm, takes: PromptForm = "ids") -> None:
        """Start an answer of a form.

        Args:
            form: Its form.
            takes: Prompt form of the engine. Engines that take ids enforce the grammar, so calls
                are read while they stream. Servers that take text do not, so a call is read when
                all of it is there. Servers that take messages send calls beside the text.
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
        """Number of calls that were sent beside the text, or found in held text."""

    @property
    def called(self) -> bool:
        """A tool was called."""
        return self._begun > 0 or (self._calls is not None and self._calls.calls > 0)

    def feed(
        self, text: str, finish_reason: FinishReason | None, sent: Sequence[SentCall] = ()
    ) -> tuple[str, list[ToolCallChunk]]:
        """Take new text; return content and pieces of calls.

        Args:
            text: The new text.
            finish_reason: Why the answer ended; None if it goes on.
            sent: Calls that a server sent beside the text, with its end.

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
            self._validate()
        content = "".join(part for part in parts if isinstance(part, str))
        return content, [
            *_joined(part for part in parts if not isinstance(part, str)),
            *self._chunks(sent),
        ]

    def _feed_held(
        self, text: str, finish_reason: FinishReason | None
    ) -> tuple[str, list[ToolCallChunk]]:
        """Return text that does not begin like a call; hold other text until its end."""
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

    def _validate(self) -> None:
        """Validate a complete answer against its schema, and calls against those of their tools.

        Calls that a server sent are returned as they are: an agent reports what is wrong with one
        to the model, which calls again.
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
    """Quote truncated arguments so that LangChain refuses them: it completes the beginning of an
    object, and would call the tool with a part of the arguments."""
    try:
        read = parse_partial_json(arguments)
    except ValueError:
        return arguments
    return json.dumps(arguments, ensure_ascii=False) if isinstance(read, dict) else arguments


def _joined(pieces: Iterable[ToolCallChunk]) -> list[ToolCallChunk]:
    """Join consecutive pieces of the same call."""
    calls: list[ToolCallChunk] = []
    for piece in pieces:
        if calls and calls[-1]["index"] == piece["index"]:
            calls[-1]["args"] = (calls[-1]["args"] or "") + (piece["args"] or "")
        else:
            calls.append(piece)
    return calls
