"""How a pipeline is run: from the command line, the environment and the files, in this order.

| section of a file | holds |
|---|---|
| `run` | `artifacts_dir`, `run_id`, `cache_dir`, `engine`, `pilot`, `load_groups` and so on |
| `parameters` | settings of steps by the names of the steps |
| `quality_gates` | `stage` and least values of its quality report |
| `provider_gateway`, `decode_profiles` | limits, prices and decode profiles of the models |
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ....errors import ConfigError, did_you_mean
from ....labeling.gates.quality_gate import TEACHER_GATE, QualityGate
from ..run_state import ROWS_PER_SHARD
from .build_steps import TOP_KEYS
from .config_layers import PARAMETERS, deep_merge
from .setting_types import read_settings

GATE_STAGE: Final = "teacher_eval"
_GATE_NAMES: Final = {
    "min_judge_mean": "min_judge_score_mean", "judge_score_min": "min_judge_score_mean",
    "test_exec_accuracy_min": "min_exec_pass_rate",
}  # fmt: skip
"""Other names of the gate's values in FastDistill's environment and sample."""
_GATE_IDLE: Final = frozenset({"max_generation_tokens", "online_win_rate_min", "reject_reasons"})
"""Keys of FastDistill's sample that no report answers, so that they have no effect."""
SECTIONS: Final = (
    "pipeline", PARAMETERS, "run", "quality_gates", "provider_gateway", "decode_profiles",
    "requirements",
)  # fmt: skip
LoadGroups = list[list[str]] | Literal["sequential_step_execution"]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a pipeline is run; None leaves it to `Pipeline.run`."""

    artifacts_dir: str | None = None
    """Folder of the runs."""
    run_id: str | None = None
    """Name of the run."""
    cache_dir: str | None = None
    """Folder of what runs share, such as a teacher's answers."""
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    """Address of a Ray cluster; None starts one on this machine."""
    pilot: int | None = None
    """Records of a first run that must pass the gate, 1 or more."""
    load_groups: LoadGroups | None = None
    dataset_batch_size: int = 50
    """Rows of a batch of the source, 1 or more."""
    rows_per_shard: int = ROWS_PER_SHARD
    """Rows of the source that are worked on at once and resumed at once, 1 or more."""
    llm_batch_size: int | None = None
    """`input_batch_size` of the steps that ask a model, 1 or more."""
    log_level: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range, all at once."""
        numbers = ("pilot", "dataset_batch_size", "rows_per_shard", "llm_batch_size")
        faults = [
            f"run.{name} is {value}; allowed is 1 or more"
            for name in numbers
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True, kw_only=True)
class StageGate:
    """What the quality report of a stage must show."""

    stage: str = GATE_STAGE
    gate: QualityGate = TEACHER_GATE
    explicit: bool = False
    """Whether it was asked for, so that a report that is missing fails it."""


@dataclass(frozen=True)
class RunConfig:
    """A configuration, read."""

    pipeline: Mapping[str, Any] | None
    """The written pipeline, and `requirements`; None where the files hold none."""
    parameters: Mapping[str, Any]
    settings: RunSettings
    gate: StageGate | None
    """None where it was switched off."""
    gateway: Mapping[str, Any] | None
    """Settings of a provider for all models."""


def read_run_config(
    config: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> RunConfig:
    """Read a merged configuration.

    Args:
        config: See `config_layers.read_layers`.
        options: Fields of `RunSettings` from the command line; None values are left out.

    Raises:
        ConfigError: Lists all faults, of the environment too.
    """
    config = _unfolded(config)
    faults = [
        f"there is no section {key!r}; {did_you_mean(key, [*SECTIONS, *TOP_KEYS], what='section')}"
        for key in config
        if key not in (*SECTIONS, *TOP_KEYS)
    ]
    for name in (PARAMETERS, "run", "quality_gates", "provider_gateway", "decode_profiles"):
        if not isinstance(config.get(name) or {}, Mapping):
            faults.append(f"{name} is {config[name]!r}; a mapping is needed")
            config = {**config, name: {}}
    told = dict(config.get("run") or {})
    given = {key: value for key, value in (options or {}).items() if value is not None}
    merged = {**told, **_run_environment(faults), **given}
    settings, wrong = read_settings(RunSettings, merged, "run")
    faults += wrong
    gate = _gate(config.get("quality_gates") or {}, faults)
    made: list[RunSettings] = []
    if not wrong:
        try:
            made.append(RunSettings(**settings))
        except ConfigError as fault:
            faults += fault.faults
    if faults:
        raise ConfigError(faults)
    pipeline = config.get("pipeline")
    if pipeline is not None:
        pipeline = {"pipeline": pipeline, "requirements": config.get("requirements")}
    return RunConfig(
        pipeline, dict(config.get(PARAMETERS) or {}), made[0], gate, _gateway(config)
    )  # fmt: skip


def from_variable(name: str, kind: Callable[[str], Any], faults: list[str]) -> Any:  # noqa: ANN401
    """Read an environment variable; None where it is not set or empty, or has a fault.

    Args:
        name: The variable.
        kind: Reads its text; raises ValueError with what is allowed.
        faults: Gets what is wrong.
    """
    told = os.environ.get(name, "").strip()
    if not told:
        return None
    try:
        return kind(told)
    except ValueError as fault:
        faults.append(f"{name} is {told!r}; allowed is {fault}")
        return None


def as_count(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not text.isdecimal():
        raise ValueError("a whole number of 0 or more")
    return int(text)


def as_number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value - value != 0:
        raise ValueError("a finite number")
    return value


def as_switch(text: str) -> bool:
    """Read yes or no."""
    words = {"1": True, "true": True, "yes": True, "on": True,
             "0": False, "false": False, "no": False, "off": False}  # fmt: skip
    if text.lower() not in words:
        raise ValueError("1 or 0")
    return words[text.lower()]


def as_load_groups(text: str) -> LoadGroups | None:
    """Read load groups: `sequential_step_execution`, `a,b;c`, or a JSON list of lists.

    >>> as_load_groups("load,hash;teacher")
    [['load', 'hash'], ['teacher']]
    """
    if text.lower() in ("0", "none", "off", "false"):
        return None
    if text in ("sequential", "sequential_step_execution"):
        return "sequential_step_execution"
    if not text.startswith("["):
        return [[name.strip() for name in part.split(",")] for part in text.split(";")]
    try:
        groups = json.loads(text)
    except ValueError:
        groups = None
    if not isinstance(groups, list) or not all(isinstance(one, list) for one in groups):
        raise ValueError("'sequential_step_execution', 'a,b;c', or a JSON list of lists")
    return groups


def _run_environment(faults: list[str]) -> dict[str, Any]:
    kinds: dict[str, Callable[[str], Any]] = {
        "artifacts_dir": os.path.expanduser, "run_id": str, "cache_dir": os.path.expanduser,
        "dataset_batch_size": as_count, "llm_batch_size": as_count, "load_groups": as_load_groups,
        "log_level": str,
    }  # fmt: skip
    found = {
        name: from_variable(f"FASTDISTILL_{name.upper()}", kind, faults)
        for name, kind in kinds.items()
    }
    # A shard is what is written at once here; the size of a buffer of rows changes nothing.
    from_variable("FASTDISTILL_WRITE_BUFFER_BATCH_SIZE", as_count, faults)
    return {name: value for name, value in found.items() if value is not None}


def _gate(told: Mapping[str, Any], faults: list[str]) -> StageGate | None:
    """Read the gate: the environment goes before the file, and this before the defaults."""
    given = {_GATE_NAMES.get(k, k): v for k, v in told.items() if k not in _GATE_IDLE}
    kinds: dict[str, Callable[[str], Any]] = {
        "enabled": as_switch, "stage": str, "min_total": as_count, "min_exec_pass_rate": as_number,
        "min_gold_match_rate": as_number, "min_judge_score_mean": as_number,
    }  # fmt: skip
    variables = {name: f"FASTDISTILL_TEACHER_EVAL_{name.upper()}" for name in kinds}
    variables["enabled"] = "FASTDISTILL_TEACHER_EVAL_GATE"
    variables["min_judge_score_mean"] = "FASTDISTILL_TEACHER_EVAL_MIN_JUDGE_MEAN"
    for name, kind in kinds.items():
        value = from_variable(variables[name], kind, faults)
        if value is not None:
            given[name] = value
    faults += [
        f"quality_gates has the key {key!r}; {did_you_mean(key, kinds)}"
        for key in given
        if key not in kinds
    ]
    enabled, stage = given.pop("enabled", True), given.pop("stage", GATE_STAGE)
    explicit = bool(told) or os.environ.get(variables["enabled"], "").strip() != ""
    values, wrong = read_settings(
        QualityGate, {k: v for k, v in given.items() if k in kinds}, "quality_gates"
    )
    faults += wrong
    if not enabled or wrong:
        return None
    return StageGate(
        stage=str(stage), gate=dataclasses.replace(TEACHER_GATE, **values), explicit=explicit
    )


def _gateway(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    own, profiles = config.get("provider_gateway"), config.get("decode_profiles")
    if own is None and profiles is None:
        return None
    return {**(own or {}), **({} if profiles is None else {"decode_profiles": profiles})}


def _unfolded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Take sections that stand below the name of a program out of there."""
    flat = {key: value for key, value in config.items() if key not in TOP_KEYS}
    for key in TOP_KEYS:
        inside = config.get(key)
        if isinstance(inside, Mapping):
            flat = deep_merge({k: v for k, v in inside.items() if k in SECTIONS}, flat)
    return flat
