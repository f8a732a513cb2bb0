"""Trainings that are the same in one process and in two.

accelerate launch --config_file configs/accelerate/ddp.yaml kd_processes.py <folder>

runs all of them in two processes and leaves weights and losses in the folder.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import kd_families
import kd_models
import kd_resume
import unlike_tokens
from safetensors.torch import save_file
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.losses.layer_matching import LayerSettings
from stillroom.distillation.torch_processes import is_main_process
from stillroom.distillation.training.resuming import open_work_folder

GLOBAL_BATCH = 4
SAVE = {"save_steps": 2}
TOKENIZER = kd_models.tokenizer()
PAIRS = [{"question": f"Symbol of metal {n}?", "answer": f"A{n}"} for n in range(9)]


def half_masked():
    """Every second example has no supervised token: with one example each, one process has none."""
    return [
        replace(item, prompt_length=len(item.input_ids)) if number % 2 else item
        for number, item in enumerate(kd_models.random_items(8))
    ]


def train(folder, processes, *, student=None, teacher=None, resume=None, **settings):
    """Ten examples by four: in the last step of an epoch two processes share one batch of two."""
    student = kd_models.llama() if student is None else student
    settings = {"items": kd_models.random_items(10), "steps": 5, **SAVE, **settings}
    batch = settings.pop("batch", GLOBAL_BATCH) // settings.get("accumulation", 1)
    trainer = kd_models.kd_trainer(
        folder,
        student,
        teacher=kd_models.llama(1) if teacher is None else teacher,
        batch_size=batch // processes,
        **settings,
    )
    trainer.train(resume)
    kept = kd_models.weights(student)
    if trainer.layers is not None:
        kept |= {f"projection {k}": v for k, v in trainer.layers.projections.state_dict().items()}
    return kept, trainer.history.losses


def plain(folder, processes):
    return train(folder, processes)


def accumulated(folder, processes):
    return train(folder, processes, accumulation=2)


def one_process_without_labels(folder, processes):
    return train(folder, processes, items=half_masked(), batch=2, steps=8)


def dense(folder, processes):
    return train(folder, processes, student=kd_families.gemma2(0), teacher=kd_families.gemma2(1))


def layers(folder, processes):
    """The projections stand outside of what DDP wraps."""
    settings = LayerSettings(hidden_weight=1.0, attention_weight=1.0)
    student = kd_models.llama(width=8)
    return train(folder, processes, student=student, layers=settings)


def classifier(folder, processes):
    return train(
        folder,
        processes,
        student=kd_families.distilbert(),
        teacher=kd_families.bert(1),
        items=kd_families.texts(10),
        data_collator=kd_families.TEXT_COLLATOR,
    )


def universal(folder, processes):
    """A teacher with other tokens, whose rows a process without work must leave out."""
    return train(
        folder,
        processes,
        student=kd_models.llama(vocabulary=len(unlike_tokens.PIECES)),
        teacher=unlike_tokens.universal_teacher(
            kd_models.llama(1, vocabulary=len(unlike_tokens.LETTERS))
        ),
        items=unlike_tokens.aligned_items(),
        data_collator=unlike_tokens.collator(),
        loss_fn=DistillationLoss(2.0, 0.5, objective="universal_logit"),
    )


def resumed(folder, processes):
    """Broken off after three steps, gone on with from the checkpoint of the second."""
    open_work_folder(folder, kd_resume.IDENTITY)
    train(folder, processes, callbacks=[kd_resume.StopAfter(3)])
    resume = open_work_folder(folder, kd_resume.IDENTITY)
    assert resume is not None
    assert resume.name == "checkpoint-2"
    return train(folder, processes, resume=resume)


def distiller(folder, processes):
    """The facade; each process has folders of its own, so that what it wrote can be told."""
    rank = os.environ.get("RANK", "0")
    made = ModelDistiller(
        DistillationConfig(
            batch_size=GLOBAL_BATCH // processes,
            max_steps=4,
            max_length=64,
            learning_rate=1e-3,
            dtype="float32",
            device="cpu",
            save_steps=2,
            progress=False,
        )
    )
    made.student_model = kd_models.llama(vocabulary=len(TOKENIZER))
    made.teacher_model = kd_models.llama(1, vocabulary=len(TOKENIZER))
    made.tokenizer = TOKENIZER
    summary = made.distill(PAIRS, work_dir=Path(folder) / f"work-{rank}")
    made.save_distilled_model(Path(folder) / f"student-{rank}")
    return kd_models.weights(made.student_model), list(summary.losses)


SCENARIOS = {
    function.__name__: function
    for function in (
        plain,
        accumulated,
        one_process_without_labels,
        dense,
        layers,
        classifier,
        universal,
        resumed,
        distiller,
    )
}


def main(folder):
    for name, scenario in SCENARIOS.items():
        weights, losses = scenario(folder / name, int(os.environ["WORLD_SIZE"]))
        if is_main_process():
            save_file(
                {k: v.contiguous() for k, v in weights.items()}, folder / f"{name}.safetensors"
            )
            (folder / f"{name}.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
