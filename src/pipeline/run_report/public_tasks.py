"""Public tasks through lm-evaluation-harness, where it is installed.

Source: https://github.com/EleutherAI/lm-evaluation-harness, `lm_eval.simple_evaluate`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import DataError, MissingDependencyError

TASKS_FILE: Final = "public_tasks.json"
SCHEMA_VERSION: Final = 1
_PACKAGE, _EXTRA = "lm-eval", "tasks"


def tasks_faults() -> list[str]:
    """Say what is missing for public tasks."""
    if importlib.util.find_spec("lm_eval") is not None:
        return []
    return [f"--tasks is given: {MissingDependencyError(_PACKAGE, _EXTRA)}"]


def measure_tasks(
    folder: str | Path,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint on public tasks; their data may be downloaded by the harness.

    Args:
        folder: Checkpoint folder.
        tasks: Names of the harness.
        limit: Examples of each task; None takes all. Numbers with a limit are not comparable.
        device: Torch device; None lets the harness choose.

    Returns:
        `results`: `task`, `metric`, `value`, `stderr` and `dataset` of the hub (None where there is
        none), `version`;
        `limit`; `harness`, its version.

    Raises:
        MissingDependencyError: The harness is not installed.
        DataError: The harness knows no such task, or gave no result.
    """
    if tasks_faults():
        raise MissingDependencyError(_PACKAGE, _EXTRA)
    import lm_eval

    try:
        found = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder)},
            tasks=list(tasks),
            limit=limit,
            device=device,
            log_samples=False,
        )
    except (KeyError, ValueError) as fault:
        raise DataError(f"lm-evaluation-harness: {fault}") from fault
    rows = task_rows(found or {})
    if not rows:
        raise DataError(f"lm-evaluation-harness gave no result for {', '.join(tasks)}")
    version = str(getattr(lm_eval, "__version__", "unknown"))
    return {"schema_version": SCHEMA_VERSION, "harness": version, "limit": limit, "results": rows}


def task_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the metrics of the harness's answer.

    >>> task_rows({"results": {"t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.1}},
    ...            "versions": {"t": 1.0}})[0]["value"]
    0.5
    """
    rows = []
    for task, metrics in dict(found.get("results") or {}).items():
        for name, value in metrics.items():
            metric, _, way = name.partition(",")
            if metric.endswith("_stderr") or not way or isinstance(value, (str, bool)):
                continue
            error = metrics.get(f"{metric}_stderr,{way}")
            rows.append({
                "task": task, "metric": name, "value": float(value),
                "stderr": float(error) if isinstance(error, (int, float)) else None,
                "dataset": dict((found.get("configs") or {}).get(task) or {}).get("dataset_path"),
                "version": dict(found.get("versions") or {}).get(task),
            })  # fmt: skip
    return rows
