"""Measure the record pipeline: how time and memory grow, and its speed beside two peers.

    python benchmarks/pipeline_scale.py                    # all, some 15 minutes on two cores
    python benchmarks/pipeline_scale.py --parts scale --counts 10000 100000

scale   Synthetic records from a JSON Lines file through canonicalize, dedup, rules and export, in
        one process: seconds, and the peak memory of the process and its children. The bars: under
        1.5 GiB whatever the count; processor time per record at the largest count at most 15 %
        above the least of all counts. (Processor time, since other work stretches the seconds.)
peers   20,000 records through the same rules in distilabel and in plain Ray Data `map_batches`,
        in turns. A first round checks that all three export the same objects, and is not timed;
        each later round is checked as well. The bars: at least 3 x distilabel, 1 x Ray Data.

stillroom also keeps every stage on disk with its hashes, accounts for each row and can go on after
a kill; the peers do not. distilabel is installed into an environment of its own (`--peer-python`
names one that is there), Ray Data comes with the extra `ray`. The results are written to
benchmarks/results/pipeline_scale.json and .md; the exit status is 1 if a bar is not met.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = HERE / "pipeline_peers"
RESULTS = HERE / "results" / "pipeline_scale"
PEER_PACKAGES = ["distilabel==1.5.3"]
MOST_MEMORY = 1.5 * 2**30
MOST_GROWTH = 1.15
LEAST_RATIO = {"distilabel": 3.0, "distilabel, batches of 1,000": 3.0, "ray": 1.0}
Figures = dict[str, Any]


def record(number: int) -> Figures:
    """Make a record; every tenth repeats one before, some answers are empty or apologies."""
    number = max(number - 7, 0) if number % 10 == 0 else number
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    words = " ".join(digest[start : start + 6] for start in range(0, 60, 6))
    table = f"t_{digest[5:9]}"
    answer = f"SELECT {digest[:5]} FROM {table} WHERE a = {number} AND b = '{words}'"
    if number % 50 == 3:
        answer = ""
    elif number % 40 == 7:
        answer = "Sorry, I cannot."
    schema = f"CREATE TABLE {table} (a INTEGER, b TEXT, {digest[:5]} REAL)"
    return {
        "task_id": f"t-{number}",
        "instruction": f"How many {words} are there, {words}?",
        "schema": None if number % 9 == 0 else schema,
        "generation": answer,
    }


def write_records(path: Path, count: int) -> Path:
    """Write records as JSON Lines."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps(record(number)) + "\n")
    return path


def run_stillroom(source: str, folder: str) -> None:
    """Run the pipeline in this process; print its figures as one line of JSON."""
    from stillroom.pipeline.records import (
        AddSampleId,
        DeduplicateByField,
        FilterByBool,
        LoadDataFromFileSystem,
        PatternFilter,
        Pipeline,
        RuleFilter,
        WriteDataset,
    )

    with Pipeline("scale") as pipeline:
        (
            LoadDataFromFileSystem(data_files=source)
            >> AddSampleId(fields=["schema", "instruction"])
            >> DeduplicateByField(field="sample_id")
            >> RuleFilter(min_chars=10, max_chars=400)
            >> PatternFilter(pattern="(?i)sorry", wanted=False)
            >> FilterByBool()
            >> WriteDataset(form="messages", metadata_fields=["sample_id"])
        )
    pipeline.dry_run()  # what is imported at first use is there
    began, began_cpu = time.perf_counter(), _processor_s()
    result = pipeline.run(artifacts_dir=folder, run_id="run")
    figures = {
        "seconds": time.perf_counter() - began,
        "processor_s": _processor_s() - began_cpu,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "kept": len(result["default"]["train"]),
        "stages": stage_figures(Path(folder) / "run"),
    }
    print(json.dumps(figures), flush=True)


def stage_figures(run: Path) -> dict[str, Figures]:
    """Add up the seconds and bytes of each stage of a run; an export has no seconds of its own."""
    found = {}
    for stage in sorted(path for path in run.iterdir() if path.is_dir()):
        told = [json.loads(path.read_text()) for path in stage.glob("shard-*.json")]
        files = [path for path in stage.rglob("*") if path.is_file()]
        state = [path for path in files if "state" in path.parts]
        found[stage.name] = {
            "seconds": sum(shard["duration_s"] for shard in told),
            "bytes": sum(path.stat().st_size for path in files),
            "state_bytes": sum(path.stat().st_size for path in state),
            "files": len(files),
        }
    return found


