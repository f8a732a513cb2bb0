"""Check a run: are all artefacts as they were written, and does every step account for its rows?

faults = verify("artifacts/20260123T173724Z-sql")    # [] where all is well
differences = compare(one_run, another_run)          # [] where they differ in times alone
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError, DataError
from ...files import file_sha256
from ...labeling.reports.content_hash import ContentHash
from .engines import STOP_FILE
from .observe import MANIFEST, OBSERVER_FILE
from .pilot import FOLDER as PILOT_FOLDER
from .row_codec import decode_rows, read_parquet
from .run_folder import LOCK_FILE, RUN_FILE
from .runner import OPEN_FILE, add_up
from .stage_store import SHARD_FILE, STATE, TEMPORARY, StageStore, read_sealed
from .time_fields import RENDERED, TIME_FILES, without_times

_UNCOMPARED: Final = frozenset({
    "seal", "run_id", "key", "definition", "known_stages", "data_hash",
})  # fmt: skip
"""Keys of our own JSON files that follow from others (`data_hash` from rows and times), name the
run, or tell of its settings and of what it was before."""


def verify(folder: str | Path) -> list[str]:
    """Recompute hashes and counts of a run.

    Checked are, for every artefact, that its bytes are those that were written; for every stage,
    that it was made from the rows that the stage before has, and that rows in = used + rejected +
    dead for each step; for every manifest, its `count` and `data_hash`.

    Args:
        folder: Folder of a run.

    Returns:
        The faults, each with the file that it is about.

    Raises:
        ConfigError: The folder holds no run.
    """
    folder = Path(folder)
    if not (folder / RUN_FILE).is_file():
        raise ConfigError([f"{folder} holds no run: {RUN_FILE} is missing"])
    try:
        run = read_sealed(folder / RUN_FILE)
    except DataError as fault:
        return [f"{RUN_FILE}: {_reason(fault)}"]
    faults: list[str] = []
    sources = {stage["name"]: stage["sources"] for stage in run["definition"]["stages"]}
    for stage in sources:
        faults += _stage_faults(folder, run, stage, sources[stage])
    for observer, files in run["observers"].items():
        faults += _observer_faults(folder, observer, files)
    page = run.get("page")
    faults += _written_faults(folder, page) if page else []
    return list(dict.fromkeys(faults))


def compare(one: str | Path, other: str | Path) -> list[str]:
    """List the artefacts in which two runs differ, but for the fields of time (`time_fields`).

    Args:
        one: Folder of a run.
        other: Folder of another.

    Returns:
        The differences, each with the file's name; [] where there are none.
    """
    first, second = _contents(Path(one)), _contents(Path(other))
    differences = [f"{name} is in one run only" for name in sorted(set(first) ^ set(second))]
    for name in sorted(set(first) & set(second)):
        if first[name] != second[name]:
            differences.append(f"{name} differs{_where(first[name], second[name])}")
    return differences


def _stage_faults(
    folder: Path, run: Mapping[str, Any], stage: str, sources: Sequence[str]
) -> Iterator[str]:
    """Yield what is wrong with a stage; of one that was not ended, with the shards that it has."""
    store = StageStore(folder / stage)
    records = []
    found = (SHARD_FILE.match(path.name) for path in store.folder.glob("*"))
    there = {int(match[1]) for match in found if match}
    count = run["stages"].get(stage)
    if count not in (None, len(there)):
        yield f"{stage}: {count} shards were written, {len(there)} are there"
    for shard in sorted(there):
        name = f"{stage}/shard-{shard:05d}.json"
        try:
            record = read_sealed(folder / name)
        except FileNotFoundError:
            yield f"{name} is missing"
            continue
        except DataError as fault:
            yield f"{name}: {_reason(fault)}"
            continue
        records.append(record)
        yield from _file_faults(folder, stage, record)
        yield from _count_faults(name, record)
        if count is not None:
            yield from _input_faults(folder, name, record, sources)
    order = folder / stage / OPEN_FILE
    if order.exists():
        try:
            read_sealed(order)
        except DataError as fault:
            yield f"{stage}/{OPEN_FILE}: {_reason(fault)}"
    if len(records) == count and add_up(records) != run["accounting"].get(stage):
        yield f"{stage}: the counts of its shards are not those of {RUN_FILE}"


def _input_faults(
    folder: Path, name: str, record: Mapping[str, Any], sources: Sequence[str]
) -> Iterator[str]:
    """Yield where a shard was made from other rows than those that the stage before has."""
    if "shards" in record:  # made from all shards at once
        shards = sorted({n for source in sources for n in StageStore(folder / source).shards()})
    else:
        shards = [record["shard"]]
    before = [StageStore(folder / source).record(n) for source in sources for n in shards]
    hashes = [found["rows"]["sha256"] for found in before if found is not None]
    if hashes != (record["inputs"] or []):
        yield f"{name}: it was made from other rows than those of {', '.join(sources)}"
    first = next(iter(record["steps"].values()), None)
    if len(sources) == 1 and first is not None and not ("shards" in record and record["shard"]):
        given = sum(found["rows"]["count"] for found in before if found is not None)
        if first["in"] + record["waiting"] != given:
            yield f"{name}: {given} rows came in, {first['in']} are accounted for"


def _file_faults(folder: Path, stage: str, record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the files of a shard."""
    for part in ("rows", "losses"):
        told = record[part]
        if told is None:
            continue
        name = f"{stage}/{told['file']}"
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif (found := file_sha256(path)) != told["sha256"]:
            yield f"{name}: its sha256 is {found}, not {told['sha256']}"
        else:
            table = read_parquet(path)
            if table.num_rows != told["count"]:
                yield f"{name} has {table.num_rows} rows, not {told['count']}"
            if part == "losses":
                yield from _loss_faults(name, record, table)


