"""Texts and conversations longer than the student can read: cut, summarised by parts, refused."""

import sys
import threading
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.model_calls.context_budget import (
    ContextBudget,
    context_budget,
    cut_to_fit,
    split_to_fit,
)
from stillroom.agentic_workflow.nodes.long_text_node import MOST_ROUNDS, condense
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel

sys.path.insert(0, str(Path(__file__).parents[2] / "inference"))
from tiny_model import make_trained

SMALL = AnswerPolicy(context_tokens=100)
"""252 bytes of prompt at three bytes a token, and 16 tokens for the answer."""
TEXT = "\n\n".join(f"Paragraph {number} says that bear {number} ate honey." for number in range(40))


def first_words(prompt):
    return " ".join(prompt.split("following: ")[-1].split()[:2])


def make(reply=first_words, **policy):
    settings = AnswerPolicy(context_tokens=100, **policy)
    return MultiAgentWorkflow(None, chat_model=ScriptedModel(reply), policy=settings)


@pytest.fixture(scope="module")
def student():
    model = ChatStudent(model=make_trained(), max_tokens=16)
    yield model
    model.serving_engine.close()


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab .\n", min_size=1, max_size=300), st.integers(1, 40))
def test_parts_fit_and_lose_no_word(text, most):
    parts = split_to_fit(text, lambda part: len(part) <= most)
    assert all(len(part) <= max(1, most) for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=100), st.integers(0, 30))
@example(" 00", 2)
@example(" 0", 1)
def test_what_is_cut_fits_and_is_the_beginning(text, most):
    kept = cut_to_fit(text, lambda part: len(part) <= most)
    assert len(kept) <= most
    assert text.startswith(kept)


def test_paragraphs_are_kept_whole_where_they_can_be():
    parts = split_to_fit(TEXT, lambda part: len(part) <= 200)
    assert all(part.startswith("Paragraph") and part.endswith("honey.") for part in parts)


def test_the_room_is_counted_with_the_students_own_tokenizer(student):
    budget = context_budget(student)
    assert budget.prompt == 256 - 16
    words = "gold " * 100
    assert budget.count(words) == len(student.checkpoint.tokenizer(words)["input_ids"])
    assert context_budget(ScriptedModel([])) is None
    assert context_budget(ScriptedModel([]), 100).prompt == 100 - 16


def test_a_short_text_is_summarised_at_once():
    model = ScriptedModel(["short"])
    settings = AnswerPolicy(context_tokens=100)
    workflow = MultiAgentWorkflow(None, chat_model=model, policy=settings)
    assert workflow.run("Summarize this", "A cat sat.")["response"] == "short"
    assert model.prompts == ["Summarize the following: A cat sat."]


def test_a_long_text_is_summarised_by_parts_and_every_prompt_fits():
    workflow = make()
    budget = context_budget(workflow.agent.chat_model, 100)
    event = workflow.explain("Summarize this", TEXT)
    prompts = workflow.agent.chat_model.prompts
    assert len(prompts) > 5
    assert all(budget.fits(prompt) for prompt in prompts)
    read = "".join(prompts)
    assert all(f"bear {number} ate" in read for number in range(40))
    assert event["exit"] == "answered"
    assert "parts to" in event["steps"][1]["detail"]


def test_parts_are_summarised_side_by_side_and_stay_in_order():
    together, asked = threading.Barrier(2, timeout=10), count()

    def reply(prompt):
        if next(asked) < 2:
            together.wait()  # ends only if two parts are asked at once
        return prompt.split()[3]

    text = "\n\n".join(f"part{number} " + "x " * 60 for number in range(4))
    read = condense(text, "", ScriptedModel(reply), SMALL)
    assert read.text.split() == ["part0", "part1", "part2", "part3"]


def test_no_token_of_a_part_reaches_the_stream():
    graph = make(lambda prompt: "final" if "bear" not in prompt else "secret").graph
    asked = {"messages": [("human", "Summarize this")], "context": TEXT}
    items = graph.stream(asked, stream_mode="messages", subgraphs=True)
    shown = [message for _, (message, _) in items]
    chunks = [m.text for m in shown if type(m).__name__ == "AIMessageChunk"]
    assert chunks == ["final"]


@pytest.mark.parametrize(
    ("reply", "policy", "words"),
    [
        (first_words, {"most_parts": 3}, "at most 3 are allowed"),
        (lambda prompt: prompt, {}, "no shorter"),
        (lambda prompt: prompt[25:-1], {}, "stay too long"),
    ],
)
def test_what_stays_too_long_is_not_summarised(reply, policy, words):
    workflow = make(reply, **policy)
    event = workflow.explain("Summarize this", TEXT)
    assert (event["exit"], event["verdict"]) == ("too_long", "abstained")
    assert words in event["response"]
    assert len(workflow.agent.chat_model.prompts) <= 64 * MOST_ROUNDS


def test_a_real_student_reads_a_long_text(student):
    workflow = MultiAgentWorkflow(student)
    event = workflow.explain("Summarize this", "The cat sat on the mat. " * 60)
    assert event["exit"] in (
        "answered",
        "too_long",
    )  # it knows a dozen answers, not how to be short
    assert event["response"]


def test_old_turns_leave_when_the_conversation_no_longer_fits():
    history = [("human", f"old question {number} about some bears") for number in range(9)]
    model = ScriptedModel(lambda prompt: "x")
    workflow = AgenticWorkflow(None, chat_model=model, policy=SMALL)
    workflow.run("newest?", chat_history=history)
    (prompt,) = model.prompts
    assert context_budget(model, 100).fits(prompt)
    assert "old question 8" in prompt
    assert "old question 0" not in prompt


def test_blank_room_still_takes_the_question():
    budget = ContextBudget(prompt=1, count=len)
    assert not budget.fits("ab")
    assert cut_to_fit("ab cd", budget.fits) == "a"
