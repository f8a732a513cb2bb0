"""The chat tab: threads, conversation, question box, and every action on a turn."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

from ...errors import EngineBusyError, StillroomError
from ...tables import FactTable
from ..answer_events import Event
from ..conversations.chat_service import ChatService, new_thread, question_fault
from ..conversations.transcript import ChatTurn
from .conversation_html import (
    Running,
    conversation_html,
    running_html,
    spoken_answer,
    threads_html,
    welcome_html,
)
from .encode import encode
from .gradio_module import Gradio
from .script import ACTIONS, ADDRESS, DOWNLOAD, FOLLOW

_log = logging.getLogger(__name__)
_THREAD: Final = re.compile(r"[0-9a-f]{32}")
_DETAIL: Final = "detail."
"""Begins the names of the fields of an approval."""


@dataclass(frozen=True)
class View:
    """What one browser tab shows."""

    thread: str = ""
    """The thread; a new one is named when the page is opened."""
    run_id: str = ""
    """The run in progress."""
    keep: int | None = None
    """How many turns stay when the question is sent: an earlier question is being edited."""
    comments_on: str = ""
    """The run about which a comment is asked for."""
    workflow: str = ""
    """What answers; questions to start with are those of its table."""


@dataclass(frozen=True)
class ChatTab:
    """The parts of the chat tab that other tabs use."""

    workflow: Gradio
    """The dropdown of what answers."""
    box: Gradio
    """The question box."""
    send: Callable[..., Any]
    """Event handler that answers the question in the box."""
    sent_to: list[Any]
    """Outputs of `send`."""
    sent_from: list[Any]
    """Inputs of `send`."""


def add_chat_tab(
    gr: Gradio,
    page: Gradio,
    service: ChatService,
    owner_of: Callable[[Gradio], str],
) -> ChatTab:
    """Add the chat to the page.

    Args:
        gr: Gradio.
        page: The `gradio.Blocks`.
        service: Answers and keeps.
        owner_of: Tells from a request whose it is.
    """
    show = _Shown(gr, service)
    view = gr.State(View())
    with gr.Row(elem_id="columns"):
        with gr.Column(elem_id="side", scale=0, min_width=0):
            threads = gr.HTML(js_on_load=ACTIONS, elem_id="threads", apply_default_css=False)
            export = gr.Button("Save answers as CSV", elem_id="export", size="sm")
        with gr.Column(elem_id="main"):
            conversation = gr.HTML(
                js_on_load=ACTIONS, elem_id="conversation", apply_default_css=False
            )
            now = gr.HTML(js_on_load=ACTIONS + FOLLOW, elem_id="now", apply_default_css=False)
            with gr.Column(elem_id="composer"):
                notice = gr.HTML(elem_id="notice", js_on_load=ACTIONS, apply_default_css=False)
                box = gr.Textbox(
                    elem_id="question",
                    placeholder="Ask about the table",
                    show_label=False,
                    label="Your question",
                    container=False,
                    autofocus=True,
                    max_lines=6,
                    submit_btn="Ask",
                    stop_btn=False,
                )
                workflow = gr.Dropdown(
                    elem_id="workflow", label="Answered by", container=False, interactive=True
                )
    announced = gr.HTML(
        "",
        html_template='<div aria-live="polite">${value}</div>',
        elem_id="announced",
        js_on_load=None,
        apply_default_css=False,
    )
    address = gr.Textbox(visible="hidden", label="Thread")
    csv = gr.Textbox(visible="hidden", label="CSV")
    shown = [view, conversation, now, threads, notice, box, announced, address]
    common = {"api_visibility": "private", "show_progress": "hidden"}

    async def send(
        question: str,
        chosen: str,
        seen: View,
        request: Gradio,
    ) -> AsyncIterator[tuple[Any, ...]]:
        async for outputs in show.answer(owner_of(request), question or "", chosen, seen):
            yield outputs

    def load(request: Gradio) -> tuple[Any, ...]:
        owner = owner_of(request)
        thread = str(request.query_params.get("thread", ""))
        if not (_THREAD.fullmatch(thread) and service.turns(owner, thread)):
            thread = new_thread()
        choices = [(label, name) for name, label in service.workflows(owner).items()]
        dropdown = gr.Dropdown(choices=choices, value=choices[0][1])
        return *show.thread(owner, View(thread)), dropdown

    async def act(
        chosen: str,
        seen: View,
        request: Gradio,
        event: Gradio,
    ) -> AsyncIterator[tuple[Any, ...]]:
        data = event._data if isinstance(event._data, dict) else {}
        async for outputs in show.act(owner_of(request), chosen, seen, data):
            yield outputs

    def choose(chosen: str, seen: View, request: Gradio) -> tuple[Any, ...]:
        return show.welcome(owner_of(request), replace(seen, workflow=chosen))

    def comment(seen: View, request: Gradio, event: Gradio) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        return show.comment(owner_of(request), seen, data)

    def stop(seen: View, request: Gradio) -> None:
        service.stop(owner_of(request), seen.run_id)

    def answers(request: Gradio) -> str:
        return service.answers_csv(owner_of(request))

    # Gradio passes requests and event data because of these annotations.
    for handler in (send, load, act, choose, comment, stop, answers):
        handler.__annotations__["request"] = gr.Request
        if handler in (act, comment):
            handler.__annotations__["event"] = gr.EventData

    page.load(load, None, [*shown, workflow], **common).then(None, address, None, js=ADDRESS)
    inputs = [box, workflow, view]
    box.submit(send, inputs, shown, **common).then(None, address, None, js=ADDRESS)
    box.stop(stop, view, None, queue=False, **common)
    for part in (conversation, threads, now, notice):
        part.click(act, [workflow, view], shown, **common).then(None, address, None, js=ADDRESS)
    workflow.change(choose, [workflow, view], [view, conversation], **common)
    conversation.submit(comment, view, shown, **common)
    export.click(answers, None, csv, **common).then(None, csv, None, js=DOWNLOAD)
    return ChatTab(workflow, box, send, shown, inputs)


class _Shown:
    """Makes the outputs of the events: view, conversation, turn in progress, threads and so on."""

    def __init__(self, gr: Gradio, service: ChatService) -> None:
        self.gr, self.service = gr, service

    def thread(
        self,
        owner: str,
        view: View,
        notice: str = "",
        box: Gradio = None,
        spoken: str = "",
    ) -> tuple[Any, ...]:
        """Show a thread as it is stored."""
        turns = self.service.turns(owner, view.thread)
        inner = conversation_html(
            turns,
            self.service.opinions(owner, turns),
            self.service.tables(owner),
            view.comments_on,
        )
        return (
            view,
            inner or welcome_html(self._table(owner, view)),
            "",
            threads_html(self.service.threads(owner), view.thread),
            notice,
            self.gr.skip() if box is None else box,
            spoken,
            view.thread if turns else "",
        )

    def welcome(self, owner: str, view: View) -> tuple[Any, ...]:
        """Show the questions to start with of another table, in an empty thread."""
        if self.service.turns(owner, view.thread):
            return view, self.gr.skip()
        return view, welcome_html(self._table(owner, view))

    async def answer(
        self, owner: str, question: str, workflow: str, view: View
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Answer a question; a refused one stays in the box."""
        keep = self.gr.skip()
        fault = question_fault(question)
        if fault:
            yield view, keep, keep, keep, _alert(fault), keep, keep, keep
            return
        if view.keep is not None:
            self.service.keep_first(owner, view.thread, view.keep)
        run_id = str(uuid4())
        view = replace(view, run_id=run_id, keep=None, comments_on="", workflow=workflow)
        events = self.service.ask(owner, view.thread, workflow, question, run_id)
        turns = self.service.turns(owner, view.thread)
        shown = self._followed(owner, view, events, question, turns, question)
        async with aclosing(shown) as stream:  # type: ignore[type-var]
            async for outputs in stream:
                yield outputs

    async def _followed(
        self,
        owner: str,
        view: View,
        events: AsyncIterator[Event],
        asked: str,
        before: Sequence[ChatTurn],
        kept: str | None = None,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Show a turn as it goes on.

        Args:
            owner: Whose it is.
            view: The view, with the run's id.
            events: The events of the turn.
            asked: The question that is shown above it.
            before: The turns that are shown before it.
            kept: What is in the box again where there is no answer; None for a decision, which the
                thread then waits for again.
        """
        gr, keep = self.gr, self.gr.skip()
        ready = {"submit_btn": "Ask", "stop_btn": False}
        run = Running(question=asked, run_id=view.run_id, note="Looking it up", busy=True,
                      steps=[], answer="")  # fmt: skip
        waiting = gr.Textbox(value="", submit_btn=False, stop_btn="Stop")
        past = self._past(owner, before)
        yield view, past, running_html(run), keep, "", waiting, "", keep
        refused = ""
        try:
            async with aclosing(events) as stream:  # type: ignore[type-var]
                async for event in stream:
                    run = updated(run, event)
                    if event["type"] == "stopped" and kept is None:
                        yield self.thread(owner, view, _told("Stopped."), gr.Textbox(**ready))
                        return
                    if event["type"] == "stopped":
                        yield (view, keep, running_html(run), keep, "", gr.Textbox(**ready),
                               "Stopped.", keep)  # fmt: skip
                        return
                    if event["type"] == "final":
                        box, said = gr.Textbox(**ready), spoken_answer(event)
                        yield self.thread(owner, view, box=box, spoken=said)
                        return
                    yield keep, keep, running_html(run), keep, keep, keep, keep, keep
        except EngineBusyError as fault_:
            refused = f"Not asked: {fault_}."
        except StillroomError as fault_:
            refused = f"No answer: {fault_}"
        except Exception:  # noqa: BLE001 - the page shows a sentence, the log has the traceback
            _log.exception("a question of the chat page failed")
            refused = "Something went wrong on this side; the reason is in the server's log."
        yield self.thread(
            owner, view, _alert(refused), gr.Textbox(value=kept or "", **ready), encode(refused)
        )

    async def act(
        self, owner: str, workflow: str, view: View, data: dict[str, Any]
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Do what a button says; the data come from the browser, so nothing in them is trusted."""
        view = replace(view, workflow=workflow)
        action = str(data.get("action", ""))
        thread, run = str(data.get("thread", "")), str(data.get("run", ""))
        turns = self.service.turns(owner, view.thread)
        number = _number(data.get("number"), len(turns))
        if action in ("approve", "reject"):
            async for outputs in self.decide(owner, view, action == "approve", data):
                yield outputs
        elif action in ("example", "again", "choice") and data.get("question"):
            async for outputs in self.answer(owner, str(data["question"]), workflow, view):
                yield outputs
        elif action == "retry" and number is not None:
            asked = turns[number].question
            async for outputs in self.answer(owner, asked, workflow, replace(view, keep=number)):
                yield outputs
        else:
            yield self._changed(owner, view, action, thread, run, number)

    async def decide(
        self, owner: str, view: View, approve: bool, data: dict[str, Any]
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Approve or reject what the last turn waits for, and show how it goes on."""
        turns = self.service.turns(owner, view.thread)
        asked = turns[-1].question if turns else ""
        view = replace(view, run_id=turns[-1].run_id if turns else "", comments_on="")
        events = self.service.decide(
            owner,
            view.thread,
            str(data.get("approval", "")),
            approve=approve,
            note=str(data.get("note", "")).strip(),
            edited={
                name.removeprefix(_DETAIL): str(value)
                for name, value in data.items()
                if name.startswith(_DETAIL)
            },
        )
        async with aclosing(self._followed(owner, view, events, asked, turns[:-1])) as stream:  # type: ignore[type-var]
            async for outputs in stream:
                yield outputs

    def comment(self, owner: str, view: View, data: dict[str, Any]) -> tuple[Any, ...]:
        """Store a comment and a corrected answer."""
        run = str(data.get("run", ""))
        turns = self.service.turns(owner, view.thread)
        given = self.service.opinions(owner, turns).get(run)
        try:
            self.service.give_feedback(
                owner,
                run,
                given.opinion if given else "wrong",
                str(data.get("comment", "")),
                str(data.get("correction", "")),
            )
        except StillroomError as fault:
            return self.thread(owner, view, _alert(f"Not stored: {fault}."))
        said = f"Stored with run {run[:8]}. Thank you."
        return self.thread(owner, replace(view, comments_on=""), _told(said))

    def _changed(
        self, owner: str, view: View, action: str, thread: str, run: str, number: int | None
    ) -> tuple[Any, ...]:
        """Do what needs no answer."""
        gr, service = self.gr, self.service
        if action == "new":
            return self.thread(owner, self._other(view, new_thread()), box=gr.Textbox(value=""))
        if action == "open" and service.turns(owner, thread):
            return self.thread(owner, self._other(view, thread))
        if action == "delete":
            service.keep_first(owner, thread, 0)
            gone = thread == view.thread
            return self.thread(owner, self._other(view, new_thread()) if gone else view)
        if action == "undo" and number is not None:
            service.keep_first(owner, view.thread, number)
            return self.thread(owner, replace(view, keep=None), _told("Removed."))
        if action == "edit" and number is not None:
            asked = service.turns(owner, view.thread)[number].question
            told = _told("Edit the question below; it replaces the old one and what follows.")
            cancel = '<button type="button" data-action="cancel">Cancel</button>'
            return self.thread(
                owner, replace(view, keep=number), told + cancel, gr.Textbox(value=asked)
            )
        if action == "cancel":
            return self.thread(owner, replace(view, keep=None), box=gr.Textbox(value=""))
        if action in ("good", "wrong"):
            return self._judged(owner, view, action, run)
        return self.thread(owner, replace(view, comments_on="" if action == "closed" else run))

    def _judged(self, owner: str, view: View, opinion: Gradio, run: str) -> tuple[Any, ...]:
        """Store an opinion, or take the same one back."""
        turns = self.service.turns(owner, view.thread)
        given = self.service.opinions(owner, turns).get(run)
        if given is not None and given.opinion == opinion:
            self.service.feedback.withdraw(owner, run)
            return self.thread(owner, replace(view, comments_on=""), _told("Taken back."))
        comment, correction = (given.comment, given.correction) if given else ("", "")
        try:
            self.service.give_feedback(owner, run, opinion, comment, correction)
        except StillroomError as fault:
            return self.thread(owner, view, _alert(f"Not stored: {fault}."))
        return self.thread(owner, replace(view, comments_on=run))

    def _other(self, view: View, thread: str) -> View:
        return View(thread, workflow=view.workflow)

    def _table(self, owner: str, view: View) -> FactTable | None:
        return self.service.tables(owner).get(view.workflow) or self.service.default_table

    def _past(self, owner: str, turns: Sequence[ChatTurn]) -> str:
        opinions = self.service.opinions(owner, turns)
        return conversation_html(turns, opinions, self.service.tables(owner), decides=False)


def updated(run: Running, event: Event) -> Running:
    """Apply an event to the turn in progress."""
    if event["type"] == "token":
        return {**run, "answer": (run["answer"] + event["text"]).lstrip(), "note": ""}
    if event["type"] == "restart":
        note = "That was not what the record says; asking again"
        return {**run, "answer": "", "note": note}
    if event["type"] == "step":
        step = {name: event[name] for name in ("node", "what", "detail")}
        return {**run, "steps": [*run["steps"], step]}
    if event["type"] == "stopped":
        return {**run, "busy": False, "note": "Stopped."}
    return run


def _number(given: object, count: int) -> int | None:
    """Read the number of a turn; None if there is no such turn."""
    text = str(given)
    return int(text) if text.isascii() and text.isdigit() and int(text) < count else None


def _alert(text: str) -> str:
    return f'<p role="alert">{encode(text)}</p>'


def _told(text: str) -> str:
    return f'<p role="status">{encode(text)}</p>'
