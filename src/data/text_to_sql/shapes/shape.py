"""What a shape is: SQL with places for names and values, and wordings with the same places.

    Shape("more", "SELECT {name} FROM {t} WHERE {num} > {num.v}",
          "List the {t.many} {num.more}.", "I am looking for {t.many} {num.more}.")

| place | stands for |
|---|---|
| `t`, `p`, `g` | a table; the table that `t` refers to; the table that `p` refers to |
| `name`, `num`, `num2`, `cat`, `cat2`, `date`, `any` | columns of `t`; `any` is no name |
| `gap` | a column of `t` with missing cells |
| `pname`, `pnum`, `pcat`, `gname`, `gcat` | columns of `p` and `g` |
| `link`, `up` | the reference from `t` to `p`, and from `p` to `g` |
| `k` | a small number, 2 to 5 |

The attributes of a place are those of its class in `places.py`: `{num}` is the name of a column,
`{num.v}` a value as SQL, `{num.more}` a phrase with this value.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter


@dataclass(frozen=True)
class Shape:
    """A query and its wordings."""

    name: str
    sql: str
    wordings: tuple[str, ...]
    """At least three; the last one is kept for measuring."""

    def places(self) -> set[str]:
        """Name the places that have to be filled."""
        texts = (self.sql, *self.wordings)
        fields = (field for text in texts for _, field, _, _ in Formatter().parse(text) if field)
        return {field.split(".")[0] for field in fields}


def shape(name: str, sql: str, *wordings: str) -> Shape:
    """Make a shape."""
    return Shape(name, sql, wordings)
