"""Open a saved score student of any kind.

student = open_score_student("outputs/uplifting/tfidf")
student.predict([f"{title}\\n\\n{content}"])      # (1, D), in units of the filter's scale
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ...errors import CheckpointError
from .protocol import STUDENT_FILE, ScoreStudent, StudentFacts, facts_of, read_student_file


def open_score_student(folder: str | Path, *, device: str | None = None) -> ScoreStudent:
    """Open a saved student.

    Args:
        folder: As `save` wrote it.
        device: Torch device of students with a pretrained model; None chooses.

    Raises:
        CheckpointError: A file is missing or damaged.
        ConfigError: `student.json` is not that of a student.
        ModelNotFoundError: The pretrained model that it reads with is not on this machine.
    """
    folder = Path(folder)
    if not (folder / STUDENT_FILE).is_file():
        raise CheckpointError(f"{folder} holds no {STUDENT_FILE}, so it is no score student")
    settings = read_student_file(folder)
    facts = facts_of(settings, folder)
    return _OPENERS[settings["kind"]](folder, facts, settings, device)


def _open_tfidf(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], _: str | None
) -> ScoreStudent:
    from .tfidf_student import open_tfidf

    return open_tfidf(folder, facts, settings)


def _open_probe(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], device: str | None
) -> ScoreStudent:
    from .probe_student import open_probe

    return open_probe(folder, facts, settings, device)


def _open_head(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], device: str | None
) -> ScoreStudent:
    from .head_student import open_head

    return open_head(folder, facts, settings, device)


def _open_generative(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], device: str | None
) -> ScoreStudent:
    from .generative_student import open_generative

    return open_generative(folder, facts, settings, device)


_Opener = Callable[[Path, StudentFacts, Mapping[str, Any], str | None], ScoreStudent]
_OPENERS: Final[dict[str, _Opener]] = {
    "tfidf": _open_tfidf,
    "probe": _open_probe,
    "frozen": _open_head,
    "tuned": _open_head,
    "lora": _open_head,
    "generative": _open_generative,
}
