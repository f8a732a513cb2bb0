"""`benchmarks/gpu.sh` goes its whole way on a CPU, and says where there is no card.

The whole way is marked slow: `.ci/run` goes it.
"""

import json
import os
import subprocess
import sys

import pytest
from project_paths import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def run(output, **environment):
    return subprocess.run(
        [SCRIPT, output],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        timeout=1800,
        check=False,
    )


@pytest.mark.slow
def test_the_same_way_on_a_cpu(tmp_path):
    pytest.importorskip("trl")
    done = run(tmp_path / "out", TINY="1")
    logs = {path.stem: path.read_text() for path in (tmp_path / "out").glob("*.log")}
    assert done.returncode == 0, (done.stdout, logs)
    parts = [line.split("\t") for line in (tmp_path / "out" / "parts.tsv").read_text().splitlines()]
    assert [(name, word) for name, word, _ in parts] == [
        (name, "ok") for name in ("machine", "step", "starter", "main_job", "serving")
    ]
    table = (tmp_path / "out" / "step" / "kd_peer.md").read_text()
    assert "TRL GKDTrainer" in table
    assert "cached top-64" in table
    assert "taught this table" in logs["main_job"]
    served = json.loads((tmp_path / "out" / "serving.json").read_text())["models"]
    assert len(served) == 2
    for engines in served.values():
        assert set(engines) == {"stillroom", "transformers"}
        for rows in engines.values():
            assert all(row["answers_as_the_first_engine"] == 1.0 for row in rows.values())
            assert all(row["tokens_per_s"] > 0 for row in rows.values())


def test_without_a_card_it_says_so_and_starts_nothing(tmp_path):
    done = run(tmp_path / "out", CUDA_VISIBLE_DEVICES="", TINY="")
    assert done.returncode == 1
    assert "no usable card; TINY=1 goes the same way on a CPU" in done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.log")] == ["machine.log"]


def test_its_parts_take_eight_minutes_at_most():
    """The limits of the parts of a card, from the script itself."""
    limits = [
        int(line.split()[2])
        for line in SCRIPT.read_text().splitlines()
        if line.strip().startswith("part ") and "--tiny" not in line and " starter " not in line
    ]
    assert len(limits) == 4
    assert sum(limits) <= 480
