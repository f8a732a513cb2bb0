"""Measure the cost of an agent's turn without its model, and what survives crashes and concurrency.

    python benchmarks/agent_turns.py                       # writes results/agent_turns.md
    python benchmarks/agent_turns.py --rounds 2 --soak 0 --kills 0         # a quick look
    python benchmarks/agent_turns.py --postgres postgresql://user@host/database

The nodes are those of `AgenticWorkflow`, with a fixed answer instead of a model; plain LangGraph
runs the same nodes in the same process, see `agent_places`. Times are measured in threads of ten
turns, and the stores alternate within each round. Reported are the median turn of the best round,
since other programs only add to the time, and the CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

from agent_places import (
    Graph,
    Place,
    config,
    has_sqlite_peer,
    ours,
    plain_in_memory,
    plain_in_sqlite,
    row_bytes,
    turn_input,
)

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "agent_turns.md"
KILLED_RUN = HERE.parent / "tests" / "agentic_workflow" / "thread_killed_run.py"
MiB = 1 << 20
IN_MEMORY = ours("ours, memory", "memory", bar_ms=1.5)
IN_SQLITE = ours("ours, SQLite", "sqlite:///{folder}/ours.db", bar_ms=8.0)
UNSAFE = ours("ours, SQLite, power_safe=0", "sqlite:///{folder}/ours.db?power_safe=0")
WHOLE = ours("ours, SQLite, conversation whole", "sqlite:///{folder}/ours.db", delta=False)
NO_PLACE = ours("no threads", None)


def peers(**options: str) -> list[Place]:
    """Give plain LangGraph's places; SQLite only where its package is installed."""
    in_sqlite = [plain_in_sqlite(**options)] if has_sqlite_peer() else []
    return [plain_in_memory(**options), *in_sqlite]


def in_postgres(url: str | None) -> list[Place]:
    return [ours("ours, PostgreSQL", url)] if url else []


def timed(place: Place, graph: Graph, turns: int, per_thread: int) -> tuple[list[float], float]:
    """Give the milliseconds of every turn, and the mean CPU milliseconds."""
    taken, cpu, prefix = [], time.process_time(), uuid4().hex
    for number in range(turns):
        thread = config(graph, f"{prefix}{number // per_thread}")
        began = time.perf_counter()
        graph.invoke(turn_input(), thread, **place.options)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken, (time.process_time() - cpu) / turns * 1e3


async def timed_async(
    place: Place, folder: Path, turns: int, per_thread: int
) -> tuple[list[float], float]:
    """Give the same for async runs."""
    async with place.async_graph(folder) as graph:
        taken, cpu, prefix = [], time.process_time(), uuid4().hex
        for number in range(turns):
            thread = config(graph, f"{prefix}{number // per_thread}")
            began = time.perf_counter()
            await graph.ainvoke(turn_input(), thread, **place.options)
            taken.append((time.perf_counter() - began) * 1e3)
        return taken, (time.process_time() - cpu) / turns * 1e3


