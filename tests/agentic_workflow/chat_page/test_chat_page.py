"""The chat page without a browser: what it shows, what it refuses, what it never sends."""

import builtins
import os
import re
import socket
import sys
from dataclasses import replace
from uuid import uuid4

import pytest
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.chat_page import page
from stillroom.agentic_workflow.chat_page.conversation_html import (
    Running,
    cells_html,
    conversation_html,
    running_html,
    spoken_answer,
    threads_html,
    verdict_of,
    welcome_html,
)
from stillroom.agentic_workflow.chat_page.encode import attribute, encode
from stillroom.agentic_workflow.chat_page.table_html import (
    TableView,
    asking_html,
    records_html,
    sorted_rows,
)
from stillroom.agentic_workflow.conversations.chat_service import new_thread
from stillroom.agentic_workflow.conversations.open_chat import chat_folder, chat_service
from stillroom.agentic_workflow.conversations.transcript import ChatTurn, Thread
from stillroom.agentic_workflow.feedback.feedback_store import Feedback
from stillroom.errors import MissingDependencyError, ModelNotFoundError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import Column, FactTable, TableRow

OUR_TAGS = (
    r"article|div|h2|h3|p|span|button|form|label|textarea|details|summary|ol|li|b|i|br|table|"
    r"caption|thead|tbody|tr|th|td|mark|nav|input"
)
HOSTILE = [
    "![x](http://evil.example/a.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<iframe src='//evil.example'></iframe>",
    "</div></details><style>*{display:none}</style>",
    '" onfocus="alert(1)" autofocus="',
    "**bold** _it_ `code` ~~~ # head",
    "http://evil.example www.evil.example a@b.example",
    "$$\\href{http://evil.example}{x}$$ ${alert(1)} {{constructor}}",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "&lt;b&gt; &#33;",
]


async def turn_of(table, question, reply="Au"):
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel(lambda _: reply), table=table)
    service, thread = chat_service(workflow), new_thread()
    async for _ in service.ask("anna", thread, "multi", question, str(uuid4())):
        pass
    return service.turns("anna", thread)[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_character_of_a_text_reaches_a_parser(text):
    encoded = encode(text).replace("<br>", "")
    assert re.fullmatch(r"(?:&#\d+;|[^\W_]|[ ]|[^\x00-\x7f])*", encoded)
    assert re.fullmatch(r"(?:&#\d+;|[^\W_]|[ ]|[^\x00-\x7f])*", attribute(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_tables_students_users_and_feedback_are_all_encoded(text):
    table = FactTable(text, "facts", text, (Column(text, text, ("{key}?",), (text,)),),
                      (TableRow(1, text, {text: text}),), (text,))  # fmt: skip
    source = {"table": text, "row": 1, "key": text, "key_column": text, "column": text,
              "value": text, "values": {text: text}}  # fmt: skip
    cell = {"table": text, "row": 1, "key": text, "column": text, "value": text}
    step = {"node": text, "what": text, "detail": text}
    final = {"response": text, "verdict": "agrees", "exit": "answered", "task_type": text,
             "confidence": 0.5, "sources": [source], "citations": [cell], "steps": [step],
             "plan": text, "answered_by": text, "attempts": 2}  # fmt: skip
    turn = ChatTurn("run", "multi", text, final)
    opinion = Feedback("run", "anna", text, text, "wrong", text, text)
    running = Running(question=text, run_id="run", answer=text, note=text, steps=[step], busy=False)
    shown = [
        conversation_html([turn], {"run": opinion}, {"multi": table}, "run"),
        running_html(running),
        welcome_html(table),
        threads_html([Thread("0" * 32, text, "")], ""),
        records_html(table, TableView()),
        asking_html(table, editable=True),
        spoken_answer(final),
    ]
    for html in shown:
        assert all(re.fullmatch(OUR_TAGS, tag) for tag in re.findall(r"</?([a-z0-9]+)", html))
        assert not re.search(r"\son\w+=|://|\$\{|\{\{|javascript:", html)


async def test_the_cited_cells_are_marked(table):
    turn = await turn_of(table, "What is the symbol of gold?")
    html = cells_html(turn.final, table)
    assert re.findall(r'<td class="cited"><mark>([^<]+)', html) == ["Gold", "Au"]
    assert html.index("symbol") < html.index("atomic mass")
    assert "2 cited cells of elements&#46;csv" in html


@pytest.mark.parametrize(
    ("final", "style", "words"),
    [
        ({"verdict": "agrees", "task_type": "qa"}, "good", "agrees with the table"),
        ({"verdict": "disagrees", "task_type": "qa"}, "bad", "disagrees with the table"),
        # A right "no" is a good answer.
        ({"verdict": "disagrees", "task_type": "validate"}, "good", "the table says otherwise"),
        ({"verdict": "agrees", "task_type": "qa", "answered_by": "table"}, "good", "computed"),
        ({"verdict": "abstained", "task_type": "qa"}, "plain", "not in the table"),
        ({"verdict": "abstained", "exit": "ask_back"}, "plain", "which one is meant"),
        ({"verdict": None}, "plain", "not checked"),
    ],
)
def test_a_verdict_has_words_and_only_a_contradicted_answer_is_shown_as_a_fault(
    final, style, words
):
    assert verdict_of(final)[0] == style
    assert words in verdict_of(final)[1]


def test_records_are_sorted_by_size_and_empty_ones_come_last(table):
    rows = tuple(replace(row, values={**row.values, "mass": "" if row.row == 47
                                      else row.values["mass"]}) for row in table.rows)  # fmt: skip
    table = replace(table, rows=rows)
    view = TableView().sorted_by("mass")
    assert [row.row for row in sorted_rows(table, view)] == [1, 2, 49, 79, 47]
    view = view.sorted_by("mass")
    assert [row.row for row in sorted_rows(table, view)] == [79, 49, 2, 1, 47]
    assert [row.row for row in sorted_rows(table, TableView(column="no such"))] == [
        1,
        2,
        47,
        49,
        79,
    ]
    assert sorted_rows(table, view.sorted_by("element"))[0].key == "Gold"
    assert 'aria-sort="descending"' in records_html(table, view)
    many = replace(table, rows=tuple(TableRow(n, f"e{n}", {"symbol": "x"}) for n in range(1, 61)))
    last = records_html(many, TableView(page=99))
    assert "Page 3 of 3" in last
    assert last.count("<tr>") == 11


def test_conversations_are_never_kept_inside_the_students_folder(tmp_path):
    student = tmp_path / "run" / "student"
    student.mkdir(parents=True)
    assert chat_folder(student) == tmp_path / "run" / "student.chat"
    (tmp_path / "run" / "progress.json").write_text("{}")
    assert chat_folder(student) == tmp_path / "run" / "chat"


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
        page.build_chat_page(chat_service(workflow))


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
