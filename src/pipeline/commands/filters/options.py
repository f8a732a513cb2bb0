"""Options that several actions of `stillroom filter` share, and what they open."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ...options import CommandParser, text, whole_number

if TYPE_CHECKING:
    from ....labeling.filters.filter_package import FilterPackage
    from ....labeling.filters.scoring.calibration import Calibration
    from ...filter_judging.score_files import ScoredArticle

PROGRAM = "stillroom filter"


def add_package(parser: CommandParser) -> None:
    """Add the package of a filter: as the first word, or as `--filter`."""
    add = parser.add_argument
    add("package", type=text, nargs="?", metavar="filter", help="folder of a package, or the "
        "<name>/v<N> of one that comes with stillroom")  # fmt: skip
    add("--filter", type=text, metavar="DIR", help="the same as an option")
    add("--allow-code", action="store_true", help="run the package's prefilter.py")


def add_student(parser: CommandParser) -> None:
    """Add the scores of a student: its folder, or a file."""
    add = parser.add_argument
    add(
        "--model",
        type=text,
        metavar="FOLDER",
        help="a saved score student (default: model in the package)",
    )
    add("--predictions", type=text, action="append", metavar="FILE",
        help="its scores instead: lines with id and scores; may be given again")  # fmt: skip
    add("--batch-size", type=whole_number(1), default=16, metavar="N",
        help="articles per call of the student (default 16)")  # fmt: skip


def open_package(args: argparse.Namespace) -> FilterPackage:
    """Open the package of the options.

    Raises:
        ConfigError: None, or two, are given; or the filter chooses a class.
    """
    from ....errors import ConfigError
    from ....labeling.filters.filter_package import load_filter

    given = {one for one in (args.package, args.filter) if one}
    if len(given) != 1:
        raise ConfigError(["filter is needed once, such as filters/uplifting/v1"])
    package = load_filter(given.pop(), allow_code=args.allow_code)
    if package.config.is_classifier:
        raise ConfigError([f"{package.config.name} chooses a class; this needs a filter that "
                           "scores dimensions"])  # fmt: skip
    return package


def student_faults(args: argparse.Namespace) -> list[str]:
    """List what is wrong about `--model` and `--predictions`."""
    return (
        ["model and predictions are both given; one is needed"]
        if (args.model and args.predictions)
        else []
    )


def student_articles(
    args: argparse.Namespace,
    package: FilterPackage,
    articles: list[str],
    calibration: Calibration | None,
) -> dict[str, ScoredArticle]:
    """Score articles with the student of the options, or read the scores that it gave.

    Args:
        args: The options.
        package: The filter.
        articles: Files of the articles, for `--model`.
        calibration: Of the student; applied to scores of `--model`, which are raw. Those of
            `--predictions` are final.
    """
    from ...filter_judging.score_files import articles_of, read_scores
    from ...filter_judging.student_scores import student_scores

    if args.predictions:
        return read_scores(args.predictions, package.config, of_student=True).articles
    folder = args.model or package.folder / "model"
    ids, rows = student_scores(package, folder, articles, batch_size=args.batch_size)
    return articles_of(ids, rows, package.config, calibration)
