"""Whether a running AKS cluster can move to Azure CNI Overlay in place, or a new one has to stand beside it.

Every rule of the AKS documentation (update-azure-cni) and of the release notes, each with its reason. Where the two
differ the stricter one holds, and says so; `allow` takes the other side of exactly those. What is unknown is never a
yes.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headroom.addresses.azure import NODE_LABEL_CHARACTERS, AksRanges
from headroom.addresses.blocks import Block, listed
from headroom.addresses.problems import Problem
from headroom.capacity.overlay import (
    DCSV2,
    NPM_RETIRES,
    AksPool,
    ClusterCapacity,
    cluster_capacity,
    default_surge,
)
from headroom.diagnosis.aks import ranges_around, sized
from headroom.facts.azure import (
    AgentPool,
    Azure,
    AzureSubnet,
    ManagedCluster,
    NetworkProfile,
    part_of,
    resource_name,
    same_resource,
)
from headroom.facts.values import Reason, Unknown, items, known, known_or
from headroom.planning.aks_situation import blocks_of

LEAST_VERSION: Final = (1, 27)
"""Kubernetes from which a cluster can be updated to overlay (AKS documentation, update-azure-cni)."""
POLICY_REMOVAL_VERSION: Final = (1, 30)
"""Kubernetes from which a network policy engine can be taken out (Azure/AKS CHANGELOG, 2026-05-29)."""
WINDOWS_BUILD: Final = (20348, 1668)
"""Windows build from which its nodes can be updated (AKS documentation, update-azure-cni)."""

_ABOUT_PODS_AND_NODES: Final = ("pod-cidr", "node-subnet", "pool")
"""Keys of the problems of capacity that concern the update."""

_UPDATE: Final = "AKS documentation, update-azure-cni"
_OVERLAY: Final = "AKS documentation, concepts-network-azure-cni-overlay"


class Answer(StrEnum):
    """What a rule says of the way in place."""

    ALLOWS = "allows"
    FIRST = "first"
    """It can be made to allow it, by what the next step says."""
    FORBIDS = "forbids"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One rule of the way in place.

    Attributes:
        rule: Its name.
        answer: What it says of this cluster.
        because: The reading and what follows from it.
        next_step: What to do about it; empty where there is nothing to do.
        source: Where the rule comes from.
    """

    rule: str
    answer: Answer
    because: str
    next_step: str = ""
    source: str = _UPDATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """What all rules say together.

    Attributes:
        answer: The strictest of them.
        conditions: All of them, in the order of the documentation.
        consequences: What happens to a cluster that goes this way, said plainly.
    """

    answer: Answer
    conditions: tuple[Condition, ...]
    consequences: tuple[str, ...]

    def of(self, *answers: Answer) -> tuple[Condition, ...]:
        """The conditions with one of these answers."""
        return tuple(condition for condition in self.conditions if condition.answer in answers)


CONSEQUENCES: Final = (
    "All node pools are reimaged at the same time; there is no way to do one after the other.",
    "There is no way back: neither to kubenet nor to addresses of the VNet.",
    "Pods get addresses of the new range; whoever listed the old ones has to know.",
)
UNREACHABLE: Final = (
    "Nothing outside of the cluster reaches a pod by its address any more, as it can today: whatever does needs a "
    "Service with an internal load balancer first."
)
"""Of clusters whose pods have addresses of the VNet (AKS documentation, concepts-network-azure-cni-overlay)."""
POLICY_GAP: Final = (
    "Network policies stay as objects and are enforced by nobody from the moment the engine is taken out until an "
    "engine runs again: everything may talk to everything."
)


