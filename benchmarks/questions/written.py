"""Questions over tables of the project's own making, with SQL that answers them.

    python benchmarks/questions/written.py              # check all tables
    python benchmarks/questions/written.py servers      # or some

Tables and questions were written for this project by a large language model, one by one and not
from templates, as people keep and ask them. Each table is a file `written/NAME.csv`. Beside it,
`written/NAME.tsv` has a line for each question: the question, a tab, and a SELECT over `t` in
DuckDB's SQL, or "-" where the table cannot answer. For the SELECT, columns of numbers are numbers
without their units, columns of dates are dates, those of years integers, and all others texts; an
empty cell is NULL, and `place` counts the rows from 1.

The general student is trained on them: a plan counts as right where it gives the answer of the
SELECT and reads the same columns.
"""

import argparse
import csv
import datetime
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import torch
from stillroom.understanding.plans.list_plans import UNNAMED, Candidate, Question
from stillroom.understanding.practice.practice_examples import MOST, common_words, known_words
from stillroom.understanding.ranker.encoder import Encoder
from stillroom.understanding.ranker.features import take_apart
from stillroom.understanding.ranker.model import Ranker
from stillroom.understanding.ranker.ranking import AskedTable, rank
from stillroom.understanding.ranker.train_ranker import Example
from stillroom.understanding.table.same_value import same_value
from stillroom.understanding.table.typed_table import Column, TypedTable, typed_table
from stillroom.understanding.table.values import fold, to_number

FOLDER = Path(__file__).resolve().parent / "written"
NEAR = 1e-6


@dataclass(frozen=True)
class Written:
    """A question, what its SELECT gives, and what it reads; without SELECT there is no answer.

    Attributes:
        text: The question.
        sql: The SELECT, or "-".
        answer: The values that it gives.
        columns: The columns that it reads.
        cells: The column and the rows of its answer where it only looks up cells.
    """

    text: str
    sql: str
    answer: tuple[str | float, ...] | None
    columns: frozenset[int]
    cells: tuple[int, frozenset[int]] | None = None


def read_written(name: str) -> tuple[TypedTable, list[Written]]:
    """Read a table and its questions.

    Raises:
        ValueError: A line is no question with a SELECT, or its SELECT fails or finds nothing.
    """
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        mark = ";" if ";" in file.readline() else ","
        file.seek(0)
        records = list(csv.DictReader(file, delimiter=mark))
    table = typed_table(records, name=name)
    lines = (FOLDER / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    found, faults = [], []
    with duckdb.connect(":memory:", config={"threads": "1"}) as connection:
        connection.register("t", in_arrow(table))
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found.append(read_line(line, table, connection))
            except (ValueError, duckdb.Error) as fault:
                faults.append(f"{name}.tsv, line {number}: {str(fault).splitlines()[0]}: {line}")
    if faults:
        raise ValueError("\n".join(faults))
    return table, found


def read_line(line: str, table: TypedTable, connection: duckdb.DuckDBPyConnection) -> Written:
    text, tab, sql = line.partition("\t")
    sql = sql.strip().rstrip(";")
    if not tab or not text.strip() or not sql:
        raise ValueError("write a question, a tab, and a SELECT or -")
    if sql == "-":
        return Written(text.strip(), sql, None, frozenset())
    rows = connection.execute(sql).fetchall()
    if rows and len(rows[0]) != 1:
        raise ValueError("select one column")
    values = [plain(value) for (value,) in rows if value is not None]
    if not values:
        raise ValueError("it finds nothing")
    bare = re.sub(r"'(?:[^']|'')*'", "''", sql)
    columns = {
        number
        for number, column in enumerate(table.columns)
        if re.search(rf'"{re.escape(column.name)}"', bare)
        or re.search(rf"(?<![\w\"]){re.escape(column.name)}(?![\w\"])", bare, re.IGNORECASE)
    }
    return Written(text.strip(), sql, tuple(values), frozenset(columns),
                   looked_up(sql, table, connection))  # fmt: skip


def looked_up(
    sql: str, table: TypedTable, connection: duckdb.DuckDBPyConnection
) -> tuple[int, frozenset[int]] | None:
    """Give the column and the rows of a SELECT of cells by conditions; None for any other."""
    found = re.fullmatch(r'SELECT\s+("[^"]+"|\w+)(\s+FROM\s+t\s+WHERE\s.+)', sql, re.IGNORECASE)
    if not found or re.search(r"\b(ORDER|GROUP|LIMIT|SELECT)\b", found.group(2), re.IGNORECASE):
        return None
    name = found.group(1).strip('"').casefold()
    column = next((n for n, one in enumerate(table.columns) if one.name.casefold() == name), None)
    if column is None:
        return None
    rows = connection.execute("SELECT place" + found.group(2)).fetchall()
    filled = table.columns[column].filled
    return column, frozenset(row - 1 for (row,) in rows if filled[row - 1])


def plain(value: object) -> str | float:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.date):
        return value.isoformat()[:10]
    return value if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def in_arrow(table: TypedTable) -> pa.Table:
    """Give the columns as SQL sees them."""
    held = {column.name: in_sql(column) for column in table.columns}
    return pa.table({**held, "place": pa.array(np.arange(1, table.length + 1))})


