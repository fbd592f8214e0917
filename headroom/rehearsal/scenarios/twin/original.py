"""What of a snapshot the copy is made of; whether that is enough; and where the copy has to guess."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import CniVersion
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.readings import limits_reader, waiting_pods
from headroom.diagnosis.verdict import Diagnosis
from headroom.facts.aws import Aws, CidrAssociation, Interface, RouteTable, Subnet, Vpc
from headroom.facts.kubernetes import ENDED, CniDaemonSet, Kubernetes, Node, Pod
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Fact, Unknown, items, known, known_or

MOST_NODES: Final = 200
"""Nodes of the largest copy: above that one machine is busy with their status and nothing else."""
MOST_PODS: Final = 5_000
"""Pods of the largest copy."""

ALWAYS_GUESSED: Final = (
    "what pods ask of CPU and memory: here none asks for much, so that only maxPods limits a node",
    "labels, selectors, affinity and volumes of workloads: each keeps its pods, and new ones may go to any node",
    "how EC2 behaves: it answers at once, by the documented rules, and takes addresses at random",
    "who else takes addresses of the VPC meanwhile: nobody does",
    "security groups, network ACLs and IAM policies: one group for all, and every call is allowed",
    "when things began: everything was made just now",
)
"""What no snapshot says, in words that follow "the copy guesses"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The cluster that is copied.

    Attributes:
        snapshot: All that was read of it.
        diagnosis: What is wrong with it.
        name: Its name.
        region: Its Region.
        collected_at: When it was read: the copy's time begins there.
        aws: What AWS says.
        kubernetes: What the API server says.
        vpc: Its VPC.
        blocks: The VPC's CIDRs, the primary first.
        subnets: The VPC's subnets.
        tables: Its route tables.
        interfaces: Its network interfaces.
        nodes: The nodes that are EC2 instances with interfaces.
        limits: Limits of their instance types, by node name.
        pods: The pods on those nodes, and those that have none; finished ones left out.
        waiting: Those that wait for an address, as namespace/name.
        environment: aws-node's settings.
        version: The VPC CNI's version.
        guesses: Where the copy has to guess, beside what it always guesses.
    """

    snapshot: Snapshot
    diagnosis: Diagnosis
    name: str
    region: str
    collected_at: datetime
    aws: Aws
    kubernetes: Kubernetes
    vpc: Vpc
    blocks: tuple[CidrAssociation, ...]
    subnets: tuple[Subnet, ...]
    tables: tuple[RouteTable, ...]
    interfaces: tuple[Interface, ...]
    nodes: tuple[Node, ...]
    limits: Mapping[str, InstanceLimits]
    pods: tuple[Pod, ...]
    waiting: frozenset[str]
    environment: Mapping[str, str]
    version: CniVersion
    guesses: list[str] = field(default_factory=list)

    @property
    def settings(self) -> CniSettings:
        """aws-node's settings as ipamd reads them."""
        return CniSettings.from_environment(self.environment)

    def interfaces_of(self, node: Node) -> tuple[Interface, ...]:
        """The interfaces of a node, by device index."""
        mine = (each for each in self.interfaces if each.instance_id == node.instance_id)
        return tuple(sorted(mine, key=lambda each: known_or(each.device_index, 0)))


def key_of(pod: Pod) -> str:
    """A pod's namespace/name."""
    return f"{pod.namespace}/{pod.name}"


