"""Encoders that learn to label: a fitted head, soft targets from the records, saving."""

import kd_models
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from stillroom.distillation.batches.classifier_data import PROBABILITIES, classified_examples
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.students.label_heads import fitted_classifier
from stillroom.errors import ConfigError, DataError
from stillroom.inference.checkpoints.label_encoder import SCALE, classifier_on, mean_pooled
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.inference.scoring.linear_head import fit_head
from transformers import BertConfig, BertModel

NAMES = ("plain", "poor", "rich")
TEXTS = [
    {"text": f"the {metal} {thing} is here", "label": label}
    for metal, label in (("gold", "rich"), ("tin", "poor"), ("iron", "plain"))
    for thing in ("ring", "cup", "box", "lamp")
]
TOKENIZER = kd_models.tokenizer([record["text"] for record in TEXTS])


def encoder(seed=0):
    torch.manual_seed(seed)
    return BertModel(
        BertConfig(vocab_size=len(TOKENIZER), hidden_size=32, intermediate_size=64,
                   num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
                   hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0)
    ).eval()  # fmt: skip


def settings(student="-", **given):
    defaults = {"batch_size": 12, "max_steps": 3, "learning_rate": 5e-3, "max_length": 64,
                "dtype": "float32", "device": "cpu", "progress": False,
                "task": "classification"}  # fmt: skip
    return DistillationConfig("-", str(student), **(defaults | given))


def probabilities(model, text):
    ids = TOKENIZER(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(input_ids=ids).logits.softmax(-1)[0].tolist()


def test_the_mean_leaves_padding_out():
    hidden = torch.randn(2, 4, 8)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    expected = torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)])
    expected /= expected.norm(dim=-1, keepdim=True)
    assert torch.allclose(mean_pooled(hidden, mask), expected, atol=1e-6)


def test_a_fitted_head_minimises_the_regularised_cross_entropy():
    """SciPy's BFGS, with numerical gradients, finds the same probabilities."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    targets = softmax(3 * vectors @ rng.normal(size=(3, 3)), axis=1)

    def logits(flat):
        return vectors @ flat[:9].reshape(3, 3).T + flat[9:]

    def loss(flat):
        fit = -(targets * log_softmax(logits(flat), axis=1)).sum()
        return (10.0 * fit + (flat[:9] ** 2).sum() / 2) / 400.0

    head = fit_head(torch.tensor(vectors), torch.tensor(targets).float(), strengths=(10.0,))
    ours = head.probabilities(torch.tensor(vectors)).numpy()
    theirs = softmax(logits(minimize(loss, np.zeros(12)).x), axis=1)
    assert np.abs(ours - theirs).max() < 2e-3


def test_the_strength_is_chosen_by_what_was_left_out():
    """Random labels need the strongest regularisation, separable ones a weaker one."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(60, 8, generator=generator), dim=-1)
    noise = torch.eye(2)[torch.randint(0, 2, (60,), generator=generator)]
    clear = torch.eye(2)[(vectors[:, 0] > 0).long()]
    assert fit_head(vectors, noise).strength == 1.0
    assert fit_head(vectors, clear).strength > 1.0


def test_soft_targets_are_fitted_in_their_shares():
    vectors = torch.nn.functional.normalize(torch.ones(12, 4), dim=-1)
    targets = torch.tensor([[0.7, 0.3]]).repeat(12, 1)
    found = fit_head(vectors, targets, strengths=(100.0,)).probabilities(vectors)
    assert torch.allclose(found, targets, atol=2e-3)


def test_an_encoder_becomes_a_classifier_that_is_saved_and_loaded(tmp_path):
    folder = save_checkpoint(tmp_path / "encoder", encoder(), TOKENIZER, {})
    distiller = ModelDistiller(settings(folder, alpha=0.0, max_steps=30))
    distiller.distill(TEXTS)
    saved = distiller.save_distilled_model(tmp_path / "student")
    again = load_checkpoint(saved, kinds=("classifier",))
    assert list(again.model.config.id2label.values()) == list(NAMES)
    for record in TEXTS:
        row = probabilities(again.model, record["text"])
        assert NAMES[int(np.argmax(row))] == record["label"]
        assert row == pytest.approx(probabilities(distiller.student_model, record["text"]))
    assert verify_checkpoint(saved)["config"]["task"] == "classification"


def test_soft_targets_of_the_records_are_learned():
    """The cross-entropy is least at the teacher's shares, so the student ends there."""
    shares = {"gold": (0.1, 0.2, 0.7), "tin": (0.2, 0.6, 0.2), "iron": (0.5, 0.3, 0.2)}
    records = [
        {"text": record["text"],
         "probabilities": dict(zip(NAMES, shares[record["text"].split()[1]], strict=True))}
        for record in TEXTS
    ]  # fmt: skip
    distiller = ModelDistiller(settings(alpha=1.0, temperature=1.0, max_steps=120))
    distiller.student_model, distiller.tokenizer = encoder(), TOKENIZER
    distiller.distill(records)
    for record in TEXTS:
        expected = shares[record["text"].split()[1]]
        found = probabilities(distiller.student_model, record["text"])
        assert found == pytest.approx(expected, abs=0.03)


def test_a_label_without_probabilities_is_certain():
    mixed = [
        {"text": "a", "probabilities": {"x": 0.5, "y": 0.5}},
        {"text": "b", "label": "y"},
        {"text": "c"},
    ]
    model = fitted_classifier(encoder(), TOKENIZER, classified_examples(mixed), ["x", "y"])
    start = classifier_on(encoder(), ["x", "y"])
    assert not torch.equal(model.classifier.weight, start.classifier.weight)
    distiller = ModelDistiller(settings(alpha=1.0))
    distiller.student_model, distiller.tokenizer = encoder(), TOKENIZER
    with pytest.raises(DataError, match="neither label nor probabilities"):
        distiller.distill(mixed)


@pytest.mark.parametrize(
    "given",
    [{"rich": 0.4}, {"rich": 1.4, "poor": -0.4}, {"rich": "all"}, ["rich"], {}],
)
def test_probabilities_that_are_none_are_refused(given):
    with pytest.raises(DataError, match="add up to 1"):
        classified_examples([{"text": "the gold ring", PROBABILITIES: given}])


def test_a_head_needs_two_labels():
    with pytest.raises(ConfigError, match="two or more"):
        classifier_on(encoder(), ["one"])


def test_the_head_reads_scaled_vectors():
    """The fitted weights are divided by the scale, so that logits are those of the fit."""
    model = fitted_classifier(encoder(), TOKENIZER, classified_examples(TEXTS), list(NAMES))
    ids = TOKENIZER(TEXTS[0]["text"], return_tensors="pt")
    vector = model.pooled(ids["input_ids"], torch.ones_like(ids["input_ids"]))
    weight, bias = SCALE * model.classifier.weight, model.classifier.bias
    with torch.no_grad():
        logits = model(input_ids=ids["input_ids"]).logits
        assert torch.allclose(logits, vector @ weight.T + bias, atol=1e-5)
