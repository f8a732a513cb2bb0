"""Token counts of generations in the metadata of a record (FastDistill's names).

    metadata: {statistics_<step>: {input_tokens: [int], output_tokens: [int]},
               raw_output_<step>: text, raw_input_<step>: turns}

One entry per generation of the record. Nothing about time or caching is stored, so that a resumed
run writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ....errors import DataError
from ....labeling.teachers.protocol import TeacherAnswer

METADATA: Final = "metadata"
READ_FROM: Final = (METADATA, "fastdistill_metadata", "distilabel_metadata")
"""Columns in which statistics are looked for."""
_PREFIX: Final = "statistics_"


def with_metadata(record: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the metadata of a record; other metadata is kept.

    Raises:
        DataError: The column `metadata` holds something else.
    """
    held = record.get(METADATA)
    if held is not None and not isinstance(held, Mapping):
        raise DataError(f"column {METADATA!r} holds a {type(held).__name__}; an object is needed")
    return {**record, METADATA: {**(held or {}), **told}}


def token_statistics(answers: Sequence[TeacherAnswer], step: str) -> dict[str, Any]:
    """Write the statistics of the answers to one record, under the name of the step."""
    return {
        f"{_PREFIX}{step}": {
            "input_tokens": [one.prompt_tokens for one in answers],
            "output_tokens": [one.completion_tokens for one in answers],
        }
    }


def read_statistics(record: Mapping[str, Any], step: str | None = None) -> list[tuple[int, int]]:
    """Read the tokens of the generations of a record.

    Args:
        record: A record with metadata under any of the three names, or without.
        step: Name of the step; None reads all steps.

    Returns:
        Tokens of prompt and answer, one pair per generation. Null counts as 0.
    """
    found = []
    for column in READ_FROM:
        for held in _objects(record.get(column)):
            for name, told in held.items():
                wanted = name.startswith(_PREFIX) if step is None else name == f"{_PREFIX}{step}"
                if wanted and isinstance(told, Mapping):
                    asked, made = told.get("input_tokens") or [], told.get("output_tokens") or []
                    found += [(a or 0, m or 0) for a, m in zip(asked, made, strict=False)]
    return found


def _objects(held: object) -> Iterable[Mapping[str, Any]]:
    """Give the metadata, or each of it: distilabel writes a list where generations are grouped."""
    return [one for one in (held if isinstance(held, list) else [held]) if isinstance(one, Mapping)]
