"""What a diagnosis says: verdict, causes with evidence, impact, history, and what is still needed.

The root causes are the words of runbook D1 ("VPC CNI IP Allocation Failures"); a ``Detail`` is used where those are
too coarse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headroom.facts.values import Unknown


class Verdict(StrEnum):
    """What it comes to."""

    FOUND = "found"
    """At least one cause is proven."""
    HEALTHY = "healthy"
    """Everything that decides was read, and nothing is wrong with addresses."""
    NOT_IP = "not_ip"
    """Something is wrong, and it is not addresses."""
    UNDECIDED = "undecided"
    """Not enough was read to decide; ``Diagnosis.needed`` says what would."""


class RootCause(StrEnum):
    """The runbook's root causes, and one that is none of a pod's address but of its traffic."""

    SUBNET_EXHAUSTION = "subnet_exhaustion"
    ENI_LIMIT = "eni_limit"
    IPAMD_FAILURE = "ipamd_failure"
    WARM_TARGET = "warm_target"
    SNAT_EXHAUSTION = "snat_exhaustion"


class Detail(StrEnum):
    """What exactly, where the root cause is too coarse; the order of a root cause's details means nothing."""

    # subnet_exhaustion
    FRAGMENTATION = "fragmentation"
    """Addresses are free, but no whole /28 of them (prefix delegation)."""
    NODE_SUBNET_FULL = "node_subnet_full"
    """Nodes themselves get no address."""
    LEAKED_ENIS = "leaked_enis"
    """Interfaces that hang on no instance hold what is missing."""
    POD_SUBNET_EXHAUSTED = "pod_subnet_exhausted"
    POD_CIDR_EXHAUSTED = "pod_cidr_exhausted"
    OVERLAY_NODE_BLOCK = "overlay_node_block"
    ROUTE_LIMIT = "route_limit"
    # eni_limit
    MAX_PODS = "max_pods"
    """The kubelet's maxPods, not the interfaces."""
    REGIONAL_QUOTA = "regional_quota"
    """The Region's quota of network interfaces."""
    # ipamd_failure
    CNI_VERSION = "cni_version"
    IAM = "iam"
    THROTTLING = "throttling"
    CONFIG = "config"
    AUTO_MODE = "auto_mode"
    HOST_LOCAL_LEAK = "host_local_leak"
    # warm_target
    COOLDOWN = "cooldown"
    """The pool's free addresses are cooling down."""


