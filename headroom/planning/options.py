"""The ways out, each weighed: the smallest sufficient change first, every one kept or rejected with its reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from headroom.addresses.problems import Problem
from headroom.capacity.cni_version import SUBNET_DISCOVERY, SUBNET_ROLE_TAG, check_cni_version
from headroom.capacity.fleet import TargetAdvice, best_warm_targets, plan_fleet
from headroom.capacity.limits import max_pods
from headroom.capacity.settings import DEFAULT_IP_COOLDOWN_SECONDS, CniSettings
from headroom.diagnosis.verdict import Detail, Diagnosis, RootCause
from headroom.facts.forms import LARGEST_WHOLE
from headroom.planning.hand_steps import settings_mended
from headroom.planning.plan import Option
from headroom.planning.room import Room, further_space, needs, own_space
from headroom.planning.situation import Situation, Zone

_CNI = "amazon-vpc-cni-k8s"
_BEST_PRACTICES = "EKS best practices, networking"

# What each cause calls for. A cause without a stack file calls for hands (steps) only.
_SHORT_OF_ADDRESSES = (None, Detail.FRAGMENTATION, Detail.LEAKED_ENIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The options, and what of them the plan needs.

    Attributes:
        options: All of them, in the order in which they were weighed.
        room: Where the new pod subnets go; ``None``: none are made.
        reserve: Whether part of them is reserved for prefixes.
        settings: Settings of aws-node to set; empty: they stay.
        upgrade: Why the CNI must be upgraded first; empty: it need not be.
        delete: Leaked interfaces to delete, with their addresses.
        unmet: Why no room was found where room is what is missing; empty: it was, or it is not.
    """

    options: tuple[Option, ...]
    room: Room | None = None
    reserve: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    upgrade: tuple[Problem, ...] = ()
    delete: Mapping[str, int]
    unmet: str = ""

    def keeps(self, name: str) -> bool:
        """Whether the plan takes that option."""
        return any(option.kept for option in self.options if option.name == name)


def weigh(
    situation: Situation, diagnosis: Diagnosis, growth_per_day: Mapping[str, float], *, ahead: bool = False
) -> Weighed:
    """Weighs every way out against the causes.

    Args:
        situation: The cluster.
        diagnosis: Its causes.
        growth_per_day: Addresses a day by zone, as observed; empty: no history was read.
        ahead: Whether room that is there today is known not to last.
    """
    # What another cause made goes with it; a subnet that is short may need more all the same.
    causes = {
        (cause.root_cause, cause.detail)
        for cause in diagnosis.causes
        if cause.made_by is None or cause.root_cause is RootCause.SUBNET_EXHAUSTION
    }
    advice = advice_for(situation)
    idle = (RootCause.WARM_TARGET, None) in causes
    hit = [zone for zone in situation.zones.values() if zone.stuck] or list(situation.zones.values())
    # Targets that give back what is short cure what they made, and no subnet is needed.
    retuned = idle and _gives_enough(situation, advice, hit)
    short = not retuned and any(
        root is RootCause.SUBNET_EXHAUSTION and detail in _SHORT_OF_ADDRESSES for root, detail in causes
    )
    fragmented = (RootCause.SUBNET_EXHAUSTION, Detail.FRAGMENTATION) in causes

    leaked = {zone.name: sum(zone.leaked.values()) for zone in situation.zones.values() if zone.leaked}
    leaks = (RootCause.SUBNET_EXHAUSTION, Detail.LEAKED_ENIS) in causes
    freed_enough = bool(leaked) and all(leaked.get(zone.name, 0) >= zone.short for zone in hit)
    delete_leaked = bool(leaked) and (short or leaks)
    options = [_leaked_option(leaked, kept=delete_leaked, enough=freed_enough)]

    held = sum(zone.held for zone in situation.zones.values())
    options.append(_retune_option(advice if short or idle else None, held, kept=idle and not short))
    options.append(_cooldown_option(situation, kept=_has(causes, Detail.COOLDOWN) and not short))

    need = needs(situation) if situation.zones else {}
    # Room that is there and not used needs no further room: the CNI's version, say, is what must change.
    roomy = not ahead and not fragmented and all(zone.free is not None and zone.free >= zone.short for zone in hit)
    wants_subnets = short and not roomy and not (freed_enough and leaks)
    own = own_space(situation, need) if wants_subnets and situation.vpc_blocks and need else None
    further = further_space(situation, need) if wants_subnets and situation.vpc_blocks and need else None
    custom = situation.settings.custom_networking
    upgrade: tuple[Problem, ...] = ()
    if wants_subnets and situation.cni_version is not None:
        upgrade, _ = check_cni_version(situation.cni_version)
    if retuned:
        why_none = "Not needed: other warm targets give back what is short."
    elif freed_enough and leaks:
        why_none = "Not needed: deleting the leaked interfaces gives back what is short."
    elif short and roomy:
        why_none = "Not needed: subnets that are there have room."
    else:
        why_none = "Addresses of subnets are not what is short."
    room = next((place for place in (own, further) if place is not None and place.blocks), None)
    options.append(_tag_option(situation, hit, growth_per_day))
    options.extend(
        _subnet_options(own, further, room, wants_subnets=wants_subnets, why_none=why_none, growth=growth_per_day)
    )
    options.append(_upgrade_option(situation, upgrade, _has(causes, Detail.CNI_VERSION)))
    options.append(_discovery_option(situation, kept=custom and room is not None, wanted=wants_subnets))
    dense = _is_dense(situation, causes)
    options.append(_prefix_option(dense=dense, fragmented=fragmented, room=room is not None, nitro=situation.nitro))
    options.extend(_hand_options(situation, causes))
    return Weighed(
        options=tuple(options),
        room=room,
        reserve=fragmented and room is not None,
        unmet=" ".join(place.reason for place in (own, further) if place is not None)
        if wants_subnets and room is None
        else "",
        settings=_settings(situation, causes, advice if idle and not short else None)
        if room is None
        else settings_mended(situation)
        if _has(causes, Detail.CONFIG)
        else {},
        upgrade=upgrade,
        delete={
            name: count for zone in situation.zones.values() for name, count in zone.leaked.items() if delete_leaked
        },
    )


