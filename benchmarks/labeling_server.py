"""A server for `benchmarks/labeling.py` and the tests: OpenAI's HTTP API, with costs and faults.

It answers a prompt with `label of <prompt>`, or as `answer` says. Faults are pseudo-random and
depend on the prompt and on how often it was asked. Every generated answer is charged, unless the
server honours idempotency keys and the client sends the `Idempotency-Key` of an existing answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FAULTS = ("429", "429 later", "500", "502", "hang", "reset", "half", "no json", "empty", "slow")
PARTS = ("error", "abort", "content_filter", "model_length", "", None, "eureka")
"""Finish reasons of answers that are not whole."""
ODD = (
    *(f"part, {reason!r}" for reason in PARTS), "part, error in choice",
    "429 asctime", "429 -0000", "429 no zone",
    "null choices", "null message", "refusal", "thoughts alone", "client raises",
    "parts", "parts and thoughts", "half a pair", "think", "think unopened", "reasoning field",
)  # fmt: skip
"""Answers of servers with habits; those of the last line hold a label."""
ODD_LABELS = ODD[-6:]
_LATER = {
    "429 asctime": "%a %b %d %H:%M:%S %Y", "429 -0000": "%a, %d %b %Y %H:%M:%S -0000",
    "429 no zone": "%a, %d %b %Y %H:%M:%S",
}  # fmt: skip


@dataclass
class LabelServer:
    """What the server does, and what it has seen; read it when all calls have ended."""

    latency_s: float = 0.0
    fault_share: float = 0.0
    """Share of calls that go wrong, 0 to 1; all kinds are as frequent."""
    faults: tuple[str, ...] = FAULTS
    odd_share: float = 0.0
    """Share of calls that get an odd answer, 0 to 1; all kinds are as frequent."""
    odds: tuple[str, ...] = ODD
    honours_keys: bool = True
    stubborn: frozenset[str] = frozenset()
    """Prompts whose every call fails with status 500."""
    prompt_tokens: int = 20
    completion_tokens: int = 10
    hang_s: float = 1.0
    """How long a hanging call hangs, and five times what a slow one takes."""
    seed: int = 0
    port: int = 0
    answer: Callable[[str], str] = "label of {}".format
    """Prompt -> the text of a good answer."""
    asked: Counter[str] = field(default_factory=Counter)
    """Calls per prompt."""
    charged: list[tuple[float, str, str, int]] = field(default_factory=list)
    """Time, prompt, key and tokens of every answer that was made."""
    good: Counter[str] = field(default_factory=Counter)
    """Answers that can be read, made and charged, per prompt."""
    delivered: set[str] = field(default_factory=set)
    """Prompts whose good answer was sent whole at least once."""
    arrivals: list[float] = field(default_factory=list)
    """Time of every call."""
    injected: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of the first hundred calls."""
    bodies: list[dict[str, object]] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    most_open: int = 0
    now_open: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def tokens(self) -> int:
        """All tokens that were charged."""
        return sum(charge[3] for charge in self.charged)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the calls of one connection."""
        try:
            while await self._call(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # clients leave in the middle on purpose, and the server when it is done
        finally:
            writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if first.startswith("GET"):
            writer.write(_response(200, json.dumps({"data": [{"id": "tiny"}]}).encode()))
            return True
        body = json.loads(content)
        self.arrivals.append(time.monotonic())
        if len(self.headers) < 100:
            self.headers.append(headers)
            self.bodies.append(body)
        self.now_open += 1
        self.most_open = max(self.most_open, self.now_open)
        try:
            prompt = body["messages"][-1]["content"]
            return await self._reply(prompt, headers.get("idempotency-key", ""), writer)
        finally:
            self.now_open -= 1

    async def _reply(self, prompt: str, key: str, writer: asyncio.StreamWriter) -> bool:
        self.asked[prompt] += 1
        fault = self._draw(prompt)
        self.injected[fault] += 1
        if fault == "hang":
            await asyncio.sleep(self.hang_s)
            return False
        await asyncio.sleep(self.latency_s + (self.hang_s / 5 if fault == "slow" else 0))
        if fault == "reset":
            _reset(writer)
            return False
        if fault in ("500", "502", "429", "429 later", *_LATER):
            later = ("Retry-After: 0.05",) if fault == "429 later" else ()
            if fault in _LATER:  # a second ago, so that nobody waits
                date = time.strftime(_LATER[fault], time.gmtime(time.time() - 1))
                later = (f"Retry-After: {date}",)
            told = json.dumps({"error": {"message": f"injected {fault}"}}).encode()
            writer.write(_response(int(fault[:3]), told, *later))
            return True
        answer = self._answer(prompt, key, fault)
        if fault == "half":
            writer.write(_response(200, answer)[: -len(answer) // 2])
            await writer.drain()
            return False
        writer.write(_response(200, answer))
        await writer.drain()
        if fault in ("", "slow", *ODD_LABELS):
            self.delivered.add(prompt)
        return True

    def _draw(self, prompt: str) -> str:
        if prompt in self.stubborn:
            return "500"
        chance = random.Random(f"{self.seed} {prompt} {self.asked[prompt]}")
        drawn = chance.random()
        if drawn < self.fault_share:
            return chance.choice(self.faults)
        return chance.choice(self.odds) if drawn < self.fault_share + self.odd_share else ""

    def _answer(self, prompt: str, key: str, fault: str) -> bytes:
        if self.honours_keys and key in self.answers:
            return self.answers[key]
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        choices = None if fault == "null choices" else [_choice(self.answer(prompt), fault)]
        answer = json.dumps({"model": "tiny", "choices": choices, "usage": usage}).encode()
        if fault == "no json":
            answer = answer[:-5] + b"....."
        elif fault != "empty" and (fault not in ODD or fault in ODD_LABELS):
            self.good[prompt] += 1
        tokens = self.prompt_tokens + self.completion_tokens
        self.charged.append((time.monotonic(), prompt, key, tokens))
        if key:
            self.answers[key] = answer
        return answer


def _choice(text: str, fault: str) -> dict[str, object]:
    """Write a choice; for most faults that with the text."""
    message: dict[str, object] | None = {"role": "assistant", "content": text}
    choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": "stop"}
    part = {"content": text[: len(text) // 2]}
    parts = [{"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]
    said: dict[str, dict[str, object] | None] = {
        "empty": {"content": ""},
        "null message": None,
        "refusal": {"content": None, "refusal": "I cannot help with that."},
        "thoughts alone": {"content": "<think>\nIs it a label?"},
        "client raises": {"content": "raise"},
        "parts": {"content": parts},
        "parts and thoughts": {"content": [{"type": "thinking", "thinking": "Hm."}, *parts]},
        "half a pair": {"content": f"{text}\ud83d"},
        "think": {"content": f"<think>\nHm.\n</think>\n\n{text}"},
        "think unopened": {"content": f"Hm.\n</think>\n\n{text}"},
        "reasoning field": {"content": text, "reasoning_content": "Hm."},
        "part, error in choice": part,
    }
    if fault in said:
        choice["message"] = said[fault]
    if fault == "part, error in choice":
        choice["error"] = {"message": "the provider broke off", "code": 502}
    reasons = {f"part, {reason!r}": reason for reason in PARTS}
    if fault in reasons:
        choice |= {"message": part, "finish_reason": reasons[fault]}
    return choice


@contextmanager
def serving(server: LabelServer) -> Iterator[LabelServer]:
    """Run a server in a thread with an event loop of its own."""
    loop = asyncio.new_event_loop()
    ready, end = threading.Event(), asyncio.Event()

    async def main() -> None:
        listening = await asyncio.start_server(
            server.serve, "127.0.0.1", 0, backlog=256, limit=1 << 20
        )
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await end.wait()
        listening.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def _response(status: int, body: bytes, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status} X", "Content-Type: application/json", *headers,
             f"Content-Length: {len(body)}")  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection off with a reset in place of an end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _serve_alone(latency_s: float) -> None:
    """Serve until the process is killed; the first line printed is the address."""
    server = LabelServer(latency_s=latency_s)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=256)
    server.port = listening.sockets[0].getsockname()[1]
    print(server.base_url, flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve_alone(float(sys.argv[1])))
