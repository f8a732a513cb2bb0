"""Configurations of EasyDistill jobs, and the command that runs them."""

from __future__ import annotations

from small_records import write_json
from stillroom.cli import main

TRAINING = {
    "num_train_epochs": 1, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1,
    "max_length": 128, "save_steps": 1000, "logging_steps": 1, "learning_rate": 2e-5,
    "weight_decay": 0.05, "warmup_ratio": 0.1, "lr_scheduler_type": "cosine", "fp16": True,
}  # fmt: skip
LOCAL = {
    "enable_chunked_prefill": True, "seed": 777, "gpu_memory_utilization": 0.9, "temperature": 0.0,
    "trust_remote_code": True, "enforce_eager": False, "max_model_len": 4096, "max_new_tokens": 40,
}  # fmt: skip


BLACK = {"instruction_path": "data/asked.json", "labeled_path": "data/made.json"}


def run(here, config, name="job.json"):
    return main(["easydistill", "--config", write_json(here / name, config)])


def student_job(job, starter, dataset, **sections):
    return {
        "job_type": job,
        "dataset": {"template": "chat_template/chat_template_kd.jinja", "seed": 42, **dataset},
        "models": {"teacher": starter, "student": starter},
        "inference": LOCAL,
        "training": {"output_dir": "./result/", **TRAINING},
        **sections,
    }


def api_job(job, url, **inference):
    return {
        "job_type": job,
        "dataset": {"input_path": "data/labelled.json", "output_path": "data/new.json"},
        "inference": {
            "base_url": url, "api_key": "${TEACHER_KEY}", "stream": True, "prompt": "PROMPT",
            "system_prompt": "SYSTEM", "max_new_tokens": 64, **inference,
        },
    }  # fmt: skip
