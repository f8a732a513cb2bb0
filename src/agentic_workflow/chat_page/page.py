"""The chat page: a conversation with the student that shows the source of each answer.

    python examples/chat_ui.py outputs/elements/student

It is served on 127.0.0.1 and loads nothing from other hosts: no analytics, no web fonts, no share
link, and a Content-Security-Policy that forbids other sources.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...errors import MissingDependencyError, ModelNotFoundError, StillroomError
from ...tables import FactTable
from ..multi_agent import MultiAgentWorkflow
from .css import STYLE
from .html import ChatEntry, encode, messages_of, question_fault

FIRST_PORT = 7860
MAX_WAITING = 20
"""Questions that may wait; further ones are rejected."""
MAX_CONCURRENT = 2
"""Questions answered at the same time."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; frame-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Content-Security-Policy of every page; Gradio needs its inline scripts and styles."""

_log = logging.getLogger(__name__)


def create_app(workflow: MultiAgentWorkflow) -> Any:  # noqa: ANN401 - gradio has no types
    """Build the page for a workflow; `launch` serves it.

    Each conversation is a thread, so that a question may lean on the one before.

    Args:
        workflow: Answers the questions. Without a checkpointer it is given one in memory.

    Returns:
        A `gradio.Blocks`.

    Raises:
        MissingDependencyError: Gradio is not installed.
    """
    gr = _gradio()
    table = workflow.agent.table
    if workflow.checkpointer is None:
        workflow.remember("memory")
    with gr.Blocks(title="stillroom", analytics_enabled=False, fill_height=True) as app:
        entries = gr.State([])
        thread = gr.State(new_thread)
        with gr.Row(elem_id="top"):
            gr.HTML(_head(table), elem_id="head")
            new = gr.Button("New chat", elem_id="new", size="sm", scale=0, min_width=0)
        conversation = gr.Chatbot(
            elem_id="conversation",
            show_label=False,
            container=False,
            scale=1,
            layout="bubble",
            placeholder=_placeholder(table),
            examples=[{"text": question} for question in _examples(table)],
            latex_delimiters=[],
            buttons=[],
            feedback_options=None,
            group_consecutive_messages=False,
        )
        box = gr.Textbox(
            elem_id="question",
            placeholder="Ask about the table",
            show_label=False,
            label="Your question",
            container=False,
            autofocus=True,
            max_lines=6,
            submit_btn=True,
            stop_btn=False,
        )

        async def answer(
            question: str, past: list[ChatEntry], thread_id: str
        ) -> AsyncIterator[tuple[Any, ...]]:
            waiting = gr.Textbox(value="", submit_btn=False, stop_btn=True)
            ready = gr.Textbox(submit_btn=True, stop_btn=False)
            states = answer_question(workflow, question or "", list(past or []), thread_id)
            async with aclosing(states) as stream:  # type: ignore[type-var]
                first = True
                async for now in stream:
                    yield now, messages_of(now), waiting if first else gr.skip()
                    first = False
            yield gr.skip(), gr.skip(), ready

        def forget(thread_id: str) -> tuple[Any, ...]:
            if workflow.checkpointer is not None:
                workflow.checkpointer.delete_thread(thread_id)
            return [], [], new_thread()

        def stop(past: list[ChatEntry]) -> tuple[Any, ...]:
            now = stop_last(list(past or []))
            return now, messages_of(now), gr.Textbox(submit_btn=True, stop_btn=False)

        def example_text(event: Any) -> str:  # noqa: ANN401
            return str(event.value["text"])

        # Gradio passes the event because of this annotation.
        example_text.__annotations__["event"] = gr.SelectData

        outputs = [entries, conversation, box]
        common = {"api_visibility": "private", "show_progress": "hidden"}
        submitted = box.submit(answer, [box, entries, thread], outputs, **common)
        example = conversation.example_select(example_text, None, box, **common)
        selected = example.then(answer, [box, entries, thread], outputs, **common)
        new.click(forget, thread, [entries, conversation, thread], queue=False, **common)
        box.stop(stop, entries, outputs, cancels=[submitted, selected], queue=False, **common)
    app.queue(max_size=MAX_WAITING, default_concurrency_limit=MAX_CONCURRENT, api_open=False)
    return app


