from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from stillroom.errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    EmptyDataError,
    GenerationError,
)
from stillroom.evaluation.evaluate_models import evaluate_models
from stillroom.evaluation.footprint import measure_footprints, peak_memory_bytes
from stillroom.evaluation.held_out import score_held_out
from stillroom.evaluation.predictions import read_predictions
from stillroom.evaluation.scores import ModelScores
from stillroom.evaluation.speed import measure_speed
from stillroom.inference.generate import generate_texts
from stillroom.prompts import format_prompt
from stillroom.records import Example, sha256_text


@pytest.fixture(scope="module")
def answers_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(scope="module")
def results(trained, folder, untrained, held_out, answers_dir):
    return evaluate_models(
        trained,
        folder,
        held_out,
        controls={"student_untrained": untrained},
        max_new_tokens=40,
        progress=False,
        speed_rounds=1,
        memory=False,
        predictions_dir=answers_dir,
    )


def test_rows_are_named(results):
    assert list(results) == ["teacher", "student", "student_untrained"]


def test_quality_is_counted_by_hand(results, held_out):
    teacher = results["teacher"]
    assert teacher.count == len(held_out) == 10
    assert teacher.exact_match == pytest.approx(0.8)  # two targets were changed
    assert teacher.agreement == 1.0
    assert teacher.by_task["qa"].exact_match == pytest.approx(5 / 6)
    assert teacher.by_task["validate"].exact_match == pytest.approx(1 / 2)
    assert teacher.by_task["summarize"].exact_match == 1.0
    assert {task: part.count for task, part in teacher.by_task.items()} == {
        "qa": 6,
        "summarize": 2,
        "validate": 2,
    }


