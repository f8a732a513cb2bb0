"""Read every file of the public test suites, and compare the outcome with the expected one.

    python benchmarks/loader_verdicts.py             # one line per file, then totals
    python benchmarks/loader_verdicts.py --brief     # totals and surprises only

The exit code is 1 if an outcome is unexpected. The suites are in ../shared/data (see its README).
Every file is opened in a child process with limits on time and memory, because some are made to
exhaust a reader. The expected outcomes come from the suites, not from our reader: JSON files next
to the CSV files, `*_expect.csv`, names (`y_`, `n_`), the record counts of `files.csv`, and Python's
own csv module in strict mode.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import io
import json
import multiprocessing
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pandas._libs.parsers import STR_NA_VALUES
from stillroom.data.readers.json.stream import parse_json
from stillroom.data.readers.read_table import iter_records
from stillroom.errors import DataError, EmptyDataError

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SUITES = (
    "csv-spectrum",
    "commons-csv-files",
    "papaparse-files",
    "csvkit-examples",
    "csvjl-testfiles",
    "json-test-suite",
    "parquet-testing",
    "wikitablequestions",
)
HARMLESS = ("wikitablequestions",)
"""Suites of plain tables, which need no process of their own."""
TIME_LIMIT_S = 60
MEMORY_LIMIT_BYTES = 6 << 30
SEPARATORS = {
    "comma": ",",
    "tab": "\t",
    "semicolon": ";",
    "pipe": "|",
    "one column": ",",
    "space": ",",
}
TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".wsv", ".csv.gz", ".TXt.gz", ".bz2")
MARKS = {"\\N", *STR_NA_VALUES} - {""}
"""Cells that are null besides the empty one: what pandas takes for it, and what databases write."""
ENCODINGS = {
    "test_latin1.csv": "latin-1",
    "test_utf16.csv": "utf-16-le",
    "test_utf16_le.csv": "utf-16-le",
    "test_utf16_be.csv": "utf-16-be",
}
"""What files without a byte-order mark are written in, as their names say."""
INVISIBLE: dict[int, str | None] = {0xFEFF: None, 0x200B: None, 0x2060: None, 0xAD: None, 0xA0: " "}
"""What is taken off the names of columns."""
WITHOUT_HEADER = {"long-sample.csv": 8, "test_no_header.csv": 3}
"""Files whose first line is a record, seen by eye -> number of records."""
Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Expected:
    """What the suite says of a file."""

    verdicts: tuple[str, ...] = ("read", "refused")
    records: int | None = None
    content: Records | None = None
    row: int | None = None
    """Record that a refusal has to name."""
    why: str = ""


@dataclass(frozen=True)
class Job:
    """One file read in one way."""

    suite: str
    file: str
    expect: Callable[[Path], Expected]
    options: dict[str, Any] = field(default_factory=dict)
    parse_only: bool = False

    @property
    def path(self) -> Path:
        return DATA / self.suite / self.file

    @property
    def shown(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return (
            self.file + (f" [{given}]" if given else "") + (" (parse)" if self.parse_only else "")
        )


@dataclass(frozen=True)
class Outcome:
    verdict: str
    records: int | None = None
    reason: str = ""
    surprise: str = ""


# --- what the suites expect
# ------------------------------------------------------------------------------------------


def raw_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return bz2.decompress(data) if path.suffix == ".bz2" else data


def csv_oracle(path: Path, separator: str, **dialect: Any) -> Expected:  # noqa: ANN401
    """Read with Python's csv module, strictly, and say what a reader that loses nothing must do."""
    data = raw_bytes(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    encoding = ENCODINGS.get(path.name, encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return Expected(("refused",), why=f"not {encoding}")
    if "\0" in text:
        return Expected(("refused",), why="NUL characters")
    header: list[str] = []
    content: list[list[str | None]] = []
    try:
        lines = io.StringIO(text, newline="")
        for cells in csv.reader(lines, delimiter=separator, strict=True, **dialect):
            if not cells or (len(cells) == 1 and cells[0].isspace()):
                continue
            if not header:
                header = cells
                continue
            surplus, lacking = cells[len(header) :], header[len(cells) :]
            if any(surplus) or any(lacking):
                why = f"{len(cells)} cells under {len(header)}"
                return Expected(("refused",), row=len(content) + 1, why=why)
            content.append(
                [None if is_nothing(c) else c for c in cells[: len(header)]] + [None] * len(lacking)
            )
    except csv.Error as fault:
        row = len(content) + 1 if header else None
        return Expected(("refused",), row=row, why=f"csv module: {fault}")
    if not header:
        return Expected(("refused",), why="nothing in it")
    names = unique_names(header)
    return Expected(
        ("read",), len(content), [dict(zip(names, cells, strict=True)) for cells in content]
    )


def is_nothing(cell: str) -> bool:
    return not cell or cell.strip(" ") in MARKS


def unique_names(header: list[str]) -> list[str]:
    """Name columns as csv_reader documents it, in the plainest way."""
    names: list[str] = []
    for position, cell in enumerate(header, 1):
        if cell != (clean := cell.translate(INVISIBLE)):
            cell = clean.strip()
        base = cell if cell.strip() else f"column_{position}"
        tries = [base] + [f"{base}.{n}" for n in range(2, len(header) + 2)]
        names.append(next(t for t in tries if t not in names and (t == cell or t not in header)))
    return names


def spectrum_expectation(path: Path) -> Expected:
    if path.suffix == ".json":
        value = json.loads(path.read_text(encoding="utf-8"))
        records = value if isinstance(value, list) else [value]
        return Expected(("read",), len(records), records)
    beside = path.parent.parent / "json" / f"{path.stem}.json"
    value = json.loads(beside.read_text(encoding="utf-8"))
    records = value if isinstance(value, list) else [value]
    if path.name == "location_coordinates.csv":
        # The suite's own two files differ: in the JSON the telephone number is made anonymous.
        records[0]["Contact Phone Number"] = "2095257564"
    text = path.read_bytes()
    for record in records:
        for name, value in record.items():
            # At this commit the CRLF files have LF only; an empty cell is our null.
            value = value if b"\r" in text else value.replace("\r\n", "\n")
            record[name] = value or None
    return Expected(("read",), len(records), records)


def json_suite_expectation(path: Path) -> Expected:
    verdicts = {"y": ("read",), "n": ("refused",)}.get(path.name[0], ("read", "refused"))
    return Expected(verdicts, why=f"{path.name[:2]} file")


def parquet_expectation(result: str) -> Callable[[Path], Expected]:
    def expect(path: Path) -> Expected:
        if "checksum verification" in result or "open:" in result or "read:" in result:
            return Expected(("refused",), why=result)
        rows = int(result.split(" rows", 1)[0])
        if path.name.startswith("int96_from_spark"):
            return Expected(("refused",), row=6, why="year 290000 overflowed when it was written")
        beside = path.with_name(f"{path.stem}_expect.csv")
        if beside.exists():
            # The two files differ in blanks and colons around the names.
            clean = [{k.strip(): v for k, v in row.items()} for row in expected_csv(beside)]
            return Expected(("read",), rows, clean)
        return Expected(("read",), rows, simple_parquet(path, result))

    return expect


def expected_csv(path: Path) -> Records:
    with open(path, encoding="utf-8", newline="") as lines:
        return [{k: v or None for k, v in row.items()} for row in csv.DictReader(lines)]


def simple_parquet(path: Path, result: str) -> Records | None:
    """Give the records as pyarrow has them, where all values are of plain types."""
    import pyarrow.parquet as pq

    if "to Python values" in result:
        return None
    records: Records = pq.read_table(path).to_pylist()
    plain = all(type(v) in (int, str, bool, type(None)) for r in records for v in r.values())
    return records if plain else None


def listed_expectation(result: str) -> Callable[[Path], Expected]:
    """Use what `files.csv` says Python's csv module makes of a file."""

    def expect(path: Path) -> Expected:
        if path.suffix == ".xlsx":
            return Expected(("read",), why=result)
        if any(word in result for word in ("workbook", "dBase", "empty (0 bytes)")):
            return Expected(("refused",), why=result)
        if path.suffix == ".json":
            return Expected(("read",), why=result)
        if "records" not in result or not path.name.endswith(TABLE_ENDINGS):
            return Expected(why=result)
        separator = next(SEPARATORS[name] for name in SEPARATORS if f" {name}," in result)
        return csv_oracle(path, separator)

    return expect


def table_of(*, records: int, first: dict[str, Any] | None = None) -> Callable[[Path], Expected]:
    """Expect a number of records and the first of them, from reading the file by eye."""
    return lambda _: Expected(("read",), records, None if first is None else [first])


def refused_at(row: int) -> Callable[[Path], Expected]:
    return lambda _: Expected(("refused",), row=row)


def converted(name: str, rename: str = ".") -> Callable[[Path], Expected]:
    """Expect the records of a `*_converted.csv` file, of which only the values are compared."""

    def expect(path: Path) -> Expected:
        rows = expected_csv(path.with_name(name))
        return Expected(
            ("read",), len(rows), [{k.replace("/", rename): v for k, v in r.items()} for r in rows]
        )

    return expect


# --- jobs
# -------------------


def listed_files(suite: str) -> Iterator[tuple[str, str]]:
    folder = DATA / suite
    listing = folder / "files.csv"
    if listing.exists():
        with open(listing, encoding="utf-8", newline="") as lines:
            yield from ((row["file"], row["result"]) for row in csv.DictReader(lines))
    else:
        for line in (folder / "README.md").read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) > 2 and (folder / cells[0]).is_file():
                yield cells[0], cells[2]


def escaped_expectation(path: Path) -> Expected:
    """Quotes inside cells are escaped by a backslash, says the suite."""
    return csv_oracle(path, ",", escapechar="\\", doublequote=False)


def jobs_of(suite: str) -> Iterator[Job]:
    if suite == "wikitablequestions":
        for path in sorted((DATA / suite / "csv").rglob("*.csv")):
            yield Job(suite, str(path.relative_to(DATA / suite)), escaped_expectation)
        return
    for file, result in listed_files(suite):
        if file in WITHOUT_HEADER:
            yield Job(suite, file, table_of(records=WITHOUT_HEADER[file]))
        elif suite == "csv-spectrum":
            yield Job(suite, file, spectrum_expectation)
        elif suite == "json-test-suite":
            yield Job(suite, file, json_suite_expectation, parse_only=True)
            yield Job(suite, file, lambda _: Expected())
        elif suite == "parquet-testing" and ".parquet" in file and not file.endswith(".json"):
            yield Job(suite, file, parquet_expectation(result))
        else:
            yield Job(suite, file, listed_expectation(result))
    for file, options, expect in WITH_OPTIONS.get(suite, ()):
        yield Job(suite, file, expect, options)


_READER = {
    "text": "Chicago Reader",
    "date": "1971-01-01",
    "integer": "40",
    "boolean": "True",
    "float": "1",
    "datetime": "1971-01-01T04:14:00",
}
_ABC = {"a": "1", "b": "2", "c": "3"}
_HASH: dict[str, Any] = {"comment": "#"}
_BACKSLASH: dict[str, Any] = {"escape": "\\"}
_PLAIN_QUOTES = {"header": False, "quote": None, "ragged": "pad"}
_NULLS = {"null_values": ("NA", "N/A", "NONE", "NULL", ".")}
_PADDED = {**_BACKSLASH, "ragged": "pad", "skip_initial_space": True}
WITH_OPTIONS: dict[str, tuple[tuple[str, dict[str, Any], Callable[[Path], Expected]], ...]] = {
    "commons-csv-files": (
        ("CSVFileParser/test.csv", _HASH, refused_at(3)),
        ("CSVFileParser/testCSV85.csv", _HASH, table_of(records=2)),
        ("CSVFileParser/testCSV246.csv", _HASH, table_of(records=2)),
        ("csv-167/sample1.csv", _HASH, table_of(records=3)),
        ("CSV-290/psql.tsv", {"header": False, "null_values": ("\\N",)}, table_of(records=3)),
        ("CSV-290/psql.csv", {"header": False}, table_of(records=3)),
        ("CSV-141/csv-141.csv", _PLAIN_QUOTES, table_of(records=4)),
    ),
    "csvkit-examples": (
        ("bad.csv", {"ragged": "pad"}, refused_at(1)),
        ("bad.csv", {"ragged": "keep"}, table_of(records=3)),
        ("blanks.csv", _NULLS, converted("blanks_converted.csv")),
        ("join_a_short.csv", {"ragged": "pad"}, table_of(records=3)),
        ("no_header_row.csv", {"header": False}, table_of(records=1)),
        ("test_latin1.csv", {"encoding": "latin-1"}, table_of(records=2, first=_ABC)),
        ("test_skip_lines.csv", {"skip_lines": 3}, table_of(records=1, first=_ABC)),
        ("dummy.xlsx", {}, table_of(records=1, first=_ABC)),
        ("test.xlsx", {}, table_of(records=5, first=_READER)),
        ("sheets.xlsx", {"sheet": "data"}, table_of(records=5, first=_READER)),
        ("sheets.xlsx", {"sheet": "\u02a4"}, table_of(records=1, first=_ABC)),
        ("test_skip_lines.xlsx", {"skip_lines": 3}, table_of(records=5, first=_READER)),
        ("testjson.json", {}, converted("testjson_converted.csv")),
        ("testjson_multiline.json", {}, converted("testjson_multiline_converted.csv")),
        ("testjson_nested.json", {"flatten": True}, converted("testjson_nested_converted.csv")),
    ),
    "csvjl-testfiles": (
        ("error_comment.txt", _HASH, table_of(records=8)),
        ("test_comments1.csv", _HASH, table_of(records=2, first=_ABC)),
        ("test_comments_multichar.csv", {"comment": "//"}, table_of(records=2, first=_ABC)),
        ("test_comments_multiple.csv", _HASH, table_of(records=4, first=_ABC)),
        ("test_comment_first_row.csv", _HASH, table_of(records=2, first=_ABC)),
        ("test_508.csv", {"comment": "#", "header": False}, table_of(records=6)),
        ("test_utf16_le.csv", {"encoding": "utf-16-le"}, table_of(records=3)),
        ("test_utf16_be.csv", {"encoding": "utf-16-be"}, table_of(records=3)),
        ("test_utf16.csv", {"encoding": "utf-16-le"}, table_of(records=3)),
        ("test_delim.wsv", {"sep": " "}, table_of(records=3)),
        ("test_missing_last_column.csv", {"ragged": "pad"}, table_of(records=2)),
        ("test_not_enough_columns.csv", {"ragged": "pad"}, table_of(records=2)),
        ("escaped_pooled.csv", {"header": False}, table_of(records=2)),
        ("test_quoted_delim_multiple_newlines.csv", _BACKSLASH, refused_at(6)),
        ("test_quoted_delim_multiple_newlines.csv", _PADDED, table_of(records=9)),
        ("groupmark_space.csv", {"sep": " "}, table_of(records=2)),
        ("test_missing_value_NULL.csv", {"null_values": ("NULL",)}, table_of(records=3)),
    ),
}  # fmt: skip


# --- reading, in a child process
# -------------------------------------------------------------------------------------


def read_job(job: Job) -> Outcome:
    try:
        expected = job.expect(job.path)
    except Exception as fault:  # noqa: BLE001 - an oracle that fails is a surprise, not a crash
        return Outcome("?", surprise=f"the oracle failed: {fault!r}")
    try:
        if job.parse_only:
            parse_json(job.path.read_bytes(), job.path)
            records: Records = []
        else:
            records = list(iter_records(job.path, **job.options))
    except (DataError, EmptyDataError) as fault:
        reason = str(fault).removeprefix(f"{job.path}, ").removeprefix(f"{job.path}: ")
        return Outcome("refused", None, reason, surprise_of_refusal(expected, fault, job.path))
    except Exception as fault:  # noqa: BLE001 - what the script is there to find
        return Outcome("crashed", None, repr(fault), "an exception that is no DataError")
    count = None if job.parse_only else len(records)
    return Outcome("read", count, "", surprise_of_reading(expected, records, job.parse_only))


def surprise_of_refusal(expected: Expected, fault: DataError, path: Path) -> str:
    if "refused" not in expected.verdicts:
        return f"expected to be read {expected.why}"
    if str(path) not in str(fault):
        return "the message does not name the file"
    if expected.row is not None and fault.row != expected.row:
        return f"expected row {expected.row} to be named ({expected.why})"
    return ""


def surprise_of_reading(expected: Expected, records: Records, parse_only: bool) -> str:
    if "read" not in expected.verdicts:
        return f"expected to be refused: {expected.why}"
    if parse_only:
        return ""
    if expected.records is not None and len(records) != expected.records:
        return f"expected {expected.records} records"
    for number, (want, got) in enumerate(zip(expected.content or [], records, strict=False), 1):
        want, got = ({n.rstrip(":"): v for n, v in side.items()} for side in (want, got))
        missing = [k for k, v in want.items() if not same(v, got.get(k))]
        if missing or any(v not in (None, "", []) for k, v in got.items() if k not in want):
            name = missing[0] if missing else "?"
            return f"record {number}, {name!r}: {want.get(name)!r} became {got.get(name)!r}"
    return ""


def same(want: Any, got: Any) -> bool:  # noqa: ANN401 - cells
    """Compare a cell with the suite's, which writes numbers and times in its own ways."""
    if want == got and type(want) is type(got):
        return True
    if want in (None, "") or got in (None, ""):
        return want in (None, "") and got in (None, "")
    if isinstance(want, str) and not isinstance(got, str):
        if isinstance(got, bool):
            return want.lower() == str(got).lower()
        return isinstance(got, (int, float)) and float(want) == float(got)
    return isinstance(got, str) and isinstance(want, str) and got.lstrip("0") == want.lstrip("0")


def child(job: Job, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    try:
        pipe.send(read_job(job))
    except MemoryError:
        pipe.send(Outcome("crashed", surprise="the memory ran out"))


def run(job: Job) -> Outcome:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(job, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(TIME_LIMIT_S):
            return Outcome("hung", surprise=f"no answer after {TIME_LIMIT_S} s")
        outcome: Outcome = receiver.recv()
    except EOFError:
        process.join()
        return Outcome("crashed", surprise=f"the process died with exit code {process.exitcode}")
    finally:
        if process.is_alive():
            process.join(0.5)
        process.kill()
        process.join()
    return outcome


def main() -> int:
    import logging

    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    logging.disable()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brief", action="store_true", help="print totals and surprises only")
    parser.add_argument("--suite", choices=SUITES, action="append", help="only this suite")
    arguments = parser.parse_args()
    totals: dict[str, Counter[str]] = {}
    for suite in arguments.suite or SUITES:
        if not (DATA / suite).is_dir():
            print(f"shared data not found: ../shared/data/{suite}")
            continue
        counts = totals[suite] = Counter()
        for job in jobs_of(suite):
            outcome = read_job(job) if suite in HARMLESS else run(job)
            counts.update((outcome.verdict, "surprises" if outcome.surprise else "as expected"))
            if outcome.surprise or not arguments.brief:
                count = "" if outcome.records is None else f"{outcome.records} records"
                mark = f"  <-- SURPRISE: {outcome.surprise}" if outcome.surprise else ""
                line = (
                    f"{suite}/{job.shown}  {outcome.verdict}  {count or outcome.reason[:110]}{mark}"
                )
                print(line.encode("utf-8", "backslashreplace").decode())
    print(
        f"\n{'suite':<20} {'read':>6} {'refused':>8} {'crashed':>8} {'hung':>5} {'surprises':>10}"
    )
    for suite, counts in totals.items():
        numbers = [counts[name] for name in ("read", "refused", "crashed", "hung", "surprises")]
        print("{:<20} {:>6} {:>8} {:>8} {:>5} {:>10}".format(suite, *numbers))
    return int(any(counts["surprises"] for counts in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
