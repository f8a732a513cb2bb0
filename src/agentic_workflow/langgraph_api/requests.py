"""Bodies of requests. A field that is unknown or not supported is an error that names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from langchain_core.messages import convert_to_messages
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..graphs import Graph
from ..workflow_input import whole_characters


def _whole(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Replace lone surrogates, which databases refuse, in all texts of a JSON value."""
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, Mapping):
        return {whole_characters(str(key)): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value


def _unsupported(value: Any) -> None:  # noqa: ANN401 - any JSON
    if value not in (None, False, 0, [], {}):
        raise ValueError("this server does not support the field; leave it out")


Json = Annotated[Any, BeforeValidator(_whole)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(_whole)]
Unsupported = Annotated[None, BeforeValidator(_unsupported)]
Ident = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,200}$")]
"""A thread's id, as a client may choose it."""
StreamMode = Literal[
    "values", "updates", "messages-tuple", "custom", "tasks", "checkpoints"
]  # fmt: skip
ThreadStatus = Literal["idle", "busy", "interrupted", "error"]
RunStatus = Literal["pending", "running", "success", "error", "timeout", "interrupted"]


class Body(BaseModel):
    """A body of which no field is ignored."""

    model_config = ConfigDict(extra="forbid")


class Checkpoint(Body):
    """The place of a state in its thread."""

    thread_id: str | None = None
    checkpoint_ns: Literal["", None] = ""
    checkpoint_id: Ident | None = None
    checkpoint_map: dict[str, Any] | None = None


class SendTo(Body):
    """A node that is to run next, with an input of its own."""

    node: str
    input: Json = None


class RunCommand(Body):
    """Goes on after an interrupt, changes the state, or jumps to a node."""

    resume: Json = None
    update: JsonObject | None = None
    goto: str | SendTo | list[str | SendTo] | None = None


class RunConfig(Body):
    """LangChain's run config, as far as a client may set it."""

    tags: list[str] = Field(default_factory=list, max_length=50)
    recursion_limit: int | None = Field(default=None, ge=1, le=1000)
    configurable: JsonObject = Field(default_factory=dict)

    @field_validator("configurable")
    @classmethod
    def _no_inner_keys(cls, given: dict[str, Any]) -> dict[str, Any]:
        inner = [k for k in given if k.startswith(("__", "stillroom_")) or k == "checkpoint_map"]
        if inner or given.get("checkpoint_ns"):
            raise ValueError(f"the keys {inner or ['checkpoint_ns']} are the server's own")
        return given


class RunContextBody(Body):
    """Limits of one run; see `RunContext`."""

    deadline_s: float | None = Field(default=None, gt=0, le=86400)
    teacher_calls: int | None = Field(default=None, ge=0)
    risk_target: float | None = Field(default=None, gt=0, le=1)


class RunCreate(Body):
    """A run."""

    assistant_id: str
    input: Json = None
    command: RunCommand | None = None
    config: RunConfig | None = None
    context: RunContextBody | None = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: Ident | None = None
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    """Events are stored in any case, so every stream can be resumed."""
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    durability: Literal["exit"] | None = None
    """A turn is stored completely or not at all, so the other values are refused."""
    checkpoint_during: Unsupported = None
    strict_resume: Unsupported = None
    webhook: Unsupported = None
    feedback_keys: Unsupported = None
    after_seconds: Unsupported = None
    langsmith_tracer: Unsupported = None

    @model_validator(mode="after")
    def _input_or_command(self) -> Self:
        if self.command is not None and self.input not in (None, {}):
            raise ValueError("give input or command, not both")
        return self

    def modes(self) -> frozenset[str]:
        """Return the wanted stream modes; `values` where none is given."""
        given = self.stream_mode or "values"
        return frozenset([given] if isinstance(given, str) else given)

    def request(self, graph_id: str) -> dict[str, Any]:
        """Return what `RunWorker.submit` takes."""
        config = self.config or RunConfig()
        settings = config.model_dump(exclude_none=True)
        place = settings["configurable"].pop("checkpoint_id", None)
        settings["configurable"].pop("thread_id", None)
        settings["configurable"].pop("checkpoint_ns", None)
        place = (self.checkpoint.checkpoint_id if self.checkpoint else None) or place
        command = self.command.model_dump(exclude_none=True) if self.command else None
        return {
            "graph_id": graph_id,
            "input": self.input,
            "command": command,
            "config": settings,
            "context": self.context.model_dump(exclude_none=True) if self.context else {},
            "checkpoint_id": self.checkpoint_id or place,
            "interrupt_before": self.interrupt_before,
            "interrupt_after": self.interrupt_after,
            "multitask_strategy": self.multitask_strategy,
            "modes": sorted(self.modes()),
        }


