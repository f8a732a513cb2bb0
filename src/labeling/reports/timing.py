"""`timing_report.json`: how long records were between the marks that `MarkTime` left in them.

Marks are taken once per batch, so these are waiting times. `busy_s` is the time in which there was
any record between two marks: the union of these intervals.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from ...errors import ConfigError, DataError, did_you_mean
from .exact_sums import ExactSum
from .external_sort import ExternalSort, float_key, key_float

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95}
_MOST_SPANS: Final = 1 << 16
"""Different spans in memory; there is about one per batch."""


class TimingReport:
    """The times of a run, record by record."""

    def __init__(self, ordered_labels: Sequence[str], timing_field: str = "timing") -> None:
        """Begin without records.

        Args:
            ordered_labels: Labels of the marks, in the order in which a record gets them.
            timing_field: Column of the marks: an object of label -> time, in seconds since 1970
                or as ISO 8601.

        Raises:
            ConfigError: A label is there twice.
        """
        self.labels = list(ordered_labels)
        if len(set(self.labels)) < len(self.labels):
            raise ConfigError([f"ordered_labels has a label twice: {self.labels}"])
        self.total = Spans()
        """From the first label to the last."""
        self._field = timing_field
        self._between = {pair: Spans() for pair in pairwise(self.labels)}
        self._seen: set[str] = set()
        self._count = 0

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take a batch; a record without a mark is left out where the mark is needed.

        Raises:
            DataError: A mark is no time, or before the one that it follows; names the record.
        """
        for record in records:
            self._count += 1
            marks = self._marks(record)
            self._seen.update(marks)
            for (first, second), spans in self._between.items():
                self._add_span(spans, marks, first, second, record)
            if len(self.labels) > 1:
                self._add_span(self.total, marks, self.labels[0], self.labels[-1], record)

    def report(self) -> dict[str, Any]:
        """Give `labels`, `durations`, `total`, `busy_s` (label -> seconds) and `wall_s`.

        Raises:
            ConfigError: No record has a mark with one of the labels.
        """
        unknown = [label for label in self.labels if label not in self._seen]
        if self._count and unknown:
            raise ConfigError([
                f"ordered_labels has {label!r}, which no record has in {self._field!r}; "
                + did_you_mean(label, self._seen, what="label")
                for label in unknown
            ])  # fmt: skip
        return {
            "labels": self.labels,
            "durations": {f"{a}__to__{b}": s.statistics() for (a, b), s in self._between.items()},
            "total": self.total.statistics() if self.total.count else None,
            "busy_s": {b: spans.covered() for (_, b), spans in self._between.items()},
            "wall_s": self.total.width,
        }

    def _marks(self, record: Mapping[str, Any]) -> dict[str, float]:
        marks = record.get(self._field)
        if marks is None:
            return {}
        if not isinstance(marks, Mapping):
            raise DataError(f"is {marks!r}; an object of label -> time is needed",
                            row=self._count, column=self._field)  # fmt: skip
        return {str(label): self._time(label, value) for label, value in marks.items()}

    def _time(self, label: str, value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        try:
            when = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            when = None
        if when is None:
            raise DataError(f"has {value!r} for {label!r}; seconds or ISO 8601 are needed",
                            row=self._count, column=self._field)  # fmt: skip
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

    def _add_span(
        self,
        spans: Spans,
        marks: Mapping[str, float],
        first: str,
        second: str,
        record: Mapping[str, Any],
    ) -> None:
        if first not in marks or second not in marks:
            return
        if marks[second] < marks[first]:
            raise DataError(
                f"the mark {second!r} is {marks[first] - marks[second]:.6f} s before {first!r} "
                f"(record {record.get('sample_id', self._count)!r}); give the labels in the order "
                "in which they were set",
                row=self._count,
                column=self._field,
            )
        spans.add(marks[first], marks[second])


class Spans:
    """Spans of time, of which there may be any number."""

    def __init__(self) -> None:
        """Begin without spans."""
        self.count = 0
        """Spans added."""
        self._start = math.inf
        self._end = -math.inf
        self._sum = ExactSum()
        self._held: Counter[tuple[float, float]] = Counter()
        self._lengths = ExternalSort(16)
        self._places = ExternalSort(16)

    @property
    def width(self) -> float | None:
        """Seconds from the first start to the last end; None without spans."""
        return self._end - self._start if self.count else None

    def add(self, start: float, end: float) -> None:
        """Add a span, in seconds; `end` is not before `start`."""
        self.count += 1
        self._start, self._end = min(self._start, start), max(self._end, end)
        self._sum.add(end - start)
        self._held[start, end] += 1
        if len(self._held) >= _MOST_SPANS:
            self._spill()

    def statistics(self) -> dict[str, Any]:
        """Give `count`, `min`, `max`, `mean` and the quantiles, in seconds.

        `p50`, `p90` and `p95` are values that occur, `sorted[round((n - 1) * q)]`; with `_linear`
        they are interpolated (Hyndman and Fan 1996, number 7). All but the count are None without
        spans.
        """
        names = [*QUANTILES, *(f"{name}_linear" for name in QUANTILES)]
        if not self.count:
            return {"count": 0, **dict.fromkeys(["min", "max", "mean", *names])}
        last = self.count - 1
        near = {name: round(last * q) for name, q in QUANTILES.items()}
        below = {name: math.floor(last * q) for name, q in QUANTILES.items()}
        wanted = {0, last, *near.values(), *below.values()}
        wanted |= {min(place + 1, last) for place in below.values()}
        at = self._values_at(sorted(wanted))
        linear = {}
        for name, q in QUANTILES.items():
            low, high = at[below[name]], at[min(below[name] + 1, last)]
            linear[f"{name}_linear"] = low + (high - low) * (last * q - below[name])
        return {
            "count": self.count,
            "min": at[0],
            "max": at[last],
            "mean": self._sum.mean,
            **{name: at[place] for name, place in near.items()},
            **linear,
        }

    def covered(self) -> float:
        """Add up the time that lies in at least one span, in seconds."""
        self._spill()
        covered, end = ExactSum(), -math.inf
        for key in self._places:
            first, second = key_float(key[:8]), key_float(key[8:])
            if second > end:
                covered.add(second - max(first, end))
                end = second
        return covered.total

    def _values_at(self, places: Sequence[int]) -> dict[int, float]:
        """Find the lengths at some places, ascending, of all lengths in their order."""
        found: dict[int, float] = {}
        wanted = iter(places)
        place = next(wanted)
        for value, end in self._counted_lengths():
            while place < end:
                found[place] = value
                place = next(wanted, self.count)
            if place == self.count:
                break
        return found

    def _counted_lengths(self) -> Iterator[tuple[float, int]]:
        """Give each length in ascending order, with how many there are up to and with it."""
        self._spill()
        end = 0
        for key in self._lengths:
            end += struct.unpack(">Q", key[8:])[0]
            yield key_float(key[:8]), end

    def _spill(self) -> None:
        for (start, end), count in self._held.items():
            self._lengths.add(float_key(end - start) + struct.pack(">Q", count))
            self._places.add(float_key(start) + float_key(end))
        self._held.clear()
