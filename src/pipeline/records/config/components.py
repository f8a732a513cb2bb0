"""Steps and models by the names of their classes: built in, or of installed plugins.

A plugin is a package with entry points in the group `stillroom.steps`, each named after its class:

    [project.entry-points."stillroom.steps"]
    Shout = "my_package.steps:Shout"

No module that a file names is ever imported: a class is built in, belongs to a plugin, or was
imported by the program before.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, cast, get_args

from ....errors import ConfigError, did_you_mean, nearest
from ..step import Step
from .not_offered import NOT_OFFERED, OTHER_NAMES

logger = logging.getLogger(__name__)
PACKAGE: Final = __package__.rpartition(".")[0]
PLUGINS: Final = "stillroom.steps"
"""Group of entry points."""
PEERS: Final = ("stillroom.", "fastdistill.", "distilabel.")
"""Starts of module names whose classes are found by the class name alone."""
_BASES: Final = frozenset({"AsyncLLM", "LLM"})
Kind = Literal["llm", "embeddings", "image_generation", "step", "task"]
Source = Literal["builtin", "plugin"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SOURCES: Final[tuple[Source, ...]] = get_args(Source)


@dataclass(frozen=True)
class Component:
    """A class that a pipeline file can name."""

    kind: Kind
    """`step`, `task` (a step that asks a model), `llm`; nothing is of the other kinds so far."""
    name: str
    source: Source
    import_path: str
    """`module:name`."""


def list_components(kind: Kind | None = None, source: Source | None = None) -> list[Component]:
    """List what is there, by name; plugins that cannot be imported are noted and left out."""
    found = [*_builtin(), *_plugins()]
    wanted = [
        one for one in found if kind in (None, one.kind) and source in (None, one.source)
    ]  # fmt: skip
    return sorted(wanted, key=lambda one: (one.name.lower(), one.source))


def find_class(name: object, module: object = None) -> type[Any]:
    """Give the class of a step or a model.

    Args:
        name: Name of the class.
        module: Module that the file gives, which matters for classes of the program itself.

    Raises:
        ConfigError: There is no such class; names the nearest, or says that it is not offered.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError([f"the name of a class is {name!r}; a text is needed"])
    module = module if isinstance(module, str) else ""
    if module and not module.startswith(PEERS):
        own = _imported_class(name, module)
        if own is not None:
            return own
    found = _builtin_class(OTHER_NAMES.get(name, name)) or _plugin_class(name)
    if found is None:
        raise ConfigError([_missing(name, module)])
    return found


def kind_of(cls: object) -> Kind | None:
    """Tell what a class is; None where a pipeline cannot use it.

    >>> kind_of(dict) is None
    True
    """
    if not isinstance(cls, type) or inspect.isabstract(cls) or cls.__name__ in _BASES:
        return None
    if issubclass(cls, Step):
        is_task = any(field.name == "llm" for field in dataclasses.fields(cls))
        return "task" if is_task else "step"
    return "llm" if callable(getattr(cls, "generate", None)) else None


def import_path(cls: type[Any]) -> str:
    """Write where a class is: `module:name`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _builtin_class(name: str) -> type[Any] | None:
    package = import_module(PACKAGE)
    found = getattr(package, name) if name in package.HOMES else None
    return found if kind_of(found) is not None else None


def _builtin() -> Iterator[Component]:
    for name in import_module(PACKAGE).HOMES:
        found = _builtin_class(name)
        if found is not None:
            kind = cast(Kind, kind_of(found))
            yield Component(kind, name, "builtin", import_path(found))


def _plugin_points() -> dict[str, EntryPoint]:
    """Find the plugins by name; a plugin does not take the name of what is built in."""
    builtin = import_module(PACKAGE).HOMES
    return {point.name: point for point in entry_points(group=PLUGINS) if point.name not in builtin}


def _plugin_class(name: str) -> type[Any] | None:
    point = _plugin_points().get(name)
    if point is None:
        return None
    try:
        found = point.load()
    except Exception as fault:
        raise ConfigError([
            f"{name} belongs to the plugin {point.value!r}, which cannot be imported: {fault}"
        ]) from fault  # fmt: skip
    if kind_of(found) is None:
        raise ConfigError([f"{name} of the plugin {point.value!r} is neither a step nor a model"])
    return cast("type[Any]", found)


def _plugins() -> Iterator[Component]:
    for name, point in _plugin_points().items():
        try:
            found = _plugin_class(name)
        except ConfigError as fault:
            logger.warning("%s", fault)
            continue
        yield Component(cast(Kind, kind_of(found)), name, "plugin", point.value)


def _imported_class(name: str, module: str) -> type[Any] | None:
    """Find a step or model that the program itself has defined or imported."""
    waiting: list[type[Any]] = [Step, *(base for base in [_builtin_base()] if base is not None)]
    while waiting:
        cls = waiting.pop()
        if (cls.__module__, cls.__name__) == (module, name) and kind_of(cls) is not None:
            return cls
        waiting += cls.__subclasses__()
    return None


def _builtin_base() -> type[Any] | None:
    """Give the base of all models."""
    package = import_module(PACKAGE)
    return cast("type[Any]", package.LLM) if "LLM" in package.HOMES else None


def _missing(name: str, module: str) -> str:
    for kind, names in NOT_OFFERED.items():
        if name in names:
            word = "an" if kind[0] in "aeil" else "a"
            return f"{name} is not offered: {word} {kind} of distilabel that stillroom lacks"
    known = [one.name for one in list_components()]
    near = nearest(name, known, cutoff=0.7)
    if module and not module.startswith(PEERS):
        hint = (
            f"import {module} in the program that runs the pipeline, or make it a plugin (an entry "
            f"point of the group {PLUGINS!r})"
        )
        return f"there is no class {name} of {module}; {hint}"
    told = f"the nearest is {near}" if near else did_you_mean(name, known, what="class")
    return f"there is no class {name}; {told}; `stillroom registry list` lists all"
