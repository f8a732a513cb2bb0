"""The table tab: browse and sort, what can be asked, names of columns, a table of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import StillroomError
from ..conversations.chat_service import ChatService
from .chat_tab import ChatTab
from .encode import encode
from .gradio_module import Gradio
from .script import ACTIONS
from .table_html import TableView, asking_html, delete_html, records_html


def add_table_tab(
    gr: Gradio,
    service: ChatService,
    owner_of: Callable[[Gradio], str],
    chat: ChatTab,
    tabs: Gradio,
    tab: Gradio,
) -> None:
    """Add the table to the page; see `chat_tab.add_chat_tab`."""
    view = gr.State(TableView())
    notice = gr.HTML(elem_id="table-notice", js_on_load=None, apply_default_css=False)
    with gr.Row(elem_id="bring"):
        brought = gr.UploadButton(
            "Ask a table of your own (CSV or Excel)",
            elem_id="bring-button",
            file_types=[".csv", ".tsv", ".xlsx"],
            size="sm",
            visible=service.takes_tables,
        )
    own = gr.HTML(js_on_load=ACTIONS, elem_id="own-table", apply_default_css=False)
    asking = gr.HTML(js_on_load=ACTIONS, elem_id="asking", apply_default_css=False)
    records = gr.HTML(js_on_load=ACTIONS, elem_id="records", apply_default_css=False)
    common = {"api_visibility": "private", "show_progress": "hidden"}

    def shown(owner: str, workflow: str, now: TableView) -> tuple[str, str, str]:
        try:
            table = service.table(owner, workflow)
        except StillroomError as fault:  # it was deleted in another tab
            return "", _alert(str(fault)), ""
        if table is None:
            return "", '<p class="note">This workflow has no table.</p>', ""
        return (
            delete_html(table.source) if service.is_own(owner, workflow) else "",
            asking_html(table, service.may_rename(owner, workflow)),
            records_html(table, now),
        )

    def open_(workflow: str, now: TableView, request: Gradio) -> tuple[Any, ...]:
        if now.workflow != workflow:  # opened again, the same table keeps its order
            now = TableView(workflow=workflow)
        return now, *shown(owner_of(request), workflow, now)

    def browse(workflow: str, now: TableView, request: Gradio, event: Gradio) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        if data.get("action") == "sort":
            now = now.sorted_by(str(data.get("column", "")))
        elif data.get("action") == "page" and str(data.get("page", "")).isdigit():
            now = replace(now, page=int(data["page"]))
        return now, shown(owner_of(request), workflow, now)[2]

    def rename(workflow: str, request: Gradio, event: Gradio) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        column = str(data.get("column", ""))
        words = [word.strip() for word in str(data.get("words", "")).split(",") if word.strip()]
        owner = owner_of(request)
        try:
            service.rename(owner, workflow, {column: words})
        except StillroomError as fault:
            return gr.skip(), _alert(f"Not saved: {fault}.")
        said = f'<p role="status">{encode(f"Saved for {column}.")}</p>'
        return shown(owner, workflow, TableView())[1], said

    async def bring(path: str, request: Gradio) -> tuple[Any, ...]:
        owner = owner_of(request)
        try:
            workflow = await service.add_table(owner, Path(path), Path(path).name)
        except StillroomError as fault:
            return *([gr.skip()] * 5), _alert(str(fault))
        return chosen(owner, workflow, "Read. It can be asked in the chat now.")

    def delete(workflow: str, request: Gradio, event: Gradio) -> tuple[Any, ...]:
        owner = owner_of(request)
        try:
            service.delete_table(owner, workflow)
        except StillroomError as fault:
            return *([gr.skip()] * 5), _alert(f"Not deleted: {fault}.")
        return chosen(owner, next(iter(service.workflows(owner))), "Deleted.")

    def chosen(owner: str, workflow: str, said: str) -> tuple[Any, ...]:
        choices = [(label, name) for name, label in service.workflows(owner).items()]
        dropdown = gr.Dropdown(choices=choices, value=workflow)
        told = f'<p role="status">{encode(said)}</p>'
        now = TableView(workflow=workflow)
        return dropdown, now, *shown(owner, workflow, now), told

    def to_chat(event: Gradio) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        return str(data.get("question", "")), gr.Tabs(selected="chat")

    for handler in (open_, browse, rename, bring, delete, to_chat):
        if handler is not to_chat:
            handler.__annotations__["request"] = gr.Request
        if handler in (browse, rename, delete, to_chat):
            handler.__annotations__["event"] = gr.EventData
    opened = [view, own, asking, records, notice]
    tab.select(open_, [chat.workflow, view], opened[:4], **common)
    chat.workflow.change(open_, [chat.workflow, view], opened[:4], **common)
    own.click(delete, chat.workflow, [chat.workflow, *opened], **common)
    records.click(browse, [chat.workflow, view], [view, records], **common)
    asking.submit(rename, chat.workflow, [asking, notice], **common)
    asked = asking.click(to_chat, None, [chat.box, tabs], **common)
    asked.then(chat.send, chat.sent_from, chat.sent_to, **common)
    brought.upload(bring, brought, [chat.workflow, *opened], **common)


def _alert(text: str) -> str:
    return f'<p role="alert">{encode(text)}</p>'
