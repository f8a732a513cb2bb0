"""Compare a distillation step with that of other libraries: equivalence, then speed and memory.

    python benchmarks/kd_peer --quick                 # everything once at small size, 2 minutes
    python benchmarks/kd_peer                         # the tables in benchmarks/results
    python benchmarks/kd_peer --only B --runs 3 --resume
    python benchmarks/kd_peer --device cuda           # bf16, 8,192 rows, with Liger's Triton kernel
    python benchmarks/kd_peer --tiny --systems cached trl_gkd    # the way through, for a test

Every run is a process of its own and writes one JSON file to the output folder; tables and picture
are made from these files. With --resume, runs with a file are not repeated. README.md beside this
file describes what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cases import MALLOC, STEPS, SYSTEMS, THREADS, Case, Planned, gate_plan, plan
from stillroom.console import quiet_libraries
from stillroom.files import read_json, write_json, write_text

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"


# ------------------------------------------------------------------------- in a child process


def child(kind: str, settings: dict[str, Any], target: Path) -> None:
    """Do one piece of work and write its JSON; heavy imports happen here."""
    quiet_libraries()
    write_json(target, {"gate": _gate, "cache": _cache, "rate": _rate, "run": _run}[kind](settings))


def _gate(settings: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    from gates import check_equivalence

    return check_equivalence(**settings)


def _cache(settings: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    from systems import build_teacher_cache

    return build_teacher_cache(**(settings | {"folder": Path(settings["folder"])}))


def _rate(settings: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    from one_run import step_batches
    from pairs import examples
    from products import product_rate

    pair, data, device = settings["pair"], settings["data"], settings["device"]
    batches = step_batches(examples(pair, data), Case(pair, data, "cached"), STEPS)
    rows = sum(step[0]["tokens"] for step in batches) // STEPS
    positions = sum(s[0]["examples"] * s[0]["positions"] for s in batches) // STEPS
    return {"rows": rows} | product_rate(pair, rows, positions, device)


def _run(settings: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    from one_run import run_case

    case, cache = Case(**settings["case"]), settings["cache"]
    work = Path(settings["work"])
    return run_case(case, work, steps=settings["steps"], cache=cache and Path(cache))


# ------------------------------------------------------------------------------- in the parent


class Session:
    """Runs pieces of work one after the other and keeps what each of them gave.

    Args:
        output: Folder of the JSON files.
        device: `cpu` or `cuda`.
        threads: Of each process.
    """

    def __init__(self, output: Path, device: str, threads: int) -> None:
        """Keep the settings."""
        self.output, self.device, self.threads = output, device, threads

    def result(self, kind: str, name: str, settings: dict[str, Any], *, malloc: bool = True) -> Any:  # noqa: ANN401
        """Give a piece of work's JSON; it is done in a process of its own unless it is there."""
        target = self.output / f"{kind}s" / f"{name}.json"
        if not target.is_file():
            print(f"{kind} {name}", flush=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, str(HERE), "--child", kind, json.dumps(settings)]
            done = subprocess.run(
                [*command, "--output", str(target)],
                env=self._environment(malloc and self.device == "cpu"),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise SystemExit(f"{kind} {name} failed:\n{done.stdout}{done.stderr}")
        return read_json(target)

    def _environment(self, malloc: bool) -> dict[str, str]:
        variables = {k: v for k, v in os.environ.items() if k not in MALLOC}
        variables |= {"OMP_NUM_THREADS": str(self.threads), "HF_HUB_OFFLINE": "1"}
        return variables | (MALLOC if malloc else {})


def check_gates(
    session: Session, quick: bool, only: str | None, tiny: bool
) -> list[dict[str, Any]]:
    """Run the equivalence gates, or end when one of them is closed."""
    from tables import gate_lines

    rows: list[dict[str, Any]] = []
    for pair, data, accumulation, steps in gate_plan(quick, only, tiny):
        settings = {"pair": pair, "data": data, "accumulation": accumulation, "steps": steps}
        found = session.result("gate", f"{pair}.{data}.acc{accumulation}", settings)
        print("\n".join(gate_lines(found)), flush=True)
        rows += found
    if not all(row["holds"] for row in rows):
        raise SystemExit("not all systems train the same; nothing is timed")
    return rows


def run_all(session: Session, planned: Sequence[Planned], steps: int) -> None:
    """Build caches, measure products, then run all cases in turns: ABC, ABC, ..."""
    for pair, data in sorted({(p.case.pair, p.case.data) for p in planned}):
        where = {"pair": pair, "data": data, "device": session.device}
        session.result("rate", f"{pair}.{data}", where)
        folder = _cache_folder(session, pair, data)
        session.result("cache", f"{pair}.{data}", where | {"folder": str(folder)})
    for number in range(max(p.runs for p in planned)):
        for case in (p.case for p in planned if number < p.runs):
            cache = _cache_folder(session, case.pair, case.data)
            settings = {
                "case": vars(case),
                "work": str(session.output / "work"),
                "steps": steps,
                "cache": str(cache) if case.system == "cached" else None,
            }
            session.result("run", f"{case.name}.{number}", settings, malloc=case.malloc)


def _cache_folder(session: Session, pair: str, data: str) -> Path:
    return session.output / "teachers" / f"{pair}.{data}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="everything once, small and short")
    parser.add_argument("--tiny", action="store_true", help="the same at the size of a test")
    parser.add_argument("--gates", action="store_true", help="check equivalence only")
    parser.add_argument("--few-gates", action="store_true", help="check it as --quick does")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), help="these alone")
    parser.add_argument("--only", choices=("A", "B"), help="one size of vocabulary")
    parser.add_argument("--runs", type=int, default=5, help="of each case that a bar is judged on")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--resume", action="store_true", help="go on with an earlier output folder")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], json.loads(args.child[1]), args.output)
        return 0
    name = "kd_peer" + ("" if args.device == "cpu" else f"_{args.device}")
    output = args.output or Path("outputs") / (f"{name}_quick" if args.quick else name)
    if output.exists() and any(output.iterdir()) and not args.resume:
        raise SystemExit(f"{output} holds an earlier session: go on with --resume, or delete it")
    session = Session(output, args.device, args.threads)
    gates = check_gates(session, args.quick or args.few_gates, args.only, args.tiny)
    if args.gates:
        return 0
    planned = plan(args.runs, args.only, args.device, args.quick, args.tiny, args.systems)
    run_all(session, planned, 4 if args.quick or args.tiny else STEPS)
    part = args.quick or args.tiny or args.only or args.systems
    return report(output, gates, output if part else RESULTS, name)


def report(output: Path, gates: list[dict[str, Any]], folder: Path, name: str) -> int:
    """Write tables and picture from the JSON files; 1 when a bar is missed."""
    from pictures import draw

    from tables import Measured, judge, write_tables

    measured = Measured.read(output)
    draw(measured, folder / f"{name}.svg")
    verdicts = judge(measured)
    text = write_tables(measured, gates, verdicts, picture=f"{name}.svg")
    write_text(folder / f"{name}.md", text)
    print(text)
    print(f"written: {folder / name}.md and .svg")
    return 0 if all(v.holds for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
