"""`ground_truth_gate` of LLM Distillery: runs `stillroom ground_truth_gate`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["ground_truth_gate", *sys.argv[1:]]))
