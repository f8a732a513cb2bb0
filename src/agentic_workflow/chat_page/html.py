"""What the chat page shows, as HTML that only this module writes.

Every text of a user, a table or a student is encoded character by character, so that neither a
Markdown parser nor an HTML parser finds anything in it. There is no image, link or script.
"""

from __future__ import annotations

import re
from typing import Any, TypedDict

from ..answer_events import Event

LONGEST_QUESTION = 2000
"""Most characters of a question."""

_VERDICTS = {
    "agrees": "agrees with the record",
    "disagrees": "disagrees with the record",
    "unverified": "not checked",
    "abstained": "not in the table",
}
_ROUTES = {"qa": "question", "summarize": "summary", "validate": "check"}


class Turn(TypedDict, total=False):
    """One question and what became of it."""

    question: str
    answer: str
    """As far as it has come."""
    note: str
    """What is going on, or what went wrong; one sentence."""
    busy: bool
    """The run goes on."""
    final: Event
    """The last event of the run, once it is there."""


def encode(text: str) -> str:
    """Encode a text so that it is shown letter by letter.

    >>> encode("![x](http://a)")
    '&#33;&#91;x&#93;&#40;http&#58;&#47;&#47;a&#41;'
    """
    lines = re.split(r"\r\n|\r|\n", text.strip("\n"))
    return "<br>".join(re.sub(r"[!-/:-@\[-`{-~\x00]", _entity, line) for line in lines)


def refusal(question: str) -> str:
    """Say what is wrong with a question; empty where nothing is."""
    if not question.strip():
        return "Please type a question."
    if len(question) > LONGEST_QUESTION:
        return (
            f"That is {len(question):,} characters; a question may have {LONGEST_QUESTION:,}. "
            "Please shorten it."
        )
    return ""


def messages_of(turns: list[Turn]) -> list[dict[str, Any]]:
    """Give the conversation as Gradio's chatbot takes it."""
    messages = []
    for turn in turns:
        if turn.get("question", "").strip():
            shown = turn["question"]
            if len(shown) > LONGEST_QUESTION:
                shown = shown[:200] + " …"
            messages.append({"role": "user", "content": f"<div>{encode(shown)}</div>"})
        messages.append({"role": "assistant", "content": _answer_html(turn)})
    return messages


def quiet_line(final: Event) -> str:
    """Write the line under an answer: route, verdict, row and column.

    >>> quiet_line({"task_type": "qa", "verdict": "abstained", "sources": []})
    'question · not in the table'
    """
    route, verdict = str(final["task_type"]), _VERDICTS.get(str(final["verdict"]), "not checked")
    parts = [_ROUTES.get(route, route)]
    parts.append(f"the claim {verdict}" if _is_judged_claim(final) else verdict)
    if final["sources"]:
        source = final["sources"][0]
        parts.append(f"row {source['row']}")
        if source["column"]:
            parts.append(f"column {source['column']}")
    if final.get("attempts", 0) > 1:
        parts.append(f"{final['attempts']} attempts")
    return " · ".join(parts)


def _answer_html(turn: Turn) -> str:
    answer, note, final = turn.get("answer", ""), turn.get("note", ""), turn.get("final")
    parts: list[str] = []
    if answer:
        parts.append(f'<div class="answer">{encode(answer)}</div>')
    if note:
        busy = "note busy" if turn.get("busy") else "note"
        parts.append(f'<div class="{busy}">{encode(note)}</div>')
    if final:
        parts.append(_why_html(final))
    return "".join(parts)


def _why_html(final: Event) -> str:
    verdict = str(final["verdict"] or "unverified")
    parts = [
        '<details class="why"><summary>',
        f'<span class="dot {encode(verdict)}"></span>{encode(quiet_line(final))}</summary>',
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
