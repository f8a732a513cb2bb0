"""`stillroom registry list|show`: the steps and models that pipelines in files can name.

stillroom registry list --kind step
stillroom registry show --kind llm --name OllamaLLM
"""

from __future__ import annotations

import argparse
import inspect
from typing import Any, Final

from ...errors import did_you_mean
from ..command import Command, Group
from ..options import EXIT_USAGE, CommandParser, add_json, add_verbose, one_of, text

KINDS: Final = ("llm", "embeddings", "image_generation", "step", "task")


def list_parser() -> CommandParser:
    """Make the parser of `stillroom registry list`."""
    parser = CommandParser(
        "stillroom registry list",
        "List components as YAML: kind, and name, source and import_path of each.",
        ("stillroom registry list --kind task", "stillroom registry list --source plugin --json"),
    )
    parser.add_argument("--kind", type=one_of(*KINDS), help=f"{', '.join(KINDS)}; default: all")
    parser.add_argument("--source", type=one_of("builtin", "plugin"), help="default: both")
    add_json(parser)
    add_verbose(parser)
    return parser


def show_parser() -> CommandParser:
    """Make the parser of `stillroom registry show`."""
    parser = CommandParser(
        "stillroom registry show",
        "Show a component as YAML: where it is, what it does, and its settings.",
        ("stillroom registry show --kind step --name RuleFilter",),
    )
    parser.add_argument("--kind", type=one_of(*KINDS), required=True, help=", ".join(KINDS))
    parser.add_argument("--name", type=text, required=True, help="name of the class")
    add_json(parser)
    add_verbose(parser)
    return parser


def _list(args: argparse.Namespace) -> dict[str, Any]:
    from ..records.config.components import list_components

    found = list_components(args.kind, args.source)
    components = [
        {"name": one.name, "source": one.source, "import_path": one.import_path}
        | ({} if args.kind else {"kind": one.kind})
        for one in found
    ]
    return _shown(args, {"kind": args.kind, "components": components})


def _show(args: argparse.Namespace) -> dict[str, Any]:
    from ...errors import ConfigError
    from ..records.config.components import find_class, list_components
    from ..records.config.setting_types import settings_told

    found = {one.name: one for one in list_components(args.kind)}
    if args.name not in found:
        find_class(args.name)  # says that it is not offered
        near = did_you_mean(args.name, found, what=args.kind)
        raise ConfigError([f"there is no {args.kind} {args.name!r}; {near}"])
    one, cls = found[args.name], find_class(args.name)
    told = {
        "kind": one.kind,
        "name": one.name,
        "source": one.source,
        "import_path": one.import_path,
        "description": inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0],
        "settings": settings_told(cls),
    }
    return _shown(args, told)


def _shown(args: argparse.Namespace, told: dict[str, Any]) -> dict[str, Any]:
    """Print as YAML what is not printed as JSON."""
    if not args.json:
        import yaml  # type: ignore[import-untyped]

        print(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), end="")
    return told


REGISTRY = Group(
    "stillroom registry",
    "List the steps and models that pipelines in files can name.",
    {
        "list": (
            Command(list_parser, _list, config_code=EXIT_USAGE),
            "all, or those of a kind or source",
        ),
        "show": (Command(show_parser, _show, config_code=EXIT_USAGE), "one, with its settings"),
    },
    ("stillroom registry list --kind step", "stillroom registry show --kind llm --name vLLM"),
)
