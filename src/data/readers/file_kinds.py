"""The kind of a file, by its first bytes, then its suffix; other files are refused with advice."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ...errors import EmptyDataError, UnreadableFileError
from .compression import compression_of, iter_chunks, seekable, unpacked_name
from .options import Format, ReadOptions

_SUFFIXES: dict[Format, str] = {
    "csv": ".csv .tsv .tab .psv",
    "json": ".json .geojson .jsonl .ndjson",
    "parquet": ".parquet .pq",
    "arrow": ".arrow .arrows .feather .ipc",
    "sqlite": ".sqlite .sqlite3 .db",
    "excel": ".xlsx .xlsm",
}
SUFFIX_KINDS = {suffix: kind for kind, all_ in _SUFFIXES.items() for suffix in all_.split()}
_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"SQLite format 3\0", "sqlite"),
)
_NAMES: dict[Format, str] = {
    "parquet": "a Parquet file",
    "arrow": "an Arrow file",
    "sqlite": "an SQLite database",
    "excel": "an Excel workbook",
}
_SAVE_AS = "save it as an Excel workbook (.xlsx) or as CSV (UTF-8)"
_PICTURE = "export the table as CSV, or retype it; pictures are not read"
_UNPACK = "unpack it and name the file inside"
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (
        b"PARE",
        "is an encrypted Parquet file; decrypt it with the tool and the keys it was written with",
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "is an Excel 97-2003 workbook (.xls), an encrypted one or another old Office file; "
        + _SAVE_AS,
    ),
    (b"\x09\x08\x10\x00\x00\x06\x05\x00", f"is an old Excel workbook (.xls); {_SAVE_AS}"),
    (b"FEA1", "is a Feather version 1 file; write it again as Feather version 2 or Parquet"),
    (b"ORC", "is an ORC file; write it as Parquet"),
    (b"Obj\x01", "is an Avro file; write it as Parquet or JSON Lines"),
    (b"%PDF", "is a PDF document; export the table as CSV"),
    (b"%!PS", "is a PostScript document; export the table as CSV"),
    (b"{\\rtf", "is a rich-text document (.rtf); export the table as CSV"),
    (b"\x89HDF\r\n", "is an HDF5 file; write the table as Parquet"),
    (b"CDF\x01", "is a NetCDF file; write the table as Parquet"),
    (b"CDF\x02", "is a NetCDF file; write the table as Parquet"),
    (b"\x93NUMPY", "is a NumPy file; write the table as Parquet or CSV"),
    (b"MATLAB 5.0 MAT-file", "is a MATLAB file; write the table as Parquet or CSV"),
    (b"RDX", "is an R data file; write the table as Parquet or CSV"),
    (b"$FL2", "is an SPSS file (.sav); write the table as Parquet or CSV"),
    (b"$FL3", "is an SPSS file (.sav); write the table as Parquet or CSV"),
    (b"<stata_dta>", "is a Stata file (.dta); write the table as Parquet or CSV"),
    (b"GGUF", "is a model (GGUF) and no table"),
    (b"\x89PNG\r\n", f"is a PNG picture; {_PICTURE}"),
    (b"\xff\xd8\xff", f"is a JPEG picture; {_PICTURE}"),
    (b"GIF87a", f"is a GIF picture; {_PICTURE}"),
    (b"GIF89a", f"is a GIF picture; {_PICTURE}"),
    (b"II*\0", f"is a TIFF picture; {_PICTURE}"),
    (b"MM\0*", f"is a TIFF picture; {_PICTURE}"),
    (b"\x00\x00\x01\x00", f"is an icon (.ico); {_PICTURE}"),
    (b"8BPS", f"is a Photoshop picture; {_PICTURE}"),
    (b"OggS", "is a sound or a film (Ogg) and no table"),
    (b"fLaC", "is a sound (FLAC) and no table"),
    (b"ID3", "is a sound (MP3) and no table"),
    (b"\x1aE\xdf\xa3", "is a film (Matroska, WebM) and no table"),
    (b"\x7fELF", "is a program (ELF) and no table"),
    (b"\xcf\xfa\xed\xfe", "is a program (Mach-O) and no table"),
    (b"\xca\xfe\xba\xbe", "is a program (Java class or Mach-O) and no table"),
    (b"\0asm", "is a program (WebAssembly) and no table"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive; {_UNPACK}"),
    (b"Rar!\x1a\x07", f"is a RAR archive; {_UNPACK}"),
    (b"MSCF", f"is a cabinet archive (.cab); {_UNPACK}"),
    (b"!<arch>\n", f"is an archive (.a, .deb); {_UNPACK}"),
    (b"\x04\x22\x4d\x18", "is packed with LZ4; unpack it, or pack it with gzip or zstd"),
    (b"\xff\x06\x00\x00sNaPpY", "is packed with Snappy; unpack it, or pack it with gzip or zstd"),
    (b"\x1f\x9d", "is packed with compress (.Z); unpack it, or pack it with gzip or zstd"),
    (b"version https://git-lfs", "is a Git LFS pointer and not the data; run: git lfs pull"),
)
_MEMBERS: tuple[tuple[str, str], ...] = (
    ("xl/workbook.bin", f"is a binary Excel workbook (.xlsb); {_SAVE_AS}"),
    ("word/document.xml", "is a Word document (.docx); export the table as CSV"),
    ("ppt/presentation.xml", "is a PowerPoint file (.pptx); export the table as CSV"),
    ("META-INF/MANIFEST.MF", "is a Java archive (.jar) and no table"),
    ("Index/Document.iwa", "is a document of Apple's Numbers, Pages or Keynote; export it as CSV"),
    ("doc.kml", "is a map (.kmz); export the table as CSV"),
)
_MEDIA: tuple[tuple[str, str], ...] = (
    ("opendocument.spreadsheet", f"is an OpenDocument spreadsheet (.ods); {_SAVE_AS}"),
    ("opendocument", "is an OpenDocument file (.odt, .odp); export the table as CSV"),
    ("epub", "is an electronic book (.epub); export the table as CSV"),
)
_PAGE = "is an HTML page, perhaps a login or error page; download the data itself"
_MARKUP: tuple[tuple[bytes, str], ...] = (
    *((mark, _PAGE) for mark in (b"<!doctype html", b"<html", b"<head", b"<body")),
    (b"<table", "is an HTML table; export the table as CSV"),
    (b"<svg", f"is an SVG picture; {_PICTURE}"),
    (b"<?xml", "is an XML file; export the table as CSV or JSON"),
)
_TEXT_CONTROLS = frozenset(b"\x01\t\n\x0b\x0c\r\x1a\x1b\x1c\x1d\x1e\x1f")
HEAD_BYTES = 4096


def kind_of(path: Path, options: ReadOptions) -> Format:
    """Decide which format a file is read as.

    Args:
        path: File, compressed or not.
        options: `format` overrides the suffix, but not content that is certainly something else.

    Raises:
        EmptyDataError: The file has no bytes.
        UnreadableFileError: The format is not supported; the message says what to do.
    """
    head = file_head(path)
    if not head:
        raise EmptyDataError("the file is empty (0 bytes)", path=path)
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if found is None and head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        found = _kind_in_zip(path)
    if found is None and (reason := _refusal(path, head)) is not None:
        raise UnreadableFileError(f"this {reason}", path=path)
    if options.format is not None:
        if found not in (None, options.format) and options.format in ("csv", "json"):
            raise UnreadableFileError(
                f"this is {_NAMES[found]} and is to be read as {options.format}; leave format out "
                "to detect it",
                path=path,
            )
        return options.format
    if found is not None:
        return found
    suffix = Path(unpacked_name(path)).suffix.lower()
    known = SUFFIX_KINDS.get(suffix)
    if known in ("parquet", "arrow", "sqlite", "excel"):
        # Arrow streams of old versions start with a length; the reader itself checks them.
        if known == "arrow":
            return known
        raise UnreadableFileError(
            f"the name says {known}, but the content starts with {head[:8]!r}", path=path
        )
    return known or _sniff(head)


def file_head(path: Path) -> bytes:
    """Give the first bytes of a file, decompressed; empty for an empty file."""
    head = b""
    try:
        for chunk in iter_chunks(path):
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
    except UnreadableFileError:
        if not head:
            raise  # otherwise the reader names the damaged row
    return head[:HEAD_BYTES]


def _refusal(path: Path, head: bytes) -> str | None:
    """Say what a file is that is not read, and what to do; None for a text."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
    for beginning, known in ((head, _REFUSED), (start, _MARKUP)):
        for magic, reason in known:
            if beginning.startswith(magic):
                return reason
    if head.startswith(b"RIFF") and head[8:12] in (b"WEBP", b"WAVE"):
        what = "a WebP picture" if head[8:12] == b"WEBP" else "a sound (WAV)"
        return f"is {what} and no table"
    if head[4:8] == b"ftyp":
        return "is a film or picture (MP4, HEIC) and no table"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return f"is a BMP picture; {_PICTURE}"
    if head[8:12] == b"DUCK":
        return "is a DuckDB database; write the table as Parquet: COPY name TO 'name.parquet'"
    if head.startswith(b"MZ") and b"PE\0\0" in head:
        return "is a Windows program and no table"
    if path.suffix.lower() == ".dbf":
        return "is a dBase file; export the table as CSV"
    if head[257:262] == b"ustar":
        return f"is a tar archive; {_UNPACK}"
    if compression_of(head) is not None:
        return "is packed twice; unpack it once"
    if _is_binary(head):
        return (
            f"is a binary file of a kind that is not known here (it begins with {head[:8]!r}); "
            "export the table as CSV, JSON Lines or Parquet"
        )
    return None


