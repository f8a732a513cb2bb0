from __future__ import annotations

import asyncio
import threading

import pytest
from engine_tools import held
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from stillroom.errors import (
    CheckpointError,
    ConfigError,
    EngineClosedError,
    GenerationError,
    ModelNotFoundError,
)
from stillroom.inference.chat import messages
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.chat_prompts import chat_prompt_ids
from stillroom.inference.chat.messages import chat_turns, message_text, plain_prompt
from stillroom.inference.chat.response_format import AnswerForm, answer_form
from stillroom.inference.checkpoints.load_student import Checkpoint
from tiny_model import PAIRS, make_tokenizer, score_choices

PROMPTS = list(PAIRS)
COUNT = PROMPTS[-1]


@pytest.fixture
def chat(tiny):
    return ChatStudent(model=tiny)


@pytest.fixture
def steps(restless):
    """Names of the threads that computed, one per decode step of `restless`."""
    seen = []
    hook = restless.model.register_forward_hook(
        lambda *_: seen.append(threading.current_thread().name)
    )
    yield seen
    hook.remove()


async def decoding_ends(chat):
    """Wait with the loop alive: a closed loop would end requests as well and prove nothing."""
    while chat.serving_engine.stats().running:
        await asyncio.sleep(0.001)


def test_invoke_answers_with_usage_and_metadata(chat, tiny):
    message = chat.invoke(PROMPTS[0])
    assert message.text == "Au"
    asked = len(tiny.tokenizer(PROMPTS[0])["input_ids"])
    assert message.usage_metadata == {
        "input_tokens": asked,
        "output_tokens": 2,
        "total_tokens": asked + 2,
    }
    assert message.response_metadata["model_name"] == "tiny"
    assert message.response_metadata["finish_reason"] == "stop"
    assert len(message.response_metadata["logprobs"]) == 2


def test_a_folder_is_loaded(saved):
    chat = ChatStudent(model=str(saved), device="cpu")
    assert chat.invoke(PROMPTS[1]).text == "Ag"
    assert chat.model_name == "tiny"


def test_stream_is_made_of_real_chunks(chat):
    chunks = list(chat.stream(COUNT))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.text == PAIRS[COUNT]
    assert sum(bool(chunk.text) for chunk in chunks) >= 10
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert sum("model_name" in chunk.response_metadata for chunk in chunks) == 1
    assert whole.usage_metadata["output_tokens"] == 31


def test_stream_shows_whole_characters(chat):
    chunks = [chunk.text for chunk in chat.stream(PROMPTS[2])]
    assert "".join(chunks) == PAIRS[PROMPTS[2]]
    assert not any("\ufffd" in chunk for chunk in chunks)


def test_callbacks_see_each_token(chat):
    class Listener(BaseCallbackHandler):
        tokens: list[str] = []  # noqa: RUF012

        def on_llm_new_token(self, token, **_):
            self.tokens.append(token)

    listener = Listener()
    list(chat.stream(COUNT, config={"callbacks": [listener]}))
    assert "".join(listener.tokens) == PAIRS[COUNT]
    assert len(listener.tokens) >= 10


def test_stop_texts_of_model_and_call_both_count(tiny):
    chat = ChatStudent(model=tiny, stop=["four"])
    assert chat.invoke(COUNT).text == "one two three "
    assert chat.invoke(COUNT, stop=["two"]).text == "one "
    assert "".join(c.text for c in chat.stream(COUNT, stop=["five"])) == "one two three "


def test_limits_and_options_per_call(chat):
    short = chat.invoke(COUNT, max_tokens=3)
    assert short.usage_metadata["output_tokens"] == 3
    assert short.response_metadata["finish_reason"] == "length"
    hot = {"temperature": 3.0, "max_tokens": 12}
    assert chat.invoke(COUNT, seed=1, **hot).text == chat.invoke(COUNT, seed=1, **hot).text
    assert len({chat.invoke(COUNT, **hot).text for _ in range(5)}) > 1, "no seed, new samples"


def test_async_gives_the_same_and_keeps_out_of_the_loop(restless, steps):
    chat = ChatStudent(model=restless, max_tokens=20)

    async def both():
        answer = await chat.ainvoke("gold")
        pieces = [chunk.text async for chunk in chat.astream("gold")]
        return answer.text, "".join(pieces)

    answer, streamed = asyncio.run(both())
    assert set(steps) == {"stillroom-engine"}
    assert answer == streamed == chat.invoke("gold").text


def test_the_loop_goes_on_while_a_model_computes(restless, steps):
    chat = ChatStudent(model=restless, max_tokens=60)

    async def run():
        task = asyncio.create_task(chat.ainvoke("gold"))
        seen = set()
        while not task.done():
            seen.add(len(steps))
            await asyncio.sleep(0)
        return seen

    assert len(asyncio.run(run())) > 10, "the loop ran at many different decode steps"


