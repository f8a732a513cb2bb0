"""Two files of outcomes are compared record by record, whatever their order."""

import json
import random

import numpy as np
import pytest
from stillroom.errors import DataError, DataNotFoundError, EmptyDataError
from stillroom.evaluation.statistics.alignment import Outcome, align, read_outcomes
from stillroom.evaluation.statistics.comparison import compare_paired


def made(count=200, seed=0, shift=0.0):
    rng = random.Random(seed)
    return [
        Outcome(f"r{n}", float(rng.random() < 0.6 + shift), f"s{n // 2}", "ab"[n % 2])
        for n in range(count)
    ]


def test_shuffled_files_align(tmp_path):
    ours, theirs = made(seed=1, shift=0.2), made(seed=2)
    for name, outcomes in (("ours", ours), ("theirs", theirs)):
        shuffled = random.Random(len(name)).sample(outcomes, len(outcomes))
        (tmp_path / f"{name}.jsonl").write_text("".join(
            json.dumps({"sample_id": one.sample_id, "correct": bool(one.value),
                        "source_id": one.source, "category": one.category}) + "\n"
            for one in shuffled
        ))  # fmt: skip
    read = [read_outcomes(tmp_path / f"{name}.jsonl", "correct") for name in ("ours", "theirs")]
    assert [one.sample_id for one in read[0]] != [one.sample_id for one in read[1]]
    paired = align(*read)
    value_of = {one.sample_id: one.value for one in ours}
    other_of = {one.sample_id: one.value for one in theirs}
    assert paired.candidate.tolist() == [value_of[one] for one in paired.sample_ids]
    assert paired.baseline.tolist() == [other_of[one] for one in paired.sample_ids]
    assert compare_paired(paired) == compare_paired(align(ours, theirs))


def test_records_of_one_source_have_one_number():
    paired = align(made(8), made(8))
    assert paired.sources.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    own = paired.part("b")
    assert (len(own), own.sources.tolist()) == (4, [0, 1, 2, 3])
    alone = align([Outcome("a", 1), Outcome("b", 1, "a")], [Outcome("a", 1), Outcome("b", 1, "a")])
    assert len(np.unique(alone.sources)) == 2  # a record without a source is not source "a"


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([Outcome("a", 1)], [Outcome("a", 1), Outcome("b", 0)], "in the baseline alone: 'b'"),
        ([Outcome(f"x{n}", 1) for n in range(5)], [Outcome("x0", 1)],
         "4 records are in the candidate alone: 'x1', 'x2', 'x3' and 1 more"),
        ([Outcome("a", 1), Outcome("a", 0)], [Outcome("a", 1)], "'a' occurs twice in the cand"),
        ([Outcome("a", float("nan"))], [Outcome("a", 1)], "'a' in the candidate is nan"),
        ([Outcome("a", 1, "s")], [Outcome("a", 1, "t")], "two values of source: 'a'"),
        ([Outcome("a", 1, "", "x")], [Outcome("a", 1)], "two values of category: 'a'"),
    ],
)  # fmt: skip
def test_a_mismatch_is_refused_by_name(ours, theirs, message):
    with pytest.raises(DataError, match=message):
        align(ours, theirs)


def test_nothing_is_refused():
    with pytest.raises(EmptyDataError):
        align([], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [("[1]", "is no object"), ("{", "no JSON"), ('{"correct": true}', "sample_id"),
     ('{"sample_id": "a"}', "correct"), ('{"sample_id": "a", "correct": "yes"}', "'yes' is no")],
)  # fmt: skip
def test_a_line_that_is_no_outcome_is_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"sample_id": 1, "correct": true}}\n{line}\n')
    with pytest.raises(DataError, match=message) as caught:
        read_outcomes(path, "correct")
    assert "row 2" in str(caught.value)
    with pytest.raises(DataNotFoundError):
        read_outcomes(tmp_path / "none.jsonl", "correct")
