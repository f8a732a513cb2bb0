"""Streams of servers that do not all keep to the standard."""

from __future__ import annotations

import asyncio
import doctest
import gzip
import json

import pytest
from fake_server import chat_chunk, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.errors import BrokenAnswerError, GenerationError, RemoteError, TruncatedAnswerError
from stillroom.inference.engine.protocol import GenerationRequest, Usage
from stillroom.inference.remote import finish_reasons
from stillroom.inference.remote import sse as server_events
from stillroom.inference.remote.content_blocks import Content, read_content
from stillroom.inference.remote.engine import RemoteEngine
from stillroom.inference.remote.sse import ServerAnswer, read_events
from stillroom.inference.tool_calls import reassemble as call_pieces
from stillroom.inference.tool_calls import stream as call_text


def read(body, sizes=(10_000,)):
    """Read a body that comes in chunks of these sizes; give text, the end and the counts."""

    async def all_of_it():
        answer, tokens, place = ServerAnswer(), [], 0
        data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")

        async def chunks():
            nonlocal place
            number = 0
            while place < len(data):
                size = sizes[number % len(sizes)]
                yield data[place : place + size]
                place, number = place + size, number + 1

        async for event in read_events(chunks()):
            tokens += answer.read(event)
            if event.kind == "done":
                break
        tokens += answer.finish()
        return "".join(token.text or "" for token in tokens), tokens[-1], answer.usage

    return asyncio.run(all_of_it())


def event(value, end="\n\n", lead="data: "):
    return lead + (value if isinstance(value, str) else json.dumps(value)) + end


def delta(text=None, reason=None, **more):
    fields = ({} if text is None else {"content": text}) | more
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


AU, RUM, END, DONE = delta("Au"), delta("rum"), delta(None, "stop"), "[DONE]"
PLAIN = {"choices": [{"index": 0, "message": {"content": "Aurum"}, "finish_reason": "stop"}]}
COUNTS = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
WHOLE = "".join(map(event, (AU, RUM, END, DONE)))

