"""`stillroom doctor`: what this machine can do, and which settings follow from it.

stillroom doctor
stillroom doctor --json
stillroom doctor --index
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from glob import glob
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...inference.sources.model_cache import model_cache
from ...inference.sources.packaged import PACKAGED
from ..command import Command, Verdict
from ..machine import (
    cpu_bf16,
    free_disk,
    free_memory,
    is_port_free,
    machine_memory,
    usable_cores,
)
from ..options import EXIT_FAILED, CommandParser, add_json, add_verbose
from ..threads import VARIABLE, idle_cores
from .models import listed_models

LEAST_PYTHON: Final = (3, 11)
LEAST_DISK: Final = 1e9
"""Bytes that a run with a starter and its pictures may take."""
LEAST_MEMORY: Final = 1e9
"""Bytes that the demo takes, with torch loaded."""
NEEDED: Final[dict[str, str]] = {
    "torch": "torch", "transformers": "transformers", "accelerate": "accelerate",
    "safetensors": "safetensors", "tokenizers": "tokenizers", "duckdb": "duckdb",
    "pyyaml": "yaml", "datasketch": "datasketch", "jinja2": "jinja2", "regex": "regex",
    "rapidfuzz": "rapidfuzz", "gguf": "gguf", "langgraph": "langgraph",
    "langgraph-checkpoint": "langgraph", "ormsgpack": "ormsgpack", "scipy": "scipy",
    "langchain-core": "langchain_core", "typing-extensions": "typing_extensions",
    "httpx": "httpx", "pandas": "pandas", "openpyxl": "openpyxl",
    "charset-normalizer": "charset_normalizer", "pyarrow": "pyarrow", "zstandard": "zstandard",
    "sqlalchemy": "sqlalchemy", "matplotlib": "matplotlib", "tqdm": "tqdm",
}  # fmt: skip
"""Packages that stillroom does not work without -> the module that is looked for."""
EXTRAS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "chat": (("gradio",), "the chat page (stillroom chat)"),
    "serve": (("fastapi", "uvicorn", "prometheus_client"), "the HTTP server (stillroom serve)"),
    "mcp": (("mcp",), "the table as tools of an assistant (stillroom mcp)"),
    "cpu": (("onnxruntime", "onnx"), "the fastest answers on a CPU (stillroom export)"),
    "grammar": (("llguidance", "jsonschema"), "answers of a given form, tool calls, SQL"),
    "peft": (("peft", "bitsandbytes"), "LoRA in stillroom distill, weights in 8 and 4 bits"),
    "onpolicy": (("trl",), "students that write their own answers while they learn"),
    "hub": (("datasets",), "data sets of the Hugging Face hub"),
    "ray": (("ray",), "pipelines of records on several machines"),
    "postgres": (("psycopg", "psycopg_pool"), "conversations in PostgreSQL"),
    "language": (("py3langid",), "the language of a text, in gates and filters"),
    "sweep": (("optuna",), "trainings with many settings (stillroom sweep)"),
    "tasks": (("lm_eval",), "public tasks (stillroom evaluate --tasks)"),
    "grounding": (("duckdb",), "the table beside its student: citations, search, SQL"),
}
"""Extra of the package -> the modules that it brings, and what it is for."""
LEAST_NAMED: Final = 6e9
"""Bytes of memory that a packaged teacher and its student want."""
GPU_TEACHERS: Final = {"7B": 24e9, "1.5B": 10e9, "0.5B": 5e9}
"""Size of a Qwen2.5 teacher -> bytes of GPU memory that it and its adapter want."""
PORTS: Final = {8000: "stillroom serve", 7860: "stillroom chat"}


def doctor_parser() -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        "stillroom doctor",
        "Say what this machine can do, and which settings follow from it. It changes nothing,\n"
        "and calls nothing over a network unless --index is given.",
        ("stillroom doctor", "stillroom doctor --json", "stillroom doctor --quick"),
        {EXIT_FAILED: "something is missing that stillroom needs"},
    )
    add = parser.add_argument
    add("--index", action="store_true", help="ask pip whether the package index can be reached")
    add("--quick", action="store_true", help="leave out the timed steps that estimate the demo")
    add_json(parser)
    add_verbose(parser)
    return parser


def doctor(args: argparse.Namespace) -> object:
    """Print what there is, what is missing, and which settings follow."""
    console = Console(args.verbose)
    console.head("stillroom doctor: what this machine can do")
    told: dict[str, Any] = {
        "machine": _machine(console),
        "packages": _packages(console),
        "extras": _extras(console),
        "models": _models(console),
        "programs": _programs(console),
    }
    if args.index:
        told["index"] = _index(console)
    missing = list_missing(told)
    told["missing"] = missing
    told["settings"] = _settings(told, console, timed=not args.quick and not missing)
    for fault in missing:
        console.line("missing", fault)
    if missing:
        return Verdict(told, f"{len(missing)} of what stillroom needs is missing")
    console.line("ready", "nothing that stillroom needs is missing")
    return told


def _machine(console: Console) -> dict[str, Any]:
    idle = idle_cores()
    memory, free = machine_memory(), free_memory()
    told: dict[str, Any] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "idle_cores": None if idle is None else round(idle, 1),
        "memory_bytes": memory,
        "free_memory_bytes": free,
        "free_disk_bytes": {
            "outputs": free_disk("outputs"),
            "models": free_disk(model_cache()),
        },
        "bf16_of_cpu": cpu_bf16(),
        "gpus": _gpus(),
    }
    console.line("python", f"{told['python']} on {told['system']}")
    busy = "" if idle is None else f", {idle:.1f} of them idle"
    console.line("cores", f"{told['usable_cores']}{busy}; bf16 {told['bf16_of_cpu'] or 'no'}")
    console.line("memory", f"{_gigabytes(memory)}, {_gigabytes(free)} of it free")
    disk = told["free_disk_bytes"]
    console.line("disk", f"{_gigabytes(disk['outputs'])} free here, "
                 f"{_gigabytes(disk['models'])} for models")  # fmt: skip
    for gpu in told["gpus"]:
        bf16 = "bf16" if gpu["bf16"] else "no bf16"
        console.line("gpu", f"{gpu['name']}, {_gigabytes(gpu['memory_bytes'])}, {bf16}")
    if not told["gpus"]:
        console.line("gpu", "none that torch can use")
    return told


def _gpus() -> list[dict[str, Any]]:
    if find_spec("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        with torch.cuda.device(number):
            bf16 = torch.cuda.is_bf16_supported()
        found.append({"name": facts.name, "memory_bytes": facts.total_memory, "bf16": bf16})
    return found


def _packages(console: Console) -> dict[str, dict[str, Any]]:
    least = _least_versions()
    told = {}
    for name, module in NEEDED.items():
        version = _version(name) if find_spec(module) is not None else None
        wanted = least.get(name)
        fits = version is not None and (wanted is None or _numbers(version) >= _numbers(wanted))
        told[name] = {"version": version, "least": wanted, "fits": fits}
    shown = [f"{name} {told[name]['version'] or 'missing'}" for name in ("torch", "transformers",
             "accelerate", "duckdb", "langgraph")]  # fmt: skip
    console.line("packages", ", ".join(shown))
    return told


def _least_versions() -> dict[str, str]:
    """Read from the installed package which versions it needs; {} where it is not installed."""
    try:
        wanted = metadata.requires("stillroom") or []
    except metadata.PackageNotFoundError:
        return {}
    found = (re.match(r"([\w.-]+)\s*>=\s*([\d.]+)[^;]*$", one) for one in wanted)
    return {one[1].lower(): one[2] for one in found if one is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Give the numbers of a version for comparison.

    >>> _numbers("2.10.1+cpu") > _numbers("2.9"), _numbers("5.19") == _numbers("5.19.0")
    (True, True)
    """
    found = [int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3]]
    return (*found, *[0] * (3 - len(found)))


