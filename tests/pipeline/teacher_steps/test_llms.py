"""Models by their names: where settings come from, where keys do not go, and what they answer."""

import asyncio
import dataclasses
import json
import logging
import pickle

import pytest
from project_paths import ROOT
from stillroom.errors import ConfigError, LabelingStoppedError, ScriptError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.labeling.batch.label_run import Prices
from stillroom.labeling.teachers.protocol import DecodeProfile
from stillroom.pipeline.records.teacher_steps.gateway import ProviderGateway, read_gateway
from stillroom.pipeline.records.teacher_steps.generation_settings import decode_profile
from stillroom.pipeline.records.teacher_steps.llms import (
    AnthropicLLM,
    LlamaCppLLM,
    OllamaLLM,
    OpenAILLM,
    ScriptedLLM,
    SGLangLLM,
    TransformersLLM,
    as_llm,
    llm_from_environment,
    vLLM,
)
from stillroom.pipeline.records.teacher_steps.text_generation import TextGeneration

SERVED = {
    OpenAILLM: "OPENAI", OllamaLLM: "OLLAMA", SGLangLLM: "SGLANG", AnthropicLLM: "ANTHROPIC",
    vLLM: "VLLM", LlamaCppLLM: "LLAMA_SERVER",
}  # fmt: skip
TURNS = [{"role": "user", "content": "Which metal is Au?"}]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in (*SERVED.values(), "OPENROUTER"):
        for rest in ("API_KEY", "BASE_URL", "HOST", "MODEL", "TIMEOUT", "TEMPERATURE", "TOP_P",
                     "MAX_TOKENS", "STOP"):  # fmt: skip
            monkeypatch.delenv(f"{name}_{rest}", raising=False)
    monkeypatch.delenv("FASTDISTILL_PROVIDER", raising=False)


@pytest.mark.parametrize("kind", SERVED)
def test_address_model_and_key_come_from_the_environment(kind, serve, monkeypatch):
    server, prefix = serve(), SERVED[kind]
    address = "HOST" if kind is OllamaLLM else "BASE_URL"
    monkeypatch.setenv(f"{prefix}_{address}", server.base_url)
    monkeypatch.setenv(f"{prefix}_MODEL", "named-by-the-environment")
    if kind is not LlamaCppLLM:
        monkeypatch.setenv(f"{prefix}_API_KEY", "k-1")
    (answer,) = kind().generate([TURNS])
    assert answer["generations"] == ["label of Which metal is Au?"]
    assert server.bodies[0]["model"] == "named-by-the-environment"
    if kind is not LlamaCppLLM:
        assert server.headers[0]["authorization"] == "Bearer k-1"
    written = kind(model="given", base_url=server.base_url, api_key="k-2")
    written.generate(["Which?"])
    assert server.bodies[1]["model"] == "given"
    assert server.headers[1]["authorization"] == "Bearer k-2"


def test_a_remote_provider_has_no_address_of_its_own():
    with pytest.raises(ConfigError, match="set OPENAI_BASE_URL"):
        OpenAILLM(model="gpt").load()


def test_generate_gives_several_answers_with_their_tokens(serve):
    server = serve()
    llm = OpenAILLM(base_url=server.base_url)
    told = llm.generate(["a", "b"], num_generations=2, temperature=0.5, max_new_tokens=7)
    assert [one["generations"] for one in told] == [["label of a"] * 2, ["label of b"] * 2]
    assert told[0]["statistics"] == {"input_tokens": [20, 20], "output_tokens": [10, 10]}
    body = server.bodies[0]
    assert (body["temperature"], body["max_tokens"]) == (0.5, 7)
    assert len({b["seed"] for b in server.bodies}) == 2
    assert llm.model_name == "tiny", "the only model that the server lists"
    one = asyncio.run(llm.agenerate("a"))
    assert one["generations"] == ["label of a"]


def test_an_answer_that_failed_is_none_and_the_log_says_why(serve, caplog):
    server = serve(stubborn=frozenset({"b"}))
    llm = OpenAILLM(base_url=server.base_url, gateway={"max_attempts": 1})
    with caplog.at_level(logging.WARNING):
        told = llm.generate(["a", "b"])
    assert [one["generations"] for one in told] == [["label of a"], [None]]
    assert "1 x llm_api_error" in caplog.text


