"""Write EasyDistill configurations of System 1 and 2, which `stillroom easydistill` can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...files import write_json

TEMPLATE: Final = "configs/chat_template/chat_template_kd.jinja"
INSTRUCTIONS: Final = "data/train_instructions.json"
_INFERENCE: Final = {
    "enable_chunked_prefill": True, "seed": 777, "gpu_memory_utilization": 0.9, "temperature": 0.8,
    "trust_remote_code": True, "enforce_eager": False, "max_model_len": 4096, "max_new_tokens": 512,
}  # fmt: skip
_TRAINING: Final = {
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "save_steps": 200,
    "logging_steps": 10, "max_length": 512, "learning_rate": 2e-5, "weight_decay": 0.05,
    "warmup_ratio": 0.1, "lr_scheduler_type": "cosine", "bf16": False, "fp16": True,
}  # fmt: skip


def write_system1_config(
    teacher_model: str,
    student_model: str,
    labeled_path: str,
    out_dir: str,
    num_train_epochs: float = 1,
    config_path: str = "configs/kd_black_box_qwen_0_5b.json",
    template_path: str | None = None,
    *,
    instruction_path: str = INSTRUCTIONS,
    training: Mapping[str, Any] | None = None,
    inference: Mapping[str, Any] | None = None,
) -> str:
    """Write the configuration of System 1: a teacher labels instructions, and a student learns.

    Args:
        teacher_model: Folder or hub name.
        student_model: Folder, hub name, or `every_second_layer` of the teacher.
        labeled_path: File of `{instruction, input, output}`.
        out_dir: Folder of the student.
        num_train_epochs: Passes over the data.
        config_path: File to write. Paths in it are as given, and resolved when the job runs.
        template_path: Chat template; None writes the default path.
        instruction_path: File of instructions; the teacher labels those without an answer in
            `labeled_path`.
        training: Values that replace the defaults of the section.
        inference: Values that replace the defaults of the section.

    Returns:
        `config_path`.
    """
    dataset = {"instruction_path": instruction_path, "labeled_path": labeled_path,
               "template": template_path or TEMPLATE, "seed": 42}  # fmt: skip
    config = {
        "job_type": "kd_black_box_local",
        "dataset": {**dataset, "prompt_format": "system1"},
        "models": {"teacher": teacher_model, "student": student_model},
        "inference": {**_INFERENCE, **(inference or {})},
        "training": _training(out_dir, num_train_epochs, training or {}),
    }
    write_json(config_path, config)
    return config_path


def write_system2_config(
    student_model: str,
    cot_path: str,
    out_dir: str,
    num_train_epochs: float = 1,
    config_path: str = "configs/kd_cot_qwen_1_5b.json",
    template_path: str | None = None,
    *,
    teacher_model: str | None = None,
    training: Mapping[str, Any] | None = None,
) -> str:
    """Write the configuration of System 2: a student learns given chains of thought.

    The other arguments and the result are those of `write_system1_config`.

    Args:
        cot_path: File of `{instruction, input, output}`, with a chain of thought as output.
        teacher_model: Teacher of a student that is made of its layers; otherwise not used.
    """
    models = {} if teacher_model is None else {"teacher": teacher_model}
    changes = {"max_length": 1024, "learning_rate": 1e-5, **(training or {})}
    dataset = {"labeled_path": cot_path, "template": template_path or TEMPLATE, "seed": 123}
    config = {
        "job_type": "kd_black_box_train_only",
        "dataset": {**dataset, "prompt_format": "system2"},
        "models": {**models, "student": student_model},
        "training": _training(out_dir, num_train_epochs, changes),
    }
    write_json(config_path, config)
    return config_path


def _training(out_dir: str, epochs: float, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {"output_dir": out_dir, "num_train_epochs": epochs, **_TRAINING, **changes}
