"""A snapshot under pseudonyms: names, ids and addresses replaced, everything that a diagnosis looks at as it was.

- A name becomes `name-017`, the same everywhere. Names keep their alphabetical order, pods the name of their workload.
- An id of AWS keeps its form and its order: `subnet-0000000000000002a`. An ARM id keeps its types, a subscription and
  any other GUID its form; two ids that differ in case only stay the same resource.
- An address keeps its place within its VPC CIDR or VNet, a CIDR its place among the ranges that rules speak of
  (RFC 1918, 100.64.0.0/10, …): which CIDRs contain, touch or overlap one another stays as it is, and so does all
  arithmetic.
- In texts (events, conditions, log lines) names, ids, addresses, ARNs, accounts, images and host names are replaced.
  A text may say more than that in plain words: read it before it leaves the house.

Kept are words of AWS and Kubernetes, times, numbers, Regions and zones, instance types and the names in ``KEPT``.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from ipaddress import IPV6LENGTH as IPV6_BITS
from ipaddress import IPv6Network
from typing import Any, Final, TypeVar

from headroom.addresses.association import (
    DEFAULT_SERVICE_CIDRS,
    DOCKER_BRIDGE,
    NEVER_ASSOCIABLE,
    NOT_PUBLICLY_ROUTABLE,
    RESTRICTED_WITHIN,
    Family,
)
from headroom.addresses.azure import AKS_RESERVED
from headroom.addresses.blocks import ADDRESS_BITS, Block, format_address
from headroom.facts import aws, azure, kubernetes, snapshot
from headroom.facts.names import GENERATED, hosts_in
from headroom.facts.values import Unknown

K = TypeVar("K")

KEPT: Final = frozenset(
    {
        "amazon-k8s-cni",
        "aws-cni",
        "aws-eks-nodeagent",
        "aws-load-balancer-controller",
        "aws-node",
        "aws-vpc-cni-init",
        "cluster-autoscaler",
        "coredns",
        "default",
        "ebs-csi-node",
        "eks-pod-identity-agent",
        "karpenter",
        "kube-dns",
        "kube-node-lease",
        "kube-proxy",
        "kube-public",
        "kube-system",
        "kubernetes",
        "metrics-server",
        "system-cluster-critical",
        "system-node-critical",
    }
)
"""Names that every cluster has; a diagnosis knows some of them."""


class Kind(StrEnum):
    """What a text in the snapshot is."""

    KEEP = "keep"
    """A word of AWS or Kubernetes, a time, a version."""
    NAME = "name"
    """What somebody has called a thing."""
    DERIVED = "derived"
    """A name that begins with another thing's name, as a pod's does."""
    NODE = "node"
    """A node's name, which may hold its address or its instance id."""
    OWNER = "owner"
    """Kind/name."""
    ID = "id"
    """An id of AWS; in a case file perhaps a word for it."""
    ADDRESS = "address"
    """An address or a CIDR."""
    ACCOUNT = "account"
    """An account of AWS."""
    TEXT = "text"
    """Whatever a program or a person wrote."""
    IMAGE = "image"
    """A container image."""
    TAINT = "taint"
    """key=value:effect."""
    TAGS = "tags"
    """Tags, by key."""
    ENVIRONMENT = "environment"
    """Settings of the CNI, by name."""
    FILE = "file"
    """A file, or the name of a reading."""
    RESOURCE = "resource"
    """An ARM id."""
    GUID = "guid"
    """A subscription."""
    PREFIX = "prefix"
    """An address, a CIDR, or a service tag of Azure, which is kept."""
    HOLDER = "holder"
    """How a leader calls itself: mostly a pod's or a node's name, and an id that it made up."""
    LABELS = "labels"
    """Labels of Kubernetes, by key."""
    LABEL_KEY = "label_key"
    """The key of a label."""
    TEXTS = "texts"
    """Texts by a key that is kept."""


def _kinds(kind: type, **names: str) -> dict[type, dict[str, Kind]]:
    return {kind: {name: Kind(what) for what, listed in names.items() for name in listed.split()}}


