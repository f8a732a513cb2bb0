"""The service: a checkpoint, its engine, workflows by name and threads; every turn runs here.

    service = open_service("outputs/elements/student", ServerSettings(), data_dir="outputs/serve")
    async for event in service.stream_events("multi", "anna", "What is the symbol of gold?"):
        ...

HTTP routes and the chat page call no model and no workflow themselves. They enter `turn` (or use
`stream_events`), which admits the turn, names its owner to the engine, gives it a run id and a
deadline, records it, and ends it when the engine hangs or the server drains.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ...errors import ConfigError, EngineBusyError, EngineFailedError
from ...inference.sources.find_model import find_model
from ...prompts import prompts_sha256
from ...tables import FactTable
from ..answer_events import Event
from ..distilled_agent import open_student
from ..model_calls.deadlines import RunContext
from ..multi_agent import MultiAgentWorkflow
from ..single_agent import AgenticWorkflow
from ..threads.open_store import open_checkpointer
from ..workflow import Workflow
from ..workflow_input import WorkflowInput
from .checkpoint_hash import checkpoint_sha256
from .replies import refuse
from .settings import OWNER, ServerSettings

WorkflowName = Literal["single", "multi"]
_MAX_THREAD_ID = 200


class TokenCount(UsageMetadataCallbackHandler):
    """Counts the tokens of model calls, in the event loop: a thread for each event costs more."""

    run_inline = True


@dataclass(eq=False)
class Turn:
    """A turn in progress."""

    run_id: str
    """UUID that answers, logs, spans and feedback share."""
    owner: str
    name: str
    """Name of the workflow or model that answers."""
    workflow: Workflow | None
    """The workflow; None for a call of the model alone."""
    config: RunnableConfig
    """For the graph or chat model: run id, callbacks, and the thread's key where there is one."""
    limits: RunContext
    """For the graph, as its `context`."""
    identity: Mapping[str, str]
    """`run_id`, `model`, `prompt_sha256` and `checkpoint_sha256`, for the answer."""
    began: float = field(default_factory=time.monotonic)
    first_token_s: float | None = None
    """Seconds to the first token; set by whoever streams."""
    outcome: str = ""
    """How it ended, for the metrics: the workflow's exit, a finish reason, or an error's code."""
    usage: TokenCount = field(default_factory=TokenCount)
    """Counts the tokens of the turn's model calls."""
    _task: asyncio.Task[Any] | None = None
    _lost: bool = False

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of prompts and of answers so far."""
        counts = list(self.usage.usage_metadata.values())
        return sum(c["input_tokens"] for c in counts), sum(c["output_tokens"] for c in counts)

    def note_token(self) -> None:
        """Record the time of the first token."""
        if self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.began


class Service:
    """Runs the turns of all owners.

    Args:
        chat_model: The student.
        workflows: Workflows by name, the default one first; with a checkpointer, to have threads.
        settings: Limits.
        model_name: Name of the student alone, for `/v1/models`; not that of a workflow.
        checkpoint_sha256: Hash of the checkpoint's files; empty where there are none.
        data_dir: Folder for what the server keeps; None keeps nothing on disk.
        embeddings: Opens the embedding model for `/v1/embeddings`; None: there is none.

    Raises:
        ConfigError: There is no workflow, or the model's name is that of one.
    """

    def __init__(
        self,
        chat_model: BaseChatModel,
        workflows: Mapping[str, Workflow],
        settings: ServerSettings | None = None,
        *,
        model_name: str = "student",
        checkpoint_sha256: str = "",
        data_dir: Path | None = None,
        embeddings: Callable[[], Embeddings] | None = None,
    ) -> None:
        """Start without turns."""
        if not workflows or model_name in workflows:
            raise ConfigError([
                f"workflows are {list(workflows)} and the model is {model_name!r}; give at least "
                "one workflow, and a name of its own to the model"
            ])  # fmt: skip
        self.chat_model = chat_model
        self.workflows = dict(workflows)
        self.settings = settings or ServerSettings()
        self.model_name = model_name
        self.checkpoint_sha256 = checkpoint_sha256
        self.prompt_sha256 = prompts_sha256()
        self.data_dir = data_dir
        self.started = int(time.time())
        """Unix time."""
        self.callbacks: list[BaseCallbackHandler] = []
        """Of every turn; spans are one of them."""
        self.observers: list[Callable[[Turn], None]] = []
        """Called with every turn that has ended."""
        self.draining = False
        """The server ends: turns in progress go on, new ones are refused."""
        self.hung = False
        """The watchdog found the engine hung."""
        self.must_restart = False
        """It has hung for so long that only a restart of the process helps."""
        self._stateless = {
            name: workflow.without_memory() for name, workflow in self.workflows.items()
        }
        self._open_embeddings = embeddings
        self._embeddings: Embeddings | None = None
        self._turns: set[Turn] = set()
        self._per_owner: Counter[str] = Counter()

    @property
    def default_workflow(self) -> str:
        """Name of the first workflow."""
        return next(iter(self.workflows))

    @property
    def model_names(self) -> list[str]:
        """All names that `/v1/models` lists: the student, then the workflows."""
        return [self.model_name, *self.workflows]

    @property
    def checkpointer(self) -> BaseCheckpointSaver[Any] | None:
        """The store of threads; None where the workflows remember nothing."""
        return self.workflows[self.default_workflow].checkpointer

    @property
    def table(self) -> FactTable | None:
        """The student's table."""
        agent = getattr(self.workflows[self.default_workflow], "agent", None)
        return None if agent is None else agent.table

    @property
    def turns(self) -> Sequence[Turn]:
        """Turns in progress."""
        return list(self._turns)

    @property
    def engine(self) -> Any:  # noqa: ANN401 - an `Engine`, or None
        """The student's engine; None for chat models that are not `ChatStudent`."""
        return getattr(self.chat_model, "serving_engine", None)

    def embeddings(self) -> Embeddings:
        """Open the embedding model at the first call; may take seconds, so call it in a thread.

        Raises:
            FaultError: There is none (404).
        """
        if self._embeddings is None:
            if self._open_embeddings is None:
                raise refuse(404, "this server has no embeddings", "model_not_found", "model")
            self._embeddings = self._open_embeddings()
        return self._embeddings

    def thread_key(self, owner: str, thread_id: str) -> str:
        """Give the name under which a thread is stored: its owner and its id.

        Another owner's thread of the same id has another key, so that it cannot be reached by
        guessing.

        Raises:
            FaultError: The id cannot be used (422).
        """
        if not OWNER.fullmatch(owner):
            raise ValueError(f"owner is {owner!r}; allowed are names such as 'anna'")
        fine = thread_id.isprintable() and 1 <= len(thread_id) <= _MAX_THREAD_ID
        if not fine:
            raise refuse(
                422,
                f"thread_id has {len(thread_id)} characters; allowed are 1 to {_MAX_THREAD_ID} "
                "printable ones",
                "invalid_value",
                "thread_id",
            )
        return f"{owner}/{thread_id}"

    def workflow(self, name: str) -> Workflow:
        """Return a workflow by its name.

        Raises:
            FaultError: There is none (404).
        """
        if name not in self.workflows:
            raise self._unknown(name)
        return self.workflows[name]

    @asynccontextmanager
    async def turn(
        self,
        name: str,
        owner: str,
        *,
        thread_id: str | None = None,
        run_id: str | None = None,
        deadline_s: float | None = None,
    ) -> AsyncIterator[Turn]:
        """Admit a turn for the time of a block.

        Args:
            name: Of a workflow, or `model_name`.
            owner: Whose turn it is.
            thread_id: Id of the owner's thread that the turn belongs to; None remembers nothing.
            run_id: UUID; None makes one.
            deadline_s: Seconds that it may take; the server's own limit if that is less.

        Raises:
            FaultError: There is no such model (404), or the server drains (503).
            EngineBusyError: Too many turns are in progress (429).
            EngineFailedError: The engine hangs, or hung during the turn (503).
        """
        if name != self.model_name and name not in self.workflows:
            raise self._unknown(name)
        chosen = self.workflows if thread_id is not None else self._stateless
        most = self.settings.turn_deadline_s
        run_id, usage = run_id or str(uuid.uuid4()), TokenCount()
        config: RunnableConfig = {
            "run_id": uuid.UUID(run_id),
            "callbacks": [usage, *self.callbacks],
            "metadata": {"owner": owner, "model": name},
        }
        if thread_id is not None:
            config["configurable"] = {"thread_id": self.thread_key(owner, thread_id)}
        turn = Turn(
            run_id=run_id,
            owner=owner,
            name=name,
            workflow=chosen.get(name),
            config=config,
            limits=RunContext(deadline_s=min(deadline_s or most, most), caller=owner),
            identity={
                "run_id": run_id,
                "model": name,
                "prompt_sha256": self.prompt_sha256,
                "checkpoint_sha256": self.checkpoint_sha256,
            },
            usage=usage,
        )
        self._admit(turn)
        try:
            yield turn
        except asyncio.CancelledError:
            if not turn._lost or turn._task is None:
                turn.outcome = "cancelled"
                raise
            turn._task.uncancel()
            turn.outcome = "engine_failed"
            raise EngineFailedError(
                "the engine hung during this turn, so it was ended; ask again"
            ) from None
        except BaseException as fault:
            turn.outcome = turn.outcome or type(fault).__name__
            raise
        finally:
            self._leave(turn)

    async def stream_events(
        self,
        name: str,
        owner: str,
        given: WorkflowInput,
        *,
        context: str | None = None,
        chat_history: Sequence[Any] | None = None,
        thread_id: str | None = None,
        run_id: str | None = None,
    ) -> AsyncIterator[Event]:
        """Run a turn of a workflow and stream its events (`answer_events`).

        The first event is `{"type": "run", **identity}`. Closing the iterator cancels the turn, of
        which nothing is stored then.

        Raises:
            FaultError, EngineBusyError, EngineFailedError: As `turn` does.
            ValueError: The query is empty.
        """
        async with self.turn(name, owner, thread_id=thread_id, run_id=run_id) as turn:
            if turn.workflow is None:
                raise self._unknown(name)
            yield {"type": "run", **turn.identity}
            events = turn.workflow.astream_events(
                given, turn.config, context=context, chat_history=chat_history, limits=turn.limits
            )
            async with aclosing(events) as stream:  # type: ignore[type-var]
                async for event in stream:
                    if event["type"] == "token":
                        turn.note_token()
                    elif event["type"] == "final":
                        turn.outcome = event["exit"]
                    yield event

    def fail_turns(self) -> None:
        """End all turns in progress with `EngineFailedError`; called by the watchdog."""
        for turn in list(self._turns):
            if turn._task is not None and not turn._lost:
                turn._lost = True
                turn._task.cancel()

    def ready(self) -> bool:
        """Tell whether a turn that is asked for now would be served."""
        engine_ready = self.engine is None or self.engine.ready()
        return not self.draining and not self.hung and engine_ready

    def close(self) -> None:
        """Close the engine, the store of threads, and the spans."""
        if self.engine is not None:
            self.engine.close()
        for one in (self.checkpointer, *self.callbacks):
            close = getattr(one, "close", None)
            if close is not None:
                close()

    def check_capacity(self, owner: str) -> None:
        """Check that a turn of an owner would be admitted now.

        Raises:
            FaultError: The server drains (503).
            EngineBusyError: Too many turns are in progress (429).
            EngineFailedError: The engine hangs (503).
        """
        if self.draining:
            raise refuse(503, "the server is going down; ask again", "draining", retry_after_s=5)
        if self.hung:
            raise EngineFailedError("the engine hangs; ask again later")
        settings = self.settings
        if len(self._turns) >= settings.max_turns:
            raise EngineBusyError(
                f"{settings.max_turns} turns are in progress already; ask again later"
            )
        if self._per_owner[owner] >= settings.max_turns_per_owner:
            raise EngineBusyError(
                f"{settings.max_turns_per_owner} turns of {owner} are in progress already; "
                "ask again when one of them has ended"
            )

    def _admit(self, turn: Turn) -> None:
        self.check_capacity(turn.owner)
        turn._task = asyncio.current_task()
        self._turns.add(turn)
        self._per_owner[turn.owner] += 1

    def _leave(self, turn: Turn) -> None:
        self._turns.discard(turn)
        self._per_owner[turn.owner] -= 1
        if self._per_owner[turn.owner] <= 0:
            del self._per_owner[turn.owner]
        for observe in self.observers:
            observe(turn)

    def _unknown(self, name: str) -> Exception:
        return refuse(
            404, f"there is no model {name!r}; there are {self.model_names}", "model_not_found",
            "model",
        )  # fmt: skip


