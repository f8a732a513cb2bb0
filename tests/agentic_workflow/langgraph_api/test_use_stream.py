"""`useStream` of LangGraph's SDK for React, unmodified, in Chromium; `make npm` installs it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.responses import HTMLResponse, Response
from served_workflows import ANSWER, FAST, Server, application, asking, scripted

pytestmark = pytest.mark.browser

NPM = Path(__file__).parent / "npm"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
IDLE = "#status:text-is('idle')"


@pytest.fixture(scope="module")
def script():
    """Bundle the page's script."""
    esbuild = NPM / "node_modules" / ".bin" / "esbuild"
    if shutil.which("node") is None or not esbuild.exists():
        pytest.skip("the client for JavaScript is not installed: make npm")
    done = subprocess.run(
        [esbuild, "use_stream.mjs", "--bundle", "--format=iife",
         '--define:process.env.NODE_ENV="production"'],
        cwd=NPM, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def server(saver, gate, written, script):
    """Serve two workflows and, from the same origin, the page."""
    app = application({"qa": scripted(saver, gate), "asking": asking(saver, written)}, FAST)

    @app.get("/page.js")
    def page_script():
        return Response(script, media_type="text/javascript")

    @app.get("/page")
    def page():
        return HTMLResponse("<!doctype html><body><script src='page.js'></script>")

    with Server(app) as running:
        yield running
        gate.open.set()  # before the server stops, which waits for nodes


@pytest.fixture
def open_page(server):
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with api.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def open_one(assistant="qa", thread=""):
            page = chromium.new_context().new_page()
            page.set_default_timeout(40_000)
            wanted = f"apiUrl={server.url}&assistantId={assistant}"
            page.goto(f"{server.url}/page?{wanted}{'&threadId=' * bool(thread)}{thread}")
            page.wait_for_selector(IDLE)
            return page

        yield open_one
        chromium.close()


def send(page, text):
    page.fill("input", text)
    page.get_by_role("button", name="Send").click()


def thread_of(page):
    page.wait_for_function("location.search.includes('threadId=')")
    return page.evaluate("new URL(location).searchParams.get('threadId')")


def messages(page):
    return page.locator("li").all_inner_texts()


def test_an_answer_is_streamed_and_a_thread_goes_on_after_a_reload(open_page):
    page = open_page()
    for number in (1, 2):
        send(page, f"Question {number}")
        page.wait_for_selector(f"li.ai:nth-of-type({2 * number}):text-is('{ANSWER}')")
        page.wait_for_selector(IDLE)
    page.reload()
    page.wait_for_selector("li:nth-of-type(4)")
    assert messages(page) == ["Question 1", ANSWER, "Question 2", ANSWER]
    assert page.inner_text("#error") == ""


def test_a_run_is_stopped_and_nothing_of_it_is_kept(open_page, gate):
    page = open_page()
    send(page, "Please wait.")
    page.wait_for_selector("#status:text-is('busy')")
    assert gate.entered.wait(20)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(IDLE)
    gate.open.set()
    send(page, "And now?")
    page.wait_for_selector(f"li.ai:text-is('{ANSWER}')")
    page.wait_for_selector(IDLE)
    page.reload()
    page.wait_for_selector("li:nth-of-type(2)")
    assert messages(page) == ["And now?", ANSWER]


@pytest.mark.parametrize("decision", ["Approve", "Reject"])
def test_a_run_stops_for_a_person_and_goes_on(open_page, written, decision):
    page = open_page("asking")
    send(page, "What is the symbol of gold?")
    page.wait_for_selector("#asked:text-is('write the symbol')")
    assert written == []
    page.reload()  # the question outlives the page
    page.wait_for_selector("#asked:text-is('write the symbol')")
    page.get_by_role("button", name=decision).click()
    page.wait_for_selector("#asked", state="detached")
    page.wait_for_selector(IDLE)
    assert written == ([{"symbol": "Au"}] if decision == "Approve" else [])
    assert messages(page) == ["What is the symbol of gold?", ANSWER]


def test_a_page_that_is_reloaded_joins_its_run_again(open_page, gate):
    page = open_page()
    send(page, "Please wait.")
    assert gate.entered.wait(20)
    thread_of(page)
    page.reload()
    page.wait_for_selector("#status:text-is('busy')")
    gate.open.set()
    page.wait_for_selector("#context:text-is('passed')")
    page.wait_for_selector(IDLE)
    assert messages(page) == ["Please wait.", ANSWER]
    assert gate.passes == 1


def test_two_pages_of_one_thread_see_the_same(open_page, gate):
    page = open_page()
    send(page, "What is the symbol of gold?")
    page.wait_for_selector(f"li.ai:text-is('{ANSWER}')")
    page.wait_for_selector(IDLE)
    other = open_page(thread=thread_of(page))
    other.wait_for_selector("li.ai")
    send(page, "Please wait.")
    assert gate.entered.wait(20)
    send(other, "Me, too.")  # the thread is busy
    other.wait_for_selector("#error:has-text('another run of the thread is in progress')")
    gate.open.set()
    page.wait_for_selector("#context:text-is('passed')")
    page.wait_for_selector(IDLE)
    send(other, "Me, too.")
    other.wait_for_selector("li:nth-of-type(6)")
    other.wait_for_selector(IDLE)
    page.reload()
    page.wait_for_selector("li:nth-of-type(6)")
    asked = ["What is the symbol of gold?", "Please wait.", "Me, too."]
    assert messages(page) == messages(other) == [x for q in asked for x in (q, ANSWER)]
