"""Encode the state of a thread as msgpack with a closed list of types.

Each type on the list has a tag, and decoding looks the tag up in a fixed table. So bytes from an
untrusted source cannot name a module to import or a function to call. A type that is not on the
list is rejected when it is written, so that every stored turn can be read back.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import ormsgpack
from langchain_core import messages
from langchain_core.documents import Document
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel

from ...errors import StoredStateError

FORMAT = "stillroom-1"
"""Name of this encoding, which LangGraph stores as the type of the bytes."""

HEADER = b"\xc1\x01"
"""Prefix of all stored values: a byte that msgpack never uses, and a version."""
_EXT = 1
_OPTIONS = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_UUID
    | ormsgpack.OPT_REPLACE_SURROGATES
)
_MESSAGES = (
    messages.HumanMessage,
    messages.HumanMessageChunk,
    messages.AIMessage,
    messages.AIMessageChunk,
    messages.SystemMessage,
    messages.SystemMessageChunk,
    messages.ToolMessage,
    messages.ToolMessageChunk,
    messages.ChatMessage,
    messages.ChatMessageChunk,
    messages.FunctionMessage,
    messages.FunctionMessageChunk,
    messages.RemoveMessage,
    Document,
)

Encode = Callable[[Any], Any]
Decode = Callable[[Any], Any]
Row = tuple[type, str, Encode, Decode]


class StrictSerializer:
    """LangGraph's serializer protocol for a closed list of types.

    The list: the types of JSON, bytes, LangChain messages and documents, LangGraph interrupts,
    sends and overwrites, dates, times, UUID, Decimal, sets, deques and paths. Tuples are read back
    as lists, exceptions as their repr, and a lone surrogate in a text as a question mark.

    Args:
        allowed: Further types: your own pydantic models, dataclasses, named tuples or enums.

    Raises:
        TypeError: `allowed` holds another kind of type.
    """

    def __init__(self, allowed: Iterable[type] = ()) -> None:
        """Build the table."""
        rows = [*_KNOWN, *(_row_of(kind) for kind in allowed)]
        self._encoders = {kind: (tag, encode) for kind, tag, encode, _ in rows}
        self._decoders = {tag: decode for _, tag, _, decode in rows}

    def dumps(self, value: object) -> bytes:
        """Encode a value.

        Raises:
            StoredStateError: It holds a type that is not on the list, or an integer over 64 bits.
        """
        fault: list[StoredStateError] = []

        def encode(part: object) -> ormsgpack.Ext:
            try:
                return ormsgpack.Ext(_EXT, self._pack(self._tagged(part), encode))
            except StoredStateError as error:  # ormsgpack would replace it by its own error
                fault.append(error)
                raise

        try:
            return HEADER + self._pack(value, encode)
        except (TypeError, ValueError) as error:
            raise (fault[0] if fault else StoredStateError(f"cannot be stored: {error}")) from error

    def loads(self, data: bytes) -> Any:  # noqa: ANN401 - whatever was stored
        """Decode a value.

        Raises:
            StoredStateError: The bytes are damaged, or name a type that is not on the list.
        """
        fault: list[StoredStateError] = []

        def decode(code: int, part: bytes) -> object:
            try:
                return self._rebuilt(code, ormsgpack.unpackb(part, ext_hook=decode, option=_READ))
            except StoredStateError as error:  # ormsgpack would replace it by its own error
                fault.append(error)
                raise

        if not isinstance(data, bytes) or not data.startswith(HEADER):
            raise StoredStateError("stored state was not written by stillroom, or by a newer one")
        try:
            return ormsgpack.unpackb(data[len(HEADER) :], ext_hook=decode, option=_READ)
        except (TypeError, ValueError) as error:
            damaged = StoredStateError(f"stored state cannot be read: {error}")
            raise (fault[0] if fault else damaged) from None

    def dumps_typed(self, obj: object) -> tuple[str, bytes]:
        """Encode a value for LangGraph; see `dumps`."""
        return FORMAT, self.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:  # noqa: ANN401 - whatever was stored
        """Decode a value for LangGraph; values of other serializers, e.g. pickle, are rejected."""
        kind, body = data
        if kind != FORMAT:
            raise StoredStateError(f"stored state is of type {kind!r}; only {FORMAT!r} is read")
        return self.loads(body)

    def _pack(self, value: object, encode: Callable[[object], ormsgpack.Ext]) -> bytes:
        return ormsgpack.packb(value, encode, _OPTIONS)

    def _tagged(self, part: object) -> Any:  # noqa: ANN401 - tag and plain value
        known = self._encoders.get(type(part))
        if known is not None:
            tag, encode = known
            return [tag, encode(part)]
        for kind, (tag, encode) in _FAMILIES.items():
            if isinstance(part, kind):
                return [tag, encode(part)]
        name = f"{type(part).__module__}.{type(part).__qualname__}"
        raise StoredStateError(
            f"a value of type {name} is not stored in threads; keep texts, numbers, lists, dicts "
            f"and messages in the state, or open the checkpointer with allowed=[{name}]"
        )

    def _rebuilt(self, code: int, tagged: object) -> object:
        if code != _EXT or not isinstance(tagged, list) or len(tagged) != 2:
            raise StoredStateError(f"stored state has an unknown extension of code {code}")
        tag, plain = tagged
        decode = self._decoders.get(tag) if isinstance(tag, str) else None
        if decode is None:
            raise StoredStateError(
                f"stored state names the type {tag!r}, which is not on the list; if it is one of "
                "your own, open the checkpointer with allowed=[...]"
            )
        try:
            return decode(plain)
        except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
            raise StoredStateError(f"stored state holds a damaged {tag}: {error}") from None


_READ = ormsgpack.OPT_NON_STR_KEYS


def _model_row(kind: type[BaseModel], tag: str) -> Row:
    fields = tuple(kind.model_fields)
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
        if not field.default_factory_takes_validated_data
    }

    # Not `model_dump`, which would convert nested models, e.g. a document, to plain dicts.
    def parts(model: BaseModel) -> dict[str, Any]:
        held = vars(model)  # may also contain values of cached properties
        changed = {
            name: held[name]
            for name in fields
            if name in held and not (name in defaults and _same(held[name], defaults[name]))
        }
        return {**changed, **(model.__pydantic_extra__ or {})}

    return kind, tag, parts, lambda plain: kind(**plain)


def _same(part: object, default: object) -> bool:
    return part is default or (type(part) is type(default) and part == default)


def _fields_row(kind: type, tag: str, names: Iterable[str]) -> Row:
    kept = tuple(names)
    return kind, tag, lambda v: {n: getattr(v, n) for n in kept}, lambda p: kind(**p)


def _row_of(kind: type) -> Row:
    """Return the table row of one of the user's own types."""
    tag = f"{kind.__module__}:{kind.__qualname__}"
    if issubclass(kind, BaseModel):
        by_name = kind.model_config.get("populate_by_name") or kind.model_config.get(
            "validate_by_name"
        )
        if not by_name and any(field.validation_alias for field in kind.model_fields.values()):
            raise TypeError(
                f"{tag} has fields with aliases, so it could not be read back by their names; "
                "give it model_config = ConfigDict(populate_by_name=True)"
            )
        return _model_row(kind, tag)
    if dataclasses.is_dataclass(kind):
        return _fields_row(kind, tag, (f.name for f in dataclasses.fields(kind) if f.init))
    if issubclass(kind, Enum):
        return kind, tag, lambda member: member.value, kind
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _fields_row(kind, tag, kind._fields)
    raise TypeError(
        f"{tag} cannot be stored in threads; allowed takes pydantic models, dataclasses, named "
        "tuples and enums"
    )


