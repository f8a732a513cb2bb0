"""Photograph the chat page with two answers of the student of the elements, for the README.

    python docs/photograph_chat.py outputs/elements/student docs/chat.png

Needs `pip install playwright` and a system Chromium.
"""

import shutil
import sys
import tempfile

from playwright.sync_api import sync_playwright
from stillroom.agentic_workflow.chat_page.page import launch
from stillroom.agentic_workflow.conversations.open_chat import open_chat_service

QUESTIONS = ("What is the atomic mass of gold?", "Is the symbol of gold Ag?")


def photograph(address: str, path: str) -> None:
    """Ask the questions on the page, unfold the steps of the first answer, and write a PNG."""
    with sync_playwright() as running:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1080, "height": 900}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector(".welcome")
        for number, question in enumerate(QUESTIONS, 1):
            page.fill("#question textarea", question)
            page.press("#question textarea", "Enter")
            page.wait_for_selector(f"#conversation article:nth-of-type({number}) .badges")
        page.click("details.steps summary")
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        page.mouse.move(5, 5)
        page.wait_for_timeout(500)
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        photograph(launch(open_chat_service(sys.argv[1], keep=folder), block=False), sys.argv[2])
