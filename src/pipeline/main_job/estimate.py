"""Estimate the time and memory of a job before it starts.

The estimate is based on the questions of a few hundred records and a few timed training steps.
"""

from __future__ import annotations

import math
import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch

from ...console import Console
from ...data.questions.questions import QuestionSet, build_question_set
from ...distillation.starter_student import StarterSize, new_shape
from ...errors import ConfigError
from ...records import Example
from ..machine import machine_memory
from .estimate_named import (
    ANSWER_PASSES,
    SCORED_PASSES,
    STUDENT_SHARE,
    named_bytes,
    require_same_tokens,
    time_steps,
)
from .evaluate import MOST_ASKED, MOST_MEASURED
from .load_table import Source
from .settings import STARTER, MainJob, Recipe, Tuning
from .teacher import CHARACTERS_PER_TOKEN, plan_batch, plan_steps, plan_vocabulary, table_characters

SAMPLED_RECORDS: Final = 300
"""About how many records the questions are sampled from; a smaller table is used whole."""
TRIED_STEPS: Final = 3
"""Timed steps, after one untimed warm-up step."""
STEP_OVERHEAD: Final = 1.25
"""Time of a whole step (with optimizer, collation and callbacks) divided by the time of its forward
and backward pass."""
FORWARD_SHARE: Final = 0.4
"""Time of a forward pass divided by that of forward and backward: what a teacher adds to a step."""
REST_SHARE: Final = 0.2
"""Time of labelling, measuring and the demo questions divided by that of all training."""
BYTES_PER_EXAMPLE: Final = 800
"""Memory of a question with its prompt, target and fields."""
BYTES_PER_TOKEN: Final = 44
"""Memory of a token of a training example, as id and as label."""
LEAST_ROWS: Final = 10
"""Fewest `--rows` that a refusal suggests."""
LEAST_EFFORT: Final = 0.1
"""Least `--effort` that a refusal suggests."""


@dataclass(frozen=True)
class Estimate:
    """Time and memory of a job on this machine, as a function of its size."""

    recipe: Recipe | Tuning
    controls: int
    """Number of trained controls that have the student's size."""
    records: int
    facts_per_record: float
    """Facts and summaries per record."""
    examples_per_record: float
    """Questions per record, including the held-out ones."""
    tokens: int
    """Mean tokens of an example: prompt and answer."""
    batch: int
    """Examples per optimizer step."""
    teacher_step_s: float
    """Seconds of an optimizer step of the teacher."""
    student_step_s: float
    """Seconds of an optimizer step of the student, without the teacher's forward pass."""
    rest_s_per_record: float | None = None
    """Seconds of labelling per record; None takes `REST_SHARE` of the training for labelling and
    measuring."""
    measuring_s: float = 0.0
    """Seconds of measuring, where the number of measured questions is limited."""
    weights_bytes: float = 0.0
    """Memory of a named teacher, its students and their training."""

    def minutes(self, records: int | None = None, effort: float = 1.0) -> float:
        """Estimate the minutes of the whole job.

        Args:
            records: Number of records; None takes those of the table.
            effort: Factor on the number of steps.
        """
        recipe = self.recipe.scaled(effort)
        teacher, student = self.steps(recipe, records)
        training_s = (
            teacher * self.teacher_step_s
            + student * (self.student_step_s + FORWARD_SHARE * self.teacher_step_s)
            + self.controls * student * self.student_step_s
        )
        if self.rest_s_per_record is None:
            return training_s * (1.0 + REST_SHARE) / 60.0
        rest_s = (records or self.records) * self.rest_s_per_record + self.measuring_s
        return (training_s + rest_s) / 60.0

    def bytes(self, records: int | None = None) -> float:
        """Estimate the bytes of memory of the models, the questions and the longest training."""
        questions = (records or self.records) * self.examples_per_record
        trained = max(self.steps(self.recipe, records)) * self.batch
        per_trained = BYTES_PER_EXAMPLE / 2 + self.tokens * BYTES_PER_TOKEN
        return self.weights_bytes + questions * BYTES_PER_EXAMPLE + trained * per_trained

    def steps(self, recipe: Recipe | Tuning, records: int | None = None) -> tuple[int, int]:
        """Count the optimizer steps of the teacher and of each student."""
        facts = (records or self.records) * self.facts_per_record
        return (
            plan_steps(facts, self.batch, recipe.teacher_exposures, recipe.teacher_least_steps),
            plan_steps(facts, self.batch, recipe.student_exposures, recipe.student_least_steps),
        )


