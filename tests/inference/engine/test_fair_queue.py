from __future__ import annotations

import pytest
from stillroom.inference.engine.request_queue import FairQueue


def filled(**items):
    queue = FairQueue()
    for caller, names in items.items():
        for name in names:
            queue.push(caller, name)
    return queue


def drain(queue, running=None):
    return "".join(queue.pop(running or {}) for _ in range(len(queue)))


def test_callers_take_turns_and_keep_their_order():
    assert drain(filled(a="123456", b="xy", c="z")) == "1xz2y3456"


def test_who_has_less_in_work_goes_first():
    queue = filled(a="12", b="xy")
    assert queue.pop({"a": 3, "b": 1}) == "x"
    assert queue.pop({"a": 3, "b": 2}) == "y"
    assert queue.pop({"a": 3, "b": 3}) == "1"


def test_items_are_taken_out_wherever_they_are():
    queue = filled(a="1234", b="5")
    assert queue.remove(lambda name: name in "25") == ["2", "5"]
    assert len(queue) == 3
    assert drain(queue) == "134"
    with pytest.raises(IndexError):
        queue.pop({})
