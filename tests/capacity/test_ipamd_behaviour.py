"""What surprises people in an incident, one behaviour a test."""

import math
from collections.abc import Sequence
from random import Random

import pytest

from headroom.capacity.cni_version import CniVersion
from headroom.capacity.ec2 import Ec2Error, MemorySubnets, Subnet
from headroom.capacity.ipamd import Ipamd
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NodeSimulation

SMALL = InstanceLimits(enis=3, ipv4_per_eni=10)
LARGE = InstanceLimits(enis=8, ipv4_per_eni=30)
ROLE = "kubernetes.io/role/cni"


class Logged(list[str]):
    def __call__(self, _now: float, _level: str, message: str) -> None:
        self.append(message)

    def has(self, fragment: str) -> bool:
        return any(fragment in line for line in self)


def node_in(  # noqa: PLR0913 - a node
    *,
    free: int | None = None,
    blocks: int | None = None,
    settings: CniSettings | None = None,
    limits: InstanceLimits = SMALL,
    max_pods: int = 110,
    version: str = "1.23.0",
    log: Logged | None = None,
    node_tags: dict[str, str] | None = None,
    pod_subnet: dict[str, str] | None = None,
    pod_free: int | None = 200,
) -> NodeSimulation:
    subnets = MemorySubnets()
    subnets.add_subnet("subnet-node", free_addresses=free, free_blocks=blocks, tags=node_tags)
    if pod_subnet is not None:
        subnets.add_subnet("subnet-pods", free_addresses=pod_free, tags=pod_subnet)
    return NodeSimulation(
        limits=limits,
        settings=settings or CniSettings(),
        max_pods=max_pods,
        subnets=subnets,
        version=CniVersion.parse(version),
        log=log,
    )


def test_a_full_subnet_speaks_ipamds_words_and_pauses_for_two_minutes() -> None:
    log = Logged()
    node = node_in(free=9, log=log)
    node.add(10)
    node.wait(60)
    assert len(node.pending) == 1
    assert node.subnets.calls["CreateNetworkInterface"] == 1, "the pause keeps it from trying again"
    for fragment in (
        "InsufficientFreeAddressesInSubnet",
        "subnet doesn't seem to have enough IPs/Prefixes. Consider using new subnet",
        "Recently we had InsufficientCidr error hence will wait for 2m0s",
        "no available IP/Prefix addresses",
        "IP stats for Network Card 0 - total IPs: 9, assigned IPs: 9, cooldown IPs: 0",
        "hasRoom=true",
    ):
        assert log.has(fragment), fragment


def test_a_node_at_its_limit_in_a_full_subnet_never_pauses() -> None:
    log = Logged()
    node = node_in(free=22, settings=CniSettings(warm_ip_target=2), log=log)
    node.add(40)
    node.settle()
    before = sum(node.subnets.calls.values())
    node.wait(600)
    assert node.state.enis == SMALL.enis
    assert 200 <= sum(node.subnets.calls.values()) - before <= 500
    assert log.has("Skipping ENI allocation as the max ENI limit is already reached")


def test_a_fragmented_subnet_refuses_prefixes_with_a_code_that_ipamd_does_not_know() -> None:
    log = Logged()
    settings = CniSettings(prefix_delegation=True, warm_prefix_target=1)
    node = node_in(free=40, blocks=0, settings=settings, log=log)
    node.add(1)
    node.wait(600)
    assert log.has("InsufficientCidrBlocks")
    assert log.has("InvalidParameterValue: There aren't sufficient free Ipv4 addresses or prefixes")
    assert not log.has("will wait for 2m0s")
    assert sum(node.subnets.calls.values()) > 200


def test_a_tag_that_appears_later_is_found_without_a_restart() -> None:
    node = node_in(free=9, pod_subnet={})
    node.add(18)
    node.settle()
    assert len(node.pending) == 9
    node.subnets.set_tags("subnet-pods", {ROLE: "1"})
    node.settle()
    assert len(node.pending) == 0
    assert node.subnets.held()["subnet-pods"] == 20


@pytest.mark.parametrize(("key", "value"), [("kubernetes.io/role/cnis", "1"), (ROLE, "0"), (ROLE, "")])
def test_a_wrong_tag_leaves_the_pods_stuck(key: str, value: str) -> None:
    node = node_in(free=9, pod_subnet={key: value})
    node.add(18)
    node.settle()
    assert len(node.pending) == 9


def test_versions_before_1_18_3_make_no_interface_while_their_subnet_is_full() -> None:
    """amazon-vpc-cni-k8s #2908: with WARM_IP_TARGET the half-filled interface is tried, and nothing else."""
    stuck = {}
    for version in ("1.18.2", "1.18.3"):
        node = node_in(free=5, pod_subnet={ROLE: "1"}, settings=CniSettings(warm_ip_target=2), version=version)
        node.add(12)
        node.settle()
        stuck[version] = len(node.pending)
    assert stuck == {"1.18.2": 7, "1.18.3": 0}


