"""Where two tokenizers have read equally much of a text, and what is made of it in a batch."""

import logging

import kd_models
import pytest
import torch
import unlike_tokens
from stillroom.distillation.batches.batching import completion_text, tokenize_examples
from stillroom.distillation.batches.packing import PackingCollator
from stillroom.distillation.batches.text_alignment import align_examples, text_cuts
from stillroom.distillation.setting_names import IGNORED
from stillroom.errors import ConfigError, DataError
from stillroom.records import Example
from unlike_tokens import LETTERS, PIECES, WORDS, aligned_items, collator

PAIRS = [(PIECES, LETTERS), (LETTERS, PIECES), (WORDS, LETTERS), (PIECES, WORDS), (WORDS, WORDS)]


def test_cuts_of_a_text_by_hand():
    assert text_cuts(["the gold"], LETTERS) == [{0: 0, 3: 1, 4: 2, 8: 3}]
    assert text_cuts(["the au", ""], LETTERS) == [{0: 0, 3: 1, 4: 2, 5: 3, 6: 4}, {0: 0}]


def test_a_character_of_several_tokens_is_passed_with_the_last_of_them():
    (cuts,) = text_cuts(["a💡b"], kd_models.tokenizer(["nothing of it"], size=257))
    assert sorted(cuts) == [0, 1, 2, 3]
    assert cuts[2] - cuts[1] >= 4  # its bytes in UTF-8


def prefix(text, tokenizer, count):
    """The characters that the first tokens of a text cover, by the tokenizer's own offsets."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in offsets["offset_mapping"]]
    return len(text) if count == len(ends) else max([0, *ends[:count]])


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
def test_both_sides_of_a_pair_have_read_the_same_characters(student, teacher):
    items = aligned_items(student, teacher)
    given = unlike_tokens.examples()
    theirs = tokenize_examples(given, teacher, max_length=64)
    assert sum(len(item.teacher.aligned) for item in items) > 3 * len(items)
    for item, other, example in zip(items, theirs, given, strict=True):
        assert item.teacher.input_ids == other.input_ids
        for ours, its in item.teacher.aligned:
            ends = [
                prefix(completion_text(example, tokenizer), tokenizer, place - start.prompt_length)
                for tokenizer, place, start in ((student, ours, item), (teacher, its, other))
            ]
            assert ends[0] == ends[1]


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
def test_start_and_end_of_an_answer_are_always_pairs(student, teacher):
    for item in aligned_items(student, teacher):
        last = len(item.input_ids) - 1, len(item.teacher.input_ids) - 1
        assert item.teacher.aligned[-1] == last  # the end tokens
        assert item.prompt_length == 0 or item.teacher.aligned[0][0] == item.prompt_length
        assert list(item.teacher.aligned) == sorted(item.teacher.aligned)
        for side in zip(*item.teacher.aligned, strict=True):
            assert len(set(side)) == len(side)
            assert min(side) > 0  # nothing predicts the first token of all


@pytest.mark.parametrize("tokenizer", [PIECES, LETTERS, WORDS])
def test_with_one_tokenizer_every_supervised_position_has_a_teacher(tokenizer):
    """Also the bytes inside of a character, where no character ends."""
    for item in aligned_items(tokenizer, tokenizer):
        supervised = range(max(item.prompt_length, 1), len(item.input_ids))
        assert item.teacher.aligned == tuple((place, place) for place in supervised)


def test_what_is_cut_off_has_no_teacher(caplog):
    long = [Example("long", "Say:", "the symbol of gold is Au", "text")]
    (item,) = aligned_items(WORDS, LETTERS, given=long, max_length=12, too_long="truncate")
    assert len(item.teacher.input_ids) == 12 >= len(item.input_ids)
    assert len(item.teacher.aligned) > 0
    assert all(its < 12 and ours < len(item.input_ids) for ours, its in item.teacher.aligned)
    assert "lost the end of their completion" in caplog.text
    with pytest.raises(DataError, match="'long' has 4 prompt and 19 completion tokens"):
        aligned_items(WORDS, LETTERS, given=long, max_length=20)


def test_few_common_places_are_worth_a_warning(caplog):
    caplog.set_level(logging.INFO, logger="stillroom")
    aligned_items(LETTERS, PIECES, given=[Example("e", "Say:", "ring of gold", "text")])
    assert caplog.records[-1].levelname == "WARNING"
    assert "cut the text at the same place at 4 of 9 " in caplog.text
    aligned_items(PIECES, PIECES)
    assert caplog.records[-1].levelname == "INFO"


def test_tokenizers_that_know_no_characters_are_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match="Slow cannot tell which characters"):
        align_examples(unlike_tokens.examples(), [], PIECES, Slow(), max_length=64)


@pytest.mark.parametrize("student", [None, PackingCollator(0)])
def test_a_batch_matches_rows_in_reading_order(student):
    """The n-th aligned position of the student is the n-th labelled one of the teacher."""
    items = aligned_items()
    batch = collator(student=student)(items)
    assert not batch["aligned"][batch["labels"] == IGNORED].any()
    ours = batch["input_ids"][batch["aligned"]].tolist()
    theirs = batch["teacher_input_ids"][batch["teacher_labels"] != IGNORED].tolist()
    pairs = {
        (item.input_ids[o], item.teacher.input_ids[t], n, o)
        for n, item in enumerate(items)
        for o, t in item.teacher.aligned
    }
    assert len(ours) == len(theirs) == len(pairs)
    expected = sorted((one, other) for one, other, _, _ in pairs)
    assert sorted(zip(ours, theirs, strict=True)) == expected
    masked = batch["teacher_attention_mask"].sum(1).tolist()
    assert sorted(masked) == sorted(len(item.teacher.input_ids) for item in items)


def test_the_teacher_reads_each_text_alone_and_whole():
    """Its rows in a batch are those of every text by itself, at the places of the pairs."""
    items = aligned_items()
    model = kd_models.llama(3, vocabulary=len(LETTERS))
    batch = collator()(items)
    found = unlike_tokens.universal_teacher(model).rows(batch)
    logits = torch.nn.functional.linear(found.rows.hidden, found.rows.weight)
    expected = []
    with torch.no_grad():
        for item in items:
            alone = model(torch.tensor([item.teacher.input_ids])).logits[0]
            expected.append(alone[[its - 1 for _, its in item.teacher.aligned]])
    assert torch.allclose(logits, torch.cat(expected), atol=1e-4)
    assert int(found.aligned.sum()) == len(logits) < len(found.aligned)
