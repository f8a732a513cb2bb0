"""Token counts of generations in the metadata of a record (FastDistill's names).

    metadata: {statistics_<step>: {input_tokens: [int], output_tokens: [int]},
               raw_output_<step>: text, raw_input_<step>: turns}

One entry per generation of the record; `labeling.reports.token_statistics` reads them. Nothing
about time or caching is stored, so that a resumed run writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ....errors import DataError
from ....labeling.teachers.protocol import TeacherAnswer

METADATA: Final = "metadata"


def with_metadata(record: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the metadata of a record; other metadata is kept.

    Raises:
        DataError: The column `metadata` holds something else.
    """
    held = record.get(METADATA)
    if held is not None and not isinstance(held, Mapping):
        raise DataError(f"column {METADATA!r} holds a {type(held).__name__}; an object is needed")
    return {**record, METADATA: {**(held or {}), **told}}


def statistics(answers: Sequence[TeacherAnswer], step: str) -> dict[str, Any]:
    """Write the statistics of the answers to one record, under the name of the step."""
    return {
        f"statistics_{step}": {
            "input_tokens": [one.prompt_tokens for one in answers],
            "output_tokens": [one.completion_tokens for one in answers],
        }
    }


def raw_output(answer: TeacherAnswer) -> str:
    """Write an answer with the reasoning before it."""
    if not answer.thoughts:
        return answer.text
    return f"<think>\n{answer.thoughts}\n</think>\n\n{answer.text}"
