"""`python -m easydistill.cli --config job.json`: the same as `stillroom easydistill`."""

import sys

from stillroom.pipeline.easydistill.run import easydistill_main

if __name__ == "__main__":
    sys.exit(easydistill_main(sys.argv[1:]))
