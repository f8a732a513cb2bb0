"""Hashes, prompts, files: golden vectors of the contracts, and files that are whole or absent."""

import doctest
import hashlib
import json
import os

import pytest
from stillroom import files, prompts, records
from stillroom.errors import DataError, StillroomError, UnknownColumnError
from stillroom.records import Example, Source, data_hash, record_hash, stable_json
from stillroom.tables import Column, FactTable, TableRow


@pytest.mark.parametrize("module", [records, prompts], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("value", "text", "digest"),
    [
        ("café", '"caf\\u00e9"', "ee08d8beb64c89c2"),
        ("cafe\u0301", '"cafe\\u0301"', "5268a173a85b0925"),
        (1, "1", "6b86b273ff34fce1"),
        (1.0, "1.0", "d0ff5974b6aa52cf"),
        ("1", '"1"', "391552c099c101b1"),
        (True, "true", "b5bea41b6c623f7c"),
        (None, "null", "74234e98afe7498f"),
        ("", '""', "12ae32cb1ec02d01"),
        ({"b": 1, "a": [1, 2]}, '{"a":[1,2],"b":1}', "94a786c3662bc7be"),
        ('{"a":1}', '"{\\"a\\":1}"', "3dc4eef510cec9ed"),
        ({1: 2}, '{"1":2}', None),
    ],
)
def test_stable_json(value, text, digest):
    assert stable_json(value) == text
    if digest:
        assert record_hash(value).startswith(digest)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": float("-inf")}])
def test_stable_json_refuses_what_is_not_finite(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        stable_json(value)


@pytest.mark.parametrize("value", [{1: 2, "a": 3}, {1, 2}, b"x"])
def test_stable_json_refuses_what_is_no_json(value):
    with pytest.raises(TypeError):
        stable_json(value)


def test_data_hash_does_not_depend_on_order():
    both = "01f93988d26f67708277c0ab111bb9eafb7ccf762c827e75488f62b8eba940df"
    assert data_hash([{"a": 1}, {"b": 2}]) == data_hash([{"b": 2}, {"a": 1}]) == both
    assert data_hash([]) == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("rendered", "digest"),
    [
        (prompts.render("s2-qa", "Q", context="C"), "0e649213d04f939d"),
        (prompts.render("s2-qa", "Q"), "a71304026d81ef7c"),
        (prompts.render("s2-qa", "Q", context="  "), "a71304026d81ef7c"),
        (prompts.render("s2-summarize", "T"), "b0329437390337d0"),
    ],
)
def test_prompt_bytes_are_frozen(rendered, digest):
    assert hashlib.sha256(rendered.encode()).hexdigest().startswith(digest)


def test_braces_in_users_texts_stay():
    assert prompts.render("s2-qa", "{context} {x}", context="{text}") == (
        "Context: {text}\n\nQuestion: {context} {x}\n\nAnswer:"
    )


def test_the_joint_is_read_off_the_prompt():
    assert prompts.join_of(prompts.render("s2-summarize", "a text")) == "\n\n"
    assert prompts.join_of(prompts.render("s2-qa", "a question")) == " "


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match=r"\$\.b\[0\] is not a finite number"):
        files.write_json(path, {"b": [float("nan")]})
    with pytest.raises(TypeError):
        files.write_json(path, {"b": {1, 2}})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failed_folder_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "model"
    with files.atomic_folder(folder) as temporary:
        (temporary / "a").write_text("1")

    def fail():
        with files.atomic_folder(folder) as temporary:
            (temporary / "a").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (folder / "a").read_text() == "1"
    assert os.listdir(tmp_path) == ["model"]


def test_examples_survive_the_disk(tmp_path):
    examples = [
        Example("1", "p", "t", "qa", "f", Source("a.csv", 3, "x"), {"k": None}),
        Example("2", "p\u2028q\n", None),
    ]
    records.write_examples(tmp_path / "x.jsonl", examples)
    assert records.read_examples(tmp_path / "x.jsonl") == examples


def test_a_table_survives_the_disk(tmp_path):
    table = FactTable(
        source="a.csv",
        kind="facts",
        key="name",
        columns=(Column("x", "x", ("What is the x of {key}?",)),),
        rows=(TableRow(1, "é", {"x": "1"}),),
        examples=("What is the x of é?",),
    )
    table.write(tmp_path)
    assert FactTable.read(tmp_path) == table
    assert FactTable.read(tmp_path / "elsewhere") is None
    (tmp_path / "table.json").write_text('{"source": 1}')
    with pytest.raises(DataError, match="not a table written by stillroom"):
        FactTable.read(tmp_path)


def test_data_errors_name_the_place():
    fault = UnknownColumnError("no such column", path="a.csv", row=3, column="x")
    assert str(fault) == "a.csv, row 3, column 'x': no such column"
    assert isinstance(fault, (KeyError, ValueError, StillroomError))
