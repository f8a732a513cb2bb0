"""Dropping the records that gates did not keep."""

from __future__ import annotations

from ....labeling.gates.verdict import OK
from ..step import GlobalStep, Record, Rejected, RowStep
from .fields import read_mark


class FilterByBool(RowStep):
    """Passes the records in which a field is true, or false; one by one.

    >>> list(FilterByBool().process([{"keep": True}, {"keep": "False"}, {"keep": None}]))
    [[{'keep': True}]]
    """

    field: str = "keep"
    value: bool = True
    reject_reason_field: str = "reject_reason"
    """Field in which gates say why they kept a record out; it is the reason that is counted."""

    @property
    def inputs(self) -> list[str]:
        """The field."""
        return [self.field]

    def apply(self, record: Record) -> Record | Rejected:
        """Pass a record, or say why not.

        Raises:
            DataError: The field holds no truth value.
        """
        flag = read_mark(record, self.field)
        if flag is self.value:
            return record
        if flag is None:
            return Rejected(f"missing {self.field}")
        told = record.get(self.reject_reason_field)
        gate_failed = not flag and isinstance(told, str) and told not in ("", OK)
        return Rejected(str(told) if gate_failed else f"{self.field} is {str(flag).lower()}")


class SelectByBool(FilterByBool, GlobalStep):
    """Does what `FilterByBool` does with the whole data set at once; the result is the same."""
