"""The ranges of a cluster are ones that Azure takes, and have no address in common."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from headroom.addresses.azure import AksRanges, check_aks_ranges
from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem, ProblemsError
from policies.aks import CLUSTER_TYPES, cluster_range, dns_service_ip, network_mode, pools_of
from policies.configuration import config_blocks
from policies.findings import Finding, Undecided
from policies.resources import AKS_CLUSTER, VNET_PEERING, Resource, Resources
from policies.vnet import (
    CONNECTED_CIDRS,
    NODE_SUBNETS,
    SUBNET_TYPES,
    VNET_CIDRS,
    Subnet,
    Subnets,
    address_space,
    peers_of,
)

NAME = "aks-ranges"
DESCRIPTION = "Pod, service and node ranges of a cluster are none that Azure keeps, do not overlap, and hold its DNS."
TYPES = (*CLUSTER_TYPES, *SUBNET_TYPES, VNET_PEERING)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "addresses")
REMEDIATION = (
    "Write ranges such as podCidr 100.64.0.0/16, serviceCidr 172.16.0.0/16 and dnsServiceIP 172.16.0.10 with a VNet in "
    "10.0.0.0/8. `headroom calc overlay --pod-cidr C --service-cidr C --vnet C` says what Azure would refuse."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "nodeSubnets": NODE_SUBNETS,
    "vnetCidrs": VNET_CIDRS,
    "connectedCidrs": CONNECTED_CIDRS,
}

NO_PODS: Final = Block.parse("100.64.0.0/16")
"""Stands for the pod range of a cluster that has none, or whose is not known; what is said of it is left out."""

POD_RANGE: Final = "pod-cidr"
PROPERTIES: Final[Mapping[str, str]] = {
    POD_RANGE: "networkProfile.podCidr",
    "service-cidr": "networkProfile.serviceCidr",
    "dns-service-ip": "networkProfile.dnsServiceIP",
    "node-subnet": "addressPrefix",
    "vnet": "addressSpace",
}
"""What `check_aks_ranges` is about, as the provider names it."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Clusters whose ranges Azure would refuse, or that could not reach something.

    Stops: a service range inside of the corporate 10.0.0.0/8, or a pod range of 172.16.0.0/12, which contains two
    ranges that AKS keeps: refused at creation at best, unreachable partners at worst.
    """
    judge = _Judge(resources, config)
    for problem in judge.problems:
        yield Finding(None, problem)
    for cluster in resources.of_type(AKS_CLUSTER):
        seen: set[tuple[str, str]] = set()
        for resource, verdict, key in judge.cluster(cluster):
            if (resource.urn, str(verdict)) not in seen:
                seen.add((resource.urn, str(verdict)))
                yield Finding(resource, verdict, key)


_Said = tuple[Resource, Problem | Undecided, str]


class _Judge:
    def __init__(self, resources: Resources, config: Mapping[str, Any]) -> None:
        self._pools = pools_of(resources)
        self._subnets = Subnets(resources)
        self._peers = peers_of(resources, self._subnets)
        given = config.get("nodeSubnets")
        self._outside = {str(id_).casefold(): cidr for id_, cidr in given.items()} if isinstance(given, Mapping) else {}
        blocks, self.problems = config_blocks(NAME, config, ("vnetCidrs", "connectedCidrs"))
        self._vnets, self._connected = tuple(blocks["vnetCidrs"]), tuple(blocks["connectedCidrs"])
        # Many clusters share a pod range, and a VNet.
        self._overlaps: dict[tuple[str, Block], list[Subnet]] = {}

    def cluster(self, cluster: Resource) -> Iterator[_Said]:
        """What is wrong with a cluster's ranges, its nodes' subnets and their VNets."""
        mode = network_mode(cluster)
        has_pods = mode in ("overlay", "kubenet")
        if isinstance(mode, Undecided):
            yield cluster, mode, "networkProfile"
        pods: Block | None = None
        for verdict, block in _read(cluster_range(cluster, "podCidr")) if has_pods else ():
            pods = block
            if verdict is not None:
                yield cluster, verdict, "networkProfile"
        service: Block | None = None
        for verdict, block in _read(cluster_range(cluster, "serviceCidr")):
            service = block
            if verdict is not None:
                yield cluster, verdict, "networkProfile"
        dns = dns_service_ip(cluster)
        if isinstance(dns, ProblemsError):
            for problem in dns.problems:
                yield cluster, problem, "networkProfile"
        elif isinstance(dns, Undecided):
            yield cluster, dns, "networkProfile"
        base = AksRanges(
            pod_cidr=pods or NO_PODS,
            service_cidr=service,
            # Without its range an address cannot be judged, and what is wrong with the range has been said.
            dns_service_ip=dns if isinstance(dns, int) and service is not None else None,
            peers=self._connected,
        )
        yield from self._places(cluster, base, pods)

    def _places(self, cluster: Resource, base: AksRanges, pods: Block | None) -> Iterator[_Said]:
        """The ranges beside each subnet that the cluster has nodes in."""
        found, outside, undecided = self._subnets.of_pools(self._pools.of_cluster[cluster.urn])
        for unknown in undecided:
            yield cluster, unknown, "agentPoolProfiles"
        if not found and not outside:
            yield from _said(cluster, None, base, pods)
        if (outside or any(self._subnets.vnet_of(subnet) is None for subnet in found)) and not self._vnets:
            reason = f"is not part of this stack: set vnetCidrs for {NAME}."
            yield cluster, Undecided("the address space of the nodes' VNet", reason), "agentPoolProfiles"
        for id_ in outside:
            block = self._outside.get(id_.casefold())
            ranges = replace(base, vnets=self._vnets)
            if block is None:
                reason = f"is not part of this stack: set nodeSubnets for {NAME}."
                yield cluster, Undecided(f"the CIDR of {id_}", reason), "agentPoolProfiles"
            else:
                for verdict, read_ in _read(_parsed(block)):
                    ranges = replace(ranges, node_subnet=read_)
                    if verdict is not None:
                        yield cluster, verdict, "agentPoolProfiles"
            yield from _said(cluster, None, ranges, pods)
        for subnet in found:
            yield from self._beside(cluster, subnet, base, pods)

    def _beside(self, cluster: Resource, subnet: Subnet, base: AksRanges, pods: Block | None) -> Iterator[_Said]:
        node_subnet: Block | None = None
        for verdict, block in _read(subnet.block()):
            node_subnet = block
            if verdict is not None:
                yield subnet.resource, verdict, "addressPrefix"
        vnet = self._subnets.vnet_of(subnet)
        ranges = replace(base, node_subnet=node_subnet, vnets=self._vnets if vnet is None else ())
        if vnet is not None:
            space, wrong = address_space(vnet)
            for verdict in wrong:
                yield vnet, verdict, "addressSpace"
            peers, unknown = self._peers.get(vnet.urn, ([], []))
            for item in unknown if not self._connected else ():
                reason = f"is not part of this stack: set connectedCidrs for {NAME}."
                yield cluster, replace(item, reason=reason), "networkProfile"
            # Half of a VNet's ranges would put a subnet outside of it.
            ranges = replace(ranges, vnets=() if wrong else tuple(space), peers=(*base.peers, *peers))
        yield from _said(cluster, subnet, ranges, pods)
        if vnet is not None and pods is not None:
            for other in self._in_the_way(vnet, pods):
                if other.key != subnet.key:
                    yield cluster, _other_subnet(pods, other), "networkProfile"

    def _in_the_way(self, vnet: Resource, pods: Block) -> list[Subnet]:
        """The subnets of a VNet that a pod range overlaps."""
        key = vnet.urn, pods
        if key not in self._overlaps:
            blocks = [(subnet, subnet.block()) for subnet in self._subnets.of_vnet(vnet)]
            self._overlaps[key] = [
                subnet for subnet, block in blocks if isinstance(block, Block) and block.overlaps(pods)
            ]
        return self._overlaps[key]


def _read(
    value: Block | Undecided | ProblemsError,
) -> Iterator[tuple[Problem | Undecided | None, Block | None]]:
    """A range with nothing to say, or what is to be said of it and no range."""
    if isinstance(value, Block):
        yield None, value
    elif isinstance(value, Undecided):
        yield value, None
    else:
        for problem in value.problems:
            yield problem, None


def _parsed(cidr: object) -> Block | ProblemsError:
    try:
        return Block.parse(cidr, key=f"configuration of {NAME}: nodeSubnets")  # type: ignore[arg-type]  # refused there
    except ProblemsError as error:
        return error


def _said(cluster: Resource, subnet: Subnet | None, ranges: AksRanges, pods: Block | None) -> Iterator[_Said]:
    problems, _ = check_aks_ranges(ranges)
    for problem in problems:
        if problem.key == POD_RANGE and pods is None:
            continue
        key = PROPERTIES[problem.key]
        of_subnet = problem.key == "node-subnet" and subnet is not None
        resource = subnet.resource if of_subnet and subnet is not None else cluster
        yield resource, replace(problem, key=key), key.partition(".")[0]


def _other_subnet(pods: Block, other: Subnet) -> Problem:
    return Problem(
        rule=NAME,
        value=str(pods),
        reason=f"overlaps subnet {other.name} of the VNet: AKS answers NetworkProfileCIDROverlapVNET.",
        next_step="Write a podCidr that no subnet of the VNet overlaps.",
        source="Azure/AKS CHANGELOG, 2024-10-25",
        key=PROPERTIES[POD_RANGE],
    )
