"""JSON schemas made a little narrower before a model answers in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from ..errors import ConfigError
from .pattern_rules import agreed_pattern
from .schema_joins import EVERYTHING, joins, names_of, open_definitions
from .schema_limits import MOST_CHARACTERS, check_limits
from .schema_parts import DEFINITIONS, definition, parts_of, references_in, schemas_in
from .schema_unions import check_one_of
from .schema_words import FORMATS, LARGEST, check_words, kinds_of, says_nothing

_LEAST_STEP = Decimal("1e-12")
"""Between a bound that is not allowed and the nearest number that is."""
_ANY_NAME = "stillroom.any"
_ANY = {"$ref": f"#/$defs/{_ANY_NAME}"}
_VALUES = frozenset({"enum", "const"})
_MADE_ELSEWHERE = ("$ref", "anyOf", "oneOf", "allOf", *_VALUES)
"""With one of these, what a place may hold is said there."""


def tightened(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Narrow a schema to what a small model should write; every text it allows, the old one does.

    Objects get no properties that the schema does not name. Numbers stay between -(2**53 - 1) and
    2**53 - 1 where the schema sets no bound of its own, also where it says nothing of what may
    come (but deep inside a part of `allOf` that says nothing); this keeps exponents out: `1e999` is
    valid JSON and no number. Bounds that are not allowed
    themselves become the next number, because `0.8999999999999999999` is read as `0.9`. Patterns
    and dates are brought to what all readers agree on.

    Args:
        schema: A JSON schema; drafts before 2020-12 where they say it the same way.

    Raises:
        ConfigError: It is nested too deep or too costly, holds something that is no JSON, or asks
            for what cannot be enforced.

    >>> tightened({"type": "integer", "minimum": 0})
    {'type': 'integer', 'minimum': 0, 'maximum': 9007199254740991}
    """
    own: dict[str, Any] = json.loads(_written(schema))
    check_limits(own, any(joins(one) for one in schemas_in(own)))
    check_words(own)
    own.pop("$schema", None)
    opened = open_definitions(own)
    narrow: dict[str, Any] = _tightened(own, EVERYTHING in opened, own)
    for table in DEFINITIONS:
        for name in narrow.get(table, {}):
            is_open = any(definition(own, one) is own[table][name] for one in opened)
            narrow[table][name] = _tightened(own[table][name], is_open or EVERYTHING in opened, own)
    if _ANY["$ref"] in json.dumps(narrow):
        narrow["$defs"] = {**narrow.get("$defs", {}), _ANY_NAME: _any_value()}
    return narrow


def _written(schema: Mapping[str, Any]) -> str:
    """Write a schema as JSON, and stop where it becomes too long."""
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


def _tightened(schema: Any, is_open: bool, root: dict[str, Any]) -> Any:  # noqa: ANN401
    """Tighten a schema, true or false as well.

    Args:
        schema: Or what stands in its place.
        is_open: It is a part of something joined, and another part may name what it does not.
        root: The schema that it stands in.
    """
    if not isinstance(schema, dict):
        return _ANY if schema is True and not is_open else schema
    if says_nothing(schema) and not is_open and schema is not root:
        return dict(_ANY)
    joined = joins(schema)
    if "oneOf" in schema:
        check_one_of(schema["oneOf"], root)
    narrow = dict(schema)
    for key, inner in parts_of(schema):
        if key in ("anyOf", "oneOf"):
            narrow[key] = _branches(inner, is_open or joined, root)
        elif isinstance(inner, list):
            narrow[key] = [_tightened(one, is_open or joined, root) for one in inner]
        elif key in ("items", "additionalProperties"):
            narrow[key] = _tightened(inner, is_open or joined, root)
        elif key in ("properties", "patternProperties"):
            narrow[key] = {n: _tightened(v, is_open or joined, root) for n, v in inner.items()}
    if "patternProperties" in narrow:
        narrow["patternProperties"] = _name_patterns(narrow["patternProperties"])
    if narrow.get("uniqueItems") is False:
        del narrow["uniqueItems"]
    narrow = _any_of(_text(narrow))
    if joined:
        narrow = narrow if _VALUES.intersection(narrow) else _number(narrow)
        return narrow if is_open else _closed(narrow, names_of(schema, root))
    if any(word in narrow for word in _MADE_ELSEWHERE):
        return narrow
    narrow = _number(narrow)
    return _with_short_numbers(narrow if is_open else _inside(_object(narrow)))


