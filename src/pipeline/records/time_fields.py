"""Which fields hold times, and may differ between two runs over the same data.

The one list of them. `compare` in `replay` leaves them out, in records as in reports.
"""

from __future__ import annotations

from typing import Any, Final

TIME_FIELDS: Final = frozenset({
    "created_at", "updated_at", "started_at", "finished_at",
    "timing", "busy_s", "cached", "latency_s", "wall_s",
    "teacher_tokens_per_sec", "pipeline_kept_samples_per_hour", "train_tokens_per_sec",
})  # fmt: skip
"""Names of fields of records, reports, manifests and states."""
TIME_PREFIXES: Final = ("duration",)
"""Beginnings of such names: `duration_s`, `durations`."""
TIME_FILES: Final = frozenset({"timing_report.json"})
"""Reports about times alone; of them only that they exist is compared."""
RENDERED: Final = frozenset({".html"})
"""Endings of files that show what other files hold, times among it; they are not compared."""


def is_time_field(name: str) -> bool:
    """Say whether a field holds a time.

    >>> is_time_field("duration_s"), is_time_field("count")
    (True, False)
    """
    return name in TIME_FIELDS or name.startswith(TIME_PREFIXES)


def without_times(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Leave out the fields of time, at any depth.

    >>> without_times({"id": 1, "label": {"teacher": "t", "cached": True}})
    {'id': 1, 'label': {'teacher': 't'}}
    """
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if not is_time_field(str(key))}
    if isinstance(value, list):
        return [without_times(v) for v in value]
    return value
