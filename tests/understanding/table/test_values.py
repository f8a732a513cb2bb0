"""Numbers, units, dates and lists in texts."""

import pytest
from stillroom.understanding.table.values import (
    Day,
    days,
    decimal_mark,
    fold,
    items,
    quantities,
    stem,
    to_number,
    word_numbers,
    words,
    yes_or_no,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("89,00 €", 89.0, "eur"), ("€ 89.00", 89.0, "eur"), ("89.00 EUR", 89.0, "eur"),
        ("$1,200,000", 1_200_000.0, "usd"), ("1.5 million", 1_500_000.0, ""),
        ("25kg", 25_000.0, "g"), ("25 kg", 25_000.0, "g"), ("0.25 t", 250_000.0, "g"),
        ("200 mm", 0.2, "m"), ("1.5 km", 1500.0, "m"), ("5 ft", 1.524, "m"),
        ("2:09:41", 7781.0, "s"), ("9:41", 581.0, "s"), ("-14", -14.0, ""), ("70.7%", 70.7, "%"),
        ("12 467", 12467.0, ""), ("14 days", 14.0, "day"), ("2 weeks", 14.0, "day"),
        ("850 W", 850.0, "w"), ("120 cm", 1.2, "m"), ("3rd", 3.0, ""),
    ],
)  # fmt: skip
def test_a_number_has_its_unit(text, number, unit):
    found = [*quantities(text, "," if "," in text and "€" in text else "."), *word_numbers(text)]
    assert found[0].number == pytest.approx(number)
    assert found[0].unit == unit


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("1,234.5", ".", 1234.5), ("1.234,5", ",", 1234.5), ("18.450", ",", 18450.0),
        ("18.450", ".", 18.45), ("3,5", ".", 3.5), ("1.234.567", ".", 1234567.0),
        ("1.234,56", ".", 1234.56), ("−7", ".", -7.0), ("1'250", ".", 1250.0),
    ],
)  # fmt: skip
def test_marks_in_numbers(text, decimal, number):
    assert to_number(text, decimal) == number


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("May 5, 1943", (1943, 5, 5)), ("5 May 1943", (1943, 5, 5)), ("2.6.1944", (1944, 6, 2)),
        ("1944-06-02", (1944, 6, 2)), ("06/13/1999", (1999, 6, 13)), ("13/06/1999", (1999, 6, 13)),
        ("March 7", (0, 3, 7)), ("7th of march", (0, 3, 7)), ("3. März 2026", (2026, 3, 3)),
        ("december", (0, 12, 0)), ("in 1950", (1950, 0, 0)), ("August 2026", (2026, 8, 0)),
    ],
)  # fmt: skip
def test_a_date_is_read(text, parts):
    assert days(text)[0][0].parts == parts


@pytest.mark.parametrize("text", ["$1950", "1950,5", "1950%", "32/45", "room 12", "99999"])
def test_what_is_no_date(text):
    assert not days(text)


def test_a_year_covers_its_days():
    assert Day(1943).covers(Day(1943, 5, 5))
    assert not Day(1943, 6).covers(Day(1943, 5, 5))
    assert Day(0, 3, 7).covers(Day(2026, 3, 7))


def test_words_and_stems():
    assert words("What's A-1012's price?") == ["what's", "a", "1012's", "price"]
    assert stem("costs") == stem("cost") == stem("costed") == stem("costing")
    assert fold("  STRASSE ") == fold("Straße")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("egg, gluten, milk", ("egg", "gluten", "milk")), ("1,200", ("1,200",)),
        ("salt and pepper", ("salt", "pepper")), ("A / B", ("A", "B")), ("AC/DC", ("AC/DC",)),
        ("none", ("none",)), ("", ("",)), ("rot und blau", ("rot", "blau")),
    ],
)  # fmt: skip
def test_lists_are_split(text, parts):
    assert items(text) == parts


def test_the_decimal_mark_is_that_of_the_table():
    assert decimal_mark(["62,00 €", "85,50 €", "18.450"]) == ","
    assert decimal_mark(["1,234", "12,467", "5.5"]) == "."
    assert decimal_mark(["no numbers"]) == "."


def test_yes_and_no():
    assert [yes_or_no(one) for one in ("Yes", "nein", "maybe", "✓")] == [True, False, None, True]
