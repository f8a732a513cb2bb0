"""Engines for tests: tiny, gated, and broken on purpose."""

from __future__ import annotations

import dataclasses
import time
from contextlib import contextmanager

from stillroom.inference.engine.batch import open_batch
from stillroom.inference.engine.batch_engine import BatchEngine
from stillroom.inference.engine.protocol import GenerationRequest
from stillroom.inference.engine.transformers_engine import serve_checkpoint
from stillroom.inference.scoring.model_limits import model_lock


@contextmanager
def serving(checkpoint, **limits):
    """Give an engine of its own, closed in the end."""
    engine = serve_checkpoint(checkpoint, **limits)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def serving_through(checkpoint, wrap, **limits):
    """Give an engine whose batches are wrapped by `wrap`."""
    model = serve_checkpoint(checkpoint)._model
    changed = dataclasses.replace(model, open_batch=lambda: wrap(open_batch(checkpoint.model)))
    engine = BatchEngine(changed, **limits)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def held(checkpoint):
    """Let no pass begin meanwhile."""
    with model_lock(checkpoint.model):
        yield


def ask(ids=(5, 6, 7), max_tokens=20, **settings):
    """Make a request that runs to its limit."""
    return GenerationRequest(tuple(ids), max_tokens=max_tokens, ignore_end=True, **settings)


def ids_of(events):
    return [event.token_id for event in events]


def eventually(holds, seconds=20.0):
    """Wait for something that another thread brings about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.001)


class Faulty:
    """A batch whose n-th step fails."""

    def __init__(self, batch, fault, at=3):
        self._batch, self._fault, self._left = batch, fault, at

    def __getattr__(self, name):
        return getattr(self._batch, name)

    def step(self, tokens):
        self._left -= 1
        if self._left == 0:
            raise self._fault
        return self._batch.step(tokens)
