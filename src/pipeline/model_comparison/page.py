"""A comparison of models as Markdown, and as an HTML page that loads no other file.

The picture is made of the page's own boxes, so its texts keep their size on a phone and follow dark
mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from ...evaluation.statistics.comparison import Comparison
from ...html_page import html_page
from .compare import ModelResult, ModelsCompared

VERDICTS: Final = {
    "better": "better",
    "not_worse": "not worse",
    "worse": "worse",
    "undecided": "undecided",
}
_STYLE: Final = """
:root { --better: #00754f; --not_worse: #0a5fa5; --worse: #b84300; --undecided: #666 }
@media (prefers-color-scheme: dark) {
:root { --better: #2fc796; --not_worse: #64b8f5; --worse: #ff8a4c; --undecided: #aaa } }
.forest { margin: 1rem 0 }
.forest .row { display: grid; grid-template-columns: 13rem 1fr 15rem; gap: 0 1rem;
 align-items: center; padding: .3rem 0; border-bottom: 1px solid #8884 }
.forest .track { position: relative; height: 1.6rem }
.forest .track i { position: absolute; display: block }
.forest .zero { width: 0; top: -.3rem; bottom: -.3rem; border-left: 2px solid currentColor }
.forest .limit { width: 0; top: -.3rem; bottom: -.3rem; border-left: 2px dashed #888 }
.forest .range { height: .45rem; top: .575rem; border-radius: .2rem; opacity: .75 }
.forest .point { width: .9rem; height: .9rem; top: .35rem; margin-left: -.45rem;
 border-radius: 50%; border: 2px solid Canvas; box-sizing: border-box }
.forest .told { font-size: .9rem; font-variant-numeric: tabular-nums }
.forest .tick { position: absolute; font-size: .8rem; transform: translateX(-50%); top: .1rem;
 white-space: nowrap }
.forest .tick:first-child { transform: none } .forest .tick:last-child { transform:
 translateX(-100%) }
.better { background: var(--better) } .not_worse { background: var(--not_worse) }
.worse { background: var(--worse) } .undecided { background: var(--undecided) }
b.better, b.not_worse, b.worse, b.undecided { background: none }
b.better { color: var(--better) } b.not_worse { color: var(--not_worse) }
b.worse { color: var(--worse) }
.lead { font-size: 1.1rem } .pairs td { white-space: normal; text-align: left; min-width: 8rem }
.pairs th { text-align: left }
@media (max-width: 48rem) { .forest .row { grid-template-columns: 1fr; gap: .1rem } }
"""


def markdown(found: ModelsCompared, picture: str | None = None) -> str:
    """Write a comparison as Markdown.

    Args:
        found: The comparison.
        picture: Name of its picture, beside the file.
    """
    lines = [f"# {_title(found)}", ""]
    lines += [line for name in found.comparisons for line in (_sentence(found.in_words(name)), "")]
    if found.promotion is not None:
        name = next(iter(found.comparisons))
        lines += [f"**{_sentence(found.promotion.in_words(name))}**", ""]
        lines += [f"- {one.in_words()}" for one in found.promotion.conditions] + [""]
    lines += [f"| model | runs | {_unit(found)} | 95 % interval |", "|---|--:|--:|---|"]
    for name, one in found.models.items():
        lines.append(f"| {_cell(name)} | {one.runs} | {value_of(found, one.mean)} "
                     f"| {interval_of(found, one)} |")  # fmt: skip
    if picture is not None:
        lines += ["", f"![differences from {found.baseline}]({picture})"]
    for name, parts in found.categories.items():
        if parts:
            lines += ["", f"## {name} by category", "",
                      "| category | verdict | difference and interval | p | records |",
                      "|---|---|---|--:|--:|"]  # fmt: skip
            lines += [
                f"| {_cell(part or 'none')} | {VERDICTS[one.verdict]} "
                f"| {one.difference_in_words()} | {one.p_value:.3g} | {one.records:,} |"
                for part, one in parts.items()
            ]
    for name, kinds in found.differing.items():
        for kind, told in _kinds(found, name):
            if kinds[kind]:
                lines += ["", f"## {told}", "",
                          f"| question | right answer | {_cell(name)} | {_cell(found.baseline)} |",
                          "|---|---|---|---|"]  # fmt: skip
                lines += [
                    f"| {_cell(one['question'] or one['sample_id'])} | {_cell(one['gold'])} "
                    f"| {_cell(one['answer'])} | {_cell(one['baseline_answer'])} |"
                    for one in kinds[kind]
                ]
    return "\n".join([*lines, "", *_notes(found), ""])


def page(found: ModelsCompared) -> str:
    """Write a comparison as an HTML page."""
    parts = [f"<h1>{escape(_title(found))}</h1>"]
    for name, one in found.comparisons.items():
        words = _sentence(found.in_words(name))
        parts.append(f'<p class="lead"><b class="{one.verdict}">{VERDICTS[one.verdict]}</b>: '
                     f"{escape(words)}</p>")  # fmt: skip
    if found.promotion is not None:
        name = next(iter(found.comparisons))
        items = "".join(f"<li>{escape(one.in_words())}</li>" for one in found.promotion.conditions)
        parts += ["<h2>May it replace the running model?</h2>",
                  f"<p class='lead'>{escape(_sentence(found.promotion.in_words(name)))}</p>",
                  f"<ul>{items}</ul>"]  # fmt: skip
    parts += [f"<h2>Difference from {escape(found.baseline)}</h2>", _forest(found),
              "<h2>The models</h2>", _models(found)]  # fmt: skip
    for name, kinds in found.differing.items():
        for kind, told in _kinds(found, name):
            if kinds[kind]:
                parts += [f"<h2>{escape(told)}</h2>", _pairs(found, name, kinds[kind])]
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(found))
    parts += ["<h2>How it was judged</h2>", f"<ul>{notes}</ul>"]
    return html_page(_title(found), "\n".join(parts), _STYLE)


def lines_of(found: ModelsCompared) -> list[tuple[str, Comparison]]:
    """List the lines of the picture: each model, and its categories below it."""
    shown = []
    for name, one in found.comparisons.items():
        shown.append((name, one))
        shown += [(f"{name}: {part or 'no category'}" if len(found.comparisons) > 1
                   else part or "no category", inner)
                  for part, inner in found.categories[name].items()]  # fmt: skip
    return shown


def _forest(found: ModelsCompared) -> str:
    lines = lines_of(found)
    reach = axis_reach([one for _, one in lines])
    margins = {one.margin for _, one in lines if one.margin is not None}
    rows = [_forest_row(name, one, reach) for name, one in lines]
    ticks = "".join(
        f'<span class="tick" style="left:{_left(value, reach):.2f}%">'
        f"{escape(_tick(value, lines[0][1]))}</span>"
        for value in (-reach, -reach / 2, 0.0, reach / 2, reach)
    )
    legend = (
        f"Right of the line: better than {found.baseline}. The bar is the interval of the "
        "difference, the dot the difference as observed."
    )
    if margins:
        legend += " The broken line is the loss that counts as not worse."
    return (
        f'<div class="forest">{"".join(rows)}<div class="row"><div></div>'
        f'<div class="track">{ticks}</div><div></div></div></div><p><small>{escape(legend)}'
        "</small></p>"
    )


def _forest_row(name: str, one: Comparison, reach: float) -> str:
    low, high = (min(max(end, -reach), reach) for end in (one.low, one.high))
    left, right = _left(low, reach), _left(high, reach)
    margin = one.margin
    limit = (
        ""
        if margin is None or margin > reach
        else f'<i class="limit" style="left:{_left(-margin, reach):.2f}%"></i>'
    )
    verdict, told = one.verdict, one.difference_in_words()
    return (
        f'<div class="row"><div><b>{escape(name)}</b> <small>{one.records:,} records</small></div>'
        f'<div class="track" role="img" aria-label="{escape(told)}">'
        f'<i class="zero" style="left:{_left(0.0, reach):.2f}%"></i>{limit}'
        f'<i class="range {verdict}" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        f'<i class="point {verdict}" style="left:{_left(one.difference, reach):.2f}%"></i></div>'
        f'<div class="told"><b class="{verdict}">{VERDICTS[verdict]}</b><br>{escape(told)}</div>'
        "</div>"
    )


def axis_reach(found: Sequence[Comparison]) -> float:
    """Choose how far the axis reaches to both sides of 0: a round number beyond all ends."""
    ends = [abs(end) for one in found for end in (one.low, one.high, one.difference)
            if math.isfinite(end)]  # fmt: skip
    most = max([*ends, *(one.margin for one in found if one.margin is not None)], default=0.0)
    if most <= 0:
        return 1.0
    step = float(10.0 ** math.floor(math.log10(most)))
    return next(step * factor for factor in (1, 2, 4, 6, 8, 10, 20) if step * factor >= most)


def _left(value: float, reach: float) -> float:
    return 50 + 50 * value / reach


def _tick(value: float, like: Comparison) -> str:
    shown = 100 * value if like.is_rate else value
    return f"{shown:+.3g}" if shown else "0"


def _models(found: ModelsCompared) -> str:
    rows = [
        f"<tr><td>{escape(name)}</td><td>{one.runs}</td><td>{value_of(found, one.mean)}</td>"
        f"<td>{escape(interval_of(found, one))}</td></tr>"
        for name, one in found.models.items()
    ]
    return (
        f'<div class="wide"><table><tr><th>model</th><th>runs</th><th>{escape(_unit(found))}</th>'
        f"<th>95&nbsp;% interval</th></tr>{''.join(rows)}</table></div>"
    )


def _pairs(found: ModelsCompared, name: str, rows: Sequence[dict[str, str]]) -> str:
    head = "".join(
        f"<th>{escape(one)}</th>" for one in ("question", "right answer", name, found.baseline)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (one["question"] or one["sample_id"], one["gold"], one["answer"],
                         one["baseline_answer"])
        )
        + "</tr>"
        for one in rows
    )  # fmt: skip
    return f'<div class="wide pairs"><table><tr>{head}</tr>{body}</table></div>'


def _kinds(found: ModelsCompared, name: str) -> list[tuple[str, str]]:
    base = found.baseline
    if found.lower_is_better:
        return [("lost", f"{name} has less error than {base}"),
                ("gained", f"{name} has more error than {base}")]  # fmt: skip
    return [("gained", f"{name} is right or closer, {base} is not"),
            ("lost", f"{base} is right or closer, {name} is not")]  # fmt: skip


def _title(found: ModelsCompared) -> str:
    return f"{' and '.join(found.comparisons)} beside {found.baseline}"


def _notes(found: ModelsCompared) -> list[str]:
    tests = sorted({one.test for one in found.comparisons.values()})
    level = 100 * (1 - next(iter(found.comparisons.values())).significance)
    notes = [
        f"{found.records:,} records of {found.sources:,} source records, aligned by id; the same "
        "for all models.",
        f"Test: {', '.join(tests)}. Intervals of the differences are at {level:.4g} %.",
    ]
    if len(found.comparisons) > 1:
        notes.append(f"p-values are adjusted (Holm) for {len(found.comparisons)} comparisons with "
                     f"{found.baseline}.")  # fmt: skip
    if any(found.categories.values()):
        notes.append("p-values of categories are adjusted (Holm) over the categories, and their "
                     "intervals hold for all of them together.")  # fmt: skip
    if found.not_judged:
        names = ", ".join(one or "no category" for one in found.not_judged)
        notes.append(f"Too small to be judged by themselves: {names}.")
    return notes


def _is_rate(found: ModelsCompared) -> bool:
    return all(one.is_rate for one in found.comparisons.values())


def _unit(found: ModelsCompared) -> str:
    return f"{found.metric}, %" if _is_rate(found) else found.metric


def value_of(found: ModelsCompared, value: float) -> str:
    """Write a value of the metric; rates in percent."""
    if not math.isfinite(value):
        return "unknown"
    return f"{100 * value:.1f}" if _is_rate(found) else f"{value:.4g}"


def interval_of(found: ModelsCompared, one: ModelResult) -> str:
    """Write the 95 % interval of a model, and how it was computed."""
    return f"{value_of(found, one.low)} to {value_of(found, one.high)}, {one.interval}"


def _sentence(words: str) -> str:
    return f"{words}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