def _extras(console: Console) -> dict[str, dict[str, Any]]:
    told = {}
    for name, (modules, use) in EXTRAS.items():
        absent = [module for module in modules if find_spec(module) is None]
        told[name] = {"installed": not absent, "for": use, "absent": absent,
                      "install": f"pip install 'stillroom[{name}]'"}  # fmt: skip
        state = "yes" if not absent else f"no: {told[name]['install']}"
        console.line("extra", f"{name:<10} {use:<58} {state}")
    return told


def _models(console: Console) -> dict[str, Any]:
    models = listed_models()
    for model in models:
        if model["folder"] is None:
            state = f"not here: stillroom models add {model['name']}"
        else:
            state = f"here, {model['bytes'] / 1e6:.0f} MB"
        console.line("model", f"{model['name']:<10} {model['told']:<58} {state}")
    names = ("config.json",)
    students = sorted(
        str(path.parent) for name in names for path in Path("outputs").glob(f"*/student/{name}")
    )
    if students:
        console.line("students", ", ".join(students[:5]))
    return {"cache": model_cache(), "models": models, "students": students}


def _programs(console: Console) -> dict[str, Any]:
    """Look for optional programs, and for the ports that servers take by default."""
    folders = [*sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True), os.environ.get("PATH", "")]
    told: dict[str, Any] = {
        "postgresql": shutil.which("postgres", path=os.pathsep.join(folders)),
        "chromium": _chromium(),
        "ports": {str(port): is_port_free(port) for port in PORTS},
    }
    uses = {"postgresql": "conversations of several servers", "chromium": "tests of the pages"}
    for name, use in uses.items():
        console.line(name, f"{told[name] or 'not found'} (optional: {use})")
    for port, use in PORTS.items():
        state = "free" if told["ports"][str(port)] else "taken; give another with --port"
        console.line("port", f"{port} of {use}: {state}")
    return told


def _chromium() -> str | None:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                 None)  # fmt: skip
    if found is not None:
        return found
    kept = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright"
    place = Path(kept).expanduser()
    inside = sorted(place.glob("chromium*")) if place.is_dir() else []
    return str(inside[-1]) if inside else None


