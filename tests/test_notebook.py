"""The notebook runs from its first cell to its last, and has the sections that it promises."""

import json
import os
import subprocess
import sys

from project_paths import ROOT

NOTEBOOK = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
SECTIONS = [
    "Setup", "System 1", "System 2", "Teacher vs Student comparison", "Single prompt",
]  # fmt: skip
NAMES = [
    "TEACHER_MODEL_SYS1", "STUDENT_MODEL_SYS1", "DATASET_SLICE_SYS1", "NUM_EPOCHS_SYS1",
    "RELABEL_WITH_TEACHER", "STUDENT_MODEL_SYS2", "DATASET_SLICE_SYS2", "RV_MIN", "CD_MIN",
    "NUM_EPOCHS_SYS2", "COMPARE_PROMPTS",
]  # fmt: skip


def cells(kind):
    return ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == kind]


def test_the_sections_and_the_names_of_the_notebook():
    heads = [line[3:] for text in cells("markdown") for line in text.splitlines()
             if line.startswith("## ")]  # fmt: skip
    assert heads == SECTIONS
    code = "\n".join(cells("code"))
    assert [name for name in NAMES if f"\n{name} = " not in code] == []
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"]), "no outputs are kept"


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join(cells("code")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "STILLROOM_QUICK": "1"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[Prompt 2] Emma has 7 books" in done.stdout
    for column in ("Teacher (truncated): ", "System 1 student: ", "System 2 student: "):
        assert done.stdout.count(column) == 2
    for name in ("teacher of System 1", "student of System 2"):
        assert f"{name}: " in done.stdout
    assert "of 10 held-out" in done.stdout
    for part in ("student_1/model.safetensors", "student_2/run.json", "configs/system1.json"):
        assert (tmp_path / "outputs/notebook" / part).is_file()
