"""Every source of an AKS cluster's facts, one by one denied, throttled or cut off: what becomes unknown, and why.

Exactly what the source tells, and what is found by it, is unknown for that reason; all else is as it was.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from headroom.collect.azure_session import AzureClients
from headroom.collect.azure_snapshot import collect_aks_from
from headroom.collect.session import choose_context
from headroom.facts.azure import Azure
from headroom.facts.values import Reason, Unknown, items
from headroom.rehearsal.arm.endpoint import Endpoint, start_arm
from tests.aks.test_aks_collecting import GROUP, cluster, cluster_resource
from tests.collect.conftest import ApiServerStub, api, kubeconfig

__all__ = ["api", "cluster", "kubeconfig"]

KUBENET: Final = "aks-kubenet"
BEHIND: Final = "aks-behind"
"""A cluster that leaves by a NAT gateway with an address and a prefix."""
OWN: Final = "aks-own"
"""A cluster in a VNet that AKS made."""


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_arm(tmp_path_factory.mktemp("arm")) as running:
        within = f"/subscriptions/{running.subscription}/resourceGroups/{GROUP}"
        network = f"{within}/providers/Microsoft.Network"
        vnet = f"{network}/virtualNetworks/vnet-spoke"
        public = {"location": "eastus2", "sku": {"name": "Standard"}}
        running.add_resources(
            [
                {"id": within, "location": "eastus2"},
                {
                    "id": vnet,
                    "location": "eastus2",
                    "properties": {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}},
                },
                {"id": f"{network}/networkSecurityGroups/nsg-nodes", "location": "eastus2", "properties": {}},
                {
                    "id": f"{network}/publicIPAddresses/pip",
                    **public,
                    "properties": {"publicIPAllocationMethod": "Static"},
                },
                {"id": f"{network}/publicIPPrefixes/prefix", **public, "properties": {"prefixLength": 30}},
                {
                    "id": f"{network}/natGateways/nat",
                    **public,
                    "properties": {
                        "publicIpAddresses": [{"id": f"{network}/publicIPAddresses/pip"}],
                        "publicIpPrefixes": [{"id": f"{network}/publicIPPrefixes/prefix"}],
                    },
                },
                {
                    "id": f"{vnet}/subnets/snet-kubenet",
                    "properties": {
                        "addressPrefix": "10.20.4.0/22",
                        "networkSecurityGroup": {"id": f"{network}/networkSecurityGroups/nsg-nodes"},
                    },
                },
                {
                    "id": f"{vnet}/subnets/snet-behind",
                    "properties": {
                        "addressPrefix": "10.20.8.0/24",
                        "natGateway": {"id": f"{network}/natGateways/nat"},
                    },
                },
                cluster_resource(within, KUBENET, f"{vnet}/subnets/snet-kubenet", plugin="kubenet", nodes=3),
                behind(cluster_resource(within, BEHIND, f"{vnet}/subnets/snet-behind", plugin="azure", nodes=3)),
                managed(cluster_resource(within, OWN, "", plugin="azure", nodes=3)),
            ]
        )
        running.set_usages("eastus2", "Microsoft.Compute", {"cores": (0, 200), "standardDDSv5Family": (48, 100)})
        node_group = f"/subscriptions/{running.subscription}/resourceGroups/MC_{GROUP}_{KUBENET}_eastus2"
        for resource, metric in (
            (f"{node_group}/providers/Microsoft.Network/loadBalancers/kubernetes", "SnatConnectionCount"),
            (f"{network}/natGateways/nat", "SNATConnectionCount"),
        ):
            running.write_metric(resource, metric, [(running.now() - 60, 9000.0)], ConnectionState="Successful")
        yield running


def behind(resource: dict[str, Any]) -> dict[str, Any]:
    resource["properties"]["networkProfile"] |= {"outboundType": "userAssignedNATGateway", "podCidr": "100.64.0.0/16"}
    return resource


def managed(resource: dict[str, Any]) -> dict[str, Any]:
    del resource["properties"]["agentPoolProfiles"][0]["vnetSubnetID"]
    return resource


@pytest.fixture(scope="module")
def moment(arm: Endpoint) -> datetime:
    """The same for all readings, so that they differ in nothing else."""
    return datetime.fromtimestamp(arm.now(), UTC)


@pytest.fixture
def read(arm: Endpoint, cluster: ApiServerStub, kubeconfig: Path, moment: datetime) -> Iterator[Callable[[str], Azure]]:
    del cluster
    arm.clear_faults()

    def go(name: str) -> Azure:
        clients = AzureClients(arm.credential(), arm.subscription, {**arm.options(), "retry_total": 0})
        try:
            snapshot = collect_aks_from(
                name,
                clients,
                choose_context(name, kubeconfig=str(kubeconfig)),
                resource_group=GROUP,
                seconds=30,
                now=lambda: moment,
            )
            assert isinstance(snapshot.azure, Azure)
            return snapshot.azure
        finally:
            clients.close()

    yield go
    arm.clear_faults()


@pytest.fixture(scope="module")
def whole() -> dict[str, Azure]:
    """What was read while nothing was at fault, by cluster."""
    return {}


@pytest.fixture
def before(read: Callable[[str], Azure], whole: dict[str, Azure]) -> Callable[[str], Azure]:
    """What a cluster is read as while nothing is at fault."""

    def once(name: str) -> Azure:
        if name not in whole:
            whole[name] = read(name)
        return whole[name]

    return once


def difference(before: object, after: object, kind: type[Any], left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of which two readings differ, each as it is afterwards."""
    return {
        field.name: getattr(after, field.name)
        for field in fields(kind)
        if field.name not in left_out and getattr(before, field.name) != getattr(after, field.name)
    }


