"""Settings of the main job: plain values, one field per option of the command."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

from ...data.readers.compression import SUFFIXES as PACKED_SUFFIXES
from ...data.readers.file_kinds import SUFFIX_KINDS
from ...distillation.setting_names import (
    EVERY_SECOND,
    FROM_SCRATCH,
    FROM_TEACHER,
    PRUNED,
    UNIVERSAL,
    Objective,
)
from ...errors import ConfigError
from ...labeling.batch.label_run import LabelSettings
from ..options import LARGEST_SEED, faults_of, is_device, is_number
from ..path_checks import missing_source, model_faults, output_faults
from ..reading_options import check_reading

ELEMENTS = Path(__file__).resolve().parents[2] / "data" / "elements.csv"
"""The bundled table, used where no data is named."""
STARTER = "starter"
"""Name of the teacher that is trained from scratch on the table."""
_TEXT_SUFFIXES: Final = (".txt", ".dat", ".xlsx", ".xlsm")
"""Suffixes of tables whose format is detected from their content."""
_NOT_IN_NAMES: Final = re.compile(r'[\x00-\x1f/\\:*?"<>|\[\]]+')
_LONGEST_NAME: Final = 200
"""Most bytes in the name of a run folder; it leaves room for an appended number."""


@dataclass(frozen=True)
class Recipe:
    """Length and learning rates of a training from scratch.

    The defaults were tuned on tables of about the size of the bundled one.
    """

    teacher_exposures: float = 49.0
    """How often the teacher sees each fact, in all tasks and phrasings together."""
    student_exposures: float = 23.5
    """How often each student sees each fact."""
    batch_tokens: int = 2048
    """Tokens per optimizer step, which decide the number of examples in a batch (8 to 64)."""
    teacher_least_steps: int = 800
    """Least optimizer steps of the teacher: it needs them to learn to judge proposed answers, even
    where there are few facts."""
    student_least_steps: int = 400
    """Least optimizer steps of each student."""
    learning_rate: float = 4.8e-3
    """Learning rate of the embeddings and norms (AdamW)."""
    matrix_learning_rate: float = 2.4e-3
    """Learning rate of the matrices inside the layers (Muon)."""
    decay_ratio: float = 0.6
    """Share of the steps, at the end, in which the learning rates fall. The model learns to judge
    answers late and with small steps, so an early decay scored better than higher rates."""
    temperature: float = 1.0
    """Temperature of the soft targets, above 0."""
    alpha: float = 0.5
    """Weight of the soft targets, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse values out of range, all at once."""
        faults = [
            f"{name} is {value!r}; allowed is a number above 0"
            for name, value in asdict(self).items()
            if name not in ("alpha", "decay_ratio") and not is_number(value, 0, above=True)
        ]
        faults += [
            f"{name} is {getattr(self, name)!r}; allowed is 0 to 1"
            for name in ("alpha", "decay_ratio")
            if not is_number(getattr(self, name), 0, 1)
        ]
        if faults:
            raise ConfigError(faults)

    def scaled(self, effort: float) -> Recipe:
        """Return the recipe with the steps multiplied by `effort`; below 1 for a quick trial.

        Raises:
            ConfigError: `effort` is not above 0.
        """
        return _scaled(self, effort)


@dataclass(frozen=True)
class Tuning:
    """Length and learning rates of a training that starts from the weights of a named model.

    Tuned on SmolLM2-135M. Muon and the learning rates of `Recipe` destroy pretrained knowledge.
    """

    teacher_exposures: float = 16.0
    """How often the teacher sees each fact, in all tasks and wordings together."""
    student_exposures: float = 8.0
    """How often each student sees each fact."""
    batch: int = 16
    """Examples per optimizer step."""
    teacher_least_steps: int = 120
    """Least optimizer steps of the teacher."""
    student_least_steps: int = 120
    """Least optimizer steps of each student."""
    teacher_rate: float = 2e-3
    """Learning rate of the teacher's adapter for a hidden size of 576; lower for wider models."""
    student_rate: float = 7e-4
    """Learning rate of each student, for the same hidden size."""
    lora_rank: int = 16
    """Rank of the teacher's LoRA adapter; its alpha is twice the rank."""

    def __post_init__(self) -> None:
        """Refuse values out of range, all at once."""
        faults = [
            f"{name} is {value!r}; allowed is a number above 0"
            for name, value in asdict(self).items()
            if not is_number(value, 0, above=True)
        ]
        faults += [
            f"{name} is {getattr(self, name)!r}; allowed is a whole number from 1 on"
            for name in ("batch", "teacher_least_steps", "student_least_steps", "lora_rank")
            if type(getattr(self, name)) is not int
        ]
        if faults:
            raise ConfigError(faults)

    def scaled(self, effort: float) -> Tuning:
        """Return the settings with the steps multiplied by `effort`.

        Raises:
            ConfigError: `effort` is not above 0.
        """
        return _scaled(self, effort)


