"""A caller's JSON schema, written in the words that llguidance enforces.

llguidance (https://github.com/guidance-ai/llguidance, docs/json_schema.md) compiles most of JSON
Schema, and says what it does not know. What remains to be done here:

- limits: a schema is compiled in one go that nobody can stop (`check_limits`);
- words that llguidance reads otherwise than they are meant, or dies of (`check_words`);
- words that it does not know are said in others (`plain_schema`): `uniqueItems`, `not`, `if`,
  `oneOf`, `contains`, `propertyNames`, `dependentRequired`, `minProperties` and so on. Where the
  other words allow a little more, the check of the whole answer holds the rest (`schema_check`);
- a small model is held to what it should write: no properties that the schema does not name, and
  numbers that every reader of JSON reads alike (`narrowed`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from itertools import combinations, permutations
from typing import Any
from urllib.parse import unquote

from ...errors import ConfigError
from .regex_checks import FORMATS, UNWRITTEN, agreed_pattern, matches

Schema = dict[str, Any]

MOST_CHARACTERS = 256 << 10
MOST_DEPTH = 64
MOST_PARTS = 5_000
"""Schemas in a schema, together with what stands inside lists and objects of `enum`."""
MOST_OPTIONAL = 300
"""Optional properties of one object; the cost is their square."""
MOST_PATTERNS = 50
"""Patterns for names of properties; each is compared with each."""
MOST_LEVELS = 500
"""Of a schema and what it refers to, one inside the other. The library that compiles it goes down
by recursion, and the process dies of some 1,500."""
MOST_FACTOR = 4_000
"""Of `multipleOf`, all together: each remainder is a state, and `{"multipleOf": 9999991}` would
take 47 s."""
LARGEST = 2**53 - 1
"""Whole numbers beyond are read differently by different programs: RFC 8259, section 6. llguidance
writes others in their place, and the process dies of `{"const": -9223372036854775808}`."""
_MOST_DIGITS = 15
_LEAST_EXPONENT = -22
_LEAST_STEP = Decimal("1e-12")
"""Between a bound that is not allowed and the nearest number that is."""
_MOST_CHOICES = 32
"""Alternatives that one word is written as."""
_MOST_LISTS = 400
"""Lists without repetition that are written out."""

_FIRST_PLACES = 3
"""In which `contains` is written out."""

DEFINITIONS = ("$defs", "definitions")
_ONE = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems", "additionalItems",
)  # fmt: skip
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
_TABLES = ("properties", "patternProperties", "dependentSchemas", *DEFINITIONS)
_NOTES = frozenset({
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "$comment", "$schema", "$id", "$defs", "definitions", "discriminator", "x-guidance",
})  # fmt: skip
"""Words that say nothing of the value."""
_KEPT_NOTES = (*DEFINITIONS, "$id")
_DIALECT = re.compile(
    r"https?://json-schema\.org/(draft-0[4-7]/schema#?|draft/20(19-09|20-12)/schema#?)"
)
_KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_SPREAD = ("anyOf", "oneOf", "$ref")
_VALUES = frozenset({"enum", "const"})
_MADE_ELSEWHERE = ("$ref", "anyOf", "oneOf", "allOf", *_VALUES)
"""With one of these, what a place may hold is said there."""
_ANY_NAME = "stillroom.any"
_ANY = {"$ref": f"#/$defs/{_ANY_NAME}"}
_EVERYTHING = "*"
_NEVER: Schema = {"enum": []}


def read_schema(schema: Mapping[str, Any]) -> Schema:
    """Read a caller's schema: plain JSON of draft 2020-12, within all limits.

    Args:
        schema: A JSON schema; drafts before 2020-12 where they say it the same way, or tuples by a
            list in `items` and `dependencies`.

    Returns:
        What is shared by all who read the same; do not change it.

    Raises:
        ConfigError: It is nested too deep or too costly, holds something that is no JSON, or words
            that would be read otherwise than they are meant. All faults at once, up to five.
    """
    return _read(written_schema(schema))


@lru_cache(maxsize=64)
def _read(text: str) -> Schema:
    own: Schema = json.loads(text)
    for one in schemas_in(own):
        _in_newest_draft(one)
    check_limits(own)
    check_words(own)
    own.pop("$schema", None)
    return own


def narrowed(schema: Schema) -> Schema:
    """Write a schema in llguidance's words, narrowed to what a small model should write.

    Objects get no properties that the schema does not name. Numbers stay between -(2**53 - 1) and
    2**53 - 1 where the schema sets no bound of its own, also where it says nothing of what may come
    (but deep inside a part of `allOf` that gives no type: llguidance does not join what refers to
    itself); this keeps exponents out: `1e999` is valid JSON and no number. Bounds that are not
    allowed themselves become the next number, because `0.8999999999999999999` is read as `0.9`.
    Patterns and dates are brought to what all readers agree on.

    Args:
        schema: As `read_schema` gives it; it stays as it is.

    Raises:
        ConfigError: No value fits, or a pattern cannot be enforced.

    >>> narrowed({"type": "integer", "minimum": 0})
    {'type': 'integer', 'minimum': 0, 'maximum': 9007199254740991}
    """
    own = plain_schema(schema, schema)
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


def written_schema(schema: Mapping[str, Any]) -> str:
    """Write a schema as JSON, and stop where it becomes too long.

    Raises:
        ConfigError: It is too long, too deep, or no JSON.
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