def in_sql(column: Column) -> pa.Array:
    if column.kind == "number":
        return pa.array(column.numbers / column.factor, from_pandas=True)
    if column.kind == "date" and all(day is None or day.day for day in column.days):
        days = [None if one is None else datetime.date(one.year, one.month, one.day)
                for one in column.days]  # fmt: skip
        return pa.array(days, pa.date32())
    if column.kind == "date" and all(day is None or not day.month for day in column.days):
        return pa.array([None if one is None else one.year for one in column.days], pa.int64())
    return pa.array([text if text.strip() else None for text in column.texts], pa.string())


def answers(candidate: Candidate, written: Written, table: TypedTable) -> bool:
    """Tell whether a plan gives the answer and reads the same columns, or the very same cells."""
    if written.answer is None:
        return False
    parts = take_apart(candidate.plan)
    if written.cells is not None and parts.outer == "cells" and parts.of == "rows":
        column, rows = written.cells
        said = all(one.weight > UNNAMED for one in candidate.conditions)
        if said and parts.target == column and set(candidate.answer.rows) == rows:
            return True
    held = {parts.order, *(one.column for one in parts.conditions)}
    names = _names(table)
    # Records may be called by their code or by their name.
    others = names if parts.target in names else {parts.target}
    if not any((held | {one}) - {None} == set(written.columns) for one in others):
        return False
    named = _rows_named(written, table)
    if named and parts.target in _names(table):
        return set(candidate.answer.rows) == named
    return gives(candidate, written, table)


def says_more(candidate: Candidate, written: Written, table: TypedTable) -> bool:
    """Tell whether a plan gives the answer but reads more columns, by conditions too many.

    They hold by chance or are said in passing, so such a plan is neither right nor wrong.
    """
    parts = take_apart(candidate.plan)
    held = {parts.target, parts.order, *(one.column for one in parts.conditions)}
    return written.columns < held - {None} and gives(candidate, written, table)


def gives(candidate: Candidate, written: Written, table: TypedTable) -> bool:
    """Tell whether a plan gives the answer, by whatever way."""
    if written.answer is None:
        return False
    place = candidate.answer.column
    column = table.columns[0 if place is None else place]
    given, wanted = candidate.answer.values, list(dict.fromkeys(written.answer))
    if len(given) != len(wanted):
        return False
    left = list(given)
    for one in wanted:
        met = next((value for value in left if same(value, one, column)), None)
        if met is None:
            return False
        left.remove(met)
    return True


def _names(table: TypedTable) -> set[int]:
    """Give the columns that name records: the key and codes."""
    codes = {number for number, column in enumerate(table.columns) if column.is_code}
    return codes | ({table.key} if table.key is not None else set())


def _rows_named(written: Written, table: TypedTable) -> set[int]:
    """Give the rows that an answer names, where it names records; else none."""
    found = re.match(r'SELECT\s+(?:"([^"]+)"|(\w+))\s+FROM', written.sql, re.IGNORECASE)
    name = (found.group(1) or found.group(2)).casefold() if found else ""
    target = next((n for n in _names(table) if table.columns[n].name.casefold() == name), None)
    if target is None:
        return set()
    texts = table.columns[target].texts
    return {texts.index(one) for one in written.answer or () if one in texts}


def same(value: str, wanted: str | float, column: Column) -> bool:
    """Tell whether a value of an answer is the wanted one; a number is what its cell means."""
    if isinstance(wanted, str):
        return same_value(value, wanted)
    cells = column.rows_of.get(fold(value), ())
    numbers = [column.numbers[row] / column.factor for row in cells[:1]]
    numbers.append(to_number(re.sub(r"[^\d.,+-]", "", value), column.decimal))
    return same_value(value, f"{wanted:g}") or any(
        number is not None and abs(number - wanted) <= NEAR * max(1.0, abs(wanted))
        for number in numbers
    )


