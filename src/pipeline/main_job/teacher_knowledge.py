"""Decide, before any labelling, whether a teacher knows the table well enough to label it."""

from __future__ import annotations

from ...errors import LabelingStoppedError
from .settings import MainJob


def require_knowledge(score: float, asked: int, job: MainJob, way_on: str) -> None:
    """Stop the job if its teacher knows too little, since the student would learn wrong labels.

    Args:
        score: Share of held-out questions that the teacher answered right, 0 to 1.
        asked: Number of these questions.
        job: The settings, with the required share in `teacher_least`.
        way_on: Sentence of the error message that says what the user can do.

    Raises:
        LabelingStoppedError: The score is below `job.teacher_least`.
    """
    if score >= job.teacher_least:
        return
    raise LabelingStoppedError(
        f"{job.teacher} answers {100 * score:.1f} % of {asked} held-out questions right, and "
        f"{100 * job.teacher_least:g} % are needed (--teacher-least); no student was trained. "
        f"{way_on}"
    )
