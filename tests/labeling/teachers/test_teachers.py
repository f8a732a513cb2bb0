"""Teachers of all kinds answer the same way, and no key of any of them is seen anywhere."""

import asyncio
import doctest
import json
import logging
import sys
from dataclasses import replace

import labeling_server
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from scripted_teacher import Scripted
from stillroom.errors import (
    ConfigError,
    DeadlineError,
    GenerationError,
    ModelNotFoundError,
    RemoteError,
)
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.inference.no_real_models import forbid_models
from stillroom.inference.remote import backoff as retries
from stillroom.labeling.batch.failures import judge_fault
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.tasks import class_balance, duplicates, free_text, scores
from stillroom.labeling.teachers import open_teacher as opening
from stillroom.labeling.teachers import protocol as teachers
from stillroom.labeling.teachers.langchain_model import LangChainTeacher
from stillroom.labeling.teachers.open_teacher import PROVIDERS, open_teacher
from stillroom.labeling.teachers.openai_http import RemoteTeacher, read_answer
from stillroom.labeling.teachers.protocol import DecodeProfile, Teacher, TeacherAnswer

KEY = "sk-secret-1234"
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]


def ask(teacher, prompt="Which?", **profile):
    async def once():
        try:
            return await teacher.ask(prompt, DecodeProfile(**profile), call_id="id-1")
        finally:
            await teacher.close()

    return asyncio.run(once())


def test_a_server_gets_the_profile_the_key_and_the_id_of_the_call(serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    server = serve()
    teacher = open_teacher(server.base_url, model="tiny", api_key_env="MY_KEY")
    answer = ask(
        teacher, TURNS, max_tokens=9, temperature=0.5, top_p=0.9, seed=3, stop=("\n",),
        extra={"response_format": {"type": "json_object"}, "top_p": None},
    )  # fmt: skip
    assert answer == TeacherAnswer("label of Which?", "stop", 20, 10, "tiny")
    assert server.bodies == [
        {
            "model": "tiny", "max_tokens": 9, "temperature": 0.5, "seed": 3, "stop": ["\n"],
            "messages": TURNS, "response_format": {"type": "json_object"},
        }
    ]  # fmt: skip
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["idempotency-key"] == "id-1"
    ask(teacher, "a text")
    assert server.bodies[1]["messages"] == [{"role": "user", "content": "a text"}]


def test_keys_are_in_no_file_no_log_and_no_error(serve, tmp_path, monkeypatch, caplog):
    """Also where the server says the key back."""
    server = serve(fault_share=0.5, faults=("500",))
    told, write = json.dumps({"error": f"wrong key {KEY}"}).encode(), labeling_server._response
    monkeypatch.setattr(labeling_server, "_response", lambda status, _: write(status, told))
    teacher = RemoteTeacher("tiny", base_url=server.base_url, api_key=KEY)
    settings = LabelSettings(backoff_s=0.001, max_attempts=3)
    tasks = [LabelTask(str(n), f"x {n}") for n in range(10)]
    with caplog.at_level(logging.DEBUG):
        run = BatchLabeler(teacher, tmp_path, settings=settings).run(tasks)
    assert server.injected.keys() == {"", "500"}
    assert [one.fault.message.count("wrong key ***") for one in run.results] == [1] * 10
    assert KEY not in repr(vars(teacher)) + str(run) + caplog.text
    for path in tmp_path.iterdir():
        assert KEY not in path.read_text()


FAULTS = [
    ("429", RemoteError, 429), ("500", RemoteError, 500), ("no json", RemoteError, 200),
    ("reset", RemoteError, None), ("half", RemoteError, None), ("hang", DeadlineError, None),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "kind", "status"), FAULTS, ids=[f for f, *_ in FAULTS])
def test_what_goes_wrong_on_the_way_is_told_by_its_kind(serve, fault, kind, status):
    server = serve(fault_share=1.0, faults=(fault,), hang_s=0.5)
    with pytest.raises(kind) as told:
        ask(RemoteTeacher("tiny", base_url=server.base_url, timeout_s=0.2))
    assert getattr(told.value, "status", None) == status


