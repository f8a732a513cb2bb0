"""Which fields hold times, and may differ between two runs over the same data.

The one list of them, for reports, manifests and states. In records only the columns count in which
a step writes times (`Step.time_columns`): a user's own `created_at` or `duration_s` is data.
"""

from __future__ import annotations

from typing import Any, Final

TIME_FIELDS: Final = frozenset({
    "created_at", "updated_at", "started_at", "finished_at",
    "duration_s", "durations", "busy_s", "cached", "latency_s", "wall_s",
    "teacher_tokens_per_sec", "pipeline_kept_samples_per_hour", "train_tokens_per_sec",
})  # fmt: skip
"""Names of fields of reports, manifests and states."""
TIME_FILES: Final = frozenset({"timing_report.json"})
"""Reports about times alone; of them only that they exist is compared."""
RENDERED: Final = frozenset({".html"})
"""Endings of files that show what other files hold, times among it; they are not compared."""


def without_times(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Leave the fields of time out of a report, at any depth.

    >>> without_times({"count": 1, "shards": [{"file": "a", "duration_s": 0.2}]})
    {'count': 1, 'shards': [{'file': 'a'}]}
    """
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if key not in TIME_FIELDS}
    if isinstance(value, list):
        return [without_times(v) for v in value]
    return value
