"""The grammar of SELECT statements over one schema, in which only its own names can be written.

    form = sql_grammar(read_sql_schema("music.sqlite"))
    request = GenerationRequest(prompt_ids=ids, constraint=constrain(form, tokenizer, end_ids))

A statement reads one table, or two or three that are joined along references. Which columns it may
name depends on the tables after FROM, although they come later: there is a set of rules for each
set of tables, and llguidance follows all of them until FROM decides. So a table that does not
exist, or a column that its tables do not have, cannot be written. There are no aliases.

What may be written: DISTINCT, COUNT, AVG, SUM, MIN, MAX, a few functions of one column, JOIN and
LEFT JOIN, WHERE with AND and OR, BETWEEN, IN, LIKE, IS NULL, subqueries one level deep, GROUP BY,
HAVING, ORDER BY, LIMIT, OFFSET, UNION, INTERSECT and EXCEPT of one column. Keywords are in
capitals, with one space between words; texts and numbers are free.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Final

from ...errors import ConfigError, DataNotFoundError, UnreadableFileError
from .grammar import Grammar, literal_pattern

MOST_JOINED: Final = 3
"""Most tables of one statement."""
MOST_SCOPES: Final = 150
"""Most sets of tables that can be joined; llguidance follows about 170 at once. Where there are
more, no three tables are joined."""
_KEYWORDS: Final = frozenset(
    """abort action add after all alter always analyze and as asc attach autoincrement before begin
    between by cascade case cast check collate column commit conflict constraint create cross
    current current_date current_time current_timestamp database default deferrable deferred delete
    desc detach distinct do drop each else end escape except exclude exclusive exists explain fail
    filter first following for foreign from full generated glob group groups having if ignore
    immediate in index indexed initially inner insert instead intersect into is isnull join key last
    left like limit match materialized natural no not nothing notnull null nulls of offset on or
    order others outer over partition plan pragma preceding primary query raise range recursive
    references regexp reindex release rename replace restrict returning right rollback row rows
    savepoint select set table temp temporary then ties to transaction trigger unbounded union
    unique update using vacuum values view virtual when where window with without""".split()  # noqa: SIM905 - a list of 147 texts would fill a page
)
"""Keywords of SQLite (sqlite.org/lang_keywords.html)."""

_SHARED: Final = r"""
answer: (statement | compound) ";"?
compound: single SET_OPERATION single
SET_OPERATION: " UNION " | " UNION ALL " | " INTERSECT " | " EXCEPT "
DISTINCT: "DISTINCT "
DIRECTION: " DESC" | " ASC"
limit: " LIMIT " COUNT (" OFFSET " COUNT)?
COUNT: /[0-9]{1,9}/
COMPARE: " = " | " != " | " <> " | " < " | " <= " | " > " | " >= "
AND_OR: " AND " | " OR "
IN: " IN (" | " NOT IN ("
IS_NULL: " IS NULL" | " IS NOT NULL"
JOIN: " JOIN " | " LEFT JOIN "
LIKE: " LIKE " | " NOT LIKE "
BETWEEN: " BETWEEN " | " NOT BETWEEN "
AGGREGATE: /(COUNT|AVG|SUM|MIN|MAX)\((DISTINCT )?/
FUNCTION: /(LENGTH|LOWER|UPPER|ABS|ROUND)\(|strftime\('%[YmdwjHM]', /
ANY_FUNCTION: /(COUNT|AVG|SUM|MIN|MAX)\((DISTINCT )?|(LENGTH|LOWER|UPPER|ABS|ROUND)\(|strftime\('%[YmdwjHM]', /
STRING: /'([^'\x00-\x1f]|''){0,120}'/
NUMBER: /-?[0-9]{1,15}(\.[0-9]{1,9})?/
value: STRING | NUMBER
values: value (", " value){0,19}
"""  # noqa: E501 - a rule is one line

_OF_SCOPE: Final = """
statement_#: "SELECT " DISTINCT? items_# " FROM " from_# where_#? (order_# limit? | limit | group_#)?
single_#: "SELECT " DISTINCT? item_# " FROM " from_# where_#?
inner_#: "SELECT " DISTINCT? item_# " FROM " from_# inner_where_#? (order_# limit?)?
group_#: " GROUP BY " expression_# (", " expression_#){0,2} having_#? group_order_#? limit?
items_#: "*" | item_# (", " item_#){0,7}
item_#: "COUNT(*)" | COLUMN_# | ANY_FUNCTION COLUMN_# ")"
aggregate_#: "COUNT(*)" | AGGREGATE COLUMN_# ")"
expression_#: COLUMN_# | FUNCTION COLUMN_# ")"
where_#: " WHERE " condition_# (AND_OR condition_#){0,5}
condition_#: test_# | "(" test_# (AND_OR test_#){1,3} ")"
test_#: inner_test_# | expression_# COMPARE "(" inner ")" | expression_# IN inner ")"
inner_where_#: " WHERE " inner_test_# (AND_OR inner_test_#){0,3}
inner_test_#: expression_# (COMPARE (value | expression_#) | BETWEEN value " AND " value | IN values ")" | LIKE STRING | IS_NULL)
having_#: " HAVING " aggregate_# (COMPARE (value | "(" inner ")") | BETWEEN value " AND " value)
order_#: " ORDER BY " expression_# DIRECTION? (", " expression_# DIRECTION?){0,2}
group_order_#: " ORDER BY " item_# DIRECTION? (", " item_# DIRECTION?){0,2}
"""  # noqa: E501 - a rule is one line
"""Rules of a set of tables, whose number replaces `#`."""


@dataclass(frozen=True)
class Reference:
    """A column that refers to a column of another table."""

    table: str
    column: str
    to_table: str
    to_column: str


@dataclass(frozen=True)
class SqlSchema:
    """The names of a database."""

    tables: Mapping[str, Sequence[str]]
    """Table or view -> its columns, as the database names them."""
    references: Sequence[Reference] = ()
    """What tables may be joined along; without them a statement reads one table."""


def read_sql_schema(path: str | Path) -> SqlSchema:
    """Read the names of a SQLite database.

    Raises:
        DataNotFoundError: There is no such file.
        UnreadableFileError: It is no SQLite database.
    """
    path = Path(path)
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such database file; check the spelling")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return _read(database)
    except sqlite3.DatabaseError as fault:
        raise UnreadableFileError(f"SQLite cannot read the schema: {fault}", path=path) from fault


def _read(database: sqlite3.Connection) -> SqlSchema:
    found = database.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
    )
    tables: dict[str, list[str]] = {}
    keys: dict[str, list[str]] = {}
    for (name,) in found.fetchall():
        rows = database.execute("SELECT name, pk FROM pragma_table_info(?)", [name]).fetchall()
        tables[name] = [column for column, _ in rows]
        keys[name] = [column for column, place in sorted(rows, key=lambda row: row[1]) if place]
    named = {name.lower(): name for name in tables}  # SQLite does not tell cases apart
    references = []
    for name in tables:
        for to, place, column, to_column in database.execute(
            'SELECT "table", seq, "from", "to" FROM pragma_foreign_key_list(?)', [name]
        ):
            other = named.get(to.lower(), to)
            known = keys.get(other, [])
            target = to_column or (known[place] if place < len(known) else None)
            matches = [one for one in tables.get(other, ()) if one.lower() == str(target).lower()]
            references += [Reference(name, column, other, one) for one in matches]
    return SqlSchema(tables, references)


def sql_grammar(schema: SqlSchema) -> Grammar:
    """Make the grammar of SELECT statements over a schema.

    A reference of a table to itself needs aliases, and is left out.

    Raises:
        ConfigError: There are no tables or too many (with references, more than `MOST_SCOPES`
            together), a table has no columns, or a reference names what is not there.
    """
    tables = schema.tables
    links = [one for one in schema.references if one.table != one.to_table]
    _check(tables, links)
    scopes = list(_scopes(tables, links, MOST_JOINED))
    if len(scopes) > MOST_SCOPES:
        scopes = list(_scopes(tables, links, 2))
    if len(scopes) > MOST_SCOPES:
        raise ConfigError(
            [f"the schema has {len(scopes)} tables and pairs of tables with a reference; allowed "
             f"are {MOST_SCOPES}: name the tables that matter"]
        )  # fmt: skip
    numbers = range(len(scopes))
    rules = [_SHARED]
    for rule in ("statement", "single", "inner"):
        rules.append(f"{rule}: " + " | ".join(f"{rule}_{number}" for number in numbers))
    for number, (names, ways) in enumerate(scopes):
        rules.append(_OF_SCOPE.replace("#", str(number)))
        rules.append(f"from_{number}: " + " | ".join(ways))
        rules.append(f"COLUMN_{number}: /{'|'.join(_columns(names, tables))}/")
    return Grammar("\n".join(rules) + "\n")


def sql_name(name: str) -> str:
    """Write a name as SQL: in quotes if it is a keyword or no plain word.

    >>> print(sql_name("title"), sql_name("order"), sql_name('a "b" c'))
    title "order" "a ""b"" c"
    """
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _KEYWORDS
    return name if plain else '"' + name.replace('"', '""') + '"'


def _check(tables: Mapping[str, Sequence[str]], links: Sequence[Reference]) -> None:
    faults = [] if tables else ["the schema has no tables; name one or more"]
    faults += [f"table {name!r} has no columns" for name, columns in tables.items() if not columns]
    for link in links:
        for table, column in ((link.table, link.column), (link.to_table, link.to_column)):
            if column not in tables.get(table, ()):
                faults.append(f"a reference names {table}.{column}, which is not in the schema")
    if faults:
        raise ConfigError(faults)


def _scopes(
    tables: Mapping[str, Sequence[str]], links: Sequence[Reference], most_joined: int
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the sets of tables that can be joined, with all ways to write them after FROM."""
    joined: dict[frozenset[str], list[tuple[str, ...]]] = {
        frozenset([name]): [(name,)] for name in tables
    }
    reached = list(joined)
    for _ in range(most_joined - 1):
        wider = {
            known | {name}
            for known in reached
            for link in links
            for name, other in ((link.table, link.to_table), (link.to_table, link.table))
            if other in known and name not in known
        }
        reached = sorted(wider, key=sorted)
        joined |= {names: list(permutations(sorted(names))) for names in reached}
    for names, orders in joined.items():
        ways = [way for order in orders for way in _ways(order, links)]
        yield tuple(name for name in tables if name in names), ways


def _ways(order: Sequence[str], links: Sequence[Reference]) -> Iterator[str]:
    """Yield the rules for joining tables in an order; none if one has no link to those before."""
    ways = [_quoted(sql_name(order[0]))]
    for place, name in enumerate(order[1:], start=1):
        conditions = [
            _quoted(f" ON {first} = {second}")
            for link in links
            if {link.table, link.to_table} - {name} <= set(order[:place])
            and name in (link.table, link.to_table)
            for first, second in _both_sides(link)
        ]
        join = f"JOIN {_quoted(sql_name(name))} ({' | '.join(conditions)})"
        ways = [f"{way} {join}" for way in ways] if conditions else []
    yield from ways


def _both_sides(link: Reference) -> tuple[tuple[str, str], tuple[str, str]]:
    one = f"{sql_name(link.table)}.{sql_name(link.column)}"
    other = f"{sql_name(link.to_table)}.{sql_name(link.to_column)}"
    return (one, other), (other, one)


def _columns(names: Sequence[str], tables: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield patterns of the columns: with the table's name, and bare where there is one table."""
    for name in names:
        for column in tables[name]:
            yield literal_pattern(f"{sql_name(name)}.{sql_name(column)}")
            if len(names) == 1:
                yield literal_pattern(sql_name(column))


def _quoted(text: str) -> str:
    """Write a text as a terminal of the grammar."""
    return f"/{literal_pattern(text)}/"
