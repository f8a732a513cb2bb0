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
    return faults + (output_faults("output", args.output) if args.output is not None else [])


def export(args: argparse.Namespace) -> Any:  # noqa: ANN401 - an Exported
    """Export the checkpoint and print the loss.

    Raises:
        StillroomError: As in `export_checkpoint`.
    """
    console = Console(args.verbose)
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


EXPORT = Command(export_parser, export, export_faults)
