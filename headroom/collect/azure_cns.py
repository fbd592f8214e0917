"""Reads what azure-cns itself says on the nodes: the gauges of its pool.

Its pool monitor is fed for pod subnets only (azure-container-networking, cns/kubecontroller/nodenetworkconfig): in an
overlay the gauges mean nothing, and nobody is asked.
"""

import re
from collections.abc import Sequence
from typing import Final

from headroom.collect.api_server import ApiServer
from headroom.collect.failures import EXPECTED, unknown_of
from headroom.collect.ipamd import ANSWER_SECONDS, FAILURES_ENOUGH, WORKERS
from headroom.collect.readings import side_by_side
from headroom.facts.azure import CnsReading
from headroom.facts.kubernetes import CniPod
from headroom.facts.values import NOT_COLLECTED, Fact, Unknown

SYSTEM_NAMESPACE: Final = "kube-system"
METRICS_PORT: Final = 10092
"""Port of azure-cns's metrics (azure-container-networking, cns/metric)."""

_GAUGES: Final = {
    "cx_ipam_available_ips": "available",
    "cx_ipam_total_ips": "total",
    "cx_ipam_max_ips": "maximum",
    "cx_ipam_requested_ips": "requested",
    "cx_ipam_pod_allocated_ips": "allocated",
}
"""Field by metric (azure-container-networking, cns/ipampool/metrics.go)."""
_EXHAUSTED: Final = "cx_ipam_subnet_exhaustion_state"
_SAMPLE: Final = re.compile(r"(?P<name>cx_ipam_[a-z_]+)(?:\{[^}]*\})?\s+(?P<value>[-+0-9.eE]+)(?:\s|$)")


def read_cns(api: ApiServer, pods: Sequence[CniPod]) -> tuple[CnsReading, ...] | Unknown:
    """The metrics of these pods of azure-cns; unknown as a whole where no node answered."""
    answered: list[str] = []
    failures: list[Unknown] = []

    def read(pod: CniPod) -> CnsReading | None:
        if not isinstance(pod.node, str) or (not answered and len(failures) >= FAILURES_ENOUGH):
            return None
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod.name}:{METRICS_PORT}/proxy/metrics"
        try:
            found = cns_reading(pod.node, api.get(path, seconds=ANSWER_SECONDS).decode())
        except EXPECTED as error:
            failures.append(unknown_of(error))
            return None
        answered.append(pod.node)
        return found

    found = tuple(each for each in side_by_side(read, pods, workers=WORKERS) if each is not None)
    return failures[0] if failures and not answered else found


def cns_reading(node: str, metrics: str) -> CnsReading:
    """What the metrics of azure-cns say (Prometheus text format).

    Raises:
        ValueError: The text has none of its gauges, or is cut short: its last line does not end (Prometheus,
            exposition formats), and a number in it would be another one.
    """
    numbers: dict[str, Fact[int]] = {}
    exhausted: Fact[bool] = NOT_COLLECTED
    for line in metrics.splitlines():
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        value = int(float(sample["value"]))
        if sample["name"] in _GAUGES:
            numbers[_GAUGES[sample["name"]]] = max(0, value)
        elif sample["name"] == _EXHAUSTED:
            exhausted = value > 0
    if not numbers:
        message = "none of azure-cns's metrics"
        raise ValueError(message)
    if not metrics.endswith("\n"):
        message = "azure-cns's metrics are cut short"
        raise ValueError(message)
    return CnsReading(
        node=node,
        available=numbers.get("available", NOT_COLLECTED),
        total=numbers.get("total", NOT_COLLECTED),
        maximum=numbers.get("maximum", NOT_COLLECTED),
        requested=numbers.get("requested", NOT_COLLECTED),
        allocated=numbers.get("allocated", NOT_COLLECTED),
        subnet_exhausted=exhausted,
    )
