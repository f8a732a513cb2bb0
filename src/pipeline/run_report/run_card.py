"""The model card of a run's student, from stored numbers only, and its `.eval_results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluation.eval_results import EvalResult, write_eval_results
from ...evaluation.model_card import model_card
from ...evaluation.report.content import Report
from ...evaluation.report.quality import sentence
from ...files import read_json, read_json_lines, write_text
from .answer_report import STUDENT, TEACHER, TEXT_TO_SQL, data_name, read_scores


def write_run_card(run: Path, report: Report) -> Path:
    """Write the student's `README.md` and `.eval_results/*.yaml`.

    Args:
        run: The run folder.
        report: From `answer_report`; the card says nothing that the report does not.

    Returns:
        The card.
    """
    folder = run / STUDENT
    scores = read_scores(run)
    table = _read_if(folder / "table.json")
    own = _read_if(folder / "run.json")
    source = data_name(run)
    metric = "execution_accuracy" if source == TEXT_TO_SQL else "exact_match"
    results = results_of(report.numbers, source, own.get("created_at"), metric)
    card = model_card(
        "student",
        name=f"student of {source}",
        source=source,
        records=len(table.get("rows") or ()),
        scores=scores.get(STUDENT),
        teacher_scores=scores.get(TEACHER),
        run=own,
        example=_example(run),
        results=results,
        proof=proof_of(report.numbers),
    )
    write_eval_results(folder, results)
    return write_text(folder / "README.md", card)


def results_of(
    numbers: Mapping[str, Any], source: str, date: str | None = None, metric: str = "exact_match"
) -> list[EvalResult]:
    """List the results of a report: right answers over all and by category, and public tasks."""
    dataset = f"held-out questions of {source}"
    rates = {"all": numbers["quality"][STUDENT]}
    for part, own in (numbers["parts"].get("category") or {}).items():
        rates[part] = own[STUDENT]
    found = [
        EvalResult(dataset, task, metric, one["rate"], one["n"],
                   (one["rate_ci95"][0], one["rate_ci95"][1]), date)
        for task, one in rates.items()
    ]  # fmt: skip
    for one in (numbers.get("public_tasks") or {}).get("results") or ():
        known = one.get("dataset")
        found.append(EvalResult(
            str(known or one["task"]), one["task"], str(one["metric"]).partition(",")[0],
            one["value"], is_public=bool(known),
        ))  # fmt: skip
    return found


def proof_of(numbers: Mapping[str, Any]) -> Sequence[str]:
    """List what the report says of the teacher, of plain methods and of int8, in sentences."""
    told = [
        sentence(one["words"])
        for name, one in numbers["difference"].items()
        if name in (TEACHER, "lookup", "nearest_question")
    ]
    int8 = numbers.get("int8") or {}
    if "int8" in int8:
        told.append(
            f"With int8 weights {int8['int8']['right']:,} of {int8['int8']['n']:,} questions are "
            f"right, with float32 {int8['float32']['right']:,}; the weights have "
            f"{int8['int8']['weights_bytes'] / int8['float32']['weights_bytes']:.0%} of the size."
        )
    return told


def _example(run: Path) -> str:
    path = run / "data" / "held_out.jsonl"
    return str(read_json_lines(path)[0]["prompt"]) if path.is_file() else ""


def _read_if(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
