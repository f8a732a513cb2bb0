"""Train an encoder as the student for a table of texts and labels.

The encoder gets a classification head and learns the teacher's label probabilities. Its answer is a
label, and its confidence is the probability of that label; it generates no text.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...data.questions.label_questions import by_record, labels_of
from ...distillation.batches.classifier_data import PROBABILITIES, classified_examples
from ...distillation.distiller import ModelDistiller
from ...distillation.settings import DistillationConfig
from ...distillation.students.label_heads import fitted_classifier
from ...errors import ConfigError, ModelNotFoundError
from ...files import read_json, write_json
from ...inference.checkpoints.architectures import checkpoint_kind
from ...inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from ...inference.scoring.label_scoring import label_probabilities
from ...inference.sources.find_model import find_model
from ...records import Example
from ...run_folder import RunFolder
from .load_table import Loaded
from .settings import MainJob

FROZEN: Final = "frozen_encoder"
"""The control without fine-tuning: a frozen encoder with logistic regression on gold labels."""
LEARNING_RATE: Final = 1e-4
BATCH: Final = 32
LEAST_STEPS: Final = 60
EXPOSURES: Final = 4.0
"""How often each text is seen in the training."""
MAX_LENGTH: Final = 512


def is_encoder(name: str | Path | None) -> bool:
    """Tell whether a name stands for a local encoder; names on the hub are not looked up."""
    if name is None:
        return False
    try:
        config = Path(find_model(str(name))) / "config.json"
    except ModelNotFoundError:
        return False
    return config.is_file() and checkpoint_kind(read_json(config)) == "encoder"


def for_labels(job: MainJob, loaded: Loaded) -> Loaded:
    """Keep the questions that an encoder student is trained and measured on.

    Jobs with other students are returned unchanged.

    Raises:
        ConfigError: The table has no column with only a few distinct labels.
    """
    if not is_encoder(job.student):
        return loaded
    labels = labels_of(loaded.questions)
    if not labels:
        raise ConfigError(
            [f"student {job.student!r} is an encoder, which chooses among a few labels, and "
             f"{loaded.profile.source} has no column of texts with a column of labels beside it; "
             "name them with --question and --answer, or take a student that writes text"]
        )  # fmt: skip
    return replace(loaded, questions=by_record(loaded.questions, job.seed))


def get_label_students(
    job: MainJob, loaded: Loaded, teacher: Path | str, run: RunFolder, console: Console
) -> dict[str, Path]:
    """Train the encoder and its controls, which differ in the labels that they learn from.

    Returns:
        Name of the model -> its folder.
    """
    questions = loaded.questions
    labels = labels_of(questions)
    shares = _shares_of(job, questions.train, labels, teacher, run, console)
    gold = [e for e in questions.train if questions.is_gold(e)]
    rest = [e for e in questions.train if not questions.is_gold(e)]
    soft = gold + [_as_teacher_says(e, shares[e.id], soft=True) for e in rest]
    data = {
        "student": (soft, job.recipe.alpha),
        "student_without_teacher": (gold, 0.0),
        "student_teacher_text": (
            gold + [_as_teacher_says(e, shares[e.id], soft=False) for e in rest],
            0.0,
        ),
        "student_all_gold": (questions.train, 0.0),
    }
    folders: dict[str, Path] = {}
    if job.controls and gold:
        folders[FROZEN] = run.path / "controls" / FROZEN
        if not run.is_done(FROZEN):
            _save_frozen(job, gold, labels, folders[FROZEN], console)
            run.done(FROZEN)
    for name, (examples, alpha) in data.items():
        if (name != "student" and not job.controls) or not examples:
            continue
        folders[name] = run.path / ("student" if name == "student" else f"controls/{name}")
        if not run.is_done(name):
            _train(job, examples, alpha, labels, folders[name], run.path / "work" / name, console)
            run.done(name)
    return folders


def _shares_of(
    job: MainJob,
    examples: Sequence[Example],
    labels: Sequence[str],
    teacher: Path | str,
    run: RunFolder,
    console: Console,
) -> dict[str, dict[str, float]]:
    """Compute the teacher's label probabilities, or read those of an interrupted run.

    Returns:
        Example id -> label -> probability.
    """
    path = run.path / "data" / "label_probabilities.json"
    if not path.is_file():
        began = time.monotonic()
        checkpoint = load_checkpoint(teacher, device=job.device)
        found = {}
        for example in console.progress(examples, "asking for labels", len(examples)):
            row = label_probabilities(checkpoint, example.prompt, labels, correction="none")
            found[example.id] = dict(zip(labels, row, strict=True))
        write_json(path, found)
        right = sum(max(found[e.id], key=found[e.id].__getitem__) == e.target for e in examples)
        console.line(
            "soft targets",
            f"the probabilities of {len(labels)} labels for {len(examples):,} texts; the likeliest "
            f"is right for {100 * right / len(examples):.1f} %",
            time.monotonic() - began,
        )
    kept: dict[str, dict[str, float]] = read_json(path)
    return kept


def _as_teacher_says(example: Example, shares: dict[str, float], *, soft: bool) -> Example:
    fields = {**example.fields, PROBABILITIES: shares} if soft else example.fields
    return replace(example, target=max(shares, key=shares.__getitem__), fields=fields)


def _save_frozen(
    job: MainJob, gold: Sequence[Example], labels: Sequence[str], folder: Path, console: Console
) -> None:
    began = time.monotonic()
    encoder = load_checkpoint(str(job.student), device=job.device, kinds=("encoder",))
    model = fitted_classifier(
        encoder.model, encoder.tokenizer, classified_examples(gold), labels, max_length=MAX_LENGTH
    )
    save_checkpoint(
        folder, model, encoder.tokenizer, {"status": "complete", "seed": job.seed_of_trainings}
    )
    console.line(
        "  frozen",
        f"{job.student} as it is, logistic regression on {len(gold):,} gold labels",
        time.monotonic() - began,
    )


def _train(
    job: MainJob,
    examples: Sequence[Example],
    alpha: float,
    labels: Sequence[str],
    folder: Path,
    work: Path,
    console: Console,
) -> None:
    began, recipe = time.monotonic(), job.recipe
    effort = recipe.student_exposures / type(recipe).student_exposures
    steps = max(1, round(max(LEAST_STEPS, EXPOSURES * len(examples) / BATCH) * effort))
    config: dict[str, Any] = {
        "teacher_model_name": "recorded" if alpha else "none",
        "student_model_name": str(job.student),
        "task": "classification",
        "temperature": recipe.temperature,
        "alpha": alpha,
        "batch_size": BATCH,
        "max_steps": steps,
        "learning_rate": LEARNING_RATE,
        "weight_decay": 0.01,
        "warmup_ratio": 0.1,
        "max_length": MAX_LENGTH,
        "seed": job.seed_of_trainings,
        "device": job.device,
        "output_dir": str(folder),
    }
    distiller = ModelDistiller(DistillationConfig(**config))
    encoder = load_checkpoint(str(job.student), device=job.device, kinds=("encoder",))
    distiller.tokenizer = encoder.tokenizer
    # Every model gets a head over all labels, even if its own examples lack some of them.
    distiller.student_model = fitted_classifier(
        encoder.model, encoder.tokenizer, classified_examples(examples), labels,
        max_length=MAX_LENGTH,
    )  # fmt: skip
    summary = distiller.distill(examples, work_dir=work)
    distiller.save_distilled_model(folder)
    targets = f"soft targets T={recipe.temperature:g} alpha={alpha:g}" if alpha else "hard labels"
    console.line(
        folder.name if folder.name == "student" else f"  {folder.name.removeprefix('student_')}",
        f"{targets}, {len(examples):,} texts, {summary.steps:,} steps, "
        f"loss {summary.losses[-1][1]:.3f}",
        time.monotonic() - began,
    )
