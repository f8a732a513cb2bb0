"""Numbers of rows that were written beside a table are no facts: left out, and said."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import pandas as pd
import pytest
from stillroom.data.questions.profile import profile_table
from stillroom.data.readers.read_table import read_table

FRAME = pd.DataFrame({"city": ["Oslo", "Bern", "Rome", "Riga"], "rain": [76, 103, 80, 61]})


def written(path, frame, **options):
    frame.to_csv(path, **options)
    profile = profile_table(read_table(path, flatten=True), source="t")
    return profile, [c for c, reason in profile.left_out if "row numbers" in reason]


INDEXES = [
    ("as pandas writes it", FRAME, {}, ["column_1"]),
    ("filtered", FRAME[FRAME.rain < 100], {}, ["column_1"]),
    ("from 1", FRAME.set_axis(range(1, 5)), {}, ["column_1"]),
    ("written, read and written again", FRAME.rename_axis("Unnamed: 0").reset_index(), {}, ["column_1", "Unnamed: 0"]),
    ("with its name", FRAME, {"index_label": "index"}, ["index"]),
    ("without a header, a number first", FRAME.assign(rain=[7.5, 1.5, 8.5, 6.5]), {"header": False}, ["column_1"]),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "options", "left"), [i[1:] for i in INDEXES], ids=[i[0] for i in INDEXES])  # fmt: skip
def test_row_numbers_are_left_out_and_said(tmp_path, frame, options, left):
    profile, found = written(tmp_path / "t.csv", frame, **options)
    assert found == left
    assert not set(left) & {profile.key, *profile.columns}
    assert [line for line in profile.describe() if "row numbers" in line and left[0] in line]


FACTS = [
    ("names as an index", FRAME.set_index(FRAME.city.rename(None)).drop(columns="city"), {}, "column_1"),
    ("numbers that are no rows", FRAME.set_axis([12, 40, 7, 99]), {}, "column_1"),
    ("a column of numbers without a header", FRAME[["city", "rain"]].assign(rain=[7, 9, 12, 30]), {"header": False, "index": False}, "column_2"),
    ("a named column that runs up", FRAME.assign(rank=[1, 2, 3, 4]), {"index": False}, "rank"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "options", "kept"), [f[1:] for f in FACTS], ids=[f[0] for f in FACTS])  # fmt: skip
def test_facts_are_kept(tmp_path, frame, options, kept):
    profile, found = written(tmp_path / "t.csv", frame, **options)
    assert not found
    assert kept in (profile.key, *profile.columns)
