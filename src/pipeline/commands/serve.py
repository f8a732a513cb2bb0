"""`stillroom serve` and `stillroom keys`: the HTTP server, and the keys of those who may use it.

stillroom serve outputs/elements/student
stillroom keys add anna --tokens keys.json
stillroom serve outputs/elements/student --host 0.0.0.0 --tokens keys.json
stillroom mcp outputs/elements/student
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import Console
from ...errors import MissingDependencyError
from ...inference.sources.find_model import find_model
from ..command import Command, Group, print_json
from ..options import (
    EXIT_USAGE,
    CommandParser,
    add_json,
    add_verbose,
    device,
    number,
    one_of,
    text,
)
from ..options import whole_number as whole
from ..path_checks import model_faults, output_faults

if TYPE_CHECKING:
    from ...agentic_workflow.conversations.chat_service import ChatService
    from ...agentic_workflow.http.service import Service
    from ...agentic_workflow.http.settings import ServerSettings

DATA_DIR = "outputs/serve"


def serve_parser() -> CommandParser:
    """Make the parser of `stillroom serve`."""
    parser = CommandParser(
        "stillroom serve",
        "Serve a student over HTTP: OpenAI's API, chat page, health. Listens on 127.0.0.1; to be\n"
        "reached from other machines it needs keys (stillroom keys add NAME --tokens FILE).",
        (
            "stillroom serve outputs/elements/student",
            "stillroom serve outputs/elements/student --workflow single --port 9000",
            "stillroom serve outputs/elements/student --host 0.0.0.0 --tokens keys.json",
        ),
    )
    add = parser.add_argument
    add("checkpoint", help="a checkpoint folder, or smollm2")
    add("--workflow", type=one_of("multi", "single"), default="multi",
        help="the default one: multi (answers are checked) or single; both are served")  # fmt: skip
    add("--host", type=text, default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=whole(0, 65535), default=8000, help="TCP port (default 8000)")
    add("--tokens", type=text, metavar="FILE", help="file of keys; without one, loopback only")
    add("--threads", type=text, metavar="URL",
        help="where conversations are kept: memory, sqlite:///threads.db or postgresql://...; "
        "default: a SQLite file in --data-dir")  # fmt: skip
    add("--data-dir", type=text, default=DATA_DIR, metavar="DIR",
        help=f"folder for what the server keeps (default {DATA_DIR})")  # fmt: skip
    add("--allow-origin", dest="allowed_origins", action="append", default=[], type=text,
        metavar="URL", help="web pages that may call the server; may be given again")  # fmt: skip
    add("--allow-host", dest="allowed_hosts", action="append", default=[], type=text,
        metavar="NAME", help="further Host header accepted on loopback")  # fmt: skip
    add("--traces", type=text, metavar="FILE",
        help="keep OpenTelemetry spans: SQLite for .db, else JSON Lines")  # fmt: skip
    add("--trace-text", action="store_true", help="put questions and answers into the spans")
    add("--no-page", action="store_true", help="no chat page at /chat")
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    limits = parser.add_argument_group("limits").add_argument
    limits("--max-turns", type=whole(1), default=64, help="turns at once; more get 429")
    limits("--rate", dest="owner_rate", type=whole(1), default=600, metavar="N",
           help="requests per minute of one key (default 600)")  # fmt: skip
    limits("--address-rate", type=whole(1), default=1200, metavar="N",
           help="requests per minute from one address (default 1200)")  # fmt: skip
    limits("--max-body-bytes", type=whole(1), default=1 << 20, help="default 1 MiB")
    limits("--turn-deadline", dest="turn_deadline_s", type=number(0, above=True), default=300.0,
           metavar="S", help="seconds that one turn may take (default 300)")  # fmt: skip
    limits("--stall", dest="stall_s", type=number(0, above=True), default=30.0, metavar="S",
           help="seconds in one forward pass that count as hung (default 30)")  # fmt: skip
    limits("--drain", dest="drain_s", type=number(0, above=True), default=30.0, metavar="S",
           help="seconds that turns may take to end after SIGTERM (default 30)")  # fmt: skip
    add_json(parser, "print where the server listens as one JSON document")
    add_verbose(parser)
    return parser


def serve_faults(args: argparse.Namespace) -> list[str]:
    """List what is wrong with the options, before anything heavy is loaded."""
    _settings(args)
    return model_faults("checkpoint", args.checkpoint, hub=False) + output_faults(
        "data_dir", args.data_dir
    )


def serve(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    console = Console(args.verbose, as_data=args.json)
    try:
        import fastapi  # noqa: F401 - the first of the extra's packages
        import uvicorn  # noqa: F401
    except ImportError as fault:
        raise MissingDependencyError(str(fault.name), "serve") from fault
    from ...agentic_workflow.http.server import make_server
    from ...agentic_workflow.http.service import open_service
    from ...agentic_workflow.serve_app import server_app

    settings, folder = _settings(args), Path(args.data_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with console.timed("student") as words:
        service = open_service(
            args.checkpoint,
            settings,
            workflow=args.workflow,
            threads=args.threads or f"sqlite:///{folder / 'threads.db'}",
            data_dir=folder,
            device=args.device,
        )
        if args.traces is not None:
            from ...agentic_workflow.http.spans import FileExporter, SpanRecorder

            recorder = SpanRecorder(FileExporter(args.traces), with_text=args.trace_text)
            service.callbacks.append(recorder)
        words.append(f"{service.model_name}, as models {', '.join(service.model_names)}")
    chat = None if args.no_page else _chat(service, args, console)
    try:
        server = make_server(server_app(service, settings, chat), service, settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        page = "" if chat is None else ", chat page at /chat"
        address = f"http://{host}:{settings.port}"
        console.line("serving", f"{address}{page}  (Ctrl-C to stop)")
        if args.json:
            models = list(service.model_names)
            print_json({"address": address, "models": models, "chat_page": chat is not None})
        server.run()
    finally:
        service.close()
        if chat is not None:
            chat.close()


def _chat(service: Service, args: argparse.Namespace, console: Console) -> ChatService | None:
    """Open the chat page's conversations; None, with a note, where Gradio is not installed."""
    from importlib.util import find_spec

    from ...agentic_workflow.conversations.open_chat import chat_over
    from .chat import read_own_table

    if find_spec("gradio") is None:
        console.line("note", "no chat page: it needs pip install 'stillroom[chat]'")
        return None
    return chat_over(
        service,
        service.workflows,
        Path(find_model(str(args.checkpoint))),
        Path(args.data_dir),
        read_table=read_own_table,
        may_edit=args.tokens is None,
    )


