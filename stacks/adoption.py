"""Finds what this stack made already but does not know of, so that it is taken over instead of made twice.

An `up` that was killed between EC2's answer and the engine's record leaves such things behind; somebody who began
the remedy by hand leaves an association. Reads through the provider, with its credentials, and only what carries
this stack's tag, or is an association of the very CIDR in the very VPC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import ec2, vpc

from components.pod_subnets import IngressRule, PodSubnet

STACK_TAG = "headroom:stack"
"""Tag of everything that a stack makes, its value "project/stack"."""

GONE = ("disassociating", "disassociated", "failing", "failed")
"""States of an association that is none (EC2 API reference, VpcCidrBlockState)."""


def stack_tag() -> str:
    """The value of `STACK_TAG` for the stack that runs."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"


@dataclass(frozen=True, slots=True)
class Existing:
    """What is there now.

    Attributes:
        associated: Association id by CIDR, of every CIDR of the VPC; the primary first.
        resources: Id to import by "kind/key", as `PodSubnetsArgs.adopt` takes it.
    """

    associated: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)


def find_existing(
    vpc_id: str, subnets: Mapping[str, PodSubnet], rules: Mapping[str, IngressRule], name: str
) -> Existing:
    """Reads the VPC's associations and what carries this stack's tag in it.

    Calls: one, and one a subnet; two more for a subnet, a route table or a security group that exists already.
    """
    described = ec2.get_vpc(id=vpc_id)
    associated = {
        association.cidr_block: association.association_id
        for association in described.cidr_block_associations
        if association.state not in GONE
    }
    found: dict[str, str] = {}
    for key, subnet in subnets.items():
        subnet_id = _first(
            ec2.get_subnets(
                filters=[
                    ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id]),
                    ec2.GetSubnetsFilterArgs(name="cidr-block", values=[subnet.cidr_block]),
                    ec2.GetSubnetsFilterArgs(name=f"tag:{STACK_TAG}", values=[stack_tag()]),
                ]
            ).ids
        )
        if subnet_id is None:
            continue
        found[f"subnet/{key}"] = subnet_id
        found.update(_routing(vpc_id, key, subnet, subnet_id, name))
    for rule_name, rule in rules.items():
        found.update(_ingress_rules(rule_name, rule))
    return Existing(associated, found)


def _routing(vpc_id: str, key: str, subnet: PodSubnet, subnet_id: str, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    table_id = subnet.route_table_id
    if subnet.routes is not None:
        table_id = _first(
            ec2.get_route_tables(vpc_id=vpc_id, tags={STACK_TAG: stack_tag(), "Name": f"{name}-{key}"}).ids
        )
        if table_id is None:
            return found
        found[f"route-table/{key}"] = table_id
        present = {route.cidr_block for route in ec2.get_route_table(route_table_id=table_id).routes}
        for route in subnet.routes:
            if route.destination in present:
                found[f"route/{key}/{route.destination}"] = f"{table_id}_{route.destination}"
    associated_with = _first(
        ec2.get_route_tables(
            filters=[ec2.GetRouteTablesFilterArgs(name="association.subnet-id", values=[subnet_id])]
        ).ids
    )
    if associated_with is not None and associated_with == table_id:
        found[f"route-table-association/{key}"] = f"{subnet_id}/{table_id}"
    return found


def _ingress_rules(rule_name: str, rule: IngressRule) -> dict[str, str]:
    if not isinstance(rule.security_group_id, str):
        return {}
    listed = vpc.get_security_group_rules(
        filters=[
            vpc.GetSecurityGroupRulesFilterArgs(name="group-id", values=[rule.security_group_id]),
            vpc.GetSecurityGroupRulesFilterArgs(name=f"tag:{STACK_TAG}", values=[stack_tag()]),
        ]
    )
    described = [vpc.get_security_group_rule(security_group_rule_id=rule_id) for rule_id in listed.ids]
    return {
        f"ingress-rule/{rule_name}/{found.cidr_ipv4}": found.id
        for found in described
        if (found.ip_protocol, found.from_port, found.to_port)
        == (
            rule.protocol,
            -1 if rule.from_port is None else rule.from_port,
            -1 if rule.to_port is None else rule.to_port,
        )
    }


def _first(ids: Iterable[str]) -> str | None:
    return next(iter(sorted(ids)), None)
