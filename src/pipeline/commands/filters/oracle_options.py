"""Oracles of a filter as options name them: one or several, under LLM Distillery's names too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ....labeling.filters.oracles.oracle_names import named_oracle
from ...options import number, one_of, whole_number
from ..teacher_options import chosen_teacher, teacher_faults

if TYPE_CHECKING:
    from ....labeling.filters.oracles.consistency import ConsistencyLimits
    from ....labeling.teachers.protocol import Teacher


def add_oracle_options(parser: argparse.ArgumentParser) -> None:
    """Add how several oracles are joined, and the check that each agrees with itself."""
    add = parser.add_argument_group("several oracles, and the check before").add_argument
    add("--consensus", type=one_of("median", "mean"), default="median",
        help="how scores of several oracles become one: median (default) or mean")  # fmt: skip
    add("--consistency-articles", type=whole_number(2), default=50, metavar="N",
        help="articles that each oracle is asked twice about, before (default 50)")  # fmt: skip
    add("--consistency-limit", type=number(0, 10), default=1.0, metavar="POINTS",
        help="largest mean difference of the two scores of a dimension (default 1)")  # fmt: skip
    add("--skip-consistency-check", action="store_true", help="label at once")


def consistency_limits(args: argparse.Namespace) -> ConsistencyLimits | None:
    """Build the limits of the check before labelling; None where it is skipped."""
    from ....labeling.filters.oracles.consistency import ConsistencyLimits

    if args.skip_consistency_check:
        return None
    return ConsistencyLimits(articles=args.consistency_articles, most_spread=args.consistency_limit)


def oracle_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options of all oracles that can be found without asking them."""
    if not args.teacher:
        return []
    found = [fault for one in each_oracle(args) for fault in teacher_faults(one)]
    return list(dict.fromkeys(found))


def chosen_oracles(args: argparse.Namespace) -> list[Teacher]:
    """Open all oracles that the options name.

    Raises:
        StillroomError: As in `chosen_teacher`.
    """
    return [chosen_teacher(one) for one in each_oracle(args)]


def each_oracle(args: argparse.Namespace) -> list[argparse.Namespace]:
    """Split `--teacher a,b=model` into the options of each oracle."""
    given = args.teacher if isinstance(args.teacher, list) else [args.teacher]
    words = [
        word.strip()
        for one in given
        for word in ([one] if Path(one).exists() else one.split(","))
        if word.strip()
    ]
    return [_options_of(word, args) for word in words]


def _options_of(word: str, args: argparse.Namespace) -> argparse.Namespace:
    name, model = word, args.model
    if "=" in word and "?" not in word and not Path(word).exists():
        name, _, model = word.partition("=")
    source, model = named_oracle(name, model)
    return argparse.Namespace(**{**vars(args), "teacher": source, "model": model})