def test_a_server_that_is_not_there():
    with pytest.raises(RemoteError, match="no server was reached"):
        ask(RemoteTeacher("tiny", base_url="http://127.0.0.1:9/v1"))


def body(**fields):
    choice = {"message": {"content": "Au"}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], **fields}).encode()


def test_bodies_of_servers():
    assert read_answer(body(), "four") == TeacherAnswer("Au", "stop", 4, 2, "")
    cut = {"message": {"content": " A"}, "finish_reason": "length"}
    assert read_answer(body(choices=[cut]), "x").finish_reason == "length"
    silent = {"message": {"content": None}, "finish_reason": "stop"}
    assert read_answer(body(choices=[silent]), "x").text == ""
    for content, status in (
        (b"[]", 200),
        (b'{"choices": []}', 200),
        (b'{"choices": ["x"]}', 200),
        (b'{"choices": [{"message": "x", "finish_reason": "stop"}]}', 200),
        (b'{"error": {"message": "no", "code": 429}}', 429),
        (b'{"error": "no"}', 500),
    ):
        with pytest.raises(RemoteError) as told:
            read_answer(content, "x")
        assert told.value.status == status


@pytest.mark.parametrize(
    ("choice", "kind", "words", "again"),
    [
        ({"finish_reason": "content_filter"}, "bad_request", "withheld", False),
        ({"finish_reason": "SAFETY"}, "bad_request", "withheld", False),
        ({"finish_reason": "abort"}, "llm_api_error", "broke", True),
        ({"finish_reason": "error", "error": {"code": 502, "message": "gone"}},
         "llm_api_error", "answering: gone", True),
        ({"finish_reason": "stop", "error": {"code": 429, "message": "slow"}},
         "rate_limit", "slow", True),
        ({"finish_reason": "stop", "error": {"code": 403, "message": "flagged"}},
         "llm_api_error", "flagged", False),
        ({"finish_reason": ""}, "bad_request", "did not say why", False),
        ({"finish_reason": None}, "bad_request", "did not say why", False),
        ({}, "bad_request", "did not say why", False),
        ({"finish_reason": "eureka"}, "bad_request", "not known", False),
    ],
)  # fmt: skip
def test_a_partial_answer_is_no_label(choice, kind, words, again):
    whole = {"message": {"content": "Aur"}, **choice}
    with pytest.raises(GenerationError, match=words) as told:
        read_answer(body(choices=[whole]), "x")
    fault = judge_fault(told.value)
    assert (fault.kind, fault.again) == (kind, again)
    assert fault.answered
    assert not fault.free, "what was answered in part may be charged"


def chunk(end=None, **delta):
    told = {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
    return json.dumps(told)


def events(*data, line="\n"):
    return "".join(f"data: {one}{line}{line}" for one in data).encode()


USAGE = json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
BLOCKS = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Gold"}]
OLLAMA = [
    {"model": "m", "message": {"role": "assistant", "content": "Go"}, "done": False},
    {"model": "m", "message": {"content": "ld"}, "done": True, "done_reason": "stop",
     "prompt_eval_count": 7, "eval_count": 2},
]  # fmt: skip
GOLD = TeacherAnswer("Gold", "stop", 7, 2, "m")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (events(chunk(role="assistant"), chunk(content="Go"), chunk("stop", content="ld"), USAGE,
                "[DONE]"), GOLD),
        (events(chunk(content="Gold"), chunk("stop"), USAGE, line="\r\n"), GOLD),
        (events(chunk(content="Gold"), USAGE, "[DONE]"), GOLD),
        (b": ping\n\n" + events(chunk("stop", content=[BLOCKS[1]]), USAGE), GOLD),
        (events(chunk(reasoning_content="H"), chunk(reasoning_content="m."), chunk(content="Gold"),
                chunk("stop"), USAGE), replace(GOLD, thoughts="Hm.")),
        (events(chunk(content=BLOCKS[:1]), chunk("stop", content=BLOCKS[1:]), USAGE),
         replace(GOLD, thoughts="Hm.")),
        (events(chunk(content="Gold"), chunk("length"), USAGE),
         replace(GOLD, finish_reason="length")),
        (events(json.dumps({"model": "m", "choices": [{"text": "Gold", "finish_reason": "stop"}]}),
                USAGE), GOLD),
        ("\n".join(map(json.dumps, OLLAMA)).encode(), GOLD),
        (json.dumps({**OLLAMA[1], "message": {"content": "Gold"}}).encode(), GOLD),
    ],
)  # fmt: skip
def test_streams_that_nobody_asked_for_are_answers(content, answer):
    assert read_answer(content, "x") == answer


