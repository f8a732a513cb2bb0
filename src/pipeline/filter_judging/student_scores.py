"""Score articles with a saved student, as raw scores in the order of the filter's dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, DataError
from ...inference.score_students.open_student import open_score_student
from ...labeling.filters.curation.merge import read_json_objects
from ...labeling.filters.filter_package import FilterPackage
from .score_files import Sources


def student_scores(
    package: FilterPackage, student: str | Path, sources: Sources, *, batch_size: int = 16
) -> tuple[list[str], list[list[float]]]:
    """Score the articles of some files.

    Args:
        package: Gives the view of an article that the student must have been trained on.
        student: Folder of a saved score student.
        sources: Files or patterns of JSON Lines.
        batch_size: Articles per call of the student, 1 or more.

    Returns:
        Ids, (N,), and raw scores, (N, D).

    Raises:
        ConfigError: The student has other dimensions, or learned from another view of articles.
        DataError: An article has no id.
    """
    opened = open_score_student(student)
    faults = []
    if tuple(opened.dimensions) != package.config.dimension_names:
        faults.append(f"{student} scores {', '.join(opened.dimensions)}; the filter has "
                      f"{', '.join(package.config.dimension_names)}")  # fmt: skip
    if opened.view_hash not in ("", package.view.sha256):
        faults.append(f"{student} learned from the view {opened.view_hash[:12]} of articles, and "
                      f"the filter shows {package.view.sha256[:12]}; train it again")  # fmt: skip
    if faults:
        raise ConfigError(faults)
    ids: list[str] = []
    rows: list[list[float]] = []
    batch: list[Mapping[str, Any]] = []

    def score(articles: Sequence[Mapping[str, Any]]) -> None:
        texts = [package.view.student_text(package.view.read(one)) for one in articles]
        rows.extend([float(one) for one in row] for row in opened.predict(texts))
        ids.extend(str(one["id"]) for one in articles)

    for place, record in read_json_objects(sources, []):
        if record.get("id") in (None, ""):
            raise DataError(f"{place}: the article has no id")
        batch.append(record)
        if len(batch) == batch_size:
            score(batch)
            batch = []
    if batch:
        score(batch)
    return ids, rows
