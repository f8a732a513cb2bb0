"""Judges: a model scores records one by one, or says which of two answers is better.

step = JudgeScore(llm=OpenAILLM(model="judge", base_url="http://gateway.local/v1",
                                gateway={"max_concurrency": 4}),
                  rubric="Does the query answer the question?")

A judge is asked about rows that passed the gates before, and has calls, a cap and a budget of its
own. A row that it gives nothing usable for goes on, without a score and with the reason.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from ....errors import ConfigError, DataError
from ....labeling.batch.label_run import Labelled
from ....labeling.gates.judge_pairs import AnswerPair, PairJudgement, judge_pairs
from ....labeling.gates.judge_scores import JudgedFields, judge_scores
from ....labeling.gates.record_values import read_text
from ....labeling.gates.rubric import Rubric
from ..step import Loss, Record, StepOutput
from .asking_step import AskingStep, require_end
from .prompt_template import prompt_fault
from .token_statistics import METADATA, raw_output, statistics, with_metadata

NOT_JUDGED = "not_judged"
"""Reason of a row that an earlier gate sorted out."""


class _JudgeStep(AskingStep):
    """What both judges share."""

    rubric: Any
    """What is judged: a question, the fields of a `Rubric`, or one."""
    only_if: list[str] = field(default_factory=lambda: ["keep", "exec_pass"])
    """Columns of earlier gates; a row where one of them is there and is not true is not judged."""
    reference_field: str | None = None
    """Column of a gold answer that the judge is shown; None shows none."""
    reason_field: str = "judge_reason"
    """Column that the step adds: `ok`, or why there is no verdict."""
    add_raw_output: bool = True
    """Whether the metadata holds the judge's replies."""

    role: ClassVar[str] = "judge"

    def __post_init__(self) -> None:
        """Read the rubric."""
        super().__post_init__()
        if isinstance(self.rubric, str):
            self._rubric = Rubric(self.rubric)
        elif isinstance(self.rubric, Mapping):
            self._rubric = Rubric(**self.rubric)
        elif isinstance(self.rubric, Rubric):
            self._rubric = self.rubric
        else:
            raise ConfigError([f"rubric is {self.rubric!r}; give a question"])
        self._profile = self.model.profile()

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Judge each row of a batch that passed the gates before.

        Raises:
            LabelingStoppedError: The model or the budget ends the run.
        """
        (rows,) = inputs
        read = [self._read(row) for row in rows]
        faults = {place: why for place, one in enumerate(read) if (why := self._unfit(one))}
        places = [place for place in range(len(rows)) if place not in faults]
        added = self._judge([read[place] for place in places])
        records = [
            self._written({**read[place], **more}, rows[place])
            for place, more in zip(places, added, strict=True)
        ]
        dead = [Loss(place, why, dict(rows[place])) for place, why in faults.items()]
        return StepOutput(records, [(place,) for place in places], dead=dead)

    @abstractmethod
    def _judge(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        """Judge records, and give the columns to add to each."""

    def _unfit(self, record: Record) -> str | None:
        """Say why nothing can be added to a record; None if it can."""
        texts = [text for text in map(record.get, self.inputs) if isinstance(text, str)]
        if prompt_fault("".join(texts) or "-") is not None:
            return "a text holds half a surrogate pair"
        try:
            with_metadata(record, {})
        except DataError as fault:
            return str(fault)
        return None

    def _passed(self, record: Record) -> bool:
        """Tell whether a row passed the gates before."""
        return all(record[column] is True for column in self.only_if if column in record)

    def _told(self, replies: Sequence[Labelled]) -> dict[str, Any]:
        answers = [one.answer for one in replies if one.answer is not None]
        told = statistics(answers, self.own_name) if answers else {}
        if self.add_raw_output and answers:
            told[f"raw_output_{self.own_name}"] = [raw_output(answer) for answer in answers]
        return told


class JudgeScore(_JudgeStep):
    """Adds `judge_score`, 0 (worst) to 1 (best), or null with the reason in `judge_reason`."""

    instruction_field: str = "instruction"
    answer_field: str = "generation"
    score_field: str = "judge_score"

    @property
    def inputs(self) -> list[str]:
        """The columns that the judge is shown."""
        shown = [self.instruction_field, self.answer_field]
        return shown if self.reference_field is None else [*shown, self.reference_field]

    @property
    def outputs(self) -> list[str]:
        """Columns that the step adds."""
        return [self.score_field, self.reason_field, METADATA]

    def _judge(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        places = [place for place, record in enumerate(records) if self._passed(record)]
        judged = judge_scores(
            self.model.teacher(),
            [records[place] for place in places],
            self._rubric,
            self.calls(),
            fields=JudgedFields(self.instruction_field, self.answer_field, self.reference_field),
            profile=self._profile,
            settings=self.limits(),
        )
        require_end(judged.run)
        replies = {int(one.task.id): one for one in judged.run.results}
        added: list[dict[str, Any]] = [self._verdict(None, NOT_JUDGED) for _ in records]
        for number, place in enumerate(places):
            told = self._told([replies[number]] if number in replies else [])
            found = self._verdict(judged.scores[number], judged.reasons[number])
            added[place] = {**found, **_metadata(records[place], told)}
        return added

    def _verdict(self, score: float | None, reason: str) -> dict[str, Any]:
        return {self.score_field: score, self.reason_field: reason}


class JudgePairs(_JudgeStep):
    """Adds `judge_winner`: `a`, `b`, `tie`, or null with the reason in `judge_reason`.

    Each pair is asked in both orders; an answer wins only if it wins in both.
    """

    instruction_field: str = "instruction"
    a_field: str = "generation"
    b_field: str = "student_generation"
    winner_field: str = "judge_winner"
    choices_field: str = "judge_choices"
    """Column that the step adds: the position that was chosen with `a` first, and with `b` first,
    from which `WriteJudgeReport` computes the position bias."""

    @property
    def inputs(self) -> list[str]:
        """The columns that the judge is shown."""
        shown = [self.instruction_field, self.a_field, self.b_field]
        return shown if self.reference_field is None else [*shown, self.reference_field]

    @property
    def outputs(self) -> list[str]:
        """Columns that the step adds."""
        return [self.winner_field, self.choices_field, self.reason_field, METADATA]

    @property
    def calls_per_record(self) -> int:
        """Two, one for each order."""
        return 2

    def _judge(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        shown = [self._pair(record) if self._passed(record) else NOT_JUDGED for record in records]
        asked = {place: one for place, one in enumerate(shown) if isinstance(one, AnswerPair)}
        judged = judge_pairs(
            self.model.teacher(), list(asked.values()), self._rubric, self.calls(),
            profile=self._profile, settings=self.limits(),
        )  # fmt: skip
        require_end(judged.run)
        added = [self._verdict(None, str(reason)) for reason in shown]
        for number, place in enumerate(asked):
            told = self._told(judged.run.results[2 * number : 2 * number + 2])
            verdict = self._verdict(judged.pairs[number])
            added[place] = {**verdict, **_metadata(records[place], told)}
        return added

    def _pair(self, record: Record) -> AnswerPair | str:
        """Read what the judge is shown, or the reason why nothing is."""
        texts = []
        for column in self.inputs:
            text, reason = read_text(record, column)
            if text is None or not text.strip():
                return reason or f"{column} empty_output"
            texts.append(text)
        return AnswerPair(*texts)

    def _verdict(self, one: PairJudgement | None, reason: str = NOT_JUDGED) -> dict[str, Any]:
        return {
            self.winner_field: None if one is None else one.winner,
            self.choices_field: None if one is None else list(one.choices),
            self.reason_field: reason if one is None else one.reason,
        }


def _metadata(record: Record, told: Mapping[str, Any]) -> dict[str, Any]:
    return {METADATA: with_metadata(record, told)[METADATA]} if told else {}
