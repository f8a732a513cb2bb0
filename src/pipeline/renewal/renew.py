"""Renew a student: the next version of its data, new students, the gate, the exchange.

opinions -> judged answers -> data -> students of several seeds -> frozen test -> gate -> exchange

A version is made once: what people say while it is trained counts for the next one. A process that
is killed at any point goes on by the same command.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ...agentic_workflow.feedback.claims import Rules
from ...agentic_workflow.feedback.proposals import Proposal
from ...console import Console
from ...errors import ConfigError, DataError
from ...evaluation.promotion import PromotionRules
from ...files import file_sha256, read_json, write_json, write_text
from ...records import Example
from ...run_folder import PROGRESS_FILE
from ...tables import TABLE_BEFORE, TABLE_FILE, FactTable
from ...understanding.plans.as_data import plan_from_data, plan_to_data
from ...understanding.verified.verified_questions import verified_place
from ..main_job.evaluate import LEAST_CALIBRATED
from .data_version import (
    MANIFEST_FILE,
    DataVersion,
    build_version,
    cells_of,
    is_outdated,
    read_parts,
    trained_before,
)
from .evidence import Evidence, open_evidence
from .frozen_test import FrozenTest
from .judging import RUNNING, ask_test, forgetting, judge, questions_of_test, told
from .replay_training import NEW_SHARE, recipe_of, train_again
from .verified_answers import find_plans, verify
from .versions import (
    CANDIDATE,
    Version,
    folder_sha256,
    go_back,
    next_version,
    promote,
    served_version,
    settle,
    versions_of,
)

DATA: Final = "data"
PLANS_FILE: Final = "plans.json"
VERIFIED_BEFORE: Final = "verified.before.yaml"
SEEDS: Final = 3


@dataclass(frozen=True)
class RenewSettings:
    """How a student is renewed."""

    feedback: tuple[str, ...] = ()
    """Folders and files with what people said; see `evidence.open_evidence`."""
    seeds: int = SEEDS
    """Students that are trained, each with its own seed; the first may be served."""
    new_share: float = NEW_SHARE
    """Most of the training that new examples take."""
    effort: float = 1.0
    """Factor on the steps of the run's recipe."""
    rules: Rules = field(default_factory=Rules)
    """When people are believed."""
    promotion: PromotionRules = field(default_factory=PromotionRules)
    """What is demanded of the renewed student."""
    device: str | None = None


