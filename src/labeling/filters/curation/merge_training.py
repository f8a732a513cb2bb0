"""Add new labels to a data set that is split already; its test part never changes.

made = merge_training("splits", ["new.jsonl"], analysis_field="uplifting_analysis",
                      dimensions=["joy", "reach"])
made.splits.write("splits2")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ....errors import ConfigError, DataError, DataNotFoundError
from ..filter_config import HIGHEST, LOWEST
from ..prefilter import content_of
from ..scoring.score_order import is_score
from .merge import read_json_objects
from .splits import PARTS, SYNTHETIC, Part, Splits, overlap_faults, split_groups

_NEW_RATIOS: Final = (0.9, 0.1, 0.0)


@dataclass
class MergedTraining:
    """A data set with new records."""

    splits: Splits
    added: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    known: int = 0
    """New records whose id or text is in a part already, or came before."""


def merge_training(
    existing: str | Path,
    new: Iterable[str | Path],
    *,
    analysis_field: str,
    dimensions: Sequence[str],
    seed: int = 42,
    rejected: list[str] | None = None,
) -> MergedTraining:
    """Add new labels to training and validation, nine to one; validation and test keep theirs.

    Args:
        existing: Folder with `train.jsonl`, `val.jsonl` and `test.jsonl`; scored records, or
            training vectors (`labels` in the order of `dimension_names`). New records are written
            in the same form.
        new: Files or patterns of scored records.
        analysis_field: Key of their analysis, with a score per dimension, or a `score` in an object
            per dimension, under `dimensions` or not.
        dimensions: Their names, in the order of the vectors.
        seed: Of the order in which new records go to a part.
        rejected: Gets the place and reason of each new record that is no valid label.

    Raises:
        DataNotFoundError: A part or a file of new records does not exist.
        ConfigError: The vectors have other dimensions.
        DataError: The existing parts share a record.
    """
    rejected = [] if rejected is None else rejected
    parts = {part: _existing(Path(existing) / f"{part}.jsonl") for part in PARTS}
    faults = overlap_faults({str(part): own for part, own in parts.items()})
    if faults:
        raise DataError(f"the parts share records, the first: {faults[0]}; split again",
                        path=existing)  # fmt: skip
    first = next((one for own in parts.values() for one in own), {})
    vectors = "labels" in first
    if vectors and list(first.get("dimension_names", dimensions)) != list(dimensions):
        raise ConfigError([f"dimensions is {list(dimensions)}; the vectors in {existing} have "
                           f"{first['dimension_names']}"])  # fmt: skip
    ids = {str(one.get("id")) for own in parts.values() for one in own}
    texts = {_text(one) for own in parts.values() for one in own} - {""}
    fresh: dict[str, dict[str, Any]] = {}
    made = MergedTraining(Splits([], [], [], seed, _NEW_RATIOS, {}))
    for place, record in read_json_objects([str(one) for one in new], rejected):
        scores, fault = _scores(record, analysis_field, dimensions)
        if fault is not None:
            rejected.append(f"{place}: {fault}")
            continue
        identity, words = str(record["id"]), _text(record)
        if identity in ids or (words and words in texts):
            made.known += 1
            continue
        ids.add(identity)
        texts.add(words)
        fresh[identity] = _vector(record, scores, dimensions) if vectors else record
    real = [name for name, one in fresh.items() if not one.get(SYNTHETIC)]
    part_of: dict[str, Part] = dict.fromkeys(fresh, "train")
    part_of |= split_groups(real, ratios=_NEW_RATIOS, seed=seed)
    for identity, record in fresh.items():
        parts[part_of[identity]].append(record)
        made.added[part_of[identity]] += 1
    counts: dict[str, dict[str, int]] = {
        "existing": {part: len(parts[part]) - made.added[part] for part in PARTS},
        "new": {part: made.added[part] for part in PARTS},
    }
    total = sum(map(len, parts.values()))
    ratios = tuple(len(parts[part]) / max(1, total) for part in PARTS)
    made.splits = Splits(parts["train"], parts["val"], parts["test"], seed,
                         (ratios[0], ratios[1], ratios[2]), counts)  # fmt: skip
    return made


def _existing(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataNotFoundError(f"there is no file {str(path)!r}")
    wrong: list[str] = []
    found = [record for _, record in read_json_objects(path, wrong)]
    if wrong:
        raise DataError(f"{len(wrong)} lines cannot be read, the first: {wrong[0]}")
    return found


def _scores(
    record: Mapping[str, Any], analysis_field: str, dimensions: Sequence[str]
) -> tuple[list[float], str | None]:
    """Read the scores of a record, or give the reason why it has none."""
    if record.get("id") in (None, ""):
        return [], "missing_id"
    told = record.get(analysis_field)
    if not isinstance(told, Mapping):
        return [], f"no_analysis {analysis_field}"
    inner = told.get("dimensions")
    values = inner if isinstance(inner, Mapping) else told
    found: list[float] = []
    for name in dimensions:
        value = values.get(name)
        value = value.get("score") if isinstance(value, Mapping) else value
        if not is_score(value) or not LOWEST <= float(value) <= HIGHEST:  # type: ignore[arg-type]
            return [], f"no_score {name}: {value!r}"
        found.append(float(value))  # type: ignore[arg-type]
    return found, None


def _vector(
    record: Mapping[str, Any], scores: Sequence[float], dimensions: Sequence[str]
) -> dict[str, Any]:
    return {
        "id": record["id"],
        "title": record.get("title", ""),
        "content": content_of(record),
        "url": record.get("url", ""),
        "labels": list(scores),
        "dimension_names": list(dimensions),
    }


def _text(record: Mapping[str, Any]) -> str:
    return " ".join(f"{record.get('title', '')}\n{content_of(record)}".casefold().split())