def test_an_excluded_node_subnet_gives_no_address_and_costs_a_slot() -> None:
    log = Logged()
    node = node_in(node_tags={ROLE: "0"}, pod_subnet={ROLE: "1"}, log=log)
    node.add(30)
    node.settle()
    assert node.subnets.held() == {"subnet-node": 1, "subnet-pods": 20}
    assert (len(node.running), len(node.pending)) == (18, 12)
    assert log.has("Marking primary ENI")


def test_an_exclusion_that_appears_later_takes_effect_at_the_restart() -> None:
    node = node_in(pod_subnet={ROLE: "1"})
    node.add(5)
    node.settle()
    node.subnets.set_tags("subnet-node", {ROLE: "0"})
    node.settle()
    assert not any(interface.excluded for interface in node.ipamd.interfaces)
    node.restart(CniSettings())
    excluded = [interface for interface in node.ipamd.interfaces if interface.excluded]
    assert [interface.id for interface in excluded if interface.is_primary]
    for interface in excluded:
        assert len(interface.addresses) == len(interface.pods), "unused addresses were returned"
    node.remove(5, "oldest")
    assert all(not interface.addresses for interface in node.ipamd.interfaces if interface.excluded)


def test_no_subnet_at_all_is_said_in_ipamds_words() -> None:
    log = Logged()
    node = node_in(node_tags={ROLE: "0"}, log=log)
    node.add(1)
    node.wait(30)
    assert log.has("all subnets are either not tagged or tagged with kubernetes.io/role/cni=0")


def test_a_cordoned_node_returns_single_addresses_and_no_interface() -> None:
    node = node_in(limits=LARGE, settings=CniSettings(warm_ip_target=2))
    node.add(60)
    node.settle()
    node.cordon()
    node.remove(60, "newest")
    node.settle()
    assert (node.state.enis, node.state.secondary_addresses) == (3, 2)
    node.uncordon()
    node.settle()
    assert node.state.enis < 3


def test_a_cordoned_node_in_default_mode_returns_nothing() -> None:
    log = Logged()
    node = node_in(limits=LARGE, log=log)
    node.add(60)
    node.settle()
    before = node.state.subnet_addresses
    node.cordon()
    node.remove(60, "newest")
    node.settle()
    assert node.state.subnet_addresses == before
    assert log.has("AWS CNI is on a non schedulable node")


def test_free_addresses_stay_stranded_while_pods_wait() -> None:
    node = node_in(free=14)
    node.add(12)
    node.settle()
    assert len(node.pending) == 3
    assert node.subnets.describe_subnets()[0].free_addresses == 5, "too few for a whole interface"


def test_an_address_rests_before_another_pod_gets_it() -> None:
    node = node_in(limits=InstanceLimits(enis=1, ipv4_per_eni=4))
    node.add(3)
    node.settle()
    node.remove(3, "oldest")
    node.add(3)
    assert len(node.pending) == 3
    assert node.ipamd.available == 3, "ipamd counts resting addresses as available"
    assert node.ipamd.cooling(node.now) == 3
    node.wait(29)
    assert len(node.pending) == 3
    node.wait(5)
    assert len(node.pending) == 0


def test_a_live_retune_returns_addresses_at_once_and_interfaces_after_a_minute() -> None:
    node = node_in(max_pods=29)
    node.add(13)
    node.settle()
    assert node.state.subnet_addresses == 30
    node.restart(CniSettings(warm_ip_target=5, minimum_ip_target=10))
    node.wait(10)
    assert node.state.secondary_addresses == 18
    assert node.state.enis == 3
    node.settle()
    assert node.state.subnet_addresses in (20, 21), "the third interface goes unless pods are on it"


def test_enabling_prefixes_on_a_full_node_first_takes_more() -> None:
    node = node_in(limits=LARGE, max_pods=250)
    node.add(230)
    node.settle()
    assert node.state.subnet_addresses == 240
    node.restart(CniSettings(prefix_delegation=True, warm_prefix_target=1))
    node.settle()
    assert node.state.subnet_addresses > 240


def test_a_pod_keeps_its_address_over_a_restart_and_asks_twice_for_the_same() -> None:
    node = node_in()
    node.add(3)
    first = node.ipamd.assign("pod-2", node.now)
    node.restart(CniSettings(warm_ip_target=1))
    assert node.ipamd.assign("pod-2", node.now) == first


def test_the_trunk_interface_takes_one_slot() -> None:
    node = node_in(settings=CniSettings(pod_eni=True))
    node.add(30)
    node.settle()
    assert node.state.enis == 2


def test_prefixes_on_an_old_instance_fall_back_to_single_addresses() -> None:
    log = Logged()
    limits = InstanceLimits(instance_type="m4.large", enis=2, ipv4_per_eni=10, hypervisor="xen")
    node = node_in(limits=limits, settings=CniSettings(prefix_delegation=True, warm_prefix_target=1), log=log)
    node.settle()
    assert (node.state.prefixes, node.state.secondary_addresses) == (0, 9)
    assert log.has("Prefix delegation is not supported on non-nitro instance m4.large")


