"""EasyDistill jobs that end in a file of texts: one configuration per family, both generations."""

import json
from pathlib import Path

import pytest
from easydistill_runs import BLACK, api_job, run
from small_records import SECRET, instructions, teacher_server, write_json
from stillroom.cli import main
from stillroom.files import read_json, read_json_lines

TEXTS = {
    "instruction_expansion_api": "so <answer>one\ntwo</answer> <answer>x</answer>",
    "instruction_refinement_api": "<answer>Better.</answer>",
    "instruction_response_extraction_api": "<instruction>I</instruction><response>R</response>",
    "cot_generation_api": "<|begin_of_thought|>t<|end_of_thought|>",
    "cot_long2short_api": "short",
    "cot_short2long_api": "long",
    "cot_eval_api": "<score>1</score>",
    "instruct_eval_api": "<score>1</score>",
    "instruct_sample_api": "<answer>Math</answer>",
}


@pytest.mark.parametrize("job", TEXTS)
def test_a_job_of_texts_runs(job_folder, job, capsys):
    with teacher_server(lambda asked: TEXTS[job]) as (server, url):
        config = api_job(job, url)
        if "extraction" in job:
            config["dataset"]["input_path"] = "data/texts.json"
        config["dataset"] |= {"num_in_context_samples": 3, "num_output_samples": 4}
        assert run(job_folder, config) == 0, capsys.readouterr()
        assert server.keys == {f"Bearer {SECRET}"}
        assert {turns[0]["content"] for turns in server.asked} == {"SYSTEM"}
        asked = [turns[-1]["content"] for turns in server.asked]
    made = read_json("data/new.json")
    CHECKS[job](made, asked)
    written = [p.read_text("utf-8", "replace") for p in job_folder.rglob("*") if p.is_file()]
    assert not any(SECRET in text for text in written), "the key is in no file"


def check_expansion(made, asked):
    assert made == [{"instruction": "one\ntwo"}] * 4
    for text in asked:
        head, *shown, last = text.split("\n")
        assert (head, last) == ("PROMPT", "")
        assert len(shown) == 3


def check_refinement(made, asked):
    assert [r["instruction"] for r in made] == ["Better."] * 20
    assert [r["output"] for r in made] == [r["output"] for r in instructions()]
    assert "PROMPT\nName 1 things." in asked


def check_extraction(made, asked):
    assert made == [{"instruction": "I", "output": "R"}] * 3
    assert sorted(asked) == [f"PROMPT\ntext {n}" for n in range(3)]


def check_thought(made, asked):
    assert [r["instruction"] for r in made] == [r["instruction"] for r in instructions()]
    assert {r["output"] for r in made} == {"<|begin_of_thought|>t<|end_of_thought|>"}


def check_rewriting(verb, closing):
    def check(made, asked):
        assert [r["instruction"] for r in made] == [r["instruction"] for r in instructions()]
        assert (
            f"PROMPT {verb} the reasoning process for the problem below.\n\nProblem:\n"
            f"Name 2 things.\n\nAnswer:\ngold iron\n\n{closing}\n"
        ) in asked

    return check


def check_scores(metrics, yes_no):
    def check(made, asked):
        assert len(made) == 20
        assert len(asked) == 20 * (len(metrics) + 1)
        for record in made:
            assert {metric: record[metric] for metric in metrics} == dict.fromkeys(metrics, 1)
            assert record[yes_no] is True
            assert "error" not in record

    return check


def check_sample(made, asked):
    assert len(made) == 3, "floor(20 * .167)"
    assert {record["category"] for record in made} == {"Math"}


CHECKS = {
    "instruction_expansion_api": check_expansion,
    "instruction_refinement_api": check_refinement,
    "instruction_response_extraction_api": check_extraction,
    "cot_generation_api": check_thought,
    "cot_long2short_api": check_rewriting("Simplify", "Simplified Reasoning Process:"),
    "cot_short2long_api": check_rewriting("Extend", "Extended Reasoning Process:"),
    "cot_eval_api": check_scores(
        ["reasoning_verbosity", "cognitive_difficulty"], "logical_correctness"
    ),
    "instruct_eval_api": check_scores(
        ["informativeness", "helpfulness", "generalization"], "correctness"
    ),
    "instruct_sample_api": check_sample,
}


def test_a_batch_form_asks_the_model_in_this_process(job_folder, starter, capsys):
    config = api_job("cot_generation_batch", "")
    config["inference"] = {"prompt": "PROMPT", "max_new_tokens": 30, "temperature": 0.0}
    config["models"] = {"teacher": starter}
    code = run(job_folder, config)
    told = capsys.readouterr()
    if code == 0:
        made = read_json("data/new.json")
        assert {r["instruction"] for r in made} <= {r["instruction"] for r in instructions()}
    else:  # a tiny teacher may never end an answer to what it has not seen
        assert code == 1
        assert "have no usable answer" in told.err


