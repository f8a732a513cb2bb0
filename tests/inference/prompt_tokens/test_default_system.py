"""A template without its default system words: shorter prompts, the same ones everywhere."""

from __future__ import annotations

import pytest
from chat_models import ENDS, GREETING, TEMPLATES, chat_tokenizer
from langchain_core.messages import convert_to_messages
from stillroom.distillation.batches.batching import tokenize_examples
from stillroom.inference.chat.chat_prompts import chat_prompt_ids
from stillroom.inference.chat.response_format import AnswerForm
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.checkpoints.tokenizer_files import load_tokenizer
from stillroom.inference.prompt_tokens.default_system import drop_default_system
from stillroom.inference.prompt_tokens.prompt_ids import (
    answer_end,
    answer_lead,
    prompt_ids,
    prompts_hash,
)
from stillroom.prompts import render
from stillroom.records import Example

QUESTION = [{"role": "user", "content": "What is the symbol of gold?"}]
GIVEN = [{"role": "system", "content": "Be brief."}, *QUESTION]
SMOLLM2_IDS = [
    *(1, 9690, 198, 2, 198),  # <|im_start|>system\n<|im_end|>\n
    *(1, 4093, 198, 1780, 314, 260, 3573, 282, 4231, 47, 2, 198),  # the user's turn
    *(1, 520, 9531, 198),  # <|im_start|>assistant\n
]
"""What transformers' `apply_chat_template` gives for an empty system turn and the question."""


@pytest.fixture
def greeting():
    tokenizer = chat_tokenizer.__wrapped__("chatml")  # changed in place, so not the cached one
    assert GREETING in tokenizer.decode(prompt_ids(tokenizer, [QUESTION])[0])
    return tokenizer


def served(tokenizer, messages):
    checkpoint = Checkpoint(None, tokenizer, None, "chat")
    return chat_prompt_ids(checkpoint, convert_to_messages(messages), AnswerForm())


def test_prompts_lose_the_default_words_and_nothing_else(greeting):
    before = prompts_hash(greeting)
    explicit = prompt_ids(greeting, [[{"role": "system", "content": ""}, *QUESTION]])
    given = prompt_ids(greeting, [GIVEN])
    assert drop_default_system(greeting)
    assert prompt_ids(greeting, [QUESTION]) == explicit
    assert prompt_ids(greeting, [GIVEN]) == given
    assert prompts_hash(greeting) != before
    assert not drop_default_system(greeting), "there is nothing left to take out"


def test_training_and_serving_and_other_programs_write_the_same_prompt(greeting, tmp_path):
    drop_default_system(greeting)
    end, lead = answer_end(greeting), answer_lead(greeting, "Q")
    greeting.save_pretrained(tmp_path)
    stored = load_tokenizer(tmp_path)
    text = QUESTION[0]["content"]
    (item,) = tokenize_examples([Example("1", render("s2-qa", text), "Au")], greeting)
    for tokenizer in (greeting, stored):
        theirs = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True)["input_ids"]
        assert list(item.input_ids[: item.prompt_length]) == theirs
        assert served(tokenizer, QUESTION) == theirs
        assert (answer_end(tokenizer), answer_lead(tokenizer, "Q")) == (end, lead)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "chatml"])
def test_other_templates_stay_as_they_are(name):
    tokenizer = chat_tokenizer.__wrapped__(name)
    before = tokenizer.chat_template
    assert not drop_default_system(tokenizer)
    assert tokenizer.chat_template == before
    assert answer_end(tokenizer) == tokenizer.convert_tokens_to_ids(ENDS.get(name, "<|im_end|>"))


def test_a_tokenizer_without_a_template_stays_as_it_is():
    tokenizer = chat_tokenizer.__wrapped__(None)
    assert not drop_default_system(tokenizer)
    assert not tokenizer.chat_template


def test_golden_ids_of_smollm2(real_model):
    tokenizer = load_tokenizer(real_model("smollm2"))
    empty = [{"role": "system", "content": ""}, *QUESTION]
    published = tokenizer.apply_chat_template(empty, add_generation_prompt=True)["input_ids"]
    assert published == SMOLLM2_IDS
    assert drop_default_system(tokenizer)
    assert prompt_ids(tokenizer, [render("s2-qa", QUESTION[0]["content"])]) == [SMOLLM2_IDS]
    assert served(tokenizer, QUESTION) == SMOLLM2_IDS