def test_a_key_goes_to_the_server_and_nowhere_else(serve, caplog, monkeypatch, tmp_path):
    server = serve()
    monkeypatch.setenv("GATEWAY_KEY", "sk-named")
    for given, shown in (("sk-written", None), ("${GATEWAY_KEY}", "${GATEWAY_KEY}")):
        caplog.clear()
        llm = OpenAILLM(model="tiny", base_url=server.base_url, api_key=given)
        assert ("api_key_env" in caplog.text) == (given == "sk-written")
        llm.generate(["a"])
        step = TextGeneration(llm=llm, cache_dir=str(tmp_path))
        told = [repr(llm), repr(step), str(llm.api_key), f"{dataclasses.asdict(llm)}",
                json.dumps(llm.settings()), f"{vars(llm)}", caplog.text]  # fmt: skip
        assert not [text for text in told if "sk-" in text]
        assert llm.settings()["api_key"] == shown
        assert pickle.loads(pickle.dumps(llm)).generate(["b"])[0]["generations"] == ["label of b"]
    keys = [headers["authorization"] for headers in server.headers]
    assert keys == ["Bearer sk-written"] * 2 + ["Bearer sk-named"] * 2


def test_a_variable_that_is_not_set_is_named(serve):
    llm = OpenAILLM(model="tiny", base_url=serve().base_url, api_key="${NO_SUCH_KEY}")
    with pytest.raises(ConfigError, match="NO_SUCH_KEY, which is not set"):
        llm.generate(["a"])


def test_settings_make_the_same_model_again(serve):
    server = serve()
    llm = OpenAILLM(
        model="tiny", base_url=server.base_url, api_key_env="GATEWAY_KEY",
        generation_kwargs={"temperature": 0.2, "max_new_tokens": 128, "stop": ["\n\n"]},
        gateway={"qps": 5, "prices": {"prompt": 1, "completion": 2}},
    )  # fmt: skip
    told = json.loads(json.dumps(llm.settings()))
    again = OpenAILLM(**told)
    assert (again.settings(), again.profile(), again.limits) == (
        llm.settings(), llm.profile(), llm.limits,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, DecodeProfile()),
        ({"max_new_tokens": 9, "stop": "x"}, DecodeProfile(max_tokens=9, stop=("x",))),
        ({"options": {"num_predict": 9, "temperature": 1}}, DecodeProfile(9, 1)),
        ({"temperature": 1.0, "do_sample": False}, DecodeProfile()),
        ({"top_k": 5, "extra_body": {"min_tokens": 1}},
         DecodeProfile(extra={"top_k": 5, "min_tokens": 1})),
        ({"top_p": None}, DecodeProfile()),
    ],
)  # fmt: skip
def test_generation_settings_by_the_names_of_other_tools(given, expected):
    assert decode_profile(given) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"temprature": 1}, "nearest known key is 'temperature'"),
        ({"top_p": 2}, "top_p is 2"),
        ({"max_new_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_generation_settings_that_do_not_fit_are_refused_at_once(given, told):
    with pytest.raises(ConfigError, match=told):
        OpenAILLM(model="tiny", generation_kwargs=given)


def test_openrouter_is_described_by_its_variables(serve, monkeypatch):
    server = serve()
    for name, value in {
        "BASE_URL": server.base_url, "MODEL": "deepseek/deepseek-chat", "TEMPERATURE": "0.2",
        "TOP_P": "0.9", "MAX_TOKENS": "128", "STOP": "\n\n|END", "TIMEOUT": "7",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"OPENROUTER_{name}", value)
    monkeypatch.setenv("OPENAI_API_KEY", "k-fallback")
    monkeypatch.setenv("FASTDISTILL_PROVIDER", "openrouter")
    llm = llm_from_environment()
    assert llm.profile() == DecodeProfile(128, 0.2, 0.9, stop=("\n\n", "END"))
    llm.generate(["a"])
    assert server.headers[0]["authorization"] == "Bearer k-fallback"
    assert server.bodies[0]["stop"] == ["\n\n", "END"]
    monkeypatch.setenv("OPENROUTER_API_KEY", "k-own")
    llm_from_environment().generate(["a"])
    assert server.headers[1]["authorization"] == "Bearer k-own"


@pytest.mark.parametrize(
    ("provider", "kind"), [(None, OllamaLLM), ("ollama", OllamaLLM), ("sglang", SGLangLLM)]
)
def test_the_provider_is_named_by_the_environment(provider, kind, monkeypatch):
    if provider:
        monkeypatch.setenv("FASTDISTILL_PROVIDER", provider)
    assert type(llm_from_environment()) is kind


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FASTDISTILL_PROVIDER", "olama", "FASTDISTILL_PROVIDER is 'olama'"),
        ("OPENROUTER_TOP_P", "high", "OPENROUTER_TOP_P is 'high'"),
    ],
)
def test_variables_that_cannot_be_read_are_named(name, value, told, monkeypatch):
    monkeypatch.setenv("FASTDISTILL_PROVIDER", "openrouter")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told):
        llm_from_environment()


