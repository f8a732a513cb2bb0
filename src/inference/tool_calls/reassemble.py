"""Tool calls that a server sends in pieces, put together by index and id and parsed at the end.

    pieces = CallPieces(("add",))
    pieces.add({"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}})
    pieces.add({"index": 0, "function": {"arguments": '{"a": 1}'}})
    pieces.calls()      # [SentCall(name='add', arguments='{"a": 1}', id='c1', broken=False)]

Servers differ: the name comes once, in every piece or in pieces; indexes or ids are missing, or the
same for all calls; arguments are text, an object, null, or JSON that was encoded twice. What cannot
be read for certain becomes a broken call, never a call with other arguments than were sent.
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
    """The tool; empty where the server never named it."""
    arguments: str
    """A JSON object; what the server sent, as it is, where the call is broken."""
    id: str
    broken: bool
    """The arguments are no JSON object, or there is no name: nothing can be called."""


@dataclass
class _Call:
    index: object = None
    id: str = ""
    names: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    """Of the arguments."""
    size: int = 0
    """Characters in the pieces."""

    @property
    def arguments(self) -> str:
        """All that was sent of them; the last piece where each one held the ones before it."""
        joined = "".join(self.pieces)
        if len(self.pieces) > 1 and _grows(self.pieces) and read_arguments(joined) is None:
            return self.pieces[-1]
        return joined

    @property
    def complete(self) -> bool:
        """Arguments were sent and are whole."""
        # Looked at for pieces that may be the last one only: an object, null, or a text of JSON.
        last = self.pieces[-1].rstrip() if self.pieces else ""
        if last and last[-1] not in '}l"':
            return False
        arguments = self.arguments
        return bool(arguments.strip()) and read_arguments(arguments) is not None

    def extend(self, name: str, arguments: str) -> None:
        """Take a piece; arguments that are whole and sent again are the same ones."""
        if name and self.names[-2:] != [name, name]:  # a name in every piece is no name in pieces
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
            known: Names of the tools that were offered; they tell a name that comes twice from one
                that comes in two pieces.
        """
        self._known = frozenset(known)
        self._calls: list[_Call] = []
        self._old: _Call | None = None

    def __bool__(self) -> bool:
        """Say whether anything of a call came."""
        return bool(self._calls) or self._old is not None

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take an entry of `tool_calls`."""
        function = piece.get("function") or piece  # some leave the object around both out
        name, arguments = _text(function.get("name")), _arguments_text(function.get("arguments"))
        call_id = _text(piece.get("id"))
        if not (name or arguments or call_id):
            return
        call = self._find(piece.get("index"), call_id, name, arguments)
        call.id = call.id or call_id
        call.extend(name, arguments)

    def add_old(self, function: Mapping[str, Any]) -> None:
        """Take a piece of `function_call`, the older form, which has one call at most."""
        self._old = self._old or _Call()
        self._old.extend(_text(function.get("name")), _arguments_text(function.get("arguments")))

    def calls(self) -> list[SentCall]:
        """Give the calls, in the order in which they began."""
        # Servers that send both forms mean the same call.
        found = self._calls or [call for call in (self._old,) if call is not None]
        found = [call for call in found if call.names or call.arguments.strip()]
        ids = [call.id for call in found]
        return [self._sent(call, call.id if ids.count(call.id) == 1 else "") for call in found]

    def cut(self) -> bool:
        """Say whether a call is not whole, where a limit of tokens ended the answer."""
        found = self._calls or [call for call in (self._old,) if call is not None]
        return not all(call.complete for call in found)

    def _sent(self, call: _Call, call_id: str) -> SentCall:
        name, read = self._name(call.names), read_arguments(call.arguments)
        broken = read is None or not name
        text = call.arguments if read is None else json.dumps(read, ensure_ascii=False)
        # Half a surrogate pair, which no file can hold.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return SentCall(name, text, call_id or new_call_id(), broken)

    def _name(self, pieces: list[str]) -> str:
        """Choose between a name in pieces, one in every piece, and one that grows."""
        if not pieces:
            return ""
        repeated = pieces[0] if len(set(pieces)) == 1 else None
        grown = pieces[-1] if _grows(pieces) else None
        readings = [one for one in (repeated, grown, "".join(pieces)) if one is not None]
        return next((one for one in readings if one in self._known), readings[0])

    def _find(self, index: object, call_id: str, name: str, arguments: str) -> _Call:
        """Find the call that a piece belongs to, or begin one."""
        among = self._calls
        if index is not None:
            among = [call for call in self._calls if call.index == index]
            if not among and call_id:  # it began in a piece without an index
                among = [c for c in self._calls if c.index is None and c.id == call_id]
            elif not among and not name:
                among = [c for c in self._calls[-1:] if c.index is None]
        named = [call for call in among if call_id and call.id == call_id]
        if named:
            found = named[-1]
            # Some servers give all calls one id; only where indexes are missing, too.
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
        """Say whether a piece begins another call and does not go on with the last one."""
        if not name:
            # Ids that change with every piece are no ids; without indexes they are all there is.
            return other_id and lacks
        if not last.names:  # its arguments came first
            return other_id and lacks
        same = name == self._name(last.names)
        if last.complete:
            return other_id or bool(arguments) or not same
        if any(part.strip() for part in last.pieces):
            return not same or (other_id and arguments.lstrip().startswith("{"))
        if other_id:  # without arguments so far: a tool that has none, or one whose ids change
            return lacks or not same or not arguments
        return not same and {name, self._name(last.names)} <= self._known


def read_arguments(sent: str) -> dict[str, Any] | None:
    """Read the arguments of a call; None where they are no JSON object.

    No arguments and null are an object without members; a text that holds JSON was encoded twice.

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
    """Say whether each piece holds all that came before it."""
    return all(later.startswith(earlier) for earlier, later in pairwise(pieces))


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _arguments_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
