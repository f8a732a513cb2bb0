"""The loader that users of the seed call: names, messages, and the bugs it must not have."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import inspect
import json
import logging
import math
import unicodedata

import pandas as pd
import pytest
from stillroom.data.data_preparation import StructuredDataLoader, create_sample_dataset
from stillroom.data.questions.qa_pairs import iter_qa_pairs
from stillroom.data.readers.cells import pair_text, plain_value
from stillroom.data.readers.frames import frame_from_records, parse_column
from stillroom.data.readers.read_report import ReadReport
from stillroom.errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    EmptyDataError,
    UnknownColumnError,
)
from stillroom.prompts import render

QA = "question,answer,context,topic\nQ1,A1,C1,t\nQ2,A2,,t\n"
ANY = inspect.Parameter.empty


@pytest.fixture
def loader(tmp_path):
    (tmp_path / "qa.csv").write_text(QA)
    loader = StructuredDataLoader()
    loader.load_from_csv(tmp_path / "qa.csv")
    return loader


def load_text(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_text(text)
    loader = StructuredDataLoader(tmp_path / name)
    loader.load()
    return loader


FROZEN = [
    (StructuredDataLoader.__init__, {"data_path": None}),
    (StructuredDataLoader.load_from_csv, {"file_path": ANY, "kwargs": ANY}),
    (StructuredDataLoader.load_from_json, {"file_path": ANY}),
    (StructuredDataLoader.load_from_parquet, {"file_path": ANY, "kwargs": ANY}),
    (StructuredDataLoader.load_from_database, {"connection_string": ANY, "query": ANY}),
    (StructuredDataLoader.load, {"path": None, "options": ANY}),
    (StructuredDataLoader.create_qa_pairs, {"question_col": "question", "answer_col": "answer", "context_col": None}),
    (StructuredDataLoader.prepare_distillation_dataset, {"text_col": "text", "label_col": None}),
    (create_sample_dataset, {"output_path": ANY, "num_samples": 100}),
]  # fmt: skip


@pytest.mark.parametrize(("function", "want"), FROZEN, ids=[f[0].__name__ for f in FROZEN])
def test_signatures_are_frozen(function, want):
    parameters = dict(inspect.signature(function).parameters)
    parameters.pop("self", None)
    old = {k: p.default for k, p in parameters.items() if p.kind != p.KEYWORD_ONLY}
    assert old == want
    assert list(old) == list(want)


def test_three_lines_of_the_seed(tmp_path):
    (tmp_path / "qa.csv").write_text("question,answer\nWhat?,That.\n")
    loader = StructuredDataLoader()
    loader.load_from_csv(str(tmp_path / "qa.csv"))
    qa_pairs = loader.create_qa_pairs()
    training_data = loader.prepare_distillation_dataset()
    assert qa_pairs == [{"question": "What?", "answer": "That."}]
    assert training_data == [{"text": render("s2-qa", "What?") + " That."}]


def test_attributes(tmp_path):
    loader = StructuredDataLoader("x.csv")
    assert (loader.data_path, loader.data) == ("x.csv", None)


@pytest.mark.parametrize("method", ["create_qa_pairs", "prepare_distillation_dataset"])
def test_message_before_loading(method):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        getattr(StructuredDataLoader(), method)()
    assert str(caught.value) == "No data loaded. Call load_from_csv or load_from_json first."


def test_load_uses_data_path(tmp_path):
    assert len(load_text(tmp_path, QA).data) == 2
    with pytest.raises(ValueError, match="No path given"):
        StructuredDataLoader().load()


def test_pairs_with_and_without_context(loader, caplog):
    plain = [{"question": "Q1", "answer": "A1"}, {"question": "Q2", "answer": "A2"}]
    assert loader.create_qa_pairs() == plain
    assert loader.create_qa_pairs("question", "answer", "context") == [
        {**plain[0], "context": "C1"},
        {**plain[1], "context": ""},
    ]
    assert loader.create_qa_pairs(context_col="nope") == plain
    assert "no column 'nope'" in caplog.text


def test_training_texts(loader):
    texts = loader.prepare_distillation_dataset(label_col="topic")
    first = render("s2-qa", "Q1", context="C1") + " A1"
    assert texts == [
        {"text": first, "label": "t"},
        {"text": render("s2-qa", "Q2") + " A2", "label": "t"},
    ]
    assert loader.prepare_distillation_dataset("answer", "topic") == [
        {"text": "A1", "label": "t"},
        {"text": "A2", "label": "t"},
    ]
    assert loader.prepare_distillation_dataset("answer", "nope")[0] == {"text": "A1"}


def test_training_on_questions_alone_gives_a_warning(loader):
    with pytest.warns(UserWarning, match="the student never sees one"):
        assert loader.prepare_distillation_dataset(text_col="question")[0] == {"text": "Q1"}


def test_missing_columns_are_listed(loader, tmp_path):
    with pytest.raises(UnknownColumnError, match="'question', 'answer', 'context', 'topic'"):
        loader.create_qa_pairs("frage")
    with pytest.raises(KeyError):
        loader.prepare_distillation_dataset("body")
    with pytest.raises(UnknownColumnError, match="'a'"):
        load_text(tmp_path, "a\n1\n").prepare_distillation_dataset()


NULLS = "question,answer\nQ1,A1\n,A2\nQ3,\n  ,A4\n"


def test_null_policies(tmp_path, caplog):
    loader = load_text(tmp_path, NULLS)
    assert loader.create_qa_pairs() == [{"question": "Q1", "answer": "A1"}]
    assert loader.report.dropped == {"question": 2, "answer": 1}
    assert loader.create_qa_pairs(null="empty")[2] == {"question": "Q3", "answer": ""}
    assert loader.report.dropped == {}
    with pytest.raises(DataError) as caught:
        loader.create_qa_pairs(null="error")
    assert (caught.value.row, caught.value.column) == (2, "question")
    with pytest.raises(ValueError, match="'drop', 'empty' or 'error'"):
        loader.create_qa_pairs(null="keep")
    assert "nan" not in json.dumps(loader.create_qa_pairs(null="empty"))


@pytest.mark.parametrize("null", ["drop", "empty"])
def test_streamed_pairs_are_those_of_the_table(tmp_path, null):
    loader = load_text(tmp_path, NULLS)
    report = ReadReport()
    streamed = list(iter_qa_pairs(tmp_path / "t.csv", null=null, report=report))
    assert streamed == loader.create_qa_pairs(null=null)
    assert report.dropped == loader.report.dropped
    assert list(loader.iter_qa_pairs(null=null)) == streamed


def test_streamed_pairs_name_row_and_column(tmp_path):
    (tmp_path / "t.csv").write_text("question,answer\n" + "Q,A\n" * 5000 + "Q,\n")
    with pytest.raises(DataError) as caught:
        list(iter_qa_pairs(tmp_path / "t.csv", null="error"))
    assert (caught.value.row, caught.value.column) == (5001, "answer")
    with pytest.raises(UnknownColumnError):
        list(iter_qa_pairs(tmp_path / "t.csv", "frage"))


def test_dropped_records_are_logged(tmp_path, caplog):
    (tmp_path / "t.csv").write_text(NULLS)
    list(iter_qa_pairs(tmp_path / "t.csv"))
    assert "2 records dropped: 'question' is null" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '[{"question": "Q", "answer": ["a", "b"], "context": {"k": 1}}]'),
        ("t.jsonl", '{"question": "Q", "answer": ["a", "b"], "context": {"k": 1}}'),
    ],
)
def test_nested_values_have_a_text(tmp_path, name, text):
    want = [{"question": "Q", "answer": "a, b", "context": '{"k": 1}'}]
    loader = load_text(tmp_path, text, name)
    assert loader.data["answer"][0] == ["a", "b"]  # still Python objects in the table
    assert loader.create_qa_pairs(context_col="context") == want
    assert list(iter_qa_pairs(tmp_path / name, context_col="context")) == want


def test_unknown_column_of_json_pairs(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"question": "Q"}\n{"question": "R"}\n')
    with pytest.raises(UnknownColumnError, match="there are 'question'"):
        list(iter_qa_pairs(tmp_path / "t.jsonl"))


COLUMNS = [
    ("whole numbers", ["1", "-20", "0"], "int64", [1, -20, 0]),
    ("gaps", ["1", None], "Int64", [1, None]),
    ("leading zero", ["007", "1"], "string", ["007", "1"]),
    ("plus sign", ["+1"], "string", ["+1"]),
    ("beyond 64 bits", ["9223372036854775808"], "string", ["9223372036854775808"]),
    ("floats", ["1.5", "0.1"], "float64", [1.5, 0.1]),
    ("trailing zero", ["1.50"], "string", ["1.50"]),
    ("nan is text", ["nan"], "string", ["nan"]),
    ("inf is text", ["inf"], "string", ["inf"]),
    ("booleans", ["True", "False"], "bool", [True, False]),
    ("true is text", ["true"], "string", ["true"]),
    ("mixed", ["1", "x"], "string", ["1", "x"]),
    ("numbers and floats", ["1", "1.5"], "string", ["1", "1.5"]),
    ("nulls", [None, None], "string", [None, None]),
    ("other digits", ["١"], "string", ["١"]),
    ("underscore", ["1_000"], "string", ["1_000"]),
]


@pytest.mark.parametrize(
    ("cells", "dtype", "want"), [c[1:] for c in COLUMNS], ids=[c[0] for c in COLUMNS]
)
def test_columns_change_type_only_without_loss(cells, dtype, want):
    frame = frame_from_records([{"a": c} for c in cells], parse_text=True)
    assert str(frame["a"].dtype) == dtype
    assert [None if pd.isna(v) else v for v in frame["a"].tolist()] == want
    assert [pair_text(v) for v in frame["a"].tolist()] == cells


def test_frames_keep_what_records_have():
    records = [{"i": 1, "x": [1]}, {"i": None, "x": "t", "late": True}, {"i": 2**70}]
    frame = frame_from_records(records)
    assert frame["i"].tolist()[::2] == [1, 2**70]
    assert frame["x"].tolist()[:2] == [[1], "t"]
    assert frame["late"].isna().tolist() == [True, False, True]
    assert parse_column(["1", 2]) == ["1", 2]
    assert list(frame_from_records([], columns=["a"]).columns) == ["a"]


def test_header_without_records_still_has_columns(tmp_path):
    loader = load_text(tmp_path, "question,answer\n")
    assert list(loader.data.columns) == ["question", "answer"]
    assert loader.create_qa_pairs() == []


def test_pandas_arguments(tmp_path):
    (tmp_path / "t.csv").write_text("question;answer;n\nNA;x;1\ny;;\n")
    loader = StructuredDataLoader()
    data = loader.load_from_csv(tmp_path / "t.csv", sep=";")
    assert data["question"].tolist() == ["NA", "y"]
    assert data["n"].tolist()[0] == 1
    assert str(data["n"].dtype) == "Int64"
    assert loader.create_qa_pairs() == [{"question": "NA", "answer": "x"}]
    assert loader.load_from_csv(tmp_path / "t.csv", sep=";", keep_default_na=True)[
        "question"
    ].isna()[0]
    with pytest.raises(DataError, match=r"t\.csv.*pandas"):
        loader.load_from_csv(tmp_path / "t.csv", sep=";", usecols=["nope"])
    with pytest.raises(DataNotFoundError):
        loader.load_from_csv(tmp_path / "x.csv", sep=";")
    with pytest.raises(ConfigError, match="chunksize"):
        loader.load_from_csv(tmp_path / "t.csv", chunksize=1)
    (tmp_path / "e.csv").write_text("")
    with pytest.raises(EmptyDataError):
        loader.load_from_csv(tmp_path / "e.csv", sep=";")


def test_parquet(tmp_path):
    pd.DataFrame(
        {"question": ["Q", None], "answer": ["A", "B"], "n": pd.array([1, None], "Int64")}
    ).to_parquet(tmp_path / "t.parquet")
    loader = StructuredDataLoader()
    for arguments in ({}, {"columns": ["question", "answer", "n"]}):
        data = loader.load_from_parquet(tmp_path / "t.parquet", **arguments)
        assert str(data["n"].dtype) == "Int64"
        assert loader.create_qa_pairs() == [{"question": "Q", "answer": "A"}]
    (tmp_path / "t.csv").write_text(QA)
    for arguments in ({}, {"columns": ["a"]}):
        with pytest.raises(DataError, match=r"t\.csv"):
            loader.load_from_parquet(tmp_path / "t.csv", **arguments)


@pytest.mark.parametrize("text", ["1", '"x"', "", "[1]", "null"])
def test_json_that_is_no_table_is_a_value_error(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(ValueError, match=r"t\.json"):
        StructuredDataLoader().load_from_json(tmp_path / "t.json")


def test_json_forms(tmp_path):
    want = [{"question": "Q", "answer": "A"}]
    for text in (
        json.dumps(want),
        json.dumps(want[0]),
        json.dumps({"data": want}),
        f"{json.dumps(want[0])}\n",
    ):
        (tmp_path / "t.json").write_text(text)
        loader = StructuredDataLoader()
        assert loader.load_from_json(str(tmp_path / "t.json")).to_dict("records") == want
        assert loader.create_qa_pairs() == want


def test_users_own_table(loader):
    loader.data = pd.DataFrame({"question": ["Q", "R"], "answer": [1.5, math.nan]})
    assert loader.create_qa_pairs() == [{"question": "Q", "answer": "1.5"}]


PAIR_TEXTS = [
    (None, None), (math.nan, None), (pd.NA, None), (pd.NaT, None), ("", None), (" \n", None), ([], None), ({}, None),
    ("x ", "x "), (1, "1"), (1.0, "1.0"), (True, "True"), (["a", 1], "a, 1"), ([["a"]], '[["a"]]'),
    (["a", None], '["a", null]'), ({"b": 1, "a": "é"}, '{"a": "é", "b": 1}'), (b"\x01", '{"$bytes": "01"}'),
    (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"), (pd.Series([1, 2]).to_numpy(), "1, 2"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "want"), PAIR_TEXTS, ids=[repr(p[0]) for p in PAIR_TEXTS])
def test_pair_text(value, want):
    assert pair_text(value) == want


def test_values_without_a_plain_form_are_refused():
    with pytest.raises(TypeError, match="complex has no plain form"):
        plain_value(1j)


def test_sample(tmp_path):
    frame = create_sample_dataset(tmp_path / "new" / "s.csv", 100)
    assert list(frame.columns) == ["question", "answer", "context", "topic"]
    records = StructuredDataLoader().load_from_csv(tmp_path / "new" / "s.csv").astype("string")
    assert records.to_dict("records") == frame.to_dict("records")
    assert frame["question"].is_unique
    assert all(a in c for a, c in zip(frame["answer"], frame["context"], strict=True))
    assert set(frame["topic"]) == {"geography", "chemistry", "geometry", "arithmetic"}
    for question, topic in zip(frame["question"], frame["topic"], strict=True):
        words = {
            "capital": "geography",
            "element": "chemistry",
            "sides": "geometry",
            "+": "arithmetic",
        }
        assert all(topic == want for word, want in words.items() if word in question.split())


@pytest.mark.parametrize("number", [0, 1, 5, 777, 5000])
def test_sample_has_exactly_the_number_asked_for(tmp_path, number):
    frame = create_sample_dataset(tmp_path / "s.csv", num_samples=number)
    assert len(frame) == number
    assert len((tmp_path / "s.csv").read_text().splitlines()) == number + 1
    assert frame["question"].is_unique


def test_sample_is_seeded(tmp_path):
    def bytes_of(seed):
        create_sample_dataset(tmp_path / "s.csv", 50, seed=seed)
        return (tmp_path / "s.csv").read_bytes()

    assert bytes_of(1) == bytes_of(1) != bytes_of(2)
    with pytest.raises(ValueError, match="num_samples=-1"):
        create_sample_dataset(tmp_path / "s.csv", -1)


def test_sample_answers_are_right(tmp_path):
    frame = create_sample_dataset(tmp_path / "s.csv", 3000)
    checked = 0
    for question, answer in zip(frame["question"], frame["answer"], strict=True):
        if "+" in question or "*" in question:
            left, sign, right = question.removeprefix("What is ").rstrip("?").split()
            assert int(answer) == (
                int(left) + int(right) if sign == "+" else int(left) * int(right)
            )
            checked += 1
    assert checked > 2000
    answers = dict(zip(frame["question"], frame["answer"], strict=True))
    assert answers["What is the capital of Argentina?"] == "Buenos Aires"
    assert answers["Which country has Lusaka as its capital?"] == "Zambia"
    assert answers["What is the symbol of lead?"] == "Pb"
    assert answers["To how many degrees do the angles of a hexagon add up?"] == "720"


def test_quiet_for_clean_data(loader, caplog):
    with caplog.at_level(logging.WARNING):
        loader.create_qa_pairs()
    assert not caplog.records


@pytest.mark.parametrize("own", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_columns_are_named_in_either_unicode_form(tmp_path, own, asked, kind):
    names = ["Fräge", "Äntwort", "Köntext"]
    inside, given = ([unicodedata.normalize(form, n) for n in names] for form in (own, asked))
    path = tmp_path / f"t.{kind}"
    record = dict(zip(inside, "abc", strict=True))
    lines = [",".join(inside), "a,b,c"] if kind == "csv" else [json.dumps(record)]
    path.write_text("\n".join(lines), encoding="utf-8")
    want = [{"question": "a", "answer": "b", "context": "c"}]
    loader = StructuredDataLoader(path)
    assert list(loader.iter_qa_pairs(*given)) == want
    loader.load()
    assert loader.create_qa_pairs(*given) == want
    assert loader.prepare_distillation_dataset(given[0], given[1]) == [{"text": "a", "label": "b"}]


@pytest.mark.parametrize(
    ("text", "options", "want"),
    [
        ("Report\n\na,b\n1,x\n", {"skip_lines": 2}, [[1, "x"]]),
        ('a;b\n1;"x \\"y\\""\n', {"escape": "\\", "sep": ";"}, [[1, 'x "y"']]),
        ("a,b\n1,NA\n", {"keep_null_marks": True}, [[1, "NA"]]),
    ],
)
def test_what_a_refusal_advises_is_taken_by_load_from_csv(tmp_path, text, options, want):
    (tmp_path / "t.csv").write_text(text)
    data = StructuredDataLoader().load_from_csv(tmp_path / "t.csv", **options)
    assert data.to_numpy().tolist() == want
