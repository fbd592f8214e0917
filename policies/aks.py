"""What several rules ask of an AKS cluster: how its pods get addresses, its ranges, its pools and their nodes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from headroom.addresses.blocks import Block, parse_address
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.overlay import AksPool, Surge
from headroom.planning import overlay_cluster
from policies.findings import Undecided, read
from policies.nodes import whole_number
from policies.resources import (
    AKS_AGENT_POOL,
    AKS_CLUSTER,
    UNKNOWN,
    Resource,
    Resources,
)

T = TypeVar("T")

CLUSTER_TYPES: Final = (AKS_CLUSTER, AKS_AGENT_POOL)

SDK_DEFAULTS: Final = overlay_cluster.SDK_DEFAULTS
"""What the SDK puts into a network profile where the program says nothing."""

OVERLAY_BY_DEFAULT_SINCE: Final = (1, 30)
"""Kubernetes version from which a cluster without networkPlugin gets Azure CNI Overlay; kubenet before
(Azure/azure-rest-api-specs #30844)."""

DEFAULT_POOL_COUNT: Final = 1
"""Nodes of a pool that does not say (AKS API, ManagedClusterAgentPoolProfile.count)."""

AUTO_PROVISIONING: Final = "Auto"
"""Mode of node auto-provisioning in which Karpenter makes nodes beside the pools (AKS API, NodeProvisioningMode)."""

AUTO_PROVISIONED_NODES: Final[Mapping[str, Any]] = {
    "type": "integer",
    "minimum": 0,
    "description": "Nodes that node auto-provisioning makes at most, as the limits of its NodePools have it",
}

Mode = Literal["overlay", "kubenet", "flat", "none"]
"""How pods get addresses: a /24 a node, by Azure CNI or kubenet; the nodes' subnet; a CNI of the user's own."""

_VERSION: Final = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})(?:\..*)?", re.ASCII | re.DOTALL)


def network_mode(cluster: Resource) -> Mode | Undecided:
    """How the cluster's pods get addresses."""
    plugin = read(cluster.properties, "networkProfile.networkPlugin", str)
    if isinstance(plugin, Undecided):
        return plugin
    if plugin is None:
        return _default_mode(cluster)
    if plugin.casefold() != "azure":
        return "kubenet" if plugin.casefold() == "kubenet" else "none"
    mode = read(cluster.properties, "networkProfile.networkPluginMode", str)
    if isinstance(mode, Undecided):
        return mode
    return "overlay" if mode is not None and mode.casefold() == "overlay" else "flat"


def _default_mode(cluster: Resource) -> Mode | Undecided:
    version = read(cluster.properties, "kubernetesVersion", str)
    if isinstance(version, Undecided):
        return Undecided("networkProfile.networkPlugin", "is not set, and its default depends on kubernetesVersion.")
    found = _VERSION.fullmatch(version) if version else None
    older = found is not None and (int(found[1]), int(found[2])) < OVERLAY_BY_DEFAULT_SINCE
    return "kubenet" if older else "overlay"


def cluster_range(cluster: Resource, name: str) -> Block | Undecided | ProblemsError:
    """The IPv4 range `podCidr` or `serviceCidr`; its plural wins, as the only one that may name several."""
    several = read(cluster.properties, f"networkProfile.{name}s", list)
    if isinstance(several, Undecided):
        return several
    for item in several or ():
        if item is UNKNOWN:
            return Undecided(f"networkProfile.{name}s")
        if not is_ipv6(item):
            return read_block(item, f"networkProfile.{name}s")
    one = read(cluster.properties, f"networkProfile.{name}", str)
    if isinstance(one, Undecided):
        return one
    return read_block(SDK_DEFAULTS[name] if one is None else one, f"networkProfile.{name}")


def dns_service_ip(cluster: Resource) -> int | Undecided | ProblemsError | None:
    """The address of the cluster's DNS service; None where AKS picks it."""
    text = read(cluster.properties, "networkProfile.dnsServiceIP", str)
    if text is None or isinstance(text, Undecided):
        return text
    try:
        return parse_address(text, "networkProfile.dnsServiceIP")
    except ProblemsError as error:
        return error


