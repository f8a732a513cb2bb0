"""`stillroom renew`: train a student on what people said about its answers, or go back.

stillroom renew outputs/elements/student --dry-run
stillroom renew outputs/elements/student
stillroom renew outputs/elements/student --review list
stillroom renew outputs/elements/student --back
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...console import Console
from ...errors import ConfigError
from ...files import write_text
from ...run_folder import PROGRESS_FILE
from ...tables import TABLE_FILE
from ..command import Command, Verdict
from ..options import (
    EXIT_FAILED,
    CommandParser,
    add_json,
    add_verbose,
    device,
    number,
    text,
    whole_number,
)

if TYPE_CHECKING:
    from ...agentic_workflow.feedback.claims import Judged, Rules
    from ...agentic_workflow.feedback.feedback_store import Ruling
    from ...agentic_workflow.feedback.proposals import Proposal
    from .evidence import Evidence
    from .renew import Renewal

ACTIONS: Final = ("list", "accept", "reject", "edit")
LISTED: Final = ("id", "question", "answer", "instead_of", "people", "against", "reason")
"""Columns of the list as CSV."""
_SHOWN: Final = 20


def renew_parser(program: str = "stillroom renew") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Renew a student from what people said about its answers: likes, corrections, answers of\n"
        "the teacher. What the table, a gold answer or several people confirm is trained on; the\n"
        "rest waits for --review. The renewed student is served only if it is better on the\n"
        "frozen test. Exit status 1 if it is not.",
        (
            f"{program} outputs/elements/student --dry-run",
            f"{program} outputs/elements/student --feedback said.csv --json",
            f"{program} outputs/elements/student --review list",
            f"{program} outputs/elements/student --review accept 1f0c2a9d3e",
            f"{program} outputs/elements/student --review edit 1f0c2a9d3e 'Au'",
            f"{program} outputs/elements/student --back",
        ),
        {0: "done; a renewed student is served", EXIT_FAILED: "failed, or the student stays"},
    )
    add = parser.add_argument
    add("student", help="the folder of a student, or of the run that made it")
    add("--feedback", type=text, action="append", default=[], metavar="PATH",
        help="folder of chat --keep or serve --data-dir, or a CSV or JSON Lines file with "
        "question, answer, opinion, correction, owner; may be given again; default: that of the "
        "chat page")  # fmt: skip
    add(
        "--dry-run", action="store_true", help="tell what would be trained on, and what is proposed"
    )
    add("--review", nargs="+", metavar="ACTION",
        help="list; accept ID ...; reject ID ...; edit ID ANSWER")  # fmt: skip
    add("--output", type=text, metavar="FILE", help="write the list of --review as CSV too")
    add("--back", action="store_true", help="serve the student from before the last renewal again")
    add("--seeds", type=whole_number(3), default=3, metavar="N",
        help="students to train, each with its own seed (default 3)")  # fmt: skip
    add("--effort", type=number(0, above=True), default=1.0, metavar="X",
        help="multiply the steps of each training (default 1)")  # fmt: skip
    add("--new-share", type=number(0, 1, above=True), default=0.2, metavar="X",
        help="most of the training that new examples take (default 0.2)")  # fmt: skip
    add("--people", type=whole_number(2), default=3, metavar="N",
        help="people who must agree where the table does not know (default 3)")  # fmt: skip
    add("--per-person", type=whole_number(1), default=200, metavar="N",
        help="most answers of one person that count (default 200)")  # fmt: skip
    add("--per-record", type=whole_number(1), default=10, metavar="N",
        help="most accepted answers about one record (default 10)")  # fmt: skip
    add("--category-bound", type=number(0, 1), default=0.05, metavar="X",
        help="share of right answers that a category may lose (default 0.05)")  # fmt: skip
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    add_json(parser)
    add_verbose(parser)
    return parser


def student_and_run(given: str) -> Path | None:
    """Return the student's folder, given that folder or its run's; None for anything else."""
    places = (Path(given), Path(given) / "student")
    return next((one for one in places if (one / TABLE_FILE).is_file()), None)


def renew_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading anything."""
    faults = []
    student = student_and_run(args.student)
    if student is None:
        faults.append(f"student is {args.student!r}, which holds no {TABLE_FILE}; name the folder "
                      "of a student or of its run")  # fmt: skip
    elif not (student.resolve().parent / PROGRESS_FILE).is_file():
        faults.append(f"student is {args.student!r}, which is in no run's folder; a run keeps the "
                      "data that renewing needs")  # fmt: skip
    if sum((args.dry_run, args.back, args.review is not None)) > 1:
        faults.append("give one of --dry-run, --review and --back")
    for one in args.feedback:
        if not Path(one).exists():
            faults.append(f"--feedback is {one!r}; there is no such file or folder")
    if args.review is not None:
        action, *rest = args.review
        if action not in ACTIONS:
            faults.append(f"--review is {action!r}; allowed are {', '.join(ACTIONS)}")
        elif action == "list" and rest:
            faults.append("--review list takes nothing more")
        elif action in ("accept", "reject") and not rest:
            faults.append(f"--review {action} needs the ids of --review list")
        elif action == "edit" and len(rest) != 2:
            faults.append("--review edit needs an id and the right answer")
    if args.output is not None and (args.review or [""])[0] != "list":
        faults.append("--output is for --review list")
    return faults


