"""What `stillroom compare` was given: files of answers, run folders or checkpoints, by name.

A run folder stands for its student, whose answers the run has written. A checkpoint is asked anew.
Several places of one name are runs of one recipe, each trained with its own seed.
"""

from __future__ import annotations

import glob
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from ...console import Console
from ...errors import ConfigError, DataError, EmptyDataError
from ...evaluation.metrics import exact_match, token_f1
from ...evaluation.predictions import PREDICTIONS
from ...evaluation.statistics.alignment import Outcome
from ...files import read_json_lines
from ...records import Example, read_examples
from ..options import is_number

Rows = list[dict[str, Any]]
STUDENT_FILE: Final = f"{PREDICTIONS}/student.jsonl"
_NAMED: Final = re.compile(r"([\w .+-]+)=(.+)")
_TRUTHS: Final = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_SHOWN: Final = 3


@dataclass(frozen=True)
class Place:
    """One file or folder."""

    path: Path
    kind: Literal["file", "run", "checkpoint"]

    @property
    def answers(self) -> Path:
        """The file of answers of a file or a run."""
        return self.path / STUDENT_FILE if self.kind == "run" else self.path

    @property
    def model(self) -> Path | None:
        """The folder of the model; None where answers alone are known."""
        if self.kind == "run":
            return self.path / "student"
        return self.path if self.kind == "checkpoint" else None

    @property
    def run(self) -> Path | None:
        """The run folder that a checkpoint lies in, or that was given."""
        if self.kind == "run":
            return self.path
        above = [place for place in self.path.absolute().parents[:2] if _is_run(place)]
        return above[0] if above and self.kind == "checkpoint" else None


@dataclass(frozen=True)
class Contender:
    """A model, or the runs of a recipe."""

    name: str
    places: tuple[Place, ...]


def read_contenders(words: Sequence[str]) -> list[Contender]:
    """Read `PATH`, `NAME=PATH`, `PATH,PATH` and patterns.

    Raises:
        ConfigError: A place does not exist or cannot be compared, or a name occurs twice; all
            faults at once.
    """
    faults: list[str] = []
    found: list[Contender] = []
    for word in words:
        named = None if os.path.exists(word) else _NAMED.fullmatch(word)
        name, given = (named[1].strip(), named[2]) if named else ("", word)
        parts = [given] if os.path.exists(given) else [one for one in given.split(",") if one]
        places = tuple(place for part in parts for place in _places(part, faults))
        if places:
            found.append(Contender(name, places))
    chosen = {one.name for one in found if one.name}
    named_all = [one if one.name else replace(one, name=_name_of(one, found, chosen))
                 for one in found]  # fmt: skip
    names = [one.name for one in named_all]
    for name in sorted({one for one in names if names.count(one) > 1}):
        faults.append(f"two models are called {name!r}; write NAME=PATH to name them")
    if faults:
        raise ConfigError(faults)
    return named_all


def _places(part: str, faults: list[str]) -> list[Place]:
    paths = [part] if os.path.exists(part) else sorted(glob.glob(part))
    if not paths:
        faults.append(
            f"{part!r} is not there; give a file of answers, a run folder or a checkpoint"
        )
    found: list[Place] = []
    for path in map(Path, paths):
        place = _place(path)
        if place is not None:
            found.append(place)
        elif below := [one for one in map(_place, sorted(path.iterdir())) if one is not None]:
            found += below
        else:
            faults.append(_why_not(path))
    return found


def _place(path: Path) -> Place | None:
    if path.is_file():
        return Place(path, "file")
    if (path / "config.json").is_file():
        return Place(path, "checkpoint")
    return Place(path, "run") if (path / STUDENT_FILE).is_file() else None


def _is_run(path: Path) -> bool:
    return (path / "data" / "held_out.jsonl").is_file()


def _why_not(path: Path) -> str:
    if (path / "progress.json").is_file():
        return (
            f"{str(path)!r} is a run without {STUDENT_FILE}, which a run writes when it measures; "
            f"finish it, or give {str(path / 'student')!r}, which is then asked anew"
        )
    return (
        f"{str(path)!r} holds neither a run ({STUDENT_FILE}) nor a checkpoint (config.json), nor "
        "folders of these"
    )


def _name_of(one: Contender, others: Sequence[Contender], taken: Iterable[str]) -> str:
    """Name a model by the shortest end of its path that no other model has."""
    own = _parts(one)
    theirs = [_parts(other) for other in others if other is not one and not other.name]
    for length in range(1, len(own) + 1):
        name = "/".join(own[-length:])
        if name not in taken and all("/".join(other[-length:]) != name for other in theirs):
            return name
    return "/".join(own)


def _parts(one: Contender) -> list[str]:
    """Give the parts of a path that say which model it is."""
    first = one.places[0].path
    path = first if len(one.places) == 1 else first.parent
    parts = [part for part in path.absolute().with_suffix("").parts if part != PREDICTIONS]
    return parts[1:] or ["model"]


def read_answers(place: Place) -> Rows:
    """Read the answers of a file or a run, one record per question, as they stand there.

    Raises:
        DataError: The file cannot be read.
        EmptyDataError: It holds no records.
    """
    from ...data.readers.read_table import iter_records

    rows = list(iter_records(place.answers))
    if not rows:
        raise EmptyDataError(f"{place.answers} holds no answers")
    return rows