FIELDS: Final[Mapping[type, Mapping[str, Kind]]] = {
    **_kinds(snapshot.Snapshot, keep="cloud collected_at", name="cluster"),
    **_kinds(snapshot.Source, file="name", text="outcome"),
    **_kinds(snapshot.Line, keep="origin first_seen last_seen", text="text", file="file", node="node"),
    **_kinds(snapshot.PoolReading, keep="errors api_errors", node="node"),
    **_kinds(
        snapshot.Stated,
        keep="cni_version kubernetes_version instance_type network_plugin network_plugin_mode outbound_type",
        address="pod_cidr",
        environment="environment",
        texts="other",
    ),
    **_kinds(aws.Aws, keep="region ip_family cluster_status", id="cluster_subnet_ids", address="service_cidr"),
    **_kinds(aws.Vpc, id="vpc_id", account="owner_id"),
    **_kinds(aws.CidrAssociation, keep="state", address="cidr_block", id="association_id"),
    **_kinds(
        aws.Subnet,
        keep="zone zone_id",
        id="subnet_id route_table_id",
        address="cidr_block",
        tags="tags",
        account="shared_from",
    ),
    **_kinds(aws.CidrReservation, keep="reservation_type", id="reservation_id subnet_id", address="cidr"),
    **_kinds(
        aws.Interface,
        keep="zone status interface_type attached_at created_at",
        id="interface_id subnet_id instance_id node_instance_id",
        address="addresses prefixes",
        text="description",
        name="cluster",
    ),
    **_kinds(aws.RouteTable, id="route_table_id"),
    **_kinds(aws.Route, keep="state", text="destination target"),
    **_kinds(aws.Peering, keep="status role", id="peering_id", address="peer_cidr_blocks"),
    **_kinds(aws.InstanceType, keep="name"),
    **_kinds(aws.HealthIssue, keep="code", text="message resource_ids"),
    **_kinds(
        aws.Addon,
        keep="version status other_configuration",
        environment="environment",
        text="service_account_role_arn",
    ),
    **_kinds(aws.NodeGroup, keep="status instance_types ami_type max_unavailable", name="name", id="subnet_ids"),
    **_kinds(kubernetes.Kubernetes, keep="version", texts="unread_workloads"),
    **_kinds(kubernetes.Condition, keep="type status reason since", text="message"),
    **_kinds(
        kubernetes.Node,
        keep="zone instance_type created_at kubelet_version os_image",
        node="name",
        id="instance_id",
        name="node_group node_pool",
        address="internal_ip pod_cidr",
        taint="taints",
    ),
    **_kinds(
        kubernetes.Pod,
        keep="phase waiting created_at",
        name="namespace priority_class",
        derived="name",
        node="node",
        address="ip",
        owner="owner",
    ),
    **_kinds(
        kubernetes.Event,
        keep="kind reason type first_seen last_seen reporter",
        name="namespace",
        derived="name",
        text="message",
        node="node",
    ),
    **_kinds(kubernetes.Workload, keep="kind", name="namespace name priority_class", owner="owner"),
    **_kinds(
        kubernetes.CronJob,
        keep="schedule time_zone concurrency_policy last_scheduled last_successful",
        name="namespace name priority_class",
    ),
    **_kinds(kubernetes.Lease, keep="renewed_at", name="namespace name", holder="holder"),
    **_kinds(kubernetes.KedaScaler, keep="kind triggers", name="namespace name", owner="target"),
    **_kinds(kubernetes.Service, keep="type", name="namespace name", derived="pods"),
    **_kinds(kubernetes.DisruptionBudget, name="namespace name", derived="pods"),
    **_kinds(kubernetes.Autoscaler, name="namespace name", owner="target"),
    **_kinds(kubernetes.PriorityClass, name="name"),
    **_kinds(kubernetes.CniDaemonSet, keep="version managers", image="image", environment="environment"),
    **_kinds(kubernetes.CniPod, keep="waiting started_at", derived="name", node="node", image="image"),
    **_kinds(kubernetes.EniConfig, name="name", id="subnet_id security_group_ids"),
    **_kinds(
        kubernetes.CniNode,
        keep="managed_by",
        node="name",
        texts="features",
        id="trunk_interface branch_interfaces",
    ),
    **_kinds(kubernetes.Namespace, name="name", labels="labels"),
    **_kinds(kubernetes.SelectorRequirement, label_key="key", keep="operator", name="values"),
    **_kinds(kubernetes.LabelSelector, labels="labels"),
    **_kinds(kubernetes.PolicyPort, keep="protocol", name="name"),
    **_kinds(kubernetes.PolicyPeer, address="block excepted"),
    **_kinds(kubernetes.PolicyRule),
    **_kinds(kubernetes.NetworkPolicy, keep="types", name="namespace name"),
    **_kinds(kubernetes.PodPort, keep="protocol", name="name"),
    **_kinds(kubernetes.PodSet, name="namespace", labels="labels", derived="pods"),
    **_kinds(kubernetes.KarpenterNodePool, keep="limits", name="name node_class"),
    **_kinds(kubernetes.KarpenterNodeClass, keep="kind", name="name", id="subnet_ids"),
    **_kinds(
        azure.Azure,
        guid="subscription_id",
        name="resource_group",
        keep="location",
    ),
    **_kinds(
        azure.ManagedCluster,
        resource="cluster_id identity_ids kubelet_identity_id",
        name="name node_resource_group",
        keep="location kubernetes_version current_kubernetes_version provisioning_state power_state sku_tier "
        "identity_type auto_upgrade_channel node_os_upgrade_channel addons",
        prefix="authorized_ranges",
        tags="tags",
    ),
    **_kinds(
        azure.NetworkProfile,
        keep="network_plugin network_plugin_mode network_policy network_dataplane network_mode outbound_type "
        "load_balancer_sku ip_families",
        address="pod_cidr pod_cidrs service_cidr service_cidrs dns_service_ip",
    ),
    **_kinds(
        azure.LoadBalancerProfile,
        keep="backend_pool_type",
        resource="outbound_ip_ids outbound_prefix_ids effective_outbound_ip_ids",
    ),
    **_kinds(azure.NatGatewayProfile, resource="effective_outbound_ip_ids"),
    **_kinds(
        azure.AgentPool,
        name="name",
        keep="mode max_surge max_unavailable os_type os_sku vm_size pool_type priority pod_ip_allocation_mode zones "
        "provisioning_state power_state version node_image_version",
        resource="node_subnet_id pod_subnet_id",
        taint="taints",
        text="issue",
    ),
    **_kinds(azure.VirtualNetwork, resource="vnet_id", name="name", keep="location", address="prefixes dns_servers"),
    **_kinds(
        azure.AzureSubnet,
        resource="subnet_id route_table_id security_group_id nat_gateway_id",
        name="name",
        address="prefixes",
        keep="delegations service_endpoints ip_configuration_owners properties",
    ),
    **_kinds(azure.VnetPeering, name="name", keep="state", resource="remote_id", address="remote_prefixes"),
    **_kinds(azure.AzureRouteTable, resource="route_table_id subnet_ids", name="name"),
    **_kinds(azure.AzureRoute, derived="name", prefix="prefix", keep="next_hop_type", address="next_hop"),
    **_kinds(azure.NetworkSecurityGroup, resource="group_id subnet_ids", name="name"),
    **_kinds(
        azure.SecurityRule,
        name="name",
        keep="direction access protocol source_ports destination_ports",
        prefix="sources destinations",
    ),
    **_kinds(
        azure.NatGateway,
        resource="gateway_id public_ip_ids public_prefix_ids subnet_ids",
        name="name",
        keep="location sku zones provisioning_state",
    ),
    **_kinds(
        azure.PublicAddress,
        resource="address_id prefix_id attached_to",
        name="name",
        address="address",
        keep="location sku allocation zones",
    ),
    **_kinds(azure.PublicPrefix, resource="prefix_id", name="name", address="prefix", keep="location sku zones"),
    **_kinds(azure.ComputeUsage, keep="name"),
    **_kinds(azure.VmSize, keep="name family restricted"),
    **_kinds(
        azure.ArmError,
        keep="operation code first_seen last_seen",
        resource="resource_id",
        text="message target",
    ),
    **_kinds(
        azure.HostLocalReading,
        node="node",
        keep="network oldest_leak",
        address="leaked range_start range_end",
    ),
    **_kinds(
        azure.NodeNetworkConfig,
        node="node",
        keep="status",
    ),
    **_kinds(
        azure.NetworkContainer,
        guid="container_id",
        keep="assignment_mode container_type status",
        name="subnet_name",
        address="subnet_address_space primary_ip node_ip",
    ),
    **_kinds(azure.CnsReading, node="node"),
    **_kinds(azure.IpMasqAgent, address="non_masquerade_cidrs"),
    **_kinds(azure.EgressReading, resource="resource_id", keep="kind since until"),
    **_kinds(
        azure.Neighbour,
        resource="cluster_id subnet_ids",
        name="name node_resource_group",
        keep="network_plugin",
        address="pod_cidr",
    ),
    **_kinds(azure.Coverage, keep="resource_type listed_by", text="because"),
    **_kinds(kubernetes.KarpenterNodeClaim, keep="created_at", derived="name", name="node_pool", node="node"),
}
"""What every text of the snapshot's types is."""

