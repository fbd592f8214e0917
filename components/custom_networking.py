"""ENIConfigs: pods in subnets and security groups other than the node's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from headroom.addresses.problems import Problem, ProblemsError

ZONE_LABEL = "topology.kubernetes.io/zone"
"""The node label whose value names the node's ENIConfig."""

SETTINGS: Mapping[str, str] = {
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
    "ENI_CONFIG_LABEL_DEF": ZONE_LABEL,
}
"""aws-node's settings that go with ENIConfigs named by zone (EKS user guide, cni-custom-network)."""

SECURITY_GROUPS_PER_INTERFACE = 5
"""Default of the service quota (VPC user guide, amazon-vpc-limits)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomNetworkingArgs:
    """One pod subnet a zone.

    Attributes:
        subnet_ids: Subnet by zone; it must lie in that zone.
        node_zones: Zones that have nodes: each needs an ENIConfig, or its new nodes get no pod addresses.
        guard: Hooks that refuse to delete an ENIConfig while its subnet is used: new nodes would get no addresses.
        security_group_ids: For all zones; empty means those of the node's primary interface.

    Raises:
        ProblemsError: Every problem at once.
    """

    subnet_ids: Mapping[str, pulumi.Input[str]]
    node_zones: Sequence[str] = ()
    security_group_ids: Sequence[pulumi.Input[str]] = ()
    guard: pulumi.ResourceHookBinding | None = None

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="CustomNetworkingArgs")

    def problems(self) -> list[Problem]:
        """Everything that would leave nodes without pod addresses."""
        found = [
            Problem(
                rule="zone-without-eniconfig",
                key="subnet_ids",
                value=zone,
                reason="has nodes but no pod subnet: ipamd finds no ENIConfig there and gives no addresses.",
                next_step="Add a subnet in that zone.",
                source="EKS user guide, cni-custom-network",
            )
            for zone in self.node_zones
            if zone not in self.subnet_ids
        ]
        if not self.subnet_ids:
            found.append(
                Problem(
                    rule="no-subnets",
                    key="subnet_ids",
                    value="{}",
                    reason="names no subnet.",
                    next_step="Give one for every zone that has nodes.",
                )
            )
        if len(self.security_group_ids) > SECURITY_GROUPS_PER_INTERFACE:
            found.append(
                Problem(
                    rule="security-groups-per-interface",
                    key="security_group_ids",
                    value=f"{len(self.security_group_ids)} groups",
                    reason=f"exceed the quota of {SECURITY_GROUPS_PER_INTERFACE} a network interface.",
                    next_step="Merge some, or raise the quota first.",
                    source="VPC user guide, amazon-vpc-limits",
                )
            )
        return found


class CustomNetworking(pulumi.ComponentResource):
    """ENIConfigs named by zone. Add `settings` to `CniSettings`: they take effect on new nodes only.

    Custom networking turns subnet discovery off, and costs a node the addresses of one network interface.
    """

    settings: Mapping[str, str]
    """aws-node's settings that go with it."""

    def __init__(self, name: str, args: CustomNetworkingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:CustomNetworking", name, {}, opts)
        self.settings = SETTINGS
        for zone, subnet_id in args.subnet_ids.items():
            spec: dict[str, Any] = {"subnet": subnet_id}
            if args.security_group_ids:
                spec["securityGroups"] = list(args.security_group_ids)
            kubernetes.apiextensions.CustomResource(
                f"{name}-{zone}",
                api_version="crd.k8s.amazonaws.com/v1alpha1",
                kind="ENIConfig",
                metadata={"name": zone},
                spec=spec,
                opts=pulumi.ResourceOptions(parent=self, hooks=args.guard),
            )
        outputs: dict[str, Any] = {"settings": dict(self.settings)}
        self.register_outputs(outputs)
