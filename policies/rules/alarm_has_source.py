"""An alarm needs a metric that somebody publishes."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import FUNCTION, LOG_METRIC_FILTER, METRIC_ALARM, UNKNOWN, Resource, Resources

NAME = "alarm-has-source"
DESCRIPTION = "No alarm watches AvailableIpAddressCount unless something publishes it."
TYPES = (METRIC_ALARM, FUNCTION, LOG_METRIC_FILTER)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "alarms")
REMEDIATION = (
    "Publish the count yourself, in a namespace of your own, from the same stack as the alarm; `publishedNamespaces` "
    "in the policy's configuration names namespaces that something outside the stack publishes to."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "publishedNamespaces": {
        "type": "array",
        "items": {"type": "string"},
        "description": "CloudWatch namespaces in which something outside the stack publishes free addresses",
    }
}

METRIC: Final = "AvailableIpAddressCount"
"""A field of EC2's DescribeSubnets, not a metric of CloudWatch (EC2 API reference, Subnet)."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Alarms that stay in INSUFFICIENT_DATA for ever.

    Stops: rule CRE-2025-0112's alarm on AvailableIpAddressCount below 50: AWS publishes no such metric, and the
    subnets ran dry again with an alarm in place.
    """
    published = {*texts(config, "publishedNamespaces"), *_namespaces(resources)}
    for alarm in resources.of_type(METRIC_ALARM):
        for metric in watched(alarm):
            if isinstance(metric, Undecided):
                yield Finding(alarm, metric, "metricName")
            elif metric[1] == METRIC and metric[0] not in published:
                yield Finding(alarm, _problem(metric[0]), "metricName")


def watched(alarm: Resource) -> list[tuple[str, str] | Undecided]:
    """Namespace and name of every metric that the alarm looks at."""
    found: list[tuple[str, str] | Undecided] = [_metric(alarm.properties, "")]
    queries = read(alarm.properties, "metricQueries", list)
    if isinstance(queries, Undecided):
        found.append(queries)
        queries = None
    for index, query in enumerate(queries or ()):
        if query is UNKNOWN:
            found.append(Undecided(f"metricQueries.{index}"))
            continue
        metric = read(query, "metric", dict)
        found.append(metric if isinstance(metric, Undecided) else _metric(metric or {}, f"metricQueries.{index}."))
    return found


def _metric(properties: Mapping[str, Any], path: str) -> tuple[str, str] | Undecided:
    name = read(properties, "metricName", str)
    namespace = read(properties, "namespace", str)
    if isinstance(name, Undecided):
        return Undecided(f"{path}metricName")
    if isinstance(namespace, Undecided) and name == METRIC:
        return Undecided(f"{path}namespace")
    return (namespace if isinstance(namespace, str) else "", name or "")


def _namespaces(resources: Resources) -> set[str]:
    """Namespaces that something in the stack publishes to, as far as it says so."""
    found: set[str] = set()
    for function in resources.of_type(FUNCTION):
        variables = read(function.properties, "environment.variables", dict)
        found |= (
            {value for value in (variables or {}).values() if isinstance(value, str)}
            if isinstance(variables, dict)
            else set()
        )
    for metric_filter in resources.of_type(LOG_METRIC_FILTER):
        namespace = read(metric_filter.properties, "metricTransformation.namespace", str)
        found |= {namespace} if isinstance(namespace, str) else set()
    return {namespace for namespace in found if not namespace.startswith("AWS/")}


def _problem(namespace: str) -> Problem:
    return Problem(
        rule=NAME,
        value=f"{namespace or 'no namespace'}/{METRIC}",
        reason="is published by nothing that is known here: it is a field of EC2's DescribeSubnets, and CloudWatch "
        "has no such metric unless somebody writes it.",
        next_step="Put the publisher into the stack: a function with the namespace in its environment.",
        source="EC2 API reference, Subnet",
    )
