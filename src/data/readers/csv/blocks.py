"""The quick way through CSV: blocks whose quotes are all in order are cut into cells by Arrow.

Arrow is several times quicker than Python's csv module, but it reads `"a"b` as `ab` and passes over
blank lines. So each block is looked at first: every quote must open or close a cell, no line may be
blank, and Arrow must find as many records as there are line ends. Whatever is not so in order, or
has another number of cells than the header, is left to the csv module, which says what is wrong.
"""

from __future__ import annotations

import re
from functools import cache

from ..options import ReadOptions

BLOCK_CHARS = 1 << 19


def is_quick(options: ReadOptions, sep: str) -> bool:
    """Say whether blocks of a file with these options may go the quick way."""
    return (
        options.quote == '"'
        and not options.escape
        and options.comment is None
        and options.ragged != "keep"
        and not options.skip_initial_space
        and sep.isascii()
        and sep != '"'
    )


def closed_end(block: str) -> int:
    """Find the last line end in a block that stands outside quotes.

    Args:
        block: Text that starts with a record.

    Returns:
        Index after that line end, or the whole length; 0 if there is none.
    """
    quotes, end = block.count('"'), len(block)
    while quotes % 2 and end:
        cut = block.rfind("\n", 0, end - 1) + 1
        quotes -= block.count('"', cut, end)
        end = cut
    return end


def read_block(
    block: str, columns: list[str], wanted: list[str], sep: str
) -> list[list[str]] | None:
    """Cut a block into cells.

    Args:
        block: Whole records, of which only the last may lack its line end.
        columns: Names of all columns, all different.
        wanted: Those to give back.
        sep: Separator.

    Returns:
        One list of cells for each wanted column; None where the block has to be looked at exactly.
    """
    records = _count_records(block, sep)
    if records is None:
        return None
    import pyarrow as pa
    import pyarrow.csv as pc

    data = block.encode("utf-8")
    try:
        table = pc.read_csv(
            pa.BufferReader(data),
            pc.ReadOptions(column_names=columns, block_size=len(data) + 1, use_threads=False),
            pc.ParseOptions(delimiter=sep, newlines_in_values=True),
            pc.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid:  # a row that does not fit the header
        return None
    if table.num_rows != records:
        return None
    return [column.to_pylist() for column in table.columns]


def _count_records(block: str, sep: str) -> int | None:
    """Count the records of a block whose quotes and line ends are in order; None for others."""
    text = _quoted_part(sep).sub("", block)
    if '"' in text or ("\r" in text and text.count("\r") != text.count("\r\n")):
        return None
    # Blank lines count here, but Arrow makes no record of them: such a block goes the exact way.
    return text.count("\n") + (not text.endswith("\n"))


@cache
def _quoted_part(sep: str) -> re.Pattern[str]:
    """Match from one quote to the next, if the first opens and the second closes a cell.

    Two parts that touch are one cell with a doubled quote in it. A quote that is in no such pair
    is left over, since pairs are made from the left.
    """
    mark = re.escape(sep)
    opens = rf'"(?:(?<=[{mark}\n"]")|(?<=\A"))'
    return re.compile(rf'{opens}[^"]*"(?=[{mark}\r\n"]|\Z)')
