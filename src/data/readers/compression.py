"""Reading the bytes of a file, decompressed: gzip, zstd, bzip2 and xz, known by their first bytes.

A truncated file is an error, never a shorter table. Memory is constant, as input is read in small
blocks.
"""

from __future__ import annotations

import bz2
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ...errors import DataNotFoundError, UnreadableFileError

PLAIN_BLOCK = 1 << 19
PACKED_BLOCK = 1 << 12
"""Bytes of compressed input per step; the densest zstd and bzip2 give some 100 MB of it."""
SUFFIXES = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bzip2",
    ".xz": "xz",
}
_UNPACK_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


def compression_of(head: bytes) -> str | None:
    """Detect the compression from the first bytes of a file; None for no known one."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return None


def unpacked_name(path: Path) -> str:
    """Give the file name without its compression suffix: `a.csv.gz` -> `a.csv`."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def iter_chunks(path: Path) -> Iterator[bytes]:
    """Read a file block by block, decompressed where needed.

    Args:
        path: File to read.

    Yields:
        Blocks, none empty.

    Raises:
        DataNotFoundError: There is no such file.
        UnreadableFileError: The compressed data is damaged or truncated, or the file cannot be
            opened.
    """
    with open_file(path) as stream:
        kind = compression_of(stream.read(10))
        stream.seek(0)
        if kind is None:
            while block := stream.read(PLAIN_BLOCK):
                yield block
        else:
            yield from _unpack(stream, kind, path)


@contextmanager
def seekable(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for random access; a compressed one is first written to a temporary file.

    Raises:
        UnreadableFileError: As `iter_chunks`.
    """
    with open_file(path) as stream:
        if compression_of(stream.read(10)) is None:
            stream.seek(0)
            yield stream
            return
    with tempfile.TemporaryFile() as unpacked:
        for chunk in iter_chunks(path):
            unpacked.write(chunk)
        unpacked.seek(0)
        yield unpacked


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes.

    Raises:
        DataNotFoundError: There is no such file.
        UnreadableFileError: It is a folder, or reading it is not allowed.
    """
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise DataNotFoundError(f"{path}: no such file; check the spelling") from None
    except OSError as fault:
        raise UnreadableFileError(f"cannot be opened: {fault.strerror}", path=path) from fault
    with stream:
        yield stream


def _unpack(stream: IO[bytes], kind: str, path: Path) -> Iterator[bytes]:
    new_unpacker, errors = _unpacker(kind)
    unpacker = new_unpacker()
    begun = False  # inside a member whose end has not been reached
    block = b""
    while block := block or stream.read(PACKED_BLOCK):
        if not begun and not block.strip(b"\0"):
            block = b""  # gzip files may be padded with zero bytes
            continue
        try:
            data = unpacker.decompress(block)
        except errors as fault:
            raise UnreadableFileError(f"the {kind} data is damaged: {fault}", path=path) from fault
        begun, block = True, b""
        if unpacker.eof:
            # A file may have several members, as `cat a.gz b.gz` writes them.
            begun, block, unpacker = False, unpacker.unused_data, new_unpacker()
        if data:
            yield data
    if begun:
        raise UnreadableFileError(
            f"the {kind} data ends early: the file is cut off; copy or download it again", path=path
        )


def _unpacker(kind: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    if kind == "gzip":
        return (lambda: zlib.decompressobj(31)), _UNPACK_ERRORS
    if kind == "bzip2":
        return bz2.BZ2Decompressor, _UNPACK_ERRORS
    if kind == "xz":
        return lzma.LZMADecompressor, _UNPACK_ERRORS
    import zstandard

    return (lambda: zstandard.ZstdDecompressor().decompressobj()), (
        zstandard.ZstdError,
        *_UNPACK_ERRORS,
    )
