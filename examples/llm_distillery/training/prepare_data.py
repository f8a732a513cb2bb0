"""`prepare_data` of LLM Distillery: runs `stillroom prepare_data`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["prepare_data", *sys.argv[1:]]))