def test_each_answer_is_written_and_agrees_with_the_scores(results, held_out, answers_dir):
    assert {path.stem for path in answers_dir.iterdir()} == set(results)
    for name, model in results.items():
        made = read_predictions(answers_dir / f"{name}.jsonl")
        assert [one.sample_id for one in made] == [example.id for example in held_out]
        assert [one.gold for one in made] == [example.target for example in held_out]
        assert sum(one.right for one in made) == round(model.exact_match * model.count)
        assert sum(one.f1 for one in made) / len(made) == pytest.approx(model.token_f1)
        assert all(0 <= one.confidence <= 1 for one in made)
    sure, unsure = (
        [one.confidence for one in read_predictions(answers_dir / f"{name}.jsonl")]
        for name in ("teacher", "student_untrained")
    )
    assert min(sure) > max(unsure)


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "holds no answers"), ("{}\n[1]\n", "row 1.*is no prediction"), ("{", "not JSON Lines")],
)
def test_a_file_of_answers_that_is_none_is_refused(tmp_path, text, told):
    path = tmp_path / "student.jsonl"
    with pytest.raises(DataNotFoundError, match=r"student\.jsonl"):
        read_predictions(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read_predictions(path)


def test_examples_and_records_with_the_same_prompts_get_the_same_scores(trained):
    facts = {"What is gold?": "Au", "What is silver?": "Ag", "Which metal is red?": "copper"}
    records = [{"instruction": q, "input": "", "output": a} for q, a in facts.items()]
    examples = [Example(q, format_prompt(q, "", "system1"), a) for q, a in facts.items()]
    options = {"speed_prompts": [], "memory": False, "progress": False}
    scores = evaluate_models(trained, trained, examples, max_new_tokens=8, **options)["student"]
    others = score_held_out(trained.model, trained.tokenizer, records, max_new_tokens=8)
    assert others.perplexity == pytest.approx(scores.perplexity)
    assert (others.right, others.count) == (scores.exact_match * scores.count, scores.count)


def test_the_total_is_over_all_examples(results):
    for model in results.values():
        parts = model.by_task.values()
        for name in ("exact_match", "token_f1", "agreement"):
            mean = sum(getattr(part, name) * part.count for part in parts) / model.count
            assert getattr(model, name) == pytest.approx(mean)


def test_equal_models_score_alike(results):
    teacher, student = results["teacher"], results["student"]
    assert student.by_task.keys() == teacher.by_task.keys()
    assert student.exact_match == teacher.exact_match
    assert student.agreement == 1.0
    assert student.perplexity == pytest.approx(teacher.perplexity, rel=1e-4)


def test_an_untrained_model_is_no_good(results):
    untrained = results["student_untrained"]
    assert untrained.exact_match == 0
    assert untrained.agreement == 0
    assert untrained.perplexity > 50


def test_perplexity_is_over_targets_only(results, trained, held_out):
    """One pass per example over prompt and target, and the targets' tokens counted by hand."""
    total, count = 0.0, 0
    tokenizer = trained.tokenizer
    for example in held_out:
        joint = "\n\n" if example.prompt.startswith("Summarize") else " "
        before = tokenizer(example.prompt)["input_ids"]
        after = [*tokenizer(joint + example.target)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            logits = trained.model(input_ids=torch.tensor([before + after])).logits
        rows = logits.log_softmax(-1)[0, len(before) - 1 : -1]
        total -= sum(row[token].item() for row, token in zip(rows, after, strict=True))
        count += len(after)
    assert results["teacher"].perplexity == pytest.approx(math.exp(total / count), rel=1e-3)


def test_sizes_and_speed(results, trained, folder):
    student = results["student"]
    assert student.parameters == sum(p.numel() for p in trained.model.parameters())
    assert student.weights_bytes == 4 * student.parameters
    weights = (folder / "model.safetensors").stat().st_size
    assert weights < student.bytes_on_disk < sum(f.stat().st_size for f in folder.iterdir())
    assert results["teacher"].bytes_on_disk is None  # it has no folder
    assert all(model.tokens_per_second > 0 for model in results.values())
    assert student.batch_tokens_per_second is None


def test_scores_survive_json(results):
    for model in results.values():
        assert ModelScores.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    endless = replace(results["teacher"], perplexity=math.inf)
    text = json.dumps(endless.to_dict(), allow_nan=False)
    assert ModelScores.from_dict(json.loads(text)) == endless


@pytest.mark.parametrize("hashed", [False, True])
def test_examples_that_were_trained_on_are_refused(trained, held_out, hashed):
    known = {held_out[3].prompt, held_out[5].prompt, "another"}
    if hashed:
        known = {sha256_text(prompt) for prompt in known}
    with pytest.raises(DataError, match=r"2 of 10 held-out prompts were trained on.*'e3'"):
        evaluate_models(trained, trained, held_out, training_prompts=known)


def test_bad_input_is_refused_before_anything_is_loaded(held_out):
    with pytest.raises(EmptyDataError):
        evaluate_models("no/model", "no/model", [])
    with pytest.raises(DataError, match="'e0' has no target"):
        evaluate_models("no/model", "no/model", [replace(held_out[0], target=None)])
    with pytest.raises(ConfigError, match="'teacher'"):
        evaluate_models("no/model", "no/model", held_out, controls={"teacher": "x"})


def test_models_alternate_and_the_median_of_the_rounds_after_the_first_counts(trained, untrained):
    """The second model is slow in two rounds of three, but not in the warm-up before them."""
    order = []

    def note(name):
        if order[-1:] != [name]:
            order.append(name)
            if name == "b" and order.count("b") in (2, 3):
                time.sleep(0.5)

    models = {"a": trained, "b": untrained}
    hooks = [
        checkpoint.model.register_forward_hook(lambda *_, name=name: note(name))
        for name, checkpoint in models.items()
    ]
    try:
        rates = measure_speed(models, ["gold"], new_tokens=2, rounds=3)
    finally:
        for hook in hooks:
            hook.remove()
    assert order == ["a", "b"] * 4
    assert rates["b"] < 2 / 0.5 < rates["a"]  # two tokens in more than half a second


def test_speed_counts_all_tokens_whatever_the_model_says(trained):
    """The model would end after two tokens; the measurement goes on."""
    assert len(generate_texts(trained, ["gold"])[0].token_ids) < 40
    seen = []
    hook = trained.model.register_forward_hook(lambda *_: seen.append(1))
    try:
        measure_speed({"m": trained}, ["gold", "silver"], new_tokens=40, rounds=1, batch_size=2)
    finally:
        hook.remove()
    # A turn to warm up and a round, 40 steps each; the second prompt may come some steps later.
    assert 80 <= len(seen) < 160


def test_memory_is_that_of_a_fresh_process(folder):
    peak = measure_footprints({"m": folder})["m"]
    code = "from stillroom.evaluation.footprint import peak_memory_bytes as p; print(p())"
    bare = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert peak > int(bare.stdout) + folder.joinpath("model.safetensors").stat().st_size
    assert peak < 4 << 30
    assert peak_memory_bytes() > int(bare.stdout)


def test_a_process_that_fails_says_why(monkeypatch):
    def fail(command, **_):
        assert command[1] == "-m"
        raise subprocess.CalledProcessError(1, command, stderr="Traceback\nE: no config.json\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(GenerationError, match=r"memory of here failed: E: no config\.json$"):
        measure_footprints({"m": "here"})


def test_memory_is_measured_once_per_shape(folder, tmp_path, monkeypatch):
    twin, other = tmp_path / "twin", tmp_path / "other"
    for copy in (twin, other):
        copy.mkdir()
        for file in ("config.json", "model.safetensors"):
            (copy / file).write_bytes((folder / file).read_bytes())
    (other / "config.json").write_text("{}", encoding="utf-8")
    asked = []

    def run(command, **_):
        asked.append(command[-1])
        told = json.dumps({"peak_memory_bytes": len(asked)})
        return subprocess.CompletedProcess(command, 0, stdout=told)

    monkeypatch.setattr(subprocess, "run", run)
    peaks = measure_footprints({"one": folder, "two": twin, "three": other, "hub": "owner/name"})
    assert len(asked) == 3
    assert peaks["one"] == peaks["two"]
    assert len({peaks["one"], peaks["three"], peaks["hub"]}) == 3


def test_losses_of_some_examples_stand_for_their_task(trained, held_out, results):
    some = evaluate_models(
        None, trained, held_out, max_new_tokens=40, progress=False, speed_prompts=[],
        memory=False, most_scored=1,
    )["student"]  # fmt: skip
    assert some.exact_match == results["teacher"].exact_match, "all of them are asked"
    first = {e.task: e for e in reversed(held_out)}
    for task, example in first.items():
        alone = evaluate_models(
            None, trained, [example], max_new_tokens=40, progress=False, speed_prompts=[],
            memory=False,
        )["student"]  # fmt: skip
        assert some.by_task[task].perplexity == pytest.approx(alone.perplexity, rel=1e-4)
