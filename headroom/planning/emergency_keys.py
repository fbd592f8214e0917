"""What the stack file of an emergency stack may say: its keys, and what a value must look like.

The program (`stacks/emergency.py`), its components and `headroom check`, which reads the file without the program, all
ask here, so that they refuse the same.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem
from headroom.capacity.cni_version import CLUSTER_TAG_PREFIX, SUBNET_ROLE_TAG
from headroom.capacity.subnet_tags import TAGS_OF_OTHERS, matches_tag
from headroom.facts.names import CLUSTER_NAME_RULE, is_cluster_name

REQUIRED: Final[Mapping[str, str]] = {
    "vpcId": "vpc-0123456789abcdef0",
    "clusterName": "prod-use1",
    "cniVersion": "1.19.2",
    "vpcCidrBlocks": "10.68.0.0/16",
}
"""The keys that every emergency stack needs, each with an example."""
KEYS: Final = (
    "remedy",
    *REQUIRED,
    "secondaryCidrs",
    "podSubnets",
    "tags",
    "scopeToCluster",
    "externalSnat",
    "acceptNewPods",
    "protect",
    "routeDestinations",
    "peerCidrBlocks",
    "directConnectCidrBlocks",
    "serviceCidr",
    "cidrQuota",
    "allowFamilyMix",
    "ingressRules",
    "prefixReservations",
    "cniSettings",
    "customNetworking",
    "kubeContext",
)
"""Every key that an emergency stack reads, without the namespace; Pulumi.yaml declares those of other stacks too."""

SUBNET_FIELDS: Final = ("zone", "cidrBlock", "routeTableId", "routes", "networkAclId")
ROUTE_FIELDS: Final[Mapping[str, str]] = {
    "natGatewayId": "nat_gateway_id",
    "transitGatewayId": "transit_gateway_id",
    "gatewayId": "gateway_id",
    "networkInterfaceId": "network_interface_id",
    "vpcEndpointId": "vpc_endpoint_id",
    "vpcPeeringConnectionId": "vpc_peering_connection_id",
    "coreNetworkArn": "core_network_arn",
}
"""What a route may point at, and how pulumi-aws names it."""
RULE_FIELDS: Final = ("securityGroupId", "protocol", "fromPort", "toPort", "description")
RESERVATION_FIELDS: Final = ("cidrBlocks", "primaryAddresses")
CNI_FIELDS: Final = (
    "managedBy",
    "settings",
    "liveEnvironment",
    "liveConfiguration",
    "configurationSchema",
    "addonVersion",
    "serviceAccountRoleArn",
    "nitro",
    "networkPolicy",
    "force",
)
CUSTOM_FIELDS: Final = ("nodeZones", "securityGroupIds")

ID_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "vpcId": ("vpc-",),
    "routeTableId": ("rtb-",),
    "networkAclId": ("acl-",),
    "securityGroupId": ("sg-",),
    "securityGroupIds": ("sg-",),
    "natGatewayId": ("nat-",),
    "transitGatewayId": ("tgw-",),
    "gatewayId": ("igw-", "vgw-"),
    "networkInterfaceId": ("eni-",),
    "vpcEndpointId": ("vpce-",),
    "vpcPeeringConnectionId": ("pcx-",),
}
"""How an id begins, by the key that takes it (EC2 user guide, resource-ids; EC2 API reference, CreateRoute)."""
ID_DIGITS: Final = re.compile(r"[0-9a-f]{8,17}")
"""EC2 user guide, resource-ids: 17 hexadecimal digits, 8 for older resources."""

ZONE: Final = re.compile(r"([a-z]+(?:-[a-z]+)+-[0-9]+)(?:[a-z]|(?:-[a-z0-9]+)+-[0-9]+[a-z]?)")
"""EC2 user guide, using-regions-availability-zones: the Region, then a letter (`us-east-1a`), or the place of a Local
Zone (`us-west-2-lax-1a`) or of a Wavelength Zone (`us-east-1-wl1-bos-wlz-1`)."""

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

STACK_TAG: Final = f"{OWN_TAG_PREFIX}stack"
"""Tag of everything that a stack makes, its value "project/stack"."""
KEY_TAG: Final = f"{OWN_TAG_PREFIX}key"
"""The key of a subnet or its table in the stack file: a name that nobody has reason to change."""

TAGS_PER_RESOURCE: Final = 50
"""EC2 user guide, Using_Tags: tags a resource, our own included."""
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


def near(name: str, known: tuple[str, ...] | Mapping[str, object]) -> str:
    """What to do about a key that is not known: the nearest one, or all."""
    found = get_close_matches(name, known, n=1)
    return f"Did you mean {found[0]}?" if found else f"Write one of {', '.join(known)}."


def cluster_name_problem(place: str, name: str) -> Problem | None:
    """What is wrong with the name of a cluster; `place` is the key that has it."""
    if is_cluster_name(name):
        return None
    return Problem(
        rule="cluster-name",
        key=place,
        value=shown(name),
        reason="is no name that a cluster can have.",
        next_step=f"Write {CLUSTER_NAME_RULE}.",
        source="EKS API reference, CreateCluster",
    )


def id_problem(place: str, name: str, value: str) -> Problem | None:
    """What is wrong with `value`, found at `place`, as an id of the kind that the key `name` takes."""
    if name == "coreNetworkArn":
        fits = value.startswith("arn:")
        reason, step = "is no ARN.", "Write the core network's: arn:…."
    else:
        prefixes = ID_PREFIXES[name]
        fits = any(value.startswith(prefix) and ID_DIGITS.fullmatch(value.removeprefix(prefix)) for prefix in prefixes)
        reason = "is no id of that kind."
        step = f"Write {' or '.join(prefixes)} and its 17 (in old ids 8) hexadecimal digits, in lower case."
    if fits:
        return None
    return Problem(
        rule="resource-id",
        key=place,
        value=shown(value),
        reason=reason,
        next_step=step,
        source="EC2 user guide, resource-ids",
    )


def zone_problem(place: str, zone: str, region: str | None, *, is_key: bool) -> Problem | None:
    """What is wrong with `zone`, found at `place`: it is no availability zone, or one of another Region.

    Args:
        place: Where it stands.
        zone: The zone.
        region: The stack's; None where it is not known, and then every Region will do.
        is_key: Whether the subnet's key stands for a zone that was not written.
    """
    found = ZONE.fullmatch(zone)
    if found and region in (None, found[1]):
        return None
    if found:
        reason = f"lies in {found[1]}, and aws:region is {region}."
        step = f"Write a zone of {region}, or mend aws:region."
    elif is_key:
        reason = "is no availability zone, and the subnet names no other."
        step = f"Add `zone`, such as {region or 'us-east-1'}a."
    else:
        reason, step = "is no availability zone.", f"Write its name, such as {region or 'us-east-1'}a."
    return Problem(
        rule="availability-zone",
        key=place,
        value=shown(zone),
        reason=reason,
        next_step=step,
        source="EC2 user guide, using-regions-availability-zones",
    )


def ignored_subnet_problem(place: str, subnet: str) -> Problem:
    """What is wrong with a tagged pod subnet that no ENIConfig names, where custom networking is on."""
    return Problem(
        rule="custom-networking-ignores-tags",
        key=place,
        value=subnet,
        reason="would get no pods: AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true turns the search by tag off, and no "
        "ENIConfig names it.",
        next_step="Name it in the ENIConfig of its zone (`customNetworking` in a stack file of Headroom), or set that "
        "to false.",
        source="EKS user guide, cni-custom-network; amazon-vpc-cni-k8s #3058",
    )


def own_tag_problems(place: str, tags: Mapping[str, str]) -> Iterator[Problem]:
    """Tags that the stack itself sets."""
    for tag in tags:
        if tag.startswith(OWN_TAG_PREFIX):
            yield Problem(
                rule="forbidden-tag",
                key=place,
                value=shown(tag),
                reason=f"begins with {OWN_TAG_PREFIX}, as the tags do by which the stack knows what it made.",
                next_step="Take another name.",
            )


def tag_problems(place: str, tags: Mapping[str, str]) -> Iterator[Problem]:
    """Tags that a pod subnet must not carry, and those that EC2 refuses; the stack's own are none of them."""
    for tag in tags:
        for forbidden, reason in FORBIDDEN_TAGS.items():
            if _is_forbidden(tag, forbidden):
                yield Problem(
                    rule="forbidden-tag",
                    key=place,
                    value=tag,
                    reason=f"must not be on a pod subnet: it {reason}.",
                    next_step="Leave it out.",
                )
    for tag, text in tags.items():
        yield from _tag_length_problems(place, tag, text)


