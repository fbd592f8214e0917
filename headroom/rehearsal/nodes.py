"""The simulated half of every node: its kubelet and its VPC CNI, against the real API server and the simulated EC2.

The CNI is the pool model of `headroom.capacity.ipamd`; nothing here decides whether a pod gets an address.
"""

import contextlib
import json
import random
import secrets
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headroom.addresses.blocks import format_address, parse_address
from headroom.capacity.cni_version import CniVersion
from headroom.capacity.ipamd import Ipamd, Latency
from headroom.capacity.limits import InstanceLimits, instance_limits, max_pods
from headroom.capacity.settings import CniSettings
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.ipamd_metrics import METRICS_PATH, METRICS_PORT, metrics
from headroom.rehearsal.kube import EVENTS, NODES, PODS, Kube
from headroom.rehearsal.node_ec2 import NodeEc2, interface_from
from headroom.rehearsal.node_network import NodeNetwork
from headroom.rehearsal.pod_watcher import PodWatcher

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

SANDBOX_RETRY_SECONDS = 12.0
"""About how often the kubelet tries again to make a sandbox whose network failed."""

START_SECONDS = 1.0
"""From an address to a running container, images being on the node already."""

MISSING_IMAGE = ":missing"
"""An image with this tag cannot be pulled: a fault that has nothing to do with addresses."""

KUBELET_PORT = 10250
"""Where a kubelet serves the API server (kubelet, --port)."""

_LOGS_PATH = "containerLogs"
"""A container's log is at /containerLogs/<namespace>/<pod>/<container> (pkg/kubelet/server/server.go)."""

