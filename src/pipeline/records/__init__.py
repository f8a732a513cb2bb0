"""The record pipeline: steps over records, stage by stage, resumable, each row accounted for.

The names below are loaded when they are first used, so that `--help` stays quick:

    from stillroom.pipeline.records import LoadDataFromDicts, Pipeline, RuleFilter
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not run __getattr__; the names are those of HOMES
    from .report_steps.manifests import WriteManifest as WriteManifest
    from .report_steps.quality_reports import WriteQualityReport as WriteQualityReport
    from .step import GeneratorStep as GeneratorStep
    from .step import GlobalStep as GlobalStep
    from .step import ObserverStep as ObserverStep
    from .step import OrderedStep as OrderedStep
    from .step import Rejected as Rejected
    from .step import RowStep as RowStep
    from .step import Step as Step
    from .step import StepResources as StepResources

HOMES = {
    "GeneratorStep": "step",
    "GlobalStep": "step",
    "ObserverStep": "step",
    "OrderedStep": "step",
    "Rejected": "step",
    "RowStep": "step",
    "Step": "step",
    "StepResources": "step",
    "WriteManifest": "report_steps.manifests",
    "WriteQualityReport": "report_steps.quality_reports",
}
"""Public name -> module below this package. Steps and models in it can be named in YAML files."""
__all__ = sorted(HOMES)


if not TYPE_CHECKING:  # else a checker would take every misspelt name for one that is there

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever lives under the name
        """Load a public name from its module."""
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
