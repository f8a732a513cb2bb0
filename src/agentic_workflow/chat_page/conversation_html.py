"""The HTML of a conversation: questions, answers, badges, cited cells, the agents' steps, actions.

There is no image, link or script in it. A button says what it does in `data-action`, which the
page's script sends to the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from ...tables import FactTable
from ..answer_events import Event
from ..conversations.transcript import ChatTurn, Thread
from ..feedback.feedback_store import MOST_CHARS, Feedback
from .encode import attribute, encode, spoken

MOST_RECORDS: Final = 8
"""Most cited records that are shown."""
MOST_COLUMNS: Final = 6
"""Most columns of the table of cited cells, the cited ones first."""
_LOW: Final = 0.6
"""A confidence below it is shown as low."""

_VERDICTS: Final = {
    "agrees": ("good", "agrees with the table"),
    "disagrees": ("bad", "disagrees with the table"),
    "unverified": ("plain", "not checked"),
    "abstained": ("plain", "not in the table"),
}
_EXITS: Final = {
    "ask_back": ("plain", "which one is meant?"),
    "clarify": ("plain", "what is meant?"),
    "low_confidence": ("plain", "withheld: not sure enough"),
    "deadline": ("plain", "out of time"),
    "step_limit": ("plain", "too many steps"),
    "waiting": ("plain", "waits for a person"),
    "too_long": ("plain", "too long"),
}
_CURRENT: Final = ' aria-current="true"'
_ROUTES: Final = {"qa": "question", "summarize": "summary", "validate": "check of a claim"}
_NODES: Final = {
    "router": "Chose what to do",
    "understand": "Read the question",
    "qa_agent": "Answered",
    "summarizer": "Summarised",
    "validator": "Checked",
    "confidence": "Weighed its confidence",
    "escalate": "Asked the teacher",
    "table": "Looked in the table",
}


class Running(TypedDict, total=False):
    """A turn in progress, as the page shows it."""

    question: str
    run_id: str
    answer: str
    """The text received so far."""
    steps: list[dict[str, Any]]
    note: str
    """What is happening, in a few words."""
    busy: bool
    """The answer is not complete."""


def conversation_html(
    turns: Sequence[ChatTurn],
    opinions: Mapping[str, Feedback],
    tables: Mapping[str, FactTable],
    asks_about: str = "",
    *,
    decides: bool = True,
) -> str:
    """Write the complete turns of a thread.

    Args:
        turns: The turns in order.
        opinions: What the user said about answers, by run.
        tables: The tables that answers come from, by workflow.
        asks_about: The run about which a comment is asked for; empty for none.
        decides: Readings can be chosen, and approvals given, in the last turn.
    """
    return "".join(
        _turn_html(
            turn,
            number,
            len(turns),
            opinions.get(turn.run_id),
            tables.get(turn.workflow),
            asks_about,
            decides=decides,
        )
        for number, turn in enumerate(turns)
    )


def running_html(running: Running) -> str:
    """Write a turn in progress, or one that was stopped; empty without one."""
    if not running:
        return ""
    busy = running.get("busy", False)
    parts = [_question_html(running["question"])]
    if running.get("answer"):
        parts.append(f'<div class="answer">{encode(running["answer"])}</div>')
    if running.get("note"):
        parts.append(f'<p class="note{" busy" * busy}">{encode(running["note"])}</p>')
    parts.append(_steps_html(running.get("steps", []), f"steps-{running['run_id']}"))
    if not busy:
        parts.append(
            f'<div class="actions">{_button("again", "Ask again", question=running["question"])}'
            "</div>"
        )
    return f'<article class="turn" aria-busy="{str(busy).lower()}">{"".join(parts)}</article>'


def welcome_html(table: FactTable | None) -> str:
    """Write what an empty conversation shows: what can be asked, and questions to start with."""
    if table is None:
        return '<div class="welcome"><h2>Ask a question</h2></div>'
    labels = ", ".join(column.label for column in table.columns[:8])
    asks = "Ask a question" if table.kind == "questions" else f"Ask about {labels}"
    buttons = "".join(_button("example", text, question=text) for text in table.examples[:6])
    return (
        f'<div class="welcome"><h2>What would you like to know?</h2><p>{encode(asks)}.</p>'
        f'<div class="examples" role="group" aria-label="Questions to start with">{buttons}</div>'
        "</div>"
    )


def threads_html(threads: Sequence[Thread], current: str) -> str:
    """Write the list of threads; the script shows and hides it on narrow screens."""
    items = "".join(
        f'<li><button type="button" class="thread" data-action="open" data-thread="{one.id}" '
        f'title="{attribute(one.title)}"'
        f"{_CURRENT * (one.id == current)}>{encode(one.title)}</button>"
        f'<button type="button" class="delete" data-action="delete" data-thread="{one.id}" '
        f'aria-label="Delete {attribute(one.title)}">×</button></li>'
        for one in threads
    )
    none = "" if threads else '<p class="none">Conversations are kept here.</p>'
    return (
        '<nav aria-label="Conversations" class="narrow">'
        '<button type="button" class="new" data-action="new">New chat</button>'
        '<button type="button" class="fold" data-toggle="nav" aria-expanded="false">'
        f"Conversations ({len(threads)})</button>"
        f'<ol id="thread-list">{items}</ol>{none}</nav>'
    )


def spoken_answer(final: Event) -> str:
    """Write a finished answer for the live region of screen readers."""
    _, verdict = verdict_of(final)
    said = str(final.get("response") or "none").rstrip(".")
    return encode(f"Answer: {said}. {verdict}.")


def verdict_of(final: Event) -> tuple[str, str]:
    """Give the style and the words of an answer's verdict.

    A claim that was judged, or a question answered by "no", has been answered well: the record
    contradicts the claim, not the answer.

    >>> verdict_of({"verdict": "disagrees", "task_type": "validate", "response": "No"})
    ('good', 'the table says otherwise')
    """
    verdict, exit_name = str(final.get("verdict") or "unverified"), str(final.get("exit") or "")
    if exit_name in _EXITS:
        return _EXITS[exit_name]
    if final.get("task_type") == "validate" and verdict in ("agrees", "disagrees"):
        said = "the table confirms it" if verdict == "agrees" else "the table says otherwise"
        return "good", said
    if final.get("answered_by") == "table" and verdict == "agrees":
        return "good", "computed from the table"
    return _VERDICTS.get(verdict, _VERDICTS["unverified"])


def _turn_html(
    turn: ChatTurn,
    number: int,
    count: int,
    opinion: Feedback | None,
    table: FactTable | None,
    asks_about: str,
    *,
    decides: bool,
) -> str:
    final, run = turn.final, attribute(turn.run_id)
    answer = final.get("response") or "No answer: the agents took too many steps."
    last = number == count - 1
    edit = _button("edit", "Edit", label="Edit this question", number=number, classes="quiet")
    parts = [
        _question_html(turn.question, edit),
        '<h3 class="sr">Answer</h3>',
        f'<div class="answer">{encode(answer)}</div>',
        _choices_html(final.get("choices") or []) if last and decides else "",
        _badges_html(final),
        *(
            _approval_html(one, f"{run}-{place}")
            for place, one in enumerate(final.get("approvals") or [])
            if last and decides
        ),
        cells_html(final, table, number),
        _steps_html(final.get("steps") or [], f"steps-{run}", final),
        _actions_html(turn, number, last, opinion),
    ]
    if asks_about == turn.run_id:
        parts.append(_feedback_form(turn, opinion))
    return f'<article class="turn" id="turn-{run}">{"".join(parts)}</article>'


def _question_html(question: str, edit: str = "") -> str:
    return (
        '<h2 class="sr">You asked</h2>'
        f'<div class="asked">{edit}<div class="bubble">{encode(question)}</div></div>'
    )


def _badges_html(final: Event) -> str:
    style, words = verdict_of(final)
    badges = [f'<span class="badge {style}">{encode(words)}</span>']
    confidence = final.get("confidence")
    if confidence is not None and final.get("verdict") != "abstained":
        low = " low" if confidence < _LOW else ""
        percent = min(99, int(100 * confidence))
        badges.append(
            f'<span class="badge sure{low}" title="Probability that the answer is right">'
            f"{percent} % sure</span>"
        )
    if final.get("answered_by") == "teacher":
        badges.append('<span class="badge plain">asked the teacher</span>')
    if final.get("attempts", 0) > 1:
        badges.append(f'<span class="badge plain">{int(final["attempts"])} attempts</span>')
    return f'<div class="badges">{"".join(badges)}</div>'


def cells_html(final: Event, table: FactTable | None = None, number: int = 0) -> str:
    """Write the cited cells as a small table: the records around them, the cells marked.

    Args:
        final: The last event of the run.
        table: The table that it answered from; None if it is no longer there.
        number: Number of the turn, from 0, which tells the regions of the page apart.
    """
    cited = final.get("citations") or []
    sources = {one["row"]: one for one in final.get("sources") or []}
    if not cited and not sources:
        return ""
    numbers = list(dict.fromkeys([*(cell["row"] for cell in cited), *sources]))
    first = next(iter(sources.values()), None)
    key = first["key_column"] if first else (table.key if table else cited[0]["column"])
    known = {row.row: row for row in table.rows} if table else {}
    records: dict[int, dict[str, str]] = {}
    for row in numbers[:MOST_RECORDS]:
        source, stored = sources.get(row), known.get(row)
        values = source["values"] if source else (stored.values if stored else {})
        name = source["key"] if source else (stored.key if stored else "")
        own = {cell["column"]: cell["value"] for cell in cited if cell["row"] == row}
        records[row] = {key: name, **values, **own}
    marked = dict.fromkeys((cell["row"], cell["column"]) for cell in cited)
    if not cited and first and first["column"]:
        marked = dict.fromkeys((row, source["column"]) for row, source in sources.items())
    wanted = [name for _, name in marked if name != key]
    others = [name for record in records.values() for name in record]
    columns = list(dict.fromkeys((key, *wanted, *others)))[: max(MOST_COLUMNS, 1)]
    labels = {column.name: column.label for column in table.columns} if table else {}
    head = "".join(
        f'<th scope="col">{encode(labels.get(name) or spoken(name))}</th>' for name in columns
    )
    body = "".join(
        f'<tr><th scope="row">{row}</th>'
        + "".join(_cell_html(record.get(name, ""), (row, name) in marked) for name in columns)
        + "</tr>"
        for row, record in records.items()
    )
    left = len(numbers) - len(records)
    more = f" and {left:,} more" if left > 0 else ""
    cells = len(marked)
    name = cited[0]["table"] if cited else next(iter(sources.values()))["table"]
    caption = encode(f"{cells} cited cell{'s' * (cells != 1)} of {name}{more}")
    return (
        f'<div class="cells" role="region" tabindex="0" aria-label="Cited cells {number + 1}">'
        f"<table><caption>{caption}</caption>"
        f'<thead><tr><th scope="col">row</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell_html(value: str, marked: bool) -> str:
    text = encode(value) if value else '<span class="sr">empty</span>'
    if not marked:
        return f"<td>{text}</td>"
    return f'<td class="cited"><mark>{text}</mark><span class="sr"> (cited)</span></td>'


def _steps_html(steps: Sequence[Mapping[str, Any]], id_: str, final: Event | None = None) -> str:
    """Write the agents' steps, folded; the summary tells how the question was read."""
    if not steps:
        return ""
    items = "".join(f"<li>{_step_html(step)}</li>" for step in steps)
    route = _ROUTES.get(str((final or {}).get("task_type")), str((final or {}).get("task_type")))
    plan = (final or {}).get("plan")
    read = f" · read as: {plan}" if plan else (f" · {route}" if final else "")
    count = f"{len(steps)} step{'s' * (len(steps) != 1)}"
    return (
        f'<details class="steps" id="{id_}"><summary>{encode(f"How it was found · {count}{read}")}'
        f"</summary><ol>{items}</ol></details>"
    )