def tag_count_problems(place: str, tags: Mapping[str, str], own: Collection[str]) -> Iterator[Problem]:
    """More tags of the user's than fit beside those that a pod subnet and its tables need.

    Args:
        place: The key of the tags.
        tags: The user's, without our own.
        own: Our own that the stack adds to them.
    """
    # A `Name` of the user's takes the place of ours; the cluster's tag comes with a later version of the CNI.
    needed = len({"Name", SUBNET_ROLE_TAG, CLUSTER_TAG_PREFIX, KEY_TAG, *own} - tags.keys())
    if len(tags) > TAGS_PER_RESOURCE - needed:
        yield Problem(
            rule="too-many-tags",
            key=place,
            value=f"{len(tags)} tags",
            reason=f"do not fit: EC2 allows {TAGS_PER_RESOURCE} a resource, and {needed} are needed here.",
            next_step=f"Keep {TAGS_PER_RESOURCE - needed} at most.",
            source="EC2 user guide, Using_Tags",
        )


def _is_forbidden(tag: str, forbidden: str) -> bool:
    return matches_tag(tag.lower() if forbidden == RESERVED_TAG_PREFIX else tag, forbidden)


def _tag_length_problems(place: str, tag: str, text: str) -> Iterator[Problem]:
    source = "EC2 user guide, Using_Tags"
    if not 1 <= len(tag) <= TAG_KEY_CHARACTERS:
        yield Problem(
            rule="tag-length",
            key=place,
            value=shown(tag),
            reason=f"is a key of {len(tag)} characters, and EC2 takes 1 to {TAG_KEY_CHARACTERS}.",
            next_step="Shorten it." if tag else "Name the tag.",
            source=source,
        )
    if len(text) > TAG_VALUE_CHARACTERS:
        yield Problem(
            rule="tag-length",
            key=place,
            value=shown(tag),
            reason=f"has a value of {len(text)} characters, and EC2 takes at most {TAG_VALUE_CHARACTERS}.",
            next_step="Shorten the value.",
            source=source,
        )


