"""What a server can do is what its answers show, and is asked once an hour."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stillroom.errors import ConfigError, RemoteError
from stillroom.files import read_json, write_json
from stillroom.pipeline.records.teacher_steps.capability_probe import probe_capabilities
from stillroom.pipeline.records.teacher_steps.gateway import ProviderGateway
from stillroom.pipeline.records.teacher_steps.llms import OpenAILLM, ScriptedLLM

ABILITIES = ("logprobs", "response_format", "tools", "batches")


@contextmanager
def provider(*, able=(), refuses=(), status=200, headers=()):
    """Run a server that has some abilities, refuses the fields of others, and ignores the rest."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *given):
            pass

        def reply(self, code, told):
            body = json.dumps(told).encode()
            self.send_response(code)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            seen.append(self.path)
            if status != 200:
                self.reply(status, {})
            elif "batches" in self.path:
                self.reply(*((200, {"data": []}) if "batches" in able else (404, {})))
            else:
                self.reply(200, {"data": [{"id": "tiny", "max_model_len": 4096}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(self.path)
            if any(field in body for field in refuses):
                self.reply(400, {"error": {"message": "unknown field"}})
                return
            message = {"role": "assistant", "content": "Gold."}
            choice = {"message": message, "finish_reason": "stop", "logprobs": None}
            if "logprobs" in body and "logprobs" in able:
                choice["logprobs"] = {"content": [{"token": "Gold", "logprob": -0.1}]}
            if "response_format" in body and "response_format" in able:
                message["content"] = '{"metal": "gold"}'
            if "tools" in body and "tools" in able:
                message["tool_calls"] = [{"function": {"name": "name_metal"}}]
            self.reply(200, {"choices": [choice]})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def abilities(found):
    return (found.supports_logprobs, found.supports_json_schema, found.supports_tool_spec,
            found.supports_batch)  # fmt: skip


@pytest.mark.parametrize("able", [(), ABILITIES, *((one,) for one in ABILITIES)])
@pytest.mark.parametrize("others_are", ["ignored", "refused"])
def test_an_ability_is_what_the_answer_shows(able, others_are):
    refuses = [] if others_are == "ignored" else [one for one in ABILITIES if one not in able]
    with provider(able=able, refuses=refuses) as (address, seen):
        found = probe_capabilities(OpenAILLM(model="tiny", base_url=address))
    assert abilities(found) == tuple(one in able for one in ABILITIES)
    assert (found.model, found.token_budget) == ("tiny", 4096)
    assert sum("completions" in path for path in seen) <= 4


def test_limits_come_from_the_headers_and_yield_to_those_that_are_set():
    told = [("x-ratelimit-limit-requests", "120"), ("x-ratelimit-limit-tokens", "9000")]
    with provider(headers=told) as (address, _):
        found = probe_capabilities(OpenAILLM(model="tiny", base_url=address))
    assert (found.qps, found.tpm) == (2.0, 9000.0)
    gateway = found.gateway(ProviderGateway(qps=1.0))
    assert (gateway.qps, gateway.tpm) == (1.0, 9000.0)


def test_a_probe_is_kept_and_believed_for_a_while(tmp_path):
    path = tmp_path / "caps.json"
    told = {"capability_probe": {"cache_path": str(path), "refresh_interval_s": 3600}}
    with provider(able=("tools",)) as (address, seen):
        llm = OpenAILLM(model="tiny", base_url=address, gateway=told, api_key="sk-hidden")
        first = probe_capabilities(llm)
        calls = len(seen)
        assert probe_capabilities(llm) == first
        assert len(seen) == calls
        (held,) = read_json(path).values()
        write_json(path, {next(iter(read_json(path))): {**held, "probed_at": 0}})
        assert abilities(probe_capabilities(llm)) == abilities(first)
        assert len(seen) == 2 * calls
    assert "sk-hidden" not in path.read_text()


def test_a_server_that_is_away_or_refuses_the_key_is_named():
    with pytest.raises(RemoteError, match="no server was reached"):
        probe_capabilities(OpenAILLM(model="tiny", base_url="http://127.0.0.1:9/v1"))
    with provider(status=401) as (address, _), pytest.raises(RemoteError, match="refuses the key"):
        probe_capabilities(OpenAILLM(model="tiny", base_url=address))


def test_a_model_in_this_process_has_nothing_to_probe():
    with pytest.raises(ConfigError, match="ScriptedLLM is no server"):
        probe_capabilities(ScriptedLLM())
