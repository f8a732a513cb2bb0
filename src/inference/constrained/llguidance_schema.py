"""Writing a caller's JSON schema for llguidance, narrowed to what a small model should write.

llguidance (https://github.com/guidance-ai/llguidance, docs/json_schema.md) compiles most of JSON
Schema. Two things are changed for it:

- Words that it does not know are expressed by others where pydantic models or common schemas need
  them (`oneOf`, `uniqueItems`, `propertyNames`, `minProperties`, dependencies, `if`). Others, such
  as `not`, `contains` and `maxProperties`, are left out. The grammar then allows more than the
  schema; `answer_validation.AnswerJudge` refuses a complete answer that does not fit.
- Objects are closed to properties that the schema does not name, and numbers, patterns and formats
  are restricted to what all readers read alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import combinations, permutations
from typing import Any

from ...errors import ConfigError
from .regex_checks import FORMATS, agreed_pattern, matches
from .schema import (
    ANNOTATIONS,
    DEFINITIONS,
    LARGEST,
    MOST_DIGITS,
    SPREAD,
    TABLES,
    Schema,
    definition,
    is_free,
    is_joined,
    kinds_of,
    names_of,
    optional_properties,
    parts_of,
    references_in,
    schemas_in,
    table_of,
)

_LEAST_STEP = Decimal("1e-12")
"""Distance from an exclusive bound to the nearest number that is allowed."""
_MOST_CHOICES = 32
"""Alternatives that one word is expressed by."""
_MOST_LISTS = 400
"""Lists without repetition that are written out."""
_KEPT_ANNOTATIONS = (*DEFINITIONS, "$id")
_LEFT_OUT = ("not", "contains", "minContains", "maxContains")
_VALUES = frozenset({"enum", "const"})
_ELSEWHERE = ("$ref", "anyOf", "oneOf", "allOf", *_VALUES)
"""With one of these, the restrictions on a value stand there."""
_ANY_NAME = "stillroom.any"
_ANY = {"$ref": f"#/$defs/{_ANY_NAME}"}
_EVERYTHING = "*"


def llguidance_schema(schema: Schema) -> Schema:
    """Write a schema in llguidance's words, narrowed to what a small model should write.

    Objects get no properties that the schema does not name. Numbers without bounds stay between
    -(2**53 - 1) and 2**53 - 1, also inside free values; this keeps out exponents, because `1e999`
    is valid JSON and no number. (One exception: deep inside a part of `allOf` without a type,
    because llguidance does not join what refers to itself.) Exclusive bounds become the nearest
    allowed number, because `0.8999999999999999999` is read as `0.9`.

    Args:
        schema: From `read_schema`; it is not changed.

    Raises:
        ConfigError: No value fits, or a pattern cannot be enforced.

    >>> llguidance_schema({"type": "integer", "minimum": 0})
    {'type': 'integer', 'minimum': 0, 'maximum': 9007199254740991}
    """
    own = _in_known_words(schema, schema)
    opened = _open_definitions(own)
    narrow: Schema = _narrowed(own, _EVERYTHING in opened, own)
    for table in DEFINITIONS:
        for name in narrow.get(table, {}):
            is_open = any(definition(own, one) is own[table][name] for one in opened)
            narrow[table][name] = _narrowed(own[table][name], is_open or _EVERYTHING in opened, own)
    if _ANY["$ref"] in json.dumps(narrow):
        bounds = {"minimum": -LARGEST, "maximum": LARGEST}
        any_value = {**bounds, "items": _ANY, "additionalProperties": _ANY}
        narrow["$defs"] = {**narrow.get("$defs", {}), _ANY_NAME: any_value}
    return narrow


# ---- words that llguidance does not know --------------------------------------------------------


def _in_known_words(schema: Any, root: Schema) -> Any:  # noqa: ANN401
    """Express words that llguidance does not know by others, or leave them out.

    Args:
        schema: Or true or false in its place.
        root: The schema that holds the definitions.

    Raises:
        ConfigError: No value fits; the word is named.
    """
    if not isinstance(schema, dict):
        return schema
    # llguidance takes an annotation beside a reference, such as `discriminator`, for a restriction.
    plain = {word: value for word, value in schema.items()
             if word not in ANNOTATIONS or word in _KEPT_ANNOTATIONS}  # fmt: skip
    for key, inner in parts_of(schema):
        if isinstance(inner, list):
            plain[key] = [_in_known_words(one, root) for one in inner]
        elif key in TABLES:
            plain[key] = {name: _in_known_words(one, root) for name, one in inner.items()}
        else:
            plain[key] = _in_known_words(inner, root)
    if "contains" in plain:
        plain["minItems"] = max(plain.get("minItems", 0), plain.get("minContains", 1))
    for word in _LEFT_OUT:
        plain.pop(word, None)
    for rewrite in _REWRITES:
        rewrite(plain, root)
    return plain


def _and(schema: Schema, part: Schema) -> None:
    schema["allOf"] = [*schema.get("allOf", ()), part]


def _without(name: str) -> Schema:
    return {"properties": {name: False}}


def _few_values(schema: Any, root: Schema) -> list[Any] | None:  # noqa: ANN401
    """List the values that a schema allows; None if they are many or unclear."""
    for _ in range(8):
        target = definition(root, schema.get("$ref", "")) if isinstance(schema, dict) else None
        if target is None:
            break
        schema = target
    unclear = ("allOf", "anyOf", "oneOf", "if", "$ref", "format")
    if not isinstance(schema, dict) or any(word in schema for word in unclear):
        return None
    kinds = kinds_of(schema)
    if "const" in schema or "enum" in schema:
        return [schema["const"]] if "const" in schema else list(schema["enum"])
    if kinds == ["integer"] and "multipleOf" not in schema:
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(low, int) and isinstance(high, int) and high - low < _MOST_CHOICES:
            return list(range(low, high + 1))
    listed: dict[str, list[Any]] = {"boolean": [True, False], "null": [None]}
    if set(kinds) <= listed.keys():
        return [value for kind in kinds for value in listed[kind]]
    return None


def _rewrite_unevaluated(schema: Schema, root: Schema) -> None:
    """Where no parts are joined, unevaluated is what the schema does not name."""
    alone = not (is_joined(schema) or "if" in schema or "dependentSchemas" in schema)
    for word, known in (("Properties", "additionalProperties"), ("Items", "items")):
        value = schema.pop(f"unevaluated{word}", None)
        if alone and value is not None:
            schema.setdefault(known, value)


def _rewrite_property_names(schema: Schema, root: Schema) -> None:
    """Write rules for names of properties as the names themselves, or as a pattern."""
    names, value = schema.pop("propertyNames", True), schema.get("additionalProperties", True)
    if isinstance(names, dict) and "$ref" in names:
        names = definition(root, names["$ref"])
    if not isinstance(names, dict) or value is False or "patternProperties" in schema:
        return
    own, listed = table_of(schema, "properties"), _few_values({"type": "string", **names}, root)
    if listed is not None:
        allowed = {name: value for name in listed if isinstance(name, str)}
        schema["properties"] = {
            **{name: inner if name in allowed else False for name, inner in own.items()},
            **{name: inner for name, inner in allowed.items() if name not in own},
        }
        schema["additionalProperties"] = False
        return
    form = FORMATS.get(names.get("format", ""))
    pattern = names.get("pattern") or (form.pattern if form else "")
    if not pattern and ("minLength" in names or "maxLength" in names):
        pattern = rf"^[\s\S]{{{names.get('minLength', 0)},{names.get('maxLength', '')}}}$"
    if pattern and not own:
        schema |= {"patternProperties": {pattern: value}, "additionalProperties": False}


def _rewrite_conditions(schema: Schema, root: Schema) -> None:
    """Write `if` and dependencies as alternatives. That an answer of the second alternative of `if`
    does not fulfil the condition is left to the check of the complete answer."""
    then, other = schema.pop("then", True), schema.pop("else", True)
    condition = schema.pop("if", None)
    if condition is not None and not (is_free(then) and is_free(other)):
        _and(schema, {"anyOf": [{"allOf": [condition, then]}, other]})
    for name, needs in schema.pop("dependentRequired", {}).items():
        with_all = {"required": list(dict.fromkeys([name, *needs]))}
        _and(schema, {"anyOf": [_without(name), with_all]})
    for name, inner in schema.pop("dependentSchemas", {}).items():
        _and(schema, {"anyOf": [_without(name), {"allOf": [{"required": [name]}, inner]}]})


def _rewrite_counts(schema: Schema, root: Schema) -> None:
    """Write `minProperties` as combinations of the optional properties; llguidance counts only
    where all named properties are required."""
    optional = optional_properties(schema)
    if not optional:
        return
    least, _ = schema.pop("minProperties", 0), schema.pop("maxProperties", None)
    is_open = schema.get("additionalProperties", False) is not False
    if is_open or "patternProperties" in schema or any(word in schema for word in SPREAD):
        return
    needed = least - len(set(names_of(schema.get("required"))))
    if needed > 0 and 0 < math.comb(len(optional), needed) <= _MOST_CHOICES:
        chosen = combinations(optional, needed)
        _and(schema, {"anyOf": [{"required": list(names)} for names in chosen]})


def _rewrite_unique_items(schema: Schema, root: Schema) -> None:
    """Write out the lists without repetition where the items have few values."""
    if not schema.pop("uniqueItems", False) or "items" not in schema:
        return
    values = _few_values(schema["items"], root)
    if values is None or any(word in schema for word in ("prefixItems", *_ELSEWHERE)):
        return
    least, most = schema.get("minItems", 0), min(schema.get("maxItems", len(values)), len(values))
    alone = kinds_of(schema) == ["array"]
    if least > most and alone:
        raise ConfigError([
            f"uniqueItems: {len(values)} values cannot fill {least} places; lower minItems"
        ])  # fmt: skip
    schema["maxItems"] = most
    sizes = range(least, most + 1)
    if alone and sum(math.perm(len(values), size) for size in sizes) <= _MOST_LISTS:
        for word in ("type", "items", "minItems", "maxItems"):
            schema.pop(word, None)
        schema["enum"] = [list(one) for size in sizes for one in permutations(values, size)]


def _rewrite_one_of(schema: Schema, root: Schema) -> None:
    """Write `oneOf` as `anyOf`. Alternatives rarely overlap, because objects are closed; that no
    second one fits is left to the check of the complete answer."""
    if "oneOf" not in schema:
        return
    branches = schema.pop("oneOf")
    seen: dict[str, int] = {}
    for number, branch in enumerate(branches, 1):
        restrictions = json.dumps(_restrictions(branch), sort_keys=True)
        if restrictions in seen:
            raise ConfigError([
                f"oneOf: alternatives {seen[restrictions]} and {number} allow the same values, so "
                "none fits exactly one; leave one out, or tell them apart by required or const"
            ])  # fmt: skip
        seen[restrictions] = number
    if "anyOf" in schema:
        _and(schema, {"anyOf": branches})
    else:
        schema["anyOf"] = branches


def _restrictions(schema: Any) -> Any:  # noqa: ANN401
    """Copy a schema without the words that do not restrict the value."""
    if not isinstance(schema, dict):
        return schema
    told = {word: value for word, value in schema.items() if word not in ANNOTATIONS}
    named = {name: _restrictions(one) for name, one in told.pop("properties", {}).items()}
    named = {name: one for name, one in named.items() if not is_free(one)}
    if not told.get("required", True):
        del told["required"]
    return {**told, "properties": named} if named else told


_REWRITES: tuple[Callable[[Schema, Schema], None], ...] = (
    _rewrite_unevaluated, _rewrite_property_names, _rewrite_conditions, _rewrite_counts,
    _rewrite_unique_items, _rewrite_one_of,
)  # fmt: skip


# ---- narrowing ----------------------------------------------------------------------------------


def _open_definitions(schema: Schema) -> set[str]:
    """Collect the references that stand for parts of something joined.

    Returns:
        Such as `#/$defs/name`; with `_EVERYTHING` in it where one leads elsewhere.
    """
    found: set[str] = set()
    waiting: list[str] = []
    for one in schemas_in(schema):
        if is_joined(one):
            inside = {word: value for word, value in one.items() if word not in DEFINITIONS}
            waiting += references_in(inside)
    while waiting:
        reference = waiting.pop()
        if reference not in found:
            target = definition(schema, reference)
            found.add(reference if target is not None else _EVERYTHING)
            waiting += references_in(target)
    return found


def _names_in(schema: object, root: Schema) -> dict[str, bool] | None:
    """Collect the properties that the parts of a joined schema name, and whether a part restricts
    their value; None where a part allows other properties on purpose."""
    named: dict[str, bool] = {}
    waiting, seen = [schema], set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, dict):
            continue
        if "patternProperties" in one or one.get("additionalProperties", False) is not False:
            return None
        for name, inner in one.get("properties", {}).items():
            named[name] = named.get(name, False) or (inner is not False and not is_free(inner))
        for name in one.get("required", ()):
            named.setdefault(name, False)
        for word in ("allOf", "anyOf"):
            waiting += one.get(word, ())
        reference = one.get("$ref")
        if reference is not None and reference not in seen:
            seen.add(reference)
            target = definition(root, reference)
            if target is None:
                return None
            waiting.append(target)
    return named


def _narrowed(schema: Any, is_open: bool, root: Schema) -> Any:  # noqa: ANN401
    """Narrow a schema.

    Args:
        schema: Or true or false in its place.
        is_open: It is part of something joined, and another part may name further properties.
        root: The schema that holds the definitions.
    """
    if not isinstance(schema, dict):
        return _ANY if schema is True and not is_open else schema
    if is_free(schema) and not is_open and schema is not root:
        return dict(_ANY)
    joined = is_joined(schema)
    inner_open = is_open or joined
    narrow = dict(schema)
    for key, inner in parts_of(schema):
        if key == "anyOf":
            narrow[key] = _narrowed_branches(inner, inner_open, root)
        elif isinstance(inner, list):
            narrow[key] = [_narrowed(one, inner_open, root) for one in inner]
        elif key in ("items", "additionalProperties"):
            narrow[key] = _narrowed(inner, inner_open, root)
        elif key in ("properties", "patternProperties"):
            narrow[key] = {n: _narrowed(v, inner_open, root) for n, v in inner.items()}
    if "patternProperties" in narrow:
        narrow["patternProperties"] = _agreed_names(narrow["patternProperties"])
    _narrow_text(narrow)
    if joined:
        narrow = narrow if _VALUES.intersection(narrow) else _narrowed_number(narrow)
        return narrow if is_open else _closed(narrow, _names_in(schema, root))
    if any(word in narrow for word in _ELSEWHERE):
        return narrow
    narrow = _narrowed_number(narrow)
    if not is_open:
        _close_object(narrow)
        kinds = kinds_of(narrow)
        if "array" in kinds:
            narrow.setdefault("items", _ANY)
        if "object" in kinds:
            narrow.setdefault("additionalProperties", _ANY)
    return _with_short_numbers(narrow)


def _closed(schema: Schema, names: dict[str, bool] | None) -> Schema:
    """Close something joined to the properties that its parts name."""
    if not names or "additionalProperties" in schema:
        return schema
    named = {name: True if told else _ANY for name, told in sorted(names.items())}
    own = {
        name: named[name] if is_free(inner) else inner
        for name, inner in schema.get("properties", {}).items()
    }
    return {**schema, "properties": {**named, **own}, "additionalProperties": False}


def _narrowed_branches(branches: list[Any], is_open: bool, root: Schema) -> list[Any]:
    """Narrow alternatives; leave out those that cannot be enforced while others remain."""
    kept, faults = [], []
    for branch in branches:
        try:
            kept.append(_narrowed(branch, is_open, root))
        except ConfigError as fault:
            faults.append(fault)
    counted = any("Of/" in reference for reference in references_in(root))
    if faults and (counted or not kept):
        raise faults[0]
    return kept


def _agreed_names(table: dict[str, Any]) -> dict[str, Any]:
    agreed = {agreed_pattern(name): value for name, value in table.items()}
    if len(agreed) < len(table):
        raise ConfigError([f"two of the patterns {list(table)!r} mean the same; write one"])
    return agreed


def _narrow_text(schema: Schema) -> None:
    """Replace patterns and formats by what all readers agree on."""
    if isinstance(schema.get("pattern"), str):
        schema["pattern"] = agreed_pattern(schema["pattern"])
    form = FORMATS.get(schema.get("format", ""))
    if form is None or "string" not in kinds_of(schema):
        return
    del schema["format"]
    if form.pattern and "pattern" in schema:
        _and(schema, {"pattern": form.pattern})
    elif form.pattern:
        schema["pattern"] = form.pattern
    elif form.known:
        schema["format"] = form.known


def _narrowed_number(schema: Schema) -> Schema:
    """Add the bounds that a number lacks, and write the others so that they are read exactly."""
    if not {"number", "integer"}.intersection(kinds_of(schema)):
        return schema
    # A float has digits for so many decimals only up to here; 0.25 of 900719925476539.75 is lost.
    factor = Decimal(repr(schema.get("multipleOf", 1))).normalize()
    decimals = max(0, -int(factor.as_tuple().exponent))
    largest = LARGEST if decimals == 0 else 10 ** max(0, MOST_DIGITS - decimals)
    lows: list[float] = [-largest]
    highs: list[float] = [largest]
    for word, bounds, towards in (
        ("minimum", lows, ROUND_CEILING),
        ("exclusiveMinimum", lows, ROUND_CEILING),
        ("maximum", highs, ROUND_FLOOR),
        ("exclusiveMaximum", highs, ROUND_FLOOR),
    ):
        if word in schema:
            bounds.append(_inward(schema.pop(word), towards, word.startswith("exclusive")))
    return {**schema, "minimum": max(lows), "maximum": min(highs)}


def _inward(bound: float, towards: str, strict: bool) -> float:
    """Return the nearest number inside a bound that 15 digits write exactly."""
    if isinstance(bound, int) and not strict:
        return bound
    exact = Decimal(repr(bound))
    if strict:
        exact += _LEAST_STEP if towards == ROUND_CEILING else -_LEAST_STEP
    inside = Context(prec=MOST_DIGITS, rounding=towards).plus(exact)
    return int(inside) if inside == inside.to_integral_value() else float(inside)


def _with_short_numbers(schema: Schema) -> Schema:
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
    kept = {word: value for word, value in schema.items() if word in _KEPT_ANNOTATIONS}
    rest = {word: value for word, value in schema.items() if word not in kept}
    return {**kept, "anyOf": [rest, {"enum": shorter}]}


def _beginnings(number: float) -> list[float]:
    whole, _, digits = format(Decimal(repr(number)), "f").partition(".")
    return [float(f"{whole}.{digits[:count]}") for count in range(1, len(digits))]


def _close_object(schema: Schema) -> None:
    """Close an object to properties that it does not name; what it requires becomes named."""
    patterns = schema.get("patternProperties", {})
    if "object" not in kinds_of(schema) or not ("properties" in schema or patterns):
        return
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    if rest is not False:
        missing = [
            name
            for name in schema.get("required", ())
            if name not in properties and not any(matches(one, name) for one in patterns)
        ]
        value = _ANY if rest is True else rest
        schema["properties"] = {**properties, **dict.fromkeys(missing, value)}
    schema.setdefault("additionalProperties", False)
