"""A provider with a batch endpoint in OpenAI's form, for tests: files, batches and faults."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class BatchServer:
    """What the provider does, and what it has seen; answers cost 20 and 10 tokens."""

    polls: int = 1
    """How often a batch is looked at before it ends."""
    status: str = "completed"
    """How batches end."""
    answer: Callable[[str], str] = "label of {}".format
    refused: frozenset[str] = frozenset()
    """Prompts that are answered with status 400."""
    odd: dict[str, str] = field(default_factory=dict)
    """Prompt -> what becomes of it the first time: `expired`, `lost` (in no file) or `empty`."""
    lost_replies: int = 0
    """How many creations of a batch get no reply, although the batch is there."""
    failures: int = 0
    """How many calls get status 503 before they work."""
    key: str | None = None
    """The only key that is accepted."""
    asked: Counter[str] = field(default_factory=Counter)
    """Requests per prompt in batches that were created, each of which is charged."""
    bodies: list[dict] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    """Calls per method and kind of path."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict] = field(default_factory=dict)
    looked: Counter[str] = field(default_factory=Counter)
    base_url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def upload(self, content: bytes) -> dict:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return {"id": name, "object": "file", "purpose": "batch"}

    def create(self, told: dict) -> dict:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {
            "id": name, "object": "batch", "status": "validating", "errors": None,
            "input_file_id": told["input_file_id"], "endpoint": told["endpoint"],
            "completion_window": told["completion_window"], "metadata": told["metadata"],
            "output_file_id": None, "error_file_id": None,
        }  # fmt: skip
        for line in self.files[told["input_file_id"]].splitlines():
            body = json.loads(line)["body"]
            self.bodies.append(body)
            self.asked[body["messages"][-1]["content"]] += 1
        return self.batches[name]

    def look(self, name: str) -> dict:
        batch = self.batches[name]
        self.looked[name] += 1
        batch["status"] = "in_progress"
        if self.looked[name] > self.polls and batch["output_file_id"] is None:
            self.end(batch)
        if batch["output_file_id"] or self.looked[name] > self.polls:
            batch["status"] = self.status
        return batch

    def end(self, batch: dict) -> None:
        if self.status == "failed":
            batch["errors"] = {"data": [{"code": "invalid", "message": "too many tokens queued"}]}
            return
        done, failed = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            request = json.loads(line)
            prompt = request["body"]["messages"][-1]["content"]
            odd = self.odd.get(prompt) if self.asked[prompt] == 1 else None
            told = {"id": f"r-{prompt}", "custom_id": request["custom_id"]}
            if odd == "expired":
                error = {"code": "batch_expired", "message": "not done in time"}
                failed.append({**told, "response": None, "error": error})
            elif prompt in self.refused:
                body = {"error": {"message": "no such parameter"}}
                response = {"status_code": 400, "body": body}
                failed.append({**told, "response": response, "error": None})
            elif odd != "lost":
                text = "" if odd == "empty" else self.answer(prompt)
                response = {"status_code": 200, "request_id": "q", "body": _answer(text)}
                done.append({**told, "response": response, "error": None})
        done.reverse()  # the order of answers is not that of the requests
        for name, lines in (("output_file_id", done), ("error_file_id", failed)):
            if lines:
                file = f"file-{len(self.files)}"
                self.files[file] = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
                batch[name] = file

    def page(self, after: str | None) -> dict:
        listed = list(reversed(self.batches.values()))
        names = [batch["id"] for batch in listed]
        start = 0 if after is None else names.index(after) + 1
        return {"data": listed[start : start + 2], "has_more": start + 2 < len(listed)}


def _answer(text: str) -> dict:
    choice = {
        "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
    }  # fmt: skip
    usage = {"prompt_tokens": 20, "completion_tokens": 10}
    return {"model": "tiny", "choices": [choice], "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: BatchServer

    def log_message(self, *given):
        pass

    def do_GET(self):
        path, _, query = self.path.removeprefix("/v1").partition("?")
        parts = path.strip("/").split("/")
        with self.provider.lock:
            if not self.allowed("GET", parts[0]):
                return
            if parts[0] == "models":
                self.reply(200, {"data": [{"id": "tiny"}]})
            elif parts[0] == "files":
                self.send(200, self.provider.files[parts[1]])
            elif len(parts) == 1:
                after = dict(one.split("=") for one in query.split("&")).get("after")
                self.reply(200, self.provider.page(after))
            else:
                self.reply(200, self.provider.look(parts[1]))

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.path.removeprefix("/v1/")
        with self.provider.lock:
            if not self.allowed("POST", kind):
                return
            if kind == "files":
                boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
                part = next(p for p in content.split(b"--" + boundary) if b"filename=" in p)
                self.reply(200, self.provider.upload(part.partition(b"\r\n\r\n")[2][:-2]))
            elif kind == "batches":
                made = self.provider.create(json.loads(content))
                if self.provider.lost_replies:
                    self.provider.lost_replies -= 1
                    self.close_connection = True
                else:
                    self.reply(200, made)

    def allowed(self, method: str, kind: str) -> bool:
        self.provider.calls[f"{method} {kind}"] += 1
        if self.provider.key and self.headers["Authorization"] != f"Bearer {self.provider.key}":
            self.reply(401, {"error": {"message": "no such key"}})
        elif self.provider.failures:
            self.provider.failures -= 1
            self.reply(503, {"error": {"message": "later"}})
        else:
            return True
        return False

    def reply(self, status: int, told: dict) -> None:
        self.send(status, json.dumps(told).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class serving_batches:  # noqa: N801 - a context
    """Run a provider in a thread."""

    def __init__(self, **settings):
        self.provider = BatchServer(**settings)

    def __enter__(self) -> BatchServer:
        handler = type("Handler", (_Handler,), {"provider": self.provider})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.provider.base_url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        return self.provider

    def __exit__(self, *given) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()
