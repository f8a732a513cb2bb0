"""How a plan is run, and what the run has come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...labeling.gates.quality_gate import QualityGate

ROWS_PER_SHARD: Final = 5000
"""Rows of the source in a shard."""


@dataclass(frozen=True)
class RunOptions:
    """How a plan is run."""

    folder: Path
    """Folder of the run."""
    run_id: str
    cache_dir: Path
    """Folder of what several runs share."""
    rows_per_shard: int = ROWS_PER_SHARD
    limit: int | None = None
    """Rows to read from each source at most."""
    finish: bool = False
    """Work on what is there, read and ask for nothing more, and mark the result as partial."""
    observers: bool = True
    """Whether observers write their files."""
    gate: QualityGate | None = None
    gate_stage: str | None = None
    """Stage of the quality report that the gate reads."""


@dataclass
class RunResult:
    """What a run has come to."""

    accounting: dict[str, Any] = field(default_factory=dict)
    """`{stage: {"in", "out", "rejected", "dead", "steps"}}`."""
    shards: dict[str, list[int]] = field(default_factory=dict)
    """Stage -> numbers of its shards."""
    partial: bool = False
    files: dict[str, list[str]] = field(default_factory=dict)
    """Observer -> the files that it wrote, relative to the run's folder."""
    gate_seen: bool = False
