"""What must hold after a plan was applied, and whether it does: judged on a fresh snapshot."""

from collections.abc import Callable, Iterable, Mapping

from headroom.addresses.blocks import Block, parse_address
from headroom.addresses.problems import ProblemsError
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG
from headroom.diagnosis.finding import counted
from headroom.diagnosis.readings import waiting_pods
from headroom.facts.aws import Aws, Subnet
from headroom.facts.kubernetes import Kubernetes, Pod
from headroom.facts.pod_logs import LogAccess
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown, items, known_or
from headroom.planning.aks_conditions import AKS_CHECKS
from headroom.planning.condition_state import LISTED, ConditionState, State, decided, some, undecided
from headroom.planning.plan import Check, Plan, Postcondition
from headroom.planning.records import UNREADABLE

__all__ = ["LISTED", "ConditionState", "State", "evaluate", "pods_to_read"]


def evaluate(
    plan: Plan,
    snapshot: Snapshot,
    *,
    waited_seconds: float,
    logs: tuple[LogAccess, ...] | Unknown = NOT_COLLECTED,
) -> tuple[ConditionState, ...]:
    """How every postcondition of a plan stands, `waited_seconds` after it was applied.

    A condition that does not hold is *waiting* while its patience lasts, and has *failed* after that.

    Args:
        plan: The plan.
        snapshot: The cluster now.
        waited_seconds: Seconds since it was applied.
        logs: What came of reading the logs of `pods_to_read`; a snapshot does not say.
    """
    found = (_stands(condition, snapshot, logs) for condition in plan.postconditions)
    return tuple(_patient(each, waited_seconds) for each in found)


def _stands(condition: Postcondition, snapshot: Snapshot, logs: tuple[LogAccess, ...] | Unknown) -> ConditionState:
    try:
        if condition.check is Check.LOGS_READ:
            return _logs_read(condition, snapshot, logs)
        return _CHECKS[condition.check](condition, snapshot)
    except ProblemsError:
        raise
    except UNREADABLE:
        # A plan is a file, and a hand may have changed it: subjects taken out, names and states that no plan has.
        told = Unknown(Reason.UNPARSEABLE, "the plan's file says nothing that can be looked at")
        return undecided(condition, "what should be there", told)


def pods_to_read(plan: Plan, snapshot: Snapshot) -> tuple[Pod, ...]:
    """The pods whose logs show whether a plan's `LOGS_READ` holds: one running pod in each new subnet; else none."""
    return tuple(
        pod
        for condition in plan.postconditions
        if condition.check is Check.LOGS_READ
        for pod in _one_in_each(condition, items(_kubernetes(snapshot).pods))
    )


