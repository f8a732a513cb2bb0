"""A switch for tests of agents: while it is on, no real model can be loaded or asked.

    with forbid_models():
        run_my_agent(ScriptedModel(["Au"]))

A test that was meant to run on a script and reaches for weights or a server fails at once, with the
name of what it reached for, in place of being slow or giving another answer every time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ScriptError

_guard = threading.Lock()
_forbidding = 0


@contextmanager
def forbid_models() -> Iterator[None]:
    """Forbid real models until the block ends, in all threads; blocks may lie in one another."""
    global _forbidding
    with _guard:
        _forbidding += 1
    try:
        yield
    finally:
        with _guard:
            _forbidding -= 1


def check_models_allowed(wanted: str) -> None:
    """Say so where a real model is about to be opened although that is forbidden.

    Args:
        wanted: Name of the model.

    Raises:
        ScriptError: Models are forbidden.
    """
    if _forbidding:
        raise ScriptError(
            f"the model {wanted!r} was asked for while real models are forbidden (forbid_models); "
            "give the agent a ScriptedModel"
        )