def _is_binary(head: bytes) -> bool:
    """Say whether a file is text in no encoding: it has control characters, and zero bytes that
    UTF-16 does not explain."""
    zeros = head.count(0)
    if not zeros or head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return False
    for low, high in ((head[::2], head[1::2]), (head[1::2], head[::2])):
        letters = sum(
            h == 0 and (x > 31 or x in b"\t\r\n") for x, h in zip(low, high, strict=False)
        )
        if letters >= 0.9 * zeros:
            return False
    return sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head) > 0.05 * len(head)


def _kind_in_zip(path: Path) -> Format:
    """Recognise a workbook among the formats that are ZIP archives.

    Raises:
        UnreadableFileError: It is another format; the message names it.
    """
    try:
        with seekable(path) as stream, zipfile.ZipFile(stream) as archive:
            members = archive.namelist()
            media = archive.read("mimetype")[:100] if "mimetype" in members else b""
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError, ValueError):
        raise UnreadableFileError(
            "this is a ZIP archive or workbook that is damaged or cut off; copy or download it "
            "again",
            path=path,
        ) from None
    if "xl/workbook.xml" in members:
        return "excel"
    for member, reason in _MEMBERS:
        if member in members:
            raise UnreadableFileError(f"this {reason}", path=path)
    for word, reason in _MEDIA:
        if word in media.decode("latin-1"):
            raise UnreadableFileError(f"this {reason}", path=path)
    inside = ", ".join(map(repr, members[:5])) or "nothing"
    raise UnreadableFileError(
        f"this is a ZIP archive; {_UNPACK}; inside: {inside}{', ...' * (len(members) > 5)}",
        path=path,
    )


def _sniff(head: bytes) -> Format:
    """Tell JSON from CSV in a file with an unknown suffix."""
    start = head.replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n")[:1]
    return "json" if start in (b"{", b"[") else "csv"
