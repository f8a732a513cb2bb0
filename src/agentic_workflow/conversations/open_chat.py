"""Open a student's folder as a chat service: workflows, conversations, feedback, comparison."""

from __future__ import annotations

from pathlib import Path

from ...errors import CheckpointError
from ...run_folder import PROGRESS_FILE
from ..agent import AgenticWorkflow, MultiAgentWorkflow
from ..feedback.feedback_store import FeedbackStore
from ..workflow import Workflow
from .answerers import Answerer, WorkflowAnswerer
from .chat_service import ChatService, ReadTable
from .comparison import Comparison, compared_folders
from .transcript import Transcript


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
    run = folder.parent if (folder.parent / PROGRESS_FILE).is_file() else None
    comparison = None
    if run is not None and len(found := compared_folders(run)) > 1:
        opened = {name: multi.agent.chat_model for name, place in found.items() if place == folder}
        comparison = Comparison(found, opened, multi.agent.reader)
    table = multi.agent.table
    return ChatService(
        answerers(multi, single),
        transcript=Transcript(kept / "conversations.db"),
        feedback=FeedbackStore(kept / "feedback.db"),
        comparison=comparison,
        report=None if run is None else run / "report.html",
        read_table=read_table,
        save_table=None if table is None else lambda edited: edited.write(folder),
    )


def chat_service(workflow: Workflow) -> ChatService:
    """Serve one workflow, keeping conversations and feedback in memory."""
    return ChatService(answerers(workflow))


def answerers(*workflows: Workflow) -> dict[str, Answerer]:
    """Name workflows for users."""
    found: dict[str, Answerer] = {}
    for workflow in workflows:
        agent = getattr(workflow, "agent", None)
        reader = getattr(agent, "reader", None)
        if isinstance(workflow, AgenticWorkflow):
            label = "The student alone, not checked"
            found["single"] = WorkflowAnswerer(workflow, label, reader)
        elif reader is None:
            found["multi"] = WorkflowAnswerer(workflow, "The student", None)
        else:
            label = "The student, checked against the table"
            found["multi"] = WorkflowAnswerer(workflow, label, reader)
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
