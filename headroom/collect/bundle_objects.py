"""Objects of API answers, as they come out of files in any order, put together into facts.

The same functions read the objects as of a live cluster. What no file holds was not collected; what a file holds in
part only is unknown, since half of a list would pass for all of it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from headroom.capacity.limits import limits_of_description
from headroom.collect import aws_objects, kubernetes_objects
from headroom.facts.aws import Addon, Aws, CidrReservation, RouteTable, Subnet, Vpc
from headroom.facts.kubernetes import CniPod, Kubernetes, Node, Pod, Workload
from headroom.facts.snapshot import Line, Origin, PoolReading
from headroom.facts.values import NOT_COLLECTED, Fact, Reason, Unknown, known

T = TypeVar("T")
Object = Mapping[str, Any]

WRONG: Final = (KeyError, TypeError, ValueError, AttributeError, LookupError)
"""What the functions that read one object raise where it is not what its kind says."""

_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job"})

AWS_LISTS: Final = (
    "Subnets",
    "NetworkInterfaces",
    "Vpcs",
    "RouteTables",
    "VpcPeeringConnections",
    "SubnetIpv4CidrReservations",
    "InstanceTypes",
    "Activities",
    "Records",
    "Events",
)
"""Keys of the AWS CLI's answers under which lists of objects stand."""
AWS_OBJECTS: Final = ("cluster", "addon", "nodegroup")
"""Keys of EKS's answers under which one object stands."""


