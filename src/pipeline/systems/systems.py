"""Distil System 1 and System 2 from end to end.

The student and the data are checked, an EasyDistill configuration is written and run, and the
folder of a student that loads is returned.

    distill_system1({"student_model": "Qwen/Qwen2.5-0.5B-Instruct", "num_epochs": 1})
    distill_system2({"cot_path": "data/omnithought_cot.json", "out_dir": "./reasoner"})

`teacher_model: "starter"` with `student_model: "every_second_layer"` needs no network and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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
from ..easydistill.config import read_job
from ..easydistill.run import EASYDISTILL, run_job
from ..easydistill.write_config import INSTRUCTIONS, write_system1_config, write_system2_config
from ..reasoning.rows import NO_DATA_1, NO_DATA_2, Rows, read_rows
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
        config: Any of `teacher_model`, `student_model`, `labeled_path`, `num_epochs`, `out_dir`,
            `config_path`, `template_path`; and `instruction_path`, `training` and `inference`,
            which are copied into the configuration.
        strict: Whether to raise errors instead of printing them.

    Returns:
        The folder of the student: `out_dir` as given, or one beside it if `out_dir` holds another
        student; None if nothing was distilled.

    Raises:
        ConfigError: A key is unknown.
        ModelNotFoundError: The hub could not be asked whether the student exists.
        StillroomError: With `strict`, the distillation failed.
    """
    return distill_system("system1", config, strict=strict)


def distill_system2(config: dict[str, Any], *, strict: bool = False) -> str | None:
    """Distil a student that reasons in steps before it answers.

    Args:
        config: Any of `student_model`, `cot_path`, `num_epochs`, `out_dir`, `config_path`,
            `template_path`; and `training`, and `teacher_model` for a student made of its layers.
        strict: Whether to raise errors instead of printing them.

    Returns:
        As `distill_system1`.

    Raises:
        ConfigError: A key is unknown.
        ModelNotFoundError: The hub could not be asked whether the student exists.
        StillroomError: With `strict`, the distillation failed.
    """
    return distill_system("system2", config, strict=strict)


def distill_system(
    mode: SystemMode, config: Mapping[str, Any], *, strict: bool, records: Rows | None = None
) -> str | None:
    """Distil a student of either system.

    Args:
        mode: `system1` or `system2`.
        config: As in `distill_system1` or `distill_system2`.
        strict: As in `distill_system1`.
        records: Records of the labelled file; None reads the file.
    """
    settings = _settings(config, mode)
    exists = _student_exists(settings["student_model"])
    return _told(lambda: _distill(settings, mode, records, student_exists=exists), strict)


def run_easy_distill(config_path: str) -> int:
    """Run an EasyDistill configuration in this process.

    Returns:
        0 for success, 1 for a failure, 2 for a configuration with faults or an unsupported job; the
        reason is printed.
    """
    return EASYDISTILL(["--config", config_path])


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

    The prompts have the format `system1`, in which the student is asked later.

    Returns:
        0 for success, 1 for a failure; the reason is printed.
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
    """Print that TPUs are not supported, and the call that trains without one.

    Args:
        labeled_path: As in `run_training_sft`, like all other arguments.

    Returns:
        1.
    """
    print(
        f"TPUs are not supported: {student_model} was not trained, and {out_dir} was not changed. "
        "Installing torch_xla (pip install torch_xla) does not change that. To train on CUDA or "
        f"the CPU: run_training_sft({labeled_path!r}, {student_model!r}, {out_dir!r}, "
        f"num_epochs={num_epochs}, max_length={max_length}, learning_rate={learning_rate})"
    )
    return 1


def check_resume(out_dir: str) -> str | None:
    """Find the checkpoint from which an interrupted training in `out_dir` would continue.

    Returns:
        Folder of the checkpoint; None if the training would start from the beginning.
    """
    from ...distillation.training.resuming import last_whole_checkpoint

    for folder in (f"{out_dir.rstrip('/')}.work", out_dir):
        found = last_whole_checkpoint(folder)
        if found is not None:
            return str(found)
    return None


class _Told(Exception):  # noqa: N818 - carries a message that is printed as it stands
    """Carries a message to print, and the error that is raised instead with `strict`."""

    def __init__(self, message: str, fault: StillroomError) -> None:
        super().__init__(message)
        self.fault = fault


