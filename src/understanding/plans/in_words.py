"""Describe a plan in English, to show users how their question was understood."""

from __future__ import annotations

from ..table.typed_table import TypedTable
from ..table.values import Day
from .language import (
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
    Plan,
    Rows,
    Span,
    Top,
    Total,
    Where,
)  # fmt: skip

_SIGNS = {
    "is": "is", "not": "is not", "has": "has", "lacks": "does not have", "<": "is below",
    "<=": "is at most", ">": "is above", ">=": "is at least", "=": "is",
}  # fmt: skip
_TOTALS = {"sum": "the sum", "average": "the average", "highest": "the highest",
           "lowest": "the lowest"}  # fmt: skip


def plan_in_words(plan: Plan, table: TypedTable) -> str:
    """Describe what a plan asks for.

    >>> from ..table.typed_table import typed_table
    >>> table = typed_table([{"dish": "Soup", "price": "5"}, {"dish": "Salad", "price": "7"}])
    >>> plan_in_words(Cells(Top(All(), 1, False), 0), table)
    'the dish with the lowest price'
    """

    def label(column: int) -> str:
        return table.columns[column].label

    def where(one: Where) -> str:
        if one.operator in ("filled", "empty"):
            return f"{label(one.column)} is {'given' if one.operator == 'filled' else 'not given'}"
        return f"{label(one.column)} {_SIGNS[one.operator]} {_value(one, table)}"

    def those(of: Rows, all_rows: str = "") -> str:
        """Describe a set of rows as a phrase that follows a noun."""
        match of:
            case All():
                return all_rows
            case Where():
                return f" where {where(of)}"
            case Both(conditions):
                return f" where {' and '.join(map(where, conditions))}"
            case Either(conditions):
                return f" where {' or '.join(map(where, conditions))}"
            case Top(Top(inner, first, most, nth), column, highest, 1) if (
                first == column and most is not highest
            ):
                word = "highest" if most else "lowest"
                return f" with the {_place(nth - 1)} {word} {label(column)}{those(inner)}"
            case Top(inner, column, highest, count):
                word = "highest" if highest else "lowest"
                few = "" if count == 1 else f"{count} "
                return f" with the {few}{word} {label(column)}{those(inner)}"
            case At(inner, place):
                name = "last" if place == -1 else _place(place)
                return f" of the {name} row{those(inner)}"
            case Beside(inner, step):
                return f" of the row {'below' if step > 0 else 'above'} that{those(inner)}"
            case Like(inner, column):
                return f" of the other rows with the same {label(column)} as that{those(inner)}"

    match plan:
        case Cells(of, column):
            return f"the {label(column)}{those(of, ' of every row')}"
        case Count(of):
            return f"the number of rows{those(of)}"
        case Distinct(of, column):
            return f"how many different values of {label(column)} there are{those(of)}"
        case Total(of, column, function):
            return f"{_TOTALS[function]} of {label(column)}{those(of, ' of all rows')}"
        case Often(of, column, most):
            return f"the {'most' if most else 'least'} frequent {label(column)}{those(of)}"
        case Group(of, by, column, function, highest):
            word = "highest" if highest else "lowest"
            return f"the {label(by)} with the {word} {function} of {label(column)}{those(of)}"
        case Difference(one, other, column):
            if column is None:
                return f"how many more rows there are{those(one)} than{those(other)}"
            return f"how far {label(column)}{those(one)} is from that{those(other)}"
        case Span(of, start, end):
            return f"from {label(start)} to {label(end)}{those(of)}"
        case Exists(of):
            return f"whether there is a row{those(of)}"
        case Compared(one, other, column, more):
            if column is None:
                word = "more" if more else "fewer"
                return f"whether there are {word} rows{those(one)} than{those(other)}"
            word = "higher" if more else "lower"
            return f"whether {label(column)} is {word}{those(one)} than{those(other)}"


def _place(place: int) -> str:
    names = ("first", "second", "third")
    return names[place] if 0 <= place < len(names) else f"{place + 1}th"


def _value(where: Where, table: TypedTable) -> str:
    """Write a value as the table writes it: names with their case, numbers in the column's unit."""
    value, column = where.value, table.columns[where.column]
    if isinstance(value, Day):
        year, month, day = value.parts
        if not month and not year:
            return f"on day {day}"
        return "-".join(f"{part:02d}" for part in (year, month, day) if part)
    if isinstance(value, str):
        rows = column.rows_of.get(value)
        return column.texts[rows[0]] if rows else value
    if any(":" in text for text in column.texts[:20]) and column.unit == "s":
        return f"{int(value) // 3600}:{int(value) // 60 % 60:02d}:{int(value) % 60:02d}"
    return f"{value / column.factor:,.12g}"
