from __future__ import annotations

import asyncio
import threading

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import BaseModel
from stillroom.errors import ScriptError
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel, forbid_models
from stillroom.inference.checkpoints.load_student import load_checkpoint


def test_replies_come_in_order_and_prompts_are_kept():
    model = ScriptedModel(["one", "two words"])
    assert model.invoke("a").text == "one"
    assert model.invoke([SystemMessage("S"), HumanMessage("b")]).text == "two words"
    assert model.prompts == ["a", "S\nb"]
    model.assert_exhausted()


def test_replies_by_prompt_and_by_function():
    model = ScriptedModel({"a": "one", "b": "two"})
    assert [model.invoke(p).text for p in ("b", "a", "a")] == ["two", "one", "one"]
    model.assert_exhausted()
    shout = ScriptedModel(str.upper)
    assert shout.invoke("au").text == "AU"
    shout.assert_exhausted()


def test_streams_word_by_word():
    model = ScriptedModel(["  two  words \n"] * 2)
    chunks = list(model.stream("a"))
    assert [chunk.text for chunk in chunks] == ["  two", "  words", " \n"]
    assert chunks[-1].chunk_position == "last"
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1

    async def stream():
        return [chunk.text async for chunk in model.astream("a")]

    assert asyncio.run(stream()) == ["  two", "  words", " \n"]


def test_an_empty_reply_is_a_reply():
    model = ScriptedModel([""] * 2)
    assert model.invoke("a").text == ""
    assert "".join(chunk.text for chunk in model.stream("a")) == ""


def test_stop_texts_cut_the_reply():
    assert ScriptedModel(["one two"]).invoke("a", stop=[" two"]).text == "one"


def test_errors_in_the_script_are_raised():
    with pytest.raises(TimeoutError, match="slow"):
        ScriptedModel([TimeoutError("slow")]).invoke("a")


def test_asking_more_than_the_script_holds():
    model = ScriptedModel(["one"])
    model.invoke("a")
    with pytest.raises(ScriptError, match="asked once more: 'b'"):
        model.invoke("b")
    with pytest.raises(ScriptError, match=r"the nearest is to \['question'\]"):
        ScriptedModel({"question": "x"}).invoke("questions")


def test_asking_less_than_the_script_holds():
    model = ScriptedModel(["one", "two"])
    model.invoke("a")
    with pytest.raises(ScriptError, match=r"1 of 2 replies were not used: \['two'\]"):
        model.assert_exhausted()
    by_prompt = ScriptedModel({"a": "1", "b": "2"})
    by_prompt.invoke("a")
    with pytest.raises(ScriptError, match=r"\['b'\]"):
        by_prompt.assert_exhausted()


def test_a_block_must_use_all_of_the_script():
    with ScriptedModel(["one"]) as model:
        model.invoke("a")
    with pytest.raises(ScriptError, match="were not used"), ScriptedModel(["one"]):
        pass
    with pytest.raises(KeyError), ScriptedModel(["one"]):  # the first fault is the one to see
        raise KeyError("other")


CALL = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": [2, "é"]}, "id": "c1"}])


def add(a: int, b: list[int]) -> int:
    """Add."""
    return a + sum(b)


def test_tool_calls_stand_in_the_script():
    with ScriptedModel([CALL, CALL, "three"]) as model:
        agent = model.bind_tools([add], tool_choice="any")
        message = agent.invoke("1 + 2?")
        assert message.tool_calls == CALL.tool_calls
        assert message.response_metadata["finish_reason"] == "tool_calls"
        chunks = list(agent.stream("1 + 2?"))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole = whole + chunk
        assert whole.tool_calls == message.tool_calls
        assert agent.invoke("and?").text == "three"
    assert [o["tools"][0]["function"]["name"] for o in model.options] == ["add"] * 3
    assert model.options[0]["tool_choice"] == "any"


class Point(BaseModel):
    """A place."""

    x: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_replies_are_read_as_objects(method):
    called = AIMessage("", tool_calls=[{"name": "Point", "args": {"x": 3}, "id": "c"}])
    with ScriptedModel([called if method == "function_calling" else '{"x": 3}']) as model:
        assert model.with_structured_output(Point, method=method).invoke("?") == Point(x=3)


def test_async_answers_come_in_order_and_in_the_loop():
    threads = set()

    def reply(prompt):
        threads.add(threading.current_thread())
        return prompt

    async def ask():
        model = ScriptedModel(reply)
        answers = await asyncio.gather(*(model.ainvoke(str(n)) for n in range(20)))
        return [answer.text for answer in answers], model.prompts

    answers, prompts = asyncio.run(ask())
    assert answers == prompts == [str(n) for n in range(20)]
    assert threads == {threading.current_thread()}


def test_real_models_can_be_forbidden(saved):
    with forbid_models():
        with pytest.raises(ScriptError, match="give the agent a ScriptedModel"), forbid_models():
            load_checkpoint(saved)
        with pytest.raises(ScriptError, match="owner/model"):
            load_checkpoint("owner/model")
    assert load_checkpoint(saved).name == "tiny"


def test_models_that_are_open_already_are_forbidden_as_well(tiny):
    open_before = ChatStudent(model=tiny)
    server = ChatStudent(model="served", base_url="http://127.0.0.1:9/v1")
    with forbid_models():
        for chat in (open_before, server):
            with pytest.raises(ScriptError, match=chat.model_name):
                chat.invoke("gold")
        with pytest.raises(ScriptError, match="tiny"):
            open_before.score_choices("gold", ["Au"])
    assert open_before.invoke("gold", max_tokens=1)
