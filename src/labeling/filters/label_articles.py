"""Let oracles label articles for a filter: prefilter, view, checked replies, folder of labels.

run = label_articles(package, articles, teacher, "datasets", target_count=2000)
run.labelled, run.failed, run.stopped
label_articles(package, articles, [one, other], "datasets", consensus="median")

A label of several oracles has the median (or mean) of their scores, and keeps the scores of each.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args

from ...config import read_written_json
from ...errors import ConfigError, DataError, LabelingStoppedError
from ...files import write_json
from ..batch.label_run import LabelFault, Labelled, LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..batch.progress import LabelProgress
from ..teachers.protocol import DecodeProfile, Teacher, TeacherAnswer
from .filter_package import FilterPackage
from .label_folder import LabelFolder
from .oracle_reply import oracle_check, read_reply, response_format
from .oracles.consensus import Consensus, join_replies
from .oracles.consistency import (
    CONSISTENCY_FILE,
    ConsistencyLimits,
    ConsistencyReport,
    measure_consistency,
)
from .patterns import PATTERN_TIME, PatternTimeError
from .prefilter import PASSED
from .scored_record import Analysis, AnalysisFault, scored_record

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
    retries: int = 0
    """Calls of this run that repeated another one."""
    cost: float | None = None
    """Known cost of this run; None without prices."""
    consistency: list[ConsistencyReport] = field(default_factory=list)
    """One per oracle that was asked twice in this run."""


def label_articles(
    package: FilterPackage,
    articles: Iterable[Mapping[str, Any]],
    teacher: Teacher | Sequence[Teacher],
    output_dir: str | Path,
    *,
    target_count: int | None = None,
    batch_size: int = 50,
    settings: LabelSettings | None = None,
    profile: DecodeProfile | None = None,
    structured: bool = False,
    allow_change: bool = False,
    consensus: Consensus = "median",
    consistency: ConsistencyLimits | None = None,
    form: str | None = None,
    most_batches: int | None = None,
    progress: Callable[[LabelProgress], None] | None = None,
    clock: Callable[[], float] = time.time,
) -> FilterLabels:
    """Label articles; a run that was broken off goes on, and pays for no answer twice.

    Args:
        package: The filter.
        articles: Records with `id`, `title` and `content`.
        teacher: The oracle, or several. An article gets a label when all of them have given a valid
            reply, and a class when more than half agree.
        output_dir: Labels go to `<output_dir>/<filter>`.
        target_count: Labels that the folder shall hold; None labels all articles that pass.
        batch_size: Lines of a batch file.
        settings: Limits, retries and budget, of each oracle; `retry_failed` asks again for dead
            letters.
        profile: How replies are decoded.
        structured: Send the schema of a reply with each request; the server must support
            `response_format`.
        allow_change: Continue labels of another oracle, prompt or view; see `LabelFolder`.
        consensus: How the scores of several oracles become one: `median` or `mean`.
        consistency: Ask each oracle twice about some articles before it labels; None does not. An
            oracle that has passed with this prompt and view is not asked again.
        form: Form of a new folder, `labeled` or `scored`; None takes the first.
        most_batches: Most batch files that this run adds; None sets no limit.
        progress: Called about once a second while oracles are asked.
        clock: Returns Unix time in seconds, for the limit per day.

    Raises:
        ConfigError: A setting is out of range, or oracle, prompt or view have changed.
        DataError: An article has no id, or an id comes twice.
        LabelingStoppedError: An oracle contradicts itself more than `consistency` allows.
    """
    teachers = _teachers(teacher, consensus)
    for name, given in (("target_count", target_count), ("most_batches", most_batches)):
        if given is not None and given < 1:
            raise ConfigError([f"{name} is {given}; allowed is 1 or more"])
    settings = settings or LabelSettings()
    profile = profile or PROFILE
    if structured:
        profile = replace(profile, extra={**profile.extra, **response_format(package.config)})
    folder = LabelFolder(
        output_dir,
        package.config,
        oracle=_oracle_name(teachers, consensus),
        prompt=package.prompt,
        batch_size=batch_size,
        allow_change=allow_change,
        retry_failed=settings.retry_failed,
        view_hash=package.view.sha256,
        form=form,
    )
    if most_batches is not None:
        most = len(folder.labelled) + most_batches * batch_size
        target_count = most if target_count is None else min(most, target_count)
    labelers = [
        BatchLabeler(
            one,
            folder.folder / CALLS_FOLDER,
            profile=profile,
            settings=settings,
            check=_check(package, folder),
            clock=clock,
        )
        for one in teachers
    ]
    made, started = FilterLabels(folder.folder), datetime.now(UTC)
    folder.log(
        f"{folder.oracle} labels for {package.config.name} {package.config.version}, prompt "
        f"{package.prompt.prompt_hash}; {len(folder.labelled)} labels are there"
    )
    errors: Counter[str] = Counter()
    tasks, begun = _tasks(package, articles, folder, made), time.monotonic()
    if consistency is not None and (target_count is None or target_count > len(folder.labelled)):
        missing = None if target_count is None else target_count - len(folder.labelled)
        count = consistency.articles if missing is None else min(missing, consistency.articles)
        first = list(itertools.islice(tasks, count))
        tasks = itertools.chain(first, tasks)
        _require_consistency(labelers, first, package, folder, consistency, made)
    while made.stopped is None:
        missing = None if target_count is None else target_count - len(folder.labelled)
        part = list(itertools.islice(tasks, missing)) if missing is None or missing > 0 else []
        if not part:
            break
        _ask(part, labelers, package, folder, made, errors, consensus, progress)
    folder.close(
        started_at=started,
        attempted=made.labelled + made.failed,
        succeeded=made.labelled,
        retries=made.retries,
        errors=errors,
        processing_s=time.monotonic() - begun,
        cost=made.cost,
    )
    made.total = len(folder.labelled)
    if made.stopped is not None:
        folder.log(f"ended early ({made.stopped}): {made.message}", "ERROR")
    folder.log(f"{made.labelled} labels and {made.failed} dead letters more, {made.total} labels")
    return made


def _teachers(given: Teacher | Sequence[Teacher], consensus: Consensus) -> list[Teacher]:
    teachers = [given] if isinstance(given, Teacher) else list(given)
    names = [one.name for one in teachers]
    faults = []
    if not teachers or len(set(names)) < len(names):
        faults.append(f"the oracles are {names}; allowed are one or more of different names")
    if consensus not in get_args(Consensus):
        faults.append(f"consensus is {consensus!r}; allowed are {', '.join(get_args(Consensus))}")
    if faults:
        raise ConfigError(faults)
    return teachers


def _oracle_name(teachers: Sequence[Teacher], consensus: Consensus) -> str:
    """Name the oracles in the labels; another way of joining them counts as another oracle."""
    names = [one.name for one in teachers]
    return names[0] if len(names) == 1 else f"{consensus}({', '.join(names)})"


def _check(
    package: FilterPackage, folder: LabelFolder
) -> Callable[[LabelTask, TeacherAnswer], str | None]:
    """Make the check of replies; those that it rejects are kept in `error_logs`."""
    check, rejected = oracle_check(package.config), Counter[str]()

    def checked(task: LabelTask, answer: TeacherAnswer) -> str | None:
        reason = check(task, answer)
        if reason is not None:
            rejected[task.id] += 1
            folder.keep_reply(task.id, rejected[task.id], answer.text)
        return reason

    return checked


def _require_consistency(
    labelers: Sequence[BatchLabeler],
    tasks: Sequence[LabelTask],
    package: FilterPackage,
    folder: LabelFolder,
    limits: ConsistencyLimits,
    made: FilterLabels,
) -> None:
    """Ask each oracle twice that has not passed with this prompt and view.

    Raises:
        LabelingStoppedError: An oracle contradicts itself too much.
    """
    path = folder.folder / CONSISTENCY_FILE
    stored = read_written_json(path) if path.exists() else {}
    kept = dict(stored["reports"]) if isinstance(stored, Mapping) and "reports" in stored else {}
    for labeler in labelers:
        name = f"{labeler.teacher.name} {package.view.sha256}"
        if (name in kept and kept[name]["fault"] is None) or len(tasks) < 2:
            continue
        found = measure_consistency(labeler, tasks, package.config, limits)
        made.consistency.append(found)
        if found.stopped is not None:
            made.stopped, made.message = found.stopped, found.message
            return
        kept[name] = found.to_dict()
        write_json(path, {"schema_version": 1, "reports": kept})
        if found.fault is not None:
            folder.log(found.fault, "ERROR")
            raise LabelingStoppedError(
                f"{found.fault}; nothing more is labelled. Make the prompt more definite or take "
                "another oracle, raise the limit (--consistency-limit), or skip this check "
                "(--skip-consistency-check)"
            )


def _ask(
    part: Sequence[LabelTask],
    labelers: Sequence[BatchLabeler],
    package: FilterPackage,
    folder: LabelFolder,
    made: FilterLabels,
    errors: Counter[str],
    consensus: Consensus,
    progress: Callable[[LabelProgress], None] | None,
) -> None:
    """Ask all oracles about some articles; write labels and dead letters.

    What a stopped run did not reach is left for the next. An article that one oracle has failed on
    costs no call of the next oracle.
    """
    replies: dict[str, dict[str, Labelled]] = {one.id: {} for one in part}
    faults: dict[str, LabelFault] = {}
    for labeler in labelers:
        left = [one for one in part if one.id not in faults]
        run = labeler.run(left, progress=progress)
        made.retries += run.numbers.retries
        if run.numbers.cost is not None:
            made.cost = (made.cost or 0.0) + run.numbers.cost
        for one in run.results:
            if one.answer is not None:
                replies[one.task.id][labeler.teacher.name] = one
            elif one.fault is not None:
                said = f"{labeler.teacher.name}: " if len(labelers) > 1 else ""
                faults[one.task.id] = replace(one.fault, message=said + one.fault.message)
        if run.stopped is not None:
            made.stopped, made.message = run.stopped, run.message
            break
    for task in part:
        own = replies[task.id]
        fault = faults.get(task.id)
        if fault is None and len(own) == len(labelers):
            fault = _keep(task, own, package, folder, consensus)
            made.labelled += fault is None
        if fault is not None:
            folder.fail(
                task.record,
                attempts=fault.attempts,
                error_type=fault.kind,
                error_message=fault.message,
            )
            made.failed += 1
            errors[fault.kind] += 1
            _tell(folder, task, list(own.values()), fault, repaired=False)


def _keep(
    task: LabelTask,
    replies: Mapping[str, Labelled],
    package: FilterPackage,
    folder: LabelFolder,
    consensus: Consensus,
) -> LabelFault | None:
    """Write a label; give the reason where the oracles have none in common."""
    read: dict[str, Analysis] = {
        name: read_reply(one.answer.text, package.config)
        for name, one in replies.items()
        if one.answer is not None
    }
    try:
        analysis = join_replies(read, package.config, consensus)
    except AnalysisFault as fault:
        return LabelFault("rejected", str(fault), len(replies))
    folder.append(
        scored_record(
            task.record,
            analysis,
            package.config,
            prompt_hash=package.prompt.prompt_hash,
            oracle=folder.oracle,
            view_hash=package.view.sha256,
        )
    )
    repaired = any(one.repairs for one in read.values())
    _tell(folder, task, list(replies.values()), None, repaired=repaired)
    return None


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


def _tell(
    folder: LabelFolder,
    task: LabelTask,
    replies: Sequence[Labelled],
    fault: LabelFault | None,
    *,
    repaired: bool,
) -> None:
    answers = [one.answer for one in replies if one.answer is not None]
    folder.write_metrics(
        task.id,
        success=fault is None,
        attempts=sum(one.attempts for one in replies) if fault is None else fault.attempts,
        seconds=None,
        repaired=repaired,
        cached=all(one.cached for one in replies) if replies else None,
        model=", ".join(one.model for one in answers) or None,
        tokens_in=sum(one.prompt_tokens for one in answers) if answers else None,
        tokens_out=sum(one.completion_tokens for one in answers) if answers else None,
        error_type=None if fault is None else fault.kind,
        error_message=None if fault is None else fault.message,
    )
