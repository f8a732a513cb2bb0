"""`analyze_distribution` of LLM Distillery: runs `stillroom analyze_distribution`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["analyze_distribution", *sys.argv[1:]]))
