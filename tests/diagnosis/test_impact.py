"""Whom it hits, what to restore first, why scaling is stuck, what frees addresses, whom to call."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from headroom.diagnosis.impact import escalations, impact
from headroom.diagnosis.owners import Holdings
from headroom.diagnosis.verdict import Cause, Detail, Escalation, Impact, RootCause, Scope
from headroom.facts.aws import Aws, HealthIssue, Subnet
from headroom.facts.kubernetes import (
    Autoscaler,
    CniPod,
    Condition,
    CronJob,
    DisruptionBudget,
    Event,
    Kubernetes,
    Node,
    Pod,
    PriorityClass,
    Service,
    Workload,
)
from headroom.facts.snapshot import Snapshot, Stated
from headroom.facts.values import Reason, Unknown
from headroom.rehearsal import made

EXHAUSTION = Cause(root_cause=RootCause.SUBNET_EXHAUSTION, scope=Scope(zones=("us-east-1a", "us-east-1b")))
ENI_LIMIT = Cause(root_cause=RootCause.ENI_LIMIT)
UNREAD = Unknown(Reason.DENIED, "pods")


def hit(snapshot: Snapshot, *causes: Cause) -> Impact:
    found = impact(snapshot, causes or (EXHAUSTION,))
    assert found is not None
    return found


def names(found: Impact) -> list[str]:
    return [each.name for each in found.workloads]


def waiting(name: str, number: int, *, priority: int | None = 0, **changes: Any) -> tuple[Pod, ...]:
    """Pods of a Deployment that wait on the one node."""
    pod = Pod(
        namespace="d",
        name="",
        node="n1",
        phase="Pending",
        waiting="ContainerCreating",
        owner=f"Deployment/{name}",
        priority=priority,
    )
    return tuple(replace(pod, name=f"{name}-{index}", **changes) for index in range(number))


def cluster(*pods: Pod, **changes: Any) -> Snapshot:
    """One node in one zone, and these pods."""
    desired = Counter(str(pod.owner).partition("/")[2] for pod in pods if pod.owner)
    ready = Counter(str(pod.owner).partition("/")[2] for pod in pods if pod.owner and pod.ready)
    kubernetes = Kubernetes(
        nodes=(Node(name="n1", zone="z1", instance_type="m5.large", instance_id="i-1"),),
        pods=pods,
        workloads=tuple(
            Workload(kind="Deployment", namespace="d", name=name, desired=desired[name], ready=ready[name])
            for name in sorted(desired)
        ),
    )
    return Snapshot(kubernetes=replace(kubernetes, **changes), aws=Aws(subnets=(Subnet(subnet_id="s1", zone="z1"),)))


# Who is hit, and in which order.


def test_the_first_to_restore_is_of_high_priority_and_has_no_endpoint_left(exhausted: Snapshot) -> None:
    found = hit(exhausted)
    assert found.stuck_pods == 37
    assert found.services == 5
    assert names(found) == ["checkout-api", "payments", "recommendations", "search", "web-034", "mailer"]
    first = found.workloads[0]
    assert (first.desired, first.ready, first.stuck, first.priority) == (12, 0, 12, 100_000)
    assert first.services == {"checkout-api": 0}
    assert first.why == (
        "priority 100,000 (business-critical); no ready endpoint behind Service checkout-api; PodDisruptionBudget "
        "checkout-api violated (0 of 8 healthy); HPA checkout-api wants 22"
    )
    assert found.workloads[-1].why == "behind no Service"


def test_priority_comes_before_endpoints() -> None:
    found = hit(
        cluster(
            *waiting("low", 2),
            *waiting("high", 1, priority=9),
            services=(Service(namespace="d", name="low", pods=("low-0", "low-1"), ready_endpoints=0),),
        )
    )
    assert names(found) == ["high", "low"]


def test_fewer_ready_endpoints_come_first_and_an_unknown_number_is_next_to_none() -> None:
    counts: Mapping[str, Any] = {"many": 8, "none": 0, "unread": Unknown(Reason.DENIED), "one": 1}
    found = hit(
        cluster(
            *(pod for name in counts for pod in waiting(name, 1)),
            services=tuple(
                Service(namespace="d", name=name, pods=(f"{name}-0",), ready_endpoints=ready)
                for name, ready in counts.items()
            ),
        )
    )
    assert names(found) == ["none", "unread", "one", "many"]
    assert [each.why for each in found.workloads] == [
        "no ready endpoint behind Service none",
        "endpoints of Service unread unknown",
        "1 ready endpoint left behind Service one",
        "8 ready endpoints left behind Service many",
    ]


def test_a_violated_disruption_budget_comes_before_pressure_and_pressure_before_the_rest() -> None:
    found = hit(
        cluster(
            *waiting("plain", 1),
            *waiting("pressed", 1),
            *waiting("budgeted", 1),
            disruption_budgets=(
                DisruptionBudget(namespace="d", name="b", pods=("budgeted-0",), desired_healthy=2, current_healthy=1),
                DisruptionBudget(namespace="d", name="held", pods=("plain-0",), desired_healthy=1, current_healthy=1),
                DisruptionBudget(namespace="d", name="unread", pods=("plain-0",)),
            ),
            autoscalers=(Autoscaler(namespace="d", name="h", target="Deployment/pressed", current=1, desired=5),),
            services=(),
        )
    )
    assert names(found) == ["budgeted", "pressed", "plain"]
    assert found.workloads[0].why == "behind no Service; PodDisruptionBudget b violated (1 of 2 healthy)"


def test_the_same_names_in_two_namespaces_are_two_workloads() -> None:
    other = tuple(replace(pod, namespace="e") for pod in waiting("api", 1))
    found = hit(
        cluster(
            *waiting("api", 1),
            *other,
            services=(Service(namespace="e", name="api", pods=("api-0",), ready_endpoints=0),),
        )
    )
    assert [(each.namespace, each.services) for each in found.workloads] == [("e", {"api": 0}), ("d", {})]
    assert found.services == 1


def test_a_priority_that_pods_do_not_tell_is_that_of_the_workloads_class() -> None:
    snapshot = cluster(
        *waiting("a", 1, priority=None),
        *waiting("b", 1, priority=None),
        priority_classes=(PriorityClass(name="high", value=7), PriorityClass(name="usual", value=3, default=True)),
        workloads=(Workload(kind="Deployment", namespace="d", name="b", priority_class="high"),),
    )
    assert [(each.name, each.priority) for each in hit(snapshot).workloads] == [("b", 7), ("a", 3)]


def test_a_pod_without_an_owner_is_its_own_workload() -> None:
    bare = replace(waiting("x", 1)[0], owner=None, name="bare")
    assert [(each.kind, each.name) for each in hit(cluster(bare)).workloads] == [("Pod", "bare")]


@pytest.mark.parametrize(
    "changes",
    [
        {"host_network": True},
        {"terminating": True},
        {"phase": "Running"},
        {"node": None},
        {"ip": "10.0.0.9"},
        {"waiting": "ImagePullBackOff"},
        {"ip": Unknown(Reason.UNPARSEABLE)},
    ],
)
def test_pods_that_do_not_wait_for_an_address_are_not_hit(changes: Mapping[str, Any]) -> None:
    assert Holdings(cluster(*waiting("x", 1, **changes))).waiting == []


@pytest.mark.parametrize("reason", [None, "ContainerCreating", "PodInitializing"])
def test_a_pod_without_a_sandbox_waits_for_an_address_with_init_containers_too(reason: str | None) -> None:
    assert len(Holdings(cluster(*waiting("x", 1, waiting=reason))).waiting) == 1


def test_a_pod_that_waits_for_its_volume_does_not_wait_for_an_address() -> None:
    mount = Event(kind="Pod", namespace="d", name="x-0", reason="FailedMount")
    assert Holdings(cluster(*waiting("x", 1), events=(mount,))).waiting == []
    sandbox = Event(kind="Pod", namespace="d", name="x-0", reason="FailedCreatePodSandBox")
    assert len(Holdings(cluster(*waiting("x", 1), events=(mount, sandbox))).waiting) == 1


def test_pods_that_no_node_may_take_for_want_of_pod_slots_are_hit() -> None:
    pod = waiting("x", 1, node=None, waiting=None)[0]
    event = Event(
        kind="Pod",
        namespace="d",
        name="x-0",
        reason="FailedScheduling",
        message="0/1 nodes are available: 1 Too many pods.",
    )
    cause = Cause(root_cause=RootCause.ENI_LIMIT, detail=Detail.MAX_PODS)
    assert hit(cluster(pod, events=(event,)), cause).stuck_pods == 1
    assert impact(cluster(pod), (cause,)) is None, "it may wait for processors"


def test_where_nodes_get_no_address_every_pod_that_waits_for_a_node_is_hit() -> None:
    pod = waiting("x", 1, node=None, waiting=None)[0]
    cause = Cause(root_cause=RootCause.SUBNET_EXHAUSTION, detail=Detail.NODE_SUBNET_FULL)
    assert hit(cluster(pod), cause).stuck_pods == 1


def test_nothing_is_said_without_a_cause_without_pods_or_where_nobody_is_hit(
    exhausted: Snapshot, healthy: Snapshot
) -> None:
    assert impact(exhausted, ()) is None
    assert impact(Snapshot(), (EXHAUSTION,)) is None
    assert isinstance(exhausted.kubernetes, Kubernetes)
    assert impact(replace(exhausted, kubernetes=replace(exhausted.kubernetes, pods=UNREAD)), (EXHAUSTION,)) is None
    assert impact(healthy, (EXHAUSTION,)) is None


def test_ten_thousand_workloads_are_put_in_order() -> None:
    pods = tuple(pod for number in range(10_000) for pod in waiting(f"w{number:05d}", 1, priority=number))
    found = hit(cluster(*pods))
    assert (found.stuck_pods, found.workloads[0].name, found.workloads[-1].name) == (10_000, "w09999", "w00000")


# Why scaling is stuck.


def test_a_horizontal_autoscaler_that_wants_more_than_is_ready_is_stuck(exhausted: Snapshot) -> None:
    stuck = [each for each in hit(exhausted).autoscalers if each.kind == "HorizontalPodAutoscaler"]
    assert [(each.name, each.why) for each in stuck] == [
        ("shop/checkout-api", "wants 22 replicas, has 12, 0 of them ready: 12 of its pods have no address."),
        ("shop/search", "wants 34 replicas, has 30, 24 of them ready: 6 of its pods have no address."),
    ]


def test_an_autoscaler_that_cannot_measure_or_is_at_its_maximum_says_so() -> None:
    hpa = Autoscaler(
        namespace="d",
        name="h",
        target="Deployment/x",
        maximum=4,
        current=4,
        desired=4,
        conditions=(Condition(type="ScalingActive", status="False", reason="FailedGetResourceMetric"),),
    )
    (stuck,) = hit(cluster(*waiting("x", 4), autoscalers=(hpa,))).autoscalers
    assert stuck.why == (
        "wants 4 replicas, has 4, 0 of them ready: 4 of its pods have no address. It cannot measure either "
        "(FailedGetResourceMetric): pods without an address report nothing. 4 is its maximum."
    )


def test_an_autoscaler_that_has_what_it_wants_is_not_stuck() -> None:
    hpa = Autoscaler(namespace="d", name="h", target="Deployment/x", current=1, desired=0)
    assert hit(cluster(*waiting("x", 1), autoscalers=(hpa,))).autoscalers == ()


def test_karpenter_is_stuck_when_ec2_has_no_address_for_a_node_and_when_it_launches_into_a_full_zone() -> None:
    found = hit(made.exhausted(failed_claims=2, launching_claims=("us-east-1a", "us-east-1c")))
    stuck = [each for each in found.autoscalers if each.kind == "Karpenter"]
    failing, launching = stuck  # us-east-1c is not among the zones of the cause
    assert failing.name == launching.name == "NodePool general"
    assert failing.why == (
        "2 NodeClaims cannot be launched: EC2 answers InsufficientFreeAddressesInSubnet. Not even the node itself "
        "gets an address."
    )
    assert launching.why == (
        "launches into us-east-1a, where subnet-0a1 has 0 free: 1 node joined there (ip-10-68-0-11.ec2.internal). "
        "A node needs one address only, and Karpenter looks at no more; its pods get none."
    )


def test_an_event_of_karpenter_tells_where_the_claim_has_gone_already() -> None:
    event = Event(
        kind="NodeClaim",
        namespace="",
        name="general-abc",
        reason="LaunchFailed",
        message="InsufficientFreeAddressesInSubnet: There are not enough free addresses",
    )
    (stuck,) = hit(cluster(*waiting("x", 1), events=(event,))).autoscalers
    assert stuck.why.startswith("1 NodeClaim cannot be launched")


def test_the_cluster_autoscaler_tells_why_it_adds_no_node_and_that_a_node_would_not_help() -> None:
    def event(number: int, reason: str, message: str) -> Event:
        return Event(kind="Pod", namespace="d", name=f"x-{number}", reason=reason, message=message)

    refused = "pod didn't trigger scale-up: 1 max node group size reached"
    triggered = "pod triggered scale-up: [{apps 3->4 (max: 9)}]"
    found = hit(
        cluster(
            *waiting("x", 3),
            events=(
                event(0, "NotTriggerScaleUp", refused),
                event(1, "NotTriggerScaleUp", refused),
                event(2, "TriggeredScaleUp", triggered),
            ),
        ),
        Cause(root_cause=RootCause.SUBNET_EXHAUSTION, scope=Scope(zones=("z1",))),
    )
    assert [each.why for each in found.autoscalers] == [
        f"adds no node for 2 pods: {refused}",
        f"adds nodes for 1 pod and does not ask for their addresses, so a node in z1 does not help: {triggered}",
    ]


def test_every_health_issue_of_a_node_group_is_a_reason() -> None:
    issue = HealthIssue(code="AsgInstanceLaunchFailures", message="no addresses", resource_ids=("asg-1",))
    stuck = hit(made.exhausted(node_group_issues=(issue,))).autoscalers[-1]
    assert (stuck.kind, stuck.name) == ("managed node group", "apps")
    assert stuck.why == "AsgInstanceLaunchFailures: no addresses (asg-1)"


# What frees addresses at once.


def test_scaling_down_low_priority_frees_addresses_where_they_are_short_and_is_honest_about_the_pool(
    exhausted: Snapshot,
) -> None:
    daily, hourly = hit(exhausted).reliefs
    assert daily.addresses == {"us-east-1a": 24}
    assert daily.command == "kubectl --namespace batch scale deployment/report-daily --replicas=0"
    assert daily.undo == "kubectl --namespace batch scale deployment/report-daily --replicas=24"
    assert daily.what == "Scale Deployment batch/report-daily to 0: frees 24 addresses (24 in us-east-1a)."
    assert daily.caveat == (
        "They rest for 30 s, then 14 of the waiting pods get one: they are on the same nodes, whose pools keep them. "
        "No whole network interface can be counted on to empty, so nothing goes back to the subnet for other nodes."
    )
    assert hourly.addresses == {"us-east-1b": 20}


def test_with_a_warm_ip_target_single_addresses_go_back_to_the_subnet() -> None:
    found = hit(
        made.exhausted(
            environment={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"},
            nodes=(
                made.MadeNodes(zone=made.ZONES[0], count=10, pods=95),
                made.MadeNodes(zone=made.ZONES[0], count=1, pods=20, waiting=30),
            ),
            workloads=(
                made.MadeWorkload(name="api", replicas=30, ready=5, priority=("high", 10)),
                made.MadeWorkload(name="reports", namespace="batch", replicas=40, service=False),
            ),
        ),
        replace(EXHAUSTION, scope=Scope(zones=(made.ZONES[0],))),
    )
    (relief,) = found.reliefs
    assert relief.addresses == {made.ZONES[0]: 40}
    assert relief.caveat.startswith("They rest for 30 s, then 4 of the waiting pods get one")
    assert "At least 36 go back to the subnet for other nodes, one by one, after about 60 s." in relief.caveat


def test_an_interface_that_empties_goes_back_whole_in_default_mode() -> None:
    # One node runs nothing but 58 pods of the workload, on two interfaces and a warm one.
    found = hit(
        made.exhausted(
            nodes=(
                made.MadeNodes(zone=made.ZONES[0], count=1, pods=58),
                made.MadeNodes(zone=made.ZONES[1], count=6, pods=150, waiting=40),
            ),
            workloads=(
                made.MadeWorkload(name="reports", namespace="batch", replicas=58, service=False, zone=made.ZONES[0]),
                made.MadeWorkload(name="api", replicas=30, ready=5, priority=("high", 10)),
            ),
        )
    )
    (relief,) = found.reliefs
    assert relief.addresses == {"us-east-1a": 58}
    assert relief.caveat == (
        "They rest for 30 s, then only pods on the same nodes can have them, and none waits there. At least 60 go back "
        "to the subnet for other nodes, as whole network interfaces that empty, after about 90 s."
    )


def test_a_workload_is_spared_that_is_hit_of_equal_priority_of_the_system_or_behind_a_service() -> None:
    def running(name: str, **changes: Any) -> Pod:
        pod = Pod(
            namespace="d", name=f"{name}-r", node="n1", phase="Running", ip="10.0.0.9", owner=f"Deployment/{name}"
        )
        return replace(pod, **{"priority": 0, **changes})

    snapshot = cluster(
        *waiting("first", 1, priority=5),
        running("first", priority=5),
        running("equal", priority=5),
        running("called"),
        running("system", namespace="kube-system"),
        running("agents", owner="DaemonSet/agents"),
        running("give-way"),
        running("called-but-low", priority=-1),
        services=(
            Service(namespace="d", name="s", pods=("called-r", "called-but-low-r")),
            Service(namespace="e", name="s", pods=("give-way-r",)),
        ),
        cni_daemon_set=made.exhausted().kubernetes.cni_daemon_set,  # type: ignore[union-attr] # known in a made snapshot
    )
    reliefs = hit(snapshot).reliefs
    assert [each.what.split()[2] for each in reliefs] == []
    found = hit(snapshot, Cause(root_cause=RootCause.SUBNET_EXHAUSTION, scope=Scope(zones=("z1",))))
    assert sorted(each.what.split()[2] for each in found.reliefs) == ["d/called-but-low", "d/give-way"]


def test_a_job_is_suspended_and_strange_names_are_quoted() -> None:
    job = Pod(
        namespace="x; rm -rf /", name="j", node="n1", phase="Running", ip="10.0.0.9", owner="Job/a'b", priority=-5
    )
    snapshot = cluster(
        *waiting("first", 1),
        job,
        cni_daemon_set=made.exhausted().kubernetes.cni_daemon_set,  # type: ignore[union-attr] # known in a made snapshot
    )
    (relief,) = hit(snapshot, Cause(root_cause=RootCause.SUBNET_EXHAUSTION, scope=Scope(zones=("z1",)))).reliefs
    assert relief.command == (
        "kubectl --namespace 'x; rm -rf /' patch 'job/a'\"'\"'b' --patch '{\"spec\":{\"suspend\":true}}'"
    )
    assert relief.undo.endswith('\'{"spec":{"suspend":false}}\'')


def with_run(**changes: Any) -> Snapshot:
    """A low-priority run of a CronJob, on the node where another workload waits."""
    pod = Pod(namespace="d", name="r", node="n1", phase="Running", ip="10.0.0.9", owner="Job/report-1", priority=-5)
    job = Workload(kind="Job", namespace="d", name="report-1", desired=1, ready=1, owner="CronJob/report")
    return cluster(
        *waiting("first", 1),
        pod,
        cni_daemon_set=made.exhausted().kubernetes.cni_daemon_set,  # type: ignore[union-attr] # known in a made snapshot
        workloads=(job,),
        **{"cron_jobs": (CronJob(namespace="d", name="report", schedule="*/5 * * * *"),), "services": (), **changes},
    )


IN_Z1 = Cause(root_cause=RootCause.SUBNET_EXHAUSTION, scope=Scope(zones=("z1",)))


def test_the_run_of_a_cronjob_is_suspended_with_its_cronjob_or_the_next_run_takes_the_address() -> None:
    (relief,) = hit(with_run(), IN_Z1).reliefs
    assert relief.what.startswith("Suspend Job d/report-1 and its CronJob report: frees 1 addresses")
    suspend = '--patch \'{"spec":{"suspend":true}}\''
    assert relief.command == (
        f"kubectl --namespace d patch cronjob/report {suspend} && kubectl --namespace d patch job/report-1 {suspend}"
    )
    assert relief.undo == relief.command.replace("true", "false")
    assert "Its CronJob (*/5 * * * *) starts no further run until it is resumed." in relief.caveat


def test_a_cronjob_that_is_suspended_already_or_was_not_read_is_left_alone() -> None:
    for cron_jobs in ((CronJob(namespace="d", name="report", schedule="@daily", suspended=True),), UNREAD):
        (relief,) = hit(with_run(cron_jobs=cron_jobs), IN_Z1).reliefs
        assert relief.command.startswith("kubectl --namespace d patch job/report-1")
        assert "CronJob" not in relief.what + relief.caveat


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("Allow", "each further run waits beside it"),
        ("Forbid", "no further run starts before it has ended"),
        ("Replace", "each further run takes its place, and waits too"),
    ],
)
def test_a_run_that_cannot_start_says_what_becomes_of_the_next_ones(policy: str, words: str) -> None:
    pods = waiting("x", 1, owner="Job/report-1")
    job = Workload(kind="Job", namespace="d", name="report-1", desired=1, ready=0, owner="CronJob/report")
    cron = CronJob(namespace="d", name="report", schedule="0 3 * * *", concurrency_policy=policy)
    found = hit(cluster(*pods, workloads=(job,), cron_jobs=(cron,), services=()))
    assert found.workloads[0].why == f"behind no Service; a run of CronJob report (0 3 * * *): {words}"


# What was read in part.


def test_a_kind_of_workload_that_was_not_read_is_said_and_the_others_keep_their_figures() -> None:
    found = hit(
        cluster(
            *waiting("web", 2),
            *waiting("db", 1, owner="StatefulSet/db"),
            workloads=(Workload(kind="Deployment", namespace="d", name="web", desired=5, ready=3),),
            unread_workloads={"DaemonSet": "denied (x)", "StatefulSet": "denied (kubernetes statefulsets)"},
            services=(),
            disruption_budgets=(),
            autoscalers=(),
        )
    )
    assert {each.name: (each.desired, each.ready) for each in found.workloads} == {"web": (5, 3), "db": (None, None)}
    assert found.unread == ("Replicas of every StatefulSet: denied (kubernetes statefulsets).",)


def test_without_services_nobody_is_said_to_stand_behind_none_and_only_low_priority_gives_way() -> None:
    usual = Pod(
        namespace="d", name="u", node="n1", phase="Running", ip="10.0.0.8", owner="Deployment/usual", priority=0
    )
    high = waiting("first", 1, priority=7)
    changes = {"cni_daemon_set": made.exhausted().kubernetes.cni_daemon_set}  # type: ignore[union-attr] # known there
    known_services = hit(cluster(*high, usual, services=(), **changes), IN_Z1)
    assert [each.what.split()[2] for each in known_services.reliefs] == ["d/usual"]
    found = hit(cluster(*high, usual, services=UNREAD, **changes), IN_Z1)
    assert found.workloads[0].why == "priority 7; Services unknown"
    assert found.reliefs == (), "somebody may call it"
    assert "Services, and so who stands behind which: denied (pods)." in found.unread


def test_nothing_is_proposed_where_addresses_would_not_help_or_the_settings_are_unknown(exhausted: Snapshot) -> None:
    assert hit(exhausted, Cause(root_cause=RootCause.IPAMD_FAILURE)).reliefs == ()
    assert isinstance(exhausted.kubernetes, Kubernetes)
    unread = replace(exhausted, kubernetes=replace(exhausted.kubernetes, cni_daemon_set=UNREAD))
    assert hit(unread).reliefs == ()


def test_at_the_interfaces_limit_only_pods_of_the_same_nodes_give_way() -> None:
    snapshot = made.exhausted(
        nodes=(
            made.MadeNodes(zone=made.ZONES[0], count=2, pods=27, waiting=4, instance_type="m5.large", max_pods=110),
            made.MadeNodes(zone=made.ZONES[0], count=2, pods=20, instance_type="m5.large", max_pods=110),
        ),
        workloads=(
            made.MadeWorkload(name="api", replicas=8, ready=0, priority=("high", 10)),
            made.MadeWorkload(name="reports", namespace="batch", replicas=40, service=False),
        ),
    )
    (relief,) = hit(snapshot, ENI_LIMIT).reliefs
    assert relief.addresses == {"us-east-1a": 20}, "ten of its forty pods run on each node"
    assert "then 8 of the waiting pods get one" in relief.caveat


# Whom to call.


def by_condition(found: tuple[Escalation, ...]) -> dict[str, tuple[bool | None, str]]:
    return {each.condition.split()[0]: (each.met, each.because) for each in found}


def test_the_runbooks_conditions_are_evaluated_in_the_exhausted_cluster(exhausted: Snapshot) -> None:
    assert by_condition(escalations(exhausted, ())) == {
        "Subnet": (True, "subnet-0a1 and subnet-0b2 have 0 free."),
        "ipamd": (False, "None of 30 pods of aws-node."),
        "IP": (False, "14 of 30 nodes."),
    }


def test_every_condition_is_unknown_where_nothing_was_read() -> None:
    assert by_condition(escalations(Snapshot(), ())) == {
        "Subnet": (None, "Subnets: not collected."),
        "ipamd": (None, "Pods of aws-node: not collected."),
        "IP": (None, "Nodes: not collected."),
    }


def test_a_person_may_have_said_how_many_addresses_are_free() -> None:
    for free, met in ((0, True), (7, False)):
        snapshot = Snapshot(stated=Stated(subnet_free_addresses=free))
        assert escalations(snapshot, ())[0].met is met


def test_an_unread_count_beside_counts_above_zero_leaves_it_open() -> None:
    subnets = (
        Subnet(subnet_id="s1", available_addresses=5),
        Subnet(subnet_id="s2", available_addresses=Unknown(Reason.THROTTLED)),
    )
    found = escalations(Snapshot(aws=Aws(subnets=subnets)), ())[0]
    assert (found.met, found.because) == (None, "Free addresses of s2 are unknown.")


@pytest.mark.parametrize(("looping", "met"), [(0, False), (1, False), (2, True)])
def test_crash_loops_count_from_two_nodes_on(looping: int, met: bool) -> None:  # noqa: FBT001 - a case
    pods = tuple(
        CniPod(name=f"aws-node-{n}", node=f"n{n}", waiting="CrashLoopBackOff" if n < looping else None)
        for n in range(3)
    )
    assert escalations(Snapshot(kubernetes=Kubernetes(cni_pods=pods)), ())[1].met is met


def test_failures_on_every_node_are_met_and_with_unread_events_a_part_is_only_a_lower_bound() -> None:
    assert escalations(cluster(*waiting("x", 1), events=()), ())[2].met is True
    two = cluster(*waiting("x", 1), events=(), nodes=(Node(name="n1"), Node(name="n2")))
    assert escalations(two, ())[2] == Escalation(
        condition="IP allocation failures across all nodes in cluster", met=False, because="1 of 2 nodes."
    )
    assert escalations(two, (Cause(root_cause=RootCause.ENI_LIMIT, scope=Scope(nodes=("n2", "gone"))),))[2].met is True
    unread = cluster(*waiting("x", 1), events=UNREAD, nodes=(Node(name="n1"), Node(name="n2")))
    assert escalations(unread, ())[2].met is None


@pytest.mark.parametrize(
    ("root", "detail"),
    [(RootCause.ENI_LIMIT, Detail.MAX_PODS), (RootCause.SUBNET_EXHAUSTION, Detail.NODE_SUBNET_FULL)],
)
def test_no_node_fails_to_give_an_address_to_pods_that_never_came_to_one(root: RootCause, detail: Detail) -> None:
    full = Cause(root_cause=root, detail=detail, scope=Scope(nodes=("n1",)))
    assert escalations(cluster(events=(), nodes=(Node(name="n1"),)), (full,))[2].met is False
