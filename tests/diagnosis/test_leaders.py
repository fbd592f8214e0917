"""Who leads: the forms in which holders write themselves into a Lease, and Leases that nobody has renewed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headroom.diagnosis.leaders import STALE_AFTER, Hold, Leader, Leaders, hold_of, leaders_of
from headroom.facts.kubernetes import Kubernetes, Lease, Pod
from headroom.facts.names import hosts_in
from headroom.facts.values import Reason, Unknown

NOW = "2026-03-03T20:46:00Z"
UNIQUE = "0f6f2a1e-0000-4000-8000-000000000000"
DENIED = Unknown(Reason.DENIED, "the API server answered 403 Forbidden")
POD = Pod(namespace="billing", name="queue-7f9c4bcd5-x2k9p", phase="Running", owner="Deployment/queue", node="node-a")
LONG = Pod(namespace="billing", name=f"{'a' * 60}-0-and-more-0", phase="Running", owner="StatefulSet/long")
HOST = Pod(
    namespace="billing", name="agent-zzzzz", phase="Running", owner="DaemonSet/agent", node="node-b", host_network=True
)
OTHER_HOST = Pod(namespace="other", name="proxy-zzzzz", phase="Running", node="node-b", host_network=True)
MANAGER = Pod(namespace="cert-manager", name="cert-manager-55c69bf5cf-2fgjn", phase="Running", owner="Deployment/cm")
BARE = Pod(namespace="billing", name="queue", phase="Running")
PODS = (POD, LONG, HOST, OTHER_HOST, MANAGER, BARE)


def lease(holder: str | None, *, namespace: str = "billing", renewed: str | None = NOW, **more: object) -> Lease:
    return Lease(namespace=namespace, name="l", holder=holder, renewed_at=renewed, **{"duration_seconds": 15, **more})  # type: ignore[arg-type] # fields of a Lease


def leader(one: Lease, pods: tuple[Pod, ...] = PODS) -> Leader:
    found = leaders_of(Kubernetes(leases=(one,), pods=pods), NOW)
    assert isinstance(found, Leaders)
    (only,) = found.leaders
    return only


@pytest.mark.parametrize(
    ("holder", "workload"),
    [
        (f"{POD.name}_{UNIQUE}", "Deployment/queue"),
        (POD.name, "Deployment/queue"),
        (f"billing/{POD.name}", "Deployment/queue"),
        (f"{MANAGER.name}-external-cert-manager-controller", "Deployment/cm"),
        (f"{LONG.name[:63].rstrip('-.')}_{UNIQUE}", "StatefulSet/long"),
        (f"node-b_{UNIQUE}", "DaemonSet/agent"),
        (f"queue_{UNIQUE}", "Pod/queue"),
        (f"queue-7f9c4bcd5-gone9_{UNIQUE}", ""),
        (f"node-a_{UNIQUE}", ""),
        (UNIQUE, ""),
        ("", ""),
    ],
    ids=[
        "with uuid",
        "host",
        "namespace",
        "text after",
        "cut",
        "host network",
        "bare",
        "gone",
        "node",
        "uuid",
        "empty",
    ],
)
def test_a_lease_is_joined_to_the_workload_of_its_holder(holder: str, workload: str) -> None:
    assert leader(lease(holder)).workload == workload


def test_a_holder_that_somebody_made_long_on_purpose_is_not_taken_apart_in_full() -> None:
    named = list(hosts_in("a" + "-1" * 50_000))
    assert len(named) < 130
    longest = f"{'q' * 247}-x2k9p"
    assert len(longest) == 253
    assert longest in hosts_in(f"{longest}-external-cert-manager-controller")


def test_what_a_tenant_writes_as_a_holder_does_nothing_to_a_terminal() -> None:
    hostile = Lease(
        namespace="n",
        name="l",
        holder="\x1b]0;x\x07" + "a" * 10_000,
        duration_seconds=15,
        renewed_at="2026-03-03T20:45:59Z",
    )
    found = leaders_of(Kubernetes(leases=(hostile,), pods=()), "2026-03-03T20:46:00Z")
    assert isinstance(found, Leaders)
    (leader,) = found.leaders
    assert leader.because.isprintable()
    assert len(leader.because) < 300


def test_of_pods_of_one_name_that_of_the_leases_namespace_is_meant() -> None:
    twin = Pod(namespace="other", name=POD.name, phase="Running", owner="Deployment/other")
    assert leader(lease(POD.name), (twin, POD)).workload == "Deployment/queue"
    assert leader(lease(POD.name, namespace="third"), (twin, POD)).workload == "", "either may be meant"


def test_of_pods_whose_cut_names_are_the_same_one_is_meant_only_where_all_are_of_one_workload() -> None:
    """A pod's host name ends after 63 characters (kubernetes, truncatePodHostnameIfNeeded)."""
    first, second = (replace(LONG, name=f"{'a' * 63}-7f9c4bcd5-{end}") for end in ("x2k9p", "zzzzz"))
    assert leader(lease(f"{'a' * 63}_{UNIQUE}"), (first, second)).workload == "StatefulSet/long"
    other = replace(second, owner="Deployment/other")
    assert leader(lease(f"{'a' * 63}_{UNIQUE}"), (first, other)).workload == "", "either may be meant"
    bare = (replace(first, owner=None), replace(second, owner=None))
    assert leader(lease(f"{'a' * 63}_{UNIQUE}"), bare).pod == ""


