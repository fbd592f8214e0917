"""Reads what ipamd itself says on the nodes: its metrics, and the lines of aws-node's containers that mean something.

Both go through the API server, which reaches a node that we cannot. ipamd's own log (ipamd.log) stays on the node;
`kubectl logs` shows only what aws-node's start script prints (amazon-vpc-cni-k8s, README).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from headroom.collect.api_server import ApiServer
from headroom.collect.failures import EXPECTED, unknown_of
from headroom.collect.kubernetes_objects import CNI_NAME, CNI_NAMESPACE
from headroom.collect.readings import side_by_side
from headroom.collect.redaction import redacted
from headroom.facts.kubernetes import CniPod, Pod
from headroom.facts.snapshot import Line, Origin, PoolReading
from headroom.facts.values import Fact, Reason, Unknown

RBAC_RULES: Final = ({"apiGroups": [""], "resources": ["pods/log", "pods/proxy"], "verbs": ["get"]},)
"""What the reader's role needs in kube-system; without it the metrics and lines are unknown."""

METRICS_PORT: Final = 61678
"""Port of ipamd's metrics (amazon-vpc-cni-k8s, cmd/cni-metrics-helper/metrics/cni_metrics.go)."""

MOST_NODES: Final = 60
"""Nodes that are asked at most: all with stuck pods first, then a sample of the others."""
SAMPLE: Final = 10
"""Nodes without stuck pods that are asked, for comparison."""
ANSWER_SECONDS: Final = 4.0
FAILURES_ENOUGH: Final = 8
"""So many failures before the first answer, and nobody else is asked: the way itself is closed."""
WORKERS: Final = 16
TAIL_LINES: Final = 500

_SAMPLE_LINE = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>[-+0-9.eE]+)(?:\s|$)")
_LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_TIMESTAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S*Z ")

_GAUGES: Final = {
    "awscni_total_ip_addresses": "total_addresses",
    "awscni_assigned_ip_addresses": "assigned_addresses",
    "awscni_eni_allocated": "interfaces",
    "awscni_eni_max": "maximum_interfaces",
    "awscni_ip_max": "maximum_addresses",
    "awscni_total_ipv4_prefixes": "prefixes",
    "awscni_no_available_ip_addresses": "no_available_addresses",
}
"""Field by metric (amazon-vpc-cni-k8s, utils/prometheusmetrics)."""
_ERRORS: Final = "awscni_ipamd_error_count"
_API_ERRORS: Final = "awscni_aws_api_error_count"


