"""Every command: its help, its exit codes, its JSON, and its examples, run in their order.

The examples are run as the help shows them, in one folder with small data, with `--json` added.
`ADDED` holds what is added to keep a run short, `PARSED` which examples are parsed alone, and why.
"""

import io
import json
import random
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout, suppress

import numpy as np
import pytest
from made_world import lines, write_world
from project_paths import ROOT
from small_records import teacher_server
from stillroom.cli import COMMANDS, GROUPS, main
from stillroom.pipeline.command import Command, Group
from stillroom.pipeline.options import EXITS, Fault


def leaves():
    """List the commands, those of groups with their action."""
    found = {}
    for name, entry in COMMANDS.items():
        command = entry.load()
        if isinstance(command, Group):
            found |= {f"{name} {action}": one for action, (one, _) in command.actions.items()}
        else:
            found[name] = command
    return found


LEAVES = leaves()
ADDED = {
    "init": ["--quick"],
    "doctor": ["--quick"],
    "expand": ["--target", "60"],
    "run": ["--effort", "0.001", "--no-controls", "--gold-share", "1", "--rows", "8", "--yes"],
}
"""Options that keep a run short; `run` trains for single steps."""
SLOW = {"run", "export"}
"""Commands whose examples take long."""
SERVES = "serves until it is stopped; its own tests start it"
MODELS = "needs a packaged model or a teacher on a server, and trains for minutes"
PARSED = {
    "chat": SERVES,
    "serve": SERVES,
    "mcp": SERVES,
    "system1": MODELS,
    "system2": MODELS,
    "agent distill": MODELS,
    "filter label": "asks a provider with a key; its own tests label from a scripted oracle",
    "filter train": MODELS,
    "filter probe": "needs the sentence encoder; its own tests train one",
    "filter score --filter filters/a/v1": "two students; its own tests score with two",
    "filter score --filter filters/uplifting/v1 --input articles.jsonl --output scored.jsonl "
    "--server": "needs a server that writes scores; its own tests have one",
    "easydistill --config": "a job of EasyDistill trains; its own tests run the jobs",
    "distill configs/": "the packaged teacher is needed; the configurations have tests",
    "export outputs/elements/student --push": "writes to the hub; its own tests have a mock",
    "models add": "fetches from the package index",
    "models path": "converts a model; its own tests do",
    "pipeline run": "the example pipelines ask a teacher; their own tests have one",
    "pipeline replay": "needs a run; its own tests replay runs",
    "evaluate outputs/elements/student --tasks": "needs lm-evaluation-harness and a network",
    "report": "its own tests write reports of runs",
    "renew": "trains a student; its own tests renew one",
    "sweep": "trains a dozen students; its own tests run sweeps",
    "compare outputs/": "needs finished runs; its own tests make them",
}
"""Start of an example -> why it is parsed instead of run."""
LINES = {"ask"}
"""Commands whose JSON is one document a line, as their help says."""


def reason_to_parse(example):
    words = example.removeprefix("stillroom ")
    return next((why for start, why in PARSED.items() if words.startswith(start)), None)


