"""`fit_calibration` of LLM Distillery: runs `stillroom fit_calibration`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["fit_calibration", *sys.argv[1:]]))