def _index(console: Console) -> dict[str, Any]:
    """Ask pip for the versions of a packaged model, as `stillroom models add` would fetch it."""
    package = next(iter(PACKAGED.values())).package
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--timeout", "10",
               "--retries", "0", "--disable-pip-version-check", "--no-input"]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, errors="replace", timeout=60
        )
        reached, said = done.returncode == 0, done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        reached, said = False, ["pip did not answer within 60 s"]
    reason = None if reached else (said[-1][:200] if said else "pip failed")
    told = {"reachable": reached, "asked_for": package, "reason": reason}
    console.line("index", f"can be reached; it has {package}" if reached else
                 f"{package} cannot be fetched: {reason}")  # fmt: skip
    return told


def list_missing(told: Mapping[str, Any]) -> list[str]:
    """List what stillroom needs and this machine lacks.

    Args:
        told: The parts `machine` and `packages` of the report.
    """
    machine, faults = told["machine"], []
    if _numbers(machine["python"])[:2] < LEAST_PYTHON:
        faults.append(f"Python {'.'.join(map(str, LEAST_PYTHON))}; this is {machine['python']}")
    for name, facts in told["packages"].items():
        wanted = f"{name}>={facts['least']}" if facts["least"] else name
        if not facts["fits"]:
            there = "not installed" if facts["version"] is None else f"{facts['version']} is there"
            faults.append(f"{wanted} ({there}): pip install '{wanted}'")
    disk, memory = machine["free_disk_bytes"]["outputs"], machine["memory_bytes"]
    if disk < LEAST_DISK:
        faults.append(f"{_gigabytes(LEAST_DISK)} of free disk; there are {_gigabytes(disk)}")
    if memory < LEAST_MEMORY:
        faults.append(f"{_gigabytes(LEAST_MEMORY)} of memory; there are {_gigabytes(memory)}")
    return faults


def _settings(told: Mapping[str, Any], console: Console, *, timed: bool) -> dict[str, Any]:
    """Say which settings follow, and how long the demo takes."""
    machine, models = told["machine"], told["models"]["models"]
    idle, cores = machine["idle_cores"], machine["usable_cores"]
    threads = max(1, min(cores, cores if idle is None else round(idle)))
    set_threads = os.environ.get(VARIABLE)
    device = "cuda" if machine["gpus"] else "cpu"
    here = {model["name"] for model in models if model["folder"] is not None}
    teacher, why = _teacher(machine["gpus"], here, machine["memory_bytes"])
    minutes = _demo_minutes(threads) if timed else None
    by = f"{VARIABLE}={set_threads} is set" if set_threads else "as many as cores are idle"
    console.line("settings", f"--threads {threads} ({by}), --device {device}")
    console.line("settings", f"--teacher {teacher}: {why}")
    if "minilm" not in here:
        console.line("settings", "stillroom models add minilm: questions are understood better")
    if minutes is not None:
        console.line("demo", f"stillroom run takes about {max(1, round(minutes))} min "
                     "on this machine as it is now")  # fmt: skip
    return {
        "threads": int(set_threads) if set_threads and set_threads.isdecimal() else threads,
        "device": device,
        "teacher": teacher,
        "teacher_because": why,
        "demo_minutes": minutes,
    }


def _teacher(gpus: list[dict[str, Any]], here: set[str], memory: float) -> tuple[str, str]:
    """Choose a teacher; give its name and the reason."""
    if gpus:
        largest = max(gpu["memory_bytes"] for gpu in gpus)
        size = next((size for size, least in GPU_TEACHERS.items() if largest >= least), None)
        if size is not None:
            return f"Qwen/Qwen2.5-{size}-Instruct", "fits the GPU; fetched from the hub when named"
    if "smollm2" not in here or memory < LEAST_NAMED:
        return "starter", (f"trained from scratch in minutes; smollm2 understands other wordings, "
                           f"and wants {_gigabytes(LEAST_NAMED)} of memory and stillroom models "
                           "add smollm2")  # fmt: skip
    return "smollm2", ("understands wordings that nobody trained, in an hour or more; starter, the "
                       "default, is trained in minutes")  # fmt: skip


def _demo_minutes(threads: int) -> float:
    """Estimate the minutes of the main job on the bundled table from a few timed steps."""
    import torch

    from ...data.questions.profile import profile_table
    from ...data.readers.read_table import read_table
    from ..main_job.estimate import estimate_job
    from ..main_job.load_table import Source
    from ..main_job.settings import ELEMENTS, MainJob

    job = MainJob()
    records = read_table(ELEMENTS, **job.reading_keywords())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        profile = profile_table(records, source=ELEMENTS.name)
        return estimate_job(job, Source(records, profile)).minutes()
    finally:
        torch.set_num_threads(before)


def _gigabytes(size: float | None) -> str:
    if size is None or size == float("inf"):
        return "an unknown amount"
    return f"{size / 1e9:.1f} GB"


DOCTOR = Command(doctor_parser, doctor)
