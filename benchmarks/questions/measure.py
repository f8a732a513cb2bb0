"""Measure the share of people's questions that is answered right.

    python benchmarks/questions/measure.py                  # six tables, 150 questions; elements
    python benchmarks/questions/measure.py --wiki 400       # and WikiTableQuestions, dev
    python benchmarks/questions/measure.py --wiki 400 --train 3000   # trained on its train split

The last command trains from answers only: a plan counts as right if its answer is right.
"""

import argparse
import csv
import random
from collections import Counter
from pathlib import Path

import torch
from stillroom.inference.sources.find_model import find_model
from stillroom.understanding.answers.ask_table import GENERAL, TableAsker
from stillroom.understanding.practice.practice_examples import known_words
from stillroom.understanding.ranker.encoder import Encoder
from stillroom.understanding.ranker.features import take_apart
from stillroom.understanding.ranker.ranking import AskedTable, load_ranker, rank
from stillroom.understanding.ranker.train_ranker import Example, train_ranker
from stillroom.understanding.table.same_value import same_value
from stillroom.understanding.table.typed_table import typed_table
from stillroom.understanding.table.values import quantities
from tqdm import tqdm
from wikitablequestions import is_right, read_questions, read_records

HERE = Path(__file__).resolve().parent
SUREST = (0.1, 0.15, 0.2, 0.4)
MOST = 1200
"""Plans of a question that are trained on."""