def _step_html(step: Mapping[str, Any]) -> str:
    node = str(step["node"])
    detail = f" – {encode(step['detail'])}" if step.get("detail") else ""
    what = _ROUTES.get(str(step["what"]), str(step["what"]))
    return f"<b>{encode(_NODES.get(node, node))}:</b> <i>{encode(what)}</i>{detail}"


def _actions_html(turn: ChatTurn, number: int, last: bool, opinion: Feedback | None) -> str:
    said = opinion.opinion if opinion else ""
    run = turn.run_id
    buttons = [
        f'<button type="button" data-copy="{attribute(turn.final.get("response") or "")}" '
        'aria-label="Copy this answer">Copy</button>',
        _button("good", "Good", label="Good answer", run=run, pressed=said == "good"),
        _button("wrong", "Wrong", label="Wrong answer", run=run, pressed=said == "wrong"),
    ]
    if last:
        buttons += [
            _button("retry", "Retry", label="Retry: ask this question again", number=number),
            _button("undo", "Undo", label="Undo: remove this question and its answer",
                    number=number),
        ]  # fmt: skip
    return (
        f'<div class="actions" role="group" aria-label="For this answer">{"".join(buttons)}</div>'
    )


def _feedback_form(turn: ChatTurn, opinion: Feedback | None) -> str:
    run = attribute(turn.run_id)
    comment, correction = (opinion.comment, opinion.correction) if opinion else ("", "")
    return (
        f'<form class="feedback" data-run="{run}"><p>Noted, thank you. You can say more:</p>'
        f'<label for="right-{run}">The right answer</label>'
        f'<textarea id="right-{run}" name="correction" rows="1" maxlength="{MOST_CHARS}">'
        f"{encode_area(correction)}</textarea>"
        f'<label for="comment-{run}">Comment</label>'
        f'<textarea id="comment-{run}" name="comment" rows="2" maxlength="{MOST_CHARS}">'
        f"{encode_area(comment)}</textarea>"
        '<div class="actions"><button type="submit">Send</button>'
        f"{_button('closed', 'Close')}</div></form>"
    )


