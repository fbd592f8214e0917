"""A small cluster whose subnet runs dry: recovery comes from what `up` changed, or not at all."""

import functools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headroom.capacity.cni_version import CniVersion
from headroom.collect.kubernetes_objects import pod as pod_facts
from headroom.collect.pod_logs import logs_of
from headroom.facts.values import items
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import DEPLOYMENTS, EVENTS, NAMESPACES, PODS, Kube
from headroom.rehearsal.nodes import KUBELET_PORT, Nodes, NodeType, container_log
from headroom.rehearsal.scenarios import cluster as reference
from headroom.rehearsal.scenarios.cluster import NAMESPACE, ZONES, wait_for
from headroom.rehearsal.stack import BLOCKS, Stack, make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world

pytestmark = [pytest.mark.engine, pytest.mark.control_plane]

SPEED = 60.0
ZONE = next(iter(ZONES))
SMALL = NodeType(group="services", instance_type="m5.large", cpu="1930m", memory="7Gi")
NODES, REPLICAS = 2, 24


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("cluster")
    with start_world(folder, find_tools(), aws_settings={"association_seconds": 0.3}) as world:
        yield world


class SmallCluster:
    """Two m5.large in a subnet with 27 usable addresses, and a Deployment that wants more pods than that."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.stack: Stack = make_stack(world, folder)
        self.stack.configure(podSubnets=self.stack.pod_subnets({ZONE: BLOCKS[ZONE]}))
        ec2, vpc_id = world.ec2, self.stack.network.vpc_id
        subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.68.32.0/27", AvailabilityZone=ZONE)["Subnet"]
        self.kube: Kube = world.kube
        self.clock = Clock(datetime(2026, 3, 3, 21, 14, tzinfo=UTC), SPEED)
        self.nodes = Nodes(
            kube=self.kube,
            ec2=ec2,
            clock=self.clock,
            folder=folder / "nodes",
            vpc_id=vpc_id,
            security_groups=[self.stack.network.security_group_id],
            cluster=reference.CLUSTER,
            network=world.node_network,
        )
        for _ in range(NODES):
            self.nodes.add(
                SMALL,
                subnet["SubnetId"],
                ZONE,
                reference.CNI_ENVIRONMENT,
                CniVersion.parse(reference.CNI_VERSION),
            )
        self.nodes.start()
        self.clock.run()
        self.kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.kube.create(DEPLOYMENTS, reference.deployment("web", REPLICAS, SMALL, "50m", "64Mi"))

    def stuck(self) -> int:
        pods = self.kube.list_all(PODS, NAMESPACE)
        return sum(1 for pod in pods if pod["spec"].get("nodeName") and not pod.get("status", {}).get("podIP"))

    def addresses(self) -> list[str]:
        pods = self.kube.list_all(PODS, NAMESPACE)
        return [pod["status"]["podIP"] for pod in pods if pod.get("status", {}).get("podIP")]

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds / SPEED)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        wait_for(done, seconds=30, what=what)


def test_pods_stay_stuck_while_the_tag_is_missing_and_come_up_once_it_is_there(running: World, tmp_path: Path) -> None:
    cluster = SmallCluster(running, tmp_path)
    try:
        cluster.wait(lambda: len(cluster.addresses()) + cluster.stuck() == REPLICAS, "all pods to be scheduled")
        cluster.pass_time(120)
        stuck = cluster.stuck()
        # 27 usable addresses: each node's first interface takes ten, nine of them for pods. Seven are left, and of
        # no use: a second interface asks for ten at once.
        assert (stuck, len(cluster.addresses())) == (REPLICAS - 18, 18)
        events = cluster.kube.list_all(EVENTS, NAMESPACE, fields="reason=FailedCreatePodSandBox")
        assert {event["involvedObject"]["name"] for event in events}, "every pod that hangs has its event"

        # Everything but the one tag.
        cluster.stack.configure(acceptNewPods=False)
        cluster.stack.up()
        assert len(cluster.stack.subnets()) == 1
        cluster.pass_time(420)
        assert cluster.stuck() == stuck, "without its tag the CNI must not find the subnet"

        cluster.stack.configure(acceptNewPods=True)
        cluster.stack.up()
        cluster.wait(lambda: cluster.stuck() == 0, "the pods to come up")
        assert any(address.startswith("100.64.") for address in cluster.addresses())
        assert cluster.nodes.errors == []
        logs_are_read_by_the_kubelets_of_their_pods_alone(running, cluster)
    finally:
        cluster.nodes.stop()


def logs_are_read_by_the_kubelets_of_their_pods_alone(running: World, cluster: SmallCluster) -> None:
    pods = [pod for each in cluster.kube.list_all(PODS, NAMESPACE) if isinstance((pod := pod_facts(each)).ip, str)]
    assert running.control_plane is not None
    read = functools.partial(logs_of, reference.CLUSTER, kubeconfig=str(running.control_plane.kubeconfig))
    assert [each.read for each in items(read(pods))] == [True] * REPLICAS
    here, there = cluster.nodes.nodes.values()
    path = next(f"/containerLogs/{each.namespace}/{each.name}/web" for each in pods if each.node == here.name)
    assert container_log(here, path, {}) == "web runs\n"
    assert container_log(here, path, {"limitBytes": "1"}) == "w"
    assert container_log(there, path, {}) is None
    assert container_log(here, path.replace("/web", "/other"), {}) is None
    assert container_log(here, "/pods", {}) is None
    running.node_network.cut(here.address, KUBELET_PORT)
    assert {each.node for each in items(read(pods)) if each.read is False} == {here.name}
