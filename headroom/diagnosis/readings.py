"""What several parts of a diagnosis read of a snapshot: settings, limits, pods that wait, and who owns an interface."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from headroom.addresses.problems import ProblemsError
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.settings import CniSettings
from headroom.facts.aws import Aws, Interface
from headroom.facts.kubernetes import ENDED, Event, Kubernetes, Node, Pod
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items, known, known_or

ADDRESS_FAILURE: Final = "failed to assign an IP address to container"
"""What nearly every failure of the VPC CNI reads like in a pod's events (amazon-vpc-cni-k8s, cni.go of the plugin)."""

NO_SANDBOX: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Why containers wait before the pod's sandbox, and with it its address, is there; the second where there are init
containers (Kubernetes, pkg/kubelet/kubelet_pods.go)."""

MOUNT_FAILURES: Final = frozenset({"FailedMount", "FailedAttachVolume"})
"""Events of pods that wait for a volume, before any address is asked for."""

_TYPES: Final[Mapping[str, str]] = {
    "api_gateway_managed": "api_gateway",
    "efs": "efs",
    "gateway_load_balancer": "load_balancer",
    "gateway_load_balancer_endpoint": "vpc_endpoint",
    "lambda": "lambda",
    "load_balancer": "load_balancer",
    "nat_gateway": "nat_gateway",
    "network_load_balancer": "load_balancer",
    "transit_gateway": "transit_gateway",
    "vpc_endpoint": "vpc_endpoint",
}
# Services that make interfaces of the plain type say in the description who they are (EC2 user guide,
# requester-managed-eni).
_DESCRIPTIONS: Final[tuple[tuple[str, str], ...]] = (
    ("ELB ", "load_balancer"),
    ("AWS Lambda VPC ENI", "lambda"),
    ("Interface for NAT Gateway", "nat_gateway"),
    ("VPC Endpoint Interface", "vpc_endpoint"),
    ("Amazon EKS ", "eks_control_plane"),
    ("RDSNetworkInterface", "rds"),
    ("RedshiftNetworkInterface", "redshift"),
    ("ElastiCache ", "elasticache"),
    ("EFS mount target", "efs"),
)


def aws_of(snapshot: Snapshot) -> Aws:
    """What AWS says; nothing at all where that is absent or unknown."""
    return known_or(snapshot.aws, Aws())


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    """What the API server says; nothing at all where that is absent or unknown."""
    return known_or(snapshot.kubernetes, Kubernetes())


def environment_of(snapshot: Snapshot) -> Mapping[str, str] | None:
    """aws-node's settings, as the DaemonSet has them, else as a person said; ``None``: unknown, or no aws-node."""
    daemon_set = known(kubernetes_of(snapshot).cni_daemon_set)
    found = known(daemon_set.environment) if daemon_set is not None else None
    if found is None:
        stated = known(snapshot.stated)
        found = known(stated.environment) if stated is not None else None
    return found


def settings_of(snapshot: Snapshot) -> CniSettings | None:
    """The same as ipamd reads them."""
    environment = environment_of(snapshot)
    return None if environment is None else CniSettings.from_environment(environment)


def limits_reader(snapshot: Snapshot) -> Callable[[Node], InstanceLimits | None]:
    """A function that knows the limits of a node's instance type: from the package's table, or as EC2 was asked."""
    described = {
        each.name: InstanceLimits(
            instance_type=each.name,
            enis=each.interfaces,
            ipv4_per_eni=each.addresses_per_interface,
            hypervisor={True: "nitro", False: "xen"}.get(known(each.nitro), "unknown"),  # type: ignore[arg-type]  # three known words
            vcpus=known(each.vcpus),
        )
        for each in items(aws_of(snapshot).instance_types)
    }
    found: dict[str, InstanceLimits | None] = {}

    def read(node: Node) -> InstanceLimits | None:
        name = known(node.instance_type)
        if name is None:
            return None
        if name not in found:
            try:
                found[name] = described.get(name) or instance_limits(name)
            except ProblemsError:
                found[name] = None
        return found[name]

    return read


def has_address(pod: Pod) -> bool:
    """Whether a pod of the pod network has an address now; one that has ended has given it back."""
    return not pod.host_network and known(pod.ip) is not None and pod.phase not in ENDED


def waiting_pods(snapshot: Snapshot) -> list[Pod]:
    """Pods on a node that have no address, and none that waits for something else first.

    A pod gets its address before its images are pulled, and after its volumes are mounted; so one that only reports
    a volume waits for that.
    """
    events: Iterable[Event] = items(kubernetes_of(snapshot).events)
    sandbox, mount = set(), set()
    for event in events:
        if event.kind != "Pod":
            continue
        if event.reason == "FailedCreatePodSandBox":
            sandbox.add((event.namespace, event.name))
        elif event.reason in MOUNT_FAILURES:
            mount.add((event.namespace, event.name))
    return [
        pod
        for pod in items(kubernetes_of(snapshot).pods)
        if pod.phase == "Pending"
        and not pod.host_network
        and not pod.terminating
        and pod.ip is None
        and known(pod.node) is not None
        and known_or(pod.waiting, "ContainerCreating") in NO_SANDBOX
        and ((pod.namespace, pod.name) in sandbox or (pod.namespace, pod.name) not in mount)
    ]


def service_of(interface: Interface) -> str:
    """Who owns an interface that is no node's: load_balancer, lambda, … `instance`, `unattached` or `other`."""
    by_type = _TYPES.get(interface.interface_type)
    if by_type is not None:
        return by_type
    for beginning, service in _DESCRIPTIONS:
        if interface.description.startswith(beginning):
            return service
    if known(interface.instance_id) is not None:
        return "instance"
    return "unattached" if interface.status == "available" and not interface.requester_managed else "other"
