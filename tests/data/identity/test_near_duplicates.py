"""Near-duplicates: against all pairs compared one by one."""

import doctest
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.data.identity import deduplicate as module
from stillroom.data.identity.deduplicate import Deduplicator, DedupSettings, deduplicate
from stillroom.data.identity.duplicate_state import DedupVerdict
from stillroom.data.identity.near_texts import (
    RECALL,
    MinHashSettings,
    NearTexts,
    shingle_hashes,
)
from stillroom.data.identity.near_vectors import VectorSettings, cosine, unit_vectors
from stillroom.errors import ConfigError, DataError

WORDS = ["river", "city", "north", "old", "largest", "which", "country", "metal", "price", "year",
         "owner", "red", "long", "quiet"]  # fmt: skip


def verdicts_of(path, records, settings, run_id="run", batch_size=7, embed=None):
    with Deduplicator(path, run_id, settings, embed=embed) as deduplicator:
        verdicts = [v for _, v in deduplicate(records, deduplicator, batch_size=batch_size)]
        assert sum(deduplicator.accounting().values()) == len(records)
    return verdicts


def by_text(**more):
    return DedupSettings(("id",), text_fields=("text",), id_field="id", **more)


def as_records(texts):
    return [{"id": i, "text": text} for i, text in enumerate(texts)]


def test_examples_in_docstrings():
    assert doctest.testmod(module).failed == 0


def sequences(text, length):
    return {text[i : i + length] for i in range(max(1, len(text) - length + 1))}


@given(st.text(max_size=30), st.text(max_size=30), st.integers(1, 6))
def test_shingles_are_those_of_plain_python(one, other, length):
    mine = [set(shingle_hashes(t, length).tolist()) for t in (one, other)]
    theirs = [sequences(t, length) for t in (one, other)]
    assert [len(s) for s in mine] == [len(s) for s in theirs]
    if len(one) >= length and len(other) >= length:
        assert len(mine[0] & mine[1]) == len(theirs[0] & theirs[1])


def test_signatures_are_the_same_in_every_version():
    # A state on disk is useless when the bands of its texts change.
    near = NearTexts(None, MinHashSettings(), numbers_must_match=True)  # type: ignore[arg-type]
    sketch = near.sketch("which river is the longest?")
    assert (len(sketch.bands), len(sketch.shingles)) == (21, 23)
    assert sketch.bands[:2] == (-1977178946042092024, -9053082718360613030)


def families(seed):
    """Texts in families: each is its first member with a word put in, changed or left out."""
    chance = random.Random(seed)
    texts = []
    for _ in range(40):
        words = chance.choices(WORDS, k=chance.randint(8, 30))
        texts.append(" ".join(words))
        for _ in range(chance.randint(0, 3)):
            new = list(words)
            new[chance.randrange(len(new))] = chance.choice([*WORDS, ""])
            texts.append(" ".join(new))
    chance.shuffle(texts)
    return [" ".join(t.split()) for t in texts]


def jaccard(one, other):
    a, b = sequences(one, 5), sequences(other, 5)
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_minhash_agrees_with_all_pairs(tmp_path, threshold):
    texts = families(int(threshold * 10))
    settings = by_text(minhash=MinHashSettings(threshold))
    verdicts = verdicts_of(tmp_path / "s", as_records(texts), settings)
    kept, missed = [], 0
    for place, verdict in enumerate(verdicts):
        near = {k: jaccard(texts[place], texts[k]) for k in kept}
        if verdict.kept:
            missed += any(s >= threshold for s in near.values())
            kept.append(place)
            continue
        assert verdict.reason == "near_duplicate"
        owner = verdict.duplicate_of
        assert owner.id == str(owner.place)
        assert verdict.similarity == pytest.approx(near[owner.place], abs=1e-12)
        assert verdict.similarity >= threshold
    dropped = len(texts) - len(kept)
    assert dropped > 5
    assert missed <= (1 - RECALL) * 2 * dropped + 1