def written_examples(
    names: list[str],
    encoder: Encoder | None,
    common: frozenset[str],
    known: frozenset[str],
    *,
    most: int | None = MOST,
    taken: float = 0.0,
) -> Iterator[Example]:
    """Make examples of the questions for which a plan is listed, and of those without an answer.

    Args:
        names: Of tables.
        encoder: The sentence encoder.
        common: Words that say nothing alone.
        known: Words that people use in questions.
        most: Plans of a question that are kept; of more, some wrong ones are left out.
        taken: Share of the questions that are asked again of the table without the column that
            they ask for: it cannot answer then.
    """
    for name in names:
        table, questions = read_written(name)
        asked = AskedTable(table, encoder, common, known)
        without: dict[int, AskedTable] = {}
        rng = random.Random(name)
        for one in questions:
            question, listed = asked.read(one.text)
            good = [(plan, answers(plan, one, table)) for plan in listed]
            good = [(plan, flag) for plan, flag in good if flag or not says_more(plan, one, table)]
            candidates, right = [plan for plan, _ in good], [flag for _, flag in good]
            if one.answer is not None and not any(right):
                continue
            yield _example(asked, question, candidates, right, most, rng)
            lost = _asked_for(one, table)
            if one.answer is None or lost is None or rng.random() >= taken:
                continue
            if lost not in without:
                part = replace(table, columns=_others(table.columns, lost), key=_moved(table, lost))
                without[lost] = AskedTable(part, encoder, common, known)
            question, candidates = without[lost].read(one.text)
            nothing = [False] * len(candidates)
            yield _example(without[lost], question, candidates, nothing, most, rng)


def likeliest(
    names: list[str],
    ranker: Ranker,
    encoder: Encoder | None,
    common: frozenset[str],
    known: frozenset[str],
) -> Iterator[tuple[float, bool]]:
    """Give the probability of each question's likeliest reading, and whether its answer is right.

    An answer counts by what it says, by whatever way it was found. A question that the ranker holds
    for unanswerable has the probability 0.
    """
    for name in names:
        table, questions = read_written(name)
        asked = AskedTable(table, encoder, common, known)
        for one in questions:
            question, candidates = asked.read(one.text)
            best = rank(ranker, asked.see(question, candidates), candidates)[0]
            if best.candidate is None:
                yield 0.0, False
            else:
                # A record that is told by its code instead of its name is right as well.
                right = gives(best.candidate, one, table) or answers(best.candidate, one, table)
                yield best.probability, right


def _example(
    asked: AskedTable,
    question: Question,
    candidates: list[Candidate],
    right: list[bool],
    most: int | None,
    rng: random.Random,
) -> Example:
    order = sorted(range(len(candidates)), key=lambda n: (not right[n], rng.random()))[:most]
    flags = [right[n] for n in order]
    seen = asked.see(question, [candidates[n] for n in order])
    return Example(seen, torch.tensor([*flags, not any(flags)]))


def _asked_for(written: Written, table: TypedTable) -> int | None:
    """Give a column without which a question cannot be answered: not the one that names records."""
    found = sorted(written.columns - _names(table) - {0})
    return found[-1] if found and len(table.columns) > 2 else None


def _others(columns: tuple[Column, ...], lost: int) -> tuple[Column, ...]:
    return tuple(column for number, column in enumerate(columns) if number != lost)


def _moved(table: TypedTable, lost: int) -> int | None:
    return table.key if table.key is None or table.key < lost else table.key - 1


def all_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.tsv"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="tables; all by default")
    parser.add_argument("--listed", action="store_true", help="count those with a listed plan")
    args = parser.parse_args()
    faulty = False
    for name in args.names or all_names():
        try:
            table, questions = read_written(name)
        except (ValueError, OSError) as fault:
            print(fault)
            faulty = True
            continue
        empty = sum(one.answer is None for one in questions)
        kinds = ", ".join(f"{one.name} ({one.kind})" for one in table.columns)
        print(f"{name}: {table.length} rows, {len(questions)} questions, {empty} without answer")
        print(f"  {kinds}")
        if args.listed:
            asked = AskedTable(table, None, common_words(0), known_words())
            for one in questions:
                listed = (answers(plan, one, table) for plan in asked.read(one.text)[1])
                if one.answer is not None and not any(listed):
                    print(f"  not listed: {one.text} | {one.sql}")
    raise SystemExit(int(faulty))


if __name__ == "__main__":
    main()