def _has(causes: Iterable[tuple[RootCause, Detail | None]], *details: Detail) -> bool:
    return any(detail in details for _, detail in causes)


def _leaked_option(leaked: Mapping[str, int], *, kept: bool, enough: bool) -> Option:
    if not leaked:
        reason = "No interface of the CNI hangs on nothing."
    elif enough:
        reason = f"They hold {sum(leaked.values()):,} addresses, which is more than the stuck pods' nodes need."
    elif kept:
        reason = f"They hold {sum(leaked.values()):,} addresses; that alone is not enough."
    else:
        reason = f"They hold {sum(leaked.values()):,} addresses, and addresses are not what is short."
    return Option(
        name="delete-leaked-interfaces",
        title="Delete the CNI's interfaces that hang on nothing",
        kept=kept,
        reason=reason,
        addresses=dict(leaked),
        source=f"{_CNI} #69, #608, #1223",
    )


def advice_for(situation: Situation) -> TargetAdvice | None:
    """The best warm targets for the cluster's nodes; None where no node is known."""
    nodes = [node for zone in situation.zones.values() for node in zone.nodes]
    return best_warm_targets(nodes, situation.settings) if nodes else None


def _gives_enough(situation: Situation, advice: TargetAdvice | None, hit: Iterable[Zone]) -> bool:
    """Whether all that the zones' nodes need with the best warm targets, and one node more, fits what is there."""
    if advice is None:
        return False
    nodes = [node for zone in situation.zones.values() for node in zone.nodes]
    changed = {**situation.environment, **{name: str(value) for name, value in advice.best.environment}}
    best = {zone.zone: zone.with_upgrade for zone in plan_fleet(nodes, CniSettings.from_environment(changed)).zones}
    return all(zone.free is not None and zone.held + zone.free >= best.get(zone.name, 0) for zone in hit)


