"""Build a teacher cache: run each distinct sequence through the teacher once.

The work is divided into parts. Their sequences depend on the data alone, and their files are
written atomically, so a killed build continues with the missing parts, several processes can each
build a share, and the files are the same in every case.

Sizes: N supervised positions of a batch, V vocabulary, K kept ids.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...errors import (
    CheckpointError,
    ConfigError,
    DataNotFoundError,
    EmptyDataError,
    UnreadableFileError,
)
from ...files import file_sha256
from ..batches.batching import Collator, TokenizedExample
from ..loss_curve import BAR_DELAY_S
from ..losses.fused import pieces
from ..losses.rows import SparseTeacherRows, TeacherRows
from .cache_format import CacheSpec, Manifest, PartEntry, differences, read_manifest, sequence_key
from .cache_parts import (
    Array,
    PartColumns,
    content_is_sound,
    empty_columns,
    open_part,
    write_part,
)
from .online import OnlineTeacher
from .sparse_logits import draw_ids, keep_largest

logger = logging.getLogger(__name__)

CHUNK_BYTES: Final = 64 << 20
"""Largest matrix of float32 logits, in bytes; a few of them exist at a time."""
BATCH_TOKENS: Final = 4096
"""Most tokens of a forward pass, padding included."""


@dataclass(frozen=True)
class PlannedSequence:
    """A sequence to be cached."""

    key: bytes
    input_ids: tuple[int, ...]
    first: int
    """First supervised position; all positions after it are supervised too."""
    example: str
    """Id of an example with this sequence, for messages."""

    @property
    def positions(self) -> range:
        """Indices of the predicted tokens, never 0."""
        return range(self.first, len(self.input_ids))


def plan_sequences(items: Iterable[TokenizedExample]) -> list[PlannedSequence]:
    """List the distinct sequences, sorted by key.

    Args:
        items: Tokenised examples, in any order; those without a supervised position are left out.

    Raises:
        EmptyDataError: No item has a supervised position.
    """
    found: dict[bytes, PlannedSequence] = {}
    for item in items:
        first = max(item.prompt_length, 1)
        if first >= len(item.input_ids):
            continue
        key = sequence_key(item.input_ids)
        other = found.get(key)
        if other is None or first < other.first:
            found[key] = PlannedSequence(key, item.input_ids, first, item.id)
    if not found:
        raise EmptyDataError("no example has a supervised token; give prompts with completions")
    return [found[key] for key in sorted(found)]


def sequences_hash(sequences: Sequence[PlannedSequence]) -> str:
    """Hash keys and first positions, in hexadecimal; equal tokenised data gives equal hashes."""
    digest = hashlib.sha256()
    for sequence in sequences:
        digest.update(sequence.key + np.int32(sequence.first).astype("<i4").tobytes())
    return digest.hexdigest()


def plan_parts(
    sequences: Sequence[PlannedSequence], tokens_per_part: int
) -> list[list[PlannedSequence]]:
    """Divide the sequences, in order, into parts of about `tokens_per_part` supervised positions.

    A part is closed before a sequence that does not fit; a longer sequence is a part of its own.
    """
    parts: list[list[PlannedSequence]] = []
    left = 0
    for sequence in sequences:
        if left < len(sequence.positions):
            parts.append([])
            left = tokens_per_part
        parts[-1].append(sequence)
        left -= len(sequence.positions)
    return parts


def plan_batches(
    sequences: Sequence[PlannedSequence], batch_tokens: int
) -> Iterator[list[PlannedSequence]]:
    """Group sequences of similar length for the forward pass.

    Args:
        sequences: The sequences of one part.
        batch_tokens: Most tokens of a batch, padding included; a longer sequence is a batch of its
            own.
    """
    batch: list[PlannedSequence] = []
    for sequence in sorted(sequences, key=lambda s: (len(s.input_ids), s.key)):
        if batch and (len(batch) + 1) * len(sequence.input_ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(sequence)
    yield batch


@dataclass(frozen=True)
class BuildResult:
    """The state of a cache after a build."""

    manifest: Manifest
    parts: int
    """Number of parts of the whole cache."""
    built: int
    """Number of parts that this call built."""
    complete: bool
    """Whether all parts are built now."""


def build_cache(
    folder: str | Path,
    model: nn.Module,
    sequences: Sequence[PlannedSequence],
    spec: CacheSpec,
    *,
    versions: Mapping[str, str],
    pad_id: int,
    autocast_dtype: torch.dtype | None = None,
    batch_tokens: int = BATCH_TOKENS,
    share: tuple[int, int] = (1, 1),
    progress: bool = False,
) -> BuildResult:
    """Build the missing parts of a cache.

    Args:
        folder: Created if missing. A folder with parts of the same build is completed.
        model: The teacher, a causal language model; it is frozen and put into eval mode.
        sequences: From `plan_sequences`.
        spec: Settings and contents of the cache.
        versions: Versions of the packages that compute the logits.
        pad_id: Token id of the padding.
        autocast_dtype: Precision of the forward pass; None takes that of the weights.
        batch_tokens: Most tokens of a forward pass, padding included.
        share: (i, n), counted from 1: this is process i of n and builds every n-th part.
        progress: Whether to show a progress bar.

    Returns:
        The state of the cache. With shares, the last process to finish completes the manifest.

    Raises:
        ConfigError: The folder holds another cache (all differences are listed) or other files, or
            `share` is out of range.
        CheckpointError: The teacher's logits are not finite.
    """
    teacher = OnlineTeacher(model, vocabulary=spec.vocab_size, autocast_dtype=autocast_dtype)

    def fill(
        columns: PartColumns, planned: Sequence[PlannedSequence], done: Callable[[int], None]
    ) -> None:
        for batch in plan_batches(planned, batch_tokens):
            _fill(columns, planned, batch, teacher, spec, pad_id)
            done(sum(len(sequence.positions) for sequence in batch))

    return build_parts(
        folder, sequences, spec, fill, versions=versions, share=share, progress=progress
    )


FillPart = Callable[[PartColumns, Sequence[PlannedSequence], Callable[[int], None]], None]
"""Function that writes the values of a part's sequences into its columns, and reports the number of
finished positions to its last argument."""


def build_parts(
    folder: str | Path,
    sequences: Sequence[PlannedSequence],
    spec: CacheSpec,
    fill: FillPart,
    *,
    versions: Mapping[str, str],
    share: tuple[int, int] = (1, 1),
    progress: bool = False,
) -> BuildResult:
    """Build the missing parts of a cache from any teacher.

    Args:
        folder: As in `build_cache`.
        sequences: As in `build_cache`.
        spec: As in `build_cache`.
        fill: Function that computes the values of a part.
        versions: As in `build_cache`.
        share: As in `build_cache`.
        progress: As in `build_cache`.

    Raises:
        ConfigError: As in `build_cache`.
    """
    if not 1 <= share[0] <= share[1]:
        raise ConfigError([f"share is {share[0]}/{share[1]}; allowed is 1/n to n/n"])
    root = Path(folder)
    tokens = sum(len(sequence.positions) for sequence in sequences)
    manifest = Manifest(spec, versions, len(sequences), tokens)
    _begin(root, manifest)
    planned = plan_parts(sequences, spec.tokens_per_part)
    mine = range(share[0] - 1, len(planned), share[1])
    missing = [n for n in mine if not _is_built(root, n, planned[n], manifest)]
    with _bar(planned, mine, missing, progress) as bar:
        for number in missing:
            columns = _planned_columns(spec, planned[number])
            fill(columns, planned[number], bar.update)
            write_part(part_path(root, number), columns, spec, manifest.build)
    complete = _finish(root, planned, manifest)
    return BuildResult(complete or manifest, len(planned), len(missing), complete is not None)


def part_path(folder: Path, number: int) -> Path:
    """Return the path of a part's file."""
    return folder / f"part-{number:05}.arrow"


