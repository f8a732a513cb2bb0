"""A teacher in this process: a checkpoint folder or a hub model, unquantised or in 8 or 4 bits.

Simultaneous prompts are decoded in one batch, by the engine that also serves students. On a CPU,
the folder's export (`stillroom export`) is used instead of torch if there is one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...errors import CheckpointError, ConfigError, ExportError, MissingDependencyError
from ...inference.checkpoints.folder_checks import read_checked_json
from ...inference.checkpoints.load_student import Checkpoint, choose_device, load_checkpoint
from ...inference.checkpoints.quantization import Bits, is_quantized, quantize, why_not_quantized
from ...inference.engine.batch_engine import BatchEngine
from ...inference.engine.detokenize import TextStream, decode_answer
from ...inference.engine.protocol import GenerationRequest
from ...inference.engine.token_stream import AnswerStream
from ...inference.engine.transformers_engine import serve_checkpoint
from ...inference.onnx_export.engine import serve_export
from ...inference.onnx_export.folder import MANIFEST_FILE, find_export
from ...inference.scoring.choices import encode_prompt
from ...inference.sources.find_model import find_model
from .protocol import DecodeProfile, Prompt, TeacherAnswer

logger = logging.getLogger(__name__)
_MOST_WAITING = 1 << 20  # `BatchLabeler` limits the number of calls at once
_PROBED = 64


class LocalTeacher:
    """Implements `protocol.Teacher` with a loaded checkpoint or an export."""

    def __init__(self, model: Checkpoint | Path, *, most_running: int = 128) -> None:
        """Take a model.

        Args:
            model: A causal model and its tokenizer, which may be quantised; or the folder of an
                export, which is opened.
            most_running: Most prompts decoded together, within the concurrency of the labeler;
                memory grows with it.

        Raises:
            ExportError: The export is not usable, or was made from another checkpoint.
            CheckpointError: Its settings or files are not safe to load.
            MissingDependencyError: ONNX Runtime is not installed.
        """
        limits = {"most_running": most_running, "most_waiting": _MOST_WAITING}
        self._serve: Callable[[], BatchEngine]
        self._engine: BatchEngine | None = None
        if isinstance(model, Checkpoint):
            self._serve = partial(serve_checkpoint, model, **limits)
            self._checkpoint, self._revision = model, weights_revision(model.model)
            return
        self._serve = partial(serve_export, model, **limits)
        self._engine = self._serve()
        checkpoint = self._engine.checkpoint
        if checkpoint is None:
            raise RuntimeError(f"the engine of {model} has no tokenizer")
        self._checkpoint = checkpoint
        manifest = read_checked_json(model, MANIFEST_FILE)
        self._revision = f"{manifest['dtype']}-{manifest['weights_sha256'][:12]}"

    @property
    def name(self) -> str:
        """Name of the checkpoint."""
        return self._checkpoint.name

    @property
    def revision(self) -> str | None:
        """Precision and a hash of the weights; folders of one name may hold different models."""
        return self._revision

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Answer a prompt; see `Teacher.ask`."""
        if profile.extra:
            raise ConfigError([f"extra is for servers; this teacher runs here: {profile.extra}"])
        if self._engine is None:
            self._engine = self._serve()
        stream = self._engine.submit(
            GenerationRequest(
                encode_prompt(self._checkpoint, prompt),
                max_tokens=profile.max_tokens,
                temperature=profile.temperature,
                top_p=profile.top_p,
                seed=profile.seed,
            )
        )
        try:
            text, stopped = await self._read(stream, profile.stop)
        finally:
            stream.cancel()  # no-op once the answer has ended
        usage = stream.usage
        return TeacherAnswer(
            text=text.strip(),
            finish_reason="stop" if stopped else stream.finish_reason or "length",
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            model=self.name,
        )

    async def close(self) -> None:
        """Close the engine; the weights stay loaded."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    async def _read(self, stream: AnswerStream, stop: tuple[str, ...]) -> tuple[str, bool]:
        """Read an answer up to its end or a stop text; return it and whether a stop text came."""
        tokenizer = self._checkpoint.tokenizer
        if not stop:  # cheaper than reading token by token
            events = await stream.acollect()
            ids = [event.token_id for event in events if event.token_id is not None]
            return decode_answer(tokenizer, ids), False
        text, said = TextStream(tokenizer, stop), ""
        async for event in stream:
            if event.token_id is not None:
                said += text.add(event.token_id)
            if text.stopped:
                return said, True
        said += text.finish()
        return said, text.stopped


def load_local_teacher(
    model: str | Path | Checkpoint, *, bits: int | None = None, device: str | None = None
) -> LocalTeacher:
    """Load a teacher, with quantised weights if that is asked for and possible.

    Args:
        model: A checkpoint folder, a hub name, or a loaded checkpoint, which is quantised in place.
        bits: 8 or 4 quantises the linear layers with bitsandbytes. If this machine does not support
            that, the teacher runs unquantised and a warning says why. None takes the folder's
            export on a CPU if there is one, else the weights as they are.
        device: Torch device; None chooses. A loaded checkpoint stays on its device.

    Raises:
        ConfigError: `bits` is another number, or no layer can be quantised.
        MissingDependencyError: bitsandbytes is not installed.
        StillroomError: As `load_checkpoint`.
    """
    if bits not in (None, 4, 8):
        raise ConfigError([f"bits is {bits!r}; allowed are 8, 4 and None"])
    place = model.device if isinstance(model, Checkpoint) else choose_device(device)
    if bits is None and place.type == "cpu" and not isinstance(model, Checkpoint):
        exported = _open_export(model)
        if exported is not None:
            return exported
    wanted: Bits | None = None if bits is None else 4 if bits == 4 else 8
    if wanted is not None and (reason := why_not_quantized(wanted, place)) is not None:
        logger.warning("the teacher runs unquantised, with more memory: %s", reason)
        wanted = None
    if isinstance(model, Checkpoint):
        checkpoint = model
    else:
        # Layers are quantised one by one on their way to a GPU, which never holds the full weights.
        checkpoint = load_checkpoint(model, device="cpu" if wanted is not None else place)
    if wanted is not None:
        dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
        quantised = quantize(checkpoint.model, wanted, device=place, dtype=dtype)
        checkpoint = dataclasses.replace(checkpoint, model=quantised.eval())
    return LocalTeacher(checkpoint)


def _open_export(model: str | Path) -> LocalTeacher | None:
    """Open the export of a folder, if it has a usable one."""
    folder = Path(find_model(model))
    found = find_export(folder)
    if found is None:
        return None
    try:
        return LocalTeacher(found)
    except (ExportError, CheckpointError, MissingDependencyError) as fault:
        if found == folder:  # there is nothing else in it
            raise
        logger.warning("the export is not used, transformers computes instead: %s", fault)
    return None


def weights_revision(model: Any) -> str:  # noqa: ANN401 - transformers is untyped
    """Return the precision of a model and a hash of the first and last 64 values of each weight.

    Training changes nearly all values, and hashing all of a large model would take a minute.
    """
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        flat = weight.detach().flatten()
        part = torch.cat([flat[:_PROBED], flat[-_PROBED:]]).contiguous().cpu()
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        digest.update(part.view(torch.uint8).numpy().tobytes())
    kind = "quantised" if is_quantized(model) else str(model.dtype).removeprefix("torch.")
    return f"{kind}-{digest.hexdigest()[:12]}"
