"""The addresses of one simulated subnet: who holds which, and how EC2 hands out the next one."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from random import Random

PREFIX_ADDRESSES = 16
"""Addresses of an IPv4 prefix, a /28 (EC2 user guide, work-with-prefixes)."""

RESERVED_AT_START = 4
"""Addresses at the start of a subnet that AWS keeps (VPC user guide, subnet-sizing)."""

RESERVED_AT_END = 1
"""Addresses at the end of a subnet that AWS keeps (VPC user guide, subnet-sizing)."""


class NoFreeAddressesError(Exception):
    """Fewer free addresses than asked for; nothing was taken."""


class NoFreePrefixesError(Exception):
    """Fewer free aligned /28 blocks than asked for; nothing was taken."""


class AddressInUseError(Exception):
    """Somebody else holds that address."""


class OutsideSubnetError(Exception):
    """The address does not lie in the subnet, or is one that AWS keeps."""


class _Bag:
    """Numbers from which a random one can be drawn, and any one removed, in constant time."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._numbers = list(numbers)
        self._places = {number: place for place, number in enumerate(self._numbers)}

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def add(self, number: int) -> None:
        if number not in self._places:
            self._places[number] = len(self._numbers)
            self._numbers.append(number)

    def discard(self, number: int) -> None:
        place = self._places.pop(number, None)
        if place is None:
            return
        last = self._numbers.pop()
        if last != number:
            self._numbers[place] = last
            self._places[last] = place

    def draw(self, random: Random) -> int:
        number = self._numbers[random.randrange(len(self._numbers))]
        self.discard(number)
        return number


@dataclass(frozen=True, slots=True)
class Reservation:
    """A subnet CIDR reservation as integers: first and last address, and whether it is for prefixes."""

    first: int
    last: int
    for_prefixes: bool


