"""New labels beside a test part that never changes."""

import pytest
from stillroom.errors import DataError, DataNotFoundError
from stillroom.labeling.filters.curation.extended_splits import extend_splits
from stillroom.labeling.filters.curation.splits import create_splits, overlap_faults


def article(number, content=None, **more):
    return {"id": f"a{number}", "title": "", "content": content or f"text {number}",
            "tier": "high" if number % 3 else "low", **more}  # fmt: skip


def tier(record):
    return record["tier"]


@pytest.fixture
def folder(tmp_path):
    create_splits([article(n) for n in range(100)], tier).write(tmp_path / "old")
    return tmp_path / "old"


def parts_of(made):
    return {"train": made.train, "val": made.val, "test": made.test}


def test_the_test_part_stays_byte_for_byte_and_nothing_leaks(folder, tmp_path):
    old = extend_splits(folder, [], tier)
    tested, validated, trained = (part[0] for part in (old.test, old.val, old.train))
    new = [
        *(article(n) for n in range(200, 250)),
        {**tested, "note": "labelled again"},
        article(300, tested["content"]),  # another id, the same text
        article(301, validated["content"]),
        {**trained, "tier": "low"},
        article(302, trained["content"]),
    ]
    made = extend_splits(folder, new, tier)
    made.write(tmp_path / "new")
    assert (tmp_path / "new/test.jsonl").read_bytes() == (folder / "test.jsonl").read_bytes()
    assert made.held_out == [tested["id"], "a300", "a301"]
    assert made.relabelled == 1
    assert next(one for one in made.train if one["id"] == trained["id"])["tier"] == "low"
    assert made.added == {"train": 46, "val": 5}
    assert "a302" in {one["id"] for one in made.train}
    assert not [fault for fault in overlap_faults(parts_of(made)) if " in train" not in fault]
    assert {one["id"] for one in made.val} >= {one["id"] for one in old.val}
    # The new folder is extended in turn.
    again = extend_splits(tmp_path / "new", [article(400)], tier)
    assert len(again.train) + len(again.val) == len(made.train) + len(made.val) + 1


def test_groups_are_kept_together(tmp_path):
    records = [article(n, cluster=n // 4) for n in range(80)]
    create_splits(records, tier, group_of=lambda one: one["cluster"]).write(tmp_path / "old")
    new = [article(100 + n, cluster=n // 2) for n in range(40)]
    made = extend_splits(tmp_path / "old", new, tier, group_of=lambda one: one["cluster"])
    assert not overlap_faults(parts_of(made), group_of=lambda one: one["cluster"])
    assert len(made.held_out) + sum(made.added.values()) == 40
    assert made.held_out


def test_a_test_part_that_was_changed_is_refused(folder):
    (folder / "test.jsonl").write_text('{"id": "x", "content": "other"}\n')
    with pytest.raises(DataError, match=r"not the one that split\.json names"):
        extend_splits(folder, [article(1)], tier)
    (folder / "test.jsonl").unlink()
    with pytest.raises(DataNotFoundError, match=r"test\.jsonl"):
        extend_splits(folder, [], tier)


def test_the_old_folder_is_not_overwritten(folder):
    with pytest.raises(DataError, match="folder of their own"):
        extend_splits(folder, [article(200)], tier).write(folder)
