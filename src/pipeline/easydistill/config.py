"""Configurations of EasyDistill 1.0: all faults at once, paths found, secrets out of sight.

Keys that any of its samples has are known; others are errors that name the nearest known one.
"""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ...config import read_written_json, read_written_text
from ...errors import ConfigError, did_you_mean
from ...prompts import SYSTEM_MODES
from .jobs import Job, find_job
from .kinds import kind_faults

logger = logging.getLogger(__name__)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KNOWN: Final[dict[str, frozenset[str]]] = {
    "dataset": _words(
        "instruction_path labeled_path logits_path template seed input_path output_path "
        "num_in_context_samples num_output_samples train_ratio labeled_progress_dir "
        "labeled_path_raw prompt_format"
    ),
    "models": _words("teacher student reward trust_remote_code teacher_weights"),
    "inference": _words(
        "base_url api_key api_key_env model stream system_prompt max_new_tokens prompt "
        "positive_system_prompt negative_system_prompt enable_chunked_prefill seed "
        "gpu_memory_utilization temperature top_p trust_remote_code enforce_eager max_model_len "
        "top_logits_num batch_size vllm_config sampling_config step_models processing logging "
        "paths api_configs overwrite max_workers requests_per_minute tokens_per_minute budget "
        "prompt_price completion_price timeout"
    ),
    "distillation": _words("kd_ratio max_seq_length distillation_type temperature teacher_weights"),
}
_TRAINING: Final = _words(
    "max_length beta optimizer warmup_ratio output dataset reward_funcs deepspeed roll_out_num "
    "max_pixels "
    "total_episodes missing_eos_penalty stop_token response_length trainpath testpath num_epochs "
    "num_workers max_len config_path gradient_checkpoint savedir system_prompt deepspeed_config "
    "overwrite_output_dir evaluation_strategy save_safetensors max_steps logging_dir no_cuda "
    "fp16_opt_level half_precision_backend group_by_length report_to save_strategy save_total_limit"
)
"""What the training section has beside the fields of transformers.TrainingArguments, those of its
earlier releases included."""
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "black_box": ("dataset.labeled_path", "models.student"),
    "white_box": ("dataset.labeled_path", "dataset.logits_path", "models.student"),
    "preferences": ("dataset.instruction_path", "dataset.labeled_path", "models.student"),
    "reward_pairs": ("dataset.instruction_path", "dataset.labeled_path"),
    "tool_talks": ("dataset.labeled_path", "models.student"),
    "expansion": ("dataset.input_path", "dataset.output_path", "inference.prompt"),
    "refinement": ("dataset.input_path", "dataset.output_path", "inference.prompt"),
    "extraction": ("dataset.input_path", "dataset.output_path", "inference.prompt"),
    "thought": ("dataset.input_path", "dataset.output_path", "inference.prompt"),
    "shorter": ("dataset.input_path", "dataset.output_path", "inference.prompt"),
    "longer": ("dataset.input_path", "dataset.output_path", "inference.prompt"),
    "thought_scores": ("dataset.input_path", "dataset.output_path"),
    "answer_scores": ("dataset.input_path", "dataset.output_path"),
    "resampling": ("dataset.input_path", "dataset.output_path"),
    "answers": ("dataset.input_path", "dataset.output_path"),
}
_INPUTS: Final = ("instruction_path", "input_path")
ONLY_VLLM: Final = (
    "enable_chunked_prefill", "gpu_memory_utilization", "enforce_eager", "max_model_len",
    "vllm_config", "stream",
)  # fmt: skip


