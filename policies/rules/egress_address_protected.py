"""The addresses that others have on their lists must not go by accident."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.problems import Problem
from policies.findings import Finding
from policies.resources import AKS_CLUSTER, NAT_GATEWAY, Resource, Resources
from policies.vnet import EGRESS_TYPES, References, addresses_of, balancer_addresses_of

NAME = "egress-address-protected"
DESCRIPTION = "The public addresses that clusters leave by are protected."
TYPES = (*EGRESS_TYPES, AKS_CLUSTER)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "egress", "safety")
REMEDIATION = (
    "Write ResourceOptions(protect=True, retain_on_delete=True), and a publicIpAddressName, on the PublicIPAddress or "
    "PublicIPPrefix."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Addresses of NAT gateways and of clusters' load balancers that a replacement or a destroy would give back.

    `protect` is what every door sees of a resource; the engine does not tell a policy of `retainOnDelete`.

    Stops: a change of an address's sku, location, version or prefix, which replaces it: Azure gives the old one to
    somebody else, and every partner's firewall keeps letting that one in (pulumi-azure-native, replacement.go).
    """
    del config
    seen: set[str] = set()
    for gateway in resources.of_type(NAT_GATEWAY):
        yield from _unprotected(gateway, addresses_of(resources, gateway), "publicIpAddresses", seen)
    for cluster in resources.of_type(AKS_CLUSTER):
        yield from _unprotected(cluster, balancer_addresses_of(resources, cluster), "networkProfile", seen)


def _unprotected(
    owner: Resource, references: tuple[References, References], key: str, seen: set[str]
) -> Iterator[Finding]:
    for found in references:
        if found.undecided is not None:
            yield Finding(owner, found.undecided, key)
        for resource in found.found:
            if resource.urn not in seen and not resource.protect:
                seen.add(resource.urn)
                problem = Problem(
                    rule=NAME,
                    value=resource.name,
                    reason=f"is an address that {owner.name} leaves by, and not protected: a replacement or a destroy "
                    "gives it back for good.",
                    next_step="Write ResourceOptions(protect=True, retain_on_delete=True).",
                    source="pulumi-azure-native, replacement.go",
                )
                yield Finding(resource, problem)