def in_place(azure: Azure, pod_cidr: Block | None, *, allow: Collection[str] = ()) -> Eligibility:
    """Judges the way in place.

    Args:
        azure: What was read of the cluster.
        pod_cidr: The overlay's range; None keeps kubenet's.
        allow: Names of rules whose looser source is to hold: `custom-ip-masq`, `pod-cidr-in-vnet`.
    """
    cluster = known(azure.cluster)
    network = known(cluster.network) if cluster else None
    if cluster is None or network is None:
        missing = azure.cluster if cluster is None else cluster.network
        condition = Condition(
            rule="cluster-read",
            answer=Answer.UNKNOWN,
            because=f"The cluster's network profile: {missing if isinstance(missing, Unknown) else 'not there'}.",
            next_step="Read the cluster with Reader on its resource group.",
        )
        return Eligibility(answer=Answer.UNKNOWN, conditions=(condition,), consequences=())
    conditions = tuple(
        condition for rule in _RULES for condition in rule(_Case(azure, cluster, network, pod_cidr, frozenset(allow)))
    )
    answers = {condition.answer for condition in conditions}
    order = (Answer.FORBIDS, Answer.UNKNOWN, Answer.FIRST)
    answer = next((each for each in order if each in answers), Answer.ALLOWS)
    consequences = [*CONSEQUENCES]
    if known(network.network_plugin) == "azure":
        consequences.append(UNREACHABLE)
    if known_or(network.network_policy, "none") not in ("none", ""):
        consequences.append(POLICY_GAP)
    return Eligibility(answer=answer, conditions=conditions, consequences=tuple(consequences))


@dataclass(frozen=True, slots=True)
class _Case:
    azure: Azure
    cluster: ManagedCluster
    network: NetworkProfile
    pod_cidr: Block | None
    allow: frozenset[str]


def _unread(rule: str, what: str, fact: object, next_step: str = "") -> Condition:
    told = fact if isinstance(fact, Unknown) else "not there"
    return Condition(rule=rule, answer=Answer.UNKNOWN, because=f"{what}: {told}.", next_step=next_step)


def _plugin(case: _Case) -> Iterator[Condition]:
    plugin, mode = case.network.network_plugin, case.network.network_plugin_mode
    if isinstance(plugin, Unknown) or plugin is None:
        yield _unread("plugin", "The network plugin", plugin)
        return
    if isinstance(mode, Unknown):
        yield _unread("plugin", "The network plugin's mode", mode)
        return
    if mode == "overlay":
        yield Condition(rule="plugin", answer=Answer.FORBIDS, because="The cluster has Azure CNI Overlay already.")
    elif plugin not in ("kubenet", "azure"):
        because = f"The network plugin is {plugin}: only kubenet and azure can be updated."
        yield Condition(rule="plugin", answer=Answer.FORBIDS, because=because)
    else:
        yield Condition(
            rule="plugin", answer=Answer.ALLOWS, because=f"The network plugin is {plugin}, which can be updated."
        )
    pools = case.azure.pools
    if isinstance(pools, Unknown) or pools is None:
        yield _unread("pod-subnet", "The node pools", pools)
        return
    dynamic = [pool.name for pool in pools if known(pool.pod_subnet_id)]
    unread = [pool.name for pool in pools if isinstance(pool.pod_subnet_id, Unknown)]
    if dynamic:
        yield Condition(
            rule="pod-subnet",
            answer=Answer.FORBIDS,
            because=f"Pods of {listed(dynamic)} take addresses of a pod subnet, and such clusters cannot be updated.",
            source=f"{_UPDATE}; Azure/AKS #4077",
        )
    elif unread:
        yield _unread("pod-subnet", f"Pod subnets of {listed(unread)}", Unknown())
    else:
        yield Condition(rule="pod-subnet", answer=Answer.ALLOWS, because="No pool has a pod subnet.")


