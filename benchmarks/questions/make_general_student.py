"""Make the general student that comes with the package, from tables of the project's own making.

    python benchmarks/questions/make_general_student.py --tables 400

It needs the encoder (`stillroom models add minilm`) and some 40 minutes on one core. The result is
written to src/understanding/general_student.
"""

import argparse
import time
from pathlib import Path

from stillroom.inference.sources.find_model import find_model
from stillroom.understanding.practice.practice_examples import common_words, practice_examples
from stillroom.understanding.ranker.encoder import Encoder
from stillroom.understanding.ranker.ranking import save_ranker
from stillroom.understanding.ranker.train_ranker import train_ranker
from tqdm import tqdm

TARGET = Path(__file__).resolve().parents[2] / "src" / "understanding" / "general_student"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--each", type=int, default=12, help="questions a table")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--output", type=Path, default=TARGET)
    args = parser.parse_args()
    began = time.monotonic()
    encoder = Encoder(find_model(args.encoder))
    common = common_words(args.seed)
    made = practice_examples(args.seed, args.tables, args.each, encoder, common)
    examples = list(tqdm(made, "questions", args.tables * args.each))
    ranker = train_ranker(
        examples,
        epochs=args.epochs,
        seed=args.seed,
        watch=lambda steps: tqdm(steps, "training"),
    )
    told = {"encoder": args.encoder, "questions": len(examples), "tables": args.tables,
            "seed": args.seed}  # fmt: skip
    save_ranker(args.output, ranker, sorted(common), told)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(examples):,} questions, {len(common)} common words, {minutes:.0f} min")


if __name__ == "__main__":
    main()
