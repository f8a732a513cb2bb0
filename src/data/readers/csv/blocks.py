"""Fast parsing of CSV blocks by Arrow, for blocks that are certainly valid.

Arrow is several times faster than Python's csv module, but reads `"a"b` as `ab` and skips blank
lines. So each block is checked first: every quote must open or close a cell, no line may be blank,
and Arrow must find as many records as there are lines. Any other block, or one whose rows do not
fit the header, is left to the csv module, which says what is wrong.
"""

from __future__ import annotations

import re
from functools import cache

from ..options import ReadOptions

BLOCK_CHARS = 1 << 19


def is_quick(options: ReadOptions, sep: str) -> bool:
    """Say whether blocks of a file with these options may be parsed by Arrow."""
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
    """Find the last line end of a block outside quotes.

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
    """Parse a block into cells.

    Args:
        block: Whole records; only the last may lack its line end.
        columns: Names of all columns, all different.
        wanted: Columns to return.
        sep: Separator.

    Returns:
        One list of cells per wanted column; None where the csv module must read the block.
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
    """Count the records of a block with valid quotes and line ends; None for other blocks."""
    text = _quoted_part(sep).sub("", block)
    if '"' in text or ("\r" in text and text.count("\r") != text.count("\r\n")):
        return None
    # Blank lines count here but give no record in Arrow, so such a block goes to the csv module.
    return text.count("\n") + (not text.endswith("\n"))


@cache
def _quoted_part(sep: str) -> re.Pattern[str]:
    """Match a quoted cell: from a quote that opens a cell to the next one, which closes it.

    Two adjacent matches are one cell with a doubled quote. Pairs are matched from the left, so a
    quote outside such pairs remains.
    """
    mark = re.escape(sep)
    opens = rf'"(?:(?<=[{mark}\n"]")|(?<=\A"))'
    return re.compile(rf'{opens}[^"]*"(?=[{mark}\r\n"]|\Z)')
