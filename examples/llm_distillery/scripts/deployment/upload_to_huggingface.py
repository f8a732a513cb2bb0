"""`upload_to_huggingface` of LLM Distillery: runs `stillroom upload_to_huggingface`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["upload_to_huggingface", *sys.argv[1:]]))
