"""What a new user types in the first hours, right and wrong, each in a process of its own.

    python tests/user_mistakes.py [--student FOLDER] [--only WORD] [--folder FOLDER]

Every `--help`, every example, every command and Python block of the README, and some fifty typical
mistakes, in a new folder. Asked of each: no traceback; a mistake ends with an exit code, a sentence
or two on the error stream and within two seconds of computing; and what a message advises can be
typed: an option that it names is one of that command, a command that it names exists.

`--student` takes a student that was made before, else a small one is trained (two minutes).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
import resource
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 2.0
"""Of computing; what others do on the machine meanwhile does not count."""
LONGEST_S = 300
"""On the clock; what takes longer is ended, and wrong."""
SERVERS = ("serve", "mcp")
"""Commands that end when they are stopped."""
MOST_CHARACTERS = 900
"""Of a refusal."""
STILLROOM = [sys.executable, "-m", "stillroom"]
RUN = ["run", "--no-controls", "--effort", "0.02", "--data"]
LABEL = ["label", "--output", "labels", "--teacher"]
REFUSED, DONE, EITHER = "refused", "done", "either"
"""EITHER: what is allowed depends on the machine, e.g. on a model that the hub has."""


@dataclass(frozen=True)
class Case:
    """One thing that a user types."""

    what: str
    command: list[str]
    """Of stillroom, or a whole one that begins with the interpreter."""
    end: str = REFUSED
    most_s: float | None = MOST_SECONDS
    """None for work that may take its time."""
    shell: str = ""
    """Limits that are set before, e.g. `ulimit -f 8`."""


def write_files(folder: Path) -> None:
    """Write the tables of the cases."""
    rows = [
        [f"Star {chr(65 + i)}", ("red", "blue", "white")[i % 3], str(4 + 3 * i)] for i in range(14)
    ]
    table(folder / "mine.csv", [["name", "colour", "distance"], *rows])
    table(folder / "semicolons.csv", [["name", "colour", "distance"], *rows], ";")
    table(folder / "one_column.csv", [["name"], *[[row[0]] for row in rows]])
    table(folder / "three_rows.csv", [["name", "colour"], *[row[:2] for row in rows[:3]]])
    table(folder / "header_only.csv", [["name", "colour"]])
    table(
        folder / "duplicates.csv",
        [["name", "phone"], *[[f"Ann {i % 3}", f"55{i}"] for i in range(14)]],
    )
    ragged = "name,colour\nA,red\nB,blue,large\nC,white\n"
    (folder / "ragged.csv").write_text(ragged, encoding="utf-8")
    (folder / "quote.csv").write_text('name,colour\n"A,red\nB,blue\n', encoding="utf-8")
    umlauts = [["name", "city"], *[[f"Haus {i}", ("Köln", "Zürich")[i % 2]] for i in range(14)]]
    text = "\n".join(",".join(row) for row in umlauts)
    (folder / "cp1252.csv").write_bytes(text.encode("cp1252"))
    (folder / "utf16.csv").write_bytes(text.encode("utf-16"))
    (folder / "empty.csv").write_bytes(b"")
    (folder / "blank.csv").write_bytes(b"\n \n\n")
    pdf = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
    (folder / "paper.pdf").write_bytes(pdf)
    (folder / "paper.csv").write_bytes(pdf)
    image = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00"
    )
    (folder / "picture.png").write_bytes(image + bytes(range(256)))
    (folder / "picture.csv").write_bytes(image + bytes(range(256)))
    (folder / "photo.csv").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)))
    (folder / "page.csv").write_text(
        "<!DOCTYPE html><html><body>404</body></html>", encoding="utf-8"
    )
    (folder / "broken.json").write_text('[{"name": "A", ', encoding="utf-8")
    (folder / "broken.csv.gz").write_bytes(gzip.compress(b"name,colour\nA,red\n" * 9)[:30])
    (folder / "no_table").mkdir(exist_ok=True)
    (folder / "no_table" / "notes.txt").write_text("hello", encoding="utf-8")
    workbook(folder / "book.xlsx", [["name", "colour", "distance"], *rows])
    questions = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(14)]
    table(folder / "faq.csv", [["question", "answer"], *[list(q.values()) for q in questions]])
    table(folder / "questions.csv", [["question"], *[[q["question"]] for q in questions]])
    lines = "".join(
        json.dumps({"prompt": q["question"], "target": q["answer"]}) + "\n" for q in questions
    )
    (folder / "fifty.jsonl").write_text(lines, encoding="utf-8")
    records = [
        {"instruction": q["question"], "input": "", "output": q["answer"]} for q in questions
    ]
    (folder / "train.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in records), encoding="utf-8"
    )
    with sqlite3.connect(folder / "shop.sqlite") as base:
        base.execute("create table if not exists products (name text, price real)")
        base.executemany(
            "insert into products values (?, ?)", [(f"Part {i}", i / 4) for i in range(14)]
        )
    base.close()
    (folder / "job.json").write_text('{"job_type": "kd_black_box_local"}', encoding="utf-8")
    (folder / "mine.json").write_text('{"alfa": 0.5}', encoding="utf-8")
    (folder / "list.json").write_text("[1, 2]", encoding="utf-8")
    (folder / "there.yaml").write_text("data: mine.csv\nkay: name\n", encoding="utf-8")
    (folder / "not_a_student").mkdir(exist_ok=True)
    (folder / "not_a_student" / "config.json").write_text("{}", encoding="utf-8")


def table(path: Path, rows: list[list[str]], separator: str = ",") -> None:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)


def workbook(path: Path, rows: list[list[str]]) -> None:
    """Write a workbook."""
    try:
        from openpyxl import Workbook
    except ImportError:  # the file is then not there, which its cases show
        return
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def mistakes() -> list[Case]:
    """List what goes wrong in the first hours."""
    refused = {
        "a path that is wrong": ["nothing.csv"],
        "a folder that is wrong": ["nothing/"],
        "a folder without a table": ["no_table"],
        "an empty file": ["empty.csv"],
        "blank lines": ["blank.csv"],
        "a header without records": ["header_only.csv"],
        "a PDF": ["paper.pdf"],
        "a PDF called csv": ["paper.csv"],
        "an image": ["picture.png"],
        "an image called csv": ["picture.csv"],
        "a photo called csv": ["photo.csv"],
        "a web page called csv": ["page.csv"],
        "JSON that ends too early": ["broken.json"],
        "a gzip file that ends too early": ["broken.csv.gz"],
        "a row with too many cells": ["ragged.csv"],
        "a quote that is never closed": ["quote.csv"],
        "a key that is not there": ["mine.csv", "--key", "nome"],
        "columns that are not there": ["mine.csv", "--columns", "colour,size"],
        "an answer without a question": ["mine.csv", "--answer", "colour"],
        "words for a column that is not there": ["mine.csv", "--also-called", "size=big"],
        "an encoding that is not there": ["mine.csv", "--encoding", "utf-9"],
        "a separator of two characters": ["mine.csv", "--sep", "::"],
        "a sheet that is not there": ["book.xlsx", "--sheet", "Prices"],
        "a query for a file": ["mine.csv", "--query", "select 1"],
        "a query that is wrong": ["shop.sqlite", "--query", "selec name"],
        "a table that is not there": ["shop.sqlite", "--table", "prices"],
        "a web address": ["https://example.org/mine.csv"],
        "alpha beyond 1": ["mine.csv", "--alpha", "7"],
        "temperature 0": ["mine.csv", "--temperature", "0"],
        "a share beyond 1": ["mine.csv", "--gold-share", "3"],
        "an effort of nan": ["mine.csv", "--effort", "nan"],
        "no rows": ["mine.csv", "--rows", "0"],
        "a negative seed": ["mine.csv", "--seed", "-1"],
        "a number that is none": ["mine.csv", "--rows", "many"],
        "an option that is misspelled": ["mine.csv", "--colums", "colour"],
        "a teacher that is not there": ["mine.csv", "--teacher", "./teecher"],
        "a student that is not there": ["mine.csv", "--student", "./stundent"],
        "a device that is not there": ["mine.csv", "--device", "gpu"],
        "an output folder below a file": ["mine.csv", "--output-dir", "faq.csv/out"],
        "an output folder that may not be written": ["mine.csv", "--output-dir", "/proc/stillroom"],
        "an output folder that is a file": ["mine.csv", "--output-dir", "faq.csv"],
    }  # fmt: skip
    cases = [Case(what, [*RUN, *rest]) for what, rest in refused.items()]
    cases += [
        Case("no command", []),
        Case("a command that is misspelled", ["rum"]),
        Case("a student that is not there, for the chat", ["chat", "outputs/none/student"]),
        Case("a folder that is no student, for the chat", ["chat", "not_a_student"]),
        Case("chat before anything was trained", ["chat"], shell="cd no_table"),
        Case("export of nothing", ["export", "nothing"]),
        Case("a server that is down", [*LABEL, "http://127.0.0.1:9/v1", "--data", "questions.csv"]),
        Case("ollama is not running", [*LABEL, "ollama", "--data", "questions.csv"]),
        Case("a provider without a key",
             [*LABEL, "openai", "--model", "m", "--data", "questions.csv"]),
        Case("labels of a path that is wrong", [*LABEL, "ollama", "--data", "nothing.csv"]),
        Case("labels of a PDF", [*LABEL, "ollama", "--data", "paper.pdf"]),
        Case("labels into a file", ["label", "--teacher", "http://127.0.0.1:9/v1", "--data",
                                    "questions.csv", "--output", "faq.csv"]),
        Case("a template without a column", [*LABEL, "http://127.0.0.1:9/v1", "--data",
                                             "questions.csv", "--template", "{nome}?"]),
        Case("settings that are not there", ["distill", "nothing.json"]),
        Case("settings that are misspelled", ["distill", "mine.json"]),
        Case("settings that are a list", ["distill", "list.json"]),
        Case("settings that are no JSON", ["distill", "mine.csv"]),
        Case("logits of a teacher that is not there",
             ["cache-logits", "--teacher", "./none", "--data", "fifty.jsonl", "--output", "c"]),
        Case("an EasyDistill job that is not there", ["easydistill", "--config", "nothing.json"]),
        Case("an EasyDistill job that lacks all", ["easydistill", "--config", "job.json"]),
        Case("system1 of a path that is wrong",
             ["system1", "--data", "nothing.jsonl", "--teacher", "starter"]),
        Case("options of a path that is wrong", ["init", "nothing.csv"]),
        Case("options of an empty file", ["init", "empty.csv"]),
        Case("options of a table without records", ["init", "header_only.csv"]),
        Case("options of a PDF", ["init", "paper.csv"]),
        Case("options of a row with too many cells", ["init", "ragged.csv"]),
        Case("options over a file that is there", ["init", "mine.csv", "--output", "there.yaml"]),
        Case("options into a folder that is not there",
             ["init", "mine.csv", "--output", "none/x.yaml"]),
        Case("options for a key that is not there", ["init", "mine.csv", "--key", "nome"]),
        Case("init without a table", ["init"]),
        Case("a file of options that is not there", ["run", "nothing.yaml"]),
        Case("a file of options with a misspelled one", ["run", "there.yaml"]),
        Case("a file of options that is a table", ["run", "--config", "mine.csv"]),
        Case("records of a path that is wrong",
             ["prepare", "--data", "nothing.csv", "--output", "prepared"]),
        Case("records without their column",
             ["prepare", "--data", "mine.csv", "--question", "frage", "--answer", "antwort",
              "--output", "prepared"]),
        Case("records with shares beyond 1",
             ["prepare", "--data", "mine.csv", "--output", "prepared", "--train", "0.9",
              "--validation", "0.5"]),
        Case("records into a folder of something else",
             ["prepare", "--data", "mine.csv", "--output", "no_table"]),
        Case("records without an output", ["prepare", "--data", "mine.csv"]),
        Case("an option that the doctor does not have", ["doctor", "--fix"]),
        Case("a full disk at the first file", [*RUN, "mine.csv"], most_s=None, shell="ulimit -f 8"),
        Case("a full disk at the weights", [*RUN, "mine.csv"], most_s=None, shell="ulimit -f 2000"),
    ]  # fmt: skip
    return cases


def readings() -> list[Case]:
    """List tables that look wrong and are read, with options written for them or a training."""
    options = [
        Case(f"options of a table as it comes: {name}", ["init", name, "--quick", "--overwrite"],
             DONE, None)
        for name in ("semicolons.csv", "cp1252.csv", "utf16.csv", "book.xlsx", "one_column.csv",
                     "duplicates.csv", "shop.sqlite", "faq.csv")
    ]  # fmt: skip
    tables = ("semicolons.csv", "cp1252.csv", "utf16.csv", "book.xlsx", "three_rows.csv",
              "one_column.csv", "duplicates.csv", "shop.sqlite")  # fmt: skip
    runs = [Case(f"a table as it comes: {name}", [*RUN, name], DONE, None) for name in tables]
    return [*options, Case("doctor", ["doctor", "--quick"], DONE), *runs]


def helps() -> list[Case]:
    """List every `--help`."""
    words = subprocess.run([*STILLROOM, "--help"], capture_output=True, text=True, check=True)
    names = sorted(commands_of(words.stdout))
    cases = [Case("help", ["--help"], DONE), Case("version", ["--version"], DONE)]
    cases += [Case(f"help of {name}", [name, "--help"], DONE) for name in names]
    programs = sorted((ROOT / "examples").rglob("*.py"))
    return cases + [
        Case(f"help of {path.name}", [sys.executable, str(path), "--help"], DONE, None)
        for path in programs
        if path.name != "__init__.py"
    ]


def commands_of(text: str) -> set[str]:
    """Find the commands in the help of `stillroom`."""
    listed = text.partition("commands:")[2].partition("options:")[0]
    known = set(re.findall(r"^  ([a-z][a-z0-9-]+) {2,}\S", listed, re.MULTILINE))
    assert len(known) > 10, f"the help of stillroom lists {sorted(known)}"
    return known


def examples(student: str) -> list[Case]:
    """List the examples with and without a student, and with one that is not there."""
    here = f"{ROOT}/examples"
    return [
        Case(
            f"example {' '.join(words)}",
            [sys.executable, f"{here}/{words[0]}", *words[1:]],
            end,
            None,
        )
        for words, end in (
            (["embed_workflow.py", student], DONE),
            (["tools_over_a_table.py"], DONE),
            (["tools_over_a_table.py", student], DONE),
            (["filter_as_tool.py"], DONE),
            (["grounded_answers.py", student], DONE),
            (["human_approval.py", "--decision", "yes"], DONE),
            (["multi_agent.py", student, "--steps", "20"], DONE),
            (["distill_app.py"], DONE),
            (["embed_workflow.py", "nothing"], REFUSED),
            (["tools_over_a_table.py", "nothing"], REFUSED),
            (["filter_as_tool.py", "nothing"], REFUSED),
            (["grounded_answers.py", "nothing"], REFUSED),
            (["multi_agent.py", "nothing"], REFUSED),
            (["chat_ui.py", "nothing"], REFUSED),
            (["human_approval.py"], REFUSED),
            (["human_approval.py", "--folder", "/proc/stillroom"], REFUSED),
        )
    ]  # fmt: skip


def readme(student: str, folder: Path) -> list[Case]:
    """List the commands of the README, as they stand, and its Python blocks but the first, which
    trains what the others ask."""
    sys.path.insert(0, str(Path(__file__).parent))
    from readme_example import blocks

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    cases = []
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if not words or words[0] in ("make", "accelerate"):  # not ours
                continue
            if words[0] == "stillroom":
                words = words[1:]
            elif words[0] == "python":
                words = [sys.executable, f"{ROOT}/{words[1]}", *words[2:]]
            if "complete_pipeline.py" in line:
                words += ["--effort", "0.02", "--no-controls"]
            if words[0] in SERVERS:  # with a student they would not end
                words = [words[0], "outputs/none/student", *words[2:]]
            cases.append(Case(f"README: {line}", words, EITHER, None))
    shutil.copytree(ROOT / "configs", folder / "configs", dirs_exist_ok=True)
    place = folder / "outputs" / "first" / "student"
    if not place.exists():
        shutil.copytree(student, place)
    for number, program in enumerate(blocks(ROOT / "README.md")):
        path = folder / f"block_{number}.py"
        path.write_text(program, encoding="utf-8")
        if number:
            cases.append(
                Case(f"README: Python block {number + 1}", [sys.executable, str(path)], DONE, None)
            )
    return cases  # fmt: skip


def faults_of(case: Case, code: int, out: str, err: str, seconds: float) -> list[str]:
    """Judge how a command ended."""
    faults = []
    if "Traceback" in err or "Traceback" in out:
        faults.append("a traceback")
    if case.end == DONE and code != 0:
        faults.append(f"exit code {code}")
    if case.end == REFUSED and code == 0:
        faults.append("not refused")
    if case.end == DONE and case.most_s is None and err.strip():
        noise = [line for line in err.splitlines() if not re.search(r"\r|it/s|step/s|^\s*$", line)]
        faults += [f"printed on the error stream: {noise[0][:150]!r}"] if noise else []
    if code != 0 and case.end != DONE:
        said = err.strip()
        if not said:
            faults.append("nothing on the error stream")
        if len(said) > MOST_CHARACTERS and "usage:" not in said:
            faults.append(f"{len(said)} characters of refusal")
        if re.search(r"\b(KeyError|AttributeError|TypeError)\b", said):
            faults.append("the name of a Python error")
        faults += advice_faults(case.command, said)
    if case.most_s is not None and seconds > case.most_s:
        faults.append(f"{seconds:.1f} s of computing")
    return faults


def advice_faults(command: list[str], said: str) -> list[str]:
    """Find options and commands in a message that nobody can type."""
    faults = []
    help_text = "".join(
        _help(command[:1] if command and not command[0].startswith("/") else [], command)
    )
    message = re.sub(r"(?s)usage:.*?\n(?=\S+: error:)", "", said)  # fmt: skip
    typed = {word for word in command if word.startswith("--")}
    for option in sorted(options_in(message) - typed):
        elsewhere = any(option in options_in(words) for words in _other_commands(message))
        if option not in options_in(help_text) and not elsewhere:
            faults.append(f"advises {option}, which the command does not have")
    for name in re.findall(r"\bstillroom ([a-z][a-z0-9-]+)", message):
        if name not in commands_of("".join(_help([], []))) | {"writes"}:
            faults.append(f"advises 'stillroom {name}', which there is not")
    return faults  # fmt: skip


def options_in(text: str) -> set[str]:
    """Find the options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text))


