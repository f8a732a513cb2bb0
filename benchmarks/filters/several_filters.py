"""Measure what several filters over one stream gain by sharing tokens and vectors of the texts.

    python benchmarks/filters/several_filters.py

One to four filters score the same requests of banking77, each by a network on the vectors of
all-MiniLM-L6. Shared, they remember the vectors of the last texts together, as readers of one
unchanged encoder always do; apart, each filter computes its own, as four processes would. Scores
must be equal. The networks are not trained, which changes no time. Milliseconds are processor time
per request for all filters, on one thread, prefilter and judging included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from banking77_filter import CONFIG, requests, write_package
from stillroom.files import write_json, write_text
from stillroom.inference.score_students.base_model import TextCut, TextReader, name_base
from stillroom.inference.score_students.probe_student import MLPProbe, ProbeStudent
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.inference.score_students.vector_memory import shared_memory
from stillroom.labeling.filters.filter_package import FilterPackage, load_filter
from stillroom.labeling.filters.scoring.score_files import score_articles
from stillroom.labeling.filters.scoring.student_scorer import StudentScorer

RESULTS = Path(__file__).resolve().parents[1] / "results" / "filters"
MOST = 4


def packages(folder: Path) -> list[FilterPackage]:
    """Write filters that differ in their name alone."""
    made = []
    for number in range(MOST):
        package = write_package(folder / str(number))
        home = package.parent.rename(package.parent.with_name(f"triage_{number}"))
        text = CONFIG.replace("name: request_triage", f"name: triage_{number}")
        (home / "v1" / "config.yaml").write_text(text, encoding="utf-8")
        made.append(load_filter(home / "v1"))
    return made


def scorers(own: Sequence[FilterPackage], encoders: Sequence[TextReader]) -> list[StudentScorer]:
    """Give each filter a network on its encoder."""
    made = []
    for number, (package, encoder) in enumerate(zip(own, encoders, strict=True)):
        names = package.config.dimension_names
        torch.manual_seed(number)
        student = ProbeStudent(
            StudentFacts(names, package.view.sha256), encoder, MLPProbe(384, len(names)).eval()
        )
        made.append(StudentScorer(package, student))
    return made


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    articles = [one.article() for one in requests()[: args.requests]]
    with tempfile.TemporaryDirectory() as folder:
        own = packages(Path(folder))
    rows = []
    for count in range(1, MOST + 1):
        times, results = {}, {}
        for kind in ("shared", "apart"):
            alone = TextReader(name_base("minilm"), TextCut())
            alone.vectors = lambda texts, own=alone: own._computed(own._rows(texts))
            shared = TextReader(name_base("minilm"), TextCut())
            shared_memory.cache_clear()
            encoders = [shared if kind == "shared" else alone] * count
            encoders[0].vectors(["warm up"])
            started = time.process_time()
            results[kind] = list(score_articles(scorers(own[:count], encoders), articles))
            times[kind] = 1000 * (time.process_time() - started) / len(articles)
        assert results["shared"] == results["apart"]
        rows.append({"filters": count, **times, "gain": times["apart"] / times["shared"]})
    write_json(args.output / "several_filters.json", {"requests": args.requests, "rows": rows})
    text = "\n".join([
        "# Several filters over one stream",
        "",
        f"`python benchmarks/filters/several_filters.py --requests {args.requests}`; milliseconds "
        "of processor time per request, for all filters together.",
        "",
        "| filters | encoder shared | an encoder each | gain |",
        "|---:|---:|---:|---:|",
        *(f"| {row['filters']} | {row['shared']:.2f} | {row['apart']:.2f} | {row['gain']:.2f} x |"
          for row in rows),
    ]) + "\n"  # fmt: skip
    write_text(args.output / "several_filters.md", text)
    print(text)


if __name__ == "__main__":
    main()
