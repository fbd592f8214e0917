"""Subnets for pods that the VPC CNI finds by itself, one or more a zone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import ec2, vpc

from components.subnet_guard import TAG_TYPE, PodsByAddress, refuse_while_used, unknown_pods
from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, read_blocks
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import (
    SUBNET_ROLE_TAG,
    CniVersion,
    check_cni_version,
    cluster_tag,
)
from headroom.planning.emergency_keys import (
    KEY_TAG,
    OWN_TAG_PREFIX,
    rule_problems,
    tag_count_problems,
    tag_problems,
)

ROUTE_TARGETS = (
    "nat_gateway_id",
    "transit_gateway_id",
    "gateway_id",
    "network_interface_id",
    "vpc_endpoint_id",
    "vpc_peering_connection_id",
    "core_network_arn",
)
"""What a route of a pod subnet may point at, as pulumi-aws names it."""


INVITATION = "1"
"""Value of the role tag: pods may come (amazon-vpc-cni-k8s, subnet discovery)."""

LEFT_TO_THE_TAG = tuple(
    path for tags in ("tags", "tagsAll") for path in (f'{tags}.["{SUBNET_ROLE_TAG}"]', f'{tags}["{SUBNET_ROLE_TAG}"]')
)
"""What a subnet leaves to the resource that sets its role tag.

