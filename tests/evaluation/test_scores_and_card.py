from __future__ import annotations

import re

import pytest
from stillroom.errors import EmptyDataError
from stillroom.evaluation.model_card import model_card
from stillroom.evaluation.scores import TaskScores, format_table, percent


def test_table_is_aligned_and_in_order(scores):
    lines = format_table(scores).split("\n")
    assert [line[:21].rstrip() for line in lines[1:]] == [
        "teacher",
        "student, untrained",
        "student, no teacher",
        "student, teacher text",
        "student",
        "student, all gold",
    ]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 110
    head = lines[0].split()
    assert head[:6] == ["exact", "qa", "summary", "validate", "F1", "agree"]
    student = dict(zip(lines[0].replace(" MB", "_MB").split(), lines[5].split()[1:], strict=True))
    assert student["exact"] == "95.0"
    assert student["qa"] == "97.0"
    assert student["params"] == "1.20M"
    assert student["disk_MB"] == "5.00"
    assert student["RAM_MB"] == "470"
    assert student["tok/s"] == "813"
    assert lines[2].count("-") >= 3, "no scores per task for the untrained one"
    assert ">1e6" in lines[2]


def test_the_widest_table_still_fits(scores):
    from dataclasses import replace

    wide = {}
    for name, model in scores.items():
        text = TaskScores(1.0, 1.0, 1.0, 1.0, 9)
        wide[name] = replace(
            model,
            by_task={**model.by_task, "text": text},
            parameters=71_234_567_890,
            bytes_on_disk=123_456_789_012,
            peak_memory_bytes=123_456_789_012,
            tokens_per_second=12345.6,
            batch_tokens_per_second=123456.7,
        )
    wide["a_control_with_a_very_long_name"] = wide["student"]
    assert max(map(len, format_table(wide).split("\n"))) <= 110


def test_no_scores_no_report():
    with pytest.raises(EmptyDataError):
        format_table({})


@pytest.mark.parametrize(
    ("value", "shown"),
    [(100, "100.0"), (99.99, "99.9"), (99.94, "99.9"), (0, "0.0"), (12.34, "12.3")],
)
def test_only_all_is_a_hundred_percent(value, shown):
    assert percent(value) == shown


def test_card_of_a_teacher_says_what_it_is_not(scores):
    card = model_card("teacher", name="elements", source="elements.csv", records=118)
    assert "trained from scratch on this one table" in card
    assert "no general knowledge" in card
    assert "Not evaluated." in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    for line in code.splitlines():
        if line.startswith("from "):
            exec(line)  # the names are where the card says


def test_card_of_a_student(scores):
    card = model_card(
        "student",
        name="ele*ments\n# injected",
        source="el`em.csv",
        records=1180,
        scores=scores["student"],
        teacher_scores=scores["teacher"],
        run={"run_id": "20260101T000000Z-abc", "seed": 0, "versions": {"torch": "2.13"}},
        example="Question: Q\n\nAnswer:",
    )
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# ele\\*ments \\# injected\n" in card
    assert "`el'em.csv` (1,180 records)" in card
    rows = [line for line in card.split("\n") if line.startswith("|")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows[:1] + rows[2:]}) == 1
    assert "| this model | 95.0 | 97.0 | 85.0 | 95.0 | 95.0 | 1.25 | 1,200,000 |" in rows
    assert "480 held-out examples" in card
    assert "5.0 % of its answers" in card
    assert "20260101T000000Z-abc" in card
    assert repr("Question: Q\n\nAnswer:") in card
