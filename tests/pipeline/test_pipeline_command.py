"""`stillroom pipeline` and `stillroom registry`: messages, exit codes and what they print."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from stillroom.cli import main
from stillroom.pipeline.commands.pipeline import (
    BOTH_MESSAGE,
    LAYERS_MESSAGE,
    NONE_MESSAGE,
    info_parser,
    replay_parser,
    run_parser,
)
from stillroom.pipeline.records.config.config_layers import PARAM_MESSAGE

PIPELINE = """
fastdistill: {version: 0.1.0}
pipeline:
  name: demo
  description: Keeps what is long enough.
  steps:
    - name: load
      step:
        data: [{text: a b}, {text: ""}, {text: c}]
        type_info: {module: distilabel.steps.generators.data, name: LoadDataFromDicts}
    - name: rules
      step: {text_field: text, type_info: {module: fastdistill.steps, name: RuleFilter}}
    - name: report
      step: {stage: filtered, type_info: {module: fastdistill.steps, name: WriteQualityReport}}
    - name: keep
      step: {type_info: {module: fastdistill.steps, name: FilterByBool}}
  connections:
    - {from: load, to: [rules]}
    - {from: rules, to: [report]}
    - {from: report, to: [keep]}
    - {from: keep, to: []}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("FASTDISTILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def ran(capsys, *words):
    code = main(list(words))
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ([], [NONE_MESSAGE]),
        (["--config", "a", "--script", "b"], [BOTH_MESSAGE]),
        (["--script", "b", "--config-env", "c"], [LAYERS_MESSAGE]),
        (["--script", "b", "--config-run", "c"], [LAYERS_MESSAGE]),
        (["--config", "a", "--param", "x=1"], [PARAM_MESSAGE]),
        (["--config-run", "c", "--param", "x"], [NONE_MESSAGE, LAYERS_MESSAGE, PARAM_MESSAGE]),
    ],
)
def test_messages_of_fastdistill_stand_alone_on_a_line(folder, capsys, options, messages):
    code, out, err = ran(capsys, "pipeline", "run", *options)
    assert (code, out, err.splitlines()) == (2, "", messages)


def test_the_messages_are_those_of_the_contract():
    assert BOTH_MESSAGE == "Only one of `--config` or `--script` can be informed."
    assert NONE_MESSAGE == "`--config` or `--script` must be informed."
    assert LAYERS_MESSAGE == "`--config-env` and `--config-run` require `--config`."
    assert PARAM_MESSAGE == (
        "Runtime parameters must be in the format `key.subkey=value` or "
        "`key.subkey.subsubkey=value`"
    )


def test_every_flag_of_fastdistill_is_there():
    flags = set(run_parser()._option_string_actions)
    told = (
        "--config --config-env --config-run --param --param-file --script "
        "--pipeline-variable-name --ignore-cache --repo-id --commit-message --private --token"
    )
    assert flags >= set(told.split())
    assert set(info_parser()._option_string_actions) >= {"--config", "--config-env", "--config-run"}
    assert run_parser().parse_args([]).pipeline_variable_name == "pipeline"


@pytest.mark.parametrize("parser", [run_parser, info_parser, replay_parser])
def test_examples_of_the_actions_parse(parser):
    import shlex

    for line in parser().examples:
        args = shlex.split(line)[3:]
        assert parser().parse_known_intermixed_args(args)[1] == []


