"""Score a file of articles by one or more filters: streamed, resumable, never half written.

score_file([open_scorer(load_filter("filters/uplifting/v1"))], "articles.jsonl", "scored.jsonl")

Each line of the output is the article with `<filter>_scores`. Until all are scored the lines stand
in `<output>.part`, and `<output>.part.json` says of what: the same call goes on behind the last
whole line, and a call with another filter, student or input starts anew.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from ....errors import ConfigError, DataError, EmptyDataError
from ....files import read_json, write_json
from ....records import record_hash
from ..curation.merge import read_json_objects
from .scorer import FilterBaseScorer

_T = TypeVar("_T")
CHUNK: Final = 512
"""Articles that are read, scored and written together."""


@dataclass
class FileScores:
    """What was scored."""

    output: Path
    articles: int = 0
    """Lines of the output."""
    resumed: int = 0
    """Of these, lines that an earlier call had written."""
    seconds: float = 0.0
    """Of this call, the reading and writing of files included."""
    tiers: dict[str, Counter[str]] = field(default_factory=dict)
    """Filter -> tier -> articles; `blocked` and `failed` are no tiers."""
    passed: Counter[str] = field(default_factory=Counter)
    """Filter -> articles that pass."""
    rejected: list[str] = field(default_factory=list)
    """Places of lines of the input that are no objects, with the reason."""


def scores_field_name(name: str) -> str:
    """Name the key of a filter's result in a record.

    >>> scores_field_name("uplifting")
    'uplifting_scores'
    """
    return f"{name}_scores"


def score_articles(
    scorers: Sequence[FilterBaseScorer],
    articles: Iterable[Mapping[str, Any]],
    *,
    batch_size: int | None = None,
    skip_prefilter: bool = False,
    chunk: int = CHUNK,
) -> Iterator[dict[str, Any]]:
    """Score a stream of articles by several filters, chunk by chunk.

    Filters whose students read with the same encoder share tokens and vectors of the texts.

    Args:
        scorers: One of each filter.
        articles: Records.
        batch_size: Texts per call of a student; None takes that of the scorer.
        skip_prefilter: Score also what a prefilter blocks.
        chunk: Articles that are held in memory.

    Yields:
        Each article with `<filter>_scores` of each filter, in the order of the input.

    Raises:
        ConfigError: There is no scorer, or two are of filters of one name.
    """
    names = [one.package.config.name for one in scorers]
    if not names or len(set(names)) < len(names):
        raise ConfigError([f"the filters are {', '.join(names) or 'none'}; one scorer of each name "
                           "is needed"])  # fmt: skip
    told = [one.scoring_metadata() for one in scorers]
    for part in _chunks(articles, chunk):
        rows: list[dict[str, Any]] = [dict(one) for one in part]
        for name, scorer, origin in zip(names, scorers, told, strict=True):
            results = scorer.score_batch(part, batch_size, skip_prefilter=skip_prefilter)
            for row, result in zip(rows, results, strict=True):
                row[scores_field_name(name)] = {**result, **origin}
        yield from rows


def score_file(
    scorers: Sequence[FilterBaseScorer],
    source: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    batch_size: int | None = None,
    skip_prefilter: bool = False,
    students: Mapping[str, Any] | None = None,
    chunk: int = CHUNK,
    progress: Callable[[int], None] | None = None,
) -> FileScores:
    """Score files of articles.

    Args:
        scorers: One of each filter.
        source: Files or patterns of JSON Lines.
        output: File to write; it appears when all articles are scored.
        batch_size: Texts per call of a student.
        skip_prefilter: Score also what a prefilter blocks.
        students: What else decides the scores, such as hashes of students and thresholds; a call
            with others starts anew.
        chunk: Articles that are written together.
        progress: Called with the number of articles so far.

    Raises:
        DataNotFoundError: A file does not exist.
        EmptyDataError: There are no articles.
        DataError: Another process is writing the same output.
    """
    path, part = Path(output), Path(f"{output}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    run, started = FileScores(path), time.perf_counter()
    names = [one.package.config.name for one in scorers]
    run.tiers = {name: Counter() for name in names}
    identity = _identity(scorers, source, skip_prefilter, students)
    with open(part, "a+b") as stream:
        _lock(stream, path)
        articles = (one for _, one in read_json_objects(source, run.rejected))
        for row in _kept(stream, identity, Path(f"{part}.json"), articles, names):
            _count(run, row, names)
        run.resumed = run.articles
        if run.resumed and progress is not None:
            progress(run.resumed)
        scored = score_articles(
            scorers, articles, batch_size=batch_size, skip_prefilter=skip_prefilter, chunk=chunk
        )
        for rows in _chunks(scored, chunk):
            stream.write(b"".join(_line(row) for row in rows))
            stream.flush()
            os.fsync(stream.fileno())
            for row in rows:
                _count(run, row, names)
            if progress is not None:
                progress(run.articles)
        if not run.articles:
            raise EmptyDataError("there are no articles", path=str(source))
        os.replace(part, path)
        Path(f"{part}.json").unlink(missing_ok=True)
    run.seconds = time.perf_counter() - started
    return run


def _chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    left = iter(items)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def _lock(stream: BinaryIO, output: Path) -> None:
    """Refuse a second process; the lock ends with the file."""
    if sys.platform == "win32":  # has no fcntl
        return
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        raise DataError("another process is writing it", path=output) from fault


def _identity(
    scorers: Sequence[FilterBaseScorer],
    source: str | Path | Iterable[str | Path],
    skip_prefilter: bool,
    students: Mapping[str, Any] | None,
) -> str:
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    return record_hash({
        "scorers": [
            {
                "filter": one.scoring_metadata(),
                "config": one.package.config.settings,
                "use_prefilter": one.use_prefilter,
                "threshold": getattr(one, "threshold", None),
            }
            for one in scorers
        ],
        "source": [str(one) for one in sources],
        "skip_prefilter": skip_prefilter,
        "students": dict(students or {}),
    })  # fmt: skip


def _kept(
    stream: BinaryIO,
    identity: str,
    told: Path,
    articles: Iterator[dict[str, Any]],
    names: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Yield the lines of an earlier call, each beside the article that it is of.

    A line that is not whole, or not of that article, is cut off with all behind it.
    """
    recorded = read_json(told) if told.is_file() else None
    if recorded != {"identity": identity}:
        stream.truncate(0)
        write_json(told, {"identity": identity})
        return
    fields = {scores_field_name(name) for name in names}
    stream.seek(0)
    end = 0
    for line in stream:
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            row = None
        article = None if row is None else next(articles, None)
        own = {k: v for k, v in (row or {}).items() if k not in fields}
        wanted = {k: v for k, v in (article or {}).items() if k not in fields}
        if row is None:
            break
        if article is None or own != wanted:
            part = str(told).removesuffix(".json")
            raise DataError(f"the articles have changed since; delete {part} to start anew")
        end += len(line)
        yield row
    stream.truncate(end)
    stream.seek(0, os.SEEK_END)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _count(run: FileScores, row: Mapping[str, Any], names: Sequence[str]) -> None:
    run.articles += 1
    for name in names:
        result = row[scores_field_name(name)]
        kind = result["tier"] or ("failed" if result["passed_prefilter"] else "blocked")
        run.tiers[name][kind] += 1
        run.passed[name] += bool(result["passed"])
