"""A cluster at one moment: what AWS or Azure, Kubernetes, the CNI's own metrics and the logs say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headroom.facts.aws import Aws
from headroom.facts.azure import Azure
from headroom.facts.forms import Addresses, AnyCidr, Cloud, Pods, Time
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import NOT_COLLECTED, Fact

VERSION = 1
"""Version of the snapshot's JSON. A field may be added without a new one: what an old file lacks was not collected."""


class Origin(StrEnum):
    """Where a line of text comes from."""

    POD_EVENT = "pod_event"
    IPAMD_LOG = "ipamd_log"
    PLUGIN_LOG = "plugin_log"
    AWS_NODE_LOG = "aws_node_log"
    KUBELET_LOG = "kubelet_log"
    CNS_LOG = "cns_log"
    ASG = "asg"
    EKS_HEALTH = "eks_health"
    KARPENTER = "karpenter"
    ARM_ERROR = "arm_error"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a log, an event or a ticket; equal ones counted.

    Attributes:
        origin: Where it comes from.
        text: The line as it stands there.
        node: The node whose log it is.
        file: The file that it was read from.
        first_seen: Time of the first.
        last_seen: Time of the last.
        count: How many.
        cut: Whether the line was cut short before it reached us.
    """

    origin: Origin
    text: str
    node: Fact[str] = None
    file: Fact[str] = None
    first_seen: Fact[str] = None
    last_seen: Fact[str] = None
    count: int = 1
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReading:
    """What ipamd on one node says of its pool (:61678/metrics, or its log).

    Attributes:
        node: The node.
        total_addresses: awscni_total_ip_addresses.
        assigned_addresses: awscni_assigned_ip_addresses.
        cooling_addresses: Addresses in cooldown (`IP stats for Network Card` in ipamd.log).
        interfaces: awscni_eni_allocated.
        maximum_interfaces: awscni_eni_max.
        maximum_addresses: awscni_ip_max.
        prefixes: awscni_total_ipv4_prefixes.
        no_available_addresses: awscni_no_available_ip_addresses: how often a pod asked and there was none.
        errors: awscni_ipamd_error_count, by function.
        api_errors: awscni_aws_api_error_count, by `API/error code`.
    """

    node: str
    total_addresses: Fact[Addresses] = NOT_COLLECTED
    assigned_addresses: Fact[Addresses] = NOT_COLLECTED
    cooling_addresses: Fact[Addresses] = NOT_COLLECTED
    interfaces: Fact[Addresses] = NOT_COLLECTED
    maximum_interfaces: Fact[Addresses] = NOT_COLLECTED
    maximum_addresses: Fact[Addresses] = NOT_COLLECTED
    prefixes: Fact[Addresses] = NOT_COLLECTED
    no_available_addresses: Fact[int] = NOT_COLLECTED
    errors: Fact[Mapping[str, int]] = NOT_COLLECTED
    api_errors: Fact[Mapping[str, int]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a person said of the cluster in a case file, where there is nothing better.

    Attributes:
        subnet_free_addresses: Free addresses of the subnet that the failing node uses.
        subnet_free_prefixes: Free /28 blocks of it.
        cni_version: Version of the VPC CNI.
        kubernetes_version: Version of Kubernetes.
        instance_type: Type of the failing node.
        pods_on_node: Pods on the failing node, those without an address included.
        interfaces_on_node: Network interfaces of the failing node.
        max_pods: maxPods of the failing node.
        nodes: Number of nodes.
        pods: Number of pods.
        environment: Known CNI settings.
        network_plugin: AKS: kubenet, azure or none.
        network_plugin_mode: AKS: overlay, node_subnet or pod_subnet.
        pod_cidr: AKS: the cluster's pod CIDR.
        outbound_type: AKS: its outboundType.
        maximum_nodes: AKS: all pools at the autoscaler's maximum.
        routes: AKS with kubenet: routes of the nodes' route table.
        reserved_addresses: AKS with kubenet: files in /var/lib/cni/networks/ on the failing node.
        live_sandboxes: The sandboxes that run on the failing node.
        other: Whatever else was said, key by key, for people.
    """

    subnet_free_addresses: Fact[Addresses] = NOT_COLLECTED
    subnet_free_prefixes: Fact[Addresses] = NOT_COLLECTED
    cni_version: Fact[str] = NOT_COLLECTED
    kubernetes_version: Fact[str] = NOT_COLLECTED
    instance_type: Fact[str] = NOT_COLLECTED
    pods_on_node: Fact[Pods] = NOT_COLLECTED
    interfaces_on_node: Fact[Pods] = NOT_COLLECTED
    max_pods: Fact[Pods] = NOT_COLLECTED
    nodes: Fact[Pods] = NOT_COLLECTED
    pods: Fact[Pods] = NOT_COLLECTED
    environment: Fact[Mapping[str, str]] = NOT_COLLECTED
    network_plugin: Fact[str] = NOT_COLLECTED
    network_plugin_mode: Fact[str] = NOT_COLLECTED
    pod_cidr: Fact[AnyCidr] = NOT_COLLECTED
    outbound_type: Fact[str] = NOT_COLLECTED
    maximum_nodes: Fact[Pods] = NOT_COLLECTED
    routes: Fact[Pods] = NOT_COLLECTED
    reserved_addresses: Fact[Pods] = NOT_COLLECTED
    live_sandboxes: Fact[Pods] = NOT_COLLECTED
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One reading: what was asked, how it went, what it cost.

    Attributes:
        name: Such as `ec2 DescribeSubnets`, `kubernetes pods`, or the name of a file.
        outcome: Empty when it was read; else why not.
        items: Things read.
        calls: Calls made.
        seconds: How long it took.
    """

    name: str
    outcome: str = ""
    items: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A cluster at one moment.

    Attributes:
        cloud: aws or azure.
        cluster: The cluster's name.
        collected_at: When, in UTC.
        aws: What AWS says; ``None``: it is no cluster of AWS.
        azure: What Azure says; ``None``: it is no cluster of Azure.
        kubernetes: What the API server says.
        pools: What ipamd says, node by node.
        lines: Lines of logs and events that mean something to the diagnosis.
        stated: What a person said.
        sources: What was read, and what could not be.
    """

    cloud: Fact[Cloud] = NOT_COLLECTED
    cluster: Fact[str] = NOT_COLLECTED
    collected_at: Fact[Time] = NOT_COLLECTED
    aws: Fact[Aws] = NOT_COLLECTED
    azure: Fact[Azure] = NOT_COLLECTED
    kubernetes: Fact[Kubernetes] = NOT_COLLECTED
    pools: Fact[tuple[PoolReading, ...]] = NOT_COLLECTED
    lines: Fact[tuple[Line, ...]] = NOT_COLLECTED
    stated: Fact[Stated] = None
    sources: tuple[Source, ...] = ()
