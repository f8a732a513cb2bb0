"""`stillroom registry list|show`: the steps and models that pipelines in files can name.

stillroom registry list --kind step
stillroom registry show --kind llm --name OllamaLLM
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...errors import did_you_mean
from ..options import EXIT_USAGE, CommandParser, add_verbose, guarded, one_of, text
from .pipeline import no_action

_ACTIONS: Final = ("list", "show")
KINDS: Final = ("llm", "embeddings", "image_generation", "step", "task")


def registry_main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 for success, 2 for wrong options or a component that is not there.
    """
    words = list(argv or ())
    if words and words[0] in _ACTIONS:
        shows = words[0] == "show"
        parser = show_parser() if shows else list_parser()
        args = parser.read(words[1:])
        work = _show if shows else _list
        return guarded(lambda: work(args), parser, args, config_code=EXIT_USAGE)
    parser = CommandParser(
        "stillroom registry",
        "List the steps and models that pipelines in files can name.\n\n"
        "  list   all, or those of a kind or source\n"
        "  show   one, with its settings",
        ("stillroom registry list --kind step", "stillroom registry show --kind llm --name vLLM"),
    )
    parser.usage = "stillroom registry {list,show} [options]"
    return no_action(parser, words, _ACTIONS)


def list_parser() -> CommandParser:
    """Make the parser of `stillroom registry list`."""
    parser = CommandParser(
        "stillroom registry list",
        "List components as YAML: kind, and name, source and import_path of each.",
        ("stillroom registry list --kind task", "stillroom registry list --source plugin --json"),
    )
    parser.add_argument("--kind", type=one_of(*KINDS), help=f"{', '.join(KINDS)}; default: all")
    parser.add_argument("--source", type=one_of("builtin", "plugin"), help="default: both")
    parser.add_argument("--json", action="store_true", help="as JSON")
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
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_verbose(parser)
    return parser


def _list(args: argparse.Namespace) -> None:
    from ..records.config.components import list_components

    found = list_components(args.kind, args.source)
    components = [
        {"name": one.name, "source": one.source, "import_path": one.import_path}
        | ({} if args.kind else {"kind": one.kind})
        for one in found
    ]
    _print({"kind": args.kind, "components": components}, as_json=args.json)


def _show(args: argparse.Namespace) -> None:
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
    _print(told, as_json=args.json)


def _print(told: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    import yaml  # type: ignore[import-untyped]

    print(yaml.safe_dump(dict(told), sort_keys=False, allow_unicode=True), end="")
