"""Several rows into one record: lists of their values, or the better and the worse answer."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import ConfigError
from ....labeling.gates.record_values import read_number, read_text
from ..step import Loss, Record, StepOutput
from .fields import names_of
from .whole_data import WholeDataStep, group_rows


class CombineRows(WholeDataStep):
    """Makes one record of all rows with the same key, with some columns as lists.

    Other columns are those of the first row. The records are in the order of their first rows.

    >>> step = CombineRows(by="q", columns=["a"])
    >>> next(step.process([{"q": 1, "a": "x"}, {"q": 2, "a": "y"}, {"q": 1, "a": "z"}]))
    [{'q': 1, 'a': ['x', 'z']}, {'q': 2, 'a': ['y']}]
    """

    by: str | Sequence[str] = "sample_id"
    """Columns whose values are equal in the rows of a record."""
    columns: Sequence[str]
    """Columns whose values become lists, in the order of the rows."""
    min_rows: int = 1
    """Fewest rows of a record, 1 or more; the rows of smaller groups are rejected."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        faults = [
            f"{name} is empty; name at least one column"
            for name in ("by", "columns")
            if not names_of(getattr(self, name))
        ]
        if self.min_rows < 1:
            faults.append(f"min_rows is {self.min_rows}; allowed: 1 or more")
        if both := sorted({*names_of(self.by)} & {*names_of(self.columns)}):
            faults.append(f"by and columns both name {both}; a column is in one of them")
        if faults:
            raise ConfigError(faults)

    @property
    def inputs(self) -> list[str]:
        """The columns."""
        return [*names_of(self.by), *names_of(self.columns)]

    @property
    def outputs(self) -> list[str]:
        """The columns that become lists."""
        return names_of(self.columns)

    def combine(self, rows: Sequence[Record]) -> StepOutput:
        """Make the records."""
        columns = names_of(self.columns)
        groups, dead = group_rows("CombineRows", rows, names_of(self.by), columns)
        output = StepOutput(dead=dead)
        for group in groups:
            if len(group) < self.min_rows:
                output.rejected += [
                    Loss(place, "too_few_rows", dict(rows[place])) for place in group
                ]
                continue
            lists = {column: [rows[place][column] for place in group] for column in columns}
            output.records.append({**rows[group[0]], **lists})
            output.parents.append(tuple(group))
        return output


class PairByScore(WholeDataStep):
    """Makes a preference record of the best and the worst answer to the same prompt.

    The record has the columns of the best answer's row, without its text and score, and `chosen`,
    `rejected`, `chosen_score` and `rejected_score`. Of equal scores the first row counts.

    >>> rows = [{"instruction": "2 + 2?", "generation": text, "teacher_score": score}
    ...         for text, score in (("5", 0.0), ("4", 1.0))]
    >>> next(PairByScore().process(rows))[0]["chosen"]
    '4'
    """

    by: str | Sequence[str] = "instruction"
    """Columns whose values are equal in the answers to one prompt."""
    text_field: str = "generation"
    score_field: str = "teacher_score"
    min_margin: float = 0.0
    """Least difference of the two scores, 0 or more; equal scores make no pair."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not names_of(self.by):
            raise ConfigError(["by is empty; name at least one column"])
        if not 0 <= self.min_margin < float("inf"):
            raise ConfigError([f"min_margin is {self.min_margin}; allowed: 0 or more"])

    @property
    def inputs(self) -> list[str]:
        """Key, text and score."""
        return [*names_of(self.by), self.text_field, self.score_field]

    @property
    def outputs(self) -> list[str]:
        """The pair."""
        return ["chosen", "rejected", "chosen_score", "rejected_score"]

    def combine(self, rows: Sequence[Record]) -> StepOutput:
        """Make the pairs."""
        needed = [self.text_field, self.score_field]
        groups, dead = group_rows("PairByScore", rows, names_of(self.by), needed)
        output = StepOutput(dead=dead)
        for group in groups:
            scored: list[tuple[int, str, float]] = []
            for place in group:
                text, text_fault = read_text(rows[place], self.text_field)
                score, score_fault = read_number(rows[place], self.score_field)
                if text is None or score is None:
                    reason = text_fault or score_fault
                    output.rejected.append(Loss(place, reason, dict(rows[place])))
                else:
                    scored.append((place, text, score))
            self._pair(output, rows, scored)
        return output

    def _pair(
        self, output: StepOutput, rows: Sequence[Record], scored: Sequence[tuple[int, str, float]]
    ) -> None:
        """Pair the best with the worst answer of one prompt; the others are rejected."""
        used: tuple[int, ...] = ()
        reason = "no_worse_answer"
        if scored:
            best = max(scored, key=lambda one: one[2])
            worst = min(scored, key=lambda one: one[2])
            margin = best[2] - worst[2]
            if margin > 0 and margin >= self.min_margin and best[1] != worst[1]:
                used, reason = (best[0], worst[0]), "neither_best_nor_worst"
                kept = {
                    name: value
                    for name, value in rows[best[0]].items()
                    if name not in (self.text_field, self.score_field)
                }
                scores = {"chosen_score": best[2], "rejected_score": worst[2]}
                output.records.append({**kept, "chosen": best[1], "rejected": worst[1], **scores})
                output.parents.append(used)
        output.rejected += [
            Loss(place, reason, dict(rows[place])) for place, _, _ in scored if place not in used
        ]
