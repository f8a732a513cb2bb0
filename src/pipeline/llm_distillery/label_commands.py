"""`batch_labeler`, `batch_scorer` and `calibrate_oracle`, with their own options.

stillroom batch_labeler --filter filters/uplifting/v1 --source 'raw/*.jsonl' --llm gemini-flash \
    --target-count 2500 --output-dir datasets
stillroom calibrate_oracle --filter filters/uplifting/v1 --source raw.jsonl --output report.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...labeling.filters.oracles.oracle_names import thinking_fields
from ..commands.filters.actions import label, label_faults
from ..commands.filters.oracle_options import add_oracle_options, each_oracle, oracle_faults
from ..commands.teacher_options import add_limits, add_server_options
from ..options import CommandParser, add_verbose, guarded, listed, number, seed, text, whole_number
from .options import add_secret, flat, package_folder, warn_of_secret

_NO_PREFILTER: Final = "none"


def batch_labeler(argv: Sequence[str]) -> int:
    """Label articles into `labeled_batch_NNN.jsonl`; give the exit code."""
    return _run(argv, "batch_labeler", "labeled")


def batch_scorer(argv: Sequence[str]) -> int:
    """Label articles into `scored_batch_NNN.jsonl`; give the exit code."""
    return _run(argv, "batch_scorer", "scored")


def label_parser(name: str) -> CommandParser:
    """Make the parser of `batch_labeler` or `batch_scorer`."""
    parser = CommandParser(
        f"stillroom {name}",
        "Let one or several oracles label articles; as stillroom filter label does.",
        (f"stillroom {name} --filter filters/uplifting/v1 --source 'raw/*.jsonl' "
         "--llm gemini-flash --target-count 2500 --output-dir datasets",
         f"stillroom {name} --filter filters/uplifting/v1 --source raw.jsonl --llm claude,gpt4"),
    )  # fmt: skip
    add = parser.add_argument
    add("--filter", type=text, metavar="DIR", help="folder of the package")
    add("--source", type=text, required=True, nargs="+", action="append", metavar="FILES",
        help="files or patterns of JSON Lines")  # fmt: skip
    add("--llm", type=text, action="append", help="claude (default), gemini, gemini-pro, "
        "gemini-flash, gpt4, or another teacher; several with commas")  # fmt: skip
    add("--target-count", "--target-scored", dest="target_count", type=whole_number(1),
        metavar="N", help="labels to have in the end")  # fmt: skip
    add("--output-dir", type=text, default="datasets", help="default datasets")
    add("--batch-size", type=whole_number(1), default=50, metavar="N",
        help="labels in a file (default 50)")  # fmt: skip
    add("--max-batches", type=whole_number(1), metavar="N", help="most files of this run")
    add("--random-sample", action="store_true", help="take articles in a random order")
    add("--seed", type=seed, default=42, help="of that order (default 42)")
    add("--prompt", type=text, metavar="FILE", help="deprecated: a prompt in a package's folder")
    if name == "batch_labeler":
        add("--pre-filter", type=text, default=_NO_PREFILTER,
            help="deprecated and ignored: the package's own prefilter is used")  # fmt: skip
    else:
        add("--thinking-budget", type=whole_number(0), default=0, metavar="TOKENS",
            help="tokens of reasoning before a reply (default 0)")  # fmt: skip
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add("--allow-change", action="store_true",
        help="continue labels of another oracle, prompt or view")  # fmt: skip
    add("--structured", action="store_true", help="send the schema of a reply")
    add("--max-tokens", type=whole_number(1), default=1024, help="of a reply (default 1024)")
    add("--temperature", type=number(0, 100), help="0 (default) is greedy")
    add_secret(parser, "--api-key")
    add_server_options(add)
    add_oracle_options(parser)
    add_limits(parser)
    add_verbose(parser)
    parser.set_defaults(teacher=None, bits=None, device=None, top_p=1.0, stop=[],
                        keep_thoughts=False, extra={})  # fmt: skip
    return parser


def _run(argv: Sequence[str], name: str, form: str) -> int:
    parser = label_parser(name)
    args = parser.read(argv, lambda given: _label_faults(_completed(given)))
    args = _completed(args)
    args.form = form

    def work() -> None:
        if args.api_key is not None:
            warn_of_secret(
                "--api-key", "the provider's variable, or config/credentials/secrets.ini"
            )
        for option in ("prompt", "pre_filter"):
            if getattr(args, option, None) not in (None, _NO_PREFILTER):
                print(f"stillroom: --{option.replace('_', '-')} is deprecated; prompt and "
                      "prefilter are those of the package", file=sys.stderr)  # fmt: skip
        args.extra = _thinking(args)
        label(args, Console(args.verbose))

    return guarded(work, parser, args)


def _completed(args: argparse.Namespace) -> argparse.Namespace:
    args.source = flat(args.source)
    args.teacher = args.llm or ["claude"]
    args.filter = args.filter or package_folder(args.prompt)
    return args


def _label_faults(args: argparse.Namespace) -> list[str]:
    if args.filter is None:
        return ["--filter is missing; give the folder of a package"]
    faults = label_faults(args)
    if args.api_key is not None and len(each_oracle(args)) > 1:
        faults.append("--api-key is one key, and there are several oracles; set their variables")
    return faults


def _thinking(args: argparse.Namespace) -> dict[str, Any]:
    budget = getattr(args, "thinking_budget", 0)
    return thinking_fields([one.teacher for one in each_oracle(args)], budget)


def calibrate_parser() -> CommandParser:
    """Make the parser of `calibrate_oracle`."""
    parser = CommandParser(
        "stillroom calibrate_oracle",
        "Ask several oracles about the same sample of articles, and compare their scores: how far\n"
        "two oracles differ is the error that no student can be expected to go below.",
        ("stillroom calibrate_oracle --filter filters/uplifting/v1 --source raw.jsonl "
         "--models gemini-flash,gemini-pro --output report.json",),
    )  # fmt: skip
    add = parser.add_argument
    add("--filter", type=text, metavar="DIR", help="folder of the package")
    add("--prompt", type=text, metavar="FILE", help="a prompt in a package's folder instead")
    add("--source", type=text, required=True, nargs="+", action="append", metavar="FILES",
        help="files or patterns of JSON Lines")  # fmt: skip
    add("--models", type=listed, default=("gemini-flash", "gemini-pro"), dest="models",
        help="oracles, separated by commas (default gemini-flash,gemini-pro)")  # fmt: skip
    add("--sample-size", type=whole_number(1), default=100, metavar="N", help="default 100")
    add("--output", type=text, default="oracle_calibration.json", metavar="FILE",
        help="report, JSON or .md; the replies are kept beside it")  # fmt: skip
    add("--seed", type=seed, default=42, help="of the sample (default 42)")
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add("--max-tokens", type=whole_number(1), default=1024, help="of a reply (default 1024)")
    add("--temperature", type=number(0, 100), help="0 (default) is greedy")
    add_server_options(add)
    add_limits(parser)
    add_verbose(parser)
    parser.set_defaults(teacher=None, bits=None, device=None, top_p=1.0, stop=[],
                        keep_thoughts=False, api_key=None)  # fmt: skip
    return parser


def calibrate_oracle(argv: Sequence[str]) -> int:
    """Compare oracles; give the exit code."""
    parser = calibrate_parser()

    def completed(args: argparse.Namespace) -> argparse.Namespace:
        args.source, args.teacher = flat(args.source), list(args.models)
        args.filter = args.filter or package_folder(args.prompt)
        return args

    def faults(args: argparse.Namespace) -> list[str]:
        args = completed(args)
        missing = ["--filter is missing; give the folder of a package"]
        return oracle_faults(args) if args.filter is not None else missing

    args = completed(parser.read(argv, faults))
    return guarded(lambda: _calibrate(args, Console(args.verbose)), parser, args)


def _calibrate(args: argparse.Namespace, console: Console) -> None:
    from ...files import atomic_path, write_json
    from ...labeling.filters.curation.merge import read_json_objects
    from ...labeling.filters.filter_package import load_filter
    from ...labeling.filters.oracles.compare_oracles import compare_oracles, report_text
    from ..commands.filters.oracle_options import chosen_oracles
    from ..commands.teacher_options import chosen_profile, chosen_settings

    rejected: list[str] = []
    output = Path(args.output)
    found = compare_oracles(
        load_filter(args.filter, allow_code=args.allow_code),
        (record for _, record in read_json_objects(args.source, rejected)),
        chosen_oracles(args),
        output.with_name(f"{output.stem}_replies"),
        sample_size=args.sample_size,
        seed=args.seed,
        settings=chosen_settings(args),
        profile=chosen_profile(args, 0.0),
    )
    told = report_text(found)
    if output.suffix == ".md":
        with atomic_path(output) as path:
            Path(path).write_text(told, encoding="utf-8")
    else:
        write_json(output, found)
    console.block(told)
    if rejected:
        console.line("rejected", f"{len(rejected):,} lines, the first: {rejected[0]}")
    console.line("report", str(output))
