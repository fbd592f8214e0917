"""One view of a stack's resources, the same whichever door they came through.

The engine's requests, `pulumi preview --json`, a state export, a program that runs in process and a stack file all
become `Resource`: properties under the provider's names, a value that only `up` will show is `UNKNOWN`, one that is
not set is absent.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from typing import Any, Final

SUBNET: Final = "aws:ec2/subnet:Subnet"
TAG: Final = "aws:ec2/tag:Tag"
VPC: Final = "aws:ec2/vpc:Vpc"
CIDR_ASSOCIATION: Final = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
ROUTE_TABLE: Final = "aws:ec2/routeTable:RouteTable"
ROUTE: Final = "aws:ec2/route:Route"
ROUTE_TABLE_ASSOCIATION: Final = "aws:ec2/routeTableAssociation:RouteTableAssociation"
RESERVATION: Final = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"
LAUNCH_TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
AUTO_SCALING_GROUP: Final = "aws:autoscaling/group:Group"
ADDON: Final = "aws:eks/addon:Addon"
NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
METRIC_ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
LOG_METRIC_FILTER: Final = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
FUNCTION: Final = "aws:lambda/function:Function"
DAEMON_SET: Final = "kubernetes:apps/v1:DaemonSet"
DAEMON_SET_PATCH: Final = "kubernetes:apps/v1:DaemonSetPatch"
HELM_RELEASE: Final = "kubernetes:helm.sh/v3:Release"
ENI_CONFIG: Final = "kubernetes:crd.k8s.amazonaws.com/v1alpha1:ENIConfig"
KARPENTER_NODE_CLASS: Final = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
AUTO_MODE_NODE_CLASS: Final = "kubernetes:eks.amazonaws.com/v1:NodeClass"

# Of Azure, without the version of the API that a token may name: see `canonical_type`.
AKS_CLUSTER: Final = "azure-native:containerservice:ManagedCluster"
AKS_AGENT_POOL: Final = "azure-native:containerservice:AgentPool"
VNET: Final = "azure-native:network:VirtualNetwork"
VNET_SUBNET: Final = "azure-native:network:Subnet"
VNET_PEERING: Final = "azure-native:network:VirtualNetworkPeering"
NAT_GATEWAY: Final = "azure-native:network:NatGateway"
PUBLIC_IP_ADDRESS: Final = "azure-native:network:PublicIPAddress"
PUBLIC_IP_PREFIX: Final = "azure-native:network:PublicIPPrefix"
VNET_ROUTE_TABLE: Final = "azure-native:network:RouteTable"
VNET_ROUTE: Final = "azure-native:network:Route"
FRONT_DOOR_ORIGIN_GROUP: Final = "azure-native:cdn:AFDOriginGroup"
FRONT_DOOR_ORIGIN: Final = "azure-native:cdn:AFDOrigin"

STASH: Final = "pulumi:index:Stash"

POD_SUBNETS_COMPONENT: Final = "headroom:index:PodSubnets"
"""The component that refuses, in a delete hook, to delete a subnet that is in use.

Its record (a Stash) says whether its subnets accept new pods.
"""
SECONDARY_CIDR_COMPONENT: Final = "headroom:index:SecondaryCidr"
"""The component that associates CIDRs for pod subnets."""
RETIRED_CLUSTER_COMPONENT: Final = "headroom:index:RetiredCluster"
"""The component that ends an old cluster, and takes AKS's route table off its subnet before that."""

UNKNOWN_VALUES: Final = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
"""What the engine sends for a value that is not known yet (pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go)."""

SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a mark of the wire format, not a secret
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE_SIGNATURE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
"""Marks of special values on the wire (pulumi/pulumi, sdk/go/common/resource/sig)."""


_AZURE: Final = "azure-native"
_AZURE_TOKEN: Final = re.compile(r"azure-native(?:_[^:]+)?:([^:/]+)(?:/[^:]+)?:([^:]+)")


@lru_cache(maxsize=4096)
def canonical_type(token: str) -> str:
    """A type token without the API version that azure-native puts into some of them.

    `azure-native:network/v20250101:Subnet` names it in the module (version 2 of the provider), and
    `azure-native_network_v20250101:network:Subnet` in the package: what `pulumi package add azure-native network
    2025-01-01` makes (pulumi-azure-native, provider_parameterize.go).
    """
    found = _AZURE_TOKEN.fullmatch(token) if token.startswith(_AZURE) else None
    return f"{_AZURE}:{found[1]}:{found[2]}" if found else token


