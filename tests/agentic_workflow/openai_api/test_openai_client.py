"""The unmodified `openai` client against a running server over a trained tiny student."""

import json
import sys
from functools import cache

import openai
import pytest
from http_server import running_server
from project_paths import ROOT
from pydantic import BaseModel
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.scoring.embeddings import StudentEmbeddings

sys.path.insert(0, str(ROOT / "tests" / "inference"))
from tiny_model import make_model, make_tokenizer, train

GOLD = "What is the symbol of gold?"
TOOL = {
    "type": "function",
    "function": {
        "name": "weigh",
        "description": "weighs",
        "parameters": {
            "type": "object",
            "properties": {"kind": {"enum": ["gold", "silver"]}},
            "required": ["kind"],
            "additionalProperties": False,
        },
    },
}


@cache
def make_trained():
    """Train the tiny student with room for the texts of tools."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, max_position_embeddings=2048)
    train(model, tokenizer)
    return Checkpoint(model, tokenizer, None, "tiny", {"status": "complete"})


@pytest.fixture(scope="module")
def server(table):
    checkpoint = make_trained()
    model = ChatStudent(model=checkpoint)
    workflows = {
        "multi": MultiAgentWorkflow(model, table=table, checkpointer="memory"),
        "single": AgenticWorkflow(model, table=table, checkpointer="memory"),
    }
    service = Service(
        model,
        workflows,
        ServerSettings(),
        model_name="elements",
        checkpoint_sha256="ab" * 32,
        embeddings=lambda: StudentEmbeddings(checkpoint),
    )
    with running_server(service) as address:
        yield address


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client, model="elements", content=f"Question: {GOLD}\n\nAnswer:", **options):
    messages = [{"role": "user", "content": content}]
    return client.chat.completions.create(model=model, messages=messages, **options)


def test_the_student_and_the_workflows_are_models(client):
    assert [model.id for model in client.models.list()] == ["elements", "multi", "single"]
    assert client.models.retrieve("multi").owned_by == "stillroom"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.models.retrieve("gpt")


def test_an_answer_of_the_student(client):
    answer = ask(client)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Au", "stop")
    assert answer.usage.prompt_tokens > 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    told = answer.model_extra["stillroom"]
    assert told["checkpoint_sha256"] == "ab" * 32
    assert len(told["prompt_sha256"]) == 64
    assert len(told["run_id"]) == 36


def test_an_answer_of_a_workflow_carries_citations_and_verdict(client):
    told = ask(client, "multi", "What is the symbol of Gold?").model_extra["stillroom"]
    assert told["verdict"] == "agrees"
    assert told["citations"][0]["value"] in ("Au", "Gold")
    assert told["model"] == "multi"
    none = ask(client, "multi", "What is the symbol of Unobtainium?")
    assert none.model_extra["stillroom"]["verdict"] == "abstained"


@pytest.mark.parametrize("model", ["elements", "multi", "single"])
def test_a_stream_joins_to_the_answer(client, model):
    content = f"Question: {GOLD}\n\nAnswer:" if model == "elements" else GOLD
    whole = ask(client, model, content)
    usage = {"include_usage": True}
    chunks = list(ask(client, model, content, stream=True, stream_options=usage))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert chunks[-2].model_extra["stillroom"]["model"] == model


def test_a_tool_is_called_and_streamed(client):
    forced = {"type": "function", "function": {"name": "weigh"}}
    answer = ask(client, tools=[TOOL], tool_choice=forced)
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments)["kind"] in ("gold", "silver")
    stream = ask(client, tools=[TOOL], tool_choice="required", stream=True)
    pieces = [p for c in stream for p in c.choices[0].delta.tool_calls or []]
    assert pieces[0].function.name == "weigh"
    arguments = "".join(piece.function.arguments for piece in pieces)
    assert json.loads(arguments) == json.loads(call.function.arguments)
    history = [
        {"role": "user", "content": "weigh"},
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "19.3 g"},
    ]
    after = client.chat.completions.create(model="elements", messages=history, max_tokens=5)
    assert after.choices[0].finish_reason in ("stop", "length")


class Metal(BaseModel):
    noble: bool
    grade: int


def test_structured_output_is_parsed(client):
    messages = [{"role": "user", "content": "gold"}]
    answer = client.chat.completions.parse(
        model="elements", messages=messages, response_format=Metal
    )
    assert isinstance(answer.choices[0].message.parsed, Metal)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="elements", messages=messages, response_format=Metal, max_tokens=2
        )


def test_logprobs_name_the_tokens(client):
    answer = ask(client, logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens).strip().startswith("Au")
    assert bytes(tokens[0].bytes).decode() == tokens[0].token
    assert len(tokens) == answer.usage.completion_tokens
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob, abs=1e-5)
    assert ask(client, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []


def test_stop_texts_and_samples(client):
    counted = "Question: Count.\n\nAnswer:"
    answer = ask(client, content=counted, stop=[" four"]).choices[0]
    assert (answer.message.content, answer.finish_reason) == ("one two three", "stop")
    assert ask(client, content=counted, max_tokens=2).choices[0].finish_reason == "length"
    one, two = (ask(client, temperature=1.5, seed=7).choices[0].message for _ in range(2))
    assert one.content == two.content


@pytest.mark.parametrize(
    ("options", "param", "words"),
    [
        ({"n": 2}, "n", "Input should be 1"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", ""),
        ({"extra_body": {"nonsense": 1}}, "nonsense", "is not supported here"),
        ({"temperature": -1}, "temperature", "greater than or equal to 0"),
        ({"max_tokens": 0}, "max_tokens", ""),
        ({"logit_bias": {"5": 1}}, "logit_bias", "is not supported here"),
        ({"model": "multi", "tools": [TOOL]}, "tools", "not supported by the workflow"),
        ({"model": "multi", "temperature": 0.5}, "temperature", "not supported by the workflow"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(client, options, param, words):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **options)
    assert refused.value.param.startswith(param)
    assert words in refused.value.message


def test_errors_are_typed(client):
    with pytest.raises(openai.NotFoundError) as missing:
        ask(client, "gpt-5")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="the model attends to"):
        ask(client, content="gold " * 5000)
    with pytest.raises(openai.BadRequestError, match="attends to"):
        ask(client, content="gold " * 5000, stream=True)
    picture = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    with pytest.raises(openai.BadRequestError):
        ask(client, content=picture)


def test_a_response_and_its_stream(client):
    asked = {"model": "elements", "input": f"Question: {GOLD}\n\nAnswer:"}
    response = client.responses.create(**asked)
    assert (response.output_text, response.status, response.store) == ("Au", "completed", False)
    assert response.model_extra["stillroom"]["checkpoint_sha256"] == "ab" * 32
    events = list(client.responses.create(**asked, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "Au"
    assert events[-1].response.usage.total_tokens == response.usage.total_tokens
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output_text == "Au"


def test_a_response_calls_tools_and_reads_their_results(client):
    tool = {"type": "function", **TOOL["function"], "strict": True}
    asked = {"model": "elements", "tools": [tool], "tool_choice": "required"}
    response = client.responses.create(**asked, input="weigh")
    (call,) = response.output
    assert (call.type, call.name) == ("function_call", "weigh")
    last = list(client.responses.create(**asked, input="weigh", stream=True))[-1].response
    assert last.output[0].arguments == call.arguments
    items = [
        {"role": "user", "content": "weigh"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "19.3 g"},
    ]
    after = client.responses.create(model="elements", input=items, max_output_tokens=5)
    assert after.output[0].type == "message"


def test_a_response_has_a_form_and_a_limit(client):
    parsed = client.responses.parse(model="elements", input="gold", text_format=Metal)
    assert isinstance(parsed.output_parsed, Metal)
    counted = {"model": "elements", "input": "Question: Count.\n\nAnswer:"}
    short = client.responses.create(**counted, max_output_tokens=2)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    events = list(client.responses.create(**counted, max_output_tokens=2, stream=True))
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize(
    "options",
    [{"previous_response_id": "resp_1"}, {"store": True}, {"reasoning": {"effort": "low"}},
     {"include": ["file_search_call.results"]}],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_a_response_refuses_what_it_does_not_honour(client, options):
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="elements", input="gold", **options)
    assert refused.value.param.startswith(next(iter(options)))


def test_embeddings_are_those_of_the_student(client):
    ours = StudentEmbeddings(make_trained()).embed_documents(["gold", "silver"])
    floats = client.embeddings.create(
        model="elements", input=["gold", "silver"], encoding_format="float"
    )
    packed = client.embeddings.create(model="elements", input=["gold", "silver"])
    for answer in (floats, packed):
        for item, row in zip(answer.data, ours, strict=True):
            assert item.embedding == pytest.approx(row, abs=1e-6)
    assert floats.usage.prompt_tokens > 0
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="multi", input="gold")


async def test_the_asynchronous_client_streams(server):
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="single", messages=[{"role": "user", "content": GOLD}], stream=True
        )
        texts = [c.choices[0].delta.content or "" async for c in stream]
    assert "".join(texts) == "Au"
