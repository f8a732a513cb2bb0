"""The file of keys: hashes with owners, so that the file itself opens nothing.

    {"version": 1, "keys": [{"owner": "anna", "sha256": "...", "made": "2026-12-01T00:00:00Z"}]}

A key is 32 random bytes. SHA-256 without salt and without stretching is enough for it: nobody
guesses 256 bits, and each request is checked in microseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...files import read_json, write_json
from .settings import OWNER

PREFIX = "sr-"
_VERSION = 1


def hash_key(key: str) -> str:
    """Hash a key; 64 hex digits."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def read_keys(path: str | Path) -> dict[str, str]:
    """Read a file of keys.

    Returns:
        Owner by hash.

    Raises:
        ConfigError: There is no such file, or it is not one of keys.
    """
    return {entry["sha256"]: entry["owner"] for entry in _entries(Path(path))}


def add_key(path: str | Path, owner: str) -> str:
    """Make a key for an owner and add its hash to the file, which is made if missing.

    Returns:
        The key; it is stored nowhere.

    Raises:
        ConfigError: The name cannot be used, or the file is not one of keys.
    """
    file = Path(path)
    if not OWNER.fullmatch(owner):
        raise ConfigError([
            f"owner is {owner!r}; allowed are 1 to 64 letters, digits, '.', '_' and '-', with a "
            "letter or digit first"
        ])  # fmt: skip
    entries = _entries(file) if file.exists() else []
    key = PREFIX + secrets.token_urlsafe(32)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    _write(file, [*entries, {"owner": owner, "sha256": hash_key(key), "made": made}])
    return key


def remove_keys(path: str | Path, owner: str) -> int:
    """Remove all keys of an owner; running servers refuse them from their next request on.

    Returns:
        How many there were.

    Raises:
        ConfigError: There is no such file, or it is not one of keys.
    """
    entries = _entries(Path(path))
    kept = [entry for entry in entries if entry["owner"] != owner]
    _write(Path(path), kept)
    return len(entries) - len(kept)


class KeyFile:
    """Finds the owner of a key; reads the file again when it has changed.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file."""
        self._path = Path(path)
        self._lock = threading.Lock()
        self._owners = read_keys(self._path)
        self._state = self._stat()

    def owner_of(self, key: str) -> str | None:
        """Return the owner of a key; None for a wrong one, and while the file is unreadable."""
        self._refresh()
        given = hash_key(key)
        for known, owner in self._owners.items():
            if hmac.compare_digest(known, given):
                return owner
        return None

    def _refresh(self) -> None:
        state = self._stat()
        if state == self._state:
            return
        with self._lock:
            try:
                self._owners = read_keys(self._path)
            except (ConfigError, OSError):  # refuse all rather than honour keys that were removed
                self._owners = {}
            self._state = state

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def _entries(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise ConfigError([
            f"tokens is {str(path)!r}; there is no such file; make one: stillroom keys add NAME "
            f"--tokens {path}"
        ])  # fmt: skip
    try:
        value = read_json(path)
        entries = list(value["keys"])
        fine = value["version"] == _VERSION and all(
            OWNER.fullmatch(entry["owner"]) and re.fullmatch("[0-9a-f]{64}", entry["sha256"])
            for entry in entries
        )
    except (ValueError, KeyError, TypeError, OSError) as fault:
        raise ConfigError(
            [f"tokens is {str(path)!r}, which is no file of keys: {fault}"]
        ) from fault
    if not fine:
        raise ConfigError([f"tokens is {str(path)!r}, which is no file of keys of version 1"])
    return entries


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    write_json(path, {"version": _VERSION, "keys": entries})
    os.chmod(path, 0o600)
