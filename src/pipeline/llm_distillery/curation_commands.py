"""`merge_labels`, `analyze_distribution`, `create_splits` and `merge_training_data`.

stillroom merge_labels --filter filters/uplifting/v1 --input "out/*.jsonl" --output all.jsonl
stillroom analyze_distribution --filter filters/uplifting/v1 --input all.jsonl
stillroom create_splits --filter filters/uplifting/v1 --input all.jsonl --output-dir splits
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ...console import Console
from ..command import perform
from ..commands.filters.actions import ACTIONS
from ..options import CommandParser, add_verbose, guarded, seed, text
from .options import flat


def merge(argv: Sequence[str]) -> int:
    """Merge files of labels, as `stillroom filter merge`; the last label of an id wins."""
    return _as_action("merge_labels", "merge", argv, on_conflict="last")


def analyze(argv: Sequence[str]) -> int:
    """Describe labels, as `stillroom filter analyze`."""
    return _as_action("analyze_distribution", "analyze", argv)


def split(argv: Sequence[str]) -> int:
    """Split labels, as `stillroom filter split`."""
    return _as_action("create_splits", "split", argv)


def action_parser(name: str, action: str, **defaults: object) -> CommandParser:
    """Make the parser of an action with `--filter` and `--input` as LLM Distillery writes them."""
    parser = ACTIONS[action][0]()
    parser.prog = f"stillroom {name}"
    parser.epilog = (parser.epilog or "").replace(
        f"stillroom filter {action} filters", f"stillroom {name} --filter filters"
    )
    given = next(one for one in parser._actions if one.dest == "filter")
    parser._remove_action(given)
    parser.add_argument("--filter", required=True, type=text, metavar="DIR",
                        help="folder of the package")  # fmt: skip
    source = next(one for one in parser._actions if one.dest == "input")
    source.nargs = "+"
    parser.set_defaults(**defaults)
    return parser


def _as_action(name: str, action: str, argv: Sequence[str], **defaults: object) -> int:
    parser = action_parser(name, action, **defaults)
    args = parser.read(argv)
    args.input = flat(args.input)
    return perform(lambda: ACTIONS[action][1](args, Console(args.verbose)), parser, args)


def merge_training_parser() -> CommandParser:
    """Make the parser of `merge_training_data`."""
    parser = CommandParser(
        "stillroom merge_training_data",
        "Add new labels to a data set that is split already: its test part stays as it is, new\n"
        "records go to training and validation, and none that is in a part already is added.",
        ("stillroom merge_training_data --existing-dir splits --new-scored new.jsonl "
         "--output-dir splits2 --analysis-field uplifting_analysis --dimensions joy reach",),
    )  # fmt: skip
    add = parser.add_argument
    add("--existing-dir", type=text, required=True, help="folder with train, val and test.jsonl")
    add("--new-scored", type=text, required=True, nargs="+", action="append", metavar="FILES",
        help="files or patterns of labels")  # fmt: skip
    add("--output-dir", type=text, required=True, help="folder to write")
    add("--analysis-field", type=text, required=True, help="key of the analysis, such as "
        "uplifting_analysis")  # fmt: skip
    add("--dimensions", type=text, required=True, nargs="+", metavar="NAME", help="their names")
    add("--seed", type=seed, default=42, help="of the split of new records (default 42)")
    add_verbose(parser)
    return parser


def merge_training_data(argv: Sequence[str]) -> int:
    """Add new labels to a split data set; give the exit code."""
    parser = merge_training_parser()
    args = parser.read(argv)
    return guarded(lambda: _merge_training(args, Console(args.verbose)), parser, args)


def _merge_training(args: argparse.Namespace, console: Console) -> None:
    from ...labeling.filters.curation.merge_training import merge_training

    rejected: list[str] = []
    made = merge_training(
        args.existing_dir,
        flat(args.new_scored),
        analysis_field=args.analysis_field,
        dimensions=args.dimensions,
        seed=args.seed,
        rejected=rejected,
    )
    made.splits.write(args.output_dir)
    for part, own in made.splits.parts().items():
        console.line(part, f"{len(own):,} records, {made.added[part]:,} of them new")
    console.line("left out", f"{made.known:,} new records that are in a part already")
    if rejected:
        console.line("rejected", f"{len(rejected):,} lines, the first: {rejected[0]}")
