"""Every form of a plan over a table that is small enough to check by eye."""

import pytest
from stillroom.understanding.plans.language import (
    All,
    At,
    Beside,
    Both,
    Cells,
    Compared,
    Count,
    Difference,
    Distinct,
    Either,
    Exists,
    Group,
    Like,
    Often,
    Span,
    Top,
    Total,
    Where,
)  # fmt: skip
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.table.typed_table import typed_table
from stillroom.understanding.table.values import Day

ROWS = [
    ("Ada", "Oslo", "5,5 km", "2024-03-01", "2024-03-04", "red, blue"),
    ("Bo", "Rome", "900 m", "2023-07-15", "2023-07-20", "blue"),
    ("Cy", "Oslo", "12 km", "2025-01-02", "2025-01-03", ""),
    ("Di", "Rome", "3 km", "2023-11-30", "2023-12-30", "green and red"),
    ("Ed", "Bonn", "", "2022-05-05", "2022-05-06", "blue, green"),
]
NAME, CITY, WAY, START, END, COLOURS = range(6)
RED = Where(COLOURS, "has", "red")
OSLO, ROME = Where(CITY, "is", "oslo"), Where(CITY, "is", "rome")


@pytest.fixture(scope="module")
def runner():
    names = ("name", "city", "way", "start", "end", "colours")
    records = [dict(zip(names, row, strict=True)) for row in ROWS]
    return PlanRunner(typed_table(records))


def test_columns_have_kinds(runner):
    kinds = [column.kind for column in runner.table.columns]
    assert kinds == ["text", "text", "number", "date", "date", "text"]
    assert runner.table.key == NAME
    assert runner.table.columns[WAY].unit == "m"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (All(), "01234"), (OSLO, "02"), (Where(CITY, "not", "oslo"), "134"), (RED, "03"),
        (Where(COLOURS, "lacks", "red"), "124"), (Where(COLOURS, "empty"), "2"),
        (Where(WAY, "filled"), "0123"), (Where(WAY, ">", 3000.0), "02"),
        (Where(WAY, ">=", 3000.0), "023"), (Where(WAY, "<", 3000.0), "1"),
        (Where(WAY, "=", 5500.0), "0"), (Where(START, "=", Day(2023)), "13"),
        (Where(START, ">", Day(2023)), "02"), (Where(START, "<", Day(2023)), "4"),
        (Where(START, "<=", Day(2023)), "134"), (Where(START, "=", Day(0, 3)), "0"),
        (Both((ROME, RED)), "3"), (Either((OSLO, ROME)), "0123"),
        (Top(All(), WAY), "2"), (Top(All(), WAY, False), "1"), (Top(ROME, START), "3"),
        (At(ROME, 0), "1"), (At(ROME, -1), "3"), (At(ROME, 5), ""),
        (Beside(ROME, 1), "4"), (Beside(ROME, -1), "0"), (Beside(At(All(), -1), 1), ""),
        (Like(At(All(), 0), CITY), "2"), (Where(CITY, "is", "nowhere"), ""),
        (Where(COLOURS, "has", "re"), ""),
    ],
)  # fmt: skip
def test_rows(runner, rows, expected):
    assert "".join(map(str, runner.rows(rows))) == expected


@pytest.mark.parametrize(
    ("plan", "values"),
    [
        (Cells(Where(NAME, "is", "bo"), WAY), ["900 m"]), (Cells(ROME, NAME), ["Bo", "Di"]),
        (Count(ROME), ["2"]), (Distinct(All(), CITY), ["3"]), (Distinct(All(), COLOURS), ["4"]),
        (Total(All(), WAY, "sum"), ["21400"]), (Total(OSLO, WAY, "average"), ["8750"]),
        (Total(All(), WAY, "highest"), ["12 km"]), (Total(All(), WAY, "lowest"), ["900 m"]),
        (Often(All(), CITY), ["Oslo", "Rome"]), (Often(All(), CITY, False), ["Bonn"]),
        (Group(All(), CITY, WAY, "sum"), ["Oslo"]),
        (Group(All(), CITY, WAY, "sum", False), ["Rome"]),
        (Difference(Where(NAME, "is", "cy"), Where(NAME, "is", "di"), WAY), ["9000"]),
        (Difference(OSLO, Where(CITY, "is", "bonn"), None), ["1"]),
        (Exists(Both((OSLO, RED))), ["yes"]), (Exists(Both((OSLO, ROME))), ["no"]),
        (Compared(OSLO, Where(CITY, "is", "bonn"), None), ["yes"]),
        (Compared(Where(NAME, "is", "bo"), Where(NAME, "is", "cy"), WAY, False), ["yes"]),
        (Cells(Beside(Where(NAME, "is", "bo"), 1), NAME), ["Cy"]),
    ],
)  # fmt: skip
def test_answers(runner, plan, values):
    assert list(runner.run(plan).values) == values


def test_an_answer_names_its_cells(runner):
    answer = runner.run(Cells(ROME, WAY))
    assert (answer.rows, answer.column) == ((1, 3), WAY)
    assert runner.run(Total(OSLO, WAY, "sum")).rows == (0, 2)


@pytest.mark.parametrize(
    "plan",
    [
        Cells(Where(NAME, "is", "nobody"), WAY), Total(Where(NAME, "is", "ed"), WAY, "average"),
        Difference(Where(NAME, "is", "ed"), OSLO, WAY), Often(Where(NAME, "is", "bo"), CITY),
        Span(Where(NAME, "is", "nobody"), START, END),
    ],
)  # fmt: skip
def test_what_has_no_answer_is_none(runner, plan):
    assert runner.run(plan) is None


def test_a_span_is_the_time_between_two_columns(runner):
    one = runner.run(Span(Where(NAME, "is", "di"), START, END))
    assert one.number == pytest.approx(30 / 372, abs=0.01)
