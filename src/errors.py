"""Every error that stillroom raises on purpose.

    StillroomError
    ├── DataError (ValueError)            a file or table cannot be used; names file, row, column
    │   ├── UnreadableFileError           the bytes are not what the format says
    │   ├── UnknownColumnError (KeyError) a column was asked for that the table does not have
    │   ├── IdentityError (TypeError)     a field that a hash or an id needs is missing or no JSON
    │   └── EmptyDataError                there is nothing to work on
    ├── DataNotFoundError (FileNotFoundError)
    ├── ConfigError (ValueError)          a setting is unknown or out of range; all faults at once
    ├── CheckpointError (ValueError)      a model folder is missing parts, or is not safe to load
    ├── ExportError (ValueError)          a model cannot be exported, or an export is not usable
    ├── ModelNotFoundError (FileNotFoundError)
    ├── VocabularyError (ValueError)      teacher and student do not share a tokenizer
    ├── GenerationError (RuntimeError)    a model could not answer
    │   ├── TruncatedAnswerError          max_tokens ended an answer before its form was complete
    │   ├── AnswerMismatchError           a complete answer does not fit the schema that was given
    │   ├── EngineBusyError               too many requests are waiting; try again later
    │   ├── DeadlineError (TimeoutError)  there was no answer in time
    │   ├── EngineFailedError             the computation failed; the next request restarts it
    │   ├── EngineClosedError             the engine was closed
    │   └── RemoteError                   a server refused, failed or could not be reached
    │       └── BrokenAnswerError         a server broke off an answer
    ├── LabelingStoppedError (RuntimeError)  labelling ended before all records were done
    ├── PipelineError (RuntimeError)      a run of a record pipeline ended before its last stage
    │   └── AccountingError               a step lost rows without a word, or counted some twice
    ├── ScriptError (AssertionError)      a scripted model got other questions than its script holds
    ├── QueryRefusedError (ValueError)    SQL that is not allowed, or that DuckDB cannot parse
    ├── QueryLimitError (RuntimeError)    SQL that exceeds its limit of time, rows or bytes
    ├── ThreadBusyError (TimeoutError)    another turn of the same thread is running
    ├── LeaseLostError (RuntimeError)     a thread was taken over during a turn; nothing was stored
    ├── StoredStateError (ValueError)     a value in a thread is of a type that is not stored
    ├── FeedbackLimitError (RuntimeError) one person has said as much about answers as is kept
    └── MissingDependencyError (ImportError)

A message says what was given, what is allowed and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Literal


def nearest(name: object, known: Iterable[str], *, cutoff: float = 0.5) -> str | None:
    """Give the known name that is spelt most like a given one; None where none is similar.

    Args:
        name: What a user wrote.
        known: Allowed names.
        cutoff: Least similarity, 0 to 1, as `difflib.get_close_matches` counts it.

    >>> nearest("temprature", ["alpha", "temperature"])
    'temperature'
    """
    return next(iter(difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: object, known: Iterable[str], *, what: str = "key") -> str:
    """Write which known name is nearest to an unknown one, or list all known names.

    >>> did_you_mean("alfa", ["alpha", "beta"]), did_you_mean("x", ["alpha", "beta"])
    ("the nearest known key is 'alpha'", "known are ['alpha', 'beta']")
    """
    names = sorted(known) if isinstance(known, Set) else list(known)
    near = nearest(name, names)
    return f"known are {names}" if near is None else f"the nearest known {what} is {near!r}"


def require_settings(
    settings: object, checks: Iterable[tuple[str, bool, str]], more: Iterable[str] = ()
) -> None:
    """Refuse settings that are out of range, all at once.

    Args:
        settings: Holds the values as attributes.
        checks: Name of a setting, whether its value is allowed, and the words for what is allowed.
        more: Further faults, whole.

    Raises:
        ConfigError: There are faults; lists all.
    """
    faults = [
        f"{name} is {getattr(settings, name)!r}; allowed is {allowed}"
        for name, fine, allowed in checks
        if not fine
    ]
    faults += more
    if faults:
        raise ConfigError(faults)


class StillroomError(Exception):
    """Base of every error that stillroom raises on purpose."""


class DataError(StillroomError, ValueError):
    """A file, row or cell cannot be used; `path`, `row`, `line` and `column` say where.

    Args:
        message: What is wrong and what to do about it.
        path: File (or database) the data came from.
        row: Record number counted from 1, the header not counted; None where it does not apply.
        line: Physical line in the file counted from 1; None where it does not apply.
        column: Column name.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        row: int | None = None,
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        """Put the place before the message."""
        self.path = None if path is None else str(path)
        self.row = row
        self.line = line
        self.column = column
        places = [
            "" if self.path is None else self.path,
            "" if row is None else f"row {row}",
            "" if line is None else f"line {line}",
            "" if column is None else f"column {column!r}",
        ]
        where = ", ".join(place for place in places if place)
        super().__init__(f"{where}: {message}" if where else message)


class UnreadableFileError(DataError):
    """The bytes of a file are not what its format says."""


class UnknownColumnError(DataError, KeyError):
    """A column was asked for that the table does not have."""

    def __str__(self) -> str:
        """Give the message itself, as KeyError would give its repr."""
        return str(self.args[0])


