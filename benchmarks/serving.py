"""Measure the HTTP server: what it costs beside the bare engine, and whether it lasts.

    python benchmarks/serving.py cost                      # one caller and 16, streamed and whole
    python benchmarks/serving.py own                       # the server's own work, without a model
    python benchmarks/serving.py soak --minutes 10         # 16 callers, cancels, killed threads

`cost` and `soak` serve random weights (3M parameters by default) greedily. `cost` sends the same
prompts to the engine in this process and, in turn, to a server in another process over the same
weights; the difference is what the server adds, as far as other programs leave the processor alone.
`own` counts processor time with a model that answers from a script, which a busy machine does not
change much. `soak` asks the bare engine for a tenth of the time, then the server: it compares every
answer with the bare engine's, cancels 1 % of the streams, kills the engine's thread three times,
writes to threads, and fits a line through the process's memory in the last third of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import multiprocessing
import os
import platform
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from serving_speed import make_checkpoint, make_prompts
from stillroom.agentic_workflow.agent import AgenticWorkflow
from stillroom.agentic_workflow.http.server import make_server
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.serve_app import server_app
from stillroom.console import quiet_libraries
from stillroom.files import write_json
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel

SETTINGS = ServerSettings(port=0, owner_rate=10**9, address_rate=10**9, max_turns_per_owner=64)
Times = list[tuple[float, float]]
"""Seconds to the first token and to the end, of each answer."""


def make_service(size: str, tokens: int, threads: str | None = None) -> Service:
    """Serve random weights; the same ones in every process."""
    model = ChatStudent(model=make_checkpoint(size, tokens), max_tokens=tokens)
    workflow = AgenticWorkflow(model, checkpointer=threads, max_tokens=tokens)
    return Service(model, {"single": workflow}, SETTINGS, model_name="student")


@contextlib.contextmanager
def served(service: Service) -> Iterator[str]:
    """Serve in a thread; give the address."""
    server = make_server(server_app(service, SETTINGS), service, SETTINGS)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


def serve_elsewhere(size: str, tokens: int, pipe: Any) -> None:  # noqa: ANN401
    """Serve in this process until the pipe says so."""
    import torch

    torch.set_num_threads(1)
    service = make_service(size, tokens)
    with served(service) as address:
        pipe.send(address)
        pipe.recv()
    service.close()


async def ask_engine(model: ChatStudent, prompts: Sequence[str], streamed: bool) -> Times:
    """Ask the chat model itself."""

    async def one(prompt: str) -> tuple[float, float]:
        began, first = time.perf_counter(), 0.0
        if streamed:
            async for _ in model.astream(prompt):
                first = first or time.perf_counter() - began
        else:
            await model.ainvoke(prompt)
        return first, time.perf_counter() - began

    return list(await asyncio.gather(*(one(prompt) for prompt in prompts)))


async def ask_engine_for(
    seconds: float, model: ChatStudent, prompts: Sequence[str], callers: int
) -> Times:
    """Stream from the chat model itself for so long, from several callers."""
    ends, times = time.monotonic() + seconds, []

    async def call(caller: int) -> None:
        chance = random.Random(caller)
        while time.monotonic() < ends:
            times.extend(await ask_engine(model, [chance.choice(prompts)], True))

    await asyncio.gather(*(call(caller) for caller in range(callers)))
    return times


async def ask_server(
    client: httpx.AsyncClient, name: str, prompts: Sequence[str], tokens: int, streamed: bool
) -> Times:
    """Ask over HTTP."""

    async def one(prompt: str) -> tuple[float, float]:
        body = body_of(name, prompt, tokens, streamed)
        began, first = time.perf_counter(), 0.0
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if '"content":"' in line and '"content":""' not in line:
                    first = first or time.perf_counter() - began
        return first, time.perf_counter() - began

    return list(await asyncio.gather(*(one(prompt) for prompt in prompts)))


def body_of(name: str, prompt: str, tokens: int, streamed: bool) -> dict[str, Any]:
    """Write a request; a workflow sets its own limits."""
    body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": prompt}]}
    return body | ({"max_tokens": tokens} if name == "student" else {}) | {"stream": streamed}


def told(times: Times) -> dict[str, float]:
    """Give the median and the 95th percentile of first token and end, in milliseconds."""
    said = {}
    for name, values in zip(("first_token", "total"), zip(*times, strict=True), strict=True):
        if any(values):
            cuts = statistics.quantiles(values, n=20, method="inclusive")
            said |= {f"{name}_p50_ms": round(1000 * statistics.median(values), 2)}
            said |= {f"{name}_p95_ms": round(1000 * cuts[-1], 2)}
    return said


async def cost(options: argparse.Namespace, address: str) -> dict[str, Any]:
    """Let engine and server take turns."""
    import torch

    torch.set_num_threads(1)
    model = ChatStudent(
        model=make_checkpoint(options.size, options.tokens), max_tokens=options.tokens
    )
    report: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        for callers in (1, 16):
            for streamed in (True, False):
                ways: dict[str, Times] = {"engine": [], "student": [], "single": []}
                for turn in range(options.rounds + 1):
                    prompts = make_prompts(callers)
                    for name, times in ways.items():
                        if name == "engine":
                            found = await ask_engine(model, prompts, streamed)
                        else:
                            found = await ask_server(
                                client, name, prompts, options.tokens, streamed
                            )
                        times += found if turn else []  # the first one warms up
                key = f"{callers} caller{'s' * (callers > 1)}, {'stream' if streamed else 'whole'}"
                report[key] = {name: told(times) for name, times in ways.items()}
                bare = report[key]["engine"]["total_p50_ms"]
                for name in ("student", "single"):
                    added = report[key][name]["total_p50_ms"] - bare
                    report[key][name]["added_per_turn_ms"] = round(added / callers, 2)
                print(key, json.dumps(report[key]), flush=True)
    return report


async def own(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Count processor time per turn: of model or workflow alone, and through the app."""
    model = ScriptedModel(lambda _: " ".join(f"w{n}" for n in range(options.tokens)))
    service = Service(model, {"single": AgenticWorkflow(model)}, SETTINGS)
    app = server_app(service, SETTINGS)
    workflow = service.workflow("single")

    async def alone(name: str, streamed: bool) -> None:
        answerer: Any = model if name == "student" else workflow
        if not streamed:
            await answerer.ainvoke("gold?")
            return
        async for _ in answerer.astream("gold?"):
            pass

    async def through(name: str, streamed: bool) -> None:
        body = json.dumps(body_of(name, "gold?", options.tokens, streamed)).encode()
        unread, statuses = [{"type": "http.request", "body": body}], []

        async def receive() -> Any:  # noqa: ANN401
            return unread.pop() if unread else await asyncio.Event().wait()

        async def send(message: Any) -> None:  # noqa: ANN401
            statuses.append(message.get("status"))

        path = "/v1/chat/completions"
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST",
            "http_version": "1.1", "scheme": "http", "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "state": {},
            "server": ("127.0.0.1", 80),
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        }  # fmt: skip
        await app(scope, receive, send)
        assert statuses[0] == 200, statuses

    report: dict[str, dict[str, float]] = {}
    for name in ("student", "single"):
        for streamed in (False, True):
            cost = {}
            for key, ask in (("alone", alone), ("through", through)):
                rounds = []
                for _ in range(max(options.rounds, 5)):
                    began = time.process_time()
                    for _ in range(20):
                        await ask(name, streamed)
                    rounds.append(1000 * (time.process_time() - began) / 20)
                cost[f"{key}_ms"] = round(statistics.median(rounds), 2)
            cost["added_ms"] = round(cost["through_ms"] - cost["alone_ms"], 2)
            report[f"{name}, {'stream' if streamed else 'whole'}"] = cost
    return report


