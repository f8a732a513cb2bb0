"""An engine for an export: ONNX Runtime computes the steps of our batch loop.

    engine = serve_export("outputs/elements/student/export")
    stream = engine.submit(GenerationRequest(prompt_ids=ids))

ONNX Runtime was chosen by measurement (benchmarks/results/inference.md). Its own generator, and
those of other runtimes, do not expose single steps or batch only requests that start together. With
single steps, sampling, grammars, log-probabilities and cancelling work as in the other engines.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import torch

from ...errors import CheckpointError, GenerationError
from ..checkpoints.folder_checks import read_checked_json
from ..checkpoints.load_student import Checkpoint, complete_tokenizer
from ..checkpoints.run_file import read_run, require_template
from ..checkpoints.tokenizer_files import load_tokenizer
from ..engine.batch_engine import BatchEngine
from ..engine.worker_thread import ServedModel
from ..no_real_models import check_models_allowed
from ..scoring.model_limits import end_token_ids
from .batch import ExportedBatch, score_continuations
from .folder import Export, read_export, read_tensors
from .session import StepSession, require_runtime


@dataclass(eq=False)
class ExportedModel:
    """Stands for the model in the checkpoint of an export: its configs, without weights."""

    config: Any
    generation_config: Any
    name: str

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def __call__(self, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
        """Refuse: there are no weights.

        Raises:
            GenerationError: Always.
        """
        raise GenerationError(
            f"the weights of {self.name} are in an export and computed by its engine only; use "
            "engine.submit and engine.score_choices, or load_checkpoint for the model itself"
        )


def serve_export(
    folder: str | Path,
    *,
    threads: int | None = None,
    **limits: Any,  # noqa: ANN401
) -> BatchEngine:
    """Serve an export.

    Args:
        folder: The folder that holds `export.json`.
        threads: Number of compute threads; None takes as many as torch.
        limits: `most_running`, `most_waiting` and so on of `BatchEngine`.

    Raises:
        ExportError: It is not usable, or was made from another checkpoint.
        CheckpointError: Its settings or files are not safe to load.
        MissingDependencyError: ONNX Runtime is not installed.
        ScriptError: A test forbids real models (`forbid_models`).
    """
    check_models_allowed(str(folder))
    require_runtime()
    export = read_export(Path(folder).expanduser())
    checkpoint = _checkpoint(export)
    session = StepSession(export.shape, export.dtype, read_tensors(export), threads=threads)
    served = ServedModel(
        name=checkpoint.name,
        context_length=export.shape.positions,
        vocabulary=export.shape.vocabulary,
        end_ids=end_token_ids(checkpoint.model, checkpoint.tokenizer),
        open_batch=partial(ExportedBatch, session),
        score=partial(score_continuations, session),
        lock=threading.Lock(),
        device=checkpoint.device,
        checkpoint=checkpoint,
    )
    return BatchEngine(served, **limits)


def _checkpoint(export: Export) -> Checkpoint:
    """Make a checkpoint of an export's tokenizer and configs."""
    folder = export.folder
    run, tokenizer = read_run(folder), load_tokenizer(folder)
    require_template(folder, run, tokenizer)
    complete_tokenizer(tokenizer, export.name)
    if max(tokenizer.get_vocab().values()) >= export.shape.vocabulary:
        raise CheckpointError(
            f"{folder}: the tokenizer has ids that the model's vocabulary of "
            f"{export.shape.vocabulary} does not"
        )
    ends = export.config.eos_token_id
    if (folder / "generation_config.json").is_file():
        ends = read_checked_json(folder, "generation_config.json").get("eos_token_id")
    generation = SimpleNamespace(eos_token_id=ends)
    model = ExportedModel(export.config, generation, export.name)
    return Checkpoint(model, tokenizer, folder, export.name, run)
