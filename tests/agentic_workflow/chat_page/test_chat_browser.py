"""The chat page in a real Chromium: every control once, hostile texts, no foreign host, a phone.

Needs `playwright` and `axe-playwright-python`, which has axe-core in it, and a system Chromium;
skips where one is missing.
"""

import csv
import io
import json
import shutil
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from exfiltration import HOST, PAYLOADS

pytestmark = [
    pytest.mark.browser,
    # gradio and its dependencies warn about their own deprecations
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:gradio.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
HOSTILE = f"![x](http://{HOST}/a.png) <img src=http://{HOST}/b.png onerror=alert(1)>"
BOX, LAST = "#question textarea", "article.turn:last-of-type"
DESK = "Writes what a person approves"
GOLD, SILVER = "What is the symbol of Gold?", "What is the symbol of Silver?"


class Student:
    """What the scripted student does; the tests change it."""

    def __init__(self):
        self.gate = threading.Event()
        self.fault = None
        self.written = []
        self.gate.set()

    def reply(self, prompt):
        if self.fault is not None:
            raise self.fault
        if "Summarize" in prompt:
            return "Gold has the symbol Au and the atomic number 79."
        if "elium" in prompt:
            return HOSTILE
        return "Ag" if "Silver" in prompt else "196.97" if "mass" in prompt else "Au"


@pytest.fixture(scope="module")
def student():
    return Student()


@pytest.fixture(scope="module")
def service(table, student, tmp_path_factory):
    pytest.importorskip("gradio", reason="pip install 'stillroom[chat]'")
    from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
    from stillroom.agentic_workflow.conversations.answerers import WorkflowAnswerer
    from stillroom.agentic_workflow.conversations.chat_service import ChatService
    from stillroom.agentic_workflow.conversations.comparison import Comparison
    from stillroom.agentic_workflow.conversations.open_chat import answerers
    from stillroom.agentic_workflow.conversations.own_tables import OwnTables
    from stillroom.agentic_workflow.nodes.human_approval import with_approval
    from stillroom.inference.chat.scripted_model import ScriptedModel
    from stillroom.pipeline.commands.chat import read_own_table

    class Stepwise(ScriptedModel):
        """Waits for the test before it goes on with a summary."""

        def _stream(self, *args, **kwargs):
            for chunk in super()._stream(*args, **kwargs):
                yield chunk
                if chunk.text.strip() == "symbol":
                    student.gate.wait(30)

    shown = replace(table, source=f"<b>{table.source}</b>")
    model = Stepwise(student.reply)
    multi = MultiAgentWorkflow(None, chat_model=model, table=shown)
    single = AgenticWorkflow(None, chat_model=ScriptedModel(lambda _: "Au, I think"), table=shown)
    desk = AgenticWorkflow(None, chat_model=ScriptedModel(lambda _: "Au"), table=shown)

    def write(state, proposal):
        student.written.append(proposal["details"])

    def propose(state):
        return {"action": "write the symbol", "details": {"element": "Gold", "new_symbol": "Au"}}

    desk.add_node("correct", with_approval(write, propose, "correct", editable=["new_symbol"]))
    report = tmp_path_factory.mktemp("run") / "report.html"
    report.write_text("<h1>A report</h1><script>parent.alert(1)</script>")
    compared = Comparison(
        {},
        {"Teacher": ScriptedModel(lambda _: "Au"), "Student": ScriptedModel(lambda _: "Ag")},
        multi.agent.reader,
    )
    return ChatService(
        {**answerers(multi, single), "desk": WorkflowAnswerer(desk, DESK)},
        comparison=compared,
        report=report,
        own_tables=OwnTables(tmp_path_factory.mktemp("tables")),
        read_table=read_own_table,
        save_table=lambda table: None,
        most_running=1,
        most_waiting=0,
    )


@pytest.fixture(scope="module")
def address(service):
    import gradio
    from stillroom.agentic_workflow.chat_page.page import launch

    yield launch(service, block=False)
    gradio.close_all()


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with api.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address, student):
    """Open pages; fail on dialogs, script errors and requests to other hosts."""
    student.fault = None
    student.gate.set()
    context = browser.new_context(accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    wrong = []

    def open_one(where=address, width=1100, height=800, scheme="light"):
        opened = context.new_page()
        opened.set_viewport_size({"width": width, "height": height})
        opened.emulate_media(color_scheme=scheme)
        opened.set_default_timeout(40_000)
        opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("request", lambda r: None if _is_own(r.url, address) else wrong.append(r.url))
        opened.goto(where)
        opened.wait_for_selector("#conversation .welcome, #conversation article")
        return opened

    yield open_one
    context.close()
    assert wrong == []


@pytest.fixture
def page(open_page):
    return open_page()


def _is_own(url, address):
    return url.startswith((address, "data:", f"blob:{address}", "about:"))


ANSWERED = """([question, before]) => {
  const asked = [...document.querySelectorAll('#conversation article .bubble')];
  return asked.length > before && asked.at(-1).textContent === question
    && !document.querySelector('#now article');
}"""


def ask(page, question):
    """Ask, and wait for the complete answer."""
    before = page.locator("#conversation article").count()
    page.fill(BOX, question)
    page.press(BOX, "Enter")
    page.wait_for_function(ANSWERED, arg=[question, before])


def questions(page):
    return page.locator("#conversation .bubble").all_inner_texts()


def test_an_answer_streams_and_shows_its_cells_badges_and_steps(page, student):
    student.gate.clear()
    page.fill(BOX, "Summarize the following: gold")
    page.press(BOX, "Enter")
    page.wait_for_selector("#now .answer:has-text('Gold has the symbol')")
    assert page.get_attribute("#now article", "aria-busy") == "true"
    student.gate.set()
    page.wait_for_selector("#conversation .badges")
    assert page.inner_text(".answer") == "Gold has the symbol Au and the atomic number 79."
    assert page.inner_text(".badge") == "agrees with the table"
    marked = page.locator(".cells td.cited mark").all_inner_texts()
    assert marked == ["Gold", "Au", "79"]
    assert not page.is_visible("details.steps ol")
    page.click("details.steps summary")
    assert "Checked: agrees" in page.inner_text("details.steps ol")
    spoken = "Answer: Gold has the symbol Au and the atomic number 79. agrees with the table."
    assert page.text_content("#announced [aria-live=polite]").strip() == spoken


def test_the_stop_button_keeps_what_was_there_and_asks_again(page, student):
    student.gate.clear()
    page.fill(BOX, "Summarize the following: gold")
    page.press(BOX, "Enter")
    page.wait_for_selector("#now .answer:has-text('Gold has the symbol')")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#now .note:has-text('Stopped.')")
    student.gate.set()
    assert page.inner_text("#now .answer") == "Gold has the symbol"
    assert page.locator("#conversation article").count() == 0
    page.get_by_role("button", name="Ask again").click()
    page.wait_for_selector("#conversation .badges")
    assert page.locator("#now article").count() == 0


def test_a_question_to_start_with_is_asked_when_chosen(page):
    page.get_by_role("button", name=GOLD).click()
    page.wait_for_selector(".badges")
    assert page.inner_text(".answer") == "Au"
    page.get_by_role("button", name="New chat").click()
    page.wait_for_selector(".welcome")
    assert page.locator(".answer").count() == 0


def test_retry_undo_and_edit_change_the_thread(page):
    ask(page, GOLD)
    ask(page, SILVER)
    page.get_by_role("button", name="Retry").click()
    page.wait_for_function("document.querySelectorAll('#conversation article').length === 1")
    page.wait_for_function("document.querySelectorAll('#conversation article').length === 2")
    assert questions(page) == [GOLD, SILVER]
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector("#notice :text('Removed.')")
    assert questions(page) == [GOLD]
    page.hover(".asked")
    page.get_by_role("button", name="Edit this question").click()
    page.wait_for_selector("#notice :text('Edit the question below')")
    assert page.input_value(BOX) == GOLD
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_function("document.querySelector('#question textarea').value === ''")
    page.hover(".asked")
    page.get_by_role("button", name="Edit this question").click()
    page.wait_for_selector("#notice :text('Edit the question below')")
    page.fill(BOX, SILVER)
    page.press(BOX, "Enter")
    page.wait_for_selector(f"#conversation .bubble:text-is('{SILVER}')")
    page.wait_for_selector("#conversation .answer:text-is('Ag')")
    assert questions(page) == [SILVER]


def test_an_opinion_with_a_comment_and_the_right_answer_is_stored_with_the_run(page, service):
    ask(page, GOLD)
    page.get_by_role("button", name="Wrong answer").click()
    page.get_by_label("The right answer").fill("Aurum")
    page.get_by_label("Comment").fill("in Latin")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("#notice :text('Stored with run')")
    run = page.get_attribute("#conversation article", "id").removeprefix("turn-")
    kept = service.feedback.of_runs("local", [run])[run]
    assert (kept.opinion, kept.correction, kept.comment) == ("wrong", "Aurum", "in Latin")
    assert page.get_attribute("[data-action=wrong]", "aria-pressed") == "true"
    page.get_by_role("button", name="Good answer").click()
    page.wait_for_selector("[data-action=good][aria-pressed=true]")
    assert page.get_by_label("Comment").input_value() == "in Latin"
    page.get_by_role("button", name="Close").click()
    page.wait_for_selector("form.feedback", state="detached")
    page.get_by_role("button", name="Good answer").click()
    page.wait_for_selector("#notice :text('Taken back.')")
    assert service.feedback.of_runs("local", [run]) == {}


def test_threads_are_listed_survive_a_reload_and_are_shared_by_tabs(page, open_page):
    ask(page, GOLD)
    page.wait_for_function("location.search.startsWith('?thread=')")
    address = page.url
    page.reload()
    page.wait_for_selector("#conversation article")
    assert questions(page) == [GOLD]
    other = open_page(address)
    assert questions(other) == [GOLD]
    ask(other, SILVER)
    ask(page, "What is the category of Gold?")
    assert questions(page) == [GOLD, SILVER, "What is the category of Gold?"]
    page.get_by_role("button", name="New chat").click()
    page.wait_for_selector(".welcome")
    page.locator("nav .thread").first.click()
    page.wait_for_selector("#conversation article:nth-of-type(3)")
    page.wait_for_selector("nav .thread[aria-current=true]")
    count = page.locator("nav .thread").count()
    page.locator("nav .delete").first.click()
    page.wait_for_selector(".welcome")
    assert page.locator("nav .thread").count() == count - 1
    assert "thread=" not in page.url


def choose(page, workflow):
    page.get_by_role("combobox", name="Answered by").click()
    page.get_by_role("option", name=workflow).click()


def test_a_reading_that_is_asked_back_about_is_chosen_by_keyboard(page):
    ask(page, "how many metals")
    assert page.inner_text(".badge") == "which one is meant?"
    readings = page.get_by_role("group", name="What is meant?").get_by_role("button")
    told = ["the number of rows where category has metal", "the number of rows"]
    assert readings.all_inner_texts() == told
    page.focus(BOX)
    while page.evaluate("document.activeElement.dataset.question") != told[1]:
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_function(ANSWERED, arg=[told[1], 1])
    assert questions(page) == ["how many metals", told[1]]
    assert page.inner_text(f"{LAST} .answer") == "5"
    assert page.get_by_role("group", name="What is meant?").count() == 0  # of the last turn alone


def test_what_waits_for_a_person_is_edited_approved_and_rejected(page, open_page, student):
    choose(page, DESK)
    ask(page, GOLD)
    assert page.inner_text(".badge") == "waits for a person"
    waiting = page.get_by_role("group", name="Waits for your decision: write the symbol")
    assert waiting.get_by_label("new symbol").input_value() == "Au"
    assert waiting.get_by_label("element").count() == 0  # it is shown, and may not be changed
    other = open_page(page.url)
    waiting.get_by_label("new symbol").fill("Aurum")
    waiting.get_by_label("Note").fill("in Latin")
    assert student.written == []
    page.get_by_role("button", name="Approve: write the symbol").click()
    page.wait_for_selector("#conversation .badge:text-is('not checked')")
    assert student.written == [{"element": "Gold", "new_symbol": "Aurum"}]
    assert waiting.count() == 0
    page.click("details.steps summary")
    told = "approved – write the symbol; edited: new_symbol; in Latin"
    assert told in page.inner_text("details.steps ol")
    other.get_by_role("button", name="Approve: write the symbol").click()  # the other tab is late
    other.locator("#notice [role=alert]", has_text="nothing waits for this decision").wait_for()
    ask(page, SILVER)
    page.focus("[data-action=reject]")
    page.keyboard.press("Enter")
    page.wait_for_function("!document.querySelector('.approval, #now article')")
    page.locator(f"{LAST} details.steps summary").click()
    assert "rejected – write the symbol" in page.inner_text(f"{LAST} details.steps ol")
    assert len(student.written) == 1
    page.reload()
    page.wait_for_selector("#conversation article:nth-of-type(2)")
    assert page.locator(".approval").count() == 0


def test_another_workflow_is_chosen(page):
    choose(page, "The student alone, not checked")
    ask(page, GOLD)
    assert page.inner_text(".answer") == "Au, I think"
    assert page.inner_text(".badge") == "not checked"


@pytest.mark.parametrize(
    ("question", "said"),
    [("x" * 2001, "a question may have 2,000"), ("", "Please type a question.")],
)
def test_a_refused_question_keeps_its_text(page, question, said):
    page.fill(BOX, question)
    page.press(BOX, "Enter")
    page.locator("#notice [role=alert]", has_text=said).wait_for()
    assert page.input_value(BOX) == question
    assert page.locator("article").count() == 0


def test_a_failed_engine_and_a_full_queue_get_a_sentence_and_keep_the_text(
    page, open_page, student
):
    from stillroom.errors import EngineFailedError

    student.fault = EngineFailedError("the engine has stopped")
    page.fill(BOX, GOLD)
    page.press(BOX, "Enter")
    page.locator("#notice [role=alert]", has_text="No answer: the engine has stopped").wait_for()
    assert page.input_value(BOX) == GOLD
    student.fault = KeyError("secret")
    page.press(BOX, "Enter")
    page.locator("#notice [role=alert]", has_text="Something went wrong on this side").wait_for()
    assert "secret" not in page.content()
    student.fault = None
    student.gate.clear()
    other = open_page()
    other.fill(BOX, "Summarize the following: gold")
    other.press(BOX, "Enter")
    other.wait_for_selector("#now .answer")
    page.fill(BOX, SILVER)
    page.press(BOX, "Enter")
    page.locator("#notice [role=alert]", has_text="ask again in a moment").wait_for()
    assert page.input_value(BOX) == SILVER
    student.gate.set()
    other.wait_for_selector("#conversation .badges")
    page.press(BOX, "Enter")
    page.wait_for_selector("#conversation .answer:text-is('Ag')")


def test_answers_are_saved_with_their_cells_and_an_answer_is_copied(page):
    ask(page, GOLD)
    page.get_by_role("button", name="Copy this answer").click()
    assert page.evaluate("navigator.clipboard.readText()") == "Au"
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save answers as CSV").click()
    assert saving.value.suggested_filename == "answers.csv"
    text = Path(saving.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    cells = {(row["row"], row["column"], row["cell"]) for row in rows if row["answer"] == "Au"}
    assert {("79", "element", "Gold"), ("79", "symbol", "Au")} <= cells


def test_models_are_compared_side_by_side(page):
    page.get_by_role("tab", name="Compare").click()
    box = page.get_by_label("A question for all of them")
    assert box.input_value() == GOLD
    box.press("Enter")
    page.wait_for_selector(".right:has-text('Au')")
    shown = page.locator(".card").all_inner_texts()
    assert [card.split("\n")[0] for card in shown] == ["Teacher", "Student"]
    assert "as in the table" in shown[0]
    assert "not as in the table" in shown[1]


def test_the_table_is_sorted_its_columns_named_and_its_questions_asked(page, service):
    page.get_by_role("tab", name="Table").click()
    page.get_by_role("button", name="atomic mass", exact=True).click()
    page.wait_for_selector("#records th[aria-sort=ascending]")
    page.get_by_role("button", name="atomic mass", exact=True).click()
    page.wait_for_selector("#records th[aria-sort=descending]")
    assert page.inner_text("#records tbody tr:first-child td:nth-child(2)") == "Gold"
    page.get_by_label("Other words for atomic mass").fill("heft, weight")
    page.get_by_role("button", name="Save the words for atomic mass").click()
    page.wait_for_selector("#table-notice :text('Saved for mass.')")
    named = {column.name: column.also for column in service.default_table.columns}
    assert named["mass"] == ("heft", "weight")
    page.get_by_role("button", name="What is the symbol of Hydrogen?").click()
    page.wait_for_selector("#conversation .bubble:text-is('What is the symbol of Hydrogen?')")
    assert page.get_by_role("tab", name="Chat").get_attribute("aria-selected") == "true"


def test_a_table_of_ones_own_is_brought_and_asked(page, tmp_path):
    mine = tmp_path / "stars.csv"
    mine.write_text("star,colour\n" + "\n".join(f"Star {n},hue{n}" for n in range(1, 9)))
    page.get_by_role("tab", name="Table").click()
    page.set_input_files("input[type=file]", mine)
    page.wait_for_selector("#table-notice :text('It can be asked')")
    assert "stars.csv, 8 records" in page.inner_text("#records caption")
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("button", name="What is the colour of Star").first.wait_for()  # to start with
    ask(page, "What is the colour of Star 3?")
    assert page.inner_text(".answer") == "hue3"
    assert page.locator(".cells td.cited mark").all_inner_texts() == ["Star 3", "hue3"]
    page.get_by_role("tab", name="Table").click()
    page.reload()  # it is still there, and is deleted by keyboard
    page.wait_for_selector("#conversation article")
    choose(page, "stars.csv, without a student")
    page.get_by_role("tab", name="Table").click()
    page.focus("#delete-table summary")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Delete stars.csv").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#table-notice :text('Deleted.')")
    assert "elements.csv" in page.inner_text("#records caption")
    assert page.locator("#delete-table").count() == 0
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("combobox", name="Answered by").click()
    assert page.get_by_role("option", name="stars.csv").count() == 0
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Table").click()
    empty = tmp_path / "empty.csv"
    empty.write_text("star,colour\n")
    page.set_input_files("input[type=file]", empty)
    page.wait_for_selector("#table-notice [role=alert]:has-text('empty.csv')")


def test_the_report_is_shown_without_its_scripts(page):
    page.get_by_role("tab", name="Report").click()
    page.frame_locator("#report iframe").get_by_role("heading", name="A report").wait_for()


def test_no_payload_in_an_answer_makes_a_foreign_request(page, service):
    from stillroom.agentic_workflow.conversations.chat_service import new_thread
    from stillroom.agentic_workflow.conversations.transcript import ChatTurn

    assert len(set(PAYLOADS)) >= 60
    thread = new_thread()
    for number, text in enumerate(PAYLOADS):
        cell = {"table": text, "row": 1, "key": text, "column": text, "value": text}
        final = {"response": text, "verdict": "agrees", "exit": "answered", "task_type": "qa",
                 "citations": [cell], "steps": [{"node": text, "what": text, "detail": text}],
                 "plan": text, "confidence": 0.9}  # fmt: skip
        service.transcript.append("local", thread, ChatTurn(f"p{number}", "multi", text, final))
    page.goto(f"{page.url.split('?')[0]}?thread={thread}")
    page.wait_for_selector(f"article:nth-of-type({len(PAYLOADS)})")
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.wait_for_timeout(300)
    shown = [text.strip() for text in page.locator(".answer").all_inner_texts()]
    assert [one.split() for one in shown] == [text.split() for text in PAYLOADS]
    foreign = "[src*=evil], [href*=evil], [style*=evil], .turn img, .turn svg, .turn iframe"
    assert page.locator(foreign).count() == 0


def test_hostile_texts_of_student_user_and_table_stay_texts(page):
    ask(page, "What is the category of helium?")
    assert HOSTILE in page.inner_text(".answer")
    ask(page, f"What is the category of gold? {HOSTILE}")
    assert HOSTILE in page.locator(".bubble").last.inner_text()
    assert "<b>elements.csv</b>" in page.inner_text("#head")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_serious_is_found_by_axe_and_nothing_scrolls_sideways(open_page, width, scheme):
    package = pytest.importorskip(
        "axe_playwright_python", reason="pip install axe-playwright-python"
    )
    axe = (Path(package.__file__).parent / "axe.min.js").read_text()
    page = open_page(width=width, height=740, scheme=scheme)
    # Light and dark differ in their colours alone, so the other rules are run once.
    rules = {"runOnly": ["cat.color"]} if scheme == "dark" else {}
    found = []

    def look(what):
        if page.evaluate("typeof axe") == "undefined":
            page.evaluate(axe)
        result = page.evaluate(
            "rules => axe.run(document, {...rules, resultTypes: ['violations']})", rules
        )
        found.extend(
            (what, one["id"], json.dumps(one["nodes"][0]["target"]))
            for one in result["violations"]
            if one["impact"] in ("serious", "critical")
        )
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append((what, "scrolls sideways", ""))

    look("welcome")
    ask(page, "What is the symbol of gold? " + "x" * 300)
    ask(page, GOLD)
    page.locator("details.steps summary").last.click()
    page.get_by_role("button", name="Wrong answer").last.click()
    page.wait_for_selector("form.feedback")
    look("conversation")
    ask(page, "how many metals")
    look("readings to choose from")
    choose(page, DESK)
    ask(page, GOLD)
    look("approval")
    box = page.locator("#question").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 740
    for tab in ("Compare", "Table", "Report"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(200)
        look(tab)
    assert found == []


def test_everything_is_reached_by_keyboard(page):
    ask(page, GOLD)
    page.focus(BOX)
    reached = set()
    named = "e => e.getAttribute('aria-label') || e.innerText || e.tagName"
    while "Chat" not in reached and len(reached) < 200:
        page.keyboard.press("Shift+Tab")
        text = page.evaluate(f"({named})(document.activeElement)")
        reached.add(text.strip().split("\n")[0])
    assert {
        "Undo: remove this question and its answer", "Retry: ask this question again",
        "Wrong answer", "Good answer", "Copy this answer", "Cited cells 1", "Edit this question",
        "Save answers as CSV", "New chat", "Chat",
    } <= reached  # fmt: skip
    page.focus("[data-action=undo]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".welcome")


def test_every_page_comes_with_a_policy_that_bars_other_hosts(address):
    with urllib.request.urlopen(address) as answer:
        policy = answer.headers["content-security-policy"]
    assert "img-src 'self' data:" in policy
    assert "default-src 'self'" in policy
    assert address.startswith("http://127.0.0.1:")
