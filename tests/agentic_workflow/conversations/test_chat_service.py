"""Turns of conversations: kept by owner, undone for the student too, stopped, refused."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.conversations.answerers import (
    ServiceAnswerer,
    TableAnswerer,
    WorkflowAnswerer,
)
from stillroom.agentic_workflow.conversations.chat_service import ChatService, new_thread
from stillroom.agentic_workflow.conversations.comparison import Comparison
from stillroom.agentic_workflow.conversations.open_chat import chat_over
from stillroom.agentic_workflow.conversations.transcript import Transcript
from stillroom.agentic_workflow.nodes.human_approval import with_approval
from stillroom.errors import ConfigError, EngineBusyError, EngineClosedError, GenerationError
from stillroom.inference.chat.scripted_model import ScriptedModel


class Slow:
    """An answerer that waits before its final event."""

    label, table = "slow", None

    def __init__(self):
        self.go, self.closed, self.running, self.most = asyncio.Event(), 0, 0, 0

    async def events(self, question, *, owner, thread_id, run_id, before):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield {"type": "token", "text": "part", "node": "slow", "attempt": 1}
            await self.go.wait()
            yield {"type": "final", "response": question, "exit": "answered", "verdict": None}
        finally:
            self.running -= 1
            self.closed += 1


def replies(prompt):
    for name, symbol in (("gold", "Au"), ("silver", "Ag")):
        if name in prompt.lower():
            return "196.97" if "mass" in prompt and name == "gold" else symbol
    return "Au"


def service_of(table, **options):
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel(replies), table=table)
    answerer = WorkflowAnswerer(workflow, "checked", workflow.agent.reader)
    return ChatService({"multi": answerer}, **options)


async def ask(service, thread, question, owner="anna", workflow="multi", run_id=None):
    run_id = run_id or str(uuid4())
    return [one async for one in service.ask(owner, thread, workflow, question, run_id)][-1]


async def test_a_turn_is_kept_and_belongs_to_its_owner(table, tmp_path):
    service = service_of(table, transcript=Transcript(tmp_path / "t.db"))
    thread, run_id = new_thread(), str(uuid4())
    final = await ask(service, thread, "What is the symbol of gold?", run_id=run_id)
    assert final["response"] == "Au"
    service.close()
    again = Transcript(tmp_path / "t.db")
    (turn,) = again.turns("anna", thread)
    assert (turn.question, turn.final["response"], turn.run_id) == (
        "What is the symbol of gold?", "Au", run_id,
    )  # fmt: skip
    assert [one.id for one in again.threads("anna")] == [thread]
    assert again.turns("bert", thread) == []
    assert again.threads("bert") == []
    assert again.turn("bert", run_id) is None
    again.close()


async def test_ten_thousand_guessed_threads_show_nothing(table):
    service = service_of(table)
    thread = new_thread()
    await ask(service, thread, "What is the symbol of gold?")
    guesses = [thread, *(new_thread() for _ in range(9_999))]
    assert not any(service.turns("mallory", guess) for guess in guesses)


async def test_what_is_undone_is_forgotten_by_the_student_too(table):
    service, thread = service_of(table), new_thread()
    await ask(service, thread, "What is the symbol of gold?")
    await ask(service, thread, "What is the symbol of silver?")
    service.keep_first("anna", thread, 1)
    final = await ask(service, thread, "and its atomic mass?")
    assert "Gold" in final["plan"]
    assert [turn.question for turn in service.turns("anna", thread)] == [
        "What is the symbol of gold?",
        "and its atomic mass?",
    ]
    service.keep_first("anna", thread, 0)
    assert service.threads("anna") == []
    final = await ask(service, thread, "and its atomic mass?")
    assert final["verdict"] == "abstained"


async def test_a_follow_up_leans_on_the_same_turn_after_a_restart(table, tmp_path):
    url, thread = f"sqlite:///{tmp_path}/threads.db", new_thread()
    for question in ("What is the symbol of gold?", "and its atomic mass?"):
        workflow = MultiAgentWorkflow(
            None, chat_model=ScriptedModel(replies), table=table, checkpointer=url
        )
        service = ChatService(
            {"multi": WorkflowAnswerer(workflow, "checked")},
            transcript=Transcript(tmp_path / "t.db"),
        )
        final = await ask(service, thread, question)
        service.close()
        workflow.checkpointer.close()
    assert "Gold" in final["plan"]


async def test_a_reading_that_was_asked_back_about_is_chosen_by_its_words(table):
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel(replies), table=table)
    service = ChatService(
        {"multi": WorkflowAnswerer(workflow, "checked"), "table": TableAnswerer(table, "alone")}
    )
    for workflow in ("multi", "table"):
        thread = new_thread()
        asked = await ask(service, thread, "how many metals", workflow=workflow)
        readings = ["the number of rows where category has metal", "the number of rows"]
        assert (asked["exit"], asked["choices"]) == ("ask_back", readings)
        for reading, answer in zip(readings, ("3", "5"), strict=True):
            chosen = await ask(service, thread, f"{reading.upper()}?", workflow=workflow)
            assert (chosen["response"], chosen["plan"], chosen["choices"]) == (answer, reading, [])
            service.keep_first("anna", thread, 1)
        other = await ask(service, thread, "What is the symbol of gold?", workflow=workflow)
        assert other["response"] == "Au"


async def decide(service, thread, approval, owner="anna", **decision):
    events = service.decide(owner, thread, approval, **decision)
    return [event async for event in events][-1]


@pytest.mark.parametrize("served", [False, True])
async def test_a_decision_is_taken_once_by_the_owner_and_changes_the_turn(table, served):
    written = []
    workflow = AgenticWorkflow(
        None, chat_model=ScriptedModel(replies), table=table, checkpointer="memory"
    )

    def propose(state):
        return {"action": "write", "details": {"symbol": "Au", "row": 79}}

    def write(state, proposal):
        written.append(proposal["details"])

    workflow.add_node("correct", with_approval(write, propose, "correct", editable=["symbol"]))
    answerer = WorkflowAnswerer(workflow, "asks")
    if served:
        pytest.importorskip("fastapi", reason="pip install 'stillroom[serve]'")
        from stillroom.agentic_workflow.http.service import Service

        answerer = ServiceAnswerer(
            Service(workflow.agent.chat_model, {"desk": workflow}), "desk", "asks"
        )
    service, thread = ChatService({"desk": answerer}), new_thread()
    final = await ask(service, thread, "What is the symbol of gold?", workflow="desk")
    (approval,) = final["approvals"]
    assert (final["exit"], approval["action"]) == ("waiting", "write")
    for owner, id_ in (("bert", approval["id"]), ("anna", "another")):
        with pytest.raises(ConfigError, match="nothing waits"):
            await decide(service, thread, id_, owner, approve=True)
    edited = {"symbol": "Aurum", "row": "80", "more": "x"}  # the page is not to be trusted
    done = await decide(service, thread, approval["id"], approve=True, edited=edited)
    assert written == [{"symbol": "Aurum", "row": 79}]
    assert (done["exit"], done["response"], done["approvals"]) == ("answered", "Au", [])
    (turn,) = service.turns("anna", thread)
    assert turn.final == done
    with pytest.raises(ConfigError, match="nothing waits"):
        await decide(service, thread, approval["id"], approve=True)
    (second,) = (await ask(service, thread, "and silver?", workflow="desk"))["approvals"]
    await ask(service, thread, "and now?", workflow="desk")
    service.keep_first("anna", thread, 2)  # the question after it dropped the proposal
    with pytest.raises(ConfigError, match="ask the question again"):
        await decide(service, thread, second["id"], approve=True)
    assert len(written) == 1


async def test_a_servers_service_runs_the_turns(table, tmp_path):
    pytest.importorskip("fastapi", reason="pip install 'stillroom[serve]'")
    from stillroom.agentic_workflow.http.service import Service

    model = ScriptedModel(replies)
    workflows = {"multi": MultiAgentWorkflow(model, table=table, checkpointer="memory")}
    server, ended = Service(model, workflows, model_name="elements"), []
    server.observers.append(lambda turn: ended.append((turn.owner, turn.run_id, turn.outcome)))
    service = chat_over(server, server.workflows, tmp_path, tmp_path / "chat")
    thread, run_id = new_thread(), str(uuid4())
    await ask(service, thread, "What is the symbol of gold?", run_id=run_id)
    await ask(service, thread, "What is the symbol of silver?")
    service.keep_first("anna", thread, 1)
    final = await ask(service, thread, "and its atomic mass?")
    assert "Gold" in final["plan"]
    assert ended[0] == ("anna", run_id, "answered")
    assert len(ended) == 3
    assert service.workflows("anna") == {"multi": "The student, checked against the table"}
    server.draining = True
    with pytest.raises(EngineClosedError, match="going down"):
        await ask(service, thread, "What is the symbol of gold?")
    service.close()


async def test_a_right_no_is_an_answer_with_the_cells_that_decide_it(table):
    final = await ask(service_of(table), new_thread(), "Is the symbol of Gold Ag?")
    assert (final["response"], final["verdict"]) == ("no", "agrees")
    assert {(cell["column"], cell["value"]) for cell in final["citations"]} == {
        ("element", "Gold"),
        ("symbol", "Au"),
    }


async def test_a_stopped_turn_ends_and_is_not_kept():
    slow = Slow()
    service, thread, run_id = ChatService({"slow": slow}), new_thread(), str(uuid4())
    seen = []
    async with aclosing(service.ask("anna", thread, "slow", "q", run_id)) as events:
        async for event in events:
            seen.append(event["type"])
            service.stop("bert", run_id)  # not his
            if event["type"] == "token":
                service.stop("anna", run_id)
    assert seen == ["token", "stopped"]
    assert (slow.running, slow.closed) == (0, 1)
    assert service.turns("anna", thread) == []


async def test_a_reader_that_goes_away_ends_the_turn():
    slow = Slow()
    service = ChatService({"slow": slow}, most_running=1, most_waiting=0)
    task = asyncio.create_task(ask(service, new_thread(), "q", workflow="slow"))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.running == 0
    slow.go.set()
    assert (await ask(service, new_thread(), "q", workflow="slow"))["type"] == "final"


async def test_two_tabs_on_one_thread_take_turns_and_lose_none():
    slow = Slow()
    slow.go.set()
    service, thread = ChatService({"slow": slow}), new_thread()
    await asyncio.gather(
        *(ask(service, thread, f"q{number}", workflow="slow") for number in range(8))
    )
    assert slow.most == 1
    kept = [turn.question for turn in service.turns("anna", thread)]
    assert sorted(kept) == [f"q{number}" for number in range(8)]


async def test_too_many_turns_are_refused_at_once():
    slow = Slow()
    service = ChatService({"slow": slow}, most_running=1, most_waiting=1)
    tasks = [asyncio.create_task(ask(service, new_thread(), "q", workflow="slow"))
             for _ in range(2)]  # fmt: skip
    await asyncio.sleep(0.02)
    with pytest.raises(EngineBusyError, match="ask again in a moment"):
        await ask(service, new_thread(), "q", workflow="slow")
    slow.go.set()
    assert [one["type"] for one in await asyncio.gather(*tasks)] == ["final", "final"]


@pytest.mark.parametrize(
    ("thread", "workflow", "question", "words"),
    [
        ("../../etc", "multi", "q", "there is no thread"),
        ("0" * 32, "other", "q", "there is no workflow 'other'"),
        ("0" * 32, "multi", " \n", "Please type a question"),
        ("0" * 32, "multi", "x" * 2001, "a question may have 2,000"),
    ],
)
async def test_what_cannot_be_asked_is_refused(table, thread, workflow, question, words):
    service = service_of(table)
    with pytest.raises(ConfigError, match=words):
        await ask(service, thread, question, workflow=workflow)
    assert service.threads("anna") == []


async def test_a_failed_turn_is_not_kept(table):
    workflow = MultiAgentWorkflow(
        None, chat_model=ScriptedModel([GenerationError("out of memory"), "Au"]), table=table
    )
    service, thread = ChatService({"multi": WorkflowAnswerer(workflow, "checked")}), new_thread()
    with pytest.raises(GenerationError, match="out of memory"):
        await ask(service, thread, "What is the symbol of gold?")
    assert service.turns("anna", thread) == []
    assert (await ask(service, thread, "What is the symbol of gold?"))["response"] == "Au"


async def test_feedback_is_about_an_answer_that_was_given(table):
    service, thread, run_id = service_of(table), new_thread(), str(uuid4())
    await ask(service, thread, "What is the symbol of gold?", run_id=run_id)
    service.give_feedback("anna", run_id, "wrong", " why not gold ", " AU ")
    (kept,) = service.feedback.all()
    assert (kept.question, kept.answer, kept.correction, kept.comment, kept.about) == (
        "What is the symbol of gold?", "Au", "AU", "why not gold", "elements.csv row 79",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="there is no answer of run"):
        service.give_feedback("bert", run_id, "good")


async def test_a_table_of_ones_own_is_asked_without_a_student(table, tmp_path):
    service = service_of(table, read_table=lambda path, name: table)
    name = await service.add_table("anna", tmp_path / "mine.csv", "mine.csv")
    assert service.workflows("anna")[name] == "mine.csv, without a student"
    assert name not in service.workflows("bert")
    thread = new_thread()
    final = await ask(service, thread, "What is the symbol of Gold?", workflow=name)
    assert final["response"] == "Au"
    assert {(cell["row"], cell["column"], cell["value"]) for cell in final["citations"]} == {
        (79, "element", "Gold"),
        (79, "symbol", "Au"),
    }
    final = await ask(service, thread, "and its atomic mass?", workflow=name)
    assert final["response"] == "196.97"
    final = await ask(service, thread, "What is the capital of France?", workflow=name)
    assert (final["verdict"], final["citations"]) == ("abstained", [])


async def test_words_for_a_column_are_understood_from_the_next_question_on(table):
    saved = []
    service = service_of(table, save_table=saved.append)
    answerer = TableAnswerer(table, "mine")
    before = answerer.reader.read("What is the heft of Gold?")
    assert before.verdict != "answered"
    answerer.rename({"mass": ["heft"]})
    assert answerer.reader.read("What is the heft of Gold?").answer == ("196.97",)
    answerer.rename({"mass": []})
    assert answerer.reader.read("What is the heft of Gold?").verdict == before.verdict
    service.rename("anna", "multi", {"mass": ["heft", "heft"]})
    assert [column.also for column in saved[0].columns if column.name == "mass"] == [("heft",)]
    with pytest.raises(ConfigError, match="the columns that are asked about are"):
        service.rename("anna", "multi", {"price": ["cost"]})
    with pytest.raises(ConfigError, match="cannot be edited here"):
        service_of(table).rename("anna", "multi", {"mass": ["heft"]})


async def test_models_are_compared_with_the_table(table):
    models = {"Teacher": ScriptedModel(["Au"]), "Student": ScriptedModel([GenerationError("no")])}
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel([]), table=table)
    service = service_of(table, comparison=Comparison({}, models, workflow.agent.reader))
    states = [now async for now in service.compare("What is the symbol of Gold?")]
    assert [len(now.answers) for now in states] == [0, 1, 2]
    assert states[-1].right == "Au"
    assert [(one.model, one.text, one.fault) for one in states[-1].answers] == [
        ("Teacher", "Au", ""),
        ("Student", "", "no"),
    ]
    with pytest.raises(ConfigError, match="Please type"):
        _ = [now async for now in service.compare(" ")]