GOOD = {
    "as the standard has it": WHOLE,
    "CR LF": WHOLE.replace("\n", "\r\n"),
    "CR": WHOLE.replace("\n", "\r"),
    "no blank after the colon": WHOLE.replace("data: ", "data:"),
    "no blank lines": WHOLE.replace("\n\n", "\n"),
    "blank lines of blanks": WHOLE.replace("\n\n", "\n \n"),
    "a mark of byte order": "\ufeff" + WHOLE,
    "two of them": "\ufeff\n\ufeff" + WHOLE,
    "comments": ": ping\n\n" + WHOLE.replace("\n\n", "\n\n: OPENROUTER PROCESSING\n\n"),
    "empty data": "data:\n\ndata: \n\ndata\n\n" + WHOLE,
    "names, ids, times": WHOLE.replace("data: ", "event: message\nid: 1\nretry: 5\ndata: "),
    "names without blank lines": WHOLE.replace("\n\n", "\n").replace(
        "data: ", "event: delta\ndata: "),
    "several lines of data": WHOLE.replace('"choices": ', '"choices":\ndata: '),
    "no end of the last line": WHOLE.rstrip("\n"),
    "no [DONE]": WHOLE.replace(event(DONE), ""),
    "neither": WHOLE.replace(event(DONE), "").rstrip("\n"),
    "[DONE] without a reason": "".join(map(event, (AU, RUM, DONE))),
    "an empty reason, then a good one": "".join(
        map(event, (delta("Au", ""), delta("rum", "null"), END))),
    "what comes after [DONE]": WHOLE + "data: {broken\n\n",
    "pings of other protocols": event({"type": "ping"}) + WHOLE,
    "null choices": event({"choices": None}) + WHOLE,
    "empty choices": event({"choices": [], "prompt_filter_results": []}) + WHOLE,
    "another choice": event({"choices": [{"index": 1, "delta": {"content": "B"}}]}) + WHOLE,
    "no delta": event({"choices": [{"index": 0, "delta": None}]}) + WHOLE,
    "blocks": "".join(map(event, (
        delta([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
        delta([{"type": "text", "text": "Au"}]), delta(["rum"]), END))),
    "a block of refusal beside the text": "".join(map(event, (
        delta([{"type": "refusal", "refusal": "x"}, {"type": "text", "text": "Aurum"}]), END))),
    "one block": "".join(map(event, (delta({"type": "text", "text": "Aurum"}), END))),
    "thinking in a field": "".join(map(event, (delta(None, reasoning_content="hm"), AU, RUM, END))),
    "a null refusal": "".join(map(event, (delta("Aurum", refusal=None), END))),
    "all of it again": "".join(map(event, (AU, RUM, PLAIN, DONE))),
    "plain JSON": json.dumps(PLAIN),
    "plain JSON over lines": "\n" + json.dumps(PLAIN, indent=2) + "\n",
    "plain JSON in an event": event(PLAIN),
    "lines of JSON": "\n".join(map(json.dumps, (AU, RUM, END))),
    "Ollama's chat": "\n".join(map(json.dumps, (
        {"message": {"role": "assistant", "content": "Au"}, "done": False},
        {"message": {"content": "rum"}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "stop"}))),
    "Ollama's completion": "\n".join(map(json.dumps, (
        {"response": "Aurum", "done": False}, {"response": "", "done": True}))),
    "a text completion": event({"choices": [{"text": "Aurum", "finish_reason": "stop"}]}),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("sizes", [(10_000,), (1,), (2, 7)])
def test_answers(name, sizes):
    text, last, _ = read(GOOD[name], sizes)
    assert (text, last.finish_reason) == ("Aurum", "stop")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "is empty"),
        (event(delta(None, "tool_calls")) + event(DONE), "sent no call"),
        (event(delta(None, "tool_calls", tool_calls=[{"index": 0, "id": "c"}])), "sent no call"),
        (event(DONE), "is empty"),
        (": ping\n\n", "is empty"),
        (event(AU), "broke off"),
        (event(delta("Au", "")) + event(delta("rum", "null")), "broke off"),
        (json.dumps({"choices": [{"message": {"content": "Au"}}]}), "broke off"),
        (json.dumps({"message": {"content": "Au"}, "done": False}), "broke off"),
        (event(AU) + event(delta(None, "abort")), "'abort'"),
        (event(AU) + event(delta(None, "error")), "'error'"),
        (event(AU) + event({"error": {"message": "overloaded"}}), "answering: overloaded"),
        (event({"error": "gone"}), "answering: gone"),
        (event([{"error": {"code": 503, "message": "busy"}}]), "answering: busy"),
        ("event: error\ndata: overloaded\n\n", "answering: overloaded"),
        ('event: error\ndata: {"message": "gone"}\n\n', "answering: gone"),
        ('error: {"message": "slot unavailable", "code": 500}\n\n', "slot unavailable"),
        (event({"object": "error", "message": "too long", "code": 40303}), "too long"),
        (event({"type": "error", "error": {"message": "Overloaded"}}), "Overloaded"),
        (json.dumps({"detail": "model loading"}), "model loading"),
        (json.dumps({"detail": [{"msg": "field required"}]}), "field required"),
        (json.dumps({"message": "no route"}), "no route"),
        (event(AU) + event({"choices": [{"delta": {}, "error": {"message": "gone"}}]}), "gone"),
    ],
)
def test_what_broke_off_may_be_asked_again(body, words):
    with pytest.raises(BrokenAnswerError, match=words):
        read(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (event(delta(None, "content_filter")), "withheld"),
        (event(delta(None, "SAFETY")), "withheld"),
        (event(AU) + event(delta(None, "eureka")), "not known"),
        (event(delta(None, refusal="I can")) + event(delta(None, refusal="not")) + event(END),
         "refused to answer: I cannot"),
        (event(delta([{"type": "refusal", "refusal": "No."}])) + event(END), "refused.*No"),
        ("data: {broken\n\n", "no JSON: '{broken'"),
        ('{"choices": [{', "no JSON"),
        ("<html>\n<title>Log in</title></html>", "a page .*base_url.*Log in"),
        ("upstream connect error", "text .*upstream connect error"),
        (event(delta(5)), "no answer"),
        (event(delta([{"type": "text", "text": None}])), "no answer"),
        (event({"choices": ["x"]}), "no answer"),
        (event({"choices": {"a": 1}}), "no answer"),
        (event("5"), "no answer"),
        (event("[]"), "no answer"),
        (event({"choices": [{"delta": {"content": "A"}, "logprobs": {"content": [5]}}]}),
         "no answer"),
        (event({"choices": [{"delta": {"tool_calls": [5]}}]}), "no answer"),
    ],
)  # fmt: skip
def test_what_is_no_answer(body, words):
    with pytest.raises(RemoteError, match=words) as told:
        read(body)
    assert told.value.status == 200, "asking again would not help"


def test_an_answer_has_a_most_size():
    line = "data: " + "x" * 100_000 + "\n"
    for body in ("data: {\n" + line * 200, "{\n" + line * 200, "data: " + "y" * (1 << 20)):
        with pytest.raises(RemoteError, match="of more than"):
            read(body)


