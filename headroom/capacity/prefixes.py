"""How many prefixes ipamd takes with WARM_PREFIX_TARGET k >= 2, where chance has a part in it.

ipamd tests free *addresses* (fewer than 16k of them: the pool is too low) and asks for wholly free *prefixes*
(k less those that it has, at least 1). So it matters over how many prefixes the pods have spread, which Go's maps
decide (`slots`). Everything but that is a closed form here:

- with U prefixes in use growth ends at T = U + k, unless 16T - p >= 16k came before;
- U lies between ceil(p/16) and the smaller of p and ceil(p/16) + k - 1, whatever the order of arrival, so T lies
  between ceil(p/16) + k and ceil(p/16) + 2k - 1, less where there are few pods or an interface ends before;
- of pods that come in a burst, all but those that the last request of k prefixes is for fill what they get. Only
  over these last ones they spread by chance.

Source: aws/amazon-vpc-cni-k8s v1.23.0, ``pkg/ipamd/ipamd.go`` (isDatastorePoolTooLow, tryAssignPrefixes) and
``pkg/ipamd/datastore`` (AssignPodIPv4Address).
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final, NamedTuple

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.slots import SlotMap

DRAWS: Final = 250
"""Placements of pods that are drawn to tell over how many prefixes they spread. Means are met within a few
hundredths of a prefix."""

SELDOM: Final = DRAWS // 100
"""What does not come out more often is left to the bounds and has no part in the mean."""


@dataclass(slots=True)
class _Prefix:
    """A prefix in the slot map of its interface."""

    slot: int = 0
    hash: int = 0
    pods: int = 0


class Burst(NamedTuple):
    """What a burst of pods makes of a new node.

    Attributes:
        usual: Prefixes, as they most often come out.
        mean: Prefixes on average.
        interfaces: Interfaces that hold them, on average.
    """

    usual: int
    mean: float
    interfaces: float


class _Spread(NamedTuple):
    """Over how many prefixes pods spread: most often, on average, and how often over each number in `DRAWS`."""

    usual: int
    mean: float
    drawn: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PrefixGrowth:
    """How a node's prefixes grow with WARM_PREFIX_TARGET of 2 or more.

    Attributes:
        warm: WARM_PREFIX_TARGET, at least 2.
        slots: Prefixes that one interface can have.
        most: Prefixes that all interfaces for pods can have, at least 1.
        stop: Prefixes from which on growth stops for maxPods.
    """

    warm: int
    slots: int
    most: int
    stop: int

    def bounds(self, pods: int) -> tuple[int, int]:
        """Fewest and most prefixes once growth has ended, in whatever order the pods came."""
        if self.stop == 0:
            return 0, 0
        first = min(self.warm, self.slots, self.most)
        if self.stop <= first or self.most == first:
            return first, first
        rest = min(ceil_division(pods, PREFIX_ADDRESSES) + self.warm, self.stop, self.most)
        # The most prefixes with which the pool can still be too low: all in use, if there are pods for it, and no
        # request goes beyond one interface.
        low = rest - 1
        end_of_interface = (low // self.slots + 1) * self.slots
        return rest, min(min(pods, low) + self.warm, end_of_interface, self.most)

    def after_burst(self, pods: int) -> Burst:
        """What comes of a burst of so many pods on a new node, over `DRAWS` placements of the last of them."""
        taken, last = self._filled(pods)
        full = taken - last
        rest = pods - PREFIX_ADDRESSES * full
        if rest <= 0 or self._at_rest(taken, pods):
            taken = self._grown(taken, full, pods)
            return Burst(taken, taken, ceil_division(taken, self.slots))
        spread = _spread(full % self.slots, last)[rest]
        greatest = full + last + self.warm
        room = (taken // self.slots + 1) * self.slots
        if greatest <= room and greatest <= self.stop and greatest <= self.most:
            # Nothing but the warm target ends the growth.
            prefixes = full + self.warm
            return Burst(prefixes + spread.usual, prefixes + spread.mean, ceil_division(greatest, self.slots))
        found: Counter[int] = Counter()
        for used, times in spread.drawn:
            found[self._grown(taken, full + used, pods)] += times
        return Burst(
            max(found, key=found.__getitem__),
            sum(prefixes * times for prefixes, times in found.items()) / DRAWS,
            sum(ceil_division(prefixes, self.slots) * times for prefixes, times in found.items()) / DRAWS,
        )

    def _filled(self, pods: int) -> tuple[int, int]:
        """Prefixes once pods wait no more, and how many of them the last request brought.

        Every request is for k prefixes, or for as many as the interface has room for, since none is wholly free
        while pods wait.
        """
        wanted = min(pods // PREFIX_ADDRESSES + 1, self.stop, self.most)
        if wanted <= 0:
            return 0, 0
        interfaces, place = divmod(wanted - 1, self.slots)
        before = place // self.warm * self.warm
        after = min(before + self.warm, self.slots)
        return interfaces * self.slots + after, after - before

    def _at_rest(self, taken: int, pods: int) -> bool:
        return (
            taken >= self.stop or taken >= self.most or PREFIX_ADDRESSES * taken - pods >= PREFIX_ADDRESSES * self.warm
        )

    def _grown(self, taken: int, used: int, pods: int) -> int:
        """Prefixes at rest, from so many of which so many are in use, loop by loop: there are few left."""
        while not self._at_rest(taken, pods):
            room = self.slots - taken % self.slots
            taken += min(max(1, self.warm - taken + used), room)
        return taken


@cache
def _spread(before: int, fresh: int) -> tuple[_Spread, ...]:
    """How pods spread over some fresh prefixes on an interface with so many full ones before them.

    Returns:
        By the number of pods, from 0 to 16 for each fresh prefix.
    """
    most = PREFIX_ADDRESSES * fresh
    found: list[Counter[int]] = [Counter() for _ in range(most + 1)]
    random = Random(before * 1_000 + fresh)  # noqa: S311 - a simulation, not a secret
    for _ in range(DRAWS):
        interface: SlotMap[_Prefix] = SlotMap(random)
        for index in range(before + fresh):
            prefix = _Prefix()
            interface.add(prefix)
            if index >= before:
                interface.mark(prefix)
        used = 0
        found[0][used] += 1
        for pods in range(1, most + 1):
            chosen = interface.first_marked()
            if chosen is None:  # there are 16 places in each
                raise AssertionError(before, fresh, pods)
            used += not chosen.pods
            chosen.pods += 1
            if chosen.pods == PREFIX_ADDRESSES:
                interface.unmark(chosen)
            found[pods][used] += 1
    return tuple(_summary(counter) for counter in found)


def _summary(found: Counter[int]) -> _Spread:
    usual = max(found, key=found.__getitem__)
    for used in [used for used, times in found.items() if times <= SELDOM and used != usual]:
        found[usual] += found.pop(used)
    return _Spread(usual, sum(used * times for used, times in found.items()) / DRAWS, tuple(found.items()))


def ceil_division(dividend: int, divisor: int) -> int:
    """The quotient, rounded up."""
    return -(-dividend // divisor)
