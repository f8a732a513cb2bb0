"""`stillroom system1` and `stillroom system2`: distil a student from a data set and score it.

The student and its teacher are scored on held-out records.

    stillroom system1
    stillroom system1 --data instruction-data.json --slice 'train[:600]'
    stillroom system2 --data gsm8k/train.jsonl.gz --slice 'train[:500]'
    stillroom system1 --teacher Qwen/Qwen2.5-7B-Instruct --student Qwen/Qwen2.5-0.5B-Instruct
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...data.datasets.splits import slice_bounds
from ...errors import ConfigError, EmptyDataError, StillroomError
from ...prompts import SystemMode
from ...records import sha256_text, split_position
from ...run_folder import RunFolder, open_run_folder, source_of
from ..command import Command
from ..options import (
    CommandParser,
    add_json,
    add_verbose,
    faults_of,
    number,
    seed,
    text,
    whole_number,
)
from ..path_checks import missing_source, model_faults, output_faults
from ..reading_options import add_reading_options, reading_keywords

COMPARED: Final = 3
"""Number of held-out records whose answers by teacher and student are printed."""
Records = list[dict[str, Any]]


def systems_parser(mode: SystemMode) -> CommandParser:
    """Make the parser of a command's options."""
    what = "follows instructions" if mode == "system1" else "reasons in steps"
    own = "instruction-data.json" if mode == "system1" else "gsm8k/train.jsonl.gz"
    parser = CommandParser(
        f"stillroom {mode}",
        f"Distil a student that {what}, and score it.",
        (
            f"stillroom {mode}",
            f"stillroom {mode} --data {own} --slice 'train[:600]'",
            f"stillroom {mode} --teacher Qwen/Qwen2.5-7B-Instruct "
            "--student Qwen/Qwen2.5-0.5B-Instruct",
        ),
    )
    add = parser.add_argument
    add(
        "--data",
        type=text,
        default="sample",
        help="any file; 'sample' (default) is made by rule, 'hub' is the public data set",
    )
    add(
        "--slice", type=text, default="train", help="part of it, e.g. 'train[:1000]' (default: all)"
    )
    named = "smollm2, a folder, a .gguf file, or a model of the hub"
    add("--teacher", default="starter", help=f"starter (default), {named}")
    add("--student", help=f"{named}; default: made of the teacher's layers")
    add("--output-dir", type=text, help=f"run folder; default outputs/{mode}")
    add("--held-out", type=whole_number(1), default=40,
        help="records kept out for the score (default 40)")  # fmt: skip
    epochs = number(0, above=True)
    add("--teacher-epochs", type=epochs, default=30, help="of a starter teacher (default 30)")
    add("--epochs", type=epochs, default=10, help="of the student (default 10)")
    add("--max-new-tokens", type=whole_number(1), default=128, help="of an answer (default 128)")
    add("--seed", type=seed, default=0, help="of the trainings (default 0)")
    add_json(parser)
    add_verbose(parser)
    if mode == "system1":
        add("--relabel", action="store_true", help="train on the teacher's answers, not the data's")
    else:
        level = number(0, 9)
        add("--rv-min", type=level, default=0.6, help="least reasoning verbosity (default 0.6)")
        add("--cd-min", type=level, default=0.6, help="least cognitive difficulty (default 0.6)")
    add_reading_options(parser)
    return parser


def systems_faults(args: argparse.Namespace, mode: SystemMode) -> list[str]:
    """List the faults in the options that can be found without loading a model."""
    faults = [] if args.data in ("sample", "hub") else missing_source(args.data)
    try:
        slice_bounds(args.slice, 1000)
    except ValueError as fault:
        if args.data != "hub":
            faults.append(str(fault).replace("slice_str", "slice", 1))
    faults += model_faults("teacher", args.teacher, ("starter",))
    if args.student is not None:
        faults += model_faults("student", args.student, ("every_second_layer", "from_teacher"))
    faults += output_faults("output_dir", args.output_dir or f"outputs/{mode}")
    return faults + faults_of(lambda: reading_keywords(args))


def run_systems_job(args: argparse.Namespace, mode: SystemMode) -> dict[str, Any]:
    """Run all steps and print the result of each.

    Returns:
        `checkpoint`, the student's folder; `teacher` and `student`, their `HeldOutScores`.

    Raises:
        StillroomError: A step failed.
    """
    console = Console(args.verbose)
    run = _run_folder(args, mode, console)
    run.begin()
    out = run.path
    train, held_out = _data(args, mode, out)
    console.line("data", f"{len(train):,} records to train on, {len(held_out)} kept out")
    # Imported here because they load torch and transformers.
    from ...evaluation.compare_models import compare_models
    from ...evaluation.held_out import describe_scores, score_held_out
    from ...inference.system_pair.models import load_student, load_teacher

    with console.timed("teacher") as words:
        teacher_path = _teacher(args, mode, train, out)
        words.append(teacher_path)
    if getattr(args, "relabel", False):
        with console.timed("labels") as words:
            train = _relabel(args, teacher_path, train, out)
            words.append(f"{len(train)} answers of the teacher")
    with console.timed("student") as words:
        student_path = _distill(args, mode, teacher_path, train, out)
        words.append(student_path)
    teacher, student = load_teacher(teacher_path), load_student(student_path)
    loaded = {
        "teacher_model": teacher[0], "teacher_tokenizer": teacher[1],
        f"sys{mode[-1]}_model": student[0], f"sys{mode[-1]}_tokenizer": student[1],
    }  # fmt: skip
    most = {f"max_tokens_{name}": args.max_new_tokens for name in ("teacher", "sys1", "sys2")}
    compare_models(
        [question_of(record) for record in held_out[:COMPARED]],
        None, None, None, out=out / "comparison.json", **loaded, **most,
    )  # fmt: skip
    scores = {}
    for name, (model, tokenizer) in (("teacher", teacher), ("student", student)):
        scores[name] = score_held_out(
            model, tokenizer, held_out, mode=_mode_of(model, mode),
            max_new_tokens=args.max_new_tokens,
        )  # fmt: skip
        console.block("\n".join(describe_scores(name, scores[name], held_out)))
    run.finish()
    return {"checkpoint": student_path, **scores}