def test_a_server_that_fails_ends_with_one_and_the_reason(job_folder, capsys):
    config = api_job("instruction_refinement_api", "http://127.0.0.1:9/v1", model="m")
    write_json(job_folder / "data/labelled.json", instructions(1))
    with teacher_server(lambda asked: "no tag") as (_, url):
        config["inference"] |= {"base_url": url}
        assert run(job_folder, config) == 1
    assert "1 of 1 records have no usable answer: 1 no_answer_tag" in capsys.readouterr().err
    assert not Path("data/new.json").exists()


def test_a_mark_that_is_not_there_is_null(job_folder):
    def reply(asked):
        return "<score>11</score>" if "wordy" in asked else "none"

    write_json(job_folder / "data/labelled.json", instructions(1))
    with teacher_server(reply) as (_, url):
        assert run(job_folder, api_job("cot_eval_api", url)) == 0
    (record,) = read_json("data/new.json")
    assert record["reasoning_verbosity"] is None
    assert record["logical_correctness"] is None
    assert record["error"] == "processing_failed"


def test_pairs_for_a_reward_model_are_made_and_its_training_refused(job_folder, capsys):
    with teacher_server(lambda asked: "same") as (server, url):
        server.reply = lambda asked: f"{asked} {len(server.asked)}"
        config = api_job("rl_reward_api", url)
        config["dataset"] = BLACK
        config["inference"] |= {"positive_system_prompt": "GOOD", "negative_system_prompt": "BAD"}
        assert run(job_folder, config) == 2
        assert {turns[0]["content"] for turns in server.asked} == {"GOOD", "BAD"}
    assert "needs a reward-model trainer" in capsys.readouterr().err
    assert set(read_json("data/made.json")[0]) == {"prompt", "chosen", "rejected"}


def test_paths_are_found_beside_the_configuration(job_folder, monkeypatch):
    other = job_folder / "else where"
    other.mkdir()
    write_json(job_folder / "data/labelled.json", instructions(2))
    with teacher_server(lambda asked: "<answer>B</answer>") as (_, url):
        path = write_json(job_folder / "job.json", api_job("instruction_refinement_api", url))
        monkeypatch.chdir(other)
        assert main(["easydistill", "--config", path]) == 0
    assert len(read_json(other / "data/new.json")) == 2


SECOND = {
    "instruct_distill": ("fine", {"response": "fine"}),
    "instruction_refinement": ("<answer>B</answer>", {"instruction": "B"}),
    "cot_distill": ("steps", {"output": "steps"}),
    "instruct_eval": ("<score>1</score>", {"helpfulness": 1, "correctness": True}),
}


@pytest.mark.parametrize("job", SECOND)
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_jobs_of_the_second_generation_map_to_the_same_stages(job_folder, job, suffix, monkeypatch):
    said, wanted = SECOND[job]
    write_json(job_folder / "data/labelled.json", instructions(2))
    monkeypatch.setenv("WHERE", "data")
    with teacher_server(lambda asked: said) as (_, url):
        config = {
            "job_type": job,
            "backend": {"type": "openai", "base_url": url, "api_key": "$TEACHER_KEY"},
            "dataset": {"input_path": "${WHERE}/labelled.json", "output_path": "data/new.jsonl"},
            "generation": {"temperature": 0.0, "max_tokens": 20, "max_workers": 2},
            "train": {"kept": "for other tools"},
        }
        # JSON is YAML; what is told apart is the suffix.
        assert run(job_folder, config, f"job.{suffix}") == 0
    for record in read_json_lines("data/new.jsonl"):
        assert {key: record[key] for key in wanted} == wanted


def test_a_plain_key_is_told_off_and_never_shown(job_folder, capsys):
    with teacher_server(lambda asked: "<answer>B</answer>") as (server, url):
        config = api_job("instruction_refinement_api", url, api_key=SECRET)
        assert run(job_folder, config) == 0
        assert server.keys == {f"Bearer {SECRET}"}
    told = capsys.readouterr()
    assert "api_key_env" in told.out
    assert SECRET not in told.out + told.err
    written = [p for p in job_folder.rglob("*") if p.is_file() and p.name != "job.json"]
    assert not any(SECRET in p.read_text("utf-8", "replace") for p in written)
    assert json.loads((job_folder / "job.json").read_text())["inference"]["api_key"] == SECRET