def read_original(snapshot: Snapshot) -> Original:
    """Takes what a copy needs out of a snapshot.

    Raises:
        ProblemsError: It is of no EKS cluster, too large for one machine, or lacks what a copy cannot do without.
    """
    aws, kubernetes = known_or(snapshot.aws, Aws()), known_or(snapshot.kubernetes, Kubernetes())
    problems = [*_of_another_kind(snapshot, aws), *_missing(snapshot, aws, kubernetes), *_too_large(kubernetes)]
    vpc, daemon_set = known(aws.vpc), known(kubernetes.cni_daemon_set)
    version = _version(daemon_set, problems)
    if problems or vpc is None or daemon_set is None or version is None:
        raise ProblemsError(problems, subject="headroom rehearse --facts")
    guesses: list[str] = []
    interfaces = items(aws.interfaces)
    nodes, limits = _nodes(snapshot, kubernetes, interfaces, guesses)
    pods = _pods(kubernetes, {node.name for node in nodes}, guesses)
    _say_what_is_guessed(aws, kubernetes, guesses)
    return Original(
        snapshot=snapshot,
        diagnosis=diagnose(snapshot),
        name=known_or(snapshot.cluster, "cluster"),
        region=known_or(aws.region, ""),
        collected_at=_time(known(snapshot.collected_at), guesses),
        aws=aws,
        kubernetes=kubernetes,
        vpc=vpc,
        blocks=items(vpc.cidr_blocks),
        subnets=_subnets(aws, guesses),
        tables=items(aws.route_tables),
        interfaces=interfaces,
        nodes=nodes,
        limits=limits,
        pods=pods,
        waiting=frozenset(key_of(pod) for pod in waiting_pods(snapshot)),
        environment=known_or(daemon_set.environment, {}),
        version=version,
        guesses=guesses,
    )


# What is not enough.


def _problem(rule: str, value: str, reason: str, next_step: str) -> Problem:
    return Problem(rule=rule, value=value, reason=reason, next_step=next_step)


def _of_another_kind(snapshot: Snapshot, aws: Aws) -> Iterable[Problem]:
    if known_or(snapshot.cloud, "aws") != "aws":
        yield _problem(
            "twin-of-eks",
            str(snapshot.cloud),
            "is not AWS.",
            "A copy is made of EKS clusters; try `headroom diagnose`.",
        )
    if known_or(aws.ip_family, "ipv4") != "ipv4":
        yield _problem(
            "twin-of-ipv4",
            f"a cluster of the family {aws.ip_family}",
            "gives its pods no IPv4 addresses.",
            "A copy is made of clusters whose pods can run out of them.",
        )
    if known(aws.auto_mode):
        yield _problem(
            "twin-has-aws-node",
            "EKS Auto Mode",
            "runs its own agent in the place of aws-node, and a copy runs aws-node.",
            "`headroom diagnose` and `headroom plan` need no copy.",
        )


def _missing(snapshot: Snapshot, aws: Aws, kubernetes: Kubernetes) -> Iterable[Problem]:
    vpc = known(aws.vpc)
    daemon_set = known(kubernetes.cni_daemon_set)
    facts: dict[str, Fact[object]] = {
        "aws.region": aws.region,
        "aws.vpc": aws.vpc,
        "aws.subnets": aws.subnets,
        "aws.interfaces": aws.interfaces,
        "kubernetes.nodes": kubernetes.nodes,
        "kubernetes.pods": kubernetes.pods,
        "kubernetes.cniDaemonSet": kubernetes.cni_daemon_set,
    }
    if vpc is not None:
        facts["aws.vpc.cidrBlocks"] = vpc.cidr_blocks
    if daemon_set is not None:
        facts["kubernetes.cniDaemonSet.environment"] = daemon_set.environment
        facts["kubernetes.cniDaemonSet.version"] = daemon_set.version
    for whole, of in (("aws", snapshot.aws), ("kubernetes", snapshot.kubernetes)):
        if isinstance(of, Unknown):
            facts = {whole: of, **{name: fact for name, fact in facts.items() if not name.startswith(f"{whole}.")}}
    for name, fact in facts.items():
        if fact is None or isinstance(fact, Unknown) or fact == ():
            yield _problem(
                "twin-needs-fact",
                name,
                f"is unknown: {fact}." if isinstance(fact, Unknown) else "is not there.",
                "A copy cannot do without it. Read it with `headroom collect`.",
            )


def _too_large(kubernetes: Kubernetes) -> Iterable[Problem]:
    nodes, pods = len(items(kubernetes.nodes)), len(items(kubernetes.pods))
    if nodes > MOST_NODES or pods > MOST_PODS:
        yield _problem(
            "twin-size",
            f"a cluster of {nodes:,} nodes and {pods:,} pods",
            f"is too large to be copied on one machine, which takes {MOST_NODES:,} nodes and {MOST_PODS:,} pods.",
            "`headroom diagnose` and `headroom plan` take it as it is; try the fix on a smaller cluster first.",
        )


