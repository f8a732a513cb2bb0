"""`stillroom filter`: packages that score or classify articles.

stillroom filter new filters/uplifting/v1 --dimensions joy,reach,evidence
stillroom filter verify filters/uplifting/v1
stillroom filter screen filters/uplifting/v1 --source articles.jsonl --output passed.jsonl
stillroom filter label filters/uplifting/v1 --source passed.jsonl --teacher gemini
stillroom filter merge filters/uplifting/v1 --input 'datasets/uplifting/*.jsonl' --output all.jsonl
stillroom filter analyze filters/uplifting/v1 --input all.jsonl --plot tiers.png
stillroom filter split filters/uplifting/v1 --input all.jsonl --output-dir datasets/uplifting/splits
stillroom filter train --filter filters/uplifting/v1 --data-dir datasets/uplifting/splits \\
    --output-dir outputs/uplifting
stillroom filter probe --filter filters/uplifting/v1 --data-dir datasets/uplifting/splits
stillroom filter score --filter filters/uplifting/v1 --input articles.jsonl --output scored.jsonl
stillroom filter evaluate filters/uplifting/v1 --labels splits/test.jsonl --model student
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from ....console import Console
from ....records import sha256_text
from ...command import Command, Group
from ...filter_training.train_command import TRAINING_ACTIONS, TRAINING_FAULTS
from ...options import (
    Action,
    CommandParser,
    add_json,
    add_verbose,
    faults_of,
    listed,
    number,
    one_of,
    seed,
    text,
    whole_number,
)
from ..label import progress_line
from ..teacher_options import (
    add_teacher_options,
    chosen_profile,
    chosen_settings,
)
from .judging import JUDGING_ACTIONS, JUDGING_FAULTS
from .oracle_options import (
    add_oracle_options,
    chosen_oracles,
    consistency_limits,
    oracle_faults,
)
from .renewal import RENEWAL_ACTIONS, RENEWAL_FAULTS
from .score import probe, probe_faults, probe_parser, score, score_faults, score_parser

if TYPE_CHECKING:
    from ....labeling.filters.filter_package import FilterPackage
    from ....labeling.filters.oracles.consistency import ConsistencyReport
    from ....labeling.filters.prefilter_report import PrefilterReport

_PROGRAM: Final = "stillroom filter"


def new_parser() -> CommandParser:
    """Make the parser of `stillroom filter new`."""
    parser = CommandParser(
        f"{_PROGRAM} new",
        "Write a package to start from.",
        (
            f"{_PROGRAM} new filters/uplifting/v1 --dimensions joy,reach,evidence",
            f"{_PROGRAM} new filters/request/v1 --classes urgent,other",
            f"{_PROGRAM} new filters/wind/v1 --like sustainability_tech_deployment/v1",
        ),
    )
    add = parser.add_argument
    add("path", type=text, help="folder to write: <name>/v1")
    add("--dimensions", type=listed, default=(), help="names, separated by commas")
    add("--classes", type=listed, default=(), help="names, separated by commas")
    add("--like", type=text, metavar="FILTER", help="package to copy")
    add_json(parser)
    add_verbose(parser)
    return parser


def verify_parser() -> CommandParser:
    """Make the parser of `stillroom filter verify`."""
    parser = CommandParser(
        f"{_PROGRAM} verify",
        "List all faults of a package, each with its file and key.",
        (f"{_PROGRAM} verify filters/uplifting/v1",
         f"{_PROGRAM} verify sustainability_tech_deployment/v1"),
    )  # fmt: skip
    _add_filter(parser)
    add_json(parser)
    add_verbose(parser)
    return parser


def screen_parser() -> CommandParser:
    """Make the parser of `stillroom filter screen`."""
    parser = CommandParser(
        f"{_PROGRAM} screen",
        "Run the prefilter; print per language what passes and why articles are blocked, and\n"
        "draw blocked articles to be labelled, as only labels show which good ones are lost.",
        (f"{_PROGRAM} screen filters/uplifting/v1 --source 'corpus/*.jsonl' --output passed.jsonl "
         "--blocked-sample blocked.jsonl",),
    )  # fmt: skip
    _add_filter(parser)
    add = parser.add_argument
    add("--source", type=text, required=True, help="file or pattern of JSON Lines")
    add("--output", type=text, metavar="FILE", help="write the articles that pass")
    add("--blocked-sample", type=text, metavar="FILE", help="write the drawn blocked articles")
    add("--sample", type=whole_number(0), default=200, metavar="N",
        help="most blocked articles to draw per language (default 200)")  # fmt: skip
    add("--seed", type=seed, default=42, help="of the draw (default 42)")
    add("--labels", type=text, action="append", metavar="FILE", help="labels of the drawn "
        "articles, and of some that pass: tells how many good ones are lost")  # fmt: skip
    add("--report", type=text, metavar="FILE", help="write the numbers as JSON")
    add_json(parser)
    add_verbose(parser)
    return parser


def label_parser() -> CommandParser:
    """Make the parser of `stillroom filter label`."""
    parser = CommandParser(
        f"{_PROGRAM} label",
        "Let oracles label articles. The same command goes on with a run that ended early, and\n"
        "pays for no answer twice. Before it labels, each oracle is asked twice about the first\n"
        "50 articles; one that contradicts itself ends the run. --teacher takes several oracles,\n"
        "separated by commas, each with =MODEL where that is needed; claude, gemini,\n"
        "gemini-flash, gemini-pro and gpt4 are names too.",
        (f"{_PROGRAM} label filters/uplifting/v1 --source passed.jsonl --teacher gemini "
         "--target-count 2000 --requests-per-day 250 --output-dir datasets",
         f"{_PROGRAM} label filters/uplifting/v1 --source passed.jsonl "
         "--teacher gemini-flash,ollama=qwen3:8b --consensus median --target-count 2000"),
    )  # fmt: skip
    _add_filter(parser)
    add = parser.add_argument
    add("--source", type=text, required=True, action="append",
        help="file or pattern of JSON Lines; may be given again")  # fmt: skip
    add("--output-dir", type=text, default="datasets",
        help="folder of the labels of all filters (default datasets)")  # fmt: skip
    add("--target-count", type=whole_number(1), metavar="N", help="labels to have in the end; "
        "default: of all articles that pass")  # fmt: skip
    add("--batch-size", type=whole_number(1), default=50, metavar="N",
        help="labels in a file (default 50)")  # fmt: skip
    add("--max-batches", type=whole_number(1), metavar="N", help="most files that this run adds; "
        "default: no limit")  # fmt: skip
    add("--random-sample", action="store_true", help="take articles in an order that depends on "
        "--seed and their ids alone")  # fmt: skip
    add("--structured", action="store_true", help="send the schema of a reply; the server must "
        "support response_format")  # fmt: skip
    add("--allow-change", action="store_true", help="continue labels of another oracle, prompt or "
        "view; each label says its own, and events.jsonl the change")  # fmt: skip
    add_json(parser)
    add_verbose(parser)
    add_teacher_options(parser)
    add_oracle_options(parser)
    parser.set_defaults(max_tokens=1024, form=None, extra={}, api_key=None)
    return parser


def label_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options of `label` that can be found without asking the oracle."""
    return [*oracle_faults(args), *faults_of(lambda: _package(args) and None)]


