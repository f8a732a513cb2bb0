"""The equivalence gate of the peer benchmark at tiny size: TRL's trainers, Liger's where it is
installed, and ours."""

import json
import subprocess
import sys

import pytest
from project_paths import ROOT


def test_all_systems_train_the_same(tmp_path):
    pytest.importorskip("trl")
    settings = {"pair": "tiny", "data": "answer-heavy", "accumulation": 2, "steps": 2}
    found = tmp_path / "found.json"
    command = [sys.executable, ROOT / "benchmarks" / "kd_peer", "--child", "gate"]
    done = subprocess.run(
        [*command, json.dumps(settings), "--output", found],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(found.read_text(encoding="utf-8"))
    assert {"trl_gkd", "trl_chunked", "cached V-1", "ce_rows"} <= {row["system"] for row in rows}
    assert [row for row in rows if not row["holds"]] == []
