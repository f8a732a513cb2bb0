"""Prepared records: every row is in one file, nothing leaks, nothing is silent."""

import json

import pytest
from stillroom.data.prepare_records import PARTS, PrepareSettings, prepare_records
from stillroom.data.readers.read_table import SourcedRecord
from stillroom.errors import ConfigError, EmptyDataError, UnknownColumnError

ASKED = PrepareSettings(question="q", answer="a")


def sourced(records):
    return [SourcedRecord("t.csv", n, record) for n, record in enumerate(records, 1)]


def read(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def questions(first, last):
    return [{"q": f"What is the number after {n}?", "a": str(n + 1)} for n in range(first, last)]


def test_every_row_is_in_exactly_one_file(tmp_path):
    records = [*questions(0, 40), {"q": " What is the number after 3? ", "a": "4"},
               {"q": "What is the number after 5?", "a": "7"}, {"q": None, "a": "1"},
               {"q": "Why?", "a": "  "}, {"q": None, "a": None}]  # fmt: skip
    made = prepare_records(sourced(records), tmp_path / "p", ASKED)
    assert dict(made.dropped) == {"exact_duplicate": 1, "conflicting_content": 1, "no_question": 1,
                                  "no_answer": 1, "empty": 1}  # fmt: skip
    assert sum(made.records.values()) + sum(made.dropped.values()) == made.read == 45
    kept = [one["question"] for name in PARTS.values() for one in read(tmp_path / "p", name)]
    assert sorted(kept) == sorted(one["q"] for one in records[:40])
    dropped = {one["row"]: one for one in read(tmp_path / "p", "dropped")}
    assert dropped[42]["duplicate_of"] == {"file": "t.csv", "row": 6}
    assert dropped[42]["record"] == {"q": "What is the number after 5?", "a": "7"}
    assert sorted(dropped) == [41, 42, 43, 44, 45]
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert set(report["reasons"]) == set(made.dropped)


def test_a_longer_table_leaves_records_in_their_parts(tmp_path):
    prepare_records(sourced(questions(0, 60)), tmp_path / "one", ASKED)
    prepare_records(sourced(questions(-40, 90)), tmp_path / "two", ASKED)
    for name in PARTS.values():
        before = {one["sample_id"] for one in read(tmp_path / "one", name)}
        assert before <= {one["sample_id"] for one in read(tmp_path / "two", name)}


def test_a_frozen_test_part_stays_and_nothing_near_it_is_trained_on(tmp_path):
    prepare_records(sourced(questions(0, 100)), tmp_path / "one", ASKED)
    frozen = (tmp_path / "one" / "test.jsonl").read_bytes()
    near = [{"q": f"{one['question']} please", "a": "x"} for one in read(tmp_path / "one", "test")]
    made = prepare_records(
        sourced([*questions(50, 150), *near]), tmp_path / "two",
        PrepareSettings(question="q", answer="a", near=0.6), frozen=tmp_path / "one",
    )  # fmt: skip
    assert (tmp_path / "two" / "test.jsonl").read_bytes() == frozen
    assert made.dropped["in_frozen_test"] >= len(near)
    tested = {one["question"] for one in read(tmp_path / "two", "test")}
    for name in ("train", "validation"):
        for one in read(tmp_path / "two", name):
            assert one["question"].removesuffix(" please") not in tested


def test_groups_stay_together_and_a_table_keeps_its_columns(tmp_path):
    records = [{"name": f"n{n}", "maker": f"m{n % 12}", "price": n} for n in range(120)]
    prepare_records(sourced(records), tmp_path / "p", PrepareSettings(group_by="maker"))
    makers = [{one["maker"] for one in read(tmp_path / "p", name)} for name in PARTS.values()]
    assert sum(map(len, makers)) == len(set.union(*makers)) == 12
    assert set(read(tmp_path / "p", "train")[0]) == {"sample_id", "name", "maker", "price"}


def test_faults(tmp_path):
    with pytest.raises(ConfigError) as raised:
        PrepareSettings(question="q", near=2, train=0.9, validation=0.2)
    assert len(raised.value.faults) == 3
    with pytest.raises(UnknownColumnError, match="there are"):
        prepare_records(sourced([{"q": "A", "a": "1"}]), tmp_path / "p",
                        PrepareSettings(group_by="x"))  # fmt: skip
    with pytest.raises(EmptyDataError, match="the answer is empty"):
        prepare_records(sourced([{"q": "A", "a": None}]), tmp_path / "p", ASKED)
    assert not (tmp_path / "p").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        prepare_records(sourced(questions(0, 9)), tmp_path / "other", ASKED)
    with pytest.raises(ConfigError, match="no folder of prepared records"):
        prepare_records(sourced(questions(0, 9)), tmp_path / "p", ASKED, frozen=tmp_path / "other")
