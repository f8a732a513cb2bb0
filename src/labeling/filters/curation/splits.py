"""Split labelled records by stratum, with whole groups in one part: `create_splits`.

Inside a stratum, groups (clusters of near duplicates, else single records) stand in the order of
the hash of seed and group. Test takes at least one of two, validation at least one of three, so
that rare tiers are seen in both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ....errors import ConfigError, DataError, EmptyDataError
from ....files import write_json, write_json_lines
from ....records import data_hash, record_hash

Part = Literal["train", "val", "test"]
PARTS: Final[tuple[Part, ...]] = ("train", "val", "test")
RATIOS: Final = (0.8, 0.1, 0.1)
SCHEMA_VERSION: Final = 1
SYNTHETIC: Final = "synthetic"
"""Key of records that were not written by people; they are for training alone."""
_SUM_TOLERANCE: Final = 0.01


@dataclass(frozen=True)
class Splits:
    """Records in three parts, in the order in which they were given."""

    train: list[dict[str, Any]]
    val: list[dict[str, Any]]
    test: list[dict[str, Any]]
    seed: int
    ratios: tuple[float, float, float]
    strata: Mapping[str, Mapping[str, int]]
    """Stratum -> part -> records."""

    def parts(self) -> dict[Part, list[dict[str, Any]]]:
        """Give the parts by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def to_dict(self) -> dict[str, Any]:
        """Give what `split.json` holds."""
        parts = self.parts()
        return {
            "schema_version": SCHEMA_VERSION,
            "rule": "stratified",
            "seed": self.seed,
            "ratios": list(self.ratios),
            "counts": {name: len(own) for name, own in parts.items()},
            "data_hash": {name: data_hash(own) for name, own in parts.items()},
            "strata": {name: dict(own) for name, own in self.strata.items()},
        }

    def write(self, folder: str | Path) -> Path:
        """Write `train.jsonl`, `val.jsonl`, `test.jsonl` and `split.json`; give the folder."""
        for name, own in self.parts().items():
            write_json_lines(Path(folder) / f"{name}.jsonl", own)
        write_json(Path(folder) / "split.json", self.to_dict())
        return Path(folder)


def create_splits(
    records: Sequence[Mapping[str, Any]],
    stratum_of: Callable[[Mapping[str, Any]], str],
    *,
    group_of: Callable[[Mapping[str, Any]], Hashable] | None = None,
    ratios: tuple[float, float, float] = RATIOS,
    seed: int = 42,
    id_field: str = "id",
) -> Splits:
    """Split records into training, validation and test.

    Args:
        records: Records with ids. Those that are marked `synthetic` go to training, with their
            group where it has no other record.
        stratum_of: Tier or class of a record, such as `score_stratum` of its average.
        group_of: Cluster of near duplicates, which stays in one part; None makes each record its
            own. Records of equal content are always together.
        ratios: Shares of train, val and test; they sum to 1 within 0.01.
        seed: Of the order.
        id_field: Key of the id.

    Raises:
        EmptyDataError: There are no records.
        DataError: An id is missing or occurs twice, or a synthetic record is in one group with a
            real one.
        ConfigError: The ratios are negative or do not sum to 1.
    """
    if any(one < 0 for one in ratios) or abs(sum(ratios) - 1) > _SUM_TOLERANCE:
        raise ConfigError([f"ratios is {ratios}; allowed are three shares that sum to 1"])
    if not records:
        raise EmptyDataError("there are no records to split")
    ids = _ids(records, id_field)
    by_id = dict(zip(ids, records, strict=True))
    groups = _groups(records, ids, group_of)
    strata: dict[str, list[str]] = {}
    fixed: dict[str, Part] = {}
    for group, places in groups.items():
        made_up = [bool(records[place].get(SYNTHETIC)) for place in places]
        if all(made_up):
            fixed[group] = "train"
        elif any(made_up):
            raise DataError(f"the synthetic record {ids[places[made_up.index(True)]]!r} is a near "
                            "duplicate of a real one; delete it", row=places[0] + 1)  # fmt: skip
        else:
            # One record decides, so that a group of several tiers is in one stratum.
            strata.setdefault(str(stratum_of(by_id[group])), []).append(group)
    part_of: dict[str, Part] = dict(fixed)
    for own in strata.values():
        part_of |= split_groups(own, ratios=ratios, seed=seed)
    parts: dict[Part, list[dict[str, Any]]] = {name: [] for name in PARTS}
    counts: dict[str, dict[str, int]] = {}
    group_of_place = {place: group for group, places in groups.items() for place in places}
    for place, record in enumerate(records):
        part = part_of[group_of_place[place]]
        parts[part].append(dict(record))
        own_counts = counts.setdefault(str(stratum_of(record)), dict.fromkeys(PARTS, 0))
        own_counts[part] += 1
    return Splits(
        parts["train"], parts["val"], parts["test"], seed, ratios, dict(sorted(counts.items()))
    )


