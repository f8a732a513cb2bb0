"""`stillroom cache-logits`: a teacher's logits for a file of training examples, once and for all.

    stillroom cache-logits --teacher ./teacher --data train.jsonl --output ./cache

Students are then trained with `DistillationConfig(teacher_cache="./cache")`, without the teacher.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from ..console import Console
from ..errors import DataError


def cache_parser(program: str = "stillroom cache-logits") -> argparse.ArgumentParser:
    """Make the parser of the command's options."""
    parser = argparse.ArgumentParser(
        program,
        description="Keep what a teacher says about training examples, so that students are "
        "trained without it. The same command goes on after an interruption.",
    )
    add = parser.add_argument
    add("--teacher", required=True, help="a folder, or a model of the hub")
    add("--data", required=True, help="file of training examples (see below)")
    add("--output", required=True, help="folder of the cache")
    add("--top-k", type=whole_number(1), default=64, help="tokens kept per position (default 64)")
    add(
        "--temperatures",
        type=temperatures,
        default=(1.0, 2.0, 4.0),
        help="those that can be trained with, separated by commas (default 1,2,4)",
    )
    add(
        "--selection",
        choices=("top_k_tail", "random_sampling"),
        default="top_k_tail",
        help="random_sampling draws at one temperature and serves forward_kl only",
    )
    add(
        "--max-length",
        type=whole_number(2),
        default=512,
        help="tokens of an example, as in the training",
    )
    add("--too-long", choices=("truncate", "error"), default="truncate", help="as in the training")
    add("--dtype", choices=("bfloat16", "float32"), help="default: as a training would choose")
    add("--device", help="cpu or cuda; default: CUDA where there is one")
    add(
        "--batch-tokens",
        type=whole_number(1),
        default=4096,
        help="tokens of a forward pass (default 4096)",
    )
    add("--share", type=share, default=(1, 1), help="i/n: build one of n shares in this process")
    add("-v", "--verbose", action="store_true", help="show what libraries say, and tracebacks")
    parser.epilog = (
        "Examples are lines of JSON, or any table, with the keys text, or question and answer, or "
        "instruction and output, or messages, or prompt and completion."
    )
    return parser


def cache_logits(args: argparse.Namespace) -> None:
    """Build the cache that the options describe, and say what it holds.

    Raises:
        StillroomError: As `cache_teacher_logits`; data errors name the file.
    """
    console, began = Console(args.verbose), time.monotonic()
    # Here, because these load torch and transformers, and --help must not.
    from ..data.readers import read_table
    from ..distillation.cache_job import CacheSettings, cache_teacher_logits

    settings = CacheSettings(
        args.teacher,
        args.output,
        top_k=args.top_k,
        temperatures=args.temperatures,
        selection=args.selection,
        max_length=args.max_length,
        too_long=args.too_long,
        dtype=args.dtype,
        device=args.device,
        batch_tokens=args.batch_tokens,
        share=args.share,
    )
    records = read_table(args.data)
    console.head(f"stillroom: logits of {args.teacher} for {args.data}, {len(records):,} records")
    try:
        done = cache_teacher_logits(settings, records)
    except DataError as fault:
        raise fault if fault.path else DataError(str(fault), path=args.data) from fault
    manifest, kept = done.manifest, done.parts - done.built
    words = f"{done.built} of {done.parts} parts built" + (f", {kept} were there" if kept else "")
    console.line("cache", words, time.monotonic() - began)
    if not done.complete:
        console.line("", "not complete yet: the other shares are missing")
        return
    size = manifest.to_dict()["bytes_per_token"]
    console.line(
        "written",
        f"{args.output}: {manifest.sequences:,} sequences, {manifest.tokens:,} supervised tokens, "
        f"{size:g} bytes each",
    )
    console.line("next", f'DistillationConfig(..., teacher_cache="{args.output}")')


def whole_number(least: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from `least` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return read


def temperatures(text: str) -> tuple[float, ...]:
    """Read numbers above 0, separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0.0 < value < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers above 0, such as 1,2,4")
    return values


def share(text: str) -> tuple[int, int]:
    """Read i/n, with i from 1 to n."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no share; the first of four is 1/4")
    return int(number), int(count)
