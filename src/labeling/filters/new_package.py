"""Write a new filter package to start from: `stillroom filter new`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...errors import ConfigError
from ...files import atomic_folder, write_text
from .config_file import CONFIG_FILE, NAME
from .filter_config import major_version
from .filter_package import README_FILE, find_filter, load_filter
from .prefilter_file import RULES_FILE
from .prompt_template import PASTE_MARK, PROMPT_FILES

_WEIGHT_DIGITS: Final = 4
_TIERS: Final = (("high", 7.0), ("medium", 4.0), ("low", 0.0))
_RULES: Final = """\
# Blocks what needs no oracle. Each category holds regular expressions that ignore case.
version: "1.0"
min_content_length: 300
max_prefilter_content: 2000

exclusions: {}          # category: [patterns that block]
category_overrides: {}  # category: [patterns that keep an article all the same]
"""


def new_filter(
    path: str | Path,
    *,
    dimensions: Sequence[str] = (),
    classes: Sequence[str] = (),
    like: str | Path | None = None,
) -> Path:
    """Write a package without faults, to be filled with what the filter asks.

    Args:
        path: The folder, `<name>/v<N>`; it must not exist.
        dimensions: Names of the dimensions to score; they get equal weights.
        classes: Names of the classes to choose from, two or more.
        like: A package to copy instead; its name becomes that of the folder.

    Returns:
        The folder.

    Raises:
        ConfigError: The path or a name is not allowed, or not one of `dimensions`, `classes` and
            `like` is given.
        DataNotFoundError: There is no package `like`.
    """
    folder = Path(path)
    name, number = folder.absolute().parent.name, major_version(folder.name)
    faults = [
        f"{what} has {one!r}; allowed are lower-case letters, digits and _"
        for what, ones in (("path", [name]), ("dimensions", dimensions), ("classes", classes))
        for one in ones
        if not NAME.fullmatch(one)
    ]
    if number is None or folder.name != f"v{number}":
        faults.append(f"path is {str(path)!r}; allowed is a folder <name>/v1, with any number")
    if folder.exists():
        faults.append(f"path is {str(path)!r}, which exists; name a new folder")
    if sum(map(bool, (dimensions, classes, like))) != 1:
        faults.append("give dimensions, classes or a package to copy, one of the three")
    for what, ones in (("dimensions", dimensions), ("classes", classes)):
        if len(set(ones)) < len(ones):
            faults.append(f"{what} has a name twice")
    if len(classes) == 1:
        faults.append("classes has one name; give at least two")
    if faults:
        raise ConfigError(faults)
    with atomic_folder(folder) as temporary:
        if like is not None:
            _copy(find_filter(like), temporary, name, folder.name)
        else:
            asked = dimensions or classes
            write_text(temporary / CONFIG_FILE, _config(name, number, dimensions, classes))
            write_text(temporary / PROMPT_FILES[0], _prompt(asked, scores=bool(dimensions)))
            write_text(temporary / RULES_FILE, _RULES)
            write_text(temporary / README_FILE, f"# {name}, version {number}\n\nWhat passes, and "
                       "why; an article of each tier or class.\n")  # fmt: skip
    load_filter(folder)
    return folder


def _copy(source: Path, target: Path, name: str, version: str) -> None:
    """Copy a package; only its own name and version are replaced in its config."""
    old = load_filter(source).config
    for one in sorted(source.iterdir()):
        if one.is_file():
            shutil.copyfile(one, target / one.name)
    text = (target / CONFIG_FILE).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    made = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("name:") and old.name in stripped:
            line = line.replace(old.name, name)
        elif stripped.startswith("version:") and old.version in stripped:
            line = line.replace(old.version, f"{version[1:]}.0")
        made.append(line)
    write_text(target / CONFIG_FILE, "".join(made))


def _config(
    name: str, number: int | None, dimensions: Sequence[str], classes: Sequence[str]
) -> str:
    lines = [
        "filter:",
        f"  name: {name}",
        f'  version: "{number}.0"',
        "  description: What this filter looks for.",
        "",
        "scoring:",
    ]
    if classes:
        lines += ["  classes:", *(f"    {one}: {{description: }}" for one in classes)]
        lines = [line.replace("{description: }", '{description: ""}') for line in lines]
        lines.append(f"  pass_classes: [{classes[0]}]")
    else:
        lines.append("  dimensions:  # weights sum to 1")
        for one, weight in zip(dimensions, _weights(len(dimensions)), strict=True):
            lines.append(f'    {one}: {{weight: {weight:g}, description: ""}}')
        lines.append("  tiers:")
        lines += [f'    {one}: {{threshold: {least}, description: ""}}' for one, least in _TIERS]
        lines.append("  pass_threshold: 4.0")
    lines += ["", "training:", "  target_samples: 3000", "  train_val_test_split: [0.8, 0.1, 0.1]"]
    return "\n".join(lines) + "\n"


def _weights(count: int) -> list[float]:
    """Split 1 into equal weights of four digits; the first takes what is left by rounding."""
    each = round(1 / count, _WEIGHT_DIGITS)
    return [round(1 - each * (count - 1), _WEIGHT_DIGITS), *[each] * (count - 1)]


def _prompt(asked: Sequence[str], *, scores: bool) -> str:
    if scores:
        task = "Rate this article on each dimension, from 0 to 10:"
        inner = ", ".join(f'"{one}": <0-10>' for one in asked)
        reply = f'{{"dimensions": {{{inner}}}, "reasoning": "<one sentence>"}}'
    else:
        task = "Choose the one class that fits this article best:"
        reply = '{"class": "<one of the names above>", "reasoning": "<one sentence>"}'
    names = "\n".join(f"- {one}: " for one in asked)
    return (
        f"{task}\n\n{names}\n\n{PASTE_MARK}\n\nAnswer with one JSON object: {reply}\n"
        "DO NOT include any text outside the JSON object.\n"
    )
