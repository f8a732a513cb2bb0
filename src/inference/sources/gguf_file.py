"""Read the header of a GGUF file within limits, and decode its tensors.

Files are not trusted: counts are limited, lengths are checked against the size of the file before
anything is allocated, and tensors may not overlap, so memory is bounded by the size of the file.
The `gguf` package decodes the tensors. Its own reader is not used: it creates several arrays for
each entry of a list (2 s for a vocabulary of 49,152) and has no limits.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q",
                   11: "q", 12: "d"}  # fmt: skip
"""Code of a type -> its letter in `struct`."""
_TEXT: Final = 8
_LIST: Final = 9
_MOST_KEYS: Final = 4096
_MOST_TENSORS: Final = 1 << 15
_MOST_ITEMS: Final = 1 << 22
"""Most items of all lists together. A vocabulary of 262,144 tokens with merges and scores takes a
quarter of it."""
_MOST_TEXT_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class GgufTensor:
    """Shape, type and place of a tensor in its file."""

    shape: tuple[int, ...]
    """Outermost dimension first, as in torch."""
    type: int
    """Storage type: a `gguf.GGMLQuantizationType`."""
    start: int
    """Offset of its first byte in the file."""
    size: int
    """Size in bytes."""


@dataclass(frozen=True)
class GgufFile:
    """The header of a GGUF file."""

    path: Path
    values: dict[str, Any]
    """Key -> number, bool, text, or list of these."""
    tensors: dict[str, GgufTensor]

    def decode(self, name: str) -> NDArray[np.float32]:
        """Decode a tensor to a float32 array of its shape."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        with open(self.path, "rb") as stream:
            stream.seek(tensor.start)
            stored = np.fromfile(stream, np.uint8, tensor.size)
        rows = stored.reshape(math.prod(tensor.shape[:-1]), -1)
        plain = dequantize(rows, GGMLQuantizationType(tensor.type))
        return np.asarray(plain, np.float32).reshape(tensor.shape)


def read_gguf(path: Path) -> GgufFile:
    """Read the header of a GGUF file, but not its tensors.

    Raises:
        CheckpointError: The file is no GGUF file, has another version, is truncated, or exceeds the
            limits.
    """
    with open(path, "rb") as stream:
        try:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as fault:  # an empty file
            raise CheckpointError(f"{path}: is empty") from fault
        with data:
            return _Header(path, data).read()


class _Header:
    """Reads a header value by value, from its current position."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data = path, data
        self.at = self.items = 0

    def read(self) -> GgufFile:
        if self.data[:4] != _MAGIC:
            self._refuse("is no GGUF file")
        self.at = 4
        version = self._number("I")
        if version not in _VERSIONS:
            self._refuse(f"is of GGUF version {version}; versions {_VERSIONS} are read")
        tensor_count = self._count("Q", _MOST_TENSORS, "tensors")
        key_count = self._count("Q", _MOST_KEYS, "keys")
        values: dict[str, Any] = {}
        for _ in range(key_count):
            key = self._text()
            if key in values:
                self._refuse(f"holds the key {key[:80]!r} twice")
            values[key] = self._value(self._number("I"))
        return GgufFile(self.path, values, self._tensors(tensor_count, values))

    def _tensors(self, count: int, values: dict[str, Any]) -> dict[str, GgufTensor]:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        found: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(count):
            name = self._text()
            sizes = [self._number("Q") for _ in range(self._count("I", 4, "dimensions"))]
            found.append((name, tuple(reversed(sizes)), self._number("I"), self._number("Q")))
        step = values.get("general.alignment", 32)
        if type(step) is not int or not 0 < step <= 1 << 16:
            self._refuse(f"has the alignment {step!r}")
        base = -(-self.at // step) * step
        tensors: dict[str, GgufTensor] = {}
        for name, shape, kind, start in found:
            if name in tensors:
                self._refuse(f"holds the tensor {name[:80]!r} twice")
            if kind not in {known.value for known in GGMLQuantizationType}:
                self._refuse(f"tensor {name[:80]!r} is stored in the unknown type {kind}")
            block, width = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
            if not shape or 0 in shape or shape[-1] % block:
                self._refuse(f"tensor {name[:80]!r} has the impossible shape {shape}")
            size = math.prod(shape) // block * width
            tensors[name] = GgufTensor(shape, kind, base + start, size)
        self._check_places(tensors)
        return tensors

    def _check_places(self, tensors: dict[str, GgufTensor]) -> None:
        end = 0
        for name, tensor in sorted(tensors.items(), key=lambda item: item[1].start):
            if tensor.start < end:
                self._refuse(f"tensor {name[:80]!r} overlaps another")
            end = tensor.start + tensor.size
            if end > len(self.data):
                self._refuse(f"is cut off: tensor {name[:80]!r} ends at byte {end}, the file at "
                             f"{len(self.data)}")  # fmt: skip

    def _value(self, kind: int) -> Any:  # noqa: ANN401 - any value of the format
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            self._refuse(f"holds a value of the unknown type {kind}")
        inner = self._number("I")
        count = self._count("Q", _MOST_ITEMS, "items in a list")
        self.items += count
        if self.items > _MOST_ITEMS:
            self._refuse(f"holds more than {_MOST_ITEMS} items in lists")
        if inner in _NUMBERS:
            return list(self._unpack(f"<{count}{_NUMBERS[inner]}"))
        if inner != _TEXT:
            self._refuse(f"holds a list of the unknown type {inner}")
        return [self._text() for _ in range(count)]

    def _text(self) -> str:
        length = self._count("Q", _MOST_TEXT_BYTES, "bytes in a text")
        start, self.at = self.at, self.at + length
        if self.at > len(self.data):
            self._refuse("is cut off within its header")
        try:
            return self.data[start : self.at].decode("utf-8")
        except UnicodeDecodeError:
            self._refuse(f"holds a text at byte {start} that is no UTF-8")

    def _count(self, letter: str, most: int, what: str) -> int:
        count = self._number(letter)
        if count > most:
            self._refuse(f"announces {count} {what}; at most {most} are read")
        return int(count)

    def _number(self, letter: str) -> Any:  # noqa: ANN401 - a number or truth value
        return self._unpack(f"<{letter}")[0]

    def _unpack(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(form)
        if self.at + size > len(self.data):
            self._refuse("is cut off within its header")
        found = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return found

    def _refuse(self, reason: str) -> NoReturn:
        raise CheckpointError(f"{self.path}: {reason}")


Fits = Callable[[Any], bool]


def value_of(file: GgufFile, key: str, fits: Fits, default: Any = None) -> Any:  # noqa: ANN401
    """Return a value of the header.

    Args:
        file: The header.
        key: Key of the value.
        fits: Tells whether the value has the right type and range.
        default: Value to return if the key is missing; None means that the key is required.

    Raises:
        CheckpointError: The key is required and missing, or its value does not fit.
    """
    value = file.values.get(key, default)
    if value is None:
        raise CheckpointError(f"{file.path}: lacks {key}")
    if not fits(value):
        raise CheckpointError(f"{file.path}: {key} is {str(value)[:80]!r}, which is not possible")
    return value


def whole(low: int, high: int) -> Fits:
    """Make a test for whole numbers from `low` to `high`."""
    return lambda value: type(value) is int and low <= value <= high


def positive(value: Any) -> bool:  # noqa: ANN401
    """Tell whether a value is a finite number above 0."""
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def truth(value: Any) -> bool:  # noqa: ANN401
    """Tell whether a value is true or false."""
    return isinstance(value, bool)