def renew_command(args: argparse.Namespace) -> object:
    """Renew a student, review what people said, or go back; return the result for `--json`.

    Raises:
        DataError: The data cannot be used.
        ConfigError: The student cannot be renewed.
    """
    console = Console(args.verbose, as_data=args.json)
    student = student_and_run(args.student)
    assert student is not None
    if args.back:
        return _back(student, args, console)
    if args.review is not None:
        return _review(student, args, console)
    return _renew(student, args, console)


def _renew(student: Path, args: argparse.Namespace, console: Console) -> object:
    from ...evaluation.promotion import PromotionRules
    from .renew import RenewSettings, renew

    settings = RenewSettings(
        feedback=tuple(args.feedback),
        seeds=args.seeds,
        new_share=args.new_share,
        effort=args.effort,
        rules=_rules(args),
        promotion=PromotionRules(category_bound=args.category_bound),
        device=args.device,
    )
    found = renew(student, settings, console, dry_run=args.dry_run)
    _tell(found, args.student, console)
    if found.status == "refused":
        return Verdict(found.to_dict(), f"{found.verdict['in_words']}; the running student stays")
    return found.to_dict()


def _tell(found: Renewal, student: str, console: Console) -> None:
    data = found.data
    console.line("answers", f"{data['accepted']:,} accepted, {data['waiting']:,} wait for review, "
                 f"{data['rejected']:,} rejected")  # fmt: skip
    console.line("data", f"{data['old']:,} old examples, {data['new']:,} new; "
                 f"{data['replaced_labels']:,} labels of the teacher replaced; "
                 f"{data['preference_pairs']:,} preference pairs; "
                 f"{data['left_out']:,} left out")  # fmt: skip
    for reason in found.verdict.get("reasons", ()):
        console.line("gate", reason)
    for name, one in found.verdict.get("forgetting", {}).items():
        told = f"{one['forgotten']} of {one['known']} known answers forgotten"
        console.line("test", f"{name}: {told}, {one['learned']} learned")
    for question in found.verified[:_SHOWN] if not found.version else ():
        console.line("verified", f"would be added: {question!r}")
    _tell_proposals(found.proposals, console)
    console.line(*{
        "served": ("served", f"version {found.version}; restart what serves {student}. "
                   f"stillroom renew {student} --back brings the old student back"),
        "refused": ("refused", f"version {found.version}"),
        "dry run": ("next", f"stillroom renew {student}; --review list shows what waits"),
    }.get(found.status, ("nothing", found.status)))  # fmt: skip


