"""Options of the commands that ask a teacher, and the teacher and settings made from them."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import nearest
from ..options import Fault, device, faults_of, number, one_of, seed, text, whole_number
from ..path_checks import model_faults

if TYPE_CHECKING:
    from ...labeling.batch.label_run import LabelSettings
    from ...labeling.teachers.protocol import DecodeProfile, Teacher


def add_teacher_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a teacher, its answers, and limits and prices."""
    add = parser.add_argument_group("teacher").add_argument
    add(
        "--teacher",
        required=True,
        help="address of a server with an OpenAI-compatible API, a provider (ollama, vllm, sglang, "
        "llama-server, openai, openrouter, anthropic, deepseek, gemini), smollm2 (stillroom models "
        "add smollm2), a folder, a .gguf file, or a model of the hub",
    )
    add_server_options(add)
    add("--bits", type=int, choices=(4, 8), help="precision of a local teacher's weights")
    add(
        "--device",
        type=device,
        help="device of a local teacher: cpu or cuda; default: CUDA if there is one",
    )
    add = parser.add_argument_group("answers").add_argument
    add(
        "--max-tokens",
        type=whole_number(1),
        default=512,
        help="most tokens of an answer (default 512)",
    )
    add("--temperature", type=number(0, 100), help="0 is greedy")
    add("--top-p", type=number(0, 1, above=True), default=1.0,
        help="sample from the likeliest tokens of this probability (default 1)")  # fmt: skip
    add("--seed", type=seed, default=0, help="seed of the sampling (default 0)")
    add("--stop", action="append", default=[], help="text that ends an answer; may be repeated")
    add(
        "--keep-thoughts",
        action="store_true",
        help="keep the thoughts of a reasoning model in its answers, as --format system2 does; by "
        "default they are removed",
    )
    add_limits(parser)


def add_server_options(add: Callable[..., object]) -> None:
    """Add the options for reaching a server.

    Args:
        add: `add_argument` of a parser or a group.
    """
    add(
        "--model", type=text, help="name of the model on the server; default: the only one it lists"
    )
    add(
        "--api-key-env",
        type=text,
        help="environment variable with the key; default: the provider's own",
    )
    add(
        "--timeout",
        type=number(0, 86_400, above=True),
        default=120.0,
        help="seconds for an answer (default 120)",
    )
    add(
        "--honours-idempotency",
        action="store_true",
        help="the server charges only once for calls with the same Idempotency-Key",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits, retries and prices of calls to a server."""
    add = parser.add_argument_group("limits and money").add_argument
    add("--concurrency", type=whole_number(1), default=16, help="calls at once (default 16)")
    limit = number(0, above=True)
    add("--requests-per-minute", type=limit, help="most calls in a minute; default: no limit")
    add("--tokens-per-minute", type=limit, help="most tokens in a minute; default: no limit")
    add("--requests-per-day", type=whole_number(1), metavar="N", help="most calls in any 24 hours, "
        "over all runs in the folder; the run waits then. Default: no limit")  # fmt: skip
    add("--prices", type=prices, help="per million tokens of prompts and answers, as 0.15,0.60")
    add(
        "--budget",
        type=number(0),
        help="most that all calls of the folder may cost; needs --prices",
    )
    add("--max-attempts", type=whole_number(1), default=6, help="calls per record (default 6)")
    add(
        "--max-error-rate",
        type=number(0, 1),
        default=0.5,
        help="error rate above which the run ends (default 0.5)",
    )
    add(
        "--in-doubt",
        type=one_of("ask", "dead_letter"),
        metavar="{ask,dead_letter}",
        default="ask",
        help="what becomes of calls that were under way when the process died (default ask)",
    )
    add("--retry-failed", action="store_true", help="ask for the dead letters again")


def prices(given: str) -> tuple[float, float] | Fault:
    """Parse two numbers of at least 0, separated by a comma."""
    try:
        asked, made = (float(part) for part in given.split(","))
    except ValueError:
        asked = made = -1.0
    if not (0 <= asked < float("inf") and 0 <= made < float("inf")):
        return Fault(f"is {given!r}; allowed is a pair of prices, such as 0.15,0.60")
    return asked, made


def teacher_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options of a teacher that can be found without asking it."""
    from ...labeling.teachers.open_teacher import server_address

    address: list[str | None] = []
    faults = faults_of(lambda: address.append(server_address(args.teacher)))
    if address == [None]:
        faults += _near_server(args.teacher) or model_faults("teacher", args.teacher)
    if args.api_key_env is not None and args.api_key_env not in os.environ:
        faults.append(f"api_key_env is {args.api_key_env!r}; there is no such variable")
    return faults + faults_of(lambda: chosen_settings(args))


def _near_server(name: str | None) -> list[str]:
    """Report a misspelt name or address of a server, with the one that is probably meant."""
    from ...labeling.teachers.open_teacher import PROVIDERS

    if name is None or os.path.exists(name):
        return []
    if re.match(r"(localhost|[\w-]+(\.[\w-]+)+)?:\d+(/|$)|localhost(/|$)", name):
        return [f"teacher is {name!r}; an address begins with its scheme: --teacher http://{name}"]
    near = nearest(name.lower(), PROVIDERS, cutoff=0.8)
    return [f"teacher is {name!r}; the nearest is --teacher {near}"] if near else []


def chosen_teacher(args: argparse.Namespace) -> Teacher:
    """Open the teacher that the options name, and check that its server answers.

    Raises:
        StillroomError: As in `open_teacher` and `require_server`.
    """
    from ...labeling.teachers.open_teacher import open_teacher, require_server

    teacher = open_teacher(
        args.teacher,
        model=args.model,
        api_key_env=args.api_key_env,
        api_key=getattr(args, "api_key", None),
        timeout_s=args.timeout,
        honours_idempotency=args.honours_idempotency,
        bits=args.bits,
        device=args.device,
    )
    require_server(teacher, args.teacher)
    return teacher


def chosen_settings(args: argparse.Namespace) -> LabelSettings:
    """Build the labeler's settings from the options.

    Raises:
        ConfigError: A value is out of range, or there is a budget without prices.
    """
    from ...labeling.batch.label_run import LabelSettings, Prices

    return LabelSettings(
        concurrency=args.concurrency,
        max_attempts=args.max_attempts,
        requests_per_minute=args.requests_per_minute,
        tokens_per_minute=args.tokens_per_minute,
        requests_per_day=args.requests_per_day,
        prices=None if args.prices is None else Prices(*args.prices),
        budget=args.budget,
        max_error_rate=args.max_error_rate,
        in_doubt=args.in_doubt,
        retry_failed=args.retry_failed,
        keep_thoughts=getattr(args, "keep_thoughts", False)
        or getattr(args, "format", None) == "system2",
    )


def chosen_profile(args: argparse.Namespace, temperature: float) -> DecodeProfile:
    """Build the decode profile from the options.

    Args:
        args: The options.
        temperature: Temperature if the options name none.

    Raises:
        ConfigError: A value is out of range.
    """
    from ...labeling.teachers.protocol import DecodeProfile

    return DecodeProfile(
        max_tokens=args.max_tokens,
        temperature=temperature if args.temperature is None else args.temperature,
        top_p=args.top_p,
        seed=args.seed,
        stop=tuple(args.stop),
    )
