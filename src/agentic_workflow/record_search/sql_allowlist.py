"""Allow one SELECT over the records, with functions from a list, and refuse all other SQL.

DuckDB itself parses the statement, and every node of its tree must be of a known kind. An allowlist
stays safe with new versions of DuckDB. Left out on purpose:

- functions that make long texts of short ones (`repeat`, `replace`, `lpad`, `string_agg`, ...):
  neither the memory limit nor an interrupt stops them in time. A few texts may be joined;
- searches of more than linear time in one text, since DuckDB handles an interrupt only every few
  thousand rows: `levenshtein` and the like, `like` with several inner `%`, regular expressions with
  counts, and patterns that are long or computed by the statement;
- generated rows (`range`, recursion), which may never end;
- access to files, settings, other catalogs, or SQL given as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import QueryRefusedError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_CHARACTERS = 4000
"""Most characters of a statement."""
_MOST_TABLES = 4
"""Most tables in one statement: a cross join of four with a thousand rows does not end."""

_MOST_GROUPINGS = 16
"""Most grouping sets in one query; a cube of ten columns has a thousand."""
_MOST_JOINED = 8
"""Most texts joined in one statement; the result has at most 18 times the longest one's length."""
_LONGEST_PATTERN = 100
"""Most characters of a search pattern."""
_JOINING = frozenset({"||", "concat", "concat_ws"})
_LIKE = frozenset({"~~", "!~~", "~~*", "!~~*"})
_REGULAR = frozenset({"regexp_matches", "regexp_extract"})
_LOOKING = frozenset({"contains", "position", "strpos", "instr", "split_part"}) | _LIKE | _REGULAR
"""Functions that search their second argument in the first."""

_NAMES = """
    + - * / // % ** ^ || ~~ !~~ ~~* !~~* = <> != < <= > >=
    count count_star sum avg mean min max median mode stddev stddev_samp stddev_pop variance
    var_samp var_pop first last any_value arg_min arg_max min_by max_by quantile quantile_cont
    quantile_disc bool_and bool_or corr product
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value
    abs ceil ceiling floor round trunc sign sqrt cbrt exp ln log log2 log10 pow power mod greatest
    least sin cos tan asin acos atan atan2 pi degrees radians
    lower upper lcase ucase trim ltrim rtrim length strlen len char_length left right substr
    substring position strpos instr contains starts_with ends_with prefix suffix split_part concat
    concat_ws reverse initcap ascii chr regexp_matches regexp_extract strip_accents unaccent
    coalesce nullif ifnull if
    year month day hour minute second quarter week weekday dayofweek dayofyear date_part datepart
    date_trunc datetrunc date_diff datediff strftime strptime try_strptime age extract
"""
FUNCTIONS = frozenset(_NAMES.split())
"""Functions and operators that a statement may use."""

_NAMES_TAKEN = (
    "select table_name from duckdb_tables() union select view_name from duckdb_views() "
    "union select function_name from duckdb_functions() where function_type like 'table%'"
)
_QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE"})
_TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST"})
_EXPRESSIONS = frozenset(
    {"COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "CASE", "CAST", "BETWEEN",
     "FUNCTION", "WINDOW", "SUBQUERY", "STAR", "TYPE", "COLLATE", "POSITIONAL_REFERENCE"}
)  # fmt: skip


def check_sql(sql: str, connection: DuckDBPyConnection, tables: frozenset[str]) -> None:
    """Refuse everything but one SELECT over known tables with known functions.

    Args:
        sql: The statement.
        connection: Parses it; nothing is run.
        tables: Tables that may be read, in lower case.

    Raises:
        QueryRefusedError: With what was found and what is allowed.
    """
    if len(sql) > MOST_CHARACTERS:
        raise QueryRefusedError(f"it has {len(sql)} characters; at most {MOST_CHARACTERS} may be")
    with connection.cursor() as cursor:
        _check_statement(sql, cursor)
        row = cursor.execute("select json_serialize_sql(?)", [sql]).fetchone()
        known = cursor.execute(_NAMES_TAKEN).fetchall()
    try:
        parsed = json.loads(row[0] if row else "{}")
    except RecursionError as fault:
        raise QueryRefusedError("it is nested too deeply") from fault
    if parsed.get("error", True) or len(parsed["statements"]) != 1:
        message = str(parsed.get("error_message", "it is no plain SELECT"))
        raise QueryRefusedError(f"{_short(message)}; give one SELECT")
    _check_tree(parsed["statements"][0]["node"], tables, {name.lower() for (name,) in known})


