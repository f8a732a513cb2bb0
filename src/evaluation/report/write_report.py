"""Write a report as three files of the same content."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...files import write_json, write_text
from .content import Report
from .html import report_page
from .markdown import report_markdown

REPORT_FILES: Final = ("report.html", "report.json", "report.md")


def write_report(report: Report, folder: str | Path) -> Path:
    """Write `report.html`, `report.json` and `report.md`.

    Returns:
        The page.
    """
    place = Path(folder)
    write_json(place / "report.json", report.to_dict())
    write_text(place / "report.md", report_markdown(report))
    return write_text(place / "report.html", report_page(report))
