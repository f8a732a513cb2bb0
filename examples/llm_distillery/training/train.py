"""`train` of LLM Distillery: runs `stillroom train`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