def _version(daemon_set: CniDaemonSet | None, problems: list[Problem]) -> CniVersion | None:
    if daemon_set is None or not isinstance(daemon_set.version, str):
        return None
    try:
        return CniVersion.parse(daemon_set.version)
    except ProblemsError as error:
        problems.extend(error.problems)
        return None


# What is left out, or guessed.


def _subnets(aws: Aws, guesses: list[str]) -> tuple[Subnet, ...]:
    """The subnets that can be made: of which CIDR and zone are known."""
    found = items(aws.subnets)
    whole = tuple(each for each in found if isinstance(each.cidr_block, str) and isinstance(each.zone, str))
    if len(whole) < len(found):
        guesses.append(f"{len(found) - len(whole)} subnets of which CIDR or zone is unknown: there are none here")
    shared = [each.subnet_id for each in whole if isinstance(each.shared_from, str)]
    if shared:
        guesses.append(f"the owner of shared subnets ({', '.join(shared)}): here they are the account's own")
    return whole


def _nodes(
    snapshot: Snapshot, kubernetes: Kubernetes, interfaces: Iterable[Interface], guesses: list[str]
) -> tuple[tuple[Node, ...], dict[str, InstanceLimits]]:
    """The nodes that have an interface to boot with, and their limits."""
    booted = {each.instance_id for each in interfaces if each.device_index == 0}
    limits_of = limits_reader(snapshot)
    limits = {node.name: found for node in items(kubernetes.nodes) if (found := limits_of(node)) is not None}
    left: Counter[str] = Counter()
    kept = []
    for node in items(kubernetes.nodes):
        if not isinstance(node.instance_id, str):
            left["are no EC2 instances (Fargate, hybrid)"] += 1
        elif node.instance_id not in booted:
            left["have no interface in the snapshot"] += 1
        elif node.name not in limits:
            left["are of an instance type whose limits are not known"] += 1
        elif not isinstance(node.zone, str):
            left["are of a zone that is not known"] += 1
        else:
            kept.append(node)
    guesses.extend(f"{count} nodes that {why}: they and their pods are left out" for why, count in left.items())
    if not kept:
        raise ProblemsError(
            [
                _problem(
                    "twin-has-nodes",
                    f"none of {left.total()} nodes",
                    "can be copied: they " + ", ".join(left) + ".",
                    "Read nodes and interfaces together, with `headroom collect`.",
                )
            ],
            subject="headroom rehearse --facts",
        )
    return tuple(kept), limits


def _pods(kubernetes: Kubernetes, nodes: set[str], guesses: list[str]) -> tuple[Pod, ...]:
    found = items(kubernetes.pods)
    finished = sum(pod.phase in ENDED for pod in found)
    if finished:
        guesses.append(f"{finished} pods that have ended: they are left out")
    going = sum(pod.terminating for pod in found)
    if going:
        guesses.append(f"{going} pods that are being deleted: they stay")
    return tuple(pod for pod in found if pod.phase not in ENDED and (pod.node is None or pod.node in nodes))


def _say_what_is_guessed(aws: Aws, kubernetes: Kubernetes, guesses: list[str]) -> None:
    if isinstance(aws.route_tables, Unknown):
        guesses.append(f"the routes, which could not be read ({aws.route_tables}): here the VPC only reaches itself")
    if isinstance(aws.peerings, Unknown):
        guesses.append(f"the VPC's peerings, which could not be read ({aws.peerings}): there are none here")
    down = [pod for pod in items(kubernetes.cni_pods) if not pod.ready]
    if down:
        guesses.append(f"why {len(down)} pods of aws-node are not ready: here all of them run")
    for what, there in (
        ("HorizontalPodAutoscalers", kubernetes.autoscalers),
        ("NodePools of Karpenter", kubernetes.node_pools),
    ):
        if count := len(items(there)):
            guesses.append(f"what {count} {what} would do: there are none here, and nothing scales by itself")


def _time(text: str | None, guesses: list[str]) -> datetime:
    if text is not None:
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            pass
    guesses.append("when the snapshot was taken: here it is now")
    return datetime.now(UTC)
