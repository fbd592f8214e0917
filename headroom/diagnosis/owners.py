"""Who holds the addresses of the subnets: pods, pools, nodes, leftovers, other services.

One walk over the interfaces serves impact, history and report, so they cannot disagree.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from headroom.addresses.blocks import DELEGATED_PREFIX_LENGTH, Block
from headroom.addresses.problems import ProblemsError
from headroom.addresses.subnet_map import Reservation, SubnetMap, subnet_map
from headroom.capacity.cni_version import SUBNET_ROLE_TAG
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.release import InterfaceUse
from headroom.diagnosis.readings import (
    aws_of,
    has_address,
    kubernetes_of,
    service_of,
    waiting_pods,
)
from headroom.facts.aws import Interface, Subnet
from headroom.facts.interfaces import is_leaked, is_of_cni
from headroom.facts.kubernetes import Node, Pod
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import is_known, items, known, known_or

PODS: Final = "pods"
WARM: Final = "warm"
COOLDOWN: Final = "cooldown"
NODES: Final = "nodes"
POOL: Final = "pool"
"""Pods or idle: nobody could read the pods."""
LEAKED: Final = "leaked"
RESERVED: Final = "reserved"
UNEXPLAINED: Final = "unexplained"

OF_NODES: Final = (PODS, WARM, COOLDOWN, POOL, NODES)
"""Owners whose addresses are held by the nodes' interfaces."""

_OCTETS: Final[Mapping[str, int]] = {str(number): number for number in range(256)}
_LOW_BITS: Final = PREFIX_ADDRESSES - 1


@dataclass(slots=True, kw_only=True)
class NodeUse:
    """A node, its interfaces and its pods.

    Attributes:
        node: The node.
        interfaces: Its interfaces.
        addressed: Its pods with an address of the pod network.
        waiting: Its pods that wait for one.
    """

    node: Node
    interfaces: list[Interface] = field(default_factory=list)
    addressed: int = 0
    waiting: int = 0

    @property
    def held(self) -> int:
        """Everything that its interfaces hold of their subnets."""
        return sum(len(each.addresses) + PREFIX_ADDRESSES * len(each.prefixes) for each in self.interfaces)


