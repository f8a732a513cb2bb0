"""A trial of a sweep is a training of the main job; teacher and labels are shared between trials.

    OUT/shared/<key>/     teacher and labels, one folder for all trials that need the same ones
    OUT/trials/<key>/     the student of a trial, its answers and its metrics

Both are run folders of the main job, so that an interrupted training goes on where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...console import Console
from ...files import read_json, write_json
from ...prompts import prompts_sha256
from ...records import data_hash, read_examples, record_hash, sha256_text
from ...run_folder import PROGRESS_FILE, RunFolder
from ..main_job.settings import MainJob
from .plan import OF_TEACHER, Params, SweepPlan, job_of
from .search import Found, Trial

if TYPE_CHECKING:
    from ..main_job.load_table import Loaded, Source

SPEEDS_FILE: Final = "speeds.json"
_KEY: Final = 10
_ROUNDS: Final = 5


class JobTrials:
    """Runs trials of one sweep in its folder; call it with the parameters of a trial.

    Args:
        plan: The sweep.
        folder: Of the sweep.
        source: The table.
        console: Prints the steps of the trainings with `verbose`.
    """

    def __init__(self, plan: SweepPlan, folder: Path, source: Source, console: Console) -> None:
        """Hash the table, which identifies the runs together with their settings."""
        self._plan, self._folder, self._source = plan, folder, source
        self._console, self._quiet = console, console if console.verbose else _Silent()
        self._data = data_hash({k: str(v) for k, v in r.items()} for r in source.records)
        self._loaded: dict[str, Loaded] = {}

    def __call__(self, params: Params) -> Found:
        """Train and measure the student of a trial, or read what a finished one measured."""
        from ..main_job.load_table import write_questions
        from ..main_job.run import distil, teach

        job = job_of(self._plan, params)
        run = self._run_folder("trials", params)
        if not _is_complete(run):
            shared_params = {name: params[name] for name in OF_TEACHER if name in params}
            shared = job_of(self._plan, shared_params)
            # The student decides what questions are made, and what is labelled.
            shared = dataclasses.replace(shared, student=job.student)
            loaded = self._questions(shared)
            teacher_run = self._run_folder("shared", {**shared_params, "student": job.student})
            teacher_run.begin()
            known = teacher_run.is_done("labels")
            taught = teach(shared, loaded, teacher_run, self._quiet if known else self._console)
            run.begin()
            write_questions(run.path, loaded.questions)
            arms = distil(job, loaded, taught, run, self._quiet)
            self._measure(job, loaded, arms["student"], run)
            run.finish()
        scores = read_json(run.path / "metrics.json")["student"]
        return Found(
            right=scores["exact_match"],
            count=scores["count"],
            bytes=scores["bytes_on_disk"],
            parameters=scores["parameters"],
            folder=run.path.relative_to(self._folder).as_posix(),
        )

    def _questions(self, job: MainJob) -> Loaded:
        from ..main_job.label_student import for_labels
        from ..main_job.load_table import make_questions

        key = record_hash({"gold_share": job.gold_share, "student": job.student})
        if key not in self._loaded:
            self._loaded = {key: for_labels(job, make_questions(job, self._source, self._quiet))}
        return self._loaded[key]

    def _run_folder(self, kind: str, params: Params) -> RunFolder:
        owner = {"job": dict(self._plan.job), "params": params}
        identity = sha256_text(
            record_hash({"owner": owner, "prompts": prompts_sha256()}) + self._data
        )
        return RunFolder(self._folder / kind / identity[:_KEY], identity, owner)

    def _measure(self, job: MainJob, loaded: Loaded, student: Path, run: RunFolder) -> None:
        """Ask the student the held-out questions, and write its answers and scores."""
        from ...evaluation.evaluate_models import evaluate_models
        from ...evaluation.predictions import PREDICTIONS
        from ...inference.checkpoints.architectures import ANSWERING
        from ...inference.checkpoints.load_student import load_checkpoint
        from ..main_job.evaluate import measured_questions
        from ..main_job.teacher import answer_room

        model = load_checkpoint(student, device=job.device, kinds=ANSWERING)
        held_out = measured_questions(job, loaded)
        scores = evaluate_models(
            None, model, held_out, max_new_tokens=answer_room(model, held_out), batch_size=128,
            training_prompts={e.prompt for e in loaded.questions.train}, most_scored=1,
            speed_prompts=[], memory=False, progress=self._console.verbose, device=job.device,
            predictions_dir=run.path / PREDICTIONS,
        )  # fmt: skip
        write_json(run.path / "metrics.json", {n: one.to_dict() for n, one in scores.items()})


def time_students(trials: Sequence[Trial], folder: Path, device: str | None) -> list[Trial]:
    """Measure the speed of all students side by side, one prompt at a time.

    They alternate, so that a busy machine slows all of them. What was measured before is kept, if
    it was measured for the same students.

    Args:
        trials: Finished trials with folders.
        folder: Of the sweep; `speeds.json` is written there.
        device: Torch device; None selects one.
    """
    from ...evaluation.speed import measure_speed
    from ...inference.checkpoints.architectures import ANSWERING
    from ...inference.checkpoints.load_student import load_checkpoint

    path = folder / SPEEDS_FILE
    known = read_json(path) if path.is_file() else {}
    names = {one.found.folder for one in trials}
    if set(known) != names:
        models = {
            name: load_checkpoint(folder / name / "student", device=device, kinds=ANSWERING)
            for name in sorted(names)
        }
        asked = read_examples(str(folder / min(names) / "data" / "held_out.jsonl"))
        prompts = [asked[0].prompt, asked[len(asked) // 2].prompt]
        known = measure_speed(models, prompts, rounds=_ROUNDS)
        write_json(path, known)
    return [
        dataclasses.replace(
            one, found=dataclasses.replace(one.found, tokens_per_second=known[one.found.folder])
        )
        for one in trials
    ]


def _is_complete(run: RunFolder) -> bool:
    """Say whether a trial was finished before the sweep noted it."""
    path = run.path / PROGRESS_FILE
    found = read_json(path) if path.is_file() else {}
    return found.get("status") == "complete" and found.get("identity") == run.identity


class _Silent(Console):
    """Prints no steps: a sweep prints a line per trial."""

    def head(self, text: str) -> None:
        """Print nothing."""

    def line(self, name: str, text: str, seconds: float | None = None) -> None:
        """Print nothing."""

    def block(self, text: str) -> None:
        """Print nothing."""