def test_custom_networking_without_room_keeps_the_node_from_getting_ready() -> None:
    subnets = MemorySubnets()
    subnets.add_subnet("subnet-node")
    subnets.add_subnet("subnet-pods", free_addresses=0)
    node = NodeSimulation(
        limits=SMALL,
        settings=CniSettings(custom_networking=True),
        max_pods=20,
        subnets=subnets,
        eniconfig_subnet="subnet-pods",
    )
    assert node.ipamd.not_ready == "Failed to attach any ENIs for custom networking"
    node.add(1)
    assert len(node.pending) == 1
    subnets.free_more("subnet-pods", 64)
    node.wait(60)
    assert node.ipamd.not_ready is None, "its container is started again after a while"
    assert node.state.assigned == 1


def test_custom_networking_without_an_eniconfig_says_so() -> None:
    log = Logged()
    node = node_in(settings=CniSettings(custom_networking=True), log=log)
    assert node.ipamd.not_ready is not None
    assert log.has("No ENIConfig could be found for this node")


class Denied(MemorySubnets):
    """An EC2 that allows everything but to look at subnets."""

    def describe_subnets(self) -> Sequence[Subnet]:
        raise Ec2Error("UnauthorizedOperation", "You are not authorized.", call="DescribeSubnets")


def test_a_denied_look_at_the_subnets_falls_back_to_the_nodes_own_before_1_22() -> None:
    subnets = Denied()
    subnets.add_subnet("subnet-node")
    node = NodeSimulation(
        limits=SMALL, settings=CniSettings(), max_pods=29, subnets=subnets, version=CniVersion(1, 21, 2)
    )
    node.add(9)
    node.settle()
    assert node.state.enis == 2


def test_a_denied_look_at_the_subnets_is_fatal_from_1_22_on() -> None:
    subnets = Denied()
    subnets.add_subnet("subnet-node")
    node = NodeSimulation(limits=SMALL, settings=CniSettings(), max_pods=29, subnets=subnets)
    assert node.ipamd.not_ready is not None
    assert "UnauthorizedOperation" in node.ipamd.not_ready


def test_a_pool_at_rest_asks_for_no_step_until_something_happens() -> None:
    subnets = MemorySubnets()
    subnets.add_subnet("subnet-node")
    ipamd = Ipamd(
        limits=SMALL,
        settings=CniSettings(),
        max_pods=29,
        ec2=subnets,
        primary=subnets.launch("subnet-node"),
        random=Random(1),  # noqa: S311 - a simulation
    )
    ipamd.start(1000.0)
    assert ipamd.next_due == pytest.approx(1002.8)
    while ipamd.next_due < math.inf:
        ipamd.step(ipamd.next_due)
    calls = subnets.calls.copy()
    ipamd.step(5000.0)
    assert subnets.calls == calls
    assert ipamd.assign("a", 5000.0) is not None
    assert 5000.0 <= ipamd.next_due <= 5005.0


def test_an_early_step_does_nothing_and_a_late_one_runs_once() -> None:
    subnets = MemorySubnets()
    subnets.add_subnet("subnet-node")
    ipamd = Ipamd(
        limits=SMALL,
        settings=CniSettings(warm_eni_target=3),
        max_pods=29,
        ec2=subnets,
        primary=subnets.launch("subnet-node"),
    )
    ipamd.start(0.0)
    ipamd.step(1.0)
    assert ipamd.state.enis == 1
    ipamd.step(100.0)
    assert ipamd.state.enis == 2, "one loop, however late"


def test_a_pool_without_a_warm_interface_comes_and_goes_for_ever() -> None:
    node = node_in(settings=CniSettings(warm_eni_target=0), max_pods=29)
    node.add(9)
    assert not node.settle()
    created = node.subnets.calls["CreateNetworkInterface"]
    node.wait(1800)
    assert 24 <= node.subnets.calls["CreateNetworkInterface"] - created <= 26


def test_placement_follows_gos_map_order() -> None:
    """With n interfaces that were never freed, the first with room takes a pod with probability (9 - n)/8."""
    counts = [0, 0, 0]
    rounds = 4000
    for seed in range(rounds // 10):
        subnets = MemorySubnets()
        subnets.add_subnet("subnet-node")
        node = NodeSimulation(
            limits=LARGE, settings=CniSettings(warm_eni_target=3), max_pods=234, subnets=subnets, seed=seed
        )
        node.settle()
        node.add(10)
        for place, interface in enumerate(node.ipamd.interfaces[:3]):
            counts[place] += len(interface.pods)
    assert counts[0] / rounds == pytest.approx(6 / 8, abs=0.03)
    assert counts[1] / rounds == pytest.approx(1 / 8, abs=0.02)
