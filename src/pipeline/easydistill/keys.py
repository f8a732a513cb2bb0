"""All keys of EasyDistill configurations, with the checks of their names and values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from ...distillation.settings_checks import transformers_source
from ...errors import did_you_mean
from ...prompts import SYSTEM_MODES
from ..options import LARGEST_SEED, is_number
from .jobs import Generation

Section = Mapping[str, Any]
OBJECTIVES: Final = {"forward_kld": "forward_kl", "reverse_kld": "reverse_kl"}
"""Value of `distillation.distillation_type` -> our name of the divergence."""
USED: Final = {
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
"""Section of 1.0 -> keys that have an effect here."""
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
"""Section of 1.0 -> keys that EasyDistill knows and that have no effect here."""
_SERVER: Final = "type api_key api_key_env base_url endpoint_url token model_id timeout max_retries"
KEYS_V2: Final = {
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
_CHECKED_LATER: Final = ("models", "training")
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
"""Key -> the check of its values, and the words for what is allowed."""


def key_faults(values: Section, generation: Generation) -> Iterator[str]:
    """Report unknown sections and keys, and values of a wrong kind or out of range."""
    keys_v1 = {name: f"{keys} {_IDLE[name]}" for name, keys in USED.items()}
    table = keys_v1 if generation == "1.0" else KEYS_V2
    # 2.0 keeps further sections for other tools.
    sections = ("job_type", *table)
    for name in values:
        if name not in sections and generation == "1.0":
            yield f"unknown section {name!r}; {did_you_mean(name, sections, what='one')}"
    for section, keys in table.items():
        given = values.get(section) or {}
        if not isinstance(given, Mapping):
            yield f"{section} is {given!r}; a mapping is needed"
            continue
        known = keys.split()
        if section == "training" and given:  # EasyDistill accepts all of TrainingArguments
            known += re.findall(
                r"^    (\w+): ", transformers_source("training_args.py"), re.MULTILINE
            )
        for name, value in given.items():
            fits, allowed = _KINDS.get(name, (None, ""))
            if name not in known:
                hint = did_you_mean(name, known, what="one")
                yield f"unknown key '{section}.{name}'; {hint}"
            elif fits and value is not None and not fits(value) and section not in _CHECKED_LATER:
                yield f"{section}.{name} is {value!r}; allowed is {allowed}"
