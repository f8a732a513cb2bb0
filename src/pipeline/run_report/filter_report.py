"""The report of a filter's students: the table of their training, and an evaluation if any.

    report = filter_report("outputs/uplifting", Prices())

Read are `students.json`, as `stillroom filter train` writes it, and `evaluation.json`, as
`stillroom filter evaluate --report FOLDER/evaluation` writes it, beside the students' folders.

Errors are in points of the filter's scale, so smaller is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import DataError, DataNotFoundError
from ...evaluation.report.content import (
    Answers,
    Asked,
    Bar,
    Bars,
    Block,
    Bullets,
    Line,
    Lines,
    Paragraph,
    Report,
    Said,
    Section,
    Table,
    section,
)
from ...evaluation.report.cost import Prices, money, number
from ...evaluation.report.quality import percents, sentence
from ...evaluation.report.training import Losses, curves_section, lineage_section
from ...files import file_sha256, read_json

STUDENTS_FILE, EVALUATION_FILE = "students.json", "evaluation.json"
AVERAGE: Final = "weighted_average"
_NOT_CLAIMED: Final = (
    "The labels are those of the oracle, a large model; a student that agrees with it may share "
    "its mistakes.",
    "Errors are means over all held-out articles; single articles are off by more.",
    "Speeds were measured on one core of one machine; compare rows with each other.",
)


def filter_report(folder: str | Path, prices: Prices | None = None) -> Report:
    """Make the report of a filter's students.

    Args:
        folder: The output folder of `stillroom filter train`, or one with `evaluation.json`.
        prices: What a second of this machine costs.

    Raises:
        DataNotFoundError: There is neither file.
        DataError: A file is damaged.
    """
    place = Path(folder)
    trained, found = _read(place / STUDENTS_FILE), _read(place / EVALUATION_FILE)
    if trained is None and found is None:
        raise DataNotFoundError(
            f"{place}: holds neither {STUDENTS_FILE} nor {EVALUATION_FILE}; give the output folder "
            "of stillroom filter train"
        )
    rows: list[dict[str, Any]] = list((trained or {}).get("rows") or ())
    name, version = _named(trained, found)
    title = f"Students of the filter {name} {version}".strip()
    numbers: dict[str, Any] = {"students": rows, "evaluation": found}
    sections: list[Section] = [_examples(found)]
    lineage, numbers["lineage"] = _lineage(place, trained, found, rows)
    curves, numbers["training"] = curves_section(_curves(place, rows))
    sections += [lineage, curves, _quality(rows, found), _difference(found), _parts(rows, found),
                 _confidence(found), _size(place, rows)]  # fmt: skip
    cost, numbers["cost"] = _cost(rows, prices or Prices())
    sections += [cost, _int8(), _worst(found), _limits(trained)]
    return Report(title, tuple(_conclusion(rows, found)), tuple(sections), numbers)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except ValueError as fault:
        raise DataError(f"is no JSON ({fault})", path=path) from fault
    if not isinstance(found, dict):
        raise DataError("is no object", path=path)
    return found


def _named(*found: Mapping[str, Any] | None) -> tuple[str, str]:
    for one in found:
        if one is not None:
            return (str(one.get("filter_name") or one.get("filter") or "a filter"),
                    str(one.get("filter_version") or one.get("version") or ""))  # fmt: skip
    return "a filter", ""


def _best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Find the student with the least mean error; the mean baseline has no speed."""
    students = [row for row in rows if row.get("texts_per_second_core") is not None]
    return min(students, key=lambda row: float(row["mean_mae"]), default=None)


def _conclusion(
    rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any] | None
) -> Sequence[str]:
    if found is not None:
        return list(found["conclusion"])
    best = _best(rows)
    if best is None:
        return ["No student was trained.", "Train one with stillroom filter train."]
    others = [row for row in rows if row.get("texts_per_second_core") is None]
    beside = f", where always the mean is off by {others[0]['mean_mae']:.2f}" if others else ""
    return [
        f"The best student, {best['student']}, is off by {best['mean_mae']:.2f} points on average "
        f"over {best['n']:,} held-out articles{beside}.",
        f"It scores {number(best['texts_per_second_core'])} articles a second on one core and "
        f"gives the oracle's verdict, pass or block, for {100 * best['pass_accuracy']:.1f} % of "
        "them.",
    ]