class Unknown(Enum):
    """A value that only `up` will show."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a resource was written.

    Attributes:
        file: The stack file or the program's file.
        line: Line of the resource, from 1.
        lines: Lines of single properties, where they are known.
    """

    file: str
    line: int
    lines: Mapping[str, int] = field(default_factory=dict)


LEFT_EMPTY: Final[Mapping[str, frozenset[str]]] = {
    NAT_GATEWAY: frozenset({"publicIpAddresses", "publicIpPrefixes"}),
    AKS_CLUSTER: frozenset({"nodeProvisioningProfile"}),
    AKS_AGENT_POOL: frozenset({"podSubnetID"}),
    VNET_SUBNET: frozenset({"addressPrefixes", "natGateway", "networkSecurityGroup", "routeTable"}),
}
"""Properties that Azure leaves as they are, which is empty, where the program does not write them. A preview calls
them unknown, as it does everything that an answer can have (pulumi-azure-native, converter.PreviewOutputs)."""


def settled(type_: str, outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a resource: what the program says, then what only the provider knows."""
    empty = LEFT_EMPTY.get(canonical_type(type_), frozenset())
    known = {name: value for name, value in outputs.items() if name not in empty or value is not UNKNOWN}
    return {**known, **inputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of a stack.

    Attributes:
        type: Type token, such as `aws:ec2/subnet:Subnet`.
        name: Logical name.
        urn: Its URN, which tells resources apart.
        properties: By the provider's names; `UNKNOWN` stands for what only `up` will show.
        id: The provider's id; empty where it is not known.
        parent: URN of the parent, or empty.
        protect: Whether the engine refuses to delete it.
        ignore_changes: Paths of the properties whose changes the engine leaves alone.
        dependencies: By property, the URNs of the resources that its value comes from.
        inputs: What the program writes, where the door tells it from what the provider answered.
        before: What the program wrote before this change, where the door knows it: a preview does.
        place: Where it was written, if that is known.
    """

    type: str
    name: str
    urn: str
    properties: Mapping[str, Any]
    id: str = ""
    parent: str = ""
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()
    dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inputs: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    place: Place | None = None

    @property
    def kind(self) -> str:
        """Its type without an API version."""
        return canonical_type(self.type)

    @property
    def written(self) -> Mapping[str, Any]:
        """What the program writes, as far as the door tells."""
        return self.properties if self.inputs is None else self.inputs

    @property
    def parent_types(self) -> tuple[str, ...]:
        """Types of the components around it, outermost first, as the URN lists them."""
        parts = self.urn.split("::")
        return tuple(parts[2].split("$")[:-1]) if len(parts) > 3 else ()  # noqa: PLR2004 - urn::project::types::name


class Resources(Sequence[Resource]):
    """All resources of a stack, found by type, URN and id; subnets with the tags that are resources of their own."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        # The engine registers side by side, so its order says nothing; a finding must not depend on it.
        self._all = tuple(sorted(_tagged(list(resources)), key=lambda resource: resource.urn))
        self._by_type: dict[str, list[Resource]] = {}
        self.by_urn: dict[str, Resource] = {}
        self._by_id: dict[tuple[str, str], Resource] = {}
        self._by_name: dict[tuple[str, str], Resource | None] = {}
        for resource in self._all:
            kind = resource.kind
            self._by_type.setdefault(kind, []).append(resource)
            self.by_urn[resource.urn] = resource
            id_ = resource.id or resource.properties.get("id")
            if isinstance(id_, str) and id_:
                self._by_id[kind, _id_key(kind, id_)] = resource
            elif named := _named(resource):
                # Of two in different subscriptions nobody knows which is meant.
                self._by_name[kind, named] = None if (kind, named) in self._by_name else resource

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._all)

    def of_type(self, *types: str) -> Iterator[Resource]:
        """The resources of these types, in the order of their URNs."""
        for type_ in types:
            yield from self._by_type.get(type_, ())

    def sources(self, resource: Resource, name: str, *types: str) -> list[Resource]:
        """The resources of these types that a property's value comes from, as the engine recorded it."""
        found = (self.by_urn.get(urn) for urn in resource.dependencies.get(name, ()))
        return [source for source in found if source is not None and source.kind in types]

    def with_id(self, type_: str, id_: object) -> Resource | None:
        """The resource of that type with that id, if it belongs to the stack.

        The engine tells a policy no ids, and while it makes a stack it has put those of Azure into what refers to them
        already: there an id is compared with the names that it is made of.
        """
        if not isinstance(id_, str):
            return None
        key = _id_key(type_, id_)
        found = self._by_id.get((type_, key))
        if found is not None or type_ not in _PATHS:
            return found
        return self._by_name.get((type_, key[key.find(_GROUPS) :])) if _GROUPS in key else None


def _tagged(resources: Sequence[Resource]) -> Iterable[Resource]:
    """The resources, each subnet with the single tags (`aws.ec2.Tag`) that others of them put on it."""
    tags = [resource for resource in resources if resource.type == TAG]
    if not tags:
        return resources
    subnets = [resource for resource in resources if resource.type == SUBNET]
    owners = {name: subnet.urn for subnet in subnets for name in (subnet.urn, subnet.id, subnet.properties.get("id"))}
    added: dict[str, dict[str, Any]] = {}
    for tag in tags:
        key, resource_id = tag.properties.get("key"), tag.properties.get("resourceId")
        for name in (*tag.dependencies.get("resourceId", ()), resource_id):
            # What is not known is no text, and an id that is empty is nobody's.
            if isinstance(key, str) and isinstance(name, str) and name and name in owners:
                added.setdefault(owners[name], {})[key] = tag.properties.get("value")
    return [_with_tags(resource, added[resource.urn]) if resource.urn in added else resource for resource in resources]


def _with_tags(subnet: Resource, added: Mapping[str, Any]) -> Resource:
    tags = subnet.properties.get("tags")
    if not isinstance(tags, Mapping | None):
        return subnet  # not known, or no mapping: the rules say so
    return replace(subnet, properties={**subnet.properties, "tags": {**(tags or {}), **added}})


_GROUPS: Final = "/resourcegroups/"
_PATHS: Final[Mapping[str, str]] = {
    VNET: "microsoft.network/virtualnetworks/{virtualNetworkName}",
    VNET_SUBNET: "microsoft.network/virtualnetworks/{virtualNetworkName}/subnets/{subnetName}",
    VNET_ROUTE_TABLE: "microsoft.network/routetables/{routeTableName}",
    NAT_GATEWAY: "microsoft.network/natgateways/{natGatewayName}",
    PUBLIC_IP_ADDRESS: "microsoft.network/publicipaddresses/{publicIpAddressName}",
    PUBLIC_IP_PREFIX: "microsoft.network/publicipprefixes/{publicIpPrefixName}",
}
"""Ids of Azure below the resource group, by the properties that they are made of (pulumi-azure-native, network)."""
_PARTS: Final = {type_: tuple(re.findall(r"{(\w+)}", path)) for type_, path in _PATHS.items()}


def _named(resource: Resource) -> str:
    """An id of Azure without its subscription; empty where one of the names is not known."""
    path = _PATHS.get(resource.kind)
    if path is None:
        return ""
    names = {name: resource.properties.get(name) for name in ("resourceGroupName", *_PARTS[resource.kind])}
    if not all(isinstance(name, str) and name for name in names.values()):
        return ""
    lower = {key: str(name).casefold() for key, name in names.items()}
    return f"{_GROUPS}{lower['resourceGroupName']}/providers/{path.format(**lower)}"


def _id_key(type_: str, id_: str) -> str:
    # Azure compares its ids without regard to case, and answers them in a case of its own.
    return id_.casefold() if type_.startswith(_AZURE) else id_


def plain(value: Any) -> Any:
    """A value of the engine's JSON as Python has it: unknowns become `UNKNOWN`, secrets their value."""
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWN_VALUES else value
    if isinstance(value, Mapping):
        signature = value.get(SIGNATURE_KEY)
        if signature is not None:
            return _special(signature, value)
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the wire knows floating-point numbers only
    return value


def _special(signature: object, value: Mapping[str, Any]) -> Any:
    if signature in (SECRET_SIGNATURE, OUTPUT_SIGNATURE):
        if "value" in value:
            return plain(value["value"])
        if isinstance(value.get("plaintext"), str):
            try:
                return plain(json.loads(value["plaintext"]))
            except json.JSONDecodeError:
                return UNKNOWN
        return UNKNOWN  # encrypted: nobody here has the key
    if signature == RESOURCE_SIGNATURE:
        return plain(value.get("id", UNKNOWN))
    return {str(key): plain(item) for key, item in value.items() if key != SIGNATURE_KEY}
