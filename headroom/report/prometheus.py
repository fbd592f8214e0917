"""Recording rules and alerts for those who scrape ipamd and kube-state-metrics, thresholds from the capacity model.

ipamd counts what a node holds, not what a subnet has left. So what is free in a zone is an estimate: what its subnets
can hold, less what others held in them when the rules were written, less what the nodes' ipamd hold now. Where the
publisher of the watch stack runs, its figures are EC2's own; these are for clusters that it does not watch.

What the rules need of the scrape:

- ipamd's metrics of every aws-node pod (port 61678) with the labels `namespace` and `pod`, as a PodMonitor gives them.
  The cni-metrics-helper serves sums under the same names (amazon-vpc-cni-k8s #2603): they are left out, for its pod is
  no pod of the DaemonSet.
- kube-state-metrics with its own labels kept (`honorLabels`), and the zone among its node labels:
  `--metric-labels-allowlist=nodes=[topology.kubernetes.io/zone]`.

Pods come by day and go by night, so alerts remember. What is low stays on for a day while it is near the threshold, as
the watch stack's alarms do: that is read from recorded history, so it survives a restart of Prometheus and is over at
once where there is room again, which no `keep_firing_for` does (prometheus #13957). What comes and goes within minutes
has that field, which older versions of Prometheus refuse.

Names of ipamd's metrics: amazon-vpc-cni-k8s, utils/prometheusmetrics. Those of kube-state-metrics: its docs/metrics.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.thresholds import HOLD_HOURS, HORIZON_DAYS, PACE_HOURS, PACE_MINUTES, SurgeDemand, Thresholds
from headroom.capacity.watch import SCHEDULE_MINUTES
from headroom.facts.names import CLUSTER_NAME_RULE, is_cluster_name

WAIT: Final = "15m"
"""How long a level has to stay below its threshold: as long as the watch stack's alarms wait."""

SYMPTOM_WAIT: Final = "5m"
"""How long addresses have to be low while pods fail, before somebody is woken."""

FORECAST_WAIT: Final = "12h"
"""A forecast that wavers is none: the watch stack's alarm wants as many hours."""

SCRAPE_WAIT: Final = "15m"
"""A node that starts is not scraped at once."""

SYMPTOM_HOLD: Final = "30m"
"""For so long nothing may be seen of what comes and goes, before it is over: pods are tried again, calls are too."""

LEAST_VERSION: Final = "2.42"
"""Of Prometheus: the first that knows `keep_firing_for` (Prometheus changelog, 2.42.0, #11827)."""

LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""Prometheus documentation, data model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredZone:
    """A zone whose nodes' ipamd are scraped.

    Attributes:
        usable: Addresses that the subnets of its pods can hold.
        others: Addresses of them that something else than the cluster's CNI holds, or that are reserved; ``None``:
            not known, and taken for none.
        thresholds: Below these of what is free.
    """

    usable: int
    others: int | None = None
    thresholds: Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What is scraped.

    Attributes:
        cluster: Name of the EKS cluster.
        zones: Its zones by name.
        surge: What an upgrade of the largest node group takes in a zone.
        horizon_days: A zone that lasts less long is a warning.
        custom_networking: Whether a node's primary interface takes no address of the pods' subnets.
        labels: Labels that choose the cluster's series, in a Prometheus that scrapes several clusters.

    Raises:
        ProblemsError: The cluster's or a label's name is none, or there is no zone.
    """

    cluster: str
    zones: Mapping[str, MonitoredZone]
    surge: SurgeDemand
    horizon_days: int = HORIZON_DAYS
    custom_networking: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="monitoring")

    def problems(self) -> list[Problem]:
        """Everything that speaks against it."""
        found = []
        if not is_cluster_name(self.cluster):
            found.append(
                Problem(
                    rule="cluster-name",
                    value=self.cluster or "Nothing",
                    reason="is no name of an EKS cluster.",
                    next_step=f"It is {CLUSTER_NAME_RULE}.",
                    source="EKS API reference, CreateCluster",
                )
            )
        if not self.zones:
            found.append(
                Problem(
                    rule="no-zones",
                    value="No zone",
                    reason="has a subnet that gives pods addresses.",
                    next_step="Name the subnets of nodes and pods under watchedSubnets, or read the facts anew.",
                )
            )
        found += [
            Problem(
                rule="label-name",
                value=name,
                reason="is no name of a Prometheus label.",
                next_step="Write NAME=VALUE, such as cluster=prod-use1.",
                source="Prometheus documentation, data model",
            )
            for name in self.labels
            if not LABEL_NAME.fullmatch(name)
        ]
        return found


def rule_file(monitored: Monitored) -> dict[str, Any]:
    """The content of a Prometheus rule file (Prometheus documentation, recording rules and alerting rules)."""
    own = {"cluster": monitored.cluster}
    recorded = [{**rule, "labels": {**own, **rule.get("labels", {})}} for rule in _recorded(monitored)]
    alerts = [{**rule, "labels": {**own, **rule["labels"]}} for rule in _alerts(monitored)]
    name = f"headroom-{monitored.cluster}"
    return {
        "groups": [
            # In this order: alerts look at what was recorded at the same time.
            {"name": f"{name}-levels", "rules": recorded},
            {"name": f"{name}-alerts", "rules": alerts},
        ]
    }


def heading(monitored: Monitored) -> list[str]:
    """The lines of comment above the rules: where the numbers come from."""
    lines = [
        f"Free addresses of {monitored.cluster}, estimated from ipamd's metrics; written by `headroom watch-files`.",
        f"For Prometheus {LEAST_VERSION} or newer (keep_firing_for).",
        f"In an upgrade {monitored.surge.text}: below that it is critical.",
    ]
    for zone, each in monitored.zones.items():
        others = "unknown, taken for 0" if each.others is None else f"{each.others:,}"
        lines.append(
            f"{zone}: {each.usable:,} addresses for pods, held by others {others}; critical below "
            f"{each.thresholds.critical:,}, warning below {each.thresholds.warning:,}; either is remembered for "
            f"{HOLD_HOURS} hours while fewer than {_near(each):,} are free."
        )
    return [
        *lines,
        "Whole free /28s cannot be known from ipamd: with prefix delegation use the watch stack's figures.",
        "The scrape has to give ipamd's metrics the labels namespace and pod; kube-state-metrics needs",
        "--metric-labels-allowlist=nodes=[topology.kubernetes.io/zone] and its own labels kept (honorLabels).",
    ]


def _recorded(monitored: Monitored) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for zone, each in monitored.zones.items():
        for name, value in (
            ("usable", each.usable),
            ("other", each.others or 0),
            ("critical", each.thresholds.critical),
            ("warning", each.thresholds.warning),
            ("near", _near(each)),
        ):
            found.append(
                {"record": f"headroom:zone_{name}_addresses", "expr": f"vector({value})", "labels": {"zone": zone}}
            )

    def by_zone(expression: str) -> str:
        # Of a pod that two jobs scrape one counts.
        one = f"max by (namespace, pod) ({expression})"
        return (
            f"sum by (zone) ({one} * on (namespace, pod) group_left (zone) {_of(monitored, 'headroom:aws_node_zone')})"
        )

    own = "awscni_eni_allocated"
    held = f"{_of(monitored, 'awscni_total_ip_addresses')} + {_of(monitored, own)}"
    if monitored.custom_networking:
        held += " - 1"
    node_labels = _series(monitored, "kube_node_labels", 'label_topology_kubernetes_io_zone!=""')
    zone_of = f'label_replace({node_labels}, "zone", "$1", "label_topology_kubernetes_io_zone", "(.+)")'
    # Only the DaemonSet's own pods: sums of the cni-metrics-helper have the same names.
    pods = _series(monitored, "kube_pod_info", 'created_by_kind="DaemonSet", created_by_name="aws-node"')
    placed = _series(monitored, "kube_pod_info", 'node!="", host_network="false"')
    pending = _series(monitored, "kube_pod_status_phase", 'phase="Pending"')
    node_zone = _of(monitored, "headroom:node_zone")
    rules = {
        "headroom:node_zone": f"max by (node, zone) ({zone_of})",
        "headroom:aws_node_zone": f"max by (namespace, pod, node) ({pods}) * on (node) group_left (zone) {node_zone}",
        "headroom:zone_held_addresses": by_zone(held),
        "headroom:zone_assigned_addresses": by_zone(_of(monitored, "awscni_assigned_ip_addresses")),
        "headroom:zone_idle_addresses": by_zone(
            f"{_of(monitored, 'awscni_total_ip_addresses')} - {_of(monitored, 'awscni_assigned_ip_addresses')}"
        ),
        "headroom:zone_free_addresses": "clamp_min("
        + " - on (cluster, zone) ".join(
            _of(monitored, f"headroom:zone_{each}_addresses") for each in ("usable", "other", "held")
        )
        + ", 0)",
        "headroom:zone_refused_addresses": by_zone(
            f"increase({_of(monitored, 'awscni_no_available_ip_addresses')}[10m])"
        ),
        "headroom:zone_waiting_pods": f"sum by (zone) (max by (namespace, pod) ({pending} == 1) * on (namespace, pod) "
        f"group_left (zone) (max by (namespace, pod, node) ({placed}) * on (node) group_left (zone) {node_zone}))",
        "headroom:zone_unscraped_nodes": f"count by (zone) ({_of(monitored, 'headroom:aws_node_zone')} "
        f"unless on (namespace, pod) {_of(monitored, 'awscni_total_ip_addresses')})",
        # What was never more for so long: one figure that is wrong is not remembered.
        _LEVEL: f"max_over_time({_of(monitored, _FREE)}[{WAIT}]) and on (cluster, zone) "
        f"{_of(monitored, _FREE)} offset {WAIT}",
        # A day's lowest, so that a daily pattern is no trend; of less than a day it would be one.
        "headroom:zone_free_addresses:min1d": f"min_over_time({_of(monitored, _FREE)}[1d]) and on (cluster, zone) "
        f"{_of(monitored, _FREE)} offset 1d",
    }
    return [*found, *({"record": name, "expr": expression} for name, expression in rules.items())]


_FREE: Final = "headroom:zone_free_addresses"
_LEVEL: Final = f"{_FREE}:max{WAIT}"


def _near(zone: MonitoredZone) -> int:
    return min(zone.thresholds.near, zone.usable)


def _alerts(monitored: Monitored) -> list[dict[str, Any]]:
    def of(name: str) -> str:
        return _of(monitored, name)

    cluster, surge = monitored.cluster, monitored.surge
    free = of(_FREE)
    critical, warning = (of(f"headroom:zone_{each}_addresses") for each in ("critical", "warning"))
    low = f"{free} < on (cluster, zone) {critical}"
    least = f"min_over_time({of(_LEVEL)}[{HOLD_HOURS}h])"
    near = f"{free} < on (cluster, zone) {of('headroom:zone_near_addresses')}"
    held = f"and on (cluster, zone) {least} < on (cluster, zone)"
    lately = f"or were within the last {HOLD_HOURS} hours"
    symptom = f"({of('headroom:zone_refused_addresses')} > 0 or {of('headroom:zone_waiting_pods')} > 0)"
    seconds = monitored.horizon_days * 86_400
    lowest = of("headroom:zone_free_addresses:min1d")
    ahead = f"(predict_linear({lowest}[7d], {seconds}) <= 0) and on (cluster, zone) {lowest} offset 1d"
    week = f"min_over_time({free}[6d] offset 1d)"
    pace = f"predict_linear({free}[{PACE_MINUTES}m], {PACE_HOURS * 3600}) <= 0"
    # A deploy falls once; what runs away goes on falling.
    drop = (
        f"{free} < on (cluster, zone) ({week} - {surge.addresses}) and on (cluster, zone) ({pace}) "
        f"and on (cluster, zone) ({free} < {free} offset {2 * SCHEDULE_MINUTES}m)"
    )
    per_pod = "max by (namespace, pod)"
    interfaces, most = _of(monitored, "awscni_eni_allocated"), _of(monitored, "awscni_eni_max")
    assigned, total = (_of(monitored, f"awscni_{name}_ip_addresses") for name in ("assigned", "total"))
    refused = f"increase({_of(monitored, 'awscni_no_available_ip_addresses')}[10m])"
    # A node that is full and turns no pod away is as it should be.
    full = (
        f"({per_pod} ({interfaces}) >= {per_pod} ({most})) and ({per_pod} ({assigned}) >= {per_pod} ({total})) "
        f"and ({per_pod} ({refused}) > 0)"
    )
    place = of("headroom:aws_node_zone")
    errors = _series(monitored, "awscni_aws_api_error_count", 'error=~"RequestLimitExceeded|Throttling.*"')
    diagnose, forecast = (f"headroom {name} --cluster {cluster}" for name in ("diagnose", "forecast"))
    value = "{{ $value | humanize }}"
    return [
        _alert(
            "HeadroomAddressesExhausted",
            f"({low}) and on (cluster, zone) {symptom}",
            SYMPTOM_WAIT,
            "critical",
            f"{cluster}: pods in {_ZONE} get no address",
            f"About {value} addresses are free in {_ZONE}, fewer than an upgrade takes, and pods wait for one or were "
            f"refused one. In an upgrade {surge.text}.",
            diagnose,
            keep=SYMPTOM_HOLD,
        ),
        _alert(
            "HeadroomFreeAddressesCritical",
            f"({low}) or ({near} {held} {critical})",
            WAIT,
            "warning",
            f"{cluster}: an upgrade no longer fits {_ZONE}",
            f"About {value} addresses are free in {_ZONE}. They are too few for an upgrade, {lately}, and still near "
            f"it. In an upgrade {surge.text}; no pod has failed yet.",
            diagnose,
        ),
        _alert(
            "HeadroomFreeAddressesLow",
            f"({free} < on (cluster, zone) {warning}) or ({near} {held} {warning})",
            WAIT,
            "warning",
            f"{cluster}: {_ZONE} runs low on addresses",
            f"About {value} addresses are free in {_ZONE}. They are few, {lately}, and still nearly so: soon an "
            f"upgrade no longer fits, in which {surge.text}.",
            forecast,
        ),
        _alert(
            "HeadroomAddressesRunOut",
            ahead,
            FORECAST_WAIT,
            "warning",
            f"{cluster}: {_ZONE} is empty in fewer than {monitored.horizon_days} days",
            f"Going on as in the last week, {_ZONE} has no free address in {monitored.horizon_days} days.",
            forecast,
            keep=FORECAST_WAIT,
        ),
        _alert(
            "HeadroomAddressesDrop",
            drop,
            WAIT,
            "warning",
            f"{cluster}: free addresses of {_ZONE} fell suddenly",
            f"About {value} addresses are free in {_ZONE}, lower than in the week before by more than an upgrade "
            f"explains, and none in {PACE_HOURS} hours if it goes on like this: a deploy storm, or an autoscaler that "
            "runs away.",
            diagnose,
            keep=SYMPTOM_HOLD,
        ),
        _alert(
            "HeadroomNodeAtInterfaceLimit",
            f"({full}) * on (namespace, pod) group_left (node, zone) {place} > 0",
            WAIT,
            "warning",
            f"{cluster}: {{{{ $labels.node }}}} has all its interfaces and no address left",
            f"The node in {_ZONE} turns pods away: it has as many interfaces as its type allows and every address on "
            "them is a pod's. However many addresses the subnet has, further pods on it wait.",
            diagnose,
            keep=SYMPTOM_HOLD,
        ),
        _alert(
            "HeadroomEc2Throttled",
            f"sum (rate({errors}[10m])) > 0",
            WAIT,
            "warning",
            f"{cluster}: EC2 throttles the CNI",
            f"EC2 refuses {{{{ $value | humanize }}}} calls a second of {cluster}'s nodes: addresses arrive late, also "
            "where there are enough. Nodes in a full subnet that ask again and again are the usual reason.",
            diagnose,
            keep=SYMPTOM_HOLD,
        ),
        _alert(
            "HeadroomNodesNotScraped",
            f"{of('headroom:zone_unscraped_nodes')} > 0",
            SCRAPE_WAIT,
            "warning",
            f"{cluster}: {value} nodes of {_ZONE} are not scraped",
            f"What their ipamd hold is not counted, so {_ZONE} has fewer free addresses than the other alerts believe.",
            f"headroom collect --cluster {cluster}",
        ),
        _alert(
            "HeadroomCniMetricsAbsent",
            f"absent({of('headroom:zone_held_addresses')})",
            SCRAPE_WAIT,
            "critical",
            f"{cluster}: nobody counts its addresses",
            "There is no figure of any zone: ipamd or kube-state-metrics is not scraped, or their labels do not match, "
            "and no other alert of Headroom means anything.",
            f"headroom collect --cluster {cluster}",
        ),
    ]


_ZONE: Final = "{{ $labels.zone }}"


def _alert(  # noqa: PLR0913, PLR0917 - the fields of an alert
    name: str,
    expression: str,
    wait: str,
    severity: str,
    summary: str,
    description: str,
    command: str,
    *,
    keep: str = "",
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        **({"keep_firing_for": keep} if keep else {}),
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description, "next": command},
    }


def _of(monitored: Monitored, name: str) -> str:
    """A series of the cluster: of a scrape by the labels that choose it, of ours by the label that we gave it."""
    if name.startswith("headroom:"):
        return f'{name}{{cluster="{monitored.cluster}"}}'
    return _series(monitored, name)


def _series(monitored: Monitored, name: str, *matchers: str) -> str:
    chosen = [*(f"{label}={json.dumps(value)}" for label, value in sorted(monitored.labels.items())), *matchers]
    return f"{name}{{{', '.join(chosen)}}}" if chosen else name
