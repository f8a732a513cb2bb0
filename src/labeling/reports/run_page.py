"""`report.html`: a run for people, on one page that loads nothing.

    text = run_page(RunFacts(run_id="r1", pipeline="sql", status="complete", steps=[...]))

The conclusion stands first, then where records were lost and why, rates with intervals, time,
price, and records that passed and were rejected at each gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from ...html_page import html_page
from ...rate_interval import rate_with_interval
from ...records import stable_json
from .quality import by_count

MOST_SAMPLES: Final = 10
_MOST_REASONS: Final = 8
_LONGEST_VALUE: Final = 600
_LONGEST_SNIPPET: Final = 90
_QUESTIONS: Final = ("instruction", "question", "prompt", "input", "text", "title")
_ANSWERS: Final = ("generation", "output", "answer", "completion")


@dataclass(frozen=True)
class StepFlow:
    """What became of the rows of one step."""

    name: str
    rows_in: int
    used: int
    """Rows that are part of what the step passed on."""
    out: int
    """Rows that it passed on; more than `used` where one becomes several."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows that were sorted out."""
    dead: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows that the step failed on."""


@dataclass(frozen=True)
class GateSamples:
    """Some records at a step that loses records."""

    step: str
    passed: Sequence[Mapping[str, Any]]
    lost: Sequence[tuple[str, Mapping[str, Any]]]
    """Reason and record."""


@dataclass(frozen=True)
class RunFacts:
    """What a page tells of a run."""

    run_id: str
    pipeline: str
    status: str
    """`complete`, `partial`, `failed` or `interrupted`."""
    steps: Sequence[StepFlow] = ()
    """In the order of the run."""
    source_rows: int = 0
    """Rows that came in at the sources."""
    kept_rows: int = 0
    """Rows of the last steps."""
    quality: Sequence[Mapping[str, Any]] = ()
    """Quality reports."""
    agreement: Sequence[Mapping[str, Any]] = ()
    """Score agreement reports."""
    timing: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    samples: Sequence[GateSamples] = ()
    files: Sequence[str] = ()
    """Artefacts, relative to the page."""


def run_page(facts: RunFacts) -> str:
    """Write the page of a run.

    Returns:
        HTML.
    """
    sections = [
        ("records", "Where the records went", _funnel(facts)),
        ("rates", "Rates", "".join(map(_quality, facts.quality))),
        ("agreement", "Teacher and student", "".join(map(_agreement, facts.agreement))),
        ("time", "Time", _timing(facts.timing)),
        ("price", "Price", _cost(facts.cost)),
        ("samples", "Records at each gate", "".join(map(_samples, facts.samples))),
        ("files", "Files", _files(facts)),
    ]
    shown = [section for section in sections if section[2]]
    links = " · ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    body = [
        f"<h1>{escape(facts.pipeline)} <small>{escape(facts.run_id)}</small></h1>",
        f'<p class="lead">{escape(conclusion(facts))}</p>',
        f"<nav>{links}</nav>",
        *(f'<h2 id="{name}">{title}</h2>\n{text}' for name, title, text in shown),
    ]
    page = html_page(f"{facts.pipeline}: {facts.run_id}", "\n".join(body), _STYLE)
    return page.encode("utf-8", "replace").decode("utf-8")


def conclusion(facts: RunFacts) -> str:
    """Say in two sentences what came of a run, and what it took or where most was lost."""
    came = f"{_count(facts.kept_rows)} of {_count(facts.source_rows)} records came through"
    if facts.kept_rows > facts.source_rows:
        came = f"{_count(facts.kept_rows)} records were made of {_count(facts.source_rows)}"
    elif facts.source_rows:
        found = rate_with_interval("p", facts.kept_rows, facts.source_rows)
        low, high = found["p_ci95"]
        came += f" ({_percent(found['p'])}, 95 % interval {_percent(low)} to {_percent(high)})"
    rejected = sum(sum(step.rejected.values()) for step in facts.steps)
    dead = sum(sum(step.dead.values()) for step in facts.steps)
    lost = f"{_count(rejected)} rejected, {_count(dead)} failed"
    first = f"{_STATUS.get(facts.status, '')}{came}; {lost}."
    return f"{first} {_second_sentence(facts)}".strip()


_STATUS: Final = {
    "partial": "This run was ended early and is only part of the data: ",
    "failed": "This run failed before its last step: ",
    "interrupted": "This run was interrupted and can be continued: ",
}


def _second_sentence(facts: RunFacts) -> str:
    parts = []
    if facts.cost is not None and facts.cost.get("cost") is not None:
        told = f"The answers cost {_money(facts.cost['cost'], facts.cost)}"
        per_kept = facts.cost["per_kept_record"]["cost"]
        if per_kept is not None:
            told += f", {_money(per_kept, facts.cost)} per kept record"
        parts.append(told)
    if facts.timing is not None and facts.timing.get("wall_s") is not None:
        start = "the records took" if parts else "The records took"
        parts.append(f"{start} {_seconds(facts.timing['wall_s'])} from first mark to last")
    worst = max(facts.steps, key=_lost, default=None)
    if worst is not None and _lost(worst):
        reason, count = next(iter(by_count({**worst.rejected, **worst.dead}).items()))
        start = "most were lost" if parts else "Most were lost"
        parts.append(f"{start} at {worst.name}, {_count(count)} of them for: {reason}")
    return f"{'; '.join(parts)}." if parts else ""


def _lost(step: StepFlow) -> int:
    return sum(step.rejected.values()) + sum(step.dead.values())


def _funnel(facts: RunFacts) -> str:
    widest = max((step.rows_in for step in facts.steps), default=0)
    if not facts.steps:
        return ""
    legend = (
        '<p class="legend"><i class="used"></i> passed on <i class="rejected"></i> rejected '
        '<i class="dead"></i> failed</p>'
    )
    return f'{legend}<ol class="funnel">{"".join(_step(s, widest) for s in facts.steps)}</ol>'


def _step(step: StepFlow, widest: int) -> str:
    rejected, dead = sum(step.rejected.values()), sum(step.dead.values())
    told = [f"{_count(step.rows_in)} in"] if step.rows_in else []
    told.append(f"{_count(step.out)} out")
    told += [f"{_count(rejected)} rejected"] if rejected else []
    told += [f"{_count(dead)} failed"] if dead else []
    parts = (("used", step.used), ("rejected", rejected), ("dead", dead))
    bar = "".join(
        f'<i class="{name}" style="width:{100 * rows / widest:.3f}%"></i>'
        for name, rows in parts
        if rows and widest
    )
    reasons = _counts(step.rejected) + _counts(step.dead, mark="failed: ")
    return (
        f"<li><div><b>{escape(step.name)}</b> <span>{' · '.join(told)}</span></div>"
        f'<div class="bar">{bar}</div>{reasons}</li>'
    )


def _counts(counts: Mapping[str, int], mark: str = "") -> str:
    if not counts:
        return ""
    ordered = list(by_count(counts).items())
    lines = [
        f"<li>{_count(count)} × {mark}{escape(_short(reason, 200))}</li>"
        for reason, count in ordered[:_MOST_REASONS]
    ]
    rest = ordered[_MOST_REASONS:]
    if rest:
        others = sum(count for _, count in rest)
        lines.append(f"<li>{_count(others)} × {mark}{len(rest)} other reasons</li>")
    return f'<ul class="reasons">{"".join(lines)}</ul>'


_RATES: Final = (
    ("p_keep", "p_keep_ci95", "kept", "total"),
    ("exec_pass_rate", "exec_pass_ci95", "SQL ran", "exec_evaluated"),
    ("gold_match_rate", "gold_match_ci95", "matched gold", "gold_evaluated"),
)


def _quality(report: Mapping[str, Any]) -> str:
    lines = [
        _rate(name, report[rate], report[interval], report[count])
        for rate, interval, name, count in _RATES
        if report.get(rate) is not None
    ]
    score = report.get("judge_score")
    if score is not None:
        lines.append(
            f"<p>Judge: mean {score['mean']:.3f}, {score['min']:.3f} to {score['max']:.3f}, "
            f"{_count(report['judge_evaluated'])} records</p>"
        )
    for name, title in (("reject_reason_counts", "Verdicts"), ("exec_error_counts", "SQL errors")):
        if report.get(name):
            lines.append(f"<p>{title}</p>{_counts(report[name])}")
    stage = escape(str(report.get("stage")))
    title = f"<h3>{stage} <small>{_count(report['total'])} records</small></h3>"
    return title + ("".join(lines) or "<p>The report has no rate.</p>")


def _rate(name: str, rate: float, interval: Sequence[float], count: int) -> str:
    low, high = (100 * end for end in interval)
    return (
        f'<div class="rate"><span>{name}</span><b>{_percent(rate)}</b>'
        f'<div class="track"><i style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
        f'<em style="left:{100 * rate:.2f}%"></em></div>'
        f"<small>{low:.1f} to {high:.1f} %, of {_count(count)}</small></div>"
    )


def _agreement(report: Mapping[str, Any]) -> str:
    names = [name for name in report if name.startswith(("agreement_at_", "pass_agreement"))]
    names = [name for name in ("mae", "rmse", "pearson", "spearman", *names) if name in report]
    rows = [(name, _number(report[name])) for name in names]
    head = f"{_count(report['matched'])} of {_count(report['total'])} records have both scores."
    return f"<p>{head}</p>{_table(('', 'value'), rows)}"


def _timing(report: Mapping[str, Any] | None) -> str:
    if report is None or not report.get("durations"):
        return ""
    rows = []
    for name, told in report["durations"].items():
        first, _, second = name.partition("__to__")
        values = [_seconds(told[q]) for q in ("p50", "p90", "p95")]
        rows.append((f"{first} to {second}", *values, _seconds(report["busy_s"].get(second))))
    if report.get("total") is not None:
        total = [_seconds(report["total"][q]) for q in ("p50", "p90", "p95")]
        rows.append(("first to last", *total, _seconds(report.get("wall_s"))))
    rates = [
        (name, report.get(name))
        for name in ("teacher_tokens_per_sec", "pipeline_kept_samples_per_hour")
    ]
    told = "".join(f"<p>{n}: <b>{_number(v)}</b></p>" for n, v in rates if v is not None)
    note = (
        "<p><small>Times are those that a record waited between two marks, which are set once per "
        "batch. Busy is the time in which any record was between them.</small></p>"
    )
    return _table(("", "p50", "p90", "p95", "busy"), rows) + told + note


def _cost(report: Mapping[str, Any] | None) -> str:
    if report is None or report.get("tokens_in") is None:
        return ""
    names = {
        "per_record": "per record asked", "per_kept_record": "per kept record",
        "per_thousand_records": "per thousand asked", "per_thousand_kept_records":
        "per thousand kept",
    }  # fmt: skip
    told = {"all": report, **{names[name]: report[name] for name in names}}
    told |= {f"step {step}": part for step, part in report["steps"].items()}
    rows = [
        (name, _number(part["tokens_in"]), _number(part["tokens_out"]),
         "-" if part["cost"] is None else _money(part["cost"], report))
        for name, part in told.items()
    ]  # fmt: skip
    note = (
        "<p><small>Counted are answers that arrived, whichever run paid for them; calls that "
        "failed are not.</small></p>"
    )
    return _table(("", "tokens in", "tokens out", "price"), rows) + note


def _samples(gate: GateSamples) -> str:
    passed = [_record(record, "") for record in gate.passed[:MOST_SAMPLES]]
    lost = [_record(record, reason) for reason, record in gate.lost[:MOST_SAMPLES]]
    columns = [
        f"<div><h4>{title}</h4>{''.join(records) or '<p>none</p>'}</div>"
        for title, records in (("Passed", passed), ("Rejected or failed", lost))
    ]
    return f'<h3>{escape(gate.step)}</h3><div class="pair">{"".join(columns)}</div>'


def _record(record: Mapping[str, Any], reason: str) -> str:
    snippet = " → ".join(
        _short(str(record[name]), _LONGEST_SNIPPET)
        for names in (_QUESTIONS, _ANSWERS)
        for name in [next((n for n in names if record.get(n) is not None), None)]
        if name is not None
    )
    error = record.get("exec_error")
    told = f"{reason}, {error}" if reason and isinstance(error, str) and error else reason
    head = f"<b>{escape(_short(told, 120))}</b> " if told else ""
    fields = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_value(value))}</dd>" for name, value in record.items()
    )
    text = escape(snippet or _short(_value(dict(record)), _LONGEST_SNIPPET))
    return f"<details><summary>{head}{text}</summary><dl>{fields}</dl></details>"


def _files(facts: RunFacts) -> str:
    links = "".join(
        f'<li><a href="{escape(name, quote=True)}">{escape(name)}</a></li>' for name in facts.files
    )
    check = (
        "In this folder, the command <code>stillroom pipeline replay . --verify</code> checks them."
    )
    return f"<ul>{links}</ul><p>{check}</p>" if links else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{names}</tr>{lines}</table></div>'


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else stable_json(value, legacy=True)
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}… ({_count(len(text))} characters)"


def _count(number: int) -> str:
    return f"{number:,}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return _count(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _money(value: float, report: Mapping[str, Any]) -> str:
    """Write an amount with two decimals, or with two digits that are not zero."""
    decimals = 2 if value >= 1 or value <= 0 else 1 - math.floor(math.log10(value))
    return f"{value:,.{decimals}f} {report.get('currency') or ''}".strip()


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


_STYLE: Final = """
:root { --used: #0072b2; --rejected: #e69f00; --dead: #d55e00; --line: #8884 }
@media (prefers-color-scheme: dark) { :root { --used: #56b4e9; --dead: #ff7d45 } }
body { overflow-wrap: anywhere } table { overflow-wrap: normal }
h1 small { font-size: 1rem; font-weight: normal }
.lead { font-size: 1.15rem }
nav { margin: 1rem 0 }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-left: .6rem }
i.used { background: var(--used) } i.rejected { background: var(--rejected) }
i.dead { background: var(--dead) }
ol.funnel { list-style: none; padding: 0 }
ol.funnel > li { margin: .7rem 0 }
ol.funnel span { opacity: .8; font-variant-numeric: tabular-nums }
.bar { display: flex; height: .8rem; background: var(--line) }
.bar i { min-width: 2px }
ul.reasons { margin: .2rem 0 0; padding-left: 1.2rem; font-size: .9rem }
.rate { display: grid; grid-template-columns: 7.5rem 4.5rem 1fr 13rem; gap: .6rem;
 align-items: center }
.track { position: relative; height: .8rem; background: var(--line) }
.track i { position: absolute; top: .2rem; height: .4rem; background: var(--used); opacity: .5 }
.track em { position: absolute; top: 0; width: 3px; height: .8rem; margin-left: -1px;
 background: var(--used) }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
 gap: 1rem }
h4 { margin: .3rem 0 }
details { border-bottom: 1px solid var(--line); padding: .25rem 0 }
summary { cursor: pointer } summary b { color: var(--dead) }
dl { margin: .4rem 0 .4rem 1rem; font-size: .9rem } dd { white-space: pre-wrap }
@media (max-width: 40rem) {
 body { margin: 1rem auto }
 .rate { grid-template-columns: 1fr auto; gap: .1rem .6rem; margin: .6rem 0 }
 .rate .track, .rate small { grid-column: 1 / -1 }
 th, td { padding: .25rem .3rem } th, td:first-child { white-space: normal }
}
"""