def _retune_option(advice: TargetAdvice | None, held: int, *, kept: bool) -> Option:
    title = "Retune the warm targets of aws-node"
    if advice is None:
        reason = "Warm targets are not what is wrong."
        return Option(name="retune-warm-targets", title=title, kept=False, reason=reason)
    shown = ", ".join(f"{name}={value}" for name, value in advice.best.environment) or "the defaults"
    if kept:
        reason = (
            f"{shown}: by the capacity model the same pods hold {advice.best.addresses:,} addresses with it; the nodes "
            f"hold {held:,} now. Each aws-node restarts once; pods keep their addresses."
        )
    elif advice.saves <= 0:
        reason = "The targets as they are hold no more than the best ones would."
    else:
        reason = (
            f"{shown} would give back about {advice.saves:,} addresses, but it restarts aws-node everywhere and makes "
            "bursts slower: worth a pull request of its own once the pods run."
        )
    return Option(
        name="retune-warm-targets",
        title=title,
        kept=kept,
        reason=reason,
        source=f"{_CNI}, docs/eni-and-ip-target.md",
    )


def _settings(
    situation: Situation, causes: Iterable[tuple[RootCause, Detail | None]], advice: TargetAdvice | None
) -> dict[str, str]:
    """The settings that cure the causes, by name."""
    causes = tuple(causes)
    found: dict[str, str] = {}
    if advice is not None:
        found |= {name: str(value) for name, value in advice.best.environment}
    if _has(causes, Detail.COOLDOWN):
        found |= _against_cooldown(situation)
    if _has(causes, Detail.CONFIG):
        found |= settings_mended(situation)
    if situation.nitro and _is_dense(situation, causes):
        found |= {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
    return found


def _is_dense(situation: Situation, causes: Iterable[tuple[RootCause, Detail | None]]) -> bool:
    """Whether nodes need prefixes to run more pods: at their interface limit, or at a maxPods that allows no more."""
    causes = tuple(causes)
    if (RootCause.ENI_LIMIT, None) in causes:
        return True
    if (RootCause.ENI_LIMIT, Detail.MAX_PODS) not in causes or situation.settings.prefix_delegation:
        return False
    custom = situation.settings.custom_networking
    return any(
        node.max_pods is not None and node.max_pods >= max_pods(node.limits, custom_networking=custom).value
        for zone in situation.zones.values()
        for node in zone.nodes
    )


def _against_cooldown(situation: Situation) -> dict[str, str]:
    """A shorter rest where somebody lengthened it; else as many addresses ready as wait on the worst node."""
    if situation.settings.ip_cooldown_seconds > DEFAULT_IP_COOLDOWN_SECONDS:
        return {"IP_COOLDOWN_PERIOD": str(DEFAULT_IP_COOLDOWN_SECONDS)}
    return {"WARM_IP_TARGET": str(max(situation.settings.warm_ip_target, situation.most_stuck) + 1)}


def _cooldown_option(situation: Situation, *, kept: bool) -> Option:
    title = "Let addresses rest for a shorter time, or keep more of them ready"
    if kept:
        shown = ", ".join(f"{name}={value}" for name, value in _against_cooldown(situation).items())
        reason = (
            f"{shown}: an address rests for {situation.settings.ip_cooldown_seconds} s after its pod has gone, and "
            "pods come and go faster. Each aws-node restarts once; pods keep their addresses."
        )
    else:
        reason = "Pods do not wait for addresses that rest."
    return Option(name="shorten-cooldown", title=title, kept=kept, reason=reason, source=f"{_CNI} #1700, #2896")


def days_bought(addresses: Mapping[str, int], growth: Mapping[str, float]) -> dict[str, int]:
    """Whole days that further addresses last, by zone; a zone that does not grow has none.

    Args:
        addresses: Addresses by zone.
        growth: Addresses that go in a day, by zone.
    """
    return {
        zone: int(min(count / growth[zone], LARGEST_WHOLE))
        for zone, count in addresses.items()
        if growth.get(zone, 0) > 0
    }


def tag_command(subnet_ids: Iterable[str]) -> str:
    """The command that gives subnets to pods."""
    return f"aws ec2 create-tags --resources {' '.join(subnet_ids)} --tags Key={SUBNET_ROLE_TAG},Value=1"


def untagged_subnets(situation: Situation) -> tuple[dict[str, int], str]:
    """Subnets that may have been made for pods and that nobody tagged, with their free addresses, and why, or why not.

    They have the nodes' route table and no interface of anybody else; what they are meant for only their owner knows.
    """
    settings, version = situation.settings, situation.cni_version
    if settings.custom_networking:
        return {}, "Custom networking is on: the ENIConfigs name the subnets, and tags count for nothing."
    if not settings.subnet_discovery or version is None or version < SUBNET_DISCOVERY:
        return {}, f"The VPC CNI ({version or 'of an unknown version'}) does not look for tagged subnets here."
    found = {name: free for zone in situation.zones.values() for name, free in zone.untagged.items() if free}
    if not found:
        return {}, "No subnet without that tag has the nodes' route table and nothing of anybody else in it."
    told = ", ".join(f"{subnet} ({free:,} free)" for subnet, free in found.items())
    return found, (
        f"{told}: the nodes' route table and no interface of anybody else. Whether they are meant for pods only their "
        f"owner knows; if so, this is all it takes: `{tag_command(found)}`."
    )


TAG_TITLE: Final = "Tag subnets that are there already for pods"


def untagged_by_zone(situation: Situation) -> dict[str, int]:
    """Their free addresses by zone."""
    found, _ = untagged_subnets(situation)
    by_zone = {zone.name: sum(zone.untagged.values()) for zone in situation.zones.values() if found}
    return {zone: free for zone, free in by_zone.items() if free}


def _tag_option(situation: Situation, hit: Iterable[Zone], growth: Mapping[str, float]) -> Option:
    found, reason = untagged_subnets(situation)
    lacking = [zone.name for zone in hit if sum(zone.untagged.values()) < max(1, zone.short)]
    if found and lacking:
        reason += f" Not enough in {', '.join(lacking)}."
    addresses = untagged_by_zone(situation)
    return Option(
        name="tag-existing-subnets",
        title=TAG_TITLE,
        kept=False,
        reason=reason,
        addresses=addresses,
        days=days_bought(addresses, growth),
        source=f"{_CNI}, ENABLE_SUBNET_DISCOVERY",
    )


def _subnet_options(  # noqa: PLR0913 - what the two have in common
    own: Room | None,
    further: Room | None,
    room: Room | None,
    *,
    wants_subnets: bool,
    why_none: str,
    growth: Mapping[str, float],
) -> Iterable[Option]:
    for name, title, place in (
        ("subnets-in-own-space", "Add pod subnets in the VPC's own free space", own),
        ("secondary-cidr", "Associate a secondary CIDR and add pod subnets in it", further),
    ):
        if place is None:
            reason = why_none if not wants_subnets else "The VPC's CIDRs or the nodes' zones are unknown."
            yield Option(name=name, title=title, kept=False, reason=reason)
            continue
        kept = place is room
        reason = place.reason
        if place.blocks and not kept:
            reason = f"Not needed: the VPC's own free space suffices. {reason}"
        yield Option(
            name=name,
            title=title,
            kept=kept,
            reason=reason,
            addresses=place.addresses,
            days=days_bought(place.addresses, growth),
            source="VPC user guide, vpc-cidr-blocks",
        )


def _upgrade_option(situation: Situation, upgrade: tuple[Problem, ...], named: bool) -> Option:  # noqa: FBT001 - whether the diagnosis names it
    version = situation.cni_version or "of an unknown version"
    if upgrade:
        reason = " ".join(f"{problem.message}" for problem in upgrade)
    elif named:
        reason = f"The diagnosis names the version: VPC CNI {version}."
    else:
        reason = f"VPC CNI {version} finds tagged subnets by itself."
    return Option(
        name="upgrade-cni",
        title="Upgrade the VPC CNI",
        kept=bool(upgrade) or named,
        reason=reason,
        source=f"{_CNI}, releases",
    )


def _discovery_option(situation: Situation, *, kept: bool, wanted: bool) -> Option:
    if kept:
        reason = "It is on already: tagged subnets are ignored, and pods get the subnet that their ENIConfig names."
    elif not situation.settings.subnet_discovery and wanted:
        reason = "ENABLE_SUBNET_DISCOVERY is false: set it to true rather than adding ENIConfigs, which need new nodes."
    else:
        reason = "The CNI finds tagged subnets on the nodes that run; ENIConfigs would need new nodes."
    return Option(
        name="custom-networking",
        title="Name the pod subnets in ENIConfigs",
        kept=kept,
        reason=reason,
        source="EKS user guide, cni-custom-network",
    )


def _prefix_option(*, dense: bool, fragmented: bool, room: bool, nitro: bool) -> Option:
    if fragmented and not room:
        reason = "It is on, and there is no room for new subnets whose /28s would be whole."
    elif fragmented:
        reason = "It is on: part of the new subnets is reserved for whole /28s, so that they stay whole."
    elif dense and nitro and room:
        reason = (
            "Not tonight: it changes aws-node, and new nodes find addresses for their pods in the new subnets. It "
            "raises what a node can hold: worth a pull request of its own."
        )
    elif dense and nitro:
        reason = (
            "The nodes are at their interface limit. Prefixes raise what a node can hold, up to 110 pods (250 above 30 "
            "vCPUs), once maxPods is raised with it, on new nodes."
        )
    elif dense:
        reason = "Some nodes are no Nitro instances: they cannot have prefixes. More or larger nodes it is."
    else:
        reason = "It takes more addresses, not fewer: it raises how many pods a node can hold, which is not short."
    return Option(
        name="prefix-delegation",
        title="Prefix delegation with reservations",
        kept=(fragmented and room) or (dense and nitro and not fragmented and not room),
        reason=reason,
        source="EKS user guide, cni-increase-ip-addresses",
    )


def _why_mended(situation: Situation) -> str:
    mended = ", ".join(f"{name}={value}" for name, value in settings_mended(situation).items())
    what = "The settings contradict each other or the cluster."
    return f"{what} With {mended} they do not. Each aws-node restarts once." if mended else what


def _hand_options(situation: Situation, causes: Iterable[tuple[RootCause, Detail | None]]) -> Iterable[Option]:
    causes = tuple(causes)
    for name, title, details, why_kept, why_not in (
        (
            "raise-max-pods",
            "Raise the nodes' maxPods",
            (Detail.MAX_PODS,),
            "The kubelet refuses pods that the interfaces could hold: new nodes with a higher maxPods.",
            "maxPods is not what is reached.",
        ),
        (
            "raise-interface-quota",
            "Raise the Region's quota of network interfaces",
            (Detail.REGIONAL_QUOTA,),
            "The Region's quota (L-DF5E4CA3) is reached: no subnet helps.",
            "The Region's quota is not reached.",
        ),
        (
            "node-subnets",
            "Give nodes subnets of their own that have room",
            (Detail.NODE_SUBNET_FULL,),
            (
                "Every new node needs one address of its node subnet, and a pod subnet gives it none. The subnets of "
                "a managed node group cannot be changed: a new node group takes the new ones."
            ),
            "Nodes get their own addresses.",
        ),
        (
            "fix-permissions",
            "Give the CNI's role what it is denied",
            (Detail.IAM,),
            "A denied call is the cause; no address is missing.",
            "No call of the CNI is denied.",
        ),
        (
            "fix-settings",
            "Mend aws-node's settings",
            (Detail.CONFIG,),
            _why_mended(situation),
            "The settings agree with each other.",
        ),
        (
            "node-class-pod-subnets",
            "Select pod subnets in the NodeClass of EKS Auto Mode",
            (Detail.AUTO_MODE,),
            (
                "Auto Mode runs no aws-node: podSubnetSelectorTerms and podSecurityGroupSelectorTerms of a NodeClass "
                "choose the pods' subnets."
            ),
            "The nodes are not run by EKS Auto Mode.",
        ),
    ):
        kept = _has(causes, *details) or (Detail.AUTO_MODE in details and situation.auto_mode)
        yield Option(name=name, title=title, kept=kept, reason=why_kept if kept else why_not)
    yield Option(
        name="ipv6",
        title="IPv6",
        kept=False,
        reason="ipFamily is fixed when a cluster is created: it would be a new cluster, and no help tonight.",
        source="EKS user guide, cni-ipv6",
    )
