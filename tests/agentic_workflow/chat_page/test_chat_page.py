"""The chat page without a browser: what it shows, what it refuses, what it never sends."""

import asyncio
import builtins
import os
import re
import socket
import sys

import pytest
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.chat_page import page
from stillroom.agentic_workflow.chat_page.html import (
    encode,
    messages_of,
    question_fault,
    source_line,
)
from stillroom.errors import GenerationError, MissingDependencyError, ModelNotFoundError
from stillroom.inference.chat.scripted_model import ScriptedModel

OUR_TAGS = "div details summary span table caption tr th td ol li b i br"
HOSTILE = [
    "![x](http://evil.example/a.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<iframe src='//evil.example'></iframe>",
    "</div></details><style>*{display:none}</style>",
    "**bold** _it_ `code` ~~~ # head",
    "http://evil.example www.evil.example a@b.example",
    "$$\\href{http://evil.example}{x}$$",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "&lt;b&gt; &#33;",
]


def last_entry(workflow, question):
    async def run():
        return [entries async for entries in page.answer_question(workflow, question, [])]

    return asyncio.run(run())[-1][-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_character_of_a_text_reaches_a_parser(text):
    encoded = encode(text).replace("<br>", "")
    assert re.fullmatch(r"(?:&#\d+;|[^\W_]|[ ]|[^\x00-\x7f])*", encoded)


def test_a_hostile_table_student_and_user_are_all_encoded(table):
    model = ScriptedModel([f"{HOSTILE[2]} Au"])
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table)
    entry = last_entry(workflow, f"symbol of gold {HOSTILE[0]}")
    shown = "".join(m["content"] for m in messages_of([entry]))
    tags = set(re.findall(r"</?([a-z]+)", shown))
    assert tags <= set(OUR_TAGS.split())
    assert "evil" in shown
    assert "://" not in shown


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("", "Please type a question."),
        (" \n\t", "Please type a question."),
        ("x" * 2001, "That is 2,001 characters; a question may have 2,000. Please shorten it."),
        ("x" * 2000, ""),
    ],
)
def test_empty_and_very_long_questions_get_a_sentence(question, said):
    assert question_fault(question) == said
    if said:
        model = ScriptedModel([])
        assert last_entry(MultiAgentWorkflow(None, chat_model=model), question)["note"] == said
        assert not model.prompts


def test_an_answer_streams_and_ends_with_where_it_came_from(table):
    model = ScriptedModel(["It is Ag", "It is Au"])
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table)

    async def run():
        return [entries async for entries in page.answer_question(workflow, "symbol of gold?", [])]

    entries = [shown[-1] for shown in asyncio.run(run())]
    seen = [(entry.get("answer", ""), entry.get("note", "")) for entry in entries]
    assert ("It is", "") in seen
    assert ("", "That was not what the record says; asking again") in seen
    line = "question · agrees with the record · row 79 · column symbol · 2 attempts"
    assert source_line(entries[-1]["final"]) == line


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (GenerationError("out of memory"), "No answer: out of memory"),
        (KeyError("secret"), "Something went wrong on this side"),
    ],
)
def test_errors_get_a_sentence_and_no_traceback(fault, said, caplog):
    entry = last_entry(MultiAgentWorkflow(None, chat_model=ScriptedModel([fault])), "Q")
    assert entry["note"].startswith(said)
    assert "secret" not in entry["note"]
    assert not entry.get("busy")


def test_a_stopped_answer_keeps_what_was_there():
    busy = {"question": "Q", "answer": "one two", "busy": True}
    stopped = page.stop_last([busy])
    assert stopped == [{"question": "Q", "answer": "one two", "note": "Stopped."}]
    assert page.stop_last(stopped) == stopped
    assert page.stop_last([]) == []


def test_without_gradio_the_error_says_what_to_install(monkeypatch, table):
    real = builtins.__import__

    def no_gradio(name, *args, **kwargs):
        if name.partition(".")[0] == "gradio":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_gradio)
    monkeypatch.delitem(sys.modules, "gradio", raising=False)
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel([]), table=table)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'stillroom[chat]'")):
        page.create_app(workflow)


def test_the_newest_student_is_found(tmp_path):
    with pytest.raises(ModelNotFoundError, match="make demo"):
        page.newest_student(tmp_path)
    for name in ("old", "new"):
        folder = tmp_path / name / "student"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    os.utime(tmp_path / "old" / "student", (1, 1))
    assert page.newest_student(tmp_path) == tmp_path / "new" / "student"


def test_a_taken_port_is_passed_over():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert page.free_port(taken) > taken
