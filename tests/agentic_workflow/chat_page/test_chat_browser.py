"""The chat page in a real Chromium: streaming, details, hostile text, no foreign host, a phone.

Needs `playwright` (Python) and a system Chromium; skips where either is missing.
"""

import asyncio
import dataclasses
import gc
import shutil
import threading
import urllib.request

import pytest

pytestmark = [
    pytest.mark.browser,
    # gradio and its dependencies warn about their own deprecations
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:gradio.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
HOSTILE = "![x](http://evil.example/a.png) <img src=http://evil.example/b.png onerror=alert(1)>"


@pytest.fixture(scope="module")
def gate():
    return threading.Event()


@pytest.fixture(scope="module")
def address(table, gate):
    pytest.importorskip("gradio", reason="pip install 'stillroom[chat]'")
    from stillroom.agentic_workflow.agent import MultiAgentWorkflow
    from stillroom.agentic_workflow.chat_page.page import launch
    from stillroom.inference.chat.scripted_model import ScriptedModel

    class Stepwise(ScriptedModel):
        """Waits for the test before it goes on with a summary."""

        def _stream(self, *args, **kwargs):
            for chunk in super()._stream(*args, **kwargs):
                yield chunk
                if chunk.text.strip() == "symbol":
                    gate.wait(30)

    def reply(prompt):
        if "Summarize" in prompt:
            return "Gold has the symbol Au and the atomic number 79."
        if "elium" in prompt:
            return HOSTILE
        return "Au"

    shown = dataclasses.replace(table, source=f"<b>{table.source}</b>")
    launched = MultiAgentWorkflow(None, chat_model=Stepwise(reply), table=shown)
    import gradio

    yield launch(launched, block=False)
    gradio.close_all()
    # Gradio asks for the main thread's event loop and leaves it open; unclosed it would be a
    # warning in the middle of another test.
    # By type, since isinstance would ask each object for its class, and some of torch's warn then.
    for loop in [one for one in gc.get_objects() if issubclass(type(one), asyncio.BaseEventLoop)]:
        if not loop.is_running() and not loop.is_closed():
            loop.close()


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
def page(browser, address):
    """Open the page; fail on dialogs, script errors and requests to other hosts."""
    opened = browser.new_page(viewport={"width": 1000, "height": 760})
    wrong = []
    opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda r: None if _is_own(r.url, address) else wrong.append(r.url))
    opened.goto(address)
    opened.wait_for_selector("#question textarea")
    yield opened
    opened.close()
    assert wrong == []


def _is_own(url, address):
    return url.startswith((address, "data:", "blob:"))


def ask(page, question):
    page.fill("#question textarea", question)
    page.press("#question textarea", "Enter")


def test_an_answer_streams_and_unfolds_to_its_row_and_steps(page, gate):
    gate.clear()
    ask(page, "Summarize the following: gold")
    page.wait_for_selector("#conversation .answer:has-text('Gold has the symbol')")
    assert page.locator("details.why").count() == 0  # still on its way
    gate.set()
    page.wait_for_selector("details.why")
    assert page.inner_text(".answer") == "Gold has the symbol Au and the atomic number 79."
    line = page.inner_text("details.why summary")
    assert line == "summary · agrees with the record · row 79"
    assert not page.is_visible("table.record")
    page.click("details.why summary")
    page.wait_for_selector("table.record", state="visible")
    assert "196.97" in page.inner_text("table.record")
    assert "router" in page.inner_text("ol.steps")


def test_the_stop_button_keeps_what_was_there(page, gate):
    gate.clear()
    ask(page, "Summarize the following: gold")
    page.wait_for_selector("#conversation .answer:has-text('Gold has the symbol')")
    page.click("[data-testid=stop-button], .stop-button")
    page.wait_for_selector("#conversation .note:has-text('Stopped.')")
    gate.set()
    page.wait_for_selector(".submit-button")
    assert page.inner_text(".answer") == "Gold has the symbol"


def test_an_example_question_is_asked_when_chosen(page):
    page.click("text=What is the symbol of Gold?")
    page.wait_for_selector("details.why")
    assert page.inner_text(".answer") == "Au"
    page.click("details.why summary")
    assert page.inner_text("table.record tr.hit").split() == ["symbol", "Au"]
    page.click("#new")
    page.wait_for_selector("text=What is the symbol of Gold?")
    assert page.locator(".answer").count() == 0


def test_hostile_texts_stay_texts(page):
    ask(page, "What is the category of helium?")
    page.wait_for_selector("details.why")
    assert HOSTILE in page.inner_text(".answer")
    ask(page, f"What is the category of gold? {HOSTILE}")
    page.wait_for_selector(".answer:has-text('nothing in the table')")
    assert HOSTILE in page.locator("#conversation .user").last.inner_text()
    assert page.locator("#conversation .message img").count() == 0
    assert "<b>elements.csv</b>" in page.inner_text("#head")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is the capital of France?", "I don't know: nothing in the table matches"),
        ("x" * 2001, "a question may have 2,000"),
        ("", "Please type a question."),
    ],
)
def test_other_questions_get_a_sentence(page, question, said):
    ask(page, question)
    page.locator("#conversation .message", has_text=said).wait_for()


@pytest.mark.parametrize("width", [320, 360])
def test_a_phone_has_no_sideways_scroll(page, width):
    page.set_viewport_size({"width": width, "height": 740})
    ask(page, "What is the symbol of gold? " + "x" * 300)
    page.wait_for_selector("#conversation .answer")
    ask(page, "What is the symbol of gold?")
    why = page.locator("details.why:has(table.record)")
    why.wait_for()
    why.locator("summary").first.click()
    page.wait_for_selector("table.record", state="visible")
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    box = page.locator("#question").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 740


def test_every_page_comes_with_a_policy_that_bars_other_hosts(address):
    with urllib.request.urlopen(address) as answer:
        policy = answer.headers["content-security-policy"]
    assert "img-src 'self' data:" in policy
    assert "default-src 'self'" in policy
    assert address.startswith("http://127.0.0.1:")
