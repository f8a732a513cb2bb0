"""Classifiers answer like any other student: with a label and its log-probability."""

import asyncio
import math
from contextlib import closing

import kd_models
import pytest
import torch
from stillroom.agentic_workflow.distilled_agent import DistilledModelAgent
from stillroom.distillation.batches.classifier_data import classified_examples
from stillroom.distillation.students.label_heads import fitted_classifier
from stillroom.errors import ConfigError, GenerationError
from stillroom.evaluation.calibrate_student import calibrate_student
from stillroom.evaluation.evaluate_models import evaluate_models
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.inference.engine.protocol import GenerationRequest
from stillroom.inference.engine.transformers_engine import serve_checkpoint
from stillroom.inference.generate import generate_texts
from stillroom.inference.scoring.choices import score_completions
from stillroom.inference.scoring.confidence import ConfidenceMap
from stillroom.inference.scoring.label_scoring import label_probabilities
from stillroom.prompts import render
from stillroom.records import Example
from transformers import BertConfig, BertModel

KINDS = {"gold": "rich", "tin": "poor", "iron": "plain"}
THINGS = ("ring", "cup", "box", "lamp", "bowl", "coin", "key", "pin", "nail", "plate")
PROMPTS = {
    render("s2-qa", f"What is the {metal} {thing}?"): label
    for metal, label in KINDS.items()
    for thing in THINGS
}
LABELS = ["plain", "poor", "rich"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A labelling student whose answers are all right."""
    tokenizer = kd_models.tokenizer(list(PROMPTS))
    torch.manual_seed(0)
    encoder = BertModel(
        BertConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64,
                   num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=64,
                   pad_token_id=0)
    ).eval()  # fmt: skip
    records = [{"text": prompt, "label": label} for prompt, label in PROMPTS.items()]
    model = fitted_classifier(encoder, tokenizer, classified_examples(records), LABELS)
    place = tmp_path_factory.mktemp("students") / "labels"
    return save_checkpoint(place, model, tokenizer, {"status": "complete"})


@pytest.fixture(scope="module")
def checkpoint(folder):
    return load_checkpoint(folder, kinds=("classifier",))


def test_answers_are_labels_in_batches_of_any_size(checkpoint):
    """Padding changes nothing: together and alone the log-probabilities are the model's own."""
    together = generate_texts(checkpoint, list(PROMPTS), batch_size=7)
    assert [answer.text for answer in together] == list(PROMPTS.values())
    for prompt, answer in list(zip(PROMPTS, together, strict=True))[::11]:
        assert (answer.finish_reason, len(answer.token_ids)) == ("stop", 1)
        ids = checkpoint.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = checkpoint.model(input_ids=ids).logits.log_softmax(-1).max()
        assert answer.logprobs[0] == pytest.approx(float(expected), abs=1e-4)


def test_a_chat_model_tells_the_label_and_the_others(folder):
    prompt, label = next(iter(PROMPTS.items()))
    student = ChatStudent(model=str(folder), top_logprobs=3)
    message = student.invoke(prompt)
    told = message.response_metadata
    assert (message.text, told["finish_reason"]) == (label, "stop")
    assert set(told["top_logprobs"][0]) == set(LABELS)
    assert sum(map(math.exp, told["top_logprobs"][0].values())) == pytest.approx(1.0, abs=1e-4)
    assert asyncio.run(student.ainvoke(prompt)).text == label
    assert "".join(chunk.text for chunk in student.stream(prompt)) == label
    assert student.profile["tool_calling"] is False


def test_an_agent_answers_with_it(folder):
    agent = DistilledModelAgent(folder, temperature=0.0)
    assert agent.answer_question("What is the tin cup?") == "poor"


def test_objects_and_tools_are_refused_in_words(folder):
    student = ChatStudent(model=str(folder))
    schema = {"title": "A", "type": "object", "properties": {"a": {"type": "string"}}}
    with pytest.raises(ConfigError, match="one of 3 labels"):
        student.with_structured_output(schema).invoke("the gold ring")


def test_its_confidence_is_calibrated_beside_it(folder):
    """Every second target is wrong, so half of the answers are right and it must say so."""
    examples = [
        Example(str(n), prompt, label if n % 2 else "another", fact=str(n))
        for n, (prompt, label) in enumerate(PROMPTS.items())
    ]
    fitted = calibrate_student(folder, examples)
    found = ConfidenceMap.read(folder)
    assert found == fitted
    assert fitted.fitted_on == len(PROMPTS)
    message = ChatStudent(model=str(folder), top_logprobs=2).invoke(examples[1].prompt)
    assert 0.0 <= found.probability(message) <= 1.0
    mean = sum(
        found.probability(m)
        for m in ChatStudent(model=str(folder), top_logprobs=2).batch(list(PROMPTS))
    ) / len(PROMPTS)
    assert mean == pytest.approx(0.5, abs=0.1)


def test_it_is_evaluated_beside_any_model(folder, checkpoint):
    held_out = [Example(str(n), p, label) for n, (p, label) in enumerate(PROMPTS.items())]
    scores = evaluate_models(
        checkpoint, folder, held_out, progress=False, memory=False, speed_rounds=1
    )
    assert scores["student"].exact_match == scores["student"].agreement == 1.0
    shares = [
        label_probabilities(checkpoint, p, LABELS)[LABELS.index(label)]
        for p, label in PROMPTS.items()
    ]
    expected = math.exp(-sum(map(math.log, shares)) / len(shares))
    assert scores["student"].perplexity == pytest.approx(expected, rel=1e-4)
    assert scores["student"].tokens_per_second > 0


def test_some_labels_are_compared_among_themselves(checkpoint):
    prompt = next(iter(PROMPTS))
    every = label_probabilities(checkpoint, prompt, LABELS)
    some = label_probabilities(checkpoint, prompt, LABELS[:2])
    assert [sum(every), sum(some)] == pytest.approx([1.0, 1.0])
    assert some[0] / some[1] == pytest.approx(every[0] / every[1], rel=1e-4)
    with pytest.raises(GenerationError, match="chooses among"):
        label_probabilities(checkpoint, prompt, ["plain", "golden"])
    assert score_completions(checkpoint, [prompt], ["golden"]) == [(math.inf, 1)]


def test_samples_follow_the_probabilities(checkpoint):
    """At a high temperature the labels come about equally often; the seed repeats them."""
    prompt = next(iter(PROMPTS))
    drawn = [a.text for a in generate_texts(checkpoint, [prompt] * 300, temperature=100.0)]
    assert {label: drawn.count(label) > 60 for label in LABELS} == dict.fromkeys(LABELS, True)
    assert drawn == [a.text for a in generate_texts(checkpoint, [prompt] * 300, temperature=100.0)]


def test_an_answer_is_one_token_whatever_is_asked_for(checkpoint):
    ids = checkpoint.tokenizer(next(iter(PROMPTS)))["input_ids"]
    with closing(serve_checkpoint(checkpoint)) as engine:
        asked = GenerationRequest(ids, max_tokens=50, ignore_end=True)
        assert len(engine.submit(asked).collect()) == 1
