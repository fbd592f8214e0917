"""A pod subnet has to be associated with a route table."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.problems import Problem
from policies.findings import Finding, Undecided
from policies.network import linked, pod_subnets, route_tables, unlinked
from policies.resources import ENI_CONFIG, ROUTE_TABLE, ROUTE_TABLE_ASSOCIATION, SUBNET, Resources

NAME = "pod-subnet-route"
DESCRIPTION = "Every pod subnet is associated with exactly one route table."
TYPES = (SUBNET, ROUTE_TABLE_ASSOCIATION, ROUTE_TABLE, ENI_CONFIG)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "routing")
REMEDIATION = (
    "Associate the subnet with the route table of the zone's node subnet: "
    "`routeTableId: rtb-…` in the stack file, or an `aws.ec2.RouteTableAssociation`."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Pod subnets that are left to the VPC's main route table.

    Stops: rule CRE-2025-0112's subnets, which get no route table: what the main one holds decides whether pods reach
    peered networks and endpoints, and in many VPCs it holds nothing but `local`.
    """
    del config
    tables = route_tables(resources)
    nameless = [
        association
        for association in resources.of_type(ROUTE_TABLE_ASSOCIATION)
        if not linked(resources, association, "subnetId", SUBNET)
        and isinstance(unlinked(resources, association, "subnetId", SUBNET), Undecided)
    ]
    for subnet, undecided in pod_subnets(resources):
        found = tables.get(subnet.urn, [])
        if undecided is not None:
            yield Finding(subnet, undecided)
        elif not found and nameless:
            reason = f"is not known before `up`, so {subnet.name} may be associated or not."
            yield Finding(subnet, Undecided(f"subnetId of {nameless[0].name}", reason))
        elif len(found) != 1:
            names = " and ".join(association.name for association in found)
            problem = Problem(
                rule=NAME,
                value=subnet.name,
                reason=f"is associated with {len(found)} route tables ({names}); EC2 allows one."
                if found
                else "is associated with no route table, so the VPC's main one decides where its traffic goes.",
                next_step="Keep one association." if found else "Associate the table of the zone's node subnet.",
                source="VPC user guide, VPC_Route_Tables",
            )
            yield Finding(subnet, problem)
