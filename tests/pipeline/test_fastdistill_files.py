"""`configs/fastdistill` and `examples/fastdistill`: each sample loads, each example runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from project_paths import ROOT
from small_records import SECRET, teacher_server
from stillroom.cli import main
from stillroom.pipeline.records import Pipeline
from stillroom.pipeline.records.config.build_steps import build_pipeline
from stillroom.pipeline.records.config.config_layers import read_layers
from stillroom.pipeline.records.config.run_settings import read_run_config

EXAMPLES = ROOT / "examples/fastdistill"
PIPELINE = EXAMPLES / "fastdistill_pipeline.yaml"
LAYERS = [
    path
    for path in sorted((ROOT / "configs/fastdistill").glob("*.sample.yaml"))
    if path.name.split(".")[0] not in ("agent_distill", "mlx_train")
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("FASTDISTILL_", "OLLAMA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return tmp_path


@pytest.fixture
def served(folder, monkeypatch):
    """A teacher that knows the gold SQL, and makes a mistake in each fourth answer."""
    from fastdistill_pipeline import example_data

    data, _ = example_data(60, folder / "data")
    gold = {}
    for number, line in enumerate(data.read_text().splitlines()):
        record = json.loads(line)
        wrong = "SELECT nothing FROM nowhere"
        gold[record["instruction"]] = wrong if number % 4 == 3 else record["gold_sql"]

    def reply(asked):
        return f"```sql\n{gold[asked.split('Question: ')[1].removesuffix(chr(10) + 'SQL:')]}\n```"

    with teacher_server(reply) as (server, url):
        monkeypatch.setenv("FASTDISTILL_PROVIDER", "sglang")
        monkeypatch.setenv("SGLANG_BASE_URL", url)
        monkeypatch.setenv("SGLANG_MODEL", "judge")
        monkeypatch.setenv("FASTDISTILL_DATA_PATH", str(data))
        monkeypatch.setenv("FASTDISTILL_DB_PATH", str(folder / "data/shop.db"))
        monkeypatch.setenv("FASTDISTILL_RUN_ID", "run")
        yield server


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.name)
def test_a_sample_lies_over_the_pipeline(path, folder):
    config = read_run_config(read_layers((PIPELINE, path)))
    made = build_pipeline(config.pipeline, config.parameters, config.gateway)
    assert len(made.steps) > 20
    if "gateway" in path.name:
        teacher = next(step for step in made.steps if step.name == "teacher")
        assert (teacher.model.limits.qps, teacher.model.limits.token_budget) == (20, 200_000)
        assert teacher.model.limits.decode_profiles["profile_b"]["n"] == 4
    if "gates" in path.name:
        assert config.gate.explicit


def test_there_are_all_samples_of_fastdistill():
    assert {path.name for path in LAYERS} == {
        "provider_gateway.sample.yaml", "quality_gates.sample.yaml", "run_config.sample.yaml",
    }  # fmt: skip
    for name in ("agent_distill", "mlx_train"):
        assert (ROOT / f"configs/fastdistill/{name}.sample.yaml").is_file()


def at_the_server():
    return [f"teacher.llm.base_url={os.environ['SGLANG_BASE_URL']}", "teacher.llm.model=judge"]


def test_the_pipeline_file_dry_runs(served):
    config = read_run_config(read_layers((PIPELINE,), None, at_the_server()))
    pipeline = Pipeline.from_dict(config.pipeline, parameters=config.parameters)
    rows = pipeline.dry_run(batch_size=3)["default"]["train"]
    assert [row["gold_match"] for row in rows] == [True] * 3
    dumped = json.dumps(pipeline.dump())
    assert "${FASTDISTILL_DB_PATH:-" in dumped
    assert os.environ["FASTDISTILL_DB_PATH"] not in dumped


def test_a_run_of_the_file_writes_no_key_and_asks_nothing_twice(served, folder, capsys):
    given = [*at_the_server(), f"teacher.llm.api_key={SECRET}"]
    options = [word for one in given for word in ("--param", one)]
    command = ["pipeline", "run", "--config", str(PIPELINE), *options]
    assert main(command) == 0
    assert "teacher: 60 in, 60 out" in capsys.readouterr().out
    assert (len(served.asked), served.keys) == (60, {f"Bearer {SECRET}"})
    run = folder / "artifacts/run"
    assert (run / "distilled/quality_report.json").is_file()
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert main([*command, "--param", "keep_score.min_score=0.5"]) == 0
    assert len(served.asked) == 60
    assert main(["pipeline", "replay", str(run)]) == 0


def test_the_python_pipeline_distils_and_holds_the_gate(served, folder, capsys, monkeypatch):
    from fastdistill_pipeline import main as example

    assert example([]) == 0
    run = folder / "outputs/fastdistill/artifacts/run"
    assert "distilled   45 records" in capsys.readouterr().out
    report = json.loads((run / "teacher_eval/quality_report.json").read_text())
    assert (report["total"], report["exec_pass_rate"], report["kept"]) == (60, 0.75, 45)
    timing = json.loads((run / "timing_report.json").read_text())
    assert list(timing["durations"]) == [
        "raw__to__canonical", "canonical__to__hashed", "hashed__to__teacher",
        "teacher__to__filtered", "filtered__to__eval", "eval__to__selected",
        "selected__to__distilled",
    ]  # fmt: skip
    calls = len(served.asked)
    assert main(["pipeline", "replay", str(run), "--verify"]) == 0
    monkeypatch.setenv("FASTDISTILL_TEACHER_EVAL_MIN_EXEC_PASS_RATE", "0.9")
    assert example([]) == 1
    assert "exec_pass_rate 0.7500 < min_exec_pass_rate 0.9000" in capsys.readouterr().err
    assert len(served.asked) == calls


def test_teacher_and_student_are_compared(served, folder, capsys, monkeypatch):
    from ollama_distill_e2e import main as example

    monkeypatch.setenv("FASTDISTILL_SKIP_DISTILL", "1")
    assert example([]) == 0
    told = capsys.readouterr().out
    assert "teacher     60 questions, exec_pass_rate 0.75, gold_match_rate 0.75" in told
    run = folder / "outputs/fastdistill/artifacts/run-eval"
    agreement = next(run.rglob("score_agreement.json"))
    assert json.loads(agreement.read_text())["matched"] == 60


@pytest.mark.parametrize("program", ["fastdistill_pipeline.py", "ollama_distill_e2e.py"])
@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--no-such-option", 2)])
def test_examples_answer_help_and_wrong_options(program, option, code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / program), option],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("usage" in done.stdout) == (code == 0)
