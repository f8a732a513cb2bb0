"""Test that labelling loses no record and pays for none twice, and measure its speed and cost.

    python benchmarks/labeling.py                        # about six minutes
    python benchmarks/labeling.py --parts throughput     # one part alone

faults      2,000 records against a server that fails in ten ways at a fifth of the calls, and gives
            unusual answers to another fifth: parts with all kinds of finish reasons, reasoning,
            refusals, half characters, dates without a time zone, and answers that break clients.
            The labeller is killed with SIGKILL at 50 random moments and restarted. Three variants:
            a server that honours idempotency keys, one that does not, and the latter with
            `in_doubt="dead_letter"`.
budget      The same server without kills, with a budget that is too small.
limits      Calls and tokens that arrive at the server, in every window of a minute.
throughput  200 ms per answer, 32 at once: records per second, and processor time per record
            compared with a plain loop over httpx.

The results are written to benchmarks/results/labeling.md; the exit status is 1 if a check fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
from labeling_server import FAULTS, ODD, LabelServer, serving
from stillroom.files import read_json, write_json, write_text
from stillroom.labeling.batch.label_run import LabelRun, LabelSettings, Prices
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.teachers.openai_http import RemoteTeacher
from stillroom.labeling.teachers.protocol import DecodeProfile, Prompt, TeacherAnswer

RESULTS = Path(__file__).parent / "results" / "labeling.md"
Line = tuple[str, str, bool | None]
"""What was measured, what it was, and whether it holds; None where nothing is demanded."""
SLOTS = 32


def tasks(count: int) -> list[LabelTask]:
    return [LabelTask(str(n), f"record {n}", {"n": n}) for n in range(count)]


def faults(records: int, kills: int) -> list[Line]:
    """Kill and start again, in three forms."""
    forms = (
        ("keys honoured", True, "ask"),
        ("no keys, asked again", False, "ask"),
        ("no keys, dead letters", False, "dead_letter"),
    )
    lines: list[Line] = []
    for name, honours, in_doubt in forms:
        server = LabelServer(
            latency_s=0.05, fault_share=0.2, odd_share=0.2, hang_s=1.2, honours_keys=honours,
            stubborn=frozenset({"record 3", "record 1003"}),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder, serving(server):
            died, under_way = killed(Path(folder), server, records, kills, in_doubt)
            lines += verdicts(name, server, Path(folder), records, died, under_way, in_doubt)
    return lines


def killed(
    folder: Path, server: LabelServer, records: int, kills: int, in_doubt: str
) -> tuple[int, int]:
    """Label until all is done; give the deaths and the calls that these cut off."""
    chance, died, under_way = random.Random(1), 0, 0
    command = [sys.executable, __file__, "--child", str(folder), server.base_url]
    command += [str(records), in_doubt]
    while True:
        process = subprocess.Popen(command)
        if died < kills:
            # So that the deaths are spread over the whole of the work.
            calls = server.asked.total() + chance.randint(1, max(1, int(1.6 * records / kills)))
            while server.asked.total() < calls and process.poll() is None:
                time.sleep(0.0005)
            under_way += server.now_open
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            return died, under_way
        died += 1


def child(folder: str, address: str, records: int, in_doubt: str) -> None:
    """Label in a process that may be killed."""
    settings = LabelSettings(
        concurrency=SLOTS, backoff_s=0.01, max_attempts=8, max_rejections=3,
        in_doubt="dead_letter" if in_doubt == "dead_letter" else "ask", max_error_rate=None,
    )  # fmt: skip
    run = label(folder, address, records, settings)
    found = [
        {"text": one.answer and one.answer.text, "fault": one.fault and one.fault.kind}
        for one in run.results
    ]
    write_json(Path(folder) / "outcome.json", found)


class StumblingTeacher(RemoteTeacher):
    """Raises what clients raise at what they do not know, where the server says so."""

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        answer = await super().ask(prompt, profile, call_id=call_id)
        if answer.text == "raise":
            kinds = (TypeError, KeyError, AttributeError, RecursionError, asyncio.CancelledError)
            raise kinds[len(str(prompt)) * sum(map(ord, str(prompt))) % len(kinds)]("injected")
        return answer


def label(folder: str, address: str, records: int, settings: LabelSettings) -> LabelRun:
    teacher = StumblingTeacher("tiny", base_url=address, timeout_s=0.8)
    return BatchLabeler(teacher, folder, settings=settings).run(tasks(records))


def verdicts(
    name: str,
    server: LabelServer,
    folder: Path,
    records: int,
    died: int,
    under_way: int,
    in_doubt: str,
) -> list[Line]:
    """Compare the server's bill with what the labellers have."""
    found = read_json(folder / "outcome.json")
    right = [
        one["text"] in (f"label of record {n}", f"label of record {n}\ufffd")
        for n, one in enumerate(found)
    ]
    partial = sum(one["text"] is not None for one in found) - sum(right)
    labelled, dead = sum(right), sum(one["fault"] is not None for one in found)
    lost = records - labelled - dead
    twice = sum(count - 1 for count in server.good.values())
    missing = sum(ok and not server.good[f"record {n}"] for n, ok in enumerate(right))
    by_fault = Counter(one["fault"] for one in found if one["fault"])
    words = ", ".join(f"{count} {kind}" for kind, count in sorted(by_fault.items()))
    injected = sum(count for kind, count in server.injected.items() if kind in FAULTS)
    odd = sum(count for kind, count in server.injected.items() if kind in ODD)
    # Without keys, an answer that was sent by halves or too late is made, and charged, again.
    unseen = server.injected["half"] + server.injected["slow"]
    lines: list[Line] = [
        (f"{name}: kills", f"{died}, {under_way} calls under way in all", None),
        (f"{name}: faults injected", f"{injected:,} of {sum(server.asked.values()):,} calls", None),
        (f"{name}: odd answers", f"{odd:,} of {sum(server.asked.values()):,} calls", None),
        (f"{name}: labelled", f"{labelled:,} of {records:,}", None),
        (f"{name}: dead letters with a reason", f"{dead} ({words})", None),
        (f"{name}: lost or doubled", f"{lost + missing}", lost == missing == 0),
        (f"{name}: labels that are a part, or hold more", f"{partial}", partial == 0),
    ]
    if server.honours_keys:
        lines.append((f"{name}: answers paid twice", f"{twice}", twice == 0))
    elif in_doubt == "ask":
        most = died * SLOTS + unseen
        told = f"{twice}, at most {most} ({SLOTS} a death, {unseen} sent by halves or late)"
        lines.append((f"{name}: answers paid twice", told, twice <= most))
    else:
        told = f"{twice}, at most {unseen} (sent by halves or late; none by deaths)"
        lines.append((f"{name}: answers paid twice", told, twice <= unseen))
    return lines


