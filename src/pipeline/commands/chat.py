"""`stillroom chat`: open the chat page over a student.

stillroom chat outputs/elements/student
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from ...console import Console
from ...errors import DataError
from ...tables import FactTable
from ..command import Command, print_json
from ..options import CommandParser, add_json, add_verbose, text, whole_number
from ..path_checks import model_faults

MOST_RECORDS: Final = 100_000
"""Records of a table that is brought in the page."""
MOST_UNPACKED: Final = 200 * 1024**2
"""Bytes that a workbook may have when it is unpacked."""
KINDS: Final = (".csv", ".tsv", ".xlsx")
"""Files that can be brought."""


def chat_parser(program: str = "stillroom chat") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Chat with a student in the browser.",
        (program, f"{program} outputs/elements/student"),
    )
    parser.add_argument("checkpoint", nargs="?", help="default: the newest outputs/*/student")
    parser.add_argument(
        "--port", type=whole_number(1, 65535), help="default: the first free one from 7860"
    )
    parser.add_argument(
        "--keep", type=text, metavar="FOLDER",
        help="where conversations and feedback are kept; default: chat/ in the run's folder",
    )  # fmt: skip
    add_json(parser, "print the address as one JSON document when the page is there")
    add_verbose(parser)
    return parser


def chat_faults(args: argparse.Namespace) -> list[str]:
    """Report that there is no student to chat with."""
    if args.checkpoint is not None:
        return model_faults("checkpoint", args.checkpoint, hub=False)
    if not any(Path("outputs").glob("*/student/config.json")):
        return [
            "there is no student below 'outputs'; make one with stillroom run, or name a folder"
        ]
    return []


def chat(args: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    Console(args.verbose)
    from ...agentic_workflow.chat_page.page import launch, newest_student
    from ...agentic_workflow.conversations.open_chat import open_chat_service

    student = args.checkpoint or newest_student()
    service = open_chat_service(student, keep=args.keep, read_table=read_own_table)
    try:
        launch(service, port=args.port, tell=_told(args, str(student)))
    finally:
        service.close()


def _told(args: argparse.Namespace, student: str) -> Callable[[str], None]:
    """Make what prints the address: for a person, or as JSON."""
    if args.json:
        return lambda address: print_json({"address": address, "student": student})
    return lambda address: print(f"stillroom chat: {address}  (press Ctrl-C to stop)", flush=True)


def read_own_table(path: Path, name: str) -> FactTable:
    """Read a file that a user brings into a table that can be asked without a student.

    Args:
        path: The file.
        name: Name that it is shown by.

    Raises:
        DataError: It is no CSV or Excel file, too large, or nothing can be asked about it.
    """
    from ...data.questions.phrasings import CONDITION_TEMPLATES, QUESTION_TEMPLATES
    from ...data.questions.profile import profile_table
    from ...data.questions.questions import fact_table
    from ...data.readers.read_table import iter_records

    if path.suffix.lower() not in KINDS:
        raise DataError(f"is no table of a kind that is read here: {', '.join(KINDS)}", path=name)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(part.file_size for part in packed.infolist())
        if unpacked > MOST_UNPACKED:
            raise DataError(
                f"has {unpacked / 1024**2:,.0f} MB when it is unpacked; "
                f"allowed are {MOST_UNPACKED / 1024**2:.0f}",
                path=name,
            )
    try:
        records = list(islice(iter_records(path, flatten=True), MOST_RECORDS + 1))
        if len(records) > MOST_RECORDS:
            raise DataError(f"has more than {MOST_RECORDS:,} records", path=name)
        profile = profile_table(records, source=name)
        asked = CONDITION_TEMPLATES if profile.kind == "rows" else QUESTION_TEMPLATES
        return fact_table(records, profile, asked)
    except DataError as fault:
        raise DataError(str(fault).replace(str(path), name)) from fault


CHAT = Command(chat_parser, chat, chat_faults, prints_json=True)