def _run_folder(args: argparse.Namespace, mode: SystemMode, console: Console) -> RunFolder:
    """Open the named run folder, or choose one that no other run uses.

    Raises:
        ConfigError: The named folder holds another run, or other files.
    """
    wanted = Path(args.output_dir or f"outputs/{mode}")
    reading = reading_keywords(args)
    own = {"sample": {"data": "sample"}, "hub": {"data": "hub"}}
    source = own.get(args.data) or source_of(args.data, wanted.absolute().parent)
    settings = {
        name: value
        for name, value in vars(args).items()
        if name not in ("data", "output_dir", "verbose", *reading)
    }
    source |= {"slice": args.slice, **json.loads(json.dumps(reading))}
    owner = {"source": source, "settings": {"mode": mode, **settings}}
    identity = sha256_text(json.dumps(owner, sort_keys=True))
    return open_run_folder(wanted, identity, owner, console, is_named=bool(args.output_dir))


def question_of(record: Mapping[str, Any]) -> str:
    """Join instruction and input to one text, which gives the same prompt as the two of them."""
    given = record.get("input")
    return f"{record['instruction']}\nInput: {given}" if given else str(record["instruction"])


def hold_out(records: Sequence[Mapping[str, Any]], count: int) -> tuple[Records, Records]:
    """Keep some records out of the training, the same ones in every run.

    Records with the same question stay together, so that no held-out question is trained on.

    Args:
        records: Records with an output.
        count: Number of questions to keep out; at most a fifth of them are.

    Returns:
        The records to train on, and one record per held-out question.

    Raises:
        ConfigError: `count` is below 1.
        EmptyDataError: There are too few records.
    """
    if count < 1:
        raise ConfigError([f"held-out is {count}; allowed is 1 or more"])
    position = {question_of(record): split_position(question_of(record)) for record in records}
    if len(position) < 5:
        raise EmptyDataError(f"there are {len(position)} different questions; 5 are needed")
    kept = sorted(position, key=lambda text: position[text])[: min(count, len(position) // 5)]
    out = set(kept)
    train = [dict(record) for record in records if question_of(record) not in out]
    first: dict[str, Mapping[str, Any]] = {}
    for record in records:
        first.setdefault(question_of(record), record)
    return train, [dict(first[text]) for text in kept]


def _data(args: argparse.Namespace, mode: SystemMode, out: Path) -> tuple[Records, Records]:
    from ...data.datasets.json_files import save_json
    from ..reasoning.rows import system1_records, system2_records

    source, reading = None if args.data == "hub" else args.data, reading_keywords(args)
    records = (
        system1_records(args.slice, source=source, strict=True, reading=reading)
        if mode == "system1"
        else system2_records(
            args.slice, args.rv_min, args.cd_min, source=source, strict=True, reading=reading
        )
    )
    answered = [record for record in records if record["output"].strip()]
    train, held_out = hold_out(answered, args.held_out)
    save_json(out / "data" / "train.json", train)
    save_json(out / "data" / "held_out.json", held_out)
    return train, held_out


def _teacher(args: argparse.Namespace, mode: SystemMode, train: Records, out: Path) -> str:
    from ...distillation.starter_student import STARTER
    from ..reasoning.starter_teachers import train_starter_teacher

    if args.teacher != STARTER:
        return str(args.teacher)
    return train_starter_teacher(
        train, str(out / "teacher"), mode, num_epochs=args.teacher_epochs, seed=args.seed
    )


def _relabel(args: argparse.Namespace, teacher_path: str, train: Records, out: Path) -> Records:
    from ...data.datasets.json_files import save_json
    from ...inference.system_pair.models import load_teacher
    from ...labeling.tasks.reasoning_labels import label_with_teacher

    labelled = label_with_teacher(
        *load_teacher(teacher_path), train, batch_size=32, temperature=0.0,
        max_new_tokens=args.max_new_tokens, work_dir=out / "labels",
    )  # fmt: skip
    save_json(out / "data" / "train.json", labelled)
    return labelled


def _distill(
    args: argparse.Namespace, mode: SystemMode, teacher_path: str, train: Records, out: Path
) -> str:
    from .systems import distill_system

    config = {
        "teacher_model": teacher_path,
        "student_model": args.student or "every_second_layer",
        "labeled_path" if mode == "system1" else "cot_path": str(out / "data" / "train.json"),
        "num_epochs": args.epochs,
        "out_dir": str(out / "student"),
        "config_path": str(out / "job.json"),
    }
    found = distill_system(mode, config, strict=True, records=train)
    if found is None:
        raise StillroomError("the distillation ended without a student")
    return found


def _mode_of(model: Any, mode: SystemMode) -> SystemMode:  # noqa: ANN401
    from ...inference.system_pair.answers import trained_mode

    return trained_mode(model, mode)


def systems_command(mode: SystemMode) -> Command:
    """Make the command of a mode."""
    return Command(
        lambda: systems_parser(mode),
        lambda args: run_systems_job(args, mode),
        lambda args: systems_faults(args, mode),
        lambda args: args.output_dir or f"outputs/{mode}",
    )


SYSTEM1 = systems_command("system1")
SYSTEM2 = systems_command("system2")
