"""The words of a JSON schema: what is wrong with them, and the formats that texts may have.

What the library that holds answers to a form does not know, it says when the form is compiled. Here
is what it would take otherwise than the schema means it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ..errors import ConfigError
from .pattern_rules import UNWRITTEN
from .schema_parts import schemas_in

_NOTES = frozenset({
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "$comment", "$schema", "$id", "$defs", "definitions", "discriminator", "x-guidance",
})  # fmt: skip
"""Words that say nothing of the value."""
_DIALECT = re.compile(
    r"https?://json-schema\.org/(draft-0[4-7]/schema#?|draft/20(19-09|20-12)/schema#?)"
)
_KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
LARGEST = 2**53 - 1
"""Whole numbers beyond are read differently by different programs: RFC 8259, section 6. llguidance
writes others in their place, and the process dies of `{"const": -9223372036854775808}`."""
_MOST_DIGITS = 15
_LEAST_EXPONENT = -22
_MOST_HALVINGS = 1 << 12


@dataclass(frozen=True)
class TextFormat:
    """How a `format` is enforced."""

    pattern: str = ""
    """A pattern in its place."""
    known: str = ""
    """The name that llguidance knows it by."""


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

FORMATS: dict[str, TextFormat] = {
    # Narrower than llguidance, which knows neither leap years nor that few clocks show second 60.
    "date": TextFormat(f"^{_DATE}$"),
    "time": TextFormat(f"^{_TIME}$"),
    "date-time": TextFormat(f"^{_DATE}T{_TIME}$"),
    **{
        name: TextFormat(known=name)
        for name in ("duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
    },
    # Any text has these.
    "password": TextFormat(),
    "path": TextFormat(),
}


def says_nothing(schema: Mapping[str, Any]) -> bool:
    """Say whether a schema allows any value."""
    return _NOTES.issuperset(schema)


def kinds_of(schema: Mapping[str, Any]) -> list[str]:
    """Give the types that a schema allows; all where it does not say."""
    told = schema.get("type", list(_KINDS))
    return [told] if isinstance(told, str) else told


def check_words(schema: dict[str, Any]) -> None:
    """Refuse words that would be taken otherwise than they are meant.

    Raises:
        ConfigError: With all that was found, up to five.
    """
    faults = list(_dialect_faults(schema))
    for one in schemas_in(schema):
        nested = [word for word in ("$schema", "$id") if word in one and one is not schema]
        faults += [f"{word} stands inside the schema; write one schema" for word in nested]
        structure = list(_structure_faults(one))
        faults += structure + list(_number_faults(one))
        if not structure:
            faults += _text_faults(one)
    if faults:
        raise ConfigError(list(dict.fromkeys(faults))[:5])


def _dialect_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    dialect = schema.get("$schema")
    if dialect is not None and not (isinstance(dialect, str) and _DIALECT.fullmatch(dialect)):
        yield f"$schema is {dialect!r}; leave it out, or name a draft of json-schema.org"


def _number_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    for word in _BOUNDS:
        if word in schema and type(schema[word]) not in (int, float):
            yield f"{word} is {schema[word]!r}; allowed: a number (draft 2020-12)"
        elif abs(schema.get(word, 0)) > LARGEST:
            yield f"{word} is {schema[word]!r}; allowed: up to {LARGEST}, either side of 0"
    factor = schema.get("multipleOf")
    if factor is None:
        return
    if type(factor) not in (int, float) or factor <= 0:
        yield f"multipleOf is {factor!r}; allowed: a number above 0"
    elif Fraction(factor).denominator > _MOST_HALVINGS:
        yield (
            f"multipleOf is {factor!r}, and programs differ in what they take for a multiple of "
            "it; use whole numbers of a smaller unit, such as cents"
        )


def _structure_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = schema.get("type", "null")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not kinds or not all(isinstance(kind, str) and kind in _KINDS for kind in kinds):
        yield f"type is {schema['type']!r}; allowed: {list(_KINDS)}, or a list of these"
    if isinstance(schema.get("items"), list):
        yield "items is a list; write prefixItems (draft 2020-12)"
    for word in ("items", "additionalProperties"):
        if word in schema and not isinstance(schema[word], dict | bool | list):
            yield f"{word} is {schema[word]!r}; allowed: a schema"
    named = schema.get("required", [])
    if not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        yield f"required is {named!r}; allowed: a list of names"
        named = []
    least = schema.get("minProperties", 0)
    if isinstance(least, int) and least > len(set(named)) + 1:
        yield (
            f"minProperties is {least}, but properties of no name may come twice under the same; "
            "require them by name"
        )
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if word in schema and not isinstance(schema[word], list):
            yield f"{word} is {schema[word]!r}; allowed: a list of schemas"
    for word in ("properties", "patternProperties", "$defs", "definitions"):
        if word in schema and not isinstance(schema[word], dict):
            yield f"{word} is {schema[word]!r}; allowed: a table of schemas"
    if "enum" in schema and not isinstance(schema["enum"], list):
        yield f"enum is {schema['enum']!r}; allowed: a list of values"
    if not isinstance(schema.get("$ref", ""), str):
        yield f"$ref is {schema['$ref']!r}; allowed: such as '#/$defs/name'"
    properties = schema.get("properties")
    if isinstance(properties, dict):
        yield from (fault for name in properties for fault in _spelling_faults(name))


def _text_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    form = schema.get("format")
    if form is not None and "string" in kinds_of(schema) and form not in FORMATS:
        yield f"format {form!r} cannot be enforced; allowed: {sorted(FORMATS)}, or a pattern"
    listed = schema.get("enum")
    waiting = [schema.get("const"), *(listed if isinstance(listed, list) else ())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield from _spelling_faults(value)
        elif isinstance(value, int | float) and not _is_exact(value):
            yield (
                f"the number {value!r} is read differently by different programs; allowed: up to "
                f"{LARGEST}, either side of 0, in {_MOST_DIGITS} digits"
            )
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]


def _is_exact(value: float) -> bool:
    """Say whether every reader of JSON makes the same number of what is written for it."""
    if abs(value) > LARGEST or isinstance(value, int):
        return abs(value) <= LARGEST
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    return len(digits) <= _MOST_DIGITS and int(exponent) >= _LEAST_EXPONENT


def _spelling_faults(text: str) -> Iterator[str]:
    if re.search(f"[{UNWRITTEN}\ud800-\udfff]", text):
        yield f"{text[:60]!r} holds a control character or half a character; leave it out"
