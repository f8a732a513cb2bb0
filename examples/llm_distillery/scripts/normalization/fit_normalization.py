"""`fit_normalization` of LLM Distillery: runs `stillroom fit_normalization`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["fit_normalization", *sys.argv[1:]]))