def budget(records: int) -> list[Line]:
    """Spend as much as is allowed, at a server that charges whatever it makes."""
    lines: list[Line] = []
    most = 15.0 * records  # half of what all would cost
    for share in (0.0, 0.3):
        server = LabelServer(fault_share=share, hang_s=0.6, honours_keys=False)
        settings = LabelSettings(
            concurrency=SLOTS, backoff_s=0.01, prices=Prices(1e6, 1e6), budget=most
        )
        with tempfile.TemporaryDirectory() as folder, serving(server):
            run = label(folder, server.base_url, records, settings)
        spent = run.numbers.spent or 0.0
        told = f"{server.tokens:,} charged, {spent:,.0f} booked, {most:,.0f} allowed"
        holds = run.stopped == "budget" and server.tokens <= spent <= most
        lines.append((f"budget at {share:.0%} faults", told, holds))
    return lines


def limits(seconds: float) -> list[Line]:
    """Label under each limit for some time and count what arrives."""
    lines: list[Line] = []
    for name, limit in (("requests", 1800.0), ("tokens", 54_000.0)):
        server = LabelServer(latency_s=0.05)
        settings = LabelSettings(
            concurrency=SLOTS,
            requests_per_minute=limit if name == "requests" else None,
            tokens_per_minute=limit if name == "tokens" else None,
        )
        records = int(1800 * seconds / 60)  # a record takes 30 tokens
        with tempfile.TemporaryDirectory() as folder, serving(server):
            run = label(folder, server.base_url, records, settings)
        share = most_in_a_minute(server.arrivals) * (1 if name == "requests" else 30) / limit
        used = records / run.numbers.seconds * 60 * (1 if name == "requests" else 30) / limit
        told = f"at most {share:.1%} of {limit:,.0f} in any minute, {used:.1%} on average"
        lines.append((f"{name} per minute", told, share <= 1.02))
    return lines


