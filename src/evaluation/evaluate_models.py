"""Compare teacher, student and controls on the same held-out examples: quality and cost.

The controls show the effect of distillation: the student before training, trained on gold answers
only, and trained on the text of the teacher's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import ConfigError, DataError, EmptyDataError
from ..inference.checkpoints.architectures import ANSWERING
from ..inference.checkpoints.load_student import Checkpoint, load_checkpoint
from ..inference.engine.transformers_engine import serve_checkpoint
from ..prompts import Prompt
from ..records import Example, sha256_text
from .footprint import measure_footprints
from .held_out import ModelAnswers, answer_held_out
from .metrics import agreement, exact_match, token_f1
from .predictions import predictions_of, write_predictions
from .scores import ModelScores, TaskScores
from .speed import Latency, ask_singly, measure_speed

TEACHER, STUDENT = "teacher", "student"
_MODEL_FILES = (".safetensors", ".json", ".jinja")
_NOT_THE_MODEL = (
    "run.json", "table.json", "distillation_config.json", "metrics.json", "confidence.json",
)  # fmt: skip
_BATCH_SPEED_PROMPTS = 32
_LATENCY_PROMPTS = 40
_LATENCY_SECONDS = 20.0


def evaluate_models(
    teacher: str | Path | Checkpoint | None,
    student: str | Path | Checkpoint,
    held_out: Sequence[Example],
    *,
    controls: Mapping[str, str | Path | Checkpoint] | None = None,
    max_new_tokens: int | Sequence[int] = 128,
    batch_size: int = 64,
    progress: bool = True,
    speed_prompts: Sequence[str] | None = None,
    speed_rounds: int = 5,
    batch_speed: bool = False,
    memory: bool = True,
    training_prompts: set[str] | None = None,
    most_scored: int | None = None,
    device: str | None = None,
    predictions_dir: str | Path | None = None,
) -> dict[str, ModelScores]:
    """Compare models on examples that none of them was trained on.

    All models are in memory at the same time, because their speeds are measured alternately.

    Args:
        teacher: Checkpoint folder, hub name or loaded checkpoint; None where there is none to run,
            and then the agreement is None.
        student: The same.
        held_out: Examples with gold targets.
        controls: Further models by name, e.g. `student_untrained`, `student_without_teacher`.
        max_new_tokens: Most tokens per answer, or a number for each example.
        batch_size: Prompts answered together.
        progress: Show a progress bar after two seconds.
        speed_prompts: Prompts for the speed; None takes two of `held_out`, an empty list skips it.
        speed_rounds: Rounds of the speed measurement.
        batch_speed: Measure the speed of 32 prompts at a time as well.
        memory: Measure peak memory in fresh processes, a few seconds per model.
        training_prompts: Prompts that were trained on, or their SHA-256 (`records.sha256_text`).
        most_scored: Most examples of a task whose targets' loss is computed, spread evenly; None
            for all. Scoring takes about as long as answering.
        device: Torch device; None selects one.
        predictions_dir: Folder for a file per model with each of its answers, see `predictions`;
            None writes none.

    Returns:
        Scores by name: `teacher`, `student`, then the controls. `exact_match`, `token_f1` and
        `agreement` are fractions of all held-out examples, so a task with more examples weighs
        more; `by_task` has the scores per task.

    Raises:
        EmptyDataError: There are no held-out examples.
        DataError: An example has no target, or its prompt was trained on.
        ConfigError: A control has the name of another model.
    """
    _check_held_out(held_out, training_prompts or set())
    main = {STUDENT: student} if teacher is None else {TEACHER: teacher, STUDENT: student}
    checkpoints = _load_all(main, controls or {}, device)
    prompts = [example.asked for example in held_out]
    targets = [example.target or "" for example in held_out]
    scored = _spread(held_out, most_scored)
    answers: dict[str, ModelAnswers] = {}
    for name, checkpoint in checkpoints.items():
        with _progress_bar(name, len(held_out), progress) as show:
            answers[name] = answer_held_out(
                checkpoint, prompts, targets, max_new_tokens=max_new_tokens,
                batch_size=batch_size, scored=scored, progress=show,
            )  # fmt: skip
    if predictions_dir is not None:
        for name, own in answers.items():
            write_predictions(
                Path(predictions_dir) / f"{name}.jsonl", predictions_of(held_out, own)
            )
    if speed_prompts is None:
        speed_prompts = [held_out[0].prompt, held_out[len(held_out) // 2].prompt]
    speeds, batch_speeds = _speeds(checkpoints, speed_prompts, speed_rounds, batch_speed)
    folders = {name: c.path for name, c in checkpoints.items() if c.path is not None}
    peaks = measure_footprints(folders) if memory else {}
    single = [prompts[number] for number in _spread(held_out, _LATENCY_PROMPTS // 2)]
    most = max_new_tokens if isinstance(max_new_tokens, int) else max(max_new_tokens)
    delays = {name: _latency(checkpoints[name], single, most) for name in main if speed_prompts}
    teachers = answers[TEACHER].texts if TEACHER in answers else None
    return {
        name: replace(
            _quality(held_out, answers[name], teachers),
            parameters=sum(tensor.numel() for tensor in checkpoint.model.parameters()),
            weights_bytes=sum(t.numel() * t.element_size() for t in checkpoint.model.parameters()),
            bytes_on_disk=None if checkpoint.path is None else bytes_on_disk(checkpoint.path),
            peak_memory_bytes=peaks.get(name),
            tokens_per_second=speeds.get(name),
            batch_tokens_per_second=batch_speeds.get(name),
            **_latency_fields(delays.get(name)),
        )
        for name, checkpoint in checkpoints.items()
    }


def _check_held_out(held_out: Sequence[Example], training_prompts: set[str]) -> None:
    if not held_out:
        raise EmptyDataError("there are no held-out examples; hold out some when preparing data")
    for example in held_out:
        if example.target is None or not example.target.strip():
            raise DataError(f"held-out example {example.id!r} has no target to compare with")
    seen = [
        example
        for example in held_out
        if example.prompt in training_prompts or sha256_text(example.prompt) in training_prompts
    ]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(held_out)} held-out prompts were trained on, the first is "
            f"{seen[0].id!r}; evaluate on examples that were not trained on"
        )


def _load_all(
    main: Mapping[str, str | Path | Checkpoint],
    controls: Mapping[str, str | Path | Checkpoint],
    device: str | None,
) -> dict[str, Checkpoint]:
    taken = [name for name in controls if name in main]
    if taken:
        raise ConfigError([f"a control cannot be called {name!r}" for name in taken])
    return {
        name: given
        if isinstance(given, Checkpoint)
        else load_checkpoint(given, device=device, kinds=ANSWERING)
        for name, given in {**main, **controls}.items()
    }


def _spread(held_out: Sequence[Example], most: int | None) -> list[int]:
    """Choose so many examples of each task, spread evenly over them."""
    chosen: list[int] = []
    for numbers in _by_task(held_out).values():
        step = 1 if most is None else max(1, len(numbers) // most)
        chosen += numbers[::step][:most]
    return sorted(chosen)


def _by_task(held_out: Sequence[Example]) -> dict[str, list[int]]:
    by_task: dict[str, list[int]] = {}
    for number, example in enumerate(held_out):
        by_task.setdefault(example.task, []).append(number)
    return by_task


def _quality(
    held_out: Sequence[Example], own: ModelAnswers, teacher_texts: Sequence[str] | None
) -> ModelScores:
    tasks = {
        task: _task_scores(held_out, own, teacher_texts, numbers)
        for task, numbers in sorted(_by_task(held_out).items())
    }
    total = _task_scores(held_out, own, teacher_texts, range(len(held_out)))
    return ModelScores(**asdict(total), by_task=tasks)


def _task_scores(
    held_out: Sequence[Example],
    own: ModelAnswers,
    teacher_texts: Sequence[str] | None,
    numbers: Sequence[int],
) -> TaskScores:
    pairs = [(own.texts[n], held_out[n].target or "") for n in numbers]
    return TaskScores(
        exact_match=sum(exact_match(*pair) for pair in pairs) / len(pairs),
        token_f1=sum(token_f1(*pair) for pair in pairs) / len(pairs),
        agreement=None
        if teacher_texts is None
        else agreement([own.texts[n] for n in numbers], [teacher_texts[n] for n in numbers]),
        perplexity=own.perplexity(numbers),
        count=len(pairs),
    )


def _speeds(
    checkpoints: Mapping[str, Checkpoint], prompts: Sequence[str], rounds: int, batch: bool
) -> tuple[dict[str, float], dict[str, float]]:
    if not prompts:
        return {}, {}
    single = measure_speed(checkpoints, prompts, rounds=rounds)
    if not batch:
        return single, {}
    many = [prompts[place % len(prompts)] for place in range(_BATCH_SPEED_PROMPTS)]
    return single, measure_speed(checkpoints, many, rounds=rounds, batch_size=len(many))


def _latency(checkpoint: Checkpoint, prompts: Sequence[Prompt], max_new_tokens: int) -> Latency:
    with closing(serve_checkpoint(checkpoint)) as engine:
        return ask_singly(
            engine, checkpoint, prompts, max_new_tokens=max_new_tokens,
            most_seconds=_LATENCY_SECONDS,
        )  # fmt: skip


def _latency_fields(found: Latency | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "latency_p50_ms": found.percentile(50),
        "latency_p95_ms": found.percentile(95),
        "latency_mean_ms": found.mean_ms,
    }


def bytes_on_disk(folder: Path) -> int:
    """Sum the files that are needed to answer; not the table, the run or older checkpoints."""
    return sum(
        file.stat().st_size
        for file in folder.iterdir()
        if file.is_file() and file.suffix in _MODEL_FILES and file.name not in _NOT_THE_MODEL
    )


@contextmanager
def _progress_bar(name: str, total: int, shown: bool) -> Iterator[Callable[[int, int], None]]:
    with tqdm(
        total=total,
        desc=f"evaluating {name}",
        disable=None if shown else True,
        delay=2,
        leave=False,
    ) as bar:

        def show(done: int, _: int) -> None:
            bar.update(done - bar.n)

        yield show
