"""The order in which a Go map hands out its entries, because ipamd's choices follow it.

ipamd keeps its network interfaces, and the addresses of each, in Go maps and takes the first entry that
fits. Which pod lands on which interface, and which interface or address is given back, is therefore neither
uniform nor first come first served. Go's maps (the Swiss-table maps of Go 1.24 and later) put up to eight
entries into eight slots, lowest free slot first, and start every iteration at a random slot. So of n <= 8
entries that were never deleted the first one comes first with probability (9 - n)/8, each other with 1/8.
Larger maps place an entry by its hash.

Source: the Go runtime's internal/runtime/maps, as built into VPC CNI v1.23.0 (Go 1.26).
"""

from collections.abc import Iterator
from random import Random
from typing import Generic, Protocol, TypeVar

# Slots in one group; a map of no more entries than this is a single group.
GROUP_SLOTS = 8
# A larger table doubles once 7 of 8 slots are taken.
MAXIMUM_LOAD = 7 / 8


class Slotted(Protocol):
    """An entry that remembers its own slot and hash, so that deleting it needs no search."""

    slot: int
    hash: int


EntryT = TypeVar("EntryT", bound=Slotted)


class SlotMap(Generic[EntryT]):
    """Entries in the slots where a Go map would have them.

    Args:
        random: Where iterations start and where large maps place their entries.
        hint: The number of entries that the map was made for.
    """

    __slots__ = ("_count", "_marks", "_orders", "_random", "_slots", "_start")

    def __init__(self, random: Random, hint: int = 0) -> None:
        capacity = GROUP_SLOTS
        while hint > GROUP_SLOTS and hint > capacity * MAXIMUM_LOAD:
            capacity *= 2
        self._random = random
        self._slots: list[EntryT | None] = [None] * capacity
        # One byte for each slot: 1 where its entry is marked.
        self._marks = bytearray(capacity)
        # The entries in turn, by the slot that an iteration begins at: kept until an entry comes or goes.
        self._orders: dict[int, list[EntryT]] = {}
        self._start = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: EntryT) -> None:
        """Puts an entry into the slot that Go would choose, growing the table where Go would."""
        capacity = len(self._slots)
        full = capacity if capacity == GROUP_SLOTS else int(capacity * MAXIMUM_LOAD)
        if self._count >= full:
            self._grow()
        entry.hash = self._random.getrandbits(32)
        self._orders = {}
        self._place(entry)
        self._count += 1

    def remove(self, entry: EntryT) -> None:
        """Frees the entry's slot."""
        self._slots[entry.slot] = None
        self._marks[entry.slot] = 0
        self._orders = {}
        self._count -= 1

    def mark(self, entry: EntryT) -> None:
        """Marks the entry."""
        self._marks[entry.slot] = 1

    def unmark(self, entry: EntryT) -> None:
        """Takes the mark away."""
        self._marks[entry.slot] = 0

    def stored(self) -> list[EntryT]:
        """The entries in slot order: for sums, where the order does not matter."""
        return [entry for entry in self._slots if entry is not None]

    def ordered(self) -> Iterator[EntryT]:
        """One iteration: the slots in turn, beginning at a random one."""
        slots = self._slots
        start = int(self._random.random() * len(slots))
        order = self._orders.get(start)
        if order is None:
            order = self._orders[start] = [entry for entry in slots[start:] + slots[:start] if entry is not None]
        return iter(order)

    def first_marked(self) -> EntryT | None:
        """The first marked entry of an iteration."""
        start = self._start = int(self._random.random() * len(self._slots))
        slot = self._marks.find(1, start)
        if slot < 0:
            slot = self._marks.find(1)
        return self._slots[slot] if slot >= 0 else None

    def next_marked(self, entry: EntryT) -> EntryT | None:
        """The next marked entry of the iteration that `first_marked` began last, if nothing came or went since."""
        start, marks, slot = self._start, self._marks, entry.slot
        if slot >= start:
            after = marks.find(1, slot + 1)
            if after < 0:
                after = marks.find(1, 0, start)
        else:
            after = marks.find(1, slot + 1, start)
        return self._slots[after] if after >= 0 else None

    def _place(self, entry: EntryT) -> None:
        slots = self._slots
        groups = len(slots) // GROUP_SLOTS
        group = entry.hash % groups
        step = 0
        while True:
            first = group * GROUP_SLOTS
            for slot in range(first, first + GROUP_SLOTS):
                if slots[slot] is None:
                    slots[slot] = entry
                    entry.slot = slot
                    return
            step += 1
            group = (group + step) % groups

    def _grow(self) -> None:
        entries = list(self.ordered()) if len(self._slots) == GROUP_SLOTS else self.stored()
        marked = [entry for entry in entries if self._marks[entry.slot]]
        self._slots = [None] * (2 * len(self._slots))
        for entry in entries:
            self._place(entry)
        self._marks = bytearray(len(self._slots))
        for entry in marked:
            self.mark(entry)
