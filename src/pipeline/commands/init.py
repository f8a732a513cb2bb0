"""`stillroom init`: look at a table, and write a file of options with the guesses explained.

stillroom init mine.csv
stillroom run mine.yaml
"""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ...files import write_text
from ..command import Command
from ..option_file import YAML_SUFFIXES
from ..options import CommandParser, add_json, add_verbose, listed, text, whole_number
from ..path_checks import missing_source
from ..reading_options import OF_SOURCES, add_reading_options, reading_keywords
from .first_steps import WRITTEN_BY_INIT

if TYPE_CHECKING:
    from ...data.questions.profile import TableProfile
    from ...tables import FactTable
    from ..main_job.load_table import Source
    from ..main_job.propose_names import NameProposal
    from ..main_job.settings import MainJob

WIDTH: Final = 96
"""Characters of a comment line."""
SHOWN_VALUES: Final = 3
"""Values of a column that are shown."""
LONGEST_VALUE: Final = 40
"""Characters of a value that are shown."""
ENCODER: Final = "minilm"
GUESSED_KEY: Final = (
    "It was guessed: of the columns whose values differ in nearly every record, the one that is "
    "called a name or has words, the earlier the better."
)
ABOUT_NAMES: Final = (
    "What people may call a column beside its name. Agents understand questions by it; delete what "
    "is wrong, add what your users say."
)
ABOUT_TEACHERS: Final = (
    "Who teaches. starter: a small model that is trained from scratch on this table, in minutes; "
    "it knows the wordings it was trained on and no others. smollm2 (stillroom models add "
    "smollm2): understands other wordings, in an hour or more. Or a folder, a model of the hub, or "
    "a server: ollama, an address. `stillroom doctor` says what this machine can do."
)


def init_parser() -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        "stillroom init",
        "Look at a table and write a file of options for stillroom run, with the guesses\n"
        "explained in comments: what names a record, what is asked, what people may call each\n"
        "column, what is left out and why, and how long the job takes. Nothing is trained.",
        (
            "stillroom init mine.csv",
            "stillroom init mine.csv --key name --output prices.yaml --overwrite",
            "stillroom init shop.sqlite --table products --json",
        ),
    )
    add = parser.add_argument
    add("data", type=text, help="file, folder, pattern or database URL")
    add("--output", type=text, metavar="FILE.yaml", help="file to write; default: the name of the "
        "data, in the current folder")  # fmt: skip
    add("--overwrite", action="store_true", help="replace the file if it is there")
    add("--key", type=text, help="column that names a record; default: guessed")
    add("--columns", type=listed, help="columns to ask about, separated by commas")
    add("--question", type=text, help="column that holds questions")
    add("--answer", type=text, help="column that holds their answers")
    add("--context", type=text, help="column with a text for each question")
    add("--rows", type=whole_number(1), metavar="N", help="read the first N records only")
    add("--teacher", default="starter", help="as of stillroom run (default starter)")
    add("--quick", action="store_true", help="leave out the timed steps that estimate the job, and "
        "the encoder that proposes names")  # fmt: skip
    add_json(parser)
    add_verbose(parser)
    add_reading_options(parser, columns=False)
    return parser