def test_sixteen_concurrent_calls_equal_serial_ones(chat):
    asked = (PROMPTS * 2)[:16]

    async def together():
        return await asyncio.gather(*(chat.ainvoke(prompt) for prompt in asked))

    assert [m.text for m in asyncio.run(together())] == [PAIRS[prompt] for prompt in asked]


def test_twenty_four_callers_cost_the_steps_of_one(restless):
    chat = ChatStudent(model=restless, max_tokens=30)
    engine = chat.serving_engine

    async def together():
        with held(restless):
            tasks = [asyncio.ensure_future(chat.ainvoke(f"gold {n}")) for n in range(24)]
            while (now := engine.stats()).waiting + now.running < 24:
                await asyncio.sleep(0)
        return await asyncio.gather(*tasks)

    before = engine.stats().steps
    made = [m.usage_metadata["output_tokens"] for m in asyncio.run(together())]
    assert sum(made) > 24 * 20, "answers that end at once would show nothing"
    # LangChain's own async, a pool of threads around one call each, takes the sum of all.
    assert engine.stats().steps - before <= max(made) + 3


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_cancelling_stops_within_two_tokens(restless, steps, way):
    chat = ChatStudent(model=restless, max_tokens=200)
    assert chat.invoke("eleven").usage_metadata["output_tokens"] > 100
    steps.clear()

    async def consume():
        if way == "invoke":
            await chat.ainvoke("eleven")
        else:
            async for _ in chat.astream("eleven"):
                pass

    async def cancel_early():
        task = asyncio.create_task(consume())
        while len(steps) < 5:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        at_cancel = len(steps)
        await decoding_ends(chat)
        return at_cancel

    at_cancel = asyncio.run(cancel_early())
    assert len(steps) <= at_cancel + 2


def test_leaving_a_stream_early_stops_decoding(restless, steps):
    chat = ChatStudent(model=restless, max_tokens=200)

    async def leave():
        stream = chat.astream("eleven")
        async for _ in stream:
            break
        await stream.aclose()
        at_leave = len(steps)
        await decoding_ends(chat)
        return at_leave

    at_leave = asyncio.run(leave())
    assert len(steps) <= at_leave + 2
    assert chat.invoke("eleven").text, "the model is free again"


def test_errors_arrive_as_themselves(chat):
    long = "gold " * 300

    async def ask():
        await chat.ainvoke(long)

    async def stream():
        async for _ in chat.astream(long):
            pass

    for call in (
        lambda: chat.invoke(long),
        lambda: list(chat.stream(long)),
        lambda: asyncio.run(ask()),
        lambda: asyncio.run(stream()),
    ):
        with pytest.raises(GenerationError, match=r"tokens.*256"):
            call()


def test_unexpected_errors_of_the_model_are_generation_errors(restless, monkeypatch):
    def fail(*_, **__):
        raise KeyError("weights")

    monkeypatch.setattr(restless.model, "forward", fail)
    with pytest.raises(GenerationError, match="restless could not answer"):
        ChatStudent(model=restless).invoke("gold")


def test_unknown_options_are_refused(chat):
    with pytest.raises(ConfigError, match=r"'max_length'.*known"):
        chat.invoke(PROMPTS[0], max_length=3)


def test_choices_are_scored_by_the_engine(chat, tiny):
    choices = ["Au", "Ag", "no, it is Au"]
    scores = chat.score_choices(PROMPTS[1], choices)
    assert scores == pytest.approx(score_choices(tiny, PROMPTS[1], choices), abs=1e-5)
    assert max(scores) == scores[1]
    chat.serving_engine.close()
    with pytest.raises(EngineClosedError):
        chat.score_choices(PROMPTS[1], choices)


def test_bad_settings_and_folders_are_refused_at_once(tiny, tmp_path):
    with pytest.raises(ConfigError, match="temperature"):
        ChatStudent(model=tiny, temperature=-1)
    with pytest.raises(ModelNotFoundError):
        ChatStudent(model=str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        ChatStudent(model=tmp_path)


def test_messages_become_a_prompt():
    assert plain_prompt([HumanMessage("Q")]) == "Q"
    assert plain_prompt([HumanMessage([{"type": "text", "text": "Q"}])]) == "Q"
    history = [
        SystemMessage("Be brief."),
        HumanMessage("Q1"),
        AIMessage("A1"),
        HumanMessage("Q2"),
        ToolMessage("found", tool_call_id="1"),
    ]
    assert plain_prompt(history) == "Be brief.\nUser: Q1\nAssistant: A1\nTool: found\nQ2"
    with pytest.raises(GenerationError, match="'image_url'"):
        plain_prompt([HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}])])
    with pytest.raises(GenerationError, match="no messages"):
        plain_prompt([])


