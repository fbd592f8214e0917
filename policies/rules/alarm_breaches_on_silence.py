"""An alarm on addresses has to go off when its metric stops."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem
from headroom.capacity.watch import ADDRESS_METRICS as PUBLISHED
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import METRIC_ALARM, Resource, Resources
from policies.rules.alarm_has_source import METRIC, watched

NAME = "alarm-breaches-on-silence"
DESCRIPTION = "An alarm on addresses treats missing data as breaching."
TYPES = (METRIC_ALARM,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "alarms")
REMEDIATION = "Write treatMissingData: breaching."
CONFIG_SCHEMA: Mapping[str, Any] = {
    "namespaces": {
        "type": "array",
        "items": {"type": "string"},
        "description": "CloudWatch namespaces all of whose alarms have to go off on silence",
    }
}

ADDRESS_METRICS: Final = frozenset(
    {
        METRIC,
        *PUBLISHED,
        "FreePrefixes",
        "SubnetIPUsage",
        "VpcIPUsage",
        "assignIPAddresses",
        "totalIPAddresses",
        "maxIPAddresses",
        "totalIPv4Prefixes",
        "eniAllocated",
        "eniMaxAvailable",
    }
)
"""Metrics of free or used addresses: those that the watch stack and others publish, AWS/IPAM's and the
cni-metrics-helper's."""

BREACHING: Final = "breaching"


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Alarms that a dead publisher silences.

    Stops: the second incident, which nobody was paged for because the function that counted had lost its permission
    and `missing` is CloudWatch's default.
    """
    namespaces = set(texts(config, "namespaces"))
    for alarm in resources.of_type(METRIC_ALARM):
        treat = read(alarm.properties, "treatMissingData", str)
        about = _is_about_addresses(alarm, namespaces)
        if treat == BREACHING or about is False:
            continue
        if isinstance(about, Undecided):
            yield Finding(alarm, about, "metricName")
        elif isinstance(treat, Undecided):
            yield Finding(alarm, treat, "treatMissingData")
        else:
            problem = Problem(
                rule=NAME,
                value=f"treatMissingData {treat or 'missing (the default)'}",
                reason="stays quiet when nobody counts the addresses any more.",
                next_step=f"Write treatMissingData: {BREACHING}.",
                source="CloudWatch user guide, AlarmThatSendsEmail, missing data",
            )
            yield Finding(alarm, problem, "treatMissingData")


def _is_about_addresses(alarm: Resource, namespaces: set[str]) -> bool | Undecided:
    unknown: Undecided | None = None
    for metric in watched(alarm):
        if isinstance(metric, Undecided):
            unknown = metric
        elif metric[1] in ADDRESS_METRICS or metric[0] in namespaces:
            return True
    return unknown or False