def _choices_html(choices: Sequence[str]) -> str:
    """Write the readings that are asked back about; each is asked when it is chosen."""
    if not choices:
        return ""
    buttons = "".join(_button("choice", choice, question=choice) for choice in choices)
    return f'<div class="examples" role="group" aria-label="What is meant?">{buttons}</div>'


def _approval_html(approval: Mapping[str, Any], place: str) -> str:
    """Write what waits for a decision, with fields for the details that may be changed."""
    id_, action = str(approval["id"]), str(approval["action"])
    editable = approval.get("editable") or []
    rows = []
    for number, (name, value) in enumerate(dict(approval["details"]).items()):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if name in editable:
            field = f"detail-{place}-{number}"
            rows.append(
                f'<label for="{field}">{encode(spoken(name))}</label>'
                f'<input id="{field}" name="{attribute("detail." + name)}" '
                f'value="{attribute(text)}" maxlength="{MOST_CHARS}">'
            )
        else:
            rows.append(f"<span>{encode(spoken(name))}</span><span>{encode(text)}</span>")
    note = f"note-{place}"
    return (
        f'<div class="approval" role="group" data-fields data-approval="{attribute(id_)}" '
        f'aria-label="{attribute(f"Waits for your decision: {action}")}">'
        f"<p>Waits for your decision: <b>{encode(action)}</b></p>"
        f'<div class="details">{"".join(rows)}'
        f'<label for="{note}">Note</label><input id="{note}" name="note" '
        f'maxlength="{MOST_CHARS}"></div><div class="actions">'
        f"{_button('approve', 'Approve', label=f'Approve: {action}')}"
        f"{_button('reject', 'Reject', label=f'Reject: {action}')}</div></div>"
    )


def encode_area(text: str) -> str:
    """Encode a text for the inside of a text area."""
    return attribute(text)


def _button(
    action: str,
    text: str,
    *,
    label: str = "",
    run: str = "",
    number: int | None = None,
    question: str = "",
    pressed: bool | None = None,
    classes: str = "",
) -> str:
    attributes = {
        "class": classes,
        "data-run": run,
        "data-number": "" if number is None else str(number),
        "data-question": question,
        "aria-label": label,
        "aria-pressed": "" if pressed is None else str(pressed).lower(),
    }
    told = "".join(f' {name}="{attribute(v)}"' for name, v in attributes.items() if v)
    return f'<button type="button" data-action="{action}"{told}>{encode(text)}</button>'