In two forms: the engine reads both alike, but the AWS provider compares texts, and knows a key with a dot in it by the
first one only (pulumi-terraform-bridge 3.121 to 3.135, pkg/tfbridge/diff.go). And under two names: of a subnet's tags
the provider plans with both.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route of a table made for a zone: `target` names the pulumi-aws argument, such as `nat_gateway_id`."""

    destination: str
    target: str
    target_id: pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSubnet:
    """One subnet.

    Attributes:
        zone: Availability zone, such as `us-east-1a`: nodes use pod subnets of their own zone only.
        cidr_block: Canonical CIDR, /16 to /28.
        route_table_id: A table that exists already, usually that of the zone's node subnet.
        routes: Instead: the routes of a table of its own, `local` apart. Empty means `local` only, which serves
            while the CNI does the source NAT (its default): traffic that leaves the VPC then uses the node's
            subnet and its routes (amazon-vpc-cni-k8s #1359).
        network_acl_id: A network ACL to associate instead of the VPC's default one.
    """

    zone: str
    cidr_block: str
    route_table_id: pulumi.Input[str] | None = None
    routes: Sequence[Route] | None = None
    network_acl_id: pulumi.Input[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressRule:
    """A rule that an existing security group needs because its rules name CIDRs: repeated for every pod CIDR.

    Attributes:
        security_group_id: The group, which belongs to somebody else.
        protocol: `tcp`, `udp`, `icmp`, `-1` for all, or an IANA number that has none of these names.
        from_port: First port (TCP, UDP), or the ICMP type, -1 for all. None for other protocols: they have none.
        to_port: Last port (TCP, UDP), or the ICMP code, -1 for all. None for other protocols.
        description: At most 255 characters: Latin letters, digits, blanks and `._-:/()#,@[]+=&;{}!$*`.
    """

    security_group_id: pulumi.Input[str]
    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    description: str = "Pods in added CIDRs"


Dependents = Callable[[Mapping[str, pulumi.Output[str]], pulumi.ResourceHookBinding], Sequence[pulumi.Resource]]
"""Declares resources, given the subnets' ids by key, and the hooks that refuse a deletion while a subnet is used."""


def _no_dependents(_: Mapping[str, pulumi.Output[str]], __: pulumi.ResourceHookBinding) -> Sequence[pulumi.Resource]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSubnetsArgs:
    """Pod subnets of one cluster.

    Attributes:
        vpc_ids: The VPC's id by CIDR in which subnets may be made; `SecondaryCidr.vpc_ids` for new CIDRs.
        subnets: The subnets by a key that never changes: the zone, or zone and number where there are several.
        cluster: Name of the EKS cluster.
        cni_version: Version of the VPC CNI that runs there, such as `1.19.2`.
        external_snat: Whether AWS_VPC_K8S_CNI_EXTERNALSNAT is true: then pods keep their address and need
            routes of their own.
        scope_to_cluster: Add the cluster-scoped tag, in the form that the CNI version reads.
        protect: Refuse to delete all of it; single subnets may still be taken out. `pulumi destroy` needs an `up`
            with `False` first.
        accept_new_pods: `False` takes the role tag away: no new network interface is made here, those that
            exist stay until their pods are gone. The first step of a rollback.
        tags: The user's tags.
        ingress_rules: By a name that never changes.
        adopt: Ids of things that exist already, by "kind/key" (see `stacks/adoption.py`).
        pods_by_address: Reads which pod has which address, for the refusal of a deletion. Called only then.
        dependents: Declares what else hangs on the subnets, such as reservations, given their ids by key. A destroy
            comes to it only when no pod is left: of what is declared elsewhere, some is gone before the refusal.

    Raises:
        ProblemsError: Every problem at once.
    """

    vpc_ids: Mapping[str, pulumi.Input[str]]
    subnets: Mapping[str, PodSubnet]
    cluster: str
    cni_version: str
    external_snat: bool = False
    scope_to_cluster: bool = True
    accept_new_pods: bool = True
    protect: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    ingress_rules: Mapping[str, IngressRule] = field(default_factory=dict)
    adopt: Mapping[str, str] = field(default_factory=dict)
    pods_by_address: PodsByAddress = unknown_pods
    dependents: Dependents = _no_dependents

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="PodSubnetsArgs")

    def problems(self) -> list[Problem]:
        """Everything that would fail, or quietly not work."""
        rules = [
            problem
            for name, rule in self.ingress_rules.items()
            for problem in rule_problems(
                f"ingress_rules.{name}",
                protocol=rule.protocol,
                from_port=rule.from_port,
                to_port=rule.to_port,
                description=rule.description,
            )
        ]
        return [*self._version_problems(), *self._subnet_problems(), *self._tag_problems(), *rules]

    def _version_problems(self) -> Sequence[Problem]:
        try:
            problems, _ = check_cni_version(CniVersion.parse(self.cni_version))
        except ProblemsError as error:
            return error.problems
        return problems

    def _subnet_problems(self) -> list[Problem]:
        if not self.subnets:
            return [
                Problem(
                    rule="no-subnets",
                    key="subnets",
                    value="{}",
                    reason="names no subnet.",
                    next_step="Give one for every zone that has nodes.",
                )
            ]
        found: list[Problem] = []
        within: list[Block] = []
        for cidr in self.vpc_ids:
            try:
                within.append(Block.parse(cidr, key="vpc_ids"))
            except ProblemsError as error:
                found.extend(error.problems)
        placed: dict[str, Block] = {}
        for key, subnet in self.subnets.items():
            try:
                block = Block.parse(subnet.cidr_block, key=f"subnets.{key}")
            except ProblemsError as error:
                found.extend(error.problems)
                continue
            found.extend(_block_problems(key, block, within, placed))
            found.extend(_route_problems(key, subnet, external_snat=self.external_snat))
            placed[key] = block
        return found

    def _tag_problems(self) -> list[Problem]:
        found = list(tag_problems("tags", self.tags))
        if SUBNET_ROLE_TAG in self.tags:
            found.append(
                Problem(
                    rule="forbidden-tag",
                    key="tags",
                    value=SUBNET_ROLE_TAG,
                    reason="is set by the component.",
                    next_step="Use accept_new_pods to take it away.",
                )
            )
        own = [tag for tag in self.tags if tag.startswith(OWN_TAG_PREFIX)]
        given = {tag: text for tag, text in self.tags.items() if tag not in own}
        return [*found, *tag_count_problems("tags", given, own)]

    def subnet_tags(self, name: str, key: str) -> dict[str, str]:
        """The tags that one subnet is made with: the user's, `Name`, and the scope that the CNI looks for."""
        tags = {"Name": f"{name}-{key}", **self.tags}
        scope = cluster_tag(CniVersion.parse(self.cni_version), self.cluster) if self.scope_to_cluster else None
        if scope is not None:
            tags[scope[0]] = scope[1]
        return tags


def _block_problems(key: str, block: Block, within: Sequence[Block], placed: Mapping[str, Block]) -> list[Problem]:
    found: list[Problem] = []
    place = f"subnets.{key}"
    if not any(cidr.contains(block) for cidr in within):
        found.append(
            Problem(
                rule="pod-subnet-inside-vpc",
                key=place,
                value=str(block),
                reason=f"lies in none of {', '.join(map(str, within)) or 'the CIDRs given (none)'}.",
                next_step="Take a block inside one of them.",
                source="VPC user guide, subnet sizing",
            )
        )
    found.extend(
        Problem(
            rule="pod-subnet-overlap",
            key=place,
            value=str(block),
            reason=f"overlaps {other} of {other_key}.",
            next_step="Take a free block: `headroom calc free --within … --used …` lists them.",
        )
        for other_key, other in placed.items()
        if other.overlaps(block)
    )
    if block.prefix_length not in AWS_PREFIX_LENGTHS:
        found.append(
            Problem(
                rule="subnet-size",
                key=place,
                value=str(block),
                reason="is not a size that EC2 accepts.",
                next_step="Take /16 to /28.",
                source="VPC user guide, subnet sizing",
            )
        )
    return found


