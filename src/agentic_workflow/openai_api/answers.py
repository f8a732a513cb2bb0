"""Answers of the student and of workflows, as pieces that both of OpenAI's APIs are written from.

The last piece tells how the answer ended, and carries the extra field `stillroom`:

    run_id, model, prompt_sha256, checkpoint_sha256          of every answer
    verdict, reason, exit, confidence, answered_by, plan,    of a workflow's answer; the fields of
    choices, attempts, citations, sources                    `answer_events`' last event
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.runnables import RunnableConfig

from ...errors import TruncatedAnswerError
from ..http.replies import refuse
from ..http.service import Service, Turn
from .fields import Asked

DEFAULT_MAX_TOKENS = 1024
"""Most tokens of an answer where the request does not say; the model's context may end it."""
_OF_WORKFLOWS = (
    "verdict", "reason", "exit", "confidence", "answered_by", "plan", "choices", "attempts",
    "citations", "sources",
)  # fmt: skip


@dataclass(frozen=True)
class AnswerEnd:
    """How an answer ended."""

    finish_reason: str
    """`stop`, `length` or `tool_calls`."""
    extra: Mapping[str, Any]
    """The field `stillroom`."""
    input_tokens: int = 0
    output_tokens: int = 0
    logprobs: Sequence[Mapping[str, Any]] | None = None
    """OpenAI's `content` of logprobs, one entry per token; None where they were not asked for."""


@dataclass(frozen=True)
class Piece:
    """A piece of an answer."""

    text: str = ""
    calls: Sequence[ToolCallChunk] = field(default_factory=tuple)
    end: AnswerEnd | None = None
    """Set on the last piece."""


async def answer_pieces(
    service: Service, owner: str, asked: Asked, *, streamed: bool
) -> AsyncIterator[Piece]:
    """Answer a request.

    Args:
        service: Runs the turn.
        owner: Whose turn it is.
        asked: The request.
        streamed: Yield pieces as they come; otherwise one.

    Raises:
        FaultError: There is no such model, or the workflow cannot honour a field (400).
        StillroomError: As the model or the workflow raises it.
    """
    if asked.model in service.workflows:
        pieces = _of_workflow(service, owner, asked, streamed)
    else:
        pieces = _of_model(service, owner, asked, streamed)
    async with aclosing(pieces) as stream:  # type: ignore[type-var]
        async for piece in stream:
            yield piece


async def _of_workflow(
    service: Service, owner: str, asked: Asked, streamed: bool
) -> AsyncIterator[Piece]:
    if asked.only_model:
        raise refuse(
            400,
            f"{asked.only_model[0]} is not supported by the workflow {asked.model!r}, which "
            f"decides it itself; ask the model {service.model_name!r} for that",
            "unsupported_field",
            asked.only_model[0],
        )
    last = asked.messages[-1]
    if not isinstance(last, HumanMessage) or not str(last.text).strip():
        raise refuse(
            400, "the last message must be the user's, with a text", "invalid_value", "messages"
        )
    async with service.turn(asked.model, owner) as turn:
        assert turn.workflow is not None
        gate = turn.workflow.answer_gate(turn.limits)
        events = turn.workflow.astream_events(
            asked.messages, turn.config, limits=turn.limits, tokens=streamed
        )
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                for text in gate.feed(event):
                    turn.note_token()
                    yield Piece(text)
                if event["type"] != "final":
                    continue
                turn.outcome = event["exit"]
                if event["exit"] == "step_limit":
                    raise refuse(422, "the agents took too many steps", "step_limit")
                extra = {**turn.identity, **{name: event.get(name) for name in _OF_WORKFLOWS}}
                yield Piece(end=AnswerEnd("stop", extra, *turn.tokens))


