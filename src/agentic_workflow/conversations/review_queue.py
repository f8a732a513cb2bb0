"""What waits for a person: answers that nothing confirms, and proposed names of columns.

    queue = ReviewQueue(store, transcript, reader, gold=gold_answers(run))
    for one in queue.waiting():
        queue.decide(one.claim.id, Decision("accepted"))

The chat page and `stillroom renew --review` show the same queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ...errors import ConfigError
from ...records import read_examples
from ...run_folder import PROGRESS_FILE
from ...understanding.verified.verified_questions import question_key
from ..feedback.claims import AskedTurn, Judged, Reference, Rules, judge_claims
from ..feedback.feedback_store import Decision, Feedback, FeedbackStore
from ..feedback.proposals import Encode, Proposal, propose_names
from ..reading.table_reader import TableReader
from .transcript import ChatTurn, Transcript

TRAINED_FILE: Final = "data/train.jsonl"
LABELS_FILE: Final = "data/teacher_labels.jsonl"
"""Files of a run's folder with the training questions and the teacher's answers to some of them."""
_GOLD: Final = "the gold answer"
_TABLE: Final = "the table"


class ReviewQueue:
    """The judged answers of people, and the decisions of reviewers about them.

    Args:
        store: Keeps the opinions and the decisions.
        transcript: Keeps the conversations; None for none.
        reader: Reads questions over the student's table; None for a student without a table.
        gold: Question key -> gold answer; see `gold_answers`.
        rules: When people are believed.
        more: Further opinions, such as those of a file.
        further_turns: Further turns.
        encode: The sentence encoder for proposals; None takes that of the reader.
    """

    def __init__(
        self,
        store: FeedbackStore,
        transcript: Transcript | None = None,
        reader: TableReader | None = None,
        *,
        gold: Mapping[str, Reference] | Callable[[], Mapping[str, Reference]] | None = None,
        rules: Rules | None = None,
        more: Sequence[Feedback] = (),
        further_turns: Sequence[AskedTurn] = (),
        encode: Encode | None = None,
    ) -> None:
        """Read nothing yet."""
        self._store, self._transcript, self._reader = store, transcript, reader
        self._gold = gold or {}
        self._rules, self._more, self._turns = rules or Rules(), list(more), list(further_turns)
        self._encode = encode
        self._known: dict[str, Reference | None] = {}
        self._known_of = None if reader is None else reader.table

    def opinions(self) -> list[Feedback]:
        """Return all opinions."""
        return [*self._store.all(), *self._more]

    def turns(self) -> list[AskedTurn]:
        """Return the turns of all conversations."""
        kept = [] if self._transcript is None else self._transcript.everyones_turns()
        return [*(asked_turn(owner, turn) for owner, turn in kept), *self._turns]

    def judged(self) -> list[Judged]:
        """Judge all answers that people or the teacher say are right; see `judge_claims`."""
        decisions = self._store.decisions()
        return judge_claims(self.opinions(), self.turns(), self.reference, decisions, self._rules)

    def waiting(self) -> list[Judged]:
        """Return the answers that wait for a person, the oldest first."""
        return [one for one in self.judged() if one.status == "waits"]

    def proposals(self) -> list[Proposal]:
        """Propose other names of columns; see `propose_names`."""
        reader = self._reader
        if reader is None or reader.known is not None:
            return []
        encode = self._encode
        if encode is None and reader.asker.encoder is not None:
            encode = reader.asker.encoder.encode

        def unknown_words(question: str) -> tuple[str, ...]:
            read = reader.read(question)
            return () if read.verdict == "answered" else read.left

        decisions = self._store.decisions()
        return propose_names(
            self.turns(), self.opinions(), reader.table, unknown_words, encode, decisions
        )

    def decide(self, place: str, decision: Decision) -> None:
        """Store a decision about an answer or a proposal; an earlier one is replaced.

        Raises:
            ConfigError: Nothing has this id, or the answer is too long.
        """
        known = {one.claim.id for one in self.judged()} | {one.id for one in self.proposals()}
        if place not in known:
            raise ConfigError([f"nothing in the review has the id {place!r}; --review list shows "
                               "what waits"])  # fmt: skip
        self._store.decide(place, decision)

    def reference(self, question: str) -> Reference | None:
        """Find a question's answer among gold answers or in the table; None if both lack it."""
        table = None if self._reader is None else self._reader.table
        if table is not self._known_of:  # columns got other names
            self._known_of = table
            self._known.clear()
        key = question_key(question)
        if key not in self._known:
            self._known[key] = self._gold_answers().get(key) or self._table_answer(question)
        return self._known[key]

    def _gold_answers(self) -> Mapping[str, Reference]:
        if callable(self._gold):
            self._gold = self._gold()
        return self._gold

    def _table_answer(self, question: str) -> Reference | None:
        if self._reader is None:
            return None
        read = self._reader.read(question)
        values = read.answer or (tuple(read.match.values()) if read.match else ())
        if read.verdict != "answered" or not values:
            return None
        return Reference(values, _TABLE, read.cells)


def asked_turn(owner: str, turn: ChatTurn) -> AskedTurn:
    """Take from a turn what renewing a student needs."""
    final = turn.final
    cited = (final.get("citations") or final.get("sources") or [None])[0]
    return AskedTurn(
        turn.run_id,
        owner,
        turn.question,
        str(final.get("response") or ""),
        str(final.get("exit") or "answered"),
        str(final.get("answered_by") or "student"),
        f"{cited['table']} row {cited['row']}" if cited else "",
        turn.asked_at,
    )


def gold_answers(student: Path) -> dict[str, Reference]:
    """Read the gold answers that a student was trained on from the folder of its run.

    Args:
        student: The student's folder; without a run there are none.

    Returns:
        Question key -> answer. Questions that the teacher labelled are left out, and those with
        two answers.
    """
    run = student.parent
    if not (run / PROGRESS_FILE).is_file() or not (run / TRAINED_FILE).is_file():
        return {}
    labels = run / LABELS_FILE
    labelled = {one.fact for one in read_examples(str(labels))} if labels.is_file() else set()
    found: dict[str, Reference] = {}
    twice: set[str] = set()
    for example in read_examples(str(run / TRAINED_FILE)):
        if example.task != "qa" or example.fact in labelled or not example.target:
            continue
        key, place = question_key(str(example.fields.get("text", ""))), example.source
        cells = ((place.row, place.column),) if place and place.column else ()
        answer = Reference((example.target,), _GOLD, cells)
        if found.setdefault(key, answer).answers != answer.answers:
            twice.add(key)
    return {key: one for key, one in found.items() if key not in twice}
