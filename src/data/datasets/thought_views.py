"""Chains of thought as two tasks, for a student that can answer directly or with its reasoning.

Each record becomes two, marked by the first word of the prompt: `[label]` with the final answer
alone, `[rationale]` with the whole chain. So the student learns from reasoning without having to
write it for every answer.

Source: distilling step by step, Hsieh et al. 2023 (arXiv 2305.02301), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ...errors import DataError
from ...inference.system_pair.final_answers import final_answer

LABEL: Final = "label"
RATIONALE: Final = "rationale"


def two_task_views(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make the two views of each record.

    Args:
        records: `{instruction, input, output}`; the output is a chain of thought that ends with an
            answer.

    Returns:
        Label view and rationale view of the first record, of the second, and so on, named by
        `view`.

    Raises:
        DataError: A chain does not end with an answer.
    """
    views = []
    for number, record in enumerate(records, start=1):
        answer = final_answer(str(record["output"]))
        if not answer:
            raise DataError("ends with no answer", row=number, column="output")
        for view, output in ((LABEL, answer), (RATIONALE, record["output"])):
            asked = f"[{view}] {record['instruction']}"
            views.append({**record, "instruction": asked, "output": output, "view": view})
    return views


def view_weights(
    records: Iterable[Mapping[str, Any]], label_share: float = 0.5
) -> dict[str, float]:
    """Give the weight of each view's tokens in the loss, which longer rationales would dominate.

    The loss becomes `label_share` times the mean over the tokens of answers plus the remaining
    share times the mean over those of rationales. Lengths are in UTF-8 bytes, which have the same
    ratio to tokens in both views. The mean weight is 1.

    Args:
        records: From `two_task_views`.
        label_share: 0 to 1.
    """
    bytes_of = {LABEL: 0, RATIONALE: 0}
    for record in records:
        bytes_of[record["view"]] += len(str(record["output"]).encode())
    total = sum(bytes_of.values())
    shares = {LABEL: label_share, RATIONALE: 1.0 - label_share}
    return {view: shares[view] * total / max(1, size) for view, size in bytes_of.items()}
