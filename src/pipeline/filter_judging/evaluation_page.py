"""The evaluation of a filter for people: Markdown, and one HTML page that loads nothing.

Both are made of the values that `evaluate_filter` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from ...html_page import html_page

_SIZE: Final = 280
"""Of the reliability plot, in its own units."""
_STYLE: Final = """
.bars { display: grid; grid-template-columns: 6.5rem 1fr; gap: .15rem .5rem; font-size: .85rem }
.bars i { display: inline-block; height: .7rem; border-radius: 2px; margin-right: .4rem }
.student { background: #0072b2 } .baseline { background: #999 } .noise { background: #e69f00 }
h3 { margin: 1.2rem 0 .2rem; overflow-wrap: anywhere } h3 small { font-weight: 400 }
td:first-child { white-space: normal; min-width: 4.5rem; overflow-wrap: anywhere }
.worst td:nth-child(2) { white-space: normal; overflow-wrap: anywhere; text-align: left }
svg { max-width: 100%; height: auto }
"""


def evaluation_markdown(found: Mapping[str, Any]) -> str:
    """Write the report as Markdown."""
    title = f"# {found['filter_name']} {found['filter_version']}: evaluation"
    parts = [title, " ".join(found["conclusion"]), "## Errors in points of 0 to 10"]
    parts.append(_markdown_table(
        ("dimension", "MAE", "95 %", "RMSE", "mean baseline", "noise floor", "against baseline"),
        [
            (name, _points(one["mae"]), _range(one["mae_ci95"]), _points(one["rmse"]),
             _points(one["baseline_mae"]), _points(one["noise_mae"]), _word(one["verdict"]))
            for name, one in found["dimensions"].items()
        ],
    ))  # fmt: skip
    parts.append(_sources(found))
    parts += ["## Pass or block", _markdown_table(("measure", "value", "95 %"), _pass_rows(found)),
              _sentence(found["passing"]["words"])]  # fmt: skip
    tiers = found["tiers"]
    parts += ["## Tiers (rows: labels; columns: student)", _markdown_table(
        ("", *tiers["names"]),
        [(name, *map(str, row))
         for name, row in zip(tiers["names"], tiers["confusion"], strict=True)],
    )]  # fmt: skip
    parts += ["## Ranking", _markdown_table(("measure", "value", "95 %"), _rank_rows(found))]
    parts += ["## Reliability of the weighted average", _markdown_table(
        ("predicted", "articles", "mean predicted", "mean label", "95 %"), _reliability_rows(found)
    )]  # fmt: skip
    if found["categories"]:
        parts += ["## By category", _markdown_table(
            ("category", "articles", "MAE", "95 %"), _category_rows(found)
        )]  # fmt: skip
    parts += ["## Largest errors", _markdown_table(
        ("id", "title", "predicted", "label"), _worst_rows(found)
    )]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def evaluation_page(found: Mapping[str, Any]) -> str:
    """Write the report as an HTML page that can be read on a phone."""
    title = f"{found['filter_name']} {found['filter_version']}: evaluation"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(one)}</p>" for one in found["conclusion"]),
        "<h2>Errors in points of 0 to 10</h2>",
        *(_bars(name, one) for name, one in found["dimensions"].items()),
        f"<p><small>{escape(_sources(found))}</small></p>",
        "<h2>Pass or block</h2>",
        _table(("measure", "value", "95 %"), _pass_rows(found)),
        f"<p>{escape(_sentence(found['passing']['words']))}</p>",
        "<h2>Tiers</h2><p>Rows are the tiers of the labels, columns those of the student.</p>",
        _confusion(found["tiers"]),
        "<h2>Ranking</h2>",
        _table(("measure", "value", "95 %"), _rank_rows(found)),
        "<h2>Reliability of the weighted average</h2>",
        _reliability_plot(found["reliability"]),
    ]
    if found["categories"]:
        head = ("category", "articles", "MAE", "95 %")
        parts += ["<h2>By category</h2>", _table(head, _category_rows(found))]
    parts += [
        "<h2>Largest errors</h2>",
        _table(("id", "title", "predicted", "label"), _worst_rows(found), "worst"),
    ]
    return html_page(title, "\n".join(parts), _STYLE)


def _sources(found: Mapping[str, Any]) -> str:
    train = f" ({found['n_train']:,} articles)" if found["n_train"] else ""
    noise = found["noise_from"] or "not measured; give labels of a second oracle, or ratings"
    return f"Mean baseline: {found['baseline_from']}{train}. Noise floor: {noise}."


def _bars(name: str, one: Mapping[str, Any]) -> str:
    """Draw the error of a dimension beside the baseline and the noise floor."""
    rows = [("student", "student", one["mae"], f" ({_range(one['mae_ci95'])})"),
            ("mean baseline", "baseline", one["baseline_mae"], ""),
            ("noise floor", "noise", one["noise_mae"], "")]  # fmt: skip
    known = [row for row in rows if row[2] is not None]
    most = max((row[2] for row in known), default=1.0) or 1.0
    cells = "".join(
        f"<span>{told}</span><span><i class='{kind}' style='width:{35 * value / most:.1f}%'></i>"
        f"{value:.2f}{escape(more)}</span>"
        for told, kind, value, more in known
    )
    head = f"<h3>{escape(name.replace('_', ' '))} <small>{_word(one['verdict'])}, RMSE "
    return f"{head}{one['rmse']:.2f}</small></h3><div class='bars'>{cells}</div>"


def _confusion(tiers: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in tiers["names"])
    rows = []
    for name, row in zip(tiers["names"], tiers["confusion"], strict=True):
        whole = sum(row) or 1
        cells = "".join(
            f"<td style='background:rgba(0,114,178,{0.6 * one / whole:.2f})'>{one}</td>"
            for one in row
        )
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    body = "".join(rows)
    return f"<div class='wide'><table><tr><th></th>{head}</tr>{body}</table></div>"


def _reliability_plot(bands: Sequence[Mapping[str, Any]]) -> str:
    """Draw mean labels over mean predictions, with the line where they are equal."""

    def place(value: float) -> float:
        return 30 + value / 10 * (_SIZE - 40)

    marks = []
    for one in bands:
        x, y = place(one["predicted"]), _SIZE - place(one["true"])
        if one["true_ci95"] is not None:
            low, high = (_SIZE - place(min(10.0, max(0.0, end))) for end in one["true_ci95"])
            marks.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{low:.1f}' y2='{high:.1f}' "
                         "stroke='#0072b2'/>")  # fmt: skip
        marks.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='#0072b2'><title>"
                     f"{one['n']} articles</title></circle>")  # fmt: skip
    ticks = "".join(
        f"<text x='{place(v):.0f}' y='{_SIZE - 12}' text-anchor='middle'>{v}</text>"
        f"<text x='22' y='{_SIZE - place(v) + 4:.0f}' text-anchor='end'>{v}</text>"
        for v in (0, 2, 4, 6, 8, 10)
    )
    low, high = place(0), place(10)
    return (
        f"<svg viewBox='0 0 {_SIZE} {_SIZE}' width='{_SIZE}' role='img' fill='currentColor' "
        "font-size='11' aria-label='mean label over mean prediction'>"
        f"<line x1='{low}' y1='{_SIZE - low}' x2='{high}' y2='{_SIZE - high}' "
        f"stroke='currentColor' stroke-dasharray='3 3' opacity='.6'/>{ticks}{''.join(marks)}</svg>"
        "<p><small>Across: mean prediction of the articles in a band of two points. Up: their "
        "mean label with its 95 % interval. On the dashed line both are equal.</small></p>"
    )


def _pass_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    one = found["passing"]
    rows = [
        (name, _percent(one[name]), _percents(one[f"{name}_ci95"]))
        for name in ("accuracy", "recall", "precision", "specificity")
    ]
    tiers = found["tiers"]
    return [
        *rows,
        ("accuracy, always the commoner", _percent(one["majority_accuracy"]), ""),
        ("rightly passed, missed", f"{one['tp']}, {one['fn']}", ""),
        ("wrongly passed, rightly blocked", f"{one['fp']}, {one['tn']}", ""),
        ("tier accuracy", _percent(tiers["accuracy"]), _percents(tiers["accuracy_ci95"])),
        ("tier accuracy, always the commonest", _percent(tiers["majority_accuracy"]), ""),
    ]


def _rank_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    ranking = found["ranking"]
    return [
        (name.replace("_at_", "@").replace("ndcg", "NDCG"), f"{ranking[name]:.3f}",
         _range(ranking[f"{name}_ci95"]))
        for name in ranking if f"{name}_ci95" in ranking
    ]  # fmt: skip


def _reliability_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (f"{one['from']:g} to {one['to']:g}", str(one["n"]), _points(one["predicted"]),
         _points(one["true"]), _range(one["true_ci95"]))
        for one in found["reliability"]
    ]  # fmt: skip


def _category_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, str(one["n"]), _points(one["mae"]), _range(one["mae_ci95"]))
        for name, one in found["categories"].items()
    ]


def _worst_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (one["id"], one["title"], _points(one["predicted"]), _points(one["true"]))
        for one in found["worst"]
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    cells = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows
    )
    return f"<div class='wide'><table class='{kind}'><tr>{cells}</tr>{body}</table></div>"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(one.replace("|", "\\|") for one in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _range(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _percents(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _word(verdict: str) -> str:
    return verdict.replace("_", " ")
