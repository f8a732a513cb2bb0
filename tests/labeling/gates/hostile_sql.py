"""A generator of SQL that must not be run: each family breaks another promise of the sandbox."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

NAMES = ("users", "t", "sqlite_master", "main.users", '"users"', "temp.x", "sqlite_sequence")
WRITES = (
    "INSERT INTO {t} VALUES ({n}, 'x')",
    "INSERT OR REPLACE INTO {t} SELECT * FROM users",
    "REPLACE INTO {t} VALUES ({n}, 'x')",
    "UPDATE {t} SET name = 'x' WHERE id = {n}",
    "DELETE FROM {t}",
    "DROP TABLE {t}",
    "DROP TABLE IF EXISTS {t}",
    "CREATE TABLE {t}{n}(x)",
    "CREATE TEMP TABLE t{n} AS SELECT * FROM users",
    "CREATE INDEX i{n} ON users(id)",
    "CREATE VIEW v{n} AS SELECT 1",
    "CREATE TRIGGER g{n} AFTER INSERT ON users BEGIN DELETE FROM users; END",
    "CREATE VIRTUAL TABLE f{n} USING fts5(x)",
    "ALTER TABLE {t} RENAME TO u{n}",
    "ALTER TABLE users ADD COLUMN c{n}",
    "VACUUM",
    "VACUUM INTO '{path}'",
    "REINDEX",
    "ANALYZE",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "SAVEPOINT s{n}",
    "ROLLBACK",
    "WITH x AS (SELECT {n}) DELETE FROM users",
    "WITH x AS (SELECT {n}) INSERT INTO users SELECT * FROM x, x",
    "WITH x AS (SELECT {n}) UPDATE users SET id = 0 RETURNING id",
    "WITH x AS (SELECT {n}) UPDATE sqlite_master SET sql = ''",
    "DELETE FROM users RETURNING *",
    "EXPLAIN DELETE FROM users",
    "EXPLAIN QUERY PLAN SELECT {n}",
)
PRAGMAS = (
    "writable_schema = ON", "journal_mode = WAL", "journal_mode = DELETE", "user_version = {n}",
    "table_info(users)", "query_only = OFF", "hard_heap_limit = 0", "temp_store_directory = '/'",
    "mmap_size = 99999999999", "cache_size = -99999999", "optimize", "integrity_check",
    "wal_checkpoint(TRUNCATE)", "secure_delete = ON", "encoding = 'UTF-16'", "database_list",
)  # fmt: skip
COUNT = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + {n} FROM c) "
BOMBS = (
    COUNT + "SELECT count(*) FROM c",
    COUNT + "SELECT x FROM c",
    COUNT + "SELECT max(x) FROM c WHERE x < 0",
    COUNT + "SELECT x, hex(randomblob(1000)) AS r FROM c ORDER BY r",
    COUNT + "SELECT group_concat(x) FROM c",
    COUNT + "SELECT DISTINCT x % 1000000007 FROM c",
    COUNT + "SELECT x, row_number() OVER (ORDER BY -x) FROM c",
    COUNT + "SELECT json_group_array(x) FROM c",
    "WITH RECURSIVE c(s) AS (SELECT 'ab' UNION ALL SELECT s || s FROM c) SELECT length(s) FROM c",
    "WITH RECURSIVE c(x, y) AS (SELECT 1, 1 UNION SELECT y, x + y + {n} FROM c) SELECT * FROM c",
    "WITH RECURSIVE c(x) AS (SELECT zeroblob(100000) UNION ALL SELECT x FROM c) SELECT x FROM c",
    "SELECT (SELECT count(*) FROM (" + COUNT + "SELECT x FROM c))",
)
LONG_INSTRUCTIONS = (
    "SELECT instr(replace(hex(zeroblob({k})), '00', 'a'), replace(hex(zeroblob({h})), '00', 'a') "
    "|| 'b')",
    "SELECT replace(hex(zeroblob({k})), hex(zeroblob({h})) || '1', 'x')",
    "SELECT replace(hex(zeroblob({k})), '0', hex(zeroblob(1000)))",
    "SELECT hex(zeroblob({k})) LIKE '%' || substr(hex(zeroblob(500)), 1, 900) || '1%'",
    "SELECT hex(zeroblob({k})) GLOB '*' || substr(hex(zeroblob(500)), 1, 900) || '1*'",
    "SELECT trim(hex(zeroblob({k})), '123456789abcdef0')",
)
LARGE_VALUES = (
    "SELECT zeroblob({k}000)",
    "SELECT hex(zeroblob({k}000))",
    "SELECT randomblob(2147483647)",
    "SELECT printf('%.*c', {k}000, 'x')",
    "SELECT printf('%{k}000d', 1)",
    "SELECT quote(zeroblob({k}))",
    "SELECT length(hex(hex(hex(hex(zeroblob({k}))))))",
    "SELECT group_concat(a.name || hex(zeroblob({h}))) FROM users a, users b, users c",
)
FUNCTIONS = (
    "load_extension('/tmp/x.so')", "load_extension('x', 'y')", "fts3_tokenizer('simple')",
    "fts3_tokenizer('a', x'00')", "writefile('{path}', 'x')", "readfile('/etc/passwd')",
    "edit('x', 'sh')", "sqlite_compileoption_get(-1)", "fts5(1)", "rtreecheck('users')",
    "sqlite_log(1, 'x')", "eval('DROP TABLE users')", "zipfile('x', 'y')",
)  # fmt: skip
EMPTY = ("", " ", "\n\t", ";", ";;", " ; ; ", "-- hi", "/* x */", "/* open", "--", "/**/;--\n;",
         "-- DROP TABLE users", "/* SELECT 1 */", "\f\r")  # fmt: skip
TWO = (
    "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE users", "SELECT 1;\n--\nDELETE FROM users;",
    "DROP TABLE users; SELECT 1", "SELECT ';' ; ATTACH 'x' AS y", "VALUES(1);VALUES(2)",
)  # fmt: skip
BROKEN = (
    "SELECT '", 'SELECT "', "SELECT [", "SELECT `", "SELECT", "I cannot do that.", "SELECT \0",
    "\ufeffSELECT 1 FROM", "SELECT '\ud800'", "SELECT ?", "SELECT :a", "\xa0", "SELECT * FROM",
    "SELECT nope FROM users", "SELECT * FROM no_such", "(SELECT 1)", "👾", "WITH x AS", "VALUES",
    "SELECT 1 FROM users WHERE nope(1)", "SELECT raise(abort, 'x')", "\x1b[2J",
)  # fmt: skip


def _write(pick: random.Random, path: str) -> str:
    return pick.choice(WRITES).format(t=pick.choice(NAMES), n=pick.randrange(99), path=path)


def _attach(pick: random.Random, path: str) -> str:
    target = pick.choice((path, ":memory:", "", "/etc/passwd", f"file:{path}?mode=rwc"))
    form = pick.choice(("ATTACH '{}' AS a{}", "ATTACH DATABASE '{}' AS a{}", "DETACH a{1} --{0}"))
    return form.format(target, pick.randrange(99))


def _pragma(pick: random.Random, path: str) -> str:
    pragma = pick.choice(PRAGMAS).format(n=pick.randrange(99))
    if pick.random() < 0.2:
        return f"SELECT * FROM pragma_{pragma.split('(')[0].split(' ')[0]}"
    return f"PRAGMA {pick.choice(('', 'main.', 'temp.'))}{pragma}"


def _bomb(pick: random.Random, path: str) -> str:
    return pick.choice(BOMBS).format(n=pick.randrange(1, 99))


def _cartesian(pick: random.Random, path: str) -> str:
    tables = [f"big b{n}" for n in range(pick.randrange(4, 40))]
    joined = pick.choice((", ", " JOIN ", " CROSS JOIN ", " NATURAL JOIN "))
    what = pick.choice(("count(*)", "*", "sum(b0.x)", "b0.x || b1.x", "DISTINCT b0.x + b1.x"))
    end = pick.choice(("", " WHERE b0.x = -1", " ORDER BY b1.x", " GROUP BY b0.x, b1.x, b2.x"))
    return f"SELECT {what} FROM {joined.join(tables)}{end}"


def _long_instruction(pick: random.Random, path: str) -> str:
    k = pick.randrange(300_000, 1_500_000)
    return pick.choice(LONG_INSTRUCTIONS).format(k=k, h=k // 2)


def _large_value(pick: random.Random, path: str) -> str:
    k = pick.randrange(100_000, 2_000_000)
    return pick.choice(LARGE_VALUES).format(k=k, h=k // 3)


def _literal(pick: random.Random, path: str) -> str:
    size = pick.choice((10_000, 90_000, 300_000, 2_000_000))
    return pick.choice((
        f"SELECT '{'x' * size}'",
        f"SELECT x'{'00' * (size // 2)}'",
        f"SELECT {'9' * size}",
        f"SELECT 1 WHERE 1 IN ({','.join('1' * (size // 4))})",
        f"SELECT {'a' * size} FROM users",
        f"SELECT 1 /*{'*' * size}*/",
        f"VALUES {','.join(['(1)'] * (size // 8))}",
        f"SELECT {', '.join(['zeroblob(3000000)'] * 1900)}",
        f"SELECT {', '.join('a' * 1900)} FROM (SELECT hex(zeroblob({size // 4})) AS a)",
    ))  # fmt: skip


def _nested(pick: random.Random, path: str) -> str:
    depth = pick.choice((50, 200, 2_000, 20_000))
    return pick.choice((
        f"SELECT {'(' * depth}1{')' * depth}",
        f"SELECT {'-' * depth}1",
        f"SELECT {'NOT ' * depth}1",
        f"SELECT {'+'.join(['1'] * depth)}",
        f"{'SELECT * FROM (' * depth}SELECT 1{')' * depth}",
        " UNION ALL ".join(["SELECT 1"] * depth),
        f"SELECT {'abs(' * depth}1{')' * depth}",
        f"SELECT {'CASE WHEN 1 THEN ' * depth}1{' END' * depth}",
        "WITH " + ", ".join(
            ["c0 AS (SELECT 1 x UNION ALL SELECT 2)"]
            + [f"c{n} AS (SELECT a.x FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 30)]
        ) + " SELECT count(*) FROM c29",
        f"SELECT json_extract('{'[' * depth}{']' * depth}', '$')",
    ))  # fmt: skip


def _function(pick: random.Random, path: str) -> str:
    return f"SELECT {pick.choice(FUNCTIONS).format(path=path)}"


def _one_of(texts: tuple[str, ...]) -> Callable[[random.Random, str], str]:
    return lambda pick, path: pick.choice(texts)


FAMILIES: dict[str, tuple[Callable[[random.Random, str], str], int]] = {
    "write": (_write, 6),
    "attach": (_attach, 3),
    "pragma": (_pragma, 3),
    "bomb": (_bomb, 3),
    "cartesian": (_cartesian, 3),
    "long_instruction": (_long_instruction, 1),
    "large_value": (_large_value, 2),
    "literal": (_literal, 2),
    "nested": (_nested, 3),
    "function": (_function, 2),
    "empty": (_one_of(EMPTY), 2),
    "two": (_one_of(TWO), 2),
    "broken": (_one_of(BROKEN), 2),
}
"""Family -> its generator, and its weight."""
NEVER_RUN = frozenset({"write", "attach", "pragma", "empty", "two", "broken"})
"""Families of which no statement may pass."""


def hostile_statements(count: int, seed: int, path: str) -> Iterator[tuple[str, str]]:
    """Yield (family, statement) pairs; `path` is a file that no statement may make."""
    pick = random.Random(seed)
    names = list(FAMILIES)
    weights = [FAMILIES[name][1] for name in names]
    for number in range(count):
        family = names[number] if number < len(names) else pick.choices(names, weights)[0]
        yield family, _disguised(pick, FAMILIES[family][0](pick, path), family)


def _disguised(pick: random.Random, sql: str, family: str) -> str:
    """Change capitals, and put comments, blanks and a semicolon around it."""
    if pick.random() < 0.3 and "'" not in sql and '"' not in sql:
        sql = "".join(pick.choice((c.upper(), c.lower())) for c in sql) if len(sql) < 999 else sql
    if pick.random() < 0.3:
        sql = pick.choice(("/* SELECT */ ", "-- SELECT 1\n", "\n\n", "; ", "/*;*/")) + sql
    if pick.random() < 0.3 and family not in ("empty", "broken"):
        sql += pick.choice((";", "; -- SELECT 1", " /* x */", "\n;\n"))
    return sql
