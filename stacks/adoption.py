"""Finds what this stack made already but its state lacks, so that it is taken over instead of made twice.

An `up` that was killed between EC2's answer and the engine's record leaves such things behind; somebody who began
the remedy by hand leaves an association. Reads through the provider, with its credentials, and only what carries
this stack's tag, or is an association of the very CIDR in the very VPC.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pulumi
from pulumi_aws import ec2, vpc

from components.pod_subnets import KEY_TAG, IngressRule, PodSubnet
from headroom.addresses.problems import Problem, ProblemsError

T = TypeVar("T")

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


Recorded = Mapping[tuple[str, str], Mapping[str, Any]]
"""Outputs of everything in the stack's state, by type and name."""

READ_ATTEMPTS = 5
READ_PAUSE_SECONDS = 0.3
"""The engine may be writing the very file that it is asked to read (file backend: "failed to load checkpoint")."""

_TYPES = {
    "cidr": "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation",
    "subnet": "aws:ec2/subnet:Subnet",
    "route-table": "aws:ec2/routeTable:RouteTable",
    "route": "aws:ec2/route:Route",
    "route-table-association": "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "ingress-rule": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
}


def recorded_resources() -> Recorded | None:
    """What the stack's state holds; None where the engine does not tell (under mocks).

    The engine answers this for any stack of the backend, the one that runs included; the SDK used it for queries
    (pulumi/pulumi `sdk/python/lib/pulumi/runtime/resource_outputs`, resource provider `pulumi:pulumi`).

    Raises:
        ProblemsError: The state could not be read.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for attempt in range(1, READ_ATTEMPTS + 1):
        try:
            answer = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
            break
        except Exception as error:  # the SDK raises nothing narrower for a failed invoke
            if attempt == READ_ATTEMPTS:
                raise _unreadable("stack", name, error, "Repeat the command.") from error
            time.sleep(READ_PAUSE_SECONDS)
    outputs = answer.get("outputs") if isinstance(answer, Mapping) else None
    if outputs is None:
        return None
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for urn, resource in outputs.items():
        _, _, types, resource_name = urn.split("::", 3)
        found[types.rpartition("$")[2], resource_name] = (resource or {}).get("outputs") or {}
    return found


def find_existing(  # noqa: PLR0913 - one parameter a part of the stack file
    vpc_id: str,
    cidrs: Sequence[str],
    subnets: Mapping[str, PodSubnet],
    *,
    rules: Mapping[str, IngressRule],
    rule_cidrs: Sequence[str],
    name: str,
) -> Existing:
    """Reads what the engine does not know of yet, and asks EC2 for nothing else.

    Calls of EC2: none where the state is complete. Else one for the VPC, one a subnet that is missing in the state,
    and a few more for each that carries this stack's tag.

    Raises:
        ProblemsError: A key was renamed or given another block, or something could not be read.
    """
    recorded = recorded_resources()
    if recorded is None:
        return Existing(new_cidrs=cidrs)
    problems = moved_keys(recorded, subnets, name)
    if problems:
        raise ProblemsError(problems, subject="configuration")

    def missing(kind: str, *key: str) -> bool:
        return (_TYPES[kind], "-".join([name, *key])) not in recorded

    new_cidrs = [cidr for cidr in cidrs if missing("cidr", cidr)]
    associated = _associated(vpc_id, new_cidrs) if new_cidrs else {}
    unrouted = {key: subnet for key, subnet in subnets.items() if missing("route-table-association", key)}
    problems = _table_problems(vpc_id, unrouted)
    if problems:
        raise ProblemsError(problems, subject="configuration")
    found: dict[str, str] = {}
    for key, subnet in subnets.items():
        if missing("subnet", key) or missing("route-table-association", key):
            found.update(_subnet(vpc_id, key, subnet))
    for rule_name, rule in rules.items():
        if any(missing("ingress-rule", rule_name, cidr) for cidr in rule_cidrs):
            found.update(_ingress_rules(rule_name, rule))
    known = _recorded_ids(recorded)
    adopted = {
        key: id_
        for key, id_ in found.items()
        if missing(key.partition("/")[0], *key.split("/", 2)[1:]) and id_ not in known
    }
    return Existing(associated, adopted, new_cidrs)


def moved_keys(recorded: Recorded, subnets: Mapping[str, PodSubnet], name: str) -> list[Problem]:
    """Keys whose block or zone is not what was made under them, and blocks that were made under another key."""
    made = {
        resource[len(name) + 1 :]: outputs
        for (type_, resource), outputs in recorded.items()
        if type_ == _TYPES["subnet"] and resource.startswith(f"{name}-")
    }
    owners = {outputs.get("cidrBlock"): key for key, outputs in made.items()}
    found: list[Problem] = []
    for key, subnet in subnets.items():
        place = f"headroom:podSubnets.{key}"
        before = made.get(key)
        if before and (before.get("cidrBlock"), before.get("availabilityZone")) != (subnet.cidr_block, subnet.zone):
            found.append(
                Problem(
                    rule="key-moved",
                    key=place,
                    value=f"{subnet.cidr_block} in {subnet.zone}",
                    reason=f"is not what was made under this key: {before.get('cidrBlock')} in "
                    f"{before.get('availabilityZone')}. A layout never moves.",
                    next_step="Write that again, and give the new block a key of its own beside it.",
                )
            )
        owner = owners.get(subnet.cidr_block, key)
        if owner != key and not before:
            found.append(
                Problem(
                    rule="key-renamed",
                    key=place,
                    value=subnet.cidr_block,
                    reason=f"was made under the key {owner}. A key never changes: a new name would delete the subnet.",
                    next_step=f"Write {owner} again; the Name tag may be anything.",
                )
            )
    return found


def _recorded_ids(recorded: Recorded) -> AbstractSet[str]:
    """Ids that the state holds, under whatever name."""
    ids: set[str] = set()
    for (type_, _), outputs in recorded.items():
        if type_ == _TYPES["ingress-rule"]:
            ids.add(str(outputs.get("securityGroupRuleId")))
        elif type_ in (_TYPES["subnet"], _TYPES["route-table"]):
            ids.add(str(outputs.get("arn")).rpartition("/")[2])
    return ids


def _associated(vpc_id: str, new_cidrs: Sequence[str]) -> dict[str, str]:
    described = _ask(
        "headroom:vpcId", vpc_id, "ec2:DescribeVpcs and ec2:DescribeVpcAttribute", lambda: ec2.get_vpc(id=vpc_id)
    )
    associations = [item for item in described.cidr_block_associations if item.state not in GONE]
    busy = [item for item in associations if item.cidr_block in new_cidrs and item.state != "associated"]
    if busy:
        raise ProblemsError(
            Problem(
                rule="association-in-progress",
                key="headroom:secondaryCidrs",
                value=item.cidr_block,
                reason=f"is {item.state} ({item.association_id}): somebody else has begun.",
                next_step="Repeat the command in a minute.",
            )
            for item in busy
        )
    for item in associations:
        if item.cidr_block in new_cidrs:
            pulumi.log.warn(
                f"{item.cidr_block} is associated already ({item.association_id}): this stack takes the association "
                "over, and would disassociate it when it is destroyed."
            )
    return {item.cidr_block: item.association_id for item in associations}


def _table_problems(vpc_id: str, subnets: Mapping[str, PodSubnet]) -> list[Problem]:
    """Route tables to be used that do not exist in the VPC: EC2 would say so when half of the stack is made."""
    wanted = {key: subnet.route_table_id for key, subnet in subnets.items() if isinstance(subnet.route_table_id, str)}
    if not wanted:
        return []
    first = next(iter(wanted))
    tables = _ask(
        f"headroom:podSubnets.{first}.routeTableId",
        str(wanted[first]),
        "ec2:DescribeRouteTables",
        lambda: ec2.get_route_tables(vpc_id=vpc_id),
    )
    return [
        Problem(
            rule="pod-subnet-route",
            key=f"headroom:podSubnets.{key}.routeTableId",
            value=str(table_id),
            reason=f"is no route table of {vpc_id}.",
            next_step=f"Write one of {', '.join(sorted(tables.ids))}; that of the zone's node subnet serves.",
            source="VPC user guide, VPC_Route_Tables",
        )
        for key, table_id in wanted.items()
        if table_id not in tables.ids
    ]


def _subnet(vpc_id: str, key: str, subnet: PodSubnet) -> dict[str, str]:
    """A subnet with this stack's tag, its table and their association."""
    filters = [
        ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id]),
        ec2.GetSubnetsFilterArgs(name="cidr-block", values=[subnet.cidr_block]),
        ec2.GetSubnetsFilterArgs(name="availability-zone", values=[subnet.zone]),
        ec2.GetSubnetsFilterArgs(name=f"tag:{STACK_TAG}", values=[stack_tag()]),
    ]
    place = f"headroom:podSubnets.{key}"
    subnets = _ask(place, subnet.cidr_block, "ec2:DescribeSubnets", lambda: ec2.get_subnets(filters=filters))
    subnet_id = _first(subnets.ids)
    found: dict[str, str] = {}
    if subnet_id is not None:
        found[f"subnet/{key}"] = subnet_id
    table_id = subnet.route_table_id
    if subnet.routes is not None:
        tags = {STACK_TAG: stack_tag(), KEY_TAG: key}
        tables = _ask(place, key, "ec2:DescribeRouteTables", lambda: ec2.get_route_tables(vpc_id=vpc_id, tags=tags))
        table_id = _first(tables.ids)
        if table_id is None:
            return found
        found[f"route-table/{key}"] = table_id
        own = _ask(place, table_id, "ec2:DescribeRouteTables", lambda: ec2.get_route_table(route_table_id=table_id))
        present = {route.cidr_block for route in own.routes}
        for route in subnet.routes:
            if route.destination in present:
                found[f"route/{key}/{route.destination}"] = f"{table_id}_{route.destination}"
    if subnet_id is not None:
        by_subnet = [ec2.GetRouteTablesFilterArgs(name="association.subnet-id", values=[subnet_id])]
        tables = _ask(place, subnet_id, "ec2:DescribeRouteTables", lambda: ec2.get_route_tables(filters=by_subnet))
        if table_id in tables.ids:
            found[f"route-table-association/{key}"] = f"{subnet_id}/{table_id}"
    return found


