"""Write a plan as one SELECT, for people to read and for DuckDB to run (`run_sql`).

Each column of the table is a STRUCT with the text of the cell and the values parsed from it:

    text               text of the cell; empty for an empty cell
    folded, words      text without case and accents; its words, with a space around each
    number, date       first number in its base unit; first date in years
    year, month, day   parts of the first date; 0 for a part that is not given

The column `row` holds the row number, counted from 0. Values are written into the statement as
escaped literals; they come from the table or from the question. No other part of a question enters
the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..table.typed_table import TypedTable
from ..table.values import Day, words
from .language import (
    All,
    At,
    Beside,
    Both,
    Cells,
    Compared,
    Count,
    Difference,
    Distinct,
    Either,
    Exists,
    Group,
    Like,
    Often,
    Plan,
    Rows,
    Span,
    Top,
    Total,
    Where,
)  # fmt: skip
from .run_plan import EQUAL, NEAR, TIED, day_bound


@dataclass(frozen=True)
class Query:
    """A plan as SQL.

    Attributes:
        sql: The statement. It returns either the columns `row` and `answer`, with one row for
            each cell, or one row with `answer` and `rows`; `answer` is NULL if there is none.
        column: Column whose cells support the answer; None if the plan only counts rows.
        used: Number of a column -> fields of its STRUCT that the statement reads.
    """

    sql: str
    column: int | None
    used: dict[int, frozenset[str]]


def plan_as_sql(plan: Plan, table: TypedTable) -> Query:
    """Translate a plan into SQL.

    >>> from ..table.typed_table import typed_table
    >>> table = typed_table([{"dish": "Soup", "price": "5"}], name="menu")
    >>> print(plan_as_sql(Cells(Where(1, "<", 6.0), 0), table).sql)
    SELECT t."row", t."dish"."text" AS answer FROM "menu" AS t WHERE t."price"."number" < 6 AND t."dish"."text" <> '' ORDER BY t."row"
    """  # noqa: E501
    writer = _Writer(table)
    sql, column = writer.plan(plan)
    return Query(sql, column, {number: frozenset(used) for number, used in writer.used.items()})


def column_names(table: TypedTable) -> tuple[str, list[str]]:
    """Return the SQL name of the row number and of each column, unique when case is ignored."""
    taken: set[str] = {""}
    names = []
    for column in table.columns:
        name, number = sql_name(column.name), 1
        while name.casefold() in taken:
            number += 1
            name = f"{sql_name(column.name)} {number}".lstrip()
        taken.add(name.casefold())
        names.append(name)
    return unlike("row", names), names


def unlike(name: str, names: Sequence[str]) -> str:
    """Append underscores to a name until it differs from all others when case is ignored."""
    taken = {one.casefold() for one in names}
    while name in taken:
        name += "_"
    return name


def plain(text: str) -> str:
    """Replace characters that UTF-8 cannot encode; texts from JSON may hold lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def sql_name(text: str) -> str:
    """Make a text usable as an SQL name, which must not contain NUL."""
    return plain(text).replace("\0", " ")


def quoted(name: str) -> str:
    """Quote a text as an SQL identifier."""
    return '"' + sql_name(name).replace('"', '""') + '"'


@dataclass(frozen=True)
class _From:
    """A set of rows: its FROM source and its WHERE conditions."""

    source: str
    conditions: tuple[str, ...] = ()

    def where(self, *more: str) -> str:
        met = " AND ".join(one for one in (*self.conditions, *more) if one)
        return f"FROM {self.source} AS t" + (f" WHERE {met}" if met else "")


