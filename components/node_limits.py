"""Brakes for what adds nodes: maxima of managed node groups, limits of Karpenter NodePools, and cordons.

All of these exist and belong to somebody else: a node group is adopted and only its maximum is set, NodePools and
nodes are patched by server-side apply with a field manager of their own. Nothing is made, and nothing but those fields
is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_aws import eks

from headroom.addresses.problems import Problem, ProblemsError

FIELD_MANAGER: Final = "headroom-limits"
"""Owner of the patched fields (Kubernetes documentation, server-side apply)."""

NODE_POOL: Final = ("karpenter.sh/v1", "NodePool")
"""Karpenter documentation, NodePools."""

NOT_OURS: Final = (
    "amiType",
    "capacityType",
    "diskSize",
    "forceUpdateVersion",
    "instanceTypes",
    "labels",
    "launchTemplate",
    "nodeRepairConfig",
    "nodeRoleArn",
    "releaseVersion",
    "remoteAccess",
    "subnetIds",
    "tags",
    "tagsAll",
    "taints",
    "updateConfig",
    "version",
    "warmPoolConfig",
)
"""Inputs of a node group that its owner decides (pulumi-aws, eks.NodeGroup)."""

SCALING: Final = "scalingConfig"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedGroup:
    """A managed node group as it is, and its new maximum.

    Attributes:
        maximum: The most nodes that it may have.
        desired: Nodes that it wants now. EKS takes the three numbers together, so it has to be the present one: an
            old one would start or end nodes (terraform-provider-aws, aws_eks_node_group).
        minimum: Its smallest number.
        role_arn: Role of its nodes.
        subnet_ids: Its subnets.
        instance_types: Its instance types, for those who judge the program without EKS.
        adopt: Whether the engine does not know it yet: then it is taken over as it is, and changed by the next `up`.
        kept: Whether the maximum is what it was: then none of the three numbers is touched.
    """

    maximum: int
    desired: pulumi.Input[int]
    minimum: pulumi.Input[int]
    role_arn: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    instance_types: Sequence[str] = ()
    adopt: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLimitsArgs:
    """What may grow how far.

    Attributes:
        cluster: Name of the EKS cluster.
        managed: Managed node groups by name.
        karpenter: vCPUs that each Karpenter NodePool may have in all, by name.
        cordoned: Names of nodes on which no further pod is to be put.
        force: Whether to take fields from another field manager.

    Raises:
        ProblemsError: Nothing is limited, or a limit is none.
    """

    cluster: str
    managed: Mapping[str, ManagedGroup] = field(default_factory=dict)
    karpenter: Mapping[str, int] = field(default_factory=dict)
    cordoned: Sequence[str] = ()
    force: bool = False

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="NodeLimitsArgs")

    def problems(self) -> list[Problem]:
        """Everything that speaks against it."""
        found = []
        if not (self.managed or self.karpenter or self.cordoned):
            found.append(
                Problem(
                    rule="no-limits",
                    key="nodeLimits",
                    value="Nothing",
                    reason="is limited or cordoned.",
                    next_step="Name the node groups and NodePools that may grow.",
                )
            )
        found += [
            Problem(
                rule="limit-positive",
                key=f"nodeLimits.{name}",
                value=str(number),
                reason="leaves no node at all.",
                next_step="Give its zones a further subnet, or leave it out.",
                source="EKS API reference, NodegroupScalingConfig",
            )
            for name, number in [
                *((name, each.maximum) for name, each in self.managed.items()),
                *self.karpenter.items(),
            ]
            if number < 1
        ]
        found += [
            Problem(
                rule="cordoned-twice",
                key="cordonedNodes",
                value=name,
                reason="is named more than once.",
                next_step="Keep one.",
            )
            for name in dict.fromkeys(self.cordoned)
            if list(self.cordoned).count(name) > 1
        ]
        return found


class NodeLimits(pulumi.ComponentResource):
    """The brakes. When the stack is destroyed, node groups stay as they are; our limits and cordons are taken back."""

    maxima: Mapping[str, int]
    """The most nodes of each managed node group."""

    def __init__(self, name: str, args: NodeLimitsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:NodeLimits", name, {}, opts)
        self.maxima = {group: each.maximum for group, each in sorted(args.managed.items())}
        for group, each in sorted(args.managed.items()):
            eks.NodeGroup(
                f"{name}-{group}",
                cluster_name=args.cluster,
                node_group_name=group,
                node_role_arn=each.role_arn,
                subnet_ids=each.subnet_ids,
                instance_types=list(each.instance_types) or None,
                scaling_config={"desired_size": each.desired, "max_size": each.maximum, "min_size": each.minimum},
                opts=pulumi.ResourceOptions(
                    parent=self,
                    import_=f"{args.cluster}:{group}" if each.adopt else None,
                    ignore_changes=[*NOT_OURS, *([SCALING] if each.adopt or each.kept else [])],
                    retain_on_delete=True,
                ),
            )
        annotations = {"pulumi.com/patchFieldManager": FIELD_MANAGER}
        if args.force:
            annotations["pulumi.com/patchForce"] = "true"
        version, kind = NODE_POOL
        for pool, cpus in sorted(args.karpenter.items()):
            kubernetes.apiextensions.CustomResourcePatch(
                f"{name}-{pool}",
                api_version=version,
                kind=kind,
                metadata=kubernetes.meta.v1.ObjectMetaArgs(name=pool, annotations=annotations),
                spec={"limits": {"cpu": str(cpus)}},
                opts=pulumi.ResourceOptions(parent=self),
            )
        for node in sorted(args.cordoned):
            kubernetes.core.v1.NodePatch(
                f"{name}-{node}",
                metadata=kubernetes.meta.v1.ObjectMetaPatchArgs(name=node, annotations=annotations),
                spec=kubernetes.core.v1.NodeSpecPatchArgs(unschedulable=True),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"maxima": self.maxima})
