"""Open a student, or a server's service, as a chat service with its conversations and feedback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from langchain_core.language_models import BaseChatModel

from ...errors import CheckpointError
from ...run_folder import PROGRESS_FILE
from ..agent import AgenticWorkflow, MultiAgentWorkflow
from ..feedback.feedback_store import FeedbackStore
from ..reading.table_reader import TableReader
from ..workflow import Workflow
from .answerers import Answerer, ServiceAnswerer, TurnService, WorkflowAnswerer
from .chat_service import ChatService, ReadTable
from .comparison import Comparison, compared_folders
from .own_tables import OwnTables
from .review_queue import ReviewQueue, gold_answers
from .transcript import Transcript

CONVERSATIONS: Final = "conversations.db"
FEEDBACK: Final = "feedback.db"
"""Files of the folder for conversations and feedback."""
_SINGLE: Final = "The student alone, not checked"
_MULTI: Final = "The student, checked against the table"


def open_chat_service(
    student: str | Path, *, keep: str | Path | None = None, read_table: ReadTable | None = None
) -> ChatService:
    """Open a student with both workflows over it.

    Args:
        student: The student's folder; models and report of its run are used where it has them.
        keep: Folder for conversations and feedback, readable by its owner only; by default
            `chat_folder(student)`.
        read_table: Reads the tables that users bring; None allows none.

    Raises:
        ModelNotFoundError: There is no such folder.
        CheckpointError: It is not a checkpoint, or not safe to load.
    """
    folder = Path(student)
    kept = Path(keep) if keep is not None else chat_folder(folder)
    kept.mkdir(parents=True, exist_ok=True, mode=0o700)
    multi = MultiAgentWorkflow(folder, checkpointer=f"sqlite:///{kept / 'threads.db'}")
    single = AgenticWorkflow(
        folder,
        chat_model=multi.agent.chat_model,
        table=multi.agent.table,
        checkpointer=multi.checkpointer,
    )
    return _over_student(answerers(multi, single), folder, kept, multi, read_table, may_edit=True)


def chat_over(
    service: TurnService,
    workflows: Mapping[str, Workflow],
    student: Path,
    keep: Path,
    *,
    read_table: ReadTable | None = None,
    may_edit: bool = False,
) -> ChatService:
    """Run the turns of the chat page by a server's service.

    Args:
        service: Admits the turns; see `http.service.Service`.
        workflows: Its workflows by name, the default first.
        student: The student's folder.
        keep: Folder for conversations and feedback.
        read_table: As in `open_chat_service`.
        may_edit: Users may edit the names of the table's columns, which all users share, and review
            the answers of people.
    """
    multi = next((one for one in workflows.values() if isinstance(one, MultiAgentWorkflow)), None)
    reader = None if multi is None else multi.agent.reader
    found: dict[str, Answerer] = {
        name: ServiceAnswerer(service, name, _label(one, reader), reader)
        for name, one in workflows.items()
    }
    return _over_student(found, student, keep, multi, read_table, may_edit=may_edit)


def chat_service(workflow: Workflow) -> ChatService:
    """Serve one workflow, keeping conversations and feedback in memory."""
    return ChatService(answerers(workflow))


def answerers(*workflows: Workflow) -> dict[str, Answerer]:
    """Name workflows for users."""
    found: dict[str, Answerer] = {}
    for workflow in workflows:
        reader = getattr(getattr(workflow, "agent", None), "reader", None)
        name = "single" if isinstance(workflow, AgenticWorkflow) else "multi"
        found[name] = WorkflowAnswerer(workflow, _label(workflow, reader), reader)
    return found


def chat_folder(student: Path) -> Path:
    """Choose where the conversations with a student are kept.

    Never inside the student's own folder, which may be copied or published: in the folder of its
    run, else beside it.
    """
    if not student.is_dir():
        raise CheckpointError(f"{str(student)!r} is not the folder of a student")
    if (student.parent / PROGRESS_FILE).is_file():
        return student.parent / "chat"
    return student.with_name(f"{student.name}.chat")


def _over_student(
    found: Mapping[str, Answerer],
    student: Path,
    kept: Path,
    multi: MultiAgentWorkflow | None,
    read_table: ReadTable | None,
    *,
    may_edit: bool,
) -> ChatService:
    """Add what a student's run folder has: models to compare with, and the report."""
    run = student.parent if (student.parent / PROGRESS_FILE).is_file() else None
    model = None if multi is None else multi.agent.chat_model
    reader = None if multi is None else multi.agent.reader
    table = None if reader is None else reader.table
    transcript, feedback = Transcript(kept / CONVERSATIONS), FeedbackStore(kept / FEEDBACK)
    review = ReviewQueue(feedback, transcript, reader, gold=lambda: gold_answers(student))
    return ChatService(
        found,
        transcript=transcript,
        feedback=feedback,
        comparison=None if run is None else _comparison(run, student, model, reader),
        report=None if run is None else run / "report.html",
        read_table=read_table,
        own_tables=OwnTables(kept / "tables"),
        save_table=(lambda edited: edited.write(student)) if may_edit and table else None,
        review=review if may_edit else None,
    )


def _comparison(
    run: Path, student: Path, model: BaseChatModel | None, reader: TableReader | None
) -> Comparison | None:
    folders = compared_folders(run)
    if len(folders) < 2:
        return None
    same = student.resolve()
    opened = {name: model for name, at in folders.items() if model and at.resolve() == same}
    return Comparison(folders, opened, reader)


def _label(workflow: Workflow, reader: TableReader | None) -> str:
    if isinstance(workflow, AgenticWorkflow):
        return _SINGLE
    return "The student" if reader is None else _MULTI
