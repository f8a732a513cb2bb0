"""Train the starter teacher, and let a local teacher label the training questions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...console import Console
from ...data.questions.questions import training_stream
from ...distillation.settings import DistillationConfig
from ...distillation.starter_student import StarterSize, train_starter
from ...evaluation.model_card import model_card
from ...files import write_json, write_text
from ...inference.checkpoints.load_student import Checkpoint, load_checkpoint
from ...labeling.tasks.main_job_labels import label_examples, propose_own_answers
from ...labeling.tasks.open_book_labels import label_by_fact
from ...labeling.teachers.open_teacher import open_teacher
from ...labeling.teachers.protocol import Teacher
from ...records import Example, read_examples, write_examples
from ...run_folder import RunFolder
from ...tables import FactTable
from .load_table import Loaded
from .settings import STARTER, MainJob, Recipe

CHARACTERS_PER_TOKEN = 3
"""Estimated characters per token of small tokenizers on tables."""
LONGEST_EXAMPLE = 4096
"""Most tokens of prompt and answer together; a longer example raises an error."""


@dataclass(frozen=True)
class Plan:
    """Number of optimizer steps, and examples per step, of a training."""

    steps: int
    batch: int

    @property
    def examples(self) -> int:
        """Count the examples of the training."""
        return self.steps * self.batch


def plan_teacher(examples: Sequence[Example], recipe: Recipe) -> Plan:
    """Size the teacher's training by the table."""
    return _plan(examples, recipe.teacher_exposures, recipe.teacher_least_steps, recipe)


def plan_student(examples: Sequence[Example], recipe: Recipe) -> Plan:
    """Size each student's training by the table."""
    return _plan(examples, recipe.student_exposures, recipe.student_least_steps, recipe)


def _plan(examples: Sequence[Example], exposures: float, least_steps: int, recipe: Recipe) -> Plan:
    batch = plan_batch(examples, recipe)
    return Plan(plan_steps(len({e.fact for e in examples}), batch, exposures, least_steps), batch)


def plan_batch(examples: Sequence[Example], recipe: Recipe) -> int:
    """Choose the number of examples per step, 8 to 64, so that they have about `batch_tokens`."""
    characters = sum(len(e.prompt) + len(e.target or "") for e in examples) / len(examples)
    return int(min(64, max(8, recipe.batch_tokens / (characters / CHARACTERS_PER_TOKEN))))


def plan_steps(facts: float, batch: int, exposures: float, least_steps: int) -> int:
    """Choose the optimizer steps so that each fact is seen `exposures` times; at least
    `least_steps`."""
    return max(least_steps, round(facts * exposures / batch))


def table_characters(table: FactTable) -> int:
    """Count the characters of a table's keys and values."""
    return sum(len(r.key) + sum(map(len, r.values.values())) for r in table.rows)


