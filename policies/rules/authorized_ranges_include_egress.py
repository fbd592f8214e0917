"""Nodes have to be able to reach their own API server."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.azure import AUTHORIZED_RANGES
from headroom.addresses.blocks import Block, listed, read_blocks
from headroom.addresses.problems import Problem
from policies.aks import CLUSTER_TYPES, Pool, is_ipv6, outbound_type, pools_of
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import AKS_CLUSTER, PUBLIC_IP_ADDRESS, PUBLIC_IP_PREFIX, UNKNOWN, Resource, Resources
from policies.vnet import EGRESS_TYPES, SUBNET_TYPES, Subnets, addresses_of, gateways_of

NAME = "authorized-ranges-include-egress"
DESCRIPTION = "The API server's authorized ranges hold every address that the cluster's nodes leave by."
TYPES = (*CLUSTER_TYPES, *SUBNET_TYPES, *EGRESS_TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("aks", "egress")
REMEDIATION = (
    "Add the address of the NAT gateway, as ADDRESS/32, to apiServerAccessProfile.authorizedIPRanges before the "
    "egress moves, and keep the old one until it has. `egressAddresses` in the policy's configuration names addresses "
    "outside the stack, such as a firewall's."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "egressAddresses": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Public addresses or CIDRs outside the stack that nodes leave by, old and new",
    }
}

RANGES: Final = "apiServerAccessProfile.authorizedIPRanges"
BY_ITSELF: Final = frozenset({"loadbalancer", "none", "block"})
"""Outbound types whose address AKS adds itself, or that have none (AKS documentation,
api-server-authorized-ip-ranges)."""

_SOURCE: Final = "AKS documentation, api-server-authorized-ip-ranges and egress-outboundtype"


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Clusters that would lock their own nodes out, because the list does not hold what they leave by.

    Stops: a change of outboundType, or a first NAT gateway, on a cluster whose list has the old address only. The
    nodes cannot reach the API server any more, turn NotReady, and every pod goes with them.
    """
    judge = _Judge(resources, config)
    for problem in judge.problems:
        yield Finding(None, problem)
    pools = pools_of(resources)
    for cluster in resources.of_type(AKS_CLUSTER):
        private = read(cluster.properties, "apiServerAccessProfile.enablePrivateCluster", bool)
        ranges = read(cluster.properties, RANGES, list)
        if private is True or ranges is None or ranges == []:
            continue  # there is no public way in, or it is open to everybody
        kind = outbound_type(cluster)
        if isinstance(kind, Undecided):
            yield Finding(cluster, kind, "networkProfile")
        for verdict in judge.cluster(cluster, ranges, pools.of_cluster[cluster.urn], kind):
            yield Finding(cluster, verdict, "apiServerAccessProfile")


class _Judge:
    def __init__(self, resources: Resources, config: Mapping[str, Any]) -> None:
        self._resources = resources
        self._subnets = Subnets(resources)
        self.problems: list[Problem] = []
        given = texts(config, "egressAddresses")
        key = f"configuration of {NAME}: egressAddresses"
        self._elsewhere = read_blocks(given, key=key, problems=self.problems, addresses=True)

    def cluster(
        self, cluster: Resource, ranges: list[Any] | Undecided, pools: list[Pool], kind: str | Undecided
    ) -> Iterator[Problem | Undecided]:
        """What is wrong with a cluster's list."""
        sources = self._resources.sources(cluster, "apiServerAccessProfile", PUBLIC_IP_ADDRESS, PUBLIC_IP_PREFIX)
        named = {source.urn for source in sources}
        listed_ = ranges if isinstance(ranges, list) else []
        problems: list[Problem] = []
        written = [item for item in listed_ if item is not UNKNOWN and not is_ipv6(item)]
        allowed = read_blocks(written, key=RANGES, problems=problems, addresses=True)
        yield from problems
        if len(listed_) > AUTHORIZED_RANGES:
            yield Problem(
                rule=NAME,
                value=f"{len(listed_):,} authorized ranges",
                reason=f"are more than the {AUTHORIZED_RANGES} that AKS takes.",
                next_step="Write fewer and wider ranges.",
                source=_SOURCE,
            )
        open_ = isinstance(ranges, Undecided) or UNKNOWN in listed_
        for block in self._elsewhere:
            yield from _missing(cluster, "", block, allowed, open_=open_)
        if isinstance(kind, Undecided) or kind.casefold() in BY_ITSELF:
            return
        addresses, unknown = self._egress(kind, pools)
        yield from unknown
        for address in addresses:
            if address.urn not in named:
                yield from _address(cluster, address, allowed, open_=open_)

    def _egress(self, kind: str, pools: list[Pool]) -> tuple[list[Resource], list[Undecided]]:
        """The addresses of the stack that the pools leave by, and what is not known of them."""
        if kind.casefold() != "userassignednatgateway":
            told = bool(self._elsewhere)
            reason = f"is not part of this stack: set egressAddresses for {NAME}."
            return [], [] if told else [Undecided(f"the address of outboundType {kind}", reason)]
        found, outside, undecided = self._subnets.of_pools(pools)
        unknown = list(undecided)
        addresses: dict[str, Resource] = {}
        elsewhere = [f"the NAT gateway of {id_}" for id_ in outside]
        for subnet in found:
            gateways = gateways_of(self._resources, subnet)
            if isinstance(gateways, Undecided):
                unknown.append(gateways)
            elif isinstance(gateways, str):
                elsewhere.append(gateways)
            for gateway in gateways if isinstance(gateways, list) else ():
                for references in addresses_of(self._resources, gateway):
                    addresses.update({item.urn: item for item in references.found})
                    elsewhere.extend(references.outside)
                    if references.undecided is not None:
                        unknown.append(references.undecided)
        if elsewhere and not self._elsewhere:
            reason = f"is not part of this stack: set egressAddresses for {NAME}."
            unknown.append(Undecided(f"the address of {listed(elsewhere)}", reason))
        return list(addresses.values()), unknown


def _address(
    cluster: Resource, address: Resource, allowed: list[Block], *, open_: bool
) -> Iterator[Problem | Undecided]:
    name = "ipPrefix" if address.kind == PUBLIC_IP_PREFIX else "ipAddress"
    value = read(address.properties, name, str)
    if value is None or isinstance(value, Undecided):
        reason = f"is not known before `up`, and nothing of {RANGES} comes from it."
        yield Undecided(f"{name} of {address.name}", reason)
        return
    problems: list[Problem] = []
    for block in read_blocks([value], key=f"{name} of {address.name}", problems=problems, addresses=True):
        yield from _missing(cluster, f" of {address.name}", block, allowed, open_=open_)
    yield from problems


def _missing(
    cluster: Resource, whose: str, block: Block, allowed: list[Block], *, open_: bool
) -> Iterator[Problem | Undecided]:
    if any(item.contains(block) for item in allowed):
        return
    if open_:
        yield Undecided(RANGES, f"has entries that are not known before `up`; {block}{whose} has to be among them.")
        return
    yield Problem(
        rule=NAME,
        value=f"{block}{whose}",
        reason=f"is in none of the authorized ranges of {cluster.name}, whose nodes reach their API server from it.",
        next_step=f"Add {block} to {RANGES} before the egress moves.",
        source=_SOURCE,
    )
