"""Estimate a job with named models: memory from their weights, time from a few real steps.

Students that cannot learn from their teacher are refused here, before anything is trained.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open

from ...data.questions.questions import QuestionSet, training_stream
from ...distillation.batches.batching import WINDOWS_PER_BUCKET
from ...distillation.batches.vocabulary import compare_vocabularies
from ...distillation.students.adapters import put_adapter
from ...errors import ConfigError, VocabularyError
from ...inference.checkpoints.load_student import (
    Checkpoint,
    choose_training_dtype,
    load_checkpoint,
)
from ...inference.scoring.choices import encode_completion, encode_prompt
from ...inference.sources.find_model import find_model
from ...records import Example
from .label_student import is_encoder
from .named_teacher import TEACHER_WEIGHTS, load_teacher, teacher_settings
from .settings import MainJob

TRIED_STEPS: Final = WINDOWS_PER_BUCKET - 1
"""Timed steps, after one untimed warm-up step; together they are as many batches as training sorts
by length at once."""
STEP_OVERHEAD: Final = 1.1
"""Time of a whole step (with optimizer, collation and callbacks) divided by the time of its forward
and backward pass."""
STUDENT_SHARE: Final = 0.6
"""Time of a step of a pruned student divided by that of full fine-tuning of its teacher. The
student has half of the parameters, but those of the embeddings take no time."""
ANSWER_PASSES: Final = 1.3
"""Time of generating a short answer to a prompt divided by that of a forward pass over both."""
SCORED_PASSES: Final = 2.3
"""The same if the loss on the target is measured too."""
BYTES_PER_PARAMETER: Final = {True: 14.0, False: 12.0}
"""Whether there are controls -> bytes of memory per parameter of the teacher. Training holds the
teacher in float32, and half of its parameters with gradients and AdamW's two moments; measuring
holds all models."""

BYTES_OF_STUDENT: Final = 16.0
"""Bytes of memory per parameter of a named student whose teacher is on a server. Training holds its
weights in float32, gradients and AdamW's two moments; measuring holds it and three controls."""


def parameters_of(name: str | Path) -> int | None:
    """Count the parameters of a model without loading it; None if it is not in a local folder."""
    found = find_model(name)
    if not isinstance(found, Path):
        return None
    count = 0
    for file in found.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118 - not a mapping
                count += torch.Size(weights.get_slice(key).get_shape()).numel()
    return count or None


def named_bytes(job: MainJob) -> float:
    """Estimate the bytes of memory of named models and their training; 0 if unknown."""
    if job.is_served():
        return BYTES_OF_STUDENT * (0 if job.student is None else parameters_of(job.student) or 0)
    return BYTES_PER_PARAMETER[job.controls] * (parameters_of(job.teacher) or 0)


def require_same_tokens(job: MainJob, teacher: Checkpoint | None) -> None:
    """Refuse a named student that is to learn from soft targets over another vocabulary.

    Args:
        job: The settings, with the student and alpha.
        teacher: The loaded teacher; None for a starter, whose tokenizer is trained on the table.

    Raises:
        ConfigError: The tokenizers differ, and alpha is above 0.
    """
    if job.student is None or job.recipe.alpha == 0 or is_encoder(job.student):
        return  # an encoder learns the probabilities of labels, whatever their tokens
    ways = "name one with the teacher's tokenizer, name none, or learn from its texts (--alpha 0)"
    if teacher is None:
        raise ConfigError(
            [f"student is {job.student!r}, and a starter teacher has a tokenizer of its own, so "
             f"there are no soft targets for it; {ways}"]
        )  # fmt: skip
    student = load_checkpoint(job.student, device="cpu")
    try:
        compare_vocabularies(teacher.tokenizer, student.tokenizer)
    except VocabularyError as fault:
        told = str(fault).split(". ")[0]
        raise ConfigError(
            [f"student is {job.student!r}, which has another tokenizer than {job.teacher}: {told}; "
             f"{ways}"]
        ) from fault  # fmt: skip


@dataclass(frozen=True)
class StepTimes:
    """Times of training steps on this machine."""

    teacher_s: float
    """Seconds of an optimizer step of the teacher; 0 for a teacher on a server."""
    student_s: float
    """Seconds of an optimizer step of a student, without the teacher's forward pass."""
    tokens: int
    """Mean tokens of an example, with padding."""


def time_steps(job: MainJob, questions: QuestionSet) -> StepTimes:
    """Time a few real steps of the named teacher and of its student.

    Raises:
        ConfigError: Their tokenizers differ, or the student is an encoder and the teacher on a
            server.
        ModelNotFoundError: There is no such model.
    """
    batch = job.tuning.batch
    stream = training_stream(
        questions.train, questions.table, (TRIED_STEPS + 1) * batch, seed=0, weights=TEACHER_WEIGHTS
    )
    if job.is_served():
        return _time_student(job, stream)
    teacher = load_teacher(job)
    require_same_tokens(job, teacher)
    ids = padded_batches(teacher, stream, batch)
    model = teacher.model.float()
    whole = seconds_per_step(model, ids)
    settings = teacher_settings(job, teacher, Path("unused"), steps=1)
    taught = whole
    if settings.lora_r is not None:
        taught = seconds_per_step(put_adapter(model, settings), ids)
    if job.student is None:
        student = STUDENT_SHARE * whole
    else:
        own = load_checkpoint(job.student, device=job.device)
        student = seconds_per_step(own.model.float(), padded_batches(own, stream, batch))
    return StepTimes(taught, student, round(sum(t.shape[1] for t in ids) / len(ids)))


def _time_student(job: MainJob, stream: Sequence[Example]) -> StepTimes:
    """Time the student of a teacher that runs elsewhere."""
    if is_encoder(job.student):
        raise ConfigError(
            [f"student {job.student!r} is an encoder, which learns the probabilities of labels, "
             f"and the server {job.teacher} gives text; name a student that writes text, or label "
             "the texts with `stillroom label` and train the encoder with `stillroom distill`"]
        )  # fmt: skip
    own = load_checkpoint(str(job.student), device=job.device)
    ids = padded_batches(own, stream, job.tuning.batch)
    return StepTimes(
        0.0,
        seconds_per_step(own.model.float(), ids),
        round(sum(t.shape[1] for t in ids) / len(ids)),
    )


def padded_batches(
    checkpoint: Checkpoint, stream: Sequence[Example], batch: int
) -> list[torch.Tensor]:
    """Tokenise examples into batches of similar length, (B, T) each, as training does."""
    rows = sorted(
        (
            encode_prompt(checkpoint, e.prompt)
            + encode_completion(checkpoint, e.prompt, e.target or "")
            for e in stream
        ),
        key=len,
    )
    batches = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    return [
        torch.tensor([row + [row[-1]] * (max(map(len, part)) - len(row)) for row in part])
        for part in batches
    ]


def seconds_per_step(model: Any, batches: Sequence[torch.Tensor]) -> float:  # noqa: ANN401
    """Time forward and backward; as in the fused loss, the head runs over a few positions only."""
    model.train()
    device = next(model.parameters()).device
    dtype = choose_training_dtype(device)
    few = {"logits_to_keep": 4} if "logits_to_keep" in _arguments(model) else {}
    times = []
    for ids in batches:
        began = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16):
            out = model(input_ids=ids.to(device), use_cache=False, **few)
        out.logits.float().logsumexp(-1).mean().backward()
        model.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - began)
    return STEP_OVERHEAD * sum(times[1:]) / TRIED_STEPS


def _arguments(model: Any) -> Any:  # noqa: ANN401
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inspect.signature(base.forward).parameters