def open_service(
    checkpoint: str | Path,
    settings: ServerSettings | None = None,
    *,
    workflow: WorkflowName = "multi",
    threads: str = "memory",
    data_dir: str | Path | None = None,
    device: str | None = None,
) -> Service:
    """Open a checkpoint with both workflows over it.

    Args:
        checkpoint: The student's folder.
        settings: Limits of the server.
        workflow: The default one: `multi` (checked answers) or `single`.
        threads: Where threads are remembered, as `open_checkpointer` takes it.
        data_dir: Folder for what the server keeps; made if missing.
        device: Torch device; None chooses.

    Raises:
        ModelNotFoundError: There is no such folder.
        CheckpointError: It is not a checkpoint, or not safe to load.
        ConfigError: A setting or the URL of the threads cannot be used.
    """
    checkpoint = find_model(str(checkpoint))  # an alias, such as `smollm2`, becomes a folder
    model = open_student(checkpoint, device=device)
    table = FactTable.read(checkpoint)
    saver = open_checkpointer(threads)
    kinds: dict[str, type[MultiAgentWorkflow] | type[AgenticWorkflow]] = {
        "multi": MultiAgentWorkflow,
        "single": AgenticWorkflow,
    }
    names = sorted(kinds, key=lambda name: name != workflow)
    workflows = {
        name: kinds[name](str(checkpoint), chat_model=model, table=table, checkpointer=saver)
        for name in names
    }
    folder = None if data_dir is None else Path(data_dir)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Service(
        model,
        workflows,
        settings,
        model_name=_model_name(Path(checkpoint), kinds),
        checkpoint_sha256=checkpoint_sha256(checkpoint),
        data_dir=folder,
        embeddings=lambda: _embeddings(model),
    )


def _embeddings(model: Any) -> Embeddings:  # noqa: ANN401 - a `ChatStudent`
    from ...inference.scoring.embeddings import StudentEmbeddings  # loads torch

    return StudentEmbeddings(model.checkpoint)


def _model_name(folder: Path, taken: Mapping[str, object]) -> str:
    """Name the student after its run: `elements` for `outputs/elements/student`."""
    resolved = folder.expanduser().resolve()
    name = resolved.parent.name if resolved.name == "student" else resolved.name
    return f"{name}-student" if name in taken or not name else name
