"""A report as one HTML page that loads nothing, follows dark mode, and can be read on a phone."""

from __future__ import annotations

from html import escape
from typing import Final

from ...html_page import definition_list, html_page
from .charts import CHART_STYLE, bars_svg, lines_svg, matrix_html
from .content import (
    Answers,
    Asked,
    Bars,
    Block,
    Bullets,
    Facts,
    Lines,
    Matrix,
    Paragraph,
    Report,
    Section,
    Table,
)

_STYLE: Final = (
    CHART_STYLE
    + """
body { max-width: 60rem }
h1 { font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere }
h2 { margin-top: 2.6rem; padding-top: .6rem; border-top: 1px solid var(--grid); font-size: 1.3rem }
.lead { font-size: 1.15rem }
.look { opacity: .8; margin-top: -.4rem }
nav { font-size: .9rem; line-height: 2 } nav a { margin-right: .9rem }
a { color: var(--c0) }
p, li { overflow-wrap: anywhere }
figure { min-width: 0 } figcaption { font-weight: 600; margin-bottom: .5rem }
table { min-width: min(100%, 20rem) }
td:first-child, th:first-child { white-space: normal; min-width: 6rem; padding-left: 0 }
.wide { max-width: 100% }
.matrix td:first-child { min-width: 8rem } .matrix td, .matrix th { padding: .25rem .4rem }
.asked { list-style: none; padding: 0; display: grid; gap: .7rem;
 grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)) }
.asked > li { border: 1px solid var(--grid); border-radius: .5rem; padding: .6rem .8rem;
 min-width: 0 }
.asked p { margin: 0 0 .35rem; font-weight: 600; white-space: pre-wrap }
.asked small { font-weight: 400 }
.asked dl { display: grid; grid-template-columns: minmax(5.5rem, max-content) 1fr;
 gap: .15rem .8rem; margin: 0; font-size: .93rem }
.asked dt { font-weight: 400; opacity: .75; max-width: 9rem }
.asked dd { margin: 0; min-width: 0; white-space: pre-wrap }
.good { color: var(--c3) } .bad { color: var(--c2) }
.note { font-size: .9rem; opacity: .8 }
@media (max-width: 30rem) { th { white-space: normal; vertical-align: bottom } td, th { padding:
 .3rem .35rem } body { margin: 1rem auto } h1 { font-size: 1.35rem } }
"""
)


def report_page(report: Report) -> str:
    """Write the page of a report.

    Returns:
        HTML; all texts of the report are escaped.
    """
    links = " ".join(
        f'<a href="#{escape(one.name)}">{escape(one.title)}</a>' for one in report.sections
    )
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="lead">{escape(" ".join(report.conclusion))}</p>',
        *map(_section, report.sections[:1]),
        f'<nav aria-label="Sections">{links}</nav>',
        *map(_section, report.sections[1:]),
    ]
    page = html_page(report.title, "\n".join(body), _STYLE)
    return page.encode("utf-8", "replace").decode("utf-8")  # lone surrogates of a user's texts


def _section(section: Section) -> str:
    blocks = "\n".join(map(_block, section.blocks))
    missing = f'<p class="missing">{escape(section.missing)}</p>' if section.missing else ""
    return (
        f'<section id="{escape(section.name)}"><h2>{escape(section.title)}</h2>'
        f'<p class="look">{escape(section.look)}</p>\n{missing}{blocks}</section>'
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in items) + "</ul>"
        case Facts(entries):
            return definition_list(dict(entries))
        case Table():
            return _table(block)
        case Bars():
            return bars_svg(block)
        case Lines():
            return lines_svg(block)
        case Matrix():
            return matrix_html(block)
        case Answers(asked):
            return f'<ul class="asked">{"".join(map(_asked, asked))}</ul>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in table.head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return f'<div class="wide" tabindex="0"><table><tr>{head}</tr>{body}</table></div>{note}'


def _asked(one: Asked) -> str:
    category = f" <small>({escape(one.category)})</small>" if one.category else ""
    lines = [f"<dt>{escape(one.gold_name)}</dt><dd>{escape(one.gold)}</dd>"]
    for said in one.said:
        kind, mark = {True: ("good", "✓ "), False: ("bad", "✗ "), None: ("", "")}[said.right]
        spoken = {True: "right: ", False: "wrong: ", None: ""}[said.right]
        lines.append(
            f'<dt>{escape(said.model)}</dt><dd><b class="{kind}" title="{spoken.strip(": ")}">'
            f"{mark}</b>{escape(said.text) or '<i>nothing</i>'}</dd>"
        )
    return f"<li><p>{escape(one.question)}{category}</p><dl>{''.join(lines)}</dl></li>"
