"""Open DuckDB so that SQL can reach nothing but the database's own tables.

Every connection is locked before the first statement: no files, no network, no extensions, no
Python variables, limited memory, no temporary files. The settings do not limit everything:
`repeat('x', 1e9)` takes 2 GB and ignores interrupts (DuckDB 2.0), so `sql_allowlist` refuses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataNotFoundError, MissingDependencyError, UnreadableFileError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT_MB = 256
"""Most memory that DuckDB may use for one database."""


def open_database(
    path: str | Path | None = None, *, read_only: bool = False, memory_mb: int = MEMORY_LIMIT_MB
) -> DuckDBPyConnection:
    """Open a database, locked.

    Args:
        path: DuckDB file; None for one in memory.
        read_only: Refuse every write; the file must exist.
        memory_mb: Memory limit in MiB.

    Raises:
        MissingDependencyError: duckdb is not installed.
        DataNotFoundError: `read_only`, and there is no such file.
        UnreadableFileError: The file is no DuckDB database, or is open elsewhere.
    """
    try:
        import duckdb
    except ImportError as missing:
        raise MissingDependencyError("duckdb", "grounding") from missing
    if read_only and path is not None and not Path(path).is_file():
        raise DataNotFoundError(f"{path}: there is no such file; write the table into it first")
    try:
        return duckdb.connect(
            ":memory:" if path is None else str(path),
            read_only=read_only and path is not None,
            config=_settings(memory_mb),
        )
    except duckdb.Error as fault:
        raise UnreadableFileError(f"is no usable DuckDB file ({fault})", path=path) from fault


def _settings(memory_mb: int) -> dict[str, Any]:
    return {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        # Without this, `FROM x` reads a pandas table of that name out of the caller's variables.
        "python_enable_replacements": "false",
        "memory_limit": f"{memory_mb}MB",
        "max_temp_directory_size": "0KB",
        "threads": "1",
        "lock_configuration": "true",
    }
