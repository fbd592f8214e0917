"""A cluster to read: a simulated AWS as a process, and an API server that answers from plain objects."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
import yaml
from botocore.config import Config

from headroom.collect.readings import count_call
from headroom.collect.session import KubeContext, choose_context
from headroom.collect.snapshot import collect_from
from headroom.rehearsal.aws.endpoint import Endpoint, start_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from headroom.facts.snapshot import Snapshot

REGION = "us-east-1"
CLUSTER = "prod-use1"
ZONES = ("us-east-1a", "us-east-1b")
SYSTEM = "kube-system"

Object = dict[str, Any]


# An API server


@dataclass
class ApiServerStub:
    """An API server that lists plain objects in pages, and what it was asked.

    Attributes:
        lists: Objects by path of their collection; a path that is not there is answered 404.
        answers: Whole answers by path: bytes.
        failures: HTTP status and reason by path.
        messages: The message of a failure by path.
        cut_short: Paths whose answers break off in the middle.
        slow: Paths that are answered only after ``released`` is set.
    """

    lists: dict[str, list[Object]] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, tuple[int, str]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    cut_short: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    page: int = 0
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_port}"

    def paths(self) -> set[str]:
        return {path for path, _ in self.asked}

    def respond(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append((path, query))
        if path in self.slow:
            self.released.wait(10)
        if path in self.failures:
            status, reason = self.failures[path]
            said = {"message": self.messages[path]} if path in self.messages else {}
            return status, json.dumps({"kind": "Status", "reason": reason, "code": status, **said}).encode()
        if path in self.answers:
            body = self.answers[path]
        elif path in self.lists:
            body = json.dumps(self._listed(path, query)).encode()
        else:
            return 404, json.dumps({"kind": "Status", "reason": "NotFound", "code": 404}).encode()
        return 200, body[: len(body) // 2] if path in self.cut_short else body

    def _listed(self, path: str, query: Mapping[str, str]) -> Object:
        items = [item for item in self.lists[path] if selected(item, query.get("fieldSelector", ""))]
        start, size = int(query.get("continue", "0")), self.page or int(query["limit"])
        more = {"continue": str(start + size)} if start + size < len(items) else {}
        return {"metadata": {"resourceVersion": "7", **more}, "items": items[start : start + size]}


def selected(item: Object, selector: str) -> bool:
    """Whether a field selector picks an object."""
    for requirement in filter(None, selector.split(",")):
        name, _, value = requirement.partition("!=")
        if _:
            if field_of(item, name) == value:
                return False
        else:
            name, _, value = requirement.partition("=")
            if field_of(item, name) != value:
                return False
    return True


def field_of(item: Object, name: str) -> Any:
    """A field by its path, such as metadata.name."""
    for part in name.split("."):
        item = item.get(part, {})
    return item


@pytest.fixture
def api() -> Iterator[ApiServerStub]:
    """A running API server without objects, but for what every server has."""
    stub = ApiServerStub(
        answers={
            "/version": b'{"gitVersion": "v1.33.1-eks-1"}',
            "/apis": json.dumps(
                {"groups": [group(name, version) for name, version in (("apps", "v1"), ("batch", "v1"))]}
            ).encode(),
        },
        lists={
            path: []
            for path in (
                "/api/v1/namespaces",
                "/api/v1/nodes",
                "/api/v1/pods",
                "/api/v1/events",
                "/api/v1/services",
                "/apis/apps/v1/deployments",
                "/apis/apps/v1/statefulsets",
                "/apis/apps/v1/daemonsets",
                "/apis/batch/v1/cronjobs",
                "/apis/batch/v1/jobs",
                "/apis/coordination.k8s.io/v1/leases",
                "/apis/autoscaling/v2/horizontalpodautoscalers",
                "/apis/discovery.k8s.io/v1/endpointslices",
                "/apis/networking.k8s.io/v1/networkpolicies",
                "/apis/policy/v1/poddisruptionbudgets",
                "/apis/scheduling.k8s.io/v1/priorityclasses",
            )
        },
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = stub.respond(parts.path, dict(parse_qsl(parts.query)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.server = server
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield stub
    stub.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def group(name: str, version: str) -> Object:
    return {"name": name, "preferredVersion": {"groupVersion": f"{name}/{version}", "version": version}}


def install(api: ApiServerStub, name: str, version: str, **lists: list[Object]) -> None:
    """Adds an API group with custom resources."""
    groups = json.loads(api.answers["/apis"])["groups"]
    api.answers["/apis"] = json.dumps({"groups": [*groups, group(name, version)]}).encode()
    for plural, items in lists.items():
        api.lists[f"/apis/{name}/{version}/{plural}"] = items


@pytest.fixture
def kubeconfig(api: ApiServerStub, tmp_path: Path) -> Path:
    """A kubeconfig with one context for the API server."""
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig_content({CLUSTER: api.url})), encoding="utf-8")
    return file


def kubeconfig_content(servers: Mapping[str, str], current: str = "") -> Object:
    """A kubeconfig with a context for each server, named as the server is."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"cluster-{name}", "cluster": {"server": url}} for name, url in servers.items()],
        "users": [{"name": "reader", "user": {"token": "a-token"}}],
        "contexts": [{"name": name, "context": {"cluster": f"cluster-{name}", "user": "reader"}} for name in servers],
        "current-context": current or next(iter(servers)),
    }


