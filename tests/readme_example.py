"""Write the README's Python blocks as programs, each of its own: a reader copies one, not all.

    python tests/readme_example.py README.md FOLDER

prints their paths in the order of the README.
"""

import re
import sys
from pathlib import Path


def blocks(readme: Path) -> list[str]:
    """Give the Python blocks of a README, in order."""
    found = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    if not found:
        raise SystemExit(f"{readme} has no Python block")
    return found


def main(readme: Path, folder: Path) -> None:
    """Write the blocks into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(blocks(readme), 1):
        program = folder / f"block_{number}.py"
        program.write_text(text, encoding="utf-8")
        print(program)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
