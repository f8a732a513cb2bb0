"""No evaluation record is ever trained on: by id, by question, by prompt, by held-out record."""

from dataclasses import replace

import pytest
from stillroom.agentic_workflow.feedback.claims import Claim, Judged, Reference
from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import build_question_set
from stillroom.errors import DataError
from stillroom.pipeline.renewal.data_version import build_version, example_of
from stillroom.pipeline.renewal.frozen_test import FrozenTest
from stillroom.pipeline.renewal.replay_training import replay_stream

RECORDS = [{"name": f"Star {n}", "colour": ("red", "blue")[n % 2], "distance": str(3 * n + 1)}
           for n in range(12)]  # fmt: skip
SET = build_question_set(RECORDS, profile_table(RECORDS, source="stars.csv"))
HELD_RECORD = 12
"""Row of the record of which no question is trained on."""
TRAIN = [one for one in SET.train if one.source.row != HELD_RECORD]
FROZEN = FrozenTest.of(SET.held_out, TRAIN)
FACT = next(one for one in SET.held_out if one.task == "qa" and one.source.row == 3)


def accepted(question, answer, row=3, column="colour", **more):
    known = Reference((answer,), "the table", ((row, column),))
    claim = Claim("c" + str(abs(hash(question)) % 999), question, answer, ("anna",), **more)
    return Judged(claim, "accepted", "as the table says", answer, known)


def test_a_record_is_held_out_only_if_no_question_about_it_is_trained_on():
    assert FROZEN.records == {("stars.csv", HELD_RECORD)}


@pytest.mark.parametrize(
    ("question", "row", "why"),
    [
        (FACT.fields["text"], 3, "its question is one of the test"),
        (f"  {FACT.fields['text'].upper()} !!", 3, "its question is one of the test"),
        ("And the colour of Star 11, please?", HELD_RECORD, "its record is held out"),
        ("Star 2 shines in which colour, please?", 3, ""),
    ],
)
def test_an_accepted_answer_about_the_test_is_left_out(question, row, why):
    made = build_version(TRAIN, [accepted(question, "red", row)], SET.table, FROZEN)
    assert [reason for _, reason in made.left_out] == ([why] if why else [])
    assert len(made.new) == (0 if why else 1)


def test_training_is_refused_if_it_holds_one_example_of_the_test():
    stream = replay_stream(TRAIN, [], SET.table, 200, seed=0)
    FROZEN.require_absent(stream)
    for spoiled in (
        replace(stream[0], id=SET.held_out[0].id + "#7"),
        replace(stream[0], prompt=SET.held_out[0].prompt),
        replace(stream[0], source=replace(stream[0].source, row=HELD_RECORD)),
        replace(FACT, id="other", prompt="other"),
    ):
        with pytest.raises(DataError, match="1 training examples belong to the frozen test"):
            FROZEN.require_absent([*stream, spoiled])


def test_an_accepted_answer_replaces_the_teachers_labels_of_the_same_fact():
    labelled = [
        replace(one, target="green", label={"teacher": "t"}) if one.task == "qa" else
        replace(one, target="green: no", label={"teacher": "t"})
        for one in TRAIN if one.fact == "3:colour"
    ]  # fmt: skip
    others = [one for one in TRAIN if one.fact != "3:colour"]
    judged = [accepted("Star 2 shines in which colour, please?", "red", rejected=("green",))]
    made = build_version([*labelled, *others], judged, SET.table, FROZEN)
    own = [one for one in made.old if one.fact == "3:colour"]
    right = {one.target for one in TRAIN if one.fact == "3:colour"}
    assert {one.target for one in own} == right == {"red", "red: yes", "red: no"}
    assert made.old[len(labelled) :] == others
    assert made.replaced == len(labelled)
    prompt = example_of(judged[0], SET.table).prompt
    assert made.preferences == [{"prompt": prompt, "chosen": "red", "rejected": "green"}]


def test_a_replay_mix_keeps_the_share_of_new_examples():
    new = [example_of(accepted(f"Star {n} shines how, number {n}?", "red"), SET.table)
           for n in range(40)]  # fmt: skip
    stream = replay_stream(TRAIN, new, SET.table, 1000, seed=3, new_share=0.2)
    assert len(stream) == 1000
    assert len({one.id for one in stream}) == 1000
    assert sum(one.id.startswith("feedback:") for one in stream) == 200
    few = replay_stream(TRAIN, new[:2], SET.table, 1000, seed=3, new_share=0.2)
    assert sum(one.id.startswith("feedback:") for one in few) == 32