_ID: Final = re.compile(
    r"(?<!\w)(?:vpc-cidr-assoc|rtbassoc|eni-attach|eipalloc|eipassoc|subnet|pcx|eni|vpce|vpc|rtb|nat|igw|eigw|tgw"
    r"|vgw|cagw|lgw|scr|pl|sg|acl|ami|lt|fsmt|fs|vol|i)-(?P<digits>[0-9a-f]{8,17})(?![\w-])"
)
_GUID: Final = re.compile(r"(?<![\w-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])")
_ADDRESS: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}"
_DASHED: Final = re.compile(r"(?<![\w-])ip-(?P<address>\d{1,3}(?:-\d{1,3}){3})(?![\w-])")
_ENDINGS: Final = "com|net|org|io|internal|local|corp|lan|cloud|dev"
_IN_TEXT: Final = re.compile(
    rf"""
      (?P<arn>arn:aws[\w-]*:[\w-]*:[\w-]*:\d*:[\w./:+=,@-]+)
    | (?P<resource>(?i:/subscriptions/)[\w./()-]*[\w)])
    | (?P<guid>{_GUID.pattern})
    | (?P<balancer>\bELB\ (?:(?:app|net|gwy)/)?)(?P<balancer_name>[\w-]+)
    | (?P<function>\bAWS\ Lambda\ VPC\ ENI-)(?P<function_name>[\w-]+?)(?=-[0-9a-f]{{8}}-[0-9a-f]{{4}}-|$)
    | (?P<dashed>{_DASHED.pattern.replace("(?P<address>", "(?:")})
    | (?P<id>{_ID.pattern.replace("(?P<digits>", "(?:")})
    | (?P<address>(?<![\w.-]){_ADDRESS}(?:/(?:3[0-2]|[12]?\d))?(?![\w-]|\.\d))
    | (?P<six>(?<![\w:.-])(?:[0-9a-fA-F]{{1,4}}:){{2,7}}(?::?[0-9a-fA-F]{{1,4}}){{0,6}}:{{0,2}}(?![\w:]))
    | (?P<image>(?<![\w./-])(?:[\w-]+\.)+[\w-]+(?::\d+)?/[\w./-]+(?:[:@][\w.:-]+)?)
    | (?P<account>(?<![\w.-])\d{{12}}(?![\w-]))
    | (?P<host>(?<![\w.@-])(?<![^/]/)(?:[a-zA-Z0-9][\w-]*\.)+(?:{_ENDINGS})(?![\w-]))
    | (?P<word>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)
    """,
    re.VERBOSE,
)
"""What may have to be replaced in a text, the longest forms first."""

