"""Simulate what the record pipeline costs from 10^3 to 10^9 records, and what breaks first.

    python benchmarks/pipeline_cost.py            # under a minute; needs pipeline_scale.json

Figures per record are measured: those of the cheap stages by benchmarks/pipeline_scale.py, those of
the teacher's journal, near-duplicates, comparison of meanings and SQL execution here. Prices, token
counts and limits are assumptions, stated in the note; each can be set on the command line. The
results are written to benchmarks/results/pipeline_cost.md.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from stillroom.data.identity.deduplicate import Deduplicator, DedupSettings
from stillroom.data.identity.near_texts import MinHashSettings
from stillroom.labeling.batch.label_run import LabelTask
from stillroom.labeling.batch.labeler import BatchLabeler
from stillroom.labeling.batch.open_folder import OpenFolder
from stillroom.labeling.gates.sql_sandbox import SqlSandbox
from stillroom.labeling.teachers.protocol import DecodeProfile, Prompt, TeacherAnswer
from stillroom.pipeline.records.run_state import ROWS_PER_SHARD

RESULTS = Path(__file__).parent / "results"
COUNTS: Final = [10**power for power in range(3, 10)]
MOST: Final = 10**9
GIB, TB = 2**30, 10**12


@dataclass(frozen=True)
class Assumed:
    """What is not measured."""

    tokens_in: int = 300
    """Tokens of a prompt to the teacher."""
    tokens_out: int = 100
    """Tokens of its answer."""
    judge_in: int = 600
    """Tokens of a prompt to the judge, which sees the kept records only."""
    judge_out: int = 20
    price_in: float = 0.15
    """Price of a million prompt tokens, in dollars: that of a small hosted model."""
    price_out: float = 0.60
    """Price of a million answer tokens, in dollars."""
    tokens_per_minute: int = 2_000_000
    """What the provider allows, teacher and judge each."""
    local_tokens_per_s: float = 40.0
    """Answer tokens per second of a teacher on this machine."""
    core_hour: float = 0.04
    """Price of a core for an hour, in dollars."""
    gb_month: float = 0.08
    """Price of a GB of disk for a month, in dollars."""
    cores: int = 8
    memory_gib: float = 32.0
    disk_tb: float = 1.0
    random_read_us: float = 100.0
    """Reading a page of a file that is too large for the memory, microseconds."""
    money: float = 10_000.0
    """Most dollars that are spent on a data set."""
    days: float = 30.0
    """Most days that a stage may take."""


@dataclass(frozen=True)
class Measured:
    """Figures per record; processor time in microseconds."""

    source_us: float
    dedup_us: float
    rules_us: float
    export_us: float
    rows_bytes: float
    """Rows and losses of all stages, on disk."""
    state_bytes: float
    """State of exact deduplication, on disk."""
    export_bytes: float
    files_per_shard: float
    fixed_bytes: float
    """Memory of a run without a teacher, whatever the count."""
    kept: float
    """Share of the records that is kept."""
    journal_us: float
    journal_bytes: float
    journal_resident: float
    """Memory per answer while a teacher's folder is open."""
    shard_resident: float
    """Memory per shard and stage for its record in the running process."""
    minhash_us: float
    minhash_bytes: float
    sql_us: float
    pair_us: float
    """Comparing two vectors of 384 numbers."""


