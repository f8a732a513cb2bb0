"""`inference_hub` of a filter of LLM Distillery: runs `stillroom inference_hub`.

Copied into the folder of a package, it scores by that package.
"""

import sys
from pathlib import Path

from stillroom.cli import main

if __name__ == "__main__":
    here = Path(__file__).parent
    own = ["--filter", str(here)] if (here / "config.yaml").is_file() else []
    sys.exit(main(["inference_hub", *own, *sys.argv[1:]]))
