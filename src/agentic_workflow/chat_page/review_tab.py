"""The review tab: answers of people that nothing confirms, and proposed names of columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ...errors import StillroomError
from ..conversations.chat_service import ChatService
from ..feedback.claims import Judged
from ..feedback.feedback_store import MOST_CHARS, Decision
from ..feedback.proposals import Proposal
from .encode import attribute, encode
from .gradio_module import Gradio
from .script import ACTIONS

MOST_SHOWN: Final = 50
"""Answers that are listed, the oldest ones."""


def add_review_tab(
    gr: Gradio, service: ChatService, owner_of: Callable[[Gradio], str], tab: Gradio
) -> None:
    """Add the review to the page; see `chat_tab.add_chat_tab`."""
    gr.HTML(
        "<h2>Review</h2><p>Answers that people corrected and that neither the table nor other "
        "people confirm, and names that people use for columns. What is accepted here may train "
        "the next student: stillroom renew.</p>",
        elem_classes="told",
    )
    notice = gr.HTML(elem_id="review-notice", js_on_load=None, apply_default_css=False)
    listed = gr.HTML(js_on_load=ACTIONS, elem_id="review-list", apply_default_css=False)
    common = {"api_visibility": "private", "show_progress": "hidden"}

    def shown() -> str:
        if service.review is None:
            return ""
        return review_html(service.review.waiting(), service.review.proposals())

    def decide(owner: str, data: dict[str, Any], decision: Decision) -> tuple[Any, ...]:
        try:
            service.review_answer(owner, str(data.get("id", "")), decision)
        except StillroomError as fault:
            return gr.skip(), f'<p role="alert">{encode(f"Not stored: {fault}.")}</p>'
        return shown(), f'<p role="status">{encode(decision.verdict.capitalize())}.</p>'

    def press(request: Gradio, event: Gradio) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        if data.get("action") not in ("accept", "reject"):
            return gr.skip(), gr.skip()
        accepted = data["action"] == "accept"
        decision = Decision("accepted" if accepted else "rejected")
        return decide(owner_of(request), data, decision)

    def write(request: Gradio, event: Gradio) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        answer = str(data.get("answer", "")).strip()
        if not answer:
            return gr.skip(), '<p role="alert">Not stored: the answer is empty.</p>'
        return decide(owner_of(request), data, Decision("accepted", answer))

    for handler in (press, write):
        handler.__annotations__.update(request=gr.Request, event=gr.EventData)
    tab.select(shown, None, listed, **common)
    listed.click(press, None, [listed, notice], **common)
    listed.submit(write, None, [listed, notice], **common)


def review_html(waiting: Sequence[Judged], proposals: Sequence[Proposal]) -> str:
    """Write what waits for a person.

    Args:
        waiting: Answers of people.
        proposals: Names of columns.
    """
    if not waiting and not proposals:
        return '<p class="note">Nothing waits.</p>'
    more = len(waiting) - MOST_SHOWN
    rest = f'<p class="note">{more:,} more follow when these are decided.</p>' if more > 0 else ""
    return "".join(map(_proposal, proposals)) + "".join(map(_claim, waiting[:MOST_SHOWN])) + rest


def _claim(one: Judged) -> str:
    claim = one.claim
    instead = f"<p>Answered: {encode('; '.join(claim.rejected))}</p>" if claim.rejected else ""
    people = f"{len(claim.people)} {'person' if len(claim.people) == 1 else 'people'}"
    place, about = attribute(claim.id), attribute(claim.question)
    return (
        f'<article class="review"><p><b>{encode(claim.question)}</b></p>{instead}'
        f'<p class="note">{encode(f"{people}: {claim.answer}; {one.reason}")}</p>'
        f'<form class="names" data-id="{place}"><label>The answer to learn'
        f'<input name="answer" maxlength="{MOST_CHARS}" value="{attribute(claim.answer)}"></label>'
        '<div class="actions">'
        f'<button type="submit" aria-label="Accept the answer to: {about}">Accept</button>'
        f'<button type="button" data-action="reject" data-id="{place}" '
        f'aria-label="Reject the answer to: {about}">Reject</button></div></form></article>'
    )


def _proposal(one: Proposal) -> str:
    place, words = attribute(one.id), attribute(one.words)
    accept = (
        f'<button type="button" data-action="accept" data-id="{place}" '
        f'aria-label="Accept the name {words}">Accept</button>'
        if one.column
        else ""
    )
    why = f"{one.because}; " if one.because else ""
    asked = f"{why}for example: {one.questions[0]}"
    return (
        f'<article class="review"><p><b>{encode(one.in_words())}</b></p>'
        f'<p class="note">{encode(asked)}</p><div class="actions">{accept}'
        f'<button type="button" data-action="reject" data-id="{place}" '
        f'aria-label="Reject the name {words}">Reject</button></div></article>'
    )