@pytest.mark.parametrize("name", LEAVES)
def test_help_tells_examples_exit_codes_and_json(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    shown, codes = told.split("\nexamples:")[1].split("\nexit codes:")
    assert f"\n  stillroom {name}" in shown
    for code in EXITS:
        assert re.search(rf"^  {code} +\w", codes, re.M), f"exit code {code} is not told"
    assert re.search(r"^  --json +\S|^  --json$", told, re.M)


@pytest.mark.parametrize("name", LEAVES)
def test_a_wrong_option_ends_with_2_and_the_nearest_name(name, capsys):
    assert isinstance(LEAVES[name], Command)
    with suppress(SystemExit):
        assert main([*name.split(), "--jsn"]) == 2
    said = capsys.readouterr().err
    assert "--json" in said or "required" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", LEAVES)
def test_examples_parse(name):
    for example in LEAVES[name].parser().examples:
        words = shlex.split(example)[1 + len(name.split()) :]
        args, left = LEAVES[name].parser().parse_known_intermixed_args(words)
        assert left == [], example
        assert not [one for one in vars(args).values() if isinstance(one, Fault)], example


def test_what_is_not_run_is_an_example_that_exists():
    every = [example for one in LEAVES.values() for example in one.parser().examples]
    planned = {"renew", "sweep"}  # being built
    for start in PARSED:
        assert start in planned or any(e.startswith(f"stillroom {start}") for e in every), start


def test_commands_are_grouped_and_help_loads_little(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    places = [told.index(f"\n{group}:\n") for group in GROUPS]
    assert places == sorted(places)
    assert {one.group for one in COMMANDS.values()} <= set(GROUPS)


def test_the_readme_names_every_command():
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## The commands\n")[1]
    rows = [line for line in part.split("\n## ")[0].splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert named == set(COMMANDS)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what the examples name, and the address of a teacher."""
    folder = tmp_path_factory.mktemp("world")
    said = random.Random(0)
    with teacher_server(lambda _: f"<answer>Question {said.random()}?</answer>") as (_, address):
        write_world(folder)
        yield folder, address


def run(words, folder, address):
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("OLLAMA_HOST", address.removesuffix("/v1"))
        served = {"http://127.0.0.1:8000/v1": address, "qwen3:8b": "judge"}
        code = main([served.get(word, word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in LEAVES]
)
def test_examples_run_and_their_json_parses(name, world):
    before = BEFORE.get(name)
    if before is not None:
        before(world[0])
    for example in LEAVES[name].parser().examples:
        if reason_to_parse(example) is not None:
            continue
        words = [*shlex.split(example)[1:], *ADDED.get(name, ())]
        words += [] if "--json" in words else ["--json"]
        code, out, err = run(words, *world)
        assert code == 0, f"{example}: {err}"
        documents = out.splitlines() if name in LINES else [out]
        for document in documents:
            assert isinstance(json.loads(document), dict), example
        assert documents, example


def students_of_filters(folder):
    """Train a student of words for the filter that an example made."""
    from stillroom.distillation.score_students.score_examples import ScoreExamples
    from stillroom.distillation.score_students.train_tfidf import train_tfidf
    from stillroom.inference.score_students.protocol import StudentFacts
    from stillroom.labeling.filters.filter_package import load_filter

    package = load_filter(folder / "filters/uplifting/v1")
    names = package.config.dimension_names
    with open(folder / "splits/train.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    texts = [package.view.student_text(package.view.read(one)) for one in records]
    targets = np.array([
        [one["uplifting_analysis"]["dimensions"][name] for name in names] for one in records
    ])  # fmt: skip
    examples = ScoreExamples(texts, targets, np.ones(len(texts)))
    student = train_tfidf(
        examples, examples.chosen(range(20)), StudentFacts(names, package.view.sha256)
    )
    student.save(folder / "student")
    student.save(folder / "filters/uplifting/v1/model")


def labels_of_this_prompt(folder):
    """Write labels as the filter's prompt of today would have made them."""
    from stillroom.labeling.filters.filter_package import load_filter

    package = load_filter(folder / "filters/uplifting/v1")
    path = folder / "labels/labeled_batch_001.jsonl"
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for record in records:
        record["uplifting_analysis"]["prompt_hash"] = package.prompt.prompt_hash
    lines(path, records)


BEFORE = {"filter score": students_of_filters, "filter prepare": labels_of_this_prompt}
"""Command -> what is made before its examples."""


def test_json_of_a_failure_is_empty_and_the_reason_is_on_the_error_stream(world):
    for words, expected in (
        (["prepare", "--data", "nothing.csv", "--output", "x", "--json"], 1),
        (["prepare", "--data", "mine.csv", "--output", "x", "--near", "7", "--json"], 2),
        (["init", "empty.csv", "--json"], 1),
        (["models", "path", "no-such-model", "--json"], 1),
    ):
        out = io.StringIO()
        with redirect_stdout(out):
            code, _, err = run(words, *world)
        assert (code, out.getvalue()) == (expected, "")
        assert err.startswith("stillroom: ")


def test_without_a_command_the_first_steps_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    said = capsys.readouterr().err
    assert "there is no table" in said
    for command in re.findall(r"^  stillroom (\S+)", said, re.M):
        assert command in COMMANDS
    (tmp_path / "my table.csv").write_text("name,price\nA,1\n")
    assert main([]) == 2
    assert "stillroom init 'my table.csv'" in capsys.readouterr().err
    assert main(["init", "my table.csv", "--quick"]) == 0
    assert main([]) == 2
    assert "stillroom run 'my table.yaml'" in capsys.readouterr().err