@pytest.mark.parametrize("action", ["run", "info", "replay"])
def test_actions_have_help(action, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pipeline", action, "--help"])
    assert ended.value.code == 0
    assert f"\n  stillroom pipeline {action} " in capsys.readouterr().out.split("examples:")[1]


@pytest.mark.parametrize("option", ["--config", "--script"])
def test_nothing_is_read_from_another_machine(folder, capsys, option):
    code, _, err = ran(capsys, "pipeline", "run", option, "https://a.b/pipeline.yaml")
    assert code == 2
    assert "'https://a.b/pipeline.yaml' is a URL; only local files are read" in err


def test_a_run_is_told_repeated_and_verified(folder, capsys):
    run = ("pipeline", "run", "--config", "pipeline.yaml", "--run-id", "one")
    code, out, err = ran(capsys, *run)
    assert (code, err) == (0, "")
    assert "keep: 3 in, 2 out, 1 rejected (1 empty_output), 0 dead" in out
    assert "artifacts/one" in out
    report = json.loads((folder / "artifacts/one/filtered/quality_report.json").read_text())
    assert (report["total"], report["kept"]) == (3, 2)
    code, out, _ = ran(capsys, *run, "--param", "rules.min_chars=2", "--json")
    told = json.loads(out)
    assert (told["run_id"], told["partial"], told["stages"]["keep"]["out"]) == ("one", False, 1)
    assert ran(capsys, "pipeline", "replay", "artifacts/one", "--verify")[0] == 0
    ran(capsys, "pipeline", "run", "--config", "pipeline.yaml", "--run-id", "two")
    code, out, _ = ran(capsys, "pipeline", "replay", "artifacts/one", "--against", "artifacts/two")
    assert code == 1
    rows = next((folder / "artifacts/one/keep").glob("rows-*.parquet"))
    rows.write_bytes(rows.read_bytes()[:-9] + b"x" + rows.read_bytes()[-8:])
    code, out, _ = ran(capsys, "pipeline", "replay", "artifacts/one", "--json")
    assert code == 1
    assert any(f"keep/{rows.name}" in fault for fault in json.loads(out)["faults"])
    assert ran(capsys, "pipeline", "replay", "artifacts")[0] == 2


def test_layers_and_parameter_files_reach_the_run(folder, capsys):
    (folder / "run.yaml").write_text("run: {artifacts_dir: there, run_id: r}\n")
    (folder / "params.yaml").write_text("rules: {min_chars: 3}\n")
    code, out, _ = ran(
        capsys, "pipeline", "run", "--config", "pipeline.yaml", "--config-run", "run.yaml",
        "--param-file", "params.yaml", "--json",
    )  # fmt: skip
    assert code == 0
    told = json.loads(out)
    assert (told["folder"], told["stages"]["keep"]["out"]) == ("there/r", 1)


def test_a_script_is_run_and_its_pipeline_taken(folder, capsys):
    (folder / "made.py").write_text(
        "from stillroom.pipeline.records import LoadDataFromDicts, Pipeline, RuleFilter\n"
        "with Pipeline('made') as mine:\n"
        "    load = LoadDataFromDicts(data=[{'generation': 'abc'}, {'generation': ''}])\n"
        "    load >> RuleFilter(name='rules')\n"
        "assert __name__ != '__main__'\n"
    )
    command = ("pipeline", "run", "--script", "made.py", "--json")
    code, _, err = ran(capsys, *command)
    assert code == 2
    assert "has no pipeline in the variable 'pipeline'" in err
    named = (*command, "--pipeline-variable-name", "mine", "--param", "rules.min_chars=4")
    code, out, _ = ran(capsys, *named)
    assert code == 0
    assert json.loads(out)["pipeline"] == "made"


def test_a_gate_that_fails_ends_the_run(folder, capsys, monkeypatch):
    command = ("pipeline", "run", "--config", "pipeline.yaml")
    monkeypatch.setenv("FASTDISTILL_TEACHER_EVAL_STAGE", "filtered")
    for name in ("EXEC_PASS_RATE", "GOLD_MATCH_RATE", "JUDGE_MEAN"):
        monkeypatch.setenv(f"FASTDISTILL_TEACHER_EVAL_MIN_{name}", "0")
    code, _, err = ran(capsys, *command)
    assert code == 1
    assert "Teacher eval gate failed: total 3 < min_total 50; missing exec_pass_rate" in err
    monkeypatch.setenv("FASTDISTILL_TEACHER_EVAL_GATE", "0")
    assert ran(capsys, *command)[0] == 0


def test_a_gate_that_was_asked_for_fails_without_its_report(folder, capsys):
    (folder / "gate.yaml").write_text("quality_gates: {min_total: 0}\n")
    code, _, err = ran(
        capsys, "pipeline", "run", "--config", "pipeline.yaml", "--config-run", "gate.yaml"
    )
    assert code == 1
    assert "missing quality report of stage 'teacher_eval'" in err


def test_info_tells_steps_and_stages(folder, capsys):
    code, out, _ = ran(capsys, "pipeline", "info", "--config", "pipeline.yaml")
    assert code == 0
    for words in ("Keeps what is long enough.", "RuleFilter", "load -> rules", "keep -> -"):
        assert words in out
    code, out, _ = ran(capsys, "pipeline", "info", "--config", "pipeline.yaml", "--json")
    (folder / "again.json").write_text(out)
    assert ran(capsys, "pipeline", "info", "--config", "again.json", "--json")[1] == out
    code, _, err = ran(capsys, "pipeline", "info")
    assert (code, err) == (2, "`--config` must be informed.\n")


def test_an_action_that_is_not_there_names_the_nearest(capsys):
    assert ran(capsys, "pipeline", "rn")[0] == 2
    code, _, err = ran(capsys, "registry", "lst")
    assert (code, err.strip()[-31:]) == (2, "the nearest known action is 'list'"[-31:])
    assert ran(capsys, "registry")[0] == 2


def test_registry_lists_components_as_yaml(capsys):
    code, out, _ = ran(capsys, "registry", "list", "--kind", "llm", "--source", "builtin")
    told = yaml.safe_load(out)
    assert (code, told["kind"]) == (0, "llm")
    assert {"name", "source", "import_path"} == set(told["components"][0])
    assert "OpenAILLM" in {one["name"] for one in told["components"]}
    assert yaml.safe_load(ran(capsys, "registry", "list", "--kind", "embeddings")[1]) == {
        "kind": "embeddings",
        "components": [],
    }
    assert ran(capsys, "registry", "list", "--kind", "steps")[0] == 2


def test_registry_shows_a_component(capsys):
    code, out, _ = ran(capsys, "registry", "show", "--kind", "step", "--name", "RuleFilter")
    told = yaml.safe_load(out)
    assert (code, told["source"]) == (0, "builtin")
    assert told["settings"]["min_chars"] == "a whole number; default 1"
    code, _, err = ran(capsys, "registry", "show", "--kind", "step", "--name", "Magpie")
    assert (code, "Magpie is not offered" in err) == (2, True)
    code, _, err = ran(capsys, "registry", "show", "--kind", "step", "--name", "RuleFilte")
    assert (code, "nearest is RuleFilter" in err) == (2, True)
    code, _, err = ran(capsys, "registry", "show", "--kind", "llm", "--name", "RuleFilter")
    assert (code, "there is no llm 'RuleFilter'" in err) == (2, True)


def test_a_pilot_is_shown_and_a_user_at_a_terminal_may_end_the_run(folder, capsys, monkeypatch):
    words = ("pipeline", "run", "--config", "pipeline.yaml", "--pilot", "2", "--run-id", "r")
    code, out, _ = ran(capsys, *words)
    assert code == 0
    assert "2 rows of each source gave 1 of keep" in out
    assert "keep: {'text': 'a b'" in out
    monkeypatch.setattr("stillroom.console.Console.asks", lambda self: True)
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")
    code, _, _ = ran(capsys, *words)
    assert code == 130
    assert "Go on with all 3 rows?" in asked[0]


def test_an_interrupted_run_says_how_it_goes_on(folder, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt("stopped at step 'rules'; the same command goes on from there")

    monkeypatch.setattr("stillroom.pipeline.records.pipeline.Pipeline.run", stop)
    code, _, err = ran(capsys, "pipeline", "run", "--config", "pipeline.yaml")
    assert (code, "stopped at step 'rules'; the same command goes on" in err) == (130, True)


def test_finish_without_anything_done_fails(folder, capsys):
    code, _, err = ran(capsys, "pipeline", "run", "--config", "pipeline.yaml", "--finish")
    assert (code, "there is nothing to finish" in err) == (1, True)


def test_a_pilot_shows_records_and_asks_at_a_terminal(folder, capsys, monkeypatch):
    command = ("pipeline", "run", "--config", "pipeline.yaml", "--pilot", "1")
    code, out, _ = ran(capsys, *command)
    assert code == 0
    assert "pilot       1 rows of each source gave 1 of keep" in out
    assert "keep: 3 in, 2 out" in out
    monkeypatch.setattr("stillroom.console.Console.asks", lambda console: True)
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")
    code, out, _ = ran(capsys, *command, "--run-id", "asked")
    assert (code, "keep: 3 in, 2 out" in out) == (130, False)
    assert asked == ["  Go on with all 3 rows? [y/N] "]
    assert ran(capsys, *command, "--run-id", "asked", "--yes")[0] == 0
    assert len(asked) == 1
