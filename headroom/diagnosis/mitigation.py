"""What helps at once and what helps for good, cause by cause, in the words of the runbook's output."""

from dataclasses import dataclass
from typing import Final

from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES
from headroom.diagnosis.verdict import Detail, Diagnosis, RootCause, Verdict


@dataclass(frozen=True, slots=True)
class Mitigation:
    """What to do.

    Attributes:
        immediate: What an operator can do now.
        long_term: What keeps it from coming back.
    """

    immediate: str
    long_term: str


MITIGATIONS: Final[dict[Detail | RootCause, Mitigation]] = {
    RootCause.SUBNET_EXHAUSTION: Mitigation(
        "Operator: free what is held (scale down what may wait), then `headroom plan`: pod subnets in a secondary "
        "CIDR, tagged for the CNI; nothing restarts.",
        "Subnets sized for the peak, warm targets that fit, and an alarm on free addresses of each zone.",
    ),
    Detail.FRAGMENTATION: Mitigation(
        "Operator: give prefixes a subnet of their own, or a CIDR reservation of type prefix in one that has room.",
        "Keep single addresses and prefixes apart; an alarm on free /28 blocks.",
    ),
    Detail.NODE_SUBNET_FULL: Mitigation(
        "Operator: free addresses in the subnets that nodes are launched in, or launch nodes in others.",
        "Pods in subnets of their own, so that nodes always find an address.",
    ),
    Detail.LEAKED_ENIS: Mitigation(
        "Operator: delete the interfaces that hang on nothing (status available, description aws-K8S-…).",
        "A VPC CNI of 1.13.0 or later with its clean-up on; an alarm on interfaces without an instance.",
    ),
    Detail.POD_SUBNET_EXHAUSTED: Mitigation(
        "Operator: scale down what may wait; add a node pool with a larger pod subnet.",
        "A pod subnet sized for the peak, or Azure CNI Overlay.",
    ),
    Detail.POD_CIDR_EXHAUSTED: Mitigation(
        "Operator: lower the node pools' maximum counts, or grow the pod CIDR to one that contains it, where allowed.",
        "A pod CIDR with a /24 for every node at the maximum, and surge.",
    ),
    Detail.OVERLAY_NODE_BLOCK: Mitigation(
        "Operator: spread the pods over more nodes; drain the nodes whose block is used up.",
        "A maxPods below the size of a node's block, with room for pods that come and go.",
    ),
    Detail.ROUTE_LIMIT: Mitigation(
        "Operator: add no more nodes; raise the quota of routes where it can be raised.",
        "A network mode without a route for each node (Azure CNI Overlay, VPC CNI).",
    ),
    RootCause.ENI_LIMIT: Mitigation(
        "Operator: move pods to nodes with free slots: cordon the full ones, add nodes.",
        "Larger instances, or prefix delegation with maxPods raised, on new nodes.",
    ),
    Detail.MAX_PODS: Mitigation(
        "Operator: add nodes, or move pods to nodes below their maxPods.",
        "maxPods that fits the addresses of the instance type, on new nodes.",
    ),
    Detail.REGIONAL_QUOTA: Mitigation(
        "Operator: delete interfaces that nobody uses; ask for a higher quota (L-DF5E4CA3).",
        "An alarm on the quota's use; warm targets that hold fewer interfaces.",
    ),
    RootCause.IPAMD_FAILURE: Mitigation(
        "Operator: get aws-node running again on the nodes named: its log, its permissions, kube-proxy before it.",
        "The managed add-on at a version that fits the cluster, and an alarm on its readiness.",
    ),
    Detail.CNI_VERSION: Mitigation(
        "Operator: update the VPC CNI, one minor version at a time, to one without the fault.",
        "Keep the add-on's version pinned and reviewed with each update of Kubernetes.",
    ),
    Detail.IAM: Mitigation(
        "Operator: attach AmazonEKS_CNI_Policy to the role that aws-node uses; ipamd asks again by itself.",
        "A role of its own for aws-node (IRSA or Pod Identity), checked before each update.",
    ),
    Detail.THROTTLING: Mitigation(
        "Operator: fewer nodes at a time; warm targets that ask EC2 less often.",
        "Fewer calls: no low WARM_IP_TARGET on large or busy clusters; ask for higher limits.",
    ),
    Detail.CONFIG: Mitigation(
        "Operator: mend the setting, tag or object that is named, and see that aws-node picks it up.",
        "Settings in the add-on's configuration values, checked before they are applied (`headroom check`).",
    ),
    Detail.AUTO_MODE: Mitigation(
        "Operator: a NodeClass with podSubnetSelectorTerms and podSecurityGroupSelectorTerms for each zone of its "
        "nodes.",
        "Pod subnets for each zone, reviewed with the NodeClass.",
    ),
    Detail.HOST_LOCAL_LEAK: Mitigation(
        "Operator: drain the node, delete the reservations that no pod uses, or replace it.",
        "A network mode whose addresses are not kept in files on the node; fix what makes pods fail to start.",
    ),
    RootCause.WARM_TARGET: Mitigation(
        "Operator: set WARM_IP_TARGET beside MINIMUM_IP_TARGET, or thriftier targets where pools idle.",
        "Warm targets computed for the nodes' real load (`headroom calc fleet`).",
    ),
    Detail.COOLDOWN: Mitigation(
        "Operator: raise WARM_IP_TARGET above the addresses that come free in half a minute.",
        "Warm targets that count the churn of pods; IP_COOLDOWN_PERIOD only with care.",
    ),
    RootCause.SNAT_EXHAUSTION: Mitigation(
        "Operator: add outbound public addresses or ports, and restart what leaks connections.",
        "A NAT gateway, connection pools, private endpoints for what is called most.",
    ),
}
"""By cause: its detail where it has one."""