def _examples(found: Mapping[str, Any] | None) -> Section:
    worst = [] if found is None else list(found["worst"])[:_EXAMPLES]
    return section(
        "examples", f"{len(worst)} articles with their scores" if worst else "Examples",
        "Look how far the student's score is from the label; these are the articles where it is "
        "farthest off.",
        [Answers(tuple(map(_article, worst)))] if worst else [], _NO_EVALUATION,
    )  # fmt: skip


_EXAMPLES: Final = 10
_NO_EVALUATION: Final = (
    "There are no scores of single articles here; stillroom filter evaluate with --report "
    "FOLDER/evaluation writes them, and stillroom report FOLDER shows them."
)


def _article(one: Mapping[str, Any]) -> Asked:
    return Asked(
        str(one["title"] or one["id"]), f"{one['true']:.2f} ({one['tier']})",
        (Said("student", f"{one['predicted']:.2f} ({one['predicted_tier']})"),),
        gold_name="label",
    )  # fmt: skip


def _lineage(
    place: Path,
    trained: Mapping[str, Any] | None,
    found: Mapping[str, Any] | None,
    rows: Sequence[Mapping[str, Any]],
) -> tuple[Section, dict[str, Any]]:
    name, version = _named(trained, found)
    entries: list[tuple[str, str | None]] = [("filter", f"{name} {version}".strip())]
    for row in rows:
        count = row.get("train_examples")
        if count:
            entries.append((str(row["student"]), f"trained on {count:,} labelled articles"))
    for path in sorted(place.glob("*/*.safetensors")):
        entries.append((f"hash of {path.parent.name}/{path.name}", file_sha256(path)))
    if found is not None:
        entries.append(("held-out articles", f"{found['n']:,}"))
    return lineage_section(
        entries,
        "An oracle, which is a large model with the filter's prompt, labelled articles; the "
        "students learned its scores and are measured on articles that they did not see.",
    )


def _curves(place: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Losses]:
    curves: dict[str, Losses] = {}
    for path in sorted(place.glob("*/training_history.json")):
        history = read_json(path)
        curves[path.parent.name] = [
            (int(one["epoch"]), float(one["train"]["loss"])) for one in history
        ]
    return curves


def _quality(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any] | None) -> Section:
    best = _best(rows)
    blocks: list[Block] = []
    if rows:
        bars = tuple(
            Bar(str(row["student"]), float(row["mean_mae"]), is_main=row is best) for row in rows
        )
        blocks.append(Bars("Mean absolute error, mean of the dimensions (shorter is better)",
                           bars, "points"))  # fmt: skip
        cells = tuple(
            (
                str(row["student"]), f"{row['mean_mae']:.3f}", _three(row.get("mean_spearman")),
                _three(row.get("tier_kappa")), f"{100 * row['tier_accuracy']:.1f} %",
                f"{100 * row['pass_accuracy']:.1f} %",
            )
            for row in rows
        )  # fmt: skip
        head = ("student", "error", "rank correlation", "kappa of tiers", "same tier",
                "same verdict")  # fmt: skip
        blocks.append(Table(head, cells, "The row 'mean baseline' always gives the mean of the "
                            "training labels: a student has to beat it."))  # fmt: skip
    if found is not None:
        passing = found["passing"]
        blocks.append(Table(
            ("pass or block", "value", "95 % interval"),
            tuple(
                (key, f"{100 * passing[key]:.1f} %", percents(passing[f"{key}_ci95"]))
                for key in ("accuracy", "recall", "precision", "specificity")
                if passing.get(key) is not None
            ),
        ))  # fmt: skip
    return section(
        "quality", "How good the students are",
        "Look whether the bars of the students are shorter than that of the mean baseline, which "
        "knows nothing of the article.",
        blocks, "No student was measured.",
    )  # fmt: skip


def _difference(found: Mapping[str, Any] | None) -> Section:
    blocks: list[Block] = []
    if found is not None:
        blocks = [
            Bullets(tuple(f"{name.replace('_', ' ')}: {sentence(one['words'])}"
                          for name, one in found["dimensions"].items())),
            Paragraph(sentence(found["passing"]["words"])),
            Paragraph(f"Noise floor: {found['noise_from'] or 'not measured'}. Below it, oracles "
                      "themselves do not agree."),
        ]  # fmt: skip
    return section(
        "difference", "How much better than the mean, and is that sure?",
        "Look at the verdict of each dimension; the oracle's own labels are the target, so the "
        "error is the distance from the teacher.",
        blocks, _NO_EVALUATION,
    )  # fmt: skip


