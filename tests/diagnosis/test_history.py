"""How it came to this: where the addresses have gone, and what dominates."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from headroom.capacity.limits import instance_limits
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.history import asked_at_once, history
from headroom.diagnosis.owners import Holdings, integer_of
from headroom.diagnosis.readings import service_of
from headroom.diagnosis.verdict import Factor, History
from headroom.facts.aws import Aws, Interface, Subnet
from headroom.facts.interfaces import is_leaked
from headroom.facts.kubernetes import CniDaemonSet, Kubernetes, Node, Pod
from headroom.facts.snapshot import PoolReading, Snapshot
from headroom.facts.values import Reason, Unknown
from headroom.rehearsal import made

DENIED = Unknown(Reason.DENIED, "ec2:DescribeNetworkInterfaces")


def found(snapshot: Snapshot) -> History:
    result = history(snapshot)
    assert result is not None
    return result


def with_aws(snapshot: Snapshot, **changes: Any) -> Snapshot:
    assert isinstance(snapshot.aws, Aws)
    return replace(snapshot, aws=replace(snapshot.aws, **changes))


def with_kubernetes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return replace(snapshot, kubernetes=replace(snapshot.kubernetes, **changes))


# The made clusters.


def test_in_the_exhausted_cluster_pods_that_have_gone_left_most_behind(exhausted: Snapshot) -> None:
    result = found(exhausted)
    assert result.factor is Factor.CHURN
    assert (result.held, result.by_pods, result.expected, result.thrifty) == (2668, 1481, 3030, 1897)
    assert result.thrifty_settings == {"WARM_IP_TARGET": "10"}
    assert [(each.zone, each.free, each.by_owner) for each in result.subnets] == [
        ("us-east-1a", 0, {"pods": 561, "warm": 424, "nodes": 34}),
        ("us-east-1b", 0, {"pods": 561, "warm": 424, "nodes": 34}),
        ("us-east-1c", 389, {"pods": 359, "warm": 250, "nodes": 21}),
    ]
    assert result.summary == (
        "Nodes hold 2,668 addresses, 1,481 of them for pods. In us-east-1a and us-east-1b, beyond what the pods need: "
        "480 left over from pods that have gone and 312 idle in the warm pool (WARM_ENI_TARGET=1). The same pods, "
        "with the 37 that wait, would hold 1,897 with WARM_IP_TARGET=10."
    )


def test_owners_free_and_the_five_that_aws_keeps_are_all_addresses_of_a_subnet(
    exhausted: Snapshot, leaking: Snapshot, crowded: Snapshot, fragmented: Snapshot
) -> None:
    for snapshot in (exhausted, leaking, crowded, fragmented):
        for each in found(snapshot).subnets:
            assert sum(each.by_owner.values()) + (each.free or 0) == each.usable == 1019


def test_in_a_healthy_cluster_nothing_dominates_and_it_holds_what_the_model_expects(healthy: Snapshot) -> None:
    result = found(healthy)
    assert result.factor is None
    assert result.held == result.expected == result.thrifty == 1410


def test_leaked_interfaces_dominate_where_they_hold_a_third(leaking: Snapshot) -> None:
    result = found(leaking)
    assert result.factor is Factor.LEAK
    assert [each.by_owner["leaked"] for each in result.subnets] == [360, 360, 360]
    assert "1,080 in network interfaces that hang on nothing" in result.summary


def test_services_of_others_are_told_by_interface_type_and_description(crowded: Snapshot) -> None:
    result = found(crowded)
    assert result.factor is Factor.OTHERS
    assert result.subnets[0].by_owner == {
        "pods": 490,
        "lambda": 260,
        "load_balancer": 150,
        "rds": 60,
        "vpc_endpoint": 40,
        "nodes": 18,
        "nat_gateway": 1,
    }
    assert "1,533 held by others (lambda 780, load_balancer 450, rds 180, vpc_endpoint 120 and nat_gateway 3)" in (
        result.summary
    )


def test_with_prefixes_single_addresses_of_others_count_as_the_blocks_that_they_break(fragmented: Snapshot) -> None:
    result = found(fragmented)
    assert result.factor is Factor.OTHERS
    assert [(each.free, each.free_blocks) for each in result.subnets] == [(758, 0), (758, 0), (758, 0)]
    assert "147 /28 blocks broken by addresses of others (load_balancer 147)" in result.summary


def test_density_dominates_where_nodes_are_full_and_subnets_are_not(full_nodes: Snapshot) -> None:
    result = found(full_nodes)
    assert result.factor is Factor.DENSITY
    assert "90 of 90 waiting pods are on nodes that can hold no more." in result.summary


def test_size_dominates_where_even_the_thriftiest_settings_need_more_than_the_subnets_have() -> None:
    nodes = tuple(made.MadeNodes(zone=zone, count=10, pods=95, waiting=25) for zone in made.ZONES)
    result = found(made.exhausted(nodes=nodes, workloads=(), environment={"WARM_IP_TARGET": "1"}))
    assert result.factor is Factor.SIZE
    assert "In us-east-1a, us-east-1b and us-east-1c the pods need" in result.summary
    assert result.summary.count("the subnets have 3,057.") == 1


def test_the_warm_pool_dominates_where_nothing_has_gone_and_interfaces_stand_idle() -> None:
    nodes = tuple(made.MadeNodes(zone=zone, count=17, pods=5) for zone in made.ZONES)
    result = found(made.exhausted(nodes=nodes, workloads=()))
    assert result.factor is Factor.WARM_POOL


def test_a_reservation_that_nobody_uses_is_an_owner_too() -> None:
    subnets = tuple(
        replace(each, reservations=((each.cidr.replace(".0/22", ".64/26"), "explicit"),)) for each in made.NODE_SUBNETS
    )
    nodes = tuple(made.MadeNodes(zone=zone, count=2, pods=10) for zone in made.ZONES)
    result = found(made.exhausted(subnets=subnets, nodes=nodes, workloads=()))
    assert [each.by_owner["reserved"] for each in result.subnets] == [64, 64, 64]
    assert all(sum(each.by_owner.values()) + (each.free or 0) == 1019 for each in result.subnets)


def test_addresses_that_cool_down_are_taken_out_of_the_idle_ones(exhausted: Snapshot) -> None:
    first = exhausted.kubernetes.nodes[0].name  # type: ignore[union-attr,index] # known in a made snapshot
    cooling = replace(exhausted, pools=(PoolReading(node=first, cooling_addresses=20),))
    assert found(cooling).subnets[0].by_owner == {"pods": 561, "warm": 404, "nodes": 34, "cooldown": 20}
    more_than_idle = replace(exhausted, pools=(PoolReading(node=first, cooling_addresses=10_000),))
    assert sum(found(more_than_idle).subnets[0].by_owner.values()) == 1019


def test_custom_networking_counts_the_nodes_own_interfaces_in_their_own_subnets() -> None:
    subnets = (
        *made.NODE_SUBNETS,
        *(
            made.MadeSubnet(subnet_id=f"subnet-pods-{zone[-1]}", zone=zone, cidr=f"100.64.{index}.0/24", for_pods=True)
            for index, zone in enumerate(made.ZONES)
        ),
    )
    result = found(
        made.exhausted(
            subnets=subnets,
            nodes=tuple(made.MadeNodes(zone=zone, count=2, pods=10) for zone in made.ZONES),
            workloads=(),
            environment={"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"},
        )
    )
    by_id = {each.subnet_id: each.by_owner for each in result.subnets}
    assert by_id["subnet-0a1"] == {"nodes": 2}
    assert by_id["subnet-pods-a"] == {"warm": 96, "pods": 20, "nodes": 4}
    assert result.held == result.expected


# Unknown is never OK.


def test_nothing_is_said_where_not_even_the_subnets_are_known() -> None:
    assert history(Snapshot()) is None
    assert history(Snapshot(aws=Aws(subnets=Unknown(Reason.DENIED)))) is None


def test_without_interfaces_nobody_knows_who_holds_the_addresses(exhausted: Snapshot) -> None:
    result = found(with_aws(exhausted, interfaces=DENIED))
    assert (result.held, result.by_pods, result.factor) == (None, None, None)
    assert [each.free for each in result.subnets] == [0, 0, 389]
    assert {each.free_blocks for each in result.subnets} == {None}
    assert result.expected == 3030, "pods, nodes and settings were read"
    assert result.summary == (
        "Who holds the addresses is unknown, since the network interfaces were not read: "
        "denied (ec2:DescribeNetworkInterfaces)."
    )


def test_without_pods_nobody_knows_which_addresses_are_idle(exhausted: Snapshot) -> None:
    result = found(with_kubernetes(exhausted, pods=Unknown(Reason.THROTTLED)))
    assert result.subnets[0].by_owner == {"pool": 985, "nodes": 34}
    assert (result.held, result.by_pods, result.expected) == (2668, None, None)


def test_without_settings_nothing_is_expected(exhausted: Snapshot) -> None:
    result = found(with_kubernetes(exhausted, cni_daemon_set=CniDaemonSet(environment=Unknown(Reason.DENIED))))
    assert (result.held, result.expected, result.thrifty) == (2668, None, None)
    assert "What 30 nodes should hold is unknown" in result.summary


def test_one_unknown_instance_type_leaves_the_sum_open_and_is_said(exhausted: Snapshot) -> None:
    assert isinstance(exhausted.kubernetes, Kubernetes)
    nodes: Any = exhausted.kubernetes.nodes
    changed = with_kubernetes(exhausted, nodes=(replace(nodes[0], instance_type="x99.mega"), *nodes[1:]))
    result = found(changed)
    assert result.expected is None
    assert "What 1 node should hold is unknown" in result.summary


def test_addresses_that_aws_counts_and_no_interface_explains_are_shown_as_such(exhausted: Snapshot) -> None:
    assert isinstance(exhausted.aws, Aws)
    subnets: Any = exhausted.aws.subnets
    fewer = with_aws(exhausted, subnets=(*subnets[:2], replace(subnets[2], available_addresses=300)))
    assert found(fewer).subnets[2].by_owner["unexplained"] == 89


# Hostile and odd facts.


@pytest.mark.parametrize(
    "text", ["10.0.0", "10.0.0.256", "10.0.0.0x1", "", "fe80::1", "10.0.0.01", " 10.0.0.1", "1.2.3.4.5"]
)
def test_texts_that_are_no_addresses_count_nowhere(text: str) -> None:
    assert integer_of(text) is None


def test_an_address_is_read_as_an_integer() -> None:
    assert integer_of("10.68.204.1") == 0x0A44CC01


def test_a_subnet_with_an_impossible_cidr_and_odd_addresses_does_no_harm(exhausted: Snapshot) -> None:
    odd = with_aws(
        exhausted,
        subnets=(Subnet(subnet_id="subnet-0a1", cidr_block="10.0.0.0/99", available_addresses=-5),),
        interfaces=(
            Interface(interface_id="eni-1", subnet_id="subnet-0a1", addresses=("nonsense",), prefixes=("x/28",)),
        ),
    )
    result = found(odd)
    assert result.subnets[0].usable == 0
    assert result.subnets[0].free_blocks is None


def test_a_branch_interface_is_a_pods_altogether() -> None:
    snapshot = Snapshot(
        aws=Aws(
            subnets=(Subnet(subnet_id="s", zone="z", cidr_block="10.0.0.0/24", available_addresses=249),),
            interfaces=(
                Interface(interface_id="e1", subnet_id="s", instance_id="i-1", device_index=0, addresses=("10.0.0.4",)),
                Interface(
                    interface_id="e2",
                    subnet_id="s",
                    interface_type="branch",
                    description="aws-k8s-branch-eni",
                    node_instance_id="i-1",
                    addresses=("10.0.0.5",),
                ),
            ),
        ),
        kubernetes=Kubernetes(
            nodes=(Node(name="n", zone="z", instance_id="i-1"),),
            pods=(Pod(namespace="d", name="p", node="n", phase="Running", ip="10.0.0.5"),),
        ),
    )
    assert found(snapshot).subnets[0].by_owner == {"pods": 1, "nodes": 1}


def test_a_pod_that_has_ended_uses_no_address() -> None:
    snapshot = Snapshot(
        kubernetes=Kubernetes(
            nodes=(Node(name="n"),),
            pods=tuple(
                Pod(namespace="d", name=phase, node="n", phase=phase, ip="10.0.0.5")
                for phase in ("Succeeded", "Failed")
            ),
        )
    )
    assert Holdings(snapshot).nodes["n"].addressed == 0


# Who owns an interface.


@pytest.mark.parametrize(
    ("interface_type", "description", "owner"),
    [
        ("network_load_balancer", "ELB net/x/1", "load_balancer"),
        ("interface", "ELB app/x/1", "load_balancer"),
        ("lambda", "AWS Lambda VPC ENI-f-1", "lambda"),
        ("interface", "AWS Lambda VPC ENI: f", "lambda"),
        ("nat_gateway", "", "nat_gateway"),
        ("gateway_load_balancer_endpoint", "", "vpc_endpoint"),
        ("interface", "RDSNetworkInterface", "rds"),
        ("interface", "ElastiCache a-001", "elasticache"),
        ("interface", "EFS mount target for fs-1 (fsmt-1)", "efs"),
        ("interface", "Amazon EKS prod-use1", "eks_control_plane"),
        ("interface", "something new", "other"),
        ("some_new_type", "", "other"),
    ],
)
def test_services_are_known_by_type_or_description(interface_type: str, description: str, owner: str) -> None:
    interface = Interface(
        interface_id="e", subnet_id="s", interface_type=interface_type, description=description, requester_managed=True
    )
    assert service_of(interface) == owner


def test_an_interface_of_another_instance_and_one_of_nobody_are_told_apart() -> None:
    assert service_of(Interface(interface_id="e", subnet_id="s", instance_id="i-9")) == "instance"
    assert service_of(Interface(interface_id="e", subnet_id="s", status="available")) == "unattached"


@pytest.mark.parametrize(
    ("created_at", "leaked"),
    [
        ("2026-03-03T21:13:00Z", False),
        ("2026-03-03T21:08:59Z", True),
        (None, True),
        (Unknown(Reason.UNPARSEABLE), True),
        ("last week", True),
    ],
)
def test_an_interface_of_the_cni_that_hangs_on_nothing_for_five_minutes_has_leaked(
    created_at: Any,
    leaked: bool,  # noqa: FBT001 - a case
) -> None:
    interface = Interface(
        interface_id="e", subnet_id="s", status="available", description="aws-K8S-i-0abc", created_at=created_at
    )
    assert is_leaked(interface, "2026-03-03T21:14:00Z") is leaked
    assert is_leaked(replace(interface, status="in-use"), "2026-03-03T21:14:00Z") is False
    assert is_leaked(replace(interface, description="mine"), "2026-03-03T21:14:00Z") is False


def test_what_a_node_asks_at_once_depends_on_the_mode() -> None:
    limits = instance_limits("m5.8xlarge")
    assert asked_at_once(limits, CniSettings()) == 30
    assert asked_at_once(limits, CniSettings(warm_ip_target=5)) == 2
    assert asked_at_once(limits, CniSettings(prefix_delegation=True, warm_prefix_target=1)) == 17


def test_owners_of_the_map_and_of_the_sums_agree(exhausted: Snapshot, fragmented: Snapshot, crowded: Snapshot) -> None:
    for snapshot in (exhausted, fragmented, crowded):
        holdings = Holdings(snapshot)
        for each in found(snapshot).subnets:
            drawn: Counter[str] = Counter()
            for _, count, owner in holdings.addresses_of(each.subnet_id):
                drawn[owner] += count
            assert drawn == Counter(each.by_owner)
