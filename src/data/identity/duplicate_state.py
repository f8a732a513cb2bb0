"""What deduplication has seen, in one SQLite file that outlives the run.

| table | one row for |
|---|---|
| `kept` | each record that was kept: its run, its place in the input, its key |
| `dropped` | each record that was not: the reason, and the kept record that it duplicates |
| `bands`, `shingles` | what the text of a kept record is looked up by |
| `vectors` | the meaning of a kept record |
| `contents` | the content of a kept record, where conflicts are looked for |

Verdicts are looked up by run and place. So a run that was killed gets the same verdicts again when
it resumes, and no record becomes a duplicate of itself. A batch is one transaction: after a crash
it is there as a whole or not at all. A power failure may take the last batches with it; the file
stays whole, and a resumed run judges them again in the same order, with the same result. Memory is
bounded by SQLite's page cache of 64 MiB.

Several processes on one machine may share the file. SQLite's locks do not work on most network
file systems.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, cast

from ...errors import ConfigError, DataError
from ...records import stable_json

DedupReason = Literal[
    "ok", "exact_duplicate", "conflicting_content", "near_duplicate", "similar_meaning",
    "missing_field", "not_finite", "not_json",
]  # fmt: skip
SCHEMA_VERSION: Final = 2
_WAIT_S: Final = 60.0
_MOST_VALUES: Final = 500
"""Keys that are looked up in one statement."""
_CHECKPOINT_PAGES: Final = 16_384
"""Pages of 4 KiB that the log may hold before they go into the file. Keys are hashes, so each new
one lies on another page; the longer the log, the fewer times a page is written."""
_PRAGMAS: Final = (
    "journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536",
    # Keys are random, so a batch changes a page per record. The default of 1000 pages would write
    # and synchronise the whole file over and over; 64 MiB of log collect many changes of a page.
    "wal_autocheckpoint=16384",
)  # fmt: skip
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs(run INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS kept(
    item INTEGER PRIMARY KEY, run INTEGER NOT NULL, place INTEGER NOT NULL,
    head INTEGER NOT NULL, key BLOB NOT NULL, id TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS kept_place ON kept(run, place);
CREATE INDEX IF NOT EXISTS kept_head ON kept(head);
CREATE TABLE IF NOT EXISTS dropped(
    run INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB, reason TEXT NOT NULL,
    item INTEGER, similarity REAL, PRIMARY KEY(run, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bands(
    value INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY(value, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shingles(item INTEGER PRIMARY KEY, numbers BLOB, hashes BLOB);
CREATE TABLE IF NOT EXISTS vectors(item INTEGER PRIMARY KEY, numbers BLOB, vector BLOB);
CREATE TABLE IF NOT EXISTS contents(item INTEGER PRIMARY KEY, hash BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Occurrence:
    """One record of one run."""

    run_id: str
    place: int
    """Its position in the input of the run, from 0."""
    id: str | None
    """Its own id, as text; None where it has none."""


@dataclass(frozen=True)
class DedupVerdict:
    """Whether a record is kept, and if not, why."""

    reason: DedupReason
    """ "ok" for a record that is kept."""
    duplicate_of: Occurrence | None = None
    """The kept record that it duplicates; None where it is kept or could not be compared."""
    similarity: float | None = None
    """Jaccard index or cosine to `duplicate_of`, 0 to 1; None for exact duplicates."""

    @property
    def kept(self) -> bool:
        """Whether the record is kept."""
        return self.reason == "ok"


class DuplicateState:
    """The file, opened for one run.

    Args:
        path: SQLite file; made where there is none.
        run_id: Name of the run. The same name resumes the run.
        definition: What decides when two records are duplicates, as JSON values.

    Raises:
        ConfigError: The file was written under another definition.
        DataError: The file is not such a state, or cannot be opened.
    """

    def __init__(self, path: str | Path, run_id: str, definition: Mapping[str, Any]) -> None:
        """Open or make the file."""
        self.path, self.run_id = Path(path), run_id
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._db: sqlite3.Connection | None = None
        try:
            # check_same_thread: one stage is used by one thread at a time, not always the same.
            self._db = sqlite3.connect(
                self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            for pragma in _PRAGMAS:
                self.db.execute(f"PRAGMA {pragma}")
            with self.transaction():
                tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master")}
                if tables and not {"meta", "runs", "kept", "dropped"} <= tables:
                    raise DataError(
                        "this database holds other tables; give another file", path=self.path
                    )
                for statement in _TABLES.split(";"):
                    self.db.execute(statement)
                self._check_definition(definition)
                self.db.execute("INSERT OR IGNORE INTO runs(run_id) VALUES (?)", (run_id,))
        except sqlite3.DatabaseError as fault:
            self.close()
            raise DataError(
                f"not a state of deduplication, or not usable ({fault}); give another file",
                path=self.path,
            ) from fault
        except BaseException:
            self.close()
            raise
        self.run = self._run_number(run_id)
        (self._last_place,) = self.db.execute(
            "SELECT max(ifnull((SELECT max(place) FROM kept WHERE run = ?1), -1),"
            " ifnull((SELECT max(place) FROM dropped WHERE run = ?1), -1))",
            (self.run,),
        ).fetchone()

    @property
    def db(self) -> sqlite3.Connection:
        """The open connection.

        Raises:
            DataError: The state was closed.
        """
        if self._db is None:
            raise DataError("the state of deduplication is closed; open it again", path=self.path)
        return self._db

    def close(self) -> None:
        """Close the file; no-op if it is closed."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def __del__(self) -> None:
        """Close a file that nobody has closed."""
        if getattr(self, "_db", None) is not None:
            self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing; other processes wait.

        Raises:
            DataError: SQLite refuses: the disk is full, the file is damaged, or another process
                holds it for more than a minute.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as fault:
            raise DataError(
                f"the state of deduplication cannot be used ({fault}); nothing of this batch was "
                "written",
                path=self.path,
            ) from fault

    def known_verdicts(
        self, first_place: int, keys: Sequence[bytes | None]
    ) -> dict[int, DedupVerdict]:
        """Return the verdicts that records at consecutive places of this run had before, by place.

        Args:
            first_place: Place of the first record, from 0.
            keys: Keys of the records; None for one that has none.

        Raises:
            DataError: Another record was at one of these places before.
        """
        found: dict[int, DedupVerdict] = {}
        for place, key, reason, item, similarity in self._told(first_place, len(keys)):
            if key != keys[place - first_place]:
                raise DataError(
                    f"record {place} of run {self.run_id!r} is not the one that was there before; "
                    "give a new run id, or forget the run and start it again",
                    path=self.path,
                )
            kept = reason == "ok"
            found[place] = (
                DedupVerdict("ok") if kept else self._dropped_verdict(reason, item, similarity)
            )
        return found

    def owners(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return the kept record of each of some keys that has one."""
        found: dict[bytes, int] = {}
        rest = iter(keys)
        while part := list(islice(rest, _MOST_VALUES)):
            there = self.db.execute(
                f"SELECT key, item FROM kept WHERE head IN ({','.join('?' * len(part))})",
                [_head(key) for key in part],
            )
            wanted = set(part)
            found.update((key, item) for key, item in there if key in wanted)
        return found

    def keep(
        self, place: int, key: bytes, record_id: str | None, content: bytes | None = None
    ) -> int:
        """Write a record as kept, and return its number."""
        self._last_place = max(self._last_place, place)
        done = self.db.execute(
            "INSERT INTO kept(run, place, head, key, id) VALUES (?, ?, ?, ?, ?)",
            (self.run, place, _head(key), key, record_id),
        )
        item = cast(int, done.lastrowid)
        if content is not None:
            self.db.execute("INSERT INTO contents VALUES (?, ?)", (item, content))
        return item

    def content_of(self, item: int) -> bytes | None:
        """Return the hash of a kept record's content; None where it was not written."""
        row = self.db.execute("SELECT hash FROM contents WHERE item = ?", (item,)).fetchone()
        return None if row is None else bytes(row[0])

    def drop(
        self,
        place: int,
        key: bytes | None,
        reason: DedupReason,
        item: int | None = None,
        similarity: float | None = None,
    ) -> DedupVerdict:
        """Write a record as dropped, with its reason and the kept record that it duplicates."""
        self._last_place = max(self._last_place, place)
        self.db.execute(
            "INSERT INTO dropped VALUES (?, ?, ?, ?, ?, ?)",
            (self.run, place, key, reason, item, similarity),
        )
        return self._dropped_verdict(reason, item, similarity)

    def counts(self) -> dict[str, int]:
        """Count the records of this run by reason; "ok" counts the kept ones."""
        rows = self.db.execute(
            "SELECT 'ok', count(*) FROM kept WHERE run = ?1"
            " UNION ALL SELECT reason, count(*) FROM dropped WHERE run = ?1 GROUP BY reason",
            (self.run,),
        )
        return {reason: count for reason, count in rows if count}

    def dropped(self) -> Iterator[tuple[int, DedupVerdict]]:
        """Yield the place and verdict of each record of this run that was not kept, in order."""
        place = -1
        while True:  # in pages, so that the file may be written to meanwhile
            rows = self.db.execute(
                "SELECT place, reason, item, similarity FROM dropped"
                " WHERE run = ? AND place > ? ORDER BY place LIMIT 1000",
                (self.run, place),
            ).fetchall()
            for place, *verdict in rows:
                yield place, self._dropped_verdict(*verdict)
            if not rows:
                return

    def forget_run(self, run_id: str, first_place: int = 0) -> None:
        """Delete what a run has left, so that it can be run again on other records.

        Args:
            run_id: Name of the run.
            first_place: What it has left of the records before this place stays.

        Raises:
            DataError: There is no such run, or records of other runs were dropped as duplicates of
                its records and would be lost.
        """
        with self.transaction():
            self._forget(self._run_number(run_id), first_place, run_id)

    def forget_changed(self, first_place: int, keys: Sequence[bytes | None]) -> None:
        """Delete what this run has left from the first record on that is another than before.

        Args:
            first_place: Place of the first of the records that come now.
            keys: Their keys, None for a record that has none.

        Raises:
            DataError: As for `forget_run`.
        """
        if first_place > self._last_place:
            return
        told = self._told(first_place, len(keys))
        changed = [place for place, key, *_ in told if key != keys[place - first_place]]
        if changed:
            with self.transaction():
                self._forget(self.run, min(changed), self.run_id)

    def _told(self, first_place: int, count: int) -> list[tuple[int, bytes, Any, Any, Any]]:
        """Read place, key, reason, duplicated record and similarity of records of this run."""
        return self.db.execute(
            "SELECT place, key, 'ok', NULL, NULL FROM kept"
            " WHERE run = ?1 AND place >= ?2 AND place < ?3"
            " UNION ALL SELECT place, key, reason, item, similarity FROM dropped"
            " WHERE run = ?1 AND place >= ?2 AND place < ?3",
            (self.run, first_place, first_place + count),
        ).fetchall()

    def _forget(self, run: int, first_place: int, run_id: str) -> None:
        users = self.db.execute(
            "SELECT DISTINCT run_id FROM dropped JOIN kept USING (item) JOIN runs"
            " ON runs.run = dropped.run"
            " WHERE kept.run = ?1 AND kept.place >= ?2 AND dropped.run != ?1",
            (run, first_place),
        ).fetchall()
        if users:
            named = ", ".join(repr(name) for (name,) in users)
            raise DataError(
                f"run {run_id!r} keeps records that are duplicates in {named}; "
                "forget those runs first",
                path=self.path,
            )
        items = "(SELECT item FROM kept WHERE run = ? AND place >= ?)"
        for table in ("bands", "shingles", "vectors", "contents"):
            self.db.execute(f"DELETE FROM {table} WHERE item IN {items}", (run, first_place))
        for table in ("kept", "dropped"):
            self.db.execute(f"DELETE FROM {table} WHERE run = ? AND place >= ?", (run, first_place))

    def _dropped_verdict(
        self, reason: DedupReason, item: int | None, similarity: float | None
    ) -> DedupVerdict:
        if item is None:
            return DedupVerdict(reason)
        run_id, place, record_id = self.db.execute(
            "SELECT run_id, place, id FROM kept JOIN runs USING (run) WHERE item = ?", (item,)
        ).fetchone()
        return DedupVerdict(reason, Occurrence(run_id, place, record_id), similarity)

    def _run_number(self, run_id: str) -> int:
        row = self.db.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            raise DataError(f"there is no run {run_id!r}", path=self.path)
        return int(row[0])

    def _check_definition(self, definition: Mapping[str, Any]) -> None:
        text = stable_json({"schema_version": SCHEMA_VERSION, **definition})
        self.db.execute("INSERT OR IGNORE INTO meta VALUES ('definition', ?)", (text,))
        (written,) = self.db.execute("SELECT value FROM meta").fetchone()
        theirs, ours = json.loads(written), json.loads(text)
        faults = [
            f"{name} is {ours.get(name)!r}, but {self.path} was written with {theirs.get(name)!r}; "
            "use the same value, or another file"
            for name in sorted({*theirs, *ours})
            if theirs.get(name) != ours.get(name)
        ]
        if faults:
            raise ConfigError(faults)


def _head(key: bytes) -> int:
    """Return the first 8 bytes of a key, by which it is looked up; the index is small so."""
    return int.from_bytes(key[:8], "big", signed=True)
