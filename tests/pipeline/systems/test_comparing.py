"""Teacher and students side by side, asked and scored: exact texts, and what is refused."""

import pytest
import stillroom
from small_records import instructions
from stillroom.distillation.students.adapters import quiet_peft
from stillroom.errors import ConfigError, DataError, StillroomError
from stillroom.evaluation.held_out import HeldOutScores, describe_scores, score_held_out
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.inference.checkpoints.training_records import (
    attach_training_records,
    training_records_of,
)
from stillroom.inference.scoring.choices import score_completions
from stillroom.pipeline.systems.run import hold_out, question_of

RULE = "=" * 60


def test_the_comparison_is_printed_as_it_was(starter, capsys, tmp_path):
    long = "Name 2 things. " + "x" * 300
    rows = stillroom.compare_models(
        ["Name 2 things.", long],
        starter,
        str(tmp_path / "nowhere"),
        None,
        max_tokens_teacher=6,
        return_rows=True,
        out=tmp_path / "rows.json",
    )
    told = capsys.readouterr().out
    said = [row["teacher"] for row in rows]
    assert told == (
        f"Model not found at {tmp_path / 'nowhere'}\n"
        f"\n{RULE}\n[Prompt 1] Name 2 things.\n{RULE}\n"
        f"Teacher (truncated): {said[0]}\nSystem 1 student: (skipped)\n"
        f"System 2 student: (skipped)\n\n"
        f"\n{RULE}\n[Prompt 2] {long[:200]}...\n{RULE}\n"
        f"Teacher (truncated): {said[1]}\nSystem 1 student: (skipped)\n"
        f"System 2 student: (skipped)\n\n"
    )
    assert read_json(tmp_path / "rows.json") == rows
    assert rows[0] == {
        "prompt": "Name 2 things.", "teacher": said[0], "system1": None, "system2": None
    }  # fmt: skip


def test_missing_models_are_told_in_the_words_of_the_interface(tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    assert stillroom.compare_models([], "./nowhere", str(broken), None) is None
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Teacher model not found at ./nowhere (skipping teacher)"
    assert second.startswith(f"Model not found at {broken} (")
    stillroom.compare_models(["Q"], None, str(broken), None)
    assert "System 1 student: (not loaded)" in capsys.readouterr().out
    with pytest.raises(StillroomError):
        stillroom.compare_models([], None, str(broken), None, strict=True)


def test_two_comparisons_say_the_same_and_long_texts_are_cut(starter, capsys, monkeypatch):
    loaded = stillroom.load_student(starter)
    models = {"sys1_model": loaded[0], "sys1_tokenizer": loaded[1]}
    outs = []
    for _ in range(2):
        stillroom.compare_models(["Name 9 things."], None, None, None, **models)
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]
    from stillroom.evaluation import compare_models as side_by_side

    monkeypatch.setattr(side_by_side, "infer_student", lambda *_, **__: "a" * 396 + " bcdefgh")
    stillroom.compare_models(["Q"], None, None, None, **models)
    assert f"System 1 student: {'a' * 396}...\n" in capsys.readouterr().out


def test_a_reply_that_names_the_assistant_is_whole(starter, monkeypatch):
    """The peer cuts at the last `Assistant:` of the decoded text."""
    from stillroom.inference.generate import Generation
    from stillroom.inference.system_pair import answers as system_answers

    asked = []

    def answer(_, prompts, **__):
        asked.extend(prompts)
        return [Generation(" User: hello\nAssistant: you too ", (1,), "stop", (0.0,))]

    monkeypatch.setattr(system_answers, "generate_texts", answer)
    model, tokenizer = stillroom.load_student(starter)
    said = stillroom.infer_student(model, tokenizer, "Quote.", input_text="it")
    assert said == "User: hello\nAssistant: you too"
    assert asked == ["User: Quote.\nInput: it\nAssistant:"]


def test_perplexity_is_of_the_targets_alone_and_the_input_is_used(starter):
    model, tokenizer = stillroom.load_teacher(starter)
    attach_training_records(model, None)  # its own records, for a model that nobody knows
    records = instructions(6)
    found = stillroom.evaluate_student(model, tokenizer, records, strict=True, max_new_tokens=16)
    checkpoint = load_checkpoint(starter)
    prompts = [stillroom.format_prompt(r["instruction"], r["input"]) for r in records]
    sums = score_completions(checkpoint, prompts, [r["output"] for r in records])
    from math import exp

    mean = sum(loss for loss, _ in sums) / sum(count for _, count in sums)
    assert found["perplexity"] == round(exp(mean), 2)
    blind = [{**record, "input": ""} for record in records]
    other = stillroom.evaluate_student(model, tokenizer, blind, strict=True, max_new_tokens=16)
    assert other["perplexity"] > found["perplexity"]
    assert found["bleu"] > other["bleu"]