class Gathered:
    """What the files of a bundle have held so far."""

    def __init__(self) -> None:
        self._found: dict[str, list[Any]] = {}
        self._broken: dict[str, Unknown] = {}
        self._labels = kubernetes_objects.Labelled()
        self._sets = kubernetes_objects.PodSets()
        self.lines: list[Line] = []
        self.pools: list[PoolReading] = []
        self.environment: Mapping[str, str] | None = None
        self.cluster_name: str | None = None

    # Taking in.

    def take_kubernetes(self, item: Object) -> bool:
        """One object of the API server; false where its kind is of no use, or it is a Secret."""
        kind = item.get("kind")
        reader = _KUBERNETES.get(str(kind))
        if reader is None:
            return False
        try:
            made = reader(item)
            if kind == "Pod":
                self._labels.add(item["metadata"])
                self._sets.add(item)
                if kubernetes_objects.is_cni_pod(item):
                    self._add("CniPod", kubernetes_objects.cni_pod(item))
        except WRONG as error:
            self.broken(str(kind), f"an object of kind {kind} {_lack(error)}")
            return True
        self._add(str(kind), made)
        if kind == "DaemonSet":
            self._add("DaemonSetRaw", item)
        return True

    def take_aws(self, key: str, item: Object) -> None:
        """One object of a list of the AWS CLI, by the list's key; or the one object of an answer of EKS."""
        if key == "Activities":
            self._take_activity(item)
        elif key in ("Records", "Events"):
            self._take_trail(item)
        else:
            self._add(key, item)

    def seen(self, kind: str) -> None:
        """A file holds all of this kind, though there may be none."""
        for each in (kind, "DaemonSetRaw") if kind == "DaemonSet" else (kind,):
            self._found.setdefault(each, [])

    def broken(self, kind: str, why: str) -> None:
        """A file holds this kind in part only."""
        self._broken.setdefault(kind, Unknown(Reason.UNPARSEABLE, why[:200]))

    def _add(self, kind: str, item: Any) -> None:
        self._found.setdefault(kind, []).append(item)

    def _take_activity(self, item: Object) -> None:
        """A scaling activity of an Auto Scaling group that did not succeed."""
        if item.get("StatusCode") in ("Failed", "Cancelled"):
            text = f"{item.get('Description', '')} {item.get('StatusMessage', '')}".strip()
            self.lines.append(Line(origin=Origin.ASG, text=text, file="scaling activities"))

    def _take_trail(self, item: Object) -> None:
        """A call that CloudTrail recorded and AWS refused."""
        detail = item.get("CloudTrailEvent", item)
        if isinstance(detail, str):
            try:
                detail = json.loads(detail)  # CloudTrail's lookup quotes JSON in JSON
            except ValueError:
                return
        if isinstance(detail, Mapping) and detail.get("errorCode"):
            parts = (detail.get("eventName"), detail["errorCode"], detail.get("errorMessage"), detail.get("userAgent"))
            text = " ".join(str(part) for part in parts if part)
            self.lines.append(Line(origin=Origin.OTHER, text=text, file="CloudTrail"))

    # Giving out.

    def is_kubernetes(self) -> bool:
        """Whether any file held something of the API server."""
        return any(kind in self._found or kind in self._broken for kind in (*_KUBERNETES, "CniPod"))

    def is_aws(self) -> bool:
        """Whether any file held something of AWS that makes facts."""
        return any(kind in self._found or kind in self._broken for kind in (*AWS_LISTS[:7], *AWS_OBJECTS))

    def kubernetes(self) -> Kubernetes:
        """What the API server said."""
        sets = self._broken.get("DaemonSet") or self._all("DaemonSetRaw")
        system = {
            each["metadata"]["name"]: each
            for each in (sets if isinstance(sets, tuple) else ())
            if each["metadata"].get("namespace") == kubernetes_objects.CNI_NAMESPACE
            and isinstance(each["metadata"].get("name"), str)
        }
        cni, proxy = system.get(kubernetes_objects.CNI_NAME), system.get(kubernetes_objects.KUBE_PROXY)
        cni_daemon_set = sets if isinstance(sets, Unknown) else _read_one(cni, kubernetes_objects.cni_daemon_set)
        proxy_ready = sets if isinstance(sets, Unknown) else _read_one(proxy, kubernetes_objects.ready_of_desired)
        pods: Fact[tuple[Pod, ...]] = self._all("Pod")
        cni_pods: Fact[tuple[CniPod, ...]] = pods if isinstance(pods, Unknown) else tuple(self._found.get("CniPod", ()))
        workloads, unread = self._workloads()
        leases = self._all("Lease")
        return Kubernetes(
            version=NOT_COLLECTED,
            nodes=self._all("Node"),
            pods=pods,
            events=self._all("Event"),
            workloads=workloads,
            unread_workloads=unread,
            cron_jobs=self._all("CronJob"),
            leases=leases if isinstance(leases, Unknown) else tuple(each for each in leases if each is not None),
            keda_scalers=self._joined(*kubernetes_objects.KEDA_KINDS),
            services=self._services(),
            disruption_budgets=self._budgets(),
            autoscalers=self._all("HorizontalPodAutoscaler"),
            priority_classes=self._all("PriorityClass"),
            cni_daemon_set=cni_daemon_set,
            cni_pods=cni_pods,
            kube_proxy_ready=proxy_ready,
            eni_configs=self._all("ENIConfig"),
            cni_nodes=self._all("CNINode"),
            namespaces=self._all("Namespace"),
            network_policies=self._all("NetworkPolicy"),
            pod_sets=self._pod_sets(),
            node_pools=self._all("NodePool"),
            node_classes=self._joined("EC2NodeClass", "NodeClass"),
            node_claims=self._all("NodeClaim"),
        )

    def aws(self, nodes: Iterable[Node]) -> Aws:
        """What AWS said, of the cluster's own VPC."""
        cluster = self._one("cluster")
        described = cluster if isinstance(cluster, Mapping) else {}
        network = _object(described, "resourcesVpcConfig")
        ranges = _object(described, "kubernetesNetworkConfig")
        vpc_id = self._vpc_id(network.get("vpcId"), nodes)
        tables, explicit = self._route_tables(vpc_id)
        return Aws(
            vpc=self._vpc(vpc_id),
            subnets=self._subnets(vpc_id, tables, explicit),
            interfaces=self._read("NetworkInterfaces", aws_objects.interface, vpc_id),
            route_tables=tables,
            peerings=self._peerings(vpc_id),
            instance_types=self._instance_types(),
            cluster_subnet_ids=_read_one(network.get("subnetIds"), tuple) or NOT_COLLECTED,
            service_cidr=ranges.get("serviceIpv4Cidr") or NOT_COLLECTED,
            ip_family=ranges.get("ipFamily") or NOT_COLLECTED,
            cluster_status=described.get("status", NOT_COLLECTED),
            cluster_issues=_read_one(described, lambda item: aws_objects.health_issues(item.get("health")))
            if described
            else NOT_COLLECTED,
            auto_mode=bool(_object(described, "computeConfig").get("enabled", False)) if described else NOT_COLLECTED,
            addon=self._addon(),
            node_groups=self._read("nodegroup", aws_objects.node_group, None),
        )

    def _all(self, kind: str) -> Any:
        if kind in self._broken:
            return self._broken[kind]
        return tuple(self._found[kind]) if kind in self._found else NOT_COLLECTED

    def _one(self, kind: str) -> Any:
        found = self._all(kind)
        return found if isinstance(found, Unknown) else found[-1] if found else None

    def _instance_types(self) -> Fact[tuple[Any, ...]]:
        """Limits of instance types; one whose description makes no sense is as unknown as one that no file holds."""
        raw = self._all("InstanceTypes")
        if isinstance(raw, Unknown):
            return raw
        made = (_read_one(item, lambda each: aws_objects.instance_type(limits_of_description(each))) for item in raw)
        return tuple(each for each in made if each is not None and not isinstance(each, Unknown))

    def _read(self, kind: str, make: Callable[[Object], T], vpc_id: str | None) -> Fact[tuple[T, ...]]:
        raw = self._all(kind)
        if isinstance(raw, Unknown):
            return raw
        try:
            return tuple(make(item) for item in raw if vpc_id is None or item.get("VpcId", vpc_id) == vpc_id)
        except WRONG as error:
            return Unknown(Reason.UNPARSEABLE, f"{kind}: {_lack(error)}"[:200])

    def _vpc_id(self, told: str | None, nodes: Iterable[Node]) -> str | None:
        """The cluster's VPC: as EKS says, else the one in which most interfaces of its nodes are."""
        if told:
            return told
        instances = {known(node.instance_id) for node in nodes}
        vpcs = Counter(
            vpc
            for item in self._found.get("NetworkInterfaces", ())
            if isinstance(vpc := item.get("VpcId"), str)
            and isinstance(instance := _object(item, "Attachment").get("InstanceId"), str)
            and instance in instances
        )
        return vpcs.most_common(1)[0][0] if vpcs else None

    def _vpc(self, vpc_id: str | None) -> Fact[Vpc]:
        found = self._read("Vpcs", aws_objects.vpc, None)
        if isinstance(found, Unknown) or found is None:
            return found
        chosen = [each for each in found if vpc_id in (None, each.vpc_id)]
        return chosen[0] if len(chosen) == 1 else NOT_COLLECTED

    def _route_tables(self, vpc_id: str | None) -> tuple[Fact[tuple[RouteTable, ...]], Mapping[str, str]]:
        tables = self._read("RouteTables", aws_objects.route_table, vpc_id)
        try:
            explicit = aws_objects.explicit_associations(self._found.get("RouteTables", ()))
        except WRONG:
            explicit = {}
        return tables, explicit

    def _subnets(
        self, vpc_id: str | None, tables: Fact[tuple[RouteTable, ...]], explicit: Mapping[str, str]
    ) -> Fact[tuple[Subnet, ...]]:
        found = self._read("Subnets", aws_objects.subnet, vpc_id)
        if isinstance(found, Unknown) or found is None:
            return found
        reservations = self._read("SubnetIpv4CidrReservations", aws_objects.reservation, None)
        by_subnet: dict[str, list[CidrReservation]] = {}
        if not isinstance(reservations, Unknown):
            for each in reservations or ():
                by_subnet.setdefault(each.subnet_id, []).append(each)
        return tuple(
            replace(
                subnet,
                reservations=reservations
                if isinstance(reservations, Unknown)
                else tuple(by_subnet.get(subnet.subnet_id, ())),
                route_table_id=tables if isinstance(tables, Unknown) else explicit.get(subnet.subnet_id),
            )
            for subnet in found
        )

    def _peerings(self, vpc_id: str | None) -> Fact[tuple[Any, ...]]:
        raw = self._all("VpcPeeringConnections")
        if isinstance(raw, Unknown) or vpc_id is None:
            return raw if isinstance(raw, Unknown) else NOT_COLLECTED
        try:
            made = (aws_objects.peering(item, vpc_id) for item in raw)
            return tuple(each for each in made if each is not None)
        except WRONG as error:
            return Unknown(Reason.UNPARSEABLE, f"VpcPeeringConnections: {_lack(error)}"[:200])

    def _addon(self) -> Fact[Addon]:
        raw = self._all("addon")
        if isinstance(raw, Unknown):
            return raw
        try:
            return next(
                (aws_objects.addon(item) for item in reversed(raw) if item.get("addonName", "vpc-cni") == "vpc-cni"),
                NOT_COLLECTED,
            )
        except WRONG as error:
            return Unknown(Reason.UNPARSEABLE, f"addon: {_lack(error)}"[:200])

    def _workloads(self) -> tuple[Fact[tuple[Workload, ...]], dict[str, str]]:
        """The workloads of the kinds that files hold, and what there is of other kinds that could not be read."""
        by_kind: dict[str, tuple[Workload, ...] | Unknown] = {}
        for kind in sorted(_WORKLOADS):
            found = self._all(kind)
            whole = not isinstance(found, Unknown)
            by_kind[kind] = tuple(each for each in found if each is not None) if whole else found
        return kubernetes_objects.workloads_of(by_kind)

    def _services(self) -> Fact[tuple[Any, ...]]:
        raw = self._all("Service")
        if isinstance(raw, Unknown):
            return raw
        slices = self._all("EndpointSlice")
        try:
            ready = None if isinstance(slices, Unknown) else kubernetes_objects.ready_endpoints(slices)
        except WRONG as error:
            ready, slices = None, Unknown(Reason.UNPARSEABLE, f"EndpointSlice: {_lack(error)}"[:200])
        try:
            return tuple(
                kubernetes_objects.service(
                    item,
                    pods=self._labels.select_service(item["metadata"]["namespace"], item["spec"].get("selector")),
                    ready_endpoints=slices
                    if ready is None
                    else ready.get((item["metadata"]["namespace"], item["metadata"]["name"]), 0),
                )
                for item in raw
            )
        except WRONG as error:
            return Unknown(Reason.UNPARSEABLE, f"Service: {_lack(error)}"[:200])

    def _pod_sets(self) -> Fact[tuple[Any, ...]]:
        policies, pods = self._all("NetworkPolicy"), self._all("Pod")
        if isinstance(policies, Unknown) or not policies:
            return policies  # unknown, or none
        return pods if isinstance(pods, Unknown) else self._sets.fact()

    def _budgets(self) -> Fact[tuple[Any, ...]]:
        raw = self._all("PodDisruptionBudget")
        if isinstance(raw, Unknown):
            return raw
        try:
            return tuple(
                kubernetes_objects.disruption_budget(
                    item, pods=self._labels.select(item["metadata"]["namespace"], item["spec"].get("selector"))
                )
                for item in raw
            )
        except WRONG as error:
            return Unknown(Reason.UNPARSEABLE, f"PodDisruptionBudget: {_lack(error)}"[:200])

    def _joined(self, *several: str) -> Fact[tuple[Any, ...]]:
        """Objects of several kinds, of those that files hold."""
        kinds = [kind for kind in several if kind in self._found or kind in self._broken]
        every: list[Any] = []
        for kind in kinds:
            found = self._all(kind)
            if isinstance(found, Unknown):
                return found
            every += found
        return tuple(every) if kinds else NOT_COLLECTED