@dataclass(frozen=True)
class Renewal:
    """What a renewal came to."""

    version: int
    """0 for a dry run."""
    status: str
    """`served`, `refused`, `dry run` or `nothing new`."""
    data: dict[str, Any]
    """What is in the data; see `DataVersion.counts`."""
    verdict: dict[str, Any] = field(default_factory=dict)
    """The gate's verdict and what was forgotten."""
    proposals: tuple[Proposal, ...] = ()
    verified: tuple[str, ...] = ()
    """Questions that were, or would be, added to the verified ones."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "version": self.version,
            "status": self.status,
            "data": self.data,
            "verdict": self.verdict,
            "proposals": [one.to_dict() for one in self.proposals],
            "verified": list(self.verified),
        }


def renew(
    student: Path,
    settings: RenewSettings | None = None,
    console: Console | None = None,
    *,
    dry_run: bool = False,
) -> Renewal:
    """Renew a student; go on with a renewal that was interrupted.

    Args:
        student: The student's folder, in the folder of its run.
        settings: How.
        console: Prints the progress.
        dry_run: Only tell what would be trained on and what is proposed.

    Raises:
        DataNotFoundError: The run has no questions.
        ConfigError: The student cannot be renewed.
        DataError: The data of the version was changed, or holds an example of the test.
    """
    settings, console = settings or RenewSettings(), console or Console()
    run = run_of(student)
    frozen = FrozenTest.read(run)
    if not dry_run:
        require_same_test(run, frozen)
    unfinished = None if dry_run else finish_exchange(student)
    if unfinished is not None:
        console.line("going on", f"with version {unfinished.number}, whose data is of "
                     f"{unfinished.state['made_at']}")  # fmt: skip
        return _finish(student, run, frozen, unfinished, settings, console)
    table = table_of(student)
    evidence = open_evidence(student, settings.feedback, rules=settings.rules)
    try:
        made, plans, proposals = _next_data(run, table, frozen, evidence, console)
    finally:
        evidence.close()
    questions = tuple(question for question, _ in plans)
    if dry_run or not (made.new or plans):
        status = "dry run" if dry_run else "nothing new"
        return Renewal(0, status, made.counts(), proposals=proposals, verified=questions)
    same = _version_of_same_data(run, made)
    if same is not None:
        told_ = f"nothing new since version {same.number}, which was {same.status}"
        return Renewal(0, told_.replace("_", " "), made.counts(), proposals=proposals)
    recipe_of(run, student, effort=settings.effort)  # what cannot be trained makes no version
    version = next_version(run)
    lineage = {
        "version": version.number,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "parent": (served_version(run) or Version(Path("0"))).number,
        "student_sha256": folder_sha256(student),
        "table_sha256": file_sha256(student / TABLE_FILE),
        "frozen_sha256": frozen.sha256,
    }
    made.write(version.folder / DATA, lineage)
    write_json(version.folder / PLANS_FILE, [
        {"question": question, "plan": plan_to_data(plan, evidence.reader.typed)}
        for question, plan in plans if evidence.reader is not None
    ])  # fmt: skip
    version.store(status="training", **lineage, settings=_as_json(settings),
                  manifest_sha256=file_sha256(version.folder / DATA / MANIFEST_FILE))  # fmt: skip
    console.line("version", f"{version.number}: {version.folder}")
    return _finish(student, run, frozen, version, settings, console, proposals)


def take_back(student: Path) -> Version:
    """Serve the student from before the last renewal again, byte by byte.

    Raises:
        ConfigError: No renewal is served, or the kept student was changed.
    """
    run = run_of(student)
    begun = _finish_going_back(student)
    if begun is not None:
        return begun
    unfinished = finish_exchange(student)
    if unfinished is not None:
        settle(student, unfinished)
    version = served_version(run)
    if version is None:
        raise ConfigError([f"{student} was not renewed, so there is nothing to go back to"])
    go_back(student, version)
    _restore_verified(student, version)
    return version


def run_of(student: Path) -> Path:
    """Return the folder of the run that made a student.

    Raises:
        ConfigError: The student is in no run's folder.
    """
    run = student.resolve().parent
    if not (run / PROGRESS_FILE).is_file():
        raise ConfigError([f"{student} is not in the folder of a run, which has the data that it "
                           "was trained on; stillroom run makes one"])  # fmt: skip
    return run


def table_of(student: Path) -> FactTable:
    """Read the table of a student.

    Raises:
        DataError: It has none.
    """
    table = FactTable.read(student)
    if table is None:
        raise DataError(f"holds no {TABLE_FILE}", path=student)
    return table


def require_same_test(run: Path, frozen: FrozenTest) -> None:
    """Refuse a frozen test that was changed since an earlier renewal.

    Raises:
        DataError: It was changed.
    """
    for version in versions_of(run):
        if version.state.get("frozen_sha256") not in (None, frozen.sha256):
            raise DataError(f"the held-out questions were changed after version {version.number}; "
                            "restore data/held_out.jsonl, or run stillroom run again")  # fmt: skip


def finish_exchange(student: Path) -> Version | None:
    """Finish an exchange that was interrupted.

    Returns:
        The version whose renewal was interrupted; None where there is none.
    """
    versions = versions_of(run_of(student))
    if not versions:
        return None
    last = versions[-1]
    _finish_going_back(student)
    is_served = last.status == "served" and not last.state.get("finished")
    return last if is_served or last.status in ("training", "ready", "promoting") else None


def _finish_going_back(student: Path) -> Version | None:
    """Finish going back from a version, and return it; None where nobody had begun to."""
    versions = versions_of(run_of(student))
    version = next((one for one in versions if one.status == "going_back"), None)
    if version is not None:
        settle(student, version)
        _restore_verified(student, version)
    return version


def _version_of_same_data(run: Path, made: DataVersion) -> Version | None:
    """Find the last version if its new examples are these: trying again until chance lets a
    renewal pass would make the gate worthless."""
    versions = versions_of(run)
    if not versions:
        return None
    manifest = read_json(versions[-1].folder / DATA / MANIFEST_FILE)
    same = manifest["new_sha256"] == made.new_sha256()
    return versions[-1] if same else None


def _next_data(
    run: Path, table: FactTable, frozen: FrozenTest, evidence: Evidence, console: Console
) -> tuple[DataVersion, list[tuple[str, Any]], tuple[Proposal, ...]]:
    """Judge what people said, and make the next version of the data of it."""
    with console.busy("reading what people said"):
        judged = evidence.queue.judged()
        proposals = tuple(evidence.queue.proposals())
        plans = find_plans(judged, evidence.reader, frozen)
    before, outdated = trained_before(run, table)
    made = build_version(before, judged, table, frozen)
    made.left_out.extend(outdated)
    return made, plans, proposals


def _finish(
    student: Path,
    run: Path,
    frozen: FrozenTest,
    version: Version,
    settings: RenewSettings,
    console: Console,
    proposals: tuple[Proposal, ...] = (),
) -> Renewal:
    """Train, judge and exchange; each step is skipped where it is done."""
    data = read_json(version.folder / DATA / MANIFEST_FILE)
    if file_sha256(version.folder / DATA / MANIFEST_FILE) != version.state["manifest_sha256"]:
        raise DataError("was changed after this version of the data was made",
                        path=version.folder / DATA / MANIFEST_FILE)  # fmt: skip
    if version.status == "training":
        old, new = read_parts(version.folder / DATA, data["files"])
        verdict = train_and_judge(student, run, frozen, version, settings, console, old, new)
        write_json(version.folder / "verdict.json", verdict)
        version.store(status="ready" if verdict["promoted"] else "refused",
                      verdict=verdict["in_words"])  # fmt: skip
    verdict = read_json(version.folder / "verdict.json")
    if version.status == "refused":
        _drop_work(version)
        return Renewal(version.number, "refused", data["counts"], verdict, proposals)
    added = _serve(student, version, settings, frozen, console)
    _drop_work(version)
    version.store(finished=True)
    return Renewal(version.number, "served", data["counts"], verdict, proposals, tuple(added))


def train_and_judge(
    student: Path,
    run: Path,
    frozen: FrozenTest,
    version: Version,
    settings: RenewSettings,
    console: Console,
    old: Sequence[Example],
    new: Sequence[Example],
    *,
    first_seed: int | None = None,
) -> dict[str, Any]:
    """Train the students of a version and judge them; finished students are not trained again.

    Args:
        student: The served student.
        run: The run's folder.
        frozen: The test.
        version: Keeps students, checkpoints and answers.
        settings: How.
        console: Prints the progress.
        old: Examples that the student was trained on before.
        new: Examples from what people said.
        first_seed: Seed of the first student, the others follow; None takes that after the
            running student's.

    Returns:
        The gate's verdict and what was forgotten, as `judging.told` gives them.

    Raises:
        DataError: The training holds an example of the test.
    """
    table = table_of(student)
    cells = cells_of(table)
    outdated = frozenset(one.id for one in frozen.examples if is_outdated(one, cells))
    questions = questions_of_test(frozen.examples, outdated)
    recipe = recipe_of(run, student, effort=settings.effort)
    console.line("training", f"{settings.seeds} students from {recipe.start}, "
                 f"{recipe.config.max_steps:,} steps each: {len(old):,} old and {len(new):,} new "
                 "examples")  # fmt: skip
    running = ask_test(student, questions, version.folder / "answers" / f"{RUNNING}.jsonl", console,
                       settings.device)  # fmt: skip
    first = recipe.config.seed + 1 if first_seed is None else first_seed
    answers = []
    for number in range(settings.seeds):
        folder = version.folder / "seeds" / str(number)
        if not (folder / "done.json").is_file():
            began = time.monotonic()
            made = train_again(
                recipe, old, new, table, frozen, folder, version.folder / "work" / str(number),
                seed=first + number, new_share=settings.new_share,
            )  # fmt: skip
            write_json(folder / "done.json", {"steps": made.steps})
            console.line(f"student {number + 1}", f"loss {made.losses[-1][1]:.3f}",
                         time.monotonic() - began)  # fmt: skip
        path = version.folder / "answers" / f"{number}.jsonl"
        answers.append(ask_test(folder, questions, path, console, settings.device))
    found = judge(answers, running, settings.promotion)
    return told(found, forgetting(answers[0], running))


def _serve(
    student: Path,
    version: Version,
    settings: RenewSettings,
    frozen: FrozenTest,
    console: Console,
) -> list[str]:
    """Complete the candidate's folder and exchange it with the student."""
    candidate, first = version.folder / CANDIDATE, version.folder / "seeds" / "0"
    if version.status == "ready":
        if not candidate.is_dir():
            shutil.copytree(first, candidate.with_name("candidate.tmp"), dirs_exist_ok=True)
            candidate.with_name("candidate.tmp").rename(candidate)
        (candidate / "done.json").unlink(missing_ok=True)
        for name in (TABLE_FILE, TABLE_BEFORE):  # rows may have been updated while it was trained
            if (student / name).is_file():
                shutil.copyfile(student / name, candidate / name)
        if (student / "understanding").is_dir():
            shutil.copytree(student / "understanding", candidate / "understanding",
                            dirs_exist_ok=True)  # fmt: skip
        _calibrate(candidate, frozen)
        place = verified_place(student)
        write_text(version.folder / VERIFIED_BEFORE,
                   place.read_text(encoding="utf-8") if place.is_file() else "")  # fmt: skip
        promote(student, version)
    else:
        settle(student, version)
    return _add_verified(student, version, console)