def _settings(args: argparse.Namespace) -> ServerSettings:
    from ...agentic_workflow.http.settings import ServerSettings

    names = {field.name for field in fields(ServerSettings)}
    given: dict[str, Any] = {n: v for n, v in vars(args).items() if n in names and v is not None}
    if args.tokens is not None:
        given["tokens"] = Path(args.tokens)
    return ServerSettings(**given)


def mcp_parser() -> CommandParser:
    """Make the parser of `stillroom mcp`."""
    parser = CommandParser(
        "stillroom mcp",
        "Offer a student and its table as tools of the Model Context Protocol: to the program\n"
        "that starts this command, over its standard input and output, or with --http at /mcp.",
        (
            "stillroom mcp outputs/elements/student",
            "stillroom mcp outputs/elements/student --http --port 9000",
            "stillroom mcp outputs/elements/student --http --host 0.0.0.0 --tokens keys.json",
        ),
    )
    add = parser.add_argument
    add("checkpoint", help="a checkpoint folder, or smollm2")
    add("--workflow", type=one_of("multi", "single"), default="multi",
        help="multi (answers are checked) or single")  # fmt: skip
    add("--threads", type=text, default="memory", metavar="URL",
        help="where conversations are kept: memory, sqlite:///threads.db or "
        "postgresql://...")  # fmt: skip
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    add("--http", action="store_true", help="serve HTTP instead of standard input and output")
    add("--host", type=text, default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=whole(0, 65535), default=8000, help="TCP port (default 8000)")
    add("--tokens", type=text, metavar="FILE", help="file of keys; without one, loopback only")
    add_json(parser, "with --http: print where the server listens as one JSON document")
    add_verbose(parser)
    return parser