def merge_parser() -> CommandParser:
    """Make the parser of `stillroom filter merge`."""
    parser = CommandParser(
        f"{_PROGRAM} merge",
        "Merge files of labels, each id once.",
        (f"{_PROGRAM} merge filters/uplifting/v1 --input 'datasets/uplifting/*_batch_*.jsonl' "
         "--output all.jsonl",),
    )  # fmt: skip
    _add_filter(parser)
    _add_input(parser)
    add = parser.add_argument
    add("--output", type=text, required=True, metavar="FILE", help="file to write")
    add("--on-conflict", type=one_of("error", "first", "last"), default="error",
        help="for one id with two texts: error (default), first or last")  # fmt: skip
    add("--allow-mixed", action="store_true", help="accept labels of several prompts or oracles")
    add_json(parser)
    add_verbose(parser)
    return parser


def analyze_parser() -> CommandParser:
    """Make the parser of `stillroom filter analyze`."""
    parser = CommandParser(
        f"{_PROGRAM} analyze",
        "Print statistics of tiers and dimensions; tiers need 10 to 40 % of the records each.",
        (f"{_PROGRAM} analyze filters/uplifting/v1 --input all.jsonl --plot tiers.png",),
    )
    _add_filter(parser)
    _add_input(parser)
    parser.add_argument("--plot", type=text, metavar="PNG", help="draw them too")
    parser.add_argument("--report", type=text, metavar="FILE", help="write the numbers as JSON")
    add_json(parser)
    add_verbose(parser)
    return parser


