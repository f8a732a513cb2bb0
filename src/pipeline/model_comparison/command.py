"""`stillroom compare OLD NEW ...`: is a model better, not worse or worse, and is that sure?

stillroom compare outputs/old outputs/new
stillroom compare old=answers_a.csv new=answers_b.csv --output comparison.html
stillroom compare outputs/old 'outputs/new-seed*' --gate --most-mb 20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ...errors import ConfigError
from ...files import write_json, write_text
from ..command import Command, Verdict
from ..options import (
    EXIT_FAILED,
    CommandParser,
    add_json,
    add_verbose,
    faults_of,
    number,
    one_of,
    text,
    whole_number,
)

if TYPE_CHECKING:
    from ...evaluation.promotion import Costs
    from .compare import ModelsCompared
    from .contenders import Contender, Place, Rows

_RATES: Final = ("right", "f1")
_MARGIN: Final = 0.02
_SUFFIXES: Final = (".json", ".md", ".html")
_SPEED_QUESTIONS: Final = 2
_TIMED_QUESTIONS: Final = 30
_GATE_ONLY: Final = (
    "demand", "category_bound", "most_mb", "least_speed", "most_ms",
)  # fmt: skip


def compare_parser() -> CommandParser:
    """Make the parser of `stillroom compare`."""
    parser = CommandParser(
        "stillroom compare",
        "Compare models on the same records: the first is the baseline, the others are held\n"
        "against it. Each is a run folder (its student's answers), a checkpoint (asked anew) or a\n"
        "file of answers, one record a line, with sample_id and right (or answer and gold).\n"
        "NAME=PATH names a model; PATH,PATH or a pattern are runs of it with different seeds.",
        (
            "stillroom compare outputs/old outputs/new --output comparison.html",
            "stillroom compare old=a.csv new=b.csv --metric score --margin 0.1 --json",
            "stillroom compare outputs/old 'outputs/new-seed*' --gate --most-mb 20",
        ),
        {0: "compared; with --gate: promoted", EXIT_FAILED: "failed; with --gate: not promoted"},
    )
    add = parser.add_argument
    add("models", nargs="+", type=text, metavar="MODEL", help="two or more, the baseline first")
    add("--metric", type=text, default="right",
        help="what is compared: right, f1, or any field with numbers (default right)")  # fmt: skip
    add("--lower-is-better", action="store_true", help="the metric is an error")
    add("--margin", type=number(0, above=True), metavar="X",
        help="largest loss that counts as not worse, in the unit of the metric; default 0.02, two "
        "points, for right and f1, none for others")  # fmt: skip
    add("--significance", type=number(0, 0.5, above=True), default=0.05, metavar="X",
        help="chance to call equal models different (default 0.05)")  # fmt: skip
    add("--seeds", type=whole_number(1), metavar="N",
        help="least runs of each new model, with different seeds; default 1, with --gate "
        "3")  # fmt: skip
    add("--data", type=text, metavar="FILE",
        help="ask every model these questions: JSON Lines of examples with targets, such as "
        "data/held_out.jsonl of a run")  # fmt: skip
    add("--id", type=text, metavar="FIELD", help="id of a record; default sample_id, else id")
    add("--source", type=text, default="source_id", metavar="FIELD",
        help="record that a question was made from; several questions about one are not "
        "independent (default source_id)")  # fmt: skip
    add("--category", type=text, default="category", metavar="FIELD",
        help="part of the data that is judged by itself, e.g. column (default "
        "category)")  # fmt: skip
    add("--output", type=text, action="append", default=[], metavar="FILE",
        help="write .html, .md (with a picture beside it) or .json; may be given "
        "again")  # fmt: skip
    add_json(parser)
    gate = parser.add_argument_group("may the second model replace the first?").add_argument
    gate("--gate", action="store_true",
         help="judge promotion: every condition with its number and reason")  # fmt: skip
    gate("--demand", type=one_of("better", "not-worse"),
         help="better (default), or not-worse than the margin, e.g. for a smaller "
         "model")  # fmt: skip
    gate("--category-bound", type=number(0), metavar="X",
         help="largest loss of a category (default 0.05)")  # fmt: skip
    gate("--most-mb", type=number(0, above=True), metavar="MB", help="largest size on disk")
    gate("--least-speed", type=number(0, above=True), metavar="N",
         help="lowest speed of decoding in tokens per second, measured now")  # fmt: skip
    gate("--most-ms", type=number(0, above=True), metavar="MS",
         help="longest time of a question, one at a time; the median, measured now")  # fmt: skip
    add_verbose(parser)
    return parser


def compare_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading models."""
    from .contenders import read_contenders

    faults = []
    if len(args.models) < 2:
        faults.append("two models or more are needed, the baseline first")
    if args.gate and len(args.models) > 2:
        faults.append("--gate judges one new model; give the running one and the new one")
    if not args.gate:
        faults += [
            f"{name} is a condition of the gate; pass --gate too"
            for name in ("--" + one.replace("_", "-") for one in _GATE_ONLY
                         if getattr(args, one) is not None)
        ]  # fmt: skip
    if args.gate and args.seeds == 2:
        faults.append("seeds is 2; allowed with --gate are 1, 3 and more")
    found: list[Contender] = []
    faults += faults_of(lambda: found.extend(read_contenders(args.models)))
    if args.data is not None:
        if not Path(args.data).is_file():
            faults.append(f"data is {args.data!r}; there is no such file")
        faults += [
            f"{place.path} is a file of answers, which cannot be asked anew; give a run folder or "
            "a checkpoint, or leave --data out"
            for one in found
            for place in one.places
            if place.kind == "file"
        ]
    faults += [
        f"output is {one!r}; allowed are names that end in {', '.join(_SUFFIXES)}"
        for one in args.output
        if Path(one).suffix not in _SUFFIXES
    ]
    return faults