def _told(work: Callable[[], str], strict: bool) -> str | None:
    """Run `work`; print its error and return None, or raise it with `strict`."""
    try:
        return work()
    except _Told as told:
        if strict:
            raise told.fault from None
        print(told)
    except StillroomError as fault:
        if strict:
            raise
        print(f"Distillation failed: {fault}")
    return None


def _distill(
    settings: Mapping[str, Any], mode: SystemMode, records: Rows | None, *, student_exists: bool
) -> str:
    if not student_exists:
        example = _DEFAULTS[mode]["student_model"]
        message = f"Invalid student model: {settings['student_model']}\nExample: {example}"
        told, name = message.replace("\n", ". "), settings["student_model"]
        is_name = isinstance(name, str) and name.strip()
        raise _Told(message, ModelNotFoundError(told) if is_name else ConfigError([told]))
    missing, empty = (NO_DATA_1, NO_DATA_1) if mode == "system1" else (NO_COT_FILE, NO_DATA_2)
    path = str(settings["labeled_path" if mode == "system1" else "cot_path"])
    if records is None:
        try:
            records = read_rows(path)
        except DataNotFoundError as fault:
            raise _Told(missing, fault) from fault
    if not records:
        raise _Told(empty, EmptyDataError(empty, path=path))
    teacher, training = _teacher(settings, records, mode)
    handed_over = {"labeled_path": records}
    places = (
        path,
        settings["out_dir"],
        settings["num_epochs"],
        settings["config_path"],
        settings["template_path"],
    )
    if mode == "system1":
        asked = settings["instruction_path"] or _instructions_beside(path)
        if asked == path:
            handed_over["instruction_path"] = records
        written = write_system1_config(
            teacher, settings["student_model"], *places,
            instruction_path=asked, training=training, inference=settings["inference"],
        )  # fmt: skip
    else:
        written = write_system2_config(
            settings["student_model"], *places, teacher_model=teacher, training=training
        )
    folder = run_job(replace(read_job(written), records=handed_over))
    if find_checkpoint(folder) is None:
        raise DataError("the job ended without a student", path=written)
    return folder


def _instructions_beside(labeled_path: str) -> str:
    """Return the usual file of instructions if it is beside the labels, else the file of labels.

    The usual file elsewhere may belong to another data set, which must not be trained on.
    """
    usual = Path(INSTRUCTIONS)
    same = Path(labeled_path).parent.resolve() == usual.parent.resolve()
    return INSTRUCTIONS if same and usual.is_file() else labeled_path


def _teacher(settings: Mapping[str, Any], records: Any, mode: SystemMode) -> Any:  # noqa: ANN401
    """Return the teacher's name and the training settings; a starter teacher is trained first."""
    name, training = settings["teacher_model"], settings["training"] or {}
    if name == STARTER:
        folder = f"{str(settings['out_dir']).rstrip('/')}-teacher"
        name = train_starter_teacher(records, folder, mode)
    if settings["student_model"] in FROM_TEACHER and is_starter(name):
        training = {**STUDENT_TRAINING, **training}
    return name, training


def _student_exists(name: object) -> bool:
    """Tell whether a student can be loaded, or made of its teacher's layers.

    Raises:
        ModelNotFoundError: It is no local folder, and the hub could not be asked.
    """
    if name in FROM_TEACHER:
        return True
    if not isinstance(name, str) or not name.strip():
        return False
    if find_checkpoint(name) is not None or Path(name).exists():
        return find_checkpoint(name) is not None
    from ...inference.checkpoints.hub import hub_has

    exists = hub_has(name)
    if exists is None:
        raise ModelNotFoundError(
            f"{name!r} is no folder here; whether the Hugging Face hub knows it could not be "
            "asked. Connect, or give a folder that holds config.json and model.safetensors"
        )
    return exists


def _settings(config: Mapping[str, Any], mode: SystemMode) -> dict[str, Any]:
    """Return the defaults, updated by a config; report all unknown keys at once."""
    known = _DEFAULTS[mode]
    faults = [
        f"unknown key {key!r}; {did_you_mean(key, known)}" for key in config if key not in known
    ]
    if faults:
        raise ConfigError(faults)
    return {**known, **config}
