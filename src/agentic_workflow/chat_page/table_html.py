"""The HTML of the other tabs: the table's records, what can be asked, models side by side."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final

from ...tables import FactTable, TableRow
from ..conversations.comparison import Compared, ModelAnswer
from .encode import attribute, encode, spoken

PAGE_ROWS: Final = 25
"""Records on a page."""
MOST_NAMES_CHARS: Final = 200
"""Longest text of a column's other names."""
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class TableView:
    """Which records are shown, in which order."""

    page: int = 0
    """Number of the page, from 0."""
    column: str = ""
    """Column that they are sorted by; empty for the order of the file."""
    falling: bool = False
    """Sorted from the largest to the smallest."""
    workflow: str = ""
    """Whose table it is."""

    def sorted_by(self, column: str) -> TableView:
        """Sort by a column; by the same one once more turns the order round."""
        falling = column == self.column and not self.falling
        return replace(self, page=0, column=column, falling=falling)


def records_html(table: FactTable, view: TableView) -> str:
    """Write a page of the records, with a button in each head to sort by it."""
    names = [*([table.key] if table.kind != "rows" else []), *(c.name for c in table.columns)]
    names = list(dict.fromkeys(names))
    labels = {column.name: column.label for column in table.columns}
    rows = sorted_rows(table, view)
    pages = max(1, math.ceil(len(rows) / PAGE_ROWS))
    page = min(max(view.page, 0), pages - 1)
    shown = rows[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]
    head = "".join(_head(name, labels.get(name) or spoken(name), view) for name in names)
    body = "".join(
        f'<tr><th scope="row">{row.row}</th>'
        + "".join(f"<td>{encode(_cell(table, row, name))}</td>" for name in names)
        + "</tr>"
        for row in shown
    )
    return (
        '<div class="records" role="region" tabindex="0" aria-label="Records of the table">'
        f"<table><caption>{encode(f'{table.source}, {len(rows):,} records')}</caption>"
        f'<thead><tr><th scope="col">row</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{_pager(page, pages)}"
    )


def sorted_rows(table: FactTable, view: TableView) -> list[TableRow]:
    """Sort the records as a view says: numbers by size before texts, records without a value last.

    Args:
        table: The table.
        view: Its column is ignored where the table has none of that name.
    """
    names = {table.key, *(column.name for column in table.columns)}
    if view.column not in names:
        return list(table.rows)
    filled = [row for row in table.rows if _cell(table, row, view.column)]
    empty = [row for row in table.rows if not _cell(table, row, view.column)]

    def order(row: TableRow) -> tuple[int, float, str]:
        text = _cell(table, row, view.column).replace(",", "")
        number = _NUMBER.fullmatch(text.strip())
        return (0, float(text), "") if number else (1, 0.0, text.casefold())

    return sorted(filled, key=order, reverse=view.falling) + empty


def asking_html(table: FactTable, editable: bool) -> str:
    """Write what can be asked: for each column a question, and what people say for it.

    Args:
        table: The table.
        editable: Whether the names can be edited.
    """
    rows = "".join(_column_row(table, number, editable) for number in range(len(table.columns)))
    if not rows:
        return ""
    edit = "<p>Other words for a column are understood from the next question on.</p>"
    return (
        f"<h2>What can be asked</h2>{edit * editable}"
        '<div class="records" role="region" tabindex="0" aria-label="What can be asked">'
        '<table class="asking"><thead><tr><th scope="col">column</th><th scope="col">a question'
        '</th><th scope="col">people also say</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def compared_html(now: Compared) -> str:
    """Write the answers of models side by side, those to come included."""
    given, right = {answer.model: answer for answer in now.answers}, now.right
    cards = "".join(_card(name, given.get(name), right) for name in now.models)
    said = f'<p class="right">The table says: <b>{encode(right)}</b></p>' if right else ""
    return f'<div class="compared">{cards}</div>{said}'


def _card(name: str, answer: ModelAnswer | None, right: str) -> str:
    if answer is None:
        inner = '<p class="note busy">Answering</p>'
    elif answer.fault:
        inner = f'<p class="note">No answer: {encode(answer.fault)}</p>'
    else:
        same = " ".join(answer.text.casefold().split()) == " ".join(right.casefold().split())
        mark = ""
        if right:
            style, words = ("good", "as in the table") if same else ("bad", "not as in the table")
            mark = f'<span class="badge {style}">{words}</span>'
        inner = (
            f'<p class="answer">{encode(answer.text)}</p><div class="badges">{mark}'
            f'<span class="badge plain">{answer.seconds:.2f} s</span></div>'
        )
    return f'<section class="card"><h3>{encode(name)}</h3>{inner}</section>'


def _head(name: str, label: str, view: TableView) -> str:
    chosen = name == view.column
    order = "descending" if view.falling else "ascending"
    aria = f' aria-sort="{order}"' if chosen else ""
    arrow = ("↓" if view.falling else "↑") if chosen else ""
    return (
        f'<th scope="col"{aria}><button type="button" data-action="sort" '
        f'data-column="{attribute(name)}">{encode(label)}<span aria-hidden="true"> {arrow}</span>'
        "</button></th>"
    )


def _pager(page: int, pages: int) -> str:
    if pages == 1:
        return ""
    before = " disabled" * (page == 0)
    after = " disabled" * (page == pages - 1)
    return (
        '<div class="actions" role="group" aria-label="Pages">'
        f'<button type="button" data-action="page" data-page="{page - 1}"{before}>Previous</button>'
        f"<span>Page {page + 1} of {pages}</span>"
        f'<button type="button" data-action="page" data-page="{page + 1}"{after}>Next</button>'
        "</div>"
    )


def _column_row(table: FactTable, number: int, editable: bool) -> str:
    column = table.columns[number]
    row = next((row for row in table.rows if row.values.get(column.name)), None)
    question = ""
    if row is not None and column.templates:
        question = column.templates[0].replace("{key}", row.asked_by.get(column.name, row.key))
    elif row is not None and table.kind == "questions":
        question = row.key
    ask = (
        f'<button type="button" data-action="example" data-question="{attribute(question)}">'
        f"{encode(question)}</button>"
        if question
        else ""
    )
    also = ", ".join(column.also)
    names = encode(also)
    if editable:
        label = attribute(f"Other words for {column.label}, separated by commas")
        names = (
            f'<form class="names" data-column="{attribute(column.name)}"><input name="words" '
            f'maxlength="{MOST_NAMES_CHARS}" aria-label="{label}" value="{attribute(also)}">'
            f'<button type="submit" aria-label="Save the words for {attribute(column.label)}">Save'
            "</button></form>"
        )
    return f'<tr><th scope="row">{encode(column.label)}</th><td>{ask}</td><td>{names}</td></tr>'


def _cell(table: FactTable, row: TableRow, name: str) -> str:
    return row.key if name == table.key else row.values.get(name, "")


def delete_html(source: str) -> str:
    """Write how a table of the user's own is deleted; the button is folded away."""
    return (
        '<details id="delete-table"><summary>Delete this table</summary><p>It is deleted for good; '
        "answers that were given from it stay in their conversations.</p>"
        f'<button type="button" data-action="delete">{encode(f"Delete {source}")}</button>'
        "</details>"
    )
