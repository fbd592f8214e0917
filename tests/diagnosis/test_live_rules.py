"""What is concluded from a cluster that was read: one fact changed at a time, and what that makes of the verdict."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.finding import MOST_EVIDENCE
from headroom.diagnosis.reading import PAST_SECONDS, Reading
from headroom.diagnosis.verdict import Confidence, Diagnosis, RootCause, Verdict
from headroom.facts.aws import Aws
from headroom.facts.document import load
from headroom.facts.kubernetes import CniDaemonSet, CniPod, Condition, Event, Kubernetes, Pod
from headroom.facts.snapshot import Line, Origin, PoolReading, Snapshot, Stated
from headroom.facts.values import Reason, Unknown, items, known
from headroom.rehearsal import made

INCIDENTS = Path(__file__).parents[1] / "incidents"

DENIED = Unknown(Reason.DENIED, "for a test")


def of_aws(snapshot: Snapshot, **changes: Any) -> Snapshot:
    aws = known(snapshot.aws)
    assert isinstance(aws, Aws)
    return replace(snapshot, aws=replace(aws, **changes))


def of_kubernetes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    kubernetes = known(snapshot.kubernetes)
    assert isinstance(kubernetes, Kubernetes)
    return replace(snapshot, kubernetes=replace(kubernetes, **changes))


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    kubernetes = known(snapshot.kubernetes)
    assert kubernetes is not None
    return kubernetes


def waiting_of(snapshot: Snapshot) -> list[Pod]:
    reading = Reading(snapshot)
    assert reading.cluster is not None
    return list(reading.cluster.stuck)


def names(found: Diagnosis) -> list[str]:
    return [cause.name for cause in found.causes]


def excluded(found: Diagnosis) -> set[str]:
    return {each.cause for each in found.ruled_out}


@pytest.mark.parametrize(
    ("snapshot", "causes"),
    [
        (made.exhausted, ["subnet_exhaustion"]),
        (made.crowded, ["subnet_exhaustion"]),
        (made.fragmented, ["subnet_exhaustion/fragmentation"]),
        (made.leaking, ["subnet_exhaustion/leaked_enis", "subnet_exhaustion"]),
        (made.full_nodes, ["eni_limit"]),
        (made.healthy, []),
    ],
)
def test_every_kind_of_cluster_is_called_what_it_is(snapshot: Callable[[], Snapshot], causes: list[str]) -> None:
    found = diagnose(snapshot())
    assert names(found) == causes
    assert found.verdict is (Verdict.FOUND if causes else Verdict.HEALTHY)
    assert all(cause.confidence is Confidence.PROVEN for cause in found.causes)
    assert all(cause.summary.endswith(".") for cause in found.causes)


def test_a_cause_says_what_it_is_not_and_which_reading_says_so(exhausted: Snapshot) -> None:
    found = diagnose(exhausted)
    assert {RootCause.ENI_LIMIT, RootCause.IPAMD_FAILURE} <= excluded(found)
    ready = next(each for each in found.ruled_out if each.cause == RootCause.IPAMD_FAILURE)
    assert ready.by == "aws-node is ready on 14 of 14 nodes with stuck pods"
    assert found.causes[0].scope.zones == ("us-east-1a", "us-east-1b")
    assert found.causes[0].scope.subnets == ("subnet-0a1", "subnet-0b2")
    assert found.causes[0].ruled_out == found.ruled_out


def test_the_count_of_a_subnet_is_told_with_what_is_asked_of_it(exhausted: Snapshot) -> None:
    evidence = diagnose(exhausted).causes[0].evidence
    counts = [each for each in evidence if each.what == "AvailableIpAddressCount"]
    assert [each.where for each in counts] == ["subnet-0a1 in us-east-1a", "subnet-0b2 in us-east-1b"]
    assert all("of 1,019" in each.value and each.threshold for each in counts)


def test_a_leak_made_the_shortage_and_stands_before_it(leaking: Snapshot) -> None:
    found = diagnose(leaking)
    assert found.causes[1].made_by == found.causes[0].name == "subnet_exhaustion/leaked_enis"


def test_throttling_beside_a_full_subnet_was_made_by_it(exhausted: Snapshot) -> None:
    node = known(waiting_of(exhausted)[0].node)
    line = Line(
        origin=Origin.IPAMD_LOG, text="CreateNetworkInterface RequestLimitExceeded: Request limit exceeded.", node=node
    )
    found = diagnose(replace(exhausted, lines=(*items(exhausted.lines), line)))
    assert names(found) == ["subnet_exhaustion", "ipamd_failure/throttling"]
    assert found.causes[1].made_by == "subnet_exhaustion"


def with_free(snapshot: Snapshot, free: int | Unknown) -> Snapshot:
    aws = known(snapshot.aws)
    assert isinstance(aws, Aws)
    return of_aws(snapshot, subnets=tuple(replace(subnet, available_addresses=free) for subnet in items(aws.subnets)))


@pytest.mark.parametrize(("free", "short"), [(0, True), (9, True), (10, False), (839, False)])
def test_a_node_at_its_limit_in_a_full_subnet_has_two_causes(
    full_nodes: Snapshot,
    free: int,
    short: bool,  # noqa: FBT001 - a case
) -> None:  # m5.large: a new interface asks for 10
    found = diagnose(with_free(full_nodes, free))
    assert names(found) == (["eni_limit", "subnet_exhaustion"] if short else ["eni_limit"])
    assert all(cause.confidence is Confidence.PROVEN and cause.made_by is None for cause in found.causes)
    assert (RootCause.SUBNET_EXHAUSTION in excluded(found)) is not short
    assert len({cause.scope.nodes for cause in found.causes}) == 1, "the same nodes"


def test_subnets_that_were_not_counted_are_not_ruled_out_for_nodes_at_their_limit(full_nodes: Snapshot) -> None:
    found = diagnose(with_free(full_nodes, DENIED))
    assert names(found) == ["eni_limit"]
    assert RootCause.SUBNET_EXHAUSTION not in excluded(found)
    assert any("AvailableIpAddressCount" in each.reading for each in found.needed)


def test_what_rules_a_full_subnet_out_is_true_of_the_subnets(fragmented: Snapshot, full_nodes: Snapshot) -> None:
    def by(snapshot: Snapshot) -> str:
        return next(each.by for each in diagnose(snapshot).ruled_out if each.cause == RootCause.SUBNET_EXHAUSTION)

    assert by(fragmented) == "the subnets have free addresses, only no whole /28 of them"
    assert by(full_nodes) == "the subnets of the nodes with stuck pods have free addresses"


def test_an_old_cni_is_not_to_blame_for_what_is_left_of_tagged_subnets_that_the_nodes_use(exhausted: Snapshot) -> None:
    kubernetes = kubernetes_of(exhausted)
    daemon_set = known(kubernetes.cni_daemon_set)
    assert daemon_set is not None
    old = of_kubernetes(exhausted, cni_daemon_set=replace(daemon_set, version="v1.16.4"))
    aws = known(exhausted.aws)
    assert isinstance(aws, Aws)
    tagged = tuple(
        replace(subnet, tags={"kubernetes.io/role/cni": "1"}, available_addresses=9) for subnet in items(aws.subnets)
    )
    assert names(diagnose(of_aws(old, subnets=tagged))) == ["subnet_exhaustion"]
    roomy = replace(tagged[0], subnet_id="subnet-pods", available_addresses=4091)
    found = diagnose(of_aws(old, subnets=(*tagged, roomy)))
    assert names(found) == ["ipamd_failure/cni_version", "subnet_exhaustion"]
    assert "leaves 4,091 free addresses of 1 tagged subnet unused" in found.causes[0].summary


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "UnauthorizedOperation"])
def test_an_error_that_was_counted_once_is_no_cause_on_a_node_that_its_own_limit_stops(
    code: str, full_nodes: Snapshot
) -> None:
    pools = tuple(replace(pool, api_errors={f"CreateNetworkInterface/{code}": 2}) for pool in items(full_nodes.pools))
    assert pools
    assert names(diagnose(replace(full_nodes, pools=pools))) == ["eni_limit"]


def test_a_line_that_is_long_past_says_nothing_of_a_cluster_that_is_read_now(healthy: Snapshot) -> None:
    text = '{"level":"error","ts":"%s","msg":"CreateNetworkInterface UnauthorizedOperation: You are not authorized"}'
    assert known(healthy.collected_at) == "2026-03-03T21:14:00Z"
    recent = Line(origin=Origin.IPAMD_LOG, text=text % "2026-03-03T20:50:00Z")
    past = Line(origin=Origin.IPAMD_LOG, text=text % "2026-03-03T20:10:00Z")
    assert PAST_SECONDS == 3600
    assert names(diagnose(replace(healthy, lines=(recent,)))) == ["ipamd_failure/iam"]
    assert diagnose(replace(healthy, lines=(past,))).verdict is Verdict.HEALTHY


# aws-node.


def without_aws_node(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """The stuck pods' nodes have an aws-node that does not run."""
    nodes = {known(pod.node) for pod in waiting_of(snapshot)}
    pods = tuple(
        replace(pod, ready=False, **changes) if known(pod.node) in nodes else pod
        for pod in items(kubernetes_of(snapshot).cni_pods)
    )
    daemon_set = known(kubernetes_of(snapshot).cni_daemon_set)
    assert isinstance(daemon_set, CniDaemonSet)
    ready = sum(pod.ready for pod in pods)
    return of_kubernetes(snapshot, cni_pods=pods, cni_daemon_set=replace(daemon_set, ready=ready))


