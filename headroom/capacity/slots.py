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

    __slots__ = ("_count", "_random", "_slots")

    def __init__(self, random: Random, hint: int = 0) -> None:
        capacity = GROUP_SLOTS
        while hint > GROUP_SLOTS and hint > capacity * MAXIMUM_LOAD:
            capacity *= 2
        self._random = random
        self._slots: list[EntryT | None] = [None] * capacity
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
        self._place(entry)
        self._count += 1

    def remove(self, entry: EntryT) -> None:
        """Frees the entry's slot."""
        self._slots[entry.slot] = None
        self._count -= 1

    def stored(self) -> list[EntryT]:
        """The entries in slot order: for sums, where the order does not matter."""
        return [entry for entry in self._slots if entry is not None]

    def ordered(self) -> Iterator[EntryT]:
        """One iteration: the slots in turn, beginning at a random one."""
        slots = self._slots
        start = int(self._random.random() * len(slots))
        for entry in slots[start:]:
            if entry is not None:
                yield entry
        for entry in slots[:start]:
            if entry is not None:
                yield entry

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
        self._slots = [None] * (2 * len(self._slots))
        for entry in entries:
            self._place(entry)
