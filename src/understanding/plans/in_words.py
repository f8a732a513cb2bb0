"""Put a plan into words, so that people see how their question was read."""

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
    """Say what a plan asks for.

    >>> from ..table.typed_table import typed_table
    >>> table = typed_table([{"dish": "Soup", "price": "5"}, {"dish": "Salad", "price": "7"}])
    >>> plan_in_words(Cells(Top(All(), 1, False), 0), table)
    'the dish of the row with the lowest price'
    """

    def label(column: int) -> str:
        return table.columns[column].label

    def where(one: Where) -> str:
        if one.operator in ("filled", "empty"):
            return f"{label(one.column)} is {'given' if one.operator == 'filled' else 'not given'}"
        return f"{label(one.column)} {_SIGNS[one.operator]} {_value(one.value)}"

    def rows(of: Rows) -> str:
        match of:
            case All():
                return "all rows"
            case Where():
                return f"the rows where {where(of)}"
            case Both(conditions):
                return f"the rows where {' and '.join(map(where, conditions))}"
            case Either(conditions):
                return f"the rows where {' or '.join(map(where, conditions))}"
            case Top(inner, column, highest, count):
                among = "" if isinstance(inner, All) else f" among {rows(inner)}"
                word = "highest" if highest else "lowest"
                which = "the row" if count == 1 else f"the {count} rows"
                return f"{which} with the {word} {label(column)}{among}"
            case At(inner, place):
                among = "the table" if isinstance(inner, All) else rows(inner)
                name = "last" if place == -1 else _place(place)
                return f"the {name} row of {among}"
            case Beside(inner, step):
                return f"the row {'below' if step > 0 else 'above'} {rows(inner)}"
            case Like(inner, column):
                return f"the other rows with the {label(column)} of {rows(inner)}"

    match plan:
        case Cells(of, column):
            return f"the {label(column)} of {rows(of)}"
        case Count(of):
            return f"how many there are of {rows(of)}"
        case Distinct(of, column):
            return f"how many different values of {label(column)} there are in {rows(of)}"
        case Total(of, column, function):
            return f"{_TOTALS[function]} of {label(column)} over {rows(of)}"
        case Often(of, column, most):
            return f"the {'most' if most else 'least'} frequent {label(column)} in {rows(of)}"
        case Group(of, by, column, function, highest):
            word = "highest" if highest else "lowest"
            return f"the {label(by)} with the {word} {function} of {label(column)} in {rows(of)}"
        case Difference(one, other, column):
            if column is None:
                return f"how many more there are of {rows(one)} than of {rows(other)}"
            return f"the difference in {label(column)} between {rows(one)} and {rows(other)}"
        case Span(of, start, end):
            return f"from {label(start)} to {label(end)} in {rows(of)}"
        case Exists(of):
            return f"whether there are {rows(of).removeprefix('the ')}"
        case Compared(one, other, column, more):
            what = "rows" if column is None else label(column)
            word = "more" if more else "less"
            return f"whether {rows(one)} have {word} {what} than {rows(other)}"


def _place(place: int) -> str:
    names = ("first", "second", "third")
    return names[place] if 0 <= place < len(names) else f"{place + 1}th"


def _value(value: str | float | Day) -> str:
    if isinstance(value, Day):
        return "-".join(f"{part:02d}" for part in value.parts if part)
    return value if isinstance(value, str) else f"{value:g}"
