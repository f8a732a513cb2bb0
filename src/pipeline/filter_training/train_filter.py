"""Train the students of a filter, one after the other, on one split; then one table of all.

A student that is done is not trained again while data and settings are the same, and one that was
broken off goes on after its last epoch.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...config import read_written_json
from ...distillation.score_students.score_examples import ScoreExamples
from ...distillation.score_students.train_frozen import Progress, no_progress, train_frozen
from ...distillation.score_students.train_generative import train_generative
from ...distillation.score_students.train_tfidf import train_tfidf
from ...distillation.score_students.tune_head import train_tuned
from ...distillation.score_students.tuning import TuningSettings
from ...errors import ConfigError, DataError, ModelNotFoundError
from ...files import write_json
from ...inference.score_students.base_model import BaseName, TextCut, TextReader, name_base
from ...inference.score_students.generative_student import GenerativeStudent, PromptForm
from ...inference.score_students.head_student import HeadStudent
from ...inference.score_students.open_student import open_score_student
from ...inference.score_students.protocol import STUDENT_FILE, Floats, ScoreStudent, StudentFacts
from ...labeling.filters.curation.splits import Part
from ...labeling.filters.filter_config import HIGHEST, LOWEST, FilterConfig
from ...labeling.filters.filter_package import FilterPackage
from ...records import record_hash
from .labelled_examples import LabelledPart, read_split
from .score_report import MEAN_BASELINE, score_row, timed_scores, write_score_report
from .training_record import write_training_record

logger = logging.getLogger(__name__)

TRAINED: Final = ("tfidf", "frozen", "tuned", "lora", "generative")
"""Kinds of students, from the cheapest to the most expensive; `all` on the command line."""
ROW_FILE: Final = "row.json"
"""In the folder of a student: its row of the table, and what it was trained with."""
WORK_FOLDER: Final = "work"
"""Vectors and states of trainings, in the output folder; it may be deleted."""
_SAMPLE: Final = 16
"""Texts that are read to tell how long a training will take."""
HEAD_ONLY, HEAD_TAIL = "frozen, head only", "frozen, head and tail"

DEFAULT_TUNING: Final[Mapping[str, TuningSettings]] = {
    "tuned": TuningSettings(epochs=3, batch_size=16, learning_rate=5e-5),
    "lora": TuningSettings(epochs=3, batch_size=16, learning_rate=2e-4, rank=16, alpha=32),
    "generative": TuningSettings(epochs=3, batch_size=16, learning_rate=5e-4, rank=16, alpha=32),
}
SEED_RECIPE: Final = TuningSettings(
    epochs=3, batch_size=8, learning_rate=2e-4, rank=16, alpha=16, dropout=0.05,
    gradient_checkpointing=True, four_bit=True,
)  # fmt: skip
"""LLM Distillery's plan: instruction tuning, 4-bit base, LoRA of rank 16, three epochs."""
SEED_INSTRUCTION: Final = "Score the article on each dimension. Answer with JSON alone."


@dataclass(frozen=True)
class FilterTraining:
    """Settings of all students."""

    encoder: str = "minilm"
    """Pretrained encoder of `frozen` and `tuned`."""
    decoder: str = "smollm2"
    """Pretrained decoder of `lora` and `generative`."""
    decoder_dtype: str | None = None
    """`float32` or `bfloat16`; None takes what this machine multiplies fast."""
    cut: TextCut = field(default_factory=TextCut)
    tuning: Mapping[str, TuningSettings] = field(default_factory=lambda: dict(DEFAULT_TUNING))
    form: PromptForm = field(default_factory=PromptForm)
    """Of the generative student."""
    lowest: float = LOWEST
    highest: float = HIGHEST
    compare_cuts: bool = False
    """Whether the frozen student is trained with heads alone and with heads and tails, at equally
    many tokens."""
    device: str | None = None


