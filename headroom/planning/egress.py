"""A stable way out for AKS clusters: what its stack file says, and when it may be attached to subnets that exist.

The addresses come first and the attachment later: a NAT gateway on a subnet takes over the moment it is attached,
before the load balancer's rules and whatever a cluster's outbound type says, so that every allow-list has to have the
new address before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.addresses.azure import NAT_GATEWAY_ADDRESSES
from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.emergency_keys import near

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
CLUSTER_FIELDS: Final = ("outboundType", "ownVnet")
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
class EgressAlarms:
    """Alarms of the gateways.

    Attributes:
        action_groups: ARM ids of whom they tell.
        failed_connections: Failed connections in five minutes above which one rings.
        availability_percent: Average availability of a quarter of an hour below which one rings.
    """

    action_groups: tuple[str, ...] = ()
    failed_connections: int = 0
    availability_percent: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """What the stack file of a stable way out says.

    Attributes:
        resource_group: Where gateways and addresses are made.
        gateways: By a key that never changes.
        attach: Whether the gateways are put on their subnets; not before the audit is clear.
        alarms: Whom to tell.
        tags: Tags for everything that is made.
        accept_unread: Resource types that the audit could not read and that somebody answers for.
    """

    resource_group: str
    gateways: Mapping[str, Gateway]
    attach: bool = False
    alarms: EgressAlarms = field(default_factory=EgressAlarms)
    tags: Mapping[str, str] = field(default_factory=dict)
    accept_unread: tuple[str, ...] = ()


def read_egress(config: Mapping[str, Any]) -> Egress:
    """Reads the `headroom:` keys of a stack file, without the namespace.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """
    problems: list[Problem] = []
    for key in config:
        if key not in KEYS:
            _wrong(problems, key, shown(str(config[key])), "is under a key that is not known here.", near(key, KEYS))
    found = config.get("resourceGroup")
    group = found if isinstance(found, str) and _GROUP.fullmatch(found) else ""
    if not group:
        _wrong(problems, "resourceGroup", _told(found), "is no name of a resource group.")
    gateways = {
        str(key): _gateway(problems, f"gateways.{key}", fields)
        for key, fields in _entries(problems, "gateways", config.get("gateways"))
    }
    _twice(problems, gateways)
    _clusters(problems, config.get("clusters", {}))
    attach = config.get("attach", False)
    if not isinstance(attach, bool):
        _wrong(problems, "attach", _told(attach), "is not true or false.")
    alarms = _alarms(problems, config.get("alarms", {}))
    tags = config.get("tags", {})
    if not isinstance(tags, Mapping) or not all(isinstance(value, str) for value in tags.values()):
        _wrong(problems, "tags", _told(tags), "is no mapping of texts.")
        tags = {}
    unread = config.get("acceptUnread", [])
    if not isinstance(unread, list | tuple) or not all(isinstance(each, str) for each in unread):
        _wrong(problems, "acceptUnread", _told(unread), "is no list of resource types.")
        unread = []
    if problems:
        raise ProblemsError(problems, subject=REMEDY)
    return Egress(
        resource_group=group,
        gateways=gateways,
        attach=bool(attach),
        alarms=alarms,
        tags={str(key): value for key, value in tags.items()},
        accept_unread=tuple(unread),
    )


def _wrong(  # noqa: PLR0913, PLR0917 - the fields of a problem
    problems: list[Problem], key: str, value: str, reason: str, next_step: str = "", source: str = ""
) -> None:
    problems.append(
        Problem(
            rule="configuration",
            key=f"headroom:{key}",
            value=value,
            reason=reason,
            next_step=next_step,
            source=source,
        )
    )


def _told(value: object) -> str:
    return "nothing" if value is None else shown(str(value))


def _entries(problems: list[Problem], key: str, value: object) -> Sequence[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, Mapping) or not value:
        _wrong(problems, key, _told(value), "names no NAT gateway.", "Write one, such as main: {name: nat-egress}.")
        return ()
    found = []
    for name, fields in value.items():
        if isinstance(fields, Mapping):
            found.append((str(name), fields))
        else:
            _wrong(problems, f"{key}.{name}", _told(fields), f"is no mapping of {listed(GATEWAY_FIELDS)}.")
    return found


def _gateway(problems: list[Problem], key: str, fields: Mapping[str, Any]) -> Gateway:
    for name in fields:
        if name not in GATEWAY_FIELDS:
            _wrong(problems, f"{key}.{name}", shown(str(name)), "is not known here.", near(str(name), GATEWAY_FIELDS))
    named = fields.get("name")
    if not isinstance(named, str) or not _NAME.fullmatch(named):
        _wrong(problems, f"{key}.name", _told(named), "is no name of Azure's.", "Write one, such as nat-aks-egress.")
        named = ""
    sku = fields.get("sku", "Standard")
    if sku != "Standard":
        _wrong(
            problems,
            f"{key}.sku",
            _told(sku),
            "cannot be made here: the network API of azure-native 3 (2024-05-01) has the sku Standard alone.",
            "Write a gateway a zone, with a subnet a zone; or make the gateway with `pulumi package add azure-native "
            "network 2025-01-01` in a program of your own.",
            "pulumi-azure-native 3.29, network.NatGatewaySkuName",
        )
    zones = fields.get("zones", [])
    if not isinstance(zones, list | tuple) or len(zones) > 1 or any(zone not in ("1", "2", "3") for zone in zones):
        _wrong(
            problems,
            f"{key}.zones",
            _told(zones),
            "is no single zone: a gateway of the sku Standard stands in one, or Azure picks one.",
            'Write ["1"], and a gateway for each zone that has nodes.',
            "Azure NAT Gateway documentation, nat-sku",
        )
        zones = []
    addresses, prefix = _addresses(problems, key, fields)
    return Gateway(
        name=named,
        zones=tuple(zones),
        idle_minutes=_number(
            problems, f"{key}.idleTimeoutInMinutes", fields.get("idleTimeoutInMinutes", 4), IDLE_MINUTES
        ),
        addresses=addresses,
        prefix_length=prefix,
        subnets=_subnets(problems, f"{key}.subnets", fields.get("subnets", {})),
    )


def _addresses(problems: list[Problem], key: str, fields: Mapping[str, Any]) -> tuple[int, int | None]:
    if "prefixLength" in fields and "addresses" in fields:
        _wrong(
            problems,
            f"{key}.addresses",
            _told(fields["addresses"]),
            "stands beside prefixLength.",
            "Write one of them.",
        )
    if "prefixLength" in fields:
        return 0, _number(problems, f"{key}.prefixLength", fields["prefixLength"], PREFIX_LENGTHS)
    most = range(1, NAT_GATEWAY_ADDRESSES + 1)
    return _number(problems, f"{key}.addresses", fields.get("addresses", 1), most), None


def _number(problems: list[Problem], key: str, value: object, allowed: range) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        _wrong(problems, key, _told(value), f"is no whole number from {allowed[0]} to {allowed[-1]}.", source=_NAT)
        return allowed[0]
    return value


def _subnets(problems: list[Problem], key: str, value: object) -> dict[str, SubnetId]:
    if not isinstance(value, Mapping):
        _wrong(problems, key, _told(value), "is no mapping of ARM ids of subnets.")
        return {}
    found = {}
    for name, text in value.items():
        subnet = SubnetId.parse(text) if isinstance(text, str) else None
        if subnet is None:
            _wrong(problems, f"{key}.{name}", _told(text), "is no ARM id of a subnet.")
        elif subnet.name.casefold() == GATEWAY_SUBNET.casefold():
            reason = "is the subnet of VPN and ExpressRoute gateways, which can have no NAT gateway."
            _wrong(problems, f"{key}.{name}", shown(subnet.name), reason, source=_NAT)
        else:
            found[str(name)] = subnet
    return found


def _twice(problems: list[Problem], gateways: Mapping[str, Gateway]) -> None:
    """A subnet has one NAT gateway, a NAT gateway one VNet, and names are taken once."""
    seen: dict[str, str] = {}
    names: dict[str, str] = {}
    for key, gateway in gateways.items():
        if gateway.name and names.setdefault(gateway.name.casefold(), key) != key:
            reason = f"is the name of {names[gateway.name.casefold()]} too."
            _wrong(problems, f"gateways.{key}.name", gateway.name, reason)
        vnets = {(subnet.resource_group.casefold(), subnet.vnet.casefold()) for subnet in gateway.subnets.values()}
        if len(vnets) > 1:
            _wrong(
                problems,
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
                _wrong(problems, place, shown(subnet.name), f"is that of {other} too, and a subnet has one gateway.")


def _clusters(problems: list[Problem], value: object) -> None:
    """Refuses clusters on which a NAT gateway does nothing or harm."""
    if not isinstance(value, Mapping):
        _wrong(problems, "clusters", _told(value), "is no mapping of clusters.")
        return
    for name, fields in value.items():
        if not isinstance(fields, Mapping) or any(key not in CLUSTER_FIELDS for key in fields):
            _wrong(problems, f"clusters.{name}", _told(fields), f"is no mapping of {listed(CLUSTER_FIELDS)}.")
            continue
        kind = fields.get("outboundType")
        if kind in NO_EFFECT:
            _wrong(
                problems,
                f"clusters.{name}.outboundType",
                str(kind),
                f"{NO_EFFECT[str(kind)]}.",
                "Leave this cluster's subnet out, or change its outbound type first where AKS allows it.",
                "AKS documentation, egress-outboundtype",
            )
        elif kind not in ("loadBalancer", "userAssignedNATGateway"):
            _wrong(problems, f"clusters.{name}.outboundType", _told(kind), "is no outbound type of AKS.")


def _alarms(problems: list[Problem], value: object) -> EgressAlarms:
    if not isinstance(value, Mapping):
        _wrong(problems, "alarms", _told(value), f"is no mapping of {listed(ALARM_FIELDS)}.")
        return EgressAlarms()
    for name in value:
        if name not in ALARM_FIELDS:
            _wrong(problems, f"alarms.{name}", shown(str(name)), "is not known here.", near(str(name), ALARM_FIELDS))
    groups = value.get("actionGroups", [])
    if not isinstance(groups, list | tuple) or not all(
        isinstance(each, str) and each.casefold().startswith("/subscriptions/") for each in groups
    ):
        _wrong(problems, "alarms.actionGroups", _told(groups), "is no list of ARM ids.")
        groups = []
    return EgressAlarms(
        action_groups=tuple(groups),
        failed_connections=_number(
            problems, "alarms.failedConnections", value.get("failedConnections", 0), range(1_000_000)
        ),
        availability_percent=_number(
            problems, "alarms.availabilityPercent", value.get("availabilityPercent", 90), range(1, 101)
        ),
    )
