"""One record per id, with a rule for an id that has two contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ....data.identity.duplicate_keys import content_hash
from ....errors import ConfigError, IdentityError, PipelineError
from ..step import Loss, Record, StepOutput, fault_reason
from .deduplicate import OnConflict
from .fields import names_of
from .whole_data import WholeDataStep, group_rows


class ResolveConflicts(WholeDataStep):
    """Keeps one record per id, in the place of the first one with this id.

    Records that are the same in all fields are dropped as `exact_duplicate`, those that differ as
    `conflicting_content`. `DeduplicateByField` does the first without holding all records in
    memory.

    >>> rows = [{"id": 1, "text": "old"}, {"id": 2, "text": "b"}, {"id": 1, "text": "new"}]
    >>> next(ResolveConflicts(field="id", on_conflict="last").process(rows))
    [{'id': 1, 'text': 'new'}, {'id': 2, 'text': 'b'}]
    """

    field: str | Sequence[str] = "sample_id"
    """Name of the id; of several fields, all must be equal."""
    on_conflict: OnConflict = "error"
    """What to do where an id has two contents: end the run, or keep the `first` or the
    `last` record."""
    content_fields: Sequence[str] = ()
    """Fields in which records conflict; empty: all but the id."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.on_conflict not in get_args(OnConflict):
            raise ConfigError([
                f"on_conflict is {self.on_conflict!r}; allowed are 'error', 'first' and 'last'"
            ])  # fmt: skip

    @property
    def inputs(self) -> list[str]:
        """The id."""
        return names_of(self.field)

    def combine(self, rows: Sequence[Record]) -> StepOutput:
        """Keep one record per id.

        Raises:
            PipelineError: An id has two contents and `on_conflict` is "error"; names all such ids.
        """
        names = names_of(self.field)
        groups, dead = group_rows("ResolveConflicts", rows, names, [])
        output = StepOutput(dead=dead)
        conflicts = []
        for group in groups:
            contents = self._contents(rows, group, output)
            if not contents:
                continue
            kept = list(contents)[-1 if self.on_conflict == "last" else 0]
            if len(set(contents.values())) > 1:
                conflicts.append([*contents])
            output.records.append(dict(rows[kept]))
            output.parents.append((kept,))
            for place, content in contents.items():
                if place != kept:
                    same = content == contents[kept]
                    reason = "exact_duplicate" if same else "conflicting_content"
                    output.rejected.append(Loss(place, reason, dict(rows[place])))
        if conflicts and self.on_conflict == "error":
            raise PipelineError(self._conflict_message(rows, conflicts))
        return output

    def _contents(
        self, rows: Sequence[Record], group: Sequence[int], output: StepOutput
    ) -> dict[int, bytes]:
        """Hash the content of each row of a group; a row that cannot be hashed is dead."""
        contents = {}
        for place in group:
            names = names_of(self.content_fields) or sorted(
                {*rows[place]} - {*names_of(self.field)}
            )
            try:
                contents[place] = content_hash(rows[place], names)
            except IdentityError as fault:
                output.dead.append(Loss(place, fault_reason(fault), dict(rows[place])))
        return contents

    def _conflict_message(self, rows: Sequence[Record], conflicts: Sequence[Sequence[int]]) -> str:
        shown = "; ".join(
            f"{', '.join(f'{n} {rows[places[0]][n]!r:.80}' for n in names_of(self.field))} in rows "
            + ", ".join(str(place + 1) for place in places[:5])
            for places in conflicts[:5]
        )
        return (
            f"{len(conflicts)} ids have two contents: {shown}; set on_conflict to 'first' or "
            "'last', or give the records ids of their own"
        )
