"""`stillroom agent distill`: settings, instructions, the bundle, and a student."""

from __future__ import annotations

import json
import os

import pytest
import torch
import yaml
from project_paths import ROOT
from small_records import SECRET, teacher_server
from stillroom.cli import main
from stillroom.errors import ConfigError
from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.pipeline.agent_job.instructions import fault_of, listed_lines
from stillroom.pipeline.agent_job.settings import read_agent_config
from stillroom.pipeline.agent_job.spec import DistillAgentSpec, Instruction, read_spec, write_spec
from stillroom.pipeline.commands.agent import distill_parser
from stillroom.pipeline.records import Pipeline
from stillroom.pipeline.records.config.config_layers import read_layers

TASK = "name metals for beginners"
METALS = ("gold", "iron", "zinc", "lead", "tin", "copper", "silver", "nickel", "cobalt", "chrome")
SAMPLE = ROOT / "configs/fastdistill/agent_distill.sample.yaml"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("FASTDISTILL_", "MLX_"))]:
        monkeypatch.delenv(name)


def reply(asked):
    if "user requests" not in asked:
        return f"Short: {asked}" if "gold" not in asked else "Au"
    lines = [f"{n}. What is the metal {one} good for?" for n, one in enumerate(METALS, 1)]
    return "\n".join(["Sure, here they are:", *lines, "11. As an AI, I cannot say more here."])


def faults_of(config):
    with pytest.raises(ConfigError) as raised:
        read_agent_config(config)
    return "\n".join(raised.value.faults)


def test_the_sample_is_read_with_its_training_file():
    config = read_agent_config(read_layers((SAMPLE,)), SAMPLE.parent)
    assert (config.agent.num_instructions, config.teacher.provider) == (48, "embedded")
    assert (config.training.iters, config.training.learning_rate) == (100, 2e-4)
    assert (config.trains, config.student) == (True, "every_second_layer")


def test_defaults_are_those_of_fastdistill():
    config = read_agent_config({"agent": {"task": TASK}, "claude": {"max_turns": 1}})
    assert config.agent.num_instructions == 48
    distill = config.distill
    assert (distill.min_output_chars, distill.max_output_chars, distill.train_ratio) == (
        24, 2048, 0.9,
    )  # fmt: skip
    assert config.training.export_gguf is True


def test_variables_of_mlx_go_before_its_file(tmp_path, monkeypatch):
    (tmp_path / "mlx.yaml").write_text("iters: 9\nbatch_size: 2\nlearning_rate: 1e-5\nfast: true\n")
    monkeypatch.setenv("MLX_ITERS", "5")
    given = {"agent": {"task": TASK}, "training": {"mlx_config": "mlx.yaml", "batch_size": 3}}
    training = read_agent_config(given, tmp_path).training
    assert (training.iters, training.batch_size, training.learning_rate) == (5, 3, 1e-5)


def test_a_provider_of_the_environment_is_the_teacher(monkeypatch):
    monkeypatch.setenv("FASTDISTILL_PROVIDER", "ollama")
    config = read_agent_config({"agent": {"task": TASK}})
    assert (config.teacher.provider, config.trains) == ("ollama", False)


def test_all_faults_of_the_settings_come_at_once():
    found = faults_of({
        "agent": {"num_instructions": "x"}, "teachr": {}, "teacher": {"provider": 3},
        "training": {"mlx_config": "no/such.yaml", "iter": 3},
    })  # fmt: skip
    for words in (
        "there is no section 'teachr'; the nearest known section is 'teacher'",
        "agent: num_instructions is 'x'; allowed is a whole number",
        "teacher: provider is 3; allowed is a text",
        "there is no file 'no/such.yaml'",
        "TrainingSettings has no setting 'iter'; the nearest known key is 'iters'",
    ):
        assert words in found, found
    found = faults_of({
        "agent": {"num_instructions": 1}, "teacher": {"provider": "olama"},
        "distill": {"min_output_chars": 9, "max_output_chars": 8, "train_ratio": 2.0},
        "training": {"enabled": True, "iters": 0},
    })  # fmt: skip
    assert len(found.splitlines()) == 7
    assert "the nearest known provider is 'ollama'" in found
    assert "training.model is missing" in found


def test_a_spec_is_written_and_read_and_numbers_its_instructions(tmp_path):
    spec = DistillAgentSpec(
        name="My Agent", task=TASK, instructions=[Instruction("a"), {"instruction": "b"}]
    )
    assert [one.task_id for one in spec.instructions] == ["my-agent-0001", "my-agent-0002"]
    assert read_spec(write_spec(spec, tmp_path / "spec.yaml")) == spec
    with pytest.raises(ConfigError, match="two instructions have the task_id 'x'"):
        DistillAgentSpec(name="a", task="t", instructions=[Instruction("a", "x")] * 2)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1. One two three?\n2) Four.", ["One two three?", "Four."]),
        ("Sure:\n- **A b c.**\n- D e f.\nThat is all.", ["A b c.", "D e f."]),
        ("No list at all", ["No list at all"]),
        ("", []),
    ],
)
def test_lists_are_taken_out_of_answers(text, lines):
    assert listed_lines(text) == lines


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("What is gold good for?", None),
        ("Gold?", "too_short"),
        ("x " * 300, "too_long"),
        ("I'm sorry, but I cannot help with that.", "refusal"),
        ("Here are some requests", "frame"),
        ("What is the use of,", "cut_off"),
    ],
)
def test_lines_that_are_no_instructions_are_left_out(line, fault):
    assert fault_of(line.strip()) == fault