def test_an_aws_node_that_does_not_run_where_pods_wait_is_the_cause(full_nodes: Snapshot) -> None:
    found = diagnose(without_aws_node(full_nodes, waiting="CrashLoopBackOff", restarts=7, last_exit_code=137))
    assert "ipamd_failure" in names(found)
    cause = next(each for each in found.causes if each.name == "ipamd_failure")
    assert cause.evidence[0].value == "CrashLoopBackOff, 7 restarts, last exit code 137"


def test_a_node_without_aws_node_proves_nothing_when_the_list_is_shorter_than_its_daemon_set(
    exhausted: Snapshot,
) -> None:
    pods = items(kubernetes_of(exhausted).cni_pods)
    for listed in (pods[:0], pods[:3], tuple(replace(pod, node=DENIED) for pod in pods)):
        found = diagnose(of_kubernetes(exhausted, cni_pods=listed))
        assert names(found) == ["subnet_exhaustion"]
        assert RootCause.IPAMD_FAILURE not in excluded(found)


def test_where_the_daemon_set_runs_on_fewer_nodes_the_node_without_one_is_the_cause(full_nodes: Snapshot) -> None:
    node = known(waiting_of(full_nodes)[0].node)
    pods: tuple[CniPod, ...] = tuple(
        pod for pod in items(kubernetes_of(full_nodes).cni_pods) if known(pod.node) != node
    )
    daemon_set = known(kubernetes_of(full_nodes).cni_daemon_set)
    assert isinstance(daemon_set, CniDaemonSet)
    found = diagnose(of_kubernetes(full_nodes, cni_pods=pods, cni_daemon_set=replace(daemon_set, ready=len(pods))))
    cause = next(each for each in found.causes if each.name == "ipamd_failure")
    assert cause.scope.nodes == (node,)
    assert cause.evidence[0].value == "no pod of it on this node"