def _calibrate(folder: Path, frozen: FrozenTest) -> None:
    """Fit the confidence of a student on half of the test, as the main job does."""
    from ...evaluation.calibrate_student import calibrate_student, calibration_split

    chosen, _ = calibration_split([one for one in frozen.examples if one.task == "qa"])
    if len(chosen) >= LEAST_CALIBRATED:
        calibrate_student(folder, chosen)


def _add_verified(student: Path, version: Version, console: Console) -> list[str]:
    from ...agentic_workflow.reading.table_reader import TableReader

    stored = read_json(version.folder / PLANS_FILE)
    if not stored:
        return []
    reader = TableReader(table_of(student), encoder=None)
    plans = [(one["question"], plan_from_data(one["plan"], reader.typed)) for one in stored]
    added = verify(student, plans, reader)
    version.store(verified_sha256=file_sha256(verified_place(student)))
    if added:
        console.line("verified", f"{len(added)} questions were added to {verified_place(student)}")
    return added


def _restore_verified(student: Path, version: Version) -> None:
    """Restore the verified questions, unless somebody changed them after the renewal."""
    place, before = verified_place(student), version.folder / VERIFIED_BEFORE
    written = version.state.get("verified_sha256")
    if written is None or not place.is_file() or file_sha256(place) != written:
        return
    text = before.read_text(encoding="utf-8")
    if text:
        write_text(place, text)
    else:
        place.unlink()


def _drop_work(version: Version) -> None:
    """Remove checkpoints, and the students that are not served."""
    for name in ("work", "seeds"):
        shutil.rmtree(version.folder / name, ignore_errors=True)


def _as_json(settings: RenewSettings) -> dict[str, Any]:
    return {**asdict(settings), "feedback": [Path(one).name for one in settings.feedback]}