def estimate_job(job: MainJob, source: Source) -> Estimate:
    """Estimate a job from a sample of its table.

    The times are rough: they tell minutes from hours.

    Raises:
        ConfigError: A named student cannot learn from the teacher: its tokenizer is another one,
            or it is an encoder and the teacher is on a server.
    """
    questions = _some_questions(job, source)
    asked = len(questions.table.rows) or 1
    asked_of = len(source.records) - len(source.profile.skipped_rows)
    share = asked / max(1, asked_of)
    examples = [*questions.train, *questions.held_out]
    from_scratch = job.is_served() and job.student is None
    if job.teacher != STARTER and not from_scratch:
        return _estimate_named(job, questions, asked_of, asked)
    if not from_scratch:
        require_same_tokens(job, None)
    tokens, batch = _tokens_per_example(questions.train), plan_batch(questions.train, job.recipe)
    size = StarterSize(vocabulary=plan_vocabulary(round(table_characters(questions.table) / share)))
    student_layers = size.layers if from_scratch else size.layers // 2
    return Estimate(
        recipe=from_scratch_recipe(job.recipe) if from_scratch else job.recipe,
        controls=count_controls(job),
        records=asked_of,
        facts_per_record=len({e.fact for e in examples}) / asked,
        examples_per_record=len(examples) / asked,
        tokens=tokens,
        batch=batch,
        teacher_step_s=0.0 if from_scratch else _seconds_per_step(size, size.layers, batch, tokens),
        student_step_s=_seconds_per_step(size, student_layers, batch, tokens),
    )


def count_controls(job: MainJob) -> int:
    """Count the trained controls of the student's size.

    With a teacher on a server there is one less: the student itself learns from text alone.
    """
    return 0 if not job.controls else 2 if job.is_served() else 3


def from_scratch_recipe(recipe: Recipe) -> Recipe:
    """Return the student as many steps as a starter teacher, for a student from scratch."""
    return replace(
        recipe,
        student_exposures=recipe.teacher_exposures,
        student_least_steps=recipe.teacher_least_steps,
    )


def _estimate_named(job: MainJob, questions: QuestionSet, records: int, sampled: int) -> Estimate:
    """Estimate a job with named models, from a few of their steps."""
    times = time_steps(job, questions)
    examples = [*questions.train, *questions.held_out]
    measured = count_measured(job, questions, records / sampled)
    if job.is_served():
        answered, scored = 0.0, float(measured * (4 if job.controls else 1))
    else:
        without = [e for e in questions.train if not questions.is_gold(e)]
        answered = len({e.fact for e in without}) / sampled
        scored = measured * (1 + STUDENT_SHARE * (6 if job.controls else 1))
    forward_s = FORWARD_SHARE * (times.teacher_s or times.student_s) / job.tuning.batch
    return Estimate(
        recipe=job.tuning,
        controls=count_controls(job),
        records=records,
        facts_per_record=len({e.fact for e in examples}) / sampled,
        examples_per_record=len(examples) / sampled,
        tokens=times.tokens,
        batch=job.tuning.batch,
        teacher_step_s=times.teacher_s,
        student_step_s=times.student_s,
        rest_s_per_record=ANSWER_PASSES * answered * forward_s,
        measuring_s=SCORED_PASSES * scored * forward_s,
        weights_bytes=named_bytes(job),
    )


def count_measured(job: MainJob, questions: QuestionSet, times: float) -> int:
    """Count the measured questions of a table that is `times` as large as the sample."""
    tasks = Counter(e.task for e in questions.held_out)
    if job.is_served() and job.student is None:
        return round(times * tasks.total())
    asked = min(MOST_ASKED, round(times * tasks["qa"])) if job.asked else 0
    return asked + sum(min(MOST_MEASURED, round(times * count)) for count in tasks.values())


