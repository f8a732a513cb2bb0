"""Thoughts of reasoning models, as they write them, told from their answers."""

import doctest
import time

import pytest
from stillroom.labeling.teachers import answer_parts
from stillroom.labeling.teachers.answer_parts import split_thoughts


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nHm.\n</think>\n\nGold",
        "<think>Hm.</think>Gold",
        "  <THINK>Hm.</THINK>\nGold",
        '<think type="slow">Hm.</think >Gold',
        "Hm.\n</think>\n\nGold",
        "Hm.</think>Gold",
        "Hm. </thinking> Gold",
        "<thinking>Hm.</thinking>Gold",
        "<thought>Hm.</thought>Gold",
        "<reasoning>\nHm.\n</reasoning>\nGold",
        "<seed:think>Hm.</seed:think>Gold",
        "[THINK]Hm.[/THINK]Gold",
        "◁think▷Hm.◁/think▷Gold",
        "Hm.◁/think▷Gold",
        "<|begin_of_thought|>\nHm.\n<|end_of_thought|>\n\n<|begin_of_solution|>Gold<|end_of_solution|>",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Gold",
        "<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>Gold<|return|>",
        "analysisHm.assistantfinalGold",
        "Gold\n<think>Hm.</think>",
        "Gold\n<think>\nHm.",
        "<think>Hm.</think>\n</think>Gold",
    ],
)
def test_the_answer_is_what_is_no_thought(text):
    assert split_thoughts(text) == ("Gold", "Hm.")


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("<think></think>\n\nGold", "Gold", ""),
        ("</think>Gold", "Gold", ""),
        ("<think>Hm", "", "Hm"),
        ("<think>a</think><thinking>b</thinking>Gold", "Gold", "a\n\nb"),
        ("<think>a</think>So <think>b</think>Gold", "So Gold", "a\n\nb"),
        ("<think>a</think>b</think>Gold", "Gold", "a\n\nb"),
        ("<thinking>a <think>b</think> c</thinking>Gold", "Gold", "a <think>b</think> c"),
        ("<think>it ends with `</think>`, so</think>Gold", "Gold", "it ends with `</think>`, so"),
        ("a ``` b\n</think>\n```\nx\n```", "```\nx\n```", "a ``` b"),
        ("<|channel|>analysis<|message|>Hm.", "", "Hm."),
    ],
)
def test_several_thoughts_and_odd_ends(text, answer, thought):
    assert split_thoughts(text) == (answer, thought)


@pytest.mark.parametrize(
    "text",
    [
        "Gold", "", "a < b", "<b>bold</b>", "I think so", "analysis of gold",
        "The tag `<think>` opens and `</think>` closes.",
        "```xml\n<think>\nx\n</think>\n```\nis a block.",
        "Write <think> to begin.",
        "Say <thinker>x</thinker>",
    ],
)  # fmt: skip
def test_texts_without_thoughts_stay(text):
    assert split_thoughts(text) == (text, "")


def test_tags_that_the_prompt_asks_for_are_the_answer():
    text = "<think>Hm.</think><reasoning>a</reasoning><answer>b</answer>"
    asked = "Write <reasoning>...</reasoning>, then <answer>...</answer>."
    assert split_thoughts(text, asked) == ("<reasoning>a</reasoning><answer>b</answer>", "Hm.")
    assert split_thoughts("The </think> ends it.", "What does </think> do?")[1] == ""


@pytest.mark.parametrize(
    "text",
    ["x <think>" * 20_000, "</think" * 50_000, "`" * 100_000 + "</think>", "<think" + " " * 100_000,
     "analysis" + "assistantfina" * 50_000, "<|channel|>" * 30_000, "\n" * 100_000 + "</think"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_long_texts_take_no_time(text):
    began = time.process_time()
    split_thoughts(text)
    assert time.process_time() - began < 5.0


def test_examples_in_docstrings_hold():
    found = doctest.testmod(answer_parts)
    assert found.attempted > 0
    assert found.failed == 0
