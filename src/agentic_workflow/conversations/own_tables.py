"""Tables that users bring: each belongs to its owner, and is kept in a folder over a restart.

tables/OWNER/ID/table.json
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ...errors import ConfigError, DataError
from ...files import atomic_folder
from ...tables import FactTable
from .answerers import TableAnswerer

MOST_TABLES: Final = 5
"""Tables that one owner can bring; the oldest one goes when another comes."""
MOST_BYTES: Final = 64 * 1024**2
"""Most bytes of one table as it is kept."""
_PREFIX: Final = "table:"
_NUMBER: Final = re.compile(r"[0-9a-f]{24}")
"""Names of their folders; unfinished ones have others."""

_log = logging.getLogger(__name__)


class OwnTables:
    """The tables of all owners.

    Args:
        folder: Where they are kept, readable by its owner only; None keeps them in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._open: dict[str, dict[str, TableAnswerer]] = {}
        self._broken: set[Path] = set()

    def of(self, owner: str) -> dict[str, TableAnswerer]:
        """Return an owner's tables by the names of their workflows, the oldest first.

        Another process may have added or deleted some, so the folder is looked at each time.
        """
        known = self._open.setdefault(owner, {})
        if self._folder is None:
            return dict(known)
        place = self._place(owner)
        stored = sorted(one.name for one in place.iterdir()) if place.is_dir() else []
        names = [f"{_PREFIX}{one}" for one in stored if _NUMBER.fullmatch(one)]
        for name in known.keys() - set(names):
            del known[name]
        for name in names:
            if name not in known:
                answerer = self._read(place / name.removeprefix(_PREFIX))
                if answerer is not None:
                    known[name] = answerer
        return {name: known[name] for name in names if name in known}

    def add(self, owner: str, table: FactTable) -> str:
        """Keep a table; return the name of its workflow.

        Raises:
            ConfigError: It is too large.
        """
        size = len(json.dumps(table.to_dict(), ensure_ascii=False).encode())
        if size > MOST_BYTES:
            raise ConfigError([
                f"{table.source} takes {size / 1024**2:.0f} MB; allowed are "
                f"{MOST_BYTES / 1024**2:.0f}. Leave out columns or records that are not asked about"
            ])  # fmt: skip
        number = f"{time.time_ns():016x}{secrets.token_hex(4)}"  # in the order of time
        name = f"{_PREFIX}{number}"
        known = self._open.setdefault(owner, {})
        if self._folder is not None:
            place = self._place(owner)
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            with atomic_folder(place / number) as made:
                table.write(made)
        known[name] = _answerer(table)
        for oldest in list(self.of(owner))[:-MOST_TABLES]:
            self.delete(owner, oldest)
        return name

    def save(self, owner: str, name: str) -> None:
        """Write a table as it is now; no-op in memory."""
        if self._folder is not None:
            self._open[owner][name].table.write(self._place(owner) / name.removeprefix(_PREFIX))

    def delete(self, owner: str, name: str) -> None:
        """Delete a table with its file.

        Raises:
            ConfigError: The owner has no such table.
        """
        if name not in self.of(owner):
            raise ConfigError(["there is no such table of yours"])
        del self._open[owner][name]
        if self._folder is not None:
            shutil.rmtree(self._place(owner) / name.removeprefix(_PREFIX))

    def _place(self, owner: str) -> Path:
        """Give the folder of an owner; dots are written out, so that none leads elsewhere."""
        assert self._folder is not None
        return self._folder / quote(owner, safe="").replace(".", "%2E")

    def _read(self, folder: Path) -> TableAnswerer | None:
        """Read a kept table; one that cannot be read stays where it is, and is told in the log."""
        if folder in self._broken:
            return None
        try:
            table = FactTable.read(folder)
        except (DataError, OSError) as fault:
            _log.warning("a kept table cannot be read: %s", fault)
            self._broken.add(folder)
            return None
        return None if table is None else _answerer(table)


def _answerer(table: FactTable) -> TableAnswerer:
    return TableAnswerer(table, f"{table.source}, without a student")