def _one_in_each(condition: Postcondition, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Of the running pods in each of the condition's blocks the first by name, a ready one where there is one."""
    blocks = [Block.parse(cidr) for cidr in condition.subjects]
    found: dict[Block, Pod] = {}
    for pod in sorted(pods, key=lambda each: (not each.ready, each.namespace, each.name)):
        if not isinstance(pod.ip, str) or ":" in pod.ip or pod.host_network:
            continue
        if pod.phase != "Running" or pod.terminating:
            continue
        address = parse_address(pod.ip)
        home = next((block for block in blocks if block.first <= address <= block.last), None)
        if home is not None:
            found.setdefault(home, pod)
    return tuple(found[block] for block in blocks if block in found)


def _patient(found: ConditionState, waited_seconds: float) -> ConditionState:
    if found.state is State.WAITING and waited_seconds > found.condition.patience_seconds:
        return ConditionState(condition=found.condition, state=State.FAILED, because=found.because)
    return found


def _aws(snapshot: Snapshot) -> Aws:
    return known_or(snapshot.aws, Aws())


def _kubernetes(snapshot: Snapshot) -> Kubernetes:
    return known_or(snapshot.kubernetes, Kubernetes())


def _cidr_associated(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    vpc = _aws(snapshot).vpc
    if vpc is None or isinstance(vpc, Unknown) or isinstance(vpc.cidr_blocks, Unknown):
        return undecided(condition, "the VPC's CIDRs", vpc if not vpc or isinstance(vpc, Unknown) else vpc.cidr_blocks)
    states = {cidr.cidr_block: known_or(cidr.state, "associated") for cidr in items(vpc.cidr_blocks)}
    missing = [cidr for cidr in condition.subjects if states.get(cidr) != "associated"]
    if not missing:
        return decided(condition, State.MET, f"{some(list(condition.subjects))}: associated.")
    failed = [cidr for cidr in missing if states.get(cidr) in ("failing", "failed")]
    told = some([f"{cidr} is {states.get(cidr, 'not there')}" for cidr in missing])
    return decided(condition, State.FAILED if failed else State.WAITING, f"{told}.")


def _subnets_ready(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    subnets = _aws(snapshot).subnets
    if subnets is None or isinstance(subnets, Unknown):
        return undecided(condition, "the subnets", subnets)
    by_cidr = {subnet.cidr_block: subnet for subnet in subnets if isinstance(subnet.cidr_block, str)}
    wrong = [
        f"{cidr} {why}"
        for cidr in condition.subjects
        if (why := _wrong_with(by_cidr.get(cidr), condition.expected.get(cidr, "")))
    ]
    if wrong:
        return decided(condition, State.WAITING, f"{some(wrong)}.")
    return decided(condition, State.MET, f"{len(condition.subjects)} subnets are there, tagged and routed.")


def _wrong_with(subnet: Subnet | None, route_table_id: str) -> str:
    if subnet is None:
        return "is not there"
    if known_or(subnet.tags, {}).get(SUBNET_ROLE_TAG, SUBNET_EXCLUDED) in ("", SUBNET_EXCLUDED):
        return f"does not carry {SUBNET_ROLE_TAG}=1"
    if route_table_id and known_or(subnet.route_table_id, "") != route_table_id:
        return f"is not associated with {route_table_id}"
    return ""


def _settings_as_planned(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    daemon_set = _kubernetes(snapshot).cni_daemon_set
    if daemon_set is None or isinstance(daemon_set, Unknown) or isinstance(daemon_set.environment, Unknown):
        return undecided(condition, "aws-node's settings", daemon_set)
    live = known_or(daemon_set.environment, {})
    wrong = [
        f"{name} is {live.get(name, 'not set')}, not {value or 'unset'}"
        for name, value in condition.expected.items()
        if live.get(name, "") != value
    ]
    if wrong:
        return decided(condition, State.WAITING, f"{some(wrong)}.")
    return decided(condition, State.MET, f"{len(condition.expected)} settings are as planned.")


def _nothing_restarted(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pods = _kubernetes(snapshot).cni_pods
    if pods is None or isinstance(pods, Unknown):
        return undecided(condition, "aws-node's pods", pods)
    now = {pod.name: str(pod.restarts) for pod in pods}
    changed = [name for name, restarts in condition.expected.items() if now.get(name, restarts) != restarts]
    gone = [name for name in condition.expected if name not in now]
    if changed:
        return decided(condition, State.FAILED, f"{some(changed)} restarted since.")
    if gone:
        told = f"{some(gone)}: gone since the plan was made; their nodes went, or the DaemonSet was rolled."
        return decided(condition, State.FAILED if len(gone) == len(condition.expected) else State.MET, told)
    return decided(condition, State.MET, f"All {len(condition.expected)} aws-node pods run on as they did.")


def _interfaces_in_new_subnets(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    aws = _aws(snapshot)
    if not isinstance(aws.subnets, tuple) or not isinstance(aws.interfaces, tuple):
        return undecided(condition, "the interfaces", aws.interfaces)
    new = {subnet.subnet_id for subnet in aws.subnets if known_or(subnet.cidr_block, "") in condition.subjects}
    found = sum(interface.subnet_id in new and isinstance(interface.instance_id, str) for interface in aws.interfaces)
    if found:
        return decided(condition, State.MET, f"{found} network interfaces of nodes lie in the new subnets.")
    pods = _kubernetes(snapshot).pods
    if isinstance(pods, tuple) and not waiting_pods(snapshot):
        return decided(condition, State.MET, "No node has needed one yet: no pod waits for an address.")
    return decided(condition, State.WAITING, "No node has an interface in the new subnets yet.")


def _leaked_gone(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    interfaces = _aws(snapshot).interfaces
    if not isinstance(interfaces, tuple):
        return undecided(condition, "the interfaces", interfaces)
    there = {interface.interface_id for interface in interfaces}
    left = [name for name in condition.subjects if name in there]
    if left:
        return decided(condition, State.WAITING, f"{some(left)}: still there.")
    return decided(condition, State.MET, f"All {len(condition.subjects)} are gone.")


def _cni_ready(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pods = _kubernetes(snapshot).cni_pods
    if pods is None or isinstance(pods, Unknown):
        return undecided(condition, "aws-node's pods", pods)
    wrong = sorted(known_or(pod.node, pod.name) for pod in pods if not pod.ready)
    if wrong or not pods:
        return decided(
            condition, State.WAITING, f"aws-node is not ready on {some(wrong)}." if wrong else "No aws-node."
        )
    return decided(condition, State.MET, f"aws-node is ready on {len(pods)} of {len(pods)} nodes.")


def _stuck_pods_running(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pods = _kubernetes(snapshot).pods
    if pods is None or isinstance(pods, Unknown):
        return undecided(condition, "the pods", pods)
    by_name = {f"{pod.namespace}/{pod.name}": pod for pod in pods}
    then = [by_name[name] for name in condition.subjects if name in by_name]
    stuck = sorted(f"{pod.namespace}/{pod.name}" for pod in waiting_pods(snapshot))
    gone = len(condition.subjects) - len(then)
    if stuck:
        old = sum(name in set(condition.subjects) for name in stuck)
        return decided(
            condition,
            State.WAITING,
            f"{counted(len(stuck), 'pod')} without an address, {old} of the {len(condition.subjects)} that the plan "
            f"was made for: {some(stuck)}.",
        )
    if gone and not then:
        told = f"None of the {gone} is there any more: they were replaced, and no pod waits."
        return decided(condition, State.MET, told if condition.subjects else "No pod waits.")
    replaced = f"; {gone} of them were replaced" if gone else ""
    return decided(
        condition, State.MET, f"{_with_address(then)} of {len(condition.subjects)} have addresses{replaced}."
    )


def _with_address(pods: list[Pod]) -> int:
    return sum(isinstance(pod.ip, str) for pod in pods)


_FAILURES = ("FailedCreatePodSandBox", "FailedCreatePodSandbox")
"""Reasons of the kubelet's event; the second is what other runtimes' documents write."""


def _no_new_failures(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    events = _kubernetes(snapshot).events
    if events is None or isinstance(events, Unknown):
        return undecided(condition, "the events", events)
    since = condition.expected.get("since", "")
    read_at = known_or(snapshot.collected_at, "")
    new = [
        event
        for event in events
        if event.reason in _FAILURES and isinstance(event.last_seen, str) and event.last_seen > since
    ]
    stuck = {(pod.namespace, pod.name) for pod in waiting_pods(snapshot)}
    still = sorted({f"{event.namespace}/{event.name}" for event in new if (event.namespace, event.name) in stuck})
    if still:
        return decided(condition, State.WAITING, f"Sandboxes still fail: {some(still)}.")
    if stuck:
        # No event yet is no proof: the kubelet tries again at its own pace, and a repeated event may not be there yet.
        told = f"{counted(len(stuck), 'pod')} without an address; no sandbox has failed since {since or read_at} yet."
        return decided(condition, State.WAITING, told)
    return decided(condition, State.MET, f"Every pod whose sandbox failed since {since or read_at} has an address.")


def _logs_read(condition: Postcondition, snapshot: Snapshot, logs: tuple[LogAccess, ...] | Unknown) -> ConditionState:
    pods = _kubernetes(snapshot).pods
    if pods is None or isinstance(pods, Unknown):
        return undecided(condition, "the pods", pods)
    if not _one_in_each(condition, pods):
        if waiting_pods(snapshot):
            return decided(condition, State.WAITING, "No pod runs with an address in the new subnets yet.")
        return decided(condition, State.MET, "No pod has needed an address in the new subnets yet.")
    if isinstance(logs, Unknown):
        return undecided(condition, "the logs", logs)
    return _logs_judged(condition, logs)


def _logs_judged(condition: Postcondition, logs: tuple[LogAccess, ...]) -> ConditionState:
    closed = [f"{each.pod} on {each.node}: {each.because}" for each in logs if each.read is False]
    if closed:
        return decided(condition, State.WAITING, f"The API server does not reach the kubelet of {some(closed)}.")
    unread = next((each.read for each in logs if isinstance(each.read, Unknown)), None)
    if unread is not None:
        may = "; `headroom collect --permissions rbac-verify` prints the role" if unread.reason is Reason.DENIED else ""
        return decided(condition, State.UNKNOWN, f"the logs: {unread}{may}.")
    if not logs:
        return decided(condition, State.WAITING, "The pods there went while their logs were asked for.")
    return decided(condition, State.MET, f"Read: {some([f'{each.pod} ({each.address})' for each in logs])}.")


_CHECKS: Mapping[Check, Callable[[Postcondition, Snapshot], ConditionState]] = {
    Check.CIDR_ASSOCIATED: _cidr_associated,
    Check.SUBNETS_READY: _subnets_ready,
    Check.SETTINGS_AS_PLANNED: _settings_as_planned,
    Check.NOTHING_RESTARTED: _nothing_restarted,
    Check.INTERFACES_IN_NEW_SUBNETS: _interfaces_in_new_subnets,
    Check.LEAKED_INTERFACES_GONE: _leaked_gone,
    Check.CNI_READY: _cni_ready,
    Check.STUCK_PODS_RUNNING: _stuck_pods_running,
    Check.NO_NEW_FAILURES: _no_new_failures,
    **AKS_CHECKS,
}