def _parts(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any] | None) -> Section:
    blocks: list[Block] = []
    best = _best(rows)
    dimensions = {} if found is None else {
        name: one["mae"] for name, one in found["dimensions"].items() if name != AVERAGE
    }  # fmt: skip
    if not dimensions and best is not None:
        dimensions = dict(best["mae"])
    if dimensions:
        bars = tuple(Bar(name.replace("_", " "), float(value), is_main=True)
                     for name, value in dimensions.items())  # fmt: skip
        blocks.append(Bars("Mean absolute error of each dimension", bars, "points"))
    for name, one in ({} if found is None else found["categories"]).items():
        blocks.append(Paragraph(f"{name}: off by {one['mae']:.2f} points over {one['n']:,} "
                                "articles."))  # fmt: skip
    return section(
        "parts", "Where it is good and where it fails",
        "Look for the longest bar: that dimension is the least reliable.", blocks,
        "No student was measured.",
    )  # fmt: skip


def _confidence(found: Mapping[str, Any] | None) -> Section:
    bands = [] if found is None else found["reliability"]
    points = tuple((float(one["predicted"]), float(one["true"])) for one in bands)
    return section(
        "confidence", "Do its scores mean what they say?",
        "Look whether the points lie on the dashed line, where predictions are the mean labels.",
        [Lines("Mean label over mean prediction", "predicted", "label",
               (Line("a band of two points", points, is_points=True),), (0, 10), (0, 10),
               diagonal=True)] if points else [],
        _NO_EVALUATION,
    )  # fmt: skip


def _size(place: Path, rows: Sequence[Mapping[str, Any]]) -> Section:
    cells = []
    for row in rows:
        own = place / str(row["student"])
        size = sum(path.stat().st_size for path in own.glob("*") if path.is_file())
        seconds = row.get("train_s")
        cells.append((
            str(row["student"]), f"{size / 1e6:,.1f} MB" if size else "-",
            number(row.get("texts_per_second_core")),
            "-" if seconds is None else f"{seconds:,.0f} s",
        ))  # fmt: skip
    head = ("student", "on disk", "articles per second and core", "training")
    return section(
        "size", "How big and how fast they are",
        "Look for the student that is fast enough for your stream and has the least error above.",
        [Table(head, tuple(cells))] if cells else [], "No speed was measured.",
    )  # fmt: skip


def _cost(rows: Sequence[Mapping[str, Any]], prices: Prices) -> tuple[Section, dict[str, Any]]:
    costs = {
        str(row["student"]): 1000 * prices.of_seconds(1 / float(row["texts_per_second_core"]))
        for row in rows
        if row.get("texts_per_second_core")
    }
    cells = [(name, money(value, prices)) for name, value in costs.items()]
    blocks: list[Block] = []
    numbers: dict[str, Any] = {"cost_per_1000_articles": costs}
    if prices.teacher_input is not None or prices.teacher_output is not None:
        oracle = 1000 * prices.teacher_answer()
        numbers["oracle_per_1000_articles"] = oracle
        cells.append(("oracle", money(oracle, prices)))
    if cells:
        blocks = [
            Table(("student", "a thousand articles"), tuple(cells)),
            Bullets((f"{prices.watts:g} W for one core's work, {prices.kwh_price:g} "
                     f"{prices.currency} per kWh; no share of the machine's price.",
                     "The oracle's price is given with --teacher-price INPUT,OUTPUT per million "
                     "tokens and --prompt-tokens.")),
        ]  # fmt: skip
    return section(
        "cost", "What scores cost",
        "Look at the price of a thousand articles; the assumptions below can be changed.", blocks,
        "No speed was measured, so there is no cost.",
    ), numbers  # fmt: skip


def _int8() -> Section:
    return section(
        "int8", "What int8 costs", "Look here for the price of eight bits per weight.", (),
        "Students of filters are not exported to int8, so it has no price here.",
    )  # fmt: skip


def _worst(found: Mapping[str, Any] | None) -> Section:
    worst = [] if found is None else found["worst"][_EXAMPLES:]
    return section(
        "worst", "Further large errors",
        "Look for what these articles have in common.",
        [Answers(tuple(map(_article, worst)))] if worst else [],
        _NO_EVALUATION if found is None else "They are the articles at the top of this page.",
    )  # fmt: skip


def _limits(trained: Mapping[str, Any] | None) -> Section:
    notes = tuple(str(one) for one in (trained or {}).get("notes") or ())
    return section(
        "limits", "What is not claimed", "Look here before quoting a number from above.",
        [Bullets((*_NOT_CLAIMED, *notes))],
    )  # fmt: skip


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
