"""What refusals of readers advise can be typed as it stands, on every command that reads."""

import ast
import json
import re
import shlex
import sqlite3

import pytest
from project_paths import ROOT
from stillroom.data.questions.profile import profile_table
from stillroom.data.readers.options import FLAGS, advise
from stillroom.data.readers.read_table import read_table
from stillroom.errors import DataError, StillroomError
from stillroom.pipeline.commands.cache_logits import cache_parser
from stillroom.pipeline.commands.distill import distill_parser
from stillroom.pipeline.commands.label import expand_parser, label_parser
from stillroom.pipeline.commands.run import job_parser
from stillroom.pipeline.reading_options import reading_keywords
from stillroom.pipeline.systems.run import systems_parser

READING = {
    "run": (lambda: job_parser("stillroom run"), []),
    "complete_pipeline.py": (lambda: job_parser("complete_pipeline.py"), []),
    "label": (label_parser, ["--data", "d", "--output", "o", "--teacher", "t"]),
    "expand": (expand_parser, ["--data", "d", "--output", "o", "--teacher", "t", "--target", "9"]),
    "distill": (distill_parser, ["mine.json"]),
    "cache-logits": (cache_parser, ["--data", "d", "--output", "o", "--teacher", "t"]),
    "system1": (lambda: systems_parser("system1"), []),
    "system2": (lambda: systems_parser("system2"), []),
}
"""Command -> its parser, and what it needs beside the reading options."""
FILES = {
    "surplus.csv": b"name,size\nOak,2\nElm,3,4\nAsh,1\n",
    "short.csv": b"name,size,age\nOak,2,9\nElm,3\nAsh,1,4\n",
    "notes.csv": b"Trees of 2024\n\nname,size\nOak,2\nElm,3\n",
    "open.csv": b'name,size\n"Oak,2\nElm,3\nAsh,4\n',
    "behind.csv": b'name,size\n"Oak" tree,2\nElm,3\n',
    "two_lists.json": json.dumps({"oaks": [{"a": 1}], "elms": [{"b": 2}]}).encode(),
    "uneven.json": json.dumps({"a": [1, 2], "b": [3, 4, 5]}).encode(),
    "objects.json": json.dumps({"oak": {"a": 1, "b": 2}, "elm": {"a": 3, "c": 4}}).encode(),
    "ragged.json": json.dumps([["a", "b"], [1, 2], [3]]).encode(),
    "two_tables.db": b"",
    "turkish.csv": "ad;değer\nşişe;1\nığdır;2\n".encode("iso8859-9"),
    "wide.csv": "name,size\nOak,2\n".encode("utf-16-le"),
}
VALUES = {"sep": ";", "skip_lines": 1, "sheet": "S", "table": "oaks", "query": "q", "columns": "a"}
"""For advice that leaves the value to the user."""
ADVICE = re.compile(r"pass ((?:--[a-z-]+ (?:(?!--|\()(?:'[^']*'|\S+) )?)+)\(")


def refusal(folder, name):
    """Read a file that is refused, and give the message; None where it is read."""
    path = folder / name
    path.write_bytes(FILES[name])
    if name.endswith(".db"):
        path.unlink()
        with sqlite3.connect(path) as base:
            base.execute("CREATE TABLE oaks (a)")
            base.execute("INSERT INTO oaks VALUES (1)")
            base.execute("CREATE TABLE elms (b)")
        base.close()
    try:
        read_table(path, flatten=True)
    except StillroomError as fault:
        return str(fault)
    return None


def typed(advice):
    """Give the words of an advice, with a value where it leaves one to the user."""
    names = {flag: name for name, flag in FLAGS.items()}
    words = shlex.split(advice)
    made = []
    for place, word in enumerate(words):
        made.append(word)
        last = place + 1 == len(words) or words[place + 1].startswith("--")
        if last and word.startswith("--") and word != "--keep-null-marks":
            made.append(str(VALUES[names[word]]))
    return made


def parsed(command, words):
    parser, needed = READING[command]
    return parser().read([*needed, *words])


def keywords_of(command, words):
    """Give what a command hands to the readers; `--columns` of the main job are those asked."""
    own = command in ("run", "complete_pipeline.py")
    return reading_keywords(parsed(command, words), columns=not own)


@pytest.mark.parametrize("name", FILES)
def test_the_advice_of_a_refusal_is_typed_and_the_file_is_read(name, tmp_path):
    message = refusal(tmp_path, name)
    if message is None:
        return  # read by what the file shows itself
    found = ADVICE.findall(message)
    assert found, message
    read = []
    for advice in found:
        words = typed(advice)
        for command in READING:
            parsed(command, words)
        keywords = keywords_of("label", words)
        try:
            read.append(read_table(tmp_path / name, flatten=True, **keywords))
        except StillroomError:
            continue  # this advice is for another cause of the same refusal
    assert read, message


@pytest.mark.parametrize("command", READING)
def test_every_option_that_is_advised_is_there(command):
    for name, flag in FLAGS.items():
        value = {"header": "no", "ragged": "pad", "encoding": "cp1252", "skip_lines": "2"}.get(name)
        words = [flag] if name == "keep_null_marks" else [flag, value or ";"]
        parsed(command, words)
        if name != "columns":
            assert name in keywords_of(command, words), flag


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"sep": "\t"}, r"--sep '\t'"),
        ({"sep": ";", "encoding": "cp1252"}, "--sep ';' --encoding cp1252"),
        ({"quote": None}, "--quote none"),
        ({"escape": ""}, "--escape none"),
        ({"escape": "\\"}, r"--escape '\'"),
        ({"header": False}, "--header no"),
        ({"null_values": ("-", "n/a")}, "--null - --null n/a"),
        ({"keep_null_marks": True}, "--keep-null-marks"),
        ({"records_path": "a.b"}, "--records-path a.b"),
        ({"sheet": "My sheet"}, "--sheet 'My sheet'"),
    ],
)
def test_advice_comes_back_as_the_keywords_that_it_was_made_of(keywords, told):
    advice = advise(**keywords)
    assert told in advice
    (words,) = ADVICE.findall(advice)
    for command in READING:
        assert keywords_of(command, shlex.split(words)) == keywords, command


def test_options_that_messages_of_the_data_room_name_exist():
    """Every `--word` in a text of the room is an option of the main job or of all readers."""
    run = set(job_parser("run")._option_string_actions)
    for path in (ROOT / "src" / "data").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value):
                    assert flag in run, f"{path.name}: {flag}"


def test_what_the_main_job_is_refused_for_names_its_options():
    same = [{"a": 1, "b": 2}] * 3
    with pytest.raises(DataError) as told:
        profile_table(same, source="t", key="a", columns=("a",))
    for flag in re.findall(r"--[a-z-]+", str(told.value)):
        job_parser("run").parse_args([flag, "a"])