def told(fact: object) -> tuple[Reason, str]:
    """Why a fact is unknown, and what it needed that was not read."""
    assert isinstance(fact, Unknown), fact
    return fact.reason, fact.detail.partition(":")[0] if fact.detail.startswith("needs") else ""


OF_THE_CLUSTER: Final = ("vnets", "quotas", "vm_sizes", "errors", "egress", "neighbours")
OF_THE_VNETS: Final = (
    "route_tables",
    "security_groups",
    "nat_gateways",
    "public_addresses",
    "public_prefixes",
    "egress",
    "neighbours",
)
CLUSTERS: Final = "Microsoft.ContainerService/managedClusters"
NETWORK: Final = "Microsoft.Network"
SOURCES: Final[tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]] = (
    (KUBENET, f"GET {CLUSTERS}", ("location", "cluster"), tuple(dict.fromkeys((*OF_THE_CLUSTER, *OF_THE_VNETS)))),
    (KUBENET, f"LIST {CLUSTERS}/agentPools", (), ()),  # the cluster names its pools too
    (KUBENET, f"GET {NETWORK}/virtualNetworks", ("vnets",), OF_THE_VNETS),
    (OWN, f"LIST {NETWORK}/virtualNetworks", ("vnets",), OF_THE_VNETS),
    (KUBENET, f"GET {NETWORK}/routeTables", ("route_tables",), ()),
    (KUBENET, f"GET {NETWORK}/networkSecurityGroups", ("security_groups",), ()),
    (BEHIND, f"GET {NETWORK}/natGateways", ("nat_gateways", "egress"), ("public_addresses", "public_prefixes")),
    (KUBENET, f"GET {NETWORK}/publicIPAddresses", ("public_addresses",), ()),
    (BEHIND, f"GET {NETWORK}/publicIPAddresses", ("public_addresses",), ()),
    (BEHIND, f"GET {NETWORK}/publicIPPrefixes", ("public_prefixes",), ()),
    (KUBENET, "LIST Microsoft.Compute/locations/usages", ("quotas",), ()),
    (KUBENET, "LIST Microsoft.Compute/skus", ("vm_sizes",), ()),
    (KUBENET, "LIST Microsoft.Insights/eventtypes/values", ("errors",), ()),
    (KUBENET, "GET metrics", ("egress",), ()),
    (BEHIND, "GET metrics", ("egress",), ()),
    (KUBENET, "POST Microsoft.ResourceGraph/resources", ("neighbours",), ()),
)
"""The cluster, the source, what it tells, and what is found by what it tells."""
FAULTS: Final[dict[str, tuple[Reason, dict[str, Any]]]] = {
    "deny": (Reason.DENIED, {}),
    "throttle": (Reason.THROTTLED, {}),
    "fail": (Reason.UNREACHABLE, {"status": 400}),
    "cut": (Reason.UNPARSEABLE, {"moment": "after"}),
}


