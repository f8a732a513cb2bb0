"""`stillroom filter train`, `prepare` and `validate`: from a split of labels to students.

stillroom filter train --filter filters/uplifting/v1 --data-dir splits --output-dir students
stillroom filter prepare --filter filters/uplifting/v1 --input all.jsonl --output-dir training
stillroom filter validate --filter filters/uplifting/v1 --data-dir training

The options of LLM Distillery's `training/train.py`, `prepare_data.py` and
`validate_training_data.py` work here, or are refused with the reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ..options import (
    Action,
    CommandParser,
    add_json,
    add_verbose,
    device,
    faults_of,
    listed,
    number,
    one_of,
    seed,
    text,
    whole_number,
)

if TYPE_CHECKING:
    from ...labeling.filters.filter_package import FilterPackage
    from .train_filter import FilterTraining

_PROGRAM: Final = "stillroom filter"
_KINDS: Final = ("tfidf", "frozen", "tuned", "lora", "generative")
_REFUSED: Final = {
    "--include-prompt": "students read title and content alone; LLM Distillery measured an error "
    "of 1.36 with the prompt and of 0.67 without",
    "--resume-from": "run the same command again: finished students are kept, and one that was "
    "broken off goes on after its last epoch",
    "--select-metric": "epochs are chosen by the error on validation, and the report always holds "
    "all metrics",
}
"""Options of `training/train.py` that do not exist here, and why."""


def train_parser() -> CommandParser:
    """Make the parser of `stillroom filter train`."""
    parser = CommandParser(
        f"{_PROGRAM} train",
        "Train students of a filter on one split, and compare them in one table. The same command\n"
        "goes on with a run that ended early.",
        (f"{_PROGRAM} train --filter filters/uplifting/v1 --data-dir splits --output-dir students "
         "--student all",
         f"{_PROGRAM} train --filter filters/uplifting/v1 --data-dir splits --output-dir students "
         "--student generative --recipe seed-recipe"),
    )  # fmt: skip
    add = parser.add_argument
    add("--filter", type=text, required=True, help="folder of a package, or <name>/v<N>")
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add("--data-dir", type=text, required=True,
        help="folder of train.jsonl, val.jsonl, test.jsonl, from `filter split`")  # fmt: skip
    add("--output-dir", type=text, required=True, help="folder of students and table")
    add("--student", type=listed, default=("tfidf", "frozen"),
        help=f"of {', '.join(_KINDS)}; or all (default tfidf,frozen)")  # fmt: skip
    add("--recipe", type=one_of("default", "seed-recipe"), default="default",
        help="seed-recipe: instruction tuning, 4-bit base on CUDA, LoRA, 3 epochs")  # fmt: skip
    add("--encoder", type=text, default="minilm", help="of frozen and tuned (default minilm)")
    add("--model-name", type=text, default="smollm2",
        help="decoder of lora and generative (default smollm2)")  # fmt: skip
    add("--epochs", type=whole_number(1), help="default 3")
    add("--batch-size", type=whole_number(1), help="default 16")
    add("--learning-rate", type=number(0, 1, above=True), help="default depends on the student")
    add("--warmup-steps", type=whole_number(0), help="default: a tenth of all steps")
    add("--loss", type=one_of("huber", "mse"), default="huber", help="default huber")
    add("--on-ratings", action="store_true",
        help="learn the single scores of several oracles instead of their mean")  # fmt: skip
    add("--no-agreement-weights", action="store_true",
        help="count articles on which oracles disagree as much as others")  # fmt: skip
    add("--looks", type=whole_number(8), metavar="N",
        help="most articles that lora and generative look at per epoch (default all)")  # fmt: skip
    add("--max-length", type=whole_number(8), default=512, help="most tokens of an article "
        "(default 512, or what the model reads)")  # fmt: skip
    add(
        "--use-head-tail",
        action="store_true",
        help="keep head and tail of long articles (default: as config.yaml says)",
    )
    add("--head-tokens", type=whole_number(1), default=256, help="default 256")
    add("--tail-tokens", type=whole_number(1), default=256, help="default 256")
    add("--compare-cuts", action="store_true", help="train frozen with heads alone and with heads "
        "and tails, at equally many tokens")  # fmt: skip
    add("--sample-weight-scale", type=number(0, 1000), default=0.0,
        help="articles weigh 1 + scale x weighted average / 10 (default 0)")  # fmt: skip
    add("--seed", type=seed, default=42, help="default 42")
    add("--device", type=device, default="auto", help="default auto")
    add("--allow-view-mismatch", action="store_true",
        help="accept labels of another prompt or shortening")  # fmt: skip
    for name in _REFUSED:
        add(name, nargs="?", const=True, help=argparse.SUPPRESS)
    add_json(parser)
    add_verbose(parser)
    return parser


def train_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options of `train`."""
    faults = []
    for name, reason in _REFUSED.items():
        if getattr(args, name.removeprefix("--").replace("-", "_")) is not None:
            faults.append(f"{name} is not an option here: {reason}")
    unknown = [one for one in args.student if one not in (*_KINDS, "all")]
    if unknown or not args.student:
        faults.append(f"--student has {', '.join(map(repr, unknown)) or 'nothing'}; allowed are "
                      f"{', '.join(_KINDS)} and all")  # fmt: skip
    if args.use_head_tail and args.head_tokens + args.tail_tokens > args.max_length:
        faults.append(f"--head-tokens {args.head_tokens} and --tail-tokens {args.tail_tokens} are "
                      f"more than --max-length {args.max_length}")  # fmt: skip
    return [*faults, *faults_of(lambda: _load(args) and None)]


