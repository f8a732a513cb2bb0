"""LangGraph's checkpointer on top of the SQL store: converts state to rows and back.

LangGraph stores a turn in several calls. The rows between `begin` and `commit` are stored in one
transaction, so that a turn is stored completely or not at all, even if the process is killed.
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
from .leases import Leases, off_loop
from .serializer import StrictSerializer
from .sql_store import (
    Change,
    CheckpointFilter,
    CheckpointKey,
    CheckpointRow,
    SqlStore,
    WriteRow,
)
from .turn import ThreadReader, Turn

TURN_KEY = "__stillroom_turn"
"""Key in `config["configurable"]` of the turn that a run belongs to."""
_CHECKPOINT_KEYS = {"id", "ts", "channel_values", "channel_versions", "versions_seen"}
_PAGE = 50


class ThreadSaver(BaseCheckpointSaver[int]):
    """Store threads; one turn at a time writes to a thread, and turns are atomic.

    Args:
        store: The SQL store.
        serializer: Encodes state.
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
        """Start without a turn."""
        self.codec = serializer or StrictSerializer()
        super().__init__(serde=self.codec)
        self.store = store
        self._leases = Leases(store, wait_s, lease_s)

    @contextmanager
    def turn(self, thread_id: str, *, atomic: bool = True) -> Iterator[Turn]:
        """Run a block as a turn: commit at its end, roll back on an error.

        Raises:
            ThreadBusyError: Another turn held the thread for all of `wait_s`.
            LeaseLostError: Another process took the thread over; nothing was stored.
        """
        turn = self.begin(thread_id, atomic=atomic)
        try:
            yield turn
        except BaseException:
            self.rollback(turn)
            raise
        self.commit(turn)

    @asynccontextmanager
    async def aturn(self, thread_id: str, *, atomic: bool = True) -> AsyncIterator[Turn]:
        """Run a block as a turn; see `turn`."""
        turn = Turn(await self._leases.aacquire(thread_id), self.store, atomic=atomic)
        try:
            yield turn
        except BaseException:
            await off_loop(self.store.blocking, self.rollback, turn)
            raise
        await off_loop(self.store.blocking, self.commit, turn)

    def begin(self, thread_id: str, *, atomic: bool = True) -> Turn:
        """Begin a turn.

        Args:
            thread_id: The thread.
            atomic: Store all rows of the turn in one transaction; otherwise each when it is put.

        Raises:
            ThreadBusyError: Another turn held the thread for all of `wait_s`.
        """
        return Turn(self._leases.acquire(thread_id), self.store, atomic=atomic)

    def commit(self, turn: Turn) -> None:
        """Store a turn and release its thread.

        Raises:
            LeaseLostError: Another process took the thread over; nothing was stored.
        """
        turn.ended = True
        stored = False
        try:
            self.store.commit(turn.lease.thread_id, turn.change, turn.lease, release=True)
            stored = True
        finally:
            self._leases.release(turn.lease, in_store=not stored)

    def rollback(self, turn: Turn) -> None:
        """Discard a turn and release its thread."""
        turn.ended = True
        self._leases.release(turn.lease)

    def close(self) -> None:
        """Close files and connections, and stop renewing leases."""
        self._leases.close()
        self.store.close()

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> ThreadSaver:
        """Return this checkpointer: only `allowed` extends the list of types."""
        return self

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that a config names, or the newest one of the thread."""
        thread_id, key = _address(config)
        reader = self._reader(config)
        row = reader.checkpoint(thread_id, key) if key.id else reader.newest(thread_id, key.ns)
        return None if row is None else self._loaded(reader, row)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """List checkpoints, newest first; no transaction stays open while the caller iterates."""
        wanted = _filter(config, before)
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
        """Store a checkpoint, or add it to its turn.

        Raises:
            StoredStateError: The state holds a type that cannot be stored.
            ThreadBusyError: The call belongs to no turn, and a turn is in progress.
            LeaseLostError: Another process took the thread over.
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
        self._store_rows(config, thread_id, Change(checkpoints=[row]))
        return _config(thread_id, CheckpointKey(parent.ns, checkpoint["id"]))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store the writes of a task, or add them to their turn; raises as `put` does."""
        thread_id, key = _address(config)
        rows = [
            WriteRow(
                thread_id,
                key.ns,
                key.id,
                task_id,
                WRITES_IDX_MAP.get(channel, index),
                task_path,
                channel,
                self.codec.dumps(value),
            )
            for index, (channel, value) in enumerate(writes)
        ]
        self._store_rows(config, thread_id, Change(writes=rows))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the last snapshot of delta channels and the writes since then."""
        thread_id, key = _address(config)
        reader = self._reader(config)
        if not key.id:
            newest = reader.newest(thread_id, key.ns)
            if newest is None:
                return {channel: DeltaChannelHistory(writes=[]) for channel in channels}
            key = CheckpointKey(key.ns, newest.id)
        return read_history(reader, self.codec, thread_id, key, channels)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread; a turn in progress will not be stored."""
        self.store.delete(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs; see `pruning.delete_runs`."""
        pruning.delete_runs(self.store, self.codec, self.turn, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread; see `pruning.copy`."""
        pruning.copy(self.store, self.turn, str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all but the newest state of threads; see `pruning.prune`."""
        threads = [str(thread_id) for thread_id in thread_ids]
        pruning.prune(self.store, self.codec, self.turn, threads, strategy)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint; see `get_tuple`."""
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
        blocks = self._put_blocks(config)
        return await off_loop(blocks, self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store the writes of a task; see `put_writes`."""
        blocks = self._put_blocks(config)
        await off_loop(blocks, self.put_writes, config, writes, task_id, task_path)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Read delta channels; see `get_delta_channel_history`."""
        return await off_loop(
            self.store.blocking,
            lambda: self.get_delta_channel_history(config=config, channels=channels),
        )

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread; see `delete_thread`."""
        await off_loop(self.store.blocking, self.delete_thread, thread_id)

    # The next three wait for a turn to end, so they must not occupy the executor of `off_loop`,
    # which that turn needs for its commit.

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs; see `delete_for_runs`."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread; see `copy_thread`."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all but the newest state; see `prune`."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)

    def _reader(self, config: RunnableConfig) -> ThreadReader:
        turn = _turn_of(config)
        return self.store if turn is None or turn.ended else turn

    def _put_blocks(self, config: RunnableConfig) -> bool:
        turn = _turn_of(config)
        return self.store.blocking and not (turn is not None and turn.atomic)

    def _store_rows(self, config: RunnableConfig, thread_id: str, change: Change) -> None:
        turn = _turn_of(config)
        if turn is not None and turn.atomic:
            turn.add(change)
        else:
            lease = None if turn is None else turn.lease
            self.store.commit(thread_id, change, lease, release=False)

    def _metadata(self, row: CheckpointRow) -> dict[str, Any]:
        metadata = self.codec.loads(row.metadata)
        if not isinstance(metadata, dict):
            raise StoredStateError(f"thread {row.thread_id!r}: {row.id!r} holds no metadata")
        return metadata

    def _loaded(self, reader: ThreadReader, row: CheckpointRow) -> CheckpointTuple:
        checkpoint = self.codec.loads(row.body)
        if not isinstance(checkpoint, dict) or not checkpoint.keys() >= _CHECKPOINT_KEYS:
            raise StoredStateError(f"thread {row.thread_id!r}: {row.id!r} holds no checkpoint")
        writes = reader.writes(row.thread_id, row.ns, [row.id])
        parent = None if row.parent_id is None else CheckpointKey(row.ns, row.parent_id)
        return CheckpointTuple(
            config=_config(row.thread_id, CheckpointKey(row.ns, row.id)),
            checkpoint=cast(Checkpoint, checkpoint),
            metadata=cast(CheckpointMetadata, self._metadata(row)),
            parent_config=None if parent is None else _config(row.thread_id, parent),
            pending_writes=[(w.task_id, w.channel, self.codec.loads(w.body)) for w in writes],
        )


def _address(config: RunnableConfig) -> tuple[str, CheckpointKey]:
    """Read thread, namespace and checkpoint id from a config; the id is empty for the newest."""
    given = config["configurable"]
    return str(given["thread_id"]), CheckpointKey(
        str(given.get("checkpoint_ns") or ""), str(given.get("checkpoint_id") or "")
    )


def _config(thread_id: str, key: CheckpointKey) -> RunnableConfig:
    named = {"thread_id": thread_id, "checkpoint_ns": key.ns, "checkpoint_id": key.id}
    return {"configurable": named}


def _filter(config: RunnableConfig | None, before: RunnableConfig | None) -> CheckpointFilter:
    given = (config or {}).get("configurable") or {}
    thread_id, ns = given.get("thread_id"), given.get("checkpoint_ns")
    return CheckpointFilter(
        None if thread_id is None else str(thread_id),
        None if ns is None else str(ns),
        given.get("checkpoint_id"),
        ((before or {}).get("configurable") or {}).get("checkpoint_id"),
    )


def _turn_of(config: RunnableConfig) -> Turn | None:
    return getattr(config["configurable"].get(TURN_KEY), "turn", None)
