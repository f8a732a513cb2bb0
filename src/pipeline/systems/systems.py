"""System 1 and System 2 from end to end: check the student and the data, write the configuration,
run it, and give back a student that is proven to load.

    distill_system1({"student_model": "Qwen/Qwen2.5-0.5B-Instruct", "num_epochs": 1})
    distill_system2({"cot_path": "data/omnithought_cot.json", "out_dir": "./reasoner"})

`teacher_model: "starter"` with `student_model: "every_second_layer"` needs no network and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ...data.datasets.json_files import read_json
from ...distillation.settings import FROM_TEACHER
from ...distillation.starter_student import STARTER
from ...errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    EmptyDataError,
    ModelNotFoundError,
    StillroomError,
    did_you_mean,
)
from ...inference.system_pair.answers import find_checkpoint
from ...prompts import SystemMode
from ..easydistill.run import easydistill_main, run_job_file
from ..easydistill.write_config import (
    INSTRUCTIONS,
    write_system1_config,
    write_system2_config,
)
from ..reasoning.rows import NO_DATA_1, NO_DATA_2
from ..reasoning.starter_teachers import STUDENT_TRAINING, is_starter, train_starter_teacher

_DEFAULTS: Final[dict[SystemMode, dict[str, Any]]] = {
    "system1": {
        "teacher_model": "Qwen/Qwen2.5-7B-Instruct",
        "student_model": "Qwen/Qwen2.5-0.5B-Instruct",
        "labeled_path": "data/train_labeled.json",
        "num_epochs": 1,
        "out_dir": "./distilled-qwen2.5-0.5b",
        "config_path": "configs/kd_black_box_qwen_0_5b.json",
        "template_path": None,
        "instruction_path": None,
        "training": None,
        "inference": None,
    },
    "system2": {
        "teacher_model": None,
        "student_model": "Qwen/Qwen2.5-1.5B-Instruct",
        "cot_path": "data/omnithought_cot.json",
        "num_epochs": 1,
        "out_dir": "./distilled-qwen2.5-1.5b-cot",
        "config_path": "configs/kd_cot_qwen_1_5b.json",
        "template_path": None,
        "training": None,
    },
}
NO_COT_FILE: Final = "No CoT data found. Run Prepare CoT Data cell first."


def distill_system1(config: dict[str, Any], *, strict: bool = False) -> str | None:
    """Distil a student that follows instructions.

    Args:
        config: All optional: `teacher_model`, `student_model`, `labeled_path`, `num_epochs`,
            `out_dir`, `config_path`, `template_path`; and `instruction_path`, `training` and
            `inference`, which go into the configuration that is written.
        strict: Raise what went wrong, in place of a printed line.

    Returns:
        The folder of the student: `out_dir` as given, or the folder beside it where another
        student lies there; None where nothing was distilled.

    Raises:
        ConfigError: A key is unknown.
        ModelNotFoundError: Whether the student exists could not be asked.
    """
    settings = _settings(config, "system1")
    return _told(lambda: _system1(settings), strict)


def distill_system2(config: dict[str, Any], *, strict: bool = False) -> str | None:
    """Distil a student that reasons in steps before it answers.

    Args:
        config: All optional: `student_model`, `cot_path`, `num_epochs`, `out_dir`, `config_path`,
            `template_path`; and `training`, and `teacher_model` for a student made of its layers.
        strict: Raise what went wrong, in place of a printed line.

    Returns:
        As `distill_system1`.

    Raises:
        ConfigError: A key is unknown.
        ModelNotFoundError: Whether the student exists could not be asked.
    """
    settings = _settings(config, "system2")
    return _told(lambda: _system2(settings), strict)


def run_easy_distill(config_path: str) -> int:
    """Run an EasyDistill configuration in this process.

    Returns:
        0 done, 1 failed, 2 a configuration with faults or a refused job; the reason is printed.
    """
    return easydistill_main(["--config", config_path])


def run_training_sft(
    labeled_path: str,
    student_model: str,
    out_dir: str,
    num_epochs: float = 1,
    max_length: int = 512,
    learning_rate: float = 2e-5,
    batch_size: int = 2,
) -> int:
    """Train a student on labelled records, without a configuration file.

    The prompts have the form in which the student is asked, `system1`.

    Returns:
        0 done, 1 failed; the reason is printed.
    """
    from ...distillation.settings import DistillationConfig
    from ..reasoning.train_student import train_student

    def train() -> str:
        settings = DistillationConfig(
            teacher_model_name="none",
            student_model_name=student_model,
            alpha=0.0,
            temperature=1.0,
            output_dir=out_dir,
            num_epochs=num_epochs,
            max_length=max_length,
            learning_rate=learning_rate,
            batch_size=batch_size,
        )
        return train_student(settings, read_json(labeled_path), "system1")

    return 1 if _told(train, strict=False) is None else 0


def run_training_tpu(
    labeled_path: str,
    student_model: str,
    out_dir: str,
    num_epochs: float = 1,
    max_length: int = 512,
    learning_rate: float = 2e-5,
) -> int:
    """Train on a TPU: not offered; say what to use.

    Returns:
        1.
    """
    print(
        f"TPUs are not used: {student_model} was not trained on {labeled_path}. With torch_xla "
        "(pip install torch_xla) a TPU could be had, but nothing here drives it. Use "
        f"run_training_sft, with the same arguments, on CUDA or the CPU; {out_dir} is as it was."
    )
    return 1


def check_resume(out_dir: str) -> str | None:
    """Find the checkpoint that a broken-off training in `out_dir` would go on from.

    Returns:
        Its folder; None where training would begin at the start.
    """
    from ...distillation.training.resuming import last_whole_checkpoint

    for folder in (f"{out_dir.rstrip('/')}.work", out_dir):
        found = last_whole_checkpoint(folder)
        if found is not None:
            return str(found)
    return None


class _Told(Exception):  # noqa: N818 - carries a message that is printed as it stands
    """A message of the interface, and the error that stands for it."""

    def __init__(self, message: str, fault: StillroomError) -> None:
        super().__init__(message)
        self.fault = fault


def _told(work: Callable[[], str], strict: bool) -> str | None:
    """Do something; what goes wrong is printed, or raised where errors are wanted."""
    try:
        return work()
    except _Told as told:
        if strict:
            raise told.fault from None
        print(told)
    except _NotAsked as fault:
        raise fault.cause from None
    except StillroomError as fault:
        if strict:
            raise
        print(f"Distillation failed: {fault}")
    return None


class _NotAsked(Exception):  # noqa: N818
    """Whether a model exists could not be found out."""

    def __init__(self, cause: StillroomError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _system1(settings: Mapping[str, Any]) -> str:
    path = str(settings["labeled_path"])
    _require_student(settings, "system1")
    records = _require_records(path, NO_DATA_1, NO_DATA_1)
    teacher, training = _teacher(settings, records, "system1")
    written = write_system1_config(
        teacher,
        settings["student_model"],
        path,
        settings["out_dir"],
        settings["num_epochs"],
        settings["config_path"],
        settings["template_path"],
        instruction_path=settings["instruction_path"] or _instructions_beside(path),
        training=training,
        inference=settings["inference"],
    )
    return _run(written)


def _system2(settings: Mapping[str, Any]) -> str:
    path = str(settings["cot_path"])
    _require_student(settings, "system2")
    records = _require_records(path, NO_COT_FILE, NO_DATA_2)
    teacher, training = _teacher(settings, records, "system2")
    written = write_system2_config(
        settings["student_model"],
        path,
        settings["out_dir"],
        settings["num_epochs"],
        settings["config_path"],
        settings["template_path"],
        teacher_model=teacher,
        training=training,
    )
    return _run(written)


def _run(config_path: str) -> str:
    folder = run_job_file(config_path)
    if folder is None or find_checkpoint(folder) is None:
        raise DataError("the job ended without a student", path=config_path)
    return folder


def _instructions_beside(labeled_path: str) -> str:
    """Give the usual file of instructions where it belongs to these labels, else the labels' own.

    Instructions of another data set must not be labelled and trained on by the way.
    """
    usual = Path(INSTRUCTIONS)
    same = Path(labeled_path).parent.resolve() == usual.parent.resolve()
    return INSTRUCTIONS if same and usual.is_file() else labeled_path


def _teacher(settings: Mapping[str, Any], records: Any, mode: SystemMode) -> Any:  # noqa: ANN401
    """Give the teacher's name, trained here if it is a starter, and what its student's training
    wants."""
    name, training = settings["teacher_model"], settings["training"] or {}
    if name == STARTER:
        folder = f"{str(settings['out_dir']).rstrip('/')}-teacher"
        name = train_starter_teacher(records, folder, mode)
    if settings["student_model"] in FROM_TEACHER and is_starter(name):
        training = {**STUDENT_TRAINING, **training}
    return name, training


def _require_records(path: str, missing: str, empty: str) -> Any:  # noqa: ANN401
    try:
        records = read_json(path)
    except DataNotFoundError as fault:
        raise _Told(missing, fault) from fault
    if not records:
        raise _Told(empty, EmptyDataError(empty, path=path))
    return records


def _require_student(settings: Mapping[str, Any], mode: SystemMode) -> None:
    """Refuse a student that provably does not exist; where nobody could be asked, say that."""
    name = settings["student_model"]
    if name in FROM_TEACHER:
        return
    example = _DEFAULTS[mode]["student_model"]
    message = f"Invalid student model: {name}\nExample: {example}"
    if not isinstance(name, str) or not name.strip():
        raise _Told(message, ConfigError([message.replace("\n", ". ")]))
    if find_checkpoint(name) is not None:
        return
    from ...inference.checkpoints.hub import hub_has

    exists = False if Path(name).exists() else hub_has(name)
    if exists is None:
        raise _NotAsked(
            ModelNotFoundError(
                f"{name!r} is no folder here; whether the Hugging Face hub knows it could not be "
                "asked. Connect, or give a folder that holds config.json and model.safetensors"
            )
        )
    if not exists:
        raise _Told(message, ModelNotFoundError(message.replace("\n", ". ")))


def _settings(config: Mapping[str, Any], mode: SystemMode) -> dict[str, Any]:
    """Put a config over the defaults; all unknown keys are named at once."""
    known = _DEFAULTS[mode]
    faults = [
        f"unknown key {key!r}; {did_you_mean(key, known)}" for key in config if key not in known
    ]
    if faults:
        raise ConfigError(faults)
    return {**known, **config}
