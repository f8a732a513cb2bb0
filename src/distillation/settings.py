"""The settings of a distillation: one frozen dataclass, checked as a whole, stored beside the
weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ..errors import ConfigError
from ..files import write_json
from ..records import record_hash
from .setting_names import (
    AttentionMeasure,
    HiddenMeasure,
    Objective,
    OptimizerKind,
    RampShape,
    Task,
    TooLong,
)
from .settings_checks import loss_faults, run_faults, schedule_names

FROM_TEACHER: Final = ("every_second_layer", "from_teacher")
"""Student names that mean: copy every second layer of the teacher. Both mean the same."""
FROM_SCRATCH: Final = "from_scratch"
"""Student name that means: untrained, in the teacher's family, of `student_layers` and
`student_width`."""
_MADE: Final = (*FROM_TEACHER, FROM_SCRATCH)
LARGEST_SEED: Final = 2**32 - 1
"""What the smallest of the random generators takes."""

_NOT_HASHED: Final = (
    "output_dir", "progress", "save_steps", "device", "teacher_cache",
    "gradient_checkpointing", "torch_compile", "torch_compile_backend", "keep_adapter",
)  # fmt: skip
"""Settings that do not change what is learnt. Of a teacher cache its content counts, not its
place."""


@dataclass(frozen=True)
class DistillationConfig:
    """What is distilled into what, and how.

    Raises:
        ConfigError: Settings out of range; all faults at once.

    >>> DistillationConfig(temperature=4.0).alpha
    0.5
    """

    teacher_model_name: str = "gpt2"
    """Checkpoint folder or name on the hub."""
    student_model_name: str = "distilgpt2"
    """Checkpoint folder, name on the hub, `every_second_layer` of the teacher, or
    `from_scratch`."""
    temperature: float = 2.0
    """Softens both distributions in the divergence; above 0."""
    alpha: float = 0.5
    """Weight of the teacher's distributions against the labels: 0 to 1."""
    max_length: int = 512
    """Most tokens of one example; what the models' positions allow is a bound too."""
    batch_size: int = 8
    """Examples per micro-batch."""
    num_epochs: float = 3
    """Passes over the data."""
    learning_rate: float = 5e-5
    """Of AdamW."""
    output_dir: str = "./distilled_model"
    """Where `save_distilled_model` writes."""
    _: KW_ONLY
    seed: int = 0
    """Of batches, dropout and new weights."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per optimizer step."""
    max_steps: int | None = None
    """Optimizer steps; overrides `num_epochs`."""
    objective: Objective = "forward_kl"
    """The divergence from the teacher. `universal_logit` takes a teacher with another tokenizer."""
    optimizer: OptimizerKind = "adamw"
    """`muon` takes the matrices inside the layers, AdamW the rest."""
    matrix_learning_rate: float = 4e-3
    """Of Muon."""
    weight_decay: float = 0.0
    """Decoupled; on matrices."""
    warmup_ratio: float = 0.0
    """Share of the steps in which the learning rate rises, 0 up to 1."""
    lr_scheduler: str = "linear"
    """A schedule of transformers. `warmup_stable_decay` needs `max_steps`."""
    decay_ratio: float = 0.3
    """Share of the steps in which `warmup_stable_decay` falls, 0 to 1."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to it; 0 does not clip."""
    too_long: TooLong = "truncate"
    """What happens to examples above `max_length`: cut and counted in a warning, or `error`."""
    student_layers: int | None = None
    """Layers of a `from_scratch` student."""
    student_width: int | None = None
    """Hidden size of a `from_scratch` student."""
    teacher_cache: str | None = None
    """Folder of a teacher cache (`stillroom cache-logits`); the teacher is then not loaded."""
    task: Task = "generation"
    """`classification` trains a model that chooses between classes from records with `text` and
    `label`; teacher and student must be classifiers."""
    temperature_end: float | None = None
    """Temperature at the last step, on the way from `temperature`; None keeps it."""
    alpha_end: float | None = None
    """Alpha at the last step, on the way from `alpha`; None keeps it."""
    loss_schedule: RampShape = "linear"
    """How temperature and alpha get there, `linear` or `cosine`."""
    hidden_weight: float = 0.0
    """Of a loss that draws hidden states to the teacher's; 0 leaves it out."""
    hidden_measure: HiddenMeasure = "mse"
    """`mse` or `cosine`."""
    attention_weight: float = 0.0
    """Of a loss that draws attention maps to the teacher's; 0 leaves it out."""
    attention_measure: AttentionMeasure = "kl"
    """`kl` or `mse`."""
    layer_pairs: Sequence[Sequence[int]] | None = None
    """[student layer, teacher layer] of these losses, counted from 1; 0 are the embeddings. None
    spreads the teacher's layers evenly."""
    trainable: str | None = None
    """Regular expression; only parameters in whose name it is found learn. None for all."""
    unfreeze: Sequence[str] | None = None
    """Such an expression per epoch: each epoch trains those of the epochs before it as well. One
    process only; with several, use stages."""
    on_policy: bool = False
    """Whether the student writes the answers itself, by TRL's trainer (extra `onpolicy`)."""
    max_completion_length: int = 128
    """Most tokens the student writes on policy."""
    lora_r: int | None = None
    """Rank of a LoRA adapter (extra `peft`), which alone learns and is merged into the student
    when training ends; None trains the student itself."""
    lora_alpha: float = 16
    """The adapter counts alpha / rank."""
    lora_dropout: float = 0.0
    """On the adapter's inputs, 0 up to 1."""
    lora_target_modules: str | Sequence[str] = "all-linear"
    """Modules that get an adapter: ends of their names, a regular expression, or `all-linear` for
    all linear layers but the head."""
    lora_modules_to_save: Sequence[str] | None = None
    """Modules that learn whole beside the adapter, as `["lm_head"]`."""
    load_in_4bit: bool = False
    """Whether the student's frozen weights are held in 4 bit under the adapter (QLoRA: nf4, double
    quantisation; extra `peft`). Needs `lora_r`."""
    keep_adapter: bool = False
    """Whether the adapter is saved too, in `adapter` in the student's folder."""
    teacher_bits: Literal[4, 8] | None = None
    """Holds the teacher's linear layers in 8 or 4 bit (extra `peft`)."""
    gradient_checkpointing: bool = False
    """Whether layers are computed anew in the backward pass: less memory, a third more time."""
    packing: bool = False
    """Whether several examples share a row, without seeing each other, in the place of padding."""
    torch_compile: bool = False
    """Whether the student's layers are compiled; worth it in long runs of large models."""
    torch_compile_backend: str = "inductor"
    """A backend of torch.compile."""
    dtype: str | None = None
    """Arithmetic of training, `bfloat16` or `float32`; None chooses by the processor."""
    device: str | None = None
    """`cpu`, `cuda`, ...; None takes CUDA where there is one."""
    save_steps: int | None = None
    """Checkpoint in the work folder after so many steps; None saves by the clock."""
    progress: bool = True
    """Whether to show a progress bar."""

    def __post_init__(self) -> None:
        """Check all settings."""
        faults = config_faults(asdict(self))
        if faults:
            raise ConfigError(faults)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain JSON values."""
        return asdict(self)

    def save(self, path: str | Path) -> Path:
        """Write the settings as JSON, whole or not at all."""
        return write_json(path, self.to_dict())


def read_config(config_dict: Mapping[str, Any]) -> DistillationConfig:
    """Build the settings from a mapping, e.g. from a JSON file.

    Raises:
        ConfigError: Keys that are not known (with the nearest known one) and values out of range;
            all faults at once.
    """
    known = [field.name for field in fields(DistillationConfig)]
    faults = []
    for key in config_dict:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"the nearest known key is {near[0]!r}" if near else f"known are {known}"
            faults.append(f"unknown key {key!r}; {hint}")
    given = {key: value for key, value in config_dict.items() if key in known}
    defaults = DistillationConfig().to_dict()
    faults += config_faults(defaults | given)
    if faults:
        raise ConfigError(faults)
    return DistillationConfig(**given)


def config_hash(
    config: DistillationConfig, *, dtype: str, teacher_cache_sha256: str | None = None
) -> str:
    """Hash what decides the outcome: all settings but places, bar and saving (contracts.md 2.5).

    Args:
        config: The settings.
        dtype: The arithmetic that was chosen.
        teacher_cache_sha256: Hash of the cache's manifest; None where none is read.
    """
    decisive = {k: v for k, v in config.to_dict().items() if k not in _NOT_HASHED}
    if teacher_cache_sha256 is not None:
        decisive["teacher_cache_sha256"] = teacher_cache_sha256
    return record_hash(decisive | {"dtype": dtype})


def config_faults(values: Mapping[str, Any]) -> list[str]:
    """List what is wrong with the values of all settings; empty when all is well."""
    faults = loss_faults(values["temperature"], values["alpha"], values["objective"])
    for name in ("teacher_model_name", "student_model_name", "output_dir", "lr_scheduler"):
        if not isinstance(values[name], str) or not values[name].strip():
            faults.append(f"{name} is {values[name]!r}; allowed is a text")
    cache = values["teacher_cache"]
    if cache is not None and not (isinstance(cache, str) and cache.strip()):
        faults.append(f"teacher_cache is {cache!r}; allowed is null or a folder")
    for name, least in _LEAST_INTEGER.items():
        if not _is_integer(values[name]) or values[name] < least:
            faults.append(f"{name} is {values[name]!r}; allowed is a whole number from {least} on")
        elif name == "seed" and values[name] > LARGEST_SEED:
            faults.append(f"seed is {values[name]!r}; allowed is up to {LARGEST_SEED:,}")
    for name in ("max_steps", "save_steps", "student_layers", "student_width"):
        if values[name] is not None and not (_is_integer(values[name]) and values[name] >= 1):
            faults.append(f"{name} is {values[name]!r}; allowed is null or a whole number above 0")
    for name in ("num_epochs", "learning_rate", "matrix_learning_rate"):
        if not _is_number(values[name]) or not 0.0 < values[name] < float("inf"):
            faults.append(f"{name} is {values[name]!r}; allowed is a number above 0")
    for name in ("weight_decay", "warmup_ratio", "decay_ratio"):
        if not _is_number(values[name]) or not 0.0 <= values[name] < 1.0:
            faults.append(f"{name} is {values[name]!r}; allowed is 0 up to 1")
    if not _is_number(values["max_grad_norm"]) or not 0.0 <= values["max_grad_norm"] < float("inf"):
        faults.append(f"max_grad_norm is {values['max_grad_norm']!r}; allowed is 0 or more")
    for name, allowed in _CHOICES.items():
        if values[name] not in allowed:
            faults.append(f"{name} is {values[name]!r}; allowed are {allowed}")
    schedules = schedule_names()
    if schedules and values["lr_scheduler"] not in schedules:
        near = difflib.get_close_matches(str(values["lr_scheduler"]), sorted(schedules), n=1)
        hint = f"; the nearest is {near[0]!r}" if near else f"; there are {sorted(schedules)}"
        faults.append(f"lr_scheduler is {values['lr_scheduler']!r}{hint}")
    if values["lr_scheduler"] == "warmup_stable_decay" and values["max_steps"] is None:
        faults.append("lr_scheduler 'warmup_stable_decay' needs max_steps")
    sizes = (values["student_layers"], values["student_width"])
    if values["student_model_name"] == FROM_SCRATCH and None in sizes:
        faults.append("student_model_name 'from_scratch' needs student_layers and student_width")
    if values["keep_adapter"] is True and values["student_model_name"] in _MADE:
        faults.append(
            f"keep_adapter: an adapter of {values['student_model_name']!r} has no base that could "
            "be loaded again; save such a student first, and name its folder"
        )
    defaults = {field.name: field.default for field in fields(DistillationConfig)}
    faults += run_faults(values, defaults)
    return faults


_LEAST_INTEGER: Final = {
    "max_length": 2,
    "batch_size": 1,
    "gradient_accumulation_steps": 1,
    "seed": 0,
}
_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "optimizer": get_args(OptimizerKind),
    "too_long": get_args(TooLong),
    "dtype": (None, "bfloat16", "float32"),
    "progress": (True, False),
}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
