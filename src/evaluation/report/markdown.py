"""A report as Markdown, for a terminal, a pull request or a repository."""

from __future__ import annotations

from collections.abc import Sequence

from .charts import shown
from .content import (
    Answers,
    Bars,
    Block,
    Bullets,
    Facts,
    Lines,
    Matrix,
    Paragraph,
    Report,
    Table,
)

_MOST_POINTS = 12


def report_markdown(report: Report) -> str:
    """Write a report as Markdown; charts become tables."""
    parts = [f"# {_inline(report.title)}", _inline(" ".join(report.conclusion))]
    for section in report.sections:
        parts += [f"## {_inline(section.title)}", f"*{_inline(section.look)}*"]
        parts += [_inline(section.missing)] if section.missing else []
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return _inline(text)
        case Bullets(items):
            return "\n".join(f"- {_inline(one)}" for one in items)
        case Facts(entries):
            return "\n".join(f"- {_inline(name)}: {_inline(value)}" for name, value in entries)
        case Table(head, rows, note):
            return _table(head, rows) + (f"\n\n{_inline(note)}" if note else "")
        case Bars(caption, bars, unit):
            cells = [
                (bar.label, shown(bar.value, unit),
                 "" if bar.low is None or bar.high is None else f"{bar.low:.1f} to {bar.high:.1f}")
                for bar in bars
            ]  # fmt: skip
            return f"**{_inline(caption)}**\n\n" + _table(("", "value", "95 % interval"), cells)
        case Lines():
            return _lines(block)
        case Matrix(caption, names, shares):
            head = ("", *(str(number) for number in range(1, len(names) + 1)))
            lines = [
                (f"{number} {name}", *(f"{100 * share:.0f}" for share in row))
                for number, (name, row) in enumerate(zip(names, shares, strict=True), start=1)
            ]
            return f"**{_inline(caption)}**\n\n" + _table(head, lines)
        case Answers(asked):
            return "\n\n".join(
                f"**{_inline(one.question)}**\n\n- {_inline(one.gold_name)}: {_inline(one.gold)}\n"
                + "\n".join(
                    f"- {_inline(said.model)}: {_inline(said.text)}"
                    + {True: " (right)", False: " (wrong)", None: ""}[said.right]
                    for said in one.said
                )
                for one in asked
            )


def _lines(block: Lines) -> str:
    """Write some points of each line; a page shows them all."""
    rows = []
    for line in block.lines:
        step = max(1, len(line.points) // _MOST_POINTS)
        chosen = [*line.points[:-1:step], *line.points[-1:]]
        told = ", ".join(f"{x:.4g}: {y:.4g}" for x, y in chosen)
        rows.append((line.name, told))
    head = ("", f"{block.x_label}: {block.y_label}")
    return f"**{_inline(block.caption)}**\n\n" + _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(_inline, cells)) + " |"

    return "\n".join([line(head), "|---" * len(head) + "|", *map(line, rows)])


def _inline(text: str) -> str:
    """Escape a text so that it is one line without markup."""
    return "".join("\\" + c if c in "\\`*_[]<>#|" else c for c in " ".join(text.split()))
