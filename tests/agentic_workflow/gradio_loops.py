"""What Gradio leaves open is closed when a test file ends."""

import asyncio
import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def close_what_gradio_leaves_open():
    """Close event loops: Gradio asks for the main thread's and leaves it open, which would be a
    warning in the middle of another test."""
    yield
    # By type, since isinstance would ask each object for its class, and some of torch's warn then.
    for loop in [one for one in gc.get_objects() if issubclass(type(one), asyncio.BaseEventLoop)]:
        if not loop.is_running() and not loop.is_closed():
            loop.close()
