"""The app that npm's `create-agent-chat-app` makes, unmodified, in Chromium against the server.

    pytest -m slow tests/agentic_workflow/langgraph_api/test_agent_chat_app.py

It takes some minutes and the npm registry: the app is made, installed and built in a temporary
folder, or in AGENT_CHAT_APP, which is then built once. `--framework vite`, since the other
framework fetches a font from a third host when it is built.
"""

import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from functools import partial
from pathlib import Path
from socket import socket

import pytest
from http_server import running_server
from project_paths import ROOT
from served_workflows import ANSWER, asking, scripted
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.serve_app import server_app
from stillroom.inference.chat.scripted_model import ScriptedModel

pytestmark = [pytest.mark.slow, pytest.mark.browser]

CREATE = ("create-agent-chat-app@0.1.6", "--yes", "--project-name", "app", "--framework", "vite",
          "--package-manager", "npm", "--install-deps", "false",
          "--include-agent", "none")  # fmt: skip
QUESTION = "What is the symbol of gold?"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def run(folder, *command):
    """Run a command of npm's; skip the test where the registry cannot be reached."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    if any(word in told for word in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT")):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, told


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Make and build the app; give the folder of its pages."""
    if shutil.which("npx") is None:
        pytest.skip("npm is not installed: apt-get install nodejs npm")
    given = os.environ.get("AGENT_CHAT_APP")
    folder = Path(given) if given else tmp_path_factory.mktemp("agent-chat")
    folder.mkdir(exist_ok=True)
    web = folder / "app" / "apps" / "web"
    if not (web / "dist" / "index.html").is_file():
        if not web.is_dir():
            run(folder, "npx", "--yes", *CREATE)
        run(folder / "app", "npm", "install", "--workspace", "web", "--no-audit", "--no-fund",
            "--include-workspace-root=false")  # fmt: skip
        run(web, "npx", "vite", "build")
    return web / "dist"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def app(built):
    """Serve the app's pages on a port of their own; give the address."""
    handler = partial(Quiet, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_address[1]}"
        pages.shutdown()


@pytest.fixture
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with api.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        if "AGENT_CHAT_APP" in os.environ:
            for context in chromium.contexts:
                last = Path(os.environ["AGENT_CHAT_APP"]) / "last.png"
                context.pages[0].screenshot(path=last)
        chromium.close()


class Chat:
    """The app in a browser, connected by its own form."""

    def __init__(self, browser, app, server, assistant, key):
        self.server, self.failed = server, []
        self.page = browser.new_context(viewport={"width": 1200, "height": 820}).new_page()
        self.page.set_default_timeout(40_000)
        self.page.on("pageerror", lambda error: self.failed.append(str(error)))
        self.page.on("response", self._note)
        self.page.on("requestfailed", self._note_failed)
        self.page.goto(app)
        self.page.fill("#apiUrl", server)
        self.page.fill("#assistantId", assistant)
        self.page.fill("#apiKey", key)
        self.page.get_by_role("button", name="Continue").click()

    def _note(self, response):
        if response.url.startswith(self.server) and response.status >= 400:
            self.failed.append(f"{response.status} {response.url} {response.text()}")

    def _note_failed(self, request):
        if request.url.startswith(self.server) and "ERR_ABORTED" not in str(request.failure):
            self.failed.append(f"{request.failure} {request.url}")

    def send(self, text):
        self.page.fill("textarea", text)
        self.page.get_by_role("button", name="Send").click()

    def sees(self, text, count=1):
        """Wait until a text is on the page so many times."""
        found = self.page.get_by_text(text, exact=True)
        found.nth(count - 1).wait_for()
        self.page.get_by_role("button", name="Send").wait_for()  # the run has ended
        assert found.count() == count
        assert self.failed == []

    def shot(self, name):
        """Keep a picture where AGENT_CHAT_APP says to keep the app."""
        if "AGENT_CHAT_APP" in os.environ:
            self.page.screenshot(path=Path(os.environ["AGENT_CHAT_APP"]) / f"{name}.png")


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys.json"
    return file, {owner: add_key(file, owner) for owner in ("anna", "ben")}


