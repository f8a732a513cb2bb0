"""Let an oracle label articles for a filter: prefilter, view, checked replies, folder of labels.

run = label_articles(package, articles, teacher, "datasets", target_count=2000)
run.labelled, run.failed, run.stopped
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError, DataError
from ..batch.label_run import Labelled, LabelRun, LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..teachers.protocol import DecodeProfile, Teacher
from .filter_package import FilterPackage
from .label_folder import LabelFolder
from .oracle_reply import oracle_check, read_reply, response_format
from .patterns import PATTERN_TIME, PatternTimeError
from .prefilter import PASSED
from .scored_record import scored_record

CALLS_FOLDER: Final = "calls"
"""Folder of the labeler's journal, in that of the labels."""
PROFILE: Final = DecodeProfile(max_tokens=1024)


@dataclass
class FilterLabels:
    """Outcome of labelling for a filter."""

    folder: Path
    labelled: int = 0
    """Labels that this run has added."""
    failed: int = 0
    """Dead letters of this run."""
    total: int = 0
    """Labels in the folder."""
    blocked: Counter[str] = field(default_factory=Counter)
    """Reason of the prefilter -> articles."""
    stopped: str | None = None
    """Why the run ended early, as in `LabelRun.stopped`."""
    message: str = ""
    """The reason in words."""


def label_articles(
    package: FilterPackage,
    articles: Iterable[Mapping[str, Any]],
    teacher: Teacher,
    output_dir: str | Path,
    *,
    target_count: int | None = None,
    batch_size: int = 50,
    settings: LabelSettings | None = None,
    profile: DecodeProfile | None = None,
    structured: bool = False,
    allow_change: bool = False,
) -> FilterLabels:
    """Label articles; a run that was broken off goes on, and pays for no answer twice.

    Args:
        package: The filter.
        articles: Records with `id`, `title` and `content`.
        teacher: The oracle.
        output_dir: Labels go to `<output_dir>/<filter>`.
        target_count: Labels that the folder shall hold; None labels all articles that pass.
        batch_size: Lines of a batch file.
        settings: Limits, retries and budget; `retry_failed` asks again for dead letters.
        profile: How replies are decoded.
        structured: Send the schema of a reply with each request; the server must support
            `response_format`.
        allow_change: Continue labels of another oracle or prompt; see `LabelFolder`.

    Raises:
        ConfigError: `target_count` is below 1, or oracle or prompt have changed.
        DataError: An article has no id, or an id comes twice.
    """
    if target_count is not None and target_count < 1:
        raise ConfigError([f"target_count is {target_count}; allowed is 1 or more"])
    settings = settings or LabelSettings()
    profile = profile or PROFILE
    if structured:
        profile = replace(profile, extra={**profile.extra, **response_format(package.config)})
    folder = LabelFolder(
        output_dir,
        package.config,
        oracle=teacher.name,
        prompt=package.prompt,
        batch_size=batch_size,
        allow_change=allow_change,
        retry_failed=settings.retry_failed,
    )
    labeler = BatchLabeler(
        teacher,
        folder.folder / CALLS_FOLDER,
        profile=profile,
        settings=settings,
        check=oracle_check(package.config),
    )
    made, started = FilterLabels(folder.folder), datetime.now(UTC)
    errors: Counter[str] = Counter()
    tasks, begun = _tasks(package, articles, folder, made), time.monotonic()
    while made.stopped is None:
        missing = None if target_count is None else target_count - len(folder.labelled)
        part = list(itertools.islice(tasks, missing)) if missing is None or missing > 0 else []
        if not part:
            break
        run = labeler.run(part)
        _keep(run, package, folder, made, errors)
        made.stopped, made.message = run.stopped, run.message
    folder.close(
        started_at=started,
        attempted=made.labelled + made.failed,
        succeeded=made.labelled,
        errors=errors,
        processing_s=time.monotonic() - begun,
    )
    made.total = len(folder.labelled)
    return made


def _tasks(
    package: FilterPackage,
    articles: Iterable[Mapping[str, Any]],
    folder: LabelFolder,
    made: FilterLabels,
) -> Iterator[LabelTask]:
    """Yield a task per article that passes the prefilter and is not done."""
    seen: dict[str, int] = {}
    for number, article in enumerate(articles, start=1):
        identity = article.get("id")
        if identity is None or identity == "":
            raise DataError("the article has no id", row=number, column="id")
        if str(identity) in seen:
            raise DataError(f"the id {identity!r} is that of row {seen[str(identity)]} too",
                            row=number, column="id")  # fmt: skip
        seen[str(identity)] = number
        if folder.is_done(str(identity)):
            continue
        passed, reason = True, PASSED
        if package.prefilter is not None:
            passed, reason = package.prefilter.apply_filter(article)
        if not passed:
            made.blocked[reason] += 1
            continue
        try:
            shown = package.view.read(article)
        except PatternTimeError:
            made.blocked[PATTERN_TIME] += 1
            continue
        yield LabelTask(str(identity), package.view.oracle_prompt(shown), dict(article))


def _keep(
    run: LabelRun,
    package: FilterPackage,
    folder: LabelFolder,
    made: FilterLabels,
    errors: Counter[str],
) -> None:
    """Write labels and dead letters; what the run did not reach is left for the next."""
    for one in run.results:
        if one.answer is not None:
            analysis = read_reply(one.answer.text, package.config)
            folder.append(
                scored_record(
                    one.task.record,
                    analysis,
                    package.config,
                    prompt_hash=package.prompt.prompt_hash,
                    oracle=folder.oracle,
                    view_hash=package.view.sha256,
                )
            )
            made.labelled += 1
            _tell(folder, one, repaired=bool(analysis.repairs))
        elif one.fault is not None:
            folder.fail(
                one.task.record,
                attempts=one.fault.attempts,
                error_type=one.fault.kind,
                error_message=one.fault.message,
            )
            made.failed += 1
            errors[one.fault.kind] += 1
            _tell(folder, one, repaired=False)


def _tell(folder: LabelFolder, one: Labelled, *, repaired: bool) -> None:
    answer, fault = one.answer, one.fault
    folder.write_metrics(
        one.task.id,
        success=answer is not None,
        attempts=1 if fault is None else fault.attempts,
        seconds=None,
        repaired=repaired,
        cached=one.cached,
        model=None if answer is None else answer.model,
        tokens_in=None if answer is None else answer.prompt_tokens,
        tokens_out=None if answer is None else answer.completion_tokens,
        error_type=None if fault is None else fault.kind,
        error_message=None if fault is None else fault.message,
    )
