"""Finds what this stack made already but its state lacks, so that it is taken over instead of made twice.

An `up` that was killed between EC2's answer and the engine's record leaves such things behind; somebody who began
the remedy by hand leaves an association. Reads through the provider, with its credentials, and only what carries
this stack's tag, or is an association of the very CIDR in the very VPC, or a reservation of the very CIDR in the very
subnet. Reservations alone are read by a client of our own: the provider has no look-up for them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pulumi
from pulumi_aws import ec2, eks, secretsmanager, vpc

from components.pod_subnets import IngressRule, PodSubnet
from components.prefix_reservations import PREFIX, reservation_description
from components.subnet_guard import GATE_TYPE
from headroom.addresses.blocks import Block, listed
from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.reservations import CidrReservation, read_reservations
from headroom.planning.emergency_keys import KEY_TAG
from stacks.aws_client import cloudwatch_client, ec2_client, provider_settings, settings_not_honoured
from stacks.recorded import STACK_TAG, Recorded, recorded_resources, stack_tag, unreadable

T = TypeVar("T")

GONE = ("disassociating", "disassociated", "failing", "failed")
"""States of an association that is none (EC2 API reference, VpcCidrBlockState)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the stack file asks for, as far as something of it may be there already.

    Attributes:
        name: Logical name of the components.
        vpc_id: The VPC.
        vpc_cidr_blocks: CIDRs that it has, as the stack file says.
        cidrs: CIDRs to associate.
        subnets: By key.
        rules: Ingress rules by name.
        rule_cidrs: CIDRs that each rule is repeated for.
        reservations: CIDRs to reserve, by the key of their subnet.
    """

    name: str
    vpc_id: str
    vpc_cidr_blocks: Sequence[str]
    cidrs: Sequence[str]
    subnets: Mapping[str, PodSubnet]
    rules: Mapping[str, IngressRule] = field(default_factory=dict)
    rule_cidrs: Sequence[str] = ()
    reservations: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Existing:
    """What is there and unknown to the engine.

    Attributes:
        associated: Association id by CIDR, of every CIDR of the VPC; empty where the engine knows all of ours.
        resources: Id to import by "kind/key", as `PodSubnetsArgs.adopt` takes it.
        reservations: Id to import by "key/CIDR", as `PrefixReservationsArgs.adopt` takes it.
        new_cidrs: CIDRs of ours whose association the state lacks.
    """

    associated: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    new_cidrs: Sequence[str] = ()
    reservations: Mapping[str, str] = field(default_factory=dict)


_TYPES = {
    "cidr": "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation",
    "subnet": "aws:ec2/subnet:Subnet",
    "route-table": "aws:ec2/routeTable:RouteTable",
    "route": "aws:ec2/route:Route",
    "route-table-association": "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "ingress-rule": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "reservation": "aws:ec2/subnetCidrReservation:SubnetCidrReservation",
    "record": GATE_TYPE,
}

ReservationsOf = Callable[[str], Sequence[CidrReservation]]
"""The reservations that EC2 has in a subnet, by the subnet's id."""


def find_existing(wanted: Wanted, reservations_of: ReservationsOf | None = None) -> Existing:
    """Reads what the engine does not know of yet, and asks EC2 for nothing else.

    Calls of EC2: none where the state is complete. Else one for the VPC, one for its route tables, one a subnet that
    is missing in the state and could be there, a few more for each that carries this stack's tag, and one a subnet
    that a reservation is missing of.

    Args:
        wanted: What the stack file asks for.
        reservations_of: Asks EC2; by default a client with the provider's settings.

    Raises:
        ProblemsError: A key was renamed or given another block, something stands in the way, or something could not
            be read.
    """
    recorded = recorded_resources()
    if recorded is None:
        return Existing(new_cidrs=wanted.cidrs)
    subnets, name = wanted.subnets, wanted.name
    problems = [*moved_keys(recorded, subnets, name), *removed_cidrs(recorded, wanted.cidrs, name)]
    if problems:
        raise ProblemsError(problems, subject="configuration")

    def missing(kind: str, *key: str) -> bool:
        return (_TYPES[kind], "-".join([name, *key])) not in recorded

    new_cidrs = [cidr for cidr in wanted.cidrs if missing("cidr", cidr)]
    incomplete = new_cidrs or any(missing("subnet", key) for key in subnets)
    associated = _associated(wanted, new_cidrs) if incomplete else {}
    unrouted = {key: subnet for key, subnet in subnets.items() if missing("route-table-association", key)}
    problems = _table_problems(wanted.vpc_id, unrouted)
    if problems:
        raise ProblemsError(problems, subject="configuration")
    found: dict[str, str] = {}
    vpc_blocks = [Block.parse(cidr) for cidr in associated]
    for key, subnet in subnets.items():
        if missing("subnet", key) or missing("route-table-association", key):
            block = Block.parse(subnet.cidr_block)
            possible = not vpc_blocks or any(whole.contains(block) for whole in vpc_blocks)
            found.update(_subnet(wanted.vpc_id, key, subnet, possible=possible))
    for rule_name, rule in wanted.rules.items():
        if any(missing("ingress-rule", rule_name, cidr) for cidr in wanted.rule_cidrs):
            found.update(_ingress_rules(rule_name, rule))
    known = _recorded_ids(recorded)
    adopted = {
        key: id_
        for key, id_ in found.items()
        if missing(key.partition("/")[0], *key.split("/", 2)[1:]) and id_ not in known
    }
    unreserved = {
        key: absent
        for key, cidrs in wanted.reservations.items()
        if (absent := [cidr for cidr in cidrs if missing("reservation", key, cidr)])
    }
    subnet_ids = {key: found.get(f"subnet/{key}") or _recorded_subnet_id(recorded, name, key) for key in unreserved}
    reservations = _reservations(unreserved, subnet_ids, recorded, name, reservations_of)
    return Existing(associated, adopted, new_cidrs, reservations)


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


