"""Train a named teacher, a pretrained model, on the table, and measure what it then knows.

It is trained with a LoRA adapter that is merged into its weights. This keeps more of its knowledge
than full fine-tuning: with SmolLM2-135M, 89 % instead of 80 % of 120 invented facts were answered
right in new wordings. A model with less than `LEAST_ADAPTED` parameters is fully fine-tuned,
because an adapter would have too few parameters to hold the table.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...data.questions.questions import training_stream
from ...distillation.distiller import ModelDistiller
from ...distillation.settings import DistillationConfig
from ...evaluation.metrics import exact_match, token_f1
from ...evaluation.model_card import model_card
from ...files import write_json, write_text
from ...inference.checkpoints.load_student import Checkpoint, load_checkpoint
from ...inference.generate import generate_texts
from ...inference.prompt_tokens.default_system import drop_default_system
from ...inference.sources.find_model import find_model
from ...records import Example, sha256_text
from ...run_folder import RunFolder
from ...tables import FactTable
from .evaluate import MOST_ASKED
from .load_table import Loaded
from .settings import MainJob, Tuning
from .teacher import LONGEST_EXAMPLE, Plan, answer_room, plan_steps
from .teacher_knowledge import require_knowledge

LEAST_ADAPTED: Final = 20_000_000
"""Fewest parameters of a teacher that is trained with an adapter."""
USUAL_WIDTH: Final = 576
"""Hidden size that the learning rates of `Tuning` are for. The rate of another model is multiplied
by sqrt(USUAL_WIDTH / hidden size)."""
TEACHER_WEIGHTS: Final = {"qa": 0.9, "summarize": 0.04, "validate": 0.06}
"""Share of each task: a named model can summarize and judge already, and has to learn the facts."""
MOST_TOLD: Final = 100
"""Most questions of a group whose score is printed but does not decide."""


def plan_named_teacher(examples: Sequence[Example], tuning: Tuning) -> Plan:
    """Size the training of a named teacher by the number of facts."""
    return _plan(examples, tuning.teacher_exposures, tuning.teacher_least_steps, tuning.batch)


def plan_named_student(examples: Sequence[Example], tuning: Tuning) -> Plan:
    """Size the training of each student of a named teacher by the number of facts."""
    return _plan(examples, tuning.student_exposures, tuning.student_least_steps, tuning.batch)


def _plan(examples: Sequence[Example], exposures: float, least_steps: int, batch: int) -> Plan:
    facts = len({example.fact for example in examples})
    return Plan(plan_steps(facts, batch, exposures, least_steps), batch)


def rate_of(rate: float, model: Any) -> float:  # noqa: ANN401 - a transformers model
    """Scale a learning rate to the width of a model: times sqrt(USUAL_WIDTH / hidden size).

    >>> from types import SimpleNamespace as Of
    >>> rate_of(1e-3, Of(config=Of(hidden_size=2304)))
    0.0005
    """
    return rate * math.sqrt(USUAL_WIDTH / model.config.hidden_size)


def teach_named(
    job: MainJob,
    loaded: Loaded,
    wordings: Mapping[str, Sequence[str]],
    run: RunFolder,
    console: Console,
) -> Path:
    """Train a named teacher on the table, and measure what it then knows.

    A folder with a teacher that was already trained on this table is used as it is. An interrupted
    job continues from the checkpoint in `work/teacher`.

    Returns:
        The teacher's folder.

    Raises:
        LabelingStoppedError: The teacher answers less than `job.teacher_least` of the held-out
            questions right.
        ModelNotFoundError: There is no such model.
    """
    folder = run.path / "teacher"
    found = find_model(job.teacher)
    if isinstance(found, Path) and FactTable.read(found) == loaded.questions.table:
        console.line("teacher", f"{job.teacher}, which was taught this table")
        folder = found
    elif run.is_done("teacher"):
        console.line("teacher", "finished before the interruption")
    else:
        _teach(job, loaded, wordings, run, console, folder)
        run.done("teacher")
        shutil.rmtree(run.path / "work" / "teacher", ignore_errors=True)
    if not run.is_done("knowledge"):
        measure_knowledge(job, loaded, folder, run, console)
        run.done("knowledge")
    return folder


def _teach(
    job: MainJob,
    loaded: Loaded,
    wordings: Mapping[str, Sequence[str]],
    run: RunFolder,
    console: Console,
    folder: Path,
) -> None:
    began = time.monotonic()
    plan = plan_named_teacher(loaded.questions.train, job.tuning)
    given = load_teacher(job)
    distiller = ModelDistiller(teacher_settings(job, given, folder, steps=plan.steps))
    distiller.student_model, distiller.tokenizer = given.model.float(), given.tokenizer
    count = sum(p.numel() for p in given.model.parameters())
    stream = training_stream(
        loaded.questions.train,
        loaded.questions.table,
        plan.examples,
        seed=job.seed_of_trainings,
        weights=TEACHER_WEIGHTS,
        fresh_negatives=True,
        wordings=wordings,
    )
    summary = distiller.distill(stream, work_dir=run.path / "work" / "teacher")
    distiller.save_distilled_model(folder)
    loaded.questions.table.write(folder)
    _write_card(job, loaded, folder)
    rank = distiller.config.lora_r
    console.line(
        "teacher",
        f"{job.teacher}, {count / 1e6:.1f}M parameters, taught this table "
        f"({f'LoRA r {rank}' if rank else 'all weights'}), {summary.steps:,} steps, "
        f"loss {summary.losses[-1][1]:.3f}",
        time.monotonic() - began,
    )


def load_teacher(job: MainJob) -> Checkpoint:
    """Load a named teacher without the default system message of its chat template."""
    given = load_checkpoint(job.teacher, device=job.device)
    drop_default_system(given.tokenizer)
    return given


def teacher_settings(
    job: MainJob, given: Checkpoint, folder: Path, *, steps: int
) -> DistillationConfig:
    """Return the training settings of a named teacher; its size decides whether it uses LoRA."""
    tuning = job.tuning
    adapted = sum(p.numel() for p in given.model.parameters()) >= LEAST_ADAPTED
    adapter: dict[str, Any] = {}
    if adapted:
        adapter = {"lora_r": tuning.lora_rank, "lora_alpha": 2.0 * tuning.lora_rank}
    return DistillationConfig(
        **adapter,
        teacher_model_name=str(job.teacher),
        student_model_name=str(job.teacher),
        alpha=0.0,
        max_length=LONGEST_EXAMPLE,
        batch_size=tuning.batch,
        num_epochs=1,
        learning_rate=rate_of(tuning.teacher_rate, given.model),
        warmup_ratio=0.03,
        max_steps=steps,
        lr_scheduler="warmup_stable_decay",
        decay_ratio=0.4,
        seed=job.seed_of_trainings,
        device=job.device,
        too_long="error",
        output_dir=str(folder),
    )


def measure_knowledge(
    job: MainJob, loaded: Loaded, teacher: Path, run: RunFolder, console: Console
) -> None:
    """Measure a teacher before it labels, print its scores, and stop the job if they are too low.

    The teacher is asked in wordings that it was not trained on: the held-out templates, and those
    of `job.asked` if there are any, which then decide. For a table of questions the job never
    stops, because exact match is a poor measure of answers in free text.

    Raises:
        LabelingStoppedError: Its exact match is below `job.teacher_least`.
    """
    began = time.monotonic()
    checkpoint = load_checkpoint(teacher, device=job.device)
    templates = [e for e in loaded.questions.held_out if e.task == "qa"]
    groups = {"held-out wordings": _some(templates, MOST_TOLD if loaded.asked else MOST_ASKED)}
    if loaded.asked:
        groups["people's own words"] = _some(loaded.asked, MOST_ASKED)
    scores: dict[str, tuple[float, float]] = {}
    for name, examples in groups.items():
        said = generate_texts(
            checkpoint,
            [e.prompt for e in examples],
            max_new_tokens=answer_room(checkpoint, examples),
        )
        pairs = [(g.text, e.target or "") for g, e in zip(said, examples, strict=True)]
        scores[name] = (
            sum(exact_match(*pair) for pair in pairs) / len(pairs),
            sum(token_f1(*pair) for pair in pairs) / len(pairs),
        )
    told = "; ".join(
        f"{100 * exact:.1f} % of {len(groups[name])} in {name} (F1 {100 * f1:.1f})"
        for name, (exact, f1) in scores.items()
    )
    console.line("knows", told, time.monotonic() - began)
    write_json(
        run.path / "teacher_knowledge.json",
        {n: {"asked": len(groups[n]), "exact_match": e, "token_f1": f}
         for n, (e, f) in scores.items()},
    )  # fmt: skip
    if loaded.questions.table.kind == "questions":
        return
    decisive = list(scores)[-1]
    require_knowledge(
        scores[decisive][0],
        len(groups[decisive]),
        job,
        f"It is in {teacher}. Teach it for longer (--effort 2), ask about fewer columns "
        "(--columns), name a larger model, or go on with this one: the same command with "
        "--teacher-least 0",
    )


def _some(examples: Sequence[Example], most: int) -> list[Example]:
    """Choose up to `most` questions, the same ones in every run."""
    return sorted(examples, key=lambda e: sha256_text(e.id))[:most]


def _write_card(job: MainJob, loaded: Loaded, folder: Path) -> None:
    card = model_card(
        "taught_teacher",
        name=f"{job.teacher}, taught {loaded.profile.source}",
        source=loaded.profile.source,
        records=len(loaded.records),
        example=loaded.questions.train[0].prompt,
    )
    write_text(folder / "README.md", card)
