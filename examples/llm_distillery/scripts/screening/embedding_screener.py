"""`embedding_screener` of LLM Distillery: runs `stillroom embedding_screener`."""

import sys

from stillroom.cli import main

if __name__ == "__main__":
    sys.exit(main(["embedding_screener", *sys.argv[1:]]))