def _version(case: _Case) -> Iterator[Condition]:
    found = _kubernetes(case.cluster)
    if found is None:
        yield _unread("version", "The version of Kubernetes", case.cluster.current_kubernetes_version)
        return
    shown = f"{found[0]}.{found[1]}"
    if found >= LEAST_VERSION:
        yield Condition(rule="version", answer=Answer.ALLOWS, because=f"Kubernetes {shown} can be updated.")
    else:
        yield Condition(
            rule="version",
            answer=Answer.FIRST,
            because=f"Kubernetes {shown} is older than {LEAST_VERSION[0]}.{LEAST_VERSION[1]}.",
            next_step="Upgrade Kubernetes first.",
        )


def _kubernetes(cluster: ManagedCluster) -> tuple[int, int] | None:
    text = known(cluster.current_kubernetes_version) or known(cluster.kubernetes_version) or ""
    found = re.match(r"(\d{1,3})\.(\d{1,3})", text)
    return (int(found[1]), int(found[2])) if found else None


def _policy(case: _Case) -> Iterator[Condition]:
    policy = case.network.network_policy
    if isinstance(policy, Unknown):
        yield _unread("network-policy", "The network policy engine", policy)
        return
    if policy in (None, "", "none"):
        yield Condition(rule="network-policy", answer=Answer.ALLOWS, because="No network policy engine runs.")
        return
    plugin = known(case.network.network_plugin)
    if plugin == "kubenet" and policy == "calico":
        yield Condition(
            rule="network-policy",
            answer=Answer.FORBIDS,
            because="kubenet with Calico has not been updated in place since 2023-11-28.",
            next_step="Build the new cluster beside this one.",
            source="Azure/AKS CHANGELOG, 2023-11-28; #4006",
        )
        return
    if policy == "cilium":
        # The page asks for no engine, and says how to take out the other two alone.
        yield Condition(
            rule="network-policy",
            answer=Answer.UNKNOWN,
            because="cilium is on, no engine may be, and the page says how to take out Azure NPM and Calico alone.",
            next_step="Try the update on a cluster that nobody needs, or build the new cluster beside this one.",
            source=f"{_UPDATE}; AKS documentation, use-network-policies",
        )
        return
    version = _kubernetes(case.cluster)
    ends = f" Azure NPM is retired: on {listed(_npm_ends(case))}." if policy == "azure" else ""
    least = f"{POLICY_REMOVAL_VERSION[0]}.{POLICY_REMOVAL_VERSION[1]}"
    if version is not None and version < POLICY_REMOVAL_VERSION:
        yield Condition(
            rule="network-policy",
            answer=Answer.FIRST,
            because=f"{policy} is on, no engine may be, and below Kubernetes {least} it cannot be taken out.{ends}",
            next_step=f"Upgrade to Kubernetes {least}, then set networkPolicy: none. {POLICY_GAP}",
            source="Azure/AKS CHANGELOG, 2026-05-29; #3845, #4006",
        )
    else:
        yield Condition(
            rule="network-policy",
            answer=Answer.FIRST,
            because=f"{policy} is on, and no engine may be during the update.{ends}",
            next_step=f"az aks update --network-policy none, and afterwards the engine again. {POLICY_GAP}",
            source="Azure/AKS #3845, #4006; AKS documentation, use-network-policies",
        )


def _npm_ends(case: _Case) -> list[str]:
    """When Azure NPM ends for the nodes of the cluster."""
    systems = {known_or(pool.os_type, "Linux") for pool in items(case.azure.pools)} or {"Linux"}
    return [f"{NPM_RETIRES[system]} for {system}" for system in sorted(systems) if system in NPM_RETIRES]


def _dataplane(case: _Case) -> Iterator[Condition]:
    plane = case.network.network_dataplane
    if isinstance(plane, Unknown):
        yield _unread("dataplane", "The data plane", plane)
    elif plane == "cilium":
        yield Condition(rule="dataplane", answer=Answer.ALLOWS, because="The data plane is cilium already.")
    else:
        yield Condition(
            rule="dataplane",
            answer=Answer.ALLOWS,
            because="The data plane stays as it is: address management and data plane are separate operations, and "
            "kubenet cannot go to Cilium in one.",
        )


