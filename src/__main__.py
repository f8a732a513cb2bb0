"""`python -m stillroom`: the same as the `stillroom` command."""

import sys

from .cli import main

sys.exit(main())
