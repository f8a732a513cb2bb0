"""`batch_labeler` of LLM Distillery: runs `stillroom batch_labeler`."""

import sys

from stillroom import GenericBatchLabeler, analysis_field_name, load_filter_package
from stillroom.cli import main

__all__ = ["GenericBatchLabeler", "analysis_field_name", "load_filter_package"]

if __name__ == "__main__":
    sys.exit(main(["batch_labeler", *sys.argv[1:]]))