def _check_statement(sql: str, cursor: DuckDBPyConnection) -> None:
    import duckdb

    try:
        sql.encode()  # DuckDB refuses lone surrogates
        statements = cursor.extract_statements(sql)
    except (duckdb.Error, UnicodeError) as fault:
        raise QueryRefusedError(f"it is no SQL that DuckDB can read: {_short(fault)}") from fault
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryRefusedError(f"it holds {found}; give one SELECT")


def _check_tree(tree: dict[str, Any], tables: frozenset[str], taken: set[str]) -> None:
    nodes = list(_nodes(tree))
    named = {entry["key"].lower() for node in nodes for entry in _named_queries(node)}
    # A query named like a table would allow that table where the name is out of scope.
    if named & (taken | tables):
        raise QueryRefusedError(f"it gives the name of a table again: {sorted(named)}")
    read = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    if len(read) > _MOST_TABLES:
        raise QueryRefusedError(f"it reads {len(read)} tables; at most {_MOST_TABLES} may be")
    joined = sum(
        len(_arguments(node))
        for node in nodes
        if str(node.get("function_name")).lower() in _JOINING
    )
    if joined > _MOST_JOINED:
        raise QueryRefusedError(f"it joins {joined} texts; at most {_MOST_JOINED} may be")
    if any(len(node.get("group_sets") or ()) > _MOST_GROUPINGS for node in nodes):
        raise QueryRefusedError(f"it groups by more than {_MOST_GROUPINGS} sets of columns")
    for node in nodes:
        _check_kind(node)
        if node.get("type") == "BASE_TABLE":
            _check_table(node, tables, named)
        elif "function_name" in node or node.get("class") in ("FUNCTION", "WINDOW"):
            _check_function(node)


def _check_kind(node: dict[str, Any]) -> None:
    """Refuse unknown kinds of node, above all recursion and table functions."""
    kind, of_class = str(node.get("type", "")), node.get("class")
    if of_class is not None:
        if of_class not in _EXPRESSIONS:
            raise QueryRefusedError(f"{of_class.lower()} expressions are not allowed")
    elif kind.endswith("_NODE"):
        if kind not in _QUERIES:
            raise QueryRefusedError(f"a {kind.removesuffix('_NODE').lower()} is not allowed")
    elif "query_location" in node and "alias" in node and kind not in _TABLES:
        raise QueryRefusedError(f"reading from a {kind.lower().replace('_', ' ')} is not allowed")


def _check_table(node: dict[str, Any], tables: frozenset[str], named: set[str]) -> None:
    path = [node.get("catalog_name"), node.get("schema_name"), node.get("table_name")]
    written = ".".join(part for part in path if part)
    qualified = any(path[:2]) or node.get("at_clause")
    if qualified or str(path[2]).lower() not in tables | named:
        allowed = ", ".join(sorted(tables))
        raise QueryRefusedError(f"it reads {written!r}; what may be read is {allowed}")


def _check_function(node: dict[str, Any]) -> None:
    name = str(node.get("function_name", "")).lower()
    if name not in FUNCTIONS or node.get("schema") or node.get("catalog"):
        raise QueryRefusedError(f"the function {name!r} is not among those that may be used")
    if name in _LOOKING:
        _check_pattern(name, _arguments(node)[1:2])


def _arguments(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the arguments of a function call."""
    found = node.get("arguments")
    if not isinstance(found, list):
        raise QueryRefusedError(f"the arguments of {node['function_name']!r} cannot be read")
    return [argument["expression"] for argument in found]


def _check_pattern(name: str, given: list[dict[str, Any]]) -> None:
    """Refuse patterns whose search takes more than linear time."""
    literal = given[0].get("literal") if given and given[0].get("class") == "CONSTANT" else None
    pattern = literal.get("text") if isinstance(literal, dict) else None
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        raise QueryRefusedError(
            f"what is looked for must be written out, in at most {_LONGEST_PATTERN} characters"
        )
    if name in _LIKE and re.sub("%+", "%", pattern.rstrip("%")).count("%") > 1:
        raise QueryRefusedError("a pattern may hold one % beside that at its end; join two by AND")
    if name in _REGULAR and "{" in pattern:
        raise QueryRefusedError("a regular expression may not count; write it without braces")


def _named_queries(node: dict[str, Any]) -> list[dict[str, Any]]:
    with_part = node.get("cte_map")
    return list(with_part["map"]) if isinstance(with_part, dict) else []


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Give every object of a parsed statement, without recursion, as the tree may be deep."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _short(fault: object) -> str:
    return str(fault).split("\n")[0][:200]
