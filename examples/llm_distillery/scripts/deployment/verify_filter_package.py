"""`verify_filter_package` of LLM Distillery: runs `stillroom verify_filter_package`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["verify_filter_package", *sys.argv[1:]]))