def _route_problems(key: str, subnet: PodSubnet, *, external_snat: bool) -> list[Problem]:
    place = f"subnets.{key}"
    if (subnet.route_table_id is None) == (subnet.routes is None):
        both = subnet.routes is not None
        return [
            Problem(
                rule="pod-subnet-route",
                key=place,
                value=subnet.cidr_block,
                reason="has both a route table and routes." if both else "has no route table.",
                next_step="Name a table (routeTableId; that of the zone's node subnet serves), or the routes of a new "
                "one; none at all (routes: {}) means the local route only.",
                source="amazon-vpc-cni-k8s #1359",
            )
        ]
    found = _destination_problems(place, [route.destination for route in subnet.routes or ()])
    found.extend(
        Problem(
            rule="route-target",
            key=place,
            value=route.target,
            reason=f"is not something that a route to {route.destination} can point at here.",
            next_step=f"Write one of {', '.join(ROUTE_TARGETS)}.",
        )
        for route in subnet.routes or ()
        if route.target not in ROUTE_TARGETS
    )
    if external_snat and subnet.routes is not None and not subnet.routes:
        found.append(
            Problem(
                rule="external-snat-route",
                key=place,
                value=subnet.cidr_block,
                reason="has only the local route, but with AWS_VPC_K8S_CNI_EXTERNALSNAT=true pods keep their own "
                "address when they leave the VPC.",
                next_step="Add a route for 0.0.0.0/0 to a NAT gateway, or name a table that has one.",
                source="EKS user guide, external-snat",
            )
        )
    return found


def _destination_problems(place: str, destinations: Sequence[str]) -> list[Problem]:
    found: list[Problem] = []
    blocks = read_blocks(destinations, key=f"{place}.routes", problems=found)
    found.extend(
        Problem(
            rule="route-twice",
            key=f"{place}.routes",
            value=str(block),
            reason="is the destination of more than one route.",
            next_step="Keep one.",
            source="EC2 API reference, CreateRoute",
        )
        for block in dict.fromkeys(blocks)
        if blocks.count(block) > 1
    )
    return found


