"""Postconditions: met, waiting, failed or unknown, and never met without a reading."""

from dataclasses import replace

import pytest

from headroom.capacity.cni_version import SUBNET_ROLE_TAG
from headroom.facts.aws import Aws, CidrAssociation, Interface, Subnet, Vpc
from headroom.facts.kubernetes import CniPod, Kubernetes, Pod
from headroom.facts.pod_logs import LogAccess
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown, items
from headroom.planning.conditions import ConditionState, State, evaluate, pods_to_read
from headroom.planning.plan import Check, Plan
from headroom.planning.planner import make_plan
from headroom.rehearsal import made
from tests.planning.conftest import SHORT

SUBNETS = ("100.64.0.0/18", "100.64.64.0/18", "100.64.128.0/18")
READ = LogAccess(pod="shop/web-1", address="100.64.0.9", node="ip-1", read=True)


@pytest.fixture(scope="module")
def before() -> Snapshot:
    return made.exhausted()


@pytest.fixture(scope="module")
def plan(before: Snapshot) -> Plan:
    return make_plan(before, SHORT)


def applied(before: Snapshot) -> Snapshot:
    """The cluster once the plan worked."""
    aws, kubernetes = before.aws, before.kubernetes
    assert isinstance(aws, Aws)
    assert isinstance(kubernetes, Kubernetes)
    assert isinstance(aws.vpc, Vpc)
    table = next(table.route_table_id for table in items(aws.route_tables) if table.main)
    new = tuple(
        Subnet(subnet_id=f"subnet-{i}", cidr_block=cidr, tags={SUBNET_ROLE_TAG: "1"}, route_table_id=table)
        for i, cidr in enumerate(SUBNETS)
    )
    pods = tuple(
        replace(pod, ip="100.64.0.9", phase="Running", ready=True) if pod.ip is None else pod
        for pod in items(kubernetes.pods)
    )
    return replace(
        before,
        aws=replace(
            aws,
            vpc=replace(
                aws.vpc,
                cidr_blocks=(
                    *items(aws.vpc.cidr_blocks),
                    CidrAssociation(cidr_block="100.64.0.0/16", state="associated"),
                ),
            ),
            subnets=(*items(aws.subnets), *new),
            interfaces=(
                *items(aws.interfaces),
                Interface(interface_id="eni-1", subnet_id="subnet-0", instance_id="i-1", device_index=3),
            ),
        ),
        kubernetes=replace(kubernetes, pods=pods),
    )


def states(found: tuple[ConditionState, ...]) -> dict[Check, State]:
    return {state.condition.check: state.state for state in found}


def test_once_it_worked_every_condition_is_met(plan: Plan, before: Snapshot) -> None:
    found = evaluate(plan, applied(before), waited_seconds=30, logs=(READ,))
    assert {state.state for state in found} == {State.MET}
    assert len(found) == 8


def test_before_it_is_applied_it_waits_and_after_its_patience_it_has_failed(plan: Plan, before: Snapshot) -> None:
    assert states(evaluate(plan, before, waited_seconds=1))[Check.STUCK_PODS_RUNNING] is State.WAITING
    assert states(evaluate(plan, before, waited_seconds=3600))[Check.STUCK_PODS_RUNNING] is State.FAILED


def test_what_cannot_be_read_is_unknown_and_never_met(plan: Plan) -> None:
    found = evaluate(plan, Snapshot(), waited_seconds=1)
    assert {state.state for state in found} == {State.UNKNOWN}
    assert "not collected" in found[0].because


def test_a_subnet_that_lost_its_tag_is_named(plan: Plan, before: Snapshot) -> None:
    after = applied(before)
    assert isinstance(after.aws, Aws)
    subnets = tuple(
        replace(subnet, tags={}) if subnet.subnet_id == "subnet-1" else subnet for subnet in items(after.aws.subnets)
    )
    found = evaluate(plan, replace(after, aws=replace(after.aws, subnets=subnets)), waited_seconds=1)
    state = next(state for state in found if state.condition.check is Check.SUBNETS_READY)
    assert (state.state, state.because) == (
        State.WAITING,
        "100.64.64.0/18 does not carry kubernetes.io/role/cni=1.",
    )


def test_a_subnet_without_its_route_table_is_named(plan: Plan, before: Snapshot) -> None:
    after = applied(before)
    assert isinstance(after.aws, Aws)
    subnets = tuple(
        replace(subnet, route_table_id=NOT_COLLECTED) if subnet.subnet_id == "subnet-2" else subnet
        for subnet in items(after.aws.subnets)
    )
    found = evaluate(plan, replace(after, aws=replace(after.aws, subnets=subnets)), waited_seconds=1)
    assert states(found)[Check.SUBNETS_READY] is State.WAITING


def test_an_association_that_failed_is_not_waited_for(plan: Plan, before: Snapshot) -> None:
    after = applied(before)
    assert isinstance(after.aws, Aws)
    assert isinstance(after.aws.vpc, Vpc)
    failed = (CidrAssociation(cidr_block="100.64.0.0/16", state="failed"),)
    vpc = replace(after.aws.vpc, cidr_blocks=failed)
    found = evaluate(plan, replace(after, aws=replace(after.aws, vpc=vpc)), waited_seconds=1)
    assert states(found)[Check.CIDR_ASSOCIATED] is State.FAILED


