"""Several rows into one record."""

import pytest
from stillroom.pipeline.records import CombineRows, GlobalStep, PairByScore

ROWS = [
    {"q": "a", "generation": "1", "s": 0.5}, {"q": "b", "generation": "2", "s": 1.0},
    {"q": "a", "generation": "3", "s": 1.0}, {"q": "a", "generation": "4", "s": 0.0},
]  # fmt: skip


def closes(output, count):
    """Check that each row is used, rejected or dead, and no row twice."""
    told = [*(p for places in output.parents for p in places)]
    told += [loss.place for loss in (*output.rejected, *output.dead)]
    assert sorted(told) == list(range(count))


def test_rows_of_a_key_become_one_record_that_knows_its_rows():
    step = CombineRows(by="q", columns=["generation", "s"])
    output = step.run_rows(ROWS)
    closes(output, 4)
    assert output.parents == [(0, 2, 3), (1,)]
    assert output.records[0] == {"q": "a", "generation": ["1", "3", "4"], "s": [0.5, 1.0, 0.0]}
    assert next(step.process(ROWS)) == output.records
    assert isinstance(step, GlobalStep)


def test_small_groups_and_rows_without_a_key_are_lost_with_a_reason():
    rows = [*ROWS, {"generation": "5", "s": 1}, {"q": "c", "s": 1}, {"q": {1}, "generation": "6"}]
    output = CombineRows(by="q", columns=["generation"], min_rows=2).run_rows(rows)
    closes(output, 7)
    assert [(loss.place, loss.reason) for loss in output.rejected] == [(1, "too_few_rows")]
    assert [loss.reason for loss in output.dead][:2] == [
        "CombineRows requires field 'q'.", "CombineRows requires field 'generation'.",
    ]  # fmt: skip
    assert [loss.record for loss in output.dead] == rows[4:]
    with pytest.raises(ValueError, match="CombineRows requires field 'q'"):
        next(CombineRows(by="q", columns=["generation"]).process(rows))


def test_keys_of_other_kinds_are_other_keys():
    rows = [{"k": key, "v": 1} for key in (1, 1.0, "1", True, None, [1])]
    assert len(next(CombineRows(by="k", columns="v").process(rows))) == 6
    several = CombineRows(by=["k", "v"], columns=["n"])
    assert len(next(several.process([{"k": 1, "v": n % 2, "n": n} for n in range(4)]))) == 2


def test_columns_by_mappings():
    step = CombineRows(
        by="q", columns=["answer"], input_mappings={"answer": "generation"},
        output_mappings={"answer": "answers"},
    )  # fmt: skip
    output = step.run_rows([{"q": 1, "generation": "x"}, {"q": 1, "generation": "y"}])
    assert output.records == [{"q": 1, "generation": "x", "answers": ["x", "y"]}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": [], "columns": ["a"]}, "by is empty"),
        ({"columns": []}, "columns is empty"),
        ({"columns": ["a"], "min_rows": 0}, "min_rows is 0"),
        ({"by": ["a"], "columns": ["a"]}, "both name"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        CombineRows(**settings)


def test_the_best_and_the_worst_answer_become_a_pair():
    step = PairByScore(by="q", score_field="s")
    output = step.run_rows(ROWS)
    closes(output, 4)
    assert output.records == [
        {"q": "a", "chosen": "3", "rejected": "4", "chosen_score": 1.0, "rejected_score": 0.0}
    ]
    assert output.parents == [(2, 3)]
    assert {loss.place: loss.reason for loss in output.rejected} == {
        0: "neither_best_nor_worst", 1: "no_worse_answer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "texts", "margin", "pairs"),
    [
        ((1, 0), ("a", "b"), 0.0, 1), ((1, 1), ("a", "b"), 0.0, 0), ((1, 0), ("a", "a"), 0.0, 0),
        ((0.6, 0.5), ("a", "b"), 0.5, 0), ((1.0, 0.5), ("a", "b"), 0.5, 1),
        ((1, None), ("a", "b"), 0.0, 0), ((1, float("nan")), ("a", "b"), 0.0, 0),
        ((1, True), ("a", "b"), 0.0, 0), ((1, 0), ("a", None), 0.0, 0),
    ],
)  # fmt: skip
def test_what_makes_a_pair(scores, texts, margin, pairs):
    rows = [
        {"instruction": "q", "generation": text, "teacher_score": score}
        for text, score in zip(texts, scores, strict=True)
    ]
    output = PairByScore(min_margin=margin).run_rows(rows)
    closes(output, 2)
    assert len(output.records) == pairs


@pytest.mark.parametrize("step", [CombineRows(columns=["a"]), PairByScore()])
def test_no_rows_give_no_records(step):
    assert list(step.process([])) == [[]]
    assert step.run_rows([]).records == []
