"""Making an export: convert the weights, compare with the checkpoint, write the folder.

    stillroom export outputs/elements/student
    stillroom export outputs/elements/student --int8
    stillroom export outputs/elements/student --int4

A float32 export must compute the same logits as the checkpoint, else it is refused. The loss of
eight or four bits is measured on real prompts, reported and stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import DataError, DataNotFoundError, ExportError, ModelNotFoundError
from ...files import atomic_folder, read_json_lines
from ..checkpoints.architectures import make_config
from ..checkpoints.folder_checks import check_settings
from ..checkpoints.load_student import Checkpoint, load_checkpoint
from ..engine.protocol import GenerationRequest
from ..engine.transformers_engine import serve_checkpoint
from ..prompt_tokens.prompt_ids import answer_end
from ..scoring.choices import encode_completion, encode_prompt
from ..scoring.model_limits import context_length
from .folder import (
    EXPORT_FOLDER,
    MANIFEST_FILE,
    amend_manifest,
    read_export,
    read_tensors,
    write_export,
)
from .layout import ExportDtype, describe, lay_out
from .quality_check import ExportLoss, Read, measure_loss
from .session import StepSession, require_runtime

_HELD_OUT = Path("data") / "held_out.jsonl"
_MOST_ANSWER = 64
_MOST_DIFFERENCE = 1e-3
"""Between float32 logits, relative to the largest: a hundred times the rounding error."""


@dataclass(frozen=True)
class Exported:
    """Result of an export."""

    folder: Path
    dtype: ExportDtype
    bytes_before: int
    """Size of the checkpoint's weights in float32."""
    bytes_after: int
    loss: ExportLoss
    prompts_from: str
    """Origin of the prompts of the comparison."""


def export_checkpoint(
    source: str | Path,
    *,
    dtype: ExportDtype = "float32",
    output: str | Path | None = None,
    prompts: str | Path | None = None,
    most_prompts: int = 200,
) -> Exported:
    """Export a checkpoint for ONNX Runtime on CPUs; an existing export is replaced.

    Args:
        source: A checkpoint folder.
        dtype: `float32`; `int8` for a quarter of the size and a small loss; `int4` for a sixth and
            a larger one.
        output: Folder to write; None is `export` in the checkpoint, where engines find it.
        prompts: JSON Lines with `prompt` and an optional `target`; None takes the held-out
            examples of the checkpoint's run. Without a target the checkpoint generates one.
        most_prompts: Most prompts used, evenly spaced.

    Raises:
        ExportError: The architecture is not supported, there are no prompts to measure a loss on,
            the export does not compute what the checkpoint computes, or `output` holds other files.
        CheckpointError: The checkpoint is damaged or not safe to load.
        ModelNotFoundError: There is no such folder.
        DataError: The prompts are not as described.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    require_runtime()
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ModelNotFoundError(f"{str(source)!r} is no folder here; give a checkpoint folder")
    place = folder / EXPORT_FOLDER if output is None else Path(output).expanduser()
    _refuse_foreign(place)
    shape = describe(make_config(check_settings(folder)))
    checkpoint = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    reads, origin = _find_reads(checkpoint, folder, prompts, most_prompts, dtype)
    with atomic_folder(place) as temporary:
        write_export(temporary, folder, lay_out(checkpoint.model, shape, dtype), dtype)
        export = read_export(temporary)
        session = StepSession(shape, dtype, read_tensors(export))
        loss = measure_loss(checkpoint, session, reads)
        _judge(folder, dtype, loss)
        findings = {"loss": loss.to_dict(), "prompts_from": origin}
        manifest = amend_manifest(temporary, findings)
    before = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
    return Exported(place, dtype, before, manifest["weights_bytes"], loss, origin)


def _refuse_foreign(place: Path) -> None:
    """Refuse to replace a folder that is not an export."""
    if place.is_dir() and any(place.iterdir()) and not (place / MANIFEST_FILE).is_file():
        raise ExportError(f"{place}: holds files, but no {MANIFEST_FILE}, so it is no export and "
                          "is not replaced; give another --output")  # fmt: skip
    if place.exists() and not place.is_dir():
        raise ExportError(f"{place}: is a file; give a folder")


def _judge(folder: Path, dtype: ExportDtype, loss: ExportLoss) -> None:
    if dtype == "float32" and not loss.largest_difference <= _MOST_DIFFERENCE:
        raise ExportError(
            f"{folder}: the export does not compute what the checkpoint does: logits differ by "
            f"{loss.largest_difference:.2g} of the largest, allowed is {_MOST_DIFFERENCE}. Nothing "
            "was written; please report this with config.json"
        )
    if not loss.kl_nats < float("inf"):  # also true for NaN
        raise ExportError(f"{folder}: the export's logits are no finite numbers; nothing was "
                          "written")  # fmt: skip


def _find_reads(
    checkpoint: Checkpoint, folder: Path, given: str | Path | None, most: int, dtype: ExportDtype
) -> tuple[list[Read], str]:
    """Return the prompts and answers for the comparison, and their origin."""
    path = Path(given).expanduser() if given is not None else _held_out(folder)
    if path is not None:
        reads = _reads_of(checkpoint, _sample(_read_prompts(path), most), path)
        return reads, f"{path.parent.name}/{path.name}"
    if dtype != "float32":
        raise ExportError(
            f"{folder}: has no held-out examples beside it, and {dtype} is not written without "
            "measuring what they lose; give real prompts: --prompts FILE.jsonl, lines of "
            '{"prompt": ..., "target": ...}'
        )
    # Any tokens show whether the arithmetic is the same.
    ids = [place * 7919 % checkpoint.model.config.vocab_size for place in range(48)]
    ids = ids[: context_length(checkpoint.model)]
    return [Read(ids[:1], ids[1:])], "fixed tokens"


def _held_out(folder: Path) -> Path | None:
    """Find the held-out examples of a checkpoint's run."""
    above = folder.resolve().parents[:2]
    return next((place / _HELD_OUT for place in above if (place / _HELD_OUT).is_file()), None)