# Pools.


def cooling(snapshot: Snapshot, *, spare: int, cooldown: int) -> Snapshot:
    """The stuck pods' nodes as ipamd tells it: some addresses are free, and some of them cool down."""
    nodes = sorted({known(pod.node) or "" for pod in waiting_of(snapshot)})
    pools = tuple(
        PoolReading(node=node, total_addresses=27, assigned_addresses=27 - spare, cooling_addresses=cooldown)
        for node in nodes
    )
    return replace(snapshot, pools=pools, lines=())


def test_free_addresses_that_all_cool_down_are_the_cause(full_nodes: Snapshot) -> None:
    assert names(diagnose(cooling(full_nodes, spare=3, cooldown=3))) == ["warm_target/cooldown"]


def test_free_addresses_of_which_only_some_cool_down_prove_nothing(full_nodes: Snapshot) -> None:
    found = diagnose(cooling(full_nodes, spare=3, cooldown=1))
    assert found.verdict is Verdict.UNDECIDED
    assert names(found) == []
    assert any(needed.changes_verdict for needed in found.needed)


def with_targets(**settings: str) -> Snapshot:
    """The incident in which three warm interfaces a node fill the subnets, with other warm targets."""
    snapshot = load((INCIDENTS / "eks-warm-pool" / "facts.json").read_text(encoding="utf-8"))
    daemon_set = kubernetes_of(snapshot).cni_daemon_set
    assert isinstance(daemon_set, CniDaemonSet)
    assert isinstance(daemon_set.environment, dict)
    others = {
        name: value for name, value in daemon_set.environment.items() if not name.startswith(("WARM_", "MINIMUM"))
    }
    return of_kubernetes(snapshot, cni_daemon_set=replace(daemon_set, environment={**others, **settings}))


