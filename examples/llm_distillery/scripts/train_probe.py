"""`train_probe` of LLM Distillery: runs `stillroom train_probe`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["train_probe", *sys.argv[1:]]))
