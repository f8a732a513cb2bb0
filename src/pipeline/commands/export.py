"""`stillroom export`: lay a checkpoint out for ONNX Runtime, and compare the two.

stillroom export outputs/elements/student --int8
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...console import Console
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, text
from ..path_checks import model_faults, output_faults


def export_parser() -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        "stillroom export",
        "Lay a checkpoint out for ONNX Runtime on CPUs and compare the two.",
        (
            "stillroom export outputs/elements/student",
            "stillroom export outputs/elements/student --int8 --output small",
            "stillroom export outputs/elements/student --push me/elements",
        ),
    )
    parser.add_argument("checkpoint", help="a checkpoint folder")
    sizes = parser.add_mutually_exclusive_group()
    for dtype, help_text in (
        ("int8", "a quarter of the size; the loss is told"),
        ("int4", "a sixth of the size, with a larger loss"),
    ):
        sizes.add_argument(
            f"--{dtype}", dest="dtype", action="store_const", const=dtype, default="float32",
            help=help_text,
        )  # fmt: skip
    sizes.add_argument("--gguf", action="store_const", dest="dtype", const="gguf",
                       help="a file in float32 for llama.cpp, beside the checkpoint")  # fmt: skip
    sizes.add_argument("--push", type=text, metavar="OWNER/NAME",
                       help="upload the checkpoint, with its exports and its model card, to the "
                       "Hugging Face hub instead; the token is read from HF_TOKEN")  # fmt: skip
    parser.add_argument("--public", action="store_true",
                        help="with --push: everybody may see a new repository")  # fmt: skip
    parser.add_argument("--with-table", action="store_true",
                        help="with --push: upload table.json, your data, too")  # fmt: skip
    parser.add_argument(
        "--output", type=text, help="folder to write; default: export, in the checkpoint"
    )
    parser.add_argument(
        "--prompts", type=text, help="JSON Lines with prompt and target, to measure a loss on"
    )
    add_json(parser)
    add_verbose(parser)
    return parser


def export_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading the checkpoint."""
    faults = model_faults("checkpoint", args.checkpoint, hub=False)
    if args.prompts is not None and not Path(args.prompts).is_file():
        faults.append(f"--prompts is {args.prompts!r}; there is no such file")
    if args.push is not None:
        from ..run_report.push_to_hub import push_faults

        faults += push_faults(args.push)
    elif args.public or args.with_table:
        faults.append("--public and --with-table belong to --push OWNER/NAME, which is not given")
    if args.dtype == "gguf" and args.output and Path(args.output) == Path(args.checkpoint):
        faults.append("--output is the checkpoint, which is not loaded with a .gguf file in it; "
                      "name another folder")  # fmt: skip
    return faults + (output_faults("output", args.output) if args.output is not None else [])


def export(args: argparse.Namespace) -> Any:  # noqa: ANN401 - an Exported
    """Export the checkpoint and print the loss.

    Raises:
        StillroomError: As in `export_checkpoint`.
    """
    console = Console(args.verbose)
    if args.push is not None:
        return _push(args, console)
    if args.dtype == "gguf":
        return _write_gguf(args, console)
    from ...inference.onnx_export.export import export_checkpoint

    with console.timed("export") as words:
        made = export_checkpoint(
            args.checkpoint, dtype=args.dtype, output=args.output, prompts=args.prompts
        )
        sizes = f"{made.bytes_before / 1e6:.1f} MB -> {made.bytes_after / 1e6:.1f} MB"
        words += [f"{made.dtype}, {sizes}", f"in {made.folder}"]
    first, *rest = made.loss.lines()
    console.line("check" if args.dtype == "float32" else "loss", f"{first} ({made.prompts_from})")
    for line in rest:
        console.line("", line)
    return made


def _push(args: argparse.Namespace, console: Console) -> dict[str, str]:
    from ..run_report.push_to_hub import push_to_hub

    address = push_to_hub(
        args.checkpoint, args.push, public=args.public, with_table=args.with_table
    )
    console.line("pushed", address)
    return {"pushed": address}


def _write_gguf(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ...inference.checkpoints.load_student import load_checkpoint
    from ...inference.gguf_export.write_gguf import write_gguf

    checkpoint = load_checkpoint(args.checkpoint, device="cpu")
    # Beside the checkpoint: a folder with other weights than safetensors is not loaded.
    folder = Path(args.checkpoint)
    path = Path(args.output) / "model.gguf" if args.output else folder.with_suffix(".gguf")
    write_gguf(checkpoint, path)
    console.line("written", f"{path}, {path.stat().st_size / 1e6:.1f} MB")
    return {"path": path, "bytes": path.stat().st_size}


EXPORT = Command(export_parser, export, export_faults)
