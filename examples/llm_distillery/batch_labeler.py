"""`batch_labeler` of LLM Distillery: runs `stillroom batch_labeler`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["batch_labeler", *sys.argv[1:]]))