def seed_recipe(settings: FilterTraining) -> FilterTraining:
    """Give the settings with LLM Distillery's own recipe for the generative student."""
    return replace(
        settings,
        tuning={**settings.tuning, "generative": SEED_RECIPE},
        form=PromptForm(instruction=SEED_INSTRUCTION),
    )


RECIPES: Final[Mapping[str, Callable[[FilterTraining], FilterTraining]]] = {
    "default": lambda settings: settings,
    "seed-recipe": seed_recipe,
}


def train_filter(
    package: FilterPackage,
    data_dir: str | Path,
    output_dir: str | Path,
    students: Sequence[str],
    settings: FilterTraining | None = None,
    *,
    sample_weight_scale: float = 0.0,
    by_agreement: bool = True,
    allow_view_mismatch: bool = False,
    progress: Progress = no_progress,
    tell: Callable[[str, str, float | None], object] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Train students and write them to `<output_dir>/<kind>`, with the table beside them.

    Args:
        package: The filter.
        data_dir: Folder of `train.jsonl`, `val.jsonl`, `test.jsonl`.
        output_dir: Folder to write.
        students: Of `TRAINED`.
        settings: Models, lengths, rates.
        sample_weight_scale: See `read_split`.
        by_agreement: See `read_split`.
        allow_view_mismatch: See `read_split`.
        progress: Shows how far a training is.
        tell: Gets the name of a step, its words, and its seconds or None.

    Returns:
        The rows of the table, the mean baseline first; see `score_row`. Errors are on the test
        part.

    Raises:
        ConfigError: A student is unknown, or the view of the labels is not the package's.
        DataError: The split cannot be used.
    """
    settings = settings or FilterTraining()
    unknown = [one for one in students if one not in TRAINED]
    if unknown or not students:
        raise ConfigError([f"students are {list(students)!r}; allowed are {', '.join(TRAINED)}"])
    parts = read_split(
        package, data_dir, sample_weight_scale=sample_weight_scale, by_agreement=by_agreement,
        allow_view_mismatch=allow_view_mismatch,
    )  # fmt: skip
    counts = ", ".join(f"{len(own.examples):,} {name}" for name, own in parts.items())
    tell("split", counts, None)
    out = Path(output_dir)
    facts = StudentFacts(
        package.config.dimension_names, package.view.sha256, settings.lowest, settings.highest,
        package.config.name, package.config.version, package.prompt.prompt_hash,
    )  # fmt: skip
    run = _Run(package.config, facts, parts, settings, out, progress, sample_weight_scale)
    plan = [run.job(kind, settings.cut) for kind in students]
    if settings.compare_cuts:
        plan += run.cut_jobs()
    for job in plan:
        tell(job.name, run.expected(job), None)
    rows = [run.baseline()]
    for job in plan:
        began = time.monotonic()
        row, was_done = run.train(job)
        rows.append(row)
        told = ", ".join(f"{name} {error:.3f}" for name, error in row["mae"].items())
        tell(job.name, f"error {told}{' (trained before)' if was_done else ''}",
             time.monotonic() - began)  # fmt: skip
        write_score_report(out, rows, package.config, run.notes(students))
    return rows


@dataclass(frozen=True)
class _Job:
    """One student to train."""

    name: str
    kind: str
    cut: TextCut
    base: BaseName | None
    identity: str


class _Run:
    """What the trainings of one command share."""

    def __init__(
        self,
        config: FilterConfig,
        facts: StudentFacts,
        parts: Mapping[Part, LabelledPart],
        settings: FilterTraining,
        out: Path,
        progress: Progress,
        sample_weight_scale: float,
    ) -> None:
        self.config, self.facts, self.parts, self.settings = config, facts, parts, settings
        self.out, self.progress = out, progress
        self.sample_weight_scale = sample_weight_scale
        self._seconds: dict[tuple[BaseName, TextCut], float] = {}

    @property
    def train_part(self) -> ScoreExamples:
        return self.parts["train"].examples

    def job(self, kind: str, cut: TextCut, name: str | None = None) -> _Job:
        base = self._base(kind)
        tuning = self.settings.tuning.get(kind)
        known = {
            "kind": kind,
            "facts": {**asdict(self.facts), "dimensions": list(self.facts.dimensions)},
            "data": {part: own.data_hash for part, own in self.parts.items()},
            "weights": self.train_part.weights.tolist(),
            "base": None if base is None else asdict(base),
            "cut": asdict(cut),
            "tuning": None if tuning is None else tuning.to_dict(),
            "form": asdict(self.settings.form) if kind == "generative" else None,
        }
        return _Job(name or kind, kind, cut, base, record_hash(known))

    def cut_jobs(self) -> list[_Job]:
        """The frozen student with heads alone, and with heads and tails, at equally many tokens."""
        tokens, tail = self.settings.cut.max_tokens, self.settings.cut.tail_tokens
        head, both = TextCut(tokens), TextCut(tokens, tail or tokens // 2)
        return [self.job("frozen", head, HEAD_ONLY), self.job("frozen", both, HEAD_TAIL)]

    def baseline(self) -> dict[str, Any]:
        true = self.parts["test"].examples.targets
        weights = self.train_part.weights
        middle = weights @ self.train_part.targets / weights.sum()
        return score_row(MEAN_BASELINE, np.tile(middle, (len(true), 1)), true, self.config)

    def notes(self, students: Sequence[str]) -> list[str]:
        """Sentences below the table."""
        test = self.parts["test"].examples
        made = [
            f"Errors are on the {len(test):,} records of the test part, in points of the scale."
        ]
        for kind, tuning in self.settings.tuning.items():
            most = tuning.most_examples
            if kind in students and most is not None and most < len(self.train_part):
                made.append(f"{kind} looks at {most:,} of {len(self.train_part):,} texts, "
                            f"in each of its epochs ({tuning.epochs}).")  # fmt: skip
            if kind in students and self._kept_its_start(kind):
                made.append(f"No epoch of {kind} was better on validation than its start, so it is "
                            "ridge on the untouched model.")  # fmt: skip
        return made

    def _kept_its_start(self, kind: str) -> bool:
        path = self.out / kind / STUDENT_FILE
        if kind == "generative" or not path.is_file():
            return False
        return bool(read_written_json(path).get("notes", {}).get("best_epoch") == 0)

    def expected(self, job: _Job) -> str:
        """Say how long a training will take, from the time that a few texts take."""
        if job.base is None:
            return "takes some seconds"
        if self._done(job) is not None:
            return "is trained"
        read_s = self._read_seconds(job.base, job.cut)
        n, n_val = len(self.train_part), len(self.parts["val"].examples)
        n_test, seconds = len(self.parts["test"].examples), 0.0
        tuning = self.settings.tuning.get(job.kind)
        if tuning is not None:
            n = min(n, tuning.most_examples or n)
            n_val = min(n_val, tuning.most_val or n_val)
            # Backward costs twice the forward pass; the JSON is about as long as a short text.
            seconds = read_s * tuning.epochs * (3.0 * n + n_val)
            seconds *= 2.0 if job.kind == "generative" else 1.0
        seconds += read_s * (n + n_val + n_test)
        return f"takes about {_duration(seconds)}, on {n:,} texts"

    def train(self, job: _Job) -> tuple[dict[str, Any], bool]:
        """Train a student unless it is done; its row, and whether it was done before."""
        done = self._done(job)
        if done is not None:
            return done, True
        began = time.monotonic()
        student = self._trained(job)
        train_s = time.monotonic() - began
        folder = self._folder(job)
        student.save(folder)
        tuned_by = self.settings.tuning.get(job.kind)
        if tuned_by is not None and isinstance(student, (HeadStudent, GenerativeStudent)):
            write_training_record(
                folder, student, tuned_by, val_examples=len(self.parts["val"].examples),
                sample_weight_scale=self.sample_weight_scale,
            )  # fmt: skip
        opened = open_score_student(folder, device=self.settings.device)
        test = self.parts["test"].examples
        scores, speed = timed_scores(opened, test.texts)
        self._require_finite(job, scores)
        tuning = self.settings.tuning.get(job.kind)
        most = None if tuning is None else tuning.most_examples
        row = score_row(
            job.name, scores, test.targets, self.config, texts_per_second_core=speed,
            train_s=train_s, train_examples=min(len(self.train_part), most or len(self.train_part)),
        )  # fmt: skip
        write_json(folder / ROW_FILE, {"identity": job.identity, "row": row})
        shutil.rmtree(self._state(job), ignore_errors=True)
        return row, False

    def _trained(self, job: _Job) -> ScoreStudent:
        train, val, facts = self.train_part, self.parts["val"].examples, self.facts
        if job.base is None:
            return train_tfidf(train, val, facts)
        work, device = self.out / WORK_FOLDER, self.settings.device
        if job.kind == "frozen":
            reader = TextReader(job.base, job.cut, device=device)
            return train_frozen(train, val, facts, reader, cache=work, progress=self.progress)
        tuning, state = self.settings.tuning[job.kind], self._state(job)
        if job.kind == "generative":
            return train_generative(
                train, val, facts, job.base, job.cut, tuning, form=self.settings.form, state=state,
                device=device, progress=self.progress,
            )  # fmt: skip
        return train_tuned(
            train, val, facts, job.base, job.cut, tuning, cache=work, state=state, device=device,
            progress=self.progress,
        )  # fmt: skip

    def _base(self, kind: str) -> BaseName | None:
        if kind == "tfidf":
            return None
        if kind in ("frozen", "tuned"):
            return name_base(self.settings.encoder)
        dtype = self.settings.decoder_dtype
        if dtype is None:
            from ...inference.checkpoints.load_student import choose_device, choose_training_dtype

            fast = choose_training_dtype(choose_device(self.settings.device))
            dtype = str(fast).removeprefix("torch.")
        return name_base(self.settings.decoder, dtype=dtype)

    def _read_seconds(self, base: BaseName, cut: TextCut) -> float:
        """Measure how long the model reads one text."""
        if (base, cut) not in self._seconds:
            reader = TextReader(base, cut, device=self.settings.device)
            step = max(1, len(self.train_part) // _SAMPLE)
            texts = list(self.train_part.texts)[::step][:_SAMPLE]
            reader.vectors(texts[:2])
            began = time.monotonic()
            reader.vectors(texts)
            self._seconds[base, cut] = (time.monotonic() - began) / len(texts)
        return self._seconds[base, cut]

    def _done(self, job: _Job) -> dict[str, Any] | None:
        path = self._folder(job) / ROW_FILE
        if not path.is_file():
            return None
        kept = read_written_json(path)
        return dict(kept["row"]) if kept.get("identity") == job.identity else None

    def _folder(self, job: _Job) -> Path:
        return self.out / job.name.replace(", ", "-").replace(" ", "-")

    def _state(self, job: _Job) -> Path:
        return self.out / WORK_FOLDER / f"{job.kind}-{job.identity[:16]}"

    def _require_finite(self, job: _Job, scores: Floats) -> None:
        if not np.isfinite(scores).all():
            raise DataError(f"the student {job.name!r} gives scores that are no finite numbers; "
                            "train it with a smaller learning rate")  # fmt: skip


def missing_models(students: Sequence[str], settings: FilterTraining) -> list[str]:
    """List what is missing on this machine for some students."""
    faults = []
    for name, kinds in ((settings.encoder, ("frozen", "tuned")),
                        (settings.decoder, ("lora", "generative"))):  # fmt: skip
        if any(kind in students for kind in kinds):
            try:
                name_base(name)
            except ModelNotFoundError as fault:
                faults.append(str(fault))
    return faults


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
