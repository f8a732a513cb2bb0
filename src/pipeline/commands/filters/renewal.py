"""`stillroom filter next`, `drift`, `extend` and `promote`: from use back to training.

stillroom filter next filters/uplifting/v1 --scores scored.jsonl --count 200 --output next.jsonl
stillroom filter label filters/uplifting/v1 --source next.jsonl --output-dir renewal
stillroom filter drift filters/uplifting/v1 --before june.jsonl --after july.jsonl
stillroom filter extend filters/uplifting/v1 --existing-dir splits --output-dir splits2 \
    --new-labels 'renewal/uplifting/*_batch_*.jsonl'
stillroom filter promote filters/uplifting/v1 --labels splits2/test.jsonl --running old.jsonl \
    --renewed new1.jsonl --renewed new2.jsonl --renewed new3.jsonl
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from ....console import Console
from ...command import Verdict
from ...options import (
    EXIT_FAILED,
    CommandParser,
    add_json,
    add_verbose,
    number,
    seed,
    text,
    whole_number,
)
from .judging import averages_of, tell_rejected
from .options import PROGRAM, add_package, open_package

if TYPE_CHECKING:
    from ...filter_judging.score_files import ScoredArticle


def next_parser() -> CommandParser:
    """Make the parser of `stillroom filter next`."""
    parser = CommandParser(
        f"{PROGRAM} next",
        "Choose what the oracle labels next: articles whose verdict may be wrong, articles on\n"
        "which students disagree, and a random share, which alone tells how good a student is on\n"
        "new articles.",
        (f"{PROGRAM} next filters/uplifting/v1 --scores scored.jsonl --count 200 "
         "--output next.jsonl",
         f"{PROGRAM} next filters/uplifting/v1 --scores seed1.jsonl --scores seed2.jsonl "
         "--labelled 'splits/*.jsonl' --count 200 --output next.jsonl"),
    )  # fmt: skip
    add_package(parser)
    add = parser.add_argument
    add("--scores", type=text, action="append", required=True, metavar="FILE",
        help="articles with the scores of a student; one file for each student")  # fmt: skip
    add("--labelled", type=text, action="append", default=[], metavar="FILE",
        help="labels that exist, test labels among them; their articles are left out")  # fmt: skip
    add("--count", type=whole_number(1), required=True, metavar="N", help="labels to buy")
    add("--output", type=text, required=True, metavar="FILE", help="articles to label")
    add("--noise", type=number(0, 10, above=True), default=1.0, metavar="X",
        help="RMSE of the student's weighted average (default 1.0)")  # fmt: skip
    add("--random-share", type=number(0, 1), default=0.2, metavar="X",
        help="share drawn at random (default 0.2)")  # fmt: skip
    add("--seed", type=seed, default=42, help="of the draw (default 42)")
    add_json(parser)
    add_verbose(parser)
    return parser


def drift_parser() -> CommandParser:
    """Make the parser of `stillroom filter drift`."""
    parser = CommandParser(
        f"{PROGRAM} drift",
        "Has the input changed, by the scores of new articles? Has the oracle, by its scores of\n"
        "the same anchors?",
        (f"{PROGRAM} drift filters/uplifting/v1 --before june.jsonl --after july.jsonl",
         f"{PROGRAM} drift filters/uplifting/v1 --anchors-before anchors.jsonl "
         "--anchors-after again.jsonl"),
        {EXIT_FAILED: "the input or the oracle has changed, or a file cannot be used"},
    )  # fmt: skip
    add_package(parser)
    add = parser.add_argument
    for name, told in (
        ("before", "scores of earlier articles"),
        ("after", "scores of new articles"),
        ("anchors-before", "labels of the anchors by the oracle"),
        ("anchors-after", "labels of the same anchors, made again"),
    ):
        add(f"--{name}", type=text, action="append", metavar="FILE", help=told)
    add("--least", type=number(0, 10), default=0.2, metavar="X",
        help="points between the scores of articles that matter (default 0.2)")  # fmt: skip
    add("--report", type=text, metavar="FILE", help="write the numbers as JSON")
    add_json(parser)
    add_verbose(parser)
    return parser


def extend_parser() -> CommandParser:
    """Make the parser of `stillroom filter extend`."""
    parser = CommandParser(
        f"{PROGRAM} extend",
        "Add new labels to training and validation; the test part stays byte for byte, and what\n"
        "would leak it is left out.",
        (f"{PROGRAM} extend filters/uplifting/v1 --existing-dir splits "
         "--new-labels 'renewal/uplifting/*_batch_*.jsonl' --output-dir splits2",),
    )  # fmt: skip
    add_package(parser)
    add = parser.add_argument
    add("--existing-dir", type=text, required=True, metavar="DIR", help="splits to extend")
    add("--new-labels", "--new-scored", dest="new_labels", type=text, action="append",
        required=True, metavar="FILE", help="file or pattern; may be given again")  # fmt: skip
    add("--output-dir", type=text, required=True, metavar="DIR", help="new folder to write")
    add("--val-ratio", type=number(0, 1), default=0.1, metavar="X",
        help="share of the new articles for validation (default 0.1)")  # fmt: skip
    add("--group-by", type=text, metavar="FIELD",
        help="field with the cluster of a record, which stays in one part")  # fmt: skip
    add("--allow-mixed", action="store_true", help="accept labels of several prompts or oracles")
    add("--seed", type=seed, default=42, help="of the order (default 42)")
    add_json(parser)
    add_verbose(parser)
    return parser


def promote_parser() -> CommandParser:
    """Make the parser of `stillroom filter promote`."""
    parser = CommandParser(
        f"{PROGRAM} promote",
        "Judge whether a renewed student replaces the running one: better on the frozen test\n"
        "labels beyond the chance of articles and seeds, in no category worse than a bound, and\n"
        "through the gate.",
        (f"{PROGRAM} promote filters/uplifting/v1 --labels splits2/test.jsonl --running old.jsonl "
         "--renewed seed1.jsonl --renewed seed2.jsonl --renewed seed3.jsonl",),
        {EXIT_FAILED: "the running student stays, or a file cannot be used"},
    )  # fmt: skip
    add_package(parser)
    add = parser.add_argument
    add("--labels", type=text, action="append", required=True, metavar="FILE",
        help="frozen test labels")  # fmt: skip
    add("--renewed", type=text, action="append", required=True, metavar="FILE",
        help="scores of a renewed run, three seeds or more; the first is deployed")  # fmt: skip
    add("--running", type=text, action="append", required=True, metavar="FILE",
        help="scores of the running student; further seeds of it may follow")  # fmt: skip
    add("--category-field", type=text, default="language",
        help="field whose values are judged apart (default language)")  # fmt: skip
    add("--category-bound", type=number(0, 10, above=True), default=0.3, metavar="X",
        help="points by which a category may get worse (default 0.3)")  # fmt: skip
    add("--margin", type=number(0, 10, above=True), default=0.1, metavar="X",
        help="margin of the gate (default 0.1)")  # fmt: skip
    add("--min-recall", type=number(0, 1), metavar="X", help="least share of good articles passed")
    add("--report", type=text, metavar="FILE", help="write the numbers as JSON")
    add_json(parser)
    add_verbose(parser)
    return parser


def drift_faults(args: argparse.Namespace) -> list[str]:
    """List what is wrong about the files of `drift`."""
    faults = [
        f"{one} and {other} belong together; give both"
        for one, other in (("before", "after"), ("anchors_before", "anchors_after"))
        if bool(getattr(args, one)) != bool(getattr(args, other))
    ]
    if not faults and not args.before and not args.anchors_before:
        faults.append("before and after, or anchors_before and anchors_after, are needed")
    return faults


def _next(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....errors import DataError
    from ....files import write_json_lines
    from ....labeling.filters.curation.merge import read_json_objects
    from ....labeling.filters.curation.next_labels import choose_next

    config = open_package(args).config
    labelled = {str(one.get("id")) for _, one in read_json_objects(args.labelled, [])}
    runs = [averages_of(file, config) for file in args.scores]
    known = set.intersection(*map(set, runs)) - labelled
    if not known:
        raise DataError("no article without a label is scored by every student")
    ids = sorted(known)
    chosen = choose_next(
        ids,
        [[run[one] for one in ids] for run in runs],
        args.count,
        pass_threshold=config.pass_threshold,
        noise=args.noise,
        random_share=args.random_share,
        seed=args.seed,
    )
    articles = {
        str(one["id"]): one
        for _, one in read_json_objects(args.scores[0], [])
        if str(one.get("id")) in known
    }
    write_json_lines(args.output, [
        {**articles[one.id], "selection": {**one.to_dict(), "seed": args.seed}} for one in chosen
    ])  # fmt: skip
    counts = {}
    for reason in ("random", "uncertain", "disagreement"):
        own = [one for one in chosen if one.reason == reason]
        counts[reason] = len(own)
        if own:
            mean = sum(one.chance_wrong for one in own) / len(own)
            console.line(reason[:11], f"{len(own):,} articles, chance of a wrong verdict "
                         f"{100 * mean:.1f} % on average")  # fmt: skip
    console.line("written", f"{args.output}: {len(chosen):,} of {len(ids):,} articles; measure a "
                 "student on the random ones alone")  # fmt: skip
    return {"file": args.output, "articles": len(chosen), "of": len(ids), "reasons": counts}


def _drift(args: argparse.Namespace, console: Console) -> object:
    from dataclasses import asdict

    from ....errors import DataError
    from ....evaluation.score_drift import oracle_drift, score_drift
    from ....files import write_json
    from ...filter_judging.evaluation import AVERAGE
    from ...filter_judging.score_files import read_scores

    config = open_package(args).config
    names = (*config.dimension_names, AVERAGE)
    found: dict[str, Any] = {}

    def read(files: list[str], *, of_student: bool) -> dict[str, ScoredArticle]:
        made = read_scores(files, config, of_student=of_student)
        tell_rejected(made.rejected, console)
        return made.articles

    if args.before:
        sides = [list(read(files, of_student=True).values()) for files in (args.before, args.after)]
        found["input"] = score_drift(*(_columns(side, names) for side in sides), least=args.least)
    if args.anchors_before:
        before, after = (
            read(files, of_student=False) for files in (args.anchors_before, args.anchors_after)
        )
        alone = sorted(before.keys() ^ after.keys())
        if alone:
            raise DataError(f"{len(alone):,} anchors are scored once: {', '.join(alone[:3])}")
        ids = sorted(before)
        found["oracle"] = oracle_drift(*(
            _columns([side[one] for one in ids], config.dimension_names)
            for side in (before, after)
        ))  # fmt: skip
    for kind, drifts in found.items():
        for one in drifts.values():
            console.line(kind, one.in_words())
    told: dict[str, Any] = {"schema_version": 1}
    for kind, drifts in found.items():
        told[kind] = {name: asdict(one) for name, one in drifts.items()}
    if args.report:
        write_json(args.report, told)
    drifted = [f"{kind} ({name})" for kind, own in found.items() for name in own
               if own[name].drifted]  # fmt: skip
    return Verdict(told, f"drifted: {', '.join(drifted)}") if drifted else told


def _columns(articles: list[ScoredArticle], names: tuple[str, ...]) -> dict[str, list[float]]:
    from ...filter_judging.evaluation import score_of

    return {name: [score_of(one, name) for one in articles] for name in names}


def _extend(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....labeling.filters.curation.distribution import label_group
    from ....labeling.filters.curation.extended_splits import extend_splits
    from ....labeling.filters.curation.merge import merge_labels

    config = open_package(args).config
    # The labels of training are read with the new ones, so that another oracle or prompt is seen.
    merge_labels([f"{args.existing_dir}/train.jsonl", *args.new_labels], config,
                 on_conflict="last", allow_mixed=args.allow_mixed)  # fmt: skip
    new = merge_labels(args.new_labels, config, allow_mixed=args.allow_mixed)
    tell_rejected(new.rejected, console)
    field = args.group_by
    made = extend_splits(
        args.existing_dir,
        new.records,
        lambda one: label_group(one, config),
        group_of=None if field is None else lambda one: one.get(field) or f"id {one.get('id')}",
        val_share=args.val_ratio,
        seed=args.seed,
    )
    made.write(args.output_dir)
    for part, own in (("train", made.train), ("val", made.val), ("test", made.test)):
        console.line(part, f"{len(own):,} records, {made.added.get(part, 0):,} of them new")
    if made.relabelled:
        console.line("relabelled", f"{made.relabelled:,} articles of training")
    if made.held_out:
        console.line("left out", f"{len(made.held_out):,} labels of articles that are in, or near "
                     "duplicates of, validation or test")  # fmt: skip
    return {
        "folder": args.output_dir,
        "records": {"train": len(made.train), "val": len(made.val), "test": len(made.test)},
        "new": dict(made.added),
        "relabelled": made.relabelled,
        "held_out": len(made.held_out),
    }


def _promote(args: argparse.Namespace, console: Console) -> object:
    from ....files import write_json
    from ...filter_judging.promotion import judge_promotion
    from ...filter_judging.score_files import read_scores

    config = open_package(args).config
    labels = read_scores(args.labels, config, of_student=False, category_field=args.category_field)
    tell_rejected(labels.rejected, console)
    found = judge_promotion(
        [averages_of(file, config) for file in args.renewed],
        [averages_of(file, config) for file in args.running],
        {one.id: one.verdict.weighted_average for one in labels.articles.values()},
        config,
        categories={one.id: one.category for one in labels.articles.values()},
        category_bound=args.category_bound,
        margin=args.margin,
        min_recall=args.min_recall,
    )
    if args.report:
        write_json(args.report, found.to_dict())
    for reason in found.reasons:
        print(f"  {reason}")
    if not found.promoted:
        missed = sum(one.startswith("missed") for one in found.reasons)
        return Verdict(found.to_dict(), f"the renewal is not promoted: {missed} of "
                       f"{len(found.reasons)} conditions are missed")  # fmt: skip
    console.line("promoted", f"{args.renewed[0]} replaces {args.running[0]}")
    return found.to_dict()


RENEWAL_ACTIONS: Final = {
    "next": (next_parser, _next, "what the oracle labels next"),
    "drift": (drift_parser, _drift, "whether the input or the oracle has changed"),
    "extend": (extend_parser, _extend, "add new labels; the test part stays"),
    "promote": (promote_parser, _promote, "whether a renewed student replaces the running one"),
}
"""Action -> its parser, what it does, and its line in the help."""
RENEWAL_FAULTS: Final = {"drift": drift_faults}
"""Action -> lists the faults in its options."""
