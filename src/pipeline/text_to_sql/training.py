"""Teach the teacher the databases, and distil it into students that differ in what they learn from.

| model | learns from |
|---|---|
| teacher | questions with gold SQL; an adapter that is merged into its weights |
| `student_teacher_text` | the same questions, and the teacher's answers to others that were kept |
| `student` | the same texts, and the teacher's distributions over the tokens |
| `student_untrained` | nothing: the pruned teacher from which both students start |
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

from ...console import Console
from ...distillation.distiller import ModelDistiller
from ...distillation.pruning.prune_teacher import describe
from ...distillation.settings import PRUNED, DistillationConfig
from ...distillation.training.run_record import DistillationSummary
from ...files import read_json, write_json
from ...inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from ...inference.prompt_tokens.default_system import drop_default_system
from ...labeling.reports.derived_metrics import train_tokens_per_sec
from ...records import Example
from ...run_folder import RunFolder
from ..main_job.named_teacher import rate_of
from .settings import TextToSqlJob

LONGEST_EXAMPLE: Final = 2048
STUDENTS: Final = ("student", "student_teacher_text")
UNTRAINED: Final = "student_untrained"


def training_order(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Draw `count` examples: all of them in a random order, again and again, with new ids."""
    draw = Random(f"order {seed}")
    drawn: list[Example] = []
    while len(drawn) < count:
        drawn += draw.sample(examples, len(examples))
    return [
        replace(example, id=f"{place:06d} {example.id}")
        for place, example in enumerate(drawn[:count])
    ]


def teach(job: TextToSqlJob, examples: Sequence[Example], run: RunFolder, console: Console) -> Path:
    """Train the teacher on questions with gold SQL.

    Returns:
        Its folder.

    Raises:
        ModelNotFoundError: There is no such model.
    """
    folder = run.path / "teacher"
    if run.is_done("teacher"):
        return folder
    began = time.monotonic()
    given = load_checkpoint(job.teacher, device=job.device)
    drop_default_system(given.tokenizer)
    settings = _settings(job, job.teacher, job.teacher, job.teacher_steps, folder, alpha=0.0)
    adapter: dict[str, Any] = {}
    if job.lora_rank:
        adapter = {"lora_r": job.lora_rank, "lora_alpha": 2.0 * job.lora_rank}
    rate = rate_of(job.teacher_rate, given.model)
    distiller = ModelDistiller(DistillationConfig(**settings, **adapter, learning_rate=rate))
    distiller.student_model, distiller.tokenizer = given.model.float(), given.tokenizer
    stream = training_order(examples, job.teacher_steps * job.batch, job.seed)
    summary = distiller.distill(stream, work_dir=run.path / "work" / "teacher")
    _write_speed(run, "teacher", summary)
    distiller.save_distilled_model(folder)
    count = sum(p.numel() for p in given.model.parameters())
    console.line(
        "teacher",
        f"{job.teacher}, {count / 1e6:.1f}M parameters, taught {len(examples):,} questions, "
        f"{summary.steps:,} steps, loss {summary.losses[-1][1]:.3f}",
        time.monotonic() - began,
    )
    run.done("teacher")
    return folder


def distil(
    job: TextToSqlJob,
    teacher: Path,
    examples: Sequence[Example],
    run: RunFolder,
    console: Console,
) -> dict[str, Path]:
    """Prune the teacher and train both students from the same weights on the same texts.

    Returns:
        Name -> folder, with that of the untrained student.
    """
    folders = {name: run.path / name for name in (*STUDENTS, UNTRAINED)}
    for name in STUDENTS:
        if not run.is_done(name):
            _train_student(job, name, teacher, examples, folders, run, console)
            run.done(name)
    return folders


def _train_student(
    job: TextToSqlJob,
    name: str,
    teacher: Path,
    examples: Sequence[Example],
    folders: dict[str, Path],
    run: RunFolder,
    console: Console,
) -> None:
    began = time.monotonic()
    alpha = job.alpha if name == "student" else 0.0
    start = PRUNED if name == "student" else str(folders[UNTRAINED])
    settings = _settings(job, str(teacher), start, job.student_steps, folders[name], alpha=alpha)
    distiller = ModelDistiller(DistillationConfig(**settings, learning_rate=job.student_rate))
    # Both students see the same examples in the same order.
    stream = training_order(examples, job.student_steps * job.batch, job.seed + 1)
    distiller.make_student(stream)
    rate = rate_of(job.student_rate, distiller.student_model)
    distiller.config = DistillationConfig(**settings, learning_rate=rate)
    made = ""
    if name == "student":
        made = "" if distiller.pruning is None else f"{describe(distiller.pruning)}; "
        save_checkpoint(
            folders[UNTRAINED],
            distiller.student_model,
            distiller.tokenizer,
            {"status": "complete", "steps": 0, "seed": job.seed},
        )
    summary = distiller.distill(stream, work_dir=run.path / "work" / name)
    _write_speed(run, name, summary)
    distiller.save_distilled_model(folders[name])
    targets = f"soft targets alpha={alpha:g}" if alpha else "its text alone"
    console.line(
        "student" if name == "student" else "  its text",
        f"{made}{targets}, {summary.steps:,} steps, loss {summary.losses[-1][1]:.3f}",
        time.monotonic() - began,
    )


def _write_speed(run: RunFolder, name: str, summary: DistillationSummary) -> None:
    """Keep how many tokens a second a model was trained on; of a resumed run, since then."""
    path = run.path / "training_speed.json"
    known = read_json(path) if path.is_file() else {}
    known[name] = train_tokens_per_sec(
        summary.trained_supervised_tokens, summary.trained_tokens, summary.training_seconds
    )
    write_json(path, known)


def _settings(
    job: TextToSqlJob, teacher: str, student: str, steps: int, folder: Path, *, alpha: float
) -> dict[str, Any]:
    """Return the settings that all trainings share; the learning rate is missing."""
    return {
        "teacher_model_name": teacher,
        "student_model_name": student,
        "temperature": job.temperature,
        "alpha": alpha,
        "batch_size": job.batch,
        "num_epochs": 1,
        "warmup_ratio": 0.03,
        "max_steps": steps,
        "lr_scheduler": "warmup_stable_decay",
        "decay_ratio": 0.5,
        "max_length": LONGEST_EXAMPLE,
        "seed": job.seed,
        "device": job.device,
        "too_long": "error",
        "output_dir": str(folder),
    }