def questions_for(contenders: Sequence[Contender], data: str | None) -> list[Example]:
    """Read the questions that checkpoints are asked.

    Args:
        contenders: What is compared.
        data: JSON Lines of examples with targets; None takes the held-out questions of the first
            run that a model lies in.

    Raises:
        ConfigError: No run is known, so that `data` is needed.
        DataError: The file holds no examples.
    """
    runs = [place.run for one in contenders for place in one.places if place.run is not None]
    if data is None and not runs:
        raise ConfigError([
            "data is needed: no checkpoint lies in a run folder with data/held_out.jsonl"
        ])  # fmt: skip
    path = Path(data) if data is not None else runs[0] / "data" / "held_out.jsonl"
    try:
        examples = read_examples(str(path))
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"holds no examples, one JSON object a line with id, prompt and target "
                        f"({error})", path=path) from error  # fmt: skip
    if not examples:
        raise EmptyDataError(f"{path} holds no examples")
    return examples


def ask_models(
    folders: Sequence[Path], examples: Sequence[Example], trained_on: Sequence[Path],
    console: Console | None,
) -> list[Rows]:  # fmt: skip
    """Let models answer the same questions.

    Args:
        folders: Checkpoints.
        examples: Questions with targets.
        trained_on: Run folders, whose training questions must not be among the examples.
        console: Prints a line; None prints none.

    Returns:
        Answers of each model, in the order of the folders.

    Raises:
        DataError: A question was trained on, or has no target.
        CheckpointError: A folder is no checkpoint.
    """
    from ...evaluation.evaluate_models import STUDENT, evaluate_models
    from ...inference.checkpoints.architectures import ANSWERING
    from ...inference.checkpoints.load_student import load_checkpoint
    from ..main_job.teacher import answer_room

    seen = {e.prompt for run in trained_on for e in _training_examples(run)}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as kept:
        loaded = [load_checkpoint(folder, kinds=ANSWERING) for folder in folders]
        names = [STUDENT, *(f"model {number}" for number in range(2, len(loaded) + 1))]
        evaluate_models(
            None, loaded[0], examples,
            controls=dict(zip(names[1:], loaded[1:], strict=True)),
            max_new_tokens=max(max(answer_room(one, examples)) for one in loaded),
            speed_prompts=[], memory=False, most_scored=1, training_prompts=seen,
            predictions_dir=kept,
        )  # fmt: skip
        answers = [read_json_lines(Path(kept) / f"{name}.jsonl") for name in names]
    if console is not None:
        told = f"{len(examples):,} questions, {len(loaded)} models"
        console.line("asked", told, time.monotonic() - began)
    return answers


def _training_examples(run: Path) -> list[Example]:
    path = run / "data" / "train.jsonl"
    return read_examples(str(path)) if path.is_file() else []


@dataclass(frozen=True)
class Fields:
    """Names of the fields that are read from answers."""

    metric: str = "right"
    id: str | None = None
    """None: `sample_id`, else `id`."""
    source: str = "source_id"
    category: str = "category"


def outcomes_of(rows: Rows, place: str, fields: Fields, like: Mapping[str, Any]) -> list[Outcome]:
    """Read the value, source and category of each record.

    Args:
        rows: Answers.
        place: File or model, for messages.
        fields: Names of the fields.
        like: Records of a file with sources and categories by id, for a file that has none.

    Raises:
        DataError: A record has no id or value; names the record and the fields that it has.
    """
    known = {name for row in rows for name in row}
    own = {name: name in known for name in (fields.source, fields.category)}
    found = []
    for number, row in enumerate(rows, start=1):
        identity = id_of(row, fields)
        if identity is None:
            wanted = fields.id or "sample_id"
            raise DataError(f"the record has no {wanted!r}; it has {_some(row)} (--id names the "
                            "field)", path=place, row=number)  # fmt: skip
        other = like.get(identity, {})
        source, category = (
            (row if own[name] else other).get(name) for name in (fields.source, fields.category)
        )
        found.append(Outcome(identity, _value(row, place, number, fields.metric),
                             _text(source), _text(category)))  # fmt: skip
    return found


def id_of(row: Mapping[str, Any], fields: Fields) -> str | None:
    """Give the id of a record; None where it has none."""
    names = [fields.id] if fields.id else ["sample_id", "id"]
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), None)


def _value(row: Mapping[str, Any], place: str, number: int, metric: str) -> float:
    given = row.get(metric)
    if given in (None, "") and metric == "right":
        given = row.get("correct")
    if given in (None, "") and metric in ("right", "f1"):
        answer, gold = row.get("answer"), row.get("gold")
        if answer is not None and gold is not None:
            score = exact_match if metric == "right" else token_f1
            return float(score(str(answer), str(gold)))
    if given in (None, ""):
        raise DataError(f"the record has no {metric!r}; it has {_some(row)} (--metric names "
                        "the field)", path=place, row=number)  # fmt: skip
    value = _TRUTHS.get(str(given).strip().lower())
    if value is None:
        try:
            value = float(given)
        except (TypeError, ValueError):
            value = float("nan")
    if not is_number(value):
        raise DataError(f"{given!r} is no number, true or false", path=place, row=number,
                        column=metric)  # fmt: skip
    return value


def require_same_questions(rows: Rows, other: Rows, names: tuple[str, str], fields: Fields) -> None:
    """Refuse two sets of answers in which an id stands for two questions or right answers.

    Raises:
        DataError: Names some ids.
    """
    known = {id_of(row, fields): row for row in other}
    for field, told in (("question", "ask other questions"), ("gold", "have other right answers")):
        differ = [
            str(identity)
            for row in rows
            if (twin := known.get(identity := id_of(row, fields))) is not None
            and row.get(field) is not None
            and twin.get(field) is not None
            and str(row[field]) != str(twin[field])
        ]
        if differ:
            more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
            raise DataError(
                f"{names[0]} and {names[1]} {told} under {len(differ)} ids: "
                f"{', '.join(map(repr, differ[:_SHOWN]))}{more}; compare runs over the same table "
                "and seed (--training-seed trains again on the same questions)"
            )


def _some(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(row)[:12])) or "no fields"


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return "" if value is None else str(value)
