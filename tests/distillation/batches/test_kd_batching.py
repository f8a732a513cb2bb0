"""Token ids, masks, padding and the order of batches."""

import logging
from dataclasses import replace

import kd_models
import pytest
import torch
from stillroom.distillation.batches.batching import (
    Collator,
    TokenizedExample,
    batch_order,
    collator_for,
    prompt_ids,
    supervised_rows,
    supervised_weights,
    tokenize_examples,
)
from stillroom.distillation.starter_student import train_tokenizer
from stillroom.errors import ConfigError, DataError, EmptyDataError
from stillroom.prompts import render
from stillroom.records import Example, Source

TOKENIZER = kd_models.tokenizer()
PROMPT = render("s2-qa", "What is the symbol of gold?")


def example(target="Au", prompt=PROMPT, name="1"):
    return Example(name, prompt, target, source=Source("gold.csv", 7))


def test_prompt_and_completion_are_tokenised_apart():
    (item,) = tokenize_examples([example()], TOKENIZER)
    prompt = TOKENIZER(PROMPT)["input_ids"]
    assert list(item.input_ids[: item.prompt_length]) == prompt
    assert TOKENIZER.decode(item.input_ids[item.prompt_length : -1]) == " Au"
    assert item.input_ids[-1] == TOKENIZER.eos_token_id


def test_a_summary_is_joined_as_it_is_served():
    prompt = render("s2-summarize", "gold")
    (item,) = tokenize_examples([example("Au", prompt)], TOKENIZER)
    assert TOKENIZER.decode(item.input_ids[item.prompt_length : -1]).endswith("\n\nAu")


def test_a_plain_text_is_supervised_as_a_whole():
    (item,) = tokenize_examples([example("Au and Ag", "")], TOKENIZER)
    assert item.prompt_length == 0
    assert TOKENIZER.decode(item.input_ids[:-1]).strip() == "Au and Ag"


class WithStartAndEnd:
    """A tokenizer that writes start and end tokens by itself, as Llama's and T5's do."""

    eos_token_id = 1
    chat_template = None

    def __call__(self, texts, add_special_tokens=True, **_options):
        rows = [[ord(c) for c in text] for text in texts]
        return {"input_ids": [[0, *row, 1] for row in rows] if add_special_tokens else rows}


def test_start_token_is_kept_and_end_token_is_written_once():
    assert prompt_ids(WithStartAndEnd(), ["ab", ""]) == [[0, 97, 98], [0]]
    (item,) = tokenize_examples([example("d", "c")], WithStartAndEnd())
    assert item.input_ids == (0, 99, 32, 100, 1)


@pytest.mark.parametrize("target", [None, "", "  "])
def test_an_example_without_a_target_is_refused(target):
    with pytest.raises(DataError, match=r"row 7: example '1' has no target"):
        tokenize_examples([example(target)], TOKENIZER)


def test_no_examples_and_wrong_settings_are_refused():
    with pytest.raises(EmptyDataError):
        tokenize_examples([], TOKENIZER)
    bare = kd_models.tokenizer()
    bare.eos_token = None
    with pytest.raises(ConfigError, match=r"max_length is 1.*no end token"):
        tokenize_examples([example()], bare, max_length=1)


def test_what_does_not_fit_is_an_error_that_names_the_record():
    with pytest.raises(DataError, match=r"row 7: .* prompt and .* max_length is 8"):
        tokenize_examples([example()], TOKENIZER, max_length=8)


def test_truncation_is_counted_in_a_message(caplog):
    examples = [example("Au " * 90, name="long"), example("Au", PROMPT * 9, "far"), example()]
    with caplog.at_level(logging.WARNING):
        items = tokenize_examples(examples, TOKENIZER, max_length=60, too_long="truncate")
    assert "of 3 examples, 1 lost the end of their completion and 1 the beginning" in caplog.text
    cut_completion, cut_prompt, whole = items
    assert len(cut_completion.input_ids) == len(cut_prompt.input_ids) == 60
    assert cut_completion.input_ids[-1] != TOKENIZER.eos_token_id  # the text does not end there
    prompt = TOKENIZER(PROMPT * 9)["input_ids"]
    assert (
        list(cut_prompt.input_ids[: cut_prompt.prompt_length])
        == (prompt[-cut_prompt.prompt_length :])
    )
    assert len(whole.input_ids) < 60