class IdentityError(DataError, TypeError):
    """A field cannot become part of a hash, an id or a key.

    Args:
        message: What is wrong and what to do about it.
        field: Name of the field.
        reason: For counting: "missing_field" (absent or, where a value is needed, null),
            "not_finite" (NaN or an infinity), or "not_json" (a date, bytes, a set, keys of mixed
            types, half of a surrogate pair).
    """

    def __init__(
        self,
        message: str,
        *,
        field: str,
        reason: Literal["missing_field", "not_finite", "not_json"],
    ) -> None:
        """Keep field and reason."""
        self.field = field
        self.reason: Literal["missing_field", "not_finite", "not_json"] = reason
        super().__init__(message)


class EmptyDataError(DataError):
    """There are no records to work on."""


class DataNotFoundError(StillroomError, FileNotFoundError):
    """A data file or folder does not exist, or a pattern matches nothing."""


class ConfigError(StillroomError, ValueError):
    """One or more settings are unknown or out of range; `faults` lists all of them."""

    def __init__(self, faults: list[str]) -> None:
        """Join the faults."""
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


class CheckpointError(StillroomError, ValueError):
    """A model folder lacks a file, is damaged, or is not safe to load."""


class ExportError(StillroomError, ValueError):
    """A checkpoint cannot be exported, or an export does not belong to the checkpoint beside it."""


class ModelNotFoundError(StillroomError, FileNotFoundError):
    """A model name is neither a local folder nor a model of the hub."""


class VocabularyError(StillroomError, ValueError):
    """Teacher and student do not share a tokenizer, so their logits cannot be compared."""


class GenerationError(StillroomError, RuntimeError):
    """A model could not answer; an error is never returned as an answer text."""


class TruncatedAnswerError(GenerationError):
    """An answer of a given form (JSON, a tool call, a choice) ended before it was complete.

    Args:
        message: What happened and what to do about it.
        partial: The text so far.
    """

    def __init__(self, message: str, *, partial: str = "") -> None:
        """Keep the text."""
        self.partial = partial
        super().__init__(message)


class AnswerMismatchError(GenerationError):
    """A complete answer does not fit the schema that was given.

    Args:
        message: What does not fit, where, and what to do about it.
        answer: The text of the answer.
    """

    def __init__(self, message: str, *, answer: str = "") -> None:
        """Keep the text."""
        self.answer = answer
        super().__init__(message)


class EngineBusyError(GenerationError):
    """The queue of requests is full; this request was not queued."""


class DeadlineError(GenerationError, TimeoutError):
    """The deadline of a request has passed."""


class EngineFailedError(GenerationError):
    """The engine's computation failed during a request; the next request restarts it."""


class EngineClosedError(GenerationError):
    """The engine was closed; open another one."""


class RemoteError(GenerationError):
    """A model server refused a request, failed at it or could not be reached.

    Args:
        message: What happened and what to do about it; never holds a key.
        status: HTTP status; None where there was no answer.
        retry_after: The server's `Retry-After`: seconds or a date.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: str | None = None
    ) -> None:
        """Keep status and time."""
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class BrokenAnswerError(RemoteError):
    """A server broke off an answer, so the text so far is incomplete."""


class LabelingStoppedError(StillroomError, RuntimeError):
    """Labelling ended early (budget, key, error rate, a teacher that knows too little).

    The labels so far are kept.
    """


class PipelineError(StillroomError, RuntimeError):
    """A run of a record pipeline ended before its last stage; what is done is kept for the next."""


class AccountingError(PipelineError):
    """For a step, rows in are not rows used + rejected + dead."""


class ScriptError(StillroomError, AssertionError):
    """A scripted model was asked for a reply that its script lacks, or replies were left over."""


class QueryRefusedError(StillroomError, ValueError):
    """A statement is not one plain SELECT over the records, or the database rejects it."""

    def __init__(self, reason: str) -> None:
        """Say why."""
        super().__init__(f"the statement was not run: {reason}")


class QueryLimitError(StillroomError, RuntimeError):
    """A statement exceeds its limit of time, rows, bytes or memory."""


class ThreadBusyError(StillroomError, TimeoutError):
    """Another turn of the same thread is running; this turn was not started."""

    def __init__(self, thread_id: str, waited_s: float) -> None:
        """Name the thread and the time waited for it."""
        self.thread_id = thread_id
        self.waited_s = waited_s
        super().__init__(
            f"thread {thread_id!r} is busy with another turn (waited {waited_s:.1f} s); "
            "send this one again when the other turn has ended, or use another thread"
        )


class LeaseLostError(StillroomError, RuntimeError):
    """A turn has lost the lease of its thread, so nothing of it was stored."""

    def __init__(self, thread_id: str) -> None:
        """Name the thread."""
        self.thread_id = thread_id
        super().__init__(
            f"thread {thread_id!r} was taken over or deleted while this turn ran (it was "
            "suspended for longer than its lease); nothing of the turn was stored: send it again"
        )


class StoredStateError(StillroomError, ValueError):
    """A thread has a value of a type that is not stored, or a file is not a thread store."""


class FeedbackLimitError(StillroomError, RuntimeError):
    """One person has said as much about answers, or about one record, as is kept."""


class MissingDependencyError(StillroomError, ImportError):
    """An optional package is not installed; the message holds the pip command."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the package and the extra that brings it."""
        super().__init__(
            f"{package} is not installed; run: pip install 'stillroom[{extra}]'", name=package
        )
