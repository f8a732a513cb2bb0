"""Joining tool calls that a server streams in pieces, by index and id.

    pieces = CallPieces(("add",))
    pieces.add({"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}})
    pieces.add({"index": 0, "function": {"arguments": '{"a": 1}'}})
    pieces.calls()      # [SentCall(name='add', arguments='{"a": 1}', id='c1', broken=False)]

Servers differ: the name comes once, in every piece or in pieces; indexes or ids are missing, or the
same for all calls; arguments are text, an object, null, or JSON that was encoded twice. Ambiguous
calls are marked as broken, and never get other arguments than were sent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from .parse import new_call_id


class SentCall(NamedTuple):
    """A tool call of an answer."""

    name: str
    """Name of the tool; empty if the server did not send it."""
    arguments: str
    """A JSON object; the unchanged text if the call is broken."""
    id: str
    broken: bool
    """The arguments are not a JSON object, or the name is missing."""


@dataclass
class _Call:
    index: object = None
    id: str = ""
    names: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    """Pieces of the arguments."""
    size: int = 0
    """Characters in the pieces."""

    @property
    def arguments(self) -> str:
        """The joined pieces, or the last one if each piece contains those before it."""
        joined = "".join(self.pieces)
        if len(self.pieces) > 1 and _grows(self.pieces) and read_arguments(joined) is None:
            return self.pieces[-1]
        return joined

    @property
    def complete(self) -> bool:
        """Arguments were sent and are complete."""
        # Parse only if the piece can be the last one: of an object, null, or quoted JSON.
        last = self.pieces[-1].rstrip() if self.pieces else ""
        if last and last[-1] not in '}l"':
            return False
        arguments = self.arguments
        return bool(arguments.strip()) and read_arguments(arguments) is not None

    def extend(self, name: str, arguments: str) -> None:
        """Append a piece; complete arguments that are sent again are ignored."""
        if name and self.names[-2:] != [name, name]:  # repeated in every piece
            self.names.append(name)
        again = len(arguments) == self.size and arguments == self.arguments and self.complete
        if arguments and not again:
            self.pieces.append(arguments)
            self.size += len(arguments)


class CallPieces:
    """Collects the calls of one answer."""

    def __init__(self, known: Collection[str] = ()) -> None:
        """Start an answer.

        Args:
            known: Names of the offered tools, to tell a repeated name from one in two pieces.
        """
        self._known = frozenset(known)
        self._calls: list[_Call] = []
        self._old: _Call | None = None

    def __bool__(self) -> bool:
        """Whether any piece of a call came."""
        return bool(self._calls) or self._old is not None

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add an entry of `tool_calls`."""
        function = piece.get("function") or piece  # some servers leave out this level
        name, arguments = _text(function.get("name")), _arguments_text(function.get("arguments"))
        call_id = _text(piece.get("id"))
        if not (name or arguments or call_id):
            return
        call = self._find(piece.get("index"), call_id, name, arguments)
        call.id = call.id or call_id
        call.extend(name, arguments)

    def add_old(self, function: Mapping[str, Any]) -> None:
        """Add a piece of `function_call`, the older form with at most one call."""
        self._old = self._old or _Call()
        self._old.extend(_text(function.get("name")), _arguments_text(function.get("arguments")))

    def calls(self) -> list[SentCall]:
        """Return the calls in the order of their first pieces."""
        # Servers that send both forms mean the same call.
        found = self._calls or [call for call in (self._old,) if call is not None]
        found = [call for call in found if call.names or call.arguments.strip()]
        ids = [call.id for call in found]
        return [self._sent(call, call.id if ids.count(call.id) == 1 else "") for call in found]

    def cut(self) -> bool:
        """Return whether a call is incomplete."""
        found = self._calls or [call for call in (self._old,) if call is not None]
        return not all(call.complete for call in found)

    def _sent(self, call: _Call, call_id: str) -> SentCall:
        name, read = self._name(call.names), read_arguments(call.arguments)
        broken = read is None or not name
        text = call.arguments if read is None else json.dumps(read, ensure_ascii=False)
        # Replace unpaired surrogates, which cannot be encoded as UTF-8.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return SentCall(name, text, call_id or new_call_id(), broken)

    def _name(self, pieces: list[str]) -> str:
        """Return the name: repeated in every piece, growing with each, or split into pieces."""
        if not pieces:
            return ""
        repeated = pieces[0] if len(set(pieces)) == 1 else None
        grown = pieces[-1] if _grows(pieces) else None
        readings = [one for one in (repeated, grown, "".join(pieces)) if one is not None]
        return next((one for one in readings if one in self._known), readings[0])

    def _find(self, index: object, call_id: str, name: str, arguments: str) -> _Call:
        """Return the call that a piece belongs to, perhaps a new one."""
        among = self._calls
        if index is not None:
            among = [call for call in self._calls if call.index == index]
            if not among and call_id:  # its first piece had no index
                among = [c for c in self._calls if c.index is None and c.id == call_id]
            elif not among and not name:
                among = [c for c in self._calls[-1:] if c.index is None]
        named = [call for call in among if call_id and call.id == call_id]
        if named:
            found = named[-1]
            # Some servers give all calls the same id; checked only without indexes.
            begins = index is None and self._begins(found, name, arguments)
        elif not among:
            begins = True
        else:
            found = among[-1]
            other_id = bool(call_id and found.id)
            begins = self._begins(found, name, arguments, other_id=other_id, lacks=index is None)
        if begins:
            found = _Call(index)
            self._calls.append(found)
        if found.index is None:
            found.index = index
        return found

    def _begins(
        self,
        last: _Call,
        name: str,
        arguments: str,
        *,
        other_id: bool = False,
        lacks: bool = False,
    ) -> bool:
        """Return whether a piece begins a new call and does not continue the last one."""
        if not name:
            # With indexes, ids that change with every piece are ignored.
            return other_id and lacks
        if not last.names:  # its arguments came first
            return other_id and lacks
        same = name == self._name(last.names)
        if last.complete:
            return other_id or bool(arguments) or not same
        if any(part.strip() for part in last.pieces):
            return not same or (other_id and arguments.lstrip().startswith("{"))
        if other_id:  # no arguments yet: a tool without any, or ids that change
            return lacks or not same or not arguments
        return not same and {name, self._name(last.names)} <= self._known


def read_arguments(sent: str) -> dict[str, Any] | None:
    """Parse the arguments of a call; None if they are not a JSON object.

    Empty text and null are an empty object; JSON inside a JSON text is parsed twice.

    >>> read_arguments('{"a": 1}'), read_arguments("null"), read_arguments("[1]")
    ({'a': 1}, {}, None)
    """
    value: Any = sent
    for _ in range(2):
        if not isinstance(value, str):
            break
        if not value.strip():
            return {}
        try:
            value = json.loads(value, strict=False, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return None
    if value is None:
        return {}
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _grows(pieces: list[str]) -> bool:
    """Return whether each piece begins with the one before it."""
    return all(later.startswith(earlier) for earlier, later in pairwise(pieces))


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _arguments_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