@dataclass(frozen=True)
class StudentForm:
    """How a student is made from its teacher, and on how much data; `stillroom sweep` varies it.

    Raises:
        ConfigError: Values are out of range, or do not fit each other.
    """

    objective: Objective = "forward_kl"
    """Divergence from the teacher's soft targets."""
    initialisation: str | None = None
    """First weights of a student of a starter: `every_second_layer` of the teacher, `from_teacher`
    (the teacher, pruned by the importance of its parts) or `from_scratch` (random, with the
    teacher's tokenizer). None takes the first."""
    layers: int | None = None
    """Layers of a student `from_teacher` or `from_scratch`; None takes half of the teacher's."""
    data_share: float = 1.0
    """Share of the facts that the student is trained on, above 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse values out of range, all at once."""
        starts = (*FROM_TEACHER, FROM_SCRATCH)
        faults = []
        if self.objective not in get_args(Objective) or self.objective == UNIVERSAL:
            allowed = [one for one in get_args(Objective) if one != UNIVERSAL]
            faults.append(f"objective is {self.objective!r}; allowed are {', '.join(allowed)}")
        if self.initialisation is not None and self.initialisation not in starts:
            faults.append(f"initialisation is {self.initialisation!r}; allowed are "
                          f"{', '.join(starts)}")  # fmt: skip
        if self.layers is not None and (type(self.layers) is not int or self.layers < 1):
            faults.append(
                f"layers is {self.layers!r}; allowed is a whole number from 1 on, or None"
            )
        elif self.layers is not None and self.initialisation in (None, EVERY_SECOND):
            faults.append(f"layers is {self.layers!r}; it is for the initialisations {PRUNED} and "
                          f"{FROM_SCRATCH}")  # fmt: skip
        if not is_number(self.data_share, 0, 1, above=True):
            faults.append(f"data_share is {self.data_share!r}; allowed is above 0 to 1")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class ServerOptions:
    """Options for calling a teacher on a server; other teachers ignore them."""

    model: str | None = None
    """Name of the model on the server; None takes it from the provider's environment variable, or
    takes the only model that the server lists."""
    max_tokens: int = 512
    """Most tokens of an answer, including the reasoning of a reasoning model."""
    api_key_env: str | None = None
    """Environment variable that holds the API key; None takes the provider's usual one."""
    timeout_s: float = 120.0
    """Timeout of a call in seconds."""
    honours_idempotency: bool = False
    """Whether the server charges calls with the same `Idempotency-Key` only once."""
    limits: LabelSettings = field(default_factory=LabelSettings)
    """Concurrency, rates, retries, prices and budget, over all calls of the run folder."""


