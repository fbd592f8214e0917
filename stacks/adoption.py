"""Finds what this stack made already but its state lacks, so that it is taken over instead of made twice.

An `up` that was killed between EC2's answer and the engine's record leaves such things behind; somebody who began
the remedy by hand leaves an association. Reads through the provider, with its credentials, and only what carries
this stack's tag, or is an association of the very CIDR in the very VPC.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
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
    """What is there and unknown to the engine.

    Attributes:
        associated: Association id by CIDR, of every CIDR of the VPC; empty where the engine knows all of ours.
        resources: Id to import by "kind/key", as `PodSubnetsArgs.adopt` takes it.
        new_cidrs: CIDRs of ours whose association the state lacks.
    """

    associated: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    new_cidrs: Sequence[str] = ()


def recorded_resources() -> AbstractSet[tuple[str, str]] | None:
    """Type and name of everything in the stack's state; None where the engine does not tell.

    The engine answers this for any stack of the backend, the one that runs included; the SDK used it for queries
    (pulumi/pulumi `sdk/python/lib/pulumi/runtime/resource_outputs`, resource provider `pulumi:pulumi`).
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
    outputs = answer.get("outputs") if isinstance(answer, Mapping) else None
    if outputs is None:
        return None
    parts = (urn.split("::", 3) for urn in outputs)
    return {(types.rpartition("$")[2], name) for _, _, types, name in parts}


def find_existing(
    vpc_id: str,
    cidrs: Sequence[str],
    subnets: Mapping[str, PodSubnet],
    rules: Mapping[str, IngressRule],
    name: str,
) -> Existing:
    """Reads what the engine does not know of yet, and asks EC2 for nothing else.

    Calls of EC2: none where the state is complete. Else one for the VPC, one a subnet that is missing in the state,
    and two more for each that carries this stack's tag.
    """
    recorded = recorded_resources()
    if recorded is None:
        return Existing(new_cidrs=cidrs)

    def missing(type_: str, resource: str) -> bool:
        return (type_, f"{name}-{resource}") not in recorded

    associated: dict[str, str] = {}
    new_cidrs = [
        cidr for cidr in cidrs if missing("aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation", cidr)
    ]
    if new_cidrs:
        associated = {
            association.cidr_block: association.association_id
            for association in ec2.get_vpc(id=vpc_id).cidr_block_associations
            if association.state not in GONE
        }
    found: dict[str, str] = {}
    for key, subnet in subnets.items():
        has_subnet = not missing("aws:ec2/subnet:Subnet", key)
        if has_subnet and not missing("aws:ec2/routeTableAssociation:RouteTableAssociation", key):
            continue
        subnet_id = _subnet_id(vpc_id, subnet)
        if subnet_id is None:
            continue
        found[f"subnet/{key}"] = subnet_id
        found.update(_routing(vpc_id, key, subnet, subnet_id, name))
    for rule_name, rule in rules.items():
        if any(missing("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", f"{rule_name}-{c}") for c in cidrs):
            found.update(_ingress_rules(rule_name, rule))
    return Existing(associated, {key: id_ for key, id_ in found.items() if missing(*_resource(key))}, new_cidrs)


_TYPES = {
    "subnet": "aws:ec2/subnet:Subnet",
    "route-table": "aws:ec2/routeTable:RouteTable",
    "route": "aws:ec2/route:Route",
    "route-table-association": "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "ingress-rule": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
}


def _resource(key: str) -> tuple[str, str]:
    """Type and name, without the component's, of what "kind/key" stands for."""
    kind, _, rest = key.partition("/")
    head, slash, tail = rest.partition("/")
    return _TYPES[kind], f"{head}-{tail}" if slash else head


def _subnet_id(vpc_id: str, subnet: PodSubnet) -> str | None:
    return _first(
        ec2.get_subnets(
            filters=[
                ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id]),
                ec2.GetSubnetsFilterArgs(name="cidr-block", values=[subnet.cidr_block]),
                ec2.GetSubnetsFilterArgs(name=f"tag:{STACK_TAG}", values=[stack_tag()]),
            ]
        ).ids
    )


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