def compare_models_of(args: argparse.Namespace) -> object:
    """Compare the models, print the verdicts and write the reports.

    Returns:
        The comparison as JSON values; as a `Verdict` where the gate refuses the new model.

    Raises:
        ConfigError: There are too few runs.
        DataError: The answers are not to the same questions, or cannot be read.
    """
    console = Console(args.verbose)
    from .compare import compare_answers
    from .contenders import Fields, read_contenders

    contenders = read_contenders(args.models)
    least = args.seeds or (3 if args.gate else 1)
    if not args.gate:
        _require_runs(contenders[1:], least)
    fields = Fields(args.metric, args.id, args.source, args.category)
    answers = _answers_of(contenders, args.data, console)
    margin = _MARGIN if args.margin is None and args.metric in _RATES else args.margin
    found = compare_answers(
        answers, fields=fields, margin=margin, lower_is_better=args.lower_is_better,
        significance=args.significance,
    )  # fmt: skip
    if args.gate:
        found = replace(found, promotion=_judge(args, found, contenders, least, answers))
    for name in args.output:
        _write(found, Path(name))
    _print(found, args.output, console)
    refused = found.promotion is not None and not found.promotion.promoted
    return Verdict(found.to_dict()) if refused else found.to_dict()


def _require_runs(contenders: Sequence[Contender], least: int) -> None:
    faults = [
        f"{one.name} has {len(one.places)} runs; --seeds {least} asks for {least}. Train with "
        "other seeds: stillroom run --training-seed N --output-dir ..."
        for one in contenders
        if len(one.places) < least
    ]
    if faults:
        raise ConfigError(faults)


def _answers_of(
    contenders: Sequence[Contender], data: str | None, console: Console | None
) -> dict[str, list[Rows]]:
    """Read the answers of files and runs, and ask checkpoints all at once."""
    from .contenders import ask_models, questions_for, read_answers

    places = [place for one in contenders for place in one.places]
    asked = [place for place in places if data is not None or place.kind == "checkpoint"]
    rows: dict[Place, Rows] = {place: read_answers(place) for place in places if place not in asked}
    if asked:
        examples = questions_for(contenders, data)
        folders = [place.model for place in asked if place.model is not None]
        runs = list(dict.fromkeys(place.run for place in asked if place.run is not None))
        rows |= dict(zip(asked, ask_models(folders, examples, runs, console), strict=True))
    return {one.name: [rows[place] for place in one.places] for one in contenders}


