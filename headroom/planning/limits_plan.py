"""Plans a limits stack: node groups and NodePools as the facts show them, and the nodes to cordon."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from shlex import quote
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.cluster import Growth, read_cluster
from headroom.diagnosis.readings import aws_of, kubernetes_of
from headroom.facts.kubernetes import ENDED, Node
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, items, known
from headroom.planning.fleet_subnets import held_by_others, subnet_roles
from headroom.planning.limits_policy import policy_facts
from headroom.planning.plan import Plan, PlannedFile, Step
from headroom.planning.planner import check_names
from headroom.planning.situation import Situation, read_situation
from headroom.planning.stack_file import Entry, Value, stack_file

_NEEDED: Final = ("cluster", "aws.region", "aws.subnets", "kubernetes.nodes", "kubernetes.cniDaemonSet.environment")
"""Of what a situation may lack, what a limit cannot do without."""

_FULL: Final = (Growth.SUBNET, Growth.FRAGMENTED)


def plan_limits(snapshot: Snapshot, stack: str = "") -> Plan:
    """The stack file of a limits stack.

    Args:
        snapshot: The facts.
        stack: Its name; CLUSTER-limits where it is empty.

    Raises:
        ProblemsError: Something that limits rest on is unknown, or nothing can grow.
    """
    situation = read_situation(snapshot)
    check_names(situation.cluster, stack)
    missing = [problem for problem in situation.problems if problem.value in _NEEDED]
    groups = aws_of(snapshot).node_groups
    if isinstance(groups, Unknown):
        missing.append(_unknown("aws.nodeGroups", groups))
    if missing:
        raise ProblemsError(missing, subject="facts")
    limited = {**_managed(situation, snapshot), **_karpenter(snapshot)}
    if not limited:
        problem = Problem(
            rule="nothing-grows",
            value=situation.cluster,
            reason="has neither a managed node group nor a Karpenter NodePool with nodes.",
            next_step="Limit what adds its nodes where that is configured; `headroom calc fleet --help` reckons it.",
        )
        raise ProblemsError([problem], subject="plan")
    name = stack or f"{situation.cluster}-limits"
    cordoned = cordons(snapshot, situation.settings)
    entries = list(_entries(situation, snapshot, limited, cordoned))
    title = (
        f"{situation.cluster}: node groups grow no further than their subnets.\n"
        "Written by `headroom plan --limits`; nothing is applied but by `pulumi up`."
    )
    files = [
        PlannedFile(
            path=f"stacks/Pulumi.{name}.yaml",
            text=stack_file(title, entries),
            purpose="the stack's configuration: the review is of this file",
        )
    ]
    policy = policy_facts({entry.key: entry.value for entry in entries})
    if policy:
        files.append(
            PlannedFile(
                path=f"stacks/policy.{name}.json",
                text=json.dumps(policy, indent=2) + "\n",
                purpose="what the policies hold the limits against",
            )
        )
    return Plan(
        cluster=situation.cluster,
        stack=name,
        verdict="limits",
        files=tuple(files),
        steps=tuple(_steps(name, limited, cordoned, policed=bool(policy))),
        rollback=(
            Step(
                what="NodePools and nodes get back what they had; node groups keep their last maximum",
                command=f"pulumi destroy --stack {name}",
                takes="seconds",
            ),
            *(
                Step(
                    what=f"{group} gets back its maximum",
                    command=f"aws eks update-nodegroup-config --cluster-name {situation.cluster} --nodegroup-name "
                    f"{quote(group)} --scaling-config maxSize={fields['wanted']}",
                    takes="seconds",
                )
                for group, fields in limited.items()
                if fields.get("kind") == "managed" and "wanted" in fields
            ),
        ),
        untouched=(
            "desired and smallest sizes, launch templates and subnets of node groups; every running node and pod",
        ),
    )


def cordons(snapshot: Snapshot, settings: CniSettings) -> list[str]:
    """Nodes on which pods wait, that have no address left and whose subnets have none either.

    Neither they nor their pods are moved: the scheduler only puts no further pod there (amazon-vpc-cni-k8s #1523).
    """
    cluster = read_cluster(snapshot, settings, read_situation(snapshot).cni_version)
    if cluster is None:
        return []
    return [
        state.node.name
        for state in cluster.stuck_nodes
        if state.growth in _FULL and state.spare == 0 and not known(state.node.unschedulable)
    ]


def _managed(situation: Situation, snapshot: Snapshot) -> dict[str, dict[str, Value]]:
    zone_of = {each.subnet_id: known(each.zone) for each in items(aws_of(snapshot).subnets)}
    found: dict[str, dict[str, Value]] = {}
    for group in items(aws_of(snapshot).node_groups):
        nodes = [node for node in items(kubernetes_of(snapshot).nodes) if known(node.node_group) == group.name]
        types = known(group.instance_types) or _types(nodes)
        zones = sorted({zone for name in known(group.subnet_ids) or () if (zone := zone_of.get(name))})
        zones = [zone for zone in zones if zone in situation.zones] or sorted(_zones(nodes))
        if not types or not zones:
            continue
        fields: dict[str, Value] = {"kind": "managed", "instanceTypes": list(types), "zones": zones}
        fields["running"] = max(known(group.desired) or 0, len(nodes))
        if (most := known(group.maximum)) is not None:
            fields["wanted"] = max(most, int(str(fields["running"])))
        found[group.name] = {**fields, **_pods(snapshot, nodes)}
    return found


def _karpenter(snapshot: Snapshot) -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {}
    for pool in items(kubernetes_of(snapshot).node_pools):
        nodes = [node for node in items(kubernetes_of(snapshot).nodes) if known(node.node_pool) == pool.name]
        if not nodes:
            continue
        found[pool.name] = {
            "kind": "karpenter",
            "instanceTypes": _types(nodes),
            "zones": sorted(_zones(nodes)),
            **_pods(snapshot, nodes),
        }
    return found


def _types(nodes: Iterable[Node]) -> list[str]:
    return sorted({each for node in nodes if (each := known(node.instance_type))})


def _zones(nodes: Iterable[Node]) -> set[str]:
    return {each for node in nodes if (each := known(node.zone))}


def _pods(snapshot: Snapshot, nodes: Iterable[Node]) -> dict[str, Value]:
    """As many pods as the fullest of its nodes has; nothing where that is none."""
    counted = Counter(
        pod.node
        for pod in items(kubernetes_of(snapshot).pods)
        if isinstance(pod.node, str) and not pod.host_network and pod.phase not in ENDED
    )
    most = max((counted[node.name] for node in nodes), default=0)
    return {"podsPerNode": most} if most else {}


def _entries(
    situation: Situation, snapshot: Snapshot, limited: Mapping[str, Mapping[str, Value]], cordoned: list[str]
) -> Iterator[Entry]:
    yield Entry(key="aws:region", value=situation.region)
    yield Entry(key="headroom:remedy", value="limits")
    yield Entry(key="headroom:clusterName", value=situation.cluster)
    subnets: dict[str, dict[str, Value]] = {}
    unknown = []
    for name, (zone, role) in subnet_roles(situation, snapshot).items():
        others = held_by_others(situation, snapshot, name)
        unknown += [name] if others is None else []
        block = str(situation.subnet_blocks[name])
        subnets[name] = {"zone": zone, "cidrBlock": block, "role": role, "heldByOthers": others or 0}
    said = f" Of {', '.join(unknown)} it is not known, and 0 is written." if unknown else ""
    yield Entry(
        key="headroom:fleetSubnets",
        value=subnets,
        comment=f"heldByOthers is what is neither free nor on an interface of a node.{said}",
    )
    yield Entry(
        key="headroom:nodeLimits",
        value=limited,
        comment="running is what there is now, wanted today's maximum, podsPerNode what the fullest node of each runs: "
        "write more where the peak is higher.",
    )
    yield Entry(key="headroom:cniEnvironment", value=dict(sorted(situation.environment.items())))
    if cordoned:
        yield Entry(
            key="headroom:cordonedNodes",
            value=cordoned,
            comment="Pods wait there, no address is left on the node and none in its subnets. Take a node out when its "
            "subnet has room again, or when it has gone.",
        )


def _steps(
    stack: str, limited: Mapping[str, Mapping[str, Any]], cordoned: list[str], *, policed: bool
) -> Iterator[Step]:
    judged = f"--stack {stack} --policy-pack policies"
    judged += f" --policy-pack-config stacks/policy.{stack}.json" if policed else ""
    yield Step(what="See the arithmetic of every zone", command=f"pulumi preview --stack {stack}", takes="seconds")
    adopts = any(fields.get("kind") == "managed" for fields in limited.values())
    if adopts:
        yield Step(
            what="Adopt the node groups as they are; the policies would refuse what they are held to now",
            command=f"pulumi up --stack {stack}",
            takes="seconds",
            touches=_touched(limited, cordoned, managed=False),
        )
    yield Step(
        what="Set the limits",
        command=f"pulumi up {judged}",
        takes="seconds",
        touches=_touched(limited, cordoned, managed=True),
    )


def _touched(limited: Mapping[str, Mapping[str, Any]], cordoned: list[str], *, managed: bool) -> str:
    names = [name for name, fields in limited.items() if fields.get("kind") == "karpenter"]
    parts = [f"spec.limits of NodePool {', '.join(names)}"] if names else []
    parts += [f"cordons {len(cordoned)} node{'s' if len(cordoned) != 1 else ''}"] if cordoned else []
    parts += ["the largest size of the node groups"] if managed else []
    return "; ".join(parts)


def _unknown(name: str, fact: Unknown) -> Problem:
    return Problem(
        rule="fact-unknown",
        value=name,
        reason=f"is unknown: {fact}.",
        next_step="Read it with `headroom collect`.",
    )