class _Writer:
    def __init__(self, table: TypedTable) -> None:
        self.table = table
        row, names = column_names(table)
        self.row, self.names = f"t.{quoted(row)}", [quoted(name) for name in names]
        self.worth, self.group_name = unlike("worth", names), unlike("named", names)
        self.used: dict[int, set[str]] = {}

    def field(self, column: int, name: str) -> str:
        self.used.setdefault(column, set()).add(name)
        return f't.{self.names[column]}."{name}"'

    def order(self, column: int) -> str:
        return self.field(column, "date" if self.table.columns[column].kind == "date" else "number")

    def filled(self, column: int) -> str:
        return f"{self.field(column, 'text')} <> ''"

    def plan(self, plan: Plan) -> tuple[str, int | None]:
        match plan:
            case Cells(rows, column):
                return self.cells(column, self.rows(rows).where(self.filled(column)))
            case Count(rows):
                return self.value("count(*)", self.rows(rows).where()), None
            case Distinct(rows, column):
                different = f"count(DISTINCT {self.field(column, 'folded')})"
                return self.value(different, self.rows(rows).where(self.filled(column))), column
            case Total(rows, column, function):
                return self.total(rows, column, function)
            case Often(rows, column, most):
                folded = self.field(column, "folded")
                times = f"count(*) OVER (PARTITION BY {folded})"
                return self.best(
                    column, self.rows(rows).where(self.filled(column)), times, f"{folded}", most
                )  # fmt: skip
            case Group():
                return self.group(plan)
            case Difference(one, other, column):
                sets = self.rows(one), self.rows(other)
                first, second = (self.scalar(of, column) for of in sets)
                rows_of = self.rows_of_both(*sets, column)
                return f"SELECT abs({first} - {second}) AS answer, {rows_of} AS rows", column
            case Compared(one, other, column, more):
                sets = self.rows(one), self.rows(other)
                first, second = (self.scalar(of, column) for of in sets)
                sign = ">" if more else "<"
                holds = (
                    f"CASE {first} {sign} {second} WHEN true THEN 'yes' WHEN false THEN 'no' END"
                )
                return (
                    f"SELECT {holds} AS answer, {self.rows_of_both(*sets, column)} AS rows",
                    column,
                )
            case Span(rows, start, end):
                apart = f"abs({self.order(end)} - {self.order(start)})"
                first = f"{self.rows(rows).where()} ORDER BY {self.row} LIMIT 1"
                return f"SELECT {apart} AS answer, [{self.row}] AS rows {first}", end
            case Exists(rows):
                there = "CASE count(*) WHEN 0 THEN 'no' ELSE 'yes' END"
                return self.value(there, self.rows(rows).where()), None

    def rows(self, rows: Rows) -> _From:
        match rows:
            case All():
                return _From(quoted(self.table.name))
            case Where():
                return _From(quoted(self.table.name), (self.holds(rows),))
            case Both(conditions):
                return _From(quoted(self.table.name), tuple(map(self.holds, conditions)))
            case Either(conditions):
                either = " OR ".join(f"({self.holds(one)})" for one in conditions)
                return _From(quoted(self.table.name), (f"({either})",))
            case Top(of, column, highest, count):
                order = self.order(column)
                if count > 1:
                    by = f"{order} {'DESC' if highest else 'ASC'}, {self.row}"
                    place = f"row_number() OVER (ORDER BY {by}) <= {count}"
                    known = self.rows(of).where(f"{order} IS NOT NULL")
                    return _From(f"(SELECT * {known} QUALIFY {place})")
                best = f"{'max' if highest else 'min'}({order}) OVER ()"
                return _From(f"(SELECT * {self.rows(of).where()} QUALIFY {order} = {best})")
            case At(of, place):
                towards = "DESC " if place < 0 else ""
                skipped = -place - 1 if place < 0 else place
                there = f"{self.rows(of).where()} ORDER BY {self.row} {towards}LIMIT 1"
                return _From(f"(SELECT * {there} OFFSET {skipped})")
            case Beside(of, step):
                end = "min" if step < 0 else "max"
                at = f"(SELECT {end}({self.row}) + {step} {self.rows(of).where()})"
                return _From(quoted(self.table.name), (f"{self.row} = {at}",))
            case Like(of, column):
                folded, inner = self.field(column, "folded"), self.rows(of).where()
                first = f"(SELECT {folded} {inner} ORDER BY {self.row} LIMIT 1)"
                other = f"{self.row} <> (SELECT min({self.row}) {inner})"
                same = f"{folded} = {first}"
                return _From(quoted(self.table.name), (same, f"{folded} <> ''", other))

    def holds(self, where: Where) -> str:
        column, value = where.column, where.value
        match where.operator:
            case "is":
                return f"{self.field(column, 'folded')} = {_text(str(value))}" if value else "false"
            case "not":
                other = f"{self.field(column, 'folded')} <> {_text(str(value))}"
                return f"{self.filled(column)} AND {other}" if value else self.filled(column)
            case "has" | "lacks":
                has = where.operator == "has"
                spoken = words(str(value))
                if not spoken:
                    return "false" if has else "true"
                phrase = _text(f" {' '.join(spoken)} ")
                found = f"contains({self.field(column, 'words')}, {phrase})"
                return found if has else f"NOT {found}"
            case "filled":
                return self.filled(column)
            case "empty":
                return f"{self.field(column, 'text')} = ''"
            case operator:
                return self.compare(column, operator, value)

    def compare(self, column: int, operator: str, value: str | float | Day) -> str:
        if isinstance(value, Day):
            if operator == "=":
                told = [
                    f"{self.field(column, name)} = {part}"
                    for name, part in zip(("year", "month", "day"), value.parts, strict=True)
                    if part
                ]
                return " AND ".join(told) or f"{self.field(column, 'date')} IS NOT NULL"
            operator, bound = day_bound(operator, value)
            return f"{self.field(column, 'date')} {operator} {_number(bound)}"
        number, bound = self.field(column, "number"), float(value)
        if operator == "=":
            return f"abs({number} - {_number(bound)}) <= {_number(NEAR + EQUAL * abs(bound))}"
        return f"{number} {operator} {_number(bound)}"

    def cells(self, column: int, there: str, qualify: str = "") -> tuple[str, int]:
        answer = f"SELECT {self.row}, {self.field(column, 'text')} AS answer {there}"
        return f"{answer}{qualify} ORDER BY {self.row}", column

    def value(self, answer: str, there: str) -> str:
        return f"SELECT {answer} AS answer, list({self.row} ORDER BY {self.row}) AS rows {there}"

    def total(self, rows: Rows, column: int, function: str) -> tuple[str, int]:
        number, there = self.field(column, "number"), self.rows(rows)
        if function in ("highest", "lowest"):
            best = f"{'max' if function == 'highest' else 'min'}({number}) OVER ()"
            return self.cells(column, there.where(), f" QUALIFY {number} = {best}")
        name = "fsum" if function == "sum" else "favg"
        return self.value(f"{name}({number})", there.where(f"{number} IS NOT NULL")), column

    def group(self, plan: Group) -> tuple[str, int]:
        folded, number = self.field(plan.by, "folded"), self.field(plan.column, "number")
        name = "fsum" if plan.function == "sum" else "favg"
        total = f"{name}({number}) OVER (PARTITION BY {folded})"
        there = self.rows(plan.rows).where(f"{folded} <> ''")
        counted = f"CASE WHEN {number} IS NOT NULL THEN {folded} END"
        return self.best(plan.by, there, total, counted, plan.highest)

    def best(
        self, column: int, there: str, worth: str, name: str, highest: bool
    ) -> tuple[str, int]:
        """Select the cells of the best group; no cells if there is only one group.

        Args:
            column: Column of the cells.
            there: FROM clause of the rows.
            worth: SQL expression that scores the group of a row.
            name: SQL expression that names the group of a row.
            highest: Whether the highest score is the best.
        """
        inner = f"SELECT t.*, {worth} AS {self.worth}, {name} AS {self.group_name} {there}"
        best = f"{'max' if highest else 'min'}(t.{self.worth}) OVER ()"
        near = f"abs(t.{self.worth} - {best}) <= {_number(TIED)} * abs({best})"
        several = f"min(t.{self.group_name}) OVER () <> max(t.{self.group_name}) OVER ()"
        return self.cells(column, f"FROM ({inner}) AS t", f" QUALIFY {near} AND {several}")

    def scalar(self, of: _From, column: int | None) -> str:
        if column is None:
            return f"(SELECT count(*) {of.where()})"
        order = self.order(column)
        known = of.where(f"{order} IS NOT NULL")
        return f"(SELECT {order} {known} ORDER BY {self.row} LIMIT 1)"

    def rows_of_both(self, one: _From, other: _From, column: int | None) -> str:
        if column is None:
            first, second = (
                f"(SELECT list({self.row} ORDER BY {self.row}) {of.where()})" for of in (one, other)
            )
            return f"list_concat({first}, {second})"
        known = f"{self.order(column)} IS NOT NULL"
        first, second = (f"(SELECT min({self.row}) {of.where(known)})" for of in (one, other))
        return f"[{first}, {second}]"


def _text(value: str) -> str:
    parts = plain(value).replace("'", "''").split("\0")
    return " || chr(0) || ".join(f"'{part}'" for part in parts)


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    # DuckDB reads a literal with an exponent as DOUBLE, and one without as DECIMAL.
    text = repr(value)
    return text if "e" in text else f"{text}e0"