async def _of_model(
    service: Service, owner: str, asked: Asked, streamed: bool
) -> AsyncIterator[Piece]:
    options = {"max_tokens": DEFAULT_MAX_TOKENS, **asked.options}
    async with service.turn(asked.model, owner) as turn:
        given = {"stop": asked.stop or None, "caller": owner, **options}
        left = turn.limits.deadline_s
        if left is not None:
            given["timeout"] = left
        model, sent = service.chat_model, ""
        config: RunnableConfig = turn.config
        try:
            if streamed:
                chunks = model.astream(asked.messages, config, **given)
                async with aclosing(chunks) as stream:  # type: ignore[type-var]
                    async for chunk in stream:
                        assert isinstance(chunk, AIMessageChunk)
                        turn.note_token()
                        sent += str(chunk.text)
                        yield Piece(str(chunk.text), tuple(chunk.tool_call_chunks))
                        if chunk.chunk_position == "last" or chunk.response_metadata:
                            last: AIMessage = chunk
            else:
                last = await model.ainvoke(asked.messages, config, **given)
                yield Piece(str(last.text), _whole_calls(last))
        except TruncatedAnswerError as fault:  # OpenAI's way is an answer that ends by its length
            turn.outcome = "length"
            rest = fault.partial[len(sent) :] if fault.partial.startswith(sent) else ""
            calls = bool(options.get("tools"))
            yield Piece("" if calls else rest, end=AnswerEnd("length", dict(turn.identity)))
            return
        told = last.response_metadata
        turn.outcome = str(told.get("finish_reason") or "stop")
        logprobs = _logprobs(service, asked, told)
        end = AnswerEnd(turn.outcome, dict(turn.identity), *_counts(turn, last), logprobs)
        yield Piece(end=end)


def _counts(turn: Turn, last: AIMessage) -> tuple[int, int]:
    usage = last.usage_metadata
    return turn.tokens if usage is None else (usage["input_tokens"], usage["output_tokens"])


def _whole_calls(message: AIMessage) -> tuple[ToolCallChunk, ...]:
    """Write the calls of a whole message as pieces."""
    calls = [
        (call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"])
        for call in message.tool_calls
    ]
    calls += [(c["name"] or "", c["args"] or "", c["id"]) for c in message.invalid_tool_calls]
    return tuple(
        tool_call_chunk(name=name, args=arguments, id=id_, index=index)
        for index, (name, arguments, id_) in enumerate(calls)
    )


def _logprobs(
    service: Service, asked: Asked, told: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """Write log-probabilities in OpenAI's form; joined, the tokens are the answer's text."""
    if asked.logprobs is None:
        return None
    spell = _spelling(service)
    chosen = zip(
        told.get("tokens", ()), told.get("logprobs", ()), told.get("top_logprobs", ()), strict=False
    )
    return [
        {
            **_token(spell(name), logprob),
            "top_logprobs": [
                _token(spell(other), value)
                for other, value in list(others.items())[: asked.logprobs]
            ],
        }
        for name, logprob, others in chosen
    ]


def _spelling(service: Service) -> Callable[[str], str]:
    """Give the function from a tokenizer's name of a token, such as `Ġthe`, to its text."""
    engine = service.engine
    checkpoint = getattr(engine, "checkpoint", None)
    tokens: Any = None if checkpoint is None else checkpoint.answer_tokens
    if not hasattr(tokens, "convert_tokens_to_string"):  # labels, or a server's own texts
        return str
    return lambda name: str(tokens.convert_tokens_to_string([name]))


def _token(text: str, logprob: float) -> dict[str, Any]:
    # A part of a character has no text of its own. -inf is no JSON; OpenAI writes -9999 for what is
    # as good as impossible.
    known = None if "\ufffd" in text else list(text.encode("utf-8"))
    return {"token": text, "logprob": max(logprob, -9999.0), "bytes": known}


async def collect(pieces: AsyncIterator[Piece]) -> tuple[str, list[ToolCallChunk], AnswerEnd]:
    """Join the pieces of an answer: text, calls, end."""
    texts: list[str] = []
    calls: dict[int, ToolCallChunk] = {}
    end: AnswerEnd | None = None
    async with aclosing(pieces) as stream:  # type: ignore[type-var]
        async for piece in stream:
            texts.append(piece.text)
            for call in piece.calls:
                place = call["index"] or 0
                if place in calls:
                    calls[place]["args"] = (calls[place]["args"] or "") + (call["args"] or "")
                else:
                    calls[place] = call.copy()
            end = piece.end or end
    assert end is not None
    if end.finish_reason == "length":
        calls = {}
    return "".join(texts), [calls[place] for place in sorted(calls)], end