def nodes_to_ask(pods: Iterable[Pod], cni_pods: Sequence[CniPod]) -> list[CniPod]:
    """The pods of aws-node that are asked: those on nodes with stuck pods, and a sample of the others.

    Args:
        pods: All pods.
        cni_pods: Those of aws-node.
    """
    stuck: Counter[Fact[str]] = Counter(
        each.node
        for each in pods
        if isinstance(each.node, str) and each.phase == "Pending" and each.ip is None and not each.terminating
    )
    hit = sorted((each for each in cni_pods if each.node in stuck), key=lambda each: (-stuck[each.node], each.name))
    others = sorted((each for each in cni_pods if each.node not in stuck), key=lambda each: each.name)
    # Evenly spread over the names, which begin with nothing that means anything.
    step = max(1, len(others) // SAMPLE)
    return [*hit, *others[::step][:SAMPLE]][:MOST_NODES]


def read_pools(api: ApiServer, cni_pods: Sequence[CniPod]) -> tuple[PoolReading, ...] | Unknown:
    """The metrics of these pods of aws-node; unknown as a whole where no node answered."""
    answered: list[str] = []
    failures: list[Unknown] = []

    def read(pod: CniPod) -> PoolReading | None:
        if not isinstance(pod.node, str):
            return None
        if not answered and len(failures) >= FAILURES_ENOUGH:
            return _unread(pod.node, failures[0])
        path = f"/api/v1/namespaces/{CNI_NAMESPACE}/pods/{pod.name}:{METRICS_PORT}/proxy/metrics"
        try:
            reading = pool_reading(pod.node, api.get(path, seconds=ANSWER_SECONDS).decode())
        except EXPECTED as error:
            failures.append(unknown_of(error))
            return _unread(pod.node, failures[-1])
        answered.append(pod.node)
        return reading

    found = tuple(each for each in side_by_side(read, cni_pods, workers=WORKERS) if each is not None)
    return failures[0] if failures and not answered else found


def _unread(node: str, unknown: Unknown) -> PoolReading:
    return PoolReading(
        node=node,
        total_addresses=unknown,
        assigned_addresses=unknown,
        interfaces=unknown,
        maximum_interfaces=unknown,
        maximum_addresses=unknown,
        prefixes=unknown,
        no_available_addresses=unknown,
        errors=unknown,
        api_errors=unknown,
    )


def pool_reading(node: str, metrics: str) -> PoolReading:
    """What ipamd's metrics say (Prometheus text format).

    Raises:
        ValueError: The text has none of ipamd's metrics.
    """
    numbers: dict[str, int] = {}
    errors: Counter[str] = Counter()
    api_errors: Counter[str] = Counter()
    for line in metrics.splitlines():
        sample = _SAMPLE_LINE.match(line)
        if sample is None:
            continue
        name, value = sample["name"], float(sample["value"])
        labels = dict(_LABEL.findall(sample["labels"] or ""))
        if name in _GAUGES:
            # Some versions give a metric for each network card.
            numbers[_GAUGES[name]] = numbers.get(_GAUGES[name], 0) + int(value)
        elif name == _ERRORS:
            errors[labels.get("fn", "")] += int(value)
        elif name == _API_ERRORS:
            api_errors[f"{labels.get('api', '')}/{labels.get('error', '')}"] += int(value)
    if not numbers:
        message = "none of ipamd's metrics"
        raise ValueError(message)
    facts: dict[str, Fact[int]] = {
        field: numbers.get(field, Unknown(Reason.NOT_COLLECTED, "ipamd has no such metric"))
        for field in _GAUGES.values()
    }
    return PoolReading(
        node=node,
        total_addresses=facts["total_addresses"],
        assigned_addresses=facts["assigned_addresses"],
        cooling_addresses=Unknown(Reason.NOT_COLLECTED, "only ipamd.log on the node says"),
        interfaces=facts["interfaces"],
        maximum_interfaces=facts["maximum_interfaces"],
        maximum_addresses=facts["maximum_addresses"],
        prefixes=facts["prefixes"],
        no_available_addresses=facts["no_available_addresses"],
        # A counter with labels shows up with its first error: none of it means none.
        errors=dict(sorted(errors.items())),
        api_errors=dict(sorted(api_errors.items())),
    )


def read_lines(api: ApiServer, cni_pods: Sequence[CniPod], interesting: Callable[[str], bool]) -> tuple[Line, ...]:
    """The lines of aws-node's containers that mean something, equal ones of a node counted.

    Args:
        api: The API server.
        cni_pods: Whose logs; of those that restarted also the log before.
        interesting: Whether a line means something.
    """

    def read(pod: CniPod) -> list[Line]:
        path = f"/api/v1/namespaces/{CNI_NAMESPACE}/pods/{pod.name}/log"
        query: dict[str, str | int] = {"container": CNI_NAME, "tailLines": TAIL_LINES, "timestamps": "true"}
        texts = [api.get(path, query, seconds=ANSWER_SECONDS)]
        if pod.restarts:
            texts.append(_previous(api, path, query))
        return lines_of(pod.node, b"\n".join(texts).decode("utf-8", "replace"), interesting)

    return tuple(line for lines in side_by_side(read, cni_pods, workers=WORKERS) for line in lines)


def _previous(api: ApiServer, path: str, query: Mapping[str, str | int]) -> bytes:
    try:
        return api.get(path, {**query, "previous": "true"}, seconds=ANSWER_SECONDS)
    except EXPECTED:  # the container before may be gone for good; the present one's log stands without it
        return b""


def lines_of(node: Fact[str], text: str, interesting: Callable[[str], bool]) -> list[Line]:
    """The lines of a container's log with timestamps that mean something; equal ones counted."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        stamp = _TIMESTAMP.match(line)
        said = line[stamp.end() :] if stamp else line
        if interesting(said):
            found.setdefault(redacted(said), []).append(f"{stamp[1]}Z" if stamp else "")
    return [
        Line(
            origin=Origin.AWS_NODE_LOG,
            text=said,
            node=node,
            first_seen=min(times) or None,
            last_seen=max(times) or None,
            count=len(times),
        )
        for said, times in found.items()
    ]
