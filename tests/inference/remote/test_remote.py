"""The remote engine against a server on this machine that does all that servers do."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref

import pytest
from engine_tools import eventually
from fake_server import calls, chat_chunk, hangs, refuses, says, serving
from stillroom.errors import (
    BrokenAnswerError,
    ConfigError,
    DeadlineError,
    EngineBusyError,
    EngineClosedError,
    GenerationError,
    RemoteError,
    TruncatedAnswerError,
)
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.engine.protocol import Engine, GenerationRequest, Usage
from stillroom.inference.remote.engine import RemoteEngine

KEY = "sk-canary-48151623"


@pytest.fixture
def remote():
    """Make engines that are closed in the end."""
    opened = []

    def make(server, **settings):
        url = server if isinstance(server, str) else server.base_url
        opened.append(RemoteEngine("m", base_url=url, **{"backoff_s": 0.001, **settings}))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


def ask(**settings):
    return GenerationRequest(messages=[{"role": "user", "content": "Q"}], **settings)


def test_an_answer_comes_in_tokens_with_numbers(remote):
    with serving(says("Gr", "üße", " 👩\u200d🔬", usage=(9, 5))) as server:
        engine = remote(server)
        assert isinstance(engine, Engine)
        stream = engine.submit(ask(max_tokens=9, temperature=0.5, seed=3, stop=["\n"], top_k=4))
        events = list(stream)
        (path, headers, body) = server.requests[0]
    assert "".join(event.text for event in events) == "Grüße 👩\u200d🔬"
    assert [event.logprob for event in events] == [-0.5] * 3 + [None]
    assert [event.finish_reason for event in events] == [None] * 3 + ["stop"]
    assert stream.usage == Usage(9, 5)
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert body["messages"] == [{"role": "user", "content": "Q"}]
    asked = {"max_tokens": 9, "temperature": 0.5, "seed": 3, "stop": ["\n"], "top_k": 4}
    assert {name: body[name] for name in asked} == asked
    assert body["model"] == "m"


def test_bytes_may_be_cut_anywhere(remote):
    def dribble(handler):
        handler.start()
        text = "".join(
            f"data: {line}\r\n\r\n"
            for line in (
                '{"choices":[{"delta":{"content":"é👩"}}]}',
                '{"choices":[{"delta":{},"finish_reason":"length"}]}',
                "[DONE]",
            )
        )
        for byte in text.encode():
            handler.send(bytes([byte]))

    with serving(dribble) as server:
        stream = remote(server).submit(ask())
        assert "".join(event.text for event in stream) == "é👩"
        assert stream.finish_reason == "length"
        assert stream.usage == Usage(0, 1), "a server that does not count"


def test_completions_send_the_prompt_and_read_their_own_form(remote):
    def reply(handler):
        handler.start()
        logprobs = {"tokens": [" A", "u"], "token_logprobs": [-0.1, -0.2],
                    "top_logprobs": [{" A": -0.1, " B": -3.0}, {"u": -0.2}]}  # fmt: skip
        handler.event({"choices": [{"text": " Au", "logprobs": logprobs, "finish_reason": None}]})
        handler.event({"choices": [{"text": "", "finish_reason": "stop"}]})
        handler.event("[DONE]")

    with serving(reply) as server:
        engine = remote(server, endpoint="completions")
        assert engine.takes == "text"
        events = engine.submit(GenerationRequest(prompt="P", top_logprobs=2)).collect()
        path, _, body = server.requests[0]
        assert path == "/v1/completions"
        assert body["prompt"] == "P"
        chat = ChatStudent(model="m", base_url=server.base_url, endpoint="completions")
        assert chat.invoke("P").text == "Au", "the joint between prompt and answer is no text"
        chat.serving_engine.close()
    assert [(e.text, e.logprob) for e in events[:2]] == [(" A", -0.1), ("u", -0.2)]
    assert [one.text for one in events[0].alternatives] == [" A", " B"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(remote, status):
    with serving(refuses(status), refuses(status), says("yes")) as server:
        engine = remote(server)
        assert engine.submit(ask()).collect()[0].text == "yes"
        assert len(server.requests) == 3
        assert engine.stats().restarts == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
def test_what_will_not_pass_is_told_at_once(remote, status):
    with serving(refuses(status, "model 'm' is unknown"), says("yes")) as server:
        with pytest.raises(RemoteError, match=f"status {status}: model 'm' is unknown") as caught:
            remote(server).submit(ask()).collect()
        assert caught.value.status == status
        assert len(server.requests) == 1


def test_patience_ends(remote):
    with serving(refuses(503, "loading")) as server:
        with pytest.raises(RemoteError, match=r"loading.*asked 3 times"):
            remote(server).submit(ask()).collect()
        assert len(server.requests) == 3
        with pytest.raises(RemoteError):
            remote(server, max_retries=0).submit(ask()).collect()
        assert len(server.requests) == 4


def test_a_server_says_when_to_come_back(remote):
    with serving(refuses(429, Retry_After="0.2"), says("yes")) as server:
        began = time.monotonic()
        remote(server).submit(ask()).collect()
        assert time.monotonic() - began >= 0.2
    with serving(refuses(429, Retry_After="3600"), says("yes")) as server:
        with pytest.raises(RemoteError, match="429"):
            remote(server).submit(ask()).collect()
        assert len(server.requests) == 1


def test_a_broken_answer_is_no_answer_and_not_asked_again(remote):
    with serving(says("half", reason=None, done=False)) as server:
        stream = remote(server).submit(ask())
        assert next(stream).text == "half"
        with pytest.raises(BrokenAnswerError, match="broke off"):
            list(stream)
        assert len(server.requests) == 1


def test_an_answer_that_broke_before_its_first_token_is_asked_again(remote):
    with serving(says(reason=None, done=False), says("yes")) as server:
        assert remote(server).submit(ask()).collect()[0].text == "yes"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ("{not json", "no JSON"),
        ({"error": {"message": "out of memory"}}, "out of memory"),
        ({"choices": [{"delta": {}, "finish_reason": "content_filter"}]}, "withheld"),
        (chat_chunk("y" * (1 << 20)), "more than 1048576 bytes"),
    ],
)
def test_what_is_no_answer_is_an_error(remote, data, match):
    def reply(handler):
        handler.start()
        handler.event(data)
        handler.event("[DONE]")

    with serving(reply) as server, pytest.raises(RemoteError, match=match):
        remote(server, max_retries=0).submit(ask()).collect()


def test_no_server_is_said_plainly(remote):
    with pytest.raises(RemoteError, match=r"no server was reached.*base_url"):
        remote("http://127.0.0.1:9/v1").submit(ask()).collect()


def test_a_silent_server_is_not_waited_for(remote):
    def silent(handler):
        handler.start()
        time.sleep(0.5)

    with serving(silent) as server:
        engine = remote(server, read_timeout_s=0.05, max_retries=1)
        with pytest.raises(RemoteError, match=r"nothing came for 0\.05 s"):
            engine.submit(ask()).collect()
        assert len(server.requests) == 2
        with pytest.raises(DeadlineError):
            remote(server).submit(ask(deadline=time.monotonic() + 0.05)).collect()


def test_leaving_closes_the_connection_and_frees_the_place(remote):
    with serving(hangs) as server:
        engine = remote(server, most_running=2)
        streams = [engine.submit(ask()) for _ in range(4)]
        next(streams[0])
        eventually(lambda: engine.stats().running == 2)
        assert engine.stats().waiting == 2
        for stream in streams:
            stream.cancel()
            stream.cancel()
        with pytest.raises(GenerationError, match="cancelled"):
            streams[3].collect()
        eventually(lambda: engine.stats().running == 0)
        eventually(lambda: server.open == 0)
        assert engine.stats().cancelled == 4
        known = [weakref.ref(one) for one in streams]
        del streams, stream
        eventually(lambda: gc.collect() >= 0 and not any(one() for one in known))


def test_many_cancels_leak_nothing(remote):
    with serving(says("a", "b", "c", pause_s=0.001)) as server:
        engine = remote(server, most_running=4)
        known = []
        for number in range(60):
            streams = [engine.submit(ask()) for _ in range(6)]
            if number % 3:
                next(streams[0])
            for stream in streams:  # all at once: those that were just given a place leave as well
                stream.cancel()
                known.append(weakref.ref(stream))
        eventually(lambda: engine.stats().running == engine.stats().waiting == 0)
        assert engine.submit(ask()).collect()[0].text == "a"
        del streams, stream
        eventually(lambda: gc.collect() >= 0 and not any(one() for one in known))


def test_full_closed_and_impossible(remote):
    with serving(hangs) as server:
        engine = remote(server, most_running=1, most_waiting=2)
        first = engine.submit(ask())
        next(first)
        rest = [engine.submit(ask()) for _ in range(2)]
        with pytest.raises(EngineBusyError):
            engine.submit(ask())
        with pytest.raises(ConfigError, match="response_format"):
            engine.submit(ask(constraint=object()))
        with pytest.raises(ConfigError, match="does not score"):
            engine.score_choices([1], [[2]])
        engine.close()
        for stream in (first, *rest):
            with pytest.raises(EngineClosedError):
                list(stream)
        with pytest.raises(EngineClosedError):
            engine.submit(ask())
    assert not [t for t in threading.enumerate() if t.name == "stillroom-remote"]


def test_the_thread_goes_when_idle_and_comes_back(remote):
    with serving(says("yes")) as server:
        engine = remote(server, idle_s=0.01)
        for _ in range(3):
            assert engine.submit(ask()).collect()[0].text == "yes"
            eventually(lambda: not any(t.name == "stillroom-remote" for t in threading.enumerate()))


def test_the_key_goes_to_the_server_and_nowhere_else(remote, monkeypatch, caplog):
    monkeypatch.setenv("ENGINE_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with serving(refuses(500), refuses(401, f"bad key {KEY}")) as server:
        engine = remote(server, api_key_env="ENGINE_KEY")
        with pytest.raises(RemoteError, match=r"bad key \*\*\*") as caught:
            engine.submit(ask()).collect()
        assert server.requests[1][1]["Authorization"] == f"Bearer {KEY}"
        chat = ChatStudent(model="m", base_url=server.base_url, api_key_env="ENGINE_KEY")
        shown = [repr(chat), str(chat._identifying_params), str(chat.model_dump())]
        chat.serving_engine.close()
    link, told = caught.value, []
    while link is not None:
        told.append(str(link))
        link = link.__cause__
    for text in (*told, caplog.text, *shown, repr(vars(engine))):
        assert KEY not in text
    monkeypatch.delenv("ENGINE_KEY")
    with pytest.raises(ConfigError, match="ENGINE_KEY holds no key"):
        engine.submit(ask()).collect()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"base_url": None}, "base_url is missing"),
        ({"base_url": "ftp://x/v1"}, "base_url"),
        ({"base_url": "http://me:secret@x/v1"}, "api_key_env"),
        ({"base_url": "http://x/v1?key=secret"}, "api_key_env"),
        ({"base_url": "http://x/v1", "endpoint": "responses"}, "endpoint"),
        ({"base_url": "http://x/v1", "max_retries": -1}, "max_retries"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, match):
    with pytest.raises(ConfigError, match=match) as caught:
        RemoteEngine("m", **settings)
    assert "secret" not in str(caught.value)


def test_a_chat_model_over_a_server():
    with serving(says("one ", "two", usage=(5, 2))) as server:
        chat = ChatStudent(model="m", base_url=server.base_url, max_tokens=5)
        message = chat.invoke([("system", "Be brief."), ("human", "Count.")], stop=["three"])
        assert message.text == "one two"
        usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
        assert message.usage_metadata == usage
        assert message.response_metadata["logprobs"] == [-0.5, -0.5]
        assert message.response_metadata["model_name"] == "m"
        body = server.requests[0][2]
        assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
        assert body["stop"] == ["three"]
        assert [chunk.text for chunk in chat.stream("Count.")] == ["one ", "two", ""]

        async def both():
            streamed = [chunk.text async for chunk in chat.astream("Count.")]
            return (await chat.ainvoke("Count.")).text, "".join(streamed)

        assert asyncio.run(both()) == ("one two", "one two")
        with pytest.raises(AttributeError):
            _ = chat.checkpoint
        chat.serving_engine.close()


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_tool_calls_of_a_server_are_tool_calls(way):
    pieces = [("add", ""), (None, '{"a": 1, '), (None, '"b": 2}'), ("now", ""), ("add", '{"a":3}')]
    with serving(calls(*pieces, text="Let me see.")) as server:
        chat = ChatStudent(model="m", base_url=server.base_url)
        bound = chat.bind_tools([add])
        if way == "invoke":
            message = bound.invoke("1 + 2?")
        else:
            first, *rest = bound.stream("1 + 2?")
            message = sum(rest, first)
        chat.serving_engine.close()
        assert server.requests[0][2]["tools"][0]["function"]["name"] == "add"
    assert message.text.strip() == "Let me see."
    found = [(call["name"], call["args"]) for call in message.tool_calls]
    assert found == [("add", {"a": 1, "b": 2}), ("now", {}), ("add", {"a": 3})]


def test_a_tool_call_that_is_cut_is_no_call():
    with serving(calls(("add", '{"a": 1'), reason="length")) as server:
        chat = ChatStudent(model="m", base_url=server.base_url)
        with pytest.raises(GenerationError, match="before its form was complete"):
            chat.bind_tools([add]).invoke("1 + 2?")
        chat.serving_engine.close()


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize(
    ("arguments", "broken"),
    [
        ('{"a": 1, "b"', True),  # LangChain would read it as {"a": 1}
        ('{"a": 1} and so on', True),
        ("{a: 1}", True),
        ("[1]", True),
        ({"a": 1, "b": 2}, False),
        (None, False),
    ],
)
def test_a_tool_is_called_with_what_was_sent_or_not_at_all(way, arguments, broken):
    with serving(calls(("add", arguments))) as server:
        chat = ChatStudent(model="m", base_url=server.base_url).bind_tools([add])
        message = chat.invoke("Q") if way == "invoke" else _sum(chat.stream("Q"))
        chat.bound.serving_engine.close()
    assert [call["args"] for call in message.tool_calls] == ([] if broken else [arguments or {}])
    assert len(message.invalid_tool_calls) == broken


def _sum(chunks):
    first, *rest = chunks
    return sum(rest, first)


@pytest.mark.parametrize(
    "text",
    [
        "Write <tool_call> in XML.",
        'So: <tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>',
        '{"name": "add", "arguments": {"a": 1, "b": 2}}',
    ],
)
def test_text_of_a_chat_server_is_no_call(text):
    with serving(says(*text)) as server:
        chat = ChatStudent(model="m", base_url=server.base_url).bind_tools([add])
        for message in (chat.invoke("Q"), _sum(chat.stream("Q"))):
            assert message.text == text
            assert not message.tool_calls
            assert not message.invalid_tool_calls
        chat.bound.serving_engine.close()


def completes(text, reason="stop"):
    def reply(handler):
        handler.start()
        for letter in text:
            handler.event({"choices": [{"text": letter}]})
        handler.event({"choices": [{"text": "", "finish_reason": reason}]})

    return reply


CALL = '{"name": "add", "arguments": {"a": 1, "b": 2}}'


@pytest.mark.parametrize(
    ("text", "shown", "called"),
    [
        (CALL, "", [{"a": 1, "b": 2}]),
        (f"{CALL} is how.", f"{CALL} is how.", []),
        (
            '{"name": "add", "arguments": {"a": 1, }}',
            '{"name": "add", "arguments": {"a": 1, }}',
            [],
        ),
        ("{} is an object", "{} is an object", []),
        ("Au", "Au", []),
    ],
)
def test_completed_text_is_a_call_where_all_of_it_is_one(text, shown, called):
    with serving(completes(text)) as server:
        chat = ChatStudent(model="m", base_url=server.base_url, endpoint="completions")
        bound = chat.bind_tools([add])
        for message in (bound.invoke("Q"), _sum(bound.stream("Q"))):
            assert message.text == shown
            assert [call["args"] for call in message.tool_calls] == called
        chat.serving_engine.close()


def test_completed_text_that_is_cut_in_a_call_is_an_error():
    with serving(completes(CALL[:-5], "length")) as server:
        chat = ChatStudent(model="m", base_url=server.base_url, endpoint="completions")
        with pytest.raises(TruncatedAnswerError):
            chat.bind_tools([add]).invoke("Q")
        chat.serving_engine.close()


def test_sixteen_at_once(remote):
    async def together(engine):
        return await asyncio.gather(*(engine.submit(ask()).acollect() for _ in range(16)))

    with serving(says("a", "b", pause_s=0.02)) as server:
        answers = asyncio.run(together(remote(server)))
        assert [len(answer) for answer in answers] == [3] * 16
        assert server.most_open > 4
