"""The compare tab: teacher, student, and the student without teacher answer side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...errors import StillroomError
from ..conversations.chat_service import ChatService
from .encode import encode
from .gradio_module import Gradio
from .table_html import compared_html


def add_compare_tab(gr: Gradio, service: ChatService) -> None:
    """Add the comparison to the page; see `chat_tab.add_chat_tab`."""
    gr.HTML(
        "<h2>Side by side</h2><p>The models of this run write their answers alone, without the "
        "table. The difference between the last two is what the student owes to the teacher.</p>",
        elem_classes="told",
    )
    table = service.default_table
    examples = table.examples if table is not None else ()
    question = gr.Textbox(
        value=examples[0] if examples else "",
        label="A question for all of them",
        elem_id="compare-question",
        max_lines=4,
        submit_btn="Compare",
    )
    answers = gr.HTML(elem_id="compared", js_on_load=None, apply_default_css=False)

    async def compare(asked: str) -> AsyncIterator[str]:
        try:
            async for now in service.compare(asked or ""):
                yield compared_html(now)
        except StillroomError as fault:
            yield f'<p role="alert">{encode(fault)}</p>'

    question.submit(compare, question, answers, api_visibility="private", show_progress="hidden")