# Objects


def owned_by(kind: str, name: str) -> list[Object]:
    return [{"kind": kind, "name": name, "controller": True}]


def pod_object(name: str, node: str | None = None, **more: Any) -> Object:
    """A pod; with `ip`, a running one."""
    ip, labels, owner = more.get("ip"), more.get("labels", {}), more.get("owner")
    state: Object = (
        {"running": {"startedAt": "2026-03-03T20:46:00Z"}} if ip else {"waiting": {"reason": "ContainerCreating"}}
    )
    return {
        "metadata": {
            "name": name,
            "namespace": more.get("namespace", "shop"),
            "labels": labels,
            "creationTimestamp": "2026-03-03T20:40:00Z",
            **({"ownerReferences": owner} if owner else {}),
        },
        "spec": {
            **({"nodeName": node} if node else {}),
            **({"hostNetwork": True} if more.get("host_network") else {}),
            "priority": 0,
            "containers": [
                {
                    "name": more.get("container", "app"),
                    "image": more.get("image", "registry.invalid/app:1"),
                    "env": [{"name": "DB_PASSWORD", "value": "hunter2"}],
                }
            ],
        },
        "status": {
            "phase": "Running" if ip else "Pending",
            **({"podIP": ip} if ip else {}),
            "conditions": [{"type": "Ready", "status": "True" if ip else "False"}],
            "containerStatuses": [
                {"name": more.get("container", "app"), "restartCount": 0, "state": state, "lastState": {}}
            ],
        },
    }


def daemon_set(name: str, environment: Mapping[str, str] | None = None, desired: int = 2) -> Object:
    env = [{"name": key, "value": value} for key, value in (environment or {}).items()]
    fields: Object = {
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        f'k:{{"name":"{name}"}}': {
                            "f:env": {f'k:{{"name":"{key}"}}': {"f:value": {}} for key in environment or {}}
                        }
                    }
                }
            }
        }
    }
    return {
        "metadata": {
            "name": name,
            "namespace": SYSTEM,
            "generation": 3,
            "managedFields": [{"manager": "eks", "fieldsV1": fields}],
        },
        "spec": {
            "template": {
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "containers": [
                        {
                            "name": name,
                            "image": "602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1.19.2-eksbuild.1",
                            "env": env,
                        }
                    ],
                }
            }
        },
        "status": {"desiredNumberScheduled": desired, "numberReady": desired, "updatedNumberScheduled": desired},
    }


