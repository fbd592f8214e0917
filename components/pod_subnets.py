"""Subnets for pods that the VPC CNI finds by itself, one or more a zone."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import ec2, vpc

from components.subnet_guard import TAG_TYPE, PodsByAddress, refuse_while_used, unknown_pods
from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, listed, read_blocks, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import (
    CLUSTER_TAG_PREFIX,
    SUBNET_ROLE_TAG,
    CniVersion,
    check_cni_version,
    cluster_tag,
)
from headroom.capacity.subnet_tags import TAGS_OF_OTHERS, matches_tag

FORBIDDEN_TAGS: Mapping[str, str] = {
    **TAGS_OF_OTHERS,
    "kubernetes.io/cluster/": "makes load-balancer controllers consider the subnet, and only CNI 1.22.0 reads it",
    "cni.networking.k8s.aws/": "scopes the subnet to clusters, which scope_to_cluster is for",
    "aws:": "is reserved by AWS, in any letter case (EC2 user guide, Using_Tags)",
}
"""Tag keys, or prefixes that end in a separator, that a pod subnet must not carry, with the reason."""

RESERVED_TAG_PREFIX = "aws:"
"""EC2 user guide, Using_Tags: the one prefix that is refused in any letter case."""
OWN_TAG_PREFIX = "headroom:"
"""Prefix of the tags that component and stack set by themselves: they are not counted as the user's."""

TAGS_PER_RESOURCE = 50
"""EC2 user guide, Using_Tags: tags a resource, those of the component included."""
TAG_KEY_CHARACTERS = 128
"""EC2 user guide, Using_Tags: longest key of a tag; the shortest has one character."""
TAG_VALUE_CHARACTERS = 256
"""EC2 user guide, Using_Tags: longest value of a tag; it may be empty."""

ALL_PROTOCOLS = "-1"
"""EC2 API reference, IpPermission: every protocol, with all its ports."""
PROTOCOLS_WITH_PORTS = ("tcp", "udp", "icmp")
"""EC2 API reference, IpPermission: protocols that need a port range (for ICMP: type and code)."""
OTHER_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "all": ALL_PROTOCOLS, "any": ALL_PROTOCOLS}
"""What to write for what else a protocol is called: EC2 stores TCP, UDP and ICMP by name (EC2 API reference,
IpPermission), and a rule that was given by number would look changed."""
IPV6_PROTOCOLS = ("icmpv6", "58")
"""EC2 API reference, IpPermission; IANA protocol numbers: ICMP for IPv6, which a rule for an IPv4 CIDR never sees."""
LAST_PROTOCOL = 255
"""IANA protocol numbers: they have eight bits."""
LAST_PORT = 65535
"""RFC 9293, RFC 768: ports have 16 bits."""
LAST_ICMP_NUMBER = 255
"""RFC 792: types and codes have eight bits."""
ANY_ICMP_NUMBER = -1
"""EC2 API reference, IpPermission: all types, or all codes; all types go with all codes only."""
RULE_DESCRIPTION_CHARACTERS = 255
"""EC2 API reference, IpRange: longest description of a rule."""

_PROTOCOL_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")
_NOT_IN_A_DESCRIPTION = re.compile(r"[^a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]")
"""EC2 API reference, IpRange: what a description may not contain."""

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

KEY_TAG = "headroom:key"
"""The key of a subnet or its table in the stack file: a name that nobody has reason to change."""


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
            for problem in _rule_problems(f"ingress_rules.{name}", rule)
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
        found = [
            Problem(
                rule="forbidden-tag",
                key="tags",
                value=tag,
                reason=f"must not be on a pod subnet: it {reason}.",
                next_step="Leave it out.",
            )
            for tag in self.tags
            for forbidden, reason in FORBIDDEN_TAGS.items()
            if _is_forbidden(tag, forbidden)
        ]
        found.extend(problem for tag, text in self.tags.items() for problem in _tag_length_problems(tag, text))
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
        count = len(self.tags) - len(own)
        # A `Name` of the user's takes the place of ours; the cluster's tag comes with a later version of the CNI.
        needed = len({"Name", SUBNET_ROLE_TAG, CLUSTER_TAG_PREFIX, KEY_TAG, *own} - (self.tags.keys() - set(own)))
        if count > TAGS_PER_RESOURCE - needed:
            found.append(
                Problem(
                    rule="too-many-tags",
                    key="tags",
                    value=f"{count} tags",
                    reason=f"do not fit: EC2 allows {TAGS_PER_RESOURCE} a resource, and {needed} are needed here.",
                    next_step=f"Keep {TAGS_PER_RESOURCE - needed} at most.",
                    source="EC2 user guide, Using_Tags",
                )
            )
        return found

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


def _is_forbidden(tag: str, forbidden: str) -> bool:
    return matches_tag(tag.lower() if forbidden == RESERVED_TAG_PREFIX else tag, forbidden)


