"""The commands of LLM Distillery by name: what runs each, and where its users find it.

stillroom batch_labeler --filter filters/uplifting/v1 --source 'raw/*.jsonl' --llm gemini-flash
stillroom scripts/oracle/calibrate_oracle.py --filter filters/uplifting/v1 --source raw.jsonl

`examples/llm_distillery` holds a file of the same path for each, so that old command lines work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final


@dataclass(frozen=True)
class Spelling:
    """One command."""

    paths: tuple[str, ...]
    """Files by which it was started."""
    home: str = ""
    """`module:function` that runs it here, below `stillroom.pipeline`."""
    action: str = ""
    """Action of `stillroom filter` that takes the same options, in place of a function."""

    def load(self) -> Callable[[Sequence[str]], int]:
        """Import the function, which takes the options and returns the exit code."""
        if self.action:
            from ..commands.filters.actions import FILTER

            return lambda argv: FILTER([self.action, *argv])
        module, _, name = self.home.partition(":")
        found: Callable[[Sequence[str]], int] = getattr(
            import_module(f"{__package__.rpartition('.')[0]}.{module}"), name
        )
        return found


_HERE: Final = "llm_distillery"
SPELLINGS: Final[Mapping[str, Spelling]] = {
    "batch_labeler": Spelling(("batch_labeler.py", "ground_truth/batch_labeler.py"),
                              f"{_HERE}.label_commands:batch_labeler"),
    "batch_scorer": Spelling(("ground_truth/batch_scorer.py",),
                             f"{_HERE}.label_commands:batch_scorer"),
    "calibrate_oracle": Spelling(("scripts/oracle/calibrate_oracle.py",),
                                 f"{_HERE}.label_commands:calibrate_oracle"),
    "merge_labels": Spelling(("merge_labels.py",), f"{_HERE}.curation_commands:merge"),
    "analyze_distribution": Spelling(("analyze_distribution.py",),
                                     f"{_HERE}.curation_commands:analyze"),
    "create_splits": Spelling(("create_splits.py",), f"{_HERE}.curation_commands:split"),
    "merge_training_data": Spelling(("scripts/merge_training_data.py",),
                                    f"{_HERE}.curation_commands:merge_training_data"),
    "near_dup_filter": Spelling(("scripts/screening/near_dup_filter.py",),
                                f"{_HERE}.screening_commands:near_dup_filter"),
    "embedding_screener": Spelling(("scripts/screening/embedding_screener.py",),
                                   f"{_HERE}.screening_commands:embedding_screener"),
    "prepare_data": Spelling(("training/prepare_data.py",), action="prepare"),
    "validate_training_data": Spelling(("training/validate_training_data.py",), action="validate"),
    "train": Spelling(("training/train.py",), action="train"),
    "fit_calibration": Spelling(("scripts/calibration/fit_calibration.py",), action="calibrate"),
    "fit_normalization": Spelling(("scripts/normalization/fit_normalization.py",),
                                  action="normalize"),
    "ground_truth_gate": Spelling(("scripts/gate/ground_truth_gate.py",), action="gate"),
    "train_probe": Spelling(("scripts/train_probe.py",), f"{_HERE}.student_commands:train_probe"),
    "inference": Spelling(("inference.py",), f"{_HERE}.student_commands:inference"),
    "inference_hub": Spelling(("inference_hub.py",), f"{_HERE}.student_commands:inference"),
    "inference_hybrid": Spelling(("inference_hybrid.py",), f"{_HERE}.student_commands:inference"),
    "verify_filter_package": Spelling(("scripts/deployment/verify_filter_package.py",),
                                      f"{_HERE}.package_commands:verify"),
    "upload_to_huggingface": Spelling(("scripts/deployment/upload_to_huggingface.py",),
                                      f"{_HERE}.package_commands:upload"),
}  # fmt: skip
"""Name of a command -> how it is spelt and what runs it."""


def spelling_of(word: str) -> Spelling | None:
    """Find a command by its name, its file, or its module; None where there is none.

    >>> spelling_of("scripts/oracle/calibrate_oracle.py") is spelling_of("calibrate_oracle")
    True
    >>> spelling_of("ground_truth.batch_scorer").paths
    ('ground_truth/batch_scorer.py',)
    """
    name = word.replace("\\", "/").removesuffix(".py").replace("/", ".").rpartition(".")[2]
    return SPELLINGS.get(name)