@dataclass(frozen=True)
class JobConfig:
    """A configuration without faults."""

    job: Job
    path: Path
    """The file it was read from."""
    dataset: Mapping[str, Any]
    """Paths of what is read are found; those of what is written are as given."""
    models: Mapping[str, Any] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict, repr=False)
    distillation: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def read_job_file(path: str | Path) -> Any:  # noqa: ANN401 - what the file holds
    """Read a JSON or YAML file.

    Raises:
        ConfigError: There is no such file, or it is neither.
    """
    place = Path(path)
    if not os.path.isfile(place):
        raise ConfigError([f"there is no configuration at {str(path)!r}"])
    if place.suffix.lower() not in (".yaml", ".yml"):
        return read_written_json(place)
    import yaml  # type: ignore[import-untyped]

    written = read_written_text(place)
    try:
        return yaml.safe_load(written)
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        mark = getattr(fault, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        reason = getattr(fault, "problem", None) or " ".join(str(fault).split())
        raise ConfigError([f"{path}{where}: is no YAML ({reason})"]) from fault


def read_first_generation(values: Mapping[str, Any], path: str | Path) -> JobConfig:
    """Check a configuration of EasyDistill 1.0.

    Args:
        values: What the file holds.
        path: The file; relative paths are looked for from the current folder, then from its own.

    Raises:
        ConfigError: All faults: keys that are not known or are missing, values of a wrong kind,
            files that are not there.
    """
    job = find_job(values.get("job_type"))
    faults = [*_unknown(values), *_wrong_kinds(values), *_missing(job, values)]
    if faults:
        raise ConfigError(faults)
    beside = Path(path).resolve().parent
    dataset = dict(values["dataset"])
    for name in _inputs(job, dataset):
        try:
            dataset[name] = found_path(dataset[name], beside)
        except ConfigError as fault:
            faults += fault.faults
    models = {
        name: [found_model(m, beside) for m in value]
        if isinstance(value, list)
        else found_model(value, beside)
        for name, value in dict(values.get("models") or {}).items()
    }
    if faults:
        raise ConfigError(faults)
    inference = dict(values.get("inference") or {})
    _tell(inference, models)
    return JobConfig(
        job,
        Path(path),
        dataset,
        models,
        inference,
        dict(values.get("distillation") or {}),
        dict(values.get("training") or {}),
    )


def found_path(name: str, beside: Path) -> str:
    """Find a file that is read: from the current folder, then beside the configuration.

    Raises:
        ConfigError: It is in neither.
    """
    given = Path(name).expanduser()
    for place in (given, beside / given):
        if place.exists():
            if place != given:
                logger.info("%s: taken from %s", name, place)
            return str(place)
    raise ConfigError([f"Input path does not exist: {name}"])


def found_model(name: Any, beside: Path) -> Any:  # noqa: ANN401 - other values are left alone
    """Find a model folder likewise; what is in neither place may be a name of the hub."""
    if not isinstance(name, str) or Path(name).expanduser().is_dir():
        return name
    return str(beside / name) if (beside / name).is_dir() else name


def _inputs(job: Job, dataset: Mapping[str, Any]) -> Iterator[str]:
    """Name the files that a job reads; labels are read only where no teacher writes them."""
    yield from (name for name in _INPUTS if isinstance(dataset.get(name), str))
    if job.teacher == "none":
        for name in ("labeled_path", "logits_path"):
            if isinstance(dataset.get(name), str):
                yield name


def _unknown(values: Mapping[str, Any]) -> Iterator[str]:
    sections = {"job_type", "training", *_KNOWN}
    for name in values:
        if name not in sections:
            yield f"unknown section {name!r}; {did_you_mean(name, sections, what='one')}"
    for section, known in _KNOWN.items():
        for name in _mapping(values.get(section)):
            if name not in known:
                yield f"unknown key '{section}.{name}'; {did_you_mean(name, known, what='one')}"
    training = _mapping(values.get("training"))
    if training:
        known = _TRAINING | _trainer_fields()
        for name in training:
            if name not in known:
                yield f"unknown key 'training.{name}'; {did_you_mean(name, known, what='one')}"


def _trainer_fields() -> frozenset[str]:
    """Name the settings of transformers' trainer, all of which the peer passes on.

    They are read from its source: importing it takes seconds, and a misspelt key is to be told at
    once.
    """
    place = find_spec("transformers")
    if place is None or place.origin is None:
        return frozenset()
    source = Path(place.origin).with_name("training_args.py").read_text(encoding="utf-8")
    return frozenset(
        line.target.id
        for part in ast.parse(source).body
        if isinstance(part, ast.ClassDef) and part.name == "TrainingArguments"
        for line in part.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    )


def _wrong_kinds(values: Mapping[str, Any]) -> Iterator[str]:
    for section in (*_KNOWN, "training"):
        value = values.get(section)
        if value is not None and not isinstance(value, Mapping):
            yield f"{section} is {value!r}; a mapping is needed"
    for section in _KNOWN:
        if section != "models":
            yield from kind_faults(section, _mapping(values.get(section)))
    dataset = _mapping(values.get("dataset"))
    for name in ("instruction_path", "labeled_path", "input_path", "output_path"):
        if (
            name in dataset
            and isinstance(dataset[name], (str, type(None)))
            and not _is_text(dataset[name])
        ):
            yield f"dataset.{name} is {dataset[name]!r}; a path is needed"
    chosen = dataset.get("prompt_format")
    if chosen is not None and chosen not in SYSTEM_MODES:
        yield f"dataset.prompt_format is {chosen!r}; allowed are {', '.join(SYSTEM_MODES)}"


def _missing(job: Job, values: Mapping[str, Any]) -> Iterator[str]:
    needed = list(_NEEDED[job.stage or ""])
    if job.stage in ("black_box", "white_box") and job.teacher != "none":
        needed.insert(0, "dataset.instruction_path")
    if job.teacher == "local":
        needed.append("models.teacher")
    if job.teacher == "api":
        needed.append("inference.base_url")
    if job.stage == "reward_pairs":
        needed += ["inference.positive_system_prompt", "inference.negative_system_prompt"]
    for name in needed:
        section, key = name.split(".")
        if not _mapping(values.get(section)).get(key):
            yield f"{name} is missing; {job.name} needs it"


def _tell(inference: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    """Say what is known but has no effect, and what should not stand in a file."""
    only_vllm = [name for name in ONLY_VLLM if name in inference]
    if only_vllm:
        logger.info("only a vLLM engine knows %s; left aside", ", ".join(only_vllm))
    if True in (inference.get("trust_remote_code"), models.get("trust_remote_code")):
        logger.info("trust_remote_code: code that comes with a model is never run")
    key = inference.get("api_key")
    if isinstance(key, str) and key and not key.startswith("$"):
        logger.warning("inference.api_key holds a key in plain text; set a variable, and name it "
                       "in inference.api_key_env")  # fmt: skip


def resolved_key(value: object) -> str | None:
    """Read a key: `${NAME}` and `$NAME` stand for variables of the environment.

    Raises:
        ConfigError: The variable is not set.
    """
    if not isinstance(value, str) or not value:
        return None
    if not value.startswith("$"):
        return value
    name = value[1:].strip("{}")
    found = os.environ.get(name)
    if found is None:
        raise ConfigError([
            f"Config references unset environment variable '{name}'. Set the variable or remove "
            "the placeholder."
        ])  # fmt: skip
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