def removed_cidrs(recorded: Recorded, cidrs: Sequence[str], name: str) -> list[Problem]:
    """Protected associations of ours that the stack file asks for no more.

    The engine would refuse to delete them too, but when the pod subnets in them are gone, and with no word of how.
    """
    # The engine tells the outputs of a resource, not its options: the record of all subnets says what they were.
    record = recorded.get((_TYPES["record"], f"{name}-in-use"), {}).get("input")
    if not isinstance(record, Mapping) or not record.get("protect"):
        return []
    made = [resource[len(name) + 1 :] for type_, resource in recorded if type_ == _TYPES["cidr"]]
    return [
        Problem(
            rule="cidr-removed",
            key="headroom:secondaryCidrs",
            value=cidr,
            reason="is not listed any more, was associated by this stack, and is protected.",
            next_step="Put it back, set headroom:protect: false, run `pulumi up`, then take it out with all pod "
            "subnets in it.",
        )
        for cidr in sorted(set(made) - set(cidrs))
    ]


def _recorded_ids(recorded: Recorded) -> AbstractSet[str]:
    """Ids that the state holds, under whatever name."""
    ids: set[str] = set()
    for (type_, _), outputs in recorded.items():
        if type_ == _TYPES["ingress-rule"]:
            ids.add(str(outputs.get("securityGroupRuleId")))
        elif type_ in (_TYPES["subnet"], _TYPES["route-table"]):
            ids.add(str(outputs.get("arn")).rpartition("/")[2])
    return ids


def _recorded_subnet_id(recorded: Recorded, name: str, key: str) -> str:
    outputs = recorded.get((_TYPES["subnet"], f"{name}-{key}"), {})
    return str(outputs.get("arn") or "").rpartition("/")[2]


def _associated(wanted: Wanted, new_cidrs: Sequence[str]) -> dict[str, str]:
    """Association id by CIDR, of every CIDR of the VPC.

    Raises:
        ProblemsError: The stack file says what is not so, or a new CIDR is associated already and not ours to take.
    """
    vpc_id = wanted.vpc_id
    described = _ask(
        "headroom:vpcId", vpc_id, "ec2:DescribeVpcs and ec2:DescribeVpcAttribute", lambda: ec2.get_vpc(id=vpc_id)
    )
    states = {
        item.cidr_block: (item.association_id, item.state)
        for item in described.cidr_block_associations
        if item.state not in GONE
    }
    problems = [
        Problem(
            rule="association-in-progress",
            key="headroom:secondaryCidrs",
            value=cidr,
            reason=f"is {state} ({association_id}): somebody else has begun.",
            next_step="Repeat the command in a minute.",
        )
        for cidr, (association_id, state) in states.items()
        if cidr in new_cidrs and state != "associated"
    ]
    # A CIDR of both lists is one that this stack adds, and was written down where the VPC's are once it was there.
    problems.extend(
        Problem(
            rule="cidr-not-associated",
            key="headroom:vpcCidrBlocks",
            value=cidr,
            reason=f"is not associated with {vpc_id}, which has {', '.join(states)}.",
            next_step="Take it out, or mend headroom:vpcId; what is to be associated belongs into secondaryCidrs.",
            source="EC2 API reference, DescribeVpcs",
        )
        for cidr in wanted.vpc_cidr_blocks
        if cidr not in states and cidr not in wanted.cidrs
    )
    taken = {cidr: states[cidr][0] for cidr in new_cidrs if states.get(cidr, ("", ""))[1] == "associated"}
    problems.extend(_shared_cidrs(vpc_id, taken))
    if problems:
        raise ProblemsError(problems, subject="configuration")
    for cidr, association_id in taken.items():
        pulumi.log.warn(
            f"{cidr} is associated already ({association_id}): this stack takes the association over, and would "
            "disassociate it when it is destroyed."
        )
    unsaid = [cidr for cidr in states if cidr not in wanted.vpc_cidr_blocks and cidr not in wanted.cidrs]
    if unsaid:
        pulumi.log.warn(
            f"{vpc_id} has {', '.join(unsaid)} too, which headroom:vpcCidrBlocks does not list: new CIDRs are judged "
            "against it all the same. List it, so that a check without credentials knows it."
        )
    return {cidr: association_id for cidr, (association_id, _) in states.items()}