_PLAIN_WORD: Final = re.compile(r"[A-Za-z]+")
_NAME_MARKS: Final = frozenset("/\"'`_")
"""Signs beside a name: a plain word is one only next to them, so that sentences stay sentences."""
_PUBLIC_HOSTS: Final = (
    "amazonaws.com",
    "ec2.internal",
    "compute.internal",
    "cluster.local",
    "k8s.io",
    "kubernetes.io",
    "karpenter.sh",
    "github.com",
    "docker.io",
    "gcr.io",
    "quay.io",
    "ghcr.io",
)
_GROUP_PREFIX: Final = "eks-"
_READINGS: Final = ("kubernetes ", "ec2 ", "eks ", "servicequotas ", "ipamd ", "aws-node ")
"""How the names of live readings begin; any other name of a source is a file's."""
_SERVICE_HOST: Final = re.compile(r"\.svc(?:\.|$)")
_ENDPOINT: Final = re.compile(r"(?P<name>[0-9A-Za-z]{16,64})(?P<rest>(?:\.\w+)?\.[a-z0-9-]+\.eks\.amazonaws\.com)")
_ARN_WORDS: Final = frozenset(
    {
        "access-entry",
        "addon",
        "app",
        "assumed-role",
        "aws-service-role",
        "cluster",
        "function",
        "instance",
        "instance-profile",
        "kube-proxy",
        "listener",
        "loadbalancer",
        "net",
        "network-interface",
        "nodegroup",
        "policy",
        "role",
        "root",
        "sts",
        "subnet",
        "targetgroup",
        "user",
        "vpc",
        "vpc-cni",
    }
)
"""Words of an ARN's resource part that are AWS's own."""
_PUBLIC_DOMAINS: Final = ("kubernetes.io", "k8s.io", "k8s.aws", "amazonaws.com", "karpenter.sh", "k8s.amazonaws.com")
_PLAIN_VALUES: Final = frozenset({"", "0", "1", "true", "false", "owned", "shared"})
_CLUSTER_KEYS: Final = ("kubernetes.io/cluster/", "cni.networking.k8s.aws/cluster/")
_ACCOUNT_DIGITS: Final = 12
_HIDDEN_SETTINGS: Final = frozenset({"ADDITIONAL_ENI_TAGS"})
"""Settings whose value is made of names, and which no diagnosis looks at."""


def pseudonymised(original: snapshot.Snapshot, key: bytes) -> snapshot.Snapshot:
    """The snapshot under pseudonyms.

    Args:
        original: The snapshot as it was read.
        key: Random bytes to choose the pseudonyms of addresses, accounts and hosts by. Equal keys give equal
            pseudonyms; whoever has the key can find the original addresses by trying, so it is not to be kept.
    """
    renamer = _Renamer(key)
    renamer.learn(original)
    return renamer.renamed(original)


