"""Whether a teacher knows enough of the table to label it: measured before it labels anything."""

from __future__ import annotations

from ...errors import LabelingStoppedError
from .settings import MainJob


def require_knowledge(score: float, asked: int, job: MainJob, way_on: str) -> None:
    """Stop the job where its teacher knows too little: its labels would ruin the student.

    Args:
        score: Share of held-out questions that it answered right, 0 to 1.
        asked: How many questions it was asked.
        job: Its `teacher_least` decides.
        way_on: What the user can do, as a sentence.

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
