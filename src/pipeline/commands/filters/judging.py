"""`stillroom filter evaluate`, `calibrate`, `normalize` and `gate`: how good a student is.

stillroom filter evaluate filters/uplifting/v1 --labels splits/test.jsonl --model student \
    --train splits/train.jsonl --report evaluation
stillroom filter calibrate filters/uplifting/v1 --data-dir splits --model student
stillroom filter normalize filters/uplifting/v1 --data-dir scored
stillroom filter gate filters/uplifting/v1 --labels splits/test.jsonl --model old=old.jsonl \
    --model new=new.jsonl
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ....console import Console
from ...command import Verdict
from ...options import (
    EXIT_FAILED,
    CommandParser,
    Fault,
    add_json,
    add_verbose,
    number,
    seed,
    text,
    whole_number,
)
from .options import (
    PROGRAM,
    add_package,
    add_student,
    open_package,
    student_articles,
    student_faults,
)


def evaluate_parser() -> CommandParser:
    """Make the parser of `stillroom filter evaluate`."""
    parser = CommandParser(
        f"{PROGRAM} evaluate",
        "Compare a student with held-out labels: errors per dimension beside the mean baseline\n"
        "and the noise of the oracle, pass or block, tiers, ranking, reliability.",
        (f"{PROGRAM} evaluate filters/uplifting/v1 --labels splits/test.jsonl --model student "
         "--train splits/train.jsonl --report evaluation",
         f"{PROGRAM} evaluate filters/uplifting/v1 --labels splits/test.jsonl "
         "--predictions scored.jsonl --second-labels again.jsonl --json"),
    )  # fmt: skip
    add_package(parser)
    add_student(parser)
    add = parser.add_argument
    add("--labels", type=text, action="append", required=True, metavar="FILE",
        help="held-out labels; may be given again")  # fmt: skip
    add("--train", type=text, action="append", metavar="FILE",
        help="labels of training, for the mean baseline")  # fmt: skip
    add("--second-labels", type=text, action="append", metavar="FILE",
        help="labels of the same articles by a second oracle, for the noise floor")  # fmt: skip
    add("--ratings", type=text, action="append", metavar="FILE",
        help="ratings of single people (id, rater, scores), for the noise floor")  # fmt: skip
    add("--category-field", type=text, default="language",
        help="field whose values are reported apart (default language)")  # fmt: skip
    add("--report", type=text, metavar="NAME",
        help="write NAME.json, NAME.md and NAME.html")  # fmt: skip
    add("--seed", type=seed, default=42, help="of the intervals (default 42)")
    add_json(parser)
    add_verbose(parser)
    return parser


def calibrate_parser() -> CommandParser:
    """Make the parser of `stillroom filter calibrate`."""
    parser = CommandParser(
        f"{PROGRAM} calibrate",
        "Fit an isotonic curve per dimension from a student's raw scores to the oracle's, on\n"
        "validation labels. MAE after it is cross-fitted.",
        (f"{PROGRAM} calibrate filters/uplifting/v1 --data-dir splits --model student",
         f"{PROGRAM} calibrate --filter filters/uplifting/v1 --data-dir splits --model student "
         "--test-data splits/test.jsonl --output calibration.json"),
    )  # fmt: skip
    add_package(parser)
    add_student(parser)
    add = parser.add_argument
    add("--data-dir", type=text, required=True, metavar="DIR", help="folder with val.jsonl")
    add("--test-data", type=text, metavar="FILE", help="labels to measure the curves on")
    add("--output", type=text, metavar="FILE", help="default: calibration.json in the package")
    add("--seed", type=seed, default=42, help="of the folds (default 42)")
    add_json(parser)
    add_verbose(parser)
    return parser


def normalize_parser() -> CommandParser:
    """Make the parser of `stillroom filter normalize`."""
    parser = CommandParser(
        f"{PROGRAM} normalize",
        "Fit percentiles of the weighted average on scored articles of production.",
        (f"{PROGRAM} normalize filters/uplifting/v1 --data-dir scored",
         f"{PROGRAM} normalize filters/uplifting/v1 --data-dir scored --min-score 2.25 "
         "--analysis-only"),
    )  # fmt: skip
    add_package(parser)
    add = parser.add_argument
    add("--data-dir", type=text, required=True, metavar="DIR",
        help="folder, file or pattern of scored articles")  # fmt: skip
    add("--n-bins", type=whole_number(2), default=200, help="points of the curve (default 200)")
    add("--min-score", type=number(0, 10), metavar="X", help="operating point from which articles "
        "were kept; it maps to 0, and lower ones are left out")  # fmt: skip
    add("--out", type=text, metavar="FILE", help="default: normalization.json in the package")
    add("--analysis-only", action="store_true", help="print the percentiles, write nothing")
    add("--allow-thin-fit", action="store_true", help="accept fewer than 200 articles")
    add("--allow-below-op-point", action="store_true", help="keep articles below --min-score")
    add("--all-versions", action="store_true", help="take scores of any version of the filter")
    add("--filter-version", type=text, metavar="V", help="take scores of this version alone "
        "(default: the package's)")  # fmt: skip
    for name in ("--ssh", "--remote-dir"):
        add(name, type=_refused, help=argparse.SUPPRESS)
    add_json(parser)
    add_verbose(parser)
    return parser


def gate_parser() -> CommandParser:
    """Make the parser of `stillroom filter gate`."""
    parser = CommandParser(
        f"{PROGRAM} gate",
        "Judge whether a student may be deployed, on held-out oracle labels: better than the\n"
        "mean, and better or not worse than its predecessor.",
        (f"{PROGRAM} gate filters/uplifting/v1 --labels splits/test.jsonl --model old=old.jsonl "
         "--model new=new.jsonl --report gate.json",),
        {EXIT_FAILED: "the gate refuses the student, or a file cannot be used"},
    )  # fmt: skip
    add_package(parser)
    add = parser.add_argument
    add("--labels", type=text, action="append", required=True, metavar="FILE",
        help="held-out labels of the oracle; may be given again")  # fmt: skip
    add("--model", type=text, action="append", required=True, metavar="NAME=FILE",
        help="scores of a model; the last is judged, and compared with the one before")  # fmt: skip
    add("--config", type=text, metavar="FILE", help="config.yaml of the package, instead of its "
        "folder")  # fmt: skip
    add("--threshold", type=number(0, 10), metavar="X",
        help="weighted average from which an article passes (default: the package's)")  # fmt: skip
    add("--gatekeeper-cap", type=number(0, 10), metavar="X",
        help="cap of all gatekeepers (default: the package's)")  # fmt: skip
    add("--recompute-model-wa", action="store_true",
        help="compute weighted averages from scores also where the file has them")  # fmt: skip
    add("--margin", type=number(0, 10, above=True), default=0.1, metavar="X",
        help="points by which it may be worse than its predecessor (default 0.1)")  # fmt: skip
    add("--min-recall", type=number(0, 1), metavar="X", help="least share of good articles passed")
    add("--report", type=text, metavar="FILE", help="write the numbers as JSON")
    add_json(parser)
    add_verbose(parser)
    return parser


def _evaluate(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....files import write_json, write_text
    from ....labeling.filters.scoring.calibration import CALIBRATION_FILE, load_calibration
    from ...filter_judging.evaluation import evaluate_filter
    from ...filter_judging.evaluation_page import evaluation_markdown, evaluation_page
    from ...filter_judging.score_files import read_ratings, read_scores

    package = open_package(args)
    config = package.config

    def read(files: list[str] | None) -> Any:  # noqa: ANN401 - articles or None
        if not files:
            return None
        found = read_scores(files, config, of_student=False, category_field=args.category_field)
        tell_rejected(found.rejected, console)
        return found.articles

    found = evaluate_filter(
        config,
        read(args.labels),
        student_articles(
            args, package, args.labels, load_calibration(package.folder / CALIBRATION_FILE, config)
        ),
        train=read(args.train),
        second=read(args.second_labels),
        ratings=read_ratings(args.ratings, config) if args.ratings else None,
        seed=args.seed,
    )
    if args.report:
        write_json(f"{args.report}.json", found)
        write_text(f"{args.report}.md", evaluation_markdown(found))
        write_text(f"{args.report}.html", evaluation_page(found))
    print(evaluation_markdown(found), end="")
    if args.report:
        console.line("written", ", ".join(f"{args.report}.{kind}" for kind in ("json", "md",
                                                                              "html")))  # fmt: skip
    return found


def _calibrate(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....labeling.filters.scoring.calibration import (
        CALIBRATION_FILE,
        fit_calibration,
        save_calibration,
    )
    from ...filter_judging.score_files import read_scores

    package = open_package(args)
    files = [str(Path(args.data_dir) / "val.jsonl")]
    labels = read_scores(files, package.config, of_student=False).articles
    own = student_articles(args, package, files, None)
    ids = sorted(labels.keys() & own.keys())
    names = package.config.dimension_names
    made = fit_calibration(
        {name: [own[one].raw[name] for one in ids] for name in names},
        {name: [labels[one].raw[name] for one in ids] for name in names},
        package.config,
        fitted_on=files[0],
        seed=args.seed,
    )
    path = save_calibration(made, args.output or package.folder / CALIBRATION_FILE)
    for name, one in made.stats["per_dimension"].items():
        print(f"  {name:<30}MAE {one['mae_before']:.3f}, cross-fitted after it "
              f"{one['mae_after']:.3f}")  # fmt: skip
    if len(ids) < len(labels):
        console.line("note", f"{len(labels) - len(ids):,} labelled articles have no score")
    tested = _tell_test(args, package, made, console) if args.test_data else None
    console.line("written", f"{path}, fitted on {len(ids):,} articles")
    return {
        "file": path,
        "articles": len(ids),
        "without_score": len(labels) - len(ids),
        "per_dimension": made.stats["per_dimension"],
        "test": tested,
    }


def _tell_test(
    args: argparse.Namespace,
    package: Any,  # noqa: ANN401
    made: Any,  # noqa: ANN401
    console: Console,
) -> dict[str, dict[str, float]]:
    """Measure the curves on labels that they were not fitted on."""
    from ...filter_judging.score_files import read_scores

    labels = read_scores(args.test_data, package.config, of_student=False).articles
    plain = student_articles(args, package, [args.test_data], None)
    curves, errors = made.curves, {}
    for name in package.config.dimension_names:
        pairs = [(plain[one].raw[name], labels[one].raw[name]) for one in labels if one in plain]
        if not pairs:
            console.line("note", "no article of --test-data has a score")
            return {}
        before, after = (
            sum(abs(curve(own) - true) for own, true in pairs) / len(pairs)
            for curve in (float, curves[name])
        )
        print(f"  {name:<30}MAE {before:.3f}, after {after:.3f} on {len(pairs):,} test articles")
        errors[name] = {"mae_before": before, "mae_after": after, "articles": len(pairs)}
    return errors


def _normalize(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....labeling.filters.scoring.normalization import (
        NORMALIZATION_FILE,
        fit_normalization,
        save_normalization,
    )

    package = open_package(args)
    folder = Path(args.data_dir)
    source = str(folder / "*.jsonl") if folder.is_dir() else args.data_dir
    version = None if args.all_versions else args.filter_version or package.config.version
    averages = averages_of(source, package.config, version=version)
    lowest = None if args.allow_below_op_point else args.min_score
    kept = [one for one in averages.values() if lowest is None or one >= lowest]
    made = fit_normalization(
        kept,
        package.config,
        n_bins=args.n_bins,
        anchor=lowest,
        fitted_from=source,
        allow_thin_fit=args.allow_thin_fit,
        allow_high_minimum=lowest is not None,
    )
    print("  " + ", ".join(f"{key} {one:g}" for key, one in made.stats["percentiles"].items()))
    if len(kept) < len(averages):
        console.line("note", f"{len(averages) - len(kept):,} articles below {lowest:g} left out")
    told = {
        "articles": made.n_articles,
        "left_out": len(averages) - len(kept),
        "percentiles": made.stats["percentiles"],
    }
    if args.analysis_only:
        return told | {"file": None}
    path = save_normalization(made, args.out or package.folder / NORMALIZATION_FILE)
    console.line("written", f"{path}, fitted on {made.n_articles:,} articles")
    return told | {"file": path}


def _gate(args: argparse.Namespace, console: Console) -> object:
    from ....errors import ConfigError
    from ....files import write_json
    from ...filter_judging.gate import judge_gate
    from ...filter_judging.score_files import read_scores

    if args.config:
        if args.package or args.filter:
            raise ConfigError(["config is the config.yaml of the package; give one of both"])
        args.filter = str(Path(args.config).parent)
    config = open_package(args).config
    if args.threshold is not None:
        config = replace(config, pass_threshold=args.threshold)
    if args.gatekeeper_cap is not None:
        capped = tuple(replace(one, cap=args.gatekeeper_cap) for one in config.gatekeepers)
        config = replace(config, gatekeepers=capped)
    models: dict[str, str] = dict(one.partition("=")[::2] for one in args.model)
    wrong = [one for one in args.model if not all(one.partition("="))]
    if wrong or len(models) < len(args.model):
        raise ConfigError([f"model is {args.model!r}; each needs a name of its own and a file: "
                           "NAME=FILE"])  # fmt: skip
    labels = read_scores(args.labels, config, of_student=False)
    tell_rejected(labels.rejected, console)
    found = judge_gate(
        {
            name: averages_of(file, config, recompute=args.recompute_model_wa)
            for name, file in models.items()
        },
        {one.id: one.verdict.weighted_average for one in labels.articles.values()},
        config,
        margin=args.margin,
        min_recall=args.min_recall,
    )
    if args.report:
        write_json(args.report, found.to_dict())
    for name, one in found.models.items():
        console.line(name[:11], f"MAE {one['mae']:.3f} on {one['n']:,} articles; recall "
                     f"{_rate(one['recall'])}, precision {_rate(one['precision'])}, tier "
                     f"accuracy {_rate(one['tier_accuracy'])}")  # fmt: skip
    for reason in found.reasons:
        print(f"  {reason}")
    if not found.passed:
        missed = sum(one.startswith("missed") for one in found.reasons)
        return Verdict(found.to_dict(), f"the gate refuses {found.candidate}: {missed} of "
                       f"{len(found.reasons)} conditions are missed")  # fmt: skip
    console.line("passed", f"{found.candidate} may be deployed")
    return found.to_dict()


def averages_of(
    source: str, config: Any, *, version: str | None = None, recompute: bool = False  # noqa: ANN401
) -> dict[str, float]:  # fmt: skip
    """Read weighted averages by article id; computed from scores where a line gives none.

    Args:
        source: File or pattern of JSON Lines.
        config: Of the filter.
        version: Of the filter that made the scores; None takes those of all.
        recompute: Whether to compute averages that the lines give, too.

    Raises:
        DataError: An article has no id, or is there twice.
        EmptyDataError: There are no scores.
    """
    from ....errors import DataError, EmptyDataError
    from ....labeling.filters.curation.merge import read_json_objects
    from ....labeling.filters.scoring.score_order import is_score, judge_scores
    from ...filter_judging.score_files import scores_of, student_result

    found: dict[str, float] = {}
    others = 0
    for place, record in read_json_objects(source, []):
        identity = record.get("id")
        if identity in (None, ""):
            raise DataError(f"{place}: the article has no id")
        result = student_result(record, config)
        if version is not None and str(result.get("filter_version") or version) != version:
            others += 1
            continue
        given: Any = result.get("weighted_average")
        if recompute or not is_score(given):
            made = scores_of(record, config, of_student=True)
            if isinstance(made, str):
                continue  # blocked by the prefilter, or not scored
            given = judge_scores(made[0], config, content_type=made[1]).weighted_average
        if str(identity) in found:
            raise DataError(f"{place}: the id {identity!r} occurs twice")
        found[str(identity)] = float(given)
    if not found:
        told = f"; {others:,} are of another version, --all-versions takes them" if others else ""
        raise EmptyDataError(f"{source} holds no scores{told}")
    return found


def tell_rejected(rejected: list[str], console: Console) -> None:
    """Print how many lines held no valid scores, and why the first did not."""
    if rejected:
        console.line("rejected", f"{len(rejected):,} lines, the first: {rejected[0]}")


def _rate(value: Mapping[str, float] | float | None) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "none"


def _refused(_: str) -> Fault:
    return Fault("is not supported; copy the scored files to this machine first")


JUDGING_ACTIONS: Final = {
    "evaluate": (evaluate_parser, _evaluate, "how good a student is, with intervals"),
    "calibrate": (calibrate_parser, _calibrate, "curves from a student's scores to the oracle's"),
    "normalize": (normalize_parser, _normalize, "percentiles of the weighted average"),
    "gate": (gate_parser, _gate, "whether a student may be deployed"),
}
"""Action -> its parser, what it does, and its line in the help."""
JUDGING_FAULTS: Final = {"evaluate": student_faults, "calibrate": student_faults}
"""Action -> lists the faults in its options."""