@pytest.mark.parametrize(
    ("content", "kind", "words", "again"),
    [
        (events(chunk(content="Go")), "llm_api_error", "broke off", True),
        (events(chunk(content="Go"), '{"error": {"message": "gone", "code": 503}}'),
         "llm_api_error", "gone", True),
        (b"event: error\n" + events('{"message": "slow", "code": 429}'),
         "rate_limit", "slow", True),
        (events(chunk("content_filter", content="Go"), "[DONE]"), "bad_request", "withheld", False),
        (events(chunk("stop", refusal="No.")), "bad_request", "refused", False),
        (events(chunk("tool_calls", tool_calls=[{"function": {"name": "f"}}])), "bad_request",
         "called a tool", False),
        (json.dumps(OLLAMA[0]).encode(), "llm_api_error", "broke off", True),
        (b"<html>Welcome</html>", "json_parse_error", "a page", True),
        (b"", "json_parse_error", "no JSON", True),
        (events('{"choices": ["x"]}'), "json_parse_error", "no answer", True),
        (events(json.dumps({"choices": [{"delta": "x"}]})), "json_parse_error", "no answer", True),
    ],
)  # fmt: skip
def test_streams_without_a_whole_answer_are_no_labels(content, kind, words, again):
    with pytest.raises(GenerationError, match=words) as told:
        read_answer(content, "x")
    fault = judge_fault(told.value)
    assert (fault.kind, fault.again) == (kind, again)


def test_a_call_of_a_tool_is_no_label():
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    said = {"message": {"content": "Let me look.", "tool_calls": [call]}, "finish_reason": "stop"}
    with pytest.raises(GenerationError, match="called a tool"):
        read_answer(body(choices=[said]), "x")
    message = AIMessage("Let me look.", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    with pytest.raises(GenerationError, match="called a tool"):
        ask(LangChainTeacher(GenericFakeChatModel(messages=iter([message]))))


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stopReason": "tool_use"}, "stop"),
        ({"finish_reason": "STOP"}, "stop"),
        ({"done_reason": "stop", "done": True}, "stop"),
        ({"status": "completed", "incomplete_details": None}, "stop"),
        ({}, "stop"),
        ({"stopReason": "max_tokens"}, "length"),
        ({"finish_reason": 2}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"finish_reason": "RECITATION"}, None),
        ({"stop_reason": "pause_turn"}, None),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, None),
        ({"status": "failed"}, None),
        ({"finish_reason": None}, None),
        ({"done_reason": "load"}, None),
        ({"done": False}, None),
    ],
)
def test_the_end_of_a_langchain_message_is_judged(metadata, finish):
    message = AIMessage("Au", response_metadata=metadata)
    teacher = LangChainTeacher(GenericFakeChatModel(messages=iter([message])))
    if finish is None:
        with pytest.raises(GenerationError):
            ask(teacher)
    else:
        assert ask(teacher).finish_reason == finish


