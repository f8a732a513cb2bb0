"""The settings of a distillation, stored with the weights. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import ConfigError, did_you_mean
from ..files import write_json
from ..records import record_hash
from .setting_names import EVERY_SECOND as EVERY_SECOND
from .setting_names import FROM_SCRATCH as FROM_SCRATCH
from .setting_names import FROM_TEACHER as FROM_TEACHER
from .setting_names import PRUNED as PRUNED
from .setting_names import (
    AttentionMeasure,
    HiddenMeasure,
    Objective,
    OptimizerKind,
    RampShape,
    Task,
    TooLong,
)
from .settings_checks import setting_faults

_NOT_HASHED: Final = (
    "output_dir", "progress", "save_steps", "device", "teacher_cache",
    "gradient_checkpointing", "torch_compile", "torch_compile_backend", "keep_adapter",
)  # fmt: skip
"""Settings that do not change the trained weights. The content of a teacher cache is hashed instead
of its folder."""


@dataclass(frozen=True)
class DistillationConfig:
    """The settings of a distillation.

    Raises:
        ConfigError: Settings are out of range; lists all faults.

    >>> DistillationConfig(temperature=4.0).alpha
    0.5
    """

    teacher_model_name: str = "gpt2"
    """Checkpoint folder or name on the hub."""
    student_model_name: str = "distilgpt2"
    """Checkpoint folder, name on the hub, `from_teacher` (the teacher, pruned on the training
    data), `every_second_layer` of the teacher, or `from_scratch`."""
    temperature: float = 2.0
    """Temperature of both distributions in the divergence; above 0."""
    alpha: float = 0.5
    """Weight of the teacher's distributions relative to the labels, 0 to 1."""
    max_length: int = 512
    """Most tokens of an example; the models' positions limit it too."""
    batch_size: int = 8
    """Examples per micro-batch."""
    num_epochs: float = 3
    """Passes over the data."""
    learning_rate: float = 5e-5
    """Learning rate of AdamW."""
    output_dir: str = "./distilled_model"
    """Folder that `save_distilled_model` writes."""
    _: KW_ONLY
    seed: int = 0
    """Random seed of batches, dropout and new weights."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per optimizer step."""
    max_steps: int | None = None
    """Optimizer steps; overrides `num_epochs`."""
    objective: Objective = "forward_kl"
    """Divergence from the teacher. `universal_logit` allows a teacher with another tokenizer."""
    optimizer: OptimizerKind = "adamw"
    """`muon` trains the matrices inside the layers with Muon, the rest with AdamW."""
    matrix_learning_rate: float = 4e-3
    """Learning rate of Muon."""
    weight_decay: float = 0.0
    """Decoupled weight decay of matrices."""
    warmup_ratio: float = 0.0
    """Share of the steps in which the learning rate rises, 0 up to 1."""
    lr_scheduler: str = "linear"
    """A schedule of transformers. `warmup_stable_decay` needs `max_steps`."""
    decay_ratio: float = 0.3
    """Share of the steps in which `warmup_stable_decay` falls, 0 to 1."""
    max_grad_norm: float = 1.0
    """Norm to which gradients are clipped; 0 does not clip."""
    too_long: TooLong = "truncate"
    """Whether examples longer than `max_length` are truncated (a warning counts them) or raise an
    error."""
    student_layers: int | None = None
    """Layers of a `from_scratch` student, or layers that a `from_teacher` student keeps."""
    student_width: int | None = None
    """Hidden size of a `from_scratch` student."""
    student_size: float | None = None
    """Most parameters of a `from_teacher` student, as a share of the teacher's. Vocabulary and
    layers follow from it if they are not set. If no size is set, it is a half."""
    keep_layers: Sequence[int] | None = None
    """Layers of the teacher that a `from_teacher` student keeps, ascending from 0; None chooses
    them by their influence on the training data."""
    student_feed_forward: int | None = None
    """Channels that each feed-forward layer of a `from_teacher` student keeps."""
    student_vocabulary: int | None = None
    """Tokens that a `from_teacher` student keeps: all bytes, special tokens and those of the
    training data, and the most frequent others up to this many."""
    teacher_cache: str | Mapping[str, str] | None = None
    """Folder of a teacher cache (`stillroom cache-logits`), which replaces the teacher. For several
    teachers, with the teacher name `mixture`, a mapping of source -> folder: each record names its
    source in the field `source`, and is learned from the teacher of that source only."""
    task: Task = "generation"
    """`classification` trains a classifier from records with `text` and `label`. The teacher is a
    classifier, or its `probabilities` are in the records. A student that is an encoder or language
    model gets a classification head."""
    temperature_end: float | None = None
    """Temperature at the last step, changing from `temperature`; None keeps it."""
    alpha_end: float | None = None
    """Alpha at the last step, changing from `alpha`; None keeps it."""
    loss_schedule: RampShape = "linear"
    """Shape of these changes, `linear` or `cosine`."""
    hidden_weight: float = 0.0
    """Weight of a loss between hidden states of student and teacher; 0 omits it."""
    hidden_measure: HiddenMeasure = "mse"
    """`mse` (the squared error relative to the teacher's squared length) or `cosine`."""
    attention_weight: float = 0.0
    """Weight of a loss between their attention maps; 0 omits it."""
    attention_measure: AttentionMeasure = "kl"
    """`kl` or `mse`."""
    layer_pairs: Sequence[Sequence[int]] | None = None
    """[student layer, teacher layer] of these losses, counted from 1; 0 is the embeddings. None
    takes evenly spaced layers of the teacher."""
    trainable: str | None = None
    """Regular expression; only parameters in whose name it is found are trained. None for all."""
    unfreeze: Sequence[str] | None = None
    """One such expression per epoch; each epoch also trains the parameters of the epochs before.
    One process only; with several, use stages."""
    on_policy: bool = False
    """Whether the student is trained on answers that it generates itself, with TRL's trainer (extra
    `onpolicy`)."""
    max_completion_length: int = 128
    """Most tokens of an answer that the student generates on policy."""
    lora_r: int | None = None
    """Rank of a LoRA adapter (extra `peft`), which is trained instead of the student and merged
    into it when training ends; None trains the student itself."""
    lora_alpha: float = 16
    """The adapter is scaled by alpha / rank."""
    lora_dropout: float = 0.0
    """Dropout on the adapter's inputs, 0 up to 1."""
    lora_target_modules: str | Sequence[str] = "all-linear"
    """Modules with an adapter: ends of their names, a regular expression, or `all-linear` for all
    linear layers but the head."""
    lora_modules_to_save: Sequence[str] | None = None
    """Modules that are fully trained beside the adapter, such as `["lm_head"]`."""
    load_in_4bit: bool = False
    """Whether the student's frozen weights are 4-bit (QLoRA: nf4, double quantisation; extra
    `peft`). Needs `lora_r`."""
    keep_adapter: bool = False
    """Whether the adapter is saved too, in `adapter` in the student's folder."""
    teacher_bits: Literal[4, 8] | None = None
    """Quantises the teacher's linear layers to 8 or 4 bit (extra `peft`)."""
    gradient_checkpointing: bool = False
    """Whether the backward pass recomputes the layers: less memory, a third more time."""
    packing: bool = False
    """Whether several examples share a row, without attending to each other, instead of padding."""
    torch_compile: bool = False
    """Whether the student's layers are compiled; worthwhile for long runs of large models."""
    torch_compile_backend: str = "inductor"
    """Backend of torch.compile."""
    dtype: str | None = None
    """Precision of the training, `bfloat16` or `float32`; None chooses by the device."""
    device: str | None = None
    """`cpu`, `cuda`, ...; None takes CUDA if it is available."""
    save_steps: int | None = None
    """Optimizer steps between checkpoints in the work folder; None saves by elapsed time."""
    progress: bool = True
    """Whether to show a progress bar."""

    def __post_init__(self) -> None:
        """Check all settings."""
        faults = config_faults(asdict(self))
        if faults:
            raise ConfigError(faults)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)

    def save(self, path: str | Path) -> Path:
        """Write the settings as JSON, atomically."""
        return write_json(path, self.to_dict())


