"""`stillroom cache-logits`: compute and store a teacher's logits for a file of training examples.

    stillroom cache-logits --teacher ./teacher --data train.jsonl --output ./cache

Students are then trained with `DistillationConfig(teacher_cache="./cache")`, without the teacher.
With `--source NAME` a cache holds the records of one source, and a student learns each record from
the teacher of its source: `DistillationConfig("mixture", teacher_cache={"code": "./a", ...})`.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...console import Console
from ...errors import DataError
from ..command import Command
from ..options import (
    CommandParser,
    Fault,
    add_json,
    add_verbose,
    device,
    faults_of,
    one_of,
    text,
    whole_number,
)
from ..path_checks import missing_source, model_faults, output_faults
from ..reading_options import add_reading_options, reading_keywords
from .teacher_options import add_server_options

if TYPE_CHECKING:
    from ...distillation.teacher.cache_build import BuildResult
    from ...distillation.teacher.cache_job import CacheSettings


SCORE_ANSWERS_ALONE = (
    "api.anthropic.com", "api.deepseek.com", "api.openai.com", "generativelanguage.googleapis.com",
    "openrouter.ai",
)  # fmt: skip
"""Hosts that return log-probabilities of generated tokens only; they are refused without a call."""


def cache_parser(program: str = "stillroom cache-logits") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Store a teacher's logits for training examples, so that students can be trained without\n"
        "the teacher. After an interruption the same command continues.\n\n"
        "Examples are lines of JSON, or any table, with the keys text, or question and answer, or\n"
        "instruction and output, or messages, or prompt and completion.",
        (f"{program} --teacher ./teacher --data train.jsonl --output ./cache",),
    )
    add = parser.add_argument
    add(
        "--teacher",
        required=True,
        help="smollm2, a folder, a .gguf file, a model of the hub, or a server: its address, vllm, "
        "sglang or llama-server",
    )
    add("--data", type=text, required=True, help="file of training examples (see above)")
    add(
        "--source",
        type=text,
        metavar="NAME",
        help="use only the records whose field `source` is NAME; for a mixture of teachers",
    )
    add("--output", type=text, required=True, help="folder of the cache")
    add("--top-k", type=whole_number(1), default=64, help="tokens kept per position (default 64)")
    add(
        "--temperatures",
        type=temperatures,
        help="temperatures for trainings, separated by commas (default 1,2,4; for a server 1)",
    )
    add(
        "--selection",
        type=one_of("top_k_tail", "random_sampling"),
        metavar="{top_k_tail,random_sampling}",
        default="top_k_tail",
        help="random_sampling draws at one temperature and serves forward_kl only",
    )
    add(
        "--max-length",
        type=whole_number(2),
        default=512,
        help="most tokens of an example, as in the training (default 512)",
    )
    add(
        "--too-long",
        type=one_of("truncate", "error"),
        metavar="{truncate,error}",
        default="truncate",
        help="as in the training",
    )
    add(
        "--dtype",
        type=one_of("bfloat16", "float32"),
        metavar="{bfloat16,float32}",
        help="precision of the teacher; default: as in a training",
    )
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    add(
        "--batch-tokens",
        type=whole_number(1),
        default=4096,
        help="tokens of a forward pass (default 4096)",
    )
    add("--share", type=share, default=(1, 1), help="i/n: build one of n shares in this process")
    add_json(parser)
    add_verbose(parser)
    add_reading_options(parser)
    add = parser.add_argument_group("a teacher on a server").add_argument
    add("--tokenizer", help="folder or name of its tokenizer, which the student must have too")
    add_server_options(add)
    add("--concurrency", type=whole_number(1), default=16, help="calls at once (default 16)")
    return parser


def cache_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading the teacher."""
    from ...distillation.teacher.cache_format import grid_faults

    faults = []
    if args.teacher is not None and _is_server(args.teacher):
        if args.tokenizer is None:
            faults.append("a teacher on a server needs --tokenizer, its folder or name")
        host = urlsplit(_address(args.teacher) or "").hostname
        if host in SCORE_ANSWERS_ALONE:
            faults.append(
                f"{host} gives no log-probabilities of given tokens (prompt_logprobs of "
                "vLLM, top_logprobs_num of SGLang, n_probs of llama-server), so no cache can be "
                "made of it; let it write labels: stillroom label"
            )
    elif args.teacher is not None:
        faults += model_faults("teacher", args.teacher)
    faults += [] if args.data is None else missing_source(args.data)
    faults += [] if args.output is None else output_faults("output", args.output)
    faults += grid_faults(chosen_temperatures(args), args.selection)
    return faults + faults_of(lambda: reading_keywords(args))


def _is_server(teacher: str) -> bool:
    return _address(teacher) is not None


def _address(teacher: str) -> str | None:
    from ...labeling.teachers.open_teacher import server_address

    return server_address(teacher)