def split_groups(
    groups: Sequence[str],
    *,
    ratios: tuple[float, float, float] = RATIOS,
    seed: int = 42,
) -> dict[str, Part]:
    """Split the groups of one stratum.

    >>> made = split_groups([f"r{n}" for n in range(10)])
    >>> [name for name in made if made[name] != "train"], made["r5"], made["r2"]
    (['r5', 'r2'], 'val', 'test')
    """
    _, val, test = ratios
    ordered = sorted(groups, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest())
    n = len(ordered)
    n_test = max(math.floor(n * test + 0.5), int(n >= 2 and test > 0))
    n_val = max(math.floor(n * val + 0.5), int(n >= 3 and val > 0))
    n_val = min(n_val, n - n_test)
    n_train = n - n_val - n_test
    return {
        one: "train" if place < n_train else "val" if place < n_train + n_val else "test"
        for place, one in enumerate(ordered)
    }


def score_stratum(average: float) -> str:
    """Name the bin of two points that a weighted average falls into.

    >>> [score_stratum(x) for x in (0, 2, 5.9, 6, 10)]
    ['very_low', 'low', 'medium', 'high', 'very_high']
    """
    names = ("very_low", "low", "medium", "high", "very_high")
    return names[min(int(average / 2), len(names) - 1)]


def overlap_faults(
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    group_of: Callable[[Mapping[str, Any]], Hashable] | None = None,
    id_field: str = "id",
) -> list[str]:
    """List ids, contents and groups that are in two parts; training and evaluation need none."""
    seen: dict[tuple[str, str], str] = {}
    faults = []
    for part, records in parts.items():
        for record in records:
            for kind, key in record_keys(record, group_of=group_of, id_field=id_field):
                other = seen.setdefault((kind, key), part)
                if other != part:
                    faults.append(f"{kind} {key[:60]!r} is in {other} and in {part}")
    return faults


def record_keys(
    record: Mapping[str, Any],
    *,
    group_of: Callable[[Mapping[str, Any]], Hashable] | None = None,
    id_field: str = "id",
) -> list[tuple[str, str]]:
    """List what no two parts may share: kind and key of id, content and group."""
    keys = [("id", str(record.get(id_field))), ("content", _content(record, id_field))]
    if group_of is not None:
        keys.append(("group", str(group_of(record))))
    return keys


def _ids(records: Sequence[Mapping[str, Any]], id_field: str) -> list[str]:
    seen: dict[str, int] = {}
    for number, record in enumerate(records, start=1):
        value = record.get(id_field)
        if value is None or value == "":
            raise DataError("the record has no id", row=number, column=id_field)
        if str(value) in seen:
            raise DataError(f"the id {value!r} is that of row {seen[str(value)]} too; merge the "
                            "labels first", row=number, column=id_field)  # fmt: skip
        seen[str(value)] = number
    return list(seen)


def _groups(
    records: Sequence[Mapping[str, Any]],
    ids: Sequence[str],
    group_of: Callable[[Mapping[str, Any]], Hashable] | None,
) -> dict[str, list[int]]:
    """Join the records of a cluster, and those of equal title and content, under a name."""
    leader = list(range(len(records)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    first: dict[tuple[str, Hashable], int] = {}
    for place, record in enumerate(records):
        keys: list[tuple[str, Hashable]] = [("text", _text(record) or ids[place])]
        if group_of is not None:
            keys.append(("group", group_of(record)))
        for key in keys:
            one, other = find(first.setdefault(key, place)), find(place)
            leader[max(one, other)] = min(one, other)
    groups: dict[int, list[int]] = {}
    for place in range(len(records)):
        groups.setdefault(find(place), []).append(place)
    # The name does not depend on the order of the records.
    return {min(ids[place] for place in places): places for places in groups.values()}


def _text(record: Mapping[str, Any]) -> str:
    """Give what two records of equal content share; empty where they hold no text."""
    content = record.get("content", record.get("text"))
    if not isinstance(content, str) or not content.strip():
        return ""
    return " ".join(f"{record.get('title', '')}\n{content}".casefold().split())


def _content(record: Mapping[str, Any], id_field: str) -> str:
    return _text(record) or record_hash({k: v for k, v in record.items() if k != id_field})
