"""The functions of the Qwen distillation lab's `distill_app`, for notebooks that import them.

With this file beside the notebook, `from distill_app import distill_system1` works as before.
"""

from stillroom.console import quiet_libraries

quiet_libraries()

from stillroom import (  # noqa: E402 - loads the libraries that are to be quiet
    check_resume,
    compare_models,
    distill_system1,
    distill_system2,
    evaluate_student,
    find_checkpoint,
    format_prompt,
    infer_student,
    label_with_teacher,
    load_student,
    load_teacher,
    prepare_system1_dataset,
    prepare_system2_dataset,
    read_json,
    run_easy_distill,
    run_training_sft,
    run_training_tpu,
    save_json,
    write_system1_config,
    write_system2_config,
)

__all__ = [
    "check_resume",
    "compare_models",
    "distill_system1",
    "distill_system2",
    "evaluate_student",
    "find_checkpoint",
    "format_prompt",
    "infer_student",
    "label_with_teacher",
    "load_student",
    "load_teacher",
    "prepare_system1_dataset",
    "prepare_system2_dataset",
    "read_json",
    "run_easy_distill",
    "run_training_sft",
    "run_training_tpu",
    "save_json",
    "write_system1_config",
    "write_system2_config",
]

if __name__ == "__main__":
    print(__doc__.strip())