def measure(command: Sequence[str]) -> Figures:
    """Run a command, watch its tree of processes, and read its last line.

    Returns:
        What it printed, with `peak_bytes`, `whole_s` and `tree_processor_s`, the processor time of
        all its processes with their start.
    """
    with tempfile.TemporaryFile("w+") as told:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        peak, spent = 0, dict[int, float]()
        while process.poll() is None:
            family = tree(process.pid)
            spent.update({one: seconds for one, (seconds, _) in family.items()})
            peak = max(peak, sum(size for _, size in family.values()))
            time.sleep(0.2)
        told.seek(0)
        lines = told.read().splitlines()
    if process.returncode or not lines:
        raise SystemExit("\n".join([f"{' '.join(command)} failed:", *lines[-30:]]))
    figures = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    figures["peak_bytes"] = max(peak, figures.get("peak_bytes", 0))
    whole = {"whole_s": time.perf_counter() - began, "tree_processor_s": sum(spent.values())}
    return {**figures, **whole}


def tree(root: int) -> dict[int, tuple[float, int]]:
    """Give processor seconds and bytes of a process and each of its descendants.

    Pages that several processes share are divided among them (PSS).
    """
    ticks = os.sysconf("SC_CLK_TCK")
    known: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        known[int(folder.name)] = int(told[1]), (int(told[11]) + int(told[12])) / ticks
    family = {root}
    while more := {child for child, (parent, _) in known.items() if parent in family} - family:
        family |= more
    found = {}
    for process in family & known.keys():
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        size = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        found[process] = known[process][1], size
    return found


def scale(counts: Sequence[int], folder: Path) -> list[Figures]:
    """Run the pipeline at each count, each in a process of its own."""
    found = []
    for count in counts:
        source = write_records(folder / f"records-{count}.jsonl", count)
        out = folder / f"scale-{count}"
        figures = measure([sys.executable, __file__, "--child", str(source), str(out)])
        found.append({"count": count, **figures})
        print(found[-1], flush=True)
        source.unlink()
        subprocess.run(["rm", "-rf", str(out)], check=True)
    return found


def peers(count: int, rounds: int, peer_python: str, cpus: int, folder: Path) -> Figures:
    """Run the three in turns; the first round is only checked.

    Raises:
        SystemExit: They do not export the same objects.
    """
    source = str(write_records(folder / "records.jsonl", count))
    runs: dict[str, Callable[[Path], list[str]]] = {
        "stillroom": lambda out: [sys.executable, __file__, "--child", source, str(out)],
        "distilabel": lambda out: [
            peer_python, str(PEERS / "run_distilabel.py"), source, str(out), "50",
        ],
        "distilabel, batches of 1,000": lambda out: [
            peer_python, str(PEERS / "run_distilabel.py"), source, str(out), "1000",
        ],
        "ray": lambda out: [sys.executable, str(PEERS / "run_ray.py"), source, str(out), str(cpus)],
    }  # fmt: skip
    timed: dict[str, list[Figures]] = {name: [] for name in runs}
    kept = 0
    for turn in range(rounds + 1):
        exported = {}
        for name, command in runs.items():
            out = folder / f"{name.partition(',')[0]}-{len(exported)}-{turn}"
            out.mkdir()
            figures = measure(command(out))
            exported[name] = exported_objects(out)
            print(turn, name, figures, flush=True)
            if turn:
                timed[name].append(figures)
        for name, objects in exported.items():
            if objects != exported["stillroom"] or not objects:
                raise SystemExit(f"{name} exports other objects than stillroom; nothing is timed")
        kept = len(exported["stillroom"])
    return {"count": count, "kept": kept, "cpus": cpus, "runs": timed}


