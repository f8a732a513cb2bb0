"""Measure what each part of question answering adds, on this project's 150 questions.

    python benchmarks/questions/ablation.py

"Lexical only" is the packaged student without an encoder. "Encoder only" takes, among the 300 plans
whose conditions cover most of the question, the plan whose words are nearest to it according to the
unchanged encoder. "Ranker" is the packaged student with its adapted encoder. Intervals are Wilson's
95 % intervals.
"""

import argparse

import torch
from measure import own_counts
from stillroom.inference.sources.find_model import find_model
from stillroom.rate_interval import wilson_interval
from stillroom.understanding.answers.ask_table import GENERAL, TableAsker
from stillroom.understanding.plans.in_words import plan_in_words
from stillroom.understanding.ranker.encoder import Encoder

MOST = 300


class EncoderOnly:
    """Answers by the plan that is likest in words."""

    def __init__(self, table, encoder):
        self.asker, self.encoder = TableAsker(table, encoder=encoder), encoder

    def ask(self, text, before=None, *, always=False):
        asked = self.asker.asked
        _, candidates = asked.read(text)
        weight = [sum(c.weight for c in one.conditions) for one in candidates]
        order = sorted(range(len(candidates)), key=lambda n: -weight[n])[:MOST]
        told = [plan_in_words(candidates[n].plan, asked.table) for n in order]
        vectors = self.encoder.encode([text, *told])
        best = int((vectors[1:] @ vectors[0]).argmax())
        answer = candidates[order[best]].answer.values

        class Told:
            verdict, context = "answered", None

        Told.answer = answer
        return Told


def interval(right, of):
    """Give Wilson's interval of a share, in percent."""
    low, high = wilson_interval(right, of)
    return f"{100 * right / of:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", default=GENERAL)
    parser.add_argument("--encoder", default="minilm")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder(find_model(args.encoder))
    ways = {
        "lexical only": lambda table: TableAsker(table, student=args.student),
        "encoder only": lambda table: EncoderOnly(table, encoder),
        "ranker": lambda table: TableAsker(table, student=args.student, encoder=encoder),
    }
    print("| way | right if it must answer | right | wrong | rightly withheld |")
    print("|---|--:|--:|--:|--:|")
    for name, way in ways.items():
        forced, right, wrong, withheld, asked, empty = own_counts(way)
        parts = [interval(n, asked) for n in (forced, right)]
        parts += [interval(wrong, asked + empty), interval(withheld, empty)]
        print(f"| {name} | {' | '.join(parts)} |")


if __name__ == "__main__":
    main()
