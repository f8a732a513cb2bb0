"""Train a pretrained teacher on a table of 40 cheeses, and its student: `make demo-pretrained`.

stillroom models add smollm2 minilm
python examples/pretrained_teacher.py

Teacher, student and a small model from scratch are asked questions in people's own words
(examples/data/cheeses_asked.csv) that none of them was trained on. All options of the main job may
be given; they replace the ones used here.
"""

import sys
from pathlib import Path

from stillroom.pipeline.commands.run import run_command

DATA = Path(__file__).resolve().parent / "data"

if __name__ == "__main__":
    options = ["--teacher", "smollm2", "--data", str(DATA / "cheeses.csv")]
    asked = ["--asked", str(DATA / "cheeses_asked.csv")]
    sys.exit(run_command("pretrained_teacher.py")([*options, *asked, *sys.argv[1:]]))
