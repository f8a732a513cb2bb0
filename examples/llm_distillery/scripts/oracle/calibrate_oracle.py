"""`calibrate_oracle` of LLM Distillery: runs `stillroom calibrate_oracle`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["calibrate_oracle", *sys.argv[1:]]))