class _Renamer:
    """The pseudonyms of one snapshot."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, digest_size=32).digest()
        self._names: dict[str, str] = {}
        self._lowered: dict[str, str] = {}
        self._bases: list[str] = []
        self._pods: frozenset[str] = frozenset()
        self._ids: dict[str, str] = {}
        self._networks: dict[int, dict[int, int]] = {}
        self._flips: dict[tuple[int, int], int] = {}
        self._by_kind: Mapping[Kind, Callable[[Any], Any]] = {
            Kind.NAME: self._name,
            Kind.DERIVED: cache(self._derived),
            Kind.NODE: cache(self._node),
            Kind.OWNER: cache(self._owner),
            Kind.ID: cache(self._id),
            Kind.ADDRESS: self._address,
            Kind.ACCOUNT: self._account,
            Kind.TEXT: cache(self._text),
            Kind.IMAGE: cache(self._image),
            Kind.FILE: cache(self._file),
            Kind.TAINT: self._taint,
            Kind.TAGS: self._tags,
            Kind.LABELS: self._labels,
            Kind.LABEL_KEY: self._label_key,
            Kind.RESOURCE: cache(self._resource),
            Kind.GUID: self._guid,
            Kind.HOLDER: self._holder,
            Kind.PREFIX: self._address,
            Kind.ENVIRONMENT: self._environment,
            Kind.TEXTS: lambda texts: {key: self._text(text) for key, text in texts.items()},
        }

        self._by_part: Mapping[str, Callable[[str], str]] = {
            "arn": self._arn,
            "resource": self._resource,
            "guid": self._guid,
            "image": self._path,
            "id": self._id,
            "address": self._address,
            "six": self._six,
            "account": self._account,
            "host": self._host,
        }

    # What there is to be renamed

    def learn(self, original: snapshot.Snapshot) -> None:
        """Takes in all names, ids and networks, so that pseudonyms keep their order."""
        names: set[str] = set()
        derived: set[str] = set()
        ids: set[str] = set()
        for kind, text in _texts(original):
            if kind is Kind.NAME or (kind is Kind.NODE and not (_DASHED.search(text) or _ID.search(text))):
                names.add(text)
            elif kind is Kind.OWNER:
                names.add(text.partition("/")[2])
            elif kind is Kind.DERIVED:
                derived.add(text)
            elif kind is Kind.HOLDER:
                pods, others = _held_by(text)
                derived |= pods
                names |= others
            elif kind is Kind.TAINT:
                names.update(_private_parts(text))
            if kind not in (Kind.KEEP, Kind.ADDRESS, Kind.ACCOUNT):
                ids.update(found.group() for found in _ID.finditer(text))
            if kind is Kind.ID and not _ID.fullmatch(text):
                names.add(text)
        names -= {"", *KEPT}
        self._bases = sorted(names | KEPT)
        self._pods = frozenset(derived)
        names |= {name for name in derived - {""} if self._base(name) is None}
        width = len(str(len(names)))
        self._names = {name: f"name-{number:0{width}}" for number, name in enumerate(sorted(names), start=1)}
        self._names |= {name: name for name in KEPT}
        self._lowered = {name.lower(): new for name, new in self._names.items()}
        self._learn_ids(ids)
        self._learn_networks(original)

    def _learn_ids(self, ids: Iterable[str]) -> None:
        ranks: dict[str, int] = {}
        for identifier in sorted(ids):
            prefix, _, digits = identifier.rpartition("-")
            ranks[prefix] = ranks.get(prefix, 0) + 1
            self._ids[identifier] = f"{prefix}-{ranks[prefix]:0{len(digits)}x}"

    def _learn_networks(self, original: snapshot.Snapshot) -> None:
        """The networks within which an address keeps its place."""
        known = original.aws if isinstance(original.aws, aws.Aws) else aws.Aws()
        vpc = known.vpc if isinstance(known.vpc, aws.Vpc) else None
        blocks = [each.cidr_block for each in _items(vpc.cidr_blocks if vpc else None)]
        blocks += [each.cidr_block for each in _items(known.subnets) if isinstance(each.cidr_block, str)]
        blocks += [known.service_cidr] if isinstance(known.service_cidr, str) else []
        blocks += _azure_ranges(original)
        for block in sorted({found for text in blocks if (found := _block(text)) is not None}, key=_largest_first):
            if self._network_of(block.first) is None:
                mapped = self._flipped(block.first, block.prefix_length)
                self._networks.setdefault(block.prefix_length, {})[_prefix(block.first, block.prefix_length)] = mapped

    # The snapshot anew

    def renamed(self, value: K) -> K:
        """An object of the snapshot under pseudonyms."""
        kind: Any = type(value)
        kinds = FIELDS[kind]
        arguments = {name: self._field(getattr(value, name), kinds.get(name, Kind.KEEP)) for name in _field_names(kind)}
        made: K = kind(**arguments)
        return made

    def _field(self, value: Any, kind: Kind) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Unknown):
            return Unknown(value.reason, self._text(value.detail))
        if isinstance(value, tuple):
            return tuple(self._field(each, kind) for each in value)
        if is_dataclass(value):
            return self.renamed(value)
        return value if kind is Kind.KEEP else self._by_kind[kind](value)

    # Names and ids

    def _name(self, text: str) -> str:
        return self._names.get(text, text)

    def _base(self, text: str) -> str | None:
        """The longest known name that a text is, or begins with before a hyphen."""
        index = bisect_right(self._bases, text)
        # Names that a text begins with sort before it, the longest last; what stands between shares their beginning.
        while index:
            index -= 1
            base = self._bases[index]
            if text == base or text.startswith(f"{base}-"):
                return base
            common = _common(base, text)
            index = bisect_right(self._bases, text[:common], 0, index)
            if not common:
                return None
        return None

    def _derived(self, text: str) -> str:
        if text in self._names:
            return self._names[text]
        base = self._base(text)
        return self._node(text) if base is None else self._names[base] + text.removeprefix(base)

    def _node(self, text: str) -> str:
        if text in self._names:
            return self._names[text]
        dashed = _DASHED.sub(self._dashed, text)
        return _ID.sub(lambda found: self._id(found.group()), dashed)

    def _dashed(self, found: re.Match[str]) -> str:
        address = found["address"].replace("-", ".")
        return f"ip-{self._address(address).replace('.', '-')}" if _block(address) is not None else found.group()

    def _owner(self, text: str) -> str:
        kind, separator, name = text.partition("/")
        return f"{kind}{separator}{self._derived(name)}" if separator else self._derived(text)

    def _id(self, text: str) -> str:
        if text in self._ids:
            return self._ids[text]
        return self._name(text)

    def _account(self, text: str) -> str:
        number = int.from_bytes(self._hash("account", text)) % 10**_ACCOUNT_DIGITS
        return f"{number:0{_ACCOUNT_DIGITS}}" if text.isdigit() else text

    def _resource(self, text: str) -> str:
        """An ARM id: the names in it as everywhere else, its types and its form as they are.

        `/subscriptions/GUID/resourceGroups/NAME/providers/NAMESPACE/TYPE/NAME/…`: names stand at even places, save
        that two follow upon `providers`.
        """
        parts = text.split("/")
        index = 1
        while index + 1 < len(parts):
            kind = parts[index].lower()
            if kind == "providers":  # a namespace follows, and then a type before the next name
                index += 2
                continue
            name = parts[index + 1]
            parts[index + 1] = self._guid(name) if kind == "subscriptions" else self._resource_part(name)
            index += 2
        return "/".join(parts)

    def _resource_part(self, name: str) -> str:
        """A name in an ARM id, whose case means nothing: the same whoever wrote it how."""
        found = self._names.get(name) or self._lowered.get(name.lower())
        if found is not None:
            return found
        return f"name-{self._hash('name', name.lower())[:4].hex()}" if name else name

    def _guid(self, text: str) -> str:
        if not _GUID.fullmatch(text):
            return self._in_word(text) if text else text
        digits = self._hash("guid", text.lower()).hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))

    def _holder(self, text: str) -> str:
        """A leader's own name for itself: its parts as they are called elsewhere."""
        parts = (self._guid(part) if _GUID.fullmatch(part) else self._host_of(part) for part in _holder_parts(text))
        return "_".join(parts)

    def _host_of(self, text: str) -> str:
        """A pod's name with what a program puts after it; any other name as it is called elsewhere."""
        pod = next((each for each in hosts_in(text) if each in self._pods and text.startswith(each)), text)
        rest = text.removeprefix(pod)
        return self._derived(pod) + (f"-{self._private(rest)}" if rest else "")

    # Addresses

    def _address(self, text: str) -> str:
        block = _block(text)
        if block is None:
            return self._six(text) if ":" in text else text
        mapped = self._mapped(block.first, block.prefix_length)
        return f"{format_address(mapped)}/{block.prefix_length}" if "/" in text else format_address(mapped)

    def _mapped(self, address: int, length: int) -> int:
        network = self._network_of(address)
        if network is None or network[0] > length:
            return self._flipped(address, length)
        inside = (1 << (ADDRESS_BITS - network[0])) - 1
        return network[1] | (address & inside)

    def _network_of(self, address: int) -> tuple[int, int] | None:
        """Length and new first address of the known network that an address is in."""
        for length, networks in self._networks.items():
            mapped = networks.get(_prefix(address, length))
            if mapped is not None:
                return length, mapped
        return None

    def _flipped(self, address: int, length: int) -> int:
        """The address with each of its first bits kept or flipped, as a hash of the bits before says."""
        result = address
        for depth in range(length):
            prefix = _prefix(address, depth)
            if (depth, prefix) in _UNTOUCHED:
                return result
            if (depth, prefix) in _ABOVE_FIXED:
                continue
            if (depth, prefix) not in self._flips:
                self._flips[depth, prefix] = self._hash("flip", f"{depth}/{prefix}")[0] & 1
            result ^= self._flips[depth, prefix] << (ADDRESS_BITS - 1 - depth)
        return result

    def _six(self, text: str) -> str:
        """An IPv6 address, as one of the range for documentation (RFC 3849); a length after it is kept."""
        address, slash, length = text.partition("/")
        digits = self._hash("six", address).hex()
        groups = ":".join(digits[start : start + 4] for start in range(0, 24, 4))
        renamed = f"2001:db8:{groups}"
        if length.isdecimal() and int(length) <= IPV6_BITS:  # a block has no host bits
            renamed = str(IPv6Network((renamed, int(length)), strict=False).network_address)
        return f"{renamed}{slash}{length}"

    # Texts

    def _text(self, text: str) -> str:
        return _IN_TEXT.sub(self._part, text)

    def _part(self, found: re.Match[str]) -> str:
        part, kind = found.group(), found.lastgroup
        if found["balancer"]:
            return found["balancer"] + self._private(found["balancer_name"])
        if found["function"]:
            return found["function"] + self._private(found["function_name"])
        if kind == "word":
            return self._word(found)
        if kind == "dashed":
            return _DASHED.sub(self._dashed, part)
        return self._by_part[kind or ""](part)

    def _word(self, found: re.Match[str]) -> str:
        word, text = found.group(), found.string
        if _PLAIN_WORD.fullmatch(word):
            around = text[found.start() - 1 : found.start()] + text[found.end() : found.end() + 1]
            if not _NAME_MARKS.intersection(around):
                return word
        if "_" in word:  # the kubelet's names of sandboxes: name_namespace_uid_attempt
            return "_".join(self._in_word(part) for part in word.split("_"))
        if _SERVICE_HOST.search(word):
            return ".".join(map(self._name, word.split(".")))
        return self._in_word(word)

    def _in_word(self, word: str) -> str:
        if word in self._names:
            return self._names[word]
        if "-" in word:
            word = _ID.sub(lambda found: self._id(found.group()), word)
        group = word.removeprefix(_GROUP_PREFIX)  # eks-NODEGROUP-…: the Auto Scaling group of a managed node group
        if group != word and self._base(group) is not None:
            return _GROUP_PREFIX + self._derived(group)
        # "checkout" may be a Deployment, and still not every "checkout-…" its pod.
        return self._derived(word) if word in self._pods or GENERATED.search(word) else word

    def _arn(self, text: str) -> str:
        head = text.split(":", 5)
        parts = re.split(r"([/:])", head[5])
        resource = "".join(part if part in "/:" or part in _ARN_WORDS else self._arn_part(part) for part in parts)
        account = self._account(head[4]) if head[4] else ""
        return ":".join([*head[:4], account, resource])

    def _arn_part(self, part: str) -> str:
        if part in self._names or _ID.fullmatch(part):
            return self._id(part)
        return part if not part or part.startswith("AWSServiceRole") else self._private(part)

    def _image(self, text: str) -> str:
        path, separator, version = _image_parts(text)
        name = path.rpartition("/")[2]
        if name in KEPT:
            return self._accounts_in(text)
        return f"registry.example/{self._private(path)}{separator}{version}"

    def _file(self, text: str) -> str:
        if text.startswith(_READINGS) or not text:
            return text
        name = text.replace("\\", "/").rpartition("/")[2]
        ending = re.search(r"\.[a-z]{2,5}(?:\.gz)?$", name)
        return f"file-{self._hash('file', text)[:4].hex()}{ending.group() if ending else ''}"

    def _accounts_in(self, text: str) -> str:
        return re.sub(r"(?<!\d)\d{12}(?!\d)", lambda found: self._account(found.group()), text)

    def _host(self, text: str) -> str:
        endpoint = _ENDPOINT.fullmatch(text)
        if endpoint:
            return self._private(endpoint["name"]) + endpoint["rest"]
        if text.endswith(_PUBLIC_HOSTS):
            return self._node(".".join(map(self._name, text.split("."))))
        return f"{self._private(text)}.example"

    def _path(self, text: str) -> str:
        """`host/path`: an image, or the key of a label or an annotation, which is kept."""
        host, _, rest = text.partition("/")
        if host.endswith(_PUBLIC_DOMAINS) and ".dkr." not in host:
            return f"{host}/" + "/".join(map(self._name, rest.split("/")))
        return self._image(text)

    def _private(self, text: str) -> str:
        """A name that the snapshot's fields do not hold: known ones within it as usual, the rest hashed."""
        if text in self._names:
            return self._names[text]
        return f"name-{self._hash('name', text)[:4].hex()}"

    # Mappings

    def _taint(self, text: str) -> str:
        key, equals, rest = text.partition("=")
        value, colon, effect = rest.rpartition(":")
        return f"{self._name(key)}{equals}{self._name(value)}{colon}{effect}"

    def _tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for key, value in tags.items():
            prefix = next((each for each in _CLUSTER_KEYS if key.startswith(each)), None)
            renamed = key if prefix is None else prefix + self._private(key.removeprefix(prefix))
            found[renamed] = value if value in _PLAIN_VALUES else self._private(value)
        return found

    def _labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {
            self._label_key(key): value if value in _PLAIN_VALUES else self._private(value)
            for key, value in labels.items()
        }

    def _label_key(self, key: str) -> str:
        prefix, slash, name = key.rpartition("/")
        return key if not slash or prefix.endswith(_PUBLIC_DOMAINS) else f"{self._private(prefix)}.example/{name}"

    def _environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for name, value in environment.items():
            if name in _HIDDEN_SETTINGS:
                found[name] = "{}"
            elif name == "CLUSTER_NAME":
                found[name] = self._private(value) if value else value
            else:
                found[name] = self._text(value)
        return found

    def _hash(self, purpose: str, text: str) -> bytes:
        return hashlib.blake2b(f"{purpose}:{text}".encode(), key=self._key, digest_size=16).digest()


