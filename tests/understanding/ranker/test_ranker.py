"""The ranker learns which plan is meant, alone and together."""

import random

import torch
from stillroom.understanding.answers.ask_table import GENERAL
from stillroom.understanding.practice.practice_examples import common_words, practice_examples
from stillroom.understanding.ranker.calibrate import threshold_of
from stillroom.understanding.ranker.encoder import Encoder, QuestionTokens
from stillroom.understanding.ranker.features import NUMBERS, SLOTS
from stillroom.understanding.ranker.ranking import AskedTable, load_ranker, rank, save_ranker
from stillroom.understanding.ranker.train_ranker import train_ranker
from stillroom.understanding.table.typed_table import typed_table

COMMON = common_words(0, tables=20, each=6)


def examples(seed, tables=6):
    return list(practice_examples(seed, range(tables), 8, None, COMMON))


def is_right(ranker, one):
    seen = one.seen
    scores = ranker(seen.hashed, None, seen.structure, seen.columns, seen.numbers)
    return bool(one.right[scores.argmax()])


def share_right(ranker, given):
    with torch.inference_mode():
        return sum(is_right(ranker, one) for one in given) / len(given)


def test_examples_have_one_row_more_than_plans():
    for one in examples(1, tables=2):
        assert one.seen.structure.shape == (len(one.right), len(SLOTS))
        assert one.seen.numbers.shape == (len(one.right), NUMBERS)
        assert one.right.any()
        assert torch.isfinite(one.seen.numbers).all()


def test_a_ranker_learns():
    seen, fresh = examples(2, tables=20), examples(3)
    untrained, trained = (train_ranker(seen, epochs=epochs)[0] for epochs in (0, 14))
    assert share_right(trained, seen) > 0.5
    assert share_right(trained, fresh) > share_right(untrained, fresh) + 0.15


def test_training_is_repeatable():
    first, second = (train_ranker(examples(4, 2), epochs=1)[0] for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_stored_ranker_ranks_the_same(tmp_path):
    ranker, _ = train_ranker(examples(5, 2), epochs=1)
    told = {"made": "here", "without encoder": {"temperature": 1.0, "least": 0.8}}
    save_ranker(tmp_path, ranker, ranker, {}, sorted(COMMON), told)
    loaded, common, told = load_ranker(tmp_path)
    assert common == COMMON
    assert (told["made"], told["least"]) == ("here", 0.8)
    asked = AskedTable(typed_table([{"a": "x", "b": "1"}, {"a": "y", "b": "2"}]), None, COMMON)
    question, candidates = asked.read("what is the b of x")
    readings = [rank(one, asked.see(question, candidates), candidates) for one in (ranker, loaded)]
    assert [r.candidate and r.candidate.plan for r in readings[0][:2]] == [
        r.candidate and r.candidate.plan for r in readings[1][:2]
    ]
    assert abs(sum(one.probability for one in readings[0]) - 1.0) < 1e-5


def test_an_adapter_starts_as_nothing_and_is_merged_as_it_was_trained(real_model):
    encoder = Encoder(real_model("minilm"))
    seen = list(practice_examples(6, range(2), 4, encoder, COMMON))
    tokens = [one.seen.tokens for one in seen]
    with torch.inference_mode():
        plain = encoder.read(tokens)
    ranker, adapter = train_ranker(seen, encoder=encoder, epochs=2)
    assert {name.rpartition(".")[2] for name in adapter} == {"down", "up"}
    with torch.inference_mode():
        again, adapted = encoder.read(tokens), ranker.reader.read(tokens)
    for before, after, other, one in zip(plain, again, adapted, seen, strict=True):
        assert torch.equal(before, after)
        assert not torch.allclose(before, other, atol=1e-3)
        assert other.shape == (int(one.seen.columns.max()) + 1, encoder.width)


def test_a_wide_table_is_read_in_parts(real_model):
    encoder = Encoder(real_model("minilm"))
    record = {f"column of many words {n}": f"value number {n}" for n in range(120)}
    asked = AskedTable(typed_table([record, record]), encoder, COMMON)
    question, _ = asked.read("what is in column 7")
    tokens = encoder.prepare(question, asked.table)
    assert len(tokens) > 1
    with torch.inference_mode():
        assert encoder.read([tokens])[0].shape == (121, encoder.width)


def test_the_student_of_the_package_is_small():
    size = sum(path.stat().st_size for path in GENERAL.iterdir())
    assert size <= 2 * 2**20


def test_the_threshold_keeps_wrong_answers_rare():
    answers = [(0.9, True)] * 19 + [(0.8, False)] + [(0.7, True)] * 5 + [(0.6, False)] * 5
    assert threshold_of(answers, risk=0.05) == 0.7
    assert threshold_of(answers, risk=0.01) == 0.9
    assert threshold_of([(0.4, True)], floor=0.5) == 0.5
    assert threshold_of([(0.9, False)]) == 0.99


class Masking:
    """Stands for an encoder of which only the numbers of its special tokens are used."""

    class tokenizer:  # noqa: N801
        cls_token_id, sep_token_id, mask_token_id = 1, 2, 3


def test_columns_are_shuffled_and_keep_their_places():
    ids = [1, 10, 11, 2, 20, 21, 2, 30, 2, 40, 41, 42, 2]
    spans = [(4, 6), (7, 8), (9, 12)]
    orders = set()
    for seed in range(200):
        ((seen, at),) = Encoder.varied(Masking, QuestionTokens([(ids, spans)]), random.Random(seed))
        assert len(seen) == len(ids)
        assert seen[0] == 1
        for (start, end), (was, until) in zip(at, spans, strict=True):
            pairs = list(zip(seen[start:end], ids[was:until], strict=True))
            assert all(now in (old, 3) for now, old in pairs)
            assert seen[end] == 2
        orders.add(tuple(start for start, _ in at))
    assert len(orders) == 6