def launch(workflow: MultiAgentWorkflow, *, port: int | None = None, block: bool = True) -> str:
    """Serve the chat page on 127.0.0.1 and print its address.

    Args:
        workflow: Answers the questions.
        port: TCP port; None takes the first free one from 7860.
        block: Serve until Ctrl-C; False returns immediately, for tests and notebooks.

    Returns:
        The address.
    """
    gr = _gradio()
    from starlette.middleware import Middleware

    app = create_app(workflow)
    chosen = port or free_port()
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    _, address, _ = app.launch(
        server_name="127.0.0.1",
        server_port=chosen,
        share=False,
        show_error=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size="1mb",
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        css=STYLE,
        theme=gr.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"]),
        app_kwargs={"middleware": [Middleware(_Headers)]},
    )
    print(f"stillroom chat: {address}  (press Ctrl-C to stop)", flush=True)
    if block:
        app.block_thread()
    return str(address)


def free_port(first: int = FIRST_PORT) -> int:
    """Find the first free TCP port on 127.0.0.1 from `first`.

    Raises:
        OSError: A hundred ports in a row are taken.
    """
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"ports {first} to {first + 99} are all taken; pass --port (port=...)")


def newest_student(outputs: str | Path = "outputs") -> Path:
    """Find the most recently written student.

    Args:
        outputs: Folder with one folder per run.

    Raises:
        ModelNotFoundError: There is none.
    """
    found = [path for path in Path(outputs).glob("*/student") if (path / "config.json").is_file()]
    if not found:
        raise ModelNotFoundError(
            f"no student below {str(outputs)!r}; make one with `make demo`, or name its folder"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def stop_last(entries: list[ChatEntry]) -> list[ChatEntry]:
    """End the answer that the user stopped, and keep the text received so far."""
    if not entries or not entries[-1].get("busy"):
        return entries
    last = entries[-1]
    stopped = ChatEntry(question=last["question"], answer=last.get("answer", ""), note="Stopped.")
    return [*entries[:-1], stopped]


def new_thread() -> str:
    """Name a new conversation."""
    return uuid4().hex


async def answer_question(
    workflow: MultiAgentWorkflow,
    question: str,
    entries: list[ChatEntry],
    thread_id: str | None = None,
) -> AsyncIterator[list[ChatEntry]]:
    """Answer a question of a thread; yield the whole conversation after every change."""
    fault = question_fault(question)
    if fault:
        yield [*entries, ChatEntry(question=question, note=fault)]
        return
    entry = ChatEntry(question=question, answer="", note="Looking it up", busy=True)
    yield [*entries, entry]
    try:
        events = workflow.astream_events(question, thread_id=thread_id)
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                entry = _updated(entry, event)
                yield [*entries, entry]
    except StillroomError as error:
        yield [*entries, ChatEntry(question=question, note=f"No answer: {error}")]
    except Exception:  # noqa: BLE001 - the page shows a sentence, and the log has the traceback
        _log.exception("a question of the chat page failed")
        sentence = "Something went wrong on this side; the reason is in the server's log."
        yield [*entries, ChatEntry(question=question, note=sentence)]


def _updated(entry: ChatEntry, event: dict[str, Any]) -> ChatEntry:
    """Apply an event of the workflow to an entry."""
    question, answer = entry["question"], entry.get("answer", "")
    if event["type"] == "token":
        so_far = (answer + event["text"]).lstrip()
        return ChatEntry(question=question, answer=so_far, busy=True)
    if event["type"] == "restart":
        note = "That was not what the record says; asking again"
        return ChatEntry(question=question, note=note, busy=True)
    if event["type"] == "final":
        limit = event["exit"] == "step_limit"
        note = "No answer: the agents took too many steps." if limit else ""
        return ChatEntry(question=question, answer=event["response"], note=note, final=event)
    return entry


class _Headers:
    """Add security headers to every page; plain ASGI middleware, which does not buffer streams."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        async def with_headers(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def _gradio() -> Any:  # noqa: ANN401 - gradio has no types
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it at import
    try:
        import gradio
    except ImportError as fault:
        raise MissingDependencyError("gradio", "chat") from fault
    return gradio


def _head(table: FactTable | None) -> str:
    if table is None:
        about = "A distilled student without a table: its answers are not checked."
    else:
        records = f"{len(table.rows):,} records"
        about = f"{table.source} · {records} · every answer is checked against its row"
    return f"<h1>stillroom</h1><p>{encode(about)}</p>"


def _placeholder(table: FactTable | None) -> str:
    if table is None:
        return "<div>Ask a question.</div>"
    labels = ", ".join(column.label for column in table.columns[:8])
    asks = "Ask a question." if table.kind == "questions" else f"Ask about {labels}."
    return f"<div>{encode(asks)}</div>"


def _examples(table: FactTable | None) -> list[str]:
    return [] if table is None else list(table.examples[:6])
