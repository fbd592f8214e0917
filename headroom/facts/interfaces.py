"""Which network interfaces are the VPC CNI's, and which of those it left behind.

The watch stack's function carries this module, so it needs nothing but the snapshot's types.
"""

from datetime import datetime, timedelta
from typing import Final

from headroom.facts.aws import Interface
from headroom.facts.values import known

CNI_DESCRIPTION: Final = "aws-k8s-"
"""How the descriptions begin, in lower case, that the VPC CNI (`aws-K8S-i-…`) and the VPC resource controller
(`aws-k8s-trunk-eni`, `aws-k8s-branch-eni`) give their interfaces."""

CREATED_TAG: Final = "node.k8s.amazonaws.com/createdAt"
NODE_INSTANCE_TAG: Final = "node.k8s.amazonaws.com/instance_id"
CLUSTER_TAG: Final = "cluster.k8s.amazonaws.com/name"
"""Tags that the VPC CNI puts on the interfaces that it makes; the last one where it knows the cluster's name
(amazon-vpc-cni-k8s, pkg/awsutils/awsutils.go)."""

LEAKED_AFTER: Final = timedelta(minutes=5)
"""An interface of the CNI that has hung on nothing for so long is left over: the CNI's own clean-up waits as long
(amazon-vpc-cni-k8s, pkg/awsutils/awsutils.go, getLeakedENIs)."""


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Seconds from one time to another; ``None`` where either is unknown or no time."""
    if earlier is None or later is None:
        return None
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return None


def is_of_cni(interface: Interface) -> bool:
    """Whether the VPC CNI, or the controller of its trunk interfaces, made it."""
    return known(interface.node_instance_id) is not None or interface.description.lower().startswith(CNI_DESCRIPTION)


def is_leaked(interface: Interface, collected_at: str | None) -> bool:
    """Whether it is an interface of the CNI that hangs on nothing, and not only for the moment.

    One whose age is unknown counts: status `available` lasts a few seconds in the life of an interface that is used.
    """
    if interface.status != "available" or not is_of_cni(interface):
        return False
    age = seconds_between(known(interface.created_at), collected_at)
    return age is None or age > LEAKED_AFTER.total_seconds()