def test_something_is_left_to_learn_from_when_both_sides_are_long():
    (item,) = tokenize_examples(
        [example("Au " * 90, PROMPT * 9)], TOKENIZER, max_length=20, too_long="truncate"
    )
    assert (item.prompt_length, len(item.input_ids)) == (10, 20)


def test_padding_goes_by_position_so_that_the_end_token_is_learnt():
    assert TOKENIZER.pad_token_id == TOKENIZER.eos_token_id == 0
    batch = collator_for(TOKENIZER)(
        [TokenizedExample("a", (5, 6, 7, 0), 2), TokenizedExample("b", (5, 0), 1)]
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [5, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 7, 0], [-100, 0, -100, -100]]


def test_the_first_token_is_never_counted_as_supervised():
    batch = Collator(0)([TokenizedExample("a", (5, 6), 0)])
    assert batch["labels"].tolist() == [[-100, 6]]


def test_supervised_rows_shift_by_one():
    values = torch.arange(8.0).reshape(1, 4, 2)
    rows, labels = supervised_rows(values, torch.tensor([[-100, -100, 7, 0]]))
    assert rows.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert labels.tolist() == [7, 0]


LENGTHS = [(7 * i) % 31 + 3 for i in range(101)]


@pytest.mark.parametrize(
    ("batch_size", "accumulation"), [(8, 1), (4, 2), (1, 8), (101, 1), (200, 1)]
)
def test_every_example_comes_once_per_epoch(batch_size, accumulation):
    batches = batch_order(LENGTHS, batch_size=batch_size, accumulation=accumulation)
    assert sorted(i for batch in batches for i in batch) == list(range(101))
    assert all(len(batch) == batch_size for batch in batches[: 101 // batch_size])


def test_order_depends_on_seed_and_epoch_alone():
    order = batch_order(LENGTHS, batch_size=4, seed=3, epoch=5)
    torch.manual_seed(99)
    assert batch_order(LENGTHS, batch_size=4, seed=3, epoch=5) == order
    assert batch_order(LENGTHS, batch_size=4, seed=3, epoch=6) != order
    assert batch_order(LENGTHS, batch_size=4, seed=4, epoch=5) != order


def test_an_optimizer_step_holds_the_same_examples_however_it_is_split():
    def steps(batch_size, accumulation):
        batches = batch_order(LENGTHS, batch_size=batch_size, accumulation=accumulation)
        return [
            sorted(i for batch in batches[n : n + accumulation] for i in batch)
            for n in range(0, len(batches), accumulation)
        ]

    assert steps(8, 1) == steps(4, 2) == steps(2, 4) == steps(1, 8)


def test_micro_batches_of_a_step_are_sorted_by_length():
    def padded(batches):
        return sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in batches)

    split = padded(batch_order(LENGTHS, batch_size=4, accumulation=8))
    together = padded(batch_order(LENGTHS, batch_size=32))
    assert sum(LENGTHS) < split < 1.2 * sum(LENGTHS) < together


def test_a_focus_makes_its_tokens_count_more_and_nothing_else():
    tokenizer = train_tokenizer(["Question: a\n\nAnswer: Au, so yes no"] * 3, 300)
    plain = Example("1", "Question: a\n\nAnswer:", "Au, so no")
    focused = replace(plain, id="2", focus=(7, 8.0))
    items = tokenize_examples([plain, focused], tokenizer)
    assert items[0].weights is None
    assert items[0].input_ids == items[1].input_ids
    assert items[1].weights[-2:] == (8.0, 1.0)  # the verdict, then the end token
    assert set(items[1].weights[:-2]) == {1.0}
    batch = collator_for(tokenizer)(items)
    weights = supervised_weights(batch)
    assert weights.tolist() == [1.0] * len(items[1].weights) + list(items[1].weights)
    assert supervised_weights(collator_for(tokenizer)(items[:1])) is None
