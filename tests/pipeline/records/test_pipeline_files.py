"""Pipelines in files: classes by name, layers of settings, the environment, and what is dumped."""

from __future__ import annotations

import doctest
import importlib
import json
from types import SimpleNamespace

import pytest
import yaml
from project_paths import ROOT
from stillroom.errors import ConfigError
from stillroom.labeling.gates.quality_gate import TEACHER_GATE, QualityGate
from stillroom.pipeline import records
from stillroom.pipeline.records import Pipeline, RowStep, RuleFilter
from stillroom.pipeline.records.config import components
from stillroom.pipeline.records.config.build_steps import build_pipeline
from stillroom.pipeline.records.config.components import find_class, kind_of, list_components
from stillroom.pipeline.records.config.config_layers import (
    PARAM_MESSAGE,
    read_layers,
    read_parameters,
)
from stillroom.pipeline.records.config.not_offered import NOT_OFFERED
from stillroom.pipeline.records.config.run_settings import read_run_config

CONFIG = ROOT / "src/pipeline/records/config"
KEY = "sk-do-not-write-me-4711"


def step(name, cls, /, *, module="distilabel.steps.x", **settings):
    return {
        "name": name,
        "step": {"name": name, **settings, "type_info": {"module": module, "name": cls}},
    }


def chain(*steps, **more):
    names = [one["name"] for one in steps]
    pairs = zip(names, [*names[1:], None], strict=True)
    connections = [{"from": a, "to": [b] if b else []} for a, b in pairs]
    told = {"name": "demo", "description": None, "steps": list(steps), "connections": connections}
    return {"distilabel": {"version": "1.0.0"}, "pipeline": told, **more}


def faults_of(told, **layers):
    with pytest.raises(ConfigError) as raised:
        build_pipeline(told, **layers)
    return raised.value.faults


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_run(path):
    module = importlib.import_module(f"stillroom.pipeline.records.config.{path.stem}")
    assert doctest.testmod(module).failed == 0


def test_every_builtin_component_is_found_by_its_name():
    found = list_components()
    assert {"LoadDataFromDicts", "RuleFilter", "TextGeneration", "OllamaLLM"} <= {
        one.name for one in found
    }
    assert {one.kind for one in found} == {"step", "task", "llm"}
    for one in found:
        assert kind_of(find_class(one.name, "fastdistill.anything")) == one.kind
    assert not {one.name for one in found} & {"LLM", "Step", "GeneratorStep", "RowStep"}


@pytest.mark.parametrize("name", sorted(set().union(*NOT_OFFERED.values()) - set(records.HOMES)))
def test_names_of_distilabel_are_recognised(name):
    with pytest.raises(ConfigError, match=rf"^{name} is not offered: an? \w+ of distilabel"):
        find_class(name, "distilabel.steps.tasks")


def test_names_of_distilabel_for_the_same_thing():
    assert find_class("ClientvLLM") is find_class("vLLM")
    assert find_class("ClientSGLang") is find_class("SGLangLLM")


def test_an_unknown_class_names_the_nearest():
    with pytest.raises(ConfigError, match="no class RuleFiltr; the nearest is RuleFilter"):
        find_class("RuleFiltr", "distilabel.steps")


class Shout(RowStep):
    def apply(self, record):
        return {**record, "text": record["text"].upper()}


