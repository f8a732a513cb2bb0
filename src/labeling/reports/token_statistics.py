"""Tokens that models read and wrote for a record, as the steps that called them stored it.

A step stores `{"statistics_<step>": {"input_tokens": [12], "output_tokens": [5]}}`, one entry per
generation, under `metadata`; `fastdistill_metadata` and `distilabel_metadata` are read as well, and
lists of them, which distilabel writes where generations are grouped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

METADATA_FIELDS: Final = ("metadata", "fastdistill_metadata", "distilabel_metadata")
"""Names of the column, the current one first."""
_PREFIX: Final = "statistics_"


def token_statistics(record: Mapping[str, Any]) -> Iterator[tuple[str, int, int, int]]:
    """Give what each step that called a model has stored in a record.

    A step that is there under several names counts once, under the first of `METADATA_FIELDS`.

    Args:
        record: A record.

    Yields:
        Name of the step, input tokens, output tokens (sums over its generations), and number of
        generations.

    >>> list(token_statistics({"metadata": {"statistics_a": {"input_tokens": [3], "output_tokens":
    ...     [4]}}}))
    [('a', 3, 4, 1)]
    """
    seen: set[str] = set()
    for field in METADATA_FIELDS:
        found: dict[str, tuple[list[int], list[int]]] = {}
        held = record.get(field)
        for metadata in held if isinstance(held, list) else [held]:
            for key, value in metadata.items() if isinstance(metadata, Mapping) else ():
                step = key.removeprefix(_PREFIX)
                if step != key and step not in seen and isinstance(value, Mapping):
                    read, written = found.setdefault(step, ([], []))
                    read += _counts(value, "input_tokens")
                    written += _counts(value, "output_tokens")
        seen |= found.keys()
        for step, (read, written) in found.items():
            if read or written:
                yield step, sum(read), sum(written), max(len(read), len(written))


class TokenSums:
    """Adds up tokens over records, per step and in all."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.input = 0
        """Tokens that were read."""
        self.output = 0
        """Tokens that were written."""
        self.records = 0
        """Records for which a model was called."""
        self.steps: dict[str, tuple[int, int, int]] = {}
        """Step -> input tokens, output tokens, generations."""

    @property
    def known(self) -> bool:
        """Whether there are numbers of tokens at all."""
        return self.records > 0

    def add(self, record: Mapping[str, Any], only: str | None = None) -> None:
        """Take a record.

        Args:
            record: A record.
            only: Name of the step whose tokens count; None takes all.
        """
        found = False
        for step, read, written, generations in token_statistics(record):
            if only not in (None, step):
                continue
            found = True
            self.input += read
            self.output += written
            before = self.steps.get(step, (0, 0, 0))
            self.steps[step] = (before[0] + read, before[1] + written, before[2] + generations)
        self.records += found


def _counts(statistics: Mapping[str, Any], name: str) -> list[int]:
    """Read numbers of tokens; one number may stand in place of a list."""
    value = statistics.get(name)
    many = value if isinstance(value, list | tuple) else [value]
    return [
        int(one) for one in many
        if isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one < float("inf")
    ]  # fmt: skip
