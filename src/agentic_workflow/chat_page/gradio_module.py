"""Gradio, imported when the page is built, and the type of its objects, which it does not have."""

from __future__ import annotations

import os
from typing import Any

from ...errors import MissingDependencyError

Gradio = Any
"""The module, a component, a request or an event of Gradio."""


def import_gradio() -> Gradio:
    """Import Gradio with its telemetry off, which it reads at import.

    Raises:
        MissingDependencyError: Gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as fault:
        raise MissingDependencyError("gradio", "chat") from fault
    return gradio