class Holdings:
    """Who holds what, worked out once from a snapshot.

    Attributes:
        nodes: Every node by name.
        pods_known: Whether anybody could read the pods: else nobody knows which addresses are idle.
        waiting: Pods that wait for an address.
        by_subnet: Interfaces by subnet.
        foreign: By interface id, whom an interface belongs to that is no node's.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        kubernetes = kubernetes_of(snapshot)
        self._collected_at = known(snapshot.collected_at)
        self.pods_known = is_known(snapshot.kubernetes) and is_known(kubernetes.pods)
        self.nodes = {node.name: NodeUse(node=node) for node in items(kubernetes.nodes)}
        self.waiting: list[Pod] = waiting_pods(snapshot)
        self._by_instance = {
            instance: use for use in self.nodes.values() if (instance := known(use.node.instance_id)) is not None
        }
        self._pod_addresses: set[str] = set()
        for pod in items(kubernetes.pods):
            if has_address(pod):
                self._pod_addresses.add(known_or(pod.ip, ""))
                use = self.nodes.get(known_or(pod.node, ""))
                if use is not None:
                    use.addressed += 1
        for pod in self.waiting:
            use = self.nodes.get(known_or(pod.node, ""))
            if use is not None:
                use.waiting += 1
        self.by_subnet: dict[str, list[Interface]] = defaultdict(list)
        self.foreign: dict[str, str] = {}
        prefixes = False
        for interface in items(aws_of(snapshot).interfaces):
            self.by_subnet[interface.subnet_id].append(interface)
            prefixes |= bool(interface.prefixes)
            self._place(interface)
        # Pods in each /28, by the text of its first address.
        self._in_prefix = (
            Counter(_prefix_of(address) for address in self._pod_addresses) if prefixes else Counter[str]()
        )
        self._cooling = self._cooling_by_subnet(snapshot)

    def _place(self, interface: Interface) -> None:
        """Gives the interface to its node, or to whom else it belongs."""
        use = self._by_instance.get(known_or(interface.instance_id, "")) or self._by_instance.get(
            known_or(interface.node_instance_id, "") if interface.status != "available" else ""
        )
        if use is not None:
            use.interfaces.append(interface)
        elif is_leaked(interface, self._collected_at):
            self.foreign[interface.interface_id] = LEAKED
        elif is_of_cni(interface):
            # On its way to a node, or of a node that is not among those that were read.
            self.foreign[interface.interface_id] = NODES
        else:
            self.foreign[interface.interface_id] = service_of(interface)

    def _cooling_by_subnet(self, snapshot: Snapshot) -> Counter[str]:
        """Addresses that cool down, where ipamd says so: in the subnet where the node has most idle."""
        cooling = Counter[str]()
        for reading in items(snapshot.pools):
            use, count = self.nodes.get(reading.node), known_or(reading.cooling_addresses, 0)
            if use is None or count <= 0:
                continue
            idle = Counter[str]()
            for interface in use.interfaces:
                idle[interface.subnet_id] += _room(interface) - self.pods_of(interface)
            for subnet_id, number in idle.most_common():
                part = min(count, number)
                cooling[subnet_id] += part
                count -= part
        return cooling

    def pods_of(self, interface: Interface) -> int:
        """Pods that have an address of the interface."""
        pods = sum(address in self._pod_addresses for address in interface.addresses[own_addresses(interface) :])
        if interface.prefixes:
            pods += sum(self._in_prefix[_first_of(prefix)] for prefix in interface.prefixes)
        return pods

    def use_without(self, use: NodeUse, leaving: Iterable[str] = ()) -> list[InterfaceUse]:
        """A node's interfaces, as they would be used once the pods with these addresses have gone."""
        gone = set(leaving)
        gone_in_prefix = Counter(_prefix_of(address) for address in gone)
        rows = []
        for interface in use.interfaces:
            own = own_addresses(interface)
            left = sum(address in self._pod_addresses and address not in gone for address in interface.addresses[own:])
            firsts = [_first_of(prefix) for prefix in interface.prefixes]
            in_prefixes = [self._in_prefix[first] - gone_in_prefix[first] for first in firsts]
            rows.append(
                InterfaceUse(
                    primary=known(interface.device_index) == 0,
                    secondary_addresses=max(0, len(interface.addresses) - own),
                    prefixes=len(interface.prefixes),
                    pods=left + sum(in_prefixes),
                    used_prefixes=sum(number > 0 for number in in_prefixes),
                )
            )
        return rows

    def by_owner(self, subnet_id: str) -> Counter[str]:
        """Addresses of a subnet by owner; what is free or reserved is not among them."""
        owners = Counter[str]()
        for interface in self.by_subnet.get(subnet_id, ()):
            foreign = self.foreign.get(interface.interface_id)
            if foreign is not None:
                owners[foreign] += len(interface.addresses) + PREFIX_ADDRESSES * len(interface.prefixes)
                continue
            owners[NODES] += min(own_addresses(interface), len(interface.addresses))
            if not self.pods_known:
                owners[POOL] += _room(interface)
                continue
            pods = self.pods_of(interface)
            owners[PODS] += pods
            owners[WARM] += _room(interface) - pods
        cooling = min(self._cooling[subnet_id], owners[WARM])
        owners[WARM] -= cooling
        owners[COOLDOWN] += cooling
        return Counter({owner: number for owner, number in owners.items() if number})

    def addresses_of(self, subnet_id: str) -> Iterator[tuple[int, int, str]]:
        """What is held in a subnet, as (first address, how many, owner); texts that are no addresses are left out.

        Which addresses cool down is not known, so those are among the idle ones here.
        """
        for interface in self.by_subnet.get(subnet_id, ()):
            foreign = self.foreign.get(interface.interface_id)
            idle = foreign or (WARM if self.pods_known else POOL)
            own = own_addresses(interface)
            for index, text in enumerate(interface.addresses):
                address = integer_of(text)
                if address is None:
                    continue
                if foreign is None and index < own:
                    yield address, 1, NODES
                else:
                    yield address, 1, PODS if foreign is None and text in self._pod_addresses else idle
            for prefix in interface.prefixes:
                first = integer_of(_first_of(prefix))
                if first is None:
                    continue
                pods = 0 if foreign is not None else self._in_prefix[_first_of(prefix)]
                if pods:
                    yield first, pods, PODS
                if pods < PREFIX_ADDRESSES:
                    yield first + pods, PREFIX_ADDRESSES - pods, idle

    def map_of(self, subnet: Subnet) -> SubnetMap | None:
        """The /28 map of a subnet; ``None`` where its CIDR is unknown or none."""
        block = block_of(subnet)
        if block is None:
            return None
        singles: list[int] = []
        blocks: list[Block] = []
        for interface in self.by_subnet.get(subnet.subnet_id, ()):
            singles.extend(number for text in interface.addresses if (number := integer_of(text)) is not None)
            for prefix in interface.prefixes:
                first = integer_of(_first_of(prefix))
                if first is not None:
                    blocks.append(Block.containing(first, DELEGATED_PREFIX_LENGTH))
        return subnet_map(block, used_addresses=singles, used_blocks=blocks, reservations=reservations_of(subnet))