# AWS


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The simulated AWS with an EKS cluster in it.

    Attributes:
        endpoint: The simulated AWS.
        vpc_id: The cluster's VPC.
        subnets: Node subnets by zone.
        instances: Planted instances, as `Endpoint.plant` shows them.
        others: Ids of the interfaces that are no node's.
    """

    endpoint: Endpoint
    vpc_id: str
    subnets: Mapping[str, str]
    instances: tuple[Object, ...]
    others: tuple[str, ...]
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        """A client that asks once: a test does not wait for repetitions."""
        with self._lock:  # boto3 must not make two at a time
            if service not in self._clients:
                self._clients[service] = self._client(service)
            return self._clients[service]

    def _client(self, service: str) -> Any:
        made = boto3.client(
            service,  # type: ignore[call-overload] # the stubs list services one by one
            endpoint_url=self.endpoint.url,
            region_name=REGION,
            aws_access_key_id="rehearsal",
            aws_secret_access_key="rehearsal",  # noqa: S106 - no secret
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
        )
        made.meta.events.register("before-send", count_call)
        return made

    def node_objects(self) -> list[Object]:
        return [
            {
                "metadata": {
                    "name": each["privateDnsName"],
                    "labels": {
                        "topology.kubernetes.io/zone": each["availabilityZone"],
                        "node.kubernetes.io/instance-type": "m5.large",
                        "eks.amazonaws.com/nodegroup": "workers",
                    },
                    "creationTimestamp": "2026-03-03T20:20:00Z",
                },
                "spec": {"providerID": f"aws:///{each['availabilityZone']}/{each['instanceId']}"},
                "status": {
                    "capacity": {"pods": "29"},
                    "allocatable": {"pods": "29"},
                    "addresses": [{"type": "InternalIP", "address": each["privateIpAddress"]}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {"kubeletVersion": "v1.33.1-eks-1", "osImage": "Bottlerocket"},
                },
            }
            for each in self.instances
        ]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One cluster for all tests, which only read it."""
    with start_endpoint(tmp_path_factory.mktemp("aws"), association_seconds=0) as endpoint:
        bare = World(endpoint=endpoint, vpc_id="", subnets={}, instances=(), others=())
        yield build(bare)


def build(bare: World) -> World:
    ec2 = bare.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.68.0.0/16")["Vpc"]["VpcId"]
    subnets = {
        zone: ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=f"10.68.{4 * index}.0/22",
            AvailabilityZone=zone,
            TagSpecifications=[
                {
                    "ResourceType": "subnet",
                    "Tags": [
                        {"Key": "Name", "Value": f"private-{zone}"},
                        {"Key": "kubernetes.io/role/internal-elb", "Value": "1"},
                        {"Key": "cost-center", "Value": "4711"},
                    ],
                }
            ],
        )["Subnet"]["SubnetId"]
        for index, zone in enumerate(ZONES)
    }
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[ZONES[0]])
    nat = ec2.create_nat_gateway(SubnetId=subnets[ZONES[1]], ConnectivityType="private")["NatGateway"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat["NatGatewayId"])
    peer = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    ec2.create_vpc_peering_connection(VpcId=vpc_id, PeerVpcId=peer)
    left = ec2.create_network_interface(
        SubnetId=subnets[ZONES[0]],
        Description="aws-K8S-i-00000000000000000",
        TagSpecifications=[
            {
                "ResourceType": "network-interface",
                "Tags": [
                    {"Key": "node.k8s.amazonaws.com/instance_id", "Value": "i-00000000000000000"},
                    {"Key": "node.k8s.amazonaws.com/createdAt", "Value": "2026-03-01T10:00:00Z"},
                    {"Key": "cluster.k8s.amazonaws.com/name", "Value": CLUSTER},
                ],
            }
        ],
    )["NetworkInterface"]["NetworkInterfaceId"]
    bare.client("eks").create_cluster(
        name=CLUSTER,
        version="1.33",
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(subnets.values())},
    )
    instances = bare.endpoint.plant(
        [
            {
                "subnetId": subnets[zone],
                "instanceType": "m5.large",
                "primary": {"addresses": 9},
                "interfaces": [{"addresses": 9, "description": "aws-K8S-x"}],
            }
            for zone in ZONES
        ]
    )
    return World(
        endpoint=bare.endpoint,
        vpc_id=vpc_id,
        subnets=subnets,
        instances=tuple(instances),
        others=(left, nat["NatGatewayAddresses"][0]["NetworkInterfaceId"]),
    )


@pytest.fixture
def aws(world: World) -> Iterator[World]:
    """The cluster's AWS, from which no other test's calls or faults are left."""
    world.endpoint.forget_calls()
    yield world
    world.endpoint.clear_faults()


ENVIRONMENT = {"WARM_ENI_TARGET": "1", "ENABLE_PREFIX_DELEGATION": "false", "DB_PASSWORD": "hunter2"}
CHECKOUT = {"app": "checkout", "pod-template-hash": "7fd949d74b"}


