"""`train_probe`, and `inference` and `inference_hybrid` of each filter.

stillroom train_probe --filter filters/uplifting/v1 --data-dir splits --objective recall
stillroom inference --filter filters/uplifting/v1 --input articles.jsonl --output scored.jsonl
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from ...console import Console
from ..command import perform
from ..commands.filters.score import (
    probe,
    probe_faults,
    probe_parser,
    score,
    score_faults,
    score_parser,
)
from ..options import CommandParser


def train_probe(argv: Sequence[str]) -> int:
    """Train the first stage, as `stillroom filter probe`."""
    return _as_action("train_probe", "probe", probe_parser(), probe, probe_faults, argv)


def inference(argv: Sequence[str]) -> int:
    """Score articles, as `stillroom filter score`."""
    return _as_action("inference", "score", score_parser(), score, score_faults, argv)


def _as_action(
    name: str,
    action: str,
    parser: CommandParser,
    work: Callable[[argparse.Namespace, Console], object],
    check: Callable[[argparse.Namespace], Sequence[str]],
    argv: Sequence[str],
) -> int:
    parser.prog = f"stillroom {name}"
    parser.epilog = (parser.epilog or "").replace(f"stillroom filter {action}", parser.prog)
    args = parser.read(argv, check)
    return perform(lambda: work(args, Console(args.verbose)), parser, args)
