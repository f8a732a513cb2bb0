"""`forbid_models`: tests of agents fail at once where they would load or call a real model.

    with forbid_models():
        run_my_agent(ScriptedModel(["Au"]))

The error names the model. Without this a test that misses its script would be slow, or give another
answer each time.
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
    """Forbid real models until the block ends, in all threads; blocks may be nested."""
    global _forbidding
    with _guard:
        _forbidding += 1
    try:
        yield
    finally:
        with _guard:
            _forbidding -= 1


def check_models_allowed(wanted: str) -> None:
    """Raise if real models are forbidden.

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
