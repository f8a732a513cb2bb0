"""The jobs behind the commands: the main job (`main_job`), System 1 and 2, EasyDistill, labelling.

They compose the steps of the other packages, none of which imports this one. The names below are
loaded when they are first used, so that a command loads no more than it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .main_job.run import run_main_job
    from .main_job.settings import MainJob, Recipe, Tuning

__all__ = ["MainJob", "Recipe", "Tuning", "run_main_job"]


if not TYPE_CHECKING:  # else a checker would take every misspelt name for one that is there

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever lives under the name
        """Load a public name from its module."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = "run" if name == "run_main_job" else "settings"
        return getattr(import_module(f".main_job.{module}", __name__), name)
