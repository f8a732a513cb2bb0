"""The HTML of the chat page.

Punctuation in texts of users, tables and students is encoded as character references, so that
neither a Markdown nor an HTML parser finds markup in them. There is no image, link or script.
"""

from __future__ import annotations

import re
from typing import Any, TypedDict

from ..answer_events import Event

MAX_QUESTION_CHARS = 2000

_VERDICTS = {
    "agrees": "agrees with the record",
    "disagrees": "disagrees with the record",
    "unverified": "not checked",
    "abstained": "not in the table",
}
_ROUTES = {"qa": "question", "summarize": "summary", "validate": "check"}


class ChatEntry(TypedDict, total=False):
    """A question and its answer as the page shows them."""

    question: str
    answer: str
    """The text received so far."""
    note: str
    """Progress or error, in one sentence."""
    busy: bool
    """The answer is not complete."""
    final: Event
    """The last event of the run."""


def encode(text: str) -> str:
    """Encode a text so that it is shown literally.

    >>> encode("![x](http://a)")
    '&#33;&#91;x&#93;&#40;http&#58;&#47;&#47;a&#41;'
    """
    lines = re.split(r"\r\n|\r|\n", text.strip("\n"))
    return "<br>".join(re.sub(r"[!-/:-@\[-`{-~\x00]", _entity, line) for line in lines)


def question_fault(question: str) -> str:
    """Return why a question cannot be asked; empty if it can."""
    if not question.strip():
        return "Please type a question."
    if len(question) > MAX_QUESTION_CHARS:
        return (
            f"That is {len(question):,} characters; a question may have {MAX_QUESTION_CHARS:,}. "
            "Please shorten it."
        )
    return ""


def messages_of(entries: list[ChatEntry]) -> list[dict[str, Any]]:
    """Convert the conversation to messages of Gradio's chatbot."""
    messages = []
    for entry in entries:
        if entry.get("question", "").strip():
            shown = entry["question"]
            if len(shown) > MAX_QUESTION_CHARS:
                shown = shown[:200] + " …"
            messages.append({"role": "user", "content": f"<div>{encode(shown)}</div>"})
        messages.append({"role": "assistant", "content": _answer_html(entry)})
    return messages


def source_line(final: Event) -> str:
    """Format the line under an answer: route, verdict, row and column.

    >>> source_line({"task_type": "qa", "verdict": "abstained", "sources": []})
    'question · not in the table'
    """
    route, verdict = str(final["task_type"]), _VERDICTS.get(str(final["verdict"]), "not checked")
    if final.get("exit") == "ask_back":
        verdict = "which one is meant?"
    parts = [_ROUTES.get(route, route)]
    parts.append(f"the claim {verdict}" if _is_judged_claim(final) else verdict)
    if final.get("answered_by") == "table":
        count = len(final["citations"])
        parts.append(f"computed from {count} cell{'s' * (count != 1)}: {final['plan']}")
    if final["sources"]:
        source = final["sources"][0]
        parts.append(f"row {source['row']}")
        if source["column"]:
            parts.append(f"column {source['column']}")
    if final.get("attempts", 0) > 1:
        parts.append(f"{final['attempts']} attempts")
    return " · ".join(parts)


def _answer_html(entry: ChatEntry) -> str:
    answer, note, final = entry.get("answer", ""), entry.get("note", ""), entry.get("final")
    parts: list[str] = []
    if answer:
        parts.append(f'<div class="answer">{encode(answer)}</div>')
    if note:
        busy = "note busy" if entry.get("busy") else "note"
        parts.append(f'<div class="{busy}">{encode(note)}</div>')
    if final:
        parts.append(_details_html(final))
    return "".join(parts)


def _details_html(final: Event) -> str:
    verdict = str(final["verdict"] or "unverified")
    parts = [
        '<details class="why"><summary>',
        f'<span class="dot {encode(verdict)}"></span>{encode(source_line(final))}</summary>',
    ]
    for source in final["sources"][:3]:
        parts.append(_record_html(source))
    steps = [f"<li>{_step_html(s)}</li>" for s in final["steps"]]
    parts.append(f'<ol class="steps">{"".join(steps)}</ol></details>')
    return "".join(parts)


def _record_html(source: dict[str, Any]) -> str:
    cells = {source["key_column"]: source["key"], **source["values"]}
    rows = [
        f"<tr{' class=hit' if name == source['column'] else ''}>"
        f"<th>{encode(name)}</th><td>{encode(value)}</td></tr>"
        for name, value in cells.items()
    ]
    caption = encode(f"{source['table']}, row {source['row']}")
    return f'<table class="record"><caption>{caption}</caption>{"".join(rows)}</table>'


def _step_html(step: dict[str, Any]) -> str:
    detail = f" \u2013 {encode(str(step['detail']))}" if step["detail"] else ""
    return f"<b>{encode(str(step['node']))}</b> <i>{encode(str(step['what']))}</i>{detail}"


def _is_judged_claim(final: Event) -> bool:
    return final["task_type"] == "validate" and final["verdict"] in ("agrees", "disagrees")


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match.group())};"