def _tag_length_problems(tag: str, text: str) -> Iterator[Problem]:
    source = "EC2 user guide, Using_Tags"
    if not 1 <= len(tag) <= TAG_KEY_CHARACTERS:
        yield Problem(
            rule="tag-length",
            key="tags",
            value=shown(tag),
            reason=f"is a key of {len(tag)} characters, and EC2 takes 1 to {TAG_KEY_CHARACTERS}.",
            next_step="Shorten it." if tag else "Name the tag.",
            source=source,
        )
    if len(text) > TAG_VALUE_CHARACTERS:
        yield Problem(
            rule="tag-length",
            key="tags",
            value=shown(tag),
            reason=f"has a value of {len(text)} characters, and EC2 takes at most {TAG_VALUE_CHARACTERS}.",
            next_step="Shorten the value.",
            source=source,
        )


def _rule_problems(place: str, rule: IngressRule) -> list[Problem]:
    """What EC2 would refuse, or store in another form than it was given."""
    # Which ports there may be depends on the protocol, so an unknown one is told alone.
    found = _protocol_problems(place, rule.protocol) or _port_problems(place, rule)
    refused = sorted(set(_NOT_IN_A_DESCRIPTION.findall(rule.description)))
    length = len(rule.description)
    reasons = [
        (length > RULE_DESCRIPTION_CHARACTERS, f"has {length} characters, more than EC2 takes."),
        (bool(refused), f"contains {listed(map(ascii, refused))}, which EC2 does not take."),
    ]
    found.extend(
        Problem(
            rule="ingress-rule-description",
            key=f"{place}.description",
            value=shown(rule.description),
            reason=reason,
            next_step=f"Write at most {RULE_DESCRIPTION_CHARACTERS} of a-z, A-Z, 0-9, blanks and "
            "._-:/()#,@[]+=&;{}!$*.",
            source="EC2 API reference, IpRange",
        )
        for broken, reason in reasons
        if broken
    )
    return found


def _protocol_problems(place: str, protocol: str) -> list[Problem]:
    name = protocol.strip().lower()
    canonical = OTHER_NAMES.get(name, name)
    known = canonical in (*PROTOCOLS_WITH_PORTS, ALL_PROTOCOLS)
    if name in IPV6_PROTOCOLS:
        reason, step = "is ICMP for IPv6, and the rule is for IPv4 CIDRs.", "Write icmp."
    elif known and protocol != canonical:
        reason, step = "is not the form in which EC2 stores that protocol.", f"Write {canonical}."
    elif known or (_PROTOCOL_NUMBER.fullmatch(protocol) and int(protocol) <= LAST_PROTOCOL):
        return []
    else:
        reason = "is no protocol that EC2 knows."
        step = f"Write tcp, udp, icmp, {ALL_PROTOCOLS} for all, or an IANA number from 0 to {LAST_PROTOCOL}."
    return [
        Problem(
            rule="ingress-rule-protocol",
            key=f"{place}.protocol",
            value=shown(protocol),
            reason=reason,
            next_step=step,
            source="EC2 API reference, IpPermission",
        )
    ]


def _port_problems(place: str, rule: IngressRule) -> list[Problem]:
    """What the EC2 API reference, IpPermission, says of the ports of each protocol."""
    ports, icmp = (rule.from_port, rule.to_port), rule.protocol == "icmp"
    if rule.protocol not in PROTOCOLS_WITH_PORTS:
        if ports == (None, None):
            return []
        whole = "all protocols, which have all ports"
        subject = whole if rule.protocol == ALL_PROTOCOLS else f"protocol {rule.protocol}, which is let in as a whole"
        reason = f"is for {subject}, but names {rule.from_port} to {rule.to_port}."
        step = "Leave the ports out, or name the protocol that they belong to."
    elif rule.from_port is None or rule.to_port is None:
        ports_lack = "a port range" if ports == (None, None) else "one end of its ports"
        reason = f"is for {rule.protocol} and lacks {'its type, its code or both' if icmp else ports_lack}."
        step = "Give both ends, the same number twice for one port."
    elif icmp and not _is_type_and_code(rule.from_port, rule.to_port):
        reason = f"has the ICMP type {rule.from_port} and code {rule.to_port}, which do not exist."
        step = ""
    elif not icmp and not 0 <= rule.from_port <= rule.to_port <= LAST_PORT:
        reason = f"has the ports {rule.from_port} to {rule.to_port}, which are no range within 0 to {LAST_PORT}."
        step = "Write the lower port first."
    else:
        return []
    if icmp:
        step = (
            f"Give the type as the first port and the code as the last, 0 to {LAST_ICMP_NUMBER} each; -1 stands for "
            "all codes, and twice for all types."
        )
    return [
        Problem(
            rule="ingress-rule-ports",
            key=place,
            value=f"protocol {rule.protocol}",
            reason=reason,
            next_step=step,
            source="EC2 API reference, IpPermission",
        )
    ]


def _is_type_and_code(type_: int, code: int) -> bool:
    numbers = range(ANY_ICMP_NUMBER, LAST_ICMP_NUMBER + 1)
    return type_ in numbers and code in numbers and (type_ != ANY_ICMP_NUMBER or code == ANY_ICMP_NUMBER)


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
