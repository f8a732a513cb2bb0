"""Read the stages of a distillation from a configuration, and check all of them.

The configuration is that of one distillation, with two more keys:

| key | meaning |
|---|---|
| `data` | a file of records: a JSON list, or JSON Lines |
| `stages` | a list of mappings, run in this order |

A stage has the settings that differ there, and these keys:

| key | meaning | if absent |
|---|---|---|
| `name` | for folders and references; letters, digits, `-`, `_` | `1`, `2`, ... |
| `data` | as above | that of the configuration |
| `teacher` | a folder, a name on the hub, `previous` or `stage:NAME` | `teacher_model_name` |
| `student` | the same, or `every_second_layer`, `from_scratch` | the student of the stage before |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ..config import named_place
from ..errors import ConfigError, DataNotFoundError
from .settings import DistillationConfig, config_faults, unknown_keys

PREVIOUS: Final = "previous"
STAGE: Final = "stage:"

_OWN_KEYS: Final = ("name", "data", "teacher", "student")
_NOT_IN_A_STAGE: Final = ("output_dir", "teacher_model_name", "student_model_name")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_SETTINGS: Final = [field.name for field in fields(DistillationConfig)]


@dataclass(frozen=True)
class Stage:
    """One training in a sequence."""

    name: str
    values: Mapping[str, Any]
    """All settings of a `DistillationConfig`; teacher and student are the two below."""
    teacher: str
    """A folder, a name on the hub, or a reference to an earlier stage."""
    student: str
    data: str | None
    """File of its records; None for those that are passed to the call."""

    def config(self, folders: Mapping[str, Path]) -> DistillationConfig:
        """Return the settings, with references replaced by the folders of earlier stages.

        Args:
            folders: Stage name -> where its student was saved.
        """
        names = {
            f"{role}_model_name": str(folders[name.removeprefix(STAGE)])
            if name.startswith(STAGE)
            else name
            for role, name in (("teacher", self.teacher), ("student", self.student))
        }
        return DistillationConfig(**{**self.values, **names})


@dataclass(frozen=True)
class StagePlan:
    """All stages of a distillation."""

    stages: tuple[Stage, ...]
    output_dir: Path
    """Holds a folder per stage."""


def read_plan(config: Mapping[str, Any]) -> StagePlan:
    """Read and check a configuration with stages.

    Raises:
        ConfigError: Unknown keys (with the nearest known one), values out of range, references to
            later stages; all faults of all stages at once.
    """
    base = {key: value for key, value in config.items() if key not in ("stages", "data")}
    faults = unknown_keys(base, _SETTINGS) + _data_faults(config, "")
    listed = config.get("stages")
    if not isinstance(listed, list) or not listed:
        raise ConfigError([*faults, f"stages is {listed!r}; allowed is a list with one or more"])
    defaults = DistillationConfig().to_dict()
    values = defaults | {key: value for key, value in base.items() if key in defaults}
    stages: list[Stage] = []
    for number, given in enumerate(listed, start=1):
        if not isinstance(given, Mapping):
            faults.append(f"stage {number} is {given!r}; allowed is a mapping of settings")
            continue
        stage = _read_stage(given, number, values, config.get("data"), stages)
        faults += _stage_faults(stage, given, number, stages)
        stages.append(stage)
    if faults:
        raise ConfigError(faults)
    return StagePlan(tuple(stages), Path(values["output_dir"]))


def find_data(name: str, beside: Path | None) -> Path:
    """Resolve a relative path against the current folder, then against the configuration's.

    Raises:
        DataNotFoundError: Neither has such a file.
    """
    found = named_place(name, beside, Path.is_file)
    if found is None:
        places = dict.fromkeys([Path(name), *([] if beside is None else [beside / name])])
        raise DataNotFoundError(f"no file of records at {' or '.join(map(str, places))}")
    return found


def _read_stage(
    given: Mapping[str, Any],
    number: int,
    base: Mapping[str, Any],
    data: str | None,
    before: list[Stage],
) -> Stage:
    names = {
        "teacher": given.get("teacher", base["teacher_model_name"]),
        "student": given.get("student", PREVIOUS if before else base["student_model_name"]),
    }
    for role, name in names.items():
        if name == PREVIOUS and before:
            names[role] = f"{STAGE}{before[-1].name}"
    own = {key: value for key, value in given.items() if key not in _OWN_KEYS}
    return Stage(
        name=str(given.get("name", number)),
        values={**base, **{key: value for key, value in own.items() if key in base}},
        teacher=names["teacher"],
        student=names["student"],
        data=given.get("data", data),
    )


def _stage_faults(
    stage: Stage, given: Mapping[str, Any], number: int, before: list[Stage]
) -> list[str]:
    allowed = [name for name in _SETTINGS if name not in _NOT_IN_A_STAGE]
    place = f"stage {number}: "
    faults = unknown_keys(given, [*_OWN_KEYS, *allowed], place) + _data_faults(given, place)
    if not _NAME.fullmatch(stage.name):
        faults.append(f"{place}name is {stage.name!r}; letters, digits, - and _ are allowed")
    if stage.name in {earlier.name for earlier in before}:
        faults.append(f"{place}the name {stage.name!r} is taken by an earlier stage")
    known = [f"{STAGE}{earlier.name}" for earlier in before]
    for role, name in (("teacher", stage.teacher), ("student", stage.student)):
        if str(name).startswith(STAGE) and name not in known:
            faults.append(f"{place}{role} is {name!r}; earlier stages are {known}")
        if name == PREVIOUS:
            faults.append(f"{place}{role} is 'previous', but there is no stage before it")
    if stage.teacher == stage.student and stage.values["alpha"] != 0.0:
        faults.append(
            f"{place}teacher and student are both {stage.teacher!r}; name another "
            "student, such as 'every_second_layer'"
        )
    models = {"teacher_model_name": stage.teacher, "student_model_name": stage.student}
    settings = config_faults({**stage.values, **models})
    return faults + [f"{place}{fault}" for fault in settings]


def _data_faults(given: Mapping[str, Any], place: str) -> list[str]:
    data = given.get("data")
    if data is None or (isinstance(data, str) and data.strip()):
        return []
    return [f"{place}data is {data!r}; allowed is a file"]