class TimeToLive(Body):
    """Not supported: threads live until they are deleted."""


class ThreadCreate(Body):
    """A new thread."""

    thread_id: Ident | None = None
    metadata: JsonObject | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    supersteps: Unsupported = None
    ttl: Unsupported = None


class ThreadPatch(Body):
    """Metadata to be merged into those of a thread."""

    metadata: JsonObject | None = None
    ttl: Unsupported = None


class ThreadSearch(Body):
    """Which threads to list."""

    metadata: JsonObject | None = None
    values: JsonObject | None = None
    ids: list[str] | None = Field(default=None, max_length=1000)
    status: ThreadStatus | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    sort_by: Literal["thread_id", "status", "created_at", "updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
    extract: Unsupported = None


class ThreadCount(Body):
    """Which threads to count."""

    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: ThreadStatus | None = None


class StateUpdate(Body):
    """A change of a thread's state, as if a node had made it."""

    values: Json = None
    as_node: str | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: Ident | None = None


class StateQuery(Body):
    """Which state to return."""

    checkpoint: Checkpoint
    subgraphs: bool | None = None
    select: list[str] | None = None


class HistoryQuery(Body):
    """Which states to list."""

    limit: int = Field(default=10, ge=1, le=1000)
    before: Ident | Checkpoint | RunConfig | None = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint | None = None
    select: list[str] | None = None


class AssistantSearch(Body):
    """Which assistants to list."""

    metadata: JsonObject | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    sort_by: str | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None


class CancelMany(Body):
    """Which runs to cancel."""

    thread_id: str
    run_ids: list[str] = Field(default_factory=list, max_length=1000)
    status: Literal["pending", "running", "all"] | None = None


class ProtocolCommand(Body):
    """A command of the thread-scoped protocol."""

    id: int = Field(ge=0)
    method: str
    params: JsonObject = Field(default_factory=dict)


class EventsQuery(Body):
    """Which events of a thread to stream."""

    channels: list[str] = Field(max_length=100)
    namespaces: list[list[str]] | None = Field(default=None, max_length=100)
    depth: int | None = Field(default=None, ge=0)
    since: int | None = Field(default=None, ge=-1)


def bad_field(place: Sequence[str], message: str) -> RequestValidationError:
    """Make the error of a field of the body, in the form of FastAPI's own."""
    return RequestValidationError(
        [{"type": "value_error", "loc": ("body", *place), "msg": message, "input": None}]
    )


def check_query(request: Request) -> None:
    """Refuse a parameter of the query that the route does not have; FastAPI would ignore it.

    Raises:
        RequestValidationError: It names the parameter.
    """
    route = request.scope["route"]
    known = {field.alias for field in route.dependant.query_params}
    for name in request.query_params.keys() - known:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": None}]
        )


def check_input(graph: Graph, given: Any) -> None:  # noqa: ANN401 - any JSON
    """Refuse an input that the graph would ignore a part of, or could not read.

    Raises:
        RequestValidationError: It names the key.
    """
    if given is None:
        return
    if not isinstance(given, dict):
        raise bad_field(["input"], "give an object, such as {'messages': [...]}")
    known = graph.builder.input_schema.__annotations__.keys()
    for key in given:
        if key not in known:
            raise bad_field(["input", key], f"the graph has no such key; known are {sorted(known)}")
    if given.get("messages"):
        try:
            convert_to_messages(_listed(given["messages"]))
        except (ValueError, NotImplementedError, TypeError) as error:
            raise bad_field(["input", "messages"], str(error).partition("\n")[0]) from error


def check_nodes(graph: Graph, body: RunCreate) -> None:
    """Refuse names of nodes that the graph does not have.

    Raises:
        RequestValidationError: It names the field.
    """
    for field in ("interrupt_before", "interrupt_after"):
        given = getattr(body, field)
        unknown = set(given or ()) - graph.nodes.keys() if given != "*" else set()
        if unknown:
            raise bad_field([field], f"there are no nodes {sorted(unknown)}")


def _listed(messages: Any) -> list[Any]:  # noqa: ANN401
    return messages if isinstance(messages, list) else [messages]
