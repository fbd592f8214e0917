"""What ipamd asks of EC2, as a protocol with one method for each API call, and subnets kept in memory.

Addresses are integers (the 32 bits of an IPv4 address). A prefix is the first address of an aligned /28.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# Addresses in a delegated prefix, always a /28 (EKS user guide, cni-increase-ip-addresses).
PREFIX_ADDRESSES = 16

INSUFFICIENT_FREE_ADDRESSES = "InsufficientFreeAddressesInSubnet"
INSUFFICIENT_CIDR_BLOCKS = "InsufficientCidrBlocks"
INVALID_PARAMETER_VALUE = "InvalidParameterValue"
PRIVATE_IP_ADDRESS_LIMIT_EXCEEDED = "PrivateIpAddressLimitExceeded"


class Ec2Error(Exception):
    """EC2 refused a call.

    Attributes:
        code: EC2's error code, for example ``InsufficientFreeAddressesInSubnet``.
        message: EC2's text.
        call: The API call that was refused, for example ``CreateNetworkInterface``.
    """

    def __init__(self, code: str, message: str, *, call: str) -> None:
        self.code = code
        self.message = message
        self.call = call
        super().__init__(f"operation error EC2: {call}, api error {code}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet as DescribeSubnets shows it.

    Attributes:
        id: Subnet id.
        free_addresses: EC2's AvailableIpAddressCount.
        tags: Tag values by key.
    """

    id: str
    free_addresses: int
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface with what EC2 has given it.

    Attributes:
        id: Network interface id.
        subnet_id: The subnet that it was created in.
        primary_address: The address of the interface itself, never a pod's.
        addresses: Secondary addresses.
        prefixes: The first address of each delegated /28.
    """

    id: str
    subnet_id: str
    primary_address: int
    addresses: tuple[int, ...] = ()
    prefixes: tuple[int, ...] = ()


class Ec2(Protocol):
    """The EC2 calls of one node. Each method is one API call, and raises ``Ec2Error`` where EC2 refuses."""

    def describe_subnets(self) -> Sequence[Subnet]:
        """DescribeSubnets: every subnet of the node's VPC and availability zone."""
        ...

    def create_interface(self, subnet_id: str, *, addresses: int = 0, prefixes: int = 0) -> Interface:
        """CreateNetworkInterface with so many secondary addresses, or so many prefixes: all or none."""
        ...

    def attach_interface(self, interface_id: str) -> None:
        """AttachNetworkInterface to the node."""
        ...

    def detach_interface(self, interface_id: str) -> None:
        """DetachNetworkInterface from the node."""
        ...

    def delete_interface(self, interface_id: str) -> None:
        """DeleteNetworkInterface; the interface's addresses return to the subnet."""
        ...

    def assign_addresses(self, interface_id: str, count: int) -> tuple[int, ...]:
        """AssignPrivateIpAddresses: so many more secondary addresses, all or none."""
        ...

    def assign_prefixes(self, interface_id: str, count: int) -> tuple[int, ...]:
        """AssignPrivateIpAddresses: so many more prefixes, all or none."""
        ...

    def unassign_addresses(self, interface_id: str, addresses: Sequence[int]) -> None:
        """UnassignPrivateIpAddresses for secondary addresses."""
        ...

    def unassign_prefixes(self, interface_id: str, prefixes: Sequence[int]) -> None:
        """UnassignPrivateIpAddresses for prefixes."""
        ...


# What an unlimited subnet reports as AvailableIpAddressCount: a /16 without EC2's five reserved addresses.
UNLIMITED_FREE_ADDRESSES = 65_531


class _UnlimitedSubnet:
    """A subnet that never runs dry: addresses are counted up and never used again."""

    __slots__ = ("next_block", "next_single", "tags")

    free = UNLIMITED_FREE_ADDRESSES

    def __init__(self, base: int, tags: Mapping[str, str]) -> None:
        self.tags = dict(tags)
        self.next_single = base
        self.next_block = base + SUBNET_SPAN // 2

    def has_prefixes(self, _count: int, *, and_an_address: bool = False) -> bool:  # noqa: ARG002 - always
        return True

    def take_prefix(self) -> int:
        self.next_block += PREFIX_ADDRESSES
        return self.next_block - PREFIX_ADDRESSES

    def take_address(self) -> int:
        self.next_single += 1
        return self.next_single - 1

    def give_back_prefix(self, prefix: int) -> None:
        """Forgets the prefix."""

    def give_back_address(self, address: int) -> None:
        """Forgets the address."""

    def extend(self, addresses: int) -> None:
        """Stays unlimited."""