def test_every_flag_of_fastdistill_is_there():
    told = (
        "--task --config --config-env --config-run --output-dir --num-instructions --run-id "
        "--train --no-train --export-gguf --no-export-gguf --gguf-output"
    )
    assert set(distill_parser()._option_string_actions) >= set(told.split())


def test_messages_and_codes(capsys):
    assert main(["agent", "distill", "--config-env", "x.yaml"]) == 2
    assert capsys.readouterr().err == "`--config-env` and `--config-run` require `--config`.\n"
    assert main(["agent", "distill"]) == 2
    assert "agent.task is missing; say what the agent is for" in capsys.readouterr().err
    assert main(["agent", "distil"]) == 2
    assert "the nearest known action is 'distill'" in capsys.readouterr().err


def test_a_bundle_is_written_and_goes_on_without_asking_again(
    tmp_path, monkeypatch, capsys, starter
):
    monkeypatch.chdir(tmp_path)
    with teacher_server(reply) as (server, url):
        config = {
            "agent": {"task": TASK, "output_dir": "agents", "num_instructions": 10},
            "distill": {"min_output_chars": 8, "train_ratio": 0.7},
            "teacher": {"provider": "openai", "model": "judge", "base_url": url, "api_key": SECRET},
            "training": {"model": starter, "iters": 3, "batch_size": 2, "max_seq_length": 400},
        }
        (tmp_path / "agent.yaml").write_text(yaml.safe_dump(config))
        command = ["agent", "distill", "--config", "agent.yaml", "--run-id", "one"]
        assert main([*command, "--no-train"]) == 0
        told = capsys.readouterr()
        assert server.keys == {f"Bearer {SECRET}"}
        asked = len(server.asked)
        assert main([*command, "--train", "--json"]) == 0
        assert len(server.asked) == asked
    parts = yaml.safe_load(told.out)
    assert list(parts) == [
        "bundle_root", "spec_path", "pipeline_path", "agent_card", "artifacts_root", "reports_dir",
        "manifests_dir", "mlx_dir", "gguf_path",
    ]  # fmt: skip
    trained = capsys.readouterr()
    assert json.loads(trained.out) == {**parts, "gguf_path": "agents/one/artifacts/model.gguf"}
    assert parts["bundle_root"] == "agents/one"
    assert "10 of 10 instructions" in told.err
    assert "9 of 10 answers; left out: 1 too_short" in told.err
    root = tmp_path / "agents/one"
    spec = read_spec(root / "spec.yaml")
    assert [one.task_id for one in spec.instructions][:1] == ["name-metals-for-beginners-0001"]
    assert (spec.teacher_model, spec.metadata["left_out"]["refusal"]) == ("judge", 2)
    assert "agents/one" not in (root / "spec.yaml").read_text()
    report = json.loads((root / "artifacts/reports/distilled/quality_report.json").read_text())
    assert (report["run_id"], report["total"]) == ("one", 9)
    assert (
        json.loads((root / "artifacts/manifests/distilled/manifest.json").read_text())["count"] == 9
    )
    lines = (root / "artifacts/mlx/train.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["messages"][0]["role"] == "system"
    losses = json.loads((root / "artifacts/model/agent_losses.json").read_text())
    assert losses["after"] != losses["before"]
    student = load_checkpoint(str(root / "artifacts/model")).model.state_dict()
    written = load_checkpoint(str(root / "artifacts/model.gguf")).model.state_dict()
    assert all(torch.equal(written[name], student[name]) for name in written)
    assert (root / "artifacts/model/model.safetensors").is_file()
    card = (root / "agent_card.md").read_text()
    assert "not because anybody found them right" in card
    assert f"The student learned from {len(lines)} examples" in card
    read = Pipeline.from_file(root / "pipeline.yaml")
    assert read.steps["rules"].min_chars == 8
    for path in root.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    other = ["agent", "distill", "--config", "agent.yaml", "--run-id", "one", "--task", "else"]
    assert main(other) == 2
    assert "holds an agent with the task 'name metals for beginners'" in capsys.readouterr().err


def test_a_teacher_that_writes_nothing_of_use_ends_the_job(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with teacher_server(lambda asked: "No.") as (_, url):
        config = {
            "agent": {"task": TASK, "output_dir": "agents"},
            "teacher": {"provider": "vllm", "model": "judge", "base_url": url},
        }
        (tmp_path / "agent.yaml").write_text(yaml.safe_dump(config))
        assert main(["agent", "distill", "--config", "agent.yaml"]) == 1
    assert "the teacher wrote 0 instructions of use" in capsys.readouterr().err
