"""What must hold after a plan was applied, and whether it does: judged on a fresh snapshot."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from headroom.addresses.blocks import Block, parse_address
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG
from headroom.diagnosis.readings import waiting_pods
from headroom.facts.aws import Aws, Subnet
from headroom.facts.kubernetes import Kubernetes, Pod
from headroom.facts.pod_logs import LogAccess
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown, items, known_or
from headroom.planning.aks_conditions import AKS_CHECKS
from headroom.planning.condition_state import LISTED, ConditionState, State, decided, some, undecided
from headroom.planning.plan import Check, Plan, Postcondition

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
    found = (
        _logs_read(c, snapshot, logs) if c.check is Check.LOGS_READ else _CHECKS[c.check](c, snapshot)
        for c in plan.postconditions
    )
    return tuple(_patient(each, waited_seconds) for each in found)


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


def _state(condition: Postcondition, state: State, because: str) -> ConditionState:
    return ConditionState(condition=condition, state=state, because=because)


def _unknown(condition: Postcondition, what: str, fact: object) -> ConditionState:
    return _state(condition, State.UNKNOWN, f"{what}: {fact if isinstance(fact, Unknown) else 'not there'}.")


def _aws(snapshot: Snapshot) -> Aws:
    return known_or(snapshot.aws, Aws())


def _kubernetes(snapshot: Snapshot) -> Kubernetes:
    return known_or(snapshot.kubernetes, Kubernetes())


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"


def _cidr_associated(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    vpc = _aws(snapshot).vpc
    if vpc is None or isinstance(vpc, Unknown) or isinstance(vpc.cidr_blocks, Unknown):
        return _unknown(condition, "the VPC's CIDRs", vpc if not vpc or isinstance(vpc, Unknown) else vpc.cidr_blocks)
    states = {cidr.cidr_block: known_or(cidr.state, "associated") for cidr in items(vpc.cidr_blocks)}
    missing = [cidr for cidr in condition.subjects if states.get(cidr) != "associated"]
    if not missing:
        return _state(condition, State.MET, f"{_some(list(condition.subjects))}: associated.")
    failed = [cidr for cidr in missing if states.get(cidr) in ("failing", "failed")]
    told = _some([f"{cidr} is {states.get(cidr, 'not there')}" for cidr in missing])
    return _state(condition, State.FAILED if failed else State.WAITING, f"{told}.")


def _subnets_ready(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    subnets = _aws(snapshot).subnets
    if subnets is None or isinstance(subnets, Unknown):
        return _unknown(condition, "the subnets", subnets)
    by_cidr = {subnet.cidr_block: subnet for subnet in subnets if isinstance(subnet.cidr_block, str)}
    wrong = [
        f"{cidr} {why}"
        for cidr in condition.subjects
        if (why := _wrong_with(by_cidr.get(cidr), condition.expected.get(cidr, "")))
    ]
    if wrong:
        return _state(condition, State.WAITING, f"{_some(wrong)}.")
    return _state(condition, State.MET, f"{len(condition.subjects)} subnets are there, tagged and routed.")


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
        return _unknown(condition, "aws-node's settings", daemon_set)
    live = known_or(daemon_set.environment, {})
    wrong = [
        f"{name} is {live.get(name, 'not set')}, not {value or 'unset'}"
        for name, value in condition.expected.items()
        if live.get(name, "") != value
    ]
    if wrong:
        return _state(condition, State.WAITING, f"{_some(wrong)}.")
    return _state(condition, State.MET, f"{len(condition.expected)} settings are as planned.")


def _nothing_restarted(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pods = _kubernetes(snapshot).cni_pods
    if pods is None or isinstance(pods, Unknown):
        return _unknown(condition, "aws-node's pods", pods)
    now = {pod.name: str(pod.restarts) for pod in pods}
    changed = [name for name, restarts in condition.expected.items() if now.get(name, restarts) != restarts]
    gone = [name for name in condition.expected if name not in now]
    if changed:
        return _state(condition, State.FAILED, f"{_some(changed)} restarted since.")
    if gone:
        told = f"{_some(gone)} of then are gone: their nodes went, or the DaemonSet was rolled."
        return _state(condition, State.FAILED if len(gone) == len(condition.expected) else State.MET, told)
    return _state(condition, State.MET, f"All {len(condition.expected)} aws-node pods run on as they did.")


def _interfaces_in_new_subnets(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    aws = _aws(snapshot)
    if not isinstance(aws.subnets, tuple) or not isinstance(aws.interfaces, tuple):
        return _unknown(condition, "the interfaces", aws.interfaces)
    new = {subnet.subnet_id for subnet in aws.subnets if known_or(subnet.cidr_block, "") in condition.subjects}
    found = sum(interface.subnet_id in new and isinstance(interface.instance_id, str) for interface in aws.interfaces)
    if found:
        return _state(condition, State.MET, f"{found} network interfaces of nodes lie in the new subnets.")
    pods = _kubernetes(snapshot).pods
    if isinstance(pods, tuple) and not waiting_pods(snapshot):
        return _state(condition, State.MET, "No node has needed one yet: no pod waits for an address.")
    return _state(condition, State.WAITING, "No node has an interface in the new subnets yet.")


def _leaked_gone(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    interfaces = _aws(snapshot).interfaces
    if not isinstance(interfaces, tuple):
        return _unknown(condition, "the interfaces", interfaces)
    there = {interface.interface_id for interface in interfaces}
    left = [name for name in condition.subjects if name in there]
    if left:
        return _state(condition, State.WAITING, f"{_some(left)}: still there.")
    return _state(condition, State.MET, f"All {len(condition.subjects)} are gone.")


def _cni_ready(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pods = _kubernetes(snapshot).cni_pods
    if pods is None or isinstance(pods, Unknown):
        return _unknown(condition, "aws-node's pods", pods)
    wrong = sorted(known_or(pod.node, pod.name) for pod in pods if not pod.ready)
    if wrong or not pods:
        return _state(
            condition, State.WAITING, f"aws-node is not ready on {_some(wrong)}." if wrong else "No aws-node."
        )
    return _state(condition, State.MET, f"aws-node is ready on {len(pods)} of {len(pods)} nodes.")


def _stuck_pods_running(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pods = _kubernetes(snapshot).pods
    if pods is None or isinstance(pods, Unknown):
        return _unknown(condition, "the pods", pods)
    by_name = {f"{pod.namespace}/{pod.name}": pod for pod in pods}
    then = [by_name[name] for name in condition.subjects if name in by_name]
    stuck = sorted(f"{pod.namespace}/{pod.name}" for pod in waiting_pods(snapshot))
    gone = len(condition.subjects) - len(then)
    if stuck:
        old = sum(name in set(condition.subjects) for name in stuck)
        return _state(
            condition,
            State.WAITING,
            f"{len(stuck)} pods have no address ({old} of the {len(condition.subjects)} of then): {_some(stuck)}.",
        )
    if gone and not then:
        told = f"None of the {gone} is there any more: they were replaced, and no pod waits."
        return _state(condition, State.MET, told if condition.subjects else "No pod waits.")
    replaced = f"; {gone} of them were replaced" if gone else ""
    return _state(condition, State.MET, f"{_with_address(then)} of {len(condition.subjects)} have addresses{replaced}.")


def _with_address(pods: list[Pod]) -> int:
    return sum(isinstance(pod.ip, str) for pod in pods)


_FAILURES = ("FailedCreatePodSandBox", "FailedCreatePodSandbox")
"""Reasons of the kubelet's event; the second is what other runtimes' documents write."""


def _no_new_failures(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    events = _kubernetes(snapshot).events
    if events is None or isinstance(events, Unknown):
        return _unknown(condition, "the events", events)
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
        return _state(condition, State.WAITING, f"Sandboxes still fail: {_some(still)}.")
    return _state(condition, State.MET, f"No sandbox of a pod that still waits has failed since {since or read_at}.")


def _logs_read(condition: Postcondition, snapshot: Snapshot, logs: tuple[LogAccess, ...] | Unknown) -> ConditionState:
    pods = _kubernetes(snapshot).pods
    if pods is None or isinstance(pods, Unknown):
        return _unknown(condition, "the pods", pods)
    if not _one_in_each(condition, pods):
        if waiting_pods(snapshot):
            return _state(condition, State.WAITING, "No pod runs with an address in the new subnets yet.")
        return _state(condition, State.MET, "No pod has needed an address in the new subnets yet.")
    if isinstance(logs, Unknown):
        return _unknown(condition, "the logs", logs)
    return _logs_judged(condition, logs)


def _logs_judged(condition: Postcondition, logs: tuple[LogAccess, ...]) -> ConditionState:
    closed = [f"{each.pod} on {each.node}: {each.because}" for each in logs if each.read is False]
    if closed:
        return _state(condition, State.WAITING, f"The API server does not reach the kubelet of {_some(closed)}.")
    unread = next((each.read for each in logs if isinstance(each.read, Unknown)), None)
    if unread is not None:
        may = "; `headroom collect --permissions rbac-verify` prints the role" if unread.reason is Reason.DENIED else ""
        return _state(condition, State.UNKNOWN, f"the logs: {unread}{may}.")
    if not logs:
        return _state(condition, State.WAITING, "The pods there went while their logs were asked for.")
    return _state(condition, State.MET, f"Read: {_some([f'{each.pod} ({each.address})' for each in logs])}.")


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