def mcp_faults(args: argparse.Namespace) -> list[str]:
    """List what is wrong with the options, before anything heavy is loaded."""
    _settings(args)
    faults = ["--json goes with --http"] if args.json and not args.http else []
    return faults + model_faults("checkpoint", args.checkpoint, hub=False)


def mcp(args: argparse.Namespace) -> None:
    """Serve until the client goes, or until SIGTERM or Ctrl-C."""
    from importlib.util import find_spec

    for package in ("mcp", "fastapi"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "mcp")
    from ...agentic_workflow.http.app import build_app
    from ...agentic_workflow.http.server import make_server
    from ...agentic_workflow.http.service import open_service
    from ...agentic_workflow.mcp_server.server import mcp_routes, serve_stdio

    settings = _settings(args)
    service = open_service(
        args.checkpoint,
        settings,
        workflow=args.workflow,
        threads=args.threads,
        device=args.device,
    )
    try:
        if not args.http:  # nothing else may be written to the standard output
            asyncio.run(serve_stdio(service))
            return
        server = make_server(
            build_app(service, settings, routers=[mcp_routes(service)]), service, settings
        )
        address = f"http://{args.host}:{args.port}/mcp"
        Console(args.verbose, as_data=args.json).line("serving", address)
        if args.json:
            print_json({"address": address})
        server.run()
    finally:
        service.close()


def add_key_parser() -> CommandParser:
    """Make the parser of `stillroom keys add`."""
    return _keys_parser("add", "Make a key and print it, this once.")


def list_keys_parser() -> CommandParser:
    """Make the parser of `stillroom keys list`."""
    return _keys_parser("list", "List whose keys there are.")


def remove_keys_parser() -> CommandParser:
    """Make the parser of `stillroom keys remove`."""
    return _keys_parser("remove", "Take all keys of someone away.")


def _keys_parser(action: str, told: str) -> CommandParser:
    name = "" if action == "list" else " anna"
    parser = CommandParser(
        f"stillroom keys {action}", told, (f"stillroom keys {action}{name} --tokens keys.json",)
    )
    if action != "list":
        parser.add_argument("name", help="the owner: letters, digits, '.', '_' and '-'")
    parser.add_argument("--tokens", type=text, required=True, metavar="FILE", help="file of keys")
    add_json(parser)
    add_verbose(parser)
    return parser


def _add_key(args: argparse.Namespace) -> dict[str, Any]:
    from ...agentic_workflow.http.keys import add_key

    key = add_key(args.tokens, args.name)
    print(key)
    return {"owner": args.name, "key": key}


def _list_keys(args: argparse.Namespace) -> dict[str, Any]:
    from ...agentic_workflow.http.keys import read_keys

    owners = sorted(read_keys(args.tokens).values())
    for owner in owners:
        print(owner)
    return {"owners": owners}


def _remove_keys(args: argparse.Namespace) -> dict[str, Any]:
    from ...agentic_workflow.http.keys import remove_keys

    removed = remove_keys(args.tokens, args.name)
    print(f"{removed} keys of {args.name} removed")
    return {"owner": args.name, "removed": removed}


SERVE = Command(serve_parser, serve, serve_faults, prints_json=True)
MCP = Command(mcp_parser, mcp, mcp_faults, prints_json=True)
KEYS = Group(
    "stillroom keys",
    "The keys of those who may use the server; the file holds their hashes.",
    {
        "add": (
            Command(add_key_parser, _add_key, config_code=EXIT_USAGE),
            "make a key and print it, this once",
        ),
        "list": (
            Command(list_keys_parser, _list_keys, config_code=EXIT_USAGE),
            "whose keys there are",
        ),
        "remove": (
            Command(remove_keys_parser, _remove_keys, config_code=EXIT_USAGE),
            "take all keys of someone away",
        ),
    },
    ("stillroom keys add anna --tokens keys.json", "stillroom keys list --tokens keys.json"),
)
