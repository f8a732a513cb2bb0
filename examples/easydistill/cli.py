"""`python -m easydistill.cli --config job.json`: the same as `stillroom easydistill`."""

import sys

from stillroom.cli import run_easydistill

if __name__ == "__main__":
    sys.exit(run_easydistill(sys.argv[1:]))