def _read_prompts(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataNotFoundError(f"{path}: there is no such file; give JSON Lines with prompts")
    try:
        lines = read_json_lines(path)
    except ValueError as fault:
        raise DataError(f"is not readable as JSON Lines ({fault})", path=path) from fault
    for number, line in enumerate(lines, 1):
        fine = isinstance(line, dict) and isinstance(line.get("prompt"), str)
        if not fine or not isinstance(line.get("target"), str | None):
            raise DataError("needs a text 'prompt', and 'target' a text if given", path=path,
                            row=number)  # fmt: skip
    if not lines:
        raise DataError("holds no prompts", path=path)
    return lines


def _sample(lines: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Take at most so many, evenly spaced, because files are sorted by topic."""
    count = min(most, len(lines))
    return [lines[place * len(lines) // count] for place in range(count)]


def _reads_of(checkpoint: Checkpoint, lines: Sequence[dict[str, Any]], path: Path) -> list[Read]:
    """Tokenise prompts and targets; the checkpoint generates missing targets."""
    room, end = context_length(checkpoint.model), answer_end(checkpoint.tokenizer)
    ending = [] if end is None else [end]
    reads = []
    with closing(serve_checkpoint(checkpoint)) as engine:
        for line in lines:
            prompt = line["prompt"]
            ids = encode_prompt(checkpoint, prompt)
            if line.get("target") is not None:
                answer = [*encode_completion(checkpoint, prompt, line["target"]), *ending]
            elif 0 < len(ids) < room:
                asked = GenerationRequest(ids, max_tokens=_MOST_ANSWER)
                events = engine.submit(asked).collect()
                answer = [event.token_id for event in events if event.token_id is not None]
            else:
                continue
            if ids and answer and len(ids) + len(answer) - 1 <= room:
                reads.append(Read(ids, answer))
    if not reads:
        raise DataError(f"no prompt fits into the model's context of {room}", path=path)
    return reads