def exported_objects(folder: Path) -> list[str]:
    """Read all exported objects below a folder, in an order of their own."""
    files = [
        path
        for path in folder.rglob("*.json*")
        if path.parent == folder or path.parent.name == "messages"
    ]
    lines = [
        line
        for path in files
        if path.name not in ("split.json", "observer.json")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return sorted(json.dumps(json.loads(line), sort_keys=True) for line in lines)


def make_peers(folder: Path) -> str:
    """Install distilabel into an environment of its own, since its needs are not ours."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *PEER_PACKAGES], check=True)
    return str(python)


def report(found: Figures) -> tuple[str, bool]:
    """Write the results as Markdown, and say whether all bars are met."""
    lines = [
        "# Record pipeline: growth and speed",
        "",
        f"`python benchmarks/pipeline_scale.py`, {found['date']}, {found['machine']}.",
    ]
    fine = True
    if rows := found.get("scale"):
        lines += [
            "", "## Growth", "",
            "JSON Lines through canonicalize (sample ids), dedup, two rules and export, one "
            "process. Processor time is what grows or does not; other work on the machine "
            "stretches the seconds.", "",
            "| records | kept | seconds | processor s | records / s | records / processor s "
            "| µs / record | peak MiB | disk, bytes / record |",
            "|---|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for row in rows:
            n, cpu = row["count"], row["processor_s"]
            disk = sum(stage["bytes"] for stage in row["stages"].values())
            lines.append(
                f"| {n:,} | {row['kept']:,} | {row['seconds']:.1f} | {cpu:.1f} "
                f"| {n / row['seconds']:,.0f} | {n / cpu:,.0f} | {cpu / n * 1e6:.0f} "
                f"| {row['peak_bytes'] / 2**20:,.0f} | {disk / n:,.0f} |"
            )
        most = rows[-1]
        each = [row["processor_s"] / row["count"] for row in rows]
        growth = each[-1] / min(each)
        peak = max(row["peak_bytes"] for row in rows)
        met = [growth <= MOST_GROWTH, peak <= MOST_MEMORY]
        fine = fine and all(met)
        lines += [
            "",
            f"- Processor time per record at {most['count']:,} is {growth:.2f} of that at the "
            f"count where it is least; allowed {MOST_GROWTH}: {_told(met[0])}.",
            f"- Peak memory {peak / 2**20:,.0f} MiB; allowed 1,536: {_told(met[1])}.",
        ]
    if beside := found.get("peers"):
        best = {name: min(run["seconds"] for run in runs) for name, runs in beside["runs"].items()}
        lines += [
            "", "## Beside distilabel and Ray Data", "",
            f"{beside['count']:,} records, the same {beside['kept']:,} objects exported by each "
            f"in every round. The fastest of {len(beside['runs']['ray'])} rounds in turns, since "
            "other work on the machine only adds; without imports and the start of Ray. "
            "distilabel's own size of a batch is 50.", "",
            "| | seconds | each round | with start and imports | processor s, with start "
            "| peak MiB | stillroom is faster by | at least | |",
            "|---|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for name, runs in beside["runs"].items():
            ratio = best[name] / best["stillroom"]
            asked = LEAST_RATIO.get(name)
            met_here = asked is None or ratio >= asked
            fine = fine and met_here
            each = ", ".join(f"{run['seconds']:.1f}" for run in runs)
            whole = min(run["whole_s"] for run in runs)
            spent = min(run["tree_processor_s"] for run in runs)
            peak = max(run["peak_bytes"] for run in runs)
            lines.append(
                f"| {name} | {best[name]:.1f} | {each} | {whole:.1f} | {spent:.1f} "
                f"| {peak / 2**20:,.0f} | "
                + (
                    "| | |"
                    if asked is None
                    else f"{ratio:.1f} x | {asked:.0f} x | {_told(met_here)} |"
                )
            )
    return "\n".join(lines) + "\n", fine


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["scale", "peers"])
    parser.add_argument("--counts", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peer-count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of the peers")
    parser.add_argument("--cpus", type=int, default=os.cpu_count(), help="CPUs that Ray uses")
    parser.add_argument("--peer-python", help="a Python that has distilabel")
    parser.add_argument("--folder", help="where the data goes; default: a temporary folder")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run_stillroom(*given.child)
        return 0
    found: Figures = {}
    found["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    cores = os.cpu_count()
    found["machine"] = f"{platform.machine()}, {cores} cores, Python {platform.python_version()}"
    load = f"load {os.getloadavg()[0]:.1f} on {cores} cores at the start"
    found["machine"] += f", {load}"
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        if "scale" in given.parts:
            found["scale"] = scale(sorted(given.counts), folder)
        if "peers" in given.parts:
            python = given.peer_python or make_peers(folder / "peers")
            found["peers"] = peers(given.peer_count, given.rounds, python, given.cpus, folder)
    path = RESULTS.with_suffix(".json")
    found = {**(json.loads(path.read_text()) if path.exists() else {}), **found}
    told, fine = report(found)
    path.write_text(json.dumps(found, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(told, encoding="utf-8")
    print(told)
    return 0 if fine else 1


def _processor_s() -> float:
    """Return the processor time of this process and its children, seconds."""
    own, theirs = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime


def _told(met: bool) -> str:
    return "holds" if met else "missed"


if __name__ == "__main__":
    raise SystemExit(main())
