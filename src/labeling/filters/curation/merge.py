"""Merge files of labels into one list of records, each id once: `merge_labels`."""

from __future__ import annotations

import codecs
import glob
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ....errors import ConfigError, DataError, DataNotFoundError
from ..filter_config import FilterConfig
from ..scored_record import AnalysisFault, analysis_of

OnConflict = Literal["error", "first", "last"]
"""What to do with one id and two texts: refuse, or keep the first or last."""
TEXT_FIELDS: Final = ("title", "content", "text")


@dataclass
class Merged:
    """Merged labels and what was left out."""

    records: list[dict[str, Any]]
    """Each id once, in the order in which the ids came first."""
    repeated: int = 0
    """Records that gave way to a later label of the same article."""
    conflicts: list[str] = field(default_factory=list)
    """Places of records with the id of another text."""
    rejected: list[str] = field(default_factory=list)
    """Places of lines and records that are no valid labels, with the reason."""
    prompts: dict[str, int] = field(default_factory=dict)
    """`prompt_hash` and oracle -> records."""

    @property
    def is_mixed(self) -> bool:
        """Whether labels of several prompts or oracles are among them."""
        return len(self.prompts) > 1


def merge_labels(
    sources: str | Path | Iterable[str | Path],
    config: FilterConfig,
    *,
    on_conflict: OnConflict = "error",
    allow_mixed: bool = False,
) -> Merged:
    """Merge the batch files of one or more labelling runs.

    Args:
        sources: Files or patterns of JSON Lines; the files of a pattern in the order of their
            names.
        config: Of the filter.
        on_conflict: For one id with two texts. Two labels of one text are no conflict: the last is
            kept.
        allow_mixed: Accept labels of several prompts or oracles.

    Raises:
        DataNotFoundError: A file does not exist, or a pattern matches nothing.
        DataError: An id occurs with two texts, or labels of several prompts or oracles are mixed.
        ConfigError: `on_conflict` is unknown.
    """
    if on_conflict not in get_args(OnConflict):
        raise ConfigError([f"on_conflict is {on_conflict!r}; allowed are "
                           f"{', '.join(get_args(OnConflict))}"])  # fmt: skip
    merged = Merged([])
    kept: dict[str, tuple[str, dict[str, Any]]] = {}
    for place, record in read_json_objects(sources, merged.rejected):
        reason = _reason(record, config)
        if reason is not None:
            merged.rejected.append(f"{place}: {reason}")
            continue
        identity = str(record["id"])
        earlier = kept.get(identity)
        if earlier is None:
            kept[identity] = (place, record)
        elif _text(earlier[1]) == _text(record):
            merged.repeated += 1
            kept[identity] = (place, record)
        else:
            if on_conflict == "error":
                raise DataError(f"{place}: the id {identity!r} is that of another text in "
                                f"{earlier[0]}; set on_conflict='first' or 'last'")  # fmt: skip
            merged.conflicts.append(place)
            kept[identity] = earlier if on_conflict == "first" else (place, record)
    merged.records = [record for _, record in kept.values()]
    for record in merged.records:
        told = record[config.analysis_field]
        name = f"{told.get('prompt_hash', 'unknown')} {told.get('analyzed_by', 'unknown')}"
        merged.prompts[name] = merged.prompts.get(name, 0) + 1
    if merged.is_mixed and not allow_mixed:
        raise DataError(
            f"labels of {len(merged.prompts)} prompts or oracles are mixed: {merged.prompts}; "
            "merge those of one, or set allow_mixed=True"
        )
    return merged


def read_json_objects(
    sources: str | Path | Iterable[str | Path], rejected: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read files or patterns of JSON Lines.

    Args:
        sources: As for `merge_labels`.
        rejected: Gets the place and reason of each line that is no object.

    Yields:
        Place, as file and line, and record.

    Raises:
        DataNotFoundError: A file does not exist, or a pattern matches nothing.
    """
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    for pattern in given:
        files = [str(pattern)] if Path(pattern).is_file() else sorted(glob.glob(str(pattern)))
        if not files:
            raise DataNotFoundError(f"there is no file {str(pattern)!r}")
        for file in files:
            yield from _read_file(file, rejected)


def _read_file(file: str, rejected: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    with open(file, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            place = f"{file}, line {number}"
            try:
                value = json.loads(line.removeprefix(codecs.BOM_UTF8)) if line.strip() else None
            except (ValueError, RecursionError) as fault:
                rejected.append(f"{place}: is no JSON ({fault})")
                continue
            if isinstance(value, dict):
                yield place, value
            elif line.strip():
                rejected.append(f"{place}: is no object")


def _reason(record: Mapping[str, Any], config: FilterConfig) -> str | None:
    if record.get("id") in (None, ""):
        return "missing_id"
    try:
        return None if analysis_of(record, config) is not None else "no_analysis"
    except AnalysisFault as fault:
        return str(fault)


def _text(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in TEXT_FIELDS)
