"""All tables of a database with their declared keys: SQLite, a URL, or a data package.

A data package is a folder of tables whose `datapackage.json` declares the keys, as Frictionless
Data has it (https://specs.frictionlessdata.io/table-schema/#foreign-keys).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ...errors import DataError, EmptyDataError, did_you_mean
from ...files import read_json
from ...tables import DatabaseTable, ForeignKey
from .database import _connect, _inner_tables, _query_fault, is_url
from .read_table import iter_records

PACKAGE_FILE: Final = "datapackage.json"
_SQLITE: Final = b"SQLite format 3\0"


def is_database(source: str | Path) -> bool:
    """Tell whether a source may hold several tables with declared keys."""
    if is_url(str(source)):
        return True
    path = Path(source)
    if path.is_dir():
        return (path / PACKAGE_FILE).is_file()
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE


def read_database(source: str | Path) -> list[DatabaseTable]:
    """Read all tables that hold records.

    Args:
        source: SQLite file, SQLAlchemy URL, or folder with `datapackage.json`.

    Raises:
        DataError: A table cannot be read, or a declared key names what is not there; the message
            says which.
        EmptyDataError: No table holds records.
    """
    path = Path(source)
    packaged = not is_url(str(source)) and path.is_dir()
    declared = _in_package(path) if packaged else _in_database(str(source))
    tables = []
    for name, place, primary, foreign in declared:
        records = tuple(iter_records(place) if packaged else iter_records(place, table=name))
        if records:
            columns = tuple(dict.fromkeys(column for record in records for column in record))
            tables.append(DatabaseTable(name, columns, records, primary, foreign))
    if not tables:
        raise EmptyDataError("no table holds records", path=source)
    _check(tables, {name for name, *_ in declared}, source)
    names = {table.name for table in tables}
    return [
        DatabaseTable(t.name, t.columns, t.records, t.primary,
                      tuple(key for key in t.foreign if key.table in names))
        for t in tables
    ]  # fmt: skip


Declared = tuple[str, str, tuple[str, ...], tuple[ForeignKey, ...]]
"""Name, where its records are, primary key, foreign keys."""


def _in_database(source: str) -> list[Declared]:
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    with _connect(source) as (connection, shown):
        try:
            inspector = inspect(connection)
            inner = _inner_tables(connection)
            names = [name for name in inspector.get_table_names() if name not in inner]
            primary = {
                name: tuple(inspector.get_pk_constraint(name).get("constrained_columns") or ())
                for name in names
            }
            return [
                (name, source, primary[name], tuple(
                    ForeignKey(
                        tuple(key["constrained_columns"]),
                        key["referred_table"],
                        tuple(key["referred_columns"] or primary.get(key["referred_table"], ())),
                    )
                    for key in inspector.get_foreign_keys(name)
                ))
                for name in names
            ]  # fmt: skip
        except (SQLAlchemyError, sqlite3.Error) as fault:
            raise _query_fault(fault, shown, 0) from fault


def _in_package(folder: Path) -> list[Declared]:
    path = folder / PACKAGE_FILE
    try:
        package = read_json(path)
        return [_resource(one, folder) for one in package["resources"]]
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        if isinstance(fault, DataError):
            raise
        raise DataError(
            "is no data package: it needs resources, each with name and path, and in its schema "
            f"primaryKey and foreignKeys with fields and reference ({fault!r})",
            path=path,
        ) from fault


def _resource(one: dict[str, Any], folder: Path) -> Declared:
    schema, place = one.get("schema", {}), folder / one["path"]
    if not place.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"names {one['path']!r}, which lies outside its folder",
                        path=folder / PACKAGE_FILE)  # fmt: skip
    foreign = tuple(
        ForeignKey(
            _listed(key["fields"]),
            key["reference"].get("resource") or one["name"],
            _listed(key["reference"]["fields"]),
        )
        for key in schema.get("foreignKeys", ())
    )
    return str(one["name"]), str(place), _listed(schema.get("primaryKey", ())), foreign


def _listed(names: Any) -> tuple[str, ...]:  # noqa: ANN401 - a name or a list of names
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def _check(tables: list[DatabaseTable], declared: set[str], source: str | Path) -> None:
    """Refuse keys that name tables or columns that are not there."""
    columns = {table.name: table.columns for table in tables}
    faults = list(_key_faults(tables, columns, declared))
    if faults:
        raise DataError("; ".join(faults), path=source)


def _key_faults(
    tables: list[DatabaseTable], columns: dict[str, tuple[str, ...]], declared: set[str]
) -> Iterator[str]:
    for table in tables:
        for key in table.foreign:
            if key.table not in declared:
                near = did_you_mean(key.table, declared, what="table")
                yield f"a key of {table.name} refers to the table {key.table!r}; {near}"
                continue
            if not key.columns or len(key.columns) != len(key.referred):
                yield f"a key of {table.name} refers from {len(key.columns)} columns to {len(key.referred)} of {key.table}"  # noqa: E501  # fmt: skip
            held = [(table.name, name) for name in key.columns]
            held += [(key.table, name) for name in key.referred if key.table in columns]
            for where, name in held:
                if name not in columns[where]:
                    near = did_you_mean(name, columns[where], what="column")
                    yield f"a key of {table.name} names the column {name!r} of {where}; {near}"
