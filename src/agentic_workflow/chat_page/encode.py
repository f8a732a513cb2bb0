"""Texts of users, tables and students as HTML that no parser finds markup in.

Punctuation is encoded as character references, so that neither a Markdown nor an HTML parser, nor
the template of Gradio's HTML component, finds anything to interpret.
"""

from __future__ import annotations

import re


def encode(text: object) -> str:
    """Encode a text so that it is shown literally; line breaks stay.

    >>> encode("![x](http://a)")
    '&#33;&#91;x&#93;&#40;http&#58;&#47;&#47;a&#41;'
    """
    lines = re.split(r"\r\n|\r|\n", str(text).strip("\n"))
    return "<br>".join(map(_encode_line, lines))


def attribute(text: object) -> str:
    """Encode a text for a quoted attribute, with its line breaks as references.

    >>> attribute('say "a"')
    'say &#34;a&#34;'
    """
    return "&#10;".join(_encode_line(line) for line in re.split(r"\r\n|\r|\n", str(text)))


def spoken(name: str) -> str:
    """Write a column's name as words.

    >>> spoken("atomic_number")
    'atomic number'
    """
    return name.replace("_", " ").strip() or name


def _encode_line(line: str) -> str:
    return re.sub(r"[!-/:-@\[-`{-~\x00]", lambda found: f"&#{ord(found.group())};", line)
