"""Streams of events: errors in the middle, silence, and readers that go."""

import asyncio

import pytest
from stillroom.agentic_workflow.http import streams
from stillroom.errors import DeadlineError


async def lines_of(items):
    stream = streams.Pumped(items)
    first = await streams.first_of(stream)
    lines = streams.sse_lines(first, stream, lambda fault: f"error {fault}", "done")
    return [line async for line in lines]


async def test_a_stream_ends_with_its_last_line():
    async def items():
        for n in range(1000):
            yield str(n)

    assert await lines_of(items) == [*map(str, range(1000)), "done"]


@pytest.mark.parametrize("fault", [DeadlineError("late"), TimeoutError("late"), ValueError("late")])
async def test_an_error_in_the_middle_is_told_and_nothing_is_called_done(fault):
    async def items():
        yield "one"
        raise fault

    assert await lines_of(items) == ["one", "error late"]


async def test_an_error_before_the_first_item_is_raised():
    async def items():
        raise DeadlineError("late")
        yield "never"

    with pytest.raises(DeadlineError):
        await lines_of(items)


async def test_silence_is_filled_with_comments_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(streams, "PING_S", 0.02)

    async def items():
        yield "one"
        await asyncio.sleep(0.1)
        yield "two"

    lines = await lines_of(items)
    assert lines[0] == "one"
    assert lines[-2:] == ["two", "done"]
    assert set(lines[1:-2]) == {streams.PING}


async def test_a_reader_that_goes_ends_the_turn():
    ended = asyncio.Event()

    async def items():
        try:
            while True:
                yield "more"
                await asyncio.sleep(0)
        finally:
            ended.set()

    stream = streams.Pumped(items)
    lines = streams.sse_lines(await streams.first_of(stream), stream, str)
    assert [await anext(lines), await anext(lines)] == ["more", "more"]
    await lines.aclose()
    assert ended.is_set()
