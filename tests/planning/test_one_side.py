"""What must run in one of two clusters only: the file that asks, the commands, and where everything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.facts.kubernetes import CronJob, KedaScaler, Kubernetes, Lease, Pod, Workload
from headroom.facts.values import Reason, Unknown
from headroom.planning.one_side import (
    Entry,
    Mark,
    Side,
    Verdict,
    commands,
    entries_of,
    placed,
    read_entries,
    text_of,
    undecided_problems,
    unread,
)

NOW = "2026-03-03T20:46:00Z"
DENIED = Unknown(Reason.DENIED, "the API server answered 403 Forbidden")
CLOSE = CronJob(namespace="billing", name="close", schedule="0 2 * * *", concurrency_policy="Forbid", active=0)
POD = Pod(namespace="billing", name="queue-7f9c4bcd5-x2k9p", phase="Running", owner="Deployment/queue")
QUEUE = Workload(kind="Deployment", namespace="billing", name="queue", desired=3, ready=3)
LEADER = Lease(namespace="billing", name="queue-leader", holder=POD.name, duration_seconds=15, renewed_at=NOW)
MAIL = KedaScaler(
    kind="ScaledObject",
    namespace="billing",
    name="mail",
    target="Deployment/mail",
    triggers=("cpu", "azure-servicebus"),
)
BATCH = KedaScaler(kind="ScaledJob", namespace="billing", name="batch", triggers=("azure-queue",))
OLD = Kubernetes(
    cron_jobs=(CLOSE,), pods=(POD,), workloads=(QUEUE,), leases=(LEADER,), keda_scalers=(MAIL, BATCH), version="v1.31"
)
STOPPED = replace(
    OLD,
    cron_jobs=(replace(CLOSE, suspended=True),),
    pods=(),
    workloads=(replace(QUEUE, desired=0, ready=0),),
    leases=(replace(LEADER, holder=None),),
    keda_scalers=(replace(MAIL, paused=True, paused_replicas=0), replace(BATCH, paused=True)),
)
DECIDED = """\
# what was decided
billing cronjob/close - 0 2 * * * Forbid
billing deployment/queue 3 Lease queue-leader
billing scaledobject.keda.sh/mail
billing scaledjob.keda.sh/batch
"""


def entries(text: str = DECIDED) -> tuple[Entry, ...]:
    return read_entries(text, subject="one-side.txt")


def verdicts(old: Kubernetes, new: Kubernetes, text: str = DECIDED) -> dict[str, str]:
    found = placed(entries(text), Side(old, NOW), Side(new, NOW))
    return {f"{each.entry.kind}/{each.entry.name}": each.verdict.value for each in found}


def told(old: Kubernetes, new: Kubernetes, name: str) -> tuple[str, str]:
    return next((p.old, p.new) for p in placed(entries(), Side(old, NOW), Side(new, NOW)) if p.entry.name == name)


def test_the_file_asks_for_what_elects_a_leader_or_waits_for_work_and_takes_cron_jobs_for_granted() -> None:
    assert [line for line in text_of(OLD, NOW).splitlines() if not line.startswith("#")] == [
        "billing cronjob/close - 0 2 * * * Forbid",
        "? billing deployment/queue 3 Lease queue-leader: held by queue-7f9c4bcd5-x2k9p",
        "? billing scaledjob.keda.sh/batch - starts pods by azure-queue",
        "? billing scaledobject.keda.sh/mail - starts pods for Deployment/mail by azure-servicebus",
    ]


def test_the_file_reads_back_as_what_it_was_written_from() -> None:
    assert entries(text_of(OLD, NOW)) == entries_of(OLD, NOW)


def test_what_is_suspended_stale_without_a_pod_or_of_the_cluster_itself_is_listed_and_left_alone() -> None:
    long_ago, of_none = "2026-03-03T19:00:00Z", "the name of no pod of the cluster"
    system = Pod(namespace="kube-system", name="keda-operator-zzzzz", phase="Running", owner="Deployment/keda-operator")
    kubernetes = replace(
        OLD,
        cron_jobs=(replace(CLOSE, suspended=True),),
        keda_scalers=None,
        pods=(system,),
        leases=(
            replace(LEADER, holder="gone", renewed_at=long_ago),
            Lease(namespace="kube-system", name="keda", holder=system.name, duration_seconds=15, renewed_at=NOW),
            Lease(namespace="kube-system", name="aks", holder="elsewhere", duration_seconds=15, renewed_at=NOW),
        ),
    )
    assert [line for line in text_of(kubernetes, NOW).splitlines() if "/" in line and "KIND" not in line][-3:] == [
        "# billing cronjob/close - 0 2 * * * Forbid, suspended",
        f"# billing lease/queue-leader - stale: renewed last at {long_ago}, for 15 s, by gone, which is {of_none}",
        "# kube-system deployment/keda-operator - of the cluster itself; Lease keda: held by keda-operator-zzzzz",
    ]
    assert "# Leases of the control plane, left out: aks" in text_of(kubernetes, NOW)
    assert all(each.mark is Mark.LEFT for each in entries_of(kubernetes, NOW))


def elected(namespace: str, name: str, lease_in: str | None = None) -> tuple[Workload, Pod, Lease]:
    """A controller with a leader."""
    pod = Pod(namespace=namespace, name=f"{name}-7f9c4bcd5-x2k9p", phase="Running", owner=f"Deployment/{name}")
    lease = Lease(namespace=lease_in or namespace, name=name, holder=pod.name, duration_seconds=15, renewed_at=NOW)
    return Workload(kind="Deployment", namespace=namespace, name=name, desired=2), pod, lease


def of(*found: tuple[Workload, Pod, Lease]) -> dict[str, tuple[Mark, str]]:
    """What the file says of controllers."""
    workloads, pods, leases = zip(*found, strict=True)
    kubernetes = Kubernetes(cron_jobs=(), keda_scalers=None, workloads=workloads, pods=pods, leases=leases)
    return {each.name: (each.mark, each.note.partition(";")[0]) for each in entries_of(kubernetes, NOW)}


def test_controllers_of_their_own_cluster_are_left_alone_and_those_that_reach_beyond_it_are_asked_for() -> None:
    found = of(
        elected("ingress", "shop-ingress-nginx-controller"),
        elected("keda", "keda-operator"),
        elected("cert-manager", "cert-manager", "kube-system"),
        elected("cert-manager", "cert-manager-cainjector", "kube-system"),
        elected("kube-system", "shop-cert-manager"),
        elected("billing", "queue"),
    )
    orders = (Mark.ASKED, "orders certificates: their issuer counts those of both clusters together")
    own = (Mark.LEFT, "works on its own cluster")
    assert found == {
        "shop-ingress-nginx-controller": own,
        "keda-operator": own,
        "cert-manager": orders,
        "cert-manager-cainjector": own,
        "shop-cert-manager": orders,
        "queue": (Mark.ASKED, f"Lease queue: held by {POD.name}"),
    }


@pytest.mark.parametrize("name", ["external-dns", "external-dns-private", "shop-external-dns"])
def test_what_writes_dns_records_is_asked_for_although_it_elects_no_leader(name: str) -> None:
    dns = Workload(kind="Deployment", namespace="kube-system", name=name, desired=1)
    (line,) = text_of(replace(OLD, workloads=(dns,), cron_jobs=(), leases=(), keda_scalers=None), NOW).splitlines()[5:]
    assert line == (
        f"? kube-system deployment/{name} 1 writes DNS records: with one --txt-owner-id for both clusters each deletes "
        "the other's"
    )
    stopped = replace(OLD, workloads=(replace(dns, desired=0),), cron_jobs=(), leases=(), keda_scalers=None)
    assert entries_of(stopped, NOW) == ()
    other = Workload(kind="Deployment", namespace="shop", name="internal-dns", desired=1)
    assert entries_of(replace(stopped, workloads=(other,)), NOW) == ()


def test_a_workload_that_leads_by_two_leases_is_one_line() -> None:
    two = replace(OLD, leases=(LEADER, replace(LEADER, name="second")), cron_jobs=(), keda_scalers=None)
    (entry,) = entries_of(two, NOW)
    assert entry.note == f"Lease queue-leader: held by {POD.name}; Lease second: held by {POD.name}"


def test_a_scaler_that_follows_the_pods_own_load_is_none_that_waits_for_work() -> None:
    assert entries_of(Kubernetes(keda_scalers=(replace(MAIL, triggers=("cpu", "memory")),)), NOW) == ()


def test_what_was_not_read_is_said_in_the_file() -> None:
    blind = Kubernetes(cron_jobs=DENIED, leases=DENIED, keda_scalers=DENIED, pods=DENIED)
    assert len(unread(blind)) == 4
    assert text_of(blind, NOW).count("were not read (denied") == 4
    assert unread(OLD) == ()


@pytest.mark.parametrize("name", ["a;rm -rf x", "a b", "$(x)", "a\nbilling cronjob/b", "-x", "A", ""])
def test_a_name_that_no_object_can_have_never_reaches_a_command(name: str) -> None:
    text = text_of(Kubernetes(cron_jobs=(replace(CLOSE, name=name),), leases=(), keda_scalers=None, pods=()), NOW)
    for line in text.splitlines():
        assert line.startswith("#")
    assert commands(entries(text), "aks", stop=True) == ()


def test_a_file_that_an_editor_of_windows_saved_reads_the_same() -> None:
    text = text_of(OLD, NOW)
    assert entries("\ufeff" + text.replace("\n", "\r\n")) == entries(text)


@pytest.mark.parametrize("line", ["billing close", "? billing", "billing cronjob/$(x)", "cronjob/close", "a b/c;d"])
def test_a_line_that_names_nothing_is_refused(line: str) -> None:
    with pytest.raises(ProblemsError) as refused:
        entries(f"billing cronjob/close\n{line}\n")
    (problem,) = refused.value.problems
    assert problem.key == "one-side.txt:2"


def test_nothing_is_stopped_before_every_line_is_decided() -> None:
    assert [each.value for each in undecided_problems(entries("? billing deployment/queue 3\n"), subject="f")] == [
        "billing deployment/queue"
    ]
    assert undecided_problems(entries("# billing deployment/queue 3\n"), subject="f") == ()


def test_what_stops_and_what_starts() -> None:
    more = entries(f"{DECIDED}billing deployment/unknown\nbilling daemonset/d 3\n# billing cronjob/left\n")
    kubectl = "kubectl --context aks-new --namespace billing"
    assert commands(more, "aks-new", stop=True) == (
        f'{kubectl} patch cronjob/close --patch \'{{"spec": {{"suspend": true}}}}\'',
        f"{kubectl} scale deployment/queue --replicas 0",
        f"{kubectl} annotate --overwrite scaledobject.keda.sh/mail autoscaling.keda.sh/paused-replicas=0",
        f"{kubectl} annotate --overwrite scaledjob.keda.sh/batch autoscaling.keda.sh/paused=true",
        f"{kubectl} scale deployment/unknown --replicas 0",
        "# by hand: stop billing daemonset/d in aks-new",
    )
    kubectl = "kubectl --context 'a b' --namespace billing"
    assert commands(more, "a b", stop=False)[1:] == (
        f"{kubectl} scale deployment/queue --replicas 3",
        f"{kubectl} annotate --overwrite scaledobject.keda.sh/mail autoscaling.keda.sh/paused-replicas-",
        f"{kubectl} annotate --overwrite scaledjob.keda.sh/batch autoscaling.keda.sh/paused-",
        f"# by hand: {kubectl} scale deployment/unknown --replicas N, for nobody knows how many",
        "# by hand: start billing daemonset/d in a b",
    )


EVERY = ("cronjob/close", "deployment/queue", "scaledobject.keda.sh/mail", "scaledjob.keda.sh/batch")


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (OLD, STOPPED, Verdict.OLD),
        (STOPPED, OLD, Verdict.NEW),
        (OLD, OLD, Verdict.BOTH),
        (STOPPED, STOPPED, Verdict.NEITHER),
        (OLD, Kubernetes(cron_jobs=(), leases=(), keda_scalers=None, pods=(), workloads=()), Verdict.OLD),
        (OLD, Kubernetes(cron_jobs=DENIED, leases=DENIED, keda_scalers=DENIED, pods=DENIED), Verdict.UNDECIDED),
        (OLD, Kubernetes(), Verdict.UNDECIDED),
    ],
    ids=["old", "new", "both", "neither", "not there", "denied", "not collected"],
)
def test_it_is_seen_on_which_side_everything_runs(old: Kubernetes, new: Kubernetes, verdict: Verdict) -> None:
    assert verdicts(old, new) == dict.fromkeys(EVERY, verdict.value)


def test_a_run_that_goes_on_still_runs_though_its_cron_job_is_suspended() -> None:
    going = replace(STOPPED, cron_jobs=(replace(CLOSE, suspended=True, active=1),))
    assert verdicts(going, OLD)["cronjob/close"] == "both"
    assert told(going, OLD, "close") == ("suspended, and 1 of its runs go on", "starts at 0 2 * * *")
    unknown = replace(STOPPED, cron_jobs=(replace(CLOSE, suspended=True, active=DENIED),))
    assert verdicts(unknown, OLD)["cronjob/close"] == "undecided"


def test_a_lease_that_is_held_on_both_sides_says_that_both_run_and_a_stale_one_does_not() -> None:
    held = replace(STOPPED, leases=(replace(LEADER, holder="renamed"),))
    assert verdicts(OLD, held)["deployment/queue"] == "both", "nobody scaled it, and somebody renews the Lease"
    stale = replace(STOPPED, leases=(replace(LEADER, holder="renamed", renewed_at="2026-03-03T20:40:00Z"),))
    assert verdicts(OLD, stale)["deployment/queue"] == "old"
    assert "stale: renewed last at 2026-03-03T20:40:00Z" in told(OLD, stale, "queue")[1]


def test_a_lease_without_a_pod_counts_by_its_holder_alone() -> None:
    line = "billing lease/queue-leader -\n"
    alone = replace(OLD, pods=(), workloads=(), cron_jobs=(), keda_scalers=None)
    free = replace(alone, leases=(replace(LEADER, holder=None),))
    endless = replace(alone, leases=(replace(LEADER, duration_seconds=None),))
    assert verdicts(alone, alone, line) == {"lease/queue-leader": "both"}
    assert verdicts(alone, free, line) == {"lease/queue-leader": "old"}
    assert verdicts(free, endless, line) == {"lease/queue-leader": "undecided"}


def test_pods_that_still_end_and_jobs_that_go_on_still_run() -> None:
    ending = replace(STOPPED, pods=(replace(POD, terminating=True),))
    assert verdicts(ending, OLD)["deployment/queue"] == "both"
    job = Workload(kind="Job", namespace="billing", name="batch-1", desired=1, ready=1, owner="ScaledJob/batch")
    assert verdicts(replace(STOPPED, workloads=(job,)), OLD)["scaledjob.keda.sh/batch"] == "both"


def test_a_scaler_that_is_paused_with_its_pods_left_running_runs() -> None:
    pods = (replace(POD, owner="Deployment/mail"),)
    kept = replace(STOPPED, keda_scalers=(replace(MAIL, paused=True), replace(BATCH, paused=True)), pods=pods)
    assert verdicts(kept, STOPPED)["scaledobject.keda.sh/mail"] == "old"


def test_a_kind_of_workload_that_was_not_read_decides_nothing() -> None:
    blind = replace(STOPPED, workloads=(), unread_workloads={"Deployment": "denied"})
    assert verdicts(OLD, blind)["deployment/queue"] == "undecided"
    assert told(OLD, blind, "queue")[1].startswith("not read; Lease ")


def test_a_workload_that_is_not_there_wants_nothing_and_its_pods_that_were_not_read_are_told() -> None:
    gone = replace(STOPPED, workloads=(), leases=())
    assert told(OLD, gone, "queue")[1] == "not there; Lease queue-leader: not there"
    unread_pods = replace(gone, pods=DENIED)
    assert verdicts(OLD, unread_pods)["deployment/queue"] == "undecided"
    assert told(OLD, unread_pods, "queue")[1].startswith("not there; its pods were not read: denied")
    left = replace(gone, pods=(POD,))
    assert told(OLD, left, "queue")[1].startswith("not there, has 1")


def test_what_no_line_names_and_what_nobody_has_decided_is_undecided() -> None:
    found = placed(
        entries("? billing deployment/queue 3\n# billing scaledjob.keda.sh/batch\n"), Side(OLD, NOW), Side(OLD, NOW)
    )
    assert [(each.entry.place, each.verdict, each.entry.note) for each in found] == [
        ("billing deployment/queue", Verdict.UNDECIDED, ""),
        ("billing cronjob/close", Verdict.UNDECIDED, "no line of the file names it"),
        ("billing scaledobject.keda.sh/mail", Verdict.UNDECIDED, "no line of the file names it"),
    ]
