"""Sixteen callers, cancels and killed engine threads; ten minutes where it is marked slow."""

import json
import subprocess
import sys

import pytest
from project_paths import ROOT


@pytest.mark.parametrize("minutes", [0.5, pytest.param(10, marks=pytest.mark.slow)])
def test_no_answer_is_wrong_no_turn_lost_and_memory_stays(minutes, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "serving.py", "soak", "--folder", tmp_path]
    done = subprocess.run(
        [*map(str, command), "--minutes", str(minutes)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "soak.json").read_text())["found"]
    print(json.dumps(found))
    assert found["right"] > 10 * found["minutes"]
    assert found.get("wrong", 0) == found["messages lost"] == found["turns left over"] == 0
    # A killed thread fails the turns that it worked on, and no other turn fails.
    faults = {name for name in found if name.startswith(("status", "turn: "))}
    assert faults <= {"status 503", "turn: EngineFailedError"}, found
    assert found["engine threads killed"] == 3
    assert (found["engine"]["running"], found["engine"]["waiting"]) == (0, 0)