def test_near_duplicates_do_not_depend_on_batches_or_interruptions(tmp_path):
    texts = families(1)
    settings = by_text(minhash=MinHashSettings(0.7))
    verdicts = verdicts_of(tmp_path / "whole", as_records(texts), settings, batch_size=1000)
    with Deduplicator(tmp_path / "cut", "run", settings) as deduplicator:
        deduplicator.judge(as_records(texts)[:31], 0)
    assert verdicts_of(tmp_path / "cut", as_records(texts), settings, batch_size=2) == verdicts
    again = verdicts_of(tmp_path / "cut", as_records(texts), settings, "later")
    assert not any(v.kept for v in again)
    assert {v.duplicate_of.run_id for v in again if v.reason == "near_duplicate"} == {"run"}


def test_other_numbers_are_no_near_duplicates(tmp_path):
    texts = [f"How many people lived in the old city by the river in {y}?" for y in (1998, 1999)]
    settings = by_text(minhash=MinHashSettings(0.6))
    assert [v.reason for v in verdicts_of(tmp_path / "a", as_records(texts), settings)] == [
        "ok"
    ] * 2
    settings = by_text(minhash=MinHashSettings(0.6), numbers_must_match=False)
    reasons = [v.reason for v in verdicts_of(tmp_path / "b", as_records(texts), settings)]
    assert reasons == ["ok", "near_duplicate"]


def test_short_long_and_missing_texts(tmp_path):
    long = " ".join(random.Random(0).choices(WORDS, k=4000))
    texts = ["", " ", "ab", "AB", "abc", long, f"{long} red", None, "\ud800"]
    settings = by_text(minhash=MinHashSettings(0.8))
    reasons = [v.reason for v in verdicts_of(tmp_path / "s", as_records(texts), settings)]
    assert reasons == ["ok", "near_duplicate", "ok", "near_duplicate", "ok", "ok",
                       "near_duplicate", "missing_field", "ok"]  # fmt: skip


def test_an_exact_duplicate_is_called_so(tmp_path):
    settings = by_text(minhash=MinHashSettings())
    records = [{"id": 1, "text": "the old city"}] * 2 + [{"id": 2, "text": "The old  city"}]
    verdicts = verdicts_of(tmp_path / "s", records, settings)
    assert [v.reason for v in verdicts] == ["ok", "exact_duplicate", "near_duplicate"]
    assert verdicts[2].similarity == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0}, {"threshold": 1.1}, {"permutations": 0}, {"shingle_chars": 0},
        {"threshold": 0.1, "permutations": 4},
    ],
)  # fmt: skip
def test_minhash_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        MinHashSettings(**wrong)
    with pytest.raises(ConfigError, match="text_fields is empty"):
        DedupSettings(minhash=MinHashSettings())


