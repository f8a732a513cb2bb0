"""What the steps share that make one record of several rows, or choose among rows.

They need the whole data set at once, and account for each of its rows themselves: a row that cannot
be read is dead alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from ....data.identity.field_hashes import field_json
from ....errors import DataError, IdentityError
from ..step import GlobalStep, Loss, Record, StepOutput, fault_reason
from .fields import require_field


class WholeDataStep(GlobalStep):
    """Subclass it with a `combine`."""

    @abstractmethod
    def combine(self, rows: Sequence[Record]) -> StepOutput:
        """Work on all rows, under the names that the step reads and writes."""

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Work on all records.

        Raises:
            DataError: A record cannot be worked on; the first such one is told.
        """
        output = self.run_rows(*inputs)
        if output.dead:
            raise DataError(output.dead[0].reason)
        yield output.records

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Work on all rows, and account for each."""
        (rows,) = inputs
        output = self.combine([self._read(row) for row in rows])
        output.records = [
            self._written(record, rows[places[0]])
            for record, places in zip(output.records, output.parents, strict=True)
        ]
        for loss in (*output.rejected, *output.dead):
            loss.record.clear()
            loss.record.update(rows[loss.place])
        return output


def group_rows(
    step: str, rows: Sequence[Record], by: Sequence[str], needed: Sequence[str]
) -> tuple[list[list[int]], list[Loss]]:
    """Group rows by the values of some fields, which may be any JSON values.

    Args:
        step: Name of the step, for messages.
        rows: All rows.
        by: Fields whose values are equal in a group.
        needed: Further fields that each row must have.

    Returns:
        The places of the rows of each group, in the order of their first rows; and the rows that
        are in none, since they lack a field.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    dead = []
    for place, row in enumerate(rows):
        try:
            for field in (*by, *needed):
                require_field(step, row, field)
            key = tuple(field_json(row, field) for field in by)
        except IdentityError as fault:
            dead.append(Loss(place, fault_reason(fault), dict(row)))
            continue
        groups.setdefault(key, []).append(place)
    return list(groups.values()), dead