def init_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without reading the table."""
    reading_keywords(args, columns=False)
    faults = _job(args).faults() if not missing_source(args.data) else missing_source(args.data)
    path = _place(args)
    if path.suffix.lower() not in YAML_SUFFIXES:
        faults.append(f"output is {str(path)!r}; a name that ends with .yaml is needed")
    elif path.exists() and not args.overwrite:
        faults.append(f"{path} is there already; pass --overwrite, or another --output")
    elif path.is_dir() or not path.absolute().parent.is_dir():
        reason = "it is a folder" if path.is_dir() else "its folder is not there"
        faults.append(f"output is {str(path)!r}, which cannot be written: {reason}")
    return faults


def _place(args: argparse.Namespace) -> Path:
    from ..main_job.settings import run_name

    table = getattr(args, "table", None)
    return Path(args.output or f"{run_name(args.data, table)}.yaml")


def _job(args: argparse.Namespace) -> MainJob:
    from ..main_job.settings import MainJob

    reading = reading_keywords(args, columns=False)
    return MainJob(
        data=args.data,
        question=args.question,
        answer=args.answer,
        context=args.context,
        key=args.key,
        columns=args.columns,
        rows=args.rows,
        teacher=args.teacher,
        max_minutes=None,
        **{name: reading.pop(name, None) for name in OF_SOURCES},
        reading=reading,
    )


def init(args: argparse.Namespace) -> dict[str, Any]:
    """Look at the table and write the file.

    Raises:
        DataError: The table cannot be used.
        ConfigError: Options do not fit the table.
    """
    console, job = Console(args.verbose), _job(args)
    from ...data.questions.phrasings import CONDITION_TEMPLATES, QUESTION_TEMPLATES
    from ...data.questions.questions import fact_table
    from ..main_job.load_table import read_source
    from ..main_job.propose_names import propose_names

    source = read_source(job, console)
    kind = source.profile.kind
    asked = CONDITION_TEMPLATES if kind == "rows" else QUESTION_TEMPLATES
    table = fact_table(source.records, source.profile, asked)
    encoder = None if args.quick or kind == "questions" else _encoder()
    names = {} if kind == "questions" else propose_names(table, encoder)
    minutes = None if args.quick else _minutes(job, source, console)
    path = _place(args)
    lines = list(_lines(job, source, table, names, minutes, path))
    write_text(path, "\n".join(lines) + "\n")
    for name, proposal in names.items():
        console.line("called", f"{name}: {', '.join((*proposal.common, *proposal.likely))}")
    console.line("written", f"{path}; every line may be changed")
    console.line("next", f"stillroom run {shlex.quote(str(path))}")
    return {
        "file": path,
        "kind": kind,
        "records": source.profile.records,
        "key": None if kind == "rows" else source.profile.key,
        "columns": list(source.profile.columns),
        "left_out": [{"column": name, "reason": why} for name, why in source.profile.left_out],
        "records_without_a_question": len(source.profile.skipped_rows),
        "names": names,
        "minutes": minutes,
    }


def _encoder() -> Any:  # noqa: ANN401 - StudentEmbeddings, or None where it is not on this machine
    from ...errors import ModelNotFoundError
    from ...inference.sources.find_model import find_model

    try:
        folder = find_model(ENCODER)
    except ModelNotFoundError:
        return None
    from ...inference.checkpoints.load_student import load_checkpoint
    from ...inference.scoring.embeddings import StudentEmbeddings

    return StudentEmbeddings(load_checkpoint(folder, kinds=("encoder",)))


def _minutes(job: MainJob, source: Source, console: Console) -> float:
    """Estimate the minutes of the job, on this machine as it is now."""
    from ..main_job.estimate import estimate_job, in_words
    from ..threads import job_threads

    with job_threads(job.threads, console), console.busy("estimating the time"):
        minutes = estimate_job(job, source).minutes()
    served = " beside the answers of the server" if job.is_served() else ""
    console.line("time", f"stillroom run would take about {in_words(minutes)}{served}")
    return minutes


def _lines(
    job: MainJob,
    source: Source,
    table: FactTable,
    names: Mapping[str, NameProposal],
    minutes: float | None,
    path: Path,
) -> Iterator[str]:
    """Write the file line by line."""
    from ...data.readers.database import shown_name

    profile = source.profile
    rows = "" if job.rows is None else "the first "
    yield f"{WRITTEN_BY_INIT} {shlex.quote(str(path))}"
    yield "# Every line may be changed or deleted. `stillroom run --help` names all options."
    yield from _comment(
        f"{rows}{len(source.records):,} records of {_safe(shown_name(str(job.data)), 80)}"
    )
    yield ""
    yield from _data(job)
    yield ""
    yield from _questions(job, source, table)
    if names:
        yield ""
        yield from _names(names)
    yield ""
    yield from _teacher(job, minutes)
    if profile.skipped_rows:
        yield ""
        yield from _comment("No question is asked about these records:")
        for row, reason in profile.skipped_rows[:10]:
            yield from _comment(f"  row {row}: {_safe(reason, 80)}")
        if len(profile.skipped_rows) > 10:
            yield from _comment(f"  and {len(profile.skipped_rows) - 10:,} more")


def _data(job: MainJob) -> Iterator[str]:
    from ...data.readers.database import shown_name
    from ...data.readers.options import FLAGS

    shown = shown_name(str(job.data))
    if shown != str(job.data):
        yield from _comment("The password is not written here; give the whole address with --data, "
                            "which replaces this line.")  # fmt: skip
    yield f"data: {_scalar(shown)}"
    for name in (*OF_SOURCES, "rows"):
        if getattr(job, name) is not None:
            yield f"{name}: {_scalar(getattr(job, name))}"
    for name, value in job.reading.items():
        if name == "keep_null_marks":
            typed: object = bool(value)
        else:
            typed = list(value) if name == "null_values" else _unquoted(name, value)
        yield f"{_scalar(FLAGS[name].lstrip('-'))}: {_scalar(typed)}"


def _unquoted(name: str, value: object) -> str:
    """Write the value of a reading option as it is typed, without the shell's quotes."""
    from ...data.readers.options import flag_text

    return shlex.split(flag_text(name, value))[0]


