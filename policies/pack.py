"""The rules together: which there are, and what they say of a stack."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from policies.configuration import Enforcement, PolicyException, RuleConfig, exceptions, with_node_zones
from policies.findings import Finding, Undecided
from policies.resources import AKS_AGENT_POOL, AKS_CLUSTER, RETIRED_CLUSTER_COMPONENT, Resource, Resources
from policies.rules import (
    addon_keeps_settings,
    aks_change_in_place,
    aks_node_subnet_size,
    aks_ranges,
    alarm_breaches_on_silence,
    alarm_has_source,
    authorized_ranges_include_egress,
    cluster_protected,
    cni_settings_coherent,
    cni_version_safe,
    discovery_tags,
    egress_address_protected,
    external_snat_route,
    max_pods_consistent,
    nat_gateway_zones,
    network_profile_explicit,
    network_protected,
    no_new_kubenet,
    node_group_within_capacity,
    overlay_capacity,
    overlay_own_subnet,
    pod_subnet_inside_vpc,
    pod_subnet_not_for_nodes,
    pod_subnet_route,
    pod_subnet_size,
    pod_subnet_zones,
    prefix_delegation_has_room,
    prefix_reservation_valid,
    secondary_cidr_legal,
    static_egress,
    subnet_complete,
    traffic_step_valid,
)

if TYPE_CHECKING:
    from headroom.addresses.problems import Problem

PACK_NAME: Final = "headroom"
VERSION: Final = "0.1.0"
"""Shown in the engine's output and in SARIF; `PulumiPolicy.yaml` says the same."""

RULES: Final[tuple[ModuleType, ...]] = (
    addon_keeps_settings,
    aks_change_in_place,
    aks_node_subnet_size,
    aks_ranges,
    alarm_breaches_on_silence,
    alarm_has_source,
    authorized_ranges_include_egress,
    cluster_protected,
    cni_settings_coherent,
    cni_version_safe,
    discovery_tags,
    egress_address_protected,
    external_snat_route,
    max_pods_consistent,
    nat_gateway_zones,
    network_profile_explicit,
    network_protected,
    no_new_kubenet,
    node_group_within_capacity,
    overlay_capacity,
    overlay_own_subnet,
    pod_subnet_inside_vpc,
    pod_subnet_not_for_nodes,
    pod_subnet_route,
    pod_subnet_size,
    pod_subnet_zones,
    prefix_delegation_has_room,
    prefix_reservation_valid,
    secondary_cidr_legal,
    static_egress,
    subnet_complete,
    traffic_step_valid,
)
"""Every rule, in alphabetical order.

A rule is a module with NAME, DESCRIPTION, SEVERITY, TAGS, REMEDIATION, CONFIG_SCHEMA and ENFORCEMENT; TYPES are the
resource types that it looks at; SCOPE is `resource` where it judges each by itself, so that the engine can ask it
before that resource is made, and `stack` where it needs them all. `findings(resources, config)` is pure.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One finding with the rule it comes from.

    Attributes:
        rule: The rule's name.
        finding: What it says, and of which resource.
        enforcement: `mandatory` or `advisory`.
        excepted: Why it is let pass; None where it is not.
    """

    rule: str
    finding: Finding
    enforcement: Enforcement
    excepted: PolicyException | None = None

    @property
    def undecided(self) -> bool:
        """Whether the rule could not judge."""
        return isinstance(self.finding.verdict, Undecided)

    @property
    def message(self) -> str:
        """The finding in words."""
        return self.finding.message


def judge(
    resources: Iterable[Resource],
    configuration: Mapping[str, RuleConfig],
    today: date,
    rules: Sequence[ModuleType] = RULES,
) -> list[Judgement]:
    """What the rules say of a stack, in the order of the rules; those that are disabled say nothing."""
    stack = resources if isinstance(resources, Resources) else Resources(resources)
    known = with_node_zones(configuration)
    return [found for rule in rules for found in judge_rule(rule, stack, known.get(rule.NAME), today)]


def judge_rule(
    rule: ModuleType, resources: Resources, config: RuleConfig | None, today: date, *, whole_stack: bool = True
) -> Iterator[Judgement]:
    """What one rule says.

    Args:
        rule: The rule.
        resources: What it judges.
        config: Its configuration.
        today: The day that exceptions are held to.
        whole_stack: Whether this is the one time that the whole stack is judged, so that exceptions which have
            expired are said once and not for each resource.
    """
    config = config or RuleConfig()
    enforcement: Enforcement = config.enforcement or rule.ENFORCEMENT
    if enforcement == "disabled":
        return
    expired: list[Problem] = []
    passes = exceptions(rule.NAME, config.properties, today, expired)
    if whole_stack:
        for problem in expired:
            yield Judgement(rule=rule.NAME, finding=Finding(None, problem), enforcement=enforcement)
    for finding in rule.findings(resources, config.properties):
        if finding.resource is not None and _is_ending(finding.resource):
            continue
        covering = next((item for item in passes if item.covers(finding.resource)), None)
        yield Judgement(rule=rule.NAME, finding=finding, enforcement=enforcement, excepted=covering)


def _is_ending(resource: Resource) -> bool:
    """Whether a cluster or a pool is only held until it is deleted: what it was made like is nobody's to mend."""
    return resource.kind in (AKS_CLUSTER, AKS_AGENT_POOL) and RETIRED_CLUSTER_COMPONENT in resource.parent_types


def schemas() -> dict[str, Mapping[str, Any]]:
    """Each rule's config schema by its name."""
    return {rule.NAME: rule.CONFIG_SCHEMA for rule in RULES}
