"""Which files are meant by a path: one file, a folder, or a pattern."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from ...errors import DataNotFoundError, EmptyDataError
from .compression import unpacked_name
from .file_kinds import SUFFIX_KINDS
from .folder_metadata import descriptions, is_metadata, saved_data_files, splits_of
from .read_report import ReadReport

_PARTITION = re.compile(r"([^=]+)=(.*)")
_HIDDEN = (".", "_", "~$")
"""How names begin that programs leave beside the data; `~$a.xlsx` is a lock of Excel."""
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
        files = _without_metadata(str(source), files, report)
        return [SourceFile(p, _partitions(p.parts[:-1])) for p in files]
    raise DataNotFoundError(f"{source}: no such file or folder; check the spelling")


def _in_folder(folder: Path, report: ReadReport) -> list[SourceFile]:
    """List the data files of a folder; what is no data is noted."""
    files: list[Path] = []
    passed: dict[str, None] = {}
    everything = sorted(p for p in folder.rglob("*") if p.is_file())
    saved = {parent: saved_data_files(parent) for parent in {p.parent for p in everything}}
    for path in everything:
        inside = path.relative_to(folder).parts
        known = Path(unpacked_name(path)).suffix.lower() in SUFFIX_KINDS
        listed = saved[path.parent]
        hidden = next((i for i, part in enumerate(inside) if part.startswith(_HIDDEN)), None)
        if hidden is not None:
            passed["/".join(inside[: hidden + 1])] = None  # _SUCCESS, .crc, .git
        elif not known or is_metadata(path) or (listed is not None and path not in listed):
            passed["/".join(inside)] = None
        else:
            files.append(path)
    described = descriptions(files)
    passed.update(dict.fromkeys(str(path.relative_to(folder)) for path in sorted(described)))
    _note_passed(folder, list(passed), report)
    files = [path for path in files if path not in described]
    _check_saved(folder, saved)
    if not files:
        raise EmptyDataError(
            f"the folder has no data files; known are {', '.join(sorted(SUFFIX_KINDS))}",
            path=folder,
        )
    _note_splits(folder, everything, report)
    return [SourceFile(p, _partitions(p.relative_to(folder).parts[:-1])) for p in files]


def _without_metadata(pattern: str, files: list[Path], report: ReadReport) -> list[Path]:
    """Pass over descriptions of data where a pattern matches data as well."""
    data = [path for path in files if not is_metadata(path)]
    if not data or len(data) == len(files):
        return files
    _note_passed(Path(pattern), [str(path) for path in files if path not in data], report)
    return data


def _note_passed(folder: Path, names: list[str], report: ReadReport) -> None:
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        report.note(
            f"{folder}: passed over {len(names)} files that are no data: "
            f"{', '.join(names[:10])}{more}"
        )


def _note_splits(folder: Path, everything: list[Path], report: ReadReport) -> None:
    """Name the splits of a saved `DatasetDict`, which are read one after the other."""
    for parent in dict.fromkeys(path.parent for path in everything):
        splits = splits_of(parent)
        if splits:
            report.note(
                f"{parent}: read the splits {', '.join(map(repr, sorted(splits)))} one after the "
                f"other; pass {parent / sorted(splits)[0]} to read one alone"
            )


def _check_saved(folder: Path, saved: dict[Path, list[Path] | None]) -> None:
    """Refuse a saved data set of which a part is missing."""
    for listed in saved.values():
        for path in listed or ():
            if not path.is_file():
                raise DataNotFoundError(
                    f"{path}: state.json names this file, and it is not there; copy the whole "
                    f"folder {folder} again"
                )


def _partitions(folders: tuple[str, ...]) -> dict[str, str | None]:
    matches = (_PARTITION.fullmatch(name) for name in folders)
    return {
        match[1]: None if match[2] == _HIVE_NULL else unquote(match[2])
        for match in matches
        if match
    }
