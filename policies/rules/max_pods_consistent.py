"""The pods that a kubelet allows have to fit the addresses that its node can have."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.limits import InstanceLimits, instance_limits, max_pods
from headroom.capacity.settings import CniSettings
from policies import cni
from policies.configuration import ENVIRONMENT
from policies.findings import Finding, Undecided, read
from policies.nodes import density_lost, instance_types, launch_template, user_data_max_pods
from policies.resources import (
    KARPENTER_NODE_CLASS,
    LAUNCH_TEMPLATE,
    NODE_GROUP,
    Resource,
    Resources,
)

NAME = "max-pods-consistent"
DESCRIPTION = "maxPods of node groups, launch templates and NodeClasses fits the VPC CNI's mode."
TYPES = (NODE_GROUP, LAUNCH_TEMPLATE, KARPENTER_NODE_CLASS, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "capacity")
REMEDIATION = (
    "Write the number that `headroom calc max-pods --instance-type TYPE` prints, with --prefix-delegation or "
    "--custom-networking where they are on. `environment` in the policy's configuration says how aws-node runs."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "instanceType": {"type": "string", "description": "Smallest instance type of Karpenter's nodes"},
}

_SOURCE: Final = "awslabs/amazon-eks-ami, max-pods-calculator.sh"


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Nodes that promise more pods than they have addresses for, or that waste prefix delegation.

    Stops: prefix delegation with the default maxPods of AL2023, which ignores it: every node takes more addresses
    and runs not one pod more (amazon-eks-ami, nodeadm; karpenter-provider-aws #7318).
    """
    settings, _ = cni.config_settings(resources, config)
    told = isinstance(config.get("environment"), Mapping) or any(True for _ in cni.cnis(resources))
    for group in resources.of_type(NODE_GROUP):
        template = launch_template(resources, group)
        value = user_data_max_pods(template) if template is not None else None
        custom_image = template is not None and read(template.properties, "imageId", object) is not None
        yield from _judge(group, value, instance_types(group, template), settings, told=told, must_say=custom_image)
    for node_class in resources.of_type(KARPENTER_NODE_CLASS):
        set_value = read(node_class.properties, "spec.kubelet.maxPods", int)
        kind = config.get("instanceType")
        kinds = [kind] if isinstance(kind, str) else []
        yield from _judge(node_class, set_value, kinds, settings, told=told, must_say=True)


def _judge(  # noqa: PLR0913 - what is set, and what decides
    resource: Resource,
    value: int | Undecided | None,
    kinds: list[str] | Undecided,
    settings: CniSettings,
    *,
    told: bool,
    must_say: bool,
) -> Iterator[Finding]:
    if isinstance(value, Undecided):
        yield Finding(resource, value)
    elif value is None:
        if settings.prefix_delegation and must_say:
            yield _finding(
                resource,
                "maxPods",
                "is not set, and what computes it here does not know of prefix delegation: no pod more fits on a node.",
                "Write it out: 110, or 250 for types of more than 30 vCPUs.",
            )
    elif isinstance(kinds, Undecided):
        yield Finding(resource, kinds)
    else:
        for limits in _limits(resource, kinds):
            if isinstance(limits, Finding):
                yield limits
            else:
                yield from _value(resource, value, limits, settings, told=told)


def _limits(resource: Resource, kinds: list[str]) -> Iterator[InstanceLimits | Finding]:
    """Of several types the one with the fewest addresses decides: all nodes get the same number."""
    found: list[InstanceLimits] = []
    for kind in kinds:
        try:
            found.append(instance_limits(kind))
        except ProblemsError as error:
            for problem in error.problems:
                yield Finding(resource, problem, "instanceTypes")
    if found:
        yield min(found, key=lambda limits: max_pods(limits).uncapped)


def _value(
    resource: Resource, value: int, limits: InstanceLimits, settings: CniSettings, *, told: bool
) -> Iterator[Finding]:
    custom = settings.custom_networking
    single = max_pods(limits, custom_networking=custom)
    most = max_pods(limits, prefix_delegation=settings.prefix_delegation or not told, custom_networking=custom)
    kind = limits.instance_type
    if value > most.uncapped:
        reason = f"is more than the {most.uncapped} pods that a {kind} has addresses for: the others never start."
        yield _finding(resource, f"maxPods {value}", reason, f"Write {most.value}.")
    elif not told and value > single.uncapped:
        reason = f"are not known here, and {value} pods fit a {kind} with prefix delegation only: set environment."
        yield Finding(resource, Undecided("aws-node's settings", reason))
    elif (denser := density_lost(limits, value, settings)) is not None:
        reason = f"is what a {kind} has without prefix delegation, which then takes addresses and adds no pod."
        yield _finding(resource, f"maxPods {value}", reason, f"Write {denser.value}, or switch prefix delegation off.")


def _finding(resource: Resource, value: str, reason: str, next_step: str) -> Finding:
    problem = Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=_SOURCE)
    return Finding(resource, problem)
