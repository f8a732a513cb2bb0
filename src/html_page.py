"""The frame of HTML pages that load no other file: style, dark mode, and a policy against loading.

Callers escape what they put into the body.
"""

from __future__ import annotations

from html import escape
from typing import Final

_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid #8886 }
th, td { white-space: nowrap }
th:first-child, td:first-child { text-align: left }
small { opacity: .7 }
figure { margin: 1.5rem 0 } img { max-width: 100%; height: auto; background: white }
dt { font-weight: 600 } dd { margin: 0 0 .6rem 1.5rem; overflow-wrap: anywhere }
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def html_page(title: str, body: str, style: str = "") -> str:
    """Write a page.

    Args:
        title: Title as plain text.
        body: HTML, with all texts escaped.
        style: Further CSS.
    """
    head, rest = _FRAME.replace("{title}", escape(title)).replace("{style}", style).split("{body}")
    return f"{head}{body}{rest}"


def definition_list(entries: dict[str, str]) -> str:
    """Write terms and their descriptions, which are plain texts."""
    inner = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries.items())
    return f"<dl>{inner}</dl>"
