"""Calls of an audit of 5,000 resources in 200 subscriptions: `python benchmarks/egress_audit.py [RESOURCES]`.

Against the simulated Azure, which has Resource Graph's limits: 1,000 rows an answer, 15 queries in 5 seconds. Every
subscription has the same mixture; one resource in fifty has the old address alone, one both, the rest neither. "Most in
5 s" is counted in the simulated Azure's own log. Each resource is judged, or the benchmark fails.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from headroom.collect.azure_pipeline import arm_pipeline
from headroom.collect.egress_audit import GRAPH_ROWS, read_lists
from headroom.planning.allow_list_inventory import Inventory
from headroom.planning.allow_list_services import BY_TYPE
from headroom.planning.allow_lists import Caller, Span
from headroom.planning.egress_audit import audit
from headroom.rehearsal.arm.endpoint import start_arm

RESOURCES = 5_000
SUBSCRIPTIONS = 200
OLD, NEW = "20.1.1.1", "20.2.2.2"
EVERY = 50
"""One resource in so many has the old address alone, and one has both."""
GRAPH = "POST Microsoft.ResourceGraph/resources"
WINDOW_SECONDS = 5.0
WINDOW_QUERIES = 15
"""Queries that Resource Graph answers in a window (Azure documentation, guidance-for-throttled-requests)."""


def acl(addresses: list[str]) -> dict[str, Any]:
    """Network rules of a storage account or a vault."""
    return {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": each} for each in addresses]}}


def rules(addresses: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Firewall rules of a database."""
    return [(f"r{place}", {"startIpAddress": each, "endIpAddress": each}) for place, each in enumerate(addresses)]


def nsg(addresses: list[str]) -> dict[str, Any]:
    """A network security group."""
    rule = {"direction": "Inbound", "access": "Allow", "priority": 100, "protocol": "Tcp", "sourcePortRange": "*"}
    rule |= {"destinationAddressPrefix": "*", "destinationPortRange": "443", "sourceAddressPrefixes": addresses}
    return {"securityRules": [{"name": "in", "properties": rule}]}


MIXTURE: tuple[tuple[str, Any, Any], ...] = (
    ("Microsoft.Sql/servers", None, rules),
    ("Microsoft.Storage/storageAccounts", acl, None),
    ("Microsoft.KeyVault/vaults", acl, None),
    ("Microsoft.Network/networkSecurityGroups", nsg, None),
    ("Microsoft.DBforPostgreSQL/flexibleServers", None, rules),
)
"""Types, their properties and their children."""


def estate(resources: int) -> list[dict[str, Any]]:
    """The resources, and their children."""
    made: list[dict[str, Any]] = []
    for number in range(resources):
        subscription = f"00000000-0000-0000-0001-{number % SUBSCRIPTIONS:012d}"
        type_, properties, children = MIXTURE[number // SUBSCRIPTIONS % len(MIXTURE)]
        addresses = {0: [OLD], 1: [OLD, NEW]}.get(number % EVERY, ["20.9.9.9"])
        own = f"/subscriptions/{subscription}/resourceGroups/rg/providers/{type_}/r{number}"
        whole = {"id": own, "location": "eastus2", "properties": properties(addresses) if properties else {}}
        made.append(whole)
        for name, inner in children(addresses) if children else ():
            made.append({"id": f"{own}/{BY_TYPE[type_.casefold()].children}/{name}", "properties": inner})
    return made


def most_in_window(times: list[float]) -> int:
    """The most queries in any window."""
    return max((sum(begin <= each < begin + WINDOW_SECONDS for each in times) for begin in times), default=0)


def main() -> int:
    """Prints the table; 1 where a resource was missed or Resource Graph had to refuse a query."""
    resources = int(sys.argv[1]) if len(sys.argv) > 1 else RESOURCES
    with tempfile.TemporaryDirectory() as folder, start_arm(Path(folder)) as arm:
        os.environ |= arm.environment()
        for first in range(0, len(made := estate(resources)), 2_000):
            arm.add_resources(made[first : first + 2_000])
        arm.forget_calls()
        pipeline = arm_pipeline(arm.url)
        subscriptions = sorted({each["id"].split("/")[2] for each in made})
        began = time.monotonic()
        reading = read_lists(pipeline, subscriptions)
        read = time.monotonic() - began
        caller = Caller(old=(Span.parse(OLD),), new=(Span.parse(NEW),))
        found = audit(reading, caller, Inventory())
        judged = time.monotonic() - began - read
        pipeline.close()
        calls, log = arm.calls(), arm.requests()
    verdicts = Counter(each.verdict.value for each in found.findings)
    queries = [each["time"] for each in log if each["operation"] == GRAPH]
    refused = sum(each["status"] == 429 for each in log)  # noqa: PLR2004 - HTTP's too many requests
    print(
        f"{resources:,} resources in {len(subscriptions)} subscriptions; read in {read:.1f} s, judged in {judged:.2f} s"
    )
    print("calls                                                            number")
    for operation, count in sorted(calls.items(), key=lambda each: -each[1]):
        print(f"{operation:62} {count:7,}")
    print(f"{'in all':62} {sum(calls.values()):7,}")
    print(
        f"Resource Graph: {len(queries)} queries of at most {GRAPH_ROWS:,} rows, most in 5 s {most_in_window(queries)}"
    )
    print(f"of {WINDOW_QUERIES}; refused for too many calls: {refused}. Verdicts: {dict(sorted(verdicts.items()))}.")
    expected = {"old_only": -(-resources // EVERY), "both": -(-(resources - 1) // EVERY)}
    right = all(verdicts[name] == count for name, count in expected.items()) and len(found.findings) == resources
    return 0 if right and not refused else 1


if __name__ == "__main__":
    sys.exit(main())
