"""Run the main job, from a table to a student that answers, as `make demo` does.

python examples/complete_pipeline.py
python examples/complete_pipeline.py --data mine.csv [--question q --answer a] [--teacher NAME
--student NAME]
"""

import sys

from stillroom.pipeline.commands.run import run_command

if __name__ == "__main__":
    sys.exit(run_command("complete_pipeline.py")())
