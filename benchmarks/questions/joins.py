"""Count the questions over several tables that are answered right, wrong, or not at all.

python benchmarks/questions/joins.py            # the project's own database, and Chinook
python benchmarks/questions/joins.py bike_repairs --show
"""

import argparse
import csv
import sqlite3
import time
from pathlib import Path

import torch
from stillroom.data.readers.database_tables import read_database
from stillroom.inference.sources.find_model import find_model
from stillroom.understanding.answers.ask_database import DatabaseAsker
from stillroom.understanding.ranker.encoder import Encoder
from stillroom.understanding.table.same_value import same_value
from stillroom.understanding.table.values import quantities, words

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"
DATABASES = {
    "bike_repairs": HERE / "tables" / "bike_repairs",
    "chinook": SHARED / "chinook" / "Chinook_Sqlite.sqlite",
}


def as_sqlite(tables):
    """Put tables into SQLite, where the SQL of the questions gives the answers."""
    connection = sqlite3.connect(":memory:")
    for table in tables:
        names = ", ".join(f'"{name}"' for name in table.columns)
        connection.execute(f'CREATE TABLE "{table.name}" ({names})')
        connection.executemany(
            f'INSERT INTO "{table.name}" VALUES ({", ".join("?" * len(table.columns))})',
            [[_plain(record.get(name)) for name in table.columns] for record in table.records],
        )
    return connection


def _plain(value):
    try:
        return None if value is None else float(value) if "." in str(value) else int(value)
    except (TypeError, ValueError):
        return str(value)


def wanted(connection, sql):
    """Give the answers of a question: the cells of each row, joined."""
    rows = connection.execute(sql).fetchall()
    return [" ".join(str(cell) for cell in row if cell is not None) for row in rows]


def is_right(values, answers):
    """Tell whether these are the wanted answers, in any order, each once."""
    answers = list(dict.fromkeys(answers))
    return len(values) == len(answers) and all(
        any(_same(value, answer) for value in values) for answer in answers
    )


def _same(one, other):
    if same_value(one, other) or sorted(words(one)) == sorted(words(other)):
        return True
    found = quantities(one), quantities(other)
    if len(found[0]) != 1 or len(found[1]) != 1:
        return False
    mine, its = found[0][0].number, found[1][0].number
    return abs(mine - its) <= 5e-5 * max(1.0, abs(its))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", nargs="*", default=list(DATABASES))
    parser.add_argument("--encoder", default="minilm", help="none for words alone")
    parser.add_argument("--show", action="store_true", help="print what is not right")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = None if args.encoder == "none" else Encoder(find_model(args.encoder))
    for name in args.databases:
        tables = read_database(DATABASES[name])
        asker, connection = DatabaseAsker(tables, encoder=encoder), as_sqlite(tables)
        forced = right = wrong = withheld = listed = empty = 0
        times = []
        with (HERE / "asked" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            asked = list(csv.DictReader(file))
        for row in asked:
            began = time.perf_counter()
            told = asker.ask(row["question"])
            times.append(time.perf_counter() - began)
            guess = told if told.verdict == "answered" else asker.ask(row["question"], always=True)
            answers = wanted(connection, row["sql"]) if row["sql"] else []
            good = bool(row["sql"]) and is_right(guess.answer, answers)
            there = any(is_right(values, answers) for _, values, _ in guess.readings)
            answered = told.verdict == "answered"
            empty += not row["sql"]
            listed += there and bool(row["sql"])
            forced += good
            right += good and answered
            wrong += answered and not good
            withheld += not row["sql"] and not answered
            if args.show and not good and (answered or row["sql"]):
                print(f"{row['n']:>3} {row['question']}\n    wanted {answers[:4]} "
                      f"{'' if there else '(not among the first) '}\n    {told.verdict} "
                      f"{guess.confidence:.2f} {guess.answer[:4]}: {guess.plan} "
                      f"[{guess.tables[0].joined if guess.tables else ''}]")  # fmt: skip
        times.sort()
        print(
            f"{name}: {forced} of {len(asked) - empty} right if forced, {listed} among the "
            f"first readings; answered right {right}, wrong {wrong}; {withheld} of {empty} "
            f"rightly withheld; median {1000 * times[len(times) // 2]:.0f} ms a question"
        )


if __name__ == "__main__":
    main()
