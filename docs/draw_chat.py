"""Draw docs/chat.png, the picture of the chat page in the README.

    make demo
    python docs/draw_chat.py outputs/elements/student

It needs `playwright` and a Chromium of the system.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from stillroom import MultiAgentWorkflow
from stillroom.agentic_workflow.chat_page.page import launch

QUESTIONS = ("how heavy is gold?", "and silver?", "who sells gold?")
TARGET = Path(__file__).with_name("chat.png")


def draw(student: str, target: Path = TARGET) -> None:
    """Ask a student in the browser, unfold the first answer, and take a picture of the page."""
    address = launch(MultiAgentWorkflow(student), block=False)
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 860}, device_scale_factor=1.5)
        page.goto(address)
        page.wait_for_selector("#question textarea")
        for number, question in enumerate(QUESTIONS, 1):
            page.fill("#question textarea", question)
            page.press("#question textarea", "Enter")
            page.wait_for_function(
                f"document.querySelectorAll('#conversation .answer, #conversation .note').length"
                f" >= {number}", timeout=120_000,
            )  # fmt: skip
            page.wait_for_selector(".submit-button")
            page.wait_for_timeout(1500)
        page.locator("details.why summary").first.click()
        page.wait_for_timeout(500)
        page.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    draw(*sys.argv[1:2])