class AddressPool:
    """All addresses of a subnet; addresses are integers.

    EC2 draws single addresses at random, which is why single addresses scatter over the /28 blocks and a
    subnet fragments (amazon-vpc-cni-k8s #2749, #2313). Prefixes come from `prefix` reservations first and
    then from the rest of the subnet (#2749).
    """

    def __init__(self, network: IPv4Network, random: Random) -> None:
        self.first = int(network.network_address)
        self.last = int(network.broadcast_address)
        self._random = random
        self._holders: dict[int, str] = {}
        self._prefix_holders: dict[int, str] = {}
        self._reservations: dict[str, Reservation] = {}
        self._usable = range(self.first + RESERVED_AT_START, self.last + 1 - RESERVED_AT_END)
        self._free = _Bag(self._usable)
        self._reserved_free = _Bag()
        """Free addresses inside reservations: not handed out singly."""

    @property
    def available(self) -> int:
        """What DescribeSubnets shows as AvailableIpAddressCount.

        Reserved space does not count: a subnet that is reserved as a whole shows 0
        (awslabs/eks-perf-tests #511).
        """
        return len(self._free)

    @property
    def free_prefixes(self) -> int:
        """Aligned /28 blocks that are wholly free outside explicit reservations."""
        return len(self._free_blocks(reserved=True)) + len(self._free_blocks(reserved=False))

    def holder(self, address: int) -> str | None:
        """Who holds the address, singly or in a prefix."""
        block = address - address % PREFIX_ADDRESSES
        return self._holders.get(address) or self._prefix_holders.get(block)

    def is_usable(self, address: int) -> bool:
        """Whether the address lies in the subnet and is not one that AWS keeps."""
        return address in self._usable

    def check_free(self, address: int) -> None:
        """Raise unless the address could be taken by name.

        Raises:
            OutsideSubnetError: It is not an address that a subnet's user can have.
            AddressInUseError: Somebody holds it.
        """
        if not self.is_usable(address):
            raise OutsideSubnetError(address)
        if self.holder(address):
            raise AddressInUseError(address)

    def take(self, address: int, holder: str) -> None:
        """Take one address by name; a reservation does not stop that."""
        self.check_free(address)
        self._hold(address, holder)

    def take_any(self, count: int, holder: str, *, reserved_too: bool = False) -> list[int]:
        """Take that many addresses at random, all or nothing.

        Args:
            count: How many.
            holder: For whom.
            reserved_too: Also draw from the reservations for prefixes, as EC2 does for the primary address
                of an interface that is created with prefixes (amazon-vpc-cni-k8s #3087).
        """
        if reserved_too:
            candidates = [address for address in self._usable if self._is_drawable(address)]
            if len(candidates) < count:
                raise NoFreeAddressesError
            taken = self._random.sample(candidates, count)
        else:
            if len(self._free) < count:
                raise NoFreeAddressesError
            taken = [self._free.draw(self._random) for _ in range(count)]
        for address in taken:
            self._hold(address, holder)
        return taken

    def peek(self) -> int:
        """An address that `take_any` could give next; it is not taken."""
        if not len(self._free):
            raise NoFreeAddressesError
        address = self._free.draw(self._random)
        self._free.add(address)
        return address

    def take_prefixes(self, count: int, holder: str) -> list[int]:
        """Take that many /28 prefixes, all or nothing; gives their first addresses."""
        reserved, others = self._free_blocks(reserved=True), self._free_blocks(reserved=False)
        if len(reserved) + len(others) < count:
            raise NoFreePrefixesError
        from_reserved = min(count, len(reserved))
        blocks = self._random.sample(reserved, from_reserved)
        blocks += self._random.sample(others, count - from_reserved)
        for block in blocks:
            self._hold_prefix(block, holder)
        return blocks

    def take_prefix(self, block: int, holder: str) -> None:
        """Take one /28 prefix by name."""
        for address in range(block, block + PREFIX_ADDRESSES):
            self.check_free(address)
        if block % PREFIX_ADDRESSES:
            raise OutsideSubnetError(block)
        self._hold_prefix(block, holder)

    def release(self, address: int) -> None:
        """Give one address back."""
        if self._holders.pop(address, None) is not None:
            self._set_free(address)

    def release_prefix(self, block: int) -> None:
        """Give a prefix back."""
        if self._prefix_holders.pop(block, None) is not None:
            for address in range(block, block + PREFIX_ADDRESSES):
                self._set_free(address)

    def reserve(self, identifier: str, reservation: Reservation) -> None:
        """Set a range aside; what is in use inside it stays where it is."""
        self._reservations[identifier] = reservation
        for address in range(reservation.first, reservation.last + 1):
            if address in self._free:
                self._free.discard(address)
                self._reserved_free.add(address)

    def unreserve(self, identifier: str) -> None:
        """Give a range back to general use."""
        reservation = self._reservations.pop(identifier, None)
        if reservation is None:
            return
        for address in range(reservation.first, reservation.last + 1):
            if address in self._reserved_free:
                self._reserved_free.discard(address)
                self._free.add(address)

    def _hold(self, address: int, holder: str) -> None:
        self._free.discard(address)
        self._reserved_free.discard(address)
        self._holders[address] = holder

    def _hold_prefix(self, block: int, holder: str) -> None:
        for address in range(block, block + PREFIX_ADDRESSES):
            self._free.discard(address)
            self._reserved_free.discard(address)
        self._prefix_holders[block] = holder

    def _set_free(self, address: int) -> None:
        (self._reserved_free if self._reservation_of(address) else self._free).add(address)

    def _reservation_of(self, address: int) -> Reservation | None:
        for reservation in self._reservations.values():
            if reservation.first <= address <= reservation.last:
                return reservation
        return None

    def _is_drawable(self, address: int) -> bool:
        if address in self._free:
            return True
        reservation = self._reservation_of(address)
        return address in self._reserved_free and reservation is not None and reservation.for_prefixes

    def _free_blocks(self, *, reserved: bool) -> list[int]:
        """Wholly free /28s inside (or outside) the reservations for prefixes."""
        if reserved:
            ranges = [
                (reservation.first, reservation.last)
                for reservation in self._reservations.values()
                if reservation.for_prefixes
            ]
            bag = self._reserved_free
        else:
            ranges = [(self.first, self.last)]
            bag = self._free
        return [
            block
            for first, last in ranges
            for block in range(first + -first % PREFIX_ADDRESSES, last + 2 - PREFIX_ADDRESSES, PREFIX_ADDRESSES)
            if all(address in bag for address in range(block, block + PREFIX_ADDRESSES))
        ]
