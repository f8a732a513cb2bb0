from __future__ import annotations

import asyncio

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from stillroom.errors import ScriptError
from stillroom.inference.scripted import ScriptedModel


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
