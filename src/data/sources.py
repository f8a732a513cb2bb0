"""Which files are meant by a path: one file, a folder, or a pattern."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from ..errors import DataNotFoundError, EmptyDataError
from .compression import unpacked_name
from .formats import SUFFIX_KINDS
from .read_report import ReadReport

_PARTITION = re.compile(r"([^=]+)=(.*)")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class SourceFile:
    """One file to read."""

    path: Path
    partitions: dict[str, str | None] = field(default_factory=dict)
    """Columns that only the folder names hold, as in `year=2024/part-0.parquet`."""


def find_files(source: str | Path, report: ReadReport) -> list[SourceFile]:
    """List the files that a path means, sorted by name.

    Args:
        source: A file; a folder, of which all data files are taken, those in folders below as well;
            or a pattern with `*`, `?`, `[...]` or `**`.
        report: Files of a folder that are passed over are noted in it.

    Raises:
        DataNotFoundError: The path or pattern names nothing.
        EmptyDataError: The folder has no data file.
    """
    path = Path(source)
    if path.is_dir():
        return _in_folder(path, report)
    if path.exists():
        return [SourceFile(path)]
    if glob.has_magic(str(source)):
        found = sorted(Path(p) for p in glob.glob(str(source), recursive=True))
        files = [p for p in found if p.is_file()]
        if not files:
            raise DataNotFoundError(f"{source}: no file matches this pattern")
        return [SourceFile(p, _partitions(p.parts[:-1])) for p in files]
    raise DataNotFoundError(f"{source}: no such file or folder; check the spelling")


def _in_folder(folder: Path, report: ReadReport) -> list[SourceFile]:
    files: list[SourceFile] = []
    passed: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        inside = path.relative_to(folder).parts
        if any(part.startswith((".", "_")) for part in inside):
            continue  # _SUCCESS, _metadata, .crc: marks that other programs leave
        if Path(unpacked_name(path)).suffix.lower() in SUFFIX_KINDS:
            files.append(SourceFile(path, _partitions(inside[:-1])))
        else:
            passed.append("/".join(inside))
    if passed:
        report.note(
            f"{folder}: passed over {len(passed)} files that are no data: {', '.join(passed[:10])}"
        )
    if not files:
        raise EmptyDataError(
            f"the folder has no data files; known are {', '.join(sorted(SUFFIX_KINDS))}",
            path=folder,
        )
    return files


def _partitions(folders: tuple[str, ...]) -> dict[str, str | None]:
    matches = (_PARTITION.fullmatch(name) for name in folders)
    return {
        match[1]: None if match[2] == _HIVE_NULL else unquote(match[2])
        for match in matches
        if match
    }
