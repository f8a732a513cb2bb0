"""What people say about answers: one opinion a run, limits per record and person, kept on disk."""

import os
import stat

import pytest
from stillroom.agentic_workflow.feedback.feedback_store import Feedback, FeedbackStore
from stillroom.errors import ConfigError, FeedbackLimitError, StoredStateError


def said(run, owner="anna", opinion="wrong", **more):
    return Feedback(run, owner, "What is the symbol of gold?", "Ag", opinion, **more)


def test_the_latest_opinion_of_a_person_on_a_run_counts(tmp_path):
    place = tmp_path / "chat" / "feedback.db"
    store = FeedbackStore(place)
    store.give(said("r1", correction="Au", about="elements.csv row 79"))
    store.give(said("r1", opinion="good", about="elements.csv row 79"))
    store.give(said("r1", owner="bert", about="elements.csv row 79"))
    store.close()
    again = FeedbackStore(place)
    kept = list(again.all())
    assert [(one.owner, one.opinion, one.correction) for one in kept] == [
        ("anna", "good", ""),
        ("bert", "wrong", ""),
    ]
    assert kept[0].given_at
    again.withdraw("bert", "r1")
    assert set(again.of_runs("bert", ["r1"])) == set()
    assert set(again.of_runs("anna", ["r1", "r2"])) == {"r1"}
    again.close()
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o600


def test_one_person_among_ten_thousand_opinions_keeps_no_more_than_the_caps():
    store = FeedbackStore(per_record=3, per_person=20)
    refused = 0
    for number in range(10_000):
        try:
            store.give(said(f"r{number}", about=f"elements.csv row {number % 118}"))
        except FeedbackLimitError:
            refused += 1
    kept = list(store.all())
    assert len(kept) == 20
    assert refused == 10_000 - 20
    same = FeedbackStore(per_record=3, per_person=20)
    for number in range(3):
        same.give(said(f"r{number}"))  # no record is cited: the question stands for it
    with pytest.raises(FeedbackLimitError, match="as one person can"):
        same.give(said("r3"))
    assert len(list(same.all())) == 3
    same.give(said("r1", correction="Au"))  # an opinion may still be changed
    same.give(said("r99", owner="bert"))  # and another person is not affected
    assert len(list(same.all())) == 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"opinion": "great"}, r"allowed are \['good', 'wrong'\]"),
        ({"owner": ""}, "owner is empty"),
        ({"comment": "x" * 2001}, "comment has 2,001 characters"),
        ({"correction": "x" * 2001}, "correction has 2,001 characters"),
    ],
)
def test_an_unusable_opinion_is_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        said("r1", **fields)


def test_another_file_is_not_written_over(tmp_path):
    place = tmp_path / "notes.db"
    place.write_text("these are my notes, and no database at all" * 40)
    with pytest.raises(StoredStateError, match="is not a SQLite database"):
        FeedbackStore(place)
    assert place.read_text().startswith("these are my notes")