def run_train(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train the students, and print their table."""
    from ...errors import ModelNotFoundError
    from ...files import read_json
    from .score_report import REPORT_FILE, terminal_table
    from .train_filter import missing_models, train_filter

    students = _KINDS if "all" in args.student else tuple(dict.fromkeys(args.student))
    package = _load(args)
    settings = _settings(args, package)
    missing = missing_models(students, settings)
    if missing:
        raise ModelNotFoundError("; ".join(missing))
    rows = train_filter(
        package, args.data_dir, args.output_dir, students, settings,
        sample_weight_scale=args.sample_weight_scale,
        by_agreement=not args.no_agreement_weights,
        allow_view_mismatch=args.allow_view_mismatch,
        progress=lambda items, name, total: console.progress(items, name, total),
        tell=console.line,
    )  # fmt: skip
    console.block(terminal_table(rows, package.config))
    console.line("report", f"{args.output_dir}/{REPORT_FILE}.md, .json and .png")
    return {"folder": args.output_dir, "report": read_json(f"{args.output_dir}/{REPORT_FILE}.json")}


def prepare_parser() -> CommandParser:
    """Make the parser of `stillroom filter prepare`."""
    parser = CommandParser(
        f"{_PROGRAM} prepare",
        "Split labels and write them as vectors of scores, or as instruction tuning.",
        (f"{_PROGRAM} prepare --filter filters/uplifting/v1 --input 'labels/*.jsonl' "
         "--output-dir training",),
    )  # fmt: skip
    add = parser.add_argument
    add("--filter", type=text, required=True, help="folder of a package, or <name>/v<N>")
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add("--input", "--data-source", dest="input", type=text, required=True, action="append",
        help="file or pattern of labels in JSON Lines; may be given again")  # fmt: skip
    add("--output-dir", type=text, required=True, help="folder to write")
    add("--form", type=one_of("vectors", "instructions"), default="vectors",
        help="vectors: labels in the order of the config (default); instructions: instruction, "
        "input and output")  # fmt: skip
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        add(f"--{name}-ratio", type=number(0, 1), default=share, help=f"default {share}")
    add("--seed", type=seed, default=42, help="of the order (default 42)")
    add("--allow-view-mismatch", action="store_true",
        help="accept labels of another prompt or shortening")  # fmt: skip
    add_json(parser)
    add_verbose(parser)
    return parser


def run_prepare(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Write the training files."""
    from .training_forms import prepare_training_data

    counts = prepare_training_data(
        _load(args), args.input, args.output_dir, form=args.form,
        ratios=(args.train_ratio, args.val_ratio, args.test_ratio), seed=args.seed,
        allow_view_mismatch=args.allow_view_mismatch,
    )  # fmt: skip
    for part, count in counts.items():
        console.line(part, f"{count:,} records in {args.output_dir}/{part}.jsonl")
    return {"folder": args.output_dir, "records": dict(counts)}


def validate_parser() -> CommandParser:
    """Make the parser of `stillroom filter validate`."""
    parser = CommandParser(
        f"{_PROGRAM} validate",
        "List the faults of training files: missing parts, wrong scores, records in two parts.",
        (f"{_PROGRAM} validate --filter filters/uplifting/v1 --data-dir training",),
    )
    add = parser.add_argument
    add("--filter", type=text, required=True, help="folder of a package, or <name>/v<N>")
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add("--data-dir", type=text, required=True, help="folder of the files")
    add_json(parser)
    add_verbose(parser)
    return parser


def run_validate(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Print what the files hold, and refuse them where they have faults."""
    from ...errors import DataError
    from .training_forms import validate_training_data

    found = validate_training_data(_load(args), args.data_dir)
    for part, count in found.counts.items():
        console.line(part, f"{count:,} records")
    for notice in found.notices:
        console.line("note", notice)
    if found.faults:
        raise DataError("\n".join(found.faults), path=args.data_dir)
    console.line("validated", "no faults")
    return {"records": dict(found.counts), "notices": list(found.notices)}


def _settings(args: argparse.Namespace, package: FilterPackage) -> FilterTraining:
    from ...inference.score_students.base_model import TextCut
    from .train_filter import RECIPES, FilterTraining

    own = package.config.head_tail
    cut = TextCut(args.max_length)
    if args.use_head_tail:
        cut = TextCut(args.head_tokens + args.tail_tokens, args.tail_tokens)
    elif own.enabled:
        cut = TextCut(own.head_tokens + own.tail_tokens, own.tail_tokens, own.separator)
    plain = FilterTraining(
        encoder=args.encoder, decoder=args.model_name, cut=cut,
        compare_cuts=args.compare_cuts, device=None if args.device == "auto" else args.device,
    )  # fmt: skip
    chosen = RECIPES[args.recipe](plain)
    given = {name: value for name, value in (
        ("epochs", args.epochs), ("batch_size", args.batch_size),
        ("learning_rate", args.learning_rate), ("warmup_steps", args.warmup_steps),
    ) if value is not None}  # fmt: skip
    given |= {"loss": args.loss, "on_ratings": args.on_ratings, "seed": args.seed}
    tuning = {
        kind: replace(
            one, **given, most_examples=args.looks if kind in ("lora", "generative") else None
        )
        for kind, one in chosen.tuning.items()
    }
    return replace(chosen, tuning=tuning)


def _load(args: argparse.Namespace) -> FilterPackage:
    from ...labeling.filters.filter_package import load_filter

    return load_filter(args.filter, allow_code=args.allow_code)


TRAINING_ACTIONS: Final[dict[str, Action]] = {
    "prepare": (prepare_parser, run_prepare, "split labels into vectors or instruction tuning"),
    "validate": (validate_parser, run_validate, "list the faults of training files"),
    "train": (train_parser, run_train, "train students, and compare them in one table"),
}
"""Action -> its parser, what it does, and its line in the help."""
TRAINING_FAULTS: Final[dict[str, Callable[[argparse.Namespace], Sequence[str]]]] = {
    "train": train_faults,
}
"""Action -> what lists the faults of its options before heavy libraries are loaded."""