def chosen_temperatures(args: argparse.Namespace) -> tuple[float, ...]:
    """Return the temperatures of the cache; log-probabilities of a server are at temperature 1."""
    if args.temperatures is not None:
        return tuple(args.temperatures)
    return (1.0,) if args.teacher is not None and _is_server(args.teacher) else (1.0, 2.0, 4.0)


def cache_logits(args: argparse.Namespace) -> dict[str, Any]:
    """Build the cache that the options describe and print what it holds.

    Raises:
        StillroomError: As in `cache_teacher_logits`; data errors name the file.
    """
    console, began = Console(args.verbose), time.monotonic()
    from ...data.readers.read_table import read_table

    records = read_table(args.data, **reading_keywords(args))
    if args.source is not None:
        records = _of_source(records, args.source, args.data)
    # This loads torch and transformers, which --help must not.
    from ...distillation.teacher.cache_job import CacheSettings, cache_teacher_logits

    settings = CacheSettings(
        args.teacher,
        args.output,
        top_k=args.top_k,
        temperatures=chosen_temperatures(args),
        selection=args.selection,
        max_length=args.max_length,
        too_long=args.too_long,
        dtype=args.dtype,
        device=args.device,
        batch_tokens=args.batch_tokens,
        share=args.share,
    )
    console.head(f"stillroom: logits of {args.teacher} for {args.data}, {len(records):,} records")
    try:
        if not _is_server(args.teacher):
            done = cache_teacher_logits(settings, records)
        else:
            done = _cache_served(args, settings, records)
    except DataError as fault:
        raise fault if fault.path else DataError(str(fault), path=args.data) from fault
    manifest, kept = done.manifest, done.parts - done.built
    words = f"{done.built} of {done.parts} parts built" + (f", {kept} were there" if kept else "")
    console.line("cache", words, time.monotonic() - began)
    told = {
        "folder": args.output,
        "parts": done.parts,
        "built": done.built,
        "complete": done.complete,
    }
    if not done.complete:
        console.line("", "not complete yet: the other shares are missing")
        return told
    size = manifest.to_dict()["bytes_per_token"]
    console.line(
        "written",
        f"{args.output}: {manifest.sequences:,} sequences, {manifest.tokens:,} supervised tokens, "
        f"{size:g} bytes each",
    )
    named = f'teacher_model_name="{manifest.spec.teacher.id}", ' if _is_server(args.teacher) else ""
    console.line("next", f'DistillationConfig(..., {named}teacher_cache="{args.output}")')
    return told | {
        "sequences": manifest.sequences,
        "tokens": manifest.tokens,
        "bytes_per_token": size,
    }


def _of_source(records: list[dict[str, Any]], source: str, data: str) -> list[dict[str, Any]]:
    """Select the records of one source.

    Raises:
        DataError: No record is of that source.
    """
    chosen = [record for record in records if record.get("source") == source]
    if not chosen:
        names = sorted({str(r["source"]) for r in records if r.get("source") is not None})
        known = ", ".join(map(repr, names[:20])) or "none: no record has a field source"
        raise DataError(f"no record is of the source {source!r}; there is {known}", path=data)
    return chosen


def _cache_served(
    args: argparse.Namespace, settings: CacheSettings, records: list[dict[str, Any]]
) -> BuildResult:
    """Build the cache from the log-probabilities of a server."""
    from ...distillation.teacher.served_cache import cache_served_logits
    from ...inference.checkpoints.load_student import complete_tokenizer
    from ...inference.checkpoints.tokenizer_files import load_tokenizer
    from ...inference.sources.find_model import find_model
    from ...labeling.teachers.open_teacher import open_teacher, require_server
    from ...labeling.teachers.openai_http import RemoteTeacher

    teacher = open_teacher(
        args.teacher,
        model=args.model,
        api_key_env=args.api_key_env,
        timeout_s=args.timeout,
        endpoint="completions",
    )
    require_server(teacher, args.teacher)
    assert isinstance(teacher, RemoteTeacher)
    tokenizer = load_tokenizer(Path(find_model(args.tokenizer)))
    complete_tokenizer(tokenizer, args.tokenizer)
    return cache_served_logits(
        dataclasses.replace(settings, teacher=teacher.name),
        records,
        teacher.server,
        tokenizer,
        concurrency=args.concurrency,
    )


def temperatures(given: str) -> tuple[float, ...] | Fault:
    """Parse numbers above 0, separated by commas."""
    try:
        values = tuple(float(part) for part in given.split(","))
    except ValueError:
        values = ()
    if not values or not all(0.0 < value < float("inf") for value in values):
        return Fault(f"is {given!r}; allowed are numbers above 0, such as 1,2,4")
    return values


def share(given: str) -> tuple[int, int] | Fault:
    """Parse i/n, with i from 1 to n."""
    number, _, count = given.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        return Fault(f"is {given!r}; allowed is i/n, such as 1/4 for the first of four")
    return int(number), int(count)


CACHE_LOGITS = Command(cache_parser, cache_logits, cache_faults, lambda args: args.output)