def _shared_cidrs(vpc_id: str, taken: Mapping[str, str]) -> Iterator[Problem]:
    """Associations that others live on: whoever destroys the stack that owns them takes away the others' CIDR."""
    if not taken:
        return
    in_vpc = ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id])
    ours = ec2.GetSubnetsFilterArgs(name=f"tag:{STACK_TAG}", values=[stack_tag()])
    place, action = "headroom:secondaryCidrs", "ec2:DescribeSubnets"
    all_ids = _ask(place, vpc_id, action, lambda: ec2.get_subnets(filters=[in_vpc])).ids
    own_ids = _ask(place, vpc_id, action, lambda: ec2.get_subnets(filters=[in_vpc, ours])).ids if all_ids else []

    def block_of(subnet_id: str) -> Block:
        return Block.parse(_ask(place, subnet_id, action, lambda: ec2.get_subnet(id=subnet_id)).cidr_block)

    blocks = {subnet_id: block_of(subnet_id) for subnet_id in sorted(set(all_ids) - set(own_ids))}
    for cidr, association_id in taken.items():
        whole = Block.parse(cidr)
        inside = [f"{subnet_id} ({block})" for subnet_id, block in blocks.items() if whole.contains(block)]
        if inside:
            yield Problem(
                rule="cidr-shared",
                key=place,
                value=cidr,
                reason=f"is associated already ({association_id}), and subnets that this stack did not make lie in "
                f"it: {listed(inside)}. To own it would be to take it from them at the end.",
                next_step="Move it from secondaryCidrs to vpcCidrBlocks: pod subnets may lie in it, and the "
                "association stays with whoever made it.",
            )


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


def _subnet(vpc_id: str, key: str, subnet: PodSubnet, *, possible: bool) -> dict[str, str]:
    """A subnet with this stack's tag, its table and their association.

    Args:
        vpc_id: The VPC.
        key: The subnet's key.
        subnet: What is asked for.
        possible: Whether its block lies in a CIDR of the VPC; else there is no such subnet, and EC2 is not asked.
    """
    filters = [
        ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id]),
        ec2.GetSubnetsFilterArgs(name="cidr-block", values=[subnet.cidr_block]),
        ec2.GetSubnetsFilterArgs(name="availability-zone", values=[subnet.zone]),
        ec2.GetSubnetsFilterArgs(name=f"tag:{STACK_TAG}", values=[stack_tag()]),
    ]
    place = f"headroom:podSubnets.{key}"
    subnet_id = None
    if possible:
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


def _reservations(
    unreserved: Mapping[str, Sequence[str]],
    subnet_ids: Mapping[str, str],
    recorded: Recorded,
    name: str,
    reservations_of: ReservationsOf | None,
) -> dict[str, str]:
    """Import ids of reservations that the state lacks and EC2 has, by "key/CIDR".

    Raises:
        ProblemsError: EC2 has others in the way, or could not be asked.
    """
    # A subnet that is still to be made has none.
    asked = {key: cidrs for key, cidrs in unreserved.items() if subnet_ids[key]}
    reader = reservations_of or (_reader() if asked else None)
    if reader is None:
        return {}
    adopted: dict[str, str] = {}
    problems: list[Problem] = []
    for key, cidrs in asked.items():
        subnet_id, place = subnet_ids[key], f"headroom:prefixReservations.{key}"
        present = _ask(place, subnet_id, "ec2:GetSubnetCidrReservations", lambda: reader(subnet_id))  # noqa: B023 - called at once
        ours = {
            outputs.get("cidrBlock")
            for (type_, _), outputs in recorded.items()
            if type_ == _TYPES["reservation"] and outputs.get("subnetId") == subnet_id
        }
        for cidr in cidrs:
            same = next((item for item in present if _is_that_reservation(item, cidr, ours)), None)
            if same is None:
                problems.extend(_reservation_conflicts(place, cidr, present, ours))
                continue
            adopted[f"{key}/{cidr}"] = f"{subnet_id}:{same.reservation_id}"
            if same.description != reservation_description(name):
                pulumi.log.warn(
                    f"{cidr} is reserved in {subnet_id} already ({same.reservation_id}): this stack takes the "
                    "reservation over, and would give it back when it is destroyed."
                )
    if problems:
        raise ProblemsError(problems, subject="configuration")
    return adopted


