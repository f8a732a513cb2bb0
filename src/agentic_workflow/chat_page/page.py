"""The chat page: a conversation with the student, and under each answer where it came from.

    python examples/chat_ui.py outputs/elements/student

It is served on 127.0.0.1 and asks no other host for anything: no analytics, no web fonts, no share
link, and a Content-Security-Policy that lets the browser load nothing from elsewhere.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ...errors import MissingDependencyError, ModelNotFoundError, StillroomError
from ...tables import FactTable
from ..multi_agent import MultiAgentWorkflow
from .css import STYLE
from .html import Turn, encode, messages_of, refusal

FIRST_PORT = 7860
WAITING = 20
"""Questions that may wait; more are told to come back."""
AT_ONCE = 2
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

    Args:
        workflow: What answers.

    Returns:
        A `gradio.Blocks`.

    Raises:
        MissingDependencyError: Gradio is not installed.
    """
    gr = _gradio()
    table = workflow.agent.table
    with gr.Blocks(title="stillroom", analytics_enabled=False, fill_height=True) as app:
        turns = gr.State([])
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

        async def answer(question: str, past: list[Turn]) -> AsyncIterator[tuple[Any, ...]]:
            waiting = gr.Textbox(value="", submit_btn=False, stop_btn=True)
            ready = gr.Textbox(submit_btn=True, stop_btn=False)
            async with aclosing(_take_turn(workflow, question or "", list(past or []))) as states:  # type: ignore[type-var]
                first = True
                async for now in states:
                    yield now, messages_of(now), waiting if first else gr.skip()
                    first = False
            yield gr.skip(), gr.skip(), ready

        def stopped(past: list[Turn]) -> tuple[Any, ...]:
            now = stop_turn(list(past or []))
            return now, messages_of(now), gr.Textbox(submit_btn=True, stop_btn=False)

        def chosen(event: Any) -> str:  # noqa: ANN401
            return str(event.value["text"])

        chosen.__annotations__["event"] = gr.SelectData  # gradio reads it to know what to give

        outputs = [turns, conversation, box]
        common = {"api_visibility": "private", "show_progress": "hidden"}
        asked = box.submit(answer, [box, turns], outputs, **common)
        example = conversation.example_select(chosen, None, box, **common)
        picked = example.then(answer, [box, turns], outputs, **common)
        new.click(lambda: ([], []), None, [turns, conversation], queue=False, **common)
        box.stop(stopped, turns, outputs, cancels=[asked, picked], queue=False, **common)
    app.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    return app


def launch(workflow: MultiAgentWorkflow, *, port: int | None = None, block: bool = True) -> str:
    """Serve the chat page on this machine and print its address.

    Args:
        workflow: What answers.
        port: TCP port; None takes the first free one from 7860.
        block: Serve until Ctrl-C. False returns at once, for tests and notebooks.

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
    print(f"stillroom chat: {address}  (Ctrl-C ends it)", flush=True)
    if block:
        app.block_thread()
    return str(address)


def free_port(first: int = FIRST_PORT) -> int:
    """Find a free TCP port on 127.0.0.1, counting up.

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
    """Find the student that was written last.

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


def stop_turn(turns: list[Turn]) -> list[Turn]:
    """Close a turn that the user stopped, with what was there."""
    if not turns or not turns[-1].get("busy"):
        return turns
    last = turns[-1]
    said = Turn(question=last["question"], answer=last.get("answer", ""), note="Stopped.")
    return [*turns[:-1], said]


async def _take_turn(
    workflow: MultiAgentWorkflow, question: str, turns: list[Turn]
) -> AsyncIterator[list[Turn]]:
    """Answer one question; give the whole conversation each time it changes."""
    refused = refusal(question)
    if refused:
        yield [*turns, Turn(question=question, note=refused)]
        return
    turn = Turn(question=question, answer="", note="Looking it up", busy=True)
    yield [*turns, turn]
    try:
        events = workflow.astream_events(question)
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                turn = _after(turn, event)
                yield [*turns, turn]
    except StillroomError as fault:
        yield [*turns, Turn(question=question, note=f"No answer: {fault}")]
    except Exception:  # noqa: BLE001 - the edge of the process: the page gets a sentence, the log the rest
        _log.exception("a chat turn failed")
        sentence = "Something went wrong on this side; the reason is in the server's log."
        yield [*turns, Turn(question=question, note=sentence)]


def _after(turn: Turn, event: dict[str, Any]) -> Turn:
    """Give a turn as it is after an event."""
    question, answer = turn["question"], turn.get("answer", "")
    if event["type"] == "token":
        so_far = (answer + event["text"]).lstrip()
        return Turn(question=question, answer=so_far, busy=True)
    if event["type"] == "restart":
        note = "That was not what the record says; asking again"
        return Turn(question=question, note=note, busy=True)
    if event["type"] == "final":
        limit = event["exit"] == "step_limit"
        note = "No answer: the agents took too many steps." if limit else ""
        return Turn(question=question, answer=event["response"], note=note, final=event)
    return turn


class _Headers:
    """Send the security headers with every page; plain ASGI, so that streams are not buffered."""

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
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    try:
        import gradio
    except ImportError as fault:
        raise MissingDependencyError("gradio", "chat") from fault
    return gradio


def _head(table: FactTable | None) -> str:
    if table is None:
        about = "A distilled student; it has no table, so its answers are not checked."
    else:
        about = (
            f"{table.source} · {len(table.rows):,} records · every answer is held against its row"
        )
    return f"<h1>stillroom</h1><p>{encode(about)}</p>"


def _placeholder(table: FactTable | None) -> str:
    if table is None:
        return "<div>Ask a question.</div>"
    labels = ", ".join(column.label for column in table.columns[:8])
    asks = "Ask a question." if table.kind == "questions" else f"Ask about {labels}."
    return f"<div>{encode(asks)}</div>"


def _examples(table: FactTable | None) -> list[str]:
    return [] if table is None else list(table.examples[:6])
