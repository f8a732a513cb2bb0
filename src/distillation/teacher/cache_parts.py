"""Write, check and open one part of a teacher cache.

A part stores the hash of its build and of its own content, so that a resumed build can tell from
the part alone whether it is complete and undamaged.

Sizes: S sequences, N supervised positions, K kept ids, G temperatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import UnreadableFileError
from ...files import atomic_path
from .cache_format import CacheSpec

KEY_BYTES: Final = 32
_BUILD: Final = b"stillroom.build"
_CONTENT: Final = b"stillroom.content_sha256"
_REBUILD: Final = (
    "run stillroom cache-logits with the same options again: it builds what is missing"
)

Array = NDArray[Any]


@dataclass(frozen=True)
class PartColumns:
    """The columns of a part, flattened: sequence s has the rows `starts[s]` to `starts[s + 1]`."""

    keys: Array
    """(S, 32) uint8, in ascending order."""
    starts: Array
    """(S + 1,) int32, from 0 to N."""
    position: Array
    """(N,) int32, index of each predicted token in its sequence."""
    values: Mapping[str, Array]
    """Column name -> (N, width): `ids`, and `delta` with `log_tail` or, for random sampling,
    `count`."""


def value_columns(spec: CacheSpec) -> dict[str, tuple[str, int]]:
    """List the columns with one vector per position: name -> (NumPy type, width)."""
    if spec.selection == "random_sampling":
        return {"ids": ("int32", spec.k), "count": ("uint16", spec.k)}
    grid = len(spec.temperatures)
    return {"ids": ("int32", spec.k), "delta": ("float16", spec.k), "log_tail": ("float32", grid)}


def empty_columns(spec: CacheSpec, keys: Array, starts: Array, position: Array) -> PartColumns:
    """Allocate columns for some sequences, with all values zero."""
    shapes = value_columns(spec).items()
    values = {name: np.zeros((len(position), width), kind) for name, (kind, width) in shapes}
    return PartColumns(keys, starts, position, values)


def write_part(path: Path, columns: PartColumns, spec: CacheSpec, build: str) -> None:
    """Write a part atomically; equal content gives identical files."""
    content = {_BUILD: build.encode(), _CONTENT: _content_sha256(columns).encode()}
    schema = _schema(spec).with_metadata(content)
    keys = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(KEY_BYTES), len(columns.keys), [None, pa.py_buffer(columns.keys)]
    )
    starts = pa.array(columns.starts, pa.int32())
    arrays = [keys, pa.ListArray.from_arrays(starts, pa.array(columns.position))]
    for values in columns.values.values():
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        arrays.append(pa.ListArray.from_arrays(starts, vectors))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    with (
        atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        writer.write_batch(batch)


def open_part(path: Path, spec: CacheSpec, build: str) -> PartColumns:
    """Map a part into memory; its pages are read when they are used.

    Raises:
        UnreadableFileError: The part is truncated or damaged, has other columns than its manifest,
            or belongs to another build.
    """
    batch = _read_batch(path)
    if not batch.schema.equals(_schema(spec)) or any(c.null_count for c in batch.columns):
        raise UnreadableFileError(f"has not the columns of its manifest; {_REBUILD}", path=path)
    if (batch.schema.metadata or {}).get(_BUILD) != build.encode():
        raise UnreadableFileError(f"belongs to another build; remove it and {_REBUILD}", path=path)
    starts = batch.column(1).offsets.to_numpy()
    columns = PartColumns(
        keys=np.frombuffer(batch.column(0).buffers()[1], np.uint8)[: len(batch) * KEY_BYTES]
        .reshape(len(batch), KEY_BYTES),
        starts=starts,
        position=batch.column(1).values.to_numpy(),
        values={
            name: batch.column(name).values.values.to_numpy().reshape(-1, width)
            for name, (_, width) in value_columns(spec).items()
        },
    )  # fmt: skip
    for column in batch.columns[2:]:
        if not np.array_equal(column.offsets.to_numpy(), starts):
            raise UnreadableFileError(f"has columns of different lengths; {_REBUILD}", path=path)
    return columns


def content_is_sound(path: Path, columns: PartColumns) -> bool:
    """Tell whether an opened part matches its stored hash; this reads the whole part."""
    batch = _read_batch(path)
    written: bytes | None = (batch.schema.metadata or {}).get(_CONTENT)
    return written == _content_sha256(columns).encode()


def _read_batch(path: Path) -> Any:  # noqa: ANN401 - pyarrow is untyped
    try:
        # The mapping lives as long as the arrays do. The file is closed, because a large cache may
        # have more parts than a process may have open files.
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if reader.num_record_batches != 1:
                raise pa.ArrowInvalid(f"it has {reader.num_record_batches} record batches, not 1")
            batch = reader.get_batch(0)
            batch.validate(full=True)
    except FileNotFoundError:
        raise UnreadableFileError(f"is missing; {_REBUILD}", path=path) from None
    except (pa.ArrowException, OSError) as fault:
        raise UnreadableFileError(f"is cut off or damaged ({fault}); {_REBUILD}", path=path) from (
            fault
        )
    return batch


def _schema(spec: CacheSpec) -> Any:  # noqa: ANN401
    fields = [("sequence_key", pa.binary(KEY_BYTES)), ("position", pa.list_(pa.int32()))]
    for name, (kind, width) in value_columns(spec).items():
        number = pa.from_numpy_dtype(np.dtype(kind))
        fields.append((name, pa.list_(pa.list_(number, width))))
    return pa.schema(fields)


def _content_sha256(columns: PartColumns) -> str:
    digest = hashlib.sha256()
    for array in (columns.keys, columns.starts, columns.position, *columns.values.values()):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
