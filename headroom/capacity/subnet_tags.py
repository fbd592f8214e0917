"""Tags that bring nodes and load balancers into a subnet, where they take the pods' addresses."""

from collections.abc import Mapping
from typing import Final

TAGS_OF_OTHERS: Final[Mapping[str, str]] = {
    "kubernetes.io/role/elb": "would let load balancers take addresses from the pods",
    "kubernetes.io/role/internal-elb": "would let load balancers take addresses from the pods",
    "karpenter.sh/discovery": "would let Karpenter launch nodes into the subnet",
    "eks:nodegroup-name": "marks subnets of node groups",
    "alpha.eksctl.io/nodegroup-name": "marks subnets of node groups",
    "k8s.io/cluster-autoscaler/": "would let the Cluster Autoscaler count the subnet as one for nodes",
}
"""Keys, or prefixes that end in a separator, with what they do to a pod subnet (Karpenter concepts, nodeclasses; AWS
Load Balancer Controller, subnet discovery; CAPA PR #4800)."""


def matches_tag(key: str, tag: str) -> bool:
    """Whether a tag's key is one of `TAGS_OF_OTHERS` or the like, or lies below it: `karpenter.sh/discovery/prod`."""
    return key == tag or key.startswith(tag if tag[-1] in "/:" else f"{tag}/")


def tag_of_others(key: str) -> str:
    """What a tag would do to a pod subnet; empty for one that does no harm."""
    return next((reason for tag, reason in TAGS_OF_OTHERS.items() if matches_tag(key, tag)), "")