def _judge(
    args: argparse.Namespace,
    found: ModelsCompared,
    contenders: Sequence[Contender],
    least: int,
    answers: dict[str, list[Rows]],
) -> Any:  # noqa: ANN401 - a Promotion, whose module loads late
    """Judge the promotion of the second model."""
    from ...evaluation.promotion import PromotionRules, judge_promotion

    baseline, candidate = contenders
    rules = PromotionRules(
        demand="not_worse" if args.demand == "not-worse" else "better",
        margin=args.margin or _MARGIN,
        **({} if args.category_bound is None else {"category_bound": args.category_bound}),
        least_runs=least,
        most_bytes=None if args.most_mb is None else round(args.most_mb * 1e6),
        least_tokens_per_second=args.least_speed,
        most_ms=args.most_ms,
        lower_is_better=args.lower_is_better,
        significance=args.significance,
    )
    return judge_promotion(
        found.paired[candidate.name], rules, _costs(args, candidate, answers[candidate.name][0]),
        candidate=candidate.name, baseline=baseline.name,
    )  # fmt: skip


def _costs(args: argparse.Namespace, candidate: Contender, rows: Rows) -> Costs:
    """Measure what the rules ask for: size, speed and time of the first run."""
    from ...evaluation.promotion import Costs

    folder = candidate.places[0].model
    if folder is None or not folder.is_dir():
        times = [float(row["latency_ms"]) for row in rows if row.get("latency_ms") is not None]
        return Costs(ms=median(times) if times else None)
    from ...evaluation.evaluate_models import bytes_on_disk
    from ...evaluation.speed import measure_latency, measure_speed
    from ...inference.checkpoints.load_student import load_checkpoint
    from .contenders import questions_for

    size = bytes_on_disk(folder)
    if args.least_speed is None and args.most_ms is None:
        return Costs(bytes=size)
    prompts = [one.prompt for one in questions_for([candidate], args.data)]
    model = load_checkpoint(folder)
    speed = ms = None
    if args.least_speed is not None:
        speed = measure_speed({"model": model}, prompts[:_SPEED_QUESTIONS])["model"]
    if args.most_ms is not None:
        ms = median(measure_latency(model, prompts[:: max(1, len(prompts) // _TIMED_QUESTIONS)]))
    return Costs(size, speed, ms)


def _write(found: ModelsCompared, path: Path) -> None:
    from .page import lines_of, markdown, page

    if path.suffix == ".json":
        write_json(path, found.to_dict())
    elif path.suffix == ".html":
        write_text(path, page(found))
    else:
        from ...evaluation.plots import plot_differences

        picture = path.with_suffix(".png")
        plot_differences(lines_of(found), picture, baseline=found.baseline)
        write_text(path, markdown(found, picture.name))


def _print(found: ModelsCompared, outputs: Sequence[str], console: Console) -> None:
    from .page import VERDICTS, interval_of, value_of

    for name, one in found.models.items():
        runs = f"{one.runs} runs, " if one.runs > 1 else ""
        console.line("model", f"{name}: {runs}{found.metric} {value_of(found, one.mean)} "
                     f"({interval_of(found, one)})")  # fmt: skip
    for name in found.comparisons:
        console.line("verdict", f"{found.in_words(name)}.")
        for part, inner in found.categories[name].items():
            console.line("", f"{part or 'no category'}: {VERDICTS[inner.verdict]}, "
                         f"{inner.difference_in_words()}, n = {inner.records:,}")  # fmt: skip
    if found.not_judged:
        console.line("note", "too small to be judged by themselves: "
                     + ", ".join(one or "no category" for one in found.not_judged))  # fmt: skip
    if found.promotion is not None:
        console.line("gate", f"{found.promotion.in_words(next(iter(found.comparisons)))}.")
        for condition in found.promotion.conditions:
            console.line("", condition.in_words())
    if outputs:
        console.line("written", "  ".join(outputs))


COMPARE = Command(compare_parser, compare_models_of, compare_faults)
