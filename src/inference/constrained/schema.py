"""Reading a caller's JSON schema: draft 2020-12, within limits, without words that are misread.

A schema is compiled in one call that cannot be interrupted, so its size is limited before
(`check_limits`). Values that llguidance or JSON readers take in different ways are refused
(`check_words`). `llguidance_schema` then writes what is read here for the compiler.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from ...errors import ConfigError
from .regex_checks import FORMATS, UNWRITTEN

Schema = dict[str, Any]

MOST_CHARACTERS = 256 << 10
MOST_DEPTH = 64
MOST_PARTS = 5_000
"""Schemas in a schema, plus the members of lists and objects that are values in it."""
MOST_OPTIONAL = 300
"""Optional properties of one object; the cost grows with their square."""
MOST_PATTERNS = 50
"""Patterns for names of properties; the compiler compares each with each."""
MOST_LEVELS = 500
"""Depth of a schema with its references followed. llguidance 1.9 recurses, and the process dies of
a stack overflow at some 1,500."""
MOST_FACTOR = 4_000
"""Sum of all `multipleOf`: each remainder is a state, and `{"multipleOf": 9999991}` takes 47 s."""
LARGEST = 2**53 - 1
"""Larger integers are read differently by different programs (RFC 8259, section 6). llguidance
changes them, and the process dies of `{"const": -9223372036854775808}`."""
MOST_DIGITS = 15
_LEAST_EXPONENT = -22

DEFINITIONS = ("$defs", "definitions")
_ONE = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems", "additionalItems",
)  # fmt: skip
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
TABLES = ("properties", "patternProperties", "dependentSchemas", *DEFINITIONS)
_DIALECT = re.compile(
    r"https?://json-schema\.org/(draft-0[4-7]/schema#?|draft/20(19-09|20-12)/schema#?)"
)
_KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
SPREAD = ("anyOf", "oneOf", "$ref")
ANNOTATIONS = frozenset({
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "$comment", "$schema", "$id", "$defs", "definitions", "discriminator", "x-guidance",
})  # fmt: skip
"""Words that do not restrict the value."""


def read_schema(schema: Mapping[str, Any]) -> Schema:
    """Read and check a caller's schema.

    Args:
        schema: A JSON schema of draft 2020-12. Older drafts are read where they mean the same;
            tuples by a list in `items` and `dependencies` are converted.

    Returns:
        A cached object; do not change it.

    Raises:
        ConfigError: It is too deep or too costly, is not JSON, or holds words that would be
            misread. Up to five faults at once.
    """
    return _read(written_schema(schema))


@lru_cache(maxsize=64)
def _read(text: str) -> Schema:
    own: Schema = json.loads(text)
    for one in schemas_in(own):
        _convert_to_newest_draft(one)
    check_limits(own)
    check_words(own)
    own.pop("$schema", None)
    return own


def written_schema(schema: Mapping[str, Any]) -> str:
    """Write a schema as JSON; stop as soon as it is too long.

    Raises:
        ConfigError: It is too long, too deep, or not JSON.
    """
    parts: list[str] = []
    length = 0
    try:
        for part in json.JSONEncoder(allow_nan=False).iterencode(schema):
            parts.append(part)
            length += len(part)
            if length > MOST_CHARACTERS:
                raise ConfigError([
                    f"the schema has more than {MOST_CHARACTERS} characters; make it smaller"
                ])  # fmt: skip
    except (TypeError, ValueError, RecursionError) as fault:
        if isinstance(fault, ConfigError):
            raise
        raise ConfigError([f"the schema is no JSON, or nested too deep ({fault})"]) from fault
    return "".join(parts)


def _convert_to_newest_draft(schema: Schema) -> None:
    rest = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list) and "prefixItems" not in schema:
        schema["prefixItems"] = schema.pop("items")
        if rest is not None:
            schema["items"] = rest
    for name, needs in table_of(schema, "dependencies").items():
        word = "dependentRequired" if isinstance(needs, list) else "dependentSchemas"
        schema.setdefault(word, {})[name] = needs
    if isinstance(schema.get("dependencies"), dict):
        del schema["dependencies"]


# ---- walking through a schema -------------------------------------------------------------------


def parts_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each key that holds subschemas, with its schema, list or table of schemas."""
    for key, value in schema.items():
        of_list = key in _LISTS and isinstance(value, list)
        if key in _ONE or of_list or (key in TABLES and isinstance(value, dict)):
            yield key, value