@dataclass(frozen=True)
class MainJob:
    """Settings of the main job, named like the options of `stillroom run`.

    Raises:
        ConfigError: Values are out of range; lists all faults.

    >>> MainJob("prices.2023.csv.gz", columns="price").columns
    ('price',)
    """

    data: str | Path = ELEMENTS
    """File, folder, glob pattern, SQLite file or SQLAlchemy URL."""
    query: str | None = None
    """SELECT statement to read from a database."""
    table: str | None = None
    """Table of a database, read whole."""
    records_path: str | None = None
    """Keys that lead to the records in nested JSON."""
    question: str | None = None
    """Column that holds questions, in a table of questions."""
    answer: str | None = None
    """Column that holds their answers."""
    context: str | None = None
    """Column that holds a context for each question."""
    key: str | None = None
    """Column that names a record."""
    columns: str | tuple[str, ...] | None = None
    """Columns to ask about; a single string is one column."""
    rows: int | None = None
    """How many records to read from the start; None reads all."""
    templates: str | tuple[str, ...] | None = None
    """Question templates with {key} and {label}; a single string is one template."""
    also_called: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Column -> synonyms of its name, e.g. `{"area": ("size", "how big")}`."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """Options for reading the file: fields of `ReadOptions`, e.g. `{"encoding": "cp1252"}`."""
    teacher: str | Path = STARTER
    """`starter`, a checkpoint folder, an alias such as `smollm2`, the name of a causal model on the
    hub, or a server: its address or the name of a provider, such as `ollama`. A named teacher is
    first trained on the table; a teacher on a server gets each record in its prompt."""
    server: ServerOptions = field(default_factory=ServerOptions)
    """Options for calling a teacher on a server."""
    student: str | Path | None = None
    """A folder or name. None builds the student from every second layer of the teacher, or, for a
    teacher on a server, a small model from scratch. An encoder such as `minilm` suits tables whose
    answers are a few labels."""
    gold_share: float = 0.5
    """Share of the facts whose gold answers the student may see; the teacher labels the rest."""
    teacher_least: float = 0.8
    """Least share of held-out questions, 0 to 1, that a named or served teacher must answer right
    before it labels; below it the job stops before any student is trained. 0 never stops."""
    seed: int = 0
    """Seed of the questions, the split and the trainings, 0 to 4,294,967,295."""
    training_seed: int | None = None
    """Seed of the trainings alone, to train again on the same questions and split; None takes
    `seed`."""
    output_dir: str | Path | None = None
    """Run folder; None takes `outputs/<name of the data>`, or a folder beside it if another run
    uses that one."""
    max_minutes: float | None = 60.0
    """Longest estimated time in minutes. A longer job is refused before it starts, unless the user
    agrees at a terminal; None sets no limit."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`; None takes CUDA if it is available."""
    threads: int | None = None
    """Number of torch threads; None takes `OMP_NUM_THREADS` if it is set, else the number of idle
    cores."""
    controls: bool = True
    """Whether to train the control models too."""
    recipe: Recipe = field(default_factory=Recipe)
    """Training of a starter and its students; all students use its temperature and alpha."""
    form: StudentForm = field(default_factory=StudentForm)
    """How the student is made, and on how much data."""
    tuning: Tuning = field(default_factory=Tuning)
    """Training of a named teacher and its students."""
    wordings: int = 16
    """Most additional wordings per column that a named teacher and its students are trained on; 0
    trains on the templates alone. The more there are, the fewer of them leave out the column's
    name."""
    asked: str | Path | None = None
    """CSV file with the columns `column` and `question`: questions in people's own words, with
    `{key}` for the key of a record. They are used for measuring only, never for training."""

    def __post_init__(self) -> None:
        """Convert paths to strings and single strings to tuples, then check all values."""
        for name in ("data", "teacher", "student", "output_dir", "asked"):
            value = getattr(self, name)
            if isinstance(value, Path):
                object.__setattr__(self, name, str(value))
        for name in ("columns", "templates"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as_texts(value))
        if isinstance(self.also_called, Mapping):
            words = {column: _as_texts(said) for column, said in self.also_called.items()}
            object.__setattr__(self, "also_called", words)
        faults = self._value_faults()
        if faults:
            raise ConfigError(faults)

    def _value_faults(self) -> list[str]:
        def none_or(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
            return lambda value: value is None or fits(value)

        checks: list[tuple[str, Callable[[Any], bool], str]] = [
            ("data teacher", _is_text, "is a text"),
            ("query table records_path question answer context key student output_dir asked",
             none_or(_is_text), "is a text, or None"),
            ("columns templates", none_or(lambda value: value and all(map(_is_text, value))),
             "are one or more texts, or None"),
            ("also_called", lambda value: isinstance(value, Mapping) and all(
                _is_text(one) for words in value.values() for one in words), "is column -> texts"),
            ("gold_share teacher_least", lambda value: is_number(value, 0, 1), "is 0 to 1"),
            ("seed", _is_seed, f"is 0 to {LARGEST_SEED}"),
            ("training_seed", none_or(_is_seed), f"is 0 to {LARGEST_SEED}, or None"),
            ("wordings", lambda value: type(value) is int and value >= 0,
             "is a whole number from 0 on"),
            ("rows threads", none_or(lambda value: type(value) is int and value > 0),
             "is a whole number from 1 on, or None"),
            ("max_minutes", none_or(lambda value: is_number(value, 0, above=True)),
             "is above 0, or None"),
            ("device", none_or(is_device), "are cpu, cuda, cuda:1 and so on"),
        ]  # fmt: skip
        faults = [
            f"{name} is {value!r}; allowed {allowed}"
            for names, fits, allowed in checks
            for name in names.split()
            if not fits(value := getattr(self, name))
        ]
        if self.query is not None and self.table is not None:
            faults.append("query is given, and so is --table (table=); give one of them")
        start = self.form.initialisation
        if start is not None and (self.student or (self.teacher != STARTER and start != PRUNED)):
            faults.append(f"initialisation is {start!r}; without student= allowed are, for the "
                          f"teacher {STARTER}, {', '.join((*FROM_TEACHER, FROM_SCRATCH))}, for "
                          f"others {PRUNED}")  # fmt: skip
        faults += faults_of(lambda: check_reading(self.reading))
        return faults

    def faults(self) -> list[str]:
        """List the faults in the files, folders and models that are named, loading none of them."""
        faults = missing_source(str(self.data))
        if self.asked is not None and not Path(self.asked).is_file():
            faults.append(f"asked is {str(self.asked)!r}; there is no such file")
        faults += _teacher_faults(str(self.teacher))
        if self.student is not None:
            faults += model_faults("student", self.student)
        wanted = self.run_dir()
        faults += output_faults("output_dir", str(wanted if self.output_dir else wanted.parent))
        return faults

    @property
    def seed_of_trainings(self) -> int:
        """Give the seed that the trainings have."""
        return self.seed if self.training_seed is None else self.training_seed

    def is_served(self) -> bool:
        """Tell whether the teacher is on a server.

        Raises:
            ConfigError: The provider's address is not known.
        """
        from ...labeling.teachers.open_teacher import server_address

        return self.teacher != STARTER and server_address(str(self.teacher)) is not None

    def run_dir(self) -> Path:
        """Return the folder that the job writes to, unless another run uses it."""
        if self.output_dir:
            return Path(self.output_dir)
        return Path("outputs") / run_name(str(self.data), self.table)

    def reading_keywords(self) -> dict[str, Any]:
        """Return the keyword arguments for the readers in `data.readers`."""
        keywords: dict[str, Any] = {"flatten": True, **self.reading}
        for name in ("query", "table", "records_path"):
            if getattr(self, name) is not None:
                keywords[name] = getattr(self, name)
        return keywords


_Steps = TypeVar("_Steps", Recipe, Tuning)


def _scaled(recipe: _Steps, effort: float) -> _Steps:
    if not is_number(effort, 0, above=True):
        raise ConfigError([f"effort is {effort!r}; allowed is a number above 0"])
    return replace(
        recipe,
        teacher_exposures=recipe.teacher_exposures * effort,
        student_exposures=recipe.student_exposures * effort,
        teacher_least_steps=max(1, round(recipe.teacher_least_steps * effort)),
        student_least_steps=max(1, round(recipe.student_least_steps * effort)),
    )


def run_name(source: str, table: str | None = None) -> str:
    """Name a run after its data: the file name without the suffixes of format and compression.

    Args:
        source: File, folder, pattern or URL.
        table: Table of a database.

    >>> run_name("data/prices.2023.csv.gz"), run_name("parts/*.parquet")
    ('prices.2023', 'parts')
    >>> run_name("postgresql://me:secret@host/shop?sslmode=require")
    'shop'
    """
    if table is not None:
        return _as_name(table)
    if "://" in source:
        address = urlsplit(source)
        return _as_name(_stem(Path(address.path).name) or address.hostname or "")
    parts = [_as_name(_stem(part), "") for part in Path(source).parts if part != ".."]
    if os.path.exists(source) or not parts:
        return _as_name(_stem(Path(source).resolve().name))
    return _as_name(next((part for part in reversed(parts) if part), ""))


def _teacher_faults(teacher: str) -> list[str]:
    if teacher == STARTER:
        return []
    from ...labeling.teachers.open_teacher import server_address  # loads httpx

    address: list[str | None] = []
    faults = faults_of(lambda: address.append(server_address(teacher)))
    return faults if faults or address != [None] else model_faults("teacher", teacher)


def _stem(name: str) -> str:
    """Remove the suffixes of known formats and compressions, and no others."""
    for known in (PACKED_SUFFIXES, (*SUFFIX_KINDS, *_TEXT_SUFFIXES)):
        path = Path(name)
        if path.suffix.lower() in known:
            name = path.stem
    return name


def _as_name(text: str, otherwise: str = "run") -> str:
    """Turn any text into a valid name of a folder, or return `otherwise` if nothing is left."""
    name = _NOT_IN_NAMES.sub("-", text).strip(" .-").encode(errors="ignore")[:_LONGEST_NAME]
    return name.decode(errors="ignore").strip(" .-") or otherwise


def _as_texts(value: Any) -> tuple[Any, ...]:  # noqa: ANN401
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (value,)
    return tuple(value)


def _is_seed(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_SEED


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value
