"""Read EasyDistill configurations of both generations into a `JobConfig`.

`_SECTIONS` lists the keys of each section and `_KINDS` the allowed values of keys; all faults are
reported at once. A 2.0 configuration is converted to the keys of 1.0. Null means not given.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ...config import as_settings, named_place, read_written_json, read_written_yaml
from ...distillation.settings import DistillationConfig
from ...errors import ConfigError, did_you_mean
from ...prompts import SYSTEM_MODES
from ..options import LARGEST_SEED, is_number
from ..path_checks import output_faults
from .config_v2 import SECTIONS_V2, from_v2, place_v2
from .jobs import Job, find_job
from .settings import OBJECTIVES, training_settings

logger = logging.getLogger(__name__)

Values = Mapping[str, Any]
_USED: Final = {
    "dataset": "instruction_path labeled_path logits_path seed input_path output_path "
    "instruction_key output_key num_in_context_samples num_output_samples prompt_format",
    "models": "teacher student",
    "inference": "base_url api_key api_key_env model system_prompt positive_system_prompt "
    "negative_system_prompt prompt max_new_tokens seed temperature top_p top_logits_num overwrite "
    "max_workers requests_per_minute tokens_per_minute budget prompt_price completion_price "
    "timeout",
    "distillation": "kd_ratio max_seq_length distillation_type temperature",
    "training": "beta output overwrite_output_dir output_dir num_train_epochs max_length optimizer "
    "per_device_train_batch_size gradient_accumulation_steps learning_rate weight_decay "
    "warmup_ratio lr_scheduler_type max_grad_norm max_steps save_steps gradient_checkpointing",
}
_IDLE: Final = {
    "dataset": "template train_ratio labeled_progress_dir labeled_path_raw",
    "models": "reward trust_remote_code teacher_weights",
    "inference": "stream enable_chunked_prefill gpu_memory_utilization trust_remote_code "
    "enforce_eager max_model_len batch_size vllm_config sampling_config step_models processing "
    "logging paths api_configs",
    "distillation": "teacher_weights",
    # Not in transformers.TrainingArguments; includes fields of its earlier releases.
    "training": "dataset reward_funcs deepspeed roll_out_num max_pixels total_episodes "
    "missing_eos_penalty stop_token response_length trainpath testpath num_epochs num_workers "
    "max_len config_path gradient_checkpoint savedir system_prompt deepspeed_config "
    "evaluation_strategy save_safetensors logging_dir no_cuda fp16_opt_level "
    "half_precision_backend group_by_length report_to save_strategy save_total_limit",
}
"""Keys that EasyDistill knows and that have no effect here; the log names them."""
_SECTIONS: Final = {name: f"{keys} {_IDLE[name]}" for name, keys in _USED.items()}
_UNCHECKED: Final = ("models", "training")
"""Values of these sections are checked where they are used."""
_KINDS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    name: (fits, allowed)
    for names, fits, allowed in (
        ("base_url model model_id prompt system_prompt positive_system_prompt "
         "negative_system_prompt api_key api_key_env template prompt_template prompt_template_file "
         "instruction_key system_key problem_key answer_key output_key text_key",
         lambda value: isinstance(value, str), "a text"),
        ("instruction_path labeled_path logits_path input_path output_path",
         lambda value: isinstance(value, str) and bool(value.strip()), "a path"),
        ("max_workers num_in_context_samples num_output_samples batch_size max_tokens",
         lambda value: type(value) is int and value > 0, "a whole number from 1 on"),
        # `DecodeProfile` checks its range.
        ("max_new_tokens", lambda value: type(value) is int, "a whole number from 1 on"),
        ("seed", lambda value: type(value) is int and 0 <= value <= LARGEST_SEED,
         f"0 to {LARGEST_SEED}"),
        ("timeout requests_per_minute tokens_per_minute", partial(is_number, least=0, above=True),
         "a number above 0"),
        ("budget prompt_price completion_price", partial(is_number, least=0), "a number from 0 on"),
        ("temperature", partial(is_number, least=0, most=100), "0 to 100"),
        ("top_p", partial(is_number, least=0, most=1, above=True), "above 0 to 1"),
        ("kd_ratio train_ratio", partial(is_number, least=0, most=1), "0 to 1"),
        ("prompt_format", lambda value: value in SYSTEM_MODES, " or ".join(SYSTEM_MODES)),
        ("distillation_type", lambda value: value in tuple(OBJECTIVES), " or ".join(OBJECTIVES)),
    )
    for name in names.split()
}  # fmt: skip


@dataclass(frozen=True)
class JobConfig:
    """A configuration without faults."""

    job: Job
    dataset: Values
    """Paths of input files are resolved; paths of output files are as given."""
    models: Values
    inference: Values = field(repr=False)
    training: Values
    settings: DistillationConfig
    """Settings of the training, if the job trains a student."""
    records: Mapping[str, Sequence[Values]] = field(default_factory=dict, repr=False)
    """Key of `dataset` -> records of that file, if the caller has read them already."""


def read_job(path: str | Path) -> JobConfig:
    """Read and check a configuration of either generation in a JSON or YAML file.

    Relative paths in it are resolved against the current folder, then against the folder of the
    configuration.

    Raises:
        ConfigError: There is no such file, it is neither JSON nor YAML, or the job is unknown or
            not supported. Otherwise lists all faults: unknown and missing keys, wrong values,
            missing input files, and output that cannot be written.
    """
    if not os.path.isfile(path):
        raise ConfigError([f"there is no configuration at {str(path)!r}"])
    is_yaml = Path(path).suffix.lower() in (".yaml", ".yml")
    written = read_written_yaml(path) if is_yaml else read_written_json(path)
    values, beside = as_settings(written, path), Path(path).resolve().parent
    job = _job_of(values)
    faults = list(_key_faults(values, job))
    sections = {name: dict(value) for name, value in values.items() if isinstance(value, Mapping)}
    if job.generation == "2.0":
        sections = from_v2(sections, job, beside, faults)
    given = {name: _given(sections.get(name, {})) for name in _SECTIONS}
    # Null in `training` means the default of our trainer instead of EasyDistill's.
    given["training"] = sections.get("training", {})
    faults += [*_missing(given, job), *_find_files(given["dataset"], job, beside),
               *_place_faults(given)]  # fmt: skip
    if faults:
        raise ConfigError(faults)
    given["models"] = {key: _found_model(name, beside) for key, name in given["models"].items()}
    _log_idle(given)
    settings = training_settings(given, job) if job.definition.trains else DistillationConfig()
    del given["distillation"]
    return JobConfig(job, settings=settings, **given)


def _job_of(values: Values) -> Job:
    name = values.get("job_type")
    if name is None and ("models" in values or "training" in values):
        raise ConfigError(["job_type is missing; see stillroom easydistill --list-jobs"])
    return find_job("instruct_distill" if name is None else name)  # the default of 2.0


def _key_faults(values: Values, job: Job) -> Iterator[str]:
    """Report unknown sections and keys, and values of a wrong kind or out of range."""
    table = _SECTIONS if job.generation == "1.0" else SECTIONS_V2
    if job.generation == "1.0":  # 2.0 keeps further sections for other tools
        sections = ("job_type", *table)
        for name in values:
            if name not in sections:
                yield f"unknown section {name!r}; {did_you_mean(name, sections, what='one')}"
    for section, keys in table.items():
        given = values.get(section) or {}
        if not isinstance(given, Mapping):
            yield f"{section} is {given!r}; a mapping is needed"
            continue
        known = (*keys.split(), *(_trainer_fields() if section == "training" and given else ()))
        for name, value in given.items():
            fits, allowed = _KINDS.get(name, (None, ""))
            if name not in known:
                hint = did_you_mean(name, known, what="one")
                yield f"unknown key '{section}.{name}'; {hint}"
            elif fits and value is not None and not fits(value) and section not in _UNCHECKED:
                yield f"{section}.{name} is {value!r}; allowed is {allowed}"


def _trainer_fields() -> list[str]:
    """Return the fields of transformers' training arguments, which EasyDistill accepts.

    They are read from the source, because the import takes seconds.
    """
    place = find_spec("transformers")
    if place is None or place.origin is None:
        return []
    source = Path(place.origin).with_name("training_args.py").read_text(encoding="utf-8")
    return re.findall(r"^    (\w+): ", source, re.MULTILINE)


def _missing(given: Mapping[str, Values], job: Job) -> Iterator[str]:
    needed = ["dataset.instruction_path"] if job.labels_first else []
    needed += job.definition.needs
    needed += {"local": ["models.teacher"], "api": ["inference.base_url"], "none": []}[job.teacher]
    for name in needed:
        section, key = name.split(".")
        if not given[section].get(key):
            place = place_v2(section, key) if job.generation == "2.0" else name
            yield f"{place} is missing; {job.name} needs it"


def _find_files(dataset: dict[str, Any], job: Job, beside: Path) -> Iterator[str]:
    """Resolve the paths of input files in `dataset`, and report files that are not found."""
    # Labels are an input only if no teacher writes them.
    labels = ("labeled_path", "logits_path") if job.teacher == "none" else ()
    for key in ("instruction_path", "input_path", *labels):
        path = dataset.get(key)
        if isinstance(path, str) and path.strip():
            found = named_place(path, beside)
            dataset[key] = str(found or path)
            if found is None:
                yield f"Input path does not exist: {path}"
            elif found != Path(path):
                logger.info("%s: taken from %s", path, found)


def _found_model(name: Any, beside: Path) -> Any:  # noqa: ANN401 - a name, or a list of them
    """Resolve the path of a model folder; a name that is no folder may be one on the hub."""
    if isinstance(name, list):
        return [_found_model(one, beside) for one in name]
    return str(named_place(name, beside) or name) if isinstance(name, str) else name


def _place_faults(given: Mapping[str, Values]) -> Iterator[str]:
    """Report an output file or folder that cannot be written."""
    path, folder = given["dataset"].get("output_path"), given["training"].get("output_dir")
    if isinstance(path, str) and Path(path).is_dir():
        yield f"Output path is a directory: {path}"
    elif isinstance(path, str):
        yield from output_faults("dataset.output_path", str(Path(path).parent))
    if isinstance(folder, str):
        yield from output_faults("training.output_dir", folder)


def _log_idle(given: Mapping[str, Values]) -> None:
    """Log which keys have no effect, and warn of an API key in plain text."""
    for section, values in given.items():
        idle = [key for key in values if key not in _USED[section].split()]
        if idle:
            logger.info("%s: %s have no effect here", section, ", ".join(idle))
    if not str(given["inference"].get("api_key") or "$").startswith("$"):
        logger.warning("inference.api_key holds a key in plain text; set a variable, and name it "
                       "in inference.api_key_env")  # fmt: skip


def _given(values: Values) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
