"""The run that the resume tests begin, break off and finish."""

import os

import kd_models
from stillroom.distillation.training.interruption import saved_when_interrupted
from stillroom.distillation.training.resuming import open_work_folder
from transformers import TrainerCallback

IDENTITY = {"config_hash": "c", "data_hash": "d", "prompt_sha256": "p", "models_sha256": "m"}


class StopAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_training_stop = True
        return control


class SignalAt(TrainerCallback):
    def __init__(self, step, number, times=1):
        self.step, self.number, self.times = step, number, times

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def run(
    folder,
    *,
    accumulation=1,
    stop=None,
    identity=None,
    optimizer="muon",
    steps=10,
    teacher=None,
    callbacks=(),
):
    """Train a student with dropout; give its weights, losses and where it went on from."""
    resume = open_work_folder(folder, identity or IDENTITY)
    model = kd_models.gpt2(dropout=0.1)
    trainer = kd_models.kd_trainer(
        folder,
        model,
        teacher=kd_models.gpt2(1) if teacher is None else teacher,
        items=kd_models.random_items(14),  # epochs of 4 or 2 steps, the last one smaller
        accumulation=accumulation,
        optimizer=optimizer,
        steps=steps,
        save_steps=5,
        lr_scheduler="cosine",
        warmup_ratio=0.2,
        callbacks=[*callbacks, *([] if stop is None else [StopAfter(stop)])],
    )
    with saved_when_interrupted(trainer):
        trainer.train(resume)
    return kd_models.weights(model), trainer.history.losses, resume
