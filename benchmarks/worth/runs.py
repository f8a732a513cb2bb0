"""Run a recipe: train, score and write a JSON file, unless the file exists already."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from recipes import TEACHER_RATE, TEACHER_RATES, TEACHER_STEPS, Cell, Recipe
from scoring import generate, score
from stillroom.distillation.batches.batching import TokenizedExample
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.files import read_json, write_json
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.records import Example
from tasks import TASKS, Row, Task, draw_gold
from training import (
    build_cache,
    examples_of,
    fit_confidence,
    make_tokenizer,
    new_student,
    sharpen,
    tokenized,
    train,
    train_teacher,
)

CONTROLS: Final = ("teacher", "untrained", "tf-idf")
"""Systems that are no recipe."""

System = Recipe | str
"""A recipe, or one of `CONTROLS`."""


class Bench:
    """What the runs of a session share: tables and tokenizers.

    Args:
        data: Folder of the public tables.
        output: Keeps the JSON files and the teachers.
    """

    def __init__(self, data: Path, output: Path) -> None:
        """Read nothing yet."""
        self.data, self.output = data, output
        self._tasks: dict[str, tuple[Task, Any]] = {}

    def task(self, name: str) -> tuple[Task, Any]:
        """Give a table and its tokenizer."""
        if name not in self._tasks:
            task = TASKS[name](self.data)
            self._tasks[name] = (task, make_tokenizer(task))
        return self._tasks[name]

    def file(self, part: str, cell: Cell, system: System) -> Path:
        """Name the JSON file of a run; `part` is `validation` or `test`."""
        name = system if isinstance(system, str) else system.name
        return self.output / part / cell.folder / f"{name}.json"

    def missing(self, part: str, cell: Cell, systems: Sequence[System]) -> list[System]:
        """List the systems of a cell that have no JSON file."""
        return [system for system in systems if not self.file(part, cell, system).is_file()]

    def run_cell(self, part: str, cell: Cell, systems: Sequence[System]) -> None:
        """Run what is missing of a cell."""
        missing = self.missing(part, cell, systems)
        if not missing:
            return
        with tempfile.TemporaryDirectory() as scratch:
            workshop = Workshop(self, cell, Path(scratch))
            for system in missing:
                self.run_one(part, workshop, system)

    def run_one(self, part: str, workshop: Workshop, system: System) -> None:
        """Run one system and write its file."""
        began = time.process_time()
        result = workshop.run(system, part)
        name = system if isinstance(system, str) else system.name
        everything = {"system": name, **result, "all_seconds": time.process_time() - began}
        write_json(self.file(part, workshop.cell, system), everything)


class Workshop:
    """One cell: its gold, its teacher and what the teacher gave, each made when it is first needed.

    Args:
        bench: Tables.
        cell: Which one.
        scratch: For caches.
    """

    def __init__(self, bench: Bench, cell: Cell, scratch: Path) -> None:
        """Draw the gold."""
        self.bench, self.cell, self.scratch = bench, cell, scratch
        self.task, self.tokenizer = bench.task(cell.task)
        self.gold = draw_gold(self.task, cell.gold, cell.seed)
        self.seconds: dict[str, float] = {}
        self._items: dict[str, list[TokenizedExample]] = {}
        self._caches: dict[tuple[str, bool], TeacherCache] = {}

    def run(self, system: System, part: str) -> dict[str, Any]:
        """Train and score one system; give what its file holds."""
        task = self.task
        rows = {"validation": task.validation}
        if part == "test":
            rows = {"test": task.test, "unseen": task.unseen}
        if system == "tf-idf":
            from baseline import baseline_scores

            return {"scores": baseline_scores(task, self.gold.student, rows)}
        found: dict[str, Any] = {}
        if isinstance(system, Recipe):
            model, found = self._student(system)
        elif system == "teacher":
            model = self.teacher
            found = {"seconds": self.seconds["teacher"], "sure_by": self.confidence}
        else:
            model = new_student(Recipe(), self.tokenizer, None, self.cell.seed).eval()
        scores = {name: score(model, self.tokenizer, task, part) for name, part in rows.items()}
        size = sum(p.numel() for p in model.parameters())
        return {"parameters": size, **found, "scores": scores}

    @cached_property
    def folder(self) -> Path:
        """The teacher's."""
        return self.bench.output / "teachers" / self.cell.folder

    @cached_property
    def teacher(self) -> Any:  # noqa: ANN401
        """The teacher, trained on the gold alone."""
        steps = TEACHER_STEPS[self.cell.task]
        rate = TEACHER_RATES.get(self.cell.gold, TEACHER_RATE)
        done = train_teacher(
            self.tokenizer,
            self._labelled(self.gold.teacher),
            self.folder,
            steps=steps,
            rate=rate,
            seed=self.cell.seed,
        )
        self.seconds["teacher"] = done.seconds
        return done.model.eval()

    @cached_property
    def confidence(self) -> float:
        """The temperature at which the teacher's probabilities are right on the validation."""
        rows = self.task.validation
        answers = examples_of(rows, {row.id: row.label for row in rows})
        return fit_confidence(self.teacher, self.tokenizer, answers)

    @cached_property
    def texts(self) -> dict[str, str]:
        """The teacher's answers to the student's questions: row id -> text."""
        began, asked = time.process_time(), self.gold.questions
        answers = generate(self.teacher, self.tokenizer, asked)
        self.seconds["answers"] = time.process_time() - began
        named = zip(asked, answers, strict=True)
        return {row.id: answer.text for row, answer in named if answer.text.strip()}

    @cached_property
    def answered(self) -> list[Example]:
        """The varied questions, each with the teacher's own answer to it."""
        rows = self._varied(self.gold.questions)
        answers = generate(self.teacher, self.tokenizer, rows)
        texts = {r.id: a.text for r, a in zip(rows, answers, strict=True) if a.text.strip()}
        return examples_of(rows, texts)

    def _varied(self, rows: Sequence[Row]) -> list[Row]:
        return self.task.varied(rows, self.cell.seed)

    def _examples(self, labels: str) -> list[Example]:
        """Give varied questions with the labels of a recipe."""
        if labels == "teacher, each":
            return self.answered
        if labels == "gold":
            return self._labelled(self.gold.student)
        return self._labelled(
            {**self.texts, **(self.gold.student if labels == "gold or teacher" else {})}
        )

    def _labelled(self, known: dict[str, str]) -> list[Example]:
        rows = self._varied([row for row in self.task.train if row.id in known])
        return examples_of(rows, {row.id: known[row.id.rsplit("-", 1)[0]] for row in rows})

    def _tokenized(self, labels: str) -> list[TokenizedExample]:
        if labels not in self._items:
            self._items[labels] = tokenized(self.tokenizer, self._examples(labels))
        return self._items[labels]

    def _cache(self, labels: str, calibrated: bool) -> TeacherCache:
        key = (labels, calibrated)
        if key not in self._caches:
            _ = self.teacher  # trained and saved
            source, folder = self.folder, self.scratch / f"{labels}-{calibrated}"
            if calibrated:
                source = self.scratch / "calibrated"
                save_checkpoint(source, self._calibrated(), self.tokenizer, {})
            cache, self.seconds["cache"] = build_cache(source, folder, self._examples(labels))
            self._caches[key] = cache
        return self._caches[key]

    def _calibrated(self) -> Any:  # noqa: ANN401
        _ = self.teacher
        return sharpen(load_checkpoint(self.folder).model, self.confidence)

    def _student(self, recipe: Recipe) -> tuple[Any, dict[str, Any]]:
        """Train a student; give it and what its file says."""
        cell, teacher = self.cell, None
        if recipe.source == "cache":
            teacher = self._cache(recipe.labels, recipe.calibrated)
        elif recipe.source == "model":
            teacher = self._calibrated() if recipe.calibrated else self.teacher
        begin = None if recipe.student != "half of teacher" else self.teacher
        student = new_student(recipe, self.tokenizer, begin, cell.seed)
        items = self._tokenized(recipe.labels)
        done = train(student, self.tokenizer, items, recipe, cell.seed, teacher=teacher)
        return done.model, {
            "recipe": recipe.to_dict(),
            "examples": len(items),
            "loss": done.loss,
            "seconds": done.seconds,
            "before": dict(self.seconds),
        }


def read_runs(output: Path, part: str) -> list[dict[str, Any]]:
    """Read all results of a part, each with its `task`, `gold` and `seed`."""
    found = []
    for path in sorted((output / part).glob("*/*/*/*.json")):
        task, gold, seed = path.parts[-4:-1]
        cell = {"task": task, "gold": gold.replace("-", " "), "seed": int(seed)}
        found.append({**cell, **read_json(path)})
    return found


def remove_teachers(output: Path) -> None:
    """Free the disk of the teachers; runs that need one train it again."""
    shutil.rmtree(output / "teachers", ignore_errors=True)