def test_a_class_of_the_program_itself_is_found_and_none_is_imported(tmp_path, monkeypatch):
    assert find_class("Shout", __name__) is Shout
    (tmp_path / "surprise.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="import surprise in the program"):
        find_class("Shout", "surprise")


def test_a_plugin_is_found_and_takes_no_name_that_is_built_in(monkeypatch, caplog):
    points = [
        SimpleNamespace(name="Shout", value="mine:Shout", load=lambda: Shout),
        SimpleNamespace(name="RuleFilter", value="mine:Rules", load=lambda: Shout),
        SimpleNamespace(name="Broken", value="mine:Broken", load=lambda: 1 / 0),
    ]
    monkeypatch.setattr(components, "entry_points", lambda group: points)
    assert [one.name for one in list_components(source="plugin")] == ["Shout"]
    assert "Broken belongs to the plugin 'mine:Broken'" in caplog.text
    assert find_class("Shout", "distilabel.steps") is Shout
    assert find_class("RuleFilter") is RuleFilter
    with pytest.raises(ConfigError, match="cannot be imported: division by zero"):
        find_class("Broken")


def test_layers_merge_mappings_and_replace_the_rest(tmp_path):
    base, env, run, params = (tmp_path / f"{name}.yaml" for name in "abcd")
    base.write_text("run: {run_id: a, load_groups: [[x], [y]]}\nparameters: {s: {p: 1, q: 1}}\n")
    env.write_text("run: {load_groups: [[z]]}\nparameters: {s: {q: 2}}\n")
    run.write_text('{"run": {"run_id": "c"}}')
    params.write_text("s: {r: 3, q: 3}\n")
    read = read_layers((base, env, run), params, ["s.r=4", "t.u.v=x"])
    assert read["run"] == {"run_id": "c", "load_groups": [["z"]]}
    assert read["parameters"] == {"s": {"p": 1, "q": 3, "r": "4"}, "t": {"u": {"v": "x"}}}


def test_faults_of_all_layers_come_at_once(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError) as raised:
        read_layers(("https://a.b/c.yaml", broken, tmp_path / "none.yaml"), None, ["x=1"])
    faults = raised.value.faults
    assert len(faults) == 4
    assert "is a URL; only local files are read" in faults[0]
    assert faults[3] == PARAM_MESSAGE


@pytest.mark.parametrize("given", ["a=1", "a.b", "=1", ".b=1", "a..b=1", "a.=1"])
def test_a_parameter_names_step_and_setting(given):
    with pytest.raises(ConfigError, match="Runtime parameters must be in the format"):
        read_parameters([given])


def test_parameters_take_the_type_of_their_setting():
    told = chain(
        step("load", "LoadDataFromDicts", data=[{"a": 1}]),
        step("rules", "RuleFilter"),
        step("report", "WriteQualityReport"),
    )
    given = ["rules.min_chars=7", "rules.max_chars=None", "rules.text_field=12",
             "report.run_id=2026", "report.stage=null"]  # fmt: skip
    made = build_pipeline(told, read_parameters(given)).steps
    assert (made[1].min_chars, made[1].max_chars, made[1].text_field) == (7, None, "12")
    assert (made[2].run_id, made[2].stage) == ("2026", "null")


def test_all_faults_of_a_pipeline_come_at_once():
    told = chain(
        step("load", "LoadDataFromDicts"),
        step("rules", "RuleFilter", min_chars="3", max_char=9),
        step("evolve", "EvolInstruct"),
        step("other", "RuleFiltr"),
        step("ask", "TextGeneration", llm={"type_info": {"name": "OpenAILLM"}, "modle": "x"}),
        step("report", "WriteManifest", output_dir=""),
    )
    told["pipeline"]["connections"].append({"from": "nowhere", "to": "rules"})
    told["pipeline"]["step"] = []
    found = "\n".join(faults_of(told, parameters={"rulez": {}}))
    for words in (
        "pipeline has the key 'step'; the nearest known key is 'steps'",
        "parameters names 'rulez', which is no step; the nearest known step is 'rules'",
        "step 'load': LoadDataFromDicts needs 'data'",
        "step 'rules': min_chars is '3'; allowed is a whole number",
        "step 'rules': RuleFilter has no setting 'max_char'; the nearest known key is 'max_chars'",
        "step 'evolve': EvolInstruct is not offered",
        "step 'other': there is no class RuleFiltr; the nearest is RuleFilter",
        "OpenAILLM has no setting 'modle'; the nearest known key is 'model'",
        "WriteManifest requires output_dir to be set.",
        "connections names 'nowhere', which is no step",
    ):
        assert words in found, found


def test_a_file_of_distilabel_is_read_dumped_and_read_again():
    told = chain(
        step("load", "LoadDataFromDicts", data=[{"instruction": "a"}], batch_size=3),
        step("ask", "TextGeneration", input_batch_size=8, use_cache=True,
             runtime_parameters_info=[{"name": "llm"}], group_generations=False,
             llm={"model": "m", "base_url": "http://127.0.0.1:1/v1", "api_key": "${THE_KEY}",
                  "generation_kwargs": {"temperature": 0.2, "max_new_tokens": 9},
                  "type_info": {"module": "distilabel.models", "name": "OpenAILLM"}}),
        step("rules", "RuleFilter", module="fastdistill.steps.y", min_chars=3),
        requirements=["a>=1"],
    )  # fmt: skip
    pipeline = Pipeline.from_dict(told)
    dumped = pipeline.dump()
    assert Pipeline.from_dict(json.loads(json.dumps(dumped))).dump() == dumped
    steps = {one["name"]: one["step"] for one in dumped["pipeline"]["steps"]}
    assert steps["ask"]["llm"]["api_key"] == "${THE_KEY}"
    assert steps["ask"]["llm"]["generation_kwargs"]["max_new_tokens"] == 9
    assert steps["rules"]["min_chars"] == 3
    assert dumped["requirements"] == ["a>=1"]


def test_variables_are_read_and_written_as_their_names(monkeypatch):
    monkeypatch.setenv("SHOP_DB", "/data/shop.db")
    monkeypatch.delenv("NOT_SET", raising=False)
    load = step("load", "LoadDataFromDicts", data=[{"a": "${SHOP_DB}"}])
    told = chain(load, step("run", "SQLiteExecEval", db_path="${SHOP_DB}"))
    pipeline = Pipeline.from_dict(told)
    assert pipeline.steps["run"].db_path == "/data/shop.db"
    assert pipeline.steps["load"].data == [{"a": "${SHOP_DB}"}]
    dumped = json.dumps(pipeline.dump())
    assert dumped.count("${SHOP_DB}") == 2
    assert "/data/shop.db" not in dumped
    again = chain(load, step("run", "SQLiteExecEval", db_path="${NOT_SET}/x"))
    assert faults_of(again) == [
        "step 'run'.db_path is '${NOT_SET}/x'; the variable NOT_SET is not set"
    ]


def test_no_dump_and_no_file_holds_a_key(tmp_path):
    url = f"http://me:{KEY}@127.0.0.1:1/v1"
    told = chain(
        step("load", "LoadDataFromDicts", data=[{"text": "a"}]),
        step("rules", "RuleFilter", text_field="text"),
    )
    models = [
        step("ask", "TextGeneration", llm={"type_info": {"name": "OpenAILLM"}, "model": "m", **one})
        for one in ({"base_url": "http://127.0.0.1:1/v1", "api_key": KEY}, {"base_url": url})
    ]
    for model in models:
        asked = chain(told["pipeline"]["steps"][0], model)
        assert KEY not in json.dumps(Pipeline.from_dict(asked).dump())
        assert KEY not in yaml.safe_dump(Pipeline.from_dict(asked).dump())


def test_a_gateway_is_given_to_models_that_have_none():
    llm = {"type_info": {"name": "OpenAILLM"}, "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    told = chain(
        step("load", "LoadDataFromDicts", data=[{"instruction": "a"}]),
        step("ask", "TextGeneration", llm=llm),
        step("own", "TextGeneration", llm={**llm, "gateway": {"qps": 1}}),
    )
    made = build_pipeline(told, None, {"rate_limits": {"qps": 20, "tpm": 5}}).steps
    assert (made[1].model.limits.qps, made[1].model.limits.tpm) == (20, 5)
    assert (made[2].model.limits.qps, made[2].model.limits.tpm) == (1, None)


@pytest.fixture
def no_variables(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("FASTDISTILL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_the_command_line_goes_before_the_environment_and_this_before_files(no_variables):
    written = {"run": {"run_id": "file", "artifacts_dir": "file", "pilot": 3}}
    no_variables.setenv("FASTDISTILL_RUN_ID", "variable")
    no_variables.setenv("FASTDISTILL_ARTIFACTS_DIR", "variable")
    read = read_run_config(written, {"run_id": "option", "artifacts_dir": None}).settings
    assert (read.run_id, read.artifacts_dir, read.pilot) == ("option", "variable", 3)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("sequential_step_execution", "sequential_step_execution"),
        ("a,b;c", [["a", "b"], ["c"]]),
        ('[["a"], ["b", "c"]]', [["a"], ["b", "c"]]),
        ("none", None),
    ],
)
def test_load_groups_of_the_environment(no_variables, text, groups):
    no_variables.setenv("FASTDISTILL_LOAD_GROUPS", text)
    assert read_run_config({}).settings.load_groups == groups


def test_the_gate_has_defaults_and_zero_is_zero(no_variables):
    gate = read_run_config({}).gate
    assert (gate.gate, gate.stage, gate.explicit) == (TEACHER_GATE, "teacher_eval", False)
    for name in ("MIN_TOTAL", "MIN_EXEC_PASS_RATE", "MIN_GOLD_MATCH_RATE", "MIN_JUDGE_MEAN"):
        no_variables.setenv(f"FASTDISTILL_TEACHER_EVAL_{name}", "0")
    no_variables.setenv("FASTDISTILL_TEACHER_EVAL_STAGE", "pilot")
    gate = read_run_config({}).gate
    assert (gate.gate, gate.stage) == (QualityGate(0, 0.0, 0.0, 0.0), "pilot")
    no_variables.setenv("FASTDISTILL_TEACHER_EVAL_GATE", "0")
    assert read_run_config({}).gate is None


def test_a_gate_in_a_file_is_asked_for(no_variables):
    gate = read_run_config({"quality_gates": {"stage": "s", "min_total": 3}}).gate
    assert (gate.stage, gate.gate.min_total, gate.explicit) == ("s", 3, True)
    assert read_run_config({"quality_gates": {"min_gold_match_rate": None}}).gate.gate == (
        QualityGate(50, 0.5, None, 0.4)
    )
    assert read_run_config({"quality_gates": {"enabled": False}}).gate is None


def test_faults_of_sections_and_variables_come_at_once(no_variables):
    no_variables.setenv("FASTDISTILL_DATASET_BATCH_SIZE", "many")
    no_variables.setenv("FASTDISTILL_TEACHER_EVAL_MIN_TOTAL", "nan")
    no_variables.setenv("FASTDISTILL_TEACHER_EVAL_GATE", "maybe")
    with pytest.raises(ConfigError) as raised:
        read_run_config(
            {"runn": {}, "run": {"pilott": 1, "engine": "x"}, "quality_gates": {"m": 1}}
        )
    found = "\n".join(raised.value.faults)
    for words in (
        "there is no section 'runn'; the nearest known section is 'run'",
        "has no setting 'pilott'; the nearest known key is 'pilot'",
        "run: engine is 'x'; allowed is 'local', 'ray'",
        "FASTDISTILL_DATASET_BATCH_SIZE is 'many'; allowed is a whole number of 0 or more",
        "FASTDISTILL_TEACHER_EVAL_MIN_TOTAL is 'nan'",
        "FASTDISTILL_TEACHER_EVAL_GATE is 'maybe'; allowed is 1 or 0",
        "quality_gates has the key 'm'",
    ):
        assert words in found, found


def test_settings_of_distilabel_without_effect_are_named(caplog):
    llm = {"type_info": {"name": "vLLM"}, "model": "m", "dtype": "auto", "quantization": None}
    told = chain(
        step("load", "LoadDataFromDicts", data=[{"instruction": "a"}]),
        step("ask", "TextGeneration", llm=llm, jobs_ids=None),
    )
    assert len(build_pipeline(told).steps) == 2
    assert caplog.messages == ["step 'ask': llm: dtype has no effect here"]
