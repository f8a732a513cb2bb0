"""Splits by hash: golden counts, stability, no empty part, equal keys together."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.data.identity.hash_split import hash_split, split_key, split_part
from stillroom.errors import ConfigError, IdentityError
from stillroom.records import split_position

IDS = [f"id-{i}" for i in range(1000)]
SHARES = [(0.8, None), (0.9, None), (0.8, 0.1), (0.5, 0.5), (0.0, 0.4), (0.6, 0.0)]


def test_counts_of_a_thousand_ids():
    assert hash_split(IDS, 0.8).parts.count("train") == 794
    assert hash_split(IDS).parts.count("train") == 899
    three = Counter(hash_split(IDS, 0.8, 0.1).parts)
    assert three == {"train": 794, "val": 899 - 794, "test": 101}


def test_the_key_is_the_id_or_else_the_record():
    record = {"q": "caf\u00e9", "a": 1}
    assert split_key(record) == '{"a":1,"q":"caf\u00e9"}'
    assert split_position(split_key(record)) == 0.4576683841779987
    assert split_key({**record, "sample_id": "x"}) == "x"
    assert split_key({"id": 0}, "id") == "0"
    assert split_key({"sample_id": None, "a": 1}) != split_key({"sample_id": None, "a": 2})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"a": float("nan")}, "not_finite"),
        ({"sample_id": float("inf")}, "not_finite"),
        ({"a": b"x"}, "not_json"),
        ({"a": "\ud800"}, "not_json"),
    ],
)
def test_a_record_that_cannot_be_a_key_is_refused(record, reason):
    with pytest.raises(IdentityError) as fault:
        split_key(record)
    assert fault.value.reason == reason


@pytest.mark.parametrize(("share", "part"), [(0, "val"), (-1, "val"), (1, "train"), (2, "train")])
def test_a_share_of_nothing_or_everything_is_meant(share, part):
    split = hash_split(IDS[:5], share)
    assert split.parts == (part,) * 5
    assert split.moved == ()


def test_the_nearest_record_moves_into_an_empty_part():
    # Positions: b 0.243, 0 0.375, a 0.791
    split = hash_split(["a", "b", "0"], 0.9)
    assert split.parts == ("val", "train", "train")
    assert split.moved == ("key 'a' moved from train to val, which would have been empty",)
    assert hash_split(["a", "b", "0"], 0.1).parts == ("val", "train", "val")
    assert hash_split(["a", "b"], 0.95, 0.03).parts == ("test", "train")
    assert hash_split(["a"], 0.9).parts == ("train",)
    assert hash_split([], 0.9).parts == ()


def test_equal_keys_stay_together_even_when_they_move():
    assert hash_split(["a", "b", "a"], 0.9).parts == ("val", "train", "val")
    assert hash_split(["a", "a"], 0.9).parts == ("train", "train")


@given(st.lists(st.text(max_size=4), max_size=12), st.sampled_from(SHARES))
def test_every_part_with_a_share_has_a_key(keys, shares):
    train, val = shares
    split = hash_split(keys, train, val)
    there, distinct = set(split.parts), len(set(keys))
    wanted = {"train"} if train > 0 else set()
    wanted |= {"val"} if val is None or val > 0 else set()
    wanted |= {"test"} if val is not None and train + val < 1 else set()
    if distinct >= len(wanted):
        assert there == wanted
    assert len({(k, p) for k, p in zip(keys, split.parts, strict=True)}) == distinct
    if not split.moved:
        assert list(split.parts) == [split_part(k, train, val) for k in keys]


@given(st.lists(st.text(max_size=4), max_size=30))
def test_a_part_does_not_depend_on_the_other_keys(keys):
    full = dict(zip(IDS, hash_split(IDS, 0.8, 0.1).parts, strict=True))
    more = hash_split([*keys, *IDS], 0.8, 0.1).parts
    assert dict(zip([*keys, *IDS], more, strict=True)) | full == dict(
        zip([*keys, *IDS], more, strict=True)
    )


@pytest.mark.parametrize(
    ("train", "val"), [(0.9, 0.2), (0.5, -0.1), (float("nan"), None), (0.5, float("inf"))]
)
def test_shares_that_make_no_sense_are_refused(train, val):
    with pytest.raises(ConfigError):
        hash_split(["a"], train, val)
    with pytest.raises(ConfigError):
        split_part("a", train, val)