# ---------------------------------------------------------------------------- parts already built


def _begin(folder: Path, manifest: Manifest) -> None:
    """Start a build in a folder, or check that the folder holds the same build."""
    try:
        earlier = read_manifest(folder)
    except DataNotFoundError:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(
                [f"{folder} is not empty and holds no teacher cache; give a new folder"]
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        manifest.write(folder)
        return
    ours = {**manifest.spec.to_dict(), "versions": dict(manifest.versions)}
    faults = differences(earlier.to_dict(), ours, name="this build")
    if faults:
        raise ConfigError([f"{folder} holds another cache; give a new folder", *faults])


def _is_built(
    folder: Path, number: int, planned: Sequence[PlannedSequence], manifest: Manifest
) -> bool:
    """Tell whether a part is complete and sound; remove it, with a warning, if it is not."""
    path = part_path(folder, number)
    if not path.exists():
        return False
    try:
        part = open_part(path, manifest.spec, manifest.build)
        wanted = _planned_columns(manifest.spec, planned)
        layouts = ((c.keys, c.starts, c.position) for c in (part, wanted))
        same = all(np.array_equal(one, other) for one, other in zip(*layouts, strict=True))
        if same and content_is_sound(path, part):
            return True
        logger.warning("%s: its content was changed; it is built again", path)
    except UnreadableFileError as fault:
        logger.warning("%s; it is built again", fault)
    path.unlink()  # so that no other process counts it as built
    return False


def _finish(
    folder: Path, planned: Sequence[Sequence[PlannedSequence]], manifest: Manifest
) -> Manifest | None:
    """Write the complete manifest if every part is built; return None if one is missing."""
    paths = [part_path(folder, number) for number in range(len(planned))]
    if not all(path.exists() for path in paths):
        return None
    for left in folder.glob("part-*.tmp-*"):  # of processes that were killed
        left.unlink(missing_ok=True)
    entries = tuple(
        PartEntry(path.name, len(sequences), path.stat().st_size, file_sha256(path))
        for path, sequences in zip(paths, planned, strict=True)
    )
    complete = Manifest(
        manifest.spec, manifest.versions, manifest.sequences, manifest.tokens, entries
    )
    complete.write(folder)
    return complete


def _planned_columns(spec: CacheSpec, planned: Sequence[PlannedSequence]) -> PartColumns:
    """Allocate the columns of a part, with keys and positions and with values of zero."""
    keys = np.frombuffer(b"".join(s.key for s in planned), np.uint8).reshape(len(planned), -1)
    starts = np.cumsum([0, *(len(s.positions) for s in planned)], dtype=np.int32)
    position = np.concatenate([np.asarray(s.positions, dtype=np.int32) for s in planned])
    return empty_columns(spec, keys, starts, position)


# ------------------------------------------------------------------------------------- a new part


def _fill(
    columns: PartColumns,
    planned: Sequence[PlannedSequence],
    batch: Sequence[PlannedSequence],
    teacher: OnlineTeacher,
    spec: CacheSpec,
    pad_id: int,
) -> None:
    """Run the teacher on one batch and write the kept values into the columns."""
    items = [TokenizedExample(s.example, s.input_ids, s.first) for s in batch]
    device = next(teacher.model.parameters()).device
    inputs = {name: value.to(device) for name, value in Collator(pad_id)(items).items()}
    with torch.inference_mode():
        rows = teacher.rows(inputs)
        try:
            found = _select(rows, batch, spec, teacher.autocast_dtype)
        except ValueError as fault:
            raise CheckpointError(
                f"{spec.teacher.id}: {fault} for {', '.join(repr(s.example) for s in batch[:5])}; "
                f"its weights are damaged, or {spec.teacher.dtype} is too narrow for them"
            ) from fault
    place = {sequence.key: number for number, sequence in enumerate(planned)}
    start = 0
    for sequence in batch:
        to = int(columns.starts[place[sequence.key]])
        count = len(sequence.positions)
        for name, values in found.items():
            columns.values[name][to : to + count] = values[start : start + count]
        start += count


def _select(
    rows: TeacherRows,
    batch: Sequence[PlannedSequence],
    spec: CacheSpec,
    autocast_dtype: torch.dtype | None,
) -> dict[str, Array]:
    """Compute the values to store for each row, in pieces that fit into memory."""
    labels = torch.tensor([token for s in batch for token in s.input_ids[s.first :]])  # (N,)
    # Each row has its own seed, so its draws depend on its sequence and position only.
    seeds = [int.from_bytes(s.key[:7], "big") + p for s in batch for p in s.positions]
    parts: list[dict[str, Tensor]] = []
    for begin, logits in _logits(rows, spec.vocab_size, autocast_dtype):
        end = begin + len(logits)
        if spec.selection == "random_sampling":
            ids, count = draw_ids(logits, spec.k, spec.temperatures[0], seeds[begin:end])
            parts.append({"ids": ids, "count": count})
        else:
            target = labels[begin:end].to(logits.device)
            ids, delta, log_tail = keep_largest(logits, target, spec.k, spec.temperatures)
            parts.append({"ids": ids, "delta": delta, "log_tail": log_tail})
    return {name: torch.cat([p[name] for p in parts]).cpu().numpy() for name in parts[0]}


def _logits(
    rows: TeacherRows, vocabulary: int, autocast_dtype: torch.dtype | None
) -> Iterator[tuple[int, Tensor]]:
    """Yield the logits of successive pieces of rows: number of the first row, (n, V) float32."""
    if isinstance(rows, SparseTeacherRows):
        raise TypeError("rows of a cache cannot be cached again; give a model")
    for piece in pieces(len(rows), max(1, CHUNK_BYTES // (4 * vocabulary))):
        if isinstance(rows, Tensor):
            yield piece.start, rows[piece].float()
            continue
        device, on = rows.hidden.device.type, autocast_dtype is not None
        with torch.autocast(device, dtype=autocast_dtype, enabled=on):
            logits = rows[piece].logits()
        yield piece.start, logits.float()


def _bar(
    planned: Sequence[Sequence[PlannedSequence]],
    mine: Sequence[int],
    missing: Sequence[int],
    progress: bool,
) -> Any:  # noqa: ANN401 - tqdm
    tokens = {n: sum(len(s.positions) for s in planned[n]) for n in mine}
    total = sum(tokens.values())
    return tqdm(
        total=total,
        initial=total - sum(tokens[n] for n in missing),
        desc="caching",
        unit="token",
        unit_scale=True,
        disable=None if progress else True,  # None shows a bar in a terminal only
        leave=False,
        delay=BAR_DELAY_S,
    )
