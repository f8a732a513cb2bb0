"""The bundled table for named teachers, and the questions that people would ask about it."""

import csv
import re

from project_paths import ROOT
from stillroom.data.questions.phrasings import (
    CONDITION_TEMPLATES,
    QUESTION_TEMPLATES,
    fill,
)


def _rows(name):
    with (ROOT / "examples/data" / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


TABLE, ASKED = _rows("cheeses.csv"), _rows("cheeses_asked.csv")


def _words(text):
    return re.findall(r"[a-z]+", text.replace("{key}", "").casefold())


def test_the_table_is_whole():
    assert len(TABLE) == 40
    assert len(TABLE[0]) == 6
    assert all(all(row.values()) for row in TABLE)
    assert len({row["cheese"] for row in TABLE}) == 40


def test_each_column_is_asked_about_without_its_words():
    columns = list(TABLE[0])[1:]
    assert {one["column"] for one in ASKED} == set(columns)
    for column in columns:
        asked = [one["question"] for one in ASKED if one["column"] == column]
        assert len(set(asked)) >= 5
        assert all(question.count("{key}") == 1 for question in asked)
        assert not any(set(_words(question)) & set(column.split("_")) for question in asked)


def test_no_template_holds_these_questions():
    for one in ASKED:
        label = one["column"].replace("_", " ")
        written = {
            tuple(_words(fill(template, "{key}", word)))
            for template in (*QUESTION_TEMPLATES, *CONDITION_TEMPLATES)
            for word in (label, *label.split())
        }
        assert tuple(_words(one["question"])) not in written
