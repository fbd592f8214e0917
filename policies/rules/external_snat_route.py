"""Without the CNI's source NAT, pods need a way out of their own."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.problems import Problem
from headroom.capacity.settings import EXTERNAL_SNAT, CniSettings
from policies import cni
from policies.configuration import ENVIRONMENT, environment, texts
from policies.findings import Finding, Undecided, known
from policies.network import EVERYWHERE, known_pod_subnets, leads_out, linked, route_tables, routes_of, unlinked
from policies.resources import (
    ENI_CONFIG,
    ROUTE,
    ROUTE_TABLE,
    ROUTE_TABLE_ASSOCIATION,
    SUBNET,
    UNKNOWN,
    Resource,
    Resources,
)

NAME = "external-snat-route"
DESCRIPTION = "With external source NAT, every pod subnet has a default route to a NAT or transit gateway."
TYPES = (SUBNET, ROUTE_TABLE_ASSOCIATION, ROUTE_TABLE, ROUTE, ENI_CONFIG, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("eks", "routing")
REMEDIATION = (
    'Add a route such as {"0.0.0.0/0": {natGatewayId: nat-…}} to the table of each pod subnet, or leave '
    "AWS_VPC_K8S_CNI_EXTERNALSNAT at false. `routedTables` in the policy's configuration names tables outside the "
    "stack that have such a route."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "routedTables": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Ids of route tables outside the stack with a default route that pods can use",
    },
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Pod subnets from which nothing outside the VPC can be reached.

    Stops: AWS_VPC_K8S_CNI_EXTERNALSNAT=true with subnets that only have `local`: pods start, get their addresses,
    and reach neither their registry nor any API (amazon-vpc-cni-k8s #1359).
    """
    if not _external_snat(resources, config):
        for setting in cni.cnis(resources):
            for unknown in setting.unknown:
                yield Finding(setting.resource, unknown)
        return
    routed = set(texts(config, "routedTables"))
    routes, tables = routes_of(resources), route_tables(resources)
    for subnet in known_pod_subnets(resources):
        # Without a table the rule pod-subnet-route speaks.
        for association in tables.get(subnet.urn, ()):
            verdict = _verdict(resources, association, routes, routed)
            if verdict is not None:
                yield Finding(subnet, verdict)


def _external_snat(resources: Resources, config: Mapping[str, Any]) -> bool:
    found = [cni_.environment for cni_ in cni.cnis(resources) if cni_.environment.get(EXTERNAL_SNAT)]
    return any(CniSettings.from_environment(each).external_snat for each in found or [environment(config)])


def _verdict(
    resources: Resources, association: Resource, routes: Mapping[str, list[Mapping[str, Any]]], routed: set[str]
) -> Problem | Undecided | None:
    own = linked(resources, association, "routeTableId", ROUTE_TABLE)
    if own:
        table = own[0]
        if any(leads_out(route) for route in routes[table.urn]):
            return None
        if isinstance(known(table.properties, "routes"), Undecided) or any(
            route.get("destinationCidrBlock") is UNKNOWN for route in routes[table.urn]
        ):
            return Undecided(f"the routes of {table.name}")
        return Problem(
            rule=NAME,
            value=table.name,
            reason=f"has no route for {EVERYWHERE} that a private address can use, and with {EXTERNAL_SNAT}=true "
            "nothing else takes pods out of the VPC.",
            next_step=f'Add {{"{EVERYWHERE}": {{natGatewayId: nat-…}}}}, or set {EXTERNAL_SNAT}=false.',
            source="amazon-vpc-cni-k8s #1359; EKS user guide, external-snat",
        )
    outside = unlinked(resources, association, "routeTableId", ROUTE_TABLE)
    if isinstance(outside, Undecided):
        return outside
    if outside and outside[0] in routed:
        return None
    reason = f"are not part of this stack: list the table in routedTables of {NAME} if it has one."
    return Undecided(f"the routes of {outside[0] if outside else 'the route table'}", reason)