def plan_vocabulary(characters: int) -> int:
    """Choose the size of a starter's vocabulary from the characters in the table."""
    return min(8000, max(StarterSize.vocabulary, characters // 20))


def answer_room(checkpoint: Checkpoint, examples: Sequence[Example]) -> list[int]:
    """Return the most new tokens of each answer: what the longest target of its task needs, plus a
    margin. A model that never ends an answer then costs no more than it must."""
    by_task: dict[str, set[str]] = {}
    for example in examples:
        by_task.setdefault(example.task, set()).add(example.target or "")
    room = {}
    for task, targets in by_task.items():
        longest = sorted(targets, key=len)[-50:]
        ids = checkpoint.tokenizer(longest, add_special_tokens=False)["input_ids"]
        room[task] = max(map(len, ids)) * 3 // 2 + 16  # students may need more tokens for a word
    return [room[example.task] for example in examples]


def train_teacher(job: MainJob, loaded: Loaded, run: RunFolder, console: Console) -> Path:
    """Train the starter teacher from scratch on the table, and return its folder."""
    folder = run.path / "teacher"
    if run.is_done("teacher"):
        console.line("teacher", "finished before the interruption")
        return folder
    began = time.monotonic()
    questions, recipe = loaded.questions, job.recipe
    plan = plan_teacher(questions.train, recipe)
    stream = training_stream(
        questions.train,
        questions.table,
        plan.examples,
        seed=job.seed_of_trainings,
        fresh_negatives=True,
    )
    config = DistillationConfig(
        teacher_model_name=STARTER,
        student_model_name=STARTER,
        alpha=0.0,
        max_length=LONGEST_EXAMPLE,
        batch_size=plan.batch,
        num_epochs=1,
        learning_rate=recipe.learning_rate,
        matrix_learning_rate=recipe.matrix_learning_rate,
        optimizer="muon",
        warmup_ratio=0.02,
        max_steps=plan.steps,
        lr_scheduler="warmup_stable_decay",
        decay_ratio=recipe.decay_ratio,
        seed=job.seed_of_trainings,
        device=job.device,
        too_long="error",
        output_dir=str(folder),
    )
    size = StarterSize(vocabulary=plan_vocabulary(table_characters(questions.table)))
    distiller, summary = train_starter(
        stream, config, size=size, work_dir=run.path / "work" / "teacher"
    )
    distiller.save_distilled_model(folder)
    questions.table.write(folder)
    card = model_card(
        "teacher",
        name=f"starter teacher for {loaded.profile.source}",
        source=loaded.profile.source,
        records=len(loaded.records),
        example=questions.train[0].prompt,
    )
    write_text(folder / "README.md", card)
    count = sum(p.numel() for p in distiller.student_model.parameters())
    console.line(
        "teacher",
        f"starter, {count / 1e6:.2f}M parameters, from scratch on this table, "
        f"{summary.steps:,} steps, loss {summary.losses[-1][1]:.3f}",
        time.monotonic() - began,
    )
    run.done("teacher")
    return folder


def get_labels(
    job: MainJob, loaded: Loaded, teacher: Path | str, run: RunFolder, console: Console
) -> list[Example]:
    """Let the teacher answer the training questions that have no gold answer.

    A starter is asked each question, since its answers depend on the phrasing; a named teacher is
    asked once per fact. An interrupted job continues from the answers in `work/labels`.
    """
    path = run.path / "data" / "teacher_labels.jsonl"
    if run.is_done("labels"):
        return read_examples(str(path))
    began = time.monotonic()
    without = [e for e in loaded.questions.train if not loaded.questions.is_gold(e)]
    checkpoint = load_checkpoint(teacher, device=job.device)
    labeler, journal = open_teacher(checkpoint), run.path / "work" / "labels"
    most_tokens = max(64, *answer_room(checkpoint, loaded.questions.train))
    label = _label_all if job.teacher == STARTER else _label_by_fact
    labelled, rejected = label(labeler, without, journal, most_tokens)
    write_examples(str(path), labelled)
    write_json(
        run.path / "data" / "teacher_labels_rejected.json",
        [{"id": e.id, "reason": reason} for e, reason in rejected],
    )
    right = _share_right(without, labelled)
    asked = "" if job.teacher == STARTER else f"from {len({e.fact for e in labelled}):,} facts, "
    words = f"{len(labelled):,} answers of the teacher, {asked}{100 * right:.1f} % of them right"
    if rejected:
        words += f"; {len(rejected):,} rejected (cut off or empty)"
    console.line("labels", words, time.monotonic() - began)
    run.done("labels")
    shutil.rmtree(journal)
    return labelled


def _label_all(
    teacher: Teacher, without: Sequence[Example], journal: Path, most_tokens: int
) -> tuple[list[Example], list[tuple[Example, str]]]:
    """Ask every question in every phrasing, then let the teacher judge its own answers."""
    answered = label_examples(
        teacher,
        [e for e in without if e.task != "validate"],
        journal,
        max_new_tokens=most_tokens,
    )
    proposals = propose_own_answers(
        [e for e in without if e.task == "validate"],
        [e for e in answered.labelled if e.task == "qa"],
    )
    judged = label_examples(teacher, proposals, journal, max_new_tokens=most_tokens)
    return answered.labelled + judged.labelled, answered.rejected + judged.rejected


def _label_by_fact(
    teacher: Teacher, without: Sequence[Example], journal: Path, most_tokens: int
) -> tuple[list[Example], list[tuple[Example, str]]]:
    """Ask once per fact, and derive the labels of all its wordings and checks from the answer."""
    first = {e.fact: e for e in reversed(without) if e.task != "validate"}
    asked = label_examples(teacher, list(first.values()), journal, max_new_tokens=most_tokens)
    answers = {str(e.fact): e.target or "" for e in asked.labelled}
    return label_by_fact(without, answers, teacher.name), asked.rejected


def _share_right(gold: Sequence[Example], labelled: Sequence[Example]) -> float:
    """Return the share of labels, 0 to 1, that equal the gold answers hidden from the student.

    `validate` questions are left out: their proposals may be the teacher's own answers.
    """
    targets = {e.id: e.target for e in gold if e.task != "validate"}
    known = [e for e in labelled if e.id in targets]
    return sum(e.target == targets[e.id] for e in known) / max(1, len(known))