def test_a_restart_of_aws_node_is_told(plan: Plan, before: Snapshot) -> None:
    after = applied(before)
    assert isinstance(after.kubernetes, Kubernetes)
    pods = items(after.kubernetes.cni_pods)
    changed: tuple[CniPod, ...] = (replace(pods[0], restarts=pods[0].restarts + 1), *pods[1:])
    found = evaluate(plan, replace(after, kubernetes=replace(after.kubernetes, cni_pods=changed)), waited_seconds=1)
    state = next(state for state in found if state.condition.check is Check.NOTHING_RESTARTED)
    assert state.state is State.FAILED
    assert pods[0].name in state.because


def test_pods_that_were_replaced_count_only_if_nobody_waits(plan: Plan, before: Snapshot) -> None:
    after = applied(before)
    assert isinstance(after.kubernetes, Kubernetes)
    stuck = Pod(namespace="shop", name="new-1", node="ip-1", phase="Pending", waiting="ContainerCreating")
    pods = (*items(after.kubernetes.pods), stuck)
    found = evaluate(plan, replace(after, kubernetes=replace(after.kubernetes, pods=pods)), waited_seconds=1)
    state = next(state for state in found if state.condition.check is Check.STUCK_PODS_RUNNING)
    assert state.state is State.WAITING
    assert state.because == "1 pod without an address, 0 of the 37 that the plan was made for: shop/new-1."
    failures = next(state for state in found if state.condition.check is Check.NO_NEW_FAILURES)
    assert failures.state is State.WAITING, "a pod that waits may fail again any moment: silence proves nothing"


def logs_read(
    plan: Plan, snapshot: Snapshot, logs: tuple[LogAccess, ...] | Unknown, waited_seconds: float = 1
) -> tuple[State, str]:
    found = evaluate(plan, snapshot, waited_seconds=waited_seconds, logs=logs)
    state = next(state for state in found if state.condition.check is Check.LOGS_READ)
    return state.state, state.because


def with_pods(snapshot: Snapshot, *pods: Pod) -> Snapshot:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return replace(snapshot, kubernetes=replace(snapshot.kubernetes, pods=pods))


def running(name: str, ip: str, *, ready: bool = True, host_network: bool = False, terminating: bool = False) -> Pod:
    return Pod(
        namespace="shop",
        name=name,
        ip=ip,
        node="ip-1",
        phase="Running",
        ready=ready,
        host_network=host_network,
        terminating=terminating,
    )


def test_one_pod_in_each_new_subnet_is_read_a_ready_one_first(plan: Plan, before: Snapshot) -> None:
    pods = (
        running("a", "100.64.0.5", ready=False),
        running("c", "100.64.0.7"),
        running("b", "100.64.0.6"),
        running("old", "10.68.204.7"),
        running("e", "100.64.130.1", ready=False),
        running("host", "100.64.64.9", host_network=True),
        running("going", "100.64.64.10", terminating=True),
        running("six", "2001:db8::1"),
    )
    assert [pod.name for pod in pods_to_read(plan, with_pods(before, *pods))] == ["b", "e"]


def test_a_kubelet_that_is_not_reached_holds_up_with_its_reason_and_fails_after_an_hour(
    plan: Plan, before: Snapshot
) -> None:
    closed = replace(READ, read=False, because="dial tcp 10.68.204.17:10250: i/o timeout")
    told = "The API server does not reach the kubelet of shop/web-1 on ip-1: dial tcp 10.68.204.17:10250: i/o timeout."
    assert logs_read(plan, applied(before), (READ, closed)) == (State.WAITING, told)
    assert logs_read(plan, applied(before), (closed,), waited_seconds=3600) == (State.WAITING, told)
    assert logs_read(plan, applied(before), (closed,), waited_seconds=3601) == (State.FAILED, told)


def test_logs_that_nobody_may_read_are_unknown_and_the_role_is_named(plan: Plan, before: Snapshot) -> None:
    denied = replace(READ, read=Unknown(Reason.DENIED, "the API server answered 403 Forbidden"))
    state, because = logs_read(plan, applied(before), (denied,))
    assert state is State.UNKNOWN
    assert "403 Forbidden" in because
    assert "headroom collect --permissions rbac-verify" in because
    assert logs_read(plan, applied(before), NOT_COLLECTED)[0] is State.UNKNOWN


def test_logs_are_waited_for_while_pods_wait_and_not_needed_where_no_pod_needs_the_new_subnets(
    plan: Plan, before: Snapshot
) -> None:
    assert logs_read(plan, before, ()) == (
        State.WAITING,
        "No pod runs with an address in the new subnets yet.",
    )
    nobody = with_pods(before, running("old", "10.68.204.7"))
    assert logs_read(plan, nobody, ()) == (State.MET, "No pod has needed an address in the new subnets yet.")
    assert logs_read(plan, applied(before), ())[0] is State.WAITING, "the pods went meanwhile"