def split_parser() -> CommandParser:
    """Make the parser of `stillroom filter split`."""
    parser = CommandParser(
        f"{_PROGRAM} split",
        "Split labels into training, validation and test: by tier, near duplicates together.",
        (f"{_PROGRAM} split filters/uplifting/v1 --input all.jsonl --output-dir splits",
         f"{_PROGRAM} split filters/uplifting/v1 --input all.jsonl --output-dir splits "
         "--group-by cluster"),
    )  # fmt: skip
    _add_filter(parser)
    _add_input(parser)
    add = parser.add_argument
    add("--output-dir", type=text, required=True, help="folder to write")
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        add(f"--{name}-ratio", type=number(0, 1), default=share, help=f"default {share}")
    add("--seed", type=seed, default=42, help="of the order (default 42)")
    add("--group-by", type=text, metavar="FIELD",
        help="field with the cluster of a record, which stays in one part")  # fmt: skip
    add(
        "--near-duplicates",
        type=number(0, 1),
        default=0.8,
        metavar="JACCARD",
        help="likeness of texts from which records stay in one part (default 0.8; 0: equal texts)",
    )
    add("--oversample", action="store_true", help="write train_balanced.jsonl too, with records of "
        "rare tiers repeated up to 10 %% of it; the other parts stay as they are")  # fmt: skip
    add("--stratify-by", type=one_of("tier", "score"), default="tier",
        help="tier (or class; default), or bins of two points of the weighted average")  # fmt: skip
    add_json(parser)
    add_verbose(parser)
    return parser


def _add_filter(parser: CommandParser) -> None:
    parser.add_argument("filter", type=text, help="folder of a package, or the <name>/v<N> of one "
                        "that comes with stillroom")  # fmt: skip
    parser.add_argument("--allow-code", action="store_true", help="run the package's prefilter.py")


def _add_input(parser: CommandParser) -> None:
    parser.add_argument(
        "--input", type=text, required=True, action="append",
        help="file or pattern of labels in JSON Lines; may be given again",
    )  # fmt: skip