class _FiniteSubnet:
    """A subnet with so many free addresses, and so many whole free /28 blocks among them."""

    __slots__ = ("blocks", "broken", "free", "next_block", "tags")

    def __init__(self, base: int, tags: Mapping[str, str], free: int, blocks: int) -> None:
        self.tags = dict(tags)
        self.free = 0
        self.next_block = base
        self.blocks: list[int] = []
        # Free single addresses, by the block that they are in.
        self.broken: dict[int, list[int]] = {}
        self.extend(blocks * PREFIX_ADDRESSES)
        fragments = free - blocks * PREFIX_ADDRESSES
        while fragments > 0:
            # One address of each of these blocks is somebody else's, so it never becomes whole.
            self.extend(min(fragments, PREFIX_ADDRESSES - 1))
            fragments -= PREFIX_ADDRESSES - 1

    def extend(self, addresses: int) -> None:
        """Adds free addresses, in whole blocks as far as they go."""
        whole, rest = divmod(addresses, PREFIX_ADDRESSES)
        for _ in range(whole):
            self.blocks.append(self.next_block)
            self.next_block += PREFIX_ADDRESSES
        if rest:
            self.broken[self.next_block] = list(range(self.next_block, self.next_block + rest))
            self.next_block += PREFIX_ADDRESSES
        self.free += addresses

    def has_prefixes(self, count: int, *, and_an_address: bool = False) -> bool:
        return len(self.blocks) >= count + (1 if and_an_address and not self.broken else 0)

    def take_prefix(self) -> int:
        self.free -= PREFIX_ADDRESSES
        return self.blocks.pop()

    def take_address(self) -> int:
        """A single address, from a block that is already broken while there is one."""
        self.free -= 1
        if not self.broken:
            block = self.blocks.pop()
            self.broken[block] = list(range(block, block + PREFIX_ADDRESSES))
        block, addresses = next(iter(self.broken.items()))
        address = addresses.pop()
        if not addresses:
            del self.broken[block]
        return address

    def give_back_prefix(self, prefix: int) -> None:
        self.free += PREFIX_ADDRESSES
        self.blocks.append(prefix)

    def give_back_address(self, address: int) -> None:
        self.free += 1
        block = address - address % PREFIX_ADDRESSES
        addresses = self.broken.setdefault(block, [])
        addresses.append(address)
        if len(addresses) == PREFIX_ADDRESSES:
            del self.broken[block]
            self.blocks.append(block)


@dataclass(slots=True)
class _Held:
    """What an interface holds."""

    subnet_id: str
    # None for a node's primary interface: its address was never in the counts.
    primary_address: int | None
    addresses: set[int] = field(default_factory=set)
    prefixes: set[int] = field(default_factory=set)


# Room for the addresses of one subnet in memory, so that no two subnets meet.
SUBNET_SPAN = 1 << 24


