"""`python -m easydistill.cli --config job.json`: the same as `stillroom easydistill`."""

import sys

from stillroom.pipeline.easydistill.run import EASYDISTILL

if __name__ == "__main__":
    sys.exit(EASYDISTILL())