def _identity(case: _Case) -> Iterator[Condition]:
    if known(case.network.network_plugin) != "kubenet":
        return
    kind = case.cluster.identity_type
    if isinstance(kind, Unknown):
        yield _unread("identity", "The cluster's identity", kind)
    elif kind == "UserAssigned":
        because = "The identity is user-assigned, so that the route table can be detached."
        yield Condition(rule="identity", answer=Answer.ALLOWS, because=because)
    else:
        what = "is system-assigned" if kind == "SystemAssigned" else "is a service principal"
        yield Condition(
            rule="identity",
            answer=Answer.FIRST,
            because=f"The identity {what}; taking kubenet's route table off needs a user-assigned one.",
            next_step="az aks update --enable-managed-identity --assign-identity, with Network Contributor on the "
            "subnet, and wait until the role counts (up to an hour).",
            source=f"{_UPDATE}; AKS documentation, configure-kubenet",
        )


def _route_table(case: _Case) -> Iterator[Condition]:
    if known(case.network.network_plugin) != "kubenet":
        return
    subnets = {subnet.subnet_id: subnet for vnet in items(case.azure.vnets) for subnet in items(vnet.subnets)}
    pools = items(case.azure.pools)
    own = [pool.node_subnet_id for pool in pools if isinstance(pool.node_subnet_id, str)]
    if not own:
        yield Condition(rule="route-table", answer=Answer.ALLOWS, because="AKS manages the VNet and its route table.")
        return
    mine = [subnet for name, subnet in subnets.items() if any(same_resource(name, one) for one in own)]
    if isinstance(case.azure.vnets, Unknown) or not mine:
        yield _unread("route-table", "The nodes' subnet", case.azure.vnets)
        return
    unread = [subnet.name for subnet in mine if isinstance(subnet.route_table_id, Unknown)]
    if unread:
        yield _unread("route-table", f"The route table of {listed(unread)}", Unknown())
        return
    tables = {table.lower() for subnet in mine if (table := known(subnet.route_table_id)) is not None}
    users = _users(case, tables)
    if isinstance(users, Unknown):
        yield _unread("route-table", "Which subnets have the nodes' route table", users)
        return
    sharing = sorted(
        {_subnet_name(each, mine[0].subnet_id) for each in users if not any(same_resource(each, one) for one in own)}
    )
    if sharing:
        yield Condition(
            rule="route-table",
            answer=Answer.FIRST,
            because=f"The nodes' route table is that of {listed(sharing)} too, and the update fails there.",
            next_step="Give the other subnets a route table of their own.",
            source="MicrosoftDocs/azure-aks-docs #334",
        )
    else:
        yield Condition(
            rule="route-table",
            answer=Answer.ALLOWS,
            because="The nodes' route table serves no other subnet; the update deletes its pod routes."
            if tables
            else "The nodes' subnet has no route table.",
        )


def _users(case: _Case, tables: Collection[str]) -> list[str] | Unknown:
    """ARM ids of the subnets that have these route tables, those of other VNets among them; unknown where one may."""
    found = [
        subnet.subnet_id
        for vnet in items(case.azure.vnets)
        for subnet in items(vnet.subnets)
        if (known(subnet.route_table_id) or "").lower() in tables
    ]
    if not tables:
        return found
    if isinstance(case.azure.route_tables, Unknown):
        return case.azure.route_tables
    read = {each.route_table_id.lower(): each for each in items(case.azure.route_tables)}
    for table in tables:
        own = read[table].subnet_ids if table in read else Unknown()
        if isinstance(own, Unknown):
            return own
        found += items(own)
    return found


def _subnet_name(subnet_id: str, beside: str) -> str:
    """A subnet by its name, with that of its VNet where it is another one."""
    name, vnet = resource_name(subnet_id), subnet_id.rpartition("/subnets/")[0]
    return name if same_resource(vnet, beside.rpartition("/subnets/")[0]) else f"{resource_name(vnet)}/{name}"


