"""`quality_report.json`: how many records were kept, ran, matched and how they were judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import DataError
from ...rate_interval import rate_with_interval
from ..batch.label_run import Prices
from ..gates.record_values import read_flag, read_number
from .exact_sums import ExactSum
from .token_statistics import TokenSums

_KEPT_REASONS: Final = (None, "", "ok")
MOST_REASONS: Final = 1000
"""Different reasons that are counted by themselves; all further ones count as `OTHERS`."""
OTHERS: Final = "(other reasons)"
MOST_MESSAGES: Final = 20


@dataclass(frozen=True)
class QualityFields:
    """Columns that the report reads."""

    reject_reason: str = "reject_reason"
    exec_pass: str = "exec_pass"
    exec_error: str = "exec_error"
    gold_match: str = "gold_match"
    empty_match: str = "empty_match"
    """Whether a match is one of two results without rows."""
    judge_score: str = "judge_score"
    keep: str = "keep"
    selected: str = "selected"


class QualityReport:
    """The quality report of a stage, record by record.

    Missing, null, NaN and zero are different things: a rate is taken over the records whose value
    is true or false, and its report says over how many.

    Two results without rows match, but this proves nothing: `proven_match_rate` is the rate of
    matches over the other records that were compared.
    """

    def __init__(
        self,
        fields: QualityFields | None = None,
        *,
        prices: Prices | None = None,
        currency: str | None = None,
    ) -> None:
        """Begin without records.

        Args:
            fields: Columns to read.
            prices: What a million tokens cost; None leaves the cost out.
            currency: Of the prices, such as "USD".
        """
        self._fields = fields or QualityFields()
        self._prices = prices
        self._currency = currency
        self._total = 0
        self._flags: Counter[tuple[str, bool | None]] = Counter()
        self._empty_matches = 0
        self._reasons: Counter[str] = Counter()
        self._reason_seen = False
        self._kept_by_reason = 0
        self._errors: Counter[str] = Counter()
        self._error_seen = False
        self._messages: dict[str, None] = {}
        self._scores = ExactSum()
        self._least: float | None = None
        self._greatest: float | None = None
        self._not_finite = 0
        self._tokens = TokenSums()

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take a batch.

        Raises:
            DataError: A value that should be true or false is neither; names record and field.
        """
        fields = self._fields
        for record in records:
            self._total += 1
            for field in (fields.keep, fields.selected, fields.exec_pass, fields.gold_match):
                if field in record:
                    self._flags[field, self._flag(record, field)] += 1
            if fields.empty_match in record and self._flag(record, fields.empty_match):
                self._empty_matches += self._flag(record, fields.gold_match) is True
            self._add_reason(record)
            self._add_error(record)
            self._add_score(record)
            self._tokens.add(record)

    def report(self) -> dict[str, Any]:
        """Give the fields that follow from the records."""
        fields, kept = self._fields, self._kept()
        cost = None
        if self._prices is not None and self._tokens.known:
            cost = self._prices.cost(self._tokens.input, self._tokens.output)
        matches, compared = self._flags[fields.gold_match, True], self._evaluated(fields.gold_match)
        proven = rate_with_interval(
            "rate", matches - self._empty_matches, compared - self._empty_matches
        )
        rates = {
            **rate_with_interval("p_keep", kept or 0, self._total if kept is not None else 0),
            **self._rate("exec_pass_rate", "exec_pass_ci95", fields.exec_pass),
            **self._rate("gold_match_rate", "gold_match_ci95", fields.gold_match),
        }
        return {
            "total": self._total,
            "kept": kept,
            "rejected": None if kept is None else self._total - kept,
            "p_keep": rates["p_keep"],
            "exec_pass_rate": rates["exec_pass_rate"],
            "gold_match_rate": rates["gold_match_rate"],
            "judge_score": self._judge_score(),
            "reject_reason_counts": by_count(self._reasons) if self._reason_seen else None,
            "exec_error_counts": by_count(self._errors) if self._error_seen else None,
            "exec_error_messages": list(self._messages),
            "exec_evaluated": self._evaluated(fields.exec_pass),
            "gold_evaluated": compared,
            "empty_matches": self._empty_matches,
            "proven_match_rate": proven["rate"],
            "proven_match_ci95": proven["rate_ci95"],
            "judge_evaluated": self._scores.count,
            "not_finite": self._not_finite,
            "p_keep_ci95": rates["p_keep_ci95"],
            "exec_pass_ci95": rates["exec_pass_ci95"],
            "gold_match_ci95": rates["gold_match_ci95"],
            "tokens_in": self._tokens.input if self._tokens.known else None,
            "tokens_out": self._tokens.output if self._tokens.known else None,
            "cost": cost,
            "currency": self._currency,
        }

    def _flag(self, record: Mapping[str, Any], field: str) -> bool | None:
        value, reason = read_flag(record, field)
        if reason == "not_a_flag":
            name = record.get("sample_id")
            raise DataError(
                f"is {record[field]!r}; allowed is true, false or null"
                + ("" if name is None else f" (record {name!r})"),
                row=self._total,
                column=field,
            )
        return value

    def _add_reason(self, record: Mapping[str, Any]) -> None:
        reason = record.get(self._fields.reject_reason)
        self._reason_seen |= self._fields.reject_reason in record
        self._kept_by_reason += reason in _KEPT_REASONS
        count_reason(self._reasons, str(reason))

    def _add_error(self, record: Mapping[str, Any]) -> None:
        self._error_seen |= self._fields.exec_error in record
        error = record.get(self._fields.exec_error)
        if error is None or error == "":
            return
        text = str(error)
        count_reason(self._errors, text.split(":", 1)[0].strip() or text)
        if len(self._messages) < MOST_MESSAGES:
            self._messages[text] = None

    def _add_score(self, record: Mapping[str, Any]) -> None:
        score, reason = read_number(record, self._fields.judge_score)
        self._not_finite += reason == "not_finite"
        if score is not None:
            self._scores.add(score)
            self._least = score if self._least is None else min(self._least, score)
            self._greatest = score if self._greatest is None else max(self._greatest, score)

    def _judge_score(self) -> dict[str, float | None] | None:
        if not self._scores.count:
            return None
        return {"min": self._least, "max": self._greatest, "mean": self._scores.mean}

    def _kept(self) -> int | None:
        if not self._total:
            return None
        for field in (self._fields.keep, self._fields.selected):
            if any(seen == field for seen, _ in self._flags):
                return self._flags[field, True]
        return self._kept_by_reason if self._reason_seen else None

    def _evaluated(self, field: str) -> int:
        return self._flags[field, True] + self._flags[field, False]

    def _rate(self, name: str, interval: str, field: str) -> dict[str, Any]:
        found = rate_with_interval("rate", self._flags[field, True], self._evaluated(field))
        return {name: found["rate"], interval: found["rate_ci95"]}


def count_reason(counts: Counter[str], reason: str) -> None:
    """Count a reason; of data that has a reason of its own for each record, only some by name."""
    counts[reason if reason in counts or len(counts) < MOST_REASONS else OTHERS] += 1


def by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """Sort counts, the largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
