"""Outcomes of two models on the same records, aligned by `sample_id`.

paired = align(read_outcomes("new.jsonl", "correct"), read_outcomes("old.jsonl", "correct"))

Sizes: N records; K runs of the candidate and M of the baseline, each trained with its own seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, DataNotFoundError, EmptyDataError

Floats = NDArray[np.float64]
_SHOWN = 3


@dataclass(frozen=True)
class Outcome:
    """How a model did on one record."""

    sample_id: str
    value: float
    """1 for a right and 0 for a wrong answer, or a score or an error."""
    source: str = ""
    """Source record that the record was made from; empty: the record itself. Several questions
    about one row of a table are not independent."""
    category: str = ""
    """Part of the data that is reported by itself, such as a task or a language."""


@dataclass(frozen=True)
class Paired:
    """Outcomes of two models, in the order of the ids."""

    sample_ids: tuple[str, ...]
    candidate: Floats
    """(N,)."""
    baseline: Floats
    """(N,)."""
    sources: NDArray[np.int64]
    """Number of the source record of each record, (N,), from 0."""
    categories: tuple[str, ...]

    def __len__(self) -> int:
        """Count the records."""
        return len(self.sample_ids)

    def part(self, category: str) -> Paired:
        """Take the records of one category."""
        places = [place for place, one in enumerate(self.categories) if one == category]
        return Paired(
            tuple(self.sample_ids[place] for place in places),
            self.candidate[places],
            self.baseline[places],
            np.unique(self.sources[places], return_inverse=True)[1].astype(np.int64),
            (category,) * len(places),
        )


@dataclass(frozen=True)
class PairedRuns:
    """Outcomes of the runs of two recipes, in the order of the ids."""

    sample_ids: tuple[str, ...]
    candidate: Floats
    """(K, N)."""
    baseline: Floats
    """(M, N)."""
    sources: NDArray[np.int64]
    """As in `Paired`, (N,)."""
    categories: tuple[str, ...]

    def __len__(self) -> int:
        """Count the records."""
        return len(self.sample_ids)

    def part(self, *categories: str) -> PairedRuns:
        """Take the records of some categories."""
        places = [place for place, one in enumerate(self.categories) if one in categories]
        return PairedRuns(
            tuple(self.sample_ids[place] for place in places),
            self.candidate[:, places],
            self.baseline[:, places],
            np.unique(self.sources[places], return_inverse=True)[1].astype(np.int64),
            tuple(self.categories[place] for place in places),
        )

    def first(self) -> Paired:
        """Give the first run of each side."""
        return Paired(
            self.sample_ids, self.candidate[0], self.baseline[0], self.sources, self.categories
        )


def align_runs(
    candidate: Sequence[Iterable[Outcome]],
    baseline: Sequence[Iterable[Outcome]],
    names: tuple[str, str] = ("candidate", "baseline"),
) -> PairedRuns:
    """Pair the runs of two recipes; one run on each side is two models.

    Args:
        candidate: Outcomes of K runs, K at least 1.
        baseline: Outcomes of M runs, M at least 1.
        names: Of the two, for messages.

    Raises:
        EmptyDataError: A side has no runs, or there are no outcomes.
        DataError: As for `align`.
    """
    if not candidate or not baseline:
        raise EmptyDataError(f"there are no runs of the {names[0 if not candidate else 1]}")
    first = list(baseline[0])
    own = [align(run, first, names) for run in candidate]
    other = [align(run, first, (names[1], names[1])) for run in baseline[1:]]
    return PairedRuns(
        own[0].sample_ids,
        np.stack([one.candidate for one in own]),
        np.stack([own[0].baseline, *(one.candidate for one in other)]),
        own[0].sources,
        own[0].categories,
    )


def align(
    candidate: Iterable[Outcome],
    baseline: Iterable[Outcome],
    names: tuple[str, str] = ("candidate", "baseline"),
) -> Paired:
    """Pair the outcomes of two models; the order in which they are given does not matter.

    Args:
        candidate: Outcomes of the model that is judged.
        baseline: Outcomes of the model that it is compared with.
        names: Of the two, for messages.

    Raises:
        EmptyDataError: There are no outcomes.
        DataError: An id is on one side alone or occurs twice, a record has another source or
            category on the other side, or a value is not finite. The message names the ids.
    """
    own, other = _by_id(candidate, names[0]), _by_id(baseline, names[1])
    if not own and not other:
        raise EmptyDataError("there are no outcomes to compare")
    faults = [
        f"{len(alone)} records are in the {here} alone: {_some(alone)}"
        for here, alone in (
            (names[0], own.keys() - other.keys()),
            (names[1], other.keys() - own.keys()),
        )
        if alone
    ]
    if not faults:
        for name in ("source", "category"):
            differ = {k for k in own if getattr(own[k], name) != getattr(other[k], name)}
            if differ:
                faults.append(f"{len(differ)} records have two values of {name}: {_some(differ)}")
    if faults:
        raise DataError("the outcomes are not of the same records: " + "; ".join(faults))
    ids = sorted(own)
    # A record without a source is its own; the pair keeps it apart from a source of that name.
    sources = [(bool(own[one].source), own[one].source or one) for one in ids]
    numbers = {source: number for number, source in enumerate(dict.fromkeys(sources))}
    return Paired(
        tuple(ids),
        np.array([own[one].value for one in ids], dtype=np.float64),
        np.array([other[one].value for one in ids], dtype=np.float64),
        np.array([numbers[source] for source in sources], dtype=np.int64),
        tuple(own[one].category for one in ids),
    )


def read_outcomes(
    path: str | Path,
    value: str,
    *,
    id_field: str = "sample_id",
    source_field: str = "source_id",
    category_field: str = "category",
) -> list[Outcome]:
    """Read the outcomes of a model from JSON Lines.

    Args:
        path: One object per line.
        value: Field with true, false or a number.
        id_field: Field with the id.
        source_field: Field with the source record; it may be absent.
        category_field: Field with the category; it may be absent.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: A line is no object, or has no id or no such value; names the line.
    """
    if not Path(path).is_file():
        raise DataNotFoundError(f"there is no file {str(path)!r}")
    found = []
    with open(path, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DataError(f"is no JSON ({error})", path=path, row=number) from error
            if not isinstance(record, dict):
                raise DataError("is no object", path=path, row=number)
            for name in (id_field, value):
                if record.get(name) is None:
                    raise DataError("the record has no value", path=path, row=number, column=name)
            given = record[value]
            if not isinstance(given, (bool, int, float)):
                raise DataError(f"{given!r} is no number, true or false", path=path, row=number,
                                column=value)  # fmt: skip
            found.append(Outcome(
                str(record[id_field]), float(given), _text(record.get(source_field)),
                _text(record.get(category_field)),
            ))  # fmt: skip
    return found


def _by_id(outcomes: Iterable[Outcome], side: str) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for one in outcomes:
        if one.sample_id in found:
            raise DataError(f"the id {one.sample_id!r} occurs twice in the {side}")
        if not math.isfinite(one.value):
            raise DataError(f"the value of {one.sample_id!r} in the {side} is {one.value!r} "
                            "(not_finite)")  # fmt: skip
        found[one.sample_id] = one
    return found


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return "" if value is None else str(value)


def _some(ids: Iterable[str]) -> str:
    ordered = sorted(ids)
    shown = ", ".join(map(repr, ordered[:_SHOWN]))
    return shown + (f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else "")