AWS_NODE_LABELS = {"k8s-app": "aws-node"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """What a node group's nodes are.

    Attributes:
        group: Name of the node group.
        instance_type: EC2 instance type.
        cpu: Allocatable CPU, as Kubernetes writes it.
        memory: Allocatable memory, as Kubernetes writes it.
        max_pods: The kubelet's maxPods; ``None``: what the EKS images compute.
    """

    group: str
    instance_type: str
    cpu: str
    memory: str
    max_pods: int | None = None


@dataclass(slots=True, kw_only=True)
class PodState:
    """What the kubelet knows of one pod."""

    manifest: Mapping[str, Any]
    running: bool = False
    failures: int = 0
    event: str = ""


@dataclass(slots=True, kw_only=True)
class SimulatedNode:
    """One node: its instance, its CNI and its pods."""

    name: str
    group: str
    instance_id: str
    zone: str
    address: str
    limits: InstanceLimits
    max_pods: int
    ipamd: Ipamd
    aws_node_uid: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    pods: dict[str, PodState] = field(default_factory=dict)
    retries: dict[str, float] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    no_address: int = 0


class Nodes(PodWatcher):
    """All simulated nodes of a cluster."""

    def __init__(  # noqa: PLR0913 - the parts of a world, by keyword
        self,
        *,
        kube: Kube,
        ec2: "EC2Client",
        clock: Clock,
        folder: Path,
        vpc_id: str,
        security_groups: Sequence[str],
        cluster: str,
        seed: int = 1,
        network: NodeNetwork | None = None,
    ) -> None:
        super().__init__(kube, clock)
        self.ec2 = ec2
        self.folder = folder
        self.vpc_id = vpc_id
        self.cluster = cluster
        self.nodes: dict[str, SimulatedNode] = {}
        self._security_groups = list(security_groups)
        self._seed = seed
        self._network = network
        self._logs = contextlib.ExitStack()
        folder.mkdir(parents=True, exist_ok=True)

    # Nodes and their past

    def add(
        self, kind: NodeType, subnet_id: str, zone: str, environment: Mapping[str, str], version: CniVersion
    ) -> SimulatedNode:
        """Launches an instance and registers its node, as one of the kind's node group."""
        answer = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            InstanceType=kind.instance_type,  # type: ignore[arg-type] # the stubs' list of types lags behind
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet_id,
            SecurityGroupIds=self._security_groups,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": "eks:cluster-name", "Value": self.cluster},
                        {"Key": "eks:nodegroup-name", "Value": kind.group},
                    ],
                }
            ],
        )
        instance = answer["Instances"][0]
        instance_id, address = instance["InstanceId"], instance["PrivateIpAddress"]
        name = instance.get("PrivateDnsName") or f"ip-{address.replace('.', '-')}.ec2.internal"
        limits = instance_limits(kind.instance_type)
        node = self._put(
            name=name,
            group=kind.group,
            instance_id=instance_id,
            zone=zone,
            limits=limits,
            max_pods=kind.max_pods or max_pods(limits).value,
            interfaces=self.ec2.describe_network_interfaces(
                Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}]
            )["NetworkInterfaces"],
            environment=environment,
            version=version,
        )
        self._register(node, kind)
        node.ipamd.start(self.clock.now())
        return node

    def adopt(  # noqa: PLR0913 - what a node is, by keyword
        self,
        *,
        name: str,
        group: str,
        zone: str,
        limits: InstanceLimits,
        max_pods: int,
        interfaces: Sequence[Any],
        pods: Mapping[str, str],
        environment: Mapping[str, str],
        version: CniVersion,
        schedulable: bool = True,
        eniconfig_subnet: str | None = None,
    ) -> tuple[str, ...]:
        """Takes over a node that has run for long: its instance, and its Node object, are there.

        Args:
            name: Its name.
            group: Its node group.
            zone: Its zone.
            limits: Its instance type's limits.
            max_pods: Its pod capacity.
            interfaces: Its network interfaces, as EC2 describes them.
            pods: Address by pod (namespace/name).
            environment: aws-node's settings.
            version: The VPC CNI's version.
            schedulable: Whether it is not cordoned.
            eniconfig_subnet: The subnet of its ENIConfig.

        Returns:
            The pods whose address is none of its interfaces'.
        """
        node = self._put(
            name=name,
            group=group,
            instance_id=interfaces[0]["Attachment"]["InstanceId"],
            zone=zone,
            limits=limits,
            max_pods=max_pods,
            interfaces=interfaces,
            environment=environment,
            version=version,
        )
        node.ipamd.schedulable = schedulable
        node.ipamd.eniconfig_subnet = eniconfig_subnet
        return node.ipamd.resume(self.clock.now(), {pod: parse_address(address) for pod, address in pods.items()})

    def _put(  # noqa: PLR0913 - what a node is, by keyword
        self,
        *,
        name: str,
        group: str,
        instance_id: str,
        zone: str,
        limits: InstanceLimits,
        max_pods: int,
        interfaces: Sequence[Any],
        environment: Mapping[str, str],
        version: CniVersion,
    ) -> SimulatedNode:
        ordered = sorted(interfaces, key=lambda each: int(each["Attachment"]["DeviceIndex"]))
        first, *others = (interface_from(each) for each in ordered)
        ipamd = Ipamd(
            limits=limits,
            settings=CniSettings.from_environment(environment),
            max_pods=max_pods,
            ec2=NodeEc2(
                self.ec2,
                vpc_id=self.vpc_id,
                zone=zone,
                instance_id=instance_id,
                security_groups=self._security_groups,
                attached=ordered,
                on_denied=lambda operation: self._denied(self.nodes[name], operation),
            ),
            primary=first,
            others=tuple(others),
            version=version,
            random=random.Random(f"{self._seed}/{len(self.nodes)}"),  # noqa: S311 - a repeatable choice of places
            log=self._logger(name),
            latency=Latency(),
        )
        node = SimulatedNode(
            name=name,
            group=group,
            instance_id=instance_id,
            zone=zone,
            address=format_address(first.primary_address),
            limits=limits,
            max_pods=max_pods,
            ipamd=ipamd,
            environment=dict(environment),
        )
        self.nodes[name] = node
        if self._network is not None:
            self._network.serve(node.address, METRICS_PORT, METRICS_PATH, lambda: _metrics(node))
            self._network.serve_tls(node.address, KUBELET_PORT, lambda path, query: container_log(node, path, query))
        return node

    def cordon(self, name: str) -> None:
        """Marks a node unschedulable, for the scheduler and for its CNI."""
        self.kube.patch(NODES, name, {"spec": {"unschedulable": True}})
        self.nodes[name].ipamd.cordon(self.clock.now())

    def settle(self, seconds: float) -> None:
        """Lets the CNIs work for so long, with the clock standing still in between."""
        end = self.clock.now() + seconds
        while True:
            due, node = min(((node.ipamd.next_due, node) for node in self.nodes.values()), key=lambda pair: pair[0])
            if due > end:
                break
            if due > self.clock.now():
                self.clock.advance(due - self.clock.now())
            node.ipamd.step(self.clock.now())
        self.clock.advance(max(0.0, end - self.clock.now()))

    def assign_past(self, node: SimulatedNode, pods: Iterable[str]) -> None:
        """Gives addresses to pods that came long ago; waits for the CNI where it has none yet."""
        for pod in pods:
            for _ in range(60):
                if node.ipamd.assign(pod, self.clock.now()) is not None:
                    break
                self.settle(5)

    def bound_pods(self) -> dict[str, list[Mapping[str, Any]]]:
        """The API server's pods by node, those with the node's own address left out."""
        by_node: dict[str, list[Mapping[str, Any]]] = {name: [] for name in self.nodes}
        for pod in self.kube.list_all(PODS):
            name = pod["spec"].get("nodeName")
            if name in by_node and not pod["spec"].get("hostNetwork"):
                by_node[name].append(pod)
        return by_node

    # The present

    def stop(self) -> None:
        """Stops the kubelets and closes their logs."""
        super().stop()
        self._logs.close()

    def _step(self, now: float) -> float:
        upcoming = now + 1.0
        for node in list(self.nodes.values()):  # nodes may join meanwhile
            for key in [key for key, due in node.retries.items() if due <= now]:
                self._try_to_start(node, key)
            if node.ipamd.next_due <= now:
                node.ipamd.step(now)
            upcoming = min([upcoming, node.ipamd.next_due, *node.retries.values()])
        return upcoming

    def _take(self, change: str, pod: Mapping[str, Any]) -> None:
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return
        key = _key(pod)
        if change == "DELETED":
            node.ipamd.release(key, self.clock.now())
            node.pods.pop(key, None)
            node.retries.pop(key, None)
        elif pod["metadata"].get("deletionTimestamp"):
            if key in node.pods:
                self._submit(self._delete, pod)
        elif key not in node.pods:
            node.pods[key] = PodState(manifest=pod)
            if _is_aws_node(pod):
                self._restarted(node, pod)
            self._try_to_start(node, key)

    def _restarted(self, node: SimulatedNode, pod: Mapping[str, Any]) -> None:
        """A new aws-node pod: ipamd starts again, with the settings of the pod's template."""
        container = next(item for item in pod["spec"]["containers"] if item["name"] == "aws-node")
        environment = {item["name"]: item.get("value", "") for item in container.get("env", [])}
        if node.aws_node_uid:
            node.environment = environment
            node.ipamd.version = CniVersion.parse(container["image"].rpartition(":")[2])
            node.ipamd.restart(self.clock.now(), CniSettings.from_environment(environment))
        node.aws_node_uid = pod["metadata"]["uid"]

    def _try_to_start(self, node: SimulatedNode, key: str) -> None:
        state = node.pods[key]
        pod = state.manifest
        if state.running:
            node.retries.pop(key, None)
            return
        if pod["spec"].get("hostNetwork"):
            address: str | None = node.address
        else:
            assigned = node.ipamd.assign(key, self.clock.now())
            address = format_address(assigned.address) if assigned is not None else None
        if address is not None:
            node.retries.pop(key, None)
            state.running = True
            if any(container["image"].endswith(MISSING_IMAGE) for container in pod["spec"]["containers"]):
                self._submit(self._write_image_missing, node, pod, address)
            elif (pod.get("status") or {}).get("podIP") != address:
                self._submit(self._write_running, node, pod, address)
            return
        node.retries[key] = self.clock.now() + SANDBOX_RETRY_SECONDS
        state.failures += 1
        node.no_address += 1
        # The first failure, and then ever more rarely: as the kubelet's event recorder does.
        if state.failures & (state.failures - 1) == 0:
            self._submit(self._write_stuck, node, state, state.failures)

    def leave_alone(self, node_name: str, pod: Mapping[str, Any]) -> None:
        """Makes the kubelet do nothing about a pod that waits for something else than an address."""
        self.nodes[node_name].pods[_key(pod)] = PodState(manifest=pod, running=True)

    # What the kubelet writes

    def write_all_running(self, only: Container[str] | None = None) -> None:
        """Writes the status of every pod that has an address, and waits until all is written.

        Args:
            only: The pods to look at, as namespace/name; all by default.
        """
        futures = []
        for node_name, pods in self.bound_pods().items():
            node = self.nodes[node_name]
            for pod in pods:
                if only is not None and _key(pod) not in only:
                    continue
                assigned = node.ipamd.assign(_key(pod), self.clock.now())
                if assigned is not None:
                    node.pods[_key(pod)] = PodState(manifest=pod, running=True)
                    futures.append(self._submit(self._write_running, node, pod, format_address(assigned.address)))
        for future in futures:
            future.result()

    def write_host_pods_running(self) -> None:
        """Writes the status of every pod on a node's own address, such as aws-node, and waits until all is written."""
        futures = []
        for pod in self.kube.list_all(PODS):
            node = self.nodes.get(pod["spec"].get("nodeName", ""))
            if node is not None and pod["spec"].get("hostNetwork"):
                node.pods[_key(pod)] = PodState(manifest=pod, running=True)
                futures.append(self._submit(self._write_running, node, pod, node.address))
        for future in futures:
            future.result()

    def _register(self, node: SimulatedNode, kind: NodeType) -> None:
        region = node.zone[:-1]
        self.kube.create(
            NODES,
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": node.name,
                    "labels": {
                        "kubernetes.io/hostname": node.name,
                        "kubernetes.io/os": "linux",
                        "kubernetes.io/arch": "amd64",
                        "node.kubernetes.io/instance-type": kind.instance_type,
                        "topology.kubernetes.io/region": region,
                        "topology.kubernetes.io/zone": node.zone,
                        "eks.amazonaws.com/nodegroup": kind.group,
                    },
                },
                "spec": {"providerID": f"aws:///{node.zone}/{node.instance_id}"},
            },
        )
        # Admission adds a taint that only the node lifecycle controller, which does not run here, would remove.
        self.kube.patch(NODES, node.name, {"spec": {"taints": None}})
        resources = {"cpu": kind.cpu, "memory": kind.memory, "pods": str(node.max_pods)}
        self.kube.patch(
            NODES,
            node.name,
            {
                "status": {
                    "capacity": resources,
                    "allocatable": resources,
                    "addresses": [{"type": "InternalIP", "address": node.address}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
                    "nodeInfo": {"kubeletVersion": "v1.35.0"},
                    "conditions": [
                        {
                            "type": "Ready",
                            "status": "True",
                            "reason": "KubeletReady",
                            "message": "kubelet is posting ready status",
                            "lastHeartbeatTime": self.clock.timestamp(),
                            "lastTransitionTime": self.clock.timestamp(),
                        }
                    ],
                }
            },
            subresource="status",
        )

    def _write_running(self, node: SimulatedNode, pod: Mapping[str, Any], address: str) -> None:
        now = self.clock.timestamp()
        self._patch_status(
            pod,
            {
                "phase": "Running",
                "hostIP": node.address,
                "hostIPs": [{"ip": node.address}],
                "podIP": address,
                "podIPs": [{"ip": address}],
                "startTime": now,
                "conditions": _conditions(now, ready=True),
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": "",
                        "ready": True,
                        "started": True,
                        "restartCount": 0,
                        "state": {"running": {"startedAt": now}},
                    }
                    for container in pod["spec"]["containers"]
                ],
            },
        )

    def _write_image_missing(self, node: SimulatedNode, pod: Mapping[str, Any], address: str) -> None:
        """A pod that has its address, and an image that nobody can pull (kubelet, images/image_manager.go)."""
        now, image = self.clock.timestamp(), pod["spec"]["containers"][0]["image"]
        self._patch_status(
            pod,
            {
                "phase": "Pending",
                "hostIP": node.address,
                "podIP": address,
                "podIPs": [{"ip": address}],
                "startTime": now,
                "conditions": _conditions(now, ready=False),
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": "",
                        "ready": False,
                        "started": False,
                        "restartCount": 0,
                        "state": {
                            "waiting": {
                                "reason": "ImagePullBackOff",
                                "message": f'Back-off pulling image "{container["image"]}"',
                            }
                        },
                    }
                    for container in pod["spec"]["containers"]
                ],
            },
        )
        self._write_event(pod, node.name, "Failed", f'Failed to pull image "{image}": not found')

    def _write_stuck(self, node: SimulatedNode, state: PodState, failures: int) -> None:
        pod, now = state.manifest, self.clock.timestamp()
        if failures == 1:
            self._patch_status(
                pod,
                {
                    "phase": "Pending",
                    "hostIP": node.address,
                    "hostIPs": [{"ip": node.address}],
                    "startTime": now,
                    "conditions": _conditions(now, ready=False),
                    "containerStatuses": [
                        {
                            "name": container["name"],
                            "image": container["image"],
                            "imageID": "",
                            "ready": False,
                            "started": False,
                            "restartCount": 0,
                            "state": {"waiting": {"reason": "ContainerCreating"}},
                        }
                        for container in pod["spec"]["containers"]
                    ],
                },
            )
        namespace = pod["metadata"]["namespace"]
        if state.event:
            self.kube.patch(EVENTS, state.event, {"count": failures, "lastTimestamp": now}, namespace=namespace)
            return
        state.event = self._write_event(
            pod, node.name, "FailedCreatePodSandBox", sandbox_failure(secrets.token_hex(32)), count=failures
        )

    def _write_event(  # noqa: PLR0913 - what an event says
        self, pod: Mapping[str, Any], host: str, reason: str, message: str, *, count: int = 1, reporter: str = "kubelet"
    ) -> str:
        """Writes an event about a pod, and returns its name."""
        metadata, now = pod["metadata"], self.clock.timestamp()
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        self.kube.create(
            EVENTS,
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": metadata["namespace"]},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "source": {"component": reporter, "host": host},
                "reportingComponent": reporter,
                "reportingInstance": host,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": count,
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        )
        return name

    def _denied(self, node: SimulatedNode, operation: str) -> None:
        """aws-node says in an event, once an operation, that EC2 denied it."""
        manifest = next((state.manifest for state in node.pods.values() if _is_aws_node(state.manifest)), None)
        if manifest is None or operation in node.denied:
            return
        node.denied.add(operation)
        text = (
            f"Unauthorized operation: failed to call ec2:{operation} due to missing permissions. Please refer "
            "https://github.com/aws/amazon-vpc-cni-k8s/blob/master/docs/iam-policy.md to attach relevant policy to "
            "IAM role"
        )
        self._submit(
            lambda: self._write_event(manifest, node.name, "MissingIAMPermissions", text, reporter="aws-node"),
        )

    def _logger(self, node_name: str) -> Callable[[float, str, str], None]:
        """Writes ipamd's lines as it does, one file a node."""
        folder = self.folder / node_name
        folder.mkdir(parents=True, exist_ok=True)
        file = self._logs.enter_context((folder / "ipamd.log").open("a", encoding="utf-8", buffering=1))

        def log(now: float, level: str, message: str) -> None:
            line = {"level": level, "ts": self.clock.timestamp(now), "caller": "ipamd/ipamd.go", "msg": message}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")

        return log


