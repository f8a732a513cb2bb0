"""Measure time and memory from CSV to question-answer pairs, compared with `pandas.read_csv`.

    python benchmarks/loader_speed.py                      # 1,000,000 and 100,000 records, 5 rounds
    python benchmarks/loader_speed.py --records 100000 --rounds 3

Both must give the same pairs. Then each runs in a fresh process, alternately, and medians are
reported. Memory is the peak of the process (VmHWM) minus its memory before the file was opened. CPU
seconds are reported too, since they are more reliable on a busy machine. pandas is measured in two
ways: with the usual comprehension over rows, and with columns converted to lists first.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice, zip_longest
from pathlib import Path

Pair = dict[str, str]


def write_table(path: Path, records: int) -> None:
    """Write a table in which every fifth context has commas and every eleventh a line end."""
    rng = random.Random(0)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["question", "answer", "context"])
        for i in range(records):
            name = f"part {rng.randrange(10**6):06d}-{i}"
            price = f"{rng.randrange(1, 10**6) / 100:.2f} EUR"
            context = f"In the list of shelf {i % 97} {name} is priced at {price}"
            context += ", tax included, per piece" if i % 5 == 0 else ""
            context += '\nSee also the "small print".' if i % 11 == 0 else ""
            writer.writerow([f"What does {name} cost?", price, context])


def ours(path: Path) -> Iterable[Pair]:
    from stillroom.data.questions.qa_pairs import iter_qa_pairs

    return iter_qa_pairs(path, "question", "answer", "context")


def with_pandas(path: Path) -> list[Pair]:
    """Read and make pairs as most programs do."""
    import pandas as pd

    table = pd.read_csv(path)
    return [
        {"question": str(q), "answer": str(a), "context": str(c)}
        for q, a, c in zip(table["question"], table["answer"], table["context"], strict=True)
    ]


def with_pandas_lists(path: Path) -> list[Pair]:
    """Read and make pairs in the quickest way that pandas has: columns become lists first."""
    import pandas as pd

    table = pd.read_csv(path)
    columns = (table[name].tolist() for name in ("question", "answer", "context"))
    return [
        {"question": str(q), "answer": str(a), "context": str(c)}
        for q, a, c in zip(*columns, strict=True)
    ]


WAYS: dict[str, Callable[[Path], Iterable[Pair]]] = {
    "stillroom, streamed": ours,
    "stillroom, list": lambda path: list(ours(path)),
    "pandas": with_pandas,
    "pandas, tolist": with_pandas_lists,
}


def memory_kb(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}")


def measure(way: str, path: Path) -> None:
    """Run one way once and print seconds, records and peak memory as JSON; in a process of its
    own."""
    import pandas  # noqa: F401 - both processes hold the same libraries before the clock starts
    import stillroom.data.questions.qa_pairs  # noqa: F401

    before = memory_kb("VmRSS")
    start, start_cpu = time.perf_counter(), time.process_time()
    records = sum(1 for _ in WAYS[way](path))
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak_mb = max(memory_kb("VmHWM") - before, 0) / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "records": records, "peak_mb": peak_mb}))


def run_child(way: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", way, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def check_equal(path: Path) -> None:
    """Stop unless stillroom and pandas give the same pairs in the same order."""
    for number, (one, other) in enumerate(zip_longest(ours(path), with_pandas(path)), 1):
        if one != other:
            sys.exit(f"record {number} differs:\n  stillroom {one}\n  pandas    {other}")
    print(f"equal: {number} pairs, e.g. {next(islice(ours(path), 1))}\n")


def median_of(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def compare(path: Path, records: int, rounds: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            runs[way].append(run_child(way, path))
    base, base_cpu = (median_of(runs["pandas"], key) for key in ("seconds", "cpu"))
    print(f"{records} records, {path.stat().st_size / 1e6:.1f} MB, median of {rounds} rounds")
    heads = ("seconds", "spread", "records/s", "speed", "CPU s", "by CPU", "peak MB")
    print(f"{'':<20}" + "".join(f"{head:>14}" for head in heads))
    for way, results in runs.items():
        times = sorted(run["seconds"] for run in results)
        median, cpu = median_of(results, "seconds"), median_of(results, "cpu")
        cells = (
            f"{median:.2f}",
            f"{times[0]:.2f} - {times[-1]:.2f}",
            f"{records / median:.0f}",
            f"{base / median:.2f}x",
            f"{cpu:.2f}",
            f"{base_cpu / cpu:.2f}x",
            f"{max(run['peak_mb'] for run in results):.1f}",
        )
        print(f"{way:<20}" + "".join(f"{cell:>14}" for cell in cells))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, action="append", help="default: 100000 and 1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.file)
        return
    import pandas as pd

    print(f"Python {platform.python_version()}, pandas {pd.__version__}, {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        for number, records in enumerate(arguments.records or [100_000, 1_000_000]):
            path = Path(folder) / f"{records}.csv"
            write_table(path, records)
            if number == 0:
                check_equal(path)
            compare(path, records, arguments.rounds)
            path.unlink()


if __name__ == "__main__":
    main()
