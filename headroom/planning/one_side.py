"""What must run in one of two clusters only: weights split requests, and nothing that starts by itself.

CronJobs start by the clock; a consumer that elects a leader has one in each cluster, since a Lease is of one cluster;
what KEDA scales starts when work waits in a queue that both clusters see. They are listed in a file, one a line, that a
person decides on: only a person knows which of them work on their own cluster alone.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from shlex import quote
from typing import Final

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.diagnosis.leaders import Hold, Leader, Leaders, leaders_of
from headroom.facts.kubernetes import ENDED, CronJob, KedaScaler, Kubernetes, Workload
from headroom.facts.values import Fact, Unknown, items, known

CRON_JOB: Final = "cronjob"
LEASE: Final = "lease"
KEDA: Final = {"ScaledObject": "scaledobject.keda.sh", "ScaledJob": "scaledjob.keda.sh"}
_BY_REQUESTS: Final = frozenset({"cpu", "memory"})
"""Triggers of KEDA that follow what the pods do, and with it the requests (KEDA documentation, scalers)."""
_BY_HAND: Final = frozenset({LEASE, "daemonset", "job", "pod"})
"""Kinds that `kubectl scale` does not stop, and start again."""
_EXTERNAL_DNS: Final = re.compile(r"(?:.+-)?external-dns(?:-.+)?")
_OUTSIDE: Final = (
    (_EXTERNAL_DNS, "writes DNS records: with one --txt-owner-id for both clusters each deletes the other's"),
    (re.compile(r"(?:.+-)?cert-manager"), "orders certificates: their issuer counts those of both clusters together"),
)
"""Deployments of controllers that act on what both clusters share, and what they do (ExternalDNS documentation,
multi-cluster-shared-records; Let's Encrypt, rate limits). ExternalDNS elects no leader: its name alone tells of it."""
_INSIDE: Final = ("cert-manager-cainjector", "ingress-nginx-controller", "keda-operator")
"""Deployments that elect a leader for what they write into their own cluster's API: injected certificates, an Ingress's
status, the scalers that are lines of their own (cert-manager, ingress-nginx and KEDA documentation)."""
_SYSTEM: Final = "kube-system"
_NAME: Final = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
"""What namespaces and objects can be called (Kubernetes, names): these words reach a shell."""
_ENTRY: Final = re.compile(rf"(?P<namespace>{_NAME}) (?P<kind>[a-z][a-z0-9.]{{0,99}})/(?P<name>{_NAME})(?= |$)")
_REPLICAS: Final = re.compile(r"[0-9]{1,5}")


class Mark(StrEnum):
    """What somebody has decided of a line."""

    ONE_SIDE = ""
    """It runs on one side only."""
    ASKED = "?"
    """Nobody has decided yet."""
    LEFT = "#"
    """It is left alone: each cluster has its own, or it is suspended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the file.

    Attributes:
        namespace: Namespace of the object.
        kind: Its kind as kubectl takes it: cronjob, deployment, scaledobject.keda.sh, …
        name: Its name.
        replicas: How many pods it has where it runs; ``None``: it has no such number, or nobody knows it.
        note: What else is known of it.
        mark: What somebody has decided.
    """

    namespace: str
    kind: str
    name: str
    replicas: int | None = None
    note: str = ""
    mark: Mark = Mark.ONE_SIDE

    @property
    def place(self) -> str:
        """It, as kubectl names it within its namespace, with the namespace."""
        return f"{self.namespace} {self.kind}/{self.name}"


class Verdict(StrEnum):
    """Where something runs."""

    OLD = "old"
    NEW = "new"
    BOTH = "both"
    NEITHER = "neither"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A line and where it runs.

    Attributes:
        entry: The line.
        verdict: Where it runs.
        old: What is known of it in the old cluster.
        new: What is known of it in the new one.
    """

    entry: Entry
    verdict: Verdict
    old: str
    new: str


# What there is


def entries_of(kubernetes: Kubernetes, now: str) -> tuple[Entry, ...]:
    """What may have to run on one side only, in a cluster at the time of its reading, in UTC.

    What a leader or KEDA starts is asked for; CronJobs are taken for what both clusters share.
    """
    found: dict[str, Entry] = {}
    elected = tuple(_elected(kubernetes, now))
    seen = {each.place for each in elected}
    more = (each for each in _outside(kubernetes) if each.place not in seen)
    for each in (*_cron_jobs(kubernetes), *_scalers(kubernetes), *elected, *more):
        before = found.get(each.place)
        # A workload may lead by several Leases.
        found[each.place] = each if before is None else replace(before, note=f"{before.note}; {each.note}")
    return tuple(sorted(found.values(), key=lambda each: each.place))


def _cron_jobs(kubernetes: Kubernetes) -> Iterator[Entry]:
    for job in items(kubernetes.cron_jobs):
        note = f"{' '.join(job.schedule.split())} {job.concurrency_policy}"
        mark = Mark.LEFT if job.suspended else Mark.ONE_SIDE
        note = f"{note}, suspended" if job.suspended else note
        yield Entry(namespace=job.namespace, kind=CRON_JOB, name=job.name, note=note, mark=mark)


def _scalers(kubernetes: Kubernetes) -> Iterator[Entry]:
    for each in items(kubernetes.keda_scalers):
        triggers = sorted({*each.triggers} - _BY_REQUESTS)
        if not triggers or each.kind not in KEDA:
            continue
        target = f" for {known(each.target)}" if known(each.target) else ""
        note = f"starts pods{target} by {', '.join(triggers)}" + (", paused" if each.paused else "")
        yield Entry(namespace=each.namespace, kind=KEDA[each.kind], name=each.name, note=note, mark=Mark.ASKED)


def _elected(kubernetes: Kubernetes, now: str) -> Iterator[Entry]:
    found, workloads = leaders_of(kubernetes, now), _workloads(kubernetes)
    for leader in found.leaders if isinstance(found, Leaders) else ():
        note = f"Lease {leader.lease.name}: {leader.because}"
        if not leader.workload:
            # Nobody leads by a Lease that is free, or whose holder is gone; it is named all the same.
            mark = Mark.LEFT if leader.hold in (Hold.FREE, Hold.STALE) else Mark.ASKED
            yield Entry(
                namespace=leader.lease.namespace, kind=LEASE, name=leader.lease.name, note=leader.because, mark=mark
            )
            continue
        kind, _, name = leader.workload.partition("/")
        workload = workloads.get((leader.namespace, kind.lower(), name))
        shared, own = _shared(kind, name), _of_own_cluster(leader.namespace, kind, name)
        yield Entry(
            namespace=leader.namespace,
            kind=kind.lower(),
            name=name,
            replicas=known(workload.desired) if workload is not None else None,
            note="; ".join(filter(None, (shared or own, note))),
            mark=Mark.LEFT if own and not shared else Mark.ASKED,
        )


def _outside(kubernetes: Kubernetes) -> Iterator[Entry]:
    """Controllers that elect no leader and act on what both clusters share."""
    for each in items(kubernetes.workloads):
        wanted = known(each.desired)
        if each.kind == "Deployment" and _EXTERNAL_DNS.fullmatch(each.name) is not None and wanted != 0:
            note = _shared(each.kind, each.name)
            yield Entry(
                namespace=each.namespace, kind="deployment", name=each.name, replicas=wanted, note=note, mark=Mark.ASKED
            )


def _shared(kind: str, name: str) -> str:
    """What a controller does to what both clusters share; empty for all others."""
    if kind != "Deployment":
        return ""
    return next((does for pattern, does in _OUTSIDE if pattern.fullmatch(name) is not None), "")


def _of_own_cluster(namespace: str, kind: str, name: str) -> str:
    """Why a leader is left alone; empty where somebody has to decide."""
    if namespace == _SYSTEM:
        return "of the cluster itself"
    return "works on its own cluster" if kind == "Deployment" and name.endswith(_INSIDE) else ""


def _workloads(kubernetes: Kubernetes) -> dict[tuple[str, str, str], Workload]:
    """Workloads by namespace, kind as kubectl takes it, and name."""
    return {(each.namespace, each.kind.lower(), each.name): each for each in items(kubernetes.workloads)}


def unread(kubernetes: Kubernetes) -> tuple[str, ...]:
    """What could not be read of what may have to run on one side only, with the command that shows it."""
    asked: tuple[tuple[str, Fact[object], str], ...] = (
        ("CronJobs", kubernetes.cron_jobs, "cronjobs"),
        ("Leases, which name leader-elected consumers,", kubernetes.leases, "leases"),
        ("ScaledObjects and ScaledJobs of KEDA", kubernetes.keda_scalers, "scaledobjects,scaledjobs"),
        ("Pods, which hold the Leases,", kubernetes.pods, "pods"),
    )
    return tuple(
        f"{what} were not read ({fact}): kubectl get {plural} --all-namespaces"
        for what, fact, plural in asked
        if isinstance(fact, Unknown)
    )


# The file


def text_of(kubernetes: Kubernetes, now: str) -> str:
    """The file of a cluster."""
    head = (
        "What must run in one of the two clusters only: weights of Front Door do not split it.",
        "A line is NAMESPACE KIND/NAME REPLICAS, and what is known of it. `headroom one-side` reads it.",
        "With ? before it, it is not decided: take the ? away where both clusters would do the same work (a consumer",
        "of a queue, a writer of a shared database), write # for what works on its own cluster alone (an ingress",
        "controller). Consumers that neither elect a leader nor are KEDA's are not seen: add them.",
    )
    lines = [f"# {line}" for line in (*head, *(_plain(each) for each in unread(kubernetes)))]
    found = leaders_of(kubernetes, now)
    if isinstance(found, Leaders) and found.of_control_plane:
        lines.append(_plain(f"# Leases of the control plane, left out: {', '.join(found.of_control_plane)}"))
    lines += [_line(entry) for entry in entries_of(kubernetes, now)]
    return "\n".join(lines) + "\n"


def _line(entry: Entry) -> str:
    replicas = "-" if entry.replicas is None else str(entry.replicas)
    text = _plain(f"{entry.place} {replicas} {entry.note}").rstrip()
    if _ENTRY.fullmatch(entry.place) is None:
        return f"# no name of Kubernetes: {text}"
    return f"{entry.mark.value} {text}" if entry.mark else text


def _plain(text: str) -> str:
    """A text that stays on its line."""
    return "".join(mark if mark.isprintable() else " " for mark in text)


def read_entries(text: str, *, subject: str) -> tuple[Entry, ...]:
    """The lines of a file that name something, those that are left alone too.

    Raises:
        ProblemsError: Lines that name nothing.
    """
    found: list[Entry] = []
    problems: list[Problem] = []
    # Editors of Windows put a mark before a text.
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        mark = next((each for each in (Mark.ASKED, Mark.LEFT) if line.startswith(each.value)), Mark.ONE_SIDE)
        rest = line.removeprefix(mark.value).strip()
        match = _ENTRY.match(rest)
        if match is None:
            if rest and mark is not Mark.LEFT:
                problems.append(
                    Problem(
                        rule="one-side",
                        key=f"{subject}:{number}",
                        value=shown(line),
                        reason="names nothing that runs.",
                        next_step="Write NAMESPACE KIND/NAME, such as: billing cronjob/close",
                    )
                )
            continue
        replicas, _, note = rest[match.end() :].strip().partition(" ")
        counted = int(replicas) if _REPLICAS.fullmatch(replicas) else None
        found.append(
            Entry(
                namespace=match["namespace"],
                kind=match["kind"],
                name=match["name"],
                replicas=counted,
                note=note.strip(),
                mark=mark,
            )
        )
    if problems:
        raise ProblemsError(problems, subject=subject)
    return tuple(found)


def undecided_problems(entries: Iterable[Entry], *, subject: str) -> tuple[Problem, ...]:
    """The lines that nobody has decided on: nothing is stopped or started before."""
    return tuple(
        Problem(
            rule="one-side",
            key=subject,
            value=entry.place,
            reason="is not decided: the line begins with ?",
            next_step="Take the ? away where both clusters would do the same work, or write # to leave it alone.",
        )
        for entry in entries
        if entry.mark is Mark.ASKED
    )


# Stopping and starting


def commands(entries: Iterable[Entry], context: str, *, stop: bool) -> tuple[str, ...]:
    """What stops, or starts, in a cluster everything that runs on one side only."""
    return tuple(_command(each, context, stop=stop) for each in entries if each.mark is Mark.ONE_SIDE)


def _command(entry: Entry, context: str, *, stop: bool) -> str:
    kubectl = f"kubectl --context {quote(context)} --namespace {entry.namespace}"
    name = f"{entry.kind}/{entry.name}"
    if entry.kind == CRON_JOB:
        patch = quote(f'{{"spec": {{"suspend": {"true" if stop else "false"}}}}}')
        return f"{kubectl} patch {name} --patch {patch}"
    if entry.kind in KEDA.values():
        mark, value = ("paused-replicas", "0") if entry.kind == KEDA["ScaledObject"] else ("paused", "true")
        change = f"autoscaling.keda.sh/{mark}" + (f"={value}" if stop else "-")
        return f"{kubectl} annotate --overwrite {name} {change}"
    if entry.kind in _BY_HAND:
        return f"# by hand: {'stop' if stop else 'start'} {entry.place} in {_plain(context)}"
    if not stop and entry.replicas is None:
        return f"# by hand: {kubectl} scale {name} --replicas N, for nobody knows how many"
    return f"{kubectl} scale {name} --replicas {0 if stop else entry.replicas}"


# Where it runs


class Side:
    """A cluster, asked what runs in it."""

    def __init__(self, kubernetes: Kubernetes, now: str) -> None:
        """Takes what the API server said, and when, in UTC."""
        self.kubernetes, self.now = kubernetes, now
        found = leaders_of(kubernetes, now)
        self.leaders: tuple[Leader, ...] | Unknown = found if isinstance(found, Unknown) else found.leaders
        self._pods, self._workloads = _pods(kubernetes), _workloads(kubernetes)
        self._cron_jobs = {(each.namespace, each.name): each for each in items(kubernetes.cron_jobs)}
        self._scalers = {
            (each.namespace, KEDA.get(each.kind, ""), each.name): each for each in items(kubernetes.keda_scalers)
        }
        known_leaders = () if isinstance(self.leaders, Unknown) else self.leaders
        self._by_lease = {(each.lease.namespace, each.lease.name): each for each in known_leaders}
        self._leases: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        for place, leader in self._by_lease.items():
            self._leases[leader.namespace, leader.workload.lower()].add(place)

    def leases_of(self, entry: Entry) -> set[tuple[str, str]]:
        """The Leases by which an entry's pods lead."""
        return set(self._leases.get((entry.namespace, f"{entry.kind}/{entry.name}"), ()))

    def runs(self, entry: Entry, leases: Iterable[tuple[str, str]] = ()) -> tuple[bool | None, str]:
        """Whether something runs here, and why it is said so; ``None``: that could not be read.

        Args:
            entry: What.
            leases: Namespace and name of the Leases by which its pods lead, here or in the other cluster.
        """
        if entry.kind == CRON_JOB:
            return self._cron_job(entry)
        if entry.kind in KEDA.values():
            return self._scaler(entry)
        if entry.kind == LEASE:
            return self._lease((entry.namespace, entry.name))
        return self._scaled(entry, leases)

    def _cron_job(self, entry: Entry) -> tuple[bool | None, str]:
        jobs = self.kubernetes.cron_jobs
        if isinstance(jobs, Unknown):
            return None, f"not read: {jobs}"
        found = self._cron_jobs.get((entry.namespace, entry.name))
        if found is None:
            return False, "not there"
        if not found.suspended:
            return True, f"starts at {_plain(found.schedule)}"
        return self._last_run(found)

    def _last_run(self, job: CronJob) -> tuple[bool | None, str]:
        """Whether a run of a suspended CronJob goes on."""
        active = job.active
        if isinstance(active, Unknown):
            return None, f"suspended; whether a run goes on was not read: {active}"
        return (True, f"suspended, and {active} of its runs go on") if active else (False, "suspended")

    def _scaler(self, entry: Entry) -> tuple[bool | None, str]:
        scalers = self.kubernetes.keda_scalers
        if isinstance(scalers, Unknown):
            return None, f"not read: {scalers}"
        found = self._scalers.get((entry.namespace, entry.kind, entry.name))
        if found is None:
            return False, "not there"
        if not found.paused:
            return True, "not paused"
        target = known(found.target)
        if target:
            return self._pods_of(found.namespace, target, "paused")
        return self._jobs_of(found)

    def _jobs_of(self, scaler: KedaScaler) -> tuple[bool | None, str]:
        """Whether Jobs of a paused ScaledJob go on."""
        workloads, unread_kinds = self.kubernetes.workloads, self.kubernetes.unread_workloads
        if isinstance(workloads, Unknown) or "Job" in unread_kinds:
            return None, "paused; whether its Jobs go on was not read"
        owner = f"{scaler.kind}/{scaler.name}"
        left = sum(w.namespace == scaler.namespace and w.kind == "Job" and w.owner == owner for w in items(workloads))
        return (True, f"paused, and {left} of its Jobs go on") if left else (False, "paused")

    def _lease(self, place: tuple[str, str]) -> tuple[bool | None, str]:
        if isinstance(self.leaders, Unknown):
            return None, f"not read: {self.leaders}"
        found = self._by_lease.get(place)
        if found is None:
            return False, "not there"
        held = {Hold.HELD: True, Hold.STALE: False, Hold.FREE: False, Hold.UNKNOWN: None}[found.hold]
        return held, found.because

    def _scaled(self, entry: Entry, leases: Iterable[tuple[str, str]]) -> tuple[bool | None, str]:
        """A workload runs where it wants pods or still has some, and where somebody holds its Lease."""
        workload = self._workloads.get((entry.namespace, entry.kind, entry.name))
        wanted = workload.desired if workload is not None else 0
        unread_kind = isinstance(self.kubernetes.workloads, Unknown) or any(
            kind.lower() == entry.kind for kind in self.kubernetes.unread_workloads
        )
        told = f"wants {wanted} pods" if workload is not None else "not read" if unread_kind else "not there"
        runs, because = self._pods_of(entry.namespace, f"{entry.kind}/{entry.name}", told)
        if workload is None:
            runs = None if unread_kind and not runs else runs
        elif isinstance(wanted, Unknown):
            runs, because = (runs or None), f"how many pods it wants was not read: {wanted}"
        elif wanted:
            runs = True
        for place in sorted(leases):
            held, told = self._lease(place)
            runs = True if held else None if held is None and not runs else runs
            because += f"; Lease {place[1]}: {told}"
        return runs, because

    def _pods_of(self, namespace: str, owner: str, told: str) -> tuple[bool | None, str]:
        """Whether pods of an owner run, those that end too."""
        if isinstance(self._pods, Unknown):
            return None, f"{told}; its pods were not read: {self._pods}"
        there = self._pods[namespace, owner.lower()]
        return (True, f"{told}, has {there}") if there else (False, told)


def _pods(kubernetes: Kubernetes) -> Counter[tuple[str, str]] | Unknown:
    """Pods that have not ended, by namespace and owner."""
    if isinstance(kubernetes.pods, Unknown):
        return kubernetes.pods
    return Counter(
        (pod.namespace, pod.owner.lower())
        for pod in items(kubernetes.pods)
        if isinstance(pod.owner, str) and pod.phase not in ENDED
    )


def placed(entries: Sequence[Entry], old: Side, new: Side) -> tuple[Placed, ...]:
    """Where everything runs that is to run on one side only; what no line names is undecided."""
    found = []
    for entry in entries:
        if entry.mark is Mark.LEFT:
            continue
        leases = old.leases_of(entry) | new.leases_of(entry)
        (there, old_told), (here, new_told) = old.runs(entry, leases), new.runs(entry, leases)
        verdict = Verdict.UNDECIDED if entry.mark is Mark.ASKED else _verdict(there, here)
        found.append(Placed(entry=entry, verdict=verdict, old=old_told, new=new_told))
    named = {entry.place for entry in entries}
    more = {
        each.place: each
        for side in (old, new)
        for each in entries_of(side.kubernetes, side.now)
        if each.mark is not Mark.LEFT and each.place not in named
    }
    for place in sorted(more):
        entry = replace(more[place], mark=Mark.ASKED, note="no line of the file names it")
        found.append(Placed(entry=entry, verdict=Verdict.UNDECIDED, old=old.runs(entry)[1], new=new.runs(entry)[1]))
    return tuple(found)


def _verdict(old: bool | None, new: bool | None) -> Verdict:  # noqa: FBT001 - the two sides, in their order
    if old is None or new is None:
        return Verdict.UNDECIDED
    if old and new:
        return Verdict.BOTH
    return Verdict.OLD if old else Verdict.NEW if new else Verdict.NEITHER