def _lack(error: Exception) -> str:
    """What is wrong with an object that could not be read, in words."""
    return f"has no {error.args[0]}" if isinstance(error, KeyError) and error.args else "has another form"


def _read_one(item: Any, make: Callable[[Any], T]) -> Fact[T]:
    """What a function makes of an object; ``None`` where there is none, unknown where it makes no sense."""
    if item is None:
        return None
    try:
        return make(item)
    except WRONG as error:
        return Unknown(Reason.UNPARSEABLE, f"{type(error).__name__}: {error}"[:200])


def _object(item: Object, key: str) -> Object:
    """An object within an object; empty where there is none."""
    found = item.get(key)
    return found if isinstance(found, Mapping) else {}


def _workload(kind: str) -> Callable[[Object], Workload | None]:
    def read(item: Object) -> Workload | None:
        if kind == "Job" and kubernetes_objects.is_finished(item):
            return None
        return kubernetes_objects.workload(item, kind)

    return read


def _same(item: Object) -> Object:
    return item


_KUBERNETES: Final[Mapping[str, Callable[[Object], Any]]] = {
    "Pod": kubernetes_objects.pod,
    "Node": kubernetes_objects.node,
    "Event": kubernetes_objects.event,
    "Deployment": _workload("Deployment"),
    "StatefulSet": _workload("StatefulSet"),
    "DaemonSet": _workload("DaemonSet"),
    "Job": _workload("Job"),
    "CronJob": kubernetes_objects.cron_job,
    "Lease": lambda item: kubernetes_objects.lease(item) if kubernetes_objects.is_election(item) else None,
    "ScaledObject": partial(kubernetes_objects.keda_scaler, kind="ScaledObject"),
    "ScaledJob": partial(kubernetes_objects.keda_scaler, kind="ScaledJob"),
    "Service": _same,
    "EndpointSlice": _same,
    "PodDisruptionBudget": _same,
    "HorizontalPodAutoscaler": kubernetes_objects.autoscaler,
    "PriorityClass": kubernetes_objects.priority_class,
    "ENIConfig": kubernetes_objects.eni_config,
    "CNINode": kubernetes_objects.cni_node,
    "Namespace": kubernetes_objects.namespace,
    "NetworkPolicy": kubernetes_objects.network_policy,
    "NodePool": kubernetes_objects.node_pool,
    "EC2NodeClass": lambda item: kubernetes_objects.node_class(item, "EC2NodeClass"),
    "NodeClass": lambda item: kubernetes_objects.node_class(item, "NodeClass"),
    "NodeClaim": kubernetes_objects.node_claim,
}
KUBERNETES_KINDS: Final = frozenset(_KUBERNETES)
"""Kinds of objects that make facts."""
