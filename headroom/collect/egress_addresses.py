"""Which public addresses a cluster is seen with now: of its NAT gateways, or of its load balancer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.egress_audit import SUBJECT, Manager, check_credentials
from headroom.facts.values import Unknown

Object = Mapping[str, Any]

CLUSTERS_API: Final = "2024-05-01"
NETWORK_API: Final = "2024-05-01"
"""Versions of the APIs (azure-rest-api-specs)."""
ELSEWHERE: Final = frozenset({"userdefinedrouting", "none", "block"})
"""Outbound types with which neither a NAT gateway nor the load balancer is the way out (AKS documentation,
egress-outboundtype)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEgress:
    """A cluster's way out.

    Attributes:
        cluster_id: Its ARM id.
        region: As Azure writes it: eastus2.
        subnets: ARM ids of its nodes' subnets.
        addresses: The addresses and prefixes that others see.
        by: How each way out is called, for people.
    """

    cluster_id: str
    region: str
    subnets: tuple[str, ...]
    addresses: tuple[str, ...]
    by: tuple[str, ...]


def read_egress_addresses(manager: Manager, cluster_id: str, *, known: bool = False) -> ClusterEgress:
    """The addresses of a cluster: a NAT gateway on the subnet wins over the load balancer's outbound rules.

    Args:
        manager: Azure Resource Manager.
        cluster_id: Its ARM id.
        known: The addresses are known otherwise: only its region and its subnets are read.

    Raises:
        ProblemsError: Something of it could not be read, or its traffic takes another way.
    """
    cluster = _read(manager, cluster_id, CLUSTERS_API)
    properties = _properties(cluster)
    profile: Object = properties.get("networkProfile") or {}
    outbound = str(profile.get("outboundType") or "loadBalancer")
    if outbound.casefold() in ELSEWHERE and not known:
        reason = "is its outbound type: an appliance's address is seen, or none, which this cannot find out."
        raise _refused(outbound, reason)
    pools = manager.every(f"{cluster_id}/agentPools", CLUSTERS_API)
    if pools is None or isinstance(pools, Unknown):
        raise _refused(f"{cluster_id}/agentPools", f"could not be read: {pools or 'not found'}.")
    subnets = tuple(
        dict.fromkeys(str(each["vnetSubnetID"]) for each in map(_properties, pools) if each.get("vnetSubnetID"))
    )
    region = "".join(str(cluster.get("location") or "").split()).casefold()
    if known:
        return ClusterEgress(cluster_id=cluster_id, region=region, subnets=subnets, addresses=(), by=())
    found: list[str] = []
    by: list[str] = []
    through_balancer = not subnets
    for subnet in subnets:
        gateway = (_properties(_read(manager, subnet, NETWORK_API)).get("natGateway") or {}).get("id")
        if gateway:
            by.append(f"NAT gateway {gateway.rpartition('/')[2]}")
            found += _of_gateway(manager, str(gateway))
        else:
            through_balancer = True
    if through_balancer:
        ids = _effective(profile, outbound)
        if not ids:
            raise _refused(cluster_id, "shows no outbound address (effectiveOutboundIPs).")
        by.append("NAT gateway of AKS" if "nat" in outbound.casefold() else "load balancer")
        found += [_address(manager, each) for each in ids]
    return ClusterEgress(
        cluster_id=cluster_id,
        region=region,
        subnets=subnets,
        addresses=tuple(dict.fromkeys(found)),
        by=tuple(dict.fromkeys(by)),
    )


def _effective(profile: Object, outbound: str) -> Sequence[str]:
    name = "natGatewayProfile" if "nat" in outbound.casefold() else "loadBalancerProfile"
    return [str(each["id"]) for each in (profile.get(name) or {}).get("effectiveOutboundIPs") or ()]


def _of_gateway(manager: Manager, gateway_id: str) -> Iterable[str]:
    properties = _properties(_read(manager, gateway_id, NETWORK_API))
    for each in properties.get("publicIpAddresses") or ():
        yield _address(manager, str(each["id"]))
    for each in properties.get("publicIpPrefixes") or ():
        yield _address(manager, str(each["id"]), "ipPrefix")


def _address(manager: Manager, address_id: str, name: str = "ipAddress") -> str:
    found = _properties(_read(manager, address_id, NETWORK_API)).get(name)
    if not found:
        raise _refused(address_id, f"has no {name} yet.")
    return str(found)


def _read(manager: Manager, resource_id: str, api_version: str) -> Object:
    found = manager.get(resource_id, api_version)
    check_credentials(found)
    if found is None and "/managedclusters/" in resource_id.casefold():
        step = (
            "`az aks list --output table` lists those that there are; where it is gone, give its addresses with --old."
        )
        raise _refused(resource_id, "is no AKS cluster.", step)
    if found is None or isinstance(found, Unknown):
        raise _refused(resource_id, f"could not be read: {found or 'there is none'}.")
    return found


def _properties(item: Object) -> Object:
    found = item.get("properties")
    return found if isinstance(found, Mapping) else {}


_BY_HAND: Final = "Give the addresses with --old: an echo service shows them (--live-check)."


def _refused(value: str, reason: str, step: str = _BY_HAND) -> ProblemsError:
    return ProblemsError(
        [Problem(rule="old-addresses", key="--cluster", value=value, reason=reason, next_step=step)], subject=SUBJECT
    )