def read_block(text: object, key: str) -> Block | ProblemsError:
    """A range, host bits refused as Azure does, or what is wrong with it."""
    try:
        return Block.parse(text, key=key)  # type: ignore[arg-type]  # what is no text is refused there too
    except ProblemsError as error:
        return error


def is_ipv6(value: object) -> bool:
    """Whether it is a range or an address of IPv6, which no rule judges."""
    return isinstance(value, str) and ":" in value


# Node pools.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A node pool: a resource of its own, or written inside its cluster.

    Attributes:
        resource: The cluster, or the pool's own resource.
        path: Where it is written in the cluster's properties, such as `agentPoolProfiles.0`; empty for its own.
        name: As Azure has it, or the resource's.
        cluster: Its cluster, if that belongs to the stack.
    """

    resource: Resource
    path: str
    name: str
    cluster: Resource | None

    def at(self, name: str) -> str:
        """The path of one of its properties."""
        return f"{self.path}.{name}" if self.path else name

    def read(self, name: str, kind: type[T]) -> T | Undecided | None:
        """One of its properties."""
        return read(self.resource.properties, self.at(name), kind)

    @property
    def key(self) -> str:
        """The property of the resource that it is written in."""
        return self.path.partition(".")[0]


@dataclass(slots=True)
class Pools:
    """The node pools of a stack.

    Attributes:
        of_cluster: By the cluster's URN.
        elsewhere: Pools of clusters that do not belong to the stack.
        undecided: By the cluster's URN, what of its pools is not known.
    """

    of_cluster: dict[str, list[Pool]] = field(default_factory=dict)
    elsewhere: list[Pool] = field(default_factory=list)
    undecided: dict[str, list[Undecided]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Pool]:
        for pools in self.of_cluster.values():
            yield from pools
        yield from self.elsewhere


def pools_of(resources: Resources) -> Pools:
    """Every node pool of the stack; one that is written twice counts once, as its own resource."""
    found = Pools()
    by_name: dict[str, Resource] = {}
    for cluster in resources.of_type(AKS_CLUSTER):
        found.of_cluster[cluster.urn] = []
        for key in ("resourceName", "name"):
            name = cluster.properties.get(key)
            if isinstance(name, str):
                by_name.setdefault(name.casefold(), cluster)
    for resource in resources.of_type(AKS_AGENT_POOL):
        of = _cluster_of(resources, resource, by_name)
        pool = Pool(resource=resource, path="", name=azure_name(resource, "agentPoolName"), cluster=of)
        (found.elsewhere if of is None else found.of_cluster[of.urn]).append(pool)
    for cluster in resources.of_type(AKS_CLUSTER):
        pools, undecided = _profiles(cluster)
        own = {pool.name.casefold() for pool in found.of_cluster[cluster.urn]}
        found.of_cluster[cluster.urn].extend(pool for pool in pools if pool.name.casefold() not in own)
        if undecided:
            found.undecided[cluster.urn] = undecided
    return found


def _profiles(cluster: Resource) -> tuple[list[Pool], list[Undecided]]:
    """The pools that are written inside a cluster."""
    listed = read(cluster.properties, "agentPoolProfiles", list)
    if isinstance(listed, Undecided):
        return [], [listed]
    pools: list[Pool] = []
    undecided: list[Undecided] = []
    for index, profile in enumerate(listed or ()):
        path = f"agentPoolProfiles.{index}"
        if isinstance(profile, Mapping):
            name = profile.get("name")
            label = name if isinstance(name, str) else f"pool {index}"
            pools.append(Pool(resource=cluster, path=path, name=label, cluster=cluster))
        else:
            undecided.append(Undecided(path) if profile is UNKNOWN else Undecided(path, "is not a mapping."))
    return pools, undecided


def _cluster_of(resources: Resources, pool: Resource, by_name: Mapping[str, Resource]) -> Resource | None:
    name = pool.properties.get("resourceName")
    if isinstance(name, str):
        return by_name.get(name.casefold())
    sources = resources.sources(pool, "resourceName", AKS_CLUSTER)
    return sources[0] if len(sources) == 1 else None


def azure_name(resource: Resource, key: str) -> str:
    """What Azure calls it, or the resource's own name where Azure's is made up or not known."""
    name = resource.properties.get(key)
    return name if isinstance(name, str) and name else resource.name


def pool_size(pool: Pool) -> AksPool | list[Problem | Undecided]:
    """How many nodes the pool has and may get, and how many pods each; or everything that cannot be told of it."""
    wrong: list[Problem | Undecided] = []
    kind = pool.read("type", str)
    count = _machines(pool) if kind == "VirtualMachines" else _number(pool, "count")
    scaled = pool.read("enableAutoScaling", bool)
    maximum: int | Undecided | None = None
    if scaled is True:
        maximum = _number(pool, "maxCount")
        if maximum is None:
            maximum = Undecided(pool.at("maxCount"), "is not set, though enableAutoScaling is true.")
    max_pods = _number(pool, "maxPods")
    surge = _surge(pool)
    wrong.extend(value for value in (kind, count, scaled, maximum, max_pods) if isinstance(value, Undecided))
    if not isinstance(surge, Surge):
        wrong.extend(surge)
    if wrong or not isinstance(surge, Surge):
        return wrong
    return AksPool(
        name=pool.name,
        count=count if isinstance(count, int) else DEFAULT_POOL_COUNT,
        maximum=maximum if isinstance(maximum, int) else None,
        surge=surge,
        max_pods=max_pods if isinstance(max_pods, int) else None,
    )


def _number(pool: Pool, name: str) -> int | Undecided | None:
    value = pool.read(name, int)
    if isinstance(value, int) and value < 0:
        return Undecided(pool.at(name), "is below 0.")
    return value


def _machines(pool: Pool) -> int | Undecided | None:
    """Nodes of a pool of single virtual machines, which names a number for each size."""
    listed = pool.read("virtualMachinesProfile.scale.manual", list)
    if listed is None or isinstance(listed, Undecided):
        return listed
    total = 0
    for index in range(len(listed)):
        count = _number(pool, f"virtualMachinesProfile.scale.manual.{index}.count")
        if isinstance(count, Undecided):
            return count
        total += DEFAULT_POOL_COUNT if count is None else count
    return total


def _surge(pool: Pool) -> Surge | list[Problem | Undecided]:
    default = AksPool(name=pool.name, count=0).surge
    text = pool.read("upgradeSettings.maxSurge", str)
    if text is None or text == "":
        return default
    if isinstance(text, Undecided):
        number = pool.read("upgradeSettings.maxSurge", int)
        return [text] if not isinstance(number, int) or number < 0 else Surge(number)
    try:
        return Surge.parse(text, key=pool.at("upgradeSettings.maxSurge"))
    except ProblemsError as error:
        return list(error.problems)


def auto_provisioned(cluster: Resource, name: str, config: Mapping[str, Any]) -> AksPool | Undecided | None:
    """The nodes that node auto-provisioning makes beside the pools; None where it is off.

    Args:
        cluster: The cluster.
        name: The rule that asks, for the sentence.
        config: Its configuration.
    """
    mode = read(cluster.properties, "nodeProvisioningProfile.mode", str)
    if isinstance(mode, Undecided):
        return mode
    if mode != AUTO_PROVISIONING:
        return None
    most = whole_number(config, "autoProvisionedNodes")
    if most is None:
        reason = f"is bounded by its NodePools only, which are not here: set autoProvisionedNodes for {name}."
        return Undecided("node auto-provisioning", reason)
    return AksPool(name="node auto-provisioning", count=most, surge=Surge(0))


def outbound_type(cluster: Resource) -> str | Undecided:
    """The cluster's way out."""
    value = read(cluster.properties, "networkProfile.outboundType", str)
    return SDK_DEFAULTS["outboundType"] if value is None else value
