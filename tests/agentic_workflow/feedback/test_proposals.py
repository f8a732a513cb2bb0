"""Names for columns are proposed from questions that were not answered."""

import numpy as np
from stillroom.agentic_workflow.feedback.claims import AskedTurn
from stillroom.agentic_workflow.feedback.feedback_store import Decision, Feedback
from stillroom.agentic_workflow.feedback.proposals import propose_names
from stillroom.tables import Column, FactTable, TableRow

TABLE = FactTable("elements.csv", "facts", "name",
                  (Column("symbol", "symbol"), Column("atomic_mass", "atomic mass")),
                  (TableRow(79, "Gold", {"symbol": "Au", "atomic_mass": "196.97"}),
                   TableRow(26, "Iron", {"symbol": "Fe", "atomic_mass": "55.85"})))  # fmt: skip
VECTORS = {"weight": (1, 0.1), "heaviness": (1, 0.2), "atomic mass": (0.9, 0.3),
           "symbol": (0, 1), "price": (-1, 0)}  # fmt: skip


def unknown_words(question):
    return tuple(word for word in question.split() if word in VECTORS or word == "symbl")


def encode(texts):
    found = np.array([VECTORS[text] for text in texts], dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def asked(*questions, exit_="abstained"):
    return [AskedTurn(f"r{n}", f"person {n}", text, "", exit_) for n, text in enumerate(questions)]


def test_many_people_make_a_proposal_in_words_and_it_is_made_once():
    turns = asked(*["weight of Gold"] * 9, *["the heaviness of Iron"] * 5, "price of Gold")
    (one,) = propose_names(turns, (), TABLE, unknown_words, encode)
    assert one.in_words() == '14 people asked for "weight": column atomic mass?'
    assert one.column == "atomic_mass"
    decided = {one.id: Decision("rejected")}
    assert propose_names(turns, (), TABLE, unknown_words, encode, decided) == []


def test_corrections_tell_the_column_without_an_encoder():
    turns = asked("weight of Gold", "weight of Iron")
    said = [Feedback("r1", "person 1", "weight of Iron", "", "wrong", correction="55.85")]
    (one,) = propose_names(turns, said, TABLE, unknown_words)
    assert (one.column, one.because) == ("atomic_mass", "1 corrections stand in it")


def test_spelling_is_compared_without_an_encoder_and_answered_questions_do_not_count():
    turns = asked("symbl of Gold", "symbl of Iron") + asked(*["weight of Gold"] * 3)
    found = propose_names(turns, (), TABLE, unknown_words)
    assert [(one.words, one.column) for one in found] == [("weight", ""), ("symbl", "symbol")]
    assert found[0].in_words().endswith("no column is near")
    answered = asked(*["weight of Gold"] * 3, exit_="answered")
    assert propose_names(answered, (), TABLE, unknown_words) == []