def vectors_of(count, seed=0):
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(count // 4, 16))
    return centres[chance.integers(0, count // 4, count)] + 0.25 * chance.normal(size=(count, 16))


def embedding(table):
    return lambda texts: [table[int(text.split()[-1])] for text in texts]


@pytest.mark.parametrize("batch_size", [1, 9, 1000])
def test_vectors_agree_with_all_pairs(tmp_path, batch_size):
    table, threshold = vectors_of(120), 0.9
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    expected, kept = [], []
    for place in range(len(table)):
        near = [(round(float(unit[place] @ unit[k]), 6), -k) for k in kept]
        best = max(near, default=(0, 0))
        expected.append(-best[1] if best[0] >= threshold else None)
        kept += [place] if expected[-1] is None else []
    settings = by_text(vectors=VectorSettings("made", threshold), numbers_must_match=False)
    records = as_records([f"text {i}" for i in range(len(table))])
    verdicts = verdicts_of(
        tmp_path / "s", records, settings, batch_size=batch_size, embed=embedding(table)
    )
    assert [v.duplicate_of and v.duplicate_of.place for v in verdicts] == expected
    assert 20 < len(kept) < 100
    assert {v.reason for v in verdicts} == {"ok", "similar_meaning"}


def test_a_resumed_run_computes_no_vector_twice(tmp_path):
    asked, table = [], vectors_of(40)

    def embed(texts):
        asked.extend(texts)
        return embedding(table)(texts)

    settings = by_text(vectors=VectorSettings("made", 0.9), numbers_must_match=False)
    records = as_records([f"text {i}" for i in range(40)])
    first = verdicts_of(tmp_path / "s", records, settings, embed=embed)
    assert sorted(asked) == sorted(r["text"] for r in records)
    asked.clear()
    assert verdicts_of(tmp_path / "s", records, settings, embed=embed) == first
    assert asked == []


def test_vectors_that_cannot_be_compared(tmp_path):
    nan, huge = float("nan"), 1e300
    table = [[1, 0], [nan, 1], [0, 0], [0, 0], [huge, 0], [0, float("inf")]]
    settings = by_text(vectors=VectorSettings("made"), numbers_must_match=False)
    records = as_records([f"text {i}" for i in range(6)])
    verdicts = verdicts_of(tmp_path / "s", records, settings, embed=embedding(table))
    assert [v.reason for v in verdicts] == ["ok", "not_finite", "ok", "ok", "similar_meaning",
                                            "not_finite"]  # fmt: skip
    assert verdicts[4].similarity == 1


def test_wrong_vectors_are_refused_and_nothing_is_written(tmp_path):
    settings = by_text(vectors=VectorSettings("made"))
    with pytest.raises(ConfigError, match="pass a function"):
        Deduplicator(tmp_path / "s", "run", settings)
    with Deduplicator(tmp_path / "s", "run", settings, embed=lambda t: [[1.0]]) as deduplicator:
        with pytest.raises(DataError, match=r"shape \(1, 1\) for 2 texts"):
            deduplicator.judge(as_records(["a", "b"]), 0)
        assert deduplicator.accounting() == {}
        assert deduplicator.judge(as_records(["a"]), 0) == [DedupVerdict("ok")]
    with (
        Deduplicator(tmp_path / "s", "run", settings, embed=lambda t: [[1.0, 0]]) as deduplicator,
        pytest.raises(DataError, match="vectors of 2 numbers, but the kept ones have 1"),
    ):
        deduplicator.judge([{"id": 9, "text": "c"}], 1)
    with pytest.raises(ConfigError, match="vectors is"):
        Deduplicator(tmp_path / "s", "run", by_text(vectors=VectorSettings("other")),
                     embed=lambda t: [[1.0]])  # fmt: skip
    with pytest.raises(ConfigError, match="threshold is 0"):
        VectorSettings("made", 0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3))
def test_a_vector_is_as_similar_to_itself_as_can_be(values):
    (vector,) = unit_vectors(["a"], lambda texts: [values])
    assert cosine(vector, vector) == (1 if any(values) else 0)


def test_the_packaged_encoder_finds_the_same_question(tmp_path, real_model):
    real_model("minilm")
    from stillroom.data.identity.sentence_vectors import ENCODER_NAME, sentence_vectors

    embed = sentence_vectors()
    start = "the old city by the river " * 40
    texts = ["How old is the tallest tower?", "What is the age of the tallest tower?",
             "Who sells red paint?", f"{start} " + "sells red paint " * 60,
             f"{start} " + "won a football cup " * 60]  # fmt: skip
    settings = by_text(vectors=VectorSettings(ENCODER_NAME, 0.85))
    verdicts = verdicts_of(tmp_path / "s", as_records(texts), settings, embed=embed)
    # The long texts agree in more tokens than the encoder reads, and differ after them.
    assert [v.reason for v in verdicts] == ["ok", "similar_meaning", "ok", "ok", "ok"]
    alone = embed(texts[:1])
    assert np.array_equal(embed(texts)[:1], alone)


def test_the_modules_load_neither_torch_nor_datasketch():
    code = (
        "import sys, stillroom.data.identity.deduplicate, stillroom.data.identity.sentence_vectors"
        "; print([m for m in ('torch', 'transformers', 'datasketch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
