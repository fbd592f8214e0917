"""What ipamd says of itself: its metrics, and the lines of aws-node's log."""

import pytest

from headroom.collect.ipamd import MOST_NODES, SAMPLE, lines_of, nodes_to_ask, pool_reading
from headroom.facts.kubernetes import CniPod, Pod
from headroom.facts.snapshot import Line, Origin, PoolReading
from headroom.facts.values import Reason, Unknown

METRICS = """\
# HELP awscni_assigned_ip_addresses The number of IP addresses assigned to pods
# TYPE awscni_assigned_ip_addresses gauge
awscni_assigned_ip_addresses 27
awscni_total_ip_addresses 58
awscni_eni_allocated 2
awscni_eni_max 8
awscni_ip_max 232
awscni_total_ipv4_prefixes 0
# TYPE awscni_no_available_ip_addresses counter
awscni_no_available_ip_addresses 1.2e+03
awscni_ipamd_error_count{fn="increaseDatastorePoolAllocENIFailed"} 3
awscni_aws_api_error_count{api="CreateNetworkInterface",error="InsufficientFreeAddressesInSubnet"} 40
awscni_aws_api_error_count{api="AssignPrivateIpAddresses",error="RequestLimitExceeded"} 2
awscni_aws_api_latency_ms{api="CreateNetworkInterface",error="true",status="400",quantile="0.5"} NaN
awscni_add_ip_req_count 1227 1772570781000
go_goroutines 61
"""


def test_ipamds_metrics_are_read_by_their_names() -> None:
    assert pool_reading("node-a", METRICS) == PoolReading(
        node="node-a",
        total_addresses=58,
        assigned_addresses=27,
        cooling_addresses=Unknown(Reason.NOT_COLLECTED, "only ipamd.log on the node says"),
        interfaces=2,
        maximum_interfaces=8,
        maximum_addresses=232,
        prefixes=0,
        no_available_addresses=1200,
        errors={"increaseDatastorePoolAllocENIFailed": 3},
        api_errors={
            "AssignPrivateIpAddresses/RequestLimitExceeded": 2,
            "CreateNetworkInterface/InsufficientFreeAddressesInSubnet": 40,
        },
    )


def test_a_metric_for_each_network_card_is_summed() -> None:
    text = 'awscni_eni_allocated{network_card="0"} 2\nawscni_eni_allocated{network_card="1"} 3\n'
    assert pool_reading("n", text).interfaces == 5


def test_an_older_ipamd_leaves_newer_metrics_unknown() -> None:
    found = pool_reading("n", "awscni_total_ip_addresses 5\n")
    assert isinstance(found.no_available_addresses, Unknown)
    assert found.errors == {}, "a counter with labels shows up with its first error"


@pytest.mark.parametrize("text", ["", "<html>503 Service Unavailable</html>", "go_goroutines 61\n", "awscni_eni_max x"])
def test_what_are_not_ipamds_metrics_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ipamd"):
        pool_reading("n", text)


def cni_pod(number: int) -> CniPod:
    return CniPod(name=f"aws-node-{number:03}", node=f"node-{number:03}")


def stuck(node: int, number: int = 0) -> Pod:
    return Pod(namespace="shop", name=f"p-{node}-{number}", node=f"node-{node:03}", phase="Pending")


def test_nodes_with_stuck_pods_are_asked_first_and_then_a_sample() -> None:
    cni_pods = [cni_pod(number) for number in range(100)]
    pods = [stuck(7), stuck(3), stuck(7, 1), Pod(namespace="shop", name="fine", node="node-004", ip="10.0.0.4")]
    asked = [each.name for each in nodes_to_ask(pods, cni_pods)]
    assert asked[:2] == ["aws-node-007", "aws-node-003"]
    assert len(asked) == 2 + SAMPLE
    assert asked[2:5] == ["aws-node-000", "aws-node-011", "aws-node-020"], "spread over all others"


def test_never_too_many_nodes_are_asked() -> None:
    cni_pods = [cni_pod(number) for number in range(300)]
    assert len(nodes_to_ask([stuck(number) for number in range(300)], cni_pods)) == MOST_NODES


def test_a_pod_that_is_leaving_or_not_scheduled_is_not_stuck() -> None:
    leaving = Pod(namespace="shop", name="p", node="node-001", phase="Pending", terminating=True)
    waiting = Pod(namespace="shop", name="q", phase="Pending")
    assert [each.name for each in nodes_to_ask([leaving, waiting], [cni_pod(1), cni_pod(0)])] == [
        "aws-node-000",
        "aws-node-001",
    ]


def test_equal_lines_of_a_log_are_counted_and_the_others_left() -> None:
    text = (
        "2026-03-03T20:46:41.123456789Z Checking for IPAM connectivity\n"
        "2026-03-03T20:46:42.123456789Z something else\n"
        "2026-03-03T20:47:41.5Z Checking for IPAM connectivity\n"
        "Checking for IPAM connectivity without a time\n"
    )
    assert lines_of("node-a", text, lambda line: "IPAM" in line) == [
        Line(
            origin=Origin.AWS_NODE_LOG,
            text="Checking for IPAM connectivity",
            node="node-a",
            first_seen="2026-03-03T20:46:41Z",
            last_seen="2026-03-03T20:47:41Z",
            count=2,
        ),
        Line(origin=Origin.AWS_NODE_LOG, text="Checking for IPAM connectivity without a time", node="node-a"),
    ]