class MemorySubnets:
    """An ``Ec2`` in memory: subnets with finite or unlimited space, requests granted whole or refused.

    It counts its calls by API name in ``calls``. Single addresses are taken from broken blocks first. EC2
    does not say how it places single addresses, so a finite subnet is described by two counts, its free
    addresses and how many whole /28 blocks are among them.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._subnets: dict[str, _FiniteSubnet | _UnlimitedSubnet] = {}
        self._interfaces: dict[str, _Held] = {}
        self._created = 0

    def add_subnet(
        self,
        subnet_id: str,
        *,
        free_addresses: int | None = None,
        free_blocks: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Adds a subnet.

        Args:
            subnet_id: Its id.
            free_addresses: Free addresses; ``None`` for a subnet that never runs dry.
            free_blocks: Whole free /28 blocks among them; as many as fit where it is not given.
            tags: Tag values by key.
        """
        base = (len(self._subnets) + 1) * SUBNET_SPAN
        if free_addresses is None:
            self._subnets[subnet_id] = _UnlimitedSubnet(base, tags or {})
            return
        if free_blocks is None:
            free_blocks = free_addresses // PREFIX_ADDRESSES
        self._subnets[subnet_id] = _FiniteSubnet(base, tags or {}, free_addresses, free_blocks)

    def free_more(self, subnet_id: str, addresses: int) -> None:
        """Makes so many more addresses of a subnet free, in whole blocks as far as they go."""
        self._subnets[subnet_id].extend(addresses)

    def set_tags(self, subnet_id: str, tags: Mapping[str, str]) -> None:
        """Replaces a subnet's tags."""
        self._subnets[subnet_id].tags = dict(tags)

    def launch(self, subnet_id: str) -> Interface:
        """The primary interface of a new node. EC2 makes it at launch, so it is no call of ipamd's.

        Its address is not taken from the counts of free addresses.
        """
        self._created += 1
        interface_id = f"eni-{self._created:017x}"
        primary = self._created
        self._interfaces[interface_id] = _Held(subnet_id, None)
        return Interface(id=interface_id, subnet_id=subnet_id, primary_address=primary)

    def held(self) -> dict[str, int]:
        """Addresses held by interfaces, by subnet, every interface's own address included."""
        held: Counter[str] = Counter()
        for interface in self._interfaces.values():
            held[interface.subnet_id] += 1 + len(interface.addresses) + PREFIX_ADDRESSES * len(interface.prefixes)
        return dict(held)

    def describe_subnets(self) -> Sequence[Subnet]:
        """Every subnet, in the order in which they were added."""
        self.calls["DescribeSubnets"] += 1
        return [Subnet(id=name, free_addresses=subnet.free, tags=subnet.tags) for name, subnet in self._subnets.items()]

    def create_interface(self, subnet_id: str, *, addresses: int = 0, prefixes: int = 0) -> Interface:
        """With all that is asked for, or a refusal."""
        call = "CreateNetworkInterface"
        self.calls[call] += 1
        subnet = self._subnets[subnet_id]
        if subnet.free < 1 + addresses:
            raise _no_free_addresses(call)
        if prefixes and not subnet.has_prefixes(prefixes, and_an_address=True):
            # amazon-vpc-cni-k8s #3105: not the code that AssignPrivateIpAddresses answers with.
            raise Ec2Error(
                INVALID_PARAMETER_VALUE,
                "There aren't sufficient free Ipv4 addresses or prefixes",
                call=call,
            )
        self._created += 1
        given_prefixes = tuple(subnet.take_prefix() for _ in range(prefixes))
        primary = subnet.take_address()
        given = tuple(subnet.take_address() for _ in range(addresses))
        interface_id = f"eni-{self._created:017x}"
        held = _Held(subnet_id, primary)
        held.addresses.update(given)
        held.prefixes.update(given_prefixes)
        self._interfaces[interface_id] = held
        return Interface(
            id=interface_id,
            subnet_id=subnet_id,
            primary_address=primary,
            addresses=given,
            prefixes=given_prefixes,
        )

    def attach_interface(self, interface_id: str) -> None:
        """Counts the call; what is created here is the node's from the start."""
        self._interface(interface_id, "AttachNetworkInterface")

    def detach_interface(self, interface_id: str) -> None:
        """Counts the call."""
        self._interface(interface_id, "DetachNetworkInterface")

    def delete_interface(self, interface_id: str) -> None:
        """Returns the interface's addresses and prefixes to the subnet."""
        interface = self._interface(interface_id, "DeleteNetworkInterface")
        del self._interfaces[interface_id]
        subnet = self._subnets[interface.subnet_id]
        for address in interface.addresses:
            subnet.give_back_address(address)
        for prefix in interface.prefixes:
            subnet.give_back_prefix(prefix)
        if interface.primary_address is not None:
            subnet.give_back_address(interface.primary_address)

    def assign_addresses(self, interface_id: str, count: int) -> tuple[int, ...]:
        """All of them, or a refusal."""
        call = "AssignPrivateIpAddresses"
        interface = self._interface(interface_id, call)
        subnet = self._subnets[interface.subnet_id]
        if subnet.free < count:
            raise _no_free_addresses(call)
        given = tuple(subnet.take_address() for _ in range(count))
        interface.addresses.update(given)
        return given

    def assign_prefixes(self, interface_id: str, count: int) -> tuple[int, ...]:
        """All of them, or a refusal."""
        call = "AssignPrivateIpAddresses"
        interface = self._interface(interface_id, call)
        subnet = self._subnets[interface.subnet_id]
        if not subnet.has_prefixes(count):
            raise Ec2Error(
                INSUFFICIENT_CIDR_BLOCKS,
                "There are not enough free cidr blocks in the specified subnet to satisfy the request.",
                call=call,
            )
        given = tuple(subnet.take_prefix() for _ in range(count))
        interface.prefixes.update(given)
        return given

    def unassign_addresses(self, interface_id: str, addresses: Sequence[int]) -> None:
        """Returns addresses to the subnet."""
        interface = self._interface(interface_id, "UnassignPrivateIpAddresses")
        subnet = self._subnets[interface.subnet_id]
        for address in addresses:
            interface.addresses.remove(address)
            subnet.give_back_address(address)

    def unassign_prefixes(self, interface_id: str, prefixes: Sequence[int]) -> None:
        """Returns prefixes to the subnet."""
        interface = self._interface(interface_id, "UnassignPrivateIpAddresses")
        subnet = self._subnets[interface.subnet_id]
        for prefix in prefixes:
            interface.prefixes.remove(prefix)
            subnet.give_back_prefix(prefix)

    def _interface(self, interface_id: str, call: str) -> _Held:
        self.calls[call] += 1
        try:
            return self._interfaces[interface_id]
        except KeyError:
            raise Ec2Error(
                "InvalidNetworkInterfaceID.NotFound",
                f"The networkInterface ID '{interface_id}' does not exist",
                call=call,
            ) from None


def _no_free_addresses(call: str) -> Ec2Error:
    return Ec2Error(
        INSUFFICIENT_FREE_ADDRESSES,
        "The specified subnet does not have enough free addresses to satisfy the request.",
        call=call,
    )