def _rebuild_send(plain: list[Any]) -> Send:
    node, argument, timeout = plain
    return Send(str(node), argument, timeout=timeout)


_KNOWN: list[Row] = [
    *(_model_row(kind, kind.__name__) for kind in _MESSAGES),
    _fields_row(Interrupt, "Interrupt", ("value", "id", "response_schema")),
    _fields_row(Overwrite, "Overwrite", ("value",)),
    (Send, "Send", lambda send: [send.node, send.arg, send.timeout], _rebuild_send),
    _fields_row(TimeoutPolicy, "TimeoutPolicy", ("run_timeout", "idle_timeout", "refresh_on")),
    (_DeltaSnapshot, "DeltaSnapshot", lambda snapshot: snapshot.value, _DeltaSnapshot),
    (datetime, "datetime", datetime.isoformat, datetime.fromisoformat),
    (date, "date", date.isoformat, date.fromisoformat),
    (time, "time", time.isoformat, time.fromisoformat),
    (
        timedelta,
        "timedelta",
        lambda span: [span.days, span.seconds, span.microseconds],
        lambda plain: timedelta(*plain),
    ),
    (UUID, "UUID", lambda value: value.hex, UUID),
    (Decimal, "Decimal", str, Decimal),
    (set, "set", list, set),
    (frozenset, "frozenset", list, frozenset),
    (deque, "deque", lambda items: [list(items), items.maxlen], lambda p: deque(p[0], p[1])),
    (PurePath, "Path", str, PurePath),
    (BaseException, "error", repr, str),
    (str, "str", str.__str__, str),
    (int, "int", int.__int__, int),
    (list, "list", list, list),
    (dict, "dict", dict, dict),
]
_FAMILIES = {
    kind: (tag, encode)
    for kind, tag, encode, _ in _KNOWN
    if kind in (PurePath, BaseException, str, int, list, dict)
}
"""Types whose subclasses are stored as the base class."""