def _in_newest_draft(schema: Schema) -> None:
    """Write what older drafts say in other words as draft 2020-12 does."""
    rest = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list) and "prefixItems" not in schema:
        schema["prefixItems"] = schema.pop("items")
        if rest is not None:
            schema["items"] = rest
    for name, needs in _table(schema, "dependencies").items():
        word = "dependentRequired" if isinstance(needs, list) else "dependentSchemas"
        schema.setdefault(word, {})[name] = needs
    if isinstance(schema.get("dependencies"), dict):
        del schema["dependencies"]


# ---- walking through a schema -------------------------------------------------------------------


def parts_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the keys of a schema under which other schemas stand, and what stands there: a schema, a
    list or a table of schemas."""
    for key, value in schema.items():
        of_list = key in _LISTS and isinstance(value, list)
        if key in _ONE or of_list or (key in _TABLES and isinstance(value, dict)):
            yield key, value


def levels_in(schema: object) -> Iterator[tuple[int, Schema]]:
    """Give a schema and all in it, each with how deep it stands, from 1.

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
            values = inner.values() if key in _TABLES else inner if key in _LISTS else [inner]
            waiting += [(value, depth + 1) for value in values]


def schemas_in(schema: object) -> Iterator[Schema]:
    """Give a schema and all in it.

    Raises:
        ConfigError: They are nested too deep.
    """
    for _, one in levels_in(schema):
        yield one


def references_in(schema: object) -> Iterator[str]:
    """Give what a schema and all in it refer to."""
    for one in schemas_in(schema):
        if isinstance(one.get("$ref"), str):
            yield one["$ref"]


def definition(schema: Mapping[str, Any], reference: str) -> Any:  # noqa: ANN401
    """Look a definition up; None for what is no reference to one in the same schema."""
    parts = reference.split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in DEFINITIONS:
        return None
    name = unquote(parts[2]).replace("~1", "/").replace("~0", "~")
    table = schema.get(parts[1])
    return table.get(name) if isinstance(table, dict) else None


def kinds_of(schema: Mapping[str, Any]) -> list[str]:
    """Give the types that a schema allows; all where it does not say."""
    told = schema.get("type", list(_KINDS))
    return [told] if isinstance(told, str) else told


def _says_nothing(schema: Mapping[str, Any]) -> bool:
    return _NOTES.issuperset(schema)