def require_affordable(job: MainJob, source: Source, console: Console) -> None:
    """Print the estimated time; if it is above the limit, ask the user or refuse the job.

    Raises:
        ConfigError: The job needs more minutes than `max_minutes` and nobody at a terminal says
            yes, or more memory than the machine has; the message says which smaller jobs do fit.
    """
    memory = machine_memory()
    if job.teacher != STARTER and named_bytes(job) > memory:
        raise ConfigError(
            [f"{job.student if job.is_served() else f'{job.teacher} and its student'} need about "
             f"{named_bytes(job) / 1e9:.0f} GB of memory, and this machine has {memory / 1e9:.0f} "
             f"GB; name a smaller {'student' if job.is_served() else 'teacher'}"]
        )  # fmt: skip
    with console.busy("estimating the time"):
        estimate = estimate_job(job, source)
    minutes = estimate.minutes()
    served = job.is_served()
    controls = estimate.controls + (0 if served or job.teacher == STARTER else 1)
    arms = f"1 student and {controls} controls" if job.controls else "1 student"
    first = "without the answers of the server: " if served else "teacher, "
    console.line("time", f"about {in_words(minutes)}: {first}{arms}, measuring")
    if estimate.bytes() > memory:
        raise ConfigError(
            [
                f"this job needs about {estimate.bytes() / 1e9:.0f} GB of memory, and this machine "
                f"has {memory / 1e9:.0f} GB. {_smaller(job, source, estimate, memory)}"
            ]
        )
    if job.max_minutes is None or minutes <= job.max_minutes:
        return
    advice = _smaller(job, source, estimate, memory)
    told = f"about {in_words(minutes)} are more than {job.max_minutes:g} min (--max-minutes)"
    if console.asks():
        console.line("", f"{told}. {advice}")
        if console.confirm("Train for this long anyway?"):
            return
        raise ConfigError(["nothing was trained; a smaller job is named above"])
    raise ConfigError([f"{told}. {advice}. Or pass --yes (max_minutes=None) to train anyway"])


def in_words(minutes: float) -> str:
    """Write a time in minutes, hours or days.

    >>> in_words(0.2), in_words(95), in_words(400), in_words(20417)
    ('1 min', '95 min', '7 hours', '15 days')
    """
    if minutes <= 120:
        return f"{max(1, math.ceil(minutes))} min"
    hours = math.ceil(minutes / 60)
    return f"{hours} hours" if hours <= 72 else f"{math.ceil(hours / 24)} days"


def _smaller(job: MainJob, source: Source, estimate: Estimate, memory: float) -> str:
    """Suggest options with which the job stays within its limits of time and memory."""
    limit = math.inf if job.max_minutes is None else job.max_minutes

    def fits(records: int, effort: float = 1.0) -> bool:
        return estimate.minutes(records, effort) <= limit and estimate.bytes(records) <= memory

    ways = []
    rows = _largest(fits, estimate.records)
    if rows >= LEAST_ROWS:
        minutes = in_words(estimate.minutes(rows))
        ways.append(f"--rows {rows} (about {minutes}) takes the first records")
    columns = source.profile.columns
    width = _largest(lambda n: fits(math.ceil(estimate.records * n / len(columns))), len(columns))
    if width and not any("," in name for name in columns):
        ways.append(f"--columns {shlex.quote(','.join(columns[:width]))} asks about fewer columns")
    effort = limit / estimate.minutes() if limit < math.inf else 0.0
    now = job.recipe.teacher_exposures / Recipe.teacher_exposures
    told = math.floor(100 * effort * now) / 100
    if told >= LEAST_EFFORT and fits(estimate.records, told / now):
        ways.append(f"--effort {told:g} trains for fewer steps")
    return "Smaller: " + "; ".join(ways or ["name a smaller table"])


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """Find the largest size below `most` that fits, rounded down to two digits; 0 if none fits."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    unit: int = 10 ** max(0, len(str(low)) - 2)
    return low // unit * unit


def _some_questions(job: MainJob, source: Source) -> QuestionSet:
    """Make questions for records spread evenly over the table."""
    step = max(1, math.ceil(len(source.records) / SAMPLED_RECORDS))
    skipped = {row for row, _ in source.profile.skipped_rows}
    kept = [record for row, record in enumerate(source.records, 1) if row not in skipped]
    return build_question_set(
        kept[::step],
        replace(source.profile, skipped_rows=()),
        templates=job.templates,
        gold_share=job.gold_share,
        seed=job.seed,
    )


def _tokens_per_example(examples: Sequence[Example]) -> int:
    characters = sum(len(e.prompt) + len(e.target or "") for e in examples) / len(examples)
    return max(8, round(characters / CHARACTERS_PER_TOKEN))


def _seconds_per_step(size: StarterSize, layers: int, batch: int, tokens: int) -> float:
    """Time forward and backward of an untrained model on random tokens."""
    model: Any = new_shape(size, layers=layers, seed=0)
    # A separate generator: the estimate must not change the random numbers of the job.
    ids = torch.randint(
        size.vocabulary, (batch, tokens), generator=torch.Generator().manual_seed(0)
    )
    times = []
    for _ in range(TRIED_STEPS + 1):
        began = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        times.append(time.perf_counter() - began)
    return STEP_OVERHEAD * min(times[1:])
