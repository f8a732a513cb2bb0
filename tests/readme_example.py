"""Print the README's Python example: `python tests/readme_example.py README.md`."""

import re
import sys
from pathlib import Path


def example(readme: Path) -> str:
    """Give the first Python block of a README."""
    block = re.search(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    if block is None:
        raise SystemExit(f"{readme} has no Python block")
    return block[1]


if __name__ == "__main__":
    print(example(Path(sys.argv[1])), end="")
