"""What an engine does when callers go, time runs out, or it breaks."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import weakref

import pytest
from engine_tools import Faulty, ask, eventually, held, serving, serving_through
from stillroom.errors import (
    DeadlineError,
    EngineBusyError,
    EngineClosedError,
    EngineFailedError,
    GenerationError,
)


def threads():
    return {t for t in threading.enumerate() if t.name == "stillroom-engine"}


def test_a_cancel_costs_two_tokens_at_most(restless):
    with serving(restless) as engine:
        for read in (0, 1, 2, 5) * 5:
            before = engine.stats().tokens
            stream = engine.submit(ask((5, read), 240))
            for _ in range(read):
                next(stream)
            stream.cancel()
            eventually(lambda: engine.stats().running == engine.stats().waiting == 0)
            assert engine.stats().tokens - before - stream.usage.completion_tokens <= 2


def test_a_thousand_cancels_leak_no_slot_no_thread_and_no_request(restless):
    chance, before = random.Random(0), threads()
    with serving(restless, most_running=16) as engine:
        honest = [engine.submit(ask((9, n), 60)) for n in range(4)]
        lost, pending = [], []
        while engine.stats().cancelled < 1000:
            stream = engine.submit(ask((5, len(lost) % 390), 240, caller=str(len(lost) % 7)))
            pending.append(stream)
            if len(pending) > 9 or engine.stats().cancelled + len(pending) >= 1000:
                stream = pending.pop(chance.randrange(len(pending)))
                for _ in range(chance.randint(0, 2)):
                    next(stream)
                engine.cancel(stream.request_id)
                engine.cancel(stream.request_id)
                lost.append(stream)
        for stream in pending:
            stream.collect()
        for stream in honest:
            assert len(stream.collect()) == 60
        eventually(lambda: engine.stats().running == 0)
        stats = engine.stats()
        assert (stats.cancelled, stats.failed) == (1000, 0)
        assert stats.finished == 4 + len(lost) + len(pending) - 1000
        read = sum(one.usage.completion_tokens for one in (*lost, *pending, *honest))
        assert stats.tokens - read <= 2 * 1000
        assert len(threads() - before) == 1
        known = [weakref.ref(one) for one in lost]
        del lost, pending, honest, stream
        gc.collect()
        assert sum(one() is not None for one in known) <= 16, "those of the last step only"
        alone = engine.submit(ask()).collect()
        assert len(alone) == 20


def test_a_cancelled_request_gives_nothing_more(restless):
    with serving(restless) as engine:
        stream = engine.submit(ask(max_tokens=200))
        next(stream)
        stream.cancel()
        with pytest.raises(GenerationError, match="cancelled"):
            next(stream)
        with held(restless):
            waiting = engine.submit(ask())
            waiting.cancel()
        with pytest.raises(GenerationError, match="cancelled"):
            waiting.collect()


@pytest.mark.parametrize("fault", [KeyError("weights"), SystemExit(), MemoryError()])
def test_a_broken_thread_is_told_to_all_and_replaced(restless, fault):
    faults, batches, told = [fault], [], []

    def wrap(batch):
        batches.append(weakref.ref(batch))
        return Faulty(batch, faults.pop()) if faults else batch

    with serving_through(restless, wrap, most_running=2) as engine:
        with held(restless):
            # A deadline far off: a caller that is never told fails the test and does not hang it.
            far = time.monotonic() + 60
            streams = [engine.submit(ask((5, n), 30, deadline=far)) for n in range(5)]
        failed = 0
        for stream in streams:
            try:
                assert len(stream.collect()) == 30
            except EngineFailedError as caught:
                told.append(caught)
                failed += repr(fault) in str(caught) and caught.__cause__ is fault
        # Those beside it are lost with it; who only waited is, too, where the thread itself died.
        assert failed == (5 if isinstance(fault, SystemExit) else 2)
        assert len(engine.submit(ask()).collect()) == 20
        assert batches[0]() is None, "an error that is kept keeps the cache of the broken batch"
        assert engine.stats().restarts == 1
        assert engine.stats().failed == failed
        assert engine.ready()


def test_async_readers_are_told_as_well(restless):
    async def read(engine):
        streams = [engine.submit(ask((5, n))) for n in range(3)]
        return await asyncio.gather(*(s.acollect() for s in streams), return_exceptions=True)

    with serving_through(restless, lambda batch: Faulty(batch, SystemExit())) as engine:
        told = asyncio.run(asyncio.wait_for(read(engine), 60))
    assert all(isinstance(one, EngineFailedError) for one in told)
    assert len({id(one) for one in told}) == 3, "one error object in several tasks"


def test_a_full_queue_refuses_and_a_free_one_takes(restless):
    with serving(restless, most_running=1, most_waiting=3) as engine:
        with held(restless):
            first = engine.submit(ask())
            eventually(lambda: engine.stats().waiting == 0)
            waiting = [engine.submit(ask()) for _ in range(3)]
            assert not engine.ready()
            with pytest.raises(EngineBusyError, match="3 requests wait"):
                engine.submit(ask())
            with pytest.raises(EngineBusyError):
                engine.score_choices([1], [[2]])
        for stream in (first, *waiting):
            assert len(stream.collect()) == 20
        assert engine.ready()


def test_deadlines_end_what_runs_and_what_waits(restless):
    with serving(restless, most_running=1) as engine:
        running = engine.submit(ask(max_tokens=240, deadline=time.monotonic() + 0.05))
        waiting = engine.submit(ask(max_tokens=240, deadline=time.monotonic() - 1))
        score = engine.score_choices([1], [[2]], deadline=time.monotonic() - 1)
        with held(restless):
            time.sleep(0.06)
        for wait in (waiting.collect, running.collect, lambda: score.result(20)):
            with pytest.raises(DeadlineError):
                wait()
        with pytest.raises(TimeoutError):
            running.collect()
        assert len(engine.submit(ask(deadline=time.monotonic() + 60)).collect()) == 20
        assert engine.stats().failed == 3


def test_a_reader_does_not_outwait_its_deadline_for_an_engine_that_hangs(restless, monkeypatch):
    monkeypatch.setattr("stillroom.inference.engine.token_stream._GRACE_S", 0.02)
    with serving(restless, stall_s=0.01) as engine, held(restless):
        stream = engine.submit(ask(deadline=time.monotonic() + 0.01))
        with pytest.raises(DeadlineError):
            stream.collect()
        with pytest.raises(DeadlineError):
            asyncio.run(stream.acollect())


def test_a_pass_that_hangs_is_seen(restless):
    go_on = threading.Event()

    class Hanging:
        def __init__(self, batch):
            self._batch = batch

        def __getattr__(self, name):
            return getattr(self._batch, name)

        def step(self, tokens):
            go_on.wait(20)
            return self._batch.step(tokens)

    with serving_through(restless, Hanging, stall_s=0.02) as engine:
        stream = engine.submit(ask())
        eventually(lambda: not engine.ready())
        go_on.set()
        assert len(stream.collect()) == 20
        assert engine.ready()


def test_a_flood_of_one_caller_does_not_hold_up_another(restless):
    started = []

    class Noting:
        def __init__(self, batch):
            self._batch = batch

        def __getattr__(self, name):
            return getattr(self._batch, name)

        def add(self, prompts):
            started.extend(map(tuple, prompts))
            return self._batch.add(prompts)

    with serving_through(restless, Noting, most_running=2) as engine:
        with held(restless):
            flood = [engine.submit(ask((5, n), 10, caller="flood")) for n in range(50)]
            eventually(lambda: engine.stats().waiting <= 49)
            single = engine.submit(ask((9,), 10, caller="single"))
        for stream in (single, *flood):
            stream.collect()
    assert len(started) == 51
    assert started.index((9,)) <= 3, "it waited for more than those that ran"


def test_closing_ends_what_runs_at_once(restless):
    before = threads()
    with serving(restless, most_running=2) as engine:
        with held(restless):
            streams = [engine.submit(ask(max_tokens=200)) for _ in range(5)]
            score = engine.score_choices([1], [[2]])
        engine.close()
        assert threads() <= before
        engine.close()
        for stream in streams:
            with pytest.raises(EngineClosedError):
                for _ in stream:
                    pass
        with pytest.raises(EngineClosedError):
            score.result(20)
        with pytest.raises(EngineClosedError, match="open another"):
            engine.submit(ask())
        assert not engine.ready()


def test_the_thread_goes_when_idle_and_comes_back(restless):
    before = threads()
    with serving(restless, idle_s=0.01) as engine:
        assert threads() <= before
        for _ in range(3):
            first = engine.submit(ask()).collect()
            eventually(lambda: threads() <= before)
            assert engine.stats().cached_tokens == 0
        assert [e.token_id for e in first] == [e.token_id for e in engine.submit(ask()).collect()]


def test_readers_whose_loop_is_gone_free_their_slots(restless):
    async def leave(engine):
        stream = engine.submit(ask(max_tokens=240))
        waiting = asyncio.ensure_future(stream.acollect())
        await asyncio.sleep(0)
        return waiting

    with serving(restless) as engine:
        loop = asyncio.new_event_loop()
        with held(restless):
            task = loop.run_until_complete(leave(engine))
            loop.close()
        eventually(lambda: engine.stats().running == engine.stats().waiting == 0)
        task._log_destroy_pending = False
        task.get_coro().close()
        del task
        gc.collect()


def test_the_loop_goes_on_while_the_model_cannot(restless):
    """A pass that does not end holds up its readers only: nothing in the loop waits for it."""

    async def run(engine):
        with held(restless):
            tasks = [asyncio.ensure_future(engine.submit(ask()).acollect()) for _ in range(16)]
            for _ in range(200):
                await asyncio.sleep(0)
            assert not any(task.done() for task in tasks)
            engine.submit(ask()).cancel()
            assert engine.stats().finished == 0
        return await asyncio.gather(*tasks)

    with serving(restless) as engine:
        assert [len(answer) for answer in asyncio.run(run(engine))] == [20] * 16
