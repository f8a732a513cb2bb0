"""Static check of a checkpoint's chat template, which is a program that came with the weights.

transformers runs it in Jinja's sandbox. It is parsed and checked here before, so that safety does
not depend on the sandbox alone (CVE-2025-27516). A slow template remains possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

MAX_TEMPLATE_BYTES = 256 << 10
"""The longest templates in use have about 30 kB."""
_MOST_DEPTH = 60
_MOST_LOOPS = 4
_MOST_NUMBER = 100_000
_GROWING = re.compile(r"%[-+ #0]*(\d{4,}|\*)|\{[^}]*:[^}]*(\d{4,}|\{)")


def check_template(source: str, where: Path) -> str:
    """Check a chat template without running it, and return it.

    Args:
        source: Jinja text.
        where: Its file, for the message.

    Raises:
        CheckpointError: It is too long, no template, or reads files, reaches into Python or can
            grow without bound.
    """
    from jinja2 import TemplateError
    from jinja2.parser import Parser

    if len(source.encode("utf-8", "replace")) > MAX_TEMPLATE_BYTES:
        raise CheckpointError(
            f"{where}: the chat template is larger than {MAX_TEMPLATE_BYTES >> 10} KiB"
        )
    try:
        # Not `environment.parse`: it compiles code to report a syntax error.
        tree = Parser(_environment(), source).parse()
        fault = next(_faults(tree, depth=0, loops=0), None)
    except (TemplateError, RecursionError, ValueError, OverflowError) as broken:
        raise CheckpointError(f"{where}: the chat template is not readable ({broken})") from broken
    if fault is not None:
        raise CheckpointError(
            f"{where}: the chat template {fault}; write a template that only puts messages together"
        )
    return source


def _environment() -> Environment:
    """Make an environment with the tags of transformers."""
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block that marks an assistant's words; its body is parsed."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Any) -> list[nodes.Node]:  # noqa: ANN401
            next(parser.stream)
            body: list[nodes.Node] = parser.parse_statements(
                ("name:endgeneration",), drop_needle=True
            )
            return body

    return ImmutableSandboxedEnvironment(extensions=[Generation, "jinja2.ext.loopcontrols"])


def _faults(node: nodes.Node, depth: int, loops: int) -> Iterator[str]:
    from jinja2 import nodes

    if depth > _MOST_DEPTH:
        yield f"is nested more than {_MOST_DEPTH} deep"
        return
    loops += isinstance(node, nodes.For)
    if loops > _MOST_LOOPS:
        yield f"has more than {_MOST_LOOPS} loops in one another"
        return
    fault = _fault(node)
    if fault is not None:
        yield fault
        return
    for child in node.iter_child_nodes():
        yield from _faults(child, depth + 1, loops)


def _fault(node: nodes.Node) -> str | None:
    """Describe what is not allowed about a node; None if nothing."""
    from jinja2 import nodes

    if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
        return "reads other files"
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return f"reaches into Python ({node.attr!r})"
    if isinstance(node, nodes.Filter) and node.name in ("attr", "map", "selectattr", "rejectattr"):
        return _attribute_fault(node)
    if isinstance(node, nodes.Pow) or (isinstance(node, nodes.Mul) and not _numbers(node)):
        return "multiplies or takes powers, by which a text can grow without bound"
    if isinstance(node, nodes.Const):
        return _constant_fault(node.value)
    return None


def _attribute_fault(node: nodes.Filter) -> str | None:
    """Check filters that look up attributes by name: `attr`, and `map` and the like."""
    from jinja2 import nodes

    named = [*node.args[:1], *(k.value for k in node.kwargs if k.key == "attribute")]
    known = [value.value for value in named if isinstance(value, nodes.Const)]
    if len(known) < len(named):
        return f"computes what the filter {node.name!r} is to look up"
    if node.name == "attr" or "attr" in known:
        return "reaches into Python (the filter 'attr')"
    return None


def _constant_fault(value: object) -> str | None:
    if isinstance(value, str) and re.search(r"__\w+__", value):
        return f"reaches into Python ({value[:40]!r})"
    if isinstance(value, str) and _GROWING.search(value):
        return f"formats with a width that may be huge ({value[:40]!r})"
    if isinstance(value, int | float) and abs(value) > _MOST_NUMBER:
        return f"counts further than {_MOST_NUMBER}"
    return None


def _numbers(node: nodes.Mul) -> bool:
    """Return whether both factors are numbers written in the template."""
    from jinja2 import nodes

    sides = (node.left, node.right)
    return all(isinstance(s, nodes.Const) and isinstance(s.value, int | float) for s in sides)
