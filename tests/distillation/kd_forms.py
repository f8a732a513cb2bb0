"""Models, data and settings for the tests of adapters, bits, packing and compiling."""

import warnings

import kd_models
import torch
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.batches.forward import model_inputs
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller

PAIRS = [
    {"question": f"What is the symbol of {name}?", "answer": symbol}
    for name, symbol in (
        ("gold", "Au"),
        ("silver", "Ag"),
        ("iron", "Fe"),
        ("tin, which is soft and white", "Sn"),
        ("lead", "Pb"),
        ("mercury, at room temperature", "Hg"),
    )
]
TOKENIZER = kd_models.tokenizer([f"{pair['question']} {pair['answer']}" for pair in PAIRS])
IDS = len(TOKENIZER)


def llama(seed=0, *, width=32, layers=2, tied=False):
    model = kd_models.llama(seed, width=width, layers=layers, vocabulary=IDS, tied=tied)
    return halved(model)


def gpt2(seed=0):
    return halved(kd_models.gpt2(seed, width=32, vocabulary=IDS))


def halved(model):
    """Logits of some units, as trained models have them; the other tests want larger ones."""
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(0.25)
    return model


def distiller(student=None, teacher=None, **given):
    """A distiller with a student in memory, or with one that the settings name."""
    defaults = {
        "batch_size": 3,
        "max_steps": 4,
        "learning_rate": 1e-2,
        "max_length": 64,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    made = ModelDistiller(DistillationConfig(**(defaults | given)))
    if student is not None:
        made.student_model, made.tokenizer = student, TOKENIZER
    if teacher is not None:
        made.teacher_model, made.teacher_tokenizer = teacher, TOKENIZER
    return made


def logits(model, items=None):
    """A model's logits on a padded batch, without dropout."""
    batch = Collator(0)(kd_models.random_items(6) if items is None else items)
    with torch.no_grad():
        return model.eval()(**model_inputs(batch)).logits


def quiet_adapter(model, **settings):
    """A model under a LoRA adapter that a user made."""
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, peft.LoraConfig(**settings))
