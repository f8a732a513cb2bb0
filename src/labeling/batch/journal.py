"""`calls.jsonl`: a write-ahead log of calls and outcomes, from which all other state is derived.

Each line is written by one system call, so a killed process writes all of it or nothing; a line
that was cut off by a full disk or a power failure is dropped when the file is opened. The lines:

    {"t": "folder", "version": 1, "nonce": "..."}                      first line
    {"t": "sent", "key": k, "call": 0, "most": 0.01, "once": false}
    {"t": "answer", "key": k, "call": 0, "text": "...", "tokens": [12, 3], "cost": 0.002, ...}
    {"t": "good", "key": k}                                            the check accepted the answer
    {"t": "fault", "key": k, "call": 0, "kind": "timeout", "say": "...", "cost": null, ...}
    {"t": "dead", "key": k, "kind": "timeout", "say": "...", "attempts": 5}
    {"t": "again", "key": k}                                           ask again for a dead letter

An answer is written before the check runs, so that it survives a crash during a slow check; it
becomes a label when it is accepted. A call that was sent and has no outcome was in flight when the
process died.

In memory are only the calls under way and the faults; the answers stay in the file (`AnswerIndex`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import ConfigError, DataError
from ..teachers.protocol import TeacherAnswer
from .answer_index import AnswerIndex, LinePlace
from .budget import Ledger
from .failures import CallFault
from .label_run import LabelFault

logger = logging.getLogger(__name__)
CALLS_FILE = "calls.jsonl"
_VERSION = 1
_NAP_S = 0.02
_TELL_S = 5.0
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Journal:
    """The file and the state that it describes. One process and thread at a time may use it."""

    def __init__(self, folder: str | Path, *, wait: bool = False) -> None:
        """Open or create the file, and read it.

        Args:
            folder: Folder of the file.
            wait: Whether to wait for another process that uses it.

        Raises:
            ConfigError: Another process uses the file, and `wait` is false.
            DataError: The file is damaged, or has another version.
        """
        self.path = Path(folder) / CALLS_FILE
        self.unjudged: set[str] = set()
        """Keys of answers that the check has not judged yet."""
        self.dead: dict[str, LabelFault] = {}
        self.attempts: Counter[str] = Counter()
        """Key -> calls with an outcome since the record was first asked or revived."""
        self.rejections: Counter[str] = Counter()
        """Key -> those of the attempts that gave a complete answer, but no label."""
        self.under_way: set[str] = set()
        """Keys whose last call has no outcome; after opening, those that a crash interrupted."""
        self.ledger = Ledger()
        self._answers = AnswerIndex()
        self._unseen: Counter[str] = Counter()
        """Key -> how often the current call was sent without a known outcome."""
        self._nonce = ""
        self._unsynced = False
        self._read_to = 0
        """Bytes of the file that the state describes."""
        self._lines_read = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self.acquire(wait=wait)
        except BaseException:
            self._close_files()
            raise

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush to disk and close."""
        self.close()

    def acquire(self, *, wait: bool = True) -> None:
        """Take the file from other processes, and read what they have written since `release`.

        Raises:
            ConfigError: Another process uses the file, and `wait` is false.
            DataError: The file is damaged, or has another version.
        """
        _lock(self._file, self.path, wait=wait)
        self._read()
        if not self._nonce:
            self._write({"t": "folder", "version": _VERSION, "nonce": secrets.token_hex(8)})

    def release(self) -> None:
        """Flush to disk, and let other processes use the file."""
        self.sync()
        _unlock(self._file)

    def close(self) -> None:
        """Flush to disk and close."""
        self.sync()
        self._close_files()

    def answer(self, key: str) -> TeacherAnswer | None:
        """Read the newest answer, judged or not; None if there is none."""
        place = self._answers.place(key)
        if place is None:
            return None
        os.lseek(self._file, place.start, os.SEEK_SET)
        return _read_answer(json.loads(os.read(self._file, place.length)))

    def label(self, key: str) -> TeacherAnswer | None:
        """Read the answer that the check accepted; None if there is none."""
        return None if key in self.unjudged else self.answer(key)

    def call_id(self, key: str) -> str:
        """Return the idempotency key of a record's next call; it changes when a call has ended.

        An answer ends a call. A refusal ends it only if the call was sent once: an earlier attempt
        with an unknown outcome may have been answered.
        """
        text = f"{self._nonce} {key} {self._answers.calls(key)}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def sent(self, key: str, most: float, *, once: bool) -> None:
        """Write that a call is about to be sent; arguments as in `Ledger.fits`."""
        call = self._answers.calls(key)
        self._write({"t": "sent", "key": key, "call": call, "most": most, "once": once})

    def answered(
        self, key: str, answer: TeacherAnswer, *, good: bool, most: float, cost: float, once: bool
    ) -> None:
        """Write a complete answer, its tokens and its cost.

        Args:
            key: Key of the record.
            answer: The teacher's answer.
            good: Whether it is a label; otherwise `accept` or `failed` follows.
            most: Amount that was reserved for the call.
            cost: Cost of the call.
            once: As in `sent`.
        """
        thoughts = {"thoughts": answer.thoughts} if answer.thoughts else {}
        self._write({
            "t": "answer", "key": key, "call": self._answers.calls(key), "text": answer.text,
            "finish": answer.finish_reason, "model": answer.model, "good": good,
            "tokens": [answer.prompt_tokens, answer.completion_tokens],
            "most": most, "cost": cost, "once": once, "at": int(time.time()), **thoughts,
        })  # fmt: skip

    def accept(self, key: str) -> None:
        """Write that the check accepted an answer."""
        self._write({"t": "good", "key": key})

    def failed(
        self, key: str, fault: CallFault, *, most: float, cost: float | None, once: bool
    ) -> None:
        """Write that a call gave no label, and its cost if known."""
        judged = key in self.unjudged  # then the end of the call and its price are written already
        self._write({
            "t": "fault", "key": key, "call": self._answers.calls(key), "kind": fault.kind,
            "say": fault.message, "ends": fault.answered and not judged, "judged": judged,
            "refused": fault.free, "counted": not (fault.ends_run or fault.raises),
            "most": most, "cost": cost, "once": once,
        })  # fmt: skip

    def give_up(self, key: str, fault: LabelFault) -> None:
        """Write that a record is a dead letter."""
        self._write(
            {"t": "dead", "key": key, "kind": fault.kind, "say": fault.message,
             "attempts": fault.attempts}
        )  # fmt: skip

    def revive(self, key: str) -> None:
        """Write that a dead letter, or a label that the check now refuses, is asked for again."""
        self._write({"t": "again", "key": key})

    def sync(self) -> None:
        """Flush to disk, so that a power failure loses nothing that was written so far."""
        if self._unsynced:
            self._unsynced = False
            os.fsync(self._file)

    def _write(self, line: dict[str, Any]) -> None:
        data = (_ENCODER.encode(line) + "\n").encode()
        written = os.write(self._file, data)
        if written != len(data):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, "the disk is full", str(self.path))
        self._unsynced = True
        self._lines_read += 1
        self._take(line, len(data))

    def _read(self) -> None:
        for line in self._lines():
            self._lines_read += 1
            try:
                self._take(json.loads(line), len(line))
            except (ValueError, KeyError, TypeError) as fault:
                raise DataError(
                    f"the line is damaged ({fault}); give another folder, or remove the line",
                    path=self.path,
                    line=self._lines_read,
                ) from fault
        if self._lines_read and not self._nonce:
            raise DataError("is not the calls of a labelling", path=self.path)

    def _lines(self) -> Iterator[bytes]:
        if self._read_to == os.fstat(self._file).st_size:
            return
        with open(self.path, "rb") as lines:
            lines.seek(self._read_to)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                yield line
        if self._read_to < os.fstat(self._file).st_size:
            os.ftruncate(self._file, self._read_to)

    def _take(self, line: dict[str, Any], length: int) -> None:
        """Bring the state up to the next line of the file, of so many bytes."""
        place = LinePlace(self._read_to, length)
        self._read_to += length
        kind, key = line["t"], line.get("key", "")
        if kind in ("answer", "fault", "dead"):
            self.under_way.discard(key)
        if kind == "sent":
            self.under_way.add(key)
            self._unseen[key] += 1
            self.ledger.charge(key, line["most"], once=line["once"])
        elif kind == "answer":
            _read_answer(line)  # a damaged line is told when the file is opened
            self._answers.answered(key, place)
            self._settle(line)
            (self.unjudged.discard if line["good"] else self.unjudged.add)(key)
        elif kind == "good":
            self.unjudged.remove(key)
        elif kind == "fault":
            if key in self.unjudged:
                self.unjudged.remove(key)
                self._answers.forget(key)
            self.attempts[key] += line["counted"]
            self.rejections[key] += line["judged"]
            if line["ends"] and line["refused"] and self._unseen[key] > 1:
                self._unseen[key] -= 1
                self.ledger.refund(key, line["most"], once=line["once"])
            elif line["ends"]:
                self._answers.ended(key)
                self._settle(line)
        elif kind == "dead":
            self.dead[key] = LabelFault(line["kind"], line["say"], line["attempts"])
        elif kind == "again":
            self.dead.pop(key, None)
            self._answers.forget(key)
            self.unjudged.discard(key)
            self.attempts.pop(key, None)
            self.rejections.pop(key, None)
        elif kind == "folder":
            if line["version"] != _VERSION:
                raise ValueError(f"version {line['version']}, this release reads {_VERSION}")
            self._nonce = line["nonce"]
        else:
            raise ValueError(f"unknown kind {kind!r}")

    def _settle(self, line: dict[str, Any]) -> None:
        key = line["key"]
        self._unseen.pop(key, None)
        self.ledger.settle(key, line["most"], line["cost"], once=line["once"])

    def _close_files(self) -> None:
        os.close(self._file)
        self._answers.close()


def _read_answer(line: Mapping[str, Any]) -> TeacherAnswer:
    asked, made = line["tokens"]
    thoughts = line.get("thoughts", "")
    return TeacherAnswer(line["text"], line["finish"], asked, made, line["model"], thoughts)


def _lock(file: int, path: Path, *, wait: bool) -> None:
    if sys.platform == "win32":  # has no fcntl
        return
    import fcntl

    began, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as fault:
            if not wait:
                raise ConfigError(
                    [f"{path}: another labelling writes to it; wait for its end, or give another "
                     "folder"]
                ) from fault  # fmt: skip
        if not told and time.monotonic() - began > _TELL_S:
            told = True
            logger.warning("%s: waiting for another process that asks the same model", path)
        time.sleep(_NAP_S)


def _unlock(file: int) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)
