"""Texts from records by a Jinja template, in which nothing missing becomes an empty text."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, DataError

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment


class RecordTemplate:
    """A template whose variables are the columns of a record.

    A variable that the record does not have, that is null or that is NaN is an error; a template
    says `{{ context or "" }}` where nothing may stand. Values are written as Jinja writes them; a
    newline at the end of the template is kept. The template runs in Jinja's sandbox.

    >>> RecordTemplate("Schema: {{ schema }}").render({"schema": "users(id)"})
    'Schema: users(id)'
    """

    def __init__(self, template: str) -> None:
        """Parse the template.

        Raises:
            ConfigError: It has a mistake; says in which line.
        """
        from jinja2 import TemplateSyntaxError, meta

        try:
            parsed = _environment().parse(template)
            _compiled(template)
        except TemplateSyntaxError as fault:
            raise ConfigError([f"template, line {fault.lineno}: {fault.message}"]) from fault
        self.variables = frozenset(meta.find_undeclared_variables(parsed))
        """Columns that the template uses."""
        self._text = template
        self._parts = _plain_parts(parsed)

    def render(self, record: Mapping[str, Any]) -> str:
        """Write the text of a record.

        Raises:
            DataError: A variable is missing, null or NaN, or the template fails on its value.
        """
        from jinja2 import UndefinedError

        if self._parts is not None:
            values = [record.get(text) if is_name else text for is_name, text in self._parts]
            texts = [value for value in values if type(value) is str]
            if len(texts) == len(values):
                return "".join(texts)
        try:
            return _compiled(self._text).render(dict(record))
        except DataError as fault:
            null = [name for name in sorted(self.variables) if record.get(name) is None]
            raise DataError(f"{fault}: {null}" if null else str(fault)) from None
        except UndefinedError as fault:
            raise DataError(f"undefined template variable: {fault.message}") from fault
        except Exception as fault:
            raise DataError(f"the template cannot be filled: {fault}") from fault


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, finalize=_require_value
    )


@functools.lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    """Compile a template; kept apart from its `RecordTemplate`, which is sent to other machines."""
    return _environment().from_string(template)


def _plain_parts(tree: Any) -> list[tuple[bool, str]] | None:  # noqa: ANN401 - Jinja's tree
    """Take a template apart that is text and names alone, as `Question: {{ question }}`.

    Filled with texts it is their sum, without the machinery of Jinja, which takes 30 times as long.

    Returns:
        Each part with whether it is the name of a variable; None for any other template.
    """
    from jinja2 import nodes

    written = [node for output in tree.body for node in getattr(output, "nodes", [output])]
    parts: list[tuple[bool, str]] = []
    for node in written:
        if isinstance(node, nodes.TemplateData):
            parts.append((False, node.data))
        elif isinstance(node, nodes.Name) and node.name != "self":
            parts.append((True, node.name))
        else:
            return None
    return parts


def _require_value(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if value is None:
        raise DataError("a template variable is null; give it a value, or write `or` in its place")
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError("a template variable is NaN or an infinity")
    return value