def rule_problems(
    place: str, *, protocol: str, from_port: int | None, to_port: int | None, description: str
) -> list[Problem]:
    """What EC2 would refuse of a security group's rule, or store in another form than it was given."""
    # Which ports there may be depends on the protocol, so an unknown one is told alone.
    found = _protocol_problems(place, protocol) or _port_problems(place, protocol, from_port, to_port)
    refused = sorted(set(_NOT_IN_A_DESCRIPTION.findall(description)))
    length = len(description)
    reasons = [
        (length > RULE_DESCRIPTION_CHARACTERS, f"has {length} characters, more than EC2 takes."),
        (bool(refused), f"contains {listed(map(ascii, refused))}, which EC2 does not take."),
    ]
    found.extend(
        Problem(
            rule="ingress-rule-description",
            key=f"{place}.description",
            value=shown(description),
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


def _port_problems(place: str, protocol: str, from_port: int | None, to_port: int | None) -> list[Problem]:
    """What the EC2 API reference, IpPermission, says of the ports of each protocol."""
    ports, icmp = (from_port, to_port), protocol == "icmp"
    if protocol not in PROTOCOLS_WITH_PORTS:
        if ports == (None, None):
            return []
        whole = "all protocols, which have all ports"
        subject = whole if protocol == ALL_PROTOCOLS else f"protocol {protocol}, which is let in as a whole"
        reason = f"is for {subject}, but names {from_port} to {to_port}."
        step = "Leave the ports out, or name the protocol that they belong to."
    elif from_port is None or to_port is None:
        ports_lack = "a port range" if ports == (None, None) else "one end of its ports"
        reason = f"is for {protocol} and lacks {'its type, its code or both' if icmp else ports_lack}."
        step = "Give both ends, the same number twice for one port."
    elif icmp and not _is_type_and_code(from_port, to_port):
        reason = f"has the ICMP type {from_port} and code {to_port}, which do not exist."
        step = ""
    elif not icmp and not 0 <= from_port <= to_port <= LAST_PORT:
        reason = f"has the ports {from_port} to {to_port}, which are no range within 0 to {LAST_PORT}."
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
            value=f"protocol {protocol}",
            reason=reason,
            next_step=step,
            source="EC2 API reference, IpPermission",
        )
    ]


def _is_type_and_code(type_: int, code: int) -> bool:
    numbers = range(ANY_ICMP_NUMBER, LAST_ICMP_NUMBER + 1)
    return type_ in numbers and code in numbers and (type_ != ANY_ICMP_NUMBER or code == ANY_ICMP_NUMBER)
