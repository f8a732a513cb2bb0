"""`merge_labels` of LLM Distillery: runs `stillroom merge_labels`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["merge_labels", *sys.argv[1:]]))