def _masquerade(case: _Case) -> Iterator[Condition]:
    agent = case.azure.ip_masq
    if isinstance(agent, Unknown):
        yield _unread("custom-ip-masq", "The configuration of azure-ip-masq-agent", agent)
        return
    custom = None if agent is None else agent.custom
    if isinstance(custom, Unknown):
        yield _unread("custom-ip-masq", "The configuration of azure-ip-masq-agent", custom)
    elif not custom:
        because = "azure-ip-masq-agent has no configuration of somebody's own."
        yield Condition(rule="custom-ip-masq", answer=Answer.ALLOWS, because=because)
    else:
        allowed = "custom-ip-masq" in case.allow
        yield Condition(
            rule="custom-ip-masq",
            answer=Answer.ALLOWS if allowed else Answer.FIRST,
            because="azure-ip-masq-agent has a configuration of its own: the release notes say that this blocks the "
            "update, the page that it warns. The stricter holds" + (", but was overridden." if allowed else "."),
            next_step=""
            if allowed
            else "Take the ConfigMap azure-ip-masq-agent-config away, or --set allow=custom-ip-masq.",
            source=f"Azure/AKS CHANGELOG, 2025-01-30; {_UPDATE}",
        )


def _windows(case: _Case) -> Iterator[Condition]:
    pools = case.azure.pools
    if isinstance(pools, Unknown) or pools is None:
        return
    for pool in pools:
        if isinstance(pool.os_type, Unknown):
            yield _unread("windows", f"The operating system of {pool.name}", pool.os_type)
        elif pool.os_type == "Windows":
            yield _windows_pool(pool)
    if known(case.network.network_dataplane) == "cilium" and any(pool.os_type == "Windows" for pool in pools):
        yield Condition(rule="windows", answer=Answer.FORBIDS, because="Cilium has no Windows nodes.")


def _windows_pool(pool: AgentPool) -> Condition:
    image = known_or(pool.node_image_version, "")
    build = re.search(r"(\d{5})\.(\d{1,5})", image)
    least = ".".join(map(str, WINDOWS_BUILD))
    if build is None:
        return _unread("windows", f"The Windows build of {pool.name}", pool.node_image_version)
    if (int(build[1]), int(build[2])) >= WINDOWS_BUILD:
        because = f"{pool.name} runs build {build[0]}; Docker, which no node may run, ended with Kubernetes 1.24."
        return Condition(rule="windows", answer=Answer.ALLOWS, because=because)
    return Condition(
        rule="windows",
        answer=Answer.FIRST,
        because=f"{pool.name} runs build {build[0]}, older than {least}.",
        next_step="Upgrade its node image first.",
    )


def _sets(case: _Case) -> Iterator[Condition]:
    pools = items(case.azure.pools)
    kinds = [pool.name for pool in pools if known(pool.pool_type) == "AvailabilitySet"]
    if kinds:
        yield Condition(
            rule="scale-sets",
            answer=Answer.FORBIDS,
            because=f"{listed(kinds)} has VMs of an availability set, which overlay does not support.",
            source=_OVERLAY,
        )
    confidential = [pool.name for pool in pools if DCSV2.fullmatch(known_or(pool.vm_size, ""))]
    if confidential:
        yield Condition(
            rule="vm-size",
            answer=Answer.FORBIDS,
            because=f"{listed(confidential)} has DCsv2 machines, which overlay does not support.",
            source=_OVERLAY,
        )


