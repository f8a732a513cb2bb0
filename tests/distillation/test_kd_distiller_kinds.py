"""The facade with classifiers, encoder-decoders, layer losses and schedules: settings in, student
out."""

import copy
import json
import shutil

import kd_families
import kd_models
import pytest
import torch
from stillroom.distillation.batches.classifier_data import classified_examples
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.errors import CheckpointError, ConfigError, DataError
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.records import Example
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

TEXTS = [
    {"text": f"the {metal} {thing} is here", "label": label}
    for metal, label in (("gold", "rich"), ("tin", "poor"), ("iron", "plain"))
    for thing in ("ring", "cup", "box", "lamp")
]
PAIRS = [
    {"question": f"Symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
]
TOKENIZER = kd_models.tokenizer([record["text"] for record in TEXTS] + ["Au Ag Fe Sn Symbol of"])
V = len(TOKENIZER)
NAMES = {"plain": 0, "poor": 1, "rich": 2}


def bert(seed=0, *, width=32, layers=2, labels=NAMES):
    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(vocab_size=V, hidden_size=width, intermediate_size=64, num_hidden_layers=layers,
                   num_attention_heads=2, max_position_embeddings=64, hidden_dropout_prob=0.0,
                   attention_probs_dropout_prob=0.0, label2id=labels,
                   id2label={number: name for name, number in labels.items()}, pad_token_id=0)
    )  # fmt: skip


def t5(seed=0):
    torch.manual_seed(seed)
    return T5ForConditionalGeneration(
        T5Config(vocab_size=V, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2,
                 dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0,
                 eos_token_id=TOKENIZER.eos_token_id)
    )  # fmt: skip