class Confidence(StrEnum):
    """How a cause stands, as a rule and not as a number."""

    PROVEN = "proven"
    """A reading that no other cause gives, or two readings of different sources that agree."""
    SUPPORTED = "supported"
    """One line or event that no other cause gives; what the cloud or the cluster says of it was not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One reading that speaks for a cause.

    Attributes:
        what: What was read, in a few words: a log line's fragment, `AvailableIpAddressCount`.
        where: The subnet, node, pod or file that it was read of.
        value: The value, with its unit.
        threshold: What it was held against; empty where the reading itself says it.
        when: First and last time, as far as known.
        count: How often.
        source: Where the meaning of the reading is documented.
    """

    what: str
    where: str = ""
    value: str = ""
    threshold: str = ""
    when: str = ""
    count: int = 1
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuledOut:
    """A cause that it is not, and the reading that says so."""

    cause: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whom a cause hits; all sorted."""

    nodes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause with its evidence.

    Attributes:
        root_cause: The runbook's word.
        detail: What exactly; ``None``: the root cause says it all.
        scope: Whom it hits.
        evidence: What speaks for it, the strongest first.
        ruled_out: What it is not, and why not.
        confidence: How it stands.
        made_by: The cause that made this one (an exhausted subnet throttles the account); ``None``: it is first.
        summary: One sentence with the figures.
    """

    root_cause: RootCause
    detail: Detail | None = None
    scope: Scope = Scope()
    evidence: tuple[Evidence, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    confidence: Confidence = Confidence.SUPPORTED
    made_by: str | None = None
    summary: str = ""

    @property
    def name(self) -> str:
        """`root_cause`, or `root_cause/detail`."""
        return self.root_cause.value if self.detail is None else f"{self.root_cause.value}/{self.detail.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotIp:
    """Something that is wrong and is not addresses: image pull, DNS, resources, another CNI and the like.

    Attributes:
        what: What it is, in the words of Kubernetes or the cloud.
        evidence: What says so.
    """

    what: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A reading that would decide.

    Attributes:
        reading: What to read.
        decides: Between what it would decide.
        command: How to read it, as a command that can be copied; empty where there is none.
        unknown: Why it was not read.
        changes_verdict: Whether it could change the verdict, or only add to it.
    """

    reading: str
    decides: str
    command: str = ""
    unknown: Unknown | None = None
    changes_verdict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HitWorkload:
    """A workload that lost replicas or cannot gain them, in the order in which to restore them.

    Attributes:
        kind: Deployment, StatefulSet, …
        namespace: Its namespace.
        name: Its name.
        desired: Replicas wanted; ``None``: unknown.
        ready: Replicas ready; ``None``: unknown.
        stuck: Pods of it without an address.
        services: Services that it stands behind, with their ready endpoints.
        priority: Its pods' priority.
        why: Why it stands where it stands in the order.
    """

    kind: str
    namespace: str
    name: str
    desired: int | None = None
    ready: int | None = None
    stuck: int = 0
    services: Mapping[str, int | None] = field(default_factory=dict)
    priority: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckAutoscaler:
    """An autoscaler that cannot do what it wants.

    Attributes:
        kind: HorizontalPodAutoscaler, Karpenter, Cluster Autoscaler or managed node group.
        name: Which one.
        why: Its reason, with figures.
    """

    kind: str
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What frees addresses at once, by hand, and can be taken back.

    Attributes:
        what: What to do, in words.
        command: The command.
        undo: The command that takes it back; empty: there is no way to help, and the command looks for why.
        addresses: Addresses that it frees, by zone; only what the exhausted zones gain.
        caveat: What to know first (in default mode a node keeps whole interfaces).
    """

    what: str
    command: str
    undo: str
    addresses: Mapping[str, int] = field(default_factory=dict)
    caveat: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Whom it hits.

    Attributes:
        stuck_pods: Pods without an address.
        workloads: Workloads that are hit, in the order in which to restore them.
        services: Number of Services behind which such workloads stand.
        autoscalers: Autoscalers that are stuck.
        reliefs: What frees addresses at once.
        unread: What of all this could not be read, and why, in sentences.
    """

    stuck_pods: int = 0
    workloads: tuple[HitWorkload, ...] = ()
    services: int = 0
    autoscalers: tuple[StuckAutoscaler, ...] = ()
    reliefs: tuple[Relief, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneAddresses:
    """Where the addresses of one subnet have gone.

    Attributes:
        subnet_id: The subnet.
        zone: Its zone; empty: unknown.
        usable: Addresses that AWS lets one use.
        free: AvailableIpAddressCount.
        by_owner: Addresses by owner: pods, warm, cooldown, nodes, leaked, load_balancer, lambda, …
        free_blocks: /28s that prefix delegation could take; ``None``: unknown.
    """

    subnet_id: str
    zone: str = ""
    usable: int = 0
    free: int | None = None
    by_owner: Mapping[str, int] = field(default_factory=dict)
    free_blocks: int | None = None


class Factor(StrEnum):
    """What used the addresses up, above all."""

    SIZE = "size"
    """The pods need more than the subnets hold, however thrifty the CNI."""
    WARM_POOL = "warm_pool"
    """The CNI keeps more ready than is needed."""
    CHURN = "churn"
    """Pods come and go faster than addresses cool down, or have left addresses scattered behind."""
    LEAK = "leak"
    """Interfaces that nobody uses."""
    DENSITY = "density"
    """Nodes cannot hold more pods."""
    OTHERS = "others"
    """Load balancers, functions and other services in the same subnets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How it came to this.

    Attributes:
        subnets: Where the addresses have gone, subnet by subnet.
        held: Addresses held by the nodes' interfaces.
        by_pods: Addresses that pods use.
        expected: What the capacity model says the same pods and settings need at most; ``None``: unknown.
        thrifty: What the same pods would hold with the best warm targets; ``None``: unknown.
        thrifty_settings: Those settings.
        factor: What dominates; ``None``: nothing is short.
        summary: It in one or two sentences with figures.
    """

    subnets: tuple[ZoneAddresses, ...] = ()
    held: int | None = None
    by_pods: int | None = None
    expected: int | None = None
    thrifty: int | None = None
    thrifty_settings: Mapping[str, str] = field(default_factory=dict)
    factor: Factor | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """A condition of the runbook under which to call somebody.

    Attributes:
        condition: The runbook's words.
        met: Whether it is; ``None``: unknown.
        because: The reading.
    """

    condition: str
    met: bool | None
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The whole of it.

    Attributes:
        verdict: What it comes to.
        causes: The causes, the first cause first.
        not_ip: What is wrong and is not addresses.
        ruled_out: What was looked at and is not it, whatever the verdict.
        impact: Whom it hits; ``None``: nobody, or unknown (then ``needed`` says so).
        history: How it came to this; ``None``: unknown.
        needed: What would decide, the most useful first.
        escalations: The runbook's conditions.
        cluster: The cluster's name; empty: unknown.
        cloud: aws or azure; empty: unknown.
        collected_at: When the facts were read; empty: unknown.
        retires: Day on which the kind of network that it has is retired; empty: none is named, or it is unknown.
    """

    verdict: Verdict
    causes: tuple[Cause, ...] = ()
    not_ip: tuple[NotIp, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    impact: Impact | None = None
    history: History | None = None
    needed: tuple[Needed, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    cluster: str = ""
    cloud: str = ""
    collected_at: str = ""
    retires: str = ""
