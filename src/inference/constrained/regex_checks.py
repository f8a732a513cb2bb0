"""Patterns of JSON schemas that all regex engines read alike, and `format` as such patterns.

Patterns are meant for ECMA-262, but Python, pydantic (Rust) and llguidance differ: `\\W` matches
`é` in some of them, `[[a]` is a set or an error, `a++` has two meanings. `agreed_pattern` writes a
pattern so that it matches only what all of them match, or refuses it. `matches` takes linear time;
Python's `re` takes exponential time for `(a+)+$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError
from pydantic_core.core_schema import str_schema

from ...errors import ConfigError

MOST_PATTERN = 2000

UNWRITTEN = "\\x00-\\x07\\x0b\\x0e-\\x1f\\x7f"
"""Characters that JSON writes as `\\u....` only. Answers do without: with one spelling for each
character no property can come twice under two spellings. (A set with `\\x00` is also misread by
llguidance 1.9: `[^"]` then allows an escaped quote.)"""

_NARROW = {"d": "0-9", "w": "0-9A-Za-z_", "s": " \\t\\n\\r\\f"}
_WIDE = {
    "d": "\\p{N}",
    "w": "\\p{Alphabetic}\\p{M}\\p{N}\\p{Pc}\\p{Join_Control}",
    "s": "\\s\\x1c-\\x1f\\x85\\x{180e}\\x{feff}",
}
"""Digits, letters and spaces in the widest sense of any engine."""
_ANY = f"[^\\n\\r\\x{{2028}}\\x{{2029}}{UNWRITTEN}]"

_ESCAPE = r"\\(?:[pP]\{[A-Za-z_=]+\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|[^pPxu])"
_PART = re.compile(
    rf"(?P<escape>{_ESCAPE})"
    rf"|(?P<set>\[\^?(?:{_ESCAPE}|[^\]\\])+\])"
    r"|(?P<open>\((?:\?:|\?P?<[A-Za-z_]\w*>|(?!\?)))"
    r"|(?P<repeat>(?:[*+?]|\{\d+(?:,\d*)?\})\??)"
    r"|(?P<edge>[\^$|])"
    r"|(?P<plain>[^\\\[(])",
    re.DOTALL,
)
_MEMBER = re.compile(rf"(?P<low>{_ESCAPE}|[^\\])(?:-(?P<high>{_ESCAPE}|[^\\]))?", re.DOTALL)
_BACKSPACE = {"\\b": "\b"}
"""Only in sets; elsewhere `\\b` is a word boundary."""
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


def agreed_pattern(pattern: str) -> str:
    r"""Write a pattern in Rust's syntax so that it matches only what all readers say it matches.

    Args:
        pattern: Of a JSON schema.

    Raises:
        ConfigError: It uses look-around, back references or flags, is too long, or engines differ.

    >>> agreed_pattern(r"^\d+(a|\u00e9)+?$")
    '^[0-9]+(?:a|é)+$'
    """
    if len(pattern) > MOST_PATTERN:
        raise ConfigError([
            f"pattern {pattern[:60]!r}... has {len(pattern)} characters; allowed: {MOST_PATTERN}"
        ])  # fmt: skip
    written, place, repeatable = [], 0, False
    while place < len(pattern):
        found = _PART.match(pattern, place)
        if found is None:
            raise _fault(pattern, place, "looks around, sets flags or does not end")
        kind, text = str(found.lastgroup), found[0]
        if kind == "repeat" and not repeatable:
            raise _fault(pattern, place, "repeats what cannot be repeated")
        if text == "{" and re.match(r"\{,\d", pattern[place:]):
            raise _fault(pattern, place, "counts in a way that readers differ in; write {0,n}")
        try:
            written.append(_written(kind, text))
        except ValueError as fault:
            raise _fault(pattern, place, str(fault)) from None
        repeatable = kind in ("escape", "set", "plain")
        place = found.end()
    return "".join(written)


def matches(pattern: str, text: str) -> bool:
    """Return whether a pattern is found in a text, in linear time by Rust's engine.

    A pattern that Rust refuses is matched as `agreed_pattern` writes it.
    """
    try:
        _matcher(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> SchemaValidator:
    try:
        return SchemaValidator(str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        agreed = agreed_pattern(pattern)
        return SchemaValidator(str_schema(pattern=agreed, regex_engine="rust-regex"))


def _written(kind: str, text: str) -> str:
    if kind == "escape":
        return _outside(text)
    if kind == "set":
        return _set(text)
    if kind == "open":
        return "(?:"
    if kind == "repeat":  # lazy or not, it matches the same texts
        return text[:-1] if len(text) > 1 and text.endswith("?") else text
    if text == ".":
        return _ANY
    return text if kind == "edge" or text == ")" else _literal(text)


def _outside(escape: str) -> str:
    """Write an escape outside of sets."""
    name = escape[1]
    if name in _NARROW:
        return f"[{_NARROW[name]}]"
    if name in "DWS":
        return f"[^{_WIDE[name.lower()]}{UNWRITTEN}]"
    if name in "pP" and len(escape) > 2:
        return _negated_or(name == "P", "\\p" + escape[2:])
    return _literal(_character(escape))


def _set(text: str) -> str:
    negated = text[1] == "^"
    body = text[2:-1] if negated else text[1:-1]
    if not body:
        raise ValueError("has an empty set, or one that begins with ']'; write '\\]'")
    return _negated_or(negated, "".join(_members(body, negated)))


def _negated_or(negated: bool, members: str) -> str:
    return f"[^{members}{UNWRITTEN}]" if negated else f"[{members}&&[^{UNWRITTEN}]]"


def _members(body: str, negated: bool) -> Iterator[str]:
    """Write the members of a set; those of a negated set in the widest sense."""
    inner, outer = (_WIDE, _NARROW) if negated else (_NARROW, _WIDE)
    for found in _MEMBER.finditer(body):
        low: str = _BACKSPACE.get(found["low"], found["low"])
        high: str | None = _BACKSPACE.get(found["high"], found["high"])
        for name in [part[1] for part in (low, high) if part and len(part) > 1]:
            if name in "dwsDWSpP" and high is not None:
                raise ValueError("has a range from or to a kind of character")
        name = low[1] if len(low) > 1 else ""
        if name and name in _NARROW:
            yield inner[name]
        elif name and name in "DWS":
            yield f"[^{outer[name.lower()]}]"
        elif name and name in "pP":
            yield low
        elif high is None:
            yield _in_set(_character(low))
        else:
            yield f"{_in_set(_character(low))}-{_in_set(_character(high))}"


def _character(text: str) -> str:
    """Return the character that a text or an escape stands for."""
    if len(text) == 1:
        return text
    name = text[1]
    if name in "xu" and len(text) > 2:
        code = int(text[2:].strip("{}"), 16)
        if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            raise ValueError(f"names half a character ({text}); write the character itself")
        return chr(code)
    if name in _CONTROLS:
        return _CONTROLS[name]
    if name.isalnum():
        raise ValueError(f"has {text}, which readers differ in")
    return name


def _in_set(character: str) -> str:
    return f"\\x{{{ord(character):x}}}" if not character.isalnum() else character


def _literal(character: str) -> str:
    if re.match(f"[{UNWRITTEN}]", character):
        raise ValueError(f"asks for the control character {character!r}")
    return _in_set(character) if character in "\\.+*?()|[]{}^$#&-~ \n\r\t\f" else character


def _fault(pattern: str, place: int, reason: str) -> ConfigError:
    return ConfigError([
        f"pattern {pattern[:200]!r} {reason}, at {pattern[place : place + 20]!r}; use characters, "
        "sets, groups, | and * + ? {n,m}"
    ])  # fmt: skip


@dataclass(frozen=True)
class TextFormat:
    """How a `format` is enforced; neither field where any text fits."""

    pattern: str = ""
    """A pattern that replaces it."""
    known: str = ""
    """Its name in llguidance."""


_DAYS = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_LEAP_YEARS = (
    r"(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])"
    r"|(?:[2468][048]|[13579][26])00)"
)
_DATE = rf"(?:[1-9][0-9]{{3}}-{_DAYS}|{_LEAP_YEARS}-02-29)"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
_N = "[0-9]{1,4}"
_SPAN_DAYS = f"(?:{_N}Y(?:{_N}M(?:{_N}D)?)?|{_N}M(?:{_N}D)?|{_N}D)"
_SPAN_HOURS = f"(?:{_N}H(?:{_N}M(?:{_N}S)?)?|{_N}M(?:{_N}S)?|{_N}S)"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_IPV6 = r"(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
_HEX = "[0-9a-f]"


def _uuid(version: str) -> TextFormat:
    return TextFormat(
        rf"^{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}$"
    )


def _base64(letters: str) -> TextFormat:
    last = rf"{letters}[AQgw]==|{letters}{{2}}[AEIMQUYcgkosw048]="
    return TextFormat(rf"^(?:{letters}{{4}})*(?:{last})?$")


FORMATS: dict[str, TextFormat] = {
    # Narrower than llguidance, which ignores leap years and allows second 60.
    "date": TextFormat(f"^{_DATE}$"),
    "time": TextFormat(f"^{_TIME}$"),
    "date-time": TextFormat(f"^{_DATE}T{_TIME}$"),
    # Up to four digits each; llguidance combines weeks with other units.
    "duration": TextFormat(f"^P(?:{_N}W|{_SPAN_DAYS}(?:T{_SPAN_HOURS})?|T{_SPAN_HOURS})$"),
    **{
        name: TextFormat(known=name)
        for name in ("email", "hostname", "ipv4", "ipv6", "uri", "uuid")
    },
    # Formats that allow more are enforced as the narrower one.
    "idn-email": TextFormat(known="email"),
    "idn-hostname": TextFormat(known="hostname"),
    "iri": TextFormat(known="uri"),
    "uri-reference": TextFormat(known="uri"),
    "iri-reference": TextFormat(known="uri"),
    "json-pointer": TextFormat(r"^(?:/(?:[^~/]|~[01])*)*$"),
    # Formats of pydantic.
    **{f"uuid{version}": _uuid(version) for version in "1345678"},
    "base64": _base64("[A-Za-z0-9+/]"),
    "base64url": _base64("[A-Za-z0-9_-]"),
    "ipvanyaddress": TextFormat(f"^(?:{_IPV4}|{_IPV6})$"),
    "ipv4network": TextFormat(rf"^{_IPV4}/32$"),
    "ipv6network": TextFormat(rf"^{_IPV6}/128$"),
    "ipvanynetwork": TextFormat(rf"^(?:{_IPV4}/32|{_IPV6}/128)$"),
    "ipv4interface": TextFormat(rf"^{_IPV4}/(?:3[0-2]|[12]?[0-9])$"),
    "ipv6interface": TextFormat(rf"^{_IPV6}/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])$"),
    "ipvanyinterface": TextFormat(rf"^(?:{_IPV4}/32|{_IPV6}/128)$"),
    # Any text fits these.
    "binary": TextFormat(),
    "password": TextFormat(),
    "path": TextFormat(),
}
