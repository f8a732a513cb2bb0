"""Open the table, database or student that `stillroom ask` answers questions about."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DataError
from ...tables import TABLE_FILE, FactTable
from ..reading_options import OF_DATABASES, reading_keywords

if TYPE_CHECKING:
    from ...understanding.answers.ask_table import Asker
    from ...understanding.ranker.encoder import Encoder
    from ...understanding.table.typed_table import TypedTable


def student_folder(source: str) -> Path | None:
    """Return the folder of a student, given that folder or its run's; None for anything else."""
    places = (Path(source), Path(source) / "student")
    return next((place for place in places if (place / TABLE_FILE).is_file()), None)


def open_asker(args: argparse.Namespace) -> Asker:
    """Open a table, the tables of a database, or the table of a student.

    A database with several tables is opened whole, unless the options select one table or a key.

    Args:
        args: Options `data` and `key`, and those of reading.

    Raises:
        DataError: The table is empty, or lacks the column of `key`.
    """
    from ...data.readers.database_tables import is_database, read_database
    from ...understanding.answers.ask_database import DatabaseAsker
    from ...understanding.answers.ask_table import TableAsker

    one = args.key is not None or any(vars(args).get(name) for name in OF_DATABASES)
    encoder = open_encoder()
    if is_database(args.data) and not one and student_folder(args.data) is None:
        tables = read_database(args.data)
        if len(tables) > 1:
            return DatabaseAsker(tables, encoder=encoder)
    return TableAsker(open_table(args), encoder=encoder)


def open_table(args: argparse.Namespace) -> TypedTable:
    """Read the table of a student or of a file.

    Raises:
        DataError: The table is empty, or lacks the column of `--key`.
    """
    from ...understanding.table.typed_facts import typed_facts
    from ...understanding.table.typed_table import typed_table

    folder = student_folder(args.data)
    facts = None if folder is None else FactTable.read(folder)
    if facts is not None:
        return typed_facts(facts)
    from ...data.readers.read_table import iter_records

    records = list(iter_records(args.data, **{"flatten": True, **reading_keywords(args)}))
    names = {name for record in records for name in record}
    if not names:
        raise DataError("holds no records to ask about", path=args.data)
    if args.key is not None and args.key not in names:
        raise DataError(
            f"has no column {args.key!r} for --key; there are {', '.join(sorted(names))}",
            path=args.data,
        )
    return typed_table(records, name=Path(args.data).name, key=args.key)


def open_encoder() -> Encoder | None:
    """Load the sentence encoder; None, with a note on stderr, if its weights are not installed."""
    from ...understanding.ranker.encoder import WITHOUT, packaged_encoder

    encoder = packaged_encoder()
    if encoder is None:
        print(f"note: {WITHOUT}", file=sys.stderr)
    return encoder
