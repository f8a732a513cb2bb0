"""`near_dup_filter` of LLM Distillery: runs `stillroom near_dup_filter`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["near_dup_filter", *sys.argv[1:]]))
