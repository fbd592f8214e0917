"""What pods live on must not go by accident."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.problems import Problem
from policies import cni
from policies.findings import Finding, Undecided, read
from policies.network import is_for_pods
from policies.resources import (
    ADDON,
    CIDR_ASSOCIATION,
    POD_SUBNETS_COMPONENT,
    SECONDARY_CIDR_COMPONENT,
    STASH,
    SUBNET,
    VPC,
    Resource,
    Resources,
)

NAME = "network-protected"
DESCRIPTION = "VPCs, CIDR associations and pod subnets are protected, and the CNI outlives its add-on."
TYPES = (VPC, CIDR_ASSOCIATION, SUBNET, ADDON, STASH)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "medium"
TAGS = ("eks", "safety")
REMEDIATION = (
    "Write ResourceOptions(protect=True), on the vpc-cni add-on preserve: true. An emergency stack is taken back by "
    "headroom:acceptNewPods: false first, with which protect: false passes; let anything else pass with an exception "
    "that has a date."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """What a slip of `pulumi destroy` would take from running pods.

    Stops: a destroy of the wrong stack, which takes the routes of pod subnets away before EC2 refuses to delete the
    subnets themselves.
    """
    del config
    closed = _is_closed(resources)
    for resource in resources.of_type(VPC, CIDR_ASSOCIATION):
        # A stack that takes no new pods is on its way out, and its component refuses to go while any are left.
        retired = closed and SECONDARY_CIDR_COMPONENT in resource.parent_types
        if not resource.protect and not retired:
            yield _finding(resource, "is not protected: a destroy, or a rename in the program, would delete it.")
    for subnet in resources.of_type(SUBNET):
        # The component refuses a deletion while anything uses the subnet, which is better than protection.
        if subnet.protect or POD_SUBNETS_COMPONENT in subnet.parent_types:
            continue
        for_pods = is_for_pods(subnet)
        if isinstance(for_pods, Undecided):
            yield Finding(subnet, for_pods, "tags")
        elif for_pods:
            yield _finding(subnet, "is a pod subnet and not protected: a destroy would take its routes, then fail.")
    for found in cni.cnis(resources):
        if found.resource.type == ADDON:
            yield from _addon(found.resource)


def _is_closed(resources: Resources) -> bool:
    """Whether the pod subnets of the component take no new pods: the record of all of them says so."""
    records = [record for record in resources.of_type(STASH) if POD_SUBNETS_COMPONENT in record.parent_types]
    return bool(records) and all(read(record.properties, "input.acceptNewPods", bool) is False for record in records)


def _addon(addon: Resource) -> Iterator[Finding]:
    preserve = read(addon.properties, "preserve", bool)
    if isinstance(preserve, Undecided):
        yield Finding(addon, preserve, "preserve")
    elif not preserve and not addon.protect:
        yield _finding(
            addon, "is deleted together with aws-node: no new pod of the cluster gets an address then.", "preserve"
        )


def _finding(resource: Resource, reason: str, property_: str = "") -> Finding:
    step = "Write preserve: true." if property_ else "Write ResourceOptions(protect=True)."
    problem = Problem(rule=NAME, value=resource.name, reason=reason, next_step=step)
    return Finding(resource, problem, property_)