def test_a_gateway_is_read_in_the_form_of_the_sample():
    told = {
        "fastdistill": {
            "provider_gateway": {
                "base_url": "http://gateway.local/v1", "request_timeout_s": 60,
                "rate_limits": {"qps": 20, "tpm": 120000},
                "self_hosted_limits": {"max_concurrency": 8, "token_budget": 200000},
            },
            "decode_profiles": {"wide": {"temperature": 0.7, "max_tokens": 64, "n": 4}},
        }
    }  # fmt: skip
    gateway = read_gateway(told)
    limits = gateway.label_settings()
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (1200, 120000)
    assert (limits.concurrency, limits.tokens_at_once) == (8, 200000)
    assert (gateway.base_url, gateway.request_timeout_s) == ("http://gateway.local/v1", 60)
    llm = OpenAILLM(model="tiny", gateway=told)
    step = TextGeneration(llm=llm, decode_profile="wide")
    assert (step.profile.temperature, step.profile.max_tokens) == (0.7, 64)
    assert step.calls_per_record * step.records_per_row == 4


def test_the_sample_file_is_a_gateway():
    gateway = read_gateway(ROOT / "configs/fastdistill/provider_gateway.sample.yaml")
    limits = gateway.label_settings()
    assert (limits.requests_per_minute, limits.concurrency, limits.budget) == (1200, 8, 10.0)
    assert gateway.decode_profiles["profile_b"]["n"] == 4


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate_limits": {"qsp": 1}}, "nearest known key is 'qps'"),
        ({"qps": 0}, "qps is 0"),
        ({"budget": 3}, "a budget needs prices"),
        ({"max_concurrency": 0}, "concurrency is 0"),
        ({"prices": {"in": 1}}, "prices has no 'in'"),
        ({"in_doubt": "guess"}, "in_doubt is 'guess'"),
    ],
)
def test_a_gateway_that_cannot_work_is_refused(given, told):
    with pytest.raises(ConfigError, match=told):
        read_gateway(given)


def test_prices_are_read_from_a_mapping():
    assert ProviderGateway(prices={"prompt": 1, "completion": 2}).prices == Prices(1, 2)


def test_tokens_at_work_hold_calls_back(serve):
    server = serve(latency_s=0.05)
    llm = OpenAILLM(
        base_url=server.base_url, generation_kwargs={"max_new_tokens": 80},
        gateway={"token_budget": 250, "max_concurrency": 20},
    )  # fmt: skip
    llm.generate([f"prompt {n}" for n in range(12)])  # 88 tokens at first, then 28
    assert server.asked.total() == 12
    assert 2 <= server.most_open <= 8


def test_anything_that_can_be_opened_is_a_model(tmp_path):
    assert as_llm(ScriptedModel(["Au"])).generate([TURNS])[0]["generations"] == ["Au"]
    scripted = ScriptedLLM(replies={"Which metal is Au?": "Gold"})
    assert as_llm(scripted) is scripted
    assert scripted.generate([TURNS])[0]["generations"] == ["Gold"]
    with pytest.raises(ScriptError, match="no reply to 'Other'"):
        scripted.generate(["Other"])


def test_a_server_that_is_not_there_ends_the_run_with_a_sentence(tmp_path):
    llm = vLLM(model="tiny", base_url="http://127.0.0.1:9/v1", gateway={"max_attempts": 1})
    step = TextGeneration(llm=llm, cache_dir=str(tmp_path))
    with pytest.raises(LabelingStoppedError, match="no server was reached"):
        step.run_rows([{"instruction": f"ask {n}"} for n in range(12)])
    step.unload()


def test_a_small_model_answers_in_this_process(tmp_path, real_model):
    llm = TransformersLLM(model="smollm2", generation_kwargs={"max_new_tokens": 64, "stop": "."})
    step = TextGeneration(name="teacher", llm=llm, cache_dir=str(tmp_path))
    ((record,),) = step.process([{"instruction": "The capital of France is"}])
    assert record["generation"].strip()
    assert record["model_name"] == "smollm2"