def _with_all_tags(declared: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """Says `tagsAll` too, which the provider makes an input by itself (pulumi-aws, provider/tags.go, applyTags).

    The engine looks for what is to be ignored before it asks the provider, and would note in every preview that it
    cannot look into `tagsAll`.
    """
    return pulumi.ResourceTransformationResult({**declared.props, "tagsAll": declared.props["tags"]}, declared.opts)


class PodSubnets(pulumi.ComponentResource):
    """Subnets that the VPC CNI finds by tag, with their routes.

    Nothing here touches the CNI, and nothing restarts: from 1.18.3 on it describes the subnets each time it
    creates a network interface.

    The role tag comes last, when routes and network ACL are in place, so that no pod is ever invited into a subnet
    without them: it is a resource of its own. A subnet and a tag on it make the provider's plans disagree (pulumi-aws,
    ec2.Tag), unless the subnet leaves just that key alone. It does, by `LEFT_TO_THE_TAG`; then a refreshed plan keeps
    the tag, with nothing to change, and with other tags that do change (tried on the planner that the provider uses,
    pulumi/terraform-plugin-sdk 7f1981c8674a).

    A deletion is refused while network interfaces remain in a subnet, before anything is deleted: EC2 itself
    would refuse only the subnet, after its route-table association, and with it the pods' routes, was gone.
    """

    subnet_ids: Mapping[str, pulumi.Output[str]]
    """Subnet ids by key."""
    route_table_ids: Mapping[str, pulumi.Output[str]]
    """Route table ids by key."""

    def __init__(self, name: str, args: PodSubnetsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:PodSubnets", name, {}, opts)
        self._name, self._args = name, args
        self._guard = pulumi.ResourceHookBinding(
            before_delete=[pulumi.ResourceHook(f"{name}-in-use", self._refuse_while_used())]
        )
        subnet_ids: dict[str, pulumi.Output[str]] = {}
        route_table_ids: dict[str, pulumi.Output[str]] = {}
        made: list[pulumi.Resource] = []
        for key, subnet in args.subnets.items():
            resource = ec2.Subnet(
                f"{name}-{key}",
                vpc_id=self._vpc_id_for(subnet.cidr_block),
                availability_zone=subnet.zone,
                cidr_block=subnet.cidr_block,
                map_public_ip_on_launch=False,
                tags=args.subnet_tags(name, key),
                opts=self._child(
                    key,
                    "subnet",
                    hooks=self._guard,
                    # A closed subnet owns the key again: whoever sets it by hand sees it go.
                    ignore_changes=list(LEFT_TO_THE_TAG) if args.accept_new_pods else None,
                    transformations=[_with_all_tags],
                ),
            )
            route_table_id, routes = self._routes(key, subnet, resource.vpc_id)
            ways: list[pulumi.Resource] = [
                ec2.RouteTableAssociation(
                    f"{name}-{key}",
                    subnet_id=resource.id,
                    route_table_id=route_table_id,
                    # The routes come first and go last: pods never see a table without them.
                    opts=self._child(key, "route-table-association", hooks=self._guard, depends_on=routes),
                )
            ]
            if subnet.network_acl_id is not None:
                ways.append(
                    ec2.NetworkAclAssociation(
                        f"{name}-{key}",
                        subnet_id=resource.id,
                        network_acl_id=subnet.network_acl_id,
                        opts=self._child(key, "network-acl-association", hooks=self._guard),
                    )
                )
            made.extend([resource, *ways])
            if args.accept_new_pods:
                made.append(
                    ec2.Tag(
                        f"{name}-{key}",
                        resource_id=resource.id,
                        key=SUBNET_ROLE_TAG,
                        value=INVITATION,
                        opts=self._child(key, "role-tag", hooks=self._guard, depends_on=ways),
                    )
                )
            subnet_ids[key], route_table_ids[key] = resource.id, route_table_id
        made.extend(self._ingress_rules())
        made.extend(args.dependents(subnet_ids, self._guard))
        self.subnet_ids, self.route_table_ids = subnet_ids, route_table_ids
        # Everything hangs on this record, so a destroy comes to it first and asks about all subnets at once.
        pulumi.Stash(
            f"{name}-in-use",
            input={"subnetIds": subnet_ids, "acceptNewPods": args.accept_new_pods, "protect": args.protect},
            opts=pulumi.ResourceOptions(parent=self, hooks=self._guard, depends_on=made, protect=args.protect),
        )
        outputs: dict[str, Any] = {"subnetIds": subnet_ids, "routeTableIds": route_table_ids}
        self.register_outputs(outputs)

    def _child(self, key: str, kind: str, **options: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, import_=self._args.adopt.get(f"{kind}/{key}"), **options)

    def _vpc_id_for(self, cidr_block: str) -> pulumi.Input[str]:
        block = Block.parse(cidr_block)
        return next(id_ for cidr, id_ in self._args.vpc_ids.items() if Block.parse(cidr).contains(block))

    def _routes(
        self, key: str, subnet: PodSubnet, vpc_id: pulumi.Output[str]
    ) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
        if subnet.route_table_id is not None:
            return pulumi.Output.from_input(subnet.route_table_id), []
        table = ec2.RouteTable(
            f"{self._name}-{key}",
            vpc_id=vpc_id,
            tags={"Name": f"{self._name}-{key}", **self._args.tags, KEY_TAG: key},
            opts=self._child(key, "route-table"),
        )
        routes: list[pulumi.Resource] = []
        for route in subnet.routes or ():
            target: dict[str, Any] = {route.target: route.target_id}
            routes.append(
                ec2.Route(
                    f"{self._name}-{key}-{route.destination}",
                    route_table_id=table.id,
                    destination_cidr_block=route.destination,
                    **target,
                    opts=self._child(f"{key}/{route.destination}", "route"),
                )
            )
        return table.id, routes

    def _ingress_rules(self) -> list[pulumi.Resource]:
        return [
            vpc.SecurityGroupIngressRule(
                f"{self._name}-{rule_name}-{cidr}",
                security_group_id=rule.security_group_id,
                ip_protocol=rule.protocol,
                from_port=rule.from_port,
                to_port=rule.to_port,
                cidr_ipv4=cidr,
                description=rule.description,
                tags={"Name": f"{self._name}-{rule_name}", **self._args.tags},
                opts=self._child(f"{rule_name}/{cidr}", "ingress-rule"),
            )
            for rule_name, rule in self._args.ingress_rules.items()
            for cidr in self._args.vpc_ids
        ]

    def _refuse_while_used(self) -> Callable[[pulumi.ResourceHookArgs], Awaitable[None]]:
        # To take the invitation back is how a rollback begins; to lose it with its subnet is not.
        closed = set() if self._args.accept_new_pods else {f"{self._name}-{key}" for key in self._args.subnets}

        async def hook(deleted: pulumi.ResourceHookArgs) -> None:
            if deleted.type == TAG_TYPE and deleted.name in closed:
                return
            await refuse_while_used(deleted, self._args.pods_by_address, self)

        return hook