BLOCKS = {
    "thinking": {"type": "thinking", "thinking": "hm", "signature": "s"},
    "redacted": {"type": "redacted_thinking", "data": "x"},
    "reasoning": {"type": "reasoning", "summary": []},
    "refusal beside text": {"type": "refusal", "refusal": "no"},
    "server tool": {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}},
    "its result": {"type": "web_search_tool_result", "tool_use_id": "1", "content": []},
    "image": {"type": "image_url", "image_url": {"url": "x"}},
    "file": {"type": "file", "base64": "eA==", "mime_type": "application/pdf"},
    "code": {"type": "executable_code", "executable_code": "1"},
    "unknown": {"type": "eureka"},
    "text that is none": {"type": "text", "text": None},
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("kind", [HumanMessage, AIMessage, SystemMessage])
def test_the_text_is_taken_from_among_other_blocks(name, kind):
    message = kind([BLOCKS[name], "A", {"type": "text", "text": "u"}, BLOCKS[name]])
    history = [message, HumanMessage("Q")]
    assert [turn["content"] for turn in chat_turns(history)] == ["Au", "Q"]
    assert plain_prompt(history).endswith("Au\nQ")
    assert chat_turns([message])[0]["content"] == "Au"


def test_what_is_left_out_is_said_once(caplog, monkeypatch):
    monkeypatch.setattr(messages, "_told", set())
    seen = AIMessage([BLOCKS["thinking"], BLOCKS["image"], BLOCKS["thinking"]])
    called = AIMessage([{"type": "tool_use", "id": "1", "name": "add", "input": {}}])
    for _ in range(2):
        chat_turns([HumanMessage([BLOCKS["image"]]), seen, called, HumanMessage("Q")])
    assert [record.args for record in caplog.records] == [("image_url",), ("thinking",)]


def test_a_refusal_of_an_earlier_turn_is_what_was_said():
    blocks = AIMessage([{"type": "refusal", "refusal": "I cannot."}])
    field = AIMessage("", additional_kwargs={"refusal": "I cannot."})
    for refused in (blocks, field):
        assert chat_turns([refused, HumanMessage("Q")])[0]["content"] == "I cannot."
        assert message_text(refused) == "", "an answer that is only a refusal has no text"


def test_a_chat_template_is_used_by_models_that_came_with_one(restless):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    foreign = Checkpoint(restless.model, tokenizer, None, "foreign", None)
    free = AnswerForm()
    ids = chat_prompt_ids(foreign, [SystemMessage("S"), HumanMessage("hello")], free)
    assert tokenizer.decode(ids).strip() == "[system] S\n[user] hello\n[assistant]"
    marked = chat_prompt_ids(foreign, [HumanMessage(f"a {tokenizer.eos_token} b")], free)
    assert tokenizer.eos_token_id not in marked, "a user's text became a control token"
    own = Checkpoint(restless.model, make_tokenizer(), None, "own", {"status": "complete"})
    asked = chat_prompt_ids(own, [HumanMessage("hello")], free)
    assert own.tokenizer.decode(asked).strip() == "hello", "a model without a template"


@pytest.mark.parametrize("template", [False, True])
def test_long_lists_of_a_tool_leave_room_for_an_answer(tiny, template):
    """A tool over many records: the prompt names some, what may be answered stays all of them."""
    names = tuple(f"record {number}" for number in range(400))
    schema = {"type": "object", "required": ["of"],
              "properties": {"of": {"type": "string", "enum": list(names)}}}  # fmt: skip
    tool = {
        "type": "function",
        "function": {"name": "get", "description": "G.", "parameters": schema},
    }
    form = answer_form({"tools": [tool], "tool_choice": "required"})
    checkpoint = tiny
    if template:
        tokenizer = make_tokenizer()
        tokenizer.chat_template = (
            "{% for t in tools %}{{ t | tojson }}{% endfor %}"
            "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        )
        checkpoint = Checkpoint(tiny.model, tokenizer, None, "foreign", None)
    ids = chat_prompt_ids(checkpoint, [HumanMessage("hello")], form)
    assert len(ids) < tiny.model.config.max_position_embeddings
    assert "more" in checkpoint.tokenizer.decode(ids)
    assert "record 399" in form.grammar.rules
    few = answer_form({"tools": [{**tool, "function": {**tool["function"], "parameters": {}}}]})
    short = chat_prompt_ids(checkpoint, [HumanMessage("hello")], few)
    assert "more" not in checkpoint.tokenizer.decode(short)


def test_it_describes_itself(chat, tiny):
    assert chat._llm_type == "stillroom"
    assert chat.get_num_tokens(PROMPTS[0]) == len(tiny.tokenizer(PROMPTS[0])["input_ids"])
    assert chat._identifying_params["model"] == "tiny"
    assert chat.profile["max_input_tokens"] == tiny.model.config.max_position_embeddings
    assert chat.profile["tool_calling"]
    assert not chat.profile["image_inputs"]
    assert "Llama" not in repr(chat), "the weights are not printed"
    assert isinstance(next(chat.stream(PROMPTS[0])), AIMessageChunk)
