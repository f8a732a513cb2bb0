"""Read a teacher cache: open it, compare it with a run, find sequences, and gather their rows.

    cache = TeacherCache("cache")             # maps the parts into memory
    KDTrainer(student, ..., teacher=cache)    # wraps it in a `cached.CachedTeacher`

Sizes: N supervised positions, K kept ids, G temperatures of the grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import torch

from ...errors import DataError, UnreadableFileError
from ...records import Source
from ..batches.batching import TokenizedExample
from ..losses.divergences import LOWEST_TEACHER_LOG_PROBABILITY
from ..losses.rows import SparseTeacherRows
from ..setting_names import UNIVERSAL
from .cache_format import Selection, differences, read_manifest, sequence_key
from .cache_parts import Array, PartColumns, open_part, value_columns
from .sparse_logits import stored_log_probabilities

_PREFIX_BYTES: Final = 8
"""Number of leading bytes of a key in the index; keys with equal prefixes are compared whole."""


class Tempered(Protocol):
    """A loss with a temperature and an objective, such as `DistillationLoss`."""

    temperature: float
    objective: Any


class Entry(NamedTuple):
    """Where a sequence is stored."""

    part: int
    start: int
    """Its first row in the part's columns."""
    stop: int
    """The row after its last one."""


class Rows(NamedTuple):
    """Rows of one part's columns."""

    part: int
    rows: Array


