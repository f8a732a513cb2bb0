"""The review: what waits, who decides, what the page shows of it, and what a decision changes."""

import re

import pytest
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.chat_page.review_tab import review_html
from stillroom.agentic_workflow.conversations.chat_service import ChatService, new_thread
from stillroom.agentic_workflow.conversations.open_chat import answerers
from stillroom.agentic_workflow.conversations.review_queue import ReviewQueue
from stillroom.agentic_workflow.conversations.transcript import Transcript
from stillroom.agentic_workflow.feedback.feedback_store import Decision, FeedbackStore
from stillroom.errors import ConfigError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import Column, FactTable, TableRow

HOSTILE = '"><script>alert(1)</script>'


def menu():
    rows = [("Tomato soup", "6.50", "starter"), ("Green curry", "16.50", "main"),
            ("Mango sorbet", "5.50", "dessert")]  # fmt: skip
    return FactTable(
        "menu.csv", "facts", "dish",
        tuple(Column(name, name, (f"What is the {name} of {{key}}?",))
              for name in ("price", "course")),
        tuple(TableRow(n, name, {"price": price, "course": course})
              for n, (name, price, course) in enumerate(rows, 1)),
    )  # fmt: skip


@pytest.fixture
def service():
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel(lambda _: "?"), table=menu())
    transcript, store = Transcript(), FeedbackStore()
    review = ReviewQueue(store, transcript, workflow.agent.reader)
    saved = []
    made = ChatService(answerers(workflow), transcript=transcript, feedback=store, review=review,
                       save_table=saved.append)  # fmt: skip
    made.saved = saved
    yield made
    made.close()


async def ask(service, owner, question, run):
    events = [one async for one in service.ask(owner, new_thread(), "multi", question, run)]
    return events[-1]


def run_id(number):
    return f"00000000-0000-4000-8000-{number:012}"


async def test_abstentions_become_a_proposal_and_an_accepted_name_is_understood(service):
    for number, owner in enumerate(("anna", "bert")):
        asked = "What is the tariff of Green curry?"
        final = await ask(service, owner, asked, run_id(number))
        assert final["exit"] == "abstained"
        service.give_feedback(owner, run_id(number), "wrong", correction="16.50")
    (proposal,) = service.review.proposals()
    assert proposal.in_words() == '2 people asked for "tariff": column price?'
    waiting = service.review.waiting()
    assert [one.claim.answer for one in waiting] == ["16.50"]
    service.review_answer("anna", proposal.id, Decision("accepted"))
    assert service.saved[-1].columns[0].also == ("tariff",)
    assert service.review.proposals() == []
    # The table now confirms what waited.
    assert service.review.waiting() == []
    assert [one.status for one in service.review.judged()] == ["accepted"]


async def test_a_correction_against_the_table_waits_until_somebody_decides(service):
    question = "What is the price of Green curry?"
    await ask(service, "eve", question, run_id(1))
    service.give_feedback("eve", run_id(1), "wrong", correction="1.00")
    (one,) = service.review.waiting()
    assert "contradicts the table" in one.reason
    with pytest.raises(ConfigError, match="nothing in the review has the id 'zzz'"):
        service.review_answer("anna", "zzz", Decision("rejected"))
    service.review_answer("anna", one.claim.id, Decision("rejected"))
    assert service.review.waiting() == []
    assert [one.status for one in service.review.judged()] == ["rejected"]


async def test_nobody_decides_where_there_is_no_review(service):
    service.review = None
    with pytest.raises(ConfigError, match="not reviewed here"):
        service.review_answer("anna", "x", Decision("accepted"))


async def test_every_control_of_the_review_has_a_label_and_hostile_texts_are_encoded(service):
    await ask(service, "eve", f"Who cooks {HOSTILE}?", run_id(1))
    service.give_feedback("eve", run_id(1), "wrong", correction=f"=1+1{HOSTILE}")
    for number, owner in enumerate(("anna", "bert"), 2):
        await ask(service, owner, "What is the tariff of Green curry?", run_id(number))
    html = review_html(service.review.waiting(), service.review.proposals())
    assert "<script" not in html
    buttons = re.findall(r"<button[^>]*>", html)
    assert len(buttons) == 3  # the proposed name has no column near without an encoder
    assert all('aria-label="' in one for one in buttons)
    assert len(re.findall(r"<label>[^<]+<input name=", html)) == html.count("<input") == 1
    assert review_html([], []) == '<p class="note">Nothing waits.</p>'