def _names(case: _Case) -> Iterator[Condition]:
    """Nodes of an overlay carry the names of their subnet, its VNet and their resource group as labels."""
    found = {
        text
        for subnet in _node_subnets(case)
        for text in (part_of(subnet.subnet_id, place) for place in ("subnets", "virtualNetworks", "resourceGroups"))
        if len(text) > NODE_LABEL_CHARACTERS
    }
    if found:
        yield Condition(
            rule="names",
            answer=Answer.FORBIDS,
            because=f"{listed(sorted(found))} is longer than {NODE_LABEL_CHARACTERS} characters, and nodes carry the "
            "names of subnet, VNet and its resource group as labels.",
            next_step="Build the new cluster in a subnet, VNet and resource group with shorter names.",
            source=_OVERLAY,
        )


def _pod_range(case: _Case) -> Iterator[Condition]:
    if case.pod_cidr is None:
        if known(case.network.network_plugin) == "azure":
            yield Condition(
                rule="pod-cidr",
                answer=Answer.FIRST,
                because="Pods have addresses of the VNet today, and the update needs a range for the overlay.",
                next_step="Choose one, and give it as --pod-cidr.",
            )
            return
        current = known(case.network.pod_cidr)
        if current is None:
            yield _unread("pod-cidr", "The pod range", case.network.pod_cidr)
            return
        pod_cidr = Block.parse(current)
    else:
        pod_cidr = case.pod_cidr
    yield from _range_conditions(case, pod_cidr)


def _range_conditions(case: _Case, pod_cidr: Block) -> Iterator[Condition]:
    if isinstance(case.azure.vnets, Unknown):
        yield _unread("pod-cidr", "The VNets that the range must not overlap", case.azure.vnets)
        return
    for what, fact in _compared(case):
        if isinstance(fact, Unknown):
            yield _unread("pod-cidr", f"{what} that the range must not overlap", fact)
            return
    ranges = _ranges(case, pod_cidr)
    pools = aks_pools(case.azure, _kubernetes(case.cluster))
    if isinstance(pools, Unknown):
        yield _unread("pod-cidr", "The sizes of the node pools", pools)
        return
    found = cluster_capacity(ranges, pools, load_balancer_addresses=sum(map(_held_by_others, _node_subnets(case))))
    yield from _service_conditions(found)
    # What else is wrong with the service range is so today already, and the update changes nothing about it.
    problems = [problem for problem in found.problems if problem.key in _ABOUT_PODS_AND_NODES]
    if ranges.node_subnet is None:
        problems += _of_several_subnets(case, pools, pod_cidr)
    for problem in problems:
        yield Condition(
            rule=problem.rule,
            answer=Answer.FIRST,
            because=f"{problem.value} {problem.reason}",
            next_step=problem.next_step,
            source=problem.source,
        )
    inside = [warning for warning in found.warnings if warning.rule == "pod-cidr-in-vnet"]
    for warning in inside:
        allowed = "pod-cidr-in-vnet" in case.allow
        yield Condition(
            rule="pod-cidr-in-vnet",
            answer=Answer.ALLOWS if allowed else Answer.FIRST,
            because=f"{warning.value} {warning.reason} The page refuses that, the release notes only an overlap with a "
            "subnet; the stricter holds" + (", but was overridden." if allowed else "."),
            next_step="" if allowed else "Take another range, or --set allow=pod-cidr-in-vnet.",
            source=f"{_UPDATE}; Azure/AKS CHANGELOG, 2024-10-25",
        )
    if not (problems or inside):
        yield Condition(
            rule="pod-cidr",
            answer=Answer.ALLOWS,
            because=f"{pod_cidr} overlaps nothing, and its {found.blocks:,} /24s hold the {found.nodes:,} nodes of all "
            "pools at their largest.",
        )


def _service_conditions(found: ClusterCapacity) -> Iterator[Condition]:
    """A subnet that somebody has put into the range of Services stops upgrades, too (Azure support, error codes)."""
    for problem in found.problems:
        if (problem.rule, problem.key) == ("subnet-overlap", "service-cidr"):
            yield Condition(
                rule="service-cidr",
                answer=Answer.FIRST,
                because=f"The range of Services {problem.value} {problem.reason}",
                next_step="Take that subnet out of it: the range of Services stays as it is for the cluster's life.",
                source=problem.source,
            )


