"""The report of an evaluation: one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..files import write_text
from ..html_page import definition_list, html_page
from ..rate_interval import wilson_interval
from .scores import ROWS, ModelScores, display_name, ordered, table_columns

NOT_CLAIMED = (
    "The student knows only this table; it answers questions outside it wrongly unless the agent "
    "abstains.",
    "The held-out questions ask for known facts in wordings that were not trained on; they do not "
    "test facts that are missing from the table.",
    "Speed and memory were measured on this machine; compare rows with each other, not with "
    "numbers from other machines. Memory is that of the whole process, Python and libraries "
    "included.",
    "A difference smaller than the 95 % range of the exact match may be chance.",
    "Perplexities of models with different tokenizers cannot be compared.",
)
"""What the numbers do not show."""


def write_report_html(
    path: str | Path,
    scores: Mapping[str, ModelScores],
    *,
    title: str = "Distillation report",
    settings: Mapping[str, Any] | None = None,
    plots: Mapping[str, str | Path] | None = None,
) -> Path:
    """Write an HTML file with table, plots, explanations and settings; it loads no other file.

    Args:
        path: File to write.
        scores: By name, as `evaluate_models` returns them.
        title: Heading.
        settings: What the numbers depend on (configuration, versions, machine).
        plots: PNG files by caption; they are embedded in the page.

    Returns:
        The path.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<h2>Scores</h2>",
        _html_table(scores),
        _LEGEND,
        *(_figure(caption, Path(image)) for caption, image in (plots or {}).items()),
        "<h2>What the rows are</h2>",
        definition_list({display_name(name): _meaning(name) for name, _ in ordered(scores)}),
        "<h2>What is not claimed</h2>",
        "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in NOT_CLAIMED) + "</ul>",
    ]
    if settings:
        parts += ["<h2>Settings</h2>", definition_list({k: str(v) for k, v in settings.items()})]
    return write_text(path, html_page(title, "\n".join(parts)))


_LEGEND = (
    "<p>exact: percent of all held-out examples whose answer equals the target, with the 95&nbsp;% "
    "range (Wilson) in brackets, then per task. F1: word-level F1 with the target. agree: answers "
    "equal to the teacher's. ppl: perplexity over the tokens of the targets. RAM: peak memory of a "
    "fresh process that answers one prompt. tok/s: one prompt at a time.</p>"
)


def _html_table(scores: Mapping[str, ModelScores]) -> str:
    columns = table_columns(scores)
    head = "".join(f"<th>{escape(name)}</th>" for name in ["", *(head for head, _ in columns)])
    lines = []
    for name, model in ordered(scores):
        low, high = wilson_interval(model.exact_match * model.count, model.count)
        spread = f" <small>[{100 * low:.1f}, {100 * high:.1f}]</small>"
        cells = [escape(cell(model)) for _, cell in columns]
        cells[0] += spread
        body = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f"<tr><td>{escape(display_name(name))}</td>{body}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _figure(caption: str, image: Path) -> str:
    data = base64.b64encode(image.read_bytes()).decode("ascii")
    text = escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _meaning(name: str) -> str:
    return ROWS[name][1] if name in ROWS else "A further model given to the evaluation."
