from __future__ import annotations

import gc
import hashlib
import math
import random
import tempfile
from pathlib import Path

import pytest
from stillroom.errors import DataError
from stillroom.labeling.reports.content_hash import ContentHash
from stillroom.labeling.reports.exact_sums import ExactSum
from stillroom.labeling.reports.external_sort import ExternalSort, float_key, key_float
from stillroom.records import data_hash


@pytest.mark.parametrize("count", [0, 1, 4, 5, 499, 500])
def test_any_number_of_keys_comes_out_sorted_and_the_disk_is_left_clean(
    count, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    draw = random.Random(7)
    keys = [draw.randbytes(1) + b"x" for _ in range(count)]  # with equal ones
    sort = ExternalSort(2, run_keys=5, fan_in=3)
    for key in keys:
        sort.add(key)
    assert list(sort) == sorted(keys)
    assert list(sort) == sorted(keys), "it can be read twice"
    assert count < 5 or list(Path(tmp_path).iterdir())
    open_runs = sum(1 for path in tmp_path.rglob("run-*"))
    assert open_runs <= 2 * math.ceil(math.log(max(count, 3), 3)), "full levels are merged"
    del sort
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_keys_of_floats_are_in_the_order_of_the_numbers():
    values = [-math.pi, 5e-324, 0.0, -5e-324, 1e308, -1e308, 0.1, 2.0]
    assert sorted(values) == [key_float(key) for key in sorted(map(float_key, values))]
    assert float_key(-0.0) == float_key(0.0)


def test_the_content_hash_is_that_of_the_contract_whatever_the_order():
    records = [{"n": number, "text": f"é{number}"} for number in range(50)]
    assert _hash(records) == data_hash(records) == _hash(records[::-1])
    assert _hash([]) == hashlib.sha256(b"").hexdigest()
    both = [{"b": 2}, {"a": 1}]
    assert _hash(both) == "01f93988d26f67708277c0ab111bb9eafb7ccf762c827e75488f62b8eba940df"


@pytest.mark.parametrize(
    ("value", "told"), [(math.nan, "holds NaN"), (b"x", "no JSON value"), ({1, 2}, "no JSON value")]
)
def test_what_is_no_json_is_named_by_record_and_field(value, told):
    with pytest.raises(DataError, match=f"record number 2: field 'bad' {told}|holds"):
        _hash([{"a": 1}, {"a": 1, "bad": value}])


def test_sums_are_exact_in_any_order():
    values = [0.1] * 10 + [1e300, -1e300, 5e-324, 1e16, -1e16]
    sums = []
    for order in (values, values[::-1], sorted(values)):
        total = ExactSum()
        for value in order:
            total.add(value)
        sums.append((total.total, total.mean))
    assert set(sums) == {(math.fsum(values), sums[0][1])}
    assert sums[0][1] == pytest.approx(1.0 / 15)
    assert ExactSum().mean is None


def _hash(records):
    found = ContentHash()
    for record in records:
        found.add(record)
    return found.data_hash