# Reading the snapshot's texts


def _texts(value: Any, kind: Kind = Kind.KEEP) -> Iterator[tuple[Kind, str]]:
    """Every text of an object, with what it is."""
    if isinstance(value, str):
        yield kind, value
    elif isinstance(value, Unknown):
        yield Kind.TEXT, value.detail
    elif isinstance(value, tuple):
        for each in value:
            yield from _texts(each, kind)
    elif isinstance(value, Mapping):
        yield from ((Kind.TEXT, str(each)) for each in value.values())
        if kind is Kind.LABELS:
            yield from ((Kind.NAME, each) for each in value.values() if each not in _PLAIN_VALUES)
        if kind is Kind.TAGS:
            yield from ((Kind.NAME, each) for each in _names_in_tags(value))
    elif is_dataclass(value):
        made_of: Any = type(value)
        kinds = FIELDS[made_of]
        for name in _field_names(made_of):
            yield from _texts(getattr(value, name), kinds.get(name, Kind.KEEP))


def _names_in_tags(tags: Mapping[str, str]) -> Iterator[str]:
    for key, value in tags.items():
        yield from (key.removeprefix(prefix) for prefix in _CLUSTER_KEYS if key.startswith(prefix))
        if value not in _PLAIN_VALUES:
            yield value