def test_providers_are_found_by_their_variables(serve, monkeypatch):
    for provider in PROVIDERS.values():
        for name in (provider.url_env, provider.key_env, provider.model_env):
            monkeypatch.delenv(name or "NONE", raising=False)
    server = serve()
    with pytest.raises(ConfigError, match="set OPENROUTER_BASE_URL"):
        open_teacher("openrouter", model="m")
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.base_url)
    with pytest.raises(ConfigError, match="OPENROUTER_API_KEY holds no key"):
        ask(open_teacher("openrouter", model="m"))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_MODEL", "named")
    teacher = open_teacher("openrouter")
    assert ask(teacher).text == "label of Which?"
    assert server.bodies[-1]["model"] == teacher.name == "named"
    assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
    local = open_teacher("ollama")  # the only model that it lists
    assert ask(local).text == "label of Which?"
    assert local.name == "tiny"
    assert "authorization" not in server.headers[-1]
    loopback = [p.url for p in PROVIDERS.values() if p.url]
    assert all(url.startswith("http://127.0.0.1:") for url in loopback)


def test_langchain_models_are_teachers():
    model = ScriptedModel(["Au"])
    teacher = open_teacher(model)
    assert isinstance(teacher, LangChainTeacher)
    answer = ask(teacher, TURNS, stop=("x",), max_tokens=7)
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("Au", "stop", 1)
    assert model.prompts == ["Be brief.\nWhich?"]
    assert model.options == [{"stop": ["x"], "max_tokens": 7, "temperature": 0.0}]
    bare = LangChainTeacher(ScriptedModel(["Au"]), options=())
    assert ask(bare).text == "Au"
    with pytest.raises(ConfigError, match="allowed are"):
        LangChainTeacher(model, options=("tokens",))
    with pytest.raises(ConfigError, match="extra is for servers"):
        ask(teacher, extra={"n": 2})


class RateLimitError(Exception):
    status_code = 429

    class response:  # noqa: N801
        headers = {"retry-after": "7"}  # noqa: RUF012


class APITimeoutError(Exception):
    pass


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        (RateLimitError("slow"), RemoteError, 429),
        (APITimeoutError("late"), DeadlineError, None),
        (OSError("gone"), RemoteError, None),
    ],
)
def test_errors_of_providers_packages_are_told_as_ours(fault, kind, status):
    with pytest.raises(kind, match=str(fault)) as told:
        ask(open_teacher(ScriptedModel([fault])))
    assert getattr(told.value, "status", None) == status
    if status == 429:
        assert told.value.retry_after == "7"


def test_settings_that_do_not_fit_the_source_are_refused():
    for source, settings, words in (
        ("http://127.0.0.1:1/v1", {"model": "m", "bits": 4}, "bits: a server decides"),
        (ScriptedModel([]), {"model": "m"}, "model: .* is no server"),
        (Scripted(None), {"device": "cpu"}, "device: the teacher is open already"),
        ("http://u:p@127.0.0.1/v1", {"model": "m"}, "keys come by api_key_env"),
        ("http://127.0.0.1:1/v1", {"model": "m", "timeout_s": 0}, "timeout_s is 0"),
        ("http://127.0.0.1:1/v1", {"model": "m", "endpoint": "x"}, "endpoint is 'x'"),
    ):
        with pytest.raises(ConfigError, match=words):
            open_teacher(source, **settings)
    own = Scripted(None)
    assert open_teacher(own) is own
    assert isinstance(own, Teacher)


def test_no_server_is_asked_while_models_are_forbidden(serve):
    server = serve()
    with forbid_models(), pytest.raises(AssertionError, match="forbid_models"):
        ask(RemoteTeacher("tiny", base_url=server.base_url))
    assert server.asked == {}


@pytest.mark.parametrize(
    "module",
    [teachers, opening, class_balance, duplicates, free_text, scores, retries],
    ids=lambda m: m.__name__,
)
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_names_of_models_that_are_nowhere_are_told_without_torch(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(
        sys.modules, "stillroom.labeling.teachers.local_model", None
    )  # its import fails
    for name in ("outputs/typo", "./no/such/folder", "qwenn"):
        with pytest.raises(ModelNotFoundError, match="is no folder here"):
            open_teacher(name)
