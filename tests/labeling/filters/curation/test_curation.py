"""Curation: labels merged, tiers counted, splits by stratum with groups in one part."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.errors import ConfigError, DataError, DataNotFoundError, EmptyDataError
from stillroom.labeling.filters.curation.distribution import (
    analyze_distribution,
    label_group,
    oversample,
    plot_distribution,
)
from stillroom.labeling.filters.curation.merge import merge_labels
from stillroom.labeling.filters.curation.splits import (
    create_splits,
    overlap_faults,
    score_stratum,
    split_groups,
)
from stillroom.labeling.filters.filter_package import load_filter


def label(identity, score=5, content=None, **more):
    text = f"text {identity}" if content is None else content
    return {"id": identity, "title": "T", "content": text,
            "made_analysis": {"dimensions": dict.fromkeys("abc", score), **more}}  # fmt: skip


def test_the_golden_split():
    made = split_groups([f"r{n}" for n in range(10)], seed=42)
    assert list(made) == ["r3", "r0", "r7", "r4", "r9", "r6", "r8", "r1", "r5", "r2"]
    assert list(made.values()) == ["train"] * 8 + ["val", "test"]


@pytest.mark.parametrize(
    ("n", "counts"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (5, (3, 1, 1)), (15, (11, 2, 2)),
     (100, (80, 10, 10))],
)  # fmt: skip
def test_rare_strata_reach_validation_and_test(n, counts):
    parts = list(split_groups([f"r{i}" for i in range(n)]).values())
    assert tuple(parts.count(one) for one in ("train", "val", "test")) == counts


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=60),
       st.integers(0, 5))  # fmt: skip
def test_groups_are_whole_and_the_order_of_records_does_not_matter(drawn, seed):
    records = [{"id": f"r{n}", "group": group, "tier": tier, "content": f"c{n}"}
               for n, (group, tier) in enumerate(drawn)]  # fmt: skip

    def split(given):
        made = create_splits(given, lambda one: str(one["tier"]),
                             group_of=lambda one: one["group"], seed=seed)  # fmt: skip
        return {one["id"]: part for part, own in made.parts().items() for one in own}, made

    parts, made = split(records)
    assert split(records[::-1])[0] == parts
    assert len(parts) == len(records)
    assert overlap_faults(made.parts(), group_of=lambda one: one["group"]) == []


def test_equal_contents_stay_together_and_overlaps_are_told():
    records = [label(f"r{n}", content=f"Text  {n % 5}") for n in range(40)]
    made = create_splits(records, lambda one: "all")
    assert overlap_faults(made.parts()) == []
    assert made.val
    assert made.test
    parts = {"train": [label("a")], "test": [label("a"), label("b", content="text a")]}
    assert [one.split(" ")[0] for one in overlap_faults(parts)] == ["id", "content", "content"]


def test_synthetic_records_are_for_training_alone():
    records = [label(f"r{n}") for n in range(20)]
    synthetic = [{**label(f"s{n}"), "synthetic": True} for n in range(20)]
    made = create_splits(records + synthetic, lambda one: "all")
    assert [one["id"] for one in made.train if one.get("synthetic")] == [f"s{n}" for n in range(20)]
    assert (len(made.val), len(made.test)) == (2, 2)
    copied = {**label("copy", content="text r1"), "synthetic": True}
    with pytest.raises(DataError, match="'copy' is a near duplicate of a real one"):
        create_splits([*records, copied], lambda one: "all")


def test_splits_are_written_with_their_rule(tmp_path):
    records = [label(f"r{n}", n % 10) for n in range(30)]
    made = create_splits(
        records, lambda one: score_stratum(one["made_analysis"]["dimensions"]["a"])
    )
    made.write(tmp_path)
    told = json.loads((tmp_path / "split.json").read_text())
    assert told["rule"] == "stratified"
    assert told["counts"] == {
        name: len((tmp_path / f"{name}.jsonl").read_text().splitlines())
        for name in ("train", "val", "test")
    }
    assert sum(told["strata"]["very_high"].values()) == 6
    assert all(own["val"] and own["test"] for own in told["strata"].values())
    assert told["data_hash"]["train"] != told["data_hash"]["test"]


def test_what_cannot_be_split_is_refused():
    with pytest.raises(EmptyDataError):
        create_splits([], lambda one: "x")
    with pytest.raises(ConfigError, match="sum to 1"):
        create_splits([label("a")], lambda one: "x", ratios=(0.8, 0.1, 0.2))
    with pytest.raises(DataError, match=r"row 2.*the id 'a' is that of row 1"):
        create_splits([label("a"), label("a")], lambda one: "x")
    with pytest.raises(DataError, match=r"row 1.*no id"):
        create_splits([{"content": "x"}], lambda one: "x")


def write_lines(path, *records):
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_batches_are_merged_and_what_is_no_label_is_told(config, tmp_path):
    write_lines(tmp_path / "b_001.jsonl", label("a", 1), label("b", 2), "{broken", '"text"')
    write_lines(tmp_path / "b_002.jsonl", "\ufeff" + json.dumps(label("a", 7)), label("c", 11),
                {"id": "d"}, {**label("e"), "id": None})  # fmt: skip
    made = merge_labels(str(tmp_path / "b_*.jsonl"), config)
    assert [(one["id"], label_group(one, config)) for one in made.records] == [
        ("a", "high"), ("b", "low"),
    ]  # fmt: skip
    assert made.repeated == 1
    assert [one.split("_00")[1] for one in made.rejected] == [
        "1.jsonl, line 3: is no JSON (Expecting property name enclosed in double quotes: line 1 "
        "column 2 (char 1))",
        "1.jsonl, line 4: is no object",
        "2.jsonl, line 2: out_of_range a: 11 (0 to 10); out_of_range b: 11 (0 to 10); out_of_range "
        "c: 11 (0 to 10)",
        "2.jsonl, line 3: no_analysis",
        "2.jsonl, line 4: missing_id",
    ]


def test_one_id_with_two_texts_is_an_error_unless_a_rule_is_stated(config, tmp_path):
    path = write_lines(tmp_path / "b.jsonl", label("a", 1), label("a", 7, content="other"))
    with pytest.raises(DataError, match=r"line 2: the id 'a' is that of another text in .*line 1"):
        merge_labels(path, config)
    for rule, tier in (("first", "low"), ("last", "high")):
        made = merge_labels(path, config, on_conflict=rule)
        assert [label_group(one, config) for one in made.records] == [tier]
        assert len(made.conflicts) == 1
    with pytest.raises(ConfigError, match="on_conflict"):
        merge_labels(path, config, on_conflict="newest")
    with pytest.raises(DataNotFoundError):
        merge_labels(tmp_path / "none*.jsonl", config)


def test_labels_of_two_prompts_are_not_mixed_in_silence(config, tmp_path):
    path = write_lines(
        tmp_path / "b.jsonl", label("a", prompt_hash="1"), label("b", prompt_hash="2")
    )
    with pytest.raises(DataError, match="2 prompts or oracles are mixed"):
        merge_labels(path, config)
    assert merge_labels(path, config, allow_mixed=True).is_mixed


def test_distribution_gives_verdicts_of_balance(config, tmp_path):
    records = [label(f"r{n}", 8 if n < 5 else 5 if n < 30 else 1) for n in range(100)]
    records.append({"id": "x", "made_analysis": {"a": 1}})
    found = analyze_distribution(records, config)
    assert (found["total"], found["rejected"], found["balanced"]) == (100, 1, False)
    assert {name: one["verdict"] for name, one in found["tiers"].items()} == {
        "high": "too_few", "medium": "ok", "low": "too_many",
    }  # fmt: skip
    assert "label about 6 more" in found["advice"][0]
    assert found["dimensions"]["a"]["mean"] == pytest.approx(2.35)
    assert sum(found["weighted_average"]["histogram"]) == 100
    assert found["correlations"]["a b"] == pytest.approx(1.0)
    json.dumps(found, allow_nan=False)
    picture = plot_distribution(found, tmp_path / "tiers.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(EmptyDataError):
        analyze_distribution(records[-1:], config)


def test_classes_are_counted_like_tiers(tmp_path):
    config = load_filter("support_request_kind/v1").config
    records = [{"id": n, "support_request_kind_analysis": {"class": "other"}} for n in range(3)]
    found = analyze_distribution(records, config)
    assert found["tiers"]["other"]["verdict"] == "too_many"
    assert found["tiers"]["card_lost"]["count"] == 0
    assert plot_distribution(found, tmp_path / "classes.png").exists()


def test_rare_tiers_are_repeated_up_to_the_share_and_to_the_most_copies():
    train = [{"id": n, "tier": "rare" if n < 4 else "much"} for n in range(100)]
    made = oversample(train, lambda one: one["tier"], most_copies=5)
    rare = [one["id"] for one in made if one["tier"] == "rare"]
    assert len(rare) / len(made) >= 0.1
    assert (len(rare) - 1) / (len(made) - 1) < 0.1
    assert set(rare) == {0, 1, 2, 3}
    assert [one for one in made if one["tier"] == "much"] == train[4:]
    few = oversample(train, lambda one: one["tier"], most_copies=2)
    assert len(few) == 104
    with pytest.raises(ConfigError):
        oversample(train, lambda one: one["tier"], least_share=0.6)
