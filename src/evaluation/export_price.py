"""The price of int8: right answers, size and speed of a student with eight and with 32 bits.

    found = export_price("outputs/elements/student", held_out)
    found["int8"]["right"], found["float32"]["right"]

Both exports are computed by ONNX Runtime, so the difference is that of the weights alone. They are
made in a temporary folder: an export inside the student's folder would be served from then on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from ..errors import EmptyDataError
from ..inference.checkpoints.load_student import load_checkpoint
from ..inference.onnx_export.engine import serve_export
from ..inference.onnx_export.export import export_checkpoint
from ..inference.onnx_export.layout import ExportDtype
from ..rate_interval import rate_with_interval
from ..records import Example
from .metrics import exact_match
from .speed import ask_singly

PRICE_FILE: Final = "int8.json"
"""File of a run folder that holds the result."""
MOST_ASKED: Final = 150
_DTYPES: Final[Sequence[ExportDtype]] = ("float32", "int8")


def export_price(
    folder: str | Path,
    held_out: Sequence[Example],
    *,
    max_new_tokens: int = 64,
    prompts: str | Path | None = None,
    most: int = MOST_ASKED,
) -> dict[str, Any]:
    """Ask the same questions of a float32 and of an int8 export, one at a time.

    Args:
        folder: The student's checkpoint folder.
        held_out: Questions with targets; at most `most` of them are asked, evenly spread.
        max_new_tokens: Most tokens of an answer.
        prompts: As for `export_checkpoint`.
        most: Most questions.

    Returns:
        `float32` and `int8`, each with `right`, `n`, `rate_ci95`, `weights_bytes`,
        `latency_p50_ms`, `latency_p95_ms` and `tokens_per_second`; `loss` of the probabilities, and
        `words` about it.

    Raises:
        EmptyDataError: There are no questions.
        ExportError: The student's architecture cannot be exported.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    if not held_out:
        raise EmptyDataError("there are no questions to ask; give held-out examples with targets")
    count = min(most, len(held_out))
    asked = [held_out[place * len(held_out) // count] for place in range(count)]
    found: dict[str, Any] = {}
    checkpoint = load_checkpoint(folder, device="cpu")
    with tempfile.TemporaryDirectory(prefix="stillroom-export-") as place:
        for dtype in _DTYPES:
            made = export_checkpoint(
                folder, dtype=dtype, output=Path(place) / dtype, prompts=prompts
            )
            with closing(serve_export(made.folder)) as engine:
                timed = ask_singly(
                    engine, checkpoint, [one.asked for one in asked], max_new_tokens=max_new_tokens
                )
            right = sum(
                exact_match(text, one.target or "")
                for text, one in zip(timed.texts, asked, strict=True)
            )
            found[dtype] = {
                "right": right, "n": count, **rate_with_interval("rate", right, count),
                "weights_bytes": made.bytes_after,
                "latency_p50_ms": timed.percentile(50), "latency_p95_ms": timed.percentile(95),
                "tokens_per_second": timed.tokens_per_second,
            }  # fmt: skip
        loss: Mapping[str, Any] = made.loss.to_dict()
        words = made.loss.lines()[0]
    return {**found, "loss": dict(loss), "words": f"Both have {words}"}
