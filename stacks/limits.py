"""The limits stack: node groups and NodePools grow no further than the subnets of their zones allow.

The limits are reckoned here, from the subnets, aws-node's settings and what a node runs, and the arithmetic is printed
at every preview. A managed node group belongs to somebody else: the first `up` adopts it as it is, the next one sets
its maximum, and `destroy` leaves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pulumi

from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import OBSERVED_VERSION
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.fleet import DEFAULT_SURGE, FleetSubnet
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.node_limits import MOST_NODES, GrowingNodes, NodeLimit, cpu_limit, node_limits
from headroom.capacity.node_limits import NodeLimits as Reckoned
from headroom.capacity.settings import CniSettings, check_settings
from headroom.capacity.thresholds import NODES_START_IN, ROLES
from stacks.adoption import node_group_now
from stacks.recorded import recorded_resources
from stacks.settings import ConfigReader

if TYPE_CHECKING:
    from components.node_limits import ManagedGroup

NAME: Final = "limits"
"""Logical name of the stack's component: it never changes."""

NODE_GROUP_TYPE: Final = "aws:eks/nodeGroup:NodeGroup"

KINDS: Final = ("managed", "karpenter")

_SUBNET_FIELDS: Final = ("zone", "cidrBlock", "role", "heldByOthers")
_GROUP_FIELDS: Final = ("kind", "instanceTypes", "zones", "running", "wanted", "podsPerNode", "maxPods")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSettings:
    """The stack's configuration, read, checked and reckoned."""

    cluster: str
    managed: Sequence[NodeLimit]
    karpenter: Sequence[NodeLimit]
    cordoned: Sequence[str]
    force: bool
    reckoned: Reckoned


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration; nothing was registered.
    """
    settings = read_settings(ConfigReader())
    groups = _managed(settings)
    from components.node_limits import NodeLimits, NodeLimitsArgs  # noqa: PLC0415 - loads the Kubernetes SDK

    args = NodeLimitsArgs(
        cluster=settings.cluster,
        managed=groups,
        karpenter={each.nodes.name: cpu_limit(each) for each in settings.karpenter},
        cordoned=settings.cordoned,
        force=settings.force,
    )
    for line in settings.reckoned.arithmetic():
        pulumi.log.info(line)
    for zone in settings.reckoned.short:
        pulumi.log.warn(
            f"{zone.zone}: an upgrade of what runs already takes {zone.with_upgrade:,} addresses. A limit frees none: "
            "add a subnet there, or a setting that holds fewer (headroom calc fleet --help)."
        )
    limits = NodeLimits(NAME, args)
    adopted = sorted(name for name, group in groups.items() if group.adopt)
    pulumi.export("maxima", dict(limits.maxima))
    pulumi.export("vcpus", dict(sorted(args.karpenter.items())))
    pulumi.export("arithmetic", settings.reckoned.arithmetic())
    pulumi.export(
        "next",
        f"pulumi up, once more: {', '.join(adopted)} {'is' if len(adopted) == 1 else 'are'} adopted, and the maximum "
        "is set by the next one."
        if adopted
        else f"headroom diagnose --cluster {settings.cluster}",
    )


def read_settings(config: ConfigReader) -> LimitsSettings:
    """Reads the configuration and reckons the limits.

    Raises:
        ProblemsError: Every problem with its key.
    """
    cluster = config.required_text("clusterName", "prod-use1")
    subnets = _read_subnets(config)
    kinds: dict[str, str] = {}
    groups = _read_groups(config, subnets, kinds)
    environment = config.text_mapping("cniEnvironment", config.mapping("cniEnvironment"))
    problems, _ = check_settings(environment, OBSERVED_VERSION, nitro=True)
    config.problems.extend(replace(problem, key=f"headroom:cniEnvironment.{problem.key}") for problem in problems)
    surge = config.integer("upgradeSurge", DEFAULT_SURGE)
    if surge < 1:
        config.problem("upgradeSurge", str(surge), "is no number of nodes that an upgrade adds.", "Write 1 or more.")
    cordoned = config.texts("cordonedNodes")
    force = config.boolean("forcePatches", default=False)
    config.refuse_other_keys("remedy")
    if not groups and not cordoned and not config.problems_at("nodeLimits"):
        config.problem("nodeLimits", "nothing", "is set.", "Name the node groups and NodePools that may grow.")
    if config.problems:
        raise ProblemsError(config.problems, subject="configuration")
    settings = CniSettings.from_environment(environment)
    chosen = [_widest(candidates, settings, kinds[name]) for name, candidates in groups.items()]
    reckoned = node_limits(chosen, settings, subnets, surge=surge)
    found = _unfit(reckoned, kinds)
    if found:
        raise ProblemsError(found, subject="configuration")
    by_kind = {kind: [each for name, each in reckoned.limits.items() if kinds[name] == kind] for kind in KINDS}
    return LimitsSettings(
        cluster=cluster,
        managed=by_kind["managed"],
        karpenter=by_kind["karpenter"],
        cordoned=cordoned,
        force=force,
        reckoned=reckoned,
    )


def _unfit(reckoned: Reckoned, kinds: Mapping[str, str]) -> list[Problem]:
    found = []
    for name, each in reckoned.limits.items():
        if each.limit < 1:
            found.append(
                Problem(
                    rule="limit-positive",
                    key=f"headroom:nodeLimits.{name}",
                    value=name,
                    reason=f"fits no node into {', '.join(each.binding)}: one takes {each.addresses:,} addresses, and "
                    f"as much again in an upgrade. {' '.join(reckoned.arithmetic())}",
                    next_step="Add a subnet there, or lower podsPerNode or the warm targets.",
                    source="amazon-vpc-cni-k8s #2846",
                )
            )
        if kinds[name] == "karpenter" and each.nodes.limits.vcpus is None:
            found.append(
                Problem(
                    rule="vcpus-known",
                    key=f"headroom:nodeLimits.{name}.instanceTypes",
                    value=each.nodes.limits.instance_type,
                    reason="has an unknown number of vCPUs, by which Karpenter limits a NodePool.",
                    next_step="Name a type that `headroom calc node --help` knows.",
                    source="Karpenter documentation, NodePools",
                )
            )
    return found


def _widest(candidates: Sequence[GrowingNodes], settings: CniSettings, kind: str) -> GrowingNodes:
    """Of a group's instance types the one that takes most addresses: of a managed group all nodes may be of it.

    A NodePool is limited by vCPUs, so there it is the one that takes most for each of them.
    """

    def takes(nodes: GrowingNodes) -> float:
        addresses = nodes.pool(settings).most_addresses
        return addresses / (nodes.limits.vcpus or 1) if kind == "karpenter" else addresses

    return max(candidates, key=lambda nodes: (takes(nodes), nodes.limits.instance_type))


def _managed(settings: LimitsSettings) -> "dict[str, ManagedGroup]":
    """The managed node groups as EKS has them now.

    Raises:
        ProblemsError: EKS does not tell, or one wants more nodes than its limit.
    """
    if not settings.managed:
        return {}
    from components.node_limits import ManagedGroup  # noqa: PLC0415 - loads the Kubernetes SDK

    recorded = recorded_resources()
    problems: list[Problem] = []
    found: dict[str, ManagedGroup] = {}
    for each in settings.managed:
        name = each.nodes.name
        try:
            live = node_group_now(settings.cluster, name)
        except ProblemsError as error:
            problems.extend(error.problems)
            continue
        if live.desired is not None and live.desired > each.limit:
            problems.append(_too_many(each, live.desired))
            continue
        before = None if recorded is None else recorded.get((NODE_GROUP_TYPE, f"{NAME}-{name}"))
        # Where the engine does not tell (a check without it) the group counts as known.
        known = recorded is None or before is not None
        found[name] = ManagedGroup(
            maximum=each.limit,
            desired=each.nodes.running if live.desired is None else live.desired,
            minimum=live.minimum or 0,
            role_arn=live.role_arn,
            subnet_ids=live.subnet_ids,
            instance_types=[each.nodes.limits.instance_type],
            adopt=not known,
            kept=live.maximum == each.limit == _maximum(before),
        )
    if problems:
        raise ProblemsError(problems, subject="configuration")
    return found


def _maximum(recorded: Mapping[str, Any] | None) -> int | None:
    sizes = (recorded or {}).get("scalingConfig")
    value = sizes.get("maxSize") if isinstance(sizes, Mapping) else None
    return None if value is None else int(value)


def _too_many(each: NodeLimit, desired: int) -> Problem:
    return Problem(
        rule="limit-below-desired",
        key=f"headroom:nodeLimits.{each.nodes.name}.running",
        value=f"{each.nodes.name} wants {desired:,} nodes",
        reason=f"and no more than {each.limit:,} fit ({', '.join(each.binding) or 'wanted'}); EKS takes no maximum "
        "below the desired number.",
        next_step=f"Write running: {desired} to stop it there, or let it shrink first.",
        source="EKS API reference, NodegroupScalingConfig",
    )


def _read_subnets(config: ConfigReader) -> list[FleetSubnet]:
    found: list[FleetSubnet] = []
    for name, fields in config.entries("fleetSubnets", _SUBNET_FIELDS).items():
        place = f"fleetSubnets.{name}"
        before = len(config.problems)
        zone = config.field(place, fields, "zone", str, "")
        text = config.field(place, fields, "cidrBlock", str, "")
        role = config.field(place, fields, "role", str, "shared")
        others = config.field(place, fields, "heldByOthers", int, 0)
        for key, value in (("zone", zone), ("cidrBlock", text)):
            if not value and not config.problems_at(f"{place}.{key}"):
                config.problem(f"{place}.{key}", "nothing", "is set.", "`aws ec2 describe-subnets` prints it.")
        if role not in ROLES:
            step = f"Write one of {', '.join(f'{each} ({meaning})' for each, meaning in ROLES.items())}."
            config.problem(f"{place}.role", role, "is no role of a subnet.", step)
        block = None
        if text:
            block = config.attempt(
                lambda text=text, place=place: Block.parse(text, key=f"headroom:{place}.cidrBlock")  # type: ignore[misc]  # bound now
            )
        if block is None or len(config.problems) > before or role == "control-plane":
            continue
        empty = FleetSubnet.of(block, zone, for_pods=role not in NODES_START_IN)
        if not 0 <= others <= empty.usable:
            step = f"Write 0 to {empty.usable:,}: as many addresses it has."
            config.problem(f"{place}.heldByOthers", str(others), "is no number of its addresses.", step)
            continue
        usable = empty.usable - others
        # Where in the subnet others are is not known: the policy counts so too.
        found.append(replace(empty, id=name, usable=usable, free28=min(empty.free28, usable // PREFIX_ADDRESSES)))
    if not found and not config.problems:
        config.problem(
            "fleetSubnets", "nothing", "is set.", "Name the subnets that nodes and pods take addresses from."
        )
    return found


def _read_groups(
    config: ConfigReader, subnets: Sequence[FleetSubnet], kinds: dict[str, str]
) -> dict[str, list[GrowingNodes]]:
    """Each group once for every instance type that it may start."""
    zones_of_nodes = sorted({subnet.zone for subnet in subnets if not subnet.for_pods})
    found: dict[str, list[GrowingNodes]] = {}
    for name, fields in config.entries("nodeLimits", _GROUP_FIELDS).items():
        place = f"nodeLimits.{name}"
        before = len(config.problems)
        kind = config.field(place, fields, "kind", str, "managed")
        if kind not in KINDS:
            config.problem(f"{place}.kind", kind, "is no kind of node group.", f"Write one of {', '.join(KINDS)}.")
        zones = config.text_list(f"{place}.zones", fields.get("zones", zones_of_nodes))
        for zone in zones:
            if zone not in zones_of_nodes and subnets:
                step = f"There are: {', '.join(zones_of_nodes)}. Add its subnet to fleetSubnets."
                config.problem(f"{place}.zones", zone, "has no subnet in which nodes start.", step)
        if not zones and not config.problems:
            config.problem(f"{place}.zones", "nothing", "is named.", "Leave it out, and it is all zones.")
        types = config.text_list(f"{place}.instanceTypes", fields.get("instanceTypes", []))
        if not types and not config.problems_at(f"{place}.instanceTypes"):
            config.problem(f"{place}.instanceTypes", "nothing", "is named.", "Write a list such as [m5.large].")
        limits = [_limits(config, f"{place}.instanceTypes", each) for each in types]
        running = _count(config, place, fields, "running", 0, least=0)
        wanted = _count(config, place, fields, "wanted", MOST_NODES)
        pods = _count(config, place, fields, "podsPerNode", 0)
        most = _count(config, place, fields, "maxPods", 0)
        if wanted < running:
            step = f"Write at least {running}, or leave it out."
            config.problem(f"{place}.wanted", str(wanted), f"is less than the {running} that run.", step)
        if len(config.problems) == before:
            kinds[name] = kind
            found[name] = [
                GrowingNodes(
                    name=name,
                    limits=each,
                    zones=tuple(sorted(set(zones))),
                    running=running,
                    wanted=wanted,
                    pods=pods or None,
                    max_pods=most or None,
                    balanced=kind == "managed",
                )
                for each in limits
                if each is not None
            ]
    return found


def _limits(config: ConfigReader, place: str, instance_type: str) -> InstanceLimits | None:
    return config.attempt(
        lambda: instance_limits(instance_type), lambda problem: replace(problem, key=f"headroom:{place}")
    )


def _count(  # noqa: PLR0913 - where it stands, and what it may be
    config: ConfigReader, place: str, fields: Mapping[str, Any], name: str, default: int, *, least: int = 1
) -> int:
    value = config.field(place, fields, name, int, default)
    if name in fields and value < least and not config.problems_at(f"{place}.{name}"):
        config.problem(f"{place}.{name}", str(value), f"is not at least {least}.", "Leave it out, or write how many.")
        return default
    return value
