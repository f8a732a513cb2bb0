"""Records to a pandas DataFrame without changing a value.

Integers with nulls stay integers (`Int64`), text stays text, nested values stay Python objects.
CSV cells become numbers only where every cell of the column can be written back exactly: `007`,
`1.50` and `1e5` keep a column as text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .cells import shortest_double

if TYPE_CHECKING:
    import pandas as pd

_INT64_RANGE = range(-(2**63), 2**63)


def frame_from_records(
    records: Iterable[Mapping[str, Any]],
    *,
    columns: Iterable[str] = (),
    parse_text: bool = False,
) -> pd.DataFrame:
    """Make a DataFrame.

    Args:
        records: Plain values; a key that a record lacks is null there.
        columns: First columns of the frame, also without records.
        parse_text: Convert text columns to numbers and booleans where that is lossless, for CSV.

    Returns:
        One row per record; null is `pd.NA`.
    """
    import pandas as pd

    values: dict[str, list[Any]] = {name: [] for name in columns}
    count = 0
    for record in records:
        for name, value in record.items():
            column = values.get(name)
            if column is None:
                column = values[name] = [None] * count
            column.append(value)
        count += 1
        if len(record) < len(values):
            for column in values.values():
                if len(column) < count:
                    column.append(None)
    series = {name: _array(parse_column(c) if parse_text else c) for name, c in values.items()}
    return pd.DataFrame(series, index=pd.RangeIndex(count))


def parse_column(cells: list[Any]) -> list[Any]:
    """Convert text cells to numbers or booleans if every cell can be written back exactly.

    >>> parse_column(["1", None, "20"]), parse_column(["1", "02"])
    ([1, None, 20], ['1', '02'])
    """
    for parse in (_parse_int, _parse_float, _parse_bool):
        parsed: list[Any] = []
        for cell in cells:
            value = None if cell is None else parse(cell)
            if value is None and cell is not None:
                break
            parsed.append(value)
        else:
            return parsed
    return cells


def _parse_int(text: Any) -> int | None:  # noqa: ANN401 - a cell
    if not isinstance(text, str) or len(text) > 20:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text and number in _INT64_RANGE else None


def _parse_float(text: Any) -> float | None:  # noqa: ANN401 - a cell
    if not isinstance(text, str) or len(text) > 32:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and repr(number) == text else None


def _parse_bool(text: Any) -> bool | None:  # noqa: ANN401 - a cell
    return {"True": True, "False": False}.get(text) if isinstance(text, str) else None


def double_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert narrow floats of a frame to doubles with the same digits: float32 2.55 to 2.55."""
    import pandas as pd

    doubles = {}
    for place, dtype in enumerate(frame.dtypes):
        if _is_narrow(dtype):
            series = frame.iloc[:, place]
            if isinstance(dtype, pd.ArrowDtype):
                wide = "double[pyarrow]"
            else:
                wide = "float64" if dtype.kind == "f" and hasattr(dtype, "fields") else "Float64"
            cells = [float("nan") if c is None and wide == "float64" else c
                     for c in column_cells(series)]  # fmt: skip
            doubles[place] = pd.Series(cells, index=series.index, dtype=wide, name=series.name)
    if not doubles:
        return frame
    columns = [doubles.get(i, frame.iloc[:, i]) for i in range(frame.shape[1])]
    wide_frame = pd.concat(columns, axis=1)
    wide_frame.columns = frame.columns
    return wide_frame


def column_cells(series: pd.Series[Any]) -> list[Any]:
    """List the cells of a column; narrow floats keep their own digits, with None for null."""
    dtype: Any = series.dtype
    if not _is_narrow(dtype):
        return series.tolist()
    narrow = series.to_numpy(dtype=f"float{8 * dtype.itemsize}", na_value=math.nan)
    return [None if cell != cell else shortest_double(cell) for cell in narrow]


def _is_narrow(dtype: Any) -> bool:  # noqa: ANN401 - a pandas or numpy type
    return getattr(dtype, "kind", "") == "f" and dtype.itemsize < 8


def _array(cells: list[Any]) -> Any:  # noqa: ANN401 - a pandas array or a list
    """Choose the pandas type that holds all cells unchanged."""
    import pandas as pd

    kinds = {type(cell) for cell in cells}
    gaps = type(None) in kinds
    kinds.discard(type(None))
    if kinds <= {str}:
        return pd.array(cells, dtype=pd.StringDtype(na_value=pd.NA))
    if kinds == {bool}:
        return pd.array(cells, dtype="boolean" if gaps else "bool")
    if kinds == {int} and all(c is None or c in _INT64_RANGE for c in cells):
        return pd.array(cells, dtype="Int64" if gaps else "int64")
    if kinds == {float}:
        return pd.array(cells, dtype="Float64" if gaps else "float64")
    return pd.Series([pd.NA if cell is None else cell for cell in cells], dtype=object)
