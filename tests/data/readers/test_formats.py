"""What a file is comes from its first bytes, whatever its name says."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stillroom.data.data_preparation import StructuredDataLoader
from stillroom.data.readers.read_table import read_table
from stillroom.errors import DataError


def zipped(**members: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return stream.getvalue()


BINARY = bytes(range(256)) * 16
FILES = [
    ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + BINARY, "PNG picture"),
    ("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + BINARY, "JPEG picture"),
    ("jpeg of a camera", b"\xff\xd8\xff\xe1\x1c\x45Exif\0\0" + BINARY, "JPEG picture"),
    ("gif", b"GIF89a\x01\0\x01\0" + BINARY, "GIF picture"),
    ("bmp", b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0" + BINARY, "BMP picture"),
    ("webp", b"RIFF\x24\0\0\0WEBPVP8 " + BINARY, "WebP picture"),
    ("tiff", b"II*\0\x08\0\0\0" + BINARY, "TIFF picture"),
    ("svg", b"<svg xmlns='x'></svg>", "SVG picture"),
    ("wav", b"RIFF\x24\0\0\0WAVEfmt " + BINARY, "sound"),
    ("mp4", b"\0\0\0\x18ftypmp42" + BINARY, "film"),
    ("pdf", b"%PDF-1.7\n" + BINARY, "PDF document"),
    ("rtf", b"{\\rtf1\\ansi x}", "rich-text document"),
    ("elf", b"\x7fELF\x02\x01\x01" + BINARY, "ELF"),
    ("exe", b"MZ\x90\0\x03\0\0\0" + b"\0" * 100 + b"PE\0\0" + BINARY, "Windows program"),
    ("html", b"\n <!DOCTYPE HTML><title>Log in</title>", "HTML page"),
    ("html without a type", b"<head><title>x</title></head>", "HTML page"),
    ("xml", b"<?xml version='1.0'?><a/>", "XML file"),
    ("zip", zipped(a_csv="x", b_csv="y"), "ZIP archive; unpack it and name the file inside; inside: 'a.csv', 'b.csv'"),
    ("empty zip", zipped(), "inside: nothing"),
    ("docx", zipped(word__document_xml="x"), "Word document"),
    ("pptx", zipped(ppt__presentation_xml="x"), "PowerPoint"),
    ("xlsb", zipped(xl__workbook_bin="x"), "binary Excel workbook"),
    ("ods", zipped(mimetype="application/vnd.oasis.opendocument.spreadsheet"), "OpenDocument spreadsheet"),
    ("odt", zipped(mimetype="application/vnd.oasis.opendocument.text"), "OpenDocument file"),
    ("epub", zipped(mimetype="application/epub+zip"), "electronic book"),
    ("cut zip", zipped(a_csv="x" * 999)[:50], "damaged or cut off"),
    ("xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + BINARY, r"\.xls"),
    ("7z", b"7z\xbc\xaf\x27\x1c\0\x04" + BINARY, "7z archive"),
    ("tar", b"a.csv".ljust(257, b"\0") + b"ustar\x0000" + BINARY, "tar archive"),
    ("gzip in gzip", gzip.compress(gzip.compress(b"a,b\n1,2\n")), "packed twice"),
    ("picture in gzip", gzip.compress(b"\x89PNG\r\n\x1a\n" + BINARY), "PNG picture"),
    ("lz4", b"\x04\x22\x4d\x18" + BINARY, "LZ4"),
    ("duckdb", b"12345678DUCK" + BINARY, "DuckDB database"),
    ("stata", b"<stata_dta><header>", "Stata file"),
    ("unknown", b"\x07\x03\x02\x01" + BINARY, "binary file of a kind that is not known"),
    ("pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x01a\x94K\x01\x86\x94" + BINARY, "binary file"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.txt", "t"])
@pytest.mark.parametrize(("data", "text"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_what_is_no_table_is_named_as_what_it_is(tmp_path, data, text, name):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=text) as caught:
        read_table(path)
    assert "UTF-16" not in str(caught.value)
    if name == "t.csv":
        with pytest.raises(DataError, match=text):
            StructuredDataLoader().load_from_csv(path)


def test_tables_are_read_whatever_their_name_says(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "p.csv")
    with sqlite3.connect(tmp_path / "s.csv") as database:
        database.execute("CREATE TABLE t (a INT)")
        database.execute("INSERT INTO t VALUES (1)")
    database.close()
    (tmp_path / "j.txt").write_text('[{"a": 1}]')
    (tmp_path / "g.csv").write_bytes(gzip.compress(b"a\n1\n"))
    for name in ("p.csv", "s.csv", "j.txt"):
        assert read_table(tmp_path / name) == [{"a": 1}]
    assert read_table(tmp_path / "g.csv") == [{"a": "1"}]
    with pytest.raises(DataError, match="this is a Parquet file and is to be read as csv"):
        StructuredDataLoader().load_from_csv(tmp_path / "p.csv")


@pytest.mark.parametrize("text", ["BMI,height\n20,1\n", "MZ,a\n1,2\n", "ID,b\n1,2\n", "%,b\n1,2\n", "\x1b[0ma,b\n1,2\n", "PKey,b\n1,2\n"])  # fmt: skip
def test_texts_that_begin_like_something_else_are_texts(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert len(read_table(path)) == 1
