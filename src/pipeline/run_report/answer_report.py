"""The report of a run whose models answered questions, from the files in its folder.

    report = answer_report("outputs/elements", Prices())

Read are `predictions/*.jsonl`, `metrics.json`, `timing.json`, `calibration.json`, `int8.json`, and
the `run.json`, `losses.jsonl` and `table.json` of the models. What is not there is left out, and
its section says what to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import DataNotFoundError
from ...evaluation.export_price import PRICE_FILE
from ...evaluation.predictions import PREDICTIONS, Prediction, read_predictions
from ...evaluation.report.answers import examples_section, worst_section
from ...evaluation.report.confidence import confidence_section
from ...evaluation.report.content import Block, Bullets, Facts, Report, Section, Table, section
from ...evaluation.report.cost import (
    Prices,
    cost_section,
    count,
    int8_section,
    milliseconds,
    size_section,
)
from ...evaluation.report.quality import (
    agreement_section,
    compare_models,
    difference_section,
    parts_section,
    quality_section,
    rate_words,
)
from ...evaluation.report.training import Losses, curves_section, lineage_section
from ...evaluation.scores import ROWS, ModelScores
from ...files import file_sha256, read_json, read_json_lines
from ...inference.scoring.confidence import ConfidenceMap
from ..stage_times import TIMING_FILE
from .public_tasks import TASKS_FILE

STUDENT, TEACHER = "student", "teacher"
CALIBRATION_FILE: Final = "calibration.json"
"""File of a run folder: probabilities of the student's answers to questions that the calibration
did not see, and whether they are right."""
PLAIN: Final[Mapping[str, tuple[str, str]]] = {
    "lookup": (
        "plain: lookup",
        "No model: finds the record and the column in the question and copies the cell.",
    ),
    "nearest_question": (
        "plain: nearest question",
        "No model: the answer of the training question that is nearest by TF-IDF.",
    ),
}
"""Plain methods: name that is shown, and what they are."""
_FURTHER: Final[Mapping[str, tuple[str, str]]] = {
    "student_any_text": (
        "student, any text",
        "The same student without the grammar that keeps its SQL to the names of the schema.",
    ),
}
TEXT_TO_SQL: Final = "text to SQL"
"""Source of a text-to-SQL run."""
_SQL_RIGHT: Final = (
    "A statement is right where it gives the rows of the gold query; two empty results prove "
    "nothing and do not count as right.",
)
NOT_CLAIMED: Final = (
    "The held-out questions ask for known facts in wordings that were not trained on; they do not "
    "test facts that are missing from the data.",
    "The student answers questions outside its data wrongly unless an agent makes it abstain.",
    "Speed and memory were measured on one machine; compare rows with each other, not with numbers "
    "from other machines.",
    "A difference whose interval includes zero may be chance.",
)
_BESIDE: Final = (TEACHER, "student_without_teacher", "nearest_question")


def answer_report(folder: str | Path, prices: Prices | None = None) -> Report:
    """Make the report of a run.

    Args:
        folder: The run folder.
        prices: What answers cost.

    Raises:
        DataNotFoundError: There are no answers of a student.
        DataError: A file is damaged.
    """
    run = Path(folder)
    answered = read_answers(run)
    words = {name: _words(name) for name in answered}
    scores = read_scores(run)
    sections: list[Section] = []
    numbers: dict[str, Any] = {}

    def add(name: str, made: tuple[Section, dict[str, Any]]) -> None:
        sections.append(made[0])
        numbers[name] = made[1]

    beside = [name for name in _BESIDE if name in answered]
    sections.append(examples_section(answered, words, STUDENT, beside[:2]))
    add("lineage", _lineage(run, scores))
    add("training", curves_section(read_curves(run, words)))
    add("quality", quality_section(answered, words, STUDENT))
    add("difference", difference_section(answered, words, STUDENT, _baselines(answered)))
    add("parts", parts_section(answered, words, STUDENT, (STUDENT, TEACHER)))
    add("agreement", agreement_section(answered, words))
    add("confidence", _confidence(run, answered[STUDENT]))
    add("size", size_section(scores, {name: _words(name) for name in scores}))
    add("cost", cost_section(scores, words, prices or Prices(), _training_seconds(run)))
    int8 = _read_if(run / PRICE_FILE)
    numbers["int8"] = int8
    sections.append(int8_section(
        int8 if int8 and "int8" in int8 else None,
        (int8 or {}).get("missing") or "Not measured; a new run measures it.",
    ))  # fmt: skip
    add("public_tasks", _public_tasks(run))
    sections.append(worst_section(answered, words, STUDENT, beside))
    sections.append(_settings(run))
    conclusion = _conclusion(answered, words, scores, numbers)
    return Report(_title(run), conclusion, tuple(sections), numbers)


def read_answers(run: Path) -> dict[str, list[Prediction]]:
    """Read the answers of all models, in the order of the report.

    Raises:
        DataNotFoundError: There are none of the student.
    """
    there = {path.stem: path for path in (run / PREDICTIONS).glob("*.jsonl")}
    if STUDENT not in there:
        raise DataNotFoundError(
            f"{run}: holds no {PREDICTIONS}/{STUDENT}.jsonl, so it is no finished run with "
            "answers; give the folder of a finished run, or run the job again"
        )
    return {name: read_predictions(there[name]) for name in _ordered(there)}


def read_scores(run: Path) -> dict[str, ModelScores]:
    """Read `metrics.json`, in the order of the report; empty where it is of another form."""
    found = _read_if(run / "metrics.json") or {}
    scores = {
        name: ModelScores.from_dict(one)
        for name, one in found.items()
        if isinstance(one, dict) and "by_task" in one
    }
    return {name: scores[name] for name in _ordered(scores)}


def read_curves(run: Path, words: Mapping[str, tuple[str, str]]) -> dict[str, Losses]:
    """Read the losses of teacher, student and controls."""
    names = [TEACHER, STUDENT, *(name for name in words if name not in (TEACHER, STUDENT))]
    found: dict[str, Losses] = {}
    for name in names:
        path = model_folder(run, name) / "losses.jsonl"
        if path.is_file():
            shown = words[name][0] if name in words else name
            found[shown] = [(int(one["step"]), float(one["loss"])) for one in read_json_lines(path)]
    return found


def model_folder(run: Path, name: str) -> Path:
    """Find the folder of a model of a run."""
    places = (run / name, run / "controls" / name)
    return next((place for place in places if place.is_dir()), places[0])


def _ordered(names: Iterable[str]) -> list[str]:
    known = [*ROWS, *PLAIN]
    given = list(names)
    return [*(n for n in known if n in given), *sorted(n for n in given if n not in known)]


def _words(name: str) -> tuple[str, str]:
    known = ROWS.get(name) or PLAIN.get(name) or _FURTHER.get(name)
    return known or (name.replace("_", " "), "A further model.")


def _baselines(answered: Mapping[str, Any]) -> list[str]:
    """List what the student is compared with: the teacher first, then controls and plain ones."""
    return [name for name in (TEACHER, *(n for n in answered if n != TEACHER))
            if name in answered and name != STUDENT]  # fmt: skip


def _lineage(run: Path, scores: Mapping[str, ModelScores]) -> tuple[Section, dict[str, Any]]:
    own = _read_if(run / STUDENT / "run.json") or {}
    settings = _owner(run).get("settings") or {}
    table = _read_if(run / STUDENT / "table.json") or {}
    config = own.get("config") or {}
    teacher = _teacher_words(run, settings, own)
    weights = run / STUDENT / "model.safetensors"
    pruned = (own.get("student") or {}).get("pruning")
    data = data_name(run)
    rows = len(table.get("rows") or ())
    labels = run / "data" / "teacher_labels.jsonl"
    student = scores.get(STUDENT)
    told = (
        f"The data are {data}" + (f" ({rows:,} records)" if rows else "")
        + f"; {teacher} answered the questions that had no gold answer, and the student learned "
        "from gold answers and from the teacher's."
    )  # fmt: skip
    entries = [
        ("data", data + (f", {rows:,} records" if rows else "")),
        ("teacher", teacher),
        ("student", _student_words(own, student, pruned)),
        ("gold answers", _gold_words(settings)),
        ("teacher's labels", f"{_lines_of(labels):,} answers" if labels.is_file() else None),
        ("temperature, alpha", f"{config['temperature']:g}, {config['alpha']:g}"
         if "alpha" in config else None),
        ("training", f"{own['steps']:,} optimizer steps" if own.get("steps") else None),
        ("seed", str(own["seed"]) if "seed" in own else None),
        ("run id", own.get("run_id")),
        ("created", own.get("created_at")),
        ("hash of the training data", own.get("data_hash")),
        ("hash of the settings", own.get("config_hash")),
        ("hash of the prompts", own.get("prompt_sha256")),
        ("hash of the student's weights", file_sha256(weights) if weights.is_file() else None),
    ]  # fmt: skip
    return lineage_section(entries, told)


def _teacher_words(run: Path, settings: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    named = settings.get("teacher")
    if settings.get("teacher_model"):
        return f"{settings['teacher_model']} on a server"
    if named == "starter":
        return "a teacher that was trained from scratch on this data"
    given = named or (own.get("teacher") or {}).get("id") or "a teacher"
    return f"the teacher {Path(str(given)).name}"


def _student_words(
    own: Mapping[str, Any], scores: ModelScores | None, pruned: Mapping[str, Any] | None
) -> str:
    parts = [f"{count(scores.parameters)} parameters"] if scores and scores.parameters else []
    named = (own.get("student") or {}).get("id")
    if pruned or str(named).startswith("every_second"):
        parts.append("made from layers of the teacher")
    elif named:
        parts.append(f"started from {Path(str(named)).name}")
    return ", ".join(parts)


def _gold_words(settings: Mapping[str, Any]) -> str | None:
    share = settings.get("gold_share")
    return None if share is None else f"for {share:.0%} of the facts; the teacher labels the rest"


def _confidence(run: Path, answers: Sequence[Prediction]) -> tuple[Section, dict[str, Any]]:
    kept = _read_if(run / CALIBRATION_FILE)
    fitted = ConfidenceMap.read(run / STUDENT) if (run / STUDENT).is_dir() else None
    limits = () if fitted is None else fitted.limits
    if kept:
        return confidence_section(kept["probability"], kept["right"], calibrated=True,
                                  limits=limits)  # fmt: skip
    known = [(one.confidence, one.right) for one in answers if one.confidence is not None]
    return confidence_section(
        [p for p, _ in known], [right for _, right in known], calibrated=False,
        missing="The models of this run gave no probabilities with their answers.",
    )  # fmt: skip


def _public_tasks(run: Path) -> tuple[Section, dict[str, Any]]:
    found = _read_if(run / TASKS_FILE) or {}
    rows = tuple(
        (one["task"], one["metric"], f"{one['value']:.4g}",
         "-" if one.get("stderr") is None else f"{one['stderr']:.2g}")
        for one in found.get("results", ())
    )  # fmt: skip
    blocks: list[Block] = (
        [Table(("task", "metric", "value", "standard error"), rows)] if rows else []
    )
    return section(
        "public-tasks", "Public tasks",
        "Look here for what the student can do beyond its own data; a small specialist is expected "
        "to do badly.",
        blocks,
        "Not measured; with lm-evaluation-harness installed, stillroom evaluate RUN --tasks "
        "hellaswag measures them, where RUN is the folder of this run, and stillroom report RUN "
        "shows them.",
    ), found  # fmt: skip


def _settings(run: Path) -> Section:
    own = _read_if(run / STUDENT / "run.json") or {}
    settings = _owner(run).get("settings") or {}
    shown = {
        name.replace("_", " "): _plain(value)
        for name, value in settings.items()
        if value not in (None, [], {}, "") and not isinstance(value, dict)
    }
    versions = ", ".join(f"{name} {one}" for name, one in (own.get("versions") or {}).items())
    entries = tuple(shown.items()) + ((("versions", versions),) if versions else ())
    notes = (_SQL_RIGHT if data_name(run) == TEXT_TO_SQL else ()) + NOT_CLAIMED
    return section(
        "limits", "What is not claimed, and the settings",
        "Look here before quoting a number from above.",
        [Bullets(notes), Facts(entries) if entries else None],
    )  # fmt: skip


def _conclusion(
    answered: Mapping[str, Sequence[Prediction]],
    words: Mapping[str, tuple[str, str]],
    scores: Mapping[str, ModelScores],
    numbers: Mapping[str, Any],
) -> tuple[str, ...]:
    """Say in two sentences how good the student is beside its teacher, and what it saves."""
    own = answered[STUDENT]
    first = f"The student answers {rate_words(own)} of {len(own):,} held-out questions right"
    if TEACHER in answered:
        whole, _ = compare_models(answered, STUDENT, TEACHER)
        told = {
            "better": "it is better than its teacher",
            "not_worse": "it is not worse than its teacher by two points",
            "worse": "it is worse than its teacher",
            "undecided": "whether that is a true difference is undecided",
        }[whole.verdict]
        first += (f", its teacher {100 * whole.baseline:.1f} %: {told} "
                  f"({100 * whole.low:+.1f} to {100 * whole.high:+.1f} points)")  # fmt: skip
    parts = []
    ours, theirs = scores.get(STUDENT), scores.get(TEACHER)
    if ours is not None and ours.parameters:
        size = f"it has {count(ours.parameters)} parameters"
        if theirs is not None and theirs.parameters:
            size += f" (the teacher {count(theirs.parameters)})"
        parts.append(size)
    if ours is not None and ours.latency_p50_ms is not None:
        fast = f"answers within {milliseconds(ours.latency_p50_ms)}"
        if theirs is not None and theirs.latency_p50_ms is not None:
            fast += f" (the teacher {milliseconds(theirs.latency_p50_ms)})"
        parts.append(fast)
    others = {
        name: sum(one.right for one in answers) / len(answers)
        for name, answers in answered.items()
        if name in PLAIN or name == "student_without_teacher"
    }
    if others:
        best = max(others, key=others.__getitem__)
        parts.append(f"the best of the cheaper ways ({words[best][0]}) is right in "
                     f"{100 * others[best]:.1f} %")  # fmt: skip
    second = "; ".join(parts)
    return (f"{first}.", f"{second[:1].upper()}{second[1:]}.") if second else (f"{first}.",)


def _title(run: Path) -> str:
    return f"A student of {data_name(run)}, beside its teacher"


def data_name(run: Path) -> str:
    """Name what the questions of a run are about."""
    table = _read_if(run / STUDENT / "table.json") or {}
    source = _owner(run).get("source")
    if isinstance(source, Mapping):
        source = source.get("data")
    return str(table.get("source") or (Path(str(source)).name if source else run.name))


def _training_seconds(run: Path) -> float | None:
    times = (_read_if(run / TIMING_FILE) or {}).get("busy_s") or {}
    spent = [value for name, value in times.items() if name != "measuring"]
    return sum(spent) if spent else None


def _owner(run: Path) -> Mapping[str, Any]:
    return (_read_if(run / "progress.json") or {}).get("owner") or {}


def _read_if(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    return read_json(path) if path.is_file() else None


def _lines_of(path: Path) -> int:
    with open(path, "rb") as lines:
        return sum(1 for _ in lines)


def _plain(value: Any) -> str:  # noqa: ANN401
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"(?<=//)[^/@\s]+@", "", text)  # no password of an address
