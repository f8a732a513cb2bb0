"""LangGraph's checkpointer over a thread store: state to rows and back, and turns around them.

LangGraph stores a turn in several calls. Between `begin` and `finish` they are kept together, so
that a turn is there whole or not at all, whatever ends the process in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_metadata,
)

from ...errors import StoredStateError
from . import pruning
from .delta_history import read_history
from .leases import LeaseDesk, off_loop
from .pending_turn import OpenTurn
from .rows import Change, CheckpointRow, Place, ThreadReader, Wanted, WriteRow
from .serializer import StrictSerializer
from .sql_store import SqlStore

TURN_KEY = "__stillroom_turn"
"""Key in `config["configurable"]` under which a run carries its turn."""
_CHECKPOINT_KEYS = {"id", "ts", "channel_values", "channel_versions", "versions_seen"}
_PAGE = 50


class ThreadSaver(BaseCheckpointSaver[int]):
    """Keep threads in a store; one writer at a time, turns whole.

    Args:
        store: Where rows go.
        serializer: How state becomes bytes.
        wait_s: How long a turn waits for the one before it, in seconds.
        lease_s: How long a killed process can block a thread, in seconds.
    """

    def __init__(
        self,
        store: SqlStore,
        serializer: StrictSerializer | None = None,
        *,
        wait_s: float = 30.0,
        lease_s: float = 20.0,
    ) -> None:
        """Start with no turn open."""
        self.codec = serializer or StrictSerializer()
        super().__init__(serde=self.codec)
        self.store = store
        self._desk = LeaseDesk(store, wait_s, lease_s)

    @contextmanager
    def turn(self, thread_id: str, *, whole: bool = True) -> Iterator[OpenTurn]:
        """Open a turn for a block: stored when that ends well, forgotten when it does not.

        Raises:
            ThreadBusyError: Another turn held the thread for all of `wait_s`.
            LeaseLostError: Someone else took the thread over; nothing was stored.
        """
        turn = self.begin(thread_id, whole=whole)
        try:
            yield turn
        except BaseException:
            self.abandon(turn)
            raise
        self.finish(turn)

    @asynccontextmanager
    async def aturn(self, thread_id: str, *, whole: bool = True) -> AsyncIterator[OpenTurn]:
        """Open a turn for a block; see `turn`."""
        turn = await self.abegin(thread_id, whole=whole)
        try:
            yield turn
        except BaseException:
            await self.aabandon(turn)
            raise
        await self.afinish(turn)

    def begin(self, thread_id: str, *, whole: bool = True) -> OpenTurn:
        """Open a turn; see `OpenTurn`.

        Raises:
            ThreadBusyError: Another turn held the thread for all of `wait_s`.
        """
        return OpenTurn(self._desk.take(thread_id), self.store, whole=whole)

    async def abegin(self, thread_id: str, *, whole: bool = True) -> OpenTurn:
        """Open a turn; see `begin`."""
        return OpenTurn(await self._desk.atake(thread_id), self.store, whole=whole)

    def finish(self, turn: OpenTurn) -> None:
        """Store a turn and let the next one in.

        Raises:
            LeaseLostError: Someone else took the thread over; nothing was stored.
        """
        turn.ended = True
        stored = False
        try:
            self.store.commit(turn.lease.thread_id, turn.change, turn.lease, release=True)
            stored = True
        finally:
            self._desk.give_back(turn.lease, released=stored)

    async def afinish(self, turn: OpenTurn) -> None:
        """Store a turn; see `finish`."""
        await off_loop(self.store.blocking, self.finish, turn)

    def abandon(self, turn: OpenTurn) -> None:
        """Forget a turn and let the next one in."""
        turn.ended = True
        self._desk.give_back(turn.lease, released=False)

    async def aabandon(self, turn: OpenTurn) -> None:
        """Forget a turn; see `abandon`."""
        await off_loop(self.store.blocking, self.abandon, turn)

    def close(self) -> None:
        """Let go of files, connections and threads."""
        self._desk.close()
        self.store.close()

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> ThreadSaver:
        """Stay as it is: names from a graph's annotations open nothing; `allowed` does."""
        return self

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Give the checkpoint that a config names, else the thread's newest."""
        thread_id, place = _address(config)
        reader = self._reader(config)
        named = bool(place.id)
        row = reader.checkpoint(thread_id, place) if named else reader.head(thread_id, place.ns)
        return None if row is None else self._loaded(reader, row)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """List checkpoints, newest first; read page by page, nothing is held open in between."""
        wanted = _wanted(config, before)
        after: int | None = None
        while limit is None or limit > 0:
            page = self.store.page(wanted, after, _PAGE)
            for number, row in page:
                after = number
                metadata = self._metadata(row)
                if filter and any(metadata.get(key) != value for key, value in filter.items()):
                    continue
                if limit is not None:
                    limit -= 1
                yield self._loaded(self.store, row)
                if limit == 0:
                    return
            if len(page) < _PAGE:
                return

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, or keep it for the end of its turn.

        Raises:
            StoredStateError: The state holds a type that is not stored.
            ThreadBusyError: There is no turn, and someone else has one open.
            LeaseLostError: The turn's thread was taken over.
        """
        thread_id, parent = _address(config)
        described = cast(dict[str, Any], get_checkpoint_metadata(config, metadata))
        run_id = described.get("run_id")
        row = CheckpointRow(
            thread_id=thread_id,
            ns=parent.ns,
            id=checkpoint["id"],
            parent_id=parent.id or None,
            channels="\n".join(sorted(checkpoint["channel_values"])),
            run_id=None if run_id is None else str(run_id),
            body=self.codec.dumps(checkpoint),
            metadata=self.codec.dumps(described),
        )
        self._stored(config, thread_id, Change(checkpoints=[row]))
        return _config(thread_id, Place(parent.ns, checkpoint["id"]))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, or keep it for the end of its turn; raises as `put` does."""
        thread_id, place = _address(config)
        rows = [
            WriteRow(
                thread_id,
                place.ns,
                place.id,
                task_id,
                WRITES_IDX_MAP.get(channel, index),
                task_path,
                channel,
                self.codec.dumps(value),
            )
            for index, (channel, value) in enumerate(writes)
        ]
        self._stored(config, thread_id, Change(writes=rows))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Collect what was written to channels since they were last stored whole."""
        thread_id, place = _address(config)
        reader = self._reader(config)
        if not place.id:
            head = reader.head(thread_id, place.ns)
            if head is None:
                return {channel: DeltaChannelHistory(writes=[]) for channel in channels}
            place = Place(place.ns, head.id)
        return read_history(reader, self.codec, thread_id, place, channels)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread; a turn that runs in it stores nothing any more."""
        self.store.forget(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that runs made; see `pruning.delete_runs`."""
        pruning.delete_runs(self.store, self.codec, self.turn, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread; see `pruning.copy`."""
        pruning.copy(self.store, self.turn, str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Take away all but the newest state of threads; see `pruning.prune`."""
        threads = [str(thread_id) for thread_id in thread_ids]
        pruning.prune(self.store, self.codec, self.turn, threads, strategy)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Give a checkpoint; see `get_tuple`."""
        return await off_loop(self.store.blocking, self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """List checkpoints; see `list`."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (one := await off_loop(self.store.blocking, next, found, None)) is not None:
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; see `put`."""
        waits = self._waits(config)
        return await off_loop(waits, self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote; see `put_writes`."""
        await off_loop(self._waits(config), self.put_writes, config, writes, task_id, task_path)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Collect what was written to channels; see `get_delta_channel_history`."""
        return await off_loop(
            self.store.blocking,
            lambda: self.get_delta_channel_history(config=config, channels=channels),
        )

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread; see `delete_thread`."""
        await off_loop(self.store.blocking, self.delete_thread, thread_id)

    # The three below wait for turns to end: in threads that no turn needs for its own end.

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what runs stored; see `delete_for_runs`."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread; see `copy_thread`."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Take away all but the newest state; see `prune`."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)

    def _reader(self, config: RunnableConfig) -> ThreadReader:
        turn = _turn_of(config)
        return self.store if turn is None or turn.ended else turn

    def _waits(self, config: RunnableConfig) -> bool:
        turn = _turn_of(config)
        return self.store.blocking and not (turn is not None and turn.whole)

    def _stored(self, config: RunnableConfig, thread_id: str, change: Change) -> None:
        turn = _turn_of(config)
        if turn is not None and turn.whole:
            turn.add(change)
        else:
            self.store.commit(
                thread_id, change, None if turn is None else turn.lease, release=False
            )

    def _metadata(self, row: CheckpointRow) -> dict[str, Any]:
        metadata = self.codec.loads(row.metadata)
        if not isinstance(metadata, dict):
            raise StoredStateError(f"thread {row.thread_id!r}: {row.id!r} holds no metadata")
        return metadata

    def _loaded(self, reader: ThreadReader, row: CheckpointRow) -> CheckpointTuple:
        place = Place(row.ns, row.id)
        checkpoint = self.codec.loads(row.body)
        if not isinstance(checkpoint, dict) or not checkpoint.keys() >= _CHECKPOINT_KEYS:
            raise StoredStateError(f"thread {row.thread_id!r}: {row.id!r} holds no checkpoint")
        writes = reader.writes(row.thread_id, row.ns, [row.id])
        parent = None if row.parent_id is None else Place(row.ns, row.parent_id)
        return CheckpointTuple(
            config=_config(row.thread_id, place),
            checkpoint=cast(Checkpoint, checkpoint),
            metadata=cast(CheckpointMetadata, self._metadata(row)),
            parent_config=None if parent is None else _config(row.thread_id, parent),
            pending_writes=[(w.task_id, w.channel, self.codec.loads(w.body)) for w in writes],
        )


def _address(config: RunnableConfig) -> tuple[str, Place]:
    """Read thread, namespace and checkpoint off a config; the last one empty for the newest."""
    given = config["configurable"]
    return str(given["thread_id"]), Place(
        str(given.get("checkpoint_ns") or ""), str(given.get("checkpoint_id") or "")
    )


def _config(thread_id: str, place: Place) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": place.ns,
            "checkpoint_id": place.id,
        }
    }


def _wanted(config: RunnableConfig | None, before: RunnableConfig | None) -> Wanted:
    given = (config or {}).get("configurable") or {}
    thread_id, ns = given.get("thread_id"), given.get("checkpoint_ns")
    limit = ((before or {}).get("configurable") or {}).get("checkpoint_id")
    return Wanted(
        None if thread_id is None else str(thread_id),
        None if ns is None else str(ns),
        given.get("checkpoint_id"),
        limit,
    )


def _turn_of(config: RunnableConfig) -> OpenTurn | None:
    turn = getattr(config["configurable"].get(TURN_KEY), "open", None)
    return turn if isinstance(turn, OpenTurn) else None
