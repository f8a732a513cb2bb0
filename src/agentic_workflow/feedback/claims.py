"""Which answers people say are right, and which of them may train the next student.

    judged = judge_claims(store.all(), turns, reference, store.decisions())
    [one.claim.answer for one in judged if one.status == "accepted"]

An answer that the table, a gold answer or enough independent people confirm is accepted. One that
contradicts the table, a gold answer or other people waits for a person, as does all that nothing
confirms. So a wrong correction enters only where a person of the review accepts it, or where
`Rules.people` people give the same one and hardly anybody another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ...records import sha256_text
from ...understanding.table.same_value import same_value
from ...understanding.table.values import fold
from ...understanding.verified.verified_questions import question_key
from .feedback_store import Decision, Feedback
from .spreadsheet_text import is_formula

Status = Literal["accepted", "waits", "rejected", "unused"]
TEACHER: Final = "the teacher"
"""Name under which the answers of the teacher count as those of one person."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class AskedTurn:
    """A turn of a conversation, as far as renewing a student needs it."""

    run_id: str
    owner: str
    question: str
    answer: str
    exit: str
    """How it ended: `answered`, `abstained`, `ask_back` and so on."""
    answered_by: str = "student"
    """What gave the answer; `teacher` after an escalation."""
    about: str = ""
    """The record that the answer cites, e.g. `elements.csv row 79`."""
    asked_at: str = ""
    """ISO 8601 in UTC."""


@dataclass(frozen=True)
class Reference:
    """What a question's answer is, other than by people."""

    answers: tuple[str, ...]
    source: str
    """Where it stands: `the table` or `the gold answer`."""
    cells: tuple[tuple[int, str], ...] = ()
    """Row number and column of the cells that it is read from."""

    def confirms(self, answer: str) -> bool:
        """Tell whether an answer is this one; several values may come in any order."""
        return same_value(answer, ", ".join(self.answers))


@dataclass(frozen=True)
class Rules:
    """When people are believed without the table."""

    people: int = 3
    """Independent people who must give the same answer; the teacher counts as one."""
    majority: float = 2 / 3
    """Least share of those who said something about the question."""
    per_person: int = 200
    """Most answers of one person that count, the oldest first."""
    per_record: int = 10
    """Most accepted answers about one record."""


@dataclass(frozen=True)
class Claim:
    """An answer that people, or the teacher, say is right for a question."""

    id: str
    question: str
    answer: str
    people: tuple[str, ...]
    """Who says so, the first one first."""
    against: tuple[str, ...] = ()
    """Who says that it is wrong, or gives another answer."""
    run_ids: tuple[str, ...] = ()
    """The runs whose answers they spoke about."""
    rejected: tuple[str, ...] = ()
    """Answers to the question that people called wrong."""
    about: tuple[str, ...] = ()
    """The records that the answers cited."""
    corrects: bool = False
    """Whether it differs from the answer that was given, or comes from the teacher."""
    given_at: str = ""
    """When it was given first."""


