"""`embedding_screener` and `near_dup_filter`, with the packaged encoder.

stillroom embedding_screener --positives good.jsonl --corpus 'raw/*.jsonl' --output found.jsonl
stillroom near_dup_filter --pool found.jsonl --reference train.jsonl --output new.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ...console import Console
from ..options import CommandParser, add_verbose, guarded, number, text, whole_number
from .options import flat


def screener_parser() -> CommandParser:
    """Make the parser of `embedding_screener`."""
    parser = CommandParser(
        "stillroom embedding_screener",
        "Find articles like a few positives in a large corpus. It is read once and not held.",
        ("stillroom embedding_screener --positives good.jsonl --corpus 'raw/*.jsonl' "
         "--output found.jsonl --top-k 500",),
    )  # fmt: skip
    add = parser.add_argument
    _add_files(add, "--positives", "articles of the wanted kind")
    _add_files(add, "--corpus", "where to look")
    add("--output", type=text, required=True, metavar="FILE", help="best articles, best first")
    add("--top-k", type=whole_number(1), default=500, metavar="N", help="default 500")
    add("--batch-size", type=whole_number(1), default=256, metavar="N", help="default 256")
    add("--max-corpus", type=whole_number(0), default=0, metavar="N",
        help="most articles to read; 0 (default) reads all")  # fmt: skip
    add("--exclude-off-lens", action="store_true",
        help="leave out articles that are marked with off_lens: true")  # fmt: skip
    add_verbose(parser)
    return parser


def near_dup_parser() -> CommandParser:
    """Make the parser of `near_dup_filter`."""
    parser = CommandParser(
        "stillroom near_dup_filter",
        "Keep the articles of a pool that are near no article of a reference, nor an earlier one.",
        ("stillroom near_dup_filter --pool found.jsonl --reference train.jsonl val.jsonl "
         "test.jsonl --output new.jsonl",),
    )  # fmt: skip
    add = parser.add_argument
    _add_files(add, "--pool", "articles to choose from")
    _add_files(add, "--reference", "articles that are there already", required=False)
    add("--output", type=text, required=True, metavar="FILE", help="file to write")
    add("--threshold", type=number(0, 1, above=True), default=0.93,
        help="cosine from which an article is a copy (default 0.93)")  # fmt: skip
    add("--batch-size", type=whole_number(1), default=256, metavar="N", help="default 256")
    add_verbose(parser)
    return parser


def embedding_screener(argv: Sequence[str]) -> int:
    """Find candidates; give the exit code."""
    parser = screener_parser()
    args = parser.read(argv)
    return guarded(lambda: _screen(args, Console(args.verbose)), parser, args)


def near_dup_filter(argv: Sequence[str]) -> int:
    """Drop near copies; give the exit code."""
    parser = near_dup_parser()
    args = parser.read(argv)
    return guarded(lambda: _drop(args, Console(args.verbose)), parser, args)


def _add_files(add: Any, flag: str, told: str, *, required: bool = True) -> None:  # noqa: ANN401
    add(flag, type=text, required=required, nargs="+", action="append", default=[],
        metavar="FILES", help=f"files or patterns of JSON Lines: {told}")  # fmt: skip


def _read(words: Sequence[Sequence[str]], rejected: list[str]) -> Iterator[dict[str, Any]]:
    from ...labeling.filters.curation.merge import read_json_objects

    return (record for _, record in read_json_objects(flat(words), rejected))


def _screen(args: argparse.Namespace, console: Console) -> None:
    from ...data.identity.sentence_vectors import sentence_vectors
    from ...files import write_json_lines
    from ...labeling.filters.screening.embedding_screen import SCORE, screen_corpus

    rejected: list[str] = []
    found = screen_corpus(
        sentence_vectors(),
        _read(args.positives, rejected),
        _read(args.corpus, rejected),
        top_k=args.top_k,
        batch_size=args.batch_size,
        max_corpus=args.max_corpus,
        exclude_off_lens=args.exclude_off_lens,
    )
    write_json_lines(args.output, found)
    span = f", cosines {found[-1][SCORE]:.3f} to {found[0][SCORE]:.3f}" if found else ""
    console.line("found", f"{len(found):,} articles in {args.output}{span}")
    _tell_rejected(rejected, console)


def _drop(args: argparse.Namespace, console: Console) -> None:
    from ...data.identity.sentence_vectors import sentence_vectors
    from ...files import atomic_path
    from ...labeling.filters.screening.embedding_screen import NearCopies, drop_near_copies

    rejected: list[str] = []
    counts = NearCopies()
    kept = drop_near_copies(
        sentence_vectors(),
        _read(args.pool, rejected),
        _read(args.reference, rejected) if args.reference else (),
        threshold=args.threshold,
        batch_size=args.batch_size,
        counts=counts,
    )
    with atomic_path(args.output) as path, open(path, "w", encoding="utf-8", newline="\n") as out:
        for record in kept:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    console.line("kept", f"{counts.kept:,} articles in {args.output}")
    console.line("dropped", f"{counts.of_reference:,} near the reference, {counts.of_pool:,} near "
                 f"an earlier one, {counts.without_text:,} without text")  # fmt: skip
    _tell_rejected(rejected, console)


def _tell_rejected(rejected: Sequence[str], console: Console) -> None:
    if rejected:
        console.line("rejected", f"{len(rejected):,} lines, the first: {rejected[0]}")