@pytest.fixture
def command(app, keys, table, tmp_path):
    """Start `stillroom serve` over a tiny student; give its address."""
    sys.path.insert(0, str(ROOT / "tests" / "inference"))
    from tiny_model import make_model, make_tokenizer, train

    tokenizer = make_tokenizer()
    model = make_model(tokenizer, max_position_embeddings=2048)
    train(model, tokenizer)
    folder = tmp_path / "student"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    table.write(folder)
    port = free_port()
    command = [sys.executable, "-m", "stillroom", "serve", str(folder), "--port", str(port),
               "--tokens", str(keys[0]), "--allow-origin", app, "--no-page",
               "--data-dir", str(tmp_path / "kept")]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: is_ready(server, address))
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=60)


def free_port():
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(server, address):
    assert server.poll() is None, server.stderr.read()
    with suppress(OSError), urllib.request.urlopen(f"{address}/ready", timeout=5):
        return True
    return False


def until(done, most_s=90):
    """Wait until something is so."""
    deadline = time.monotonic() + most_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_thread_is_made_answered_kept_and_belongs_to_its_key(browser, app, command, keys):
    chat = Chat(browser, app, command, "multi", keys[1]["anna"])
    chat.send("What is the symbol of gold?")
    chat.sees("Au")
    chat.page.wait_for_function("location.search.includes('threadId=')")
    chat.send("What is the symbol of silver?")
    chat.sees("Ag")
    chat.shot("answered")
    chat.page.reload()
    chat.sees("Au")
    chat.sees("Ag")
    chat.page.goto(f"{chat.page.url}&chatHistoryOpen=true")
    chat.page.get_by_role("button", name="What is the symbol of gold?").wait_for()
    chat.shot("history")
    other = Chat(browser, app, command, "multi", keys[1]["ben"])
    other.page.goto(f"{other.page.url}&chatHistoryOpen=true")
    other.page.get_by_text("Thread History").wait_for()
    other.page.wait_for_timeout(1000)
    assert other.page.get_by_role("button", name="What is the symbol of gold?").count() == 0
    assert other.failed == []


def test_a_wrong_key_is_told(browser, app, command):
    chat = Chat(browser, app, command, "multi", "sr-wrong")
    chat.page.get_by_text("Failed to connect to LangGraph server").wait_for()


@pytest.fixture
def desk(app, open_threads, tmp_path, keys):
    """Serve a workflow that asks a person, and one that takes its time; give what was written."""
    saver, written = open_threads(f"sqlite:///{tmp_path}/threads.db"), []
    workflows = {"asking": asking(saver, written, editable=["symbol"]), "qa": scripted(saver)}
    settings = ServerSettings(tokens=keys[0], allowed_origins=(app,))
    service = Service(ScriptedModel(lambda _: ANSWER), workflows, settings)
    with running_server(service, app=server_app(service, settings)) as address:
        yield address, written


def test_a_run_stops_for_a_person_and_goes_on_as_edited(browser, app, desk, keys):
    address, written = desk
    chat = Chat(browser, app, address, "asking", keys[1]["anna"])
    chat.send(QUESTION)
    chat.page.get_by_text("write the symbol").first.wait_for()
    chat.shot("asked")
    chat.page.get_by_role("button", name="Accept").click()
    until(lambda: written == [{"symbol": "Au"}])
    chat.page.get_by_role("button", name="Accept").wait_for(state="detached")
    chat.send("And of silver?")
    chat.page.get_by_role("button", name="Accept").wait_for()
    chat.page.locator("textarea").first.fill("Aurum")
    chat.page.get_by_role("button", name="Submit").click()
    until(lambda: written == [{"symbol": "Au"}, {"symbol": "Aurum"}])
    chat.page.get_by_role("button", name="Submit").wait_for(state="detached")
    chat.send("And of indium?")
    chat.page.get_by_role("button", name="Ignore").click()
    chat.page.get_by_role("button", name="Ignore").wait_for(state="detached")
    chat.sees(ANSWER, 3)
    assert len(written) == 2
    assert chat.failed == []