def own_addresses(interface: Interface) -> int:
    """How many of an interface's addresses no pod of the pool can have: the first one.

    A branch interface is a pod's altogether (EKS user guide, security-groups-for-pods).
    """
    return 0 if interface.interface_type == "branch" else 1


def block_of(subnet: Subnet) -> Block | None:
    """The subnet's CIDR; ``None`` where it is unknown, or can be no subnet's."""
    text = known(subnet.cidr_block)
    if text is None:
        return None
    try:
        block = Block.parse(text)
        subnet_map(block)
    except ProblemsError:
        return None
    return block


def reservations_of(subnet: Subnet) -> list[Reservation]:
    """The subnet's CIDR reservations, those that can be read."""
    found = []
    for each in items(subnet.reservations):
        try:
            block = Block.parse(each.cidr, canonical=True)
        except ProblemsError:
            continue
        found.append(Reservation(block, "prefix" if each.reservation_type == "prefix" else "explicit"))
    return found


def integer_of(text: str) -> int | None:
    """An IPv4 address in dotted decimal as an integer; ``None`` where it is none.

    There are hundreds of thousands of them in a snapshot: five times as fast as a parser that explains.
    """
    try:
        high, upper, lower, low = text.split(".")
        return _OCTETS[high] << 24 | _OCTETS[upper] << 16 | _OCTETS[lower] << 8 | _OCTETS[low]
    except (ValueError, KeyError):
        return None


def _room(interface: Interface) -> int:
    """Addresses of an interface that pods can have."""
    return max(0, len(interface.addresses) - own_addresses(interface)) + PREFIX_ADDRESSES * len(interface.prefixes)


def _first_of(prefix: str) -> str:
    """First address of a prefix in CIDR notation, as text."""
    return prefix.partition("/")[0]


def _prefix_of(address: str) -> str:
    """First address of the /28 in which an address lies, as text."""
    head, _, tail = address.rpartition(".")
    low = _OCTETS.get(tail)
    return "" if low is None else f"{head}.{low & ~_LOW_BITS}"


def pod_subnets(snapshot: Snapshot, holdings: Holdings) -> list[Subnet]:
    """The subnets that matter to the cluster's pods and nodes; all that are known where no interface tells."""
    aws, kubernetes = aws_of(snapshot), kubernetes_of(snapshot)
    named = {interface.subnet_id for use in holdings.nodes.values() for interface in use.interfaces}
    for config in items(kubernetes.eni_configs):
        named.add(known_or(config.subnet_id, ""))
    for group in items(aws.node_groups):
        named.update(items(group.subnet_ids))
    for node_class in items(kubernetes.node_classes):
        named.update(items(node_class.subnet_ids))
    subnets = items(aws.subnets)
    found = [subnet for subnet in subnets if subnet.subnet_id in named or SUBNET_ROLE_TAG in known_or(subnet.tags, {})]
    found = found or list(subnets)
    return sorted(found, key=lambda subnet: (known_or(subnet.zone, "~"), subnet.subnet_id))
