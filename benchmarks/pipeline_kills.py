"""Kill a record pipeline at random moments, resume it, and compare its artefacts.

    python benchmarks/pipeline_kills.py     # 50 kills, writes results/pipeline_kills.md
    python benchmarks/pipeline_kills.py --records 500 --kills 5 --no-write

A pipeline of real steps (ids, deduplication, a scripted teacher, cleaner, SQL execution, score,
selection, export, reports) runs undisturbed once. Then the same pipeline runs in processes that are
killed with `kill -9` after a random time each, until it is complete; if it is complete before all
kills are spent, it begins anew in another folder. Every completed run is compared with the
undisturbed one, but for the fields of time, and verified. The teacher notes every question that it
is asked.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from processor import processor
from stillroom.pipeline.records import (
    AddSampleId,
    CleanSqlOutput,
    DeduplicateByField,
    KeepByScore,
    LoadDataFromFileSystem,
    MarkTime,
    Pipeline,
    RuleFilter,
    ScoreFromExecEval,
    ScriptedLLM,
    SelectByBool,
    SQLiteExecEval,
    TextGeneration,
    WriteManifest,
    WriteMlxDataset,
    WriteQualityReport,
    WriteTimingReport,
)
from stillroom.pipeline.records.replay import compare, verify

HERE = Path(__file__).parent
RUN_ID = "run"
DUPLICATES = 10
"""Every tenth record repeats an earlier one."""


def make_data(folder: Path, records: int) -> None:
    """Write the questions and the database."""
    import json

    with sqlite3.connect(folder / "towns.sqlite") as base:
        base.execute("create table towns (id integer primary key, name text, people integer)")
        rows = [(i, f"Town {i}", 37 * i % 9001) for i in range(records)]
        base.executemany("insert into towns values (?, ?, ?)", rows)
    base.close()
    with open(folder / "questions.jsonl", "w", encoding="utf-8") as lines:
        for number in range(records):
            town = number - 7 if number % DUPLICATES == DUPLICATES - 1 else number
            record = {
                "task_id": f"town-{town}",
                "schema": "towns(id, name, people)",
                "instruction": f"How many people live in Town {town}?",
                "gold_sql": f"SELECT people FROM towns WHERE id = {town}",
            }
            lines.write(json.dumps(record) + "\n")


def pipeline(folder: Path, log: Path) -> Pipeline:
    """Build the pipeline; its teacher writes each question that it is asked into `log`."""

    def answer(question: str) -> str:
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(question + "\n")
        town = int(question.rpartition("Town ")[2].rstrip("?"))
        if town % 11 == 0:
            return "I do not know."
        column = "peopel" if town % 13 == 0 else "people"
        return f"<think>Look it up.</think>SELECT {column} FROM towns WHERE name = 'Town {town}';"

    with Pipeline("kills", cache_dir=log.parent / "cache") as built:
        raw = LoadDataFromFileSystem(data_files=str(folder / "questions.jsonl"), name="raw")
        ids = AddSampleId(fields=["schema", "instruction"])
        unique = DeduplicateByField(name="unique")
        teacher = TextGeneration(llm=ScriptedLLM(replies=answer), name="teacher")
        scored = ScoreFromExecEval(exec_pass_field="exec_pass", gold_match_field="gold_match")
        selected = SelectByBool(name="selected")
        raw >> MarkTime(label="raw") >> ids >> unique
        unique >> WriteManifest(stage="canonical") >> teacher >> MarkTime(label="teacher")
        built.steps["mark_time_1"] >> CleanSqlOutput() >> RuleFilter() >> SQLiteExecEval(
            db_path=str(folder / "towns.sqlite")
        ) >> scored >> KeepByScore(min_score=1.0, name="kept") >> [
            WriteQualityReport(stage="filtered"), selected
        ]  # fmt: skip
        selected >> [
            WriteManifest(stage="distilled"), WriteMlxDataset(),
            WriteTimingReport(ordered_labels=["raw", "teacher"]),
        ]  # fmt: skip
    return built


def run_once(data: Path, folder: Path, rows_per_shard: int) -> None:
    """Run the pipeline in this process."""
    pipeline(data, folder / "asked").run(
        artifacts_dir=folder, run_id=RUN_ID, rows_per_shard=rows_per_shard
    )


def main() -> int:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--records", type=int, default=5000)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--rows-per-shard", type=int, default=250)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--no-write", action="store_true", help="write no results file")
    options.add_argument("--child", nargs=2, metavar=("DATA", "FOLDER"), help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.child:
        run_once(Path(args.child[0]), Path(args.child[1]), args.rows_per_shard)
        return 0
    with tempfile.TemporaryDirectory(prefix="stillroom-kills-") as place:
        lines = kill_and_compare(Path(place), args)
    print("\n".join(lines))
    if not args.no_write:
        (HERE / "results/pipeline_kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if lines[-1].startswith("All") else 1


def kill_and_compare(place: Path, args: argparse.Namespace) -> list[str]:
    """Do the runs, and write the report."""
    make_data(place, args.records)
    reference = place / "undisturbed"
    began = time.monotonic()
    child = command(place, reference, args)
    reference.mkdir()
    subprocess.run(child, check=True)
    whole_s = time.monotonic() - began
    chance = random.Random(args.seed)
    kills, asked, runs, faults = 0, [], 0, []
    while kills < args.kills:
        runs += 1
        folder = place / f"killed-{runs}"
        folder.mkdir()
        done = False
        while not done:
            # After the last kill, and now and then, a process may run to the end.
            life_s = chance.uniform(0.2, 0.5 * whole_s) if kills < args.kills else None
            done = not killed(command(place, folder, args), life_s)
            kills += not done
        faults += [f"run {runs}: {line}" for line in compare(reference / RUN_ID, folder / RUN_ID)]
        faults += [f"run {runs}: {line}" for line in verify(folder / RUN_ID)]
        asked.append(len((folder / "asked").read_text(encoding="utf-8").splitlines()))
    first = len((reference / "asked").read_text(encoding="utf-8").splitlines())
    files = sum(path.is_file() for path in (reference / RUN_ID).rglob("*"))
    call = (
        f"python benchmarks/pipeline_kills.py --records {args.records} --kills {args.kills} "
        f"--rows-per-shard {args.rows_per_shard} --seed {args.seed}"
    )
    figures = {
        "records": args.records,
        "undisturbed run": f"{whole_s:.1f} s",
        "kills": kills,
        "runs that were killed": runs,
        "files of a run": files,
        "differences": len(faults),
        "questions asked, undisturbed": first,
        "questions asked, killed": ", ".join(map(str, asked)),
    }
    return [
        "# Record pipeline, killed at random moments",
        "",
        f"`{call}`, {date.today()}, {processor()}",
        "",
        f"| {' | '.join(figures)} |",
        "|---" * len(figures) + "|",
        f"| {' | '.join(map(str, figures.values()))} |",
        "",
        *faults[:20],
        "All artefacts are equal but for times, and verified." if not faults else "NOT EQUAL",
    ]


def command(data: Path, folder: Path, args: argparse.Namespace) -> list[str]:
    """Write the command of a process that runs the pipeline."""
    shards = ["--rows-per-shard", str(args.rows_per_shard)]
    return [sys.executable, __file__, *shards, "--child", str(data), str(folder)]


def killed(child: list[str], life_s: float | None) -> bool:
    """Run a process for a time, and kill it; tell whether it was still running."""
    process = subprocess.Popen(child)
    try:
        code = process.wait(life_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    if code:
        raise SystemExit(f"the pipeline failed with exit code {code}")
    return False


if __name__ == "__main__":
    sys.exit(main())
