"""A row cache against the plain thing: a list of lists."""

from __future__ import annotations

import random

import pytest
import torch
from stillroom.inference.llama.row_cache import RowCache


def token(name, position):
    """A value that tells which token of which sequence it stands for."""
    return float(name * 1000 + position + 1)


def write(cache, row, begin, values):
    for number, buffer in enumerate(cache.buffers):
        column = torch.tensor(values)[None, :, None] * (number + 1)
        buffer[row, :, begin : begin + len(values)] = column.expand(
            buffer.shape[1], -1, buffer.shape[3]
        )


def read(cache):
    """All rows as lists, from what a decode step would see."""
    bias = cache.bias()
    if bias is None:
        bias = torch.zeros(cache.rows, cache.end - cache.first)
    rows = []
    for row in range(cache.rows):
        seen = bias[row] == 0
        per_buffer = [
            buffer[row, 0, cache.first : cache.end, 0][seen] / (number + 1)
            for number, buffer in enumerate(cache.buffers)
        ]
        assert all(torch.equal(one, per_buffer[0]) for one in per_buffer)
        rows.append(per_buffer[0].tolist())
    return rows


@pytest.mark.parametrize("seed", range(30))
def test_rows_come_grow_and_go_like_lists(seed):
    chance = random.Random(seed)
    cache = RowCache([(2, 3), (1, 4)], torch.float32, torch.device("cpu"))
    wanted, names = [], 0
    for _ in range(120):
        action = chance.random()
        if not wanted or (action < 0.2 and len(wanted) < 9):
            lengths = [chance.randint(1, 90) for _ in range(chance.randint(1, 3))]
            for row, length in zip(cache.add(lengths), lengths, strict=True):
                assert row == len(wanted)
                wanted.append([token(names, position) for position in range(length)])
                write(cache, row, cache.end - length, wanted[-1])
                names += 1
        elif action < 0.35:
            row = chance.randrange(len(wanted))
            cache.drop(row)
            wanted[row] = wanted[-1]
            wanted.pop()
        else:
            cache.advance()
            assert cache.positions().tolist() == [len(row) for row in wanted]
            for row, values in enumerate(wanted):
                values.append(values[-1] + 1)
                write(cache, row, cache.end - 1, values[-1:])
        assert cache.rows == len(wanted)
        assert cache.tokens == sum(map(len, wanted))
        if wanted:
            assert read(cache) == wanted


def test_rows_of_equal_length_need_no_bias():
    cache = RowCache([(1, 1)], torch.float32, torch.device("cpu"))
    cache.add([5, 5])
    assert cache.bias() is None
    cache.add([4])
    assert cache.bias() is not None
    cache.drop(2)
    assert cache.bias() is None


def test_what_no_row_reads_is_finite():
    """Minus infinity blots out any finite score, but not one that is no number."""
    cache = RowCache([(1, 2)], torch.float32, torch.device("cpu"))
    cache.add([3])
    cache.add([300, 7])
    for _ in range(400):
        cache.advance()
    assert all(bool(buffer.isfinite().all()) for buffer in cache.buffers)


def test_memory_follows_what_is_held():
    """A long life must not grow the buffers: columns that nobody reads any more are used again."""
    cache = RowCache([(1, 1)], torch.float32, torch.device("cpu"))
    cache.add([10])
    for _ in range(200):
        cache.add([10])
        for _ in range(20):
            cache.advance()
        cache.drop(0)
    assert cache.end > 10
    assert cache.buffers[0].shape[2] <= 256


def test_memory_of_a_long_sequence_is_given_back():
    cache = RowCache([(1, 1)], torch.float32, torch.device("cpu"))
    cache.add([1000])
    held = []
    for step in range(2000):
        cache.advance()
        if step % 20 == 0:
            cache.add([10])
            cache.drop(0)
        held.append(cache.buffers[0].shape[2])
    assert 1000 < held[0] <= 1300
    assert held[-1] <= 256
