"""EasyDistill configurations of both generations, read into a `JobConfig`.

One table says which keys a section has and one which values a key takes; all faults are reported at
once. A configuration of 2.0 is then put into the keys of 1.0. Null counts as not given.
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

from ...config import (
    as_settings,
    read_written_json,
    read_written_text,
    read_written_yaml,
)
from ...errors import ConfigError, did_you_mean
from ...prompts import SYSTEM_MODES
from ..options import LARGEST_SEED, is_number
from .jobs import Job, find_job

logger = logging.getLogger(__name__)

Values = Mapping[str, Any]
OBJECTIVES: Final = {"forward_kld": "forward_kl", "reverse_kld": "reverse_kl"}
"""Name of a divergence in `distillation.distillation_type` -> our name."""
_SECTIONS: Final = {
    "dataset": "instruction_path labeled_path logits_path template seed input_path output_path "
    "num_in_context_samples num_output_samples train_ratio labeled_progress_dir labeled_path_raw "
    "prompt_format",
    "models": "teacher student reward trust_remote_code teacher_weights",
    "inference": "base_url api_key api_key_env model stream system_prompt max_new_tokens prompt "
    "positive_system_prompt negative_system_prompt enable_chunked_prefill seed "
    "gpu_memory_utilization temperature top_p trust_remote_code enforce_eager max_model_len "
    "top_logits_num batch_size vllm_config sampling_config step_models processing logging paths "
    "api_configs overwrite max_workers requests_per_minute tokens_per_minute budget prompt_price "
    "completion_price timeout",
    "distillation": "kd_ratio max_seq_length distillation_type temperature teacher_weights",
    # Beside the fields of transformers.TrainingArguments: those of its earlier releases, too.
    "training": "max_length beta optimizer warmup_ratio output dataset reward_funcs deepspeed "
    "roll_out_num max_pixels total_episodes missing_eos_penalty stop_token response_length "
    "trainpath testpath num_epochs num_workers max_len config_path gradient_checkpoint savedir "
    "system_prompt deepspeed_config overwrite_output_dir evaluation_strategy save_safetensors "
    "max_steps logging_dir no_cuda fp16_opt_level half_precision_backend group_by_length report_to "
    "save_strategy save_total_limit",
}
_SERVER: Final = "type api_key api_key_env base_url endpoint_url token model_id timeout max_retries"
_SECTIONS_V2: Final = {
    "backend": _SERVER,
    "eval_backend": _SERVER,
    "dataset": "input_path output_path output_dir instruction_key system_key problem_key "
    "answer_key output_key text_key output_format skip_empty min_length max_length",
    "generation": "system_prompt temperature max_tokens max_workers prompt_template "
    "prompt_template_file raise_on_error retry_attempts retry_backoff_base retry_max_wait model_id "
    "seed show_progress",
    "synthesis": "prompt_template prompt_template_file num_in_context_samples num_output_samples "
    "seed rounds",
    "eval": "metrics prompts_file model_id max_workers temperature max_tokens",
}
_ONLY_VLLM: Final = (
    "enable_chunked_prefill", "gpu_memory_utilization", "enforce_eager", "max_model_len",
    "vllm_config", "stream",
)  # fmt: skip


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
        # Its range is checked with that of the other settings of a decoding.
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
_MAPPED_V2: Final = {
    (ours, name.partition("=")[0]): (theirs, name.rpartition("=")[2])
    for ours, theirs, names in (
        ("dataset", "dataset", "input_path output_path instruction_key output_key"),
        ("dataset", "synthesis", "num_in_context_samples num_output_samples seed"),
        ("inference", "backend", "base_url api_key api_key_env timeout"),
        ("inference", "generation", "system_prompt seed temperature max_new_tokens=max_tokens "
         "max_workers model=model_id"),
    )
    for name in names.split()
}  # fmt: skip
"""Section and key of 1.0 -> those of 2.0 that mean the same. For jobs that score, `eval` stands for
`generation`, and `eval_backend`, where it is given, for `backend`."""
_PROMPTS_V2: Final = {
    "expansion": "Write one new instruction in the manner of the examples below, but on another "
    "matter. Put it between <answer> and </answer>.",
    "refinement": "Rewrite the instruction below so that it is clear and complete. Put it between "
    "<answer> and </answer>.",
    "extraction": "Find an instruction that the text below answers. Put it between <instruction> "
    "and </instruction>, and the answer between <response> and </response>.",
    "thought": "Solve the problem below step by step, then give the answer.",
    "shorter": "You make reasoning short and keep what it needs.",
    "longer": "You write reasoning out in full.",
}
"""Stage -> the prompt of a 2.0 job whose configuration has none."""


@dataclass(frozen=True)
class JobConfig:
    """A configuration without faults."""

    job: Job
    dataset: Values
    """Paths of files that are read are found; those of files that are written are as given."""
    models: Values = field(default_factory=dict)
    inference: Values = field(default_factory=dict, repr=False)
    distillation: Values = field(default_factory=dict)
    training: Values = field(default_factory=dict)
    records: Mapping[str, Sequence[Values]] = field(default_factory=dict, repr=False)
    """Key of `dataset` -> the records of that file, where the caller has read them already."""


def read_job(path: str | Path) -> JobConfig:
    """Read and check the configuration in a JSON or YAML file.

    Raises:
        ConfigError: There is no such file, it is neither JSON nor YAML, or the configuration has
            faults.
    """
    if not os.path.isfile(path):
        raise ConfigError([f"there is no configuration at {str(path)!r}"])
    is_yaml = Path(path).suffix.lower() in (".yaml", ".yml")
    values = read_written_yaml(path) if is_yaml else read_written_json(path)
    return check_job(as_settings(values, path), Path(path).resolve().parent)


def check_job(values: Values, beside: Path) -> JobConfig:
    """Check a configuration of either generation.

    Args:
        values: Sections and `job_type`.
        beside: Folder in which files are looked for that are not below the current one.

    Raises:
        ConfigError: The job is unknown or refused; or all faults: unknown and missing keys, values
            of a wrong kind, files that are not there.
    """
    name = values.get("job_type")
    if name is None and ("models" in values or "training" in values):
        raise ConfigError(["job_type is missing; see stillroom easydistill --list-jobs"])
    job = find_job("instruct_distill" if name is None else name)  # the default of 2.0
    faults = list(_key_faults(values, job))
    sections = {section: _mapping(value) for section, value in values.items()}
    if job.generation == "2.0":
        sections = _from_v2(sections, job, beside, faults)
    faults += _missing(sections, job)
    given = {name: _given(sections.get(name, {})) for name in _SECTIONS}
    # Null in `training` takes the default of our trainer in the place of EasyDistill's.
    given["training"] = dict(sections.get("training", {}))
    dataset, models = given["dataset"], given["models"]
    # Labels are read only where no teacher writes them.
    labels = ("labeled_path", "logits_path") if job.teacher == "none" else ()
    for key in ("instruction_path", "input_path", *labels):
        path = dataset.get(key)
        if isinstance(path, str) and path.strip():
            found = _found(path, beside)
            dataset[key] = found or path
            faults += [] if found else [f"Input path does not exist: {path}"]
    if faults:
        raise ConfigError(faults)
    for key, value in models.items():
        models[key] = _found_model(value, beside)
    _log_ignored(given["inference"], models)
    return JobConfig(job, **given)


def resolved_variable(text: str) -> str:
    """Put variables of the environment in the places of `${NAME}` and `$NAME`.

    Raises:
        ConfigError: One is not set.
    """
    for name in re.findall(r"\$\{?(\w+)", text):
        if name not in os.environ:
            raise ConfigError([f"Config references unset environment variable '{name}'. Set the "
                               "variable or remove the placeholder."])  # fmt: skip
    return os.path.expandvars(text)


def _key_faults(values: Values, job: Job) -> Iterator[str]:
    """Name unknown sections and keys, and values of a wrong kind or out of range."""
    table = _SECTIONS if job.generation == "1.0" else _SECTIONS_V2
    if job.generation == "1.0":  # 2.0 keeps further sections for other tools
        sections = ("job_type", *table)
        for name in values:
            if name not in sections:
                yield f"unknown section {name!r}; {did_you_mean(name, sections, what='one')}"
    for section, keys in table.items():
        given = values.get(section)
        if given is not None and not isinstance(given, Mapping):
            yield f"{section} is {given!r}; a mapping is needed"
        known = tuple(keys.split())
        if section == "training" and _mapping(given):
            known += _trainer_fields()
        for name, value in _mapping(given).items():
            fits, allowed = _KINDS.get(name, (None, ""))
            if name not in known:
                hint = did_you_mean(name, known, what="one")
                yield f"unknown key '{section}.{name}'; {hint}"
            elif fits and value is not None and not fits(value) and section not in _UNCHECKED:
                yield f"{section}.{name} is {value!r}; allowed is {allowed}"


def _trainer_fields() -> tuple[str, ...]:
    """Read the fields of transformers' training arguments, all of which the peer passes on, from
    their source: an import takes seconds."""
    place = find_spec("transformers")
    if place is None or place.origin is None:
        return ()
    source = Path(place.origin).with_name("training_args.py").read_text(encoding="utf-8")
    return tuple(re.findall(r"^    (\w+): ", source, re.MULTILINE))


def _missing(sections: Mapping[str, Values], job: Job) -> Iterator[str]:
    needed = ["dataset.instruction_path"] if job.labels_first else []
    needed += job.definition.needs
    needed += {"local": ["models.teacher"], "api": ["inference.base_url"], "none": []}[job.teacher]
    for name in needed:
        section, key = name.split(".")
        if not sections.get(section, {}).get(key):
            if job.generation == "2.0":
                section, key = _MAPPED_V2.get((section, key), (section, key))
            yield f"{section}.{key} is missing; {job.name} needs it"


def _from_v2(
    given: Mapping[str, Values], job: Job, beside: Path, faults: list[str]
) -> dict[str, Values]:
    """Put the sections of a 2.0 configuration into those of 1.0; faults are added to the list."""
    used = {section: _given(given.get(section, {})) for section in _SECTIONS_V2}
    for section, values in used.items():
        for key, value in values.items():
            # A variable may stand for an address or a path. The key is resolved when it is used.
            path = section in ("backend", "eval_backend") or key.endswith(
                ("_path", "_file", "_dir")
            )
            if path and key != "api_key" and isinstance(value, str):
                try:
                    values[key] = resolved_variable(value)
                except ConfigError as fault:
                    faults += fault.faults
    defaults: Values = {"temperature": 0.7, "max_tokens": 2048, "max_workers": 1}
    if job.definition.judges:
        defaults = {"temperature": 0.0, "max_tokens": 512, "max_workers": 10}
        used["generation"] = used["eval"]
        used["backend"] = used["eval_backend"] or used["backend"]
    kind = used["backend"].get("type", "openai")
    if kind != "openai":
        faults.append(f"backend.type is {kind!r}; allowed is 'openai', for any server that speaks "
                      "its HTTP")  # fmt: skip
    model = used["generation"].get("model_id") or used["backend"].get("model_id")
    used["generation"] = {**defaults, **used["generation"], "model_id": model}
    made: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    made["dataset"]["output_key"] = "response" if job.stage == "answers" else "output"
    for (to, key), (section, name) in _MAPPED_V2.items():
        if name in used[section]:
            made[to][key] = used[section][name]
    try:
        made["inference"]["prompt"] = _prompt_v2(used, job, beside)
    except ConfigError as fault:
        made["inference"]["prompt"] = "?"  # is there, and its fault is reported
        faults += fault.faults
    return {**made}


def _prompt_v2(used: Mapping[str, Values], job: Job, beside: Path) -> str:
    """Give the prompt that stands before the record.

    Raises:
        ConfigError: It has places to fill in, or its file is not there.
    """
    for name in ("synthesis", "generation"):
        text, file = (used[name].get(f"prompt_template{end}") for end in ("", "_file"))
        if not text and file:
            text = read_written_text(_found(str(file), beside) or str(file))
        if text:
            if re.search(r"\{(instruction|problem|answer|output|text|examples)\}", str(text)):
                raise ConfigError([
                    f"{name}.prompt_template has places such as {{instruction}} to fill in; write "
                    "the prompt alone: the record is put behind it"
                ])  # fmt: skip
            return str(text)
    return _PROMPTS_V2.get(job.stage or "", "")


def _found(name: str, beside: Path) -> str | None:
    """Find a file that is read: from the current folder, then beside the configuration."""
    given = Path(name).expanduser()
    place = next((place for place in (given, beside / given) if place.exists()), None)
    if place not in (None, given):
        logger.info("%s: taken from %s", name, place)
    return None if place is None else str(place)


def _found_model(name: Any, beside: Path) -> Any:  # noqa: ANN401 - a name, or a list of them
    """Find a model folder likewise; what is in neither place may be a name of the hub."""
    if isinstance(name, list):
        return [_found_model(one, beside) for one in name]
    if not isinstance(name, str) or Path(name).expanduser().is_dir():
        return name
    return str(beside / name) if (beside / name).is_dir() else name


def _log_ignored(inference: Values, models: Values) -> None:
    """Log which keys have no effect, and warn of a key in plain text."""
    only_vllm = [name for name in _ONLY_VLLM if name in inference]
    if only_vllm:
        logger.info("only a vLLM engine knows %s; ignored", ", ".join(only_vllm))
    if True in (inference.get("trust_remote_code"), models.get("trust_remote_code")):
        logger.info("trust_remote_code: code that comes with a model is never run")
    if not str(inference.get("api_key") or "$").startswith("$"):
        logger.warning("inference.api_key holds a key in plain text; set a variable, and name it "
                       "in inference.api_key_env")  # fmt: skip


def _mapping(value: object) -> Values:
    return value if isinstance(value, Mapping) else {}


def _given(values: Values) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