def test_records_that_were_trained_on_are_refused_even_with_other_answers(starter):
    model, tokenizer = stillroom.load_student(starter)
    known = training_records_of(model)
    assert known.prompt_format == "system1"
    fresh = {"instruction": "Never seen", "input": "", "output": "x"}
    mixed = [fresh, {**instructions(1)[0], "output": "another answer"}]
    assert "1 of 2 records" in stillroom.evaluate_student(model, tokenizer, mixed)["error"]
    with pytest.raises(DataError, match="1 of 2 records"):
        stillroom.evaluate_student(model, tokenizer, mixed, strict=True)
    assert "error" not in stillroom.evaluate_student(model, tokenizer, [fresh], max_new_tokens=2)


@pytest.mark.parametrize(
    ("items", "message"),
    [([], "no held-out records"), ([{"instruction": "Q", "output": " "}], "column 'output'")],
)
def test_what_cannot_be_scored_is_told(starter, items, message):
    model, tokenizer = stillroom.load_student(starter)
    assert message in stillroom.evaluate_student(model, tokenizer, items)["error"]


def test_final_answers_count_in_system_2(starter):
    model, tokenizer = stillroom.load_student(starter)
    attach_training_records(model, None)
    records = [{"instruction": "Q", "input": "", "output": "steps\n#### 3"}]
    scores = score_held_out(model, tokenizer, records, mode="system2", max_new_tokens=4)
    assert (scores.count, scores.mode) == (1, "system2")
    assert scores.right in (0, 1)


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (0, "mostly wrong"),
        (20, "about as often right as wrong"),
        (36, "most of them"),
        (40, "all of these"),
    ],
)
def test_the_words_follow_from_the_numbers(right, words):
    scores = HeldOutScores(3.0, 0.1, 0.2, right, 40, 40, "system1", ("a",) * 40)
    records = [{"instruction": "Q", "input": "I", "output": "a"}] * 40
    lines = describe_scores("student", scores, records)
    assert f"student: {right} of 40 held-out answers right" in lines[0]
    assert any(words in line for line in lines[1:])
    assert "  right: Q | I -> a" in lines


def test_held_out_questions_are_never_trained_on():
    records = [*instructions(), {**instructions(1)[0], "output": "second answer"}]
    train, kept = hold_out(records, 100)
    assert len(kept) == 4, "a fifth at most"
    assert {question_of(r) for r in train}.isdisjoint(question_of(r) for r in kept)
    backwards = hold_out(records[::-1], 100)[1]
    assert [question_of(r) for r in backwards] == [question_of(r) for r in kept]
    assert len(train) + len(kept) in (len(records), len(records) - 1)
    for wrong in (0, -1):
        with pytest.raises(ConfigError):
            hold_out(records, wrong)


def test_the_newest_checkpoint_below_a_folder_is_taken(starter, tmp_path):
    import shutil

    for name in ("checkpoint-9", "checkpoint-10", "other"):
        shutil.copytree(starter, tmp_path / name)
    (tmp_path / "checkpoint-11").mkdir()
    assert stillroom.find_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-10")
    model, tokenizer = stillroom.load_student(str(tmp_path))
    assert tokenizer.pad_token is not None
    assert "checkpoint-10" in model.name_or_path
    assert stillroom.find_checkpoint(str(tmp_path / "checkpoint-11")) is None
    assert stillroom.find_checkpoint("./nowhere") is None


def test_an_adapter_loads_with_its_base(starter, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model

    base = load_checkpoint(starter).model
    torch.manual_seed(0)
    settings = LoraConfig(
        r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    with quiet_peft():
        wrapped = get_peft_model(base, settings)
    wrapped.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        wanted = wrapped.eval()(ids).logits
        model, _ = stillroom.load_student(str(tmp_path / "adapter"))
        found = model(ids).logits
    assert torch.allclose(found, wanted, atol=1e-5)
    plain = load_checkpoint(starter).model
    with torch.no_grad():
        assert not torch.allclose(found, plain(ids).logits, atol=1e-3)


def test_a_teacher_is_not_put_on_a_tpu(starter):
    with pytest.raises(ConfigError, match="TPU"):
        stillroom.load_teacher(starter, use_tpu=True)
    with pytest.raises(ConfigError, match="bits is 3"):
        stillroom.load_teacher(starter, bits=3)