class TeacherCache:
    """A complete teacher cache, mapped into memory.

    Args:
        folder: Made by `build_cache` or `stillroom cache-logits`.

    Attributes:
        folder: The cache's folder.
        manifest: Its manifest.
        parts: The columns of its parts.

    Raises:
        DataNotFoundError: The folder holds no cache.
        UnreadableFileError: The build was not finished, or a part is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open all parts and sort their keys."""
        self.folder = Path(folder)
        self.manifest = manifest = read_manifest(folder)
        if not manifest.complete:
            raise UnreadableFileError(
                "the cache is not finished; run stillroom cache-logits with the same options "
                "again: it continues where it stopped",
                path=folder,
            )
        self.parts: list[PartColumns] = []
        for entry in manifest.parts:
            path = self.folder / Path(entry.file).name
            part = open_part(path, manifest.spec, manifest.build)
            if (path.stat().st_size, len(part.keys)) != (entry.bytes, entry.rows):
                raise UnreadableFileError(
                    f"has {path.stat().st_size} bytes and {len(part.keys)} sequences, the manifest "
                    f"says {entry.bytes} and {entry.rows}; remove it and build the cache again",
                    path=path,
                )
            self.parts.append(part)
        self._build_index()

    @property
    def selection(self) -> Selection:
        """How the kept ids were chosen."""
        return self.manifest.spec.selection

    @property
    def vocabulary(self) -> int:
        """Number of ids in each distribution, V_eff."""
        return self.manifest.spec.vocab_size

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Temperatures that a student can be trained with."""
        return self.manifest.spec.temperatures

    def differences(self, run: Mapping[str, Any]) -> list[str]:
        """List the fields in which a run differs from the manifest.

        Args:
            run: Fields of the manifest with the values that the run needs; other fields are not
                compared.
        """
        cache = self.manifest.to_dict()
        # Length limits matter only if they cut an example, which also changes the data's hash.
        limits = {n: v for n, v in run.items() if n in ("max_length", "too_long")}
        lines = differences(cache, {n: v for n, v in run.items() if n not in limits})
        if run.get("data_hash", cache["data_hash"]) != cache["data_hash"]:
            lines += differences(cache, limits)
        return lines

    def loss_faults(self, loss_fn: Tempered) -> list[str]:
        """List why a loss cannot be computed from this cache; empty if it can."""
        faults = []
        if loss_fn.temperature not in self.temperatures:
            grid = ", ".join(f"{value:g}" for value in self.temperatures)
            faults.append(
                f"temperature is {loss_fn.temperature!r}; the teacher cache {self.folder} is exact "
                f"at {grid} only. Use one of these, or build a cache with --temperatures"
            )
        if loss_fn.objective == UNIVERSAL:
            faults.append(
                f"objective is {UNIVERSAL!r}; the teacher cache {self.folder} keeps some tokens of "
                "each position, and sorting needs all. Train without a cache"
            )
        elif self.selection == "random_sampling" and loss_fn.objective != "forward_kl":
            faults.append(
                f"objective is {loss_fn.objective!r}; the teacher cache {self.folder} holds random "
                "samples, which are unbiased for 'forward_kl' only. Use that, or a cache with "
                "selection top_k_tail"
            )
        return faults

    def check(
        self, items: Iterable[TokenizedExample], sources: Mapping[str, Source | None] | None = None
    ) -> None:
        """Check that the cache has every supervised position of some examples.

        Raises:
            DataError: A position is missing; the error names the file and record of the first one.
        """
        missing = [item for item in items if not self._holds(item)]
        if missing:
            first = missing[0]
            source = (sources or {}).get(first.id)
            raise DataError(
                f"example {first.id!r} ({len(first.input_ids)} tokens) is not in the teacher cache "
                f"{self.folder}, like {len(missing) - 1} more. Build the cache from this data with "
                "the same max_length, or train without a cache",
                path=source.file if source else None,
                row=source.row if source else None,
            )

    def find(self, key: bytes) -> Entry | None:
        """Find a sequence by its key; None if the cache does not hold it."""
        prefix = int.from_bytes(key[:_PREFIX_BYTES], "big")
        place = int(np.searchsorted(self._prefixes, np.uint64(prefix)))
        while place < len(self._prefixes) and int(self._prefixes[place]) == prefix:
            number, row = int(self._part_of[place]), int(self._row_of[place])
            part = self.parts[number]
            if part.keys[row].tobytes() == key:
                return Entry(number, int(part.starts[row]), int(part.starts[row + 1]))
            place += 1
        return None

    def rows_of(self, key: bytes, positions: Array) -> Rows | None:
        """Find the rows of some predicted positions of a sequence.

        Args:
            key: Key of the sequence.
            positions: (n,) indices of predicted tokens, in ascending order.

        Returns:
            The rows; None if the cache lacks the sequence or one of the positions.
        """
        entry = self.find(key)
        if entry is None:
            return None
        stored = self.parts[entry.part].position[entry.start : entry.stop]
        places = np.searchsorted(stored, positions)
        if len(positions) and (places[-1] == len(stored) or (stored[places] != positions).any()):
            return None
        return Rows(entry.part, entry.start + places)

    def gather(self, wanted: Sequence[Rows], temperature: float) -> SparseTeacherRows:
        """Read rows for one of `temperatures`, into CPU memory and in the order of `wanted`.

        Raises:
            UnreadableFileError: The cache holds an id outside of its vocabulary.
        """
        spec = self.manifest.spec
        columns = {}
        for name, (kind, width) in value_columns(spec).items():
            pieces = [self.parts[w.part].values[name][w.rows] for w in wanted]
            columns[name] = np.concatenate([np.zeros((0, width), kind), *pieces])
        ids = columns["ids"]  # (N, K)
        # Viewed as unsigned, negative ids are also too large.
        if ids.size and int(ids.view(np.uint32).max()) >= spec.vocab_size:
            raise UnreadableFileError("holds ids outside of its vocabulary", path=self.folder)
        kept = torch.from_numpy(ids).long()
        if spec.selection == "random_sampling":
            # The share of draws replaces p. The gradient q - share, as of soft cross-entropy, is
            # unbiased. The value of the loss is not: the draws lack a part of the entropy of p.
            share = torch.from_numpy(columns["count"].astype(np.float32)) / spec.k
            log_kept = share.log().clamp(min=LOWEST_TEACHER_LOG_PROBABILITY)
            nothing = torch.full((len(kept),), LOWEST_TEACHER_LOG_PROBABILITY)
            return SparseTeacherRows(kept, log_kept, nothing)
        place = spec.temperatures.index(temperature)
        log_tail = torch.from_numpy(columns["log_tail"][:, place].copy())  # (N,)
        delta = torch.from_numpy(columns["delta"]).float()
        log_kept = stored_log_probabilities(delta, log_tail, temperature)
        return SparseTeacherRows(kept, log_kept, log_tail)

    def _holds(self, item: TokenizedExample) -> bool:
        positions = np.arange(max(item.prompt_length, 1), len(item.input_ids))
        return (
            len(positions) == 0 or self.rows_of(sequence_key(item.input_ids), positions) is not None
        )

    def _build_index(self) -> None:
        """Sort the prefixes of all keys, and check the counts of the manifest."""
        prefixes = [
            np.ascontiguousarray(part.keys[:, :_PREFIX_BYTES]).view(">u8")[:, 0].astype(np.uint64)
            for part in self.parts
        ]
        rows = [np.arange(len(part.keys), dtype=np.int32) for part in self.parts]
        parts = [np.full(len(part.keys), n, np.int32) for n, part in enumerate(self.parts)]
        together = np.concatenate(prefixes)
        order = np.argsort(together, kind="stable")
        self._prefixes = together[order]
        self._part_of, self._row_of = np.concatenate(parts)[order], np.concatenate(rows)[order]
        counts = (len(order), sum(len(part.position) for part in self.parts))
        if counts != (self.manifest.sequences, self.manifest.tokens):
            raise UnreadableFileError(
                f"its parts hold {counts[0]} sequences and {counts[1]} positions, the manifest "
                f"says {self.manifest.sequences} and {self.manifest.tokens}; build it again",
                path=self.folder,
            )