AZURE: Final[dict[Detail | RootCause, Mitigation]] = {
    RootCause.IPAMD_FAILURE: Mitigation(
        "Operator: get azure-cns (in kube-system) running again on the nodes named: its log, its permissions.",
        "Node images kept up to date, and an alarm on the DaemonSet's readiness.",
    ),
    Detail.IAM: Mitigation(
        "Operator: give the cluster's identity what it is denied, on the subnet usually Network Contributor.",
        "The role assignment in code, beside the cluster and the subnet.",
    ),
    Detail.THROTTLING: Mitigation(
        "Operator: fewer changes at a time; scale node pools one after the other.",
        "Fewer calls to Azure Resource Manager: fewer controllers that poll it, smaller surges.",
    ),
    Detail.CONFIG: Mitigation(
        "Operator: mend the setting or object that is named, and roll the nodes that have it.",
        "The cluster's and the node pools' settings in code, reviewed before they are applied (`headroom check`).",
    ),
    Detail.CNI_VERSION: Mitigation(
        "Operator: upgrade the node image of the pools that are named.",
        "Node images upgraded by a channel, and reviewed with each update of Kubernetes.",
    ),
    Detail.MAX_PODS: Mitigation(
        "Operator: add nodes, or move pods to nodes below their maxPods.",
        "Node pools with a higher maxPods: it is set when a pool is made, so a new pool takes the pods over.",
    ),
    Detail.NODE_SUBNET_FULL: Mitigation(
        "Operator: add a node pool in a subnet with room, or lower the pools' maximum counts.",
        "A node subnet with an address for every node at the maximum, and surge; where pods take theirs of it, for "
        "every pod, too. It cannot grow while it is in use.",
    ),
    Detail.ROUTE_LIMIT: Mitigation(
        f"Operator: cordon the nodes without a route, and scale back to the {KUBENET_MAXIMUM_NODES} nodes that a route "
        "table carries.",
        "A network mode that needs no route for a node: Azure CNI Overlay.",
    ),
}
"""The same where Azure has other words for it."""


def mitigation(diagnosis: Diagnosis) -> Mitigation:
    """What to do about the first cause; of a cluster without one what to do instead."""
    if diagnosis.causes:
        cause = diagnosis.causes[0]
        name = cause.detail or cause.root_cause
        return AZURE.get(name, MITIGATIONS[name]) if diagnosis.cloud == "azure" else MITIGATIONS[name]
    if diagnosis.verdict is Verdict.HEALTHY:
        return Mitigation("Nothing.", "An alarm on free addresses of each zone.")
    if diagnosis.verdict is Verdict.NOT_IP:
        return Mitigation("Operator: see to what is named; addresses are not the cause.", "Nothing about addresses.")
    command = next((each.command for each in diagnosis.needed if each.command), "")
    return Mitigation(f"Operator: read what is needed{f': {command}' if command else '.'}", "Depends on the cause.")
