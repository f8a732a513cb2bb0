"""Questions that people would ask of six tables are understood as well as was measured.

The bars lie a little below benchmarks/questions/README.md, so that a worse student is seen.
"""

import sys

from project_paths import ROOT
from stillroom.understanding.answers.ask_table import TableAsker
from stillroom.understanding.ranker.encoder import Encoder

sys.path.insert(0, str(ROOT / "benchmarks" / "questions"))
from measure import own_counts


def check(encoder, least_forced, least_right, most_wrong, least_withheld):
    counts = own_counts(lambda table: TableAsker(table, encoder=encoder))
    forced, right, wrong, withheld, asked, empty = counts
    assert (asked, empty) == (120, 30)
    assert forced >= least_forced, counts
    assert right >= least_right, counts
    assert wrong <= most_wrong, counts
    assert withheld >= least_withheld, counts


def test_with_the_encoder(real_model):
    check(Encoder(real_model("minilm")), 94, 58, 5, 28)


def test_by_words_alone():
    check(None, 52, 10, 3, 28)