@pytest.mark.parametrize(
    ("found", "hold"),
    [
        (lease("a", renewed="2026-03-03T20:45:50Z"), Hold.HELD),
        (lease("a", renewed="2026-03-03T20:45:30Z"), Hold.HELD),
        (lease("a", renewed="2026-03-03T20:45:29Z"), Hold.STALE),
        (lease("a", renewed="2026-03-03T20:50:00Z"), Hold.HELD),
        (lease("a", renewed=None), Hold.UNKNOWN),
        (lease("a", duration_seconds=None), Hold.UNKNOWN),
        (lease("a", duration_seconds=DENIED), Hold.UNKNOWN),
        (lease(None), Hold.FREE),
        (lease(None, renewed=None), Hold.FREE),
    ],
    ids=["held", "at the limit", "stale", "ahead", "never renewed", "no end", "unread", "given up", "never taken"],
)
def test_a_lease_is_held_for_twice_its_duration(found: Lease, hold: Hold) -> None:
    assert STALE_AFTER == 2
    assert hold_of(found, NOW) is hold


def test_when_nobody_knows_the_time_of_the_reading_nothing_is_held_or_stale() -> None:
    assert hold_of(lease("a"), "") is Hold.UNKNOWN


def test_a_stale_lease_is_said_stale_and_by_whom() -> None:
    found = leader(lease(f"{POD.name}_{UNIQUE}", renewed="2026-03-03T19:00:00Z"))
    assert found.because == f"stale: renewed last at 2026-03-03T19:00:00Z, for 15 s, by {POD.name}"
    assert leader(lease("gone")).because == "held by gone, which is the name of no pod of the cluster"


def test_in_kube_system_what_no_pod_holds_is_the_control_planes() -> None:
    leases = (
        Lease(namespace="kube-system", name="cloud", holder=f"7f_{UNIQUE}", duration_seconds=15, renewed_at=NOW),
        Lease(namespace="kube-system", name="mine", holder=MANAGER.name, duration_seconds=15, renewed_at=NOW),
        Lease(namespace="kube-system", name="free"),
    )
    found = leaders_of(Kubernetes(leases=leases, pods=PODS), NOW)
    assert isinstance(found, Leaders)
    assert found.of_control_plane == ("cloud",)
    assert [each.lease.name for each in found.leaders] == ["free", "mine"]
    unread = leaders_of(Kubernetes(leases=leases, pods=DENIED), NOW)
    assert isinstance(unread, Leaders)
    assert unread.of_control_plane == (), "whether a pod holds it, nobody knows"
    assert all(not each.workload for each in unread.leaders)


def test_leases_that_were_not_read_are_unknown_and_none_are_none() -> None:
    assert leaders_of(Kubernetes(leases=DENIED), NOW) == DENIED
    assert leaders_of(Kubernetes(leases=(), pods=()), NOW) == Leaders()