class Echo:
    """A teacher that answers at once, so that only the bookkeeping is measured."""

    name = "echo"
    revision = None

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Answer with 400 characters, about 100 tokens."""
        text = hashlib.sha256(str(prompt).encode()).hexdigest() * 7
        return TeacherAnswer(text[:400], prompt_tokens=300, completion_tokens=100)

    async def aclose(self) -> None:
        """Close nothing."""


def measure_journal(count: int, folder: Path) -> dict[str, float]:
    """Ask `count` questions in batches, and measure time, disk and memory per answer."""
    began, resident = time.process_time(), resident_bytes()
    with OpenFolder(folder) as opened:
        for start in range(0, count, 500):
            tasks = [LabelTask(str(n), f"question {n}") for n in range(start, start + 500)]
            BatchLabeler(Echo(), opened).run(tasks)
        gc.collect()
        grown = resident_bytes() - resident
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    spent = time.process_time() - began
    return {
        "journal_us": spent / count * 1e6,
        "journal_bytes": size / count,
        "journal_resident": grown / count,
    }


def measure_minhash(count: int, folder: Path) -> dict[str, float]:
    """Look for near-duplicates among texts of some 200 characters."""
    path = folder / "near.sqlite"
    settings = DedupSettings(
        key_fields=("id",), text_fields=("text",), minhash=MinHashSettings(threshold=0.8)
    )
    began = time.process_time()
    with Deduplicator(path, "run", settings) as deduplicator:
        for start in range(0, count, 500):
            rows = [{"id": n, "text": _text(n, 200)} for n in range(start, start + 500)]
            deduplicator.judge(rows, start)
    spent = time.process_time() - began
    return {"minhash_us": spent / count * 1e6, "minhash_bytes": path.stat().st_size / count}


def measure_sql(count: int, folder: Path) -> dict[str, float]:
    """Run statements in the sandbox, on a table of 200 rows; wall time."""
    path = folder / "data.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?)", [(n, _text(n, 20)) for n in range(200)])
    db.close()
    with SqlSandbox(path) as sandbox:
        began = time.perf_counter()
        for n in range(count):
            sandbox.run(f"SELECT b FROM t WHERE a < {n % 50} ORDER BY b")
        spent = time.perf_counter() - began
    return {"sql_us": spent / count * 1e6}


def measure_pairs() -> dict[str, float]:
    """Compare vectors in blocks, as deduplication by meaning does."""
    random = np.random.default_rng(0)
    kept = random.standard_normal((8192, 384), dtype=np.float32)
    new = random.standard_normal((1000, 384), dtype=np.float32)
    began = time.perf_counter()
    for _ in range(3):
        np.argwhere(new @ kept.T >= 1e9)
    return {"pair_us": (time.perf_counter() - began) / 3 / (8192 * 1000) * 1e6}


def cheap_stages() -> dict[str, float]:
    """Read the figures of the largest run of pipeline_scale; times are shares of its total."""
    run = json.loads((RESULTS / "pipeline_scale.json").read_text())["scale"][-1]
    count, stages = run["count"], run["stages"]
    named = {
        part: next(told for name, told in stages.items() if name.startswith(start))
        for part, start in (
            ("source", "load"), ("dedup", "dedup"), ("rules", "filter"), ("export", "exports"),
        )
    }  # fmt: skip
    each = {part: named[part]["seconds"] for part in ("source", "dedup", "rules")}
    each["export"] = run["seconds"] - sum(each.values())
    shards = -(-count // ROWS_PER_SHARD)
    kept_state = named["dedup"]["state_bytes"]
    rows = sum(named[part]["bytes"] for part in ("source", "dedup", "rules")) - kept_state
    files = sum(named[part]["files"] for part in ("source", "dedup", "rules"))
    return {
        **{
            f"{part}_us": seconds / run["seconds"] * run["processor_s"] / count * 1e6
            for part, seconds in each.items()
        },
        "rows_bytes": rows / count,
        "state_bytes": kept_state / count,
        "export_bytes": named["export"]["bytes"] / count,
        "files_per_shard": files / shards,
        "fixed_bytes": run["peak_bytes"],
        "kept": run["kept"] / count,
        "shard_resident": _shard_resident(),
    }


@dataclass(frozen=True)
class Cost:
    """What a number of records takes."""

    calls: float
    money: float
    """Dollars: teacher and judge, single calls."""
    disk_bytes: float
    memory_bytes: float
    """Of the process, with a teacher."""
    files: float
    hours: dict[str, float]
    """Stage -> hours."""


def cost(count: float, m: Measured, a: Assumed) -> Cost:
    """Work out what `count` records take."""
    judged = count * m.kept
    teacher_tokens = count * (a.tokens_in + a.tokens_out)
    judge_tokens = judged * (a.judge_in + a.judge_out)
    money = (count * a.tokens_in + judged * a.judge_in) * a.price_in / 1e6
    money += (count * a.tokens_out + judged * a.judge_out) * a.price_out / 1e6
    shards = count / ROWS_PER_SHARD
    # Each key is a page of its own once the state is larger than the memory.
    missing = max(0.0, 1 - a.memory_gib * GIB / max(count * m.state_bytes, 1))
    near_missing = max(0.0, 1 - a.memory_gib * GIB / max(count * m.minhash_bytes, 1))
    pages = 26  # bands of a text, each on its own page
    hour = 3.6e9
    return Cost(
        calls=count + judged,
        money=money,
        disk_bytes=count * (m.rows_bytes + m.state_bytes + m.export_bytes + 2 * m.journal_bytes),
        memory_bytes=m.fixed_bytes + count * m.journal_resident + shards * 4 * m.shard_resident,
        files=shards * m.files_per_shard,
        hours={
            "read": count * m.source_us / hour,
            "exact dedup": count * (m.dedup_us + 2 * missing * a.random_read_us) / hour,
            "near-duplicates": count
            * (m.minhash_us + 2 * pages * near_missing * a.random_read_us)
            / hour,
            "meaning": count * count / 2 * m.pair_us / hour,
            "journal of calls": count * m.journal_us / hour,
            "teacher": teacher_tokens / a.tokens_per_minute / 60,
            "teacher, local": count * a.tokens_out / a.local_tokens_per_s / 3600,
            "rules": count * m.rules_us / hour / a.cores,
            "execution": count * m.sql_us / hour / a.cores,
            "judge": judge_tokens / a.tokens_per_minute / 60,
            "export": count * m.export_us / hour,
        },
    )


def breaks(m: Measured, a: Assumed) -> list[tuple[float, str, str]]:
    """List the count at which each limit is reached, what it is, and what to do; first first."""
    most = a.days * 24

    def hours(stage: str) -> Callable[[float], bool]:
        return lambda count: cost(count, m, a).hours[stage] > most

    limits: list[tuple[Callable[[float], bool], str, str]] = [
        (lambda n: n * m.journal_resident + m.fixed_bytes > 1.5 * GIB,
         "memory of 1.5 GiB: the teacher's journal keeps all answers in memory",
         "give each part of the records a run and a `cache_dir` of its own, or keep the "
         "journal's answers on disk (an index key -> place in the file)"),
        (lambda n: cost(n, m, a).money > a.money, f"money: {a.money:,.0f} dollars",
         "pilot, cheap gates before the judge, the provider's batch endpoint (half the price), "
         "a teacher of one's own"),
        (hours("teacher, local"), f"{a.days:.0f} days: a teacher on this machine",
         "a provider, or more machines (`--engine ray`)"),
        (hours("teacher"), f"{a.days:.0f} days: the provider's tokens per minute",
         "a higher limit, a second provider, batches"),
        (hours("judge"), f"{a.days:.0f} days: the judge's tokens per minute",
         "a sample for the judge, a higher limit, batches"),
        (hours("meaning"), f"{a.days:.0f} days: comparing all meanings with all others",
         "MinHash instead, or an approximate index"),
        (hours("exact dedup"), f"{a.days:.0f} days: exact deduplication, one process",
         "parts by the first bits of the key, one state each"),
        (hours("near-duplicates"), f"{a.days:.0f} days: near-duplicates, one process",
         "parts by band, or a stronger exact key first"),
        (hours("export"), f"{a.days:.0f} days: export, one process", "one export per part"),
        (lambda n: n * m.state_bytes > a.memory_gib * GIB,
         f"{a.memory_gib:.0f} GiB: the dedup state no longer fits into the memory, so each record "
         "reads the disk", "parts by the first bits of the key"),
        (lambda n: cost(n, m, a).disk_bytes > a.disk_tb * TB, f"disk of {a.disk_tb:g} TB",
         "a larger disk"),
        (lambda n: cost(n, m, a).files > 1e6, "a million files in one run",
         "`rows_per_shard` above 5,000"),
        (lambda n: m.fixed_bytes + n / ROWS_PER_SHARD * 4 * m.shard_resident > 1.5 * GIB,
         "memory of 1.5 GiB without a teacher: the records of the shards",
         "`rows_per_shard` above 5,000"),
    ]  # fmt: skip
    found = []
    for over, what, remedy in limits:
        low, high = 1.0, float(MOST)
        if not over(high):
            found.append((float("inf"), what, remedy))
            continue
        while high / low > 1.001:
            middle = (low * high) ** 0.5
            low, high = (low, middle) if over(middle) else (middle, high)
        found.append((high, what, remedy))
    return sorted(found, key=lambda one: one[0])


def note(m: Measured, a: Assumed) -> str:
    """Write the design note."""
    first = breaks(m, a)
    reached = [one for one in first if one[0] <= MOST]
    lines = [
        "# Record pipeline: what 10^9 records cost, and what breaks first",
        "",
        f"`python benchmarks/pipeline_cost.py`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{platform.machine()}, {os.cpu_count()} cores. A simulation: figures per record are "
        "measured (last section), prices and limits are assumed (second last).",
        "",
        "## What breaks first",
        "",
        "| at records | limit | what to do |",
        "|---|---|---|",
        *(
            f"| {f'{count:.1e}' if count <= MOST else 'above 10^9'} | {what} | {remedy} |"
            for count, what, remedy in first
        ),
        "",
        f"So the first to break is: {reached[0][1]}, at {reached[0][0]:.1e} records."
        if reached
        else "Nothing breaks up to 10^9 records.",
        "",
        "## Growth",
        "",
        "Money is that of single calls to teacher and judge; machines and disk come to the sums "
        "beside it. Memory is that of one process with a teacher.",
        "",
        "| records | calls | money | cores and disk, a month | disk | memory | files |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in COUNTS:
        one = cost(count, m, a)
        cheap = ("read", "exact dedup", "rules", "execution", "export")
        single = {"rules", "execution"}
        core_hours = sum(one.hours[s] * (a.cores if s in single else 1) for s in cheap)
        machines = core_hours * a.core_hour + one.disk_bytes / 1e9 * a.gb_month
        lines.append(
            f"| {count:.0e} | {one.calls:,.0f} | ${one.money:,.2f} | ${machines:,.2f} "
            f"| {_size(one.disk_bytes)} | {_size(one.memory_bytes)} | {one.files:,.0f} |"
        )
    stages = list(cost(1, m, a).hours)
    lines += [
        "",
        "Hours by stage (rules and execution on all cores, the others in one process; "
        "`near-duplicates`, `meaning` and the local teacher are choices):",
        "",
        f"| records | {' | '.join(stages)} |", "|---" * (len(stages) + 1) + "|",
    ]  # fmt: skip
    for count in COUNTS:
        told = " | ".join(f"{hours:,.3g}" for hours in cost(count, m, a).hours.values())
        lines.append(f"| {count:.0e} | {told} |")
    lines += ["", "## Assumed", "", "| | |", "|---|---|"]
    lines += [f"| {one.name} | {getattr(a, one.name):,} |" for one in fields(a)]
    lines += ["", "## Measured", "", "| per record | |", "|---|---|"]
    lines += [f"| {one.name} | {getattr(m, one.name):,.4g} |" for one in fields(m)]
    return "\n".join(lines) + "\n"


def resident_bytes() -> int:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Read the command line, measure, and write the note."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for one in fields(Assumed):
        name = f"--{one.name.replace('_', '-')}"
        parser.add_argument(name, type=type(one.default), default=one.default)
    assumed = Assumed(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measured = Measured(
            **cheap_stages(),
            **measure_journal(20_000, folder / "calls"),
            **measure_minhash(3_000, folder),
            **measure_sql(2_000, folder),
            **measure_pairs(),
        )
    text = note(measured, assumed)
    (RESULTS / "pipeline_cost.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _text(number: int, length: int) -> str:
    return " ".join(
        hashlib.sha256(f"{number} {k}".encode()).hexdigest()[:6] for k in range(length // 7)
    )


def _shard_resident() -> float:
    """Measure the memory of the record of a shard, as a run keeps it."""
    import tracemalloc

    step = {"in": 5000, "used": 4500, "out": 4500, "rejected": {"a": 1, "b": 2}, "dead": {}}
    told = {
        "schema_version": 1, "stage": "stage", "shard": 1, "fingerprint": "f" * 64,
        "inputs": ["f" * 64], "complete": True, "waiting": 0,
        "steps": dict.fromkeys("abc", step), "created_at": "2026-01-01T00:00:00.000000+00:00",
        "duration_s": 1.5, "seal": "f" * 64,
        "rows": {"file": "rows-00000.parquet", "count": 5000, "sha256": "f" * 64},
        "losses": {"file": "losses-00000.parquet", "count": 50, "sha256": "f" * 64},
    }  # fmt: skip
    text = json.dumps(told)
    tracemalloc.start()
    held = [json.loads(text) for _ in range(1000)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(held)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


if __name__ == "__main__":
    raise SystemExit(main())
