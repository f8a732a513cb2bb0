"""Make the general student that comes with the package, from tables of the project's own making.

    python benchmarks/questions/make_general_student.py --tables 900

It is trained on two kinds of questions: questions from templates about generated tables, and
questions that a large language model wrote one by one (`written.py`). It needs the encoder
(`stillroom models add minilm`) and about three hours on one core. The result is written to
src/understanding/general_student. One domain of nine and one written table of nine are held out;
the thresholds are chosen on the questions of the latter.
"""

import argparse
import time
import zlib
from pathlib import Path

import torch
from stillroom.inference.sources.find_model import find_model
from stillroom.understanding.practice.domains import all_domains
from stillroom.understanding.practice.practice_examples import (
    common_words,
    known_words,
    leaning_words,
    practice_examples,
)
from stillroom.understanding.ranker.calibrate import scores_of, temperature_of, threshold_of
from stillroom.understanding.ranker.encoder import Encoder
from stillroom.understanding.ranker.ranking import load_adapter, load_ranker, save_ranker
from stillroom.understanding.ranker.train_ranker import train_ranker
from tqdm import tqdm
from written import all_names, likeliest, written_examples

TARGET = Path(__file__).resolve().parents[2] / "src" / "understanding" / "general_student"
APART = 9
TAKEN = 0.15
"""Share of the written questions that are asked again of a table that cannot answer them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=900)
    parser.add_argument("--each", type=int, default=12, help="questions a table")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--go-on", type=Path, help="a student whose training goes on")
    parser.add_argument("--examples", type=Path, help="keep the made examples in this file")
    parser.add_argument("--output", type=Path, default=TARGET)
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    encoder = Encoder(find_model(args.encoder))
    common = common_words(0)
    made, apart = make_examples(args, encoder, common)
    written, asked = hand_written(args, encoder, common)
    kept = made + written
    print(f"{len(made):,} made and {len(written):,} written questions")
    print(f"{len(apart)} and {len(asked)} apart, {minutes(began)}")

    def watch(steps):
        return tqdm(steps, "training", mininterval=10)

    told = {"encoder": args.encoder, "questions": len(made), "written": len(written),
            "tables": args.tables, "seed": args.seed, "known": sorted(known_words()),
            "leaning": sorted(leaning_words())}  # fmt: skip
    start, before = None, None
    if args.go_on:
        # The ranker that sees words alone is taken over: from written questions it learned to say
        # that a table cannot answer where it can.
        lexical, _, settings = load_ranker(args.go_on)
        told["without encoder"] = settings["without encoder"]
        start, _, _ = load_ranker(args.go_on, encoder)
        before = load_adapter(args.go_on)
    else:
        lexical, _ = train_ranker(kept, epochs=args.epochs, seed=args.seed, watch=watch)
        told["without encoder"] = calibrated(lexical, apart, asked, None, common)
    ranker, adapter = train_ranker(
        kept, encoder=encoder, start=start, adapter=before, epochs=args.epochs, seed=args.seed,
        watch=watch,
    )  # fmt: skip
    told["with encoder"] = calibrated(ranker, apart, asked, encoder, common)
    save_ranker(args.output, ranker, lexical, adapter, sorted(common), told)
    told = {name: told[name] for name in told if name not in ("known", "leaning")}
    print(f"{told}, {minutes(began)}")


def make_examples(args, encoder, common):
    """Make the questions, or read those that were kept."""
    if args.examples and args.examples.exists():
        return torch.load(args.examples, weights_only=False)
    domains = all_domains()
    learned = [one for n, one in enumerate(domains) if n % APART != APART // 2]
    others = [one for n, one in enumerate(domains) if n % APART == APART // 2]
    total = args.tables * args.each
    made = practice_examples(
        args.seed, range(args.tables), args.each, encoder, common, learned, known=known_words()
    )
    kept = list(tqdm(made, "questions", total, mininterval=10))
    some = range(10**6, 10**6 + args.tables // 8)
    apart = list(
        practice_examples(args.seed, some, args.each, encoder, common, others, 0.0, known_words())
    )
    if args.examples:
        torch.save((kept, apart), args.examples)
    return kept, apart


def hand_written(args, encoder, common):
    """Make the examples of written questions, or read those that were kept."""
    file = args.examples and args.examples.with_suffix(".written.pt")
    if file and file.exists():
        return torch.load(file, weights_only=False)
    others, known = names_apart(), known_words()
    learned = [one for one in all_names() if one not in others]
    kept = list(tqdm(written_examples(learned, encoder, common, known, taken=TAKEN),
                     "written questions", mininterval=10))  # fmt: skip
    apart = list(written_examples(others, encoder, common, known, most=None))
    if file:
        torch.save((kept, apart), file)
    return kept, apart


def calibrated(ranker, made, written, encoder, common):
    """Give the temperature and least probability on written questions, and what they come to."""
    for name, examples in (("made", made), ("written", written)):
        scores = scores_of(ranker, examples)
        asked = [(s, one) for s, one in zip(scores, examples, strict=True) if not one.right[-1]]
        right = sum(bool(one.right[int(s[:-1].argmax())]) for s, one in asked)
        print(f"{name}, apart: {right / len(asked):.3f} of {len(asked)} read right")
    ranker.temperature = temperature_of(scores, written)
    answers = list(tqdm(likeliest(names_apart(), ranker, encoder, common, known_words()),
                        "thresholds", mininterval=10))  # fmt: skip
    least = threshold_of(answers)
    given = [right for chance, right in answers if chance >= least]
    print(f"of {len(answers)} questions {len(given)} are answered at {least:.3f}, "
          f"{sum(given)} of them right; temperature {ranker.temperature}")  # fmt: skip
    return {"temperature": ranker.temperature, "least": round(least, 4)}


def names_apart():
    """Give the names of the written tables that are kept apart."""
    return [one for one in all_names() if zlib.crc32(one.encode()) % APART == APART // 2]


def minutes(began):
    return f"{(time.monotonic() - began) / 60:.0f} min"


if __name__ == "__main__":
    main()
