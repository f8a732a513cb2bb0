"""`batch_scorer` of LLM Distillery: runs `stillroom batch_scorer`."""

import sys

from stillroom import GenericBatchScorer, analysis_field_name, load_filter_package
from stillroom.cli import main

__all__ = ["GenericBatchScorer", "analysis_field_name", "load_filter_package"]

if __name__ == "__main__":
    sys.exit(main(["batch_scorer", *sys.argv[1:]]))