@pytest.mark.parametrize(
    ("settings", "blamed"),
    [
        ({"WARM_ENI_TARGET": "1"}, False),
        ({"WARM_ENI_TARGET": "3"}, True),
        # Beside either of the targets in addresses, WARM_ENI_TARGET has no effect, whatever somebody wrote.
        ({"WARM_ENI_TARGET": "3", "WARM_IP_TARGET": "2"}, False),
        ({"WARM_ENI_TARGET": "3", "WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "5"}, False),
        ({"WARM_ENI_TARGET": "0", "WARM_IP_TARGET": "9"}, False),
        ({"WARM_IP_TARGET": "30"}, True),
        ({"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "45"}, True),
    ],
)
def test_warm_targets_are_to_blame_where_those_that_govern_hold_more_than_the_stock_ones(
    settings: dict[str, str],
    blamed: bool,  # noqa: FBT001 - a case
) -> None:
    assert ("warm_target" in names(diagnose(with_targets(**settings)))) is blamed


# Nodes that cannot be launched.


def test_a_launch_that_fails_for_want_of_addresses_is_a_cause_of_its_own() -> None:
    found = diagnose(made.exhausted(failed_claims=3))
    assert names(found) == ["subnet_exhaustion", "subnet_exhaustion/node_subnet_full"]
    assert found.causes[1].made_by == "subnet_exhaustion"


def test_a_node_that_is_full_of_pods_is_named_where_pods_are_refused_for_it(healthy: Snapshot) -> None:
    kubernetes = kubernetes_of(healthy)
    node = items(kubernetes.nodes)[0]
    running = sum(known(pod.node) == node.name for pod in items(kubernetes.pods))
    full = replace(node, allocatable_pods=running)
    refused = Pod(namespace="shop", name="late-1", phase="Pending", owner="Deployment/late")
    event = Event(
        kind="Pod", namespace="shop", name="late-1", reason="FailedScheduling", message="0/30 nodes: 30 Too many pods."
    )
    found = diagnose(
        of_kubernetes(
            healthy,
            nodes=(full, *items(kubernetes.nodes)[1:]),
            pods=(*items(kubernetes.pods), refused),
            events=(*items(kubernetes.events), event),
        )
    )
    assert names(found) == ["eni_limit/max_pods"]
    assert found.causes[0].scope.nodes == (node.name,)


def test_a_refusal_of_the_past_is_no_cause_for_a_pod_that_has_a_node_by_now(healthy: Snapshot) -> None:
    running = next(
        pod for pod in items(kubernetes_of(healthy).pods) if known(pod.node) is not None and not pod.host_network
    )
    event = Event(
        kind="Pod", namespace=running.namespace, name=running.name, reason="FailedScheduling", message="Too many pods"
    )
    found = diagnose(of_kubernetes(healthy, events=(event,)))
    assert found.verdict is Verdict.HEALTHY


# Waiting pods.


def test_a_pod_that_only_just_came_is_not_stuck_while_its_node_can_serve_it(healthy: Snapshot) -> None:
    kubernetes = kubernetes_of(healthy)
    node = items(kubernetes.nodes)[0]

    def with_new(**changes: Any) -> Snapshot:
        new = Pod(
            namespace="shop",
            name="new-1",
            node=node.name,
            phase="Pending",
            waiting="ContainerCreating",
            owner="Deployment/new",
            created_at="2026-03-03T21:13:50Z",
        )
        return of_kubernetes(healthy, pods=(*items(kubernetes.pods), replace(new, **changes)))

    assert diagnose(with_new()).verdict is Verdict.HEALTHY
    # Ten minutes later it is stuck, though nobody knows why.
    assert diagnose(with_new(created_at="2026-03-03T21:03:50Z")).verdict is Verdict.UNDECIDED
    # A time from another clock says nothing.
    assert diagnose(with_new(created_at="2026-11-21T09:29:50Z")).verdict is Verdict.UNDECIDED
    # And without its events nobody knows that it only just came to trouble.
    assert diagnose(of_kubernetes(with_new(), events=DENIED)).verdict is Verdict.UNDECIDED


def test_a_pod_that_only_just_came_is_stuck_on_a_node_that_has_nothing_left(full_nodes: Snapshot) -> None:
    kubernetes = kubernetes_of(full_nodes)
    young = tuple(
        replace(pod, created_at=known(full_nodes.collected_at)) if pod.phase == "Pending" else pod
        for pod in items(kubernetes.pods)
    )
    found = diagnose(of_kubernetes(full_nodes, pods=young, events=()))
    assert names(found) == ["eni_limit"]


def test_a_pod_that_waits_for_an_image_has_its_address(healthy: Snapshot) -> None:
    kubernetes = kubernetes_of(healthy)
    waiting = Pod(
        namespace="shop",
        name="typo-1",
        node=items(kubernetes.nodes)[0].name,
        phase="Pending",
        ip="10.68.204.99",
        waiting="ImagePullBackOff",
        owner="Deployment/typo",
    )
    found = diagnose(of_kubernetes(healthy, pods=(*items(kubernetes.pods), waiting)))
    assert found.verdict is Verdict.NOT_IP
    assert found.not_ip[0].what == "1 pod waits with ImagePullBackOff"


# What a healthy verdict needs.


@pytest.mark.parametrize("reading", ["nodes", "pods", "cni_pods"])
def test_a_cluster_is_not_called_healthy_without_its(reading: str, healthy: Snapshot) -> None:
    found = diagnose(of_kubernetes(healthy, **{reading: DENIED}))
    assert found.verdict is Verdict.UNDECIDED
    assert any(needed.unknown == DENIED for needed in found.needed)


@pytest.mark.parametrize("reading", ["subnets", "interfaces"])
def test_a_cluster_is_not_called_healthy_without_the_clouds(reading: str, healthy: Snapshot) -> None:
    found = diagnose(of_aws(healthy, **{reading: DENIED}))
    assert found.verdict is Verdict.UNDECIDED
    assert any(needed.unknown == DENIED for needed in found.needed)


def test_a_list_that_other_lists_contradict_is_not_believed(healthy: Snapshot) -> None:
    kubernetes = kubernetes_of(healthy)
    aws = known(healthy.aws)
    assert isinstance(aws, Aws)
    half = [
        of_kubernetes(healthy, pods=()),
        of_kubernetes(healthy, pods=items(kubernetes.pods)[::2]),
        of_kubernetes(healthy, nodes=items(kubernetes.nodes)[::2]),
        of_kubernetes(healthy, cni_pods=items(kubernetes.cni_pods)[::2]),
        of_aws(healthy, interfaces=items(aws.interfaces)[::2]),
        of_aws(healthy, subnets=items(aws.subnets)[:1]),
        of_kubernetes(
            healthy,
            pods=tuple(
                replace(pod, ip="198.18.0.9") if known(pod.ip) and not pod.host_network else pod
                for pod in items(kubernetes.pods)
            ),
        ),
    ]
    for snapshot in half:
        found = diagnose(snapshot)
        assert found.verdict is Verdict.UNDECIDED
        assert any(needed.unknown is not None and "in part" in str(needed.unknown) for needed in found.needed)


def test_a_workload_that_has_fewer_pods_than_it_wants_is_not_healthy(healthy: Snapshot) -> None:
    kubernetes = kubernetes_of(healthy)
    workloads = items(kubernetes.workloads)
    more = replace(workloads[0], desired=(known(workloads[0].desired) or 0) + 5)
    found = diagnose(of_kubernetes(healthy, workloads=(more, *workloads[1:])))
    assert found.verdict is Verdict.UNDECIDED


# Prefixes.


def test_a_shortage_of_whole_blocks_is_told_with_the_free_addresses_beside_it(fragmented: Snapshot) -> None:
    found = diagnose(fragmented)
    assert RootCause.SUBNET_EXHAUSTION not in names(found)
    assert PREFIX_ADDRESSES == 16
    assert "/28" in found.causes[0].summary


def test_where_interfaces_of_others_are_not_listed_a_free_block_is_not_believed(fragmented: Snapshot) -> None:
    """In a shared subnet EC2 counts fewer free addresses than the interfaces of this account leave."""
    aws = known(fragmented.aws)
    assert isinstance(aws, Aws)
    own = tuple(each for each in items(aws.interfaces) if known(each.instance_id) is not None)
    found = diagnose(of_aws(fragmented, interfaces=own))
    assert set(names(found)) <= {"subnet_exhaustion/fragmentation"}


# Bundles and tickets: no pods, but counts.


def test_without_pods_ec2s_count_of_the_subnet_that_a_line_names_decides(exhausted: Snapshot) -> None:
    aws = known(exhausted.aws)
    assert isinstance(aws, Aws)
    symptom = Line(origin=Origin.POD_EVENT, text="add cmd: failed to assign an IP address to container")
    named = Line(
        origin=Origin.IPAMD_LOG,
        text="Recently we had InsufficientCidr error hence will wait for 2m0s; subnet-0000000000000aaaa",
    )
    full = replace(items(aws.subnets)[0], subnet_id="subnet-0000000000000aaaa", available_addresses=0)
    roomy = replace(full, subnet_id="subnet-0000000000000bbbb", available_addresses=900)

    def bundle(*lines: Line, subnets: tuple[Any, ...]) -> Diagnosis:
        return diagnose(Snapshot(cloud="aws", aws=Aws(subnets=subnets), lines=lines))

    assert names(bundle(symptom, named, subnets=(full, roomy))) == ["subnet_exhaustion"]
    # Nobody knows which of the two it is.
    assert bundle(symptom, subnets=(full, roomy)).verdict is Verdict.UNDECIDED
    assert names(bundle(symptom, subnets=(full,))) == ["subnet_exhaustion"]
    roomy_only = bundle(symptom, subnets=(roomy,))
    assert roomy_only.verdict is Verdict.UNDECIDED
    assert RootCause.SUBNET_EXHAUSTION in excluded(roomy_only)


def test_what_was_said_and_what_is_written_may_contradict_each_other() -> None:
    line = Line(origin=Origin.IPAMD_LOG, text="InsufficientFreeAddressesInSubnet: not enough free addresses")
    said = Snapshot(cloud="aws", lines=(line,), stated=Stated(subnet_free_addresses=900))
    found = diagnose(said)
    assert found.verdict is Verdict.UNDECIDED
    assert found.needed
    assert names(diagnose(replace(said, stated=Stated(subnet_free_addresses=0)))) == ["subnet_exhaustion"]


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("We see no InsufficientFreeAddressesInSubnet errors in ipamd.log.", []),
        ("ipamd.log has no `UnauthorizedOperation` or RequestLimitExceeded", []),
        ("pods hang, without any EC2 RequestLimitExceeded", []),
        ("No luck: InsufficientFreeAddressesInSubnet", ["subnet_exhaustion"]),
        ("No luck, InsufficientFreeAddressesInSubnet", ["subnet_exhaustion"]),
        ("no UnauthorizedOperation, but InsufficientFreeAddressesInSubnet", ["subnet_exhaustion"]),
        (
            "no InsufficientFreeAddressesInSubnet at noon; InsufficientFreeAddressesInSubnet since",
            ["subnet_exhaustion"],
        ),
    ],
)
def test_an_error_that_somebody_says_was_not_seen_is_no_evidence(text: str, causes: list[str]) -> None:
    found = diagnose(Snapshot(lines=(Line(origin=Origin.OTHER, text=text),)))
    assert names(found) == causes
    assert found.verdict is (Verdict.FOUND if causes else Verdict.UNDECIDED)


def test_nothing_at_all_is_undecided_and_says_what_to_read() -> None:
    found = diagnose(Snapshot())
    assert found.verdict is Verdict.UNDECIDED
    assert found.needed


def test_evidence_of_many_nodes_is_told_for_some_and_counted_for_the_rest() -> None:
    many = made.make_snapshot(
        replace(
            made.EXHAUSTED,
            nodes=tuple(
                made.MadeNodes(zone=zone, count=10, pods=27, waiting=10, instance_type="m5.large", max_pods=110)
                for zone in made.ZONES
            ),
            workloads=(made.MadeWorkload(name="checkout-api", replicas=40, ready=10),),
        )
    )
    cause = diagnose(many).causes[0]
    assert cause.name == "eni_limit"
    assert len(cause.scope.nodes) > MOST_EVIDENCE
    told = [each for each in cause.evidence if each.what == "network interfaces"]
    assert len(told) == MOST_EVIDENCE + 1
    assert told[-1].count == len(cause.scope.nodes) - MOST_EVIDENCE


def test_a_node_that_is_not_ready_for_want_of_a_cni_is_seen_before_any_pod_hangs_there(healthy: Snapshot) -> None:
    kubernetes = kubernetes_of(healthy)
    node = items(kubernetes.nodes)[0]
    condition = Condition(
        type="Ready",
        status="False",
        reason="KubeletNotReady",
        message="container runtime network not ready: cni plugin not initialized",
    )
    found = diagnose(
        of_kubernetes(
            healthy,
            nodes=(replace(node, conditions=(condition,)), *items(kubernetes.nodes)[1:]),
            cni_pods=tuple(
                replace(pod, ready=False) if known(pod.node) == node.name else pod for pod in items(kubernetes.cni_pods)
            ),
        )
    )
    assert names(found) == ["ipamd_failure"]