def _ingress_rules(rule_name: str, rule: IngressRule) -> dict[str, str]:
    """Rules that are ours to the letter: EC2 would refuse to make them twice.

    Not looked for by tag: the provider sets tags in a call of its own, and may be killed before it.
    """
    group = rule.security_group_id
    if not isinstance(group, str):
        return {}
    place = f"headroom:ingressRules.{rule_name}"
    filters = [vpc.GetSecurityGroupRulesFilterArgs(name="group-id", values=[group])]
    action = "ec2:DescribeSecurityGroupRules"
    listed = _ask(place, group, action, lambda: vpc.get_security_group_rules(filters=filters))

    def describe(rule_id: str) -> vpc.AwaitableGetSecurityGroupRuleResult:
        return _ask(place, rule_id, action, lambda: vpc.get_security_group_rule(security_group_rule_id=rule_id))

    described = [describe(rule_id) for rule_id in listed.ids]
    wanted = (
        rule.protocol,
        ANY_PORT if rule.from_port is None else rule.from_port,
        ANY_PORT if rule.to_port is None else rule.to_port,
        rule.description,
        False,
    )
    return {
        f"ingress-rule/{rule_name}/{found.cidr_ipv4}": found.id
        for found in described
        if (found.ip_protocol, found.from_port, found.to_port, found.description, found.is_egress) == wanted
    }


ANY_PORT = -1
"""How EC2 shows the ports of a rule that names none."""


def _ask(key: str, value: str, action: str, call: Callable[[], T]) -> T:
    """What a lookup answers.

    Raises:
        ProblemsError: It failed; names the configuration key and the IAM action.
    """
    try:
        return call()
    except Exception as error:  # the SDK raises nothing narrower for a failed invoke
        step = f"Check the value, the Region, and that the credentials allow {action}."
        raise _unreadable(key, value, error, step) from error


def _unreadable(key: str, value: str, error: Exception, next_step: str) -> ProblemsError:
    said = " ".join(str(error).split())
    return ProblemsError(
        [Problem(rule="unreadable", key=key, value=value, reason=f"could not be read: {said}.", next_step=next_step)],
        subject="configuration",
    )


def _first(ids: Iterable[str]) -> str | None:
    return next(iter(sorted(ids)), None)