@pytest.fixture
def cluster(aws: World, api: ApiServerStub) -> ApiServerStub:
    """An API server that knows the nodes of the simulated AWS, with a workload of which one pod is stuck."""
    nodes = aws.node_objects()
    names = [node["metadata"]["name"] for node in nodes]
    replica_set = owned_by("ReplicaSet", "checkout-7fd949d74b")
    api.lists["/api/v1/nodes"] = nodes
    api.lists["/api/v1/pods"] = [
        pod_object("checkout-7fd949d74b-aaaaa", names[0], ip="10.68.0.20", labels=CHECKOUT, owner=replica_set),
        pod_object("checkout-7fd949d74b-bbbbb", names[1], labels=CHECKOUT, owner=replica_set),
        *(
            pod_object(
                f"aws-node-{index}",
                name,
                ip=aws.instances[index]["privateIpAddress"],
                namespace=SYSTEM,
                host_network=True,
                labels={"k8s-app": "aws-node"},
                owner=owned_by("DaemonSet", "aws-node"),
                container="aws-node",
                image="602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1.19.2-eksbuild.1",
            )
            for index, name in enumerate(names)
        ),
    ]
    api.lists["/apis/apps/v1/daemonsets"] = [daemon_set("aws-node", ENVIRONMENT), daemon_set("kube-proxy")]
    api.lists["/apis/apps/v1/deployments"] = [
        {
            "metadata": {"name": "checkout", "namespace": "shop", "generation": 1},
            "spec": {"replicas": 2, "template": {"spec": {"priorityClassName": "gold"}}},
            "status": {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 2},
        }
    ]
    api.lists["/api/v1/events"] = [
        {
            "metadata": {"name": "e1", "creationTimestamp": "2026-03-03T20:46:41Z"},
            "type": "Warning",
            "reason": "FailedCreatePodSandBox",
            "message": "failed to assign an IP address to container",
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "checkout-7fd949d74b-bbbbb"},
            "source": {"component": "kubelet", "host": names[1]},
            "count": 16,
            "firstTimestamp": "2026-03-03T20:46:41Z",
            "lastTimestamp": "2026-03-03T20:49:21Z",
        },
        {
            "metadata": {"name": "e2", "creationTimestamp": "2026-03-03T20:46:41Z"},
            "type": "Normal",
            "reason": "Scheduled",
            "message": "assigned",
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "checkout-7fd949d74b-bbbbb"},
        },
    ]
    api.lists["/api/v1/services"] = [
        {
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {"type": "ClusterIP", "selector": {"app": "checkout"}},
        }
    ]
    api.lists["/apis/discovery.k8s.io/v1/endpointslices"] = [
        {
            "metadata": {
                "name": "checkout-x",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "checkout"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.68.0.20"], "conditions": {"ready": True}}],
        }
    ]
    for index in range(len(names)):
        path = f"/api/v1/namespaces/{SYSTEM}/pods/aws-node-{index}"
        api.answers[f"{path}:61678/proxy/metrics"] = (
            b"awscni_total_ip_addresses 18\nawscni_assigned_ip_addresses 1\nawscni_eni_allocated 2\n"
            b'awscni_aws_api_error_count{api="CreateNetworkInterface",error="InsufficientFreeAddressesInSubnet"} 7\n'
        )
        api.answers[f"{path}/log"] = b"2026-03-03T20:46:41.123Z Installed /host/opt/cni/bin/aws-cni\n"
    return api


@pytest.fixture
def read(aws: World, cluster: ApiServerStub, kubeconfig: Path) -> Callable[..., Snapshot]:
    """Reads the cluster."""
    assert cluster.lists, "the kubeconfig leads to it"

    def go(**options: Any) -> Snapshot:
        context: KubeContext = choose_context(CLUSTER, kubeconfig=str(kubeconfig))
        name = options.pop("name", CLUSTER)
        return collect_from(name, options.pop("client", aws.client), context, region=REGION, **options)

    return go


# A Prometheus server


@contextmanager
def server(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives these answers one after the other, the last one again; and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(self)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(raw)))
            if code in {301, 302}:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]], **more: Any) -> dict[str, Any]:
    result = [{"metric": labels, "values": [[time, value] for time, value in values]} for labels, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