def sandbox_failure(sandbox_id: str) -> str:
    """The event's message, as containerd and the CNI plugin word it; it names no cause (aws-node's log does)."""
    return (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
        f'"{sandbox_id}": plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address '
        "to container"
    )


def _conditions(now: str, *, ready: bool) -> list[dict[str, str]]:
    status = "True" if ready else "False"
    states = {
        "PodScheduled": "True",
        "PodReadyToStartContainers": status,
        "Initialized": "True",
        "ContainersReady": status,
        "Ready": status,
    }
    return [{"type": name, "status": value, "lastTransitionTime": now} for name, value in states.items()]


def _metrics(node: SimulatedNode) -> str:
    ec2 = node.ipamd.ec2
    return metrics(node.ipamd, ec2.errors if isinstance(ec2, NodeEc2) else {}, node.no_address)


def container_log(node: SimulatedNode, path: str, query: Mapping[str, str]) -> str | None:
    """What the node's kubelet answers of a container's log; ``None`` for one that it does not run.

    Args:
        node: The node.
        path: The path of the request.
        query: Its query, of which `limitBytes` counts.
    """
    kind, *names = path.strip("/").split("/")
    if kind != _LOGS_PATH or len(names) != 3:  # noqa: PLR2004 - namespace, pod, container
        return None
    namespace, name, container = names
    state = node.pods.get(f"{namespace}/{name}")
    if state is None or not state.running:
        return None
    if container not in [each["name"] for each in state.manifest["spec"]["containers"]]:
        return None
    text = f"{container} runs\n"
    return text[: int(query["limitBytes"])] if query.get("limitBytes", "").isdigit() else text


def _is_aws_node(pod: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = pod["metadata"].get("labels", {})
    return labels.get("k8s-app") == "aws-node"


def _key(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