def _private_parts(taint: str) -> Iterator[str]:
    """Key and value of a taint, as far as they are somebody's own words."""
    key, _, rest = taint.partition("=")
    value = rest.rpartition(":")[0]
    if not key.partition("/")[0].endswith(_PUBLIC_DOMAINS):
        yield key
    if value not in _PLAIN_VALUES:
        yield value


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(kind))


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


def _azure_ranges(original: snapshot.Snapshot) -> Iterator[str]:
    """The ranges of an AKS cluster within which an address keeps its place."""
    read = original.azure if isinstance(original.azure, azure.Azure) else azure.Azure()
    for vnet in _items(read.vnets):
        yield from _items(vnet.prefixes)
        for subnet in _items(vnet.subnets):
            yield from _items(subnet.prefixes)
    profile = read.cluster.network if isinstance(read.cluster, azure.ManagedCluster) else None
    if isinstance(profile, azure.NetworkProfile):
        yield from (text for text in (profile.pod_cidr, profile.service_cidr) if isinstance(text, str))
    yield from (each.prefix for each in _items(read.public_prefixes) if isinstance(each.prefix, str))


def _holder_parts(text: str) -> list[str]:
    """The parts of a leader's name for itself, such as POD_GUID: no name in Kubernetes has an underscore."""
    return text.split("_")


