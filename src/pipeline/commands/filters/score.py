"""`stillroom filter score` and `stillroom filter probe`: scores, and a cheap first stage.

stillroom filter score --filter filters/uplifting/v1 --input articles.jsonl --output scored.jsonl
stillroom filter probe --filter filters/uplifting/v1 --data-dir splits --objective recall
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ....console import Console
from ...options import (
    CommandParser,
    add_json,
    add_verbose,
    device,
    number,
    one_of,
    seed,
    text,
    whole_number,
)

if TYPE_CHECKING:
    from ....labeling.filters.filter_package import FilterPackage
    from ....labeling.filters.scoring.cascade import HybridScorer
    from ....labeling.filters.scoring.scorer import FilterBaseScorer

PROGRAM: Final = "stillroom filter"
INT8_SAMPLE: Final = 256
"""First articles on which the quality of eight bits is compared."""


def score_parser() -> CommandParser:
    """Make the parser of `stillroom filter score`."""
    parser = CommandParser(
        f"{PROGRAM} score",
        "Score a file of articles by one or more filters. The output appears when it is whole;\n"
        "the same command goes on with a run that ended early.",
        (
            f"{PROGRAM} score --filter filters/uplifting/v1 --input articles.jsonl --output "
            "scored.jsonl",
            f"{PROGRAM} score --filter filters/a/v1 --filter filters/b/v1 --input articles.jsonl "
            "--output scored.jsonl",
            f"{PROGRAM} score --filter filters/uplifting/v1 --input articles.jsonl --output "
            "scored.jsonl --server http://127.0.0.1:8000/v1 --model uplifting",
        ),
    )
    add = parser.add_argument
    _add_filter(parser, action="append")
    add(
        "--input",
        "-i",
        type=text,
        required=True,
        metavar="FILE",
        help="articles in JSON Lines: id, title, content",
    )
    add(
        "--output",
        "-o",
        type=text,
        required=True,
        metavar="FILE",
        help="file to write: each article with <filter>_scores",
    )
    add(
        "--student",
        type=text,
        metavar="DIR",
        help="folder of the student (default: model in the package)",
    )
    add(
        "--probe",
        type=text,
        metavar="DIR",
        help="folder of the first stage (default: probe in the package, where there is one)",
    )
    add(
        "--threshold",
        type=number(0, 10),
        help="weighted average of the probe from which the "
        "student reads an article; 0: all (default: that of the config, else of the probe)",
    )
    add(
        "--compare",
        action="store_true",
        help="let the student read all articles too, and print "
        "what the first stage saves and misses",
    )
    add("--no-prefilter", action="store_true", help="score also what the prefilter blocks")
    add(
        "--batch-size",
        type=whole_number(1),
        default=16,
        metavar="N",
        help="texts per call of the student (default 16)",
    )
    add(
        "--server",
        type=text,
        metavar="URL",
        help="OpenAI-compatible server of a model that writes JSON, instead of a student",
    )
    add("--model", type=text, metavar="NAME", help="name of the model on the server")
    add(
        "--api-key-env",
        type=text,
        metavar="NAME",
        help="environment variable that holds the server's key",
    )
    add("--structured", action="store_true", help="send the server the schema of a reply")
    add("--no-prompt", action="store_true", help="send the server title and content alone")
    add(
        "--allow-view-mismatch",
        action="store_true",
        help="accept a student that learned from another prompt or shortening of articles",
    )
    add(
        "--int8",
        action="store_true",
        help="round the student's layers to eight bits, and print what that costs in quality",
    )
    add("--device", type=device, help="cpu, cuda, mps (default: cpu)")
    add("--report", type=text, metavar="FILE", help="write the numbers as JSON")
    add_json(parser)
    add_verbose(parser)
    return parser


def score_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options of `score` that can be found without a model."""
    faults = [] if _filters(args) else ["no filter is given; one is needed: --filter DIR"]
    if (args.server is None) != (args.model is None):
        faults.append("--server and --model belong together")
    if args.server is not None and (args.student or args.probe or args.compare or args.int8):
        faults.append("--server takes the place of --student, --probe, --compare and --int8")
    if len(_filters(args)) > 1 and (args.student or args.probe):
        faults.append(
            "--student and --probe are of one filter; with several, each has its own in its package"
        )
    if not Path(args.input).is_file():
        faults.append(f"--input: there is no file {args.input!r}")
    return faults