def _new(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....labeling.filters.new_package import new_filter

    made = new_filter(args.path, dimensions=args.dimensions, classes=args.classes, like=args.like)
    console.line("filter", f"{made}: {', '.join(sorted(one.name for one in made.iterdir()))}")
    console.line("next", f"fill in the descriptions, then {_PROGRAM} verify {made}")
    return {"folder": made, "files": sorted(one.name for one in made.iterdir())}


def _verify(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    package = _package(args)
    config = package.config
    asked = f"{len(config.classes)} classes" if config.is_classifier else (
        f"{len(config.dimensions)} dimensions, {len(config.tiers)} tiers, "
        f"{len(config.gatekeepers)} gatekeepers"
    )  # fmt: skip
    console.line("filter", f"{config.name} {config.version}: {asked}")
    console.line("prompt", f"{package.prompt.prompt_hash}, view {package.view.sha256[:12]}")
    for notice in package.notices:
        console.line("note", notice)
    console.line("verified", "no faults")
    return {
        "name": config.name,
        "version": config.version,
        "classes": len(config.classes),
        "dimensions": list(config.dimension_names),
        "prompt_hash": package.prompt.prompt_hash,
        "view_sha256": package.view.sha256,
        "notices": list(package.notices),
    }


def _screen(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....errors import ConfigError, DataError
    from ....files import atomic_path, write_json, write_json_lines
    from ....labeling.filters.curation.merge import read_json_objects
    from ....labeling.filters.prefilter_report import screen_articles

    package = _package(args)
    if package.prefilter is None:
        raise ConfigError(["the prefilter is disabled, or is code; allow it with --allow-code"])
    rejected: list[str] = []
    with ExitStack() as stack:
        kept = None
        if args.output:
            path = stack.enter_context(atomic_path(args.output))
            kept = _writer(stack.enter_context(open(path, "w", encoding="utf-8", newline="\n")))
        report = screen_articles(
            package.prefilter,
            (record for _, record in read_json_objects(args.source, rejected)),
            sample=args.sample,
            seed=args.seed,
            expected_pass_rate=package.config.prefilter.get("expected_pass_rate"),
            kept=kept,
        )
    if not report.languages or not report.languages["all"].total:
        raise DataError("there are no articles", path=args.source)
    for name, own in report.to_dict()["languages"].items():
        low, high = own["pass_rate_ci95"]
        reasons = ", ".join(f"{reason} {count}" for reason, count in own["reasons"].items())
        console.line(name[:11], f"{own['passed']:,} of {own['total']:,} pass ({_percent(low)} to "
                     f"{_percent(high)}); {reasons or 'nothing is blocked'}")  # fmt: skip
    expected = report.expected_pass_rate
    if expected is not None:
        console.line("expected", f"{_percent(expected)} pass, says config.yaml")
    _tell_rejected(rejected, console)
    told = report.to_dict()
    if args.labels:
        told["lost"] = _tell_lost(args, package, report, console)
    if args.report:
        write_json(args.report, told)
    if args.blocked_sample:
        wanted = set(report.sample_ids)
        drawn = [dict(one) for _, one in read_json_objects(args.source, []) if
                 str(one.get("id")) in wanted]  # fmt: skip
        write_json_lines(args.blocked_sample, drawn)
        console.line("sample", f"{len(drawn):,} blocked articles in {args.blocked_sample}; label "
                     "them to see what is lost")  # fmt: skip
    return told | {"rejected": rejected}


def _tell_lost(
    args: argparse.Namespace, package: FilterPackage, report: PrefilterReport, console: Console
) -> dict[str, dict[str, Any]]:
    """Print, per language, how many good articles the prefilter blocks."""
    from ....labeling.filters.curation.distribution import label_passes
    from ....labeling.filters.curation.merge import merge_labels
    from ....labeling.filters.prefilter_report import language_of, passed_good

    assert package.prefilter is not None
    merged = merge_labels(args.labels, package.config, allow_mixed=True)
    drawn, blocked, passed = set(report.sample_ids), {}, []
    for record in merged.records:
        verdict = label_passes(record, package.config)
        if package.prefilter.apply_filter(record)[0]:
            passed.append((language_of(record), verdict))
        elif str(record["id"]) in drawn:
            blocked[str(record["id"])] = verdict
    lost = report.judge_blocked(blocked, passed_good=passed_good(report, passed))
    for name, own in lost.items():
        words = (
            f"{own['good']:,} of {own['labelled']:,} blocked articles that were labelled are good"
        )
        if own["lost"]:
            words += f", so about {own['lost']:,.0f} are lost"
        if own["false_negative_rate"] is not None:
            words += f", {_percent(own['false_negative_rate'])} of all good ones"
        console.line(f"lost {name}"[:11], words)
    return lost


def _writer(stream: TextIO) -> Callable[[Mapping[str, Any]], object]:
    return lambda one: stream.write(json.dumps(one, ensure_ascii=False) + "\n")


def label(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Label articles as the options of `label` say.

    Those of LLM Distillery's commands are `form`, `max_batches` and `extra` (fields of a request).
    """
    from ....errors import LabelingStoppedError
    from ....labeling.filters.curation.merge import read_json_objects
    from ....labeling.filters.label_articles import label_articles

    rejected: list[str] = []
    articles = (record for _, record in read_json_objects(args.source, rejected))
    if args.random_sample:
        drawn = [(sha256_text(f"{args.seed}:{one.get('id')}"), one) for one in articles]
        articles = (one for _, one in sorted(drawn, key=lambda pair: pair[0]))
    with progress_line() as show:
        made = label_articles(
            _package(args),
            articles,
            chosen_oracles(args),
            args.output_dir,
            target_count=args.target_count,
            batch_size=args.batch_size,
            settings=chosen_settings(args),
            profile=replace(chosen_profile(args, 0.0), extra=dict(args.extra)),
            structured=args.structured,
            allow_change=args.allow_change,
            consensus=args.consensus,
            consistency=consistency_limits(args),
            form=args.form,
            most_batches=args.max_batches,
            progress=show,
        )
    for one in made.consistency:
        console.line("consistency", _agreement(one))
    console.line("labels", f"{made.total:,} in {made.folder}, {made.labelled:,} of them new; "
                 f"{made.failed:,} dead letters")  # fmt: skip
    for reason, count in made.blocked.most_common(5):
        console.line("blocked", f"{count:,} {reason}")
    _tell_rejected(rejected, console)
    if made.stopped is not None:
        raise LabelingStoppedError(f"labelling ended early ({made.stopped}): {made.message}")
    if made.failed and not made.labelled:
        raise LabelingStoppedError(
            f"none of {made.failed:,} articles got a label; {made.folder}/dead_letter.jsonl says "
            "why, and --retry-failed asks again"
        )
    return {
        "folder": made.folder,
        "labels": made.total,
        "new": made.labelled,
        "failed": made.failed,
        "blocked": dict(made.blocked),
        "rejected": rejected,
    }


def _agreement(report: ConsistencyReport) -> str:
    words = f"{report.oracle}, twice about {report.compared:,} articles:"
    if report.spread:
        worst = max(report.spread, key=lambda name: report.spread[name])
        words += f" {worst} differs most, by {report.spread[worst]:.2f} points on average;"
    return words + f" {_percent(report.changed or 0.0)} change their tier or class"


def _merge(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....files import write_json_lines
    from ....labeling.filters.curation.merge import merge_labels

    made = merge_labels(
        args.input,
        _package(args).config,
        on_conflict=args.on_conflict,
        allow_mixed=args.allow_mixed,
    )
    write_json_lines(args.output, made.records)
    console.line("merged", f"{len(made.records):,} records in {args.output}; {made.repeated:,} "
                 f"labelled again, {len(made.conflicts):,} conflicts")  # fmt: skip
    _tell_rejected(made.rejected, console)
    return {
        "file": args.output,
        "records": len(made.records),
        "labelled_again": made.repeated,
        "conflicts": len(made.conflicts),
        "rejected": made.rejected,
    }


def _analyze(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....files import write_json
    from ....labeling.filters.curation.distribution import analyze_distribution, plot_distribution

    config, records = _package(args).config, _records(args, console)
    found = analyze_distribution(records, config)
    for name, one in found["tiers"].items():
        console.line(name[:11], f"{one['count']:,} ({_percent(one['share'])}), "
                     f"{one['verdict'].replace('_', ' ')}")  # fmt: skip
    for name, one in found.get("dimensions", {}).items():
        print(f"  {name:<30}mean {one['mean']:5.2f}  std {one['std']:5.2f}  "
              f"{one['min']:g} to {one['max']:g}")  # fmt: skip
    for advice in found["advice"]:
        console.line("note", advice)
    if found["rejected"]:
        console.line("note", f"{found['rejected']:,} records have no valid analysis")
    if args.report:
        write_json(args.report, found)
    if args.plot:
        console.line("plot", str(plot_distribution(found, args.plot)))
    return found


def _split(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ....files import write_json_lines
    from ....labeling.filters.curation.distribution import label_average, label_group, oversample
    from ....labeling.filters.curation.splits import create_splits, score_stratum
    from .near_groups import near_groups

    config, records = _package(args).config, _records(args, console)
    near = near_groups(records, args.near_duplicates) if args.near_duplicates else {}
    by_score = args.stratify_by == "score" and not config.is_classifier
    made = create_splits(
        records,
        (lambda one: score_stratum(label_average(one, config)))
        if by_score
        else (lambda one: label_group(one, config)),
        group_of=_grouping(args.group_by, near),
        ratios=(args.train_ratio, args.val_ratio, args.test_ratio),
        seed=args.seed,
    )
    made.write(args.output_dir)
    if near:
        console.line("near copies", f"{len(near):,} records stay with the one that they are like")
    if args.oversample:
        balanced = oversample(made.train, lambda one: label_group(one, config))
        write_json_lines(Path(args.output_dir) / "train_balanced.jsonl", balanced)
        console.line("balanced", f"{len(balanced):,} records in train_balanced.jsonl")
    for part, own in made.parts().items():
        console.line(part, f"{len(own):,} records")
    for name, counts in made.strata.items():
        console.line(name[:11], json.dumps(counts))
    return {
        "folder": args.output_dir,
        "records": {part: len(own) for part, own in made.parts().items()},
        "strata": made.strata,
        "near_copies": len(near),
    }


def _grouping(field: str | None, near: Mapping[str, str]) -> Callable[[Any], str]:
    """Name the group of a record: the cluster in its field, else the record that it is like."""

    def group(record: Any) -> str:  # noqa: ANN401 - any record
        value = None if field is None else record.get(field)
        if value is not None:
            return f"group {value}"
        identity = str(record.get("id"))
        return f"id {near.get(identity, identity)}"

    return group


def _records(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    from ....labeling.filters.curation.merge import merge_labels

    made = merge_labels(args.input, _package(args).config, allow_mixed=True)
    _tell_rejected(made.rejected, console)
    if made.is_mixed:
        console.line("note", f"labels of {len(made.prompts)} prompts or oracles are mixed")
    return made.records


def _package(args: argparse.Namespace) -> FilterPackage:
    from ....labeling.filters.filter_package import load_filter

    return load_filter(args.filter, allow_code=args.allow_code)


def _tell_rejected(rejected: Sequence[str], console: Console) -> None:
    if rejected:
        console.line("rejected", f"{len(rejected):,} lines, the first: {rejected[0]}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


ACTIONS: Final[dict[str, Action]] = {
    "new": (new_parser, _new, "write a package to start from"),
    "verify": (verify_parser, _verify, "list all faults of a package"),
    "screen": (screen_parser, _screen, "run the prefilter, and draw what it blocks"),
    "label": (label_parser, label, "let an oracle label articles"),
    "merge": (merge_parser, _merge, "merge files of labels"),
    "analyze": (analyze_parser, _analyze, "statistics and balance of labels"),
    "split": (split_parser, _split, "training, validation and test files"),
    "probe": (probe_parser, probe, "train the first stage of a cascade"),
    "score": (score_parser, score, "score articles by students, or by a model on a server"),
    **JUDGING_ACTIONS,
    **RENEWAL_ACTIONS,
    **TRAINING_ACTIONS,
}
"""Action -> its parser, what it does, and its line in the help."""
_CHECKS: Final[dict[str, Callable[[argparse.Namespace], Sequence[str]]]] = {
    "label": label_faults,
    "probe": probe_faults,
    "score": score_faults,
    **JUDGING_FAULTS,
    **RENEWAL_FAULTS,
    **TRAINING_FAULTS,
}
"""Action -> what lists the faults of its options before heavy libraries are loaded."""


def _command(name: str) -> Command:
    make, work, _ = ACTIONS[name]
    return Command(
        make, lambda args: work(args, Console(args.verbose)), _CHECKS.get(name, lambda _: ())
    )


FILTER = Group(
    _PROGRAM,
    "Packages that score or classify articles.",
    {name: (_command(name), told) for name, (_, _, told) in ACTIONS.items()},
    (
        f"{_PROGRAM} new filters/uplifting/v1 --dimensions joy,reach,evidence",
        f"{_PROGRAM} verify filters/uplifting/v1",
    ),
)
