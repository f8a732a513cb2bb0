"""What the cells of a column are taken for."""

import pytest
from stillroom.understanding.table.typed_table import typed_table


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("built", ["1998", "2004", "1875"], "date"),
        ("yr", ["1998", "2004", "1875"], "date"),
        ("founded", ["1998", "c. 1850", "1875", "1901", "1933"], "date"),
        ("height_m", ["1998", "2004", "1875"], "number"),
        ("Weight (kg)", ["1200", "1450", "1980"], "number"),
        ("melts", ["1538", "1064.2", "1941", "1455"], "number"),
        ("members", ["1200", "1450", "980", "1999"], "number"),
        ("opened", ["2024-03-01", "1999-12-31", "1875"], "date"),
    ],
)
def test_four_digits_are_years_unless_the_column_measures(name, cells, kind):
    assert typed_table([{name: cell} for cell in cells]).columns[0].kind == kind