def _reader() -> ReservationsOf | None:
    """Asks EC2 as the provider does; None, and a warning, where that cannot be had."""
    settings = provider_settings()
    others = settings_not_honoured(settings)
    if others:
        pulumi.log.warn(
            f"Reservations that EC2 has already are not looked up: {', '.join(others)} would have to hold for the "
            "look-up too, and cannot. Should EC2 refuse one because it overlaps, import what is there "
            "(`pulumi import`, SUBNET_ID:RESERVATION_ID)."
        )
        return None
    clients: list[Any] = []

    def read(subnet_id: str) -> Sequence[CidrReservation]:
        # Made at the first question, so that what is wrong with a profile or a role is told like any refusal.
        if not clients:
            clients.append(ec2_client(settings))
        return read_reservations(clients[0], subnet_id)

    return read


def _is_that_reservation(found: CidrReservation, cidr: str, ours: AbstractSet[str | None]) -> bool:
    return found.cidr_block == cidr and found.reservation_type == PREFIX and cidr not in ours


def _reservation_conflicts(
    place: str, cidr: str, present: Sequence[CidrReservation], ours: AbstractSet[str | None]
) -> Iterator[Problem]:
    """Why EC2 would refuse to reserve `cidr`."""
    block = Block.parse(cidr)
    for found in present:
        if not Block.parse(found.cidr_block).overlaps(block):
            continue
        shown = f"{found.cidr_block} ({found.reservation_id}, {found.reservation_type})"
        if found.cidr_block in ours:
            reason = f"overlaps {shown}, which this stack has made, and EC2 takes it only when that one is gone."
            step = "Leave it out, run `pulumi up`, then add it."
        else:
            reason = f"overlaps the reservation {shown} that EC2 has already."
            step = (
                "Take a block beside it, or give that one back: `aws ec2 delete-subnet-cidr-reservation "
                f"--subnet-cidr-reservation-id {found.reservation_id}`."
            )
        yield Problem(
            rule="reservation-overlap",
            key=place,
            value=cidr,
            reason=reason,
            next_step=step,
            source="VPC user guide, subnet-cidr-reservation",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroupNow:
    """A managed node group as EKS has it; the sizes are ``None`` where nobody answers (a check without an engine)."""

    role_arn: str
    subnet_ids: Sequence[str]
    minimum: int | None = None
    desired: int | None = None
    maximum: int | None = None


def node_group_now(cluster: str, name: str) -> NodeGroupNow:
    """Asks EKS for a managed node group.

    Raises:
        ProblemsError: It could not be read.
    """
    found = _ask(
        f"headroom:nodeLimits.{name}",
        name,
        "eks:DescribeNodegroup",
        lambda: eks.get_node_group(cluster_name=cluster, node_group_name=name),
    )
    sizes = next(iter(found.scaling_configs or ()), None)
    return NodeGroupNow(
        role_arn=found.node_role_arn or "",
        subnet_ids=list(found.subnet_ids or ()),
        minimum=None if sizes is None else sizes.min_size,
        desired=None if sizes is None else sizes.desired_size,
        maximum=None if sizes is None else sizes.max_size,
    )


def owner_of_alarm(key: str, cluster: str, alarm: str) -> str | None:
    """Which stack has made an alarm, by its tag: empty where it carries none, None where there is no such alarm.

    Raises:
        ProblemsError: It could not be read; names the configuration key and the IAM actions.
    """

    def ask() -> str | None:
        cloudwatch = cloudwatch_client(provider_settings())
        found = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        if not found:
            return None
        tags = cloudwatch.list_tags_for_resource(ResourceARN=found[0]["AlarmArn"])["Tags"]
        return next((each["Value"] for each in tags if each["Key"] == STACK_TAG), "")

    return _ask(key, cluster, "cloudwatch:DescribeAlarms and cloudwatch:ListTagsForResource", ask)


def secret_text(key: str, secret: str) -> str | None:
    """What a secret of Secrets Manager holds; None where nobody answers, as in `headroom check`.

    Raises:
        ProblemsError: It could not be read; names the configuration key and the IAM action.
    """
    action = "secretsmanager:GetSecretValue"
    found = _ask(key, secret, action, lambda: secretsmanager.get_secret_version(secret_id=secret))
    return (found.secret_string or "") if found.secret_arn else None


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
        raise unreadable(key, value, error, step) from error


def _first(ids: Iterable[str]) -> str | None:
    return next(iter(sorted(ids)), None)
