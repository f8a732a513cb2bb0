"""Loading and saving checkpoint folders: weights, tokenizer and `run.json`.

Folders are checked before loading, and saved atomically.

A name without a local folder is looked up on the Hugging Face hub (`hub.py`).
"""

from __future__ import annotations

import logging
import platform
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import torch

from ...errors import CheckpointError, ConfigError, ModelNotFoundError
from ...files import atomic_folder, file_sha256, write_json, write_text
from ...prompts import prompts_sha256
from ..no_real_models import check_models_allowed
from ..prompt_tokens.prompt_ids import template_sha256
from ..sources.find_model import find_model
from .architectures import ModelKind, auto_class, checkpoint_kind, make_config, probe, require_kind
from .config_allowlist import GENERATION_KEYS, generation_arguments, left_out
from .folder_checks import ModelFiles, check_model_files, shape_faults
from .label_tokens import LabelTokens
from .padding import agree_on_padding
from .run_file import RUN_FILE, SCHEMA_VERSION, TEMPLATE_KEY, read_run, require_template
from .tokenizer_files import load_tokenizer, write_golden_ids

logger = logging.getLogger(__name__)

_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_LEFTOVER = re.compile(r".*\.(tmp|old)-\d+")
_NUMBERING = re.compile(r"(.*\.)?position_ids")
"""0, 1, 2, ...: saved by transformers before 4.31, and computed since."""
_SECOND_HEAD = re.compile(r"(.*\.)?(pooler|seq_relationship)\..*")
"""Further parts of an encoder whose masked-language head is loaded."""
_VERSIONED = ("stillroom", "torch", "transformers", "tokenizers", "safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to answer, with its tokenizer."""

    model: Any
    """A transformers model in eval mode: a causal language model, unless others were asked for."""
    tokenizer: Any
    """A fast tokenizer; it has a padding token."""
    path: Path | None
    """Its folder; None for a model from the hub or made in memory."""
    name: str
    run: dict[str, Any] | None = None
    """Contents of `run.json`; None for models that stillroom did not make."""
    left_out: tuple[str, ...] = ()
    """Unknown settings of config.json and generation_config.json, which were ignored."""
    stored_dtype: torch.dtype | None = None
    """Type of the weights in the folder; None where config.json does not name it."""

    @cached_property
    def label_tokens(self) -> LabelTokens | None:
        """What a classifier answers with; None for a model that writes text."""
        if not type(self.model).__name__.endswith("ForSequenceClassification"):
            return None
        return LabelTokens([name for _, name in sorted(self.model.config.id2label.items())])

    @property
    def answer_tokens(self) -> Any:  # noqa: ANN401
        """What turns the ids of an answer to text: the labels or, without any, the tokenizer."""
        return self.label_tokens or self.tokenizer

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = self.model.device
        return device


def choose_device(requested: str | None = None) -> torch.device:
    """Choose the device of models: the requested one, else CUDA, else the CPU.

    Args:
        requested: A torch device such as `"cpu"` or `"cuda:1"`; None or `"auto"` chooses.

    Raises:
        ConfigError: The device is unknown or not there.
    """
    if requested is None or requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(requested)
    except RuntimeError as fault:
        raise ConfigError([f"device {requested!r} is unknown; use 'cpu', 'cuda' or 'auto'"]) from (
            fault
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError([f"device {requested!r} is not there: torch sees no CUDA; use 'cpu'"])
    return device


def choose_training_dtype(device: torch.device) -> torch.dtype:
    """Choose the dtype for training: bfloat16 if the hardware multiplies it, else float32.

    bfloat16 without such instructions is emulated and several times slower than float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type != "cpu":
        return torch.float32
    able = torch.cpu.get_capabilities()
    fast = able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16")
    return torch.bfloat16 if fast else torch.float32


def load_checkpoint(
    name_or_path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    kinds: tuple[ModelKind, ...] = ("causal",),
) -> Checkpoint:
    """Load a checkpoint folder, a model of the model cache, or one of the Hugging Face hub.

    Args:
        name_or_path: Folder; or as `find_model` takes it: a `.gguf` file or the alias of a packaged
            model, such as `smollm2`; or a hub name such as `Qwen/Qwen2.5-0.5B-Instruct`.
        device: Where to put the weights; None chooses (`choose_device`).
        dtype: Type of the weights; None gives float32 on the CPU and the stored type elsewhere.
        kinds: Kinds of models that the caller can use.

    Raises:
        CheckpointError: The folder lacks a part, is damaged, unsafe, or was trained on other
            prompts.
        ModelNotFoundError: There is no such folder, and the hub does not know it or is out of
            reach; or the model of an alias was not added to the model cache.
        ScriptError: A test forbids real models (`forbid_models`).
    """
    check_models_allowed(str(name_or_path))
    place = device if isinstance(device, torch.device) else choose_device(device)
    if dtype is None and place.type == "cpu":
        dtype = torch.float32
    folder = Path(find_model(name_or_path)).expanduser()
    if folder.is_dir():
        checkpoint = _load_folder(folder, folder.resolve().name, dtype, kinds)
    elif folder.exists():
        raise CheckpointError(f"{folder}: is a file; give the folder that holds config.json")
    else:
        _refuse_missing_folder(str(name_or_path))
        from .hub import fetch_from_hub

        snapshot = fetch_from_hub(str(name_or_path))
        loaded = _load_folder(snapshot, str(name_or_path), dtype, kinds)
        checkpoint = replace(loaded, path=None)
    _complete(checkpoint)
    checkpoint.model.to(place).eval()
    return checkpoint


def save_checkpoint(
    folder: str | Path,
    model: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401
    run: Mapping[str, Any],
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a checkpoint folder atomically; an existing one is replaced.

    Args:
        folder: The checkpoint folder.
        model: A transformers causal language model; written as safetensors in its own dtype.
        tokenizer: A fast tokenizer; its ids for a few texts are stored and checked at load.
        run: Contents of `run.json` besides schema version, run id, time, versions and prompt hash.
        files: Further text files by name, e.g. `{"README.md": card}`.

    Returns:
        The folder.

    Raises:
        CheckpointError: The saved tokenizer gives other ids, or `run` was made with other prompts.
    """
    if run.get("prompt_sha256", prompts_sha256()) != prompts_sha256():
        raise CheckpointError(
            f"{folder}: run['prompt_sha256'] is not that of this version's prompts"
        )
    with atomic_folder(folder) as temporary, _quiet_transformers():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_golden_ids(temporary, tokenizer)
        made = {
            "tokenizer_sha256": file_sha256(temporary / "tokenizer.json"),
            TEMPLATE_KEY: template_sha256(tokenizer),
        }
        write_json(temporary / RUN_FILE, {**_run_defaults(), **run, **made})
        for name, text in (files or {}).items():
            if Path(name).name != name:
                raise CheckpointError(f"{folder}: {name!r} is no plain file name")
            write_text(temporary / name, text)
        check_model_files(temporary)
        load_tokenizer(temporary)  # compares the golden ids with what was written
    return Path(folder)


def find_checkpoint(folder: str | Path) -> Path | None:
    """Find the checkpoint in an output folder.

    Searched in this order: the folder itself; `checkpoint-<N>`, highest number first; any other
    direct child, names descending. Weights and config are both required (or an adapter with its
    config).

    Returns:
        The folder that holds it, or None.
    """
    root = Path(folder)
    if not root.is_dir():
        return None
    children = [c for c in root.iterdir() if c.is_dir() and not _LEFTOVER.fullmatch(c.name)]
    numbered = [c for c in children if re.fullmatch(r"checkpoint-\d+", c.name)]
    numbered.sort(key=lambda c: int(c.name.removeprefix("checkpoint-")), reverse=True)
    others = sorted((c for c in children if c not in numbered), key=lambda c: c.name, reverse=True)
    return next((place for place in [root, *numbered, *others] if _is_checkpoint(place)), None)


def verify_checkpoint(folder: str | Path) -> dict[str, Any]:
    """Load a checkpoint, run it once and return its `run.json`.

    Raises:
        CheckpointError: It does not load, its logits are not finite or not as wide as the
            vocabulary, it cannot generate a token, or its run is not complete.
    """
    checkpoint = load_checkpoint(folder, device="cpu", kinds=get_args(ModelKind))
    if checkpoint.run is None:
        raise CheckpointError(f"{folder}: has no {RUN_FILE}, so it is no finished stillroom run")
    if checkpoint.run.get("status") != "complete":
        raise CheckpointError(
            f"{folder}: {RUN_FILE} says status {checkpoint.run.get('status')!r}, not "
            "'complete'; run again to go on"
        )
    ids = checkpoint.tokenizer("Question: 1\n\nAnswer:", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        for _ in range(2):  # the second pass takes the token that the first one chose
            logits, width = probe(checkpoint.model, ids)
            if logits.shape[-1] != width:
                raise CheckpointError(
                    f"{folder}: logits are {logits.shape[-1]} wide, {width} are expected"
                )
            if not bool(torch.isfinite(logits).all()):
                raise CheckpointError(
                    f"{folder}: the logits are not finite; the weights are damaged"
                )
            if logits.dim() == 3:
                ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return checkpoint.run


def complete_tokenizer(tokenizer: Any, name: str) -> None:  # noqa: ANN401
    """Set a padding token if there is none, and padding on the left.

    Raises:
        CheckpointError: It has no end token.
    """
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise CheckpointError(f"{name}: the tokenizer has no end token; answers would not end")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"


def _complete(checkpoint: Checkpoint) -> None:
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    if checkpoint_kind(model.config.to_dict() | {"architectures": [type(model).__name__]}) in (
        "classifier",
        "encoder",
    ):
        try:
            agree_on_padding(tokenizer, model)
        except ConfigError as fault:
            raise CheckpointError(f"{checkpoint.name}: {fault}") from fault
    else:
        complete_tokenizer(tokenizer, checkpoint.name)


def package_versions() -> dict[str, str]:
    """Return the versions that the numbers of a run depend on."""
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _load_folder(
    folder: Path, name: str, dtype: torch.dtype | None, kinds: tuple[ModelKind, ...]
) -> Checkpoint:
    files = check_model_files(folder)
    require_kind(folder, files.config, kinds)
    run = read_run(folder)
    tokenizer = load_tokenizer(folder)
    require_template(folder, run, tokenizer)
    try:
        config = make_config(files.config)
    except CheckpointError as fault:
        raise CheckpointError(f"{folder}: {fault}") from fault
    if max(tokenizer.get_vocab().values()) >= (config.vocab_size or 0):
        raise CheckpointError(f"{folder}: the tokenizer has ids that the model's vocabulary of "
                              f"{config.vocab_size} does not")  # fmt: skip
    model = _load_weights(files, config, dtype)
    unread = tuple(left_out(files.config)) + tuple(
        f"generation_config.json: {key}"
        for key in left_out(files.generation or {}, GENERATION_KEYS)
    )
    if unread:
        _log_left_out(folder, unread)
    return Checkpoint(model, tokenizer, folder, name, run, unread, _stored_dtype(files.config))


def _stored_dtype(config: Mapping[str, Any]) -> torch.dtype | None:
    """Read the type of a folder's weights from its config.json; older files call it torch_dtype."""
    named = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    return known.get(named)


@cache
def _log_left_out(folder: Path, unread: tuple[str, ...]) -> None:
    shown = ", ".join(name[:80] for name in unread[:20]) + (", ..." if len(unread) > 20 else "")
    logger.warning("%s: settings that are not known were left out: %s", folder, shown)


def _load_weights(files: ModelFiles, config: Any, dtype: torch.dtype | None) -> Any:  # noqa: ANN401
    from transformers import GenerationConfig

    kind = checkpoint_kind(files.config)
    loader = auto_class(kind, files.config.get("architectures") or ())
    try:
        generation = (
            GenerationConfig.from_model_config(config)
            if files.generation is None
            else GenerationConfig(**generation_arguments(files.generation))
        )
        with torch.device("meta"):  # shapes only: a wrong config allocates nothing
            plan = loader.from_config(config)
        faults = shape_faults(*_plan_and_found(plan, files.shapes, kind))
        if faults:
            shown = "; ".join(faults[:5]) + (f"; {len(faults)} in all" if len(faults) > 5 else "")
            raise CheckpointError(f"{files.folder}: {shown}")
        with _quiet_transformers():
            model, report = loader.from_pretrained(
                files.folder,
                config=config,
                generation_config=generation,  # else transformers reads the file itself
                dtype="auto" if dtype is None else dtype,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except CheckpointError:
        raise
    except Exception as fault:  # transformers and safetensors raise many types
        raise CheckpointError(f"{files.folder}: the model does not load ({fault})") from fault
    report["unexpected_keys"] = [k for k in report["unexpected_keys"] if not _is_spare(k, kind)]
    wrong = {what: keys for what, keys in report.items() if keys}
    if wrong:
        raise CheckpointError(f"{files.folder}: weights do not match config.json: {wrong}")
    return model


def _is_spare(name: str, kind: ModelKind) -> bool:
    """Return whether a tensor is one that a model of a kind may leave unread."""
    second = kind == "encoder" and _SECOND_HEAD.fullmatch(name)
    return bool(second or _NUMBERING.fullmatch(name))


def _plan_and_found(
    plan: Any,  # noqa: ANN401
    shapes: Mapping[str, tuple[int, ...]],
    kind: ModelKind,
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Align the tensor names that a model expects with those in a folder."""
    expected = {name: tuple(tensor.shape) for name, tensor in plan.state_dict().items()}
    prefix = f"{plan.base_model_prefix}."
    prefixed = any(name.startswith(prefix) for name in expected)
    bare = prefixed and not any(name.startswith(prefix) for name in shapes)  # old GPT-2 files
    found = {prefix + name if bare else name: shape for name, shape in shapes.items()}
    if not prefixed and any(name.startswith(prefix) for name in found):
        found = {name.removeprefix(prefix): shape for name, shape in found.items()}
    if plan.config.model_type == "gpt_neox":
        found = {re.sub(r"^embed_out\.", "lm_head.", name): shape for name, shape in found.items()}
    if kind in ("encoder", "classifier"):  # names that BERT had before it came to PyTorch
        found = {
            re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight",
                   re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)): shape
            for name, shape in found.items()
        }  # fmt: skip
    computed = plan._keys_to_ignore_on_save or ()  # sines and cosines of places
    for name in [*plan.all_tied_weights_keys, *computed]:
        if name not in found:
            expected.pop(name, None)
    ignored = plan._keys_to_ignore_on_load_unexpected or ()
    for name in list(found):
        spare = _is_spare(name, kind) or any(re.search(pattern, name) for pattern in ignored)
        if spare and name not in expected:
            del found[name]
    return expected, found


def _run_defaults() -> dict[str, Any]:
    now = time.gmtime()
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-{secrets.token_hex(3)}",
        "status": "complete",
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "prompt_sha256": prompts_sha256(),
        "versions": package_versions(),
    }


def _refuse_missing_folder(name: str) -> None:
    """Refuse a path that does not exist, instead of asking the hub for it."""
    looks_like_path = name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1
    if looks_like_path or not name.strip():
        raise ModelNotFoundError(
            f"{name!r} is no folder here, and no model name of the Hugging Face hub either (those "
            "look like 'owner/model'). Give the folder that holds config.json and model.safetensors"
        )


def _is_checkpoint(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    whole = "config.json" in names and any(_WEIGHTS.fullmatch(name) for name in names)
    return whole or {"adapter_config.json", "adapter_model.safetensors"} <= names


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Suppress the progress bars and reports of transformers."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
