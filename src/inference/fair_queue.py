"""A bounded queue in which callers take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of several callers, in order for each of them; not safe between threads by itself."""

    def __init__(self) -> None:
        """Make an empty queue."""
        # Callers in the order in which it is their turn.
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """Count the items of all callers."""
        return self._size

    def __iter__(self) -> Iterator[Item]:
        """Give the items, caller by caller."""
        return (item for items in self._waiting.values() for item in items)

    def push(self, caller: str, item: Item) -> None:
        """Append an item."""
        self._waiting.setdefault(caller, deque()).append(item)
        self._size += 1

    def pop(self, running: Mapping[str, int]) -> Item:
        """Take the next item: of the caller that has the least running, else of who waited longest
        for a turn.

        Args:
            running: Items that each caller has in work; callers without may be missing.

        Raises:
            IndexError: The queue is empty.
        """
        if not self._waiting:
            raise IndexError("the queue is empty")
        caller = min(self._waiting, key=lambda name: running.get(name, 0))
        items = self._waiting.pop(caller)
        item = items.popleft()
        self._size -= 1
        if items:
            self._waiting[caller] = items  # at the end
        return item

    def remove(self, chosen: Callable[[Item], bool]) -> list[Item]:
        """Take out all items for which `chosen` is true."""
        removed: list[Item] = []
        for caller, items in list(self._waiting.items()):
            kept: deque[Item] = deque()
            for item in items:
                (removed if chosen(item) else kept).append(item)
            if kept:
                self._waiting[caller] = kept
            else:
                del self._waiting[caller]
        self._size -= len(removed)
        return removed
