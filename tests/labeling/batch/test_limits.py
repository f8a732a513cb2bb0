"""Calls and tokens per minute, on a clock of the test's own; the oracle counts every window."""

import asyncio
import random

import pytest
from stillroom.labeling.batch.rate_limits import Limits, Pace, TokenGuess


def sends(pace, seconds, amount=lambda number: 1, start=0.0, late=lambda: 0.0):
    """Send whenever it is allowed; give (time, amount) of each."""
    now, sent, number = start, [], 0
    while now < start + seconds:
        size = amount(number)
        wait = pace.wait_s(size, now)
        if wait > 0:
            now += wait + late()
            continue
        pace.take(size, now)
        sent.append((now, size))
        number += 1
    return sent


def most_in_a_minute(sent):
    best, total, first = 0, 0, 0
    for now, size in sent:
        total += size
        while sent[first][0] <= now - 60.0 + 1e-6:
            total -= sent[first][1]
            first += 1
        best = max(best, total)
    return best


@pytest.mark.parametrize("limit", [1, 3, 7, 60, 600, 10_000])
def test_no_minute_has_more_calls_than_the_limit_and_none_is_wasted(limit):
    sent = sends(Pace(limit), 600)
    assert most_in_a_minute(sent) <= limit
    assert len(sent) >= 0.98 * limit * 10


def test_calls_go_out_evenly():
    sent = sends(Pace(600), 60)
    in_seconds = [sum(second <= now < second + 1 for now, _ in sent) for second in range(59)]
    assert max(in_seconds) <= 10 + 6
    assert min(in_seconds) >= 9


def test_a_late_clock_loses_nothing():
    chance = random.Random(0)
    sent = sends(Pace(600), 600, late=lambda: chance.uniform(0, 0.05))
    assert most_in_a_minute(sent) <= 600
    assert len(sent) >= 0.98 * 6000


def test_tokens_of_unlike_calls():
    chance = random.Random(1)
    sizes = [chance.randint(1, 3000) for _ in range(10_000)]
    sent = sends(Pace(90_000), 600, amount=lambda number: sizes[number])
    assert most_in_a_minute(sent) <= 90_000
    assert sum(size for _, size in sent) >= 0.97 * 900_000


def test_a_call_above_the_limit_goes_alone():
    sent = sends(Pace(100), 200, amount=lambda _: 250)
    assert [round(now) for now, _ in sent] == [0, 150]


def test_what_was_not_used_comes_back():
    """As if tokens had been counted right from the start."""
    pace, now, total = Pace(6000), 0.0, 0
    while now < 60.0:
        wait = pace.wait_s(100, now)
        if wait > 0:
            now += wait
            continue
        entry = pace.take(100, now)
        pace.correct(entry, 25)
        total += 25
    assert 0.95 * 6000 <= total <= 6000


def test_what_was_used_beyond_counts_too():
    pace = Pace(600)
    entry = pace.take(5, 0.0)
    pace.correct(entry, 300)
    assert pace.wait_s(1, 1.0) == pytest.approx(29 - 0.5, abs=0.01)
    assert pace.wait_s(400, 1.0) == pytest.approx(59)


def test_a_forgotten_entry_is_corrected_without_harm():
    pace = Pace(600)
    entry = pace.take(5, 0.0)
    assert pace.wait_s(1, 100.0) == 0
    pace.correct(entry, 0)
    assert pace.wait_s(600, 200.0) == 0
    pace.take(600, 200.0)
    assert pace.wait_s(1, 200.0) > 0


def test_the_guess_is_the_most_until_something_is_known():
    guess = TokenGuess()
    assert guess.guess(400, 512) == 912
    guess.learn(400, 100, 50)
    guess.learn(200, 50, 150)
    assert guess.guess(400, 512) == 100 + 100


async def test_a_pause_holds_for_all_and_the_end_lets_all_through():
    now = [0.0]
    limits = Limits(None, None, clock=lambda: now[0])
    await asyncio.wait_for(limits.admit(1), 1)
    limits.pause(1000)
    waiting = [asyncio.ensure_future(limits.admit(1)) for _ in range(3)]
    await asyncio.sleep(0.08)
    assert not any(task.done() for task in waiting)
    now[0] = 500.0
    limits.pause(0)  # a shorter one does not end a longer one
    await asyncio.sleep(0.08)
    assert not any(task.done() for task in waiting)
    limits.end()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


async def test_both_limits_hold():
    now = [0.0]
    limits = Limits(60, 6000, clock=lambda: now[0])
    entry = await limits.admit(60)  # a hundredth: no more at once
    second = asyncio.ensure_future(limits.admit(10))
    await asyncio.sleep(0.08)
    assert not second.done()
    limits.settle(entry, 0)
    now[0] = 0.5
    await asyncio.sleep(0.08)
    assert not second.done()  # the calls, one a second
    now[0] = 1.01
    await asyncio.wait_for(second, 1)