def _table(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _names(values: object) -> list[str]:
    """Give a list of names; empty for what is none."""
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    return []


# ---- limits -------------------------------------------------------------------------------------


def check_limits(schema: Schema) -> None:
    """Refuse a schema that would take too long to compile.

    The limits are set so that it takes well under a second on a slow core.

    Raises:
        ConfigError: With what is too much, all at once.
    """
    inside = list(schemas_in(schema))
    faults = [
        f"an object has {count} optional properties; allowed: {MOST_OPTIONAL}"
        for count in (len(_optional(one)) for one in inside)
        if count > MOST_OPTIONAL
    ]
    patterns = sum(len(_table(one, "patternProperties")) for one in inside)
    factors = [_states(one["multipleOf"]) for one in inside if "multipleOf" in one]
    joined = any(_joins(one) for one in inside)  # the costs of what is joined multiply
    for count, most, what in (
        (sum(map(_parts, inside)), MOST_PARTS, "parts"),
        (_levels(schema), MOST_LEVELS, "levels, counted through its references"),
        (patterns, MOST_PATTERNS, "patterns for names of properties"),
        (math.prod(factors) if joined else sum(factors), MOST_FACTOR, "as its multipleOf together"),
    ):
        if count > most:
            faults.append(f"the schema has {count} {what}; allowed: {most}")
    if faults:
        raise ConfigError(faults[:5])


def _states(factor: object) -> int:
    """Count the remainders of a `multipleOf`, in its last decimal."""
    if not isinstance(factor, int | float) or isinstance(factor, bool) or factor <= 0:
        return 1
    number = Decimal(repr(factor))
    return int(number.scaleb(max(0, -int(number.normalize().as_tuple().exponent))))


def _levels(schema: Schema) -> int:
    """Bound how deep a schema goes when every reference is followed once."""
    own = max(depth for depth, _ in levels_in(schema))
    count = own
    for reference in set(references_in(schema)):
        target = definition(schema, reference)
        count += (
            own if target is None else max((depth for depth, _ in levels_in(target)), default=1)
        )
    return count


def _optional(schema: Mapping[str, Any]) -> list[str]:
    required = set(_names(schema.get("required")))
    return [name for name in _table(schema, "properties") if name not in required]


def _parts(schema: Mapping[str, Any]) -> int:
    """Count a schema and what stands inside lists and objects that are values in it."""
    listed = schema.get("enum")
    waiting = [*(listed if isinstance(listed, list) else ()), schema.get("const")]
    waiting = [value for value in waiting if isinstance(value, list | dict)]
    count = 1
    while waiting:
        value = waiting.pop()
        inner = list(value.values() if isinstance(value, dict) else value)
        count += len(inner)
        waiting += [one for one in inner if isinstance(one, list | dict)]
    return count


# ---- words that would be read otherwise ---------------------------------------------------------

_SHAPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(_ONE, ((dict, bool), "a schema")),
    **dict.fromkeys(_LISTS, (list, "a list of schemas")),
    **dict.fromkeys(_TABLES, (dict, "a table of schemas")),
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
    """Refuse words that would be taken otherwise than they are meant.

    Raises:
        ConfigError: With all that was found, up to five.
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
        if not fits or (word == "required" and len(_names(value)) < len(value)):
            yield f"{word} is {value!r}; allowed: {allowed}"
    told = schema.get("type", "null")
    listed = [told] if isinstance(told, str) else told
    if not isinstance(listed, list) or not listed or not all(one in _KINDS for one in listed):
        yield f"type is {told!r}; allowed: {list(_KINDS)}, or a list of these"
    for needs in _table(schema, "dependentRequired").values():
        if not isinstance(needs, list) or len(_names(needs)) < len(needs):
            yield f"dependentRequired holds {needs!r}; allowed: lists of names"
    if "contentSchema" in schema:
        yield "contentSchema cannot be enforced inside a text; use it in place of the text"
    for name in _table(schema, "properties"):
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


# ---- words that llguidance does not know, in others ---------------------------------------------


def plain_schema(schema: Any, root: Schema) -> Any:  # noqa: ANN401
    """Say in llguidance's words what it does not know.

    A value that fits the caller's schema may be written, wherever that can be told; some that are
    allowed here fit no longer when the whole answer is checked.

    Args:
        schema: Or true or false in its place.
        root: The schema that it stands in, for its definitions.

    Raises:
        ConfigError: No value fits; the word is named.
    """
    if not isinstance(schema, dict):
        return schema
    # llguidance takes a note such as `discriminator` for a word that holds beside a reference.
    plain = {word: value for word, value in schema.items()
             if word not in _NOTES or word in _KEPT_NOTES}  # fmt: skip
    for key, inner in parts_of(schema):
        if isinstance(inner, list):
            plain[key] = [plain_schema(one, root) for one in inner]
        elif key in _TABLES:
            plain[key] = {name: plain_schema(one, root) for name, one in inner.items()}
        else:
            plain[key] = plain_schema(inner, root)
    for rewrite in _REWRITES:
        rewrite(plain, root)
    return plain


def _and(schema: Schema, part: Schema) -> None:
    """Add a part that holds as well."""
    schema["allOf"] = [*schema.get("allOf", ()), part]


def _without(*names: str) -> Schema:
    return {"properties": dict.fromkeys(names, False)}


def _few_values(schema: Any, root: Schema) -> list[Any] | None:  # noqa: ANN401
    """List the values that a schema allows; None where they are many, or hard to tell."""
    for _ in range(8):
        if not isinstance(schema, dict):
            return None
        target = definition(root, schema.get("$ref", ""))
        if target is None:
            break
        schema = target
    if any(word in schema for word in ("allOf", "anyOf", "oneOf", "not", "if", "$ref", "format")):
        return None
    kinds = kinds_of(schema)
    if "const" in schema or "enum" in schema:
        values: list[Any] = [schema["const"]] if "const" in schema else schema["enum"]
        return [value for value in values if _kind_fits(value, kinds)]
    if kinds == ["integer"] and "multipleOf" not in schema:
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(low, int) and isinstance(high, int) and high - low < _MOST_CHOICES:
            return list(range(low, high + 1))
    listed: dict[str, list[Any]] = {"boolean": [True, False], "null": [None]}
    if set(kinds) <= listed.keys():
        return [value for kind in kinds for value in listed[kind]]
    return None


def _kind_fits(value: object, kinds: list[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, int):
        return "integer" in kinds or "number" in kinds
    names: dict[type, str] = {str: "string", list: "array", dict: "object", float: "number"}
    return names.get(type(value), "null") in kinds


def _is_same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _say_unevaluated(schema: Schema, root: Schema) -> None:
    """Where nothing is joined, what is not evaluated is what is not named."""
    alone = not _joins(schema) and "if" not in schema and "dependentSchemas" not in schema
    for word, plain in (
        ("unevaluatedProperties", "additionalProperties"),
        ("unevaluatedItems", "items"),
    ):
        if word in schema:
            value = schema.pop(word)
            if alone:
                schema.setdefault(plain, value)


def _say_conditions(schema: Schema, root: Schema) -> None:
    """Write `if` as two alternatives."""
    then, other = schema.pop("then", True), schema.pop("else", True)
    if "if" not in schema:
        return
    condition = schema.pop("if")
    if _is_free(then) and _is_free(other):
        return
    unlike = _unlike(condition, schema, root)
    first = {"allOf": [part for part in (condition, then) if not _is_free(part)]}
    second = {"allOf": [part for part in (unlike, other) if not _is_free(part)]}
    _and(schema, {"anyOf": [one if one["allOf"] else {} for one in (first, second)]})


def _is_free(schema: Any) -> bool:  # noqa: ANN401
    return schema is True or (isinstance(schema, dict) and _says_nothing(schema))


def _unlike(condition: Any, schema: Schema, root: Schema) -> Any:  # noqa: ANN401
    """Say when a condition on one property of few values does not hold; True where that is hard."""
    if not isinstance(condition, dict):
        return True
    properties = _table(condition, "properties")
    if len(properties) != 1 or not {"properties", "required", "type"}.issuperset(condition):
        return True
    (name,) = properties
    values = _few_values(_table(schema, "properties").get(name), root)
    asked = _few_values(properties[name], root)
    needed = set(_names(condition.get("required")))
    if values is None or asked is None or needed - {name}:
        return True
    rest = [value for value in values if not any(_is_same(value, one) for one in asked)]
    other = {"properties": {name: {"enum": rest}}, "required": [name]}
    return {"anyOf": [other, _without(name)]} if needed else other


def _say_not(schema: Schema, root: Schema) -> None:
    """Leave out what `not` names, where that is a type, values or properties."""
    if "not" not in schema:
        return
    unwanted = schema.pop("not")
    if _is_free(unwanted):
        raise ConfigError(["not: it leaves no value; change what is excluded"])
    if not isinstance(unwanted, dict):
        return
    told = {word for word in unwanted if word not in _NOTES}
    values, excluded = _few_values(schema, root), _few_values(unwanted, root)
    if values is not None and excluded is not None:
        schema.pop("const", None)
        schema["enum"] = [v for v in values if not any(_is_same(v, one) for one in excluded)]
        if not schema["enum"]:
            raise ConfigError([f"not: {unwanted!r} leaves no value; change one of the two"])
    elif told == {"type"}:
        kinds = set(kinds_of(unwanted)) | ({"integer"} if "number" in kinds_of(unwanted) else set())
        schema["type"] = [kind for kind in kinds_of(schema) if kind not in kinds]
        if not schema["type"]:
            raise ConfigError([f"not: {unwanted!r} leaves no type; change one of the two"])
    elif told == {"required"} and unwanted["required"]:
        _and(schema, {"anyOf": [_without(name) for name in unwanted["required"]]})


def _say_dependencies(schema: Schema, root: Schema) -> None:
    """Write that a property needs others, or a schema, as two alternatives."""
    for name, needs in schema.pop("dependentRequired", {}).items():
        with_all = {"required": list(dict.fromkeys([name, *needs]))}
        _and(schema, {"anyOf": [_without(name), with_all]})
    for name, inner in schema.pop("dependentSchemas", {}).items():
        _and(schema, {"anyOf": [_without(name), {"allOf": [{"required": [name]}, inner]}]})


def _say_names(schema: Schema, root: Schema) -> None:
    """Write rules for names of properties as the names, or as a pattern."""
    if "propertyNames" not in schema:
        return
    names = schema.pop("propertyNames")
    target = definition(root, names.get("$ref", "")) if isinstance(names, dict) else names
    names = names if target is None else target
    if names is False:
        schema["maxProperties"] = 0
    value = schema.get("additionalProperties", True)
    if not isinstance(names, dict) or value is False or "patternProperties" in schema:
        return
    listed = _few_values({"type": "string", **names}, root)
    if listed is not None:
        own = _table(schema, "properties")
        schema["properties"] = {
            **{name: inner if name in listed else False for name, inner in own.items()},
            **{name: value for name in listed if name not in own},
        }
        schema["additionalProperties"] = False
        return
    least, most = names.get("minLength", 0), names.get("maxLength", "")
    form = FORMATS.get(names.get("format", ""))
    pattern = names.get("pattern") or (form.pattern if form else "")
    if not pattern and (least or most):
        pattern = rf"^[\s\S]{{{least},{most}}}$"
    if pattern and "properties" not in schema:
        schema["patternProperties"] = {pattern: value}
        schema["additionalProperties"] = False


def _say_counts(schema: Schema, root: Schema) -> None:
    """Write how many properties there are as which of the optional ones; llguidance counts only
    where all that are named are required."""
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
    optional, required = _optional(schema), set(_names(schema.get("required")))
    if (least == 0 and most == math.inf) or not optional:
        return
    schema.pop("minProperties", None)
    schema.pop("maxProperties", None)
    open_ended = schema.get("additionalProperties", False) is not False
    if open_ended or "patternProperties" in schema or any(word in schema for word in _SPREAD):
        return
    possible = [name for name in optional if schema["properties"][name] is not False]
    needed, allowed = least - len(required), most - len(required)
    if "allOf" not in schema and (needed > len(possible) or allowed < 0 or least > most):
        raise ConfigError([
            f"minProperties {least}, maxProperties {most}: no object fits with {len(required)} "
            f"required and {len(possible)} optional properties; change the numbers"
        ])  # fmt: skip
    if 0 < needed <= len(possible) and math.comb(len(possible), needed) <= _MOST_CHOICES:
        chosen = combinations(possible, needed)
        _and(schema, {"anyOf": [{"required": list(names)} for names in chosen]})
    if 0 <= allowed < len(possible):
        spare = len(possible) - int(allowed)
        if math.comb(len(possible), spare) <= _MOST_CHOICES:
            _and(schema, {"anyOf": [_without(*names) for names in combinations(possible, spare)]})


def _say_contains(schema: Schema, root: Schema) -> None:
    """Write an item of a kind as the first, second or third one, or lists of more than three, which
    are held to it at the end."""
    least, most_of_kind = schema.pop("minContains", 1), schema.pop("maxContains", None)
    if "contains" not in schema:
        return
    kind, items = schema.pop("contains"), schema.get("items", True)
    if _is_free(kind) or not least:
        return
    low, high = max(schema.get("minItems", 0), least), schema.get("maxItems", math.inf)
    if low > high:
        raise ConfigError([f"contains: {least} items of a kind do not fit into {high}"])
    schema["minItems"] = low
    small = sum(1 for one in (kind, items) for _ in schemas_in(one)) <= _MOST_CHOICES
    joined = "prefixItems" in schema or any(word in schema for word in _MADE_ELSEWHERE)
    if (
        joined
        or not small
        or least > 1
        or most_of_kind is not None
        or "array" not in kinds_of(schema)
    ):
        return
    first = kind if _is_free(items) else {"allOf": [items, kind]}
    branches = [
        {**schema, "prefixItems": [*[items] * place, first], "minItems": max(low, place + 1)}
        for place in range(int(min(high, _FIRST_PLACES)))
    ]
    if high > _FIRST_PLACES:
        branches.append({**schema, "minItems": max(low, _FIRST_PLACES + 1)})
    kept = {word: schema[word] for word in _KEPT_NOTES if word in schema}
    schema.clear()
    schema |= {**kept, "anyOf": [{w: v for w, v in b.items() if w not in kept} for b in branches]}


def _say_distinct(schema: Schema, root: Schema) -> None:
    """Write lists without repetition out where few values can stand in them."""
    if not schema.pop("uniqueItems", False) or "items" not in schema:
        return
    values = _few_values(schema["items"], root)
    if values is None or any(word in schema for word in ("prefixItems", *_MADE_ELSEWHERE)):
        return
    least, most = schema.get("minItems", 0), min(schema.get("maxItems", len(values)), len(values))
    if least > most and kinds_of(schema) == ["array"]:
        raise ConfigError([
            f"uniqueItems: {len(values)} values cannot fill {least} places; lower minItems"
        ])  # fmt: skip
    schema["maxItems"] = most
    if sum(math.perm(len(values), size) for size in range(least, most + 1)) > _MOST_LISTS:
        return
    if kinds_of(schema) == ["array"]:
        for word in ("type", "items", "minItems", "maxItems"):
            schema.pop(word, None)
        schema["enum"] = [
            list(one) for size in range(least, most + 1) for one in permutations(values, size)
        ]


def _say_one_of(schema: Schema, root: Schema) -> None:
    """Write alternatives of which exactly one may hold as those of which one or more may.

    That no other one holds is checked at the end; objects are closed, so it is mostly so.
    """
    if "oneOf" not in schema:
        return
    branches = schema.pop("oneOf")
    seen: dict[str, int] = {}
    for number, branch in enumerate(branches, 1):
        essence = json.dumps(_essence(branch), sort_keys=True)
        if essence in seen:
            raise ConfigError([
                f"oneOf: alternatives {seen[essence]} and {number} allow the same values, so none "
                "fits exactly one; leave one out, or tell them apart by required or const"
            ])  # fmt: skip
        seen[essence] = number
    if "anyOf" in schema:
        _and(schema, {"anyOf": branches})
    else:
        schema["anyOf"] = branches


def _essence(schema: Any) -> Any:  # noqa: ANN401
    """Leave out the words that say nothing."""
    if not isinstance(schema, dict):
        return schema
    told = {word: value for word, value in schema.items() if word not in _NOTES}
    named = {name: _essence(one) for name, one in told.pop("properties", {}).items()}
    named = {name: one for name, one in named.items() if not _is_free(one)}
    if not told.get("required", True):
        del told["required"]
    return {**told, "properties": named} if named else told


_REWRITES: tuple[Callable[[Schema, Schema], None], ...] = (
    _say_unevaluated, _say_names, _say_not, _say_conditions, _say_dependencies, _say_counts,
    _say_contains, _say_distinct, _say_one_of,
)  # fmt: skip


# ---- what a small model should write ------------------------------------------------------------


def _joins(schema: Mapping[str, Any]) -> bool:
    """Say whether several parts of a schema hold for the same value: by `allOf`, or alternatives or
    a reference beside other words. What one part leaves out another may name, so no part can be
    closed by itself."""
    spread = [word for word in _SPREAD if word in schema]
    rest = {word: value for word, value in schema.items() if word not in spread}
    return "allOf" in schema or len(spread) > 1 or (bool(spread) and not _says_nothing(rest))


def _open_definitions(schema: Schema) -> set[str]:
    """Give the references in a schema that stand for parts of something joined.

    Returns:
        Such as `#/$defs/name`; with `_EVERYTHING` in it where one leads elsewhere.
    """
    found: set[str] = set()
    waiting: list[str] = []
    for one in schemas_in(schema):
        if _joins(one):
            inside = {word: value for word, value in one.items() if word not in DEFINITIONS}
            waiting += references_in(inside)
    while waiting:
        reference = waiting.pop()
        if reference in found:
            continue
        target = definition(schema, reference)
        found.add(reference if target is not None else _EVERYTHING)
        waiting += references_in(target)
    return found


def _names_in(schema: object, root: Schema) -> dict[str, bool] | None:
    """Collect the properties that the parts of a joined schema name, and whether one says what they
    hold; None where a part allows others on purpose."""
    named: dict[str, bool] = {}
    waiting, seen = [schema], set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, dict):
            continue
        if "patternProperties" in one or one.get("additionalProperties", False) is not False:
            return None
        for name, inner in one.get("properties", {}).items():
            named[name] = named.get(name, False) or (inner is not False and not _is_free(inner))
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
    """Narrow a schema, true or false as well.

    Args:
        schema: Or what stands in its place.
        is_open: It is a part of something joined, and another part may name what it does not.
        root: The schema that it stands in.
    """
    if not isinstance(schema, dict):
        return _ANY if schema is True and not is_open else schema
    if _says_nothing(schema) and not is_open and schema is not root:
        return dict(_ANY)
    joined = _joins(schema)
    inner_open = is_open or joined
    narrow = dict(schema)
    for key, inner in parts_of(schema):
        if key == "anyOf":
            narrow[key] = _branches(inner, inner_open, root)
        elif isinstance(inner, list):
            narrow[key] = [_narrowed(one, inner_open, root) for one in inner]
        elif key in ("items", "additionalProperties"):
            narrow[key] = _narrowed(inner, inner_open, root)
        elif key in ("properties", "patternProperties"):
            narrow[key] = {n: _narrowed(v, inner_open, root) for n, v in inner.items()}
    if "patternProperties" in narrow:
        narrow["patternProperties"] = _name_patterns(narrow["patternProperties"])
    narrow = _text(narrow)
    if joined:
        narrow = narrow if _VALUES.intersection(narrow) else _number(narrow)
        return narrow if is_open else _closed(narrow, _names_in(schema, root))
    if any(word in narrow for word in _MADE_ELSEWHERE):
        return narrow
    narrow = _number(narrow)
    return _with_short_numbers(narrow if is_open else _inside(_object(narrow)))


def _closed(schema: Schema, names: dict[str, bool] | None) -> Schema:
    """Close something joined to the properties that its parts name."""
    if not names or "additionalProperties" in schema:
        return schema
    named = {name: True if told else _ANY for name, told in sorted(names.items())}
    own = {
        name: named[name] if _is_free(inner) else inner
        for name, inner in schema.get("properties", {}).items()
    }
    return {**schema, "properties": {**named, **own}, "additionalProperties": False}


def _branches(branches: list[Any], is_open: bool, root: Schema) -> list[Any]:
    """Narrow alternatives; those that cannot be enforced are left out while others remain."""
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


def _name_patterns(table: dict[str, Any]) -> dict[str, Any]:
    agreed = {agreed_pattern(name): value for name, value in table.items()}
    if len(agreed) < len(table):
        raise ConfigError([f"two of the patterns {list(table)!r} mean the same; write one"])
    return agreed


def _text(schema: Schema) -> Schema:
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


def _number(schema: Schema) -> Schema:
    """Give a number the bounds that it lacks, and write the others so that they are read exactly.

    A bound that is not allowed itself becomes the next number.
    """
    if not {"number", "integer"}.intersection(kinds_of(schema)):
        return schema
    # A float has digits for so many decimals only up to here; 0.25 of 900719925476539.75 is lost.
    factor = Decimal(repr(schema.get("multipleOf", 1))).normalize()
    decimals = max(0, -int(factor.as_tuple().exponent))
    largest = LARGEST if decimals == 0 else 10 ** max(0, _MOST_DIGITS - decimals)
    lows: list[float] = [-largest]
    highs: list[float] = [largest]
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
    context = Context(prec=_MOST_DIGITS, rounding=towards)
    exact = Decimal(repr(bound))
    if strict:
        exact += _LEAST_STEP if towards == ROUND_CEILING else -_LEAST_STEP
    inside = context.plus(exact)
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
    kept = {word: value for word, value in schema.items() if word in _KEPT_NOTES}
    rest = {word: value for word, value in schema.items() if word not in kept}
    return {**kept, "anyOf": [rest, {"enum": shorter}]}


def _beginnings(number: float) -> list[float]:
    whole, _, digits = format(Decimal(repr(number)), "f").partition(".")
    return [float(f"{whole}.{digits[:count]}") for count in range(1, len(digits))]


def _object(schema: Schema) -> Schema:
    """Close an object to what the schema does not name; what it requires it names."""
    if "object" not in kinds_of(schema):
        return schema
    patterns = schema.get("patternProperties", {})
    if "properties" not in schema and not patterns:
        return schema
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
    return schema


def _inside(schema: Schema) -> Schema:
    """Hold what may be anything inside lists and objects to what is anything here."""
    kinds = set(kinds_of(schema))
    if "array" in kinds:
        schema.setdefault("items", _ANY)
    if "object" in kinds:
        schema.setdefault("additionalProperties", _ANY)
    return schema