def score(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run `stillroom filter score`."""
    from ....files import file_sha256, write_json
    from ....labeling.filters.scoring.cascade import HybridScorer
    from ....labeling.filters.scoring.score_files import score_file
    from ....labeling.filters.scoring.student_scorer import MODEL_FOLDER, PROBE_FOLDER

    packages = [_package(one, args) for one in _filters(args)]
    scorers = [_served(one, args) if args.server else _opened(one, args) for one in packages]
    students = {"server": [args.server, args.model, args.no_prompt], "int8": [args.int8]}
    costs = [_rounded(one, args, console) for one in scorers] if args.int8 else []
    for package in packages if args.server is None else ():
        folders = (
            args.student or package.folder / MODEL_FOLDER,
            args.probe or package.folder / PROBE_FOLDER,
        )
        for file in sorted(one for folder in folders for one in Path(folder).glob("*")):
            if file.is_file():
                students[f"{package.config.name} {file}"] = [file_sha256(file)]
    run = score_file(
        scorers,
        args.input,
        args.output,
        batch_size=args.batch_size,
        students=students,
        progress=_progress(console),
    )
    rate = (run.articles - run.resumed) / run.seconds if run.seconds else 0.0
    console.line(
        "scored",
        f"{run.articles:,} articles in {run.output}, {run.resumed:,} of them by "
        f"an earlier call; {rate:.1f} a second",
    )
    report: dict[str, Any] = {
        "articles": run.articles,
        "resumed": run.resumed,
        "seconds": run.seconds,
        "filters": {},
    }
    for order, (package, scorer) in enumerate(zip(packages, scorers, strict=True)):
        name = package.config.name
        tiers = ", ".join(f"{tier} {n:,}" for tier, n in run.tiers[name].most_common())
        console.line(name[:11], f"{run.passed[name]:,} pass; {tiers}")
        told: dict[str, Any] = {"passed": run.passed[name], "tiers": dict(run.tiers[name])}
        if costs:
            told["int8"] = costs[order]
        if isinstance(scorer, HybridScorer):
            told["stages"] = scorer.times.to_dict()
            told["threshold"] = scorer.threshold
            _tell_stages(scorer, console)
            if args.compare:
                told["compare"] = _compared(args, package, scorer, console)
        report["filters"][name] = told
    for place in run.rejected[:1]:
        console.line("rejected", f"{len(run.rejected):,} lines, the first: {place}")
    if args.report:
        write_json(args.report, report)
    return report | {"file": run.output, "rejected": list(run.rejected)}


def probe_parser() -> CommandParser:
    """Make the parser of `stillroom filter probe`."""
    parser = CommandParser(
        f"{PROGRAM} probe",
        "Train the first stage of a cascade on the splits of a filter's labels: a small network\n"
        "on the vectors of an encoder, with a threshold that drops few of the articles that pass.",
        (
            f"{PROGRAM} probe --filter filters/uplifting/v1 --data-dir datasets/uplifting/splits "
            "--objective recall --target-fn 0.02",
        ),
    )
    _add_filter(parser)
    add = parser.add_argument
    add("--data-dir", type=text, required=True, help="folder with train.jsonl and val.jsonl")
    add(
        "--embedding-model",
        type=text,
        default="minilm",
        metavar="NAME",
        help="name or folder of the encoder (default minilm)",
    )
    add(
        "--objective",
        type=one_of("regression", "recall"),
        default="regression",
        help="learn the scores (default), or what passes",
    )
    add(
        "--target-fn",
        type=number(0, 0.5),
        default=0.02,
        help="share of the articles that pass which may be dropped, on validation (default 0.02)",
    )
    add(
        "--wa-scale",
        type=number(0.01, 100),
        default=2.0,
        help="with recall: factor of the distance from the operating point (default 2)",
    )
    add(
        "--aux-l1-weight",
        type=number(0, 10),
        default=0.1,
        help="with recall: weight of the error of the scores (default 0.1)",
    )
    add(
        "--recall-check-file",
        type=text,
        metavar="FILE",
        help="labels on which the share that is dropped is measured",
    )
    add("--epochs", type=whole_number(1), default=60, help="default 60")
    add("--seed", type=seed, default=42, help="default 42")
    add("--device", type=device, help="of the encoder")
    add("--allow-view-mismatch", action="store_true", help="accept labels of another view")
    add(
        "--output", type=text, metavar="DIR", help="folder to write (default: probe in the package)"
    )
    add_json(parser)
    add_verbose(parser)
    return parser


def probe(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run `stillroom filter probe`."""
    import numpy as np

    from ....distillation.score_students.train_probe import ProbeSettings, train_probe
    from ....inference.score_students.protocol import StudentFacts
    from ....labeling.filters.scoring.student_scorer import PROBE_FOLDER, weighted_averages
    from ....rate_interval import wilson_interval

    package = _package(_filters(args)[0], args)
    train, val = (
        _examples(Path(args.data_dir) / f"{part}.jsonl", package, args, console)
        for part in ("train", "val")
    )
    config = package.config
    facts = StudentFacts(
        config.dimension_names,
        package.view.sha256,
        filter_name=config.name,
        filter_version=config.version,
        prompt_hash=package.prompt.prompt_hash,
    )

    def averages(scores: Any) -> Any:  # noqa: ANN401 - arrays
        return weighted_averages(scores, config)

    made = train_probe(
        train,
        val,
        facts,
        weights=config.weights,
        operating_point=config.pass_threshold,
        encoder=args.embedding_model,
        averages=averages,
        device=args.device,
        settings=ProbeSettings(
            args.objective,
            args.target_fn,
            args.wa_scale,
            args.aux_l1_weight,
            epochs=args.epochs,
            seed=args.seed,
        ),
    )
    told = made.told or {}
    console.line(
        "validation",
        f"MAE {told['val_mae']:.3f}; below {made.threshold:.3f} stand "
        f"{100 * told['val_skip_share']:.1f} % of the articles and "
        f"{told['val_missed']} of the {told['val_positives']} that pass",
    )
    checked = None
    if args.recall_check_file:
        check = _examples(Path(args.recall_check_file), package, args, console)
        passes = averages(check.targets) >= config.pass_threshold - 1e-9
        dropped = averages(made.predict(check.texts)) < made.threshold
        missed, n = int((dropped & passes).sum()), int(passes.sum())
        low, high = wilson_interval(missed, n) if n else (0.0, 1.0)
        console.line(
            "check",
            f"{100 * float(np.mean(dropped)):.1f} % are dropped, and {missed} of "
            f"{n} that pass ({100 * low:.1f} to {100 * high:.1f} %)",
        )
        checked = {"dropped": float(np.mean(dropped)), "missed": missed, "positives": n}
    folder = made.save(args.output or package.folder / PROBE_FOLDER)
    console.line("probe", f"{folder}, threshold {made.threshold:.3f}")
    return {"folder": folder, "threshold": made.threshold, "validation": told, "check": checked}


def _add_filter(parser: CommandParser, **options: Any) -> None:  # noqa: ANN401
    add = parser.add_argument
    again = "; may be given again" if options else ""
    add("package", type=text, nargs="?", metavar="filter", help="folder of a package")
    add("--filter", type=text, metavar="DIR", help=f"the same as an option{again}", **options)
    add("--allow-code", action="store_true", help="run the package's prefilter.py")


def _filters(args: argparse.Namespace) -> list[str]:
    """List the packages, given as a word or as options."""
    given = args.filter if isinstance(args.filter, list) else [args.filter]
    return [one for one in (args.package, *given) if one is not None]


def probe_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options of `probe` that can be found without a model."""
    count = len(_filters(args))
    return [] if count == 1 else [f"{count} filters are given; one is needed: --filter DIR"]


def _package(path: str, args: argparse.Namespace) -> FilterPackage:
    from ....labeling.filters.filter_package import load_filter

    return load_filter(path, allow_code=args.allow_code)


def _opened(package: FilterPackage, args: argparse.Namespace) -> FilterBaseScorer:
    from ....labeling.filters.scoring.student_scorer import open_scorer

    return open_scorer(
        package,
        student=args.student,
        probe=args.probe,
        threshold=args.threshold,
        use_prefilter=not args.no_prefilter,
        allow_view_mismatch=args.allow_view_mismatch,
        device=args.device,
    )


def _served(package: FilterPackage, args: argparse.Namespace) -> FilterBaseScorer:
    from ....inference.remote.engine import RemoteEngine
    from ....labeling.filters.scoring.student_scorer import ServedScorer

    engine = RemoteEngine(args.model, base_url=args.server, api_key_env=args.api_key_env)
    return ServedScorer(
        package,
        engine,
        use_prefilter=not args.no_prefilter,
        include_prompt=not args.no_prompt,
        structured=args.structured,
    )


def _rounded(
    scorer: FilterBaseScorer, args: argparse.Namespace, console: Console
) -> dict[str, Any]:
    """Put the student in eight bits into a scorer; give what that costs."""
    from ....labeling.filters.curation.merge import read_json_objects
    from ....labeling.filters.scoring.cascade import HybridScorer
    from ....labeling.filters.scoring.int8_cost import int8_scorer
    from ....labeling.filters.scoring.student_scorer import StudentScorer

    model = scorer.model if isinstance(scorer, HybridScorer) else scorer
    assert isinstance(model, StudentScorer)
    sample = [one for _, one in islice(read_json_objects(args.input, []), INT8_SAMPLE)]
    rounded, cost = int8_scorer(model, sample, args.batch_size)
    model.student = rounded.student
    for line in cost.lines():
        console.line("int8", line)
    return cost.to_dict()


def _progress(console: Console) -> Callable[[int], None]:
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 10.0:
            last = time.monotonic()
            console.line("progress", f"{done:,} articles")

    return tell


def _tell_stages(scorer: HybridScorer, console: Console) -> None:
    told = scorer.times.to_dict()
    skipped = told["skip_share"]
    if scorer.threshold is None or skipped is None:
        return
    second = "" if told["stage2_ms"] is None else f", stage 2 {told['stage2_ms']:.1f} ms each"
    console.line(
        "cascade",
        f"below {scorer.threshold:.3f} of stage 1 stand "
        f"{100 * skipped:.1f} % of {told['n']:,} articles; stage 1 "
        f"{told['stage1_ms']:.2f} ms{second}",
    )


def _compared(
    args: argparse.Namespace,
    package: FilterPackage,
    scorer: HybridScorer,
    console: Console,
) -> dict[str, Any]:
    """Let stage 2 read what stage 1 dropped, and count what would have passed."""
    from ....inference.score_students.vector_memory import shared_memory
    from ....labeling.filters.curation.merge import read_json_objects

    key = f"{package.config.name}_scores"
    rows = [row for _, row in read_json_objects(args.output, [])]
    dropped = [row for row in rows if row[key].get("stage_used") == "stage1_low"]
    read = [row for row in rows if row[key].get("stage_used") == "stage2"]
    shared_memory.cache_clear()  # else stage 2 finds the vectors that stage 1 has computed
    started = time.perf_counter()
    again = scorer.model.score_batch(dropped, args.batch_size, skip_prefilter=True)
    seconds = time.perf_counter() - started
    missed = sum(bool(one["passed"]) for one in again)
    found = sum(bool(row[key]["passed"]) for row in read)
    times = scorer.times.to_dict()
    alone = 1000 * seconds / len(dropped) if dropped else None
    told = {
        "dropped": len(dropped),
        "missed": missed,
        "found": found,
        "fn_rate_stage2": missed / (missed + found) if missed + found else None,
    }
    first, skipped = times["stage1_ms"], times["skip_share"]
    if alone is not None and first is not None and skipped is not None:
        mean = first + (1 - skipped) * (times["stage2_ms"] or 0.0)
        told |= {"mean_ms": mean, "stage2_alone_ms": alone, "speedup": alone / mean}
        console.line(
            "compare",
            f"stage 1 drops {missed:,} of the {missed + found:,} that "
            f"stage 2 passes; {mean:.2f} ms an article, stage 2 alone {alone:.2f} ms",
        )
    return told


def _examples(
    path: Path, package: FilterPackage, args: argparse.Namespace, console: Console
) -> Any:  # noqa: ANN401 - ScoreExamples
    """Read labels as what a student learns from; those of another view are refused."""
    import numpy as np

    from ....distillation.score_students.score_examples import ScoreExamples
    from ....labeling.filters.curation.merge import read_json_objects
    from ....labeling.filters.input_view import require_same_view
    from ....labeling.filters.scored_record import AnalysisFault, analysis_of

    config, view = package.config, package.view
    texts: list[str] = []
    targets: list[list[float]] = []
    rejected: list[str] = []
    for place, record in read_json_objects(path, rejected):
        try:
            analysis = analysis_of(record, config)
        except AnalysisFault as fault:
            rejected.append(f"{place}: {fault}")
            continue
        if analysis is None:
            rejected.append(f"{place}: no_analysis")
            continue
        require_same_view(
            record[config.analysis_field],
            view,
            where=place,
            allow_view_mismatch=args.allow_view_mismatch,
        )
        texts.append(view.student_text(view.read(record)))
        targets.append([analysis.scores[name] for name in config.dimension_names])
    for place in rejected[:1]:
        console.line("rejected", f"{len(rejected):,} lines, the first: {place}")
    return ScoreExamples(texts, np.array(targets), np.ones(len(texts)))