def _tell_proposals(proposals: tuple[Proposal, ...], console: Console) -> None:
    for one in proposals[:_SHOWN]:
        console.line("proposal", f"{one.id}  {one.in_words()}")


def _back(student: Path, args: argparse.Namespace, console: Console) -> object:
    from .renew import take_back

    version = take_back(student)
    console.line("back", f"the student from before version {version.number} is served again, byte "
                 f"by byte; restart what serves {args.student}")  # fmt: skip
    return {"taken_back": version.number, "sha256": version.state["before_sha256"]}


def _rules(args: argparse.Namespace) -> Rules:
    from ...agentic_workflow.feedback.claims import Rules

    return Rules(people=args.people, per_person=args.per_person, per_record=args.per_record)


def _review(student: Path, args: argparse.Namespace, console: Console) -> object:
    from .evidence import open_evidence

    evidence = open_evidence(student, args.feedback, rules=_rules(args))
    try:
        if args.review[0] == "list":
            waiting, proposals = evidence.queue.waiting(), tuple(evidence.queue.proposals())
            _list(waiting, proposals, args, console)
            return {"waiting": [one.to_dict() for one in waiting],
                    "proposals": [one.to_dict() for one in proposals]}  # fmt: skip
        return {"decided": _decide(student, evidence, args, console), "as": args.review[0]}
    finally:
        evidence.close()


def _list(
    waiting: list[Judged],
    proposals: tuple[Proposal, ...],
    args: argparse.Namespace,
    console: Console,
) -> None:
    if args.output is not None:
        write_text(args.output, review_csv(waiting))
    for one in waiting:
        instead = f" instead of {one.claim.rejected[0]!r}" if one.claim.rejected else ""
        console.line(one.claim.id, f"{one.claim.question!r}: {one.claim.answer!r}{instead}; "
                     f"{one.reason}")  # fmt: skip
    _tell_proposals(proposals, console)
    counts = Counter(one.reason for one in waiting)
    console.line("waiting", f"{len(waiting):,} answers, {len(proposals):,} proposed names"
                 + (f"; most often: {counts.most_common(1)[0][0]}" if counts else ""))  # fmt: skip


def review_csv(waiting: list[Judged]) -> str:
    """Write what waits as CSV that is safe to open in a spreadsheet."""
    from ...agentic_workflow.feedback.spreadsheet_text import without_formula

    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(LISTED)
    for one in waiting:
        given = one.to_dict() | {"instead_of": "; ".join(one.claim.rejected)}
        writer.writerow([without_formula(str(given[name])) for name in LISTED])
    return out.getvalue()


def _decide(
    student: Path, evidence: Evidence, args: argparse.Namespace, console: Console
) -> list[str]:
    from ...agentic_workflow.feedback.feedback_store import Decision
    from ...tables import FactTable

    action: str = args.review[0]
    rest: list[str] = args.review[1:]
    queue = evidence.queue
    ids = rest[:1] if action == "edit" else rest
    proposals = {one.id: one for one in queue.proposals()}
    known = {one.claim.id for one in queue.judged()} | set(proposals)
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise ConfigError([f"nothing in the review has the id {one!r}; --review list shows what "
                           "waits" for one in unknown])  # fmt: skip
    verdict: Ruling = "rejected" if action == "reject" else "accepted"
    for place in ids:
        answer = rest[1] if action == "edit" else ""
        proposal = proposals.get(place)
        queue.decide(place, Decision(verdict, answer, reviewer="command line"))
        if proposal is not None and verdict == "accepted":
            if not proposal.column:
                raise ConfigError([f"{place} proposes no column; stillroom run --also-called "
                                   "COLUMN=WORDS names one"])  # fmt: skip
            table = FactTable.read(student)
            assert table is not None
            table.also_called({proposal.column: (proposal.words,)}).write(student)
            console.line(verdict, f"{proposal.words!r} is another name of {proposal.label}")
        else:
            console.line(verdict, place)
    return ids


RENEW = Command(renew_parser, renew_command, renew_faults, lambda args: args.student)
