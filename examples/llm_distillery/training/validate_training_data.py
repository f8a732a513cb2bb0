"""`validate_training_data` of LLM Distillery: runs `stillroom validate_training_data`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["validate_training_data", *sys.argv[1:]]))
