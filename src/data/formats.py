"""What a file is, by its first bytes, then its suffix; the rest is refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import EmptyDataError, UnreadableFileError
from .compression import compression_of, iter_chunks, unpacked_name
from .options import ReadOptions

Kind = Literal["csv", "json", "parquet", "arrow", "sqlite"]

SUFFIX_KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".psv": "csv",
    ".json": "json",
    ".geojson": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
}
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"SQLite format 3\0", "sqlite"),
)
_SAVE_AS = "open it there and save the sheet as CSV (UTF-8), one file per sheet"
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (
        b"PARE",
        "is an encrypted Parquet file; decrypt it with the tool and the keys it was written with",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"is an Excel 97-2003 or other Office file; {_SAVE_AS}"),
    (b"FEA1", "is a Feather version 1 file; write it again as Feather version 2 or Parquet"),
    (b"ORC", "is an ORC file; write it as Parquet"),
    (b"Obj\x01", "is an Avro file; write it as Parquet or JSON Lines"),
    (b"%PDF", "is a PDF document; export the table as CSV"),
    (b"\x89HDF\r\n", "is an HDF5 file; write the table as Parquet"),
    (b"\x93NUMPY", "is a NumPy file; write the table as Parquet or CSV"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it and name the file inside"),
    (b"Rar!\x1a\x07", "is a RAR archive; unpack it and name the file inside"),
    (b"version https://git-lfs", "is a Git LFS pointer and not the data; run: git lfs pull"),
)
_MARKUP: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "is an HTML page, perhaps a login or error page; download the data itself"),
    (b"<html", "is an HTML page, perhaps a login or error page; download the data itself"),
    (b"<?xml", "is an XML file; export the table as CSV or JSON"),
)
HEAD_BYTES = 4096


def kind_of(path: Path, options: ReadOptions) -> Kind:
    """Tell what a file is read as.

    Args:
        path: File, packed or not.
        options: `format` wins over everything else.

    Raises:
        EmptyDataError: The file has no bytes.
        UnreadableFileError: It is something that is not read here; the message says what to do.
    """
    head = file_head(path)
    if not head:
        raise EmptyDataError("the file is empty (0 bytes)", path=path)
    if options.format is not None:
        return options.format
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    _refuse(path, head)
    suffix = Path(unpacked_name(path)).suffix.lower()
    known = SUFFIX_KINDS.get(suffix)
    if known in ("parquet", "arrow", "sqlite"):
        # Arrow streams of old versions start with a length; the reader itself says whether it is
        # one.
        if known == "arrow":
            return known
        raise UnreadableFileError(
            f"the name says {known}, the content starts with {head[:8]!r}", path=path
        )
    return known or _sniff(head)


def file_head(path: Path) -> bytes:
    """Give the first bytes of a file, unpacked; empty for an empty file."""
    head = b""
    try:
        for chunk in iter_chunks(path):
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
    except UnreadableFileError:
        if not head:
            raise  # otherwise the reader says in which row the damage is
    return head[:HEAD_BYTES]


def _refuse(path: Path, head: bytes) -> None:
    for magic, reason in _REFUSED:
        if head.startswith(magic):
            raise UnreadableFileError(f"this {reason}", path=path)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
    for magic, reason in _MARKUP:
        if start.startswith(magic):
            raise UnreadableFileError(f"this {reason}", path=path)
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        office = path.suffix.lower() in (".xlsx", ".xlsm", ".ods") or b"xl/" in head
        reason = (
            f"is a workbook; {_SAVE_AS}"
            if office
            else "is a ZIP archive; unpack it and name the file inside"
        )
        raise UnreadableFileError(f"this {reason}", path=path)
    if path.suffix.lower() == ".dbf":
        raise UnreadableFileError("this is a dBase file; export the table as CSV", path=path)
    if head[257:262] == b"ustar":
        raise UnreadableFileError(
            "this is a tar archive; unpack it and name the file inside", path=path
        )
    if compression_of(head) is not None:
        raise UnreadableFileError("this is packed twice; unpack it once", path=path)


def _sniff(head: bytes) -> Kind:
    """Tell JSON from CSV in a file whose suffix says nothing."""
    start = head.replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n")[:1]
    return "json" if start in (b"{", b"[") else "csv"