def test_counts_and_cuts():
    text, last, usage = read("".join(map(event, (AU, delta(None, "length"), COUNTS, DONE))))
    assert (text, last.finish_reason, usage) == ("Au", "length", Usage(3, 2))
    for reason in ("model_length", "MAX_TOKENS"):
        assert read(event(AU) + event(delta(None, reason)))[1].finish_reason == "length"
    ollama = {"response": "A", "done": True, "prompt_eval_count": 4, "eval_count": 1}
    assert read(json.dumps(ollama))[2] == Usage(4, 1)


def test_halves_of_characters_are_put_together():
    smile = ("\ud83d", "\ude00")
    for texts, whole in (
        (("A" + smile[0], smile[1] + "!"), "A\U0001f600!"),
        ((smile[0], "", smile[1]), "\U0001f600"),
        (("A" + smile[0],), "A\ufffd"),
        ((smile[1] + "A",), "\ufffdA"),
        ((smile[0], "A"), "\ufffdA"),
    ):
        assert read("".join(event(delta(text)) for text in texts) + event(END))[0] == whole
    call = {"index": 0, "function": {"name": "add", "arguments": '{"a": "\\ud83d"}'}}
    (sent,) = read(event(delta(None, "stop", tool_calls=[call])))[1].calls
    assert json.loads(sent.arguments) == {"a": "\ufffd"}


def test_a_connection_that_breaks_after_the_end_takes_nothing_away():
    def breaks(end):
        def reply(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "9999")
            handler.end_headers()
            handler.event(AU)
            handler.event(end)
            handler.close_connection = True

        return reply

    for end, whole in ((END, True), (RUM, False)):
        with serving(breaks(end)) as server:
            engine = RemoteEngine("m", base_url=server.base_url, max_retries=0)
            stream = engine.submit(
                GenerationRequest(messages=[{"role": "user", "content": "Q \ud83d"}])
            )
            if whole:
                assert "".join(token.text for token in stream) == "Au"
            else:
                with pytest.raises(RemoteError, match="connection failed"):
                    list(stream)
            engine.close()


def test_calls_come_with_the_end():
    call = {"index": 0, "function": {"name": "add", "arguments": '{"a": 1}'}}
    for end in ("tool_calls", "stop", ""):
        body = event(delta(None, None, tool_calls=[call])) + event(delta(None, end)) + event(DONE)
        assert [one.name for one in read(body)[1].calls] == ["add"]
    flat = {"index": 0, "id": "c", "name": "add", "arguments": '{"a": 1}'}
    for calls in ([flat], call, flat):
        (sent,) = read(event(delta(None, "tool_calls", tool_calls=calls)))[1].calls
        assert (sent.name, sent.arguments, sent.broken) == ("add", '{"a": 1}', False)
    half = {"index": 0, "function": {"name": "add", "arguments": '{"a": '}}
    with pytest.raises(TruncatedAnswerError):
        read(event(delta(None, None, tool_calls=[half])) + event(delta(None, "length")))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_text_comes_as_it_was_sent_however_it_is_cut(texts, sizes, end):
    body = "".join(
        f"data: {json.dumps(chat_chunk(text), ensure_ascii=False)}{end}{end}" for text in texts
    )
    assert read(body + event(END), tuple(sizes))[0] == "".join(texts)


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"data: ", b"{", b'data: {"choices": ']))
def test_noise_is_an_error_of_ours(noise, lead):
    with pytest.raises(GenerationError):
        read(lead + noise)


def test_packed_bodies_are_unpacked():
    def packed(handler):
        handler.start(Content_Encoding="gzip")
        handler.send(gzip.compress(WHOLE.encode()))

    def lies(handler):
        handler.start(Content_Encoding="gzip")
        handler.send(WHOLE)

    for reply, good in ((packed, True), (lies, False)):
        with serving(reply) as server:
            engine = RemoteEngine("m", base_url=server.base_url, max_retries=0)
            stream = engine.submit(GenerationRequest(messages=[{"role": "user", "content": "Q"}]))
            if good:
                assert "".join(token.text for token in stream) == "Aurum"
            else:
                with pytest.raises(RemoteError, match="DecodingError"):
                    list(stream)
            engine.close()


def test_content():
    search = [{"type": "web_search_tool_result"}, {"type": "image_url"}, {"text": "Au"}, "rum"]
    assert read_content(search) == Content("Aurum")
    assert read_content(None) == Content("")


def test_the_examples_are_right():
    for module in (call_pieces, call_text, finish_reasons, server_events):
        assert doctest.testmod(module).failed == 0