def _questions(job: MainJob, source: Source, table: FactTable) -> Iterator[str]:
    profile = source.profile
    if profile.kind == "questions":
        yield from _comment(
            "A table of questions: students learn to answer them in other words too."
        )
        yield f"question: {_scalar(profile.key)}"
        yield f"answer: {_scalar(profile.columns[0])}"
        context = profile.context
        yield (
            f"context: {_scalar(context)}"
            if context
            else "# context: COLUMN   (a text per question)"
        )
    else:
        yield from _key(job, profile, table)
        yield ""
        yield from _comment("The columns that are asked about.")
        yield "columns:"
        cells: dict[str, list[str]] = {column.name: [] for column in table.columns}
        for row in table.rows:
            for name, value in row.values.items():
                cells[name].append(value)
        for name in profile.columns:
            yield f"  - {_scalar(name)}   # {_described(cells.get(name, []))}"
    if profile.left_out:
        yield from _comment("Left out; a column that is named above is asked about all the same:")
        for name, reason in profile.left_out:
            yield from _comment(f"  {_safe(name)}: {_safe(reason, 80)}")


def _key(job: MainJob, profile: TableProfile, table: FactTable) -> Iterator[str]:
    asked = f"such as {_safe(table.examples[0], 120)!r}" if table.examples else ""
    if profile.kind == "rows":
        yield from _comment(f"No column names the records, so questions say what a record holds, "
                            f"{asked} To name them by a column:")  # fmt: skip
        yield "# key: COLUMN"
        return
    guessed = "" if job.key else GUESSED_KEY
    yield from _comment(f"The column that names a record in questions, {asked} {guessed}")
    for note in profile.notes:
        yield from _comment(f"Note: {_safe(note, 300)}")
    if profile.key_suffix:
        yield from _comment(f"Equal names are told apart by {_safe(profile.key_suffix)}.")
    yield f"key: {_scalar(profile.key)}"


def _names(names: Mapping[str, NameProposal]) -> Iterator[str]:
    yield from _comment(ABOUT_NAMES)
    used = [name for name, one in names.items() if one.common]
    yield "also-called:" if used else "# also-called:"
    for name, proposal in names.items():
        if proposal.common:
            yield f"  {_scalar(name)}: {_scalar(list(proposal.common))}"
        if proposal.likely:
            more = _scalar([*proposal.common, *proposal.likely])
            yield f"  # {_scalar(name)}: {more}   (a guess by the kind of its values)"


def _teacher(job: MainJob, minutes: float | None) -> Iterator[str]:
    yield from _comment(ABOUT_TEACHERS)
    yield f"teacher: {_scalar(str(job.teacher))}"
    if minutes is None:
        yield from _comment("A job that is estimated to take longer, in minutes, asks first.")
    else:
        from ..main_job.estimate import in_words

        yield from _comment(f"The job takes about {in_words(minutes)} on the machine that wrote "
                            "this. One that is estimated to take longer than this many minutes "
                            "asks first.")  # fmt: skip
    yield "max-minutes: 60"
    if minutes is not None and minutes > 60:
        yield from _comment("To make it shorter: `rows`, fewer `columns`, or")
        yield f"# effort: {max(0.05, round(50 / minutes, 2))}"
    else:
        yield "# effort: 0.1   (a tenth of the steps, for a quick look)"


def _described(values: list[str]) -> str:
    """Describe the values of a column in one line."""
    from ...labeling.wordings.column_values import value_forms

    different = list(dict.fromkeys(values))
    forms = value_forms(different[:50])
    kind = next((one for one in ("yes_no", "number", "date") if one in forms), "words")
    shown = ", ".join(_safe(value) for value in different[:SHOWN_VALUES])
    more = ", ..." if len(different) > SHOWN_VALUES else ""
    return f"{kind.replace('_', ' or ')}, {len(different):,} different: {shown}{more}"


def _comment(words: str) -> Iterator[str]:
    """Write words as comment lines."""
    indent = " " * (len(words) - len(words.lstrip()))
    for line in textwrap.wrap(words.strip(), WIDTH - 2 - len(indent)) or [""]:
        yield f"# {indent}{line}"


def _safe(value: str, most: int = LONGEST_VALUE) -> str:
    """Write a text of the table so that it stays in its comment: one line, printable, short."""
    flat = "".join(c if c.isprintable() else " " for c in value).strip()
    return flat if len(flat) <= most else f"{flat[:most]}..."


def _scalar(value: Any) -> str:  # noqa: ANN401 - a text, number or list
    """Write a YAML value in one line."""
    import yaml  # type: ignore[import-untyped]

    written = yaml.safe_dump(
        [value], default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return str(written.strip()[1:-1])


INIT = Command(init_parser, init, init_faults)