def _other_commands(message: str) -> list[str]:
    """Give the help of commands that a message names whole."""
    return ["".join(_help([name], [])) for name in re.findall(r"\bstillroom ([a-z0-9-]+)", message)]


_HELP: dict[str, str] = {}


def _help(name: list[str], command: list[str]) -> list[str]:
    """Give the help of a command, or of the program that was typed."""
    program = [*STILLROOM, *name, "--help"]
    if command and command[0] == sys.executable:
        program = [*command[:2], "--help"] if command[1] != "-m" else [*STILLROOM, "--help"]
    key = " ".join(program)
    if key not in _HELP:
        _HELP[key] = subprocess.run(program, capture_output=True, text=True, check=False).stdout
    return [_HELP[key]]


def run_case(case: Case, folder: Path) -> tuple[list[str], str, float]:
    """Type it, and judge what came."""
    whole = case.command[:1] == [sys.executable]
    command = case.command if whole else [*STILLROOM, *case.command]
    if case.shell:
        command = ["bash", "-c", f'{case.shell} && exec "$@"', "-", *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, check=False, errors="replace",
            stdin=subprocess.DEVNULL, env=environment(), timeout=LONGEST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [f"still at work after {LONGEST_S} s"], "", LONGEST_S
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return faults_of(case, done.returncode, done.stdout, done.stderr, seconds), done.stderr, seconds


def environment() -> dict[str, str]:
    """Give an environment without keys of providers and without a network of models."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    return kept | {"HF_HUB_OFFLINE": "1"}


def train_student(folder: Path) -> str:
    """Make the demo's student with few steps."""
    print("training a student", flush=True)
    command = [
        *STILLROOM,
        "run",
        "--no-controls",
        "--effort",
        "0.1",
        "--output-dir",
        "outputs/elements",
    ]
    subprocess.run([*command, "--yes"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return str(folder / "outputs" / "elements" / "student")  # fmt: skip


def main() -> int:
    """Run all cases, or some.

    Returns:
        1 where something is wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, help="made before; else a small one is trained")
    parser.add_argument("--only", default="", help="cases whose description holds this")
    parser.add_argument("--folder", type=Path, help="where to run; default: a temporary one")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="user-mistakes-"))
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder)
    parts: list[Callable[[], list[Case]]] = [mistakes, helps, readings]
    cases = [case for part in parts for case in part()]
    if given.student or given.only in ("", "example", "README"):
        student = str(given.student.resolve()) if given.student else ""
        if not student:
            student = train_student(folder)
        if student:
            cases += examples(student) + readme(student, folder)
    wrong, began = 0, time.monotonic()
    for case in (case for case in cases if given.only in case.what):
        faults, said, seconds = run_case(case, folder)
        wrong += bool(faults)
        print(f"{'WRONG' if faults else 'ok':5} {seconds:5.1f} s  {case.what}", flush=True)
        for fault in faults:
            print(f"          {fault}")
        if faults and said.strip():
            print("          | " + said.strip()[-600:].replace("\n", "\n          | "))
    print(f"{wrong} wrong; {time.monotonic() - began:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