@dataclass(frozen=True)
class Judged:
    """A claim, and whether it may train the next student."""

    claim: Claim
    status: Status
    reason: str
    answer: str
    """The answer to train on: in the spelling of the table, or as a reviewer wrote it."""
    reference: Reference | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values; people are counted, not named."""
        one = self.claim
        return {
            "id": one.id,
            "question": one.question,
            "answer": self.answer,
            "status": self.status,
            "reason": self.reason,
            "people": len(one.people),
            "against": len(one.against),
            "instead_of": list(one.rejected),
            "run_ids": list(one.run_ids),
        }


FindReference = Callable[[str], Reference | None]
"""Finds what a question's answer is in the table or among gold answers; None where neither knows
it."""


def judge_claims(
    feedback: Iterable[Feedback],
    turns: Iterable[AskedTurn],
    reference: FindReference,
    decisions: Mapping[str, Decision] | None = None,
    rules: Rules | None = None,
) -> list[Judged]:
    """Judge all answers that people or the teacher say are right.

    Args:
        feedback: Opinions of people, in any order.
        turns: Turns of conversations; those that the teacher answered count as its opinion.
        reference: Finds the answer of a question in the table or among gold answers.
        decisions: Claim id -> what a reviewer decided.
        rules: When people are believed.

    Returns:
        One judgement for each claim, the oldest first. Liked answers that nothing confirms are
        `unused` and need no review.
    """
    rules, decided = rules or Rules(), decisions or {}
    spoken = _Count(rules.per_person)
    records = _Count(rules.per_record)
    found = []
    for claim in collect_claims(feedback, turns):
        counted = tuple(one for one in claim.people if spoken.has_room(one))
        judged = _judge(claim, counted, reference(claim.question), decided.get(claim.id), rules)
        if judged.status == "accepted" and claim.id not in decided:
            place = record_of(judged)
            if not records.has_room(place):
                judged = _waits(judged, f"{rules.per_record} answers about {place} are accepted "
                                "already")  # fmt: skip
        found.append(judged)
    return found


def collect_claims(feedback: Iterable[Feedback], turns: Iterable[AskedTurn]) -> list[Claim]:
    """Group opinions into claims: the same answer to the same question is one claim.

    Questions are the same apart from case, accents and punctuation; answers if they are the same
    value. Of several answers of a person to a question the latest counts.
    """
    asked: dict[str, _Asked] = {}
    for said in sorted(feedback, key=lambda one: one.given_at):
        key = question_key(said.question)
        if key:
            asked.setdefault(key, _Asked(said.question.strip())).hear(said)
    for turn in sorted(turns, key=lambda one: one.asked_at):
        key = question_key(turn.question)
        if key and turn.answered_by == "teacher" and turn.exit == "answered" and turn.answer:
            asked.setdefault(key, _Asked(turn.question.strip())).hear_teacher(turn)
    claims = [claim for one in asked.values() for claim in one.claims()]
    return sorted(claims, key=lambda one: (one.given_at, one.id))


def record_of(judged: Judged) -> str:
    """Name the record that an answer is about; the question where it cites none."""
    if judged.reference is not None and judged.reference.cells:
        return f"row {judged.reference.cells[0][0]}"
    return next(iter(judged.claim.about), question_key(judged.claim.question))


@dataclass
class _Vote:
    answer: str
    good: bool
    """Whether the person says that the answer is right."""
    corrects: bool
    run_id: str
    given_at: str


@dataclass
class _Asked:
    """What is said about one question."""

    question: str
    votes: dict[str, list[_Vote]] = field(default_factory=dict)
    """Person -> what they say."""
    about: dict[str, None] = field(default_factory=dict)

    def hear(self, said: Feedback) -> None:
        if said.about and question_key(said.about) != question_key(self.question):
            self.about[said.about] = None
        own = self.votes.setdefault(said.owner, [])
        given = said.answer if said.verdict != "abstained" else ""
        right = said.correction or (given if said.opinion == "good" else "")
        if right:
            # A person has one answer to a question: the latest.
            own[:] = [vote for vote in own if not vote.good]
            corrects = bool(given) and not same_value(right, given)
            own.append(_Vote(right, True, corrects or bool(said.correction and not given),
                             said.run_id, said.given_at))  # fmt: skip
        if said.opinion == "wrong" and given and not (right and same_value(right, given)):
            own.append(_Vote(given, False, False, said.run_id, said.given_at))

    def hear_teacher(self, turn: AskedTurn) -> None:
        if turn.about:
            self.about[turn.about] = None
        vote = _Vote(turn.answer, True, True, turn.run_id, turn.asked_at)
        self.votes[TEACHER] = [vote]

    def claims(self) -> list[Claim]:
        spoken = [(who, vote) for who, votes in self.votes.items() for vote in votes]
        groups: list[list[tuple[str, _Vote]]] = []
        for who, vote in spoken:
            if vote.good:
                group = next((g for g in groups if same_value(g[0][1].answer, vote.answer)), None)
                if group is None:
                    groups.append([(who, vote)])
                else:
                    group.append((who, vote))
        return [self._claim(group, spoken) for group in groups]

    def _claim(self, group: list[tuple[str, _Vote]], spoken: list[tuple[str, _Vote]]) -> Claim:
        answer = group[0][1].answer
        people = dict.fromkeys(who for who, _ in group)
        against = dict.fromkeys(
            who for who, vote in spoken
            if who not in people and vote.good != same_value(vote.answer, answer)
        )  # fmt: skip
        rejected = dict.fromkeys(
            vote.answer for _, vote in spoken
            if not vote.good and not same_value(vote.answer, answer)
        )  # fmt: skip
        return Claim(
            sha256_text(f"{question_key(self.question)}\n{fold(answer)}")[:10],
            self.question,
            answer,
            tuple(people),
            tuple(against),
            tuple(dict.fromkeys(vote.run_id for _, vote in group)),
            tuple(rejected),
            tuple(self.about),
            any(vote.corrects for _, vote in group),
            min(vote.given_at for _, vote in group),
        )


@dataclass
class _Count:
    """Counts up to a limit for each name."""

    most: int
    counts: dict[str, int] = field(default_factory=dict)

    def has_room(self, name: str) -> bool:
        """Count one more; False where the limit is reached."""
        count = self.counts.get(name, 0)
        if count >= self.most:
            return False
        self.counts[name] = count + 1
        return True


def _judge(
    claim: Claim,
    people: Sequence[str],
    known: Reference | None,
    decision: Decision | None,
    rules: Rules,
) -> Judged:
    judged = Judged(claim, "waits", "", claim.answer, known)
    if decision is not None:
        if decision.verdict == "rejected":
            return _with(judged, "rejected", "rejected in the review")
        answer = decision.answer or claim.answer
        how = "accepted" if same_value(answer, claim.answer) else "edited"
        return Judged(claim, "accepted", f"{how} in the review", answer, known)
    if not people:
        return _waits(judged, "who says so has said as much as counts of one person")
    fault = _text_fault(claim.answer)
    if fault and (known is None or not known.confirms(claim.answer)):
        return _waits(judged, fault)
    if known is not None:
        told = ", ".join(known.answers)
        if known.confirms(claim.answer):
            return Judged(claim, "accepted", f"as {known.source} says", told, known)
        return _waits(judged, f"contradicts {known.source}, which says {told!r}")
    if not claim.corrects and len(people) < rules.people:
        return _with(judged, "unused", f"liked by {len(people)}, and nothing confirms it")
    spoken = len(people) + len(claim.against)
    if len(people) / spoken < rules.majority:
        return _waits(judged, f"{len(people)} say so, {len(claim.against)} say otherwise")
    if len(claim.about) > 1:
        return _waits(judged, "the same words were asked about several records")
    if len(people) < rules.people:
        return _waits(judged, f"{len(people)} of {rules.people} people say so, and neither table "
                      "nor gold answers know")  # fmt: skip
    return _with(judged, "accepted", f"{len(people)} people say so independently")


def _with(judged: Judged, status: Status, reason: str) -> Judged:
    return Judged(judged.claim, status, reason, judged.answer, judged.reference)


def _waits(judged: Judged, reason: str) -> Judged:
    if not judged.claim.corrects:
        return _with(judged, "unused", reason)
    return Judged(judged.claim, "waits", reason, judged.claim.answer, judged.reference)


def _text_fault(answer: str) -> str:
    """Say why a text needs a person's eyes; empty if it does not."""
    if is_formula(answer):
        return "begins like a formula of a spreadsheet"
    if _UNPRINTABLE.search(answer):
        return "holds characters that are not shown"
    return ""
