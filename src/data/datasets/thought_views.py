"""Chains of thought as two tasks: a student that answers at once, and explains when asked to.

Each record becomes two, told apart by the first word of the prompt: `[label]` with the final answer
alone, `[rationale]` with the whole chain. Reasoning is then learned without being paid for at every
answer.

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
        records: `{instruction, input, output}`, the output a chain of thought that ends with an
            answer.

    Returns:
        Label view and rationale view of the first record, of the second, and so on; `view` says
        which is which.

    Raises:
        DataError: A chain ends with no answer.
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
    """Give the weight of each view's tokens in the loss, so that each view counts by its own mean.

    The loss is `label_share` times the mean over the answers' tokens and the rest times the mean
    over the rationales'; without weights the rationales, being longer, would be nearly all of it.
    Lengths are counted in UTF-8 bytes, which stand to tokens alike in both. The mean weight is 1.

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
