"""Marks of a Go-like map: an iteration over the marked entries is the whole one with the others left out."""

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from headroom.capacity.slots import SlotMap


@dataclass(slots=True, eq=False)
class Entry:
    name: int
    slot: int = 0
    hash: int = 0


def marked(entries: SlotMap[Entry]) -> list[int]:
    found = []
    entry = entries.first_marked()
    while entry is not None:
        found.append(entry.name)
        entry = entries.next_marked(entry)
    return found


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.sampled_from(["add", "remove", "mark", "unmark"]), st.integers(0, 60)), max_size=120),
)
def test_marked_entries_come_in_the_order_of_all_entries(seed: int, steps: list[tuple[str, int]]) -> None:
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    entries: SlotMap[Entry] = SlotMap(chance)
    there: dict[int, Entry] = {}
    marks: set[int] = set()
    for action, name in steps:
        if action == "add" and name not in there:
            there[name] = Entry(name)
            entries.add(there[name])
        elif name in there and action == "remove":
            entries.remove(there.pop(name))
            marks.discard(name)
        elif name in there and action == "mark":
            entries.mark(there[name])
            marks.add(name)
        elif name in there and action == "unmark":
            entries.unmark(there[name])
            marks.discard(name)
        state = chance.getstate()
        everything = [entry.name for entry in entries.ordered()]
        chance.setstate(state)
        assert marked(entries) == [name for name in everything if name in marks]
        assert sorted(everything) == sorted(there)
        assert len(entries) == len(there)