def _loss_faults(name: str, record: Mapping[str, Any], table: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield where the losses of a shard are not those that its steps have counted."""
    found = Counter((r["step"], r["kind"], r["reason"]) for r in table.to_pylist())
    told = {
        (step, kind, reason): times
        for step, counts in record["steps"].items()
        for kind in ("rejected", "dead")
        for reason, times in counts[kind].items()
    }
    if dict(found) != told:
        yield f"{name}: its losses are not those that the steps have counted"


def _count_faults(name: str, record: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a step of a shard does not account for its rows."""
    before: int | None = None
    for step, told in record["steps"].items():
        lost = sum(told["rejected"].values()) + sum(told["dead"].values())
        if told["in"] != told["used"] + lost:
            yield f"{name}: step {step!r} has {told['in']} in, {told['used']} used, {lost} lost"
        if before is not None and told["in"] + record["waiting"] != before:
            yield f"{name}: step {step!r} was given {told['in']} of {before} rows"
        before = told["out"]
    of_all = "shards" in record  # the counts of a whole stage are all in its first shard
    if before is not None and not of_all and before != record["rows"]["count"]:
        yield f"{name}: {before} rows were made, {record['rows']['count']} written"
    if record["losses"] is None and any(
        t["rejected"] or t["dead"] for t in record["steps"].values()
    ):
        yield f"{name}: rows were lost, but their file is missing"


def _observer_faults(folder: Path, observer: str, files: list[str]) -> Iterator[str]:
    """Yield what is wrong with the files of an observer."""
    name = f"{observer}/{OBSERVER_FILE}"
    try:
        record = read_sealed(folder / name)
    except FileNotFoundError:
        yield f"{name} is missing"
        return
    except DataError as fault:
        yield f"{name}: {_reason(fault)}"
        return
    if [told["file"] for told in record["files"]] != files:
        yield f"{name}: it names other files than {RUN_FILE}"
    for told in record["files"]:
        faults = list(_written_faults(folder, told))
        yield from faults
        if not faults and Path(told["file"]).name == MANIFEST:
            yield from _manifest_faults(folder, record["stage"], told["file"])


def _written_faults(folder: Path, told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a file that was written with its hash."""
    path = folder / told["file"]
    if not path.is_file():
        yield f"{told['file']} is missing"
    elif (found := file_sha256(path)) != told["sha256"]:
        yield f"{told['file']}: its sha256 is {found}, not {told['sha256']}"


def _manifest_faults(folder: Path, stage: str, file: str) -> Iterator[str]:
    """Yield where a manifest does not tell what the rows of its stage are."""
    manifest = json.loads((folder / file).read_text(encoding="utf-8"))
    store = StageStore(folder / stage)
    found = ContentHash()
    count = 0
    try:
        for shard in store.shards():
            for row in store.rows(shard):
                count += 1
                if "data_hash" in manifest:
                    found.add(row.record, row.row_id)
    except DataError:
        return  # told of already
    if manifest.get("count", count) != count:
        yield f"{file}: count is {manifest['count']}, but {stage} has {count} rows"
    if "data_hash" in manifest and manifest["data_hash"] != found.data_hash:
        yield f"{file}: data_hash is {manifest['data_hash']}, but {found.data_hash} in {stage}"


def _contents(folder: Path) -> dict[str, Any]:
    """Read all artefacts of a run, without times; hashes of artefacts stand as their names."""
    paths = sorted(
        path for path in folder.rglob("*") if path.is_file() and _is_compared(path, folder)
    )
    run = folder / RUN_FILE
    times = json.loads(run.read_bytes()).get("time_columns", []) if run in paths else []
    names = {file_sha256(path): f"sha256 of {path.relative_to(folder)}" for path in paths}
    found: dict[str, Any] = {}
    for path in paths:
        name = str(path.relative_to(folder))
        if path.name in TIME_FILES or path.suffix in RENDERED:
            found[name] = "there"
        elif path.suffix == ".parquet":
            found[name] = _parquet(path, times)
        elif path.suffix == ".json":
            value = json.loads(path.read_text(encoding="utf-8"))
            found[name] = _plain(value, names)
        else:
            found[name] = file_sha256(path)
    return found


def _is_compared(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    passing = path.name in (LOCK_FILE, STOP_FILE) or any(TEMPORARY.search(p) for p in parts)
    return not passing and STATE not in parts[:-1] and parts[0] != PILOT_FOLDER


def _parquet(path: Path, times: Sequence[str]) -> Any:  # noqa: ANN401 - rows or losses
    """Read rows or losses without some columns."""
    table = read_parquet(path)
    if path.name.startswith("losses"):
        lines = table.to_pylist()
        return [{**line, "record": _without(json.loads(line["record"]), times)} for line in lines]
    return [(row.row_id, _without(row.record, times)) for row in decode_rows(table)]


def _without(record: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in columns}


def _plain(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON value
    """Leave out times, seals and the run's id, and name the artefact that a hash belongs to."""
    if isinstance(value, dict):
        kept = {k: v for k, v in without_times(value).items() if k not in _UNCOMPARED}
        return {k: _plain(v, names) for k, v in kept.items()}
    if isinstance(value, list):
        return [_plain(v, names) for v in value]
    return names.get(value, value) if isinstance(value, str) else value


def _where(one: Any, other: Any, place: str = "") -> str:  # noqa: ANN401 - any JSON values
    """Say where two values first differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            if key not in one or key not in other or one[key] != other[key]:
                return _where(one.get(key), other.get(key), f"{place}.{key}")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return f" at {place or 'its length'}: {len(one)} and {len(other)} entries"
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            if a != b:
                return _where(a, b, f"{place}[{number}]")
    return f" at {place}: {one!r} and {other!r}"[:500] if place else ""


def _reason(fault: DataError) -> str:
    return str(fault).partition(": ")[2] or str(fault)
