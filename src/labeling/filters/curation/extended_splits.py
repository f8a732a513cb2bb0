"""Add new labels to existing splits, whose test part stays as it is: `extend_splits`.

Students before and after a renewal are compared on the very same test articles; a new label of one
of them, or of a near duplicate, would leak it into training, so it is left out and counted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....config import as_settings, read_written_json
from ....errors import DataError, DataNotFoundError
from ....files import write_json, write_json_lines
from ....records import data_hash
from .merge import read_json_objects
from .splits import PARTS, SCHEMA_VERSION, Part, create_splits, record_keys

Record = Mapping[str, Any]


@dataclass
class ExtendedSplits:
    """The parts after new labels were added."""

    train: list[dict[str, Any]]
    val: list[dict[str, Any]]
    test: list[dict[str, Any]]
    """As they were."""
    source: Path
    """Folder of the existing splits."""
    added: dict[str, int] = field(default_factory=dict)
    """Part -> new articles."""
    relabelled: int = 0
    """Articles of training with a newer label."""
    held_out: list[str] = field(default_factory=list)
    """Ids of new labels left out, as the article or a near duplicate is in validation or test."""

    def write(self, folder: str | Path) -> Path:
        """Write the parts and `split.json` into a new folder; the test file byte for byte.

        Raises:
            DataError: The folder is that of the existing splits.
        """
        target = Path(folder)
        if target.resolve() == self.source.resolve():
            raise DataError("the new splits need a folder of their own; the old ones are what the "
                            "running student was trained on", path=target)  # fmt: skip
        target.mkdir(parents=True, exist_ok=True)
        parts = {"train": self.train, "val": self.val, "test": self.test}
        for name in ("train", "val"):
            write_json_lines(target / f"{name}.jsonl", parts[name])
        shutil.copyfile(self.source / "test.jsonl", target / "test.jsonl")
        write_json(target / "split.json", {
            "schema_version": SCHEMA_VERSION,
            "rule": "extended",
            "extends": str(self.source),
            "counts": {name: len(own) for name, own in parts.items()},
            "data_hash": {name: data_hash(own) for name, own in parts.items()},
            "added": self.added,
            "relabelled": self.relabelled,
            "held_out": len(self.held_out),
        })  # fmt: skip
        return target


def extend_splits(
    folder: str | Path,
    records: Sequence[Record],
    stratum_of: Callable[[Record], str],
    *,
    group_of: Callable[[Record], Hashable] | None = None,
    val_share: float = 0.1,
    seed: int = 42,
) -> ExtendedSplits:
    """Add new labels to training and validation.

    Args:
        folder: With `train.jsonl`, `val.jsonl`, `test.jsonl` and `split.json`.
        records: New labels with ids, each once.
        stratum_of: Tier or class of a record.
        group_of: Cluster of near duplicates; None makes each record its own. Records of equal
            content are always together.
        val_share: Share of the new articles for validation, 0 to 1.
        seed: Of the order.

    Raises:
        DataNotFoundError: A part is missing.
        DataError: The test part is not the one that `split.json` names, or a line is no record.
    """
    source = Path(folder)
    parts = _read_parts(source)
    known = {str(one["id"]): one for one in parts["train"]}
    held_out = _keys([*parts["val"], *parts["test"]], group_of)
    trained = _keys(parts["train"], group_of)
    found = ExtendedSplits(parts["train"], list(parts["val"]), parts["test"], source)
    fresh: list[Record] = []
    joined = 0
    for record in records:
        identity = str(record["id"])
        keys = set(record_keys(record, group_of=group_of))
        if keys & held_out:
            found.held_out.append(identity)
        elif identity in known:
            known[identity] = dict(record)
            found.relabelled += 1
        elif keys & trained:  # a near duplicate of an article of training
            known[identity] = dict(record)
            joined += 1
        else:
            fresh.append(record)
    found.train = list(known.values())
    found.added = {"train": joined, "val": 0}
    if fresh:
        made = create_splits(fresh, stratum_of, group_of=group_of,
                             ratios=(1 - val_share, val_share, 0.0), seed=seed)  # fmt: skip
        found.train += made.train
        found.val += made.val
        found.added = {"train": joined + len(made.train), "val": len(made.val)}
    return found


def _keys(
    records: Sequence[Record], group_of: Callable[[Record], Hashable] | None
) -> set[tuple[str, str]]:
    return {key for one in records for key in record_keys(one, group_of=group_of)}


def _read_parts(source: Path) -> dict[Part, list[dict[str, Any]]]:
    """Read existing splits, and refuse a test part that is not the one they were made with."""
    parts: dict[Part, list[dict[str, Any]]] = {}
    for name in PARTS:
        path = source / f"{name}.jsonl"
        rejected: list[str] = []
        if not path.is_file():
            raise DataNotFoundError(f"there is no file {str(path)!r}")
        parts[name] = [record for _, record in read_json_objects(path, rejected)]
        if rejected:
            raise DataError(f"a line is no record: {rejected[0]}")
    told = as_settings(read_written_json(source / "split.json"), source / "split.json")
    hashes = told.get("data_hash")
    wanted = hashes.get("test") if isinstance(hashes, Mapping) else None
    if wanted != data_hash(parts["test"]):
        raise DataError("the test part is not the one that split.json names; results on it cannot "
                        "be compared with earlier ones", path=source / "test.jsonl")  # fmt: skip
    return parts