def _any_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Write alternatives of which no two can hold as those of which one or more may."""
    if "oneOf" not in schema:
        return schema
    branches = schema.pop("oneOf")
    if "anyOf" not in schema:
        return {**schema, "anyOf": branches}
    return {**schema, "allOf": [*schema.get("allOf", ()), {"anyOf": branches}]}


def _closed(schema: dict[str, Any], names: set[str] | None) -> dict[str, Any]:
    """Close something joined to the properties that its parts name."""
    if not names or "additionalProperties" in schema:
        return schema
    named = {**dict.fromkeys(sorted(names), True), **schema.get("properties", {})}
    return {**schema, "properties": named, "additionalProperties": False}


def _branches(branches: list[Any], is_open: bool, root: dict[str, Any]) -> list[Any]:
    """Tighten alternatives; those that cannot be enforced are left out while others remain."""
    kept, faults = [], []
    for branch in branches:
        try:
            kept.append(_tightened(branch, is_open, root))
        except ConfigError as fault:
            faults.append(fault)
    counted = any("Of/" in reference for reference in references_in(root))
    if faults and (counted or not kept):
        raise faults[0]
    return kept


def _name_patterns(table: dict[str, Any]) -> dict[str, Any]:
    agreed = {agreed_pattern(name): value for name, value in table.items()}
    if len(agreed) < len(table):
        raise ConfigError([f"two of the patterns {list(table)!r} mean the same; write one"])
    return agreed


def _text(schema: dict[str, Any]) -> dict[str, Any]:
    """Bring patterns and formats to what all readers agree on."""
    if isinstance(schema.get("pattern"), str):
        schema["pattern"] = agreed_pattern(schema["pattern"])
    form = FORMATS.get(schema.get("format", ""))
    if form is None or "string" not in kinds_of(schema):
        return schema
    del schema["format"]
    if form.pattern and "pattern" in schema:
        schema["allOf"] = [*schema.get("allOf", ()), {"pattern": form.pattern}]
    elif form.pattern:
        schema["pattern"] = form.pattern
    elif form.known:
        schema["format"] = form.known
    return schema


def _number(schema: dict[str, Any]) -> dict[str, Any]:
    """Give a number the bounds that it lacks, and write the others so that they are read exactly.

    A bound that is not allowed itself becomes the next number.
    """
    if not {"number", "integer"}.intersection(kinds_of(schema)):
        return schema
    lows: list[float] = [-LARGEST]
    highs: list[float] = [LARGEST]
    for word, strict in (("minimum", False), ("exclusiveMinimum", True)):
        if word in schema:
            lows.append(_inward(schema.pop(word), ROUND_CEILING, strict))
    for word, strict in (("maximum", False), ("exclusiveMaximum", True)):
        if word in schema:
            highs.append(_inward(schema.pop(word), ROUND_FLOOR, strict))
    return {**schema, "minimum": max(lows), "maximum": min(highs)}


def _inward(bound: float, towards: str, strict: bool) -> float:
    """Give the nearest number inside a bound that 15 digits write."""
    if isinstance(bound, int) and not strict:
        return bound
    context = Context(prec=15, rounding=towards)
    exact = Decimal(repr(bound))
    if strict:
        exact += _LEAST_STEP if towards == ROUND_CEILING else -_LEAST_STEP
    inside = context.plus(exact)
    return int(inside) if inside == inside.to_integral_value() else float(inside)


def _with_short_numbers(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow numbers that a bound begins with, such as 2.5 where 2.55 is the largest.

    llguidance 1.9 wants `2.50` there, and a model that was about to end writes any digit.
    """
    if "number" not in kinds_of(schema) or "multipleOf" in schema:
        return schema
    low, high = schema["minimum"], schema["maximum"]
    shorter = [*_beginnings(low if low < 0 else 0), *_beginnings(high if high > 0 else 0)]
    shorter = [number for number in dict.fromkeys(shorter) if low <= number <= high]
    if not shorter:
        return schema
    kept = {word: value for word, value in schema.items() if word in DEFINITIONS or word == "$id"}
    rest = {word: value for word, value in schema.items() if word not in kept}
    return {**kept, "anyOf": [rest, {"enum": shorter}]}


def _beginnings(number: float) -> list[float]:
    whole, _, digits = format(Decimal(repr(number)), "f").partition(".")
    return [float(f"{whole}.{digits[:count]}") for count in range(1, len(digits))]


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """Close an object to what the schema does not name; what it requires it names."""
    if "object" not in kinds_of(schema):
        return schema
    if "properties" not in schema or "patternProperties" in schema:
        return schema
    properties, rest = schema["properties"], schema.get("additionalProperties", True)
    if rest is not False:
        missing = [name for name in schema.get("required", ()) if name not in properties]
        value = _ANY if rest is True else rest
        schema["properties"] = {**properties, **dict.fromkeys(missing, value)}
    schema.setdefault("additionalProperties", False)
    return schema


def _inside(schema: dict[str, Any]) -> dict[str, Any]:
    """Hold what may be anything inside lists and objects to what is anything here."""
    kinds = set(kinds_of(schema))
    if "array" in kinds:
        schema.setdefault("items", _ANY)
    if "object" in kinds:
        schema.setdefault("additionalProperties", _ANY)
    return schema


def _any_value() -> dict[str, Any]:
    bounds = {"minimum": -LARGEST, "maximum": LARGEST}
    return {**bounds, "items": _ANY, "additionalProperties": _ANY}
