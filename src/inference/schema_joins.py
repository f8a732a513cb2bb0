"""Where several parts of a JSON schema hold for the same value.

`allOf` joins parts, and so do alternatives or a reference beside other words. What one part leaves
out another may name, so no part can be closed by itself; but all together they can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schema_parts import definition, references_in, schemas_in, without_definitions
from .schema_words import says_nothing

_SPREAD = ("anyOf", "oneOf", "$ref")
EVERYTHING = "*"


def joins(schema: Mapping[str, Any]) -> bool:
    """Say whether a schema joins parts by itself, not in what it holds."""
    spread = [word for word in _SPREAD if word in schema]
    rest = {word: value for word, value in schema.items() if word not in spread}
    return "allOf" in schema or len(spread) > 1 or (bool(spread) and not says_nothing(rest))


def open_definitions(schema: Mapping[str, Any]) -> set[str]:
    """Give the references in a schema that stand for parts of something joined.

    Returns:
        Such as `#/$defs/name`; with `EVERYTHING` in it where one leads elsewhere.
    """
    found: set[str] = set()
    waiting = [
        reference
        for one in schemas_in(schema)
        if joins(one)
        for reference in references_in(without_definitions(one))
    ]
    while waiting:
        reference = waiting.pop()
        if reference in found:
            continue
        target = definition(schema, reference)
        found.add(reference if target is not None else EVERYTHING)
        waiting += references_in(target)
    return found


def names_of(schema: object, root: Mapping[str, Any]) -> set[str] | None:
    """Collect the properties that the parts of a joined schema name; None where a part allows
    others on purpose."""
    named: set[str] = set()
    waiting, seen = [schema], set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, dict):
            continue
        if "patternProperties" in one or one.get("additionalProperties", False) is not False:
            return None
        named |= {*one.get("properties", ()), *one.get("required", ())}
        for word in ("allOf", "anyOf", "oneOf"):
            waiting += one.get(word, ())
        reference = one.get("$ref")
        if reference is not None and reference not in seen:
            seen.add(reference)
            target = definition(root, reference)
            if target is None:
                return None
            waiting.append(target)
    return named