def own_rows(asker_of):
    """Ask the six tables: each question, its answer when forced, and as it is told."""
    for path in sorted((HERE / "tables").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            mark = ";" if ";" in file.readline() else ","
            file.seek(0)
            table = typed_table(list(csv.DictReader(file, delimiter=mark)), name=path.stem)
        asker, before = asker_of(table), {}
        with (HERE / "asked" / path.name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                context = before.get(row["thread"])
                guess = asker.ask(row["question"], context, always=True)
                told = asker.ask(row["question"], context)
                if row["thread"]:
                    before[row["thread"]] = guess.context
                yield row, guess, told, table


def own_counts(asker_of, shown=False):
    """Count the own questions: right when forced; right, wrong and withheld when not; of each."""
    forced = right = wrong = withheld = asked = empty = 0
    for row, guess, told, table in own_rows(asker_of):
        answerable = row["verdict"] == "answered"
        good = answerable and gives(guess.answer, row["answer"], table.columns[0].decimal)
        answered = told.verdict == "answered"
        asked += answerable
        empty += not answerable
        forced += good
        right += good and answered
        wrong += answered and not good
        withheld += not answerable and not answered
        if shown:
            mark = "right" if good else "wrong" if answerable else "absent"
            print(f"{mark} {told.verdict} {told.confidence:.2f} | {row['question']} | "
                  f"{row['answer']} | {'; '.join(guess.answer)[:80]} | {guess.plan}")  # fmt: skip
    return forced, right, wrong, withheld, asked, empty


def own_questions(asker_of, shown=False):
    """Print how many of the own questions are right when forced, and with verdicts."""
    forced, right, wrong, withheld, asked, empty = own_counts(asker_of, shown)
    print(
        f"own tables: {forced} of {asked} right if forced; answered right {right}, "
        f"wrong {wrong}; {withheld} of {empty} rightly withheld"
    )


def elements(asker_of):
    """Print how often the right column of the elements is first, and how often none is claimed."""
    with (HERE.parents[1] / "examples" / "data" / "elements.csv").open(encoding="utf-8") as file:
        table = typed_table(list(csv.DictReader(file)), name="elements")
    asker = asker_of(table)
    meant = _rows("elements_columns.csv")
    right = sum(row["column"] in _asked_for(asker, table, row["question"]) for row in meant)
    absent = _rows("elements_absent.csv")
    withheld = sum(asker.ask(row["question"]).verdict != "answered" for row in absent)
    print(f"elements: right column first for {right} of {len(meant)}; "
          f"{withheld} of {len(absent)} absent facts withheld")  # fmt: skip


def _rows(name):
    with (HERE / "asked" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _asked_for(asker, table, question):
    """Give the column of the likeliest plan; of one without a column, those of its conditions."""
    known = [one.candidate for one in asker.read(question).readings if one.candidate]
    parts = take_apart(known[0].plan)
    held = [parts.order, *(one.column for one in parts.conditions)]
    columns = held if parts.target is None else [parts.target]
    return {table.columns[number].name for number in columns if number is not None}


def gives(values, answer, decimal):
    """Tell whether these are the wanted values; a bare number is met without its unit."""
    wanted = [{"ja": "yes", "nein": "no"}.get(one, one) for one in answer.split(";")]
    if same_value(", ".join(values), ", ".join(wanted)):
        return True
    return len(values) == len(wanted) and all(
        any(same_value(value, one) or _as_number(value, one, decimal) for value in values)
        for one in wanted
    )


def _as_number(one, other, decimal):
    found = quantities(one, decimal), quantities(other, decimal)
    if len(found[0]) != 1 or len(found[1]) != 1:
        return False
    mine, its = found[0][0], found[1][0]
    return abs(mine.number - its.number) <= 1e-6 * max(1.0, abs(mine.number))


def wiki_questions(ranker, common, encoder, count):
    """Ask WikiTableQuestions and print the share that is right, in all and of the surest."""
    results, causes = [], Counter()
    for asked, question, candidates, answers in _asked("dev", count, common, encoder):
        readings = rank(ranker, asked.see(question, candidates), candidates)
        known = [one for one in readings if one.candidate is not None]
        right = [one for one in known if is_right(one.candidate.answer.values, answers)]
        good = bool(right) and right[0] is known[0]
        results.append((known[0].probability if known else 0.0, good, bool(right)))
        if not good:
            causes[cause(known, right)] += 1
    results.sort(key=lambda one: -one[0])

    def share(part):
        return sum(one[1] for one in part) / max(1, len(part))

    surest = ", ".join(f"{f:.0%}: {share(results[: int(f * len(results))]):.3f}" for f in SUREST)
    listed = sum(one[2] for one in results) / len(results)
    told = ", ".join(f"{name} {number}" for name, number in causes.most_common())
    print(f"what is wrong with the {sum(causes.values())} others: {told}")
    print(
        f"WikiTableQuestions dev, {len(results)}: right {share(results):.3f}; "
        f"of the surest {surest}; listed {listed:.3f}"
    )


def cause(known, right):
    """Say in what the reading that was chosen differs from the likeliest right one."""
    if not right:
        return "no plan with the answer is listed"
    mine, its = take_apart(known[0].candidate.plan), take_apart(right[0].candidate.plan)
    if mine.outer != its.outer:
        return "what is done (count, cell, sum, ...)"
    if mine.target != its.target:
        return "which column is asked for"
    if (mine.of, mine.order) != (its.of, its.order):
        return "which row of several, or by which column"
    return "which rows"


def train_on_answers(start, count, common, epochs):
    """Train a student on questions of the train split whose answers alone are known."""
    rng, examples = random.Random(3), []
    for asked, question, candidates, answers in _asked("train", count, common, start.reader):
        right = [is_right(one.answer.values, answers) for one in candidates]
        order = sorted(range(len(candidates)), key=lambda n: (not right[n], rng.random()))[:MOST]
        kept = [candidates[n] for n in order]
        seen = asked.see(question, kept)
        examples.append(Example(seen, torch.tensor([*(right[n] for n in order), False])))
    ranker, _ = train_ranker(
        examples, encoder=start.reader, start=start, epochs=epochs,
        watch=lambda steps: tqdm(steps, "training", mininterval=10),
    )  # fmt: skip
    return ranker


def _asked(split, count, common, encoder):
    questions = read_questions(split)
    random.Random(7).shuffle(questions)
    last, asked = None, None
    chosen = sorted(questions[:count], key=lambda one: one[1])
    for text, table, answers in tqdm(chosen, split, mininterval=10):
        if table != last:
            asked = AskedTable(
                typed_table(read_records(table), name=table), encoder, common, known_words()
            )
            last = table
        yield asked, *asked.read(text), answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", default=GENERAL, help="folder; default: that of the package")
    parser.add_argument("--encoder", default="minilm", help="none for words alone")
    parser.add_argument("--wiki", type=int, default=0, help="questions of WikiTableQuestions, dev")
    parser.add_argument("--train", type=int, default=0, help="train on so many of its questions")
    parser.add_argument("--show", action="store_true", help="print each of the own questions")
    parser.add_argument("--epochs", type=int, default=3, help="of that training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = None if args.encoder == "none" else Encoder(find_model(args.encoder))
    own_questions(lambda table: TableAsker(table, student=args.student, encoder=encoder), args.show)
    elements(lambda table: TableAsker(table, student=args.student, encoder=encoder))
    ranker, common, _ = load_ranker(args.student, encoder)
    if args.train:
        ranker = train_on_answers(ranker, args.train, common, args.epochs)
    if args.wiki:
        wiki_questions(ranker, common, encoder, args.wiki)


if __name__ == "__main__":
    main()
