"""The verdict of a gate, and running gates over a record until one fails.

A gate is data (a frozen dataclass) with a `judge` that depends on nothing but this data and the
record. Gates are given in the order of their cost: rules, execution, agreement, judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ...errors import ConfigError

OK: Final = "ok"
"""Reason of a verdict that has nothing to add."""


@dataclass(frozen=True)
class Verdict:
    """What one gate found about one record."""

    gate: str
    """Name of the gate."""
    passed: bool
    reason: str
    """`ok`, or why the record failed or what to know about its pass; never empty."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was found, by the names of the columns that a pipeline stores; JSON values."""

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored with the record: `{gate, passed, reason}`."""
        return {"gate": self.gate, "passed": self.passed, "reason": self.reason}


class Gate(Protocol):
    """Checks one record."""

    @property
    def name(self) -> str:
        """Name of the gate in verdicts and reports."""
        ...

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record; a record that lacks what the gate needs fails."""
        ...


def judge_record(record: Mapping[str, Any], gates: Sequence[Gate]) -> list[Verdict]:
    """Run gates in their order, up to and including the first that fails.

    Args:
        record: A record with the fields that the gates read.
        gates: At least one, cheap ones first, with different names.

    Returns:
        The verdicts; the record passed if the last one did. Gates after a failure are not run.

    Raises:
        ConfigError: There are no gates, or two have the same name.
    """
    names = [gate.name for gate in gates]
    if not names or len(set(names)) < len(names):
        raise ConfigError([f"the gates are {names}; allowed is one or more, with different names"])
    verdicts = []
    for gate in gates:
        verdicts.append(gate.judge(record))
        if not verdicts[-1].passed:
            break
    return verdicts
