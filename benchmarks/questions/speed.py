"""Measure the time of a question on one core, without loading, for tables of 12 columns.

python benchmarks/questions/speed.py                      # 1,000 and 100,000 rows
python benchmarks/questions/speed.py --rows 200000 --profile
"""

import argparse
import cProfile
import pstats
import random
import time

import torch
from stillroom.inference.sources.find_model import find_model
from stillroom.understanding.answers.ask_table import TableAsker
from stillroom.understanding.ranker.encoder import Encoder
from stillroom.understanding.table.typed_table import typed_table

_SYLLABLES = ("ka", "lo", "mi", "ren", "tor", "sa", "vel", "du", "pan", "iri", "os", "bek")
_CITIES = ("Oslo", "Rome", "Bonn", "Lyon", "Graz", "Porto", "Turin", "Ghent")


def make_rows(count, seed=1):
    """Make rows like those of a shop: a name, a person, a few shared values, numbers, dates."""
    rng = random.Random(seed)

    def name(parts):
        return "".join(rng.choice(_SYLLABLES) for _ in range(parts)).title()

    return [
        {
            "name": f"{name(2)} {name(3)} {number}", "owner": f"{name(2)} {name(3)}",
            "city": rng.choice(_CITIES), "price": f"{rng.randint(100, 99999) / 100:.2f} €",
            "weight": f"{rng.randint(1, 900)} kg", "colour": rng.choice(("red", "blue", "green")),
            "opened": f"{rng.randint(1950, 2024)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            "stock": str(rng.randint(0, 500)), "vegan": rng.choice(("yes", "no")),
            "rating": f"{rng.randint(10, 50) / 10}", "grade": rng.choice("ABCDE"),
            "notes": f"{name(2)} {name(2)} {name(3)}",
        }
        for number in range(count)
    ]  # fmt: skip


def questions_of(rows, seed=2):
    """Ask of single records, of groups, and of all rows."""
    rng = random.Random(seed)
    one, two, three = rng.sample(rows, 3)
    return [
        f"what is the price of {one['name']}?", f"who owns {two['name']}", "which is the oldest",
        f"how heavy is {three['name']} and is it vegan", "average weight in Oslo",
        "which city has the most", "how many are red and under 50 euro", "the cheapest blue one",
        "is there a vegan one in Rome?", "how many opened after 1990", "total stock in Lyon",
        f"is {one['name']} more expensive than {two['name']}?",
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 100_000])
    parser.add_argument("--encoder", default="minilm", help="none for words alone")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = None if args.encoder == "none" else Encoder(find_model(args.encoder))
    for count in args.rows:
        rows = make_rows(count)
        asked = questions_of(rows)
        began = time.perf_counter()
        asker = TableAsker(typed_table(rows), encoder=encoder)
        asker.ask(asked[0])
        loaded = time.perf_counter() - began
        walls, cores = [], []
        for question in asked:
            wall, core = time.perf_counter(), time.process_time()
            asker.ask(question)
            walls.append(time.perf_counter() - wall)
            cores.append(time.process_time() - core)
        walls.sort()
        cores.sort()
        middle = len(asked) // 2
        print(
            f"{count:,} rows, {len(rows[0])} columns: median {1000 * walls[middle]:.0f} ms a "
            f"question ({1000 * cores[middle]:.0f} ms of the core), longest "
            f"{1000 * walls[-1]:.0f} ms ({1000 * cores[-1]:.0f}); loading {loaded:.1f} s"
        )
        if args.profile:
            profile = cProfile.Profile()
            profile.enable()
            for question in asked:
                asker.ask(question)
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