def levels_in(schema: object) -> Iterator[tuple[int, Schema]]:
    """Yield a schema and all its subschemas, each with its depth, from 1.

    Raises:
        ConfigError: They are nested too deep.
    """
    waiting = [(schema, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MOST_DEPTH + 1:
            raise ConfigError([f"the schema is nested more than {MOST_DEPTH} deep"])
        if not isinstance(one, dict):
            continue
        yield depth, one
        for key, inner in parts_of(one):
            values = inner.values() if key in TABLES else inner if key in _LISTS else [inner]
            waiting += [(value, depth + 1) for value in values]


def schemas_in(schema: object) -> Iterator[Schema]:
    """Yield a schema and all its subschemas; raises as `levels_in`."""
    for _, one in levels_in(schema):
        yield one


def references_in(schema: object) -> Iterator[str]:
    """Yield every `$ref` in a schema and its subschemas."""
    for one in schemas_in(schema):
        if isinstance(one.get("$ref"), str):
            yield one["$ref"]


def definition(schema: Mapping[str, Any], reference: str) -> Any:  # noqa: ANN401
    """Look up `#/$defs/name` or `#/definitions/name`; None for every other reference."""
    parts = reference.split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in DEFINITIONS:
        return None
    name = unquote(parts[2]).replace("~1", "/").replace("~0", "~")
    return table_of(schema, parts[1]).get(name)


def kinds_of(schema: Mapping[str, Any]) -> list[str]:
    """List the types that a schema allows; all of them without `type`."""
    told = schema.get("type", list(_KINDS))
    return [told] if isinstance(told, str) else told


def table_of(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the dict under a key; empty for anything else."""
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def names_of(values: object) -> list[str]:
    """Return a list of strings; empty for anything else."""
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    return []


def optional_properties(schema: Mapping[str, Any]) -> list[str]:
    """List the named properties that are not required."""
    required = set(names_of(schema.get("required")))
    return [name for name in table_of(schema, "properties") if name not in required]


def is_free(schema: Any) -> bool:  # noqa: ANN401
    """Return whether a schema allows every value."""
    return schema is True or (isinstance(schema, dict) and ANNOTATIONS.issuperset(schema))


def is_joined(schema: Mapping[str, Any]) -> bool:
    """Return whether several parts of a schema apply to the same value: by `allOf`, or by
    alternatives
    or a reference beside other words. One part may name properties that another leaves out, so no
    part can be closed by itself."""
    spread = [word for word in SPREAD if word in schema]
    rest = {word: value for word, value in schema.items() if word not in spread}
    return "allOf" in schema or len(spread) > 1 or (bool(spread) and not is_free(rest))


# ---- limits -------------------------------------------------------------------------------------


def check_limits(schema: Schema) -> None:
    """Refuse a schema that takes too long to compile; allowed ones take well under a second.

    Raises:
        ConfigError: With everything that is too large.
    """
    inside = list(schemas_in(schema))
    faults = [
        f"an object has {count} optional properties; allowed: {MOST_OPTIONAL}"
        for count in (len(optional_properties(one)) for one in inside)
        if count > MOST_OPTIONAL
    ]
    patterns = sum(len(table_of(one, "patternProperties")) for one in inside)
    factors = [_remainders(one["multipleOf"]) for one in inside if "multipleOf" in one]
    joined = any(is_joined(one) for one in inside)  # the costs of joined parts multiply
    for count, most, what in (
        (sum(map(_count_parts, inside)), MOST_PARTS, "parts"),
        (_count_levels(schema), MOST_LEVELS, "levels, counted through its references"),
        (patterns, MOST_PATTERNS, "patterns for names of properties"),
        (math.prod(factors) if joined else sum(factors), MOST_FACTOR, "as its multipleOf together"),
    ):
        if count > most:
            faults.append(f"the schema has {count} {what}; allowed: {most}")
    if faults:
        raise ConfigError(faults[:5])


def _remainders(factor: object) -> int:
    """Count the remainders of a `multipleOf`, in units of its last decimal."""
    if not isinstance(factor, int | float) or isinstance(factor, bool) or factor <= 0:
        return 1
    number = Decimal(repr(factor))
    return int(number.scaleb(max(0, -int(number.normalize().as_tuple().exponent))))


def _count_levels(schema: Schema) -> int:
    """Bound the depth of a schema in which every reference is followed once."""
    own = max(depth for depth, _ in levels_in(schema))
    targets = [definition(schema, reference) for reference in set(references_in(schema))]
    return own + sum(
        own if target is None else max((depth for depth, _ in levels_in(target)), default=1)
        for target in targets
    )


def _count_parts(schema: Mapping[str, Any]) -> int:
    """Count 1 for a schema, and each member of the lists and objects that are values in it."""
    listed = schema.get("enum")
    waiting = [*(listed if isinstance(listed, list) else ()), schema.get("const")]
    count = 1
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | dict):
            inner = list(value.values() if isinstance(value, dict) else value)
            count += len(inner)
            waiting += inner
    return count


# ---- words that would be misread ----------------------------------------------------------------

_SHAPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(_ONE, ((dict, bool), "a schema")),
    **dict.fromkeys(_LISTS, (list, "a list of schemas")),
    **dict.fromkeys(TABLES, (dict, "a table of schemas")),
    "dependentRequired": (dict, "a table of lists of names"),
    "enum": (list, "a list of values"),
    "$ref": (str, "such as '#/$defs/name'"),
    "required": (list, "a list of names"),
    "pattern": (str, "a regular expression"),
    "uniqueItems": (bool, "true or false"),
    **dict.fromkeys(
        ("minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength",
         "minContains", "maxContains"),
        (int, "a whole number from 0"),
    ),
}  # fmt: skip


def check_words(schema: Schema) -> None:
    """Refuse words whose value is malformed, or is read differently by different programs.

    Raises:
        ConfigError: With up to five faults.
    """
    faults: list[str] = []
    dialect = schema.get("$schema")
    if dialect is not None and not (isinstance(dialect, str) and _DIALECT.fullmatch(dialect)):
        faults.append(f"$schema is {dialect!r}; leave it out, or name a draft of json-schema.org")
    for one in schemas_in(schema):
        nested = [word for word in ("$schema", "$id") if word in one and one is not schema]
        faults += [f"{word} stands inside the schema; write one schema" for word in nested]
        shape = list(_shape_faults(one))
        faults += [*shape, *_number_faults(one), *([] if shape else _text_faults(one))]
    words = {word for one in schemas_in(schema) for word in one}
    if {"unevaluatedProperties", "patternProperties"} <= words:  # jsonschema matches them by `re`
        faults.append("unevaluatedProperties beside patternProperties; use additionalProperties")
    if faults:
        raise ConfigError(list(dict.fromkeys(faults))[:5])


def _shape_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    for word, (kind, allowed) in _SHAPES.items():
        if word not in schema:
            continue
        value = schema[word]
        fits = isinstance(value, kind) and (kind is not int or (type(value) is int and value >= 0))
        if not fits or (word == "required" and len(names_of(value)) < len(value)):
            yield f"{word} is {value!r}; allowed: {allowed}"
    told = schema.get("type", "null")
    listed = [told] if isinstance(told, str) else told
    if not isinstance(listed, list) or not listed or not all(one in _KINDS for one in listed):
        yield f"type is {told!r}; allowed: {list(_KINDS)}, or a list of these"
    for needs in table_of(schema, "dependentRequired").values():
        if not isinstance(needs, list) or len(names_of(needs)) < len(needs):
            yield f"dependentRequired holds {needs!r}; allowed: lists of names"
    if is_free(schema.get("not", False)):
        yield "not: it leaves no value; change what is excluded"
    if "contentSchema" in schema:
        yield "contentSchema cannot be enforced inside a text; use it in place of the text"
    for name in table_of(schema, "properties"):
        yield from _spelling_faults(name)


def _number_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    for word in _BOUNDS:
        if word in schema and type(schema[word]) not in (int, float):
            yield f"{word} is {schema[word]!r}; allowed: a number (draft 2020-12)"
        elif abs(schema.get(word, 0)) > LARGEST:
            yield f"{word} is {schema[word]!r}; allowed: up to {LARGEST}, either side of 0"
    factor = schema.get("multipleOf", 1)
    if type(factor) not in (int, float) or not factor > 0 or not _is_exact(factor):
        yield f"multipleOf is {factor!r}; allowed: a number above 0, such as 5 or 0.01"


def _text_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    form = schema.get("format")
    if form is not None and "string" in kinds_of(schema) and form not in FORMATS:
        yield f"format {form!r} cannot be enforced; allowed: {sorted(FORMATS)}, or a pattern"
    waiting = [schema.get("const"), *schema.get("enum", ())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield from _spelling_faults(value)
        elif isinstance(value, int | float) and not _is_exact(value):
            yield (
                f"the number {value!r} is read differently by different programs; allowed: up to "
                f"{LARGEST}, either side of 0, in {MOST_DIGITS} digits"
            )
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]


def _is_exact(value: float) -> bool:
    """Return whether every JSON reader makes the same number of the written value."""
    if abs(value) > LARGEST or isinstance(value, int):
        return abs(value) <= LARGEST
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    return len(digits) <= MOST_DIGITS and int(exponent) >= _LEAST_EXPONENT


def _spelling_faults(text: str) -> Iterator[str]:
    if re.search(f"[{UNWRITTEN}\ud800-\udfff]", text):
        yield f"{text[:60]!r} holds a control character or half a character; leave it out"
