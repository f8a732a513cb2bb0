"""Print the README's Python blocks as one program: `python tests/readme_example.py README.md`."""

import re
import sys
from pathlib import Path


def program(readme: Path) -> str:
    """Join the Python blocks of a README: each may use what the ones before it made."""
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    if not blocks:
        raise SystemExit(f"{readme} has no Python block")
    return "\n".join(blocks)


if __name__ == "__main__":
    print(program(Path(sys.argv[1])), end="")