def settings(teacher="-", student="every_second_layer", **given):
    defaults = {
        "batch_size": 12,
        "max_steps": 3,
        "learning_rate": 5e-3,
        "max_length": 64,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    return DistillationConfig(str(teacher), str(student), **(defaults | given))


def accuracy(model):
    hits = 0
    for record in TEXTS:
        ids = TOKENIZER(record["text"], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hits += int(model(input_ids=ids).logits.argmax()) == NAMES[record["label"]]
    return hits / len(TEXTS)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A classifier that knows the texts, as a checkpoint folder."""
    distiller = ModelDistiller(settings(alpha=0.0, task="classification", max_steps=60))
    distiller.student_model, distiller.tokenizer = bert(), TOKENIZER
    distiller.distill(TEXTS)
    folder = distiller.save_distilled_model(tmp_path_factory.mktemp("models") / "teacher")
    assert accuracy(distiller.student_model) == 1.0
    return folder


@pytest.mark.parametrize("unlabelled", [False, True])
def test_a_classifier_teaches_another(taught, tmp_path, unlabelled):
    """DistilBERT from BERT, also from the teacher alone: no record has a label then."""
    student = kd_families.distilbert(3, width=16)
    student.resize_token_embeddings(V)
    student.config.label2id = NAMES
    student.config.id2label = {number: name for name, number in NAMES.items()}
    folder = save_checkpoint(tmp_path / "start", student, TOKENIZER, {})
    distiller = ModelDistiller(
        settings(
            taught,
            folder,
            task="classification",
            alpha=1.0 if unlabelled else 0.5,
            hidden_weight=0.1,
            hidden_measure="cosine",
            max_steps=120,
        )
    )
    records = [{"text": record["text"]} for record in TEXTS] if unlabelled else TEXTS
    summary = distiller.distill(records)
    assert summary.supervised_tokens == summary.examples == 12
    assert accuracy(distiller.student_model) == 1.0
    saved = distiller.save_distilled_model(tmp_path / "student")
    assert verify_checkpoint(saved)["config"]["task"] == "classification"
    loaded = load_checkpoint(saved, device="cpu", kinds=("classifier",)).model
    assert type(loaded).__name__ == "DistilBertForSequenceClassification"
    assert accuracy(loaded) == 1.0
    again = ModelDistiller(settings(task="classification"))
    again.load_distilled_model(saved)
    assert kd_models.same(kd_models.weights(again.student_model), kd_models.weights(loaded))


def test_settings_that_were_left_out_are_named_in_the_run(taught, tmp_path):
    folder = shutil.copytree(taught, tmp_path / "start")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"gradient_checkpointing": False, "_num_labels": 3}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    distiller = ModelDistiller(settings(taught, folder, task="classification", max_steps=1))
    distiller.distill(TEXTS)
    run = verify_checkpoint(distiller.save_distilled_model(tmp_path / "student"))
    assert run["left_out_settings"] == {"student": ["_num_labels", "gradient_checkpointing"]}
    plain = ModelDistiller(settings(taught, taught, task="classification", max_steps=1))
    plain.distill(TEXTS)
    assert "left_out_settings" not in verify_checkpoint(plain.save_distilled_model(tmp_path / "b"))


def decoder(kind, seed, **changes):
    """A decoder that classifies, with no padding token of its own."""
    torch.manual_seed(seed)
    names = {"id2label": {v: k for k, v in NAMES.items()}, "label2id": NAMES}
    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
                 "num_attention_heads": 2, "num_key_value_heads": 2}  # fmt: skip
    config = AutoConfig.for_model(kind, vocab_size=V, pad_token_id=None, **sizes, **names)
    config.update(changes)
    return AutoModelForSequenceClassification.from_config(config)


def without_padding():
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.pad_token = None
    return tokenizer


@pytest.mark.parametrize("teacher_pad", [None, 0, 5])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_decoders_without_a_padding_token_are_trained_and_score_in_batches(
    kind, teacher_pad, tmp_path
):
    """Texts of unlike length: a row read at its padding would be a coin toss."""
    texts = [{**r, "text": r["text"] + " is here" * (i % 3)} for i, r in enumerate(TEXTS)]
    taught = settings(task="classification", alpha=0.5, max_steps=4)
    distiller = ModelDistiller(taught)
    distiller.teacher_model = decoder(kind, 7, pad_token_id=teacher_pad)
    distiller.student_model, distiller.tokenizer = decoder(kind, 1), without_padding()
    distiller.distill(texts)
    saved = distiller.save_distilled_model(tmp_path / "student")
    loaded = load_checkpoint(saved, device="cpu", kinds=("classifier",))
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id is not None
    fed = loaded.tokenizer([r["text"] for r in texts], padding=True, return_tensors="pt")
    with torch.no_grad():
        together = loaded.model(input_ids=fed["input_ids"], attention_mask=fed["attention_mask"])
        for text, row in zip(texts, together.logits, strict=True):
            alone = loaded.tokenizer(text["text"], return_tensors="pt")["input_ids"]
            logits = loaded.model(input_ids=alone).logits[0]
            torch.testing.assert_close(row, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("student", ["every_second_layer", "from_scratch"])
def test_students_of_a_classifier_by_name(taught, student):
    sizes = {"student_layers": 1, "student_width": 16} if student == "from_scratch" else {}
    distiller = ModelDistiller(settings(taught, student, task="classification", **sizes))
    distiller.distill(TEXTS)
    assert distiller.student_model.config.num_hidden_layers == 1
    assert distiller.student_model.config.id2label == {0: "plain", 1: "poor", 2: "rich"}


@pytest.mark.parametrize("student", ["every_second_layer", "from_scratch"])
def test_an_encoder_decoder_learns_answers(tmp_path, student):
    teacher = save_checkpoint(tmp_path / "teacher", t5(), TOKENIZER, {})
    sizes = {"student_layers": 1, "student_width": 16} if student == "from_scratch" else {}
    distiller = ModelDistiller(
        settings(teacher, student, alpha=0.2, attention_weight=0.1, max_steps=60, **sizes)
    )
    summary = distiller.distill(PAIRS)
    assert summary.losses[-1][1] < 0.5 * summary.losses[0][1]
    tokens = [len(TOKENIZER(pair["answer"])["input_ids"]) + 1 for pair in PAIRS]
    assert summary.supervised_tokens == sum(tokens)
    assert distiller.student_model.config.num_decoder_layers == 1
    saved = distiller.save_distilled_model(tmp_path / "student")
    assert verify_checkpoint(saved)["status"] == "complete"


def test_kinds_that_do_not_fit_are_refused(taught, tmp_path):
    with pytest.raises(CheckpointError, match="of kind 'classifier'; here 'causal' or"):
        ModelDistiller(settings(taught)).distill(PAIRS)
    distiller = ModelDistiller(settings(task="classification", alpha=0.0))
    distiller.student_model, distiller.tokenizer = t5(), TOKENIZER
    with pytest.raises(ConfigError, match="needs a classifier, not T5ForConditionalGeneration"):
        distiller.distill(TEXTS)
    distiller = ModelDistiller(settings())
    distiller.student_model, distiller.tokenizer = t5(), TOKENIZER
    distiller.teacher_model = kd_models.llama(vocabulary=V)
    with pytest.raises(ConfigError, match="are models of different kinds"):
        distiller.distill(PAIRS)


def test_classes_must_be_the_same(taught):
    distiller = ModelDistiller(settings(taught, task="classification"))
    distiller.student_model = bert(1, labels={"rich": 0, "poor": 1, "plain": 2})
    distiller.tokenizer = TOKENIZER
    with pytest.raises(ConfigError, match="the teacher's classes are"):
        distiller.distill(TEXTS)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "gold ring", "label": "odd"}, "has the label 'odd'; the model knows plain, poor"),
        ({"text": "gold ring", "label": 7}, "has the label '7'"),
        ({"text": "gold ring"}, r"has no label; .*alpha=1"),
        ({"text": "gold ring", "label": 1.5}, "give a name or a number"),
        ({"text": " ", "label": "rich"}, "a text is needed"),
        ({"question": "x", "answer": "y"}, "a classifier learns from text, label"),
    ],
)
def test_texts_that_cannot_be_used(taught, record, message):
    with pytest.raises(DataError, match=message):
        ModelDistiller(settings(taught, task="classification")).distill([record])


def test_labels_may_be_numbers_and_examples(taught):
    records = [{"text": "gold ring", "label": 2}, Example("id", "tin cup", "poor")]
    examples = classified_examples(records)
    assert sorted((e.prompt, e.target) for e in examples) == [
        ("gold ring", "2"),
        ("tin cup", "poor"),
    ]
    distiller = ModelDistiller(settings(taught, task="classification", max_steps=1))
    assert distiller.distill(records).examples == 2


# ------------------------------------------------------------------------- schedules and freezing


def taught_decoder(folder):
    return save_checkpoint(folder, kd_models.llama(7, vocabulary=V, layers=4), TOKENIZER, {})


def test_schedules_layers_and_unfreezing_from_settings(tmp_path):
    """All at once, over two epochs; the loss is restored and nothing stays frozen."""
    config = settings(
        taught_decoder(tmp_path / "teacher"),
        alpha=0.0,
        alpha_end=1.0,
        temperature=4.0,
        temperature_end=1.0,
        loss_schedule="cosine",
        hidden_weight=1.0,
        layer_pairs=[[1, 2], [2, 4]],
        unfreeze=["lm_head", "layers"],
        batch_size=2,
        max_steps=4,
    )
    distiller = ModelDistiller(config)
    distiller.load_student_model()
    before = kd_models.weights(distiller.student_model)
    summary = distiller.distill(PAIRS)
    assert summary.steps == 4
    after = kd_models.weights(distiller.student_model)
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    assert (distiller.loss_fn.temperature, distiller.loss_fn.alpha) == (4.0, 0.0)
    assert all(p.requires_grad for p in distiller.student_model.parameters())


def test_only_some_parameters_learn_from_settings(tmp_path):
    distiller = ModelDistiller(settings(taught_decoder(tmp_path / "t"), trainable=r"layers\.1\."))
    distiller.load_student_model()
    before = kd_models.weights(distiller.student_model)
    distiller.distill(PAIRS)
    after = kd_models.weights(distiller.student_model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "layers.1." in name}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature_end": 0.0}, "temperature_end is 0.0"),
        ({"alpha_end": 1.5}, "alpha_end is 1.5"),
        ({"loss_schedule": "steps"}, "loss_schedule is 'steps'"),
        ({"hidden_measure": "l1"}, "hidden_measure is 'l1'"),
        ({"hidden_weight": 1.0, "teacher_cache": "c"}, "teacher_cache holds logits only"),
        ({"layer_pairs": [[1]]}, "layer_pairs is"),
        ({"trainable": "("}, "is no regular expression"),
        ({"unfreeze": []}, "unfreeze is"),
        ({"task": "ranking"}, "task is 'ranking'"),
    ],
)
def test_settings_out_of_range(given, message):
    with pytest.raises(ConfigError) as caught:
        settings(**given)
    assert message in str(caught.value)