def _held_by(text: str) -> tuple[set[str], set[str]]:
    """What in a leader's name for itself may be a pod's name, and what is replaced as a whole; ids keep their form."""
    parts = {each for each in _holder_parts(text) if not (_GUID.fullmatch(each) or _DASHED.search(each))}
    parts = {each for each in parts if not _ID.search(each)}
    pods = {each for each in parts if GENERATED.search(each)}
    return pods, parts - pods


def _image_parts(text: str) -> tuple[str, str, str]:
    """Path, separator (`:` or `@`) and version of an image."""
    path, separator, version = text.partition("@")
    if not separator:
        path, separator, version = text.rpartition(":")
        if not path or "/" in version:
            return text, "", ""
    return path, separator, version


# Arithmetic


def _block(text: str) -> Block | None:
    """An IPv4 address or CIDR as it stands there, host bits cut off; ``None`` for anything else."""
    address, slash, length = text.partition("/")
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts):  # noqa: PLR2004 - an IPv4 address
        return None
    bits = int(length) if slash and length.isdigit() else ADDRESS_BITS
    if bits > ADDRESS_BITS:
        return None
    first = int.from_bytes(bytes(map(int, parts)))
    return Block(_prefix(first, bits) << (ADDRESS_BITS - bits), bits)


def _prefix(address: int, length: int) -> int:
    """The first bits of an address."""
    return address >> (ADDRESS_BITS - length)


def _largest_first(block: Block) -> tuple[int, int]:
    return block.prefix_length, block.first


def _common(one: str, other: str) -> int:
    """Length of the common beginning of two texts."""
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length


def _fixed_ranges() -> Iterator[Block]:
    """Ranges that rules speak of: what is in them stays in them, what is not stays out."""
    yield from (Block.parse(family.value) for family in Family if family is not Family.PUBLIC)
    for _, within, refused in RESTRICTED_WITHIN:
        yield within
        yield refused
    yield from (block for block, _ in NOT_PUBLICLY_ROUTABLE)
    yield DOCKER_BRIDGE
    yield from AKS_RESERVED


def _untouched_ranges() -> Iterator[Block]:
    """Ranges that are the same for everybody: what is in them stays as it is."""
    yield from (block for block, _ in NEVER_ASSOCIABLE)
    yield from DEFAULT_SERVICE_CIDRS
    yield Block.parse(Family.LINK_LOCAL.value)


_UNTOUCHED: Final = frozenset(
    (block.prefix_length, _prefix(block.first, block.prefix_length)) for block in _untouched_ranges()
)
_ABOVE_FIXED: Final = frozenset(
    (depth, _prefix(block.first, depth))
    for block in (*_fixed_ranges(), *_untouched_ranges())
    for depth in range(block.prefix_length)
)