def most_in_a_minute(times: list[float]) -> int:
    best = first = 0
    for place, now in enumerate(times):
        while times[first] <= now - 60.0:
            first += 1
        best = max(best, place - first + 1)
    return best


def throughput(records: int) -> list[Line]:
    """Label at a server in another process, and do the same in a bare loop."""
    ideal = SLOTS / 0.2
    with alone(0.2) as address:
        spent_bare, rate_bare = bare(address, records)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            settings = LabelSettings(concurrency=SLOTS, prices=Prices(1, 2), budget=1e6)
            run = label(folder, address, records, settings)
            spent = (time.process_time() - began) / records
    rate = run.numbers.labelled / run.numbers.seconds
    told = f"{rate:.1f}, {rate / ideal:.1%} of {ideal:.0f}"
    return [
        ("records per second", told, rate >= 0.9 * ideal),
        ("bare loop of httpx", f"{rate_bare:.1f} records per second", None),
        ("processor time per record", f"{1e3 * spent:.2f} ms in all", None),
        ("of this, httpx alone", f"{1e3 * spent_bare:.2f} ms", None),
        ("overhead", f"{1e3 * (spent - spent_bare):.2f} ms", spent - spent_bare < 1e-3),
    ]  # fmt: skip


def bare(address: str, records: int) -> tuple[float, float]:
    """Send the same calls with httpx and nothing around it."""

    async def work() -> None:
        names = iter(range(records))
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:

            async def slot() -> None:
                for n in names:
                    messages = [{"role": "user", "content": f"record {n}"}]
                    body = {"model": "tiny", "messages": messages, "max_tokens": 512}
                    answer = await client.post(f"{address}/chat/completions", json=body)
                    assert answer.json()["choices"]

            await asyncio.gather(*(slot() for _ in range(SLOTS)))

    began, clock = time.process_time(), time.monotonic()
    asyncio.run(work())
    return (time.process_time() - began) / records, records / (time.monotonic() - clock)


@contextlib.contextmanager
def alone(latency_s: float) -> Iterator[str]:
    """Run the server in a process of its own, so that its time is not ours."""
    script = Path(__file__).with_name("labeling_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(latency_s)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def report(lines: list[Line], command: str) -> str:
    """Write the results as a page."""
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    rows = [
        f"| {name} | {told} | {'' if holds is None else 'holds' if holds else '**fails**'} |"
        for name, told, holds in lines
    ]
    head = f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine}, other work on the machine."
    kinds, odd = ", ".join(FAULTS), "; ".join(ODD)
    notes = (
        f"Faults: {kinds}. Odd answers: {odd}. An answer paid twice is one that the server made "
        "and charged again."
    )
    table = "\n".join(["| measured | found | |", "|---|---|---|", *rows])
    return f"# Labelling\n\n{head}\n\n{notes}\n\n{table}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", default="faults,budget,limits,throughput")
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=90.0, help="for each limit")
    parser.add_argument("--output", default=str(RESULTS))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        folder, address, records, in_doubt = args.child
        child(folder, address, int(records), in_doubt)
        return 0
    parts = {
        "faults": lambda: faults(args.records, args.kills),
        "budget": lambda: budget(args.records),
        "limits": lambda: limits(args.seconds),
        "throughput": lambda: throughput(2 * args.records),
    }
    lines: list[Line] = []
    for name in args.parts.split(","):
        found = parts[name]()
        lines += found
        for line in found:
            print(*line, sep=" | ", flush=True)
    write_text(args.output, report(lines, "python benchmarks/labeling.py"))
    return 0 if all(holds is not False for _, _, holds in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