def overhead(given: argparse.Namespace) -> list[str]:
    """Milliseconds of a turn in each place."""
    known = [NO_PLACE, *peers(), *peers(durability="exit")]
    compared = [*known, IN_MEMORY, IN_SQLITE, UNSAFE, *in_postgres(given.postgres)]
    best = {place.name: [float("inf")] * 4 for place in compared}
    for _ in range(given.rounds):
        for place in compared:
            gc.collect()
            with tempfile.TemporaryDirectory() as folder:
                with place.graph(Path(folder)) as graph:
                    taken, cpu = timed(place, graph, given.turns, 10)
                waited, async_cpu = asyncio.run(timed_async(place, Path(folder), given.turns, 10))
            measured = [statistics.median(taken), cpu, statistics.median(waited), async_cpu]
            best[place.name] = [min(pair) for pair in zip(best[place.name], measured, strict=True)]
    lines = [
        "| threads in | invoke, ms | CPU, ms | ainvoke, ms | CPU, ms | bar, ms |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for place in compared:
        shown = " | ".join(f"{figure:.2f}" for figure in best[place.name])
        lines.append(f"| {place.name} | {shown} | {place.bar_ms or '-'} |")
    return lines


def by_length(given: argparse.Namespace, lengths: tuple[int, ...] = (10, 100, 300)) -> list[str]:
    """Milliseconds of a turn after so many turns in the same thread; plain LangGraph up to 100."""
    lines = [
        "| threads in | " + " | ".join(f"turn {length}, ms" for length in lengths) + " |",
        "|---|" + "--:|" * len(lengths),
    ]
    theirs = [*peers(), *peers(durability="exit")]
    for place in [*theirs, IN_MEMORY, IN_SQLITE]:
        turns = 100 if place in theirs else max(lengths)
        best = dict.fromkeys(lengths, float("inf"))
        for _ in range(min(given.rounds, 3)):
            gc.collect()
            with tempfile.TemporaryDirectory() as folder, place.graph(Path(folder)) as graph:
                taken, _ = timed(place, graph, turns, turns)
            for length in [length for length in lengths if length <= turns]:
                around = statistics.median(taken[length - 10 : length])
                best[length] = min(best[length], around)
        shown = [f"{best[length]:.2f}" if length <= turns else "-" for length in lengths]
        lines.append(f"| {place.name} | {' | '.join(shown)} |")
    return lines


def growth(_: argparse.Namespace, turns: int = 100) -> list[str]:
    """Bytes of the rows that a turn adds, and of the file after all turns."""
    lines = [
        "| threads in | turn 10, bytes | turn 100, bytes | ratio | bar | file after 100, KiB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    theirs = [*peers()[1:], *peers(durability="exit")[1:]]
    for place in [*theirs, WHOLE, IN_SQLITE]:
        sizes = [0]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with place.graph(folder) as graph:
                (file,) = folder.glob("*.db")
                for _ in range(turns):
                    graph.invoke(turn_input(), config(graph, "one"), **place.options)
                    sizes.append(row_bytes(file))
            on_disk = sum(file.stat().st_size for file in folder.iterdir())
        tenth, last = sizes[10] - sizes[9], sizes[turns] - sizes[turns - 1]
        bar = "1.5" if place is IN_SQLITE else "-"
        lines.append(
            f"| {place.name} | {tenth:,} | {last:,} | {last / tenth:.2f} | {bar} | "
            f"{on_disk / 1024:,.0f} |"
        )
    return lines


def soak(given: argparse.Namespace) -> list[str]:
    """Growth of a process over many turns, 100 in each thread; each place in its own process."""
    lines = ["| threads in | turns | MiB per 1,000 turns | bar |", "|---|--:|--:|--:|"]
    soaked = [(IN_SQLITE, given.soak), (IN_MEMORY, given.soak)]
    # What it keeps in memory is some hundred times as much.
    soaked.append((peers()[0], min(given.soak, 1000)))
    for place, turns in soaked:
        command = [sys.executable, __file__, "--soak-in", place.name, "--soak", str(turns)]
        slope = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        bar = "1.0" if place is IN_SQLITE else "- (it keeps the threads)"
        lines.append(f"| {place.name} | {turns:,} | {slope:.2f} | {bar} |")
    return lines


def soak_in(place: Place, turns: int) -> float:
    """Give the slope of resident memory in MiB per 1,000 turns, after the first fifth."""
    held = []
    with tempfile.TemporaryDirectory() as folder, place.graph(Path(folder)) as graph:
        for number in range(turns):
            graph.invoke(turn_input(), config(graph, f"thread {number % (turns // 100)}"))
            if number % (turns // 10) == turns // 10 - 1:
                gc.collect()
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                held.append(pages * os.sysconf("SC_PAGE_SIZE"))
    steady = held[1:]
    return (steady[-1] - steady[0]) / MiB / ((len(steady) - 1) * turns / 10 / 1000)


def concurrency(given: argparse.Namespace, turns: int = 20) -> list[str]:
    """Messages that are left of so many turns at once in one thread."""
    lines = ["| threads in | messages left | faults |", "|---|--:|--:|"]
    for place in [*peers(), IN_MEMORY, IN_SQLITE, *in_postgres(given.postgres)]:
        with tempfile.TemporaryDirectory() as folder:
            left, faults = asyncio.run(ask_at_once(place, Path(folder), turns))
        lines.append(f"| {place.name} | {left} of {2 * turns} | {', '.join(faults) or '0'} |")
    return lines


async def ask_at_once(place: Place, folder: Path, turns: int) -> tuple[int, list[str]]:
    async with place.async_graph(folder) as graph:
        thread = config(graph, uuid4().hex)
        runs = (graph.ainvoke(turn_input(), thread) for _ in range(turns))
        done = await asyncio.gather(*runs, return_exceptions=True)
        state = await graph.aget_state(thread)
    faults = sorted({type(one).__name__ for one in done if isinstance(one, BaseException)})
    return len(state.values["messages"]), faults


def kills(given: argparse.Namespace) -> list[str]:
    """What is left of turns whose process is killed at random points; see `thread_killed_run`."""
    lines = [
        "| threads in | points | killed | acknowledged turns | lost | half or out of order |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite:///{folder}/threads.db"}
        if given.postgres:
            urls["PostgreSQL"] = given.postgres
        for name, url in urls.items():
            command = [sys.executable, str(KILLED_RUN), url, str(given.kills), "1"]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seen = json.loads(told)
            lines.append(
                f"| ours, {name} | {seen['points']} | {seen['killed']} | {seen['acknowledged']} | "
                f"{len(seen['lost'])} | {len(seen['faults'])} |"
            )
    return lines


def fsync_ms(folder: Path) -> float:
    """Give the median milliseconds the disk takes to hold a page for certain."""
    taken = []
    with open(folder / "page", "wb") as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def report(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        disk = fsync_ms(Path(folder))
    sections: list[tuple[str, Callable[[argparse.Namespace], list[str]]]] = [
        ("Time of a turn without a model, threads of ten turns", overhead),
        ("Time of a turn in a long thread", by_length),
        ("Bytes a turn adds to a thread", growth),
        ("20 turns at once in one thread", concurrency),
    ]
    if given.kills:
        sections.append(("`kill -9` at random points", kills))
    if given.soak:
        sections.append(("Memory of the process over many turns", soak))
    load = os.getloadavg()[0]
    lines = [
        "# Turns of an agent, without its model",
        "",
        f"`python benchmarks/agent_turns.py`, {date.today()}, {processor()}, {os.cpu_count()} "
        f"cores, load {load:.1f} at the start, fsync of this disk {disk:.1f} ms, Python "
        f'{platform.python_version()}. "LangGraph" is the same nodes in LangGraph\'s own graph '
        "with its own saver, in the same run.",
    ]
    for title, measure in sections:
        section = ["", f"## {title}", "", *measure(given)]
        print(*section, sep="\n", file=sys.stderr)
        lines += section
    return "\n".join(lines) + "\n"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--soak", type=int, default=10_000, help="turns; a multiple of 1,000, or 0")
    parser.add_argument("--soak-in", metavar="PLACE", help=argparse.SUPPRESS)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.soak_in:
        soaked = {place.name: place for place in [*peers(), IN_MEMORY, IN_SQLITE]}
        print(soak_in(soaked[given.soak_in], given.soak))
    else:
        text = report(given)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