def memory_mb() -> float:
    """Read this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def kill_engine_thread() -> bool:
    """Raise SystemExit in the engine's thread; False where none runs."""
    for thread in threading.enumerate():
        if thread.name == "stillroom-engine" and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
            )
            return True
    return False


async def soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Ask for so many minutes, and count what was wrong."""
    service = make_service(options.size, options.tokens, f"sqlite:///{folder}/threads.db")
    model = service.chat_model
    prompts = make_prompts(64)
    right = {prompt: (await model.ainvoke(prompt)).text for prompt in prompts}
    count: Counter[str] = Counter()
    times: Times = []
    memory: list[tuple[int, float]] = []
    stored: Counter[str] = Counter()
    bare = await ask_engine_for(6 * options.minutes, model, prompts, options.callers)
    ends = time.monotonic() + 60 * options.minutes

    async def call(client: httpx.AsyncClient, caller: int) -> None:
        chance = random.Random(caller)
        while time.monotonic() < ends:
            prompt, leaves = chance.choice(prompts), chance.random() < 0.01
            try:
                await ask(client, prompt, leaves)
            except httpx.TransportError as fault:  # as the stock client, it asks again
                count[f"connection: {type(fault).__name__}"] += 1

    async def ask(client: httpx.AsyncClient, prompt: str, leaves: bool) -> None:
        text, began, first = "", time.perf_counter(), 0.0
        complete = failed = False
        body = body_of("student", prompt, options.tokens, True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                count[f"status {answer.status_code}"] += 1
                await answer.aread()
                return
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    complete = True
                elif line.startswith("data: "):
                    chunk = json.loads(line[6:])
                    failed = failed or "error" in chunk
                    for choice in chunk.get("choices", ()):
                        text += choice["delta"].get("content") or ""
                if text and not first:
                    first = time.perf_counter() - began
                    if leaves:
                        break
        if leaves and not complete and not failed:
            count["cancelled"] += 1
        elif failed:
            count["told of a fault"] += 1
        elif not complete or text != right[prompt]:
            count["wrong"] += 1
        else:
            count["right"] += 1
            times.append((first, time.perf_counter() - began))

    async def converse(caller: int) -> None:
        """Write to threads of ten turns; a turn is acknowledged by its last event."""
        chance, turn = random.Random(caller), 0
        while time.monotonic() < ends:
            thread_id, turn = f"t{caller}-{turn // 10}", turn + 1
            try:
                events = service.stream_events(
                    "single", "bench", chance.choice(prompts), thread_id=thread_id
                )
                last = [event async for event in events][-1]
                stored[thread_id] += last["type"] == "final"
            except Exception as fault:  # noqa: BLE001 - counted by class
                count[f"turn: {type(fault).__name__}"] += 1
            await asyncio.sleep(0.5)

    async def watch() -> None:
        kills = [ends - 60 * options.minutes * part for part in (0.75, 0.5, 0.25)]
        while time.monotonic() < ends:
            await asyncio.sleep(0.05)
            if kills and time.monotonic() > kills[0] and kill_engine_thread():
                kills.pop(0)
                count["engine threads killed"] += 1
            turns = count["right"]
            if not memory or turns - memory[-1][0] >= 50:
                memory.append((turns, memory_mb()))

    with served(service) as address:
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            callers = [call(client, n) for n in range(options.callers - 2)]
            await asyncio.gather(watch(), converse(1), converse(2), *callers)
        lost = 0
        for thread_id, turns in stored.items():
            key = {"configurable": {"thread_id": service.thread_key("bench", thread_id)}}
            state = await service.workflow("single").graph.aget_state(key)  # type: ignore[arg-type]
            lost += abs(2 * turns - len(state.values["messages"]))
        left = len(service.turns)
        stats = service.engine.stats()
    service.close()
    third = len(memory) // 3
    later = memory[2 * third :]
    slope = statistics.linear_regression(*zip(*later, strict=True)).slope if len(later) > 2 else 0.0
    return {
        "minutes": options.minutes,
        "callers": options.callers,
        **dict(count),
        "acknowledged turns in threads": sum(stored.values()),
        "messages lost": lost,
        "turns left over": left,
        "engine": {"running": stats.running, "waiting": stats.waiting, "restarts": stats.restarts},
        "memory_mb of first turns, thirds": [
            round(memory[n][1]) for n in (0, third, 2 * third, -1)
        ],
        "memory_mb_per_1000_turns": round(1000 * slope, 2),
        "bare engine": {"answers": len(bare), **told(bare)},
        "server": told(times),
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("cost", "own", "soak"))
    parser.add_argument("--size", choices=("3M", "32M"), default="3M")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path("outputs/serving"))
    options = parser.parse_args()
    quiet_libraries()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.what == "soak":
        (options.folder / "threads.db").unlink(missing_ok=True)
        found = asyncio.run(soak(options, options.folder.resolve()))
        print(json.dumps(found, indent=2))
    elif options.what == "own":
        found = asyncio.run(own(options))
        print(json.dumps(found, indent=2))
    else:
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(
            target=serve_elsewhere, args=(options.size, options.tokens, there)
        )
        process.start()
        found = asyncio.run(cost(options, here.recv()))
        here.send("end")
        process.join()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    made = {"what": options.what, "size": options.size, "tokens": options.tokens, **machine}
    write_json(options.folder / f"{options.what}.json", {**made, "found": found})


if __name__ == "__main__":
    main()
