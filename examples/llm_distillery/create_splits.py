"""`create_splits` of LLM Distillery: runs `stillroom create_splits`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["create_splits", *sys.argv[1:]]))
