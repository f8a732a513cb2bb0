"""The rules of the comparison as plain functions, for the peers; needs the standard library alone.

They give the ids, verdicts and exported objects that stillroom's steps give with the settings in
`benchmarks/pipeline_scale.py`; the comparison checks that before it measures time.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

FIELDS = ("schema", "instruction")
SORRY = re.compile("(?i)sorry")
LEAST, MOST = 10, 400


def identify(record: dict[str, Any]) -> dict[str, Any]:
    """Add `canonical_input`, `schema_hash` and `sample_id` (version 1)."""
    chosen = {field: record[field] for field in FIELDS if record[field] is not None}
    canonical, schema = _json(chosen), _hash(_json(record["schema"]))
    parts = (record["task_id"], schema, canonical, record.get("decode_profile"))
    return {
        **record,
        "canonical_input": canonical,
        "schema_hash": schema,
        "sample_id": _hash("|".join(map(_json, parts))),
    }


def judge(text: str | None) -> str:
    """Give `ok`, or why a text is kept out: its length, or an apology."""
    stripped = (text or "").strip()
    if not stripped:
        return "empty_output"
    if len(stripped) < LEAST:
        return "too_short"
    if len(stripped) > MOST:
        return "too_long"
    return "pattern_found" if SORRY.search(text or "") else "ok"


def exported(record: dict[str, Any]) -> dict[str, Any]:
    """Give the chat messages of a record, with its id."""
    return {
        "messages": [
            {"role": "user", "content": record["instruction"]},
            {"role": "assistant", "content": record["generation"]},
        ],
        "metadata": {"sample_id": record["sample_id"]},
    }


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
