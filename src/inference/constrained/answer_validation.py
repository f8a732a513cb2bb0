"""Validating a complete answer against the caller's schema, by the package `jsonschema`.

The grammar enforces most of a schema while the answer is decoded (`llguidance_schema`), and a
server what it supports. So every complete answer is checked here before it is returned; one that
does not fit raises `AnswerMismatchError`.

Some words of `jsonschema` are replaced: patterns are matched in linear time, `multipleOf` divides
decimals, and a reference is followed once for each value (alternatives that refer to themselves
would take 2**depth steps) and never leaves the schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from functools import cache
from typing import Any

from ...errors import AnswerMismatchError, MissingDependencyError
from .regex_checks import FORMATS, matches

_MOST_STEPS = 200_000
"""Most references followed for one answer."""


class AnswerJudge:
    """Validates answers against one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Take a schema that `schema.read_schema` returned."""
        self._schema = schema

    def check_text(self, text: str) -> None:
        """Check the text of an answer.

        Raises:
            AnswerMismatchError: It is not JSON, holds a number that is not finite, or does not fit.
            MissingDependencyError: `jsonschema` is not installed.
        """
        fault = self.find_fault(text)
        if fault:
            raise AnswerMismatchError(
                f"the answer does not fit its schema: {fault}. Ask again with another seed, or "
                "name what is wanted in the prompt",
                answer=text,
            )

    def find_fault(self, text: str) -> str:
        """Say where and why the text of an answer does not fit; empty if it fits.

        Raises:
            MissingDependencyError: `jsonschema` is not installed.
        """
        try:
            value = json.loads(text, parse_float=_number, parse_constant=_number)
            return self._fault(value)
        except RecursionError:
            return "it is nested too deep to be checked; limit its depth, or lower max_tokens"
        except ValueError as wrong:
            return f"it is no JSON ({wrong})"

    def _fault(self, value: Any) -> str:  # noqa: ANN401
        """Describe where a value does not fit; empty if it fits."""
        try:
            from jsonschema import Draft202012Validator
            from jsonschema.exceptions import best_match
            from jsonschema.validators import extend
            from referencing import Registry
            from referencing.exceptions import Unresolvable
        except ImportError as fault:
            raise MissingDependencyError("jsonschema", "grammar") from fault
        words = {**_WORDS, "$ref": _once(Draft202012Validator.VALIDATORS["$ref"])}
        kind = extend(Draft202012Validator, words, format_checker=_formats())
        judge = kind(self._schema, registry=Registry(), format_checker=_formats())
        try:
            found = best_match(judge.iter_errors(value))
        except Unresolvable as fault:
            return f"$ref {fault.ref!r} leads nowhere inside the schema"
        except _TooManyStepsError:
            return f"it takes more than {_MOST_STEPS} references to check it"
        if found is None:
            return ""
        place = found.json_path if found.absolute_path else "the answer"
        return f"{found.validator} does not hold at {place}: {_short(found.message)}"


class _TooManyStepsError(Exception):
    """A check takes too long."""


def _number(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written} is no number")
    return number


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:140]} ... {message[-50:]}"


def _once(follow: Any) -> Any:  # noqa: ANN401 - a function of jsonschema
    """Follow a reference once for each value, and cache the errors."""
    known: dict[tuple[str, int], list[Any]] = {}
    steps = 0

    def reference(validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ANN401
        nonlocal steps
        steps += 1
        if steps > _MOST_STEPS:
            raise _TooManyStepsError
        key = (ref, id(instance))
        if key not in known:
            known[key] = list(follow(validator, ref, instance, schema))
        yield from known[key]

    return reference


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ANN401
    from jsonschema import ValidationError

    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any,  # noqa: ANN401
    patterns: Mapping[str, Any],
    instance: Any,  # noqa: ANN401
    schema: Any,  # noqa: ANN401
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if matches(pattern, name):
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any,  # noqa: ANN401
    rest: Any,  # noqa: ANN401
    instance: Any,  # noqa: ANN401
    schema: Mapping[str, Any],
) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    for name, value in instance.items():
        named = name in schema.get("properties", {})
        if named or any(matches(one, name) for one in schema.get("patternProperties", {})):
            continue
        if rest is False:
            yield ValidationError(f"the schema has no property {name!r}")
        else:
            yield from validator.descend(value, rest, path=name)


def _multiple_of(validator: Any, factor: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ANN401
    from jsonschema import ValidationError

    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if Decimal(repr(instance)) % Decimal(repr(factor)):
        yield ValidationError(f"{instance!r} is not a multiple of {factor!r}")


_WORDS = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
}


_CHECKED = ("date", "email", "idn-email", "ipv4", "ipv6", "uuid")
"""Formats that `jsonschema` checks without optional packages."""


@cache
def _formats() -> Any:  # noqa: ANN401
    """Make a checker of the supported formats: those of `jsonschema`, times, and patterns."""
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=_CHECKED)
    checker.checks("time", raises=ValueError)(_by_reader(time.fromisoformat))
    checker.checks("date-time", raises=ValueError)(_by_reader(datetime.fromisoformat))
    for name, form in FORMATS.items():
        if name not in checker.checkers and form.pattern:
            checker.checks(name)(_by_pattern(form.pattern))
    return checker


def _by_reader(read: Callable[[str], object]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or read(value) is not None


def _by_pattern(pattern: str) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or matches(pattern, value)
