"""Put the demo's table into the README: `python docs/write_table.py [outputs/elements]`.

The table is what the run measured, with date and machine; nothing in it is written by hand.
"""

import os
import platform
import re
import sys
import time
from pathlib import Path

from stillroom.evaluation.scores import ModelScores, format_table
from stillroom.files import read_json

START, END = "<!-- demo table: docs/write_table.py -->", "<!-- end of demo table -->"


def processor() -> str:
    """Name the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"model name\s*: (.*)", text)
    return found[1].strip() if found else platform.machine()


def main() -> None:
    """Rewrite the part of the README between the two marks."""
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/elements")
    metrics = read_json(run / "metrics.json")
    table = format_table({name: ModelScores.from_dict(value) for name, value in metrics.items()})
    when = time.strftime("%Y-%m-%d", time.gmtime((run / "metrics.json").stat().st_mtime))
    words = (
        f"What `make demo` measured on {when} ({processor()}, {os.cpu_count()} cores, seed 0): "
        "percent of held-out wordings answered exactly, in all and per task; overlap of words; "
        "agreement with the teacher; perplexity of the right answers; size; memory of a fresh "
        "process; tokens per second, one question at a time. `benchmarks/distillation_seeds.py` "
        "repeats it over seeds with other question templates."
    )
    readme = Path(__file__).resolve().parents[1] / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    readme.write_text(
        f"{before}{START}\n\n```text\n{table}\n```\n\n{words}\n\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
