"""Question-answer pairs from any source, one by one, in the memory of one block.

    for pair in iter_qa_pairs("faq.csv.gz", "question", "answer"): ...

The null policy for question and answer: "drop" skips and counts the record, "empty" gives the empty
text, "error" refuses the file. A blank cell counts as null. A null context is the empty text,
except under "error".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import UnknownColumnError
from ..readers.column_names import check_columns, list_columns, own_names
from ..readers.csv.reader import CsvTable
from ..readers.database import is_url
from ..readers.nulls import NullPolicy, check_null_policy, fill_nulls
from ..readers.options import ReadOptions, read_options
from ..readers.read_report import ReadReport
from ..readers.read_table import (
    SourcedRecord,
    iter_sourced_records,
    open_source,
    records_of,
)

PAIR_KEYS = ("question", "answer", "context")


def iter_qa_pairs(
    source: str | Path,
    question_col: str = "question",
    answer_col: str = "answer",
    context_col: str | None = None,
    *,
    null: NullPolicy = "drop",
    query: str | None = None,
    table: str | None = None,
    report: ReadReport | None = None,
    **options: Any,  # noqa: ANN401 - the fields of ReadOptions
) -> Iterator[dict[str, str]]:
    """Read question-answer pairs in constant memory.

    Args:
        source: As in `iter_records`.
        question_col: Column of the questions.
        answer_col: Column of the answers.
        context_col: Column of the contexts; None for pairs without one.
        null: "drop", "empty" or "error".
        query: SELECT, for a database.
        table: Table, for a database.
        report: Counts what was skipped or filled; this is logged at the end in any case.
        **options: Fields of `ReadOptions`.

    Yields:
        `{"question": ..., "answer": ...}`, with `"context"` where its column is given.

    Raises:
        UnknownColumnError: A column is not there; the message lists those that are.
        DataError: A question or answer is null and `null` is "error", or as in `iter_records`.
        ValueError: `null` is not a policy.
    """
    check_null_policy(null)
    chosen = read_options(options)
    counts = ReadReport() if report is None else report
    wanted = [question_col, answer_col] + ([] if context_col is None else [context_col])
    plain = not (chosen.flatten or chosen.columns or chosen.ragged == "keep")
    if plain and query is None and table is None and not is_url(str(source)):
        return _pairs_of_files(str(source), wanted, null, chosen, counts)
    records = iter_sourced_records(source, query=query, table=table, report=counts, **options)
    return pairs_of_records(records, wanted, null, counts)


def pairs_of_records(
    records: Iterable[SourcedRecord], wanted: list[str], null: NullPolicy, report: ReadReport
) -> Iterator[dict[str, str]]:
    """Make pairs of records of any source.

    Args:
        records: Records with their origins.
        wanted: Columns of question, answer and optionally context.
        null: "drop", "empty" or "error".
        report: Counts dropped records and filled cells.

    Raises:
        UnknownColumnError: No record has one of the columns.
        DataError: A cell is null and the policy is "error".
    """
    missing, seen = set(wanted), dict[str, None]()
    path, optional, keys = "", len(wanted) - 2, PAIR_KEYS[: len(wanted)]
    for path, row, record in records:
        if missing:
            wanted = own_names(list(record), wanted)
            missing = (missing & set(wanted)) - set(record)
            seen.update(dict.fromkeys(record))
        cells = [record.get(name) for name in wanted]
        texts = fill_nulls(cells, wanted, null, report, optional=optional, path=path, row=row)
        if texts is not None:
            yield dict(zip(keys, texts, strict=True))
    for name in wanted:
        if name in missing and path:
            raise UnknownColumnError(
                f"no record has this column; there are {list_columns(list(seen))}",
                path=path,
                column=name,
            )


def _pairs_of_files(
    source: str, wanted: list[str], null: NullPolicy, options: ReadOptions, report: ReadReport
) -> Iterator[dict[str, str]]:
    for file, kind in open_source(source, None, None, options, report):
        in_folder_name = any(name in file.partitions for name in wanted)
        if kind == "csv" and not in_folder_name:
            report.files += 1
            yield from _pairs_of_csv(CsvTable(file.path, options, report), wanted, null, report)
        else:
            records = records_of(file, kind, options, report)
            yield from pairs_of_records(records, wanted, null, report)
    report.log(source)


def _pairs_of_csv(
    table: CsvTable, wanted: list[str], null: NullPolicy, report: ReadReport
) -> Iterator[dict[str, str]]:
    """Make pairs without building records: the speed of the loader depends on this loop.

    Nearly all batches have no null, which is checked without Python code per cell.
    """
    wanted = own_names(table.columns, wanted)
    check_columns(table.path, table.columns, tuple(wanted))
    keys = PAIR_KEYS[: len(wanted)]
    for columns in table.batches(wanted):
        report.records += len(columns[0])
        if all(all(c) and not any(map(str.isspace, c)) for c in columns):
            if len(columns) == 3:
                yield from [
                    {"question": question, "answer": answer, "context": context}
                    for question, answer, context in zip(*columns, strict=True)
                ]
            else:
                yield from [
                    {"question": question, "answer": answer}
                    for question, answer in zip(*columns, strict=True)
                ]
            continue
        optional, path = len(wanted) - 2, str(table.path)
        first = table.row - len(columns[0]) + 1
        for row, texts in enumerate(zip(*columns, strict=True), first):
            filled = fill_nulls(texts, wanted, null, report, optional=optional, path=path, row=row)
            if filled is not None:
                yield dict(zip(keys, filled, strict=True))