@pytest.mark.parametrize("effect", FAULTS)
@pytest.mark.parametrize(("name", "operation", "own", "found_by_it"), SOURCES, ids=[f"{s[0]} {s[1]}" for s in SOURCES])
def test_a_source_at_fault_makes_unknown_what_it_tells_and_nothing_else(  # noqa: PLR0913, PLR0917 - a row of the table
    name: str,
    operation: str,
    own: tuple[str, ...],
    found_by_it: tuple[str, ...],
    effect: str,
    read: Callable[[str], Azure],
    before: Callable[[str], Azure],
    arm: Endpoint,
) -> None:
    old = before(name)
    reason, details = FAULTS[effect]
    arm.order(operation, effect, count=0, **details)
    after = read(name)
    changed = difference(old, after, Azure, ("coverage",))
    assert changed.keys() == {*own, *found_by_it}
    for field in own:
        assert told(changed[field]) == (reason, ""), field
    for field in found_by_it:
        why, needed = told(changed[field])
        assert (why, needed.startswith("needs azure ")) == (reason, True), field
    unlisted = {each.resource_type.rpartition("/")[2] for each in after.coverage if each.listed_by == "none"}
    names = {
        "vnets": "virtualNetworks",
        "route_tables": "routeTables",
        "security_groups": "networkSecurityGroups",
        "nat_gateways": "natGateways",
        "public_addresses": "publicIPAddresses",
        "public_prefixes": "publicIPPrefixes",
        "neighbours": "managedClusters",
    }
    assert unlisted == {names[field] for field in changed if field in names}, "coverage says that it is no answer"


@pytest.mark.parametrize(("effect", "reason"), [(effect, reason) for effect, (reason, _) in FAULTS.items()])
def test_without_the_counts_of_a_vnet_the_counts_alone_are_unknown(
    effect: str, reason: Reason, read: Callable[[str], Azure], before: Callable[[str], Azure], arm: Endpoint
) -> None:
    was = before(KUBENET)
    arm.order("LIST Microsoft.Network/virtualNetworks/usages", effect, count=0, **FAULTS[effect][1])
    after = read(KUBENET)
    assert difference(was, after, Azure).keys() == {"vnets"}
    for old, new in zip(items(was.vnets), items(after.vnets), strict=True):
        for one, other in zip(items(old.subnets), items(new.subnets), strict=True):
            assert told(other.used_addresses) == told(other.usable_addresses) == (reason, "")
            same = replace(other, used_addresses=one.used_addresses, usable_addresses=one.usable_addresses)
            assert same == one


IN_CLUSTER: Final = (
    ("/apis/acn.azure.com/v1alpha/namespaces/kube-system/nodenetworkconfigs", {"node_network_configs", "cns"}),
    ("/api/v1/namespaces/kube-system/pods", {"cns_pods", "cns"}),
    ("/api/v1/namespaces/kube-system/pods/azure-cns-x7k2p:10092/proxy/metrics", {"cns"}),
    ("/api/v1/namespaces/kube-system/configmaps/azure-ip-masq-agent-config", {"ip_masq"}),
)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, Reason.DENIED), (429, Reason.THROTTLED), (500, Reason.UNREACHABLE), (0, Reason.UNPARSEABLE)],
)
@pytest.mark.parametrize(("path", "expected"), IN_CLUSTER, ids=[path.rpartition("/")[2] for path, _ in IN_CLUSTER])
def test_what_nodes_say_is_unknown_where_its_source_is_at_fault_and_azure_is_as_it_was(  # noqa: PLR0913, PLR0917 - a row
    path: str,
    expected: set[str],
    status: int,
    reason: Reason,
    read: Callable[[str], Azure],
    before: Callable[[str], Azure],
    cluster: ApiServerStub,
) -> None:
    was = before(KUBENET)
    if status:
        cluster.failures[path] = (status, "Refused")
    else:
        cluster.cut_short.add(path)
    changed = difference(was, read(KUBENET), Azure)
    assert changed.keys() == expected
    assert {told(fact)[0] for fact in changed.values()} == {reason}


def test_a_type_that_resource_graph_does_not_know_has_no_rows_and_that_is_no_answer(
    read: Callable[[str], Azure], arm: Endpoint
) -> None:
    """It answers an unknown type with zero rows (Azure Resource Graph, supported-tables-resources)."""
    arm.order("POST Microsoft.ResourceGraph/resources", "empty", count=0)
    azure = read(KUBENET)
    assert azure.neighbours == Unknown(Reason.UNREACHABLE, "Resource Graph does not list the cluster itself")
    [clusters] = [each for each in azure.coverage if each.resource_type == CLUSTERS]
    assert (clusters.listed_by, clusters.found) == ("none", None)
