"""A stable way out for AKS clusters: what its stack file says, and when it may be attached to subnets that exist.

The addresses come first and the attachment later: a NAT gateway on a subnet takes over the moment it is attached,
before the load balancer's rules and whatever a cluster's outbound type says, so that every allow-list has to have the
new address before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.addresses.azure import NAT_GATEWAY_ADDRESSES, PAST_NAT
from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.thresholds import LEAST_DATAPATH_PERCENT
from headroom.planning.emergency_keys import near
from headroom.planning.keys import KeyReader, told

REMEDY: Final = "aks-egress"
KEYS: Final = ("remedy", "resourceGroup", "gateways", "clusters", "attach", "alarms", "tags", "acceptUnread")
GATEWAY_FIELDS: Final = (
    "name",
    "sku",
    "zones",
    "idleTimeoutInMinutes",
    "addresses",
    "prefixLength",
    "subnets",
)
CLUSTER_FIELDS: Final = ("outboundType", "resourceGroup")
ALARM_FIELDS: Final = ("actionGroups", "failedConnections", "availabilityPercent")

PREFIX_LENGTHS: Final = range(28, 32)
"""Lengths of a public IPv4 prefix: /28 to /31 (Azure public IP prefix documentation)."""
IDLE_MINUTES: Final = range(4, 121)
"""Minutes after which an idle TCP flow is dropped; longer than the default of 4 holds ports longer (Azure NAT Gateway
documentation, nat-gateway-resource)."""
SUBNET_ID: Final = re.compile(
    r"/subscriptions/(?P<subscription>[0-9a-fA-F-]{36})/resourceGroups/(?P<group>[^/]{1,90})"
    r"/providers/Microsoft\.Network/virtualNetworks/(?P<vnet>[^/]{1,64})/subnets/(?P<subnet>[^/]{1,80})",
    re.IGNORECASE,
)
GATEWAY_SUBNET: Final = "GatewaySubnet"
"""Where VPN and ExpressRoute gateways live: no NAT gateway may (Azure NAT Gateway documentation)."""

NO_EFFECT: Final[Mapping[str, str]] = {
    "userDefinedRouting": "routes everything to an appliance, and a route wins over a NAT gateway: the address would "
    "stay the appliance's",
    "managedNATGateway": "has a NAT gateway that AKS manages, which is not for a VNet of one's own",
    "managedNATGatewayV2": "has a NAT gateway that AKS manages, which is not for a VNet of one's own",
    "block": "may reach nothing, and never moves away from that",
    "none": "has no way out by intent, and would get one",
}
"""Outbound types of clusters on a subnet on which a NAT gateway does nothing, or harm (AKS documentation,
egress-outboundtype; Azure NAT Gateway documentation, nat-overview)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,78}[A-Za-z0-9_]|[A-Za-z0-9]")
"""Names of network resources have up to 80 characters (Azure naming rules)."""
_TYPE: Final = re.compile(r"[A-Za-z0-9./_ -]{1,120}")
_GROUP: Final = re.compile(r"[A-Za-z0-9_.()-]{1,89}[A-Za-z0-9_()-]|[A-Za-z0-9_()-]")
_NAT: Final = "Azure NAT Gateway documentation, nat-gateway-resource"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetId:
    """A subnet that exists and belongs to others, by its ARM id.

    Attributes:
        id: The id as it was written.
        resource_group: Of its VNet.
        vnet: Its VNet.
        name: Its name.
    """

    id: str
    resource_group: str
    vnet: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "SubnetId | None":
        """Reads an ARM id; None where it is none of a subnet."""
        found = SUBNET_ID.fullmatch(text)
        if found is None:
            return None
        return cls(id=text, resource_group=found["group"], vnet=found["vnet"], name=found["subnet"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A NAT gateway.

    Attributes:
        name: Its name in Azure, which never changes.
        zones: Its zone, or none: Azure picks one then. Neither can be changed later.
        idle_minutes: After how many minutes an idle TCP flow is dropped.
        addresses: How many static public addresses it has of its own.
        prefix_length: Length of a public prefix instead; None for addresses.
        subnets: The subnets that it serves, by a key that never changes.
    """

    name: str
    zones: tuple[str, ...] = ()
    idle_minutes: int = 4
    addresses: int = 1
    prefix_length: int | None = None
    subnets: Mapping[str, SubnetId] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressCluster:
    """A cluster whose way out the gateways become.

    Attributes:
        name: Its name.
        resource_group: Its resource group.
        outbound_type: How it gets out, as the stack file says.
    """

    name: str
    resource_group: str
    outbound_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressAlarms:
    """Alarms of the gateways.

    Attributes:
        action_groups: ARM ids of whom they tell.
        failed_connections: Failed connections in five minutes above which one rings.
        availability_percent: Average availability of a quarter of an hour below which one rings.
    """

    action_groups: tuple[str, ...] = ()
    failed_connections: int = 0
    availability_percent: int = LEAST_DATAPATH_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """What the stack file of a stable way out says.

    Attributes:
        resource_group: Where gateways and addresses are made.
        gateways: By a key that never changes.
        clusters: Whose way out they become.
        attach: Whether the gateways are put on their subnets; not before the audit is clear.
        alarms: Whom to tell.
        tags: Tags for everything that is made.
        accept_unread: Resource types that the audit could not read and that somebody answers for.
    """

    resource_group: str
    gateways: Mapping[str, Gateway]
    clusters: tuple[EgressCluster, ...] = ()
    attach: bool = False
    alarms: EgressAlarms = field(default_factory=EgressAlarms)
    tags: Mapping[str, str] = field(default_factory=dict)
    accept_unread: tuple[str, ...] = ()


def read_egress(config: Mapping[str, Any]) -> Egress:
    """Reads the `headroom:` keys of a stack file, without the namespace.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """
    reader = KeyReader()
    reader.known(config, KEYS)
    group = reader.text("resourceGroup", config.get("resourceGroup"), _GROUP, "a resource group")
    gateways = {
        str(key): _gateway(reader, f"gateways.{key}", fields)
        for key, fields in _entries(reader, "gateways", config.get("gateways"))
    }
    _twice(reader, gateways)
    clusters = _clusters(reader, config.get("clusters", {}), group)
    attach = reader.flag("attach", config.get("attach", False))
    if attach and not config.get("clusters") and any(gateway.subnets for gateway in gateways.values()):
        reader.wrong(
            "clusters",
            "nothing",
            "is named, and nobody would know whether the audit was of those whose way out is about to move.",
            "Write each cluster on those subnets, such as aks-prod: {outboundType: loadBalancer}.",
        )
    alarms = _alarms(reader, config.get("alarms", {}))
    tags = reader.tags("tags", config.get("tags", {}))
    unread = reader.texts("acceptUnread", config.get("acceptUnread", []), _TYPE, "resource types")
    if reader.problems:
        raise ProblemsError(reader.problems, subject=REMEDY)
    return Egress(
        resource_group=group,
        gateways=gateways,
        clusters=clusters,
        attach=attach,
        alarms=alarms,
        tags=tags,
        accept_unread=unread,
    )


def _entries(reader: KeyReader, key: str, value: object) -> Sequence[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, Mapping) or not value:
        reader.wrong(key, told(value), "names no NAT gateway.", "Write one, such as main: {name: nat-egress}.")
        return ()
    found = []
    for name, fields in value.items():
        if isinstance(fields, Mapping):
            found.append((str(name), fields))
        else:
            reader.wrong(f"{key}.{name}", told(fields), f"is no mapping of {listed(GATEWAY_FIELDS)}.")
    return found


def _gateway(reader: KeyReader, key: str, fields: Mapping[str, Any]) -> Gateway:
    for name in fields:
        if name not in GATEWAY_FIELDS:
            reader.wrong(f"{key}.{name}", shown(str(name)), "is not known here.", near(str(name), GATEWAY_FIELDS))
    named = fields.get("name")
    if not isinstance(named, str) or not _NAME.fullmatch(named):
        reader.wrong(f"{key}.name", told(named), "is no name of Azure's.", "Write one, such as nat-aks-egress.")
        named = ""
    sku = fields.get("sku", "Standard")
    if sku != "Standard":
        reader.wrong(
            f"{key}.sku",
            told(sku),
            "cannot be made here: the network API of azure-native 3 (2024-05-01) has the sku Standard alone.",
            "Write a gateway a zone, with a subnet a zone; or make the gateway with `pulumi package add azure-native "
            "network 2025-01-01` in a program of your own.",
            "pulumi-azure-native 3.29, network.NatGatewaySkuName",
        )
    zones = fields.get("zones", [])
    if not isinstance(zones, list | tuple) or len(zones) > 1 or any(zone not in ("1", "2", "3") for zone in zones):
        reader.wrong(
            f"{key}.zones",
            told(zones),
            "is no single zone: a gateway of the sku Standard stands in one, or Azure picks one.",
            'Write ["1"], and a gateway for each zone that has nodes.',
            "Azure NAT Gateway documentation, nat-sku",
        )
        zones = []
    addresses, prefix = _addresses(reader, key, fields)
    return Gateway(
        name=named,
        zones=tuple(zones),
        idle_minutes=_number(
            reader, f"{key}.idleTimeoutInMinutes", fields.get("idleTimeoutInMinutes", 4), IDLE_MINUTES
        ),
        addresses=addresses,
        prefix_length=prefix,
        subnets=_subnets(reader, f"{key}.subnets", fields.get("subnets", {})),
    )


def _addresses(reader: KeyReader, key: str, fields: Mapping[str, Any]) -> tuple[int, int | None]:
    if "prefixLength" in fields and "addresses" in fields:
        reader.wrong(
            f"{key}.addresses",
            told(fields["addresses"]),
            "stands beside prefixLength.",
            "Write one of them.",
        )
    if "prefixLength" in fields:
        return 0, _number(reader, f"{key}.prefixLength", fields["prefixLength"], PREFIX_LENGTHS)
    most = range(1, NAT_GATEWAY_ADDRESSES + 1)
    return _number(reader, f"{key}.addresses", fields.get("addresses", 1), most), None


def _number(reader: KeyReader, key: str, value: object, allowed: range) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        reader.wrong(key, told(value), f"is no whole number from {allowed[0]} to {allowed[-1]}.", source=_NAT)
        return allowed[0]
    return value


def _subnets(reader: KeyReader, key: str, value: object) -> dict[str, SubnetId]:
    if not isinstance(value, Mapping):
        reader.wrong(key, told(value), "is no mapping of ARM ids of subnets.")
        return {}
    found = {}
    for name, text in value.items():
        subnet = SubnetId.parse(text) if isinstance(text, str) else None
        if subnet is None:
            reader.wrong(f"{key}.{name}", told(text), "is no ARM id of a subnet.")
        elif subnet.name.casefold() == GATEWAY_SUBNET.casefold():
            reason = "is the subnet of VPN and ExpressRoute gateways, which can have no NAT gateway."
            reader.wrong(f"{key}.{name}", shown(subnet.name), reason, source=_NAT)
        else:
            found[str(name)] = subnet
    return found


def _twice(reader: KeyReader, gateways: Mapping[str, Gateway]) -> None:
    """A subnet has one NAT gateway, a NAT gateway one VNet, and names are taken once."""
    seen: dict[str, str] = {}
    names: dict[str, str] = {}
    for key, gateway in gateways.items():
        if gateway.name and names.setdefault(gateway.name.casefold(), key) != key:
            reason = f"is the name of {names[gateway.name.casefold()]} too."
            reader.wrong(f"gateways.{key}.name", gateway.name, reason)
        vnets = {(subnet.resource_group.casefold(), subnet.vnet.casefold()) for subnet in gateway.subnets.values()}
        if len(vnets) > 1:
            reader.wrong(
                f"gateways.{key}.subnets",
                listed(sorted(name for _, name in vnets)),
                "are several VNets, and a NAT gateway serves one.",
                "Write a gateway for each.",
                _NAT,
            )
        for name, subnet in gateway.subnets.items():
            place = f"gateways.{key}.subnets.{name}"
            other = seen.setdefault(subnet.id.casefold(), place)
            if other != place:
                reader.wrong(place, shown(subnet.name), f"is that of {other} too, and a subnet has one gateway.")


def _clusters(reader: KeyReader, value: object, group: str) -> tuple[EgressCluster, ...]:
    """Refuses clusters on which a NAT gateway does nothing or harm."""
    if not isinstance(value, Mapping):
        reader.wrong("clusters", told(value), "is no mapping of clusters.")
        return ()
    found = []
    for name, fields in value.items():
        if not isinstance(fields, Mapping) or any(key not in CLUSTER_FIELDS for key in fields):
            reader.wrong(f"clusters.{name}", told(fields), f"is no mapping of {listed(CLUSTER_FIELDS)}.")
            continue
        kind = fields.get("outboundType")
        if kind in NO_EFFECT:
            reader.wrong(
                f"clusters.{name}.outboundType",
                str(kind),
                f"{NO_EFFECT[str(kind)]}.",
                "Leave this cluster's subnet out, or change its outbound type first where AKS allows it.",
                "AKS documentation, egress-outboundtype",
            )
        elif kind not in ("loadBalancer", "userAssignedNATGateway"):
            reader.wrong(f"clusters.{name}.outboundType", told(kind), "is no outbound type of AKS.")
        place = f"clusters.{name}.resourceGroup"
        of = (
            reader.text(place, fields["resourceGroup"], _GROUP, "a resource group")
            if "resourceGroup" in fields
            else group
        )
        found.append(EgressCluster(name=str(name), resource_group=of, outbound_type=str(kind)))
    return tuple(found)


def outbound_ids(found: Mapping[str, Any]) -> tuple[str, ...]:
    """ARM ids of the addresses, or prefixes, that a cluster goes out with by itself, out of what ARM answers."""
    profile = found.get("networkProfile") or {}
    return tuple(
        str(each["id"])
        for name in ("loadBalancerProfile", "natGatewayProfile")
        for each in (profile.get(name) or {}).get("effectiveOutboundIPs") or ()
    )


def route_problem(subnet: str, table: Mapping[str, Any]) -> Problem | None:
    """Why a NAT gateway on a subnet would do nothing, by its route table as ARM answers it; None: it would."""
    for route in table.get("routes") or ():
        hop = str(route.get("nextHopType") or "")
        if route.get("addressPrefix") == "0.0.0.0/0" and hop in PAST_NAT:
            return Problem(
                rule="routes-first",
                key="headroom:gateways",
                value=subnet,
                reason=f"has the route table {table.get('name')}, which sends 0.0.0.0/0 to a {hop}, and routes come "
                "before a NAT gateway: nobody would see the new address.",
                next_step="Leave this subnet out, or take the route away first; where it is to stay, what it leads to "
                "has the address that others see.",
                source="Azure NAT Gateway documentation, nat-overview",
            )
    return None


def cluster_problems(
    cluster: EgressCluster, found: Mapping[str, Any] | None, strangers: Sequence[str], audited: Sequence[str]
) -> list[Problem]:
    """Why the audit is not one of this cluster.

    Args:
        cluster: As the stack file says it.
        found: What ARM answers; None: it is not there.
        strangers: Addresses with which it goes out now, and that the audit did not look for.
        audited: Addresses that the audit looked for.
    """
    key = f"headroom:clusters.{cluster.name}"
    if found is None:
        return [
            Problem(
                rule="audit-of-cluster",
                key=key,
                value=cluster.name,
                reason=f"is not in {cluster.resource_group}, and nobody knows which address it goes out with.",
                next_step=f"Look at its name, or write {key}.resourceGroup.",
            )
        ]
    profile = found.get("networkProfile") or {}
    if str(profile.get("loadBalancerSku") or "").casefold() == "basic":
        return [
            Problem(
                rule="basic-load-balancer",
                key=key,
                value=cluster.name,
                reason="has a load balancer of the sku Basic, and Azure refuses a NAT gateway on the subnet of one.",
                next_step="Upgrade its load balancer to Standard first, and audit again.",
                source=f"{_NAT}: SubnetWithNatGatewayAndBasicSkuResourceNotAllowed",
            )
        ]
    kind = str(profile.get("outboundType") or "")
    if kind != cluster.outbound_type:
        return [
            Problem(
                rule="audit-of-cluster",
                key=f"{key}.outboundType",
                value=cluster.outbound_type,
                reason=f"is not how {cluster.name} gets out, which is {kind or 'unknown'}.",
                next_step=f"Write {kind}." if kind else "",
            )
        ]
    if not strangers:
        return []
    return [
        Problem(
            rule="audit-of-cluster",
            key=key,
            value=listed(sorted(strangers)),
            reason=f"is what {cluster.name} goes out with now, and the audit looked for {listed(audited)}: whoever "
            "lets it in would be cut off.",
            next_step=f"Run `headroom audit-egress --cluster {cluster.name} --resource-group {cluster.resource_group} "
            "… --record` again, and commit it.",
        )
    ]


def _alarms(reader: KeyReader, value: object) -> EgressAlarms:
    if not isinstance(value, Mapping):
        reader.wrong("alarms", told(value), f"is no mapping of {listed(ALARM_FIELDS)}.")
        return EgressAlarms()
    for name in value:
        if name not in ALARM_FIELDS:
            reader.wrong(f"alarms.{name}", shown(str(name)), "is not known here.", near(str(name), ALARM_FIELDS))
    groups = value.get("actionGroups", [])
    if not isinstance(groups, list | tuple) or not all(
        isinstance(each, str) and each.casefold().startswith("/subscriptions/") for each in groups
    ):
        reader.wrong("alarms.actionGroups", told(groups), "is no list of ARM ids.")
        groups = []
    return EgressAlarms(
        action_groups=tuple(groups),
        failed_connections=_number(
            reader, "alarms.failedConnections", value.get("failedConnections", 0), range(1_000_000)
        ),
        availability_percent=_number(
            reader,
            "alarms.availabilityPercent",
            value.get("availabilityPercent", LEAST_DATAPATH_PERCENT),
            range(1, 101),
        ),
    )
