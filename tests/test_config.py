"""Files that a user wrote: texts and settings in any encoding that shows itself."""

import pytest
from stillroom.config import as_settings, read_written_json, read_written_text
from stillroom.distillation.stages import read_records
from stillroom.errors import ConfigError, DataError
from stillroom.pipeline.commands.label import template_text

MARKED = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.parametrize("encoding", MARKED)
def test_a_text_is_read_without_its_mark(encoding, tmp_path):
    path = tmp_path / "template.txt"
    path.write_bytes("Erkläre {question}.\r\nKurz.\rBitte.\n".encode(encoding))
    assert read_written_text(path) == "Erkläre {question}.\nKurz.\nBitte.\n"
    assert template_text(str(path)) == read_written_text(path)


def test_marks_never_reach_a_prompt(tmp_path):
    path = tmp_path / "two.txt"
    path.write_bytes(2 * b"\xef\xbb\xbf" + b"Say {x}")
    assert template_text(str(path)) == "Say {x}"
    assert template_text("\ufeffSay {x}") == "Say {x}"
    assert template_text(None) is None


@pytest.mark.parametrize("encoding", MARKED)
def test_settings_and_records_are_read_in_any_marked_encoding(encoding, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes('{"name": "Öl"}'.encode(encoding))
    assert as_settings(read_written_json(path), path) == {"name": "Öl"}
    lines = tmp_path / "mine.jsonl"
    lines.write_bytes('{"text": "Öl"}\n\n{"text": "b"}'.encode(encoding))
    assert read_records(lines) == [{"text": "Öl"}, {"text": "b"}]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a\nb \xe4", "line 2: byte 0xe4 is no UTF-8"),
        (b"\xff\xfea", "is no UTF-16-LE"),
        (b"a\0b\0", "holds zero bytes"),
    ],
)
def test_what_is_no_text_is_told_with_its_line(data, told, tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=told):
        read_written_text(path)
    with pytest.raises(DataError, match=told):
        read_records(path)


@pytest.mark.parametrize("value", [[1], "x", None, True, 5, 0.5])
def test_settings_are_an_object(value):
    with pytest.raises(ConfigError, match="an object of settings is needed"):
        as_settings(value, "mine.json")
