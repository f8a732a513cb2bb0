"""Hypothesis strategies: any plan of the language over a table of so many columns."""

from hypothesis import strategies as st
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
from stillroom.understanding.table.values import Day

TEXTS = st.from_regex(r"[a-z0-9]{1,6}( [a-z]{1,6})?", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
DAYS = st.builds(Day, st.integers(1, 3000), st.integers(0, 12), st.integers(0, 31)) | st.builds(
    Day, st.just(0), st.integers(1, 12)
)


def plans_of(count, texts=TEXTS, numbers=NUMBERS, days=DAYS):
    """Make plans over `count` columns that compare with these values."""
    columns = st.integers(0, count - 1)
    wheres = st.one_of(
        st.builds(Where, columns, st.sampled_from(["is", "not", "has", "lacks"]), texts),
        st.builds(Where, columns, st.sampled_from(["<", "<=", ">", ">=", "="]), numbers | days),
        st.builds(Where, columns, st.sampled_from(["filled", "empty"])),
    )
    several = st.lists(wheres, min_size=2, max_size=3).map(tuple)
    simple = st.just(All()) | wheres | st.builds(Both, several) | st.builds(Either, several)
    rows = simple | st.one_of(
        st.builds(Top, simple, columns, st.booleans(), st.integers(1, 3)),
        st.builds(At, simple, st.integers(-3, 3)),
        st.builds(Beside, simple, st.sampled_from([-1, 1])),
        st.builds(Like, simple, columns),
        st.builds(
            At,
            st.builds(Top, simple, columns, st.booleans(), st.integers(1, 3)),
            st.integers(-1, 1),
        ),
    )
    maybe = st.none() | columns
    totals = st.sampled_from(["sum", "average", "highest", "lowest"])
    sums = st.sampled_from(["sum", "average"])
    return st.one_of(
        st.builds(Cells, rows, columns),
        st.builds(Count, rows),
        st.builds(Distinct, rows, columns),
        st.builds(Total, rows, columns, totals),
        st.builds(Often, rows, columns, st.booleans()),
        st.builds(Group, rows, columns, columns, sums, st.booleans()),
        st.builds(Difference, rows, rows, maybe),
        st.builds(Span, rows, columns, columns),
        st.builds(Exists, rows),
        st.builds(Compared, rows, rows, maybe, st.booleans()),
    )