def read_config(config_dict: Mapping[str, Any]) -> DistillationConfig:
    """Build the settings from a mapping, e.g. from a JSON file.

    Raises:
        ConfigError: Keys that are not known (with the nearest known one) and values out of range;
            all faults at once.
    """
    defaults = DistillationConfig().to_dict()
    given = {key: value for key, value in config_dict.items() if key in defaults}
    faults = unknown_keys(config_dict, list(defaults)) + config_faults(defaults | given)
    if faults:
        raise ConfigError(faults)
    return DistillationConfig(**given)


def unknown_keys(given: Mapping[str, Any], known: list[str], place: str = "") -> list[str]:
    """List unknown keys, each with the nearest known one; each line starts with `place`."""
    return [
        f"{place}unknown key {key!r}; {did_you_mean(key, known)}"
        for key in given
        if key not in known
    ]


def config_hash(
    config: DistillationConfig, *, dtype: str, teacher_cache_sha256: str | None = None
) -> str:
    """Hash all settings that change the trained weights."""
    decisive = {k: v for k, v in config.to_dict().items() if k not in _NOT_HASHED}
    if teacher_cache_sha256 is not None:
        decisive["teacher_cache_sha256"] = teacher_cache_sha256
    return record_hash(decisive | {"dtype": dtype})


def config_faults(values: Mapping[str, Any]) -> list[str]:
    """List the faults in the values of all settings; empty if there are none."""
    return setting_faults(
        values, {field.name: field.default for field in fields(DistillationConfig)}
    )