_NODES: Final = ("virtualMachineScaleSets", "virtualMachines", "networkInterfaces")
"""Kinds of owners of IP configurations that may be nodes, by the pool's type."""


def _held_by_others(subnet: AzureSubnet) -> int:
    """Addresses of a node subnet that surely no node has: front ends of internal load balancers and the like."""
    owners = known(subnet.ip_configuration_owners) or {}
    return sum(count for kind, count in owners.items() if kind not in _NODES)


def _compared(case: _Case) -> Iterator[tuple[str, object]]:
    """What the range is held against, with what it is called."""
    yield "The range of Services", case.network.service_cidr
    for vnet in items(case.azure.vnets):
        yield f"The address space of {vnet.name}", vnet.prefixes
        yield f"The subnets of {vnet.name}", vnet.subnets
        yield from ((f"The CIDR of {vnet.name}/{each.name}", each.prefixes) for each in items(vnet.subnets))
        yield f"The peerings of {vnet.name}", vnet.peerings
        for each in items(vnet.peerings):
            yield f"The address space behind the peering {each.name}", each.remote_prefixes


def _of_several_subnets(case: _Case, pools: tuple[AksPool, ...], pod_cidr: Block) -> Iterator[Problem]:
    """What is too small where pools have subnets of their own: each is held to its pools alone."""
    by_name = {pool.name: pool for pool in pools}
    for subnet in _node_subnets(case):
        prefixes = blocks_of(subnet.prefixes)
        if len(prefixes) != 1:
            continue
        own = [
            by_name[each.name]
            for each in items(case.azure.pools)
            if isinstance(each.node_subnet_id, str) and same_resource(subnet.subnet_id, each.node_subnet_id)
        ]
        found = cluster_capacity(
            AksRanges(pod_cidr=pod_cidr, node_subnet=prefixes[0]), own, load_balancer_addresses=_held_by_others(subnet)
        )
        yield from (problem for problem in found.problems if problem.rule == "node-subnet-full")


def _node_subnets(case: _Case) -> list[AzureSubnet]:
    own = [pool.node_subnet_id for pool in items(case.azure.pools) if isinstance(pool.node_subnet_id, str)]
    return [
        subnet
        for vnet in items(case.azure.vnets)
        for subnet in items(vnet.subnets)
        if any(same_resource(subnet.subnet_id, one) for one in own)
    ]


def _ranges(case: _Case, pod_cidr: Block) -> AksRanges:
    own = [block for subnet in _node_subnets(case) for block in blocks_of(subnet.prefixes)]
    return ranges_around(case.azure, case.network, pod_cidr=pod_cidr, node_subnet=own[0] if len(own) == 1 else None)


def aks_pools(azure: Azure, version: tuple[int, int] | None) -> tuple[AksPool, ...] | Unknown:
    """The pools as capacity sees them: at the autoscaler's maximum, with surge and maxPods; unknown if one is.

    Args:
        azure: What was read of the cluster.
        version: Its version of Kubernetes, on which the default surge depends.
    """
    if isinstance(azure.pools, Unknown):
        return azure.pools
    found = []
    for pool in items(azure.pools):
        for fact in (pool.count, pool.maximum, pool.max_pods, pool.max_surge):
            if isinstance(fact, Unknown):
                return fact
        made = sized(pool, default=default_surge(version))
        if made is None:
            return Unknown(Reason.UNPARSEABLE, f"the surge of node pool {pool.name}")
        found.append(made)
    return tuple(found)


_RULES: Final[tuple[Callable[[_Case], Iterator[Condition]], ...]] = (
    _plugin,
    _version,
    _policy,
    _dataplane,
    _identity,
    _route_table,
    _masquerade,
    _windows,
    _sets,
    _names,
    _pod_range,
)
